/* A node of the tree, and its children. */
#include "schema/schema_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { NODE_DEPTH = 32, LABEL_BYTES = 255, SQL_BYTES = 8192, LIMIT_ELEMENTS = 10000 };
enum { ORDER_COUNT = 32, ORDER_BYTES = 127, EXPRESSION_COUNT = 256, COLUMN_COUNT = 1600, COLUMN_BYTES = 1024 };

static size_t node_depth(const struct schema_node *node)
{
	size_t depth = 1;

	for (; node->parent; node = node->parent)
		depth++;
	return depth;
}

static void decode_children(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;
	size_t n = json_array_size(value);

	if (!json_is_array(value)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an array of nodes, found %s",
			     jsonx_type_name(value));
		return;
	}
	if (json_array_size(value) > 0 && node_depth(node) >= NODE_DEPTH) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "the tree is deeper than %d levels",
			     NODE_DEPTH);
		return;
	}
	if (n > SCHEMA_CHILDREN) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must contain at most %d nodes, found %zu",
			     SCHEMA_CHILDREN, n);
		n = SCHEMA_CHILDREN;
	}
	node->children = xcalloc(n, sizeof(struct schema_node *));
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		node->children[node->n_children++] = schema_node_decode(json_array_get(value, i), item, node, f);
	}
}

/* "column", "column desc", "column asc nulls last". The words are removed from the end, since the name may contain
 * spaces. */
static bool parse_ordering(const char *text, struct schema_ordering *ret)
{
	static const struct {
		const char *words;
		bool descending, nulls_given, nulls_first;
	} endings[] = {
		{" asc nulls first", false, true, true}, {" asc nulls last", false, true, false},
		{" desc nulls first", true, true, true}, {" desc nulls last", true, true, false},
		{" nulls first", false, true, true},     {" nulls last", false, true, false},
		{" asc", false, false, false},           {" desc", true, false, false},
	};
	size_t len = strlen(text);

	*ret = (struct schema_ordering){0};
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t n = strlen(endings[i].words);

		if (len <= n || strcasecmp(text + len - n, endings[i].words) != 0)
			continue;
		ret->descending = endings[i].descending;
		ret->nulls_given = endings[i].nulls_given;
		ret->nulls_first = endings[i].nulls_first;
		len -= n;
		break;
	}
	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ')
		return false;
	ret->column = xstrndup(text, len);
	return true;
}

static void decode_order_by(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;

	if (!json_is_array(value) || json_array_size(value) > ORDER_COUNT) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an array of at most %d columns, found %s", ORDER_COUNT, jsonx_type_name(value));
		return;
	}
	node->order_by = xcalloc(json_array_size(value), sizeof(*node->order_by));
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *text = json_string_value(json_array_get(value, i));
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);
		_cleanup_free_ char *found = text ? xasprintf("\"%.*s\"", ORDER_BYTES, text) : NULL;
		struct schema_ordering *ordering = &node->order_by[node->n_order_by++];

		if (text && strlen(text) <= ORDER_BYTES && parse_ordering(text, ordering))
			continue;
		ordering->column = xstrdup("");
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, item,
			     "must be like \"column\", \"column desc\" or \"column asc nulls last\", without other "
			     "spaces and at most %d bytes long, found %s",
			     ORDER_BYTES, found ? found : jsonx_type_name(json_array_get(value, i)));
	}
}

/* False, with a finding: the text is not one expression, and would change the query around it. */
static bool check_sql(const char *sql, const char *path, struct findings *f)
{
	const char *problem = schema_sql_problem(sql);

	if (problem)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be one SQL expression: %s", problem);
	return !problem;
}

