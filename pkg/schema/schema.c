/* schema.json: the documents and their trees. */
#include "schema/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "schema/schema_int.h"

enum { NODE_DEPTH = 32, NODE_COUNT = 256, DOCUMENT_COUNT = 16, NAME_BYTES = 63, LABEL_BYTES = 255, INDEX_BYTES = 200 };
enum { SQL_BYTES = 8192, LIMIT_ELEMENTS = 10000, ORDER_COUNT = 32, EXPRESSION_COUNT = 256 };

static bool asks_for_nothing(const json_t *value)
{
	if (json_is_object(value))
		return json_object_size(value) == 0;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	if (json_is_string(value))
		return json_string_length(value) == 0;
	return json_is_false(value) || json_is_null(value);
}

static void refuse_plugins(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!asks_for_nothing(value))
		findings_add(
			f, FINDING_ERROR, "NotSupported", path,
			"`plugins` are Python code of pgsync and do not run here; use `transform`, `expressions` or an "
			"ingest `pipeline` of the search engine instead");
}

static void refuse_mappings(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!asks_for_nothing(value))
		findings_add(f, FINDING_WARNING, INVALID_SCHEMA, path,
			     "is ignored, as it has no effect in pgsync either; use `mapping`");
}

/* --- relationship */

/* "table" or "schema.table"; one that is wrong is an empty name. */
static bool decode_table_name(const json_t *value, struct schema_table_name *ret, const char *path, struct findings *f)
{
	const char *name = json_string_value(value);
	const char *dot = name ? strchr(name, '.') : NULL;

	if (!name || !*name || (dot && (dot == name || !dot[1]))) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be a table name or \"schema.table\"");
		*ret = (struct schema_table_name){.table = xstrdup("")};
		return false;
	}
	ret->schema = dot ? xstrndup(name, (size_t)(dot - name)) : NULL;
	ret->table = xstrdup(dot ? dot + 1 : name);
	return true;
}

static void table_name_release(struct schema_table_name *name)
{
	free(name->schema);
	free(name->table);
}

static void decode_through(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_relationship *r = out;
	_cleanup_free_ char *item = xasprintf("%s[0]", path);
	struct schema_table_name name;

	if (!json_is_array(value)) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
			     "must be an array with at most one table name, found %s", jsonx_type_name(value));
		return;
	}
	if (json_array_size(value) == 0)
		return;
	if (json_array_size(value) > 1) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
			     "must name at most one table, found %zu; nest another node for each further table",
			     json_array_size(value));
		return;
	}
	if (decode_table_name(json_array_get(value, 0), &name, item, f))
		r->through = xmemdup(&name, sizeof(name));
	else
		table_name_release(&name);
}

/* One side of foreign_key: a column's name, or a list of them. */
static void decode_key_columns(const json_t *value, struct jsonx_strings *ret, const char *path, struct findings *f)
{
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	bool good = n > 0;

	*ret = (struct jsonx_strings){.items = xcalloc(n, sizeof(*ret->items)), .n = n};
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_is_array(value) ? json_array_get(value, i) : value);

		good = good && name && *name;
		ret->items[i] = xstrdup(name ? name : "");
	}
	if (!good)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be a list of column names");
}

static void decode_key_child(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_key_columns(value, &((struct schema_relationship *)out)->fk_child, path, f);
}

static void decode_key_parent(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_key_columns(value, &((struct schema_relationship *)out)->fk_parent, path, f);
}

static const char *const type_words[] = {"one_to_one", "one_to_many", NULL};
static const char *const variant_words[] = {"object", "scalar", NULL};

static const struct jsonx_field foreign_key_fields[] = {
	{.name = "child", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_key_child},
	{.name = "parent", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_key_parent},
	{0},
};

static const struct jsonx_field relationship_fields[] = {
	{.name = "type",
	 .type = JSONX_ENUM,
	 .offset = offsetof(struct schema_relationship, type),
	 .flags = JSONX_REQUIRED,
	 .words = type_words},
	{.name = "variant",
	 .type = JSONX_ENUM,
	 .offset = offsetof(struct schema_relationship, variant),
	 .flags = JSONX_REQUIRED,
	 .words = variant_words},
	{.name = "through_tables", .type = JSONX_CUSTOM, .decode = decode_through},
	{.name = "foreign_key", .type = JSONX_OBJECT, .offset = 0, .fields = foreign_key_fields},
	{0},
};

