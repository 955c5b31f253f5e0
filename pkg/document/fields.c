/* The keys of each object: columns, JSON paths, expressions and children.
 *
 * As in pgsync, a child whose label is the name of a column replaces that column. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

static const char *const system_columns[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};

static bool is_system_column(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_columns); i++)
		if (strcmp(name, system_columns[i]) == 0)
			return true;
	return false;
}

/* Takes ownership of the field; drops it with a warning when a child has its name. */
static void add_field(struct plan_node *node, struct field field, const char *name, struct diagnostics *d)
{
	if (field.kind != FIELD_CHILD && !node->scalar && schema_node_has_label(node->decl, name)) {
		diagnostics_warn(d, REASON_INVALID_SCHEMA, node->decl->path,
				 "`%s` does not appear in the document: a child has the same label", name);
		schema_column_path_release(&field.path);
		return;
	}
	if (field_find(node, name)) {
		field_report_duplicate(node, field_find(node, name), d);
		schema_column_path_release(&field.path);
		return;
	}
	field_add(node, field, name);
}

/* --- columns and expressions --- */

static void add_column_field(struct plan_node *node, int column, struct diagnostics *d)
{
	const struct catalog_column *type = &node->table->columns[column];

	add_field(node, (struct field){.kind = FIELD_COLUMN, .column = column, .type = type}, type->name, d);
}

/* The columns of a node's table by their names, for many look-ups. */
struct columns {
	struct map *positions; /* counted from 1 */
};

static struct columns index_columns(const struct catalog_table *table)
{
	struct columns columns = {map_new(NULL)};

	for (size_t i = 0; i < table->n_columns; i++)
		map_puts(columns.positions, table->columns[i].name, (void *)(i + 1));
	return columns;
}

static int find_column(const struct columns *columns, const char *name)
{
	return (int)(intptr_t)map_gets(columns->positions, name) - 1;
}

static void add_path_field(struct plan_node *node, const struct columns *columns, const char *text, const char *path,
			   struct diagnostics *d)
{
	struct field field = {.kind = FIELD_COLUMN};
	_cleanup_free_ char *problem = schema_column_path_parse(text, &field.path);
	_cleanup_free_ char *label = xstrdup_or_null(field.path.label);
	const char *type;

	field.column = problem ? -1 : find_column(columns, field.path.base);
	if (problem) {
		/* Reported by the decoder of the schema. */
	} else if (field.column < 0) {
		diagnostics_unknown_column(d, path, node->table, field.path.base);
	} else {
		type = node->table->columns[field.column].base_type;
		if (strcmp(type, "json") == 0 || strcmp(type, "jsonb") == 0) {
			field.into_json = strcmp(type, "json") == 0;
			add_field(node, field, label, d);
			return;
		}
		diagnostics_fail(d, REASON_INVALID_SCHEMA, path,
				 "column `%s` has type %s; a JSON path needs a json or jsonb column", field.path.base,
				 node->table->columns[field.column].type);
	}
	schema_column_path_release(&field.path);
}

static void add_named(struct plan_node *node, const struct columns *columns, const char *name, const char *path,
		      struct diagnostics *d)
{
	int column = find_column(columns, name);

	if (column >= 0)
		add_column_field(node, column, d);
	else if (schema_column_is_path(name))
		add_path_field(node, columns, name, path, d);
	else if (!is_system_column(name))
		diagnostics_unknown_column(d, path, node->table, name);
	else if (node->table->kind == 'r' || node->table->kind == 'p' || node->table->kind == 'm')
		add_field(node, (struct field){.kind = FIELD_SYSTEM}, name, d);
	else
		diagnostics_fail(d, REASON_INVALID_SCHEMA, path,
				 "%s.%s is not a table, so it has no system column `%s`", node->table->schema,
				 node->table->name, name);
}

static const struct catalog_expression *find_expression(const struct tree *tree, const struct plan_node *node,
							const char *sql, const char *path, struct diagnostics *d)
{
	const struct catalog_expression *found = catalog_expression(tree->catalog, node->table->oid, sql);

	if (!found || found->problem)
		diagnostics_fail(d, REASON_INVALID_EXPRESSION, path, "`%s`: %s", sql,
				 found ? found->problem : "is not in the catalog's snapshot");
	return found && !found->problem ? found : NULL;
}

static void add_expression_fields(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;

	for (size_t i = 0; i < decl->n_expressions; i++) {
		const struct schema_expression *e = &decl->expressions[i];
		_cleanup_free_ char *all = xasprintf("%s.expressions", decl->path);
		_cleanup_free_ char *path = jsonx_path(all, e->name);
		const struct catalog_expression *found = find_expression(tree, node, e->sql, path, d);

		if (found)
			add_field(node, (struct field){.kind = FIELD_EXPRESSION, .number = i + 1, .type = &found->type},
				  e->name, d);
	}
	node->n_expressions = decl->n_expressions;
}

static void check_where(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	_cleanup_free_ char *path = xasprintf("%s.where", node->decl->path);
	const struct catalog_expression *found;

	if (!node->decl->where)
		return;
	node->filtered = true;
	found = find_expression(tree, node, node->decl->where, path, d);
	if (found && strcmp(found->type.base_type, "bool") != 0)
		diagnostics_fail(d, REASON_INVALID_EXPRESSION, path, "`%s` has type %s; a condition must be boolean",
				 node->decl->where, found->type.type);
}