static void decode_expressions(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;
	const char *name;
	json_t *sql;

	if (!json_is_object(value) || json_object_size(value) > EXPRESSION_COUNT) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an object of at most %d names with SQL expressions, found %s", EXPRESSION_COUNT,
			     jsonx_type_name(value));
		return;
	}
	node->expressions = xcalloc(json_object_size(value), sizeof(*node->expressions));
	json_object_foreach ((json_t *)value, name, sql) {
		_cleanup_free_ char *item = jsonx_path(path, name);
		size_t len = json_string_length(sql);

		if (!json_is_string(sql) || len < 1 || len > SQL_BYTES || !*name || strlen(name) > LABEL_BYTES) {
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, item,
				     "must be an SQL expression of 1 to %d bytes, under a name of 1 to %d bytes",
				     SQL_BYTES, LABEL_BYTES);
		} else if (check_sql(json_string_value(sql), item, f)) {
			node->expressions[node->n_expressions++] = (struct schema_expression){
				.name = xstrdup(name), .sql = xstrdup(json_string_value(sql))};
		}
	}
}

static void decode_base_tables(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;

	if (!json_is_array(value) || json_array_size(value) > SCHEMA_BASE_TABLES) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an array of at most %d table names", SCHEMA_BASE_TABLES);
		return;
	}
	node->base_tables = xcalloc(json_array_size(value), sizeof(*node->base_tables));
	for (size_t i = 0; i < json_array_size(value); i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		(void)schema_table_name_decode(json_array_get(value, i), &node->base_tables[node->n_base_tables++],
					       item, f);
	}
}

static const struct jsonx_field node_fields[] = {
	{.name = "table",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, table),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = SCHEMA_NAME_BYTES},
	{.name = "schema",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, schema),
	 .min = 1,
	 .max = SCHEMA_NAME_BYTES},
	{.name = "label",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, label),
	 .min = 1,
	 .max = LABEL_BYTES},
	{.name = "columns",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct schema_node, columns),
	 .min = 1,
	 .max = COLUMN_COUNT,
	 .item_max = COLUMN_BYTES},
	{.name = "primary_key",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct schema_node, primary_key),
	 .min = 1,
	 .max = SCHEMA_KEY_COLUMNS,
	 .item_max = SCHEMA_NAME_BYTES},
	{.name = "relationship",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct schema_node, relationship),
	 .fields = schema_relationship_fields},
	{.name = "children", .type = JSONX_CUSTOM, .decode = decode_children},
	{.name = "base_tables", .type = JSONX_CUSTOM, .decode = decode_base_tables},
	{.name = "transform",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct schema_node, transform),
	 .fields = schema_transform_fields},
	{.name = "where",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, where),
	 .min = 1,
	 .max = SQL_BYTES},
	{.name = "order_by", .type = JSONX_CUSTOM, .decode = decode_order_by},
	{.name = "limit",
	 .type = JSONX_INTEGER,
	 .offset = offsetof(struct schema_node, limit),
	 .min = 1,
	 .max = LIMIT_ELEMENTS},
	{.name = "expressions", .type = JSONX_CUSTOM, .decode = decode_expressions},
	{.name = "nested", .type = JSONX_BOOLEAN, .offset = offsetof(struct schema_node, nested)},
	{0},
};

static void check_columns(const struct schema_node *node, struct findings *f)
{
	for (size_t i = 0; i < node->columns.n; i++) {
		_cleanup_(schema_column_path_release) struct schema_column_path column = {0};
		_cleanup_free_ char *problem = NULL;
		_cleanup_free_ char *item = NULL;

		if (!schema_column_is_path(node->columns.items[i]))
			continue;
		problem = schema_column_path_parse(node->columns.items[i], &column);
		if (!problem)
			continue;
		item = xasprintf("%s.columns[%zu]", node->path, i);
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, item, "%s", problem);
	}
}

static void check_where_text(struct schema_node *node, struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.where", node->path);

	if (node->where && !check_sql(node->where, path, f))
		free(TAKE_PTR(node->where));
}

/* Checks the keys that only make sense for the elements of a list. */
static void check_elements(const struct schema_node *node, struct findings *f)
{
	_cleanup_free_ char *limit = xasprintf("%s.limit", node->path);
	_cleanup_free_ char *order = xasprintf("%s.order_by", node->path);
	_cleanup_free_ char *nested = xasprintf("%s.nested", node->path);
	bool many = node->parent && node->relationship.type == SCHEMA_ONE_TO_MANY;

	if (node->limit && !many && !(node->parent && schema_key_is_unsure(node, "relationship.type", f)))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, limit,
			     "is only for one_to_many children: it limits the list in the parent's document");
	if (node->n_order_by && !node->parent)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, order,
			     "is only for children: the documents of an index have no order");
	if (node->nested && (!node->parent || node->relationship.variant == SCHEMA_VARIANT_SCALAR))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, nested,
			     "is only for children of the variant `object`: it makes them nested documents");
}