/* --- nodes */

static struct schema_node *decode_node(const json_t *value, const char *path, struct schema_node *parent,
				       struct findings *f);

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
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an array of nodes, found %s",
			     jsonx_type_name(value));
		return;
	}
	if (json_array_size(value) > 0 && node_depth(node) >= NODE_DEPTH) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "the tree is deeper than %d levels", NODE_DEPTH);
		return;
	}
	if (n > NODE_COUNT) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must hold at most %d nodes, found %zu",
			     NODE_COUNT, n);
		n = NODE_COUNT;
	}
	node->children = xcalloc(n, sizeof(struct schema_node *));
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		node->children[node->n_children++] = decode_node(json_array_get(value, i), item, node, f);
	}
}

/* "column", "column desc", "column asc nulls last": what follows the name is taken off from its end, so that the name
 * may hold blanks. */
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
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an array of at most %d columns, found %s",
			     ORDER_COUNT, jsonx_type_name(value));
		return;
	}
	node->order_by = xcalloc(json_array_size(value), sizeof(*node->order_by));
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *text = json_string_value(json_array_get(value, i));
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);
		_cleanup_free_ char *found = text ? xasprintf("\"%s\"", text) : NULL;
		struct schema_ordering *ordering = &node->order_by[node->n_order_by++];

		if (text && parse_ordering(text, ordering))
			continue;
		ordering->column = xstrdup("");
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, item,
			     "must be like \"column\", \"column desc\" or \"column asc nulls last\", without other "
			     "blanks, found %s",
			     found ? found : jsonx_type_name(json_array_get(value, i)));
	}
}

/* Whether it is one expression, and nothing that would change the query around it. */
static bool is_fragment(const char *sql, const char *path, struct findings *f)
{
	const char *problem = schema_sql_problem(sql);

	if (problem)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be one SQL expression: %s", problem);
	return !problem;
}

static void decode_expressions(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;
	const char *name;
	json_t *sql;

	if (!json_is_object(value) || json_object_size(value) > EXPRESSION_COUNT) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
			     "must be an object of at most %d names with SQL expressions, found %s", EXPRESSION_COUNT,
			     jsonx_type_name(value));
		return;
	}
	node->expressions = xcalloc(json_object_size(value), sizeof(*node->expressions));
	json_object_foreach ((json_t *)value, name, sql) {
		_cleanup_free_ char *item = jsonx_path(path, name);
		size_t len = json_string_length(sql);

		if (!json_is_string(sql) || len < 1 || len > SQL_BYTES || !*name || strlen(name) > LABEL_BYTES) {
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, item,
				     "must be an SQL expression of 1 to %d bytes, under a name of 1 to %d bytes",
				     SQL_BYTES, LABEL_BYTES);
		} else if (is_fragment(json_string_value(sql), item, f)) {
			node->expressions[node->n_expressions++] = (struct schema_expression){
				.name = xstrdup(name), .sql = xstrdup(json_string_value(sql))};
		}
	}
}

static void decode_base_tables(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_node *node = out;

	if (!json_is_array(value) || json_array_size(value) > NODE_COUNT) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an array of at most %d table names",
			     NODE_COUNT);
		return;
	}
	node->base_tables = xcalloc(json_array_size(value), sizeof(*node->base_tables));
	for (size_t i = 0; i < json_array_size(value); i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		(void)decode_table_name(json_array_get(value, i), &node->base_tables[node->n_base_tables++], item, f);
	}
}

static const struct jsonx_field node_fields[] = {
	{.name = "table",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, table),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = NAME_BYTES},
	{.name = "schema",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, schema),
	 .min = 1,
	 .max = NAME_BYTES},
	{.name = "label",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_node, label),
	 .min = 1,
	 .max = LABEL_BYTES},
	{.name = "columns", .type = JSONX_STRINGS, .offset = offsetof(struct schema_node, columns), .min = 1},
	{.name = "primary_key", .type = JSONX_STRINGS, .offset = offsetof(struct schema_node, primary_key), .min = 1},
	{.name = "relationship",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct schema_node, relationship),
	 .fields = relationship_fields},
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
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, item, "%s", problem);
	}
}