static void add_column_fields(struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;
	bool all = decl->columns.n == 0 && !(node->scalar && decl->n_expressions) &&
		   !schema_key_is_invalid(decl, "columns");
	const struct columns columns = index_columns(node->table);

	for (size_t i = 0; i < decl->columns.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.columns[%zu]", decl->path, i);

		if (schema_column_counts(decl, i))
			add_named(node, &columns, decl->columns.items[i], path, d);
	}
	map_free(columns.positions);
	for (size_t i = 0; all && i < node->table->n_columns; i++)
		add_column_field(node, (int)i, d);
}

/* --- order_by --- */

static bool is_ordered(const struct catalog_column *type)
{
	static const char *const none[] = {"json", "jsonpath", "xml",     "point", "line", "lseg",    "box",
					   "path", "circle",   "polygon", "xid",   "cid",  "aclitem", "txid_snapshot"};
	/* An array is ordered by its elements. */
	const char *base = type->base_type + (type->category == 'A' && type->base_type[0] == '_' ? 1 : 0);

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (strcmp(base, none[i]) == 0)
			return false;
	return true;
}

static size_t expression_number(const struct schema_node *node, const char *name)
{
	for (size_t i = 0; i < node->n_expressions; i++)
		if (strcmp(node->expressions[i].name, name) == 0)
			return i + 1;
	return 0;
}

/* NULL for an invalid expression, which has its own finding. */
static const struct catalog_column *sort_type(const struct tree *tree, const struct plan_node *node,
					      const struct sort *sort)
{
	const struct catalog_expression *e;

	if (sort->column >= 0)
		return &node->table->columns[sort->column];
	e = catalog_expression(tree->catalog, node->table->oid, node->decl->expressions[sort->expression - 1].sql);
	return e && !e->problem ? &e->type : NULL;
}

static void resolve_order(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;

	node->sorts = xcalloc(decl->n_order_by, sizeof(*node->sorts));
	for (size_t i = 0; i < decl->n_order_by; i++) {
		_cleanup_free_ char *path = xasprintf("%s.order_by[%zu]", decl->path, i);
		struct sort sort = {.how = &decl->order_by[i]};
		const struct catalog_column *type;
		_cleanup_free_ char *expression = jsonx_path("expressions", sort.how->column);

		sort.column = catalog_column(node->table, sort.how->column);
		sort.expression = sort.column < 0 ? expression_number(decl, sort.how->column) : 0;
		if (sort.column < 0 && !sort.expression &&
		    (!*sort.how->column || schema_key_is_invalid(decl, expression)))
			continue;
		if (sort.column < 0 && !sort.expression) {
			diagnostics_unknown_column(d, path, node->table, sort.how->column);
			continue;
		}
		node->sorts[node->n_sorts++] = sort;
		type = sort_type(tree, node, &sort);
		if (type && (type->no_order || !is_ordered(type)))
			diagnostics_fail(d, REASON_INVALID_SCHEMA, path, "`%s` has type %s, which cannot be sorted",
					 sort.how->column, type->type);
	}
}

void fields_resolve(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	add_column_fields(node, d);
	add_expression_fields(tree, node, d);
	check_where(tree, node, d);
	resolve_order(tree, node, d);
	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->decl->label && !schema_key_is_invalid(node->children[i]->decl, "label"))
			add_field(node, (struct field){.kind = FIELD_CHILD, .child = node->children[i]},
				  node->children[i]->decl->label, d);
	if (node->scalar && node->n_fields == 0 && !node->decl->columns.n && !node->decl->n_expressions &&
	    !fields_are_unsure(node))
		diagnostics_fail(d, REASON_INVALID_SCHEMA, node->decl->path, "a scalar node needs a column");
	transform_apply(node, d);
}

void fields_add_meta(const struct tree *tree, struct diagnostics *d)
{
	struct plan_node *root = tree->nodes[0];

	if (tree->format->meta != SCHEMA_META_PGSYNC)
		return;
	if (field_find(root, "_meta"))
		diagnostics_fail(d, REASON_INVALID_SCHEMA, root->decl->path,
				 "two fields are named `_meta`: spec.documents.meta Pgsync adds one; rename the other "
				 "with transform.rename");
	field_add(root, (struct field){.kind = FIELD_META}, "_meta");
}

/* --- names that search engines refuse --- */

static bool is_object(const struct field *field)
{
	return field->kind == FIELD_OBJECT || field->kind == FIELD_META ||
	       (field->kind == FIELD_CHILD && !field->child->scalar);
}

/* Engines read "a.b" as the field b of an object a. Returns a field that conflicts with this, because it is not an
 * object; or NULL. */
static const struct field *in_the_way(const struct plan_node *node, const char *name)
{
	for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		const struct field *field = field_find_part(node, name, (size_t)(dot - name));

		if (field && !is_object(field))
			return field;
	}
	return NULL;
}

static void check_name(const struct plan_node *node, const struct field *field, struct diagnostics *d)
{
	const char *name = field->name;
	_cleanup_free_ char *problem =
		field_comes_from_table(node, field) || field->path.n ? schema_field_problem(name, !node->parent) : NULL;
	const struct field *other = in_the_way(node, name);

	if (problem)
		diagnostics_fail(d, REASON_INVALID_SCHEMA, node->decl->path, "%s; rename it with transform.rename",
				 problem);
	else if (other)
		diagnostics_fail(d, REASON_INVALID_SCHEMA, node->decl->path,
				 "`%s` and `%s` cannot both be fields: search engines read the latter as a field "
				 "within the former; "
				 "rename one of them with transform.rename",
				 other->name, name);
}

void fields_check_names(const struct tree *tree, struct diagnostics *d)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct plan_node *node = tree->nodes[i];

		for (size_t j = 0; j < node->n_fields && !node->scalar; j++)
			if (!node->fields[j].hidden)
				check_name(node, &node->fields[j], d);
	}
}