static void check_relationship(const struct schema_node *node, const json_t *given, struct findings *f)
{
	const struct schema_relationship *r = &node->relationship;
	_cleanup_free_ char *path = xasprintf("%s.relationship", node->path);
	_cleanup_free_ char *key_path = xasprintf("%s.foreign_key", path);

	if (!node->parent) {
		if (json_is_object(given))
			findings_add(f, FINDING_WARNING, REASON_INVALID_SCHEMA, path, "has no effect on the root");
		return;
	}
	if ((!given || json_is_null(given)) && !schema_key_is_invalid(node, "relationship"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "is required: every node but the root needs one with `type` and `variant`");
	if (r->fk_child.n && r->fk_parent.n && r->fk_child.n != r->fk_parent.n)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, key_path,
			     "must name as many `child` columns as `parent` columns, found %zu and %zu", r->fk_child.n,
			     r->fk_parent.n);
	if (r->variant == SCHEMA_VARIANT_SCALAR && node->n_children)
		findings_add(f, FINDING_WARNING, REASON_INVALID_SCHEMA, path,
			     "a scalar node is one column's value: its children do not appear in the document");
}

static void check_labels(const struct schema_node *node, struct findings *f)
{
	_cleanup_(map_freep) struct map *labels = map_new(NULL);

	for (size_t i = 0; i < node->n_children; i++) {
		struct schema_node *child = node->children[i];
		const struct schema_node *other = child->label ? map_gets(labels, child->label) : NULL;
		_cleanup_free_ char *path = other ? xasprintf("%s.label", child->path) : NULL;

		if (other)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "\"%s\" is also the label of %s; give one of them another `label`", child->label,
				     other->path);
		else if (child->label)
			map_puts(labels, child->label, child);
	}
}

struct schema_node *schema_node_decode(const json_t *value, const char *path, struct schema_node *parent,
				       struct findings *f)
{
	struct schema_node *node = xcalloc(1, sizeof(*node));

	node->path = xstrdup(path);
	node->parent = parent;
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		return node;
	}
	jsonx_decode(value, node_fields, node, path, REASON_INVALID_SCHEMA, f);
	if (!node->schema)
		node->schema = xstrdup("public");
	schema_note_meant(node, value, node_fields, "");
	schema_note_meant(node, json_object_get(value, "relationship"), schema_relationship_fields, "relationship.");
	schema_note_meant(node, json_object_get(value, "transform"), schema_transform_fields, "transform.");
	if (!node->label && !schema_key_is_unsure(node, "label", f))
		node->label = xstrdup_or_null(node->table);
	schema_collect_sets(node);
	check_columns(node, f);
	check_where_text(node, f);
	check_relationship(node, json_object_get(value, "relationship"), f);
	check_elements(node, f);
	check_labels(node, f);
	schema_check_names(node, f);
	return node;
}

void schema_node_free(struct schema_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->n_children; i++)
		schema_node_free(node->children[i]);
	free(node->children);
	schema_relationship_release(&node->relationship);
	jsonx_strings_release(&node->columns);
	jsonx_strings_release(&node->primary_key);
	jsonx_strings_release(&node->invalid_keys);
	for (size_t i = 0; i < node->n_base_tables; i++)
		schema_table_name_release(&node->base_tables[i]);
	free(node->base_tables);
	schema_transform_release(&node->transform);
	free(node->where);
	for (size_t i = 0; i < node->n_order_by; i++)
		free(node->order_by[i].column);
	free(node->order_by);
	for (size_t i = 0; i < node->n_expressions; i++) {
		free(node->expressions[i].name);
		free(node->expressions[i].sql);
	}
	free(node->expressions);
	schema_sets_free(node->sets);
	free(node->path);
	free(node->table);
	free(node->schema);
	free(node->label);
	free(node);
}