static void check_where(struct schema_node *node, struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.where", node->path);

	if (node->where && !is_fragment(node->where, path, f))
		free(TAKE_PTR(node->where));
}

static void add_invalid_key(struct schema_node *node, const char *key)
{
	node->invalid_keys.items = xreallocarray(node->invalid_keys.items, node->invalid_keys.n + 1, sizeof(char *));
	node->invalid_keys.items[node->invalid_keys.n++] = xstrdup(key);
}

/* What an unknown key was meant to be is not what it was meant to be. */
static void note_meant(struct schema_node *node, const json_t *object, const struct jsonx_field *fields,
		       const char *prefix)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		const char *meant = jsonx_meant(object, fields, key);
		_cleanup_free_ char *invalid = meant ? xasprintf("%s%s", prefix, meant) : NULL;

		if (invalid)
			add_invalid_key(node, invalid);
	}
}

/* As schema_node_is_invalid, before all invalid keys are noted. */
bool schema_node_is_unsure(const struct schema_node *node, const char *key, const struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.%s", node->path, key);

	return schema_node_is_invalid(node, key) || findings_concern(f, path);
}

/* What only makes sense for the elements of a list. */
static void check_elements(const struct schema_node *node, struct findings *f)
{
	_cleanup_free_ char *limit = xasprintf("%s.limit", node->path);
	_cleanup_free_ char *order = xasprintf("%s.order_by", node->path);
	_cleanup_free_ char *nested = xasprintf("%s.nested", node->path);
	bool many = node->parent && node->relationship.type == SCHEMA_ONE_TO_MANY;

	if (node->limit && !many && !(node->parent && schema_node_is_unsure(node, "relationship.type", f)))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, limit,
			     "is for one_to_many children: it bounds the list in the parent's document");
	if (node->n_order_by && !node->parent)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, order,
			     "is for children: the documents of an index have no order");
	if (node->nested && (!node->parent || node->relationship.variant == SCHEMA_VARIANT_SCALAR))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, nested,
			     "is for children of the variant `object`: it makes them nested documents");
}

static void check_relationship(const struct schema_node *node, const json_t *given, struct findings *f)
{
	const struct schema_relationship *r = &node->relationship;
	_cleanup_free_ char *path = xasprintf("%s.relationship", node->path);
	_cleanup_free_ char *key_path = xasprintf("%s.foreign_key", path);

	if (!node->parent) {
		if (json_is_object(given))
			findings_add(f, FINDING_WARNING, INVALID_SCHEMA, path, "has no effect on the root");
		return;
	}
	if ((!given || json_is_null(given)) && !schema_node_is_invalid(node, "relationship"))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
			     "is required: every node but the root needs one with `type` and `variant`");
	if (r->fk_child.n && r->fk_parent.n && r->fk_child.n != r->fk_parent.n)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, key_path,
			     "must name as many `child` columns as `parent` columns, found %zu and %zu", r->fk_child.n,
			     r->fk_parent.n);
	if (r->variant == SCHEMA_VARIANT_SCALAR && node->n_children)
		findings_add(f, FINDING_WARNING, INVALID_SCHEMA, path,
			     "a scalar node is one column's value: its children do not appear in the document");
}

static void check_labels(const struct schema_node *node, struct findings *f)
{
	for (size_t i = 0; i < node->n_children; i++) {
		const struct schema_node *child = node->children[i];
		_cleanup_free_ char *path = NULL;

		for (size_t j = 0; child->label && j < i; j++) {
			const struct schema_node *other = node->children[j];

			if (!other->label || strcmp(child->label, other->label) != 0)
				continue;
			path = xasprintf("%s.label", child->path);
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
				     "\"%s\" is also that of %s; give one of them another `label`", child->label,
				     other->path);
			break;
		}
	}
}

static struct schema_node *decode_node(const json_t *value, const char *path, struct schema_node *parent,
				       struct findings *f)
{
	struct schema_node *node = xcalloc(1, sizeof(*node));

	node->path = xstrdup(path);
	node->parent = parent;
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		return node;
	}
	jsonx_decode(value, node_fields, node, path, INVALID_SCHEMA, f);
	if (!node->schema)
		node->schema = xstrdup("public");
	note_meant(node, value, node_fields, "");
	note_meant(node, json_object_get(value, "relationship"), relationship_fields, "relationship.");
	note_meant(node, json_object_get(value, "transform"), schema_transform_fields, "transform.");
	if (!node->label && !schema_node_is_unsure(node, "label", f))
		node->label = xstrdup_or_null(node->table);
	check_columns(node, f);
	check_where(node, f);
	check_relationship(node, json_object_get(value, "relationship"), f);
	check_elements(node, f);
	check_labels(node, f);
	schema_check_names(node, f);
	return node;
}

static size_t count_nodes(const struct schema_node *node)
{
	size_t n = 1;

	for (size_t i = 0; i < node->n_children; i++)
		n += count_nodes(node->children[i]);
	return n;
}

static void node_free(struct schema_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->n_children; i++)
		node_free(node->children[i]);
	free(node->children);
	if (node->relationship.through) {
		table_name_release(node->relationship.through);
		free(node->relationship.through);
	}
	jsonx_strings_release(&node->relationship.fk_child);
	jsonx_strings_release(&node->relationship.fk_parent);
	jsonx_strings_release(&node->columns);
	jsonx_strings_release(&node->primary_key);
	jsonx_strings_release(&node->invalid_keys);
	for (size_t i = 0; i < node->n_base_tables; i++)
		table_name_release(&node->base_tables[i]);
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
	free(node->path);
	free(node->table);
	free(node->schema);
	free(node->label);
	free(node);
}

/* --- documents */

static void decode_nodes(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_document *document = out;
	_cleanup_free_ char *first = xasprintf("%s[0]", path);
	size_t n;

	if (json_is_array(value))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
			     "must be an object, the root node, found an array (the format of pgsync 1); write its "
			     "one element without the brackets");
	if (json_is_array(value) && json_array_size(value) != 1)
		return;
	document->root = json_is_array(value) ? decode_node(json_array_get(value, 0), first, NULL, f)
					      : decode_node(value, path, NULL, f);
	n = count_nodes(document->root);
	if (n > NODE_COUNT)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must have at most %d nodes, found %zu",
			     NODE_COUNT, n);
}

static void decode_object(const json_t *value, json_t **ret, const char *path, struct findings *f)
{
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		return;
	}
	*ret = json_deep_copy(value);
}

static void decode_setting(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_object(value, &((struct schema_document *)out)->setting, path, f);
}

static void decode_mapping(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_object(value, &((struct schema_document *)out)->mapping, path, f);
}

static const struct jsonx_field document_fields[] = {
	{.name = "database",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, database),
	 .min = 1,
	 .max = NAME_BYTES},
	{.name = "index", .type = JSONX_STRING, .offset = offsetof(struct schema_document, index)},
	{.name = "nodes", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_nodes},
	{.name = "setting", .type = JSONX_CUSTOM, .decode = decode_setting},
	{.name = "mapping", .type = JSONX_CUSTOM, .decode = decode_mapping},
	{.name = "pipeline",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, pipeline),
	 .min = 1,
	 .max = LABEL_BYTES},
	{.name = "routing",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, routing),
	 .min = 1,
	 .max = LABEL_BYTES},
	{.name = "plugins", .type = JSONX_CUSTOM, .decode = refuse_plugins},
	{.name = "mappings", .type = JSONX_CUSTOM, .decode = refuse_mappings},
	{0},
};

/* The rules of Elasticsearch and OpenSearch for index names; shorter, so that "-g<N>" and "-dead-letters" fit. */
static void check_index(const char *index, const char *path, struct findings *f)
{
	static const char forbidden[] = "\\/*?\"<>| ,#:";
	size_t bad = strcspn(index, forbidden);

	if (!*index || strlen(index) > INDEX_BYTES)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be 1 to %d bytes long, found %zu",
			     INDEX_BYTES, strlen(index));
	for (const char *p = index; *p; p++) {
		if (*p >= 'A' && *p <= 'Z') {
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "index name \"%s\" must be lower case",
				     index);
			break;
		}
	}
	if (index[bad])
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "index name \"%s\" may not hold '%c'", index,
			     index[bad]);
	for (const char *p = index; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == '\x7f') {
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
				     "an index name may not hold control characters");
			break;
		}
	}
	if (*index && strchr("-_+", *index))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "index name \"%s\" may not start with '%c'", index,
			     *index);
	if (strcmp(index, ".") == 0 || strcmp(index, "..") == 0)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "index name may not be \"%s\"", index);
}

/* --- invalid keys */

/* "children[2].label": of a child, which notes its own. */
static bool is_of_child(const char *rest)
{
	const char *close = strncmp(rest, "children[", strlen("children[")) == 0 ? strchr(rest, ']') : NULL;

	return close && close[1];
}

/* Notes in every node what is wrong with it, by where the findings are. */
static void mark_invalid_keys(struct schema_node *node, const struct findings *f)
{
	size_t len = strlen(node->path);

	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		if (item->severity != FINDING_ERROR || strncmp(item->path, node->path, len) != 0)
			continue;
		if (!item->path[len])
			add_invalid_key(node, "");
		else if (item->path[len] == '.' && !is_of_child(item->path + len + 1))
			add_invalid_key(node, item->path + len + 1);
	}
	for (size_t i = 0; i < node->n_children; i++)
		mark_invalid_keys(node->children[i], f);
}

bool schema_node_is_invalid(const struct schema_node *node, const char *key)
{
	for (size_t i = 0; i < node->invalid_keys.n; i++)
		if (path_is_within(key, node->invalid_keys.items[i]) ||
		    path_is_within(node->invalid_keys.items[i], key))
			return true;
	return false;
}

static struct schema_document *decode_document(const json_t *value, const char *path, struct findings *f)
{
	struct schema_document *document = xcalloc(1, sizeof(*document));
	_cleanup_free_ char *index_path = xasprintf("%s.index", path);
	const json_t *given = json_object_get(value, "index");

	document->path = xstrdup(path);
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		document->invalid = true;
		return document;
	}
	jsonx_decode(value, document_fields, document, path, INVALID_SCHEMA, f);
	if (!document->index)
		document->index = xstrdup_or_null(document->database);
	if (document->index)
		check_index(document->index, index_path, f);
	else if ((!given || json_is_null(given)) && !jsonx_is_meant(value, document_fields, "index"))
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, index_path,
			     "is required: the name of the index to fill");
	if (document->root)
		mark_invalid_keys(document->root, f);
	document->routing_invalid = !schema_check_routing(document, f);
	document->invalid = !document->root;
	for (size_t i = 0; i < f->n; i++)
		document->invalid = document->invalid ||
				    (f->items[i].severity == FINDING_ERROR && path_is_within(f->items[i].path, path));
	return document;
}

static void check_unique_indices(struct schema_document **documents, size_t n, struct findings *f)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.index", documents[i]->path);

		for (size_t j = 0; documents[i]->index && j < i; j++) {
			if (!documents[j]->index || strcmp(documents[i]->index, documents[j]->index) != 0)
				continue;
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path,
				     "index \"%s\" is also that of %s; every document needs an index of its own",
				     documents[i]->index, documents[j]->path);
			break;
		}
	}
}

void schema_decode(const json_t *array, const char *path, struct schema_document ***ret, size_t *ret_n,
		   struct findings *f)
{
	size_t n = json_array_size(array);
	struct schema_document **documents;

	if (!json_is_array(array)) {
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must be an array of documents, found %s",
			     jsonx_type_name(array));
		return;
	}
	if (n < 1 || n > DOCUMENT_COUNT)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "must hold 1 to %d documents, found %zu",
			     DOCUMENT_COUNT, n);
	if (n == 0)
		return;
	if (n > DOCUMENT_COUNT)
		n = DOCUMENT_COUNT;
	documents = xcalloc(n, sizeof(struct schema_document *));
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		documents[i] = decode_document(json_array_get(array, i), item, f);
	}
	check_unique_indices(documents, n, f);
	*ret = documents;
	*ret_n = n;
}

void schema_document_free(struct schema_document *document)
{
	if (!document)
		return;
	node_free(document->root);
	json_decref(document->setting);
	json_decref(document->mapping);
	free(document->path);
	free(document->index);
	free(document->database);
	free(document->pipeline);
	free(document->routing);
	free(document);
}
