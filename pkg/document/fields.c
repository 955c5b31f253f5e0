/* The keys of each object: columns, JSON paths, expressions and children, and what `transform` makes of them.
 *
 * As in pgsync: a child whose label is a column's name takes the column's place; then replace, rename, concat, in this
 * order, each seeing what the ones before it left. Names in `replace` are those before rename, names in `concat` those
 * after it.
 */
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

enum indexable field_indexable(const struct field *field)
{
	static const char *const dates[] = {"date", "timestamp", "timestamptz"};
	static const char *const numbers[] = {"numeric", "float4", "float8"};

	if (field->into_json)
		return INDEXABLE_WITHOUT_NUL;
	if (!field->type || field->path.n)
		return INDEXABLE_ALWAYS;
	for (size_t i = 0; i < ARRAY_SIZE(dates); i++) {
		if (strcmp(field->type->base_type, dates[i]) == 0)
			return INDEXABLE_FINITE_DATE;
		if (strcmp(field->type->base_type, numbers[i]) == 0)
			return INDEXABLE_FINITE_NUMBER;
	}
	return INDEXABLE_ALWAYS;
}

bool fields_unsure(const struct plan_node *node)
{
	return !node->table || !schema_node_names_are_known(node->decl);
}

/* The field that a JSON path makes has that name. */
static bool is_path_to(const char *column, const char *name)
{
	_cleanup_(schema_column_path_release) struct schema_column_path path = {0};

	if (schema_column_is_path(column))
		free(schema_column_path_parse(column, &path));
	return path.label && strcmp(path.label, name) == 0;
}

bool field_is_listed(const struct schema_node *node, const char *name)
{
	for (size_t i = 0; i < node->columns.n; i++)
		if (strcmp(node->columns.items[i], name) == 0 || is_path_to(node->columns.items[i], name))
			return true;
	for (size_t i = 0; i < node->n_expressions; i++)
		if (strcmp(node->expressions[i].name, name) == 0)
			return true;
	return false;
}

struct field *find_field(const struct plan_node *node, const char *name)
{
	for (size_t i = node->n_fields; i-- > 0;)
		if (!node->fields[i].hidden && strcmp(node->fields[i].name, name) == 0)
			return &node->fields[i];
	return NULL;
}

char *did_you_mean(const struct plan_node *node, const char *name)
{
	_cleanup_free_ const char **names = xcalloc(node->n_fields, sizeof(*names));
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < node->n_fields; i++)
		if (!node->fields[i].hidden)
			names[n++] = node->fields[i].name;
	near = nearest_name(name, names, n);
	return near ? xasprintf("; did you mean `%s`?", near) : xstrdup("");
}

/* The schema has been checked for the names that it gives; those of the table are ours to check. */
static bool is_of_the_table(const struct plan_node *node, const struct field *field)
{
	if (field->kind != FIELD_COLUMN)
		return field->kind == FIELD_SYSTEM;
	return !field_is_listed(node->decl, field->source);
}

/* Two fields of one name; what the schema alone says of names is a flaw of the node. */
static void say_twice(struct compiler *c, const struct plan_node *node, const struct field *field)
{
	if (is_of_the_table(node, field) || !node->decl->invalid_keys.n)
		compiler_fail(c, "InvalidSchema", node->decl->path,
			      "two fields are named `%s`, one of them a column of %s.%s; give one another name",
			      field->name, node->table->schema, node->table->name);
}

/* Takes the field; drops it with a warning when a child has its name. */
static void add_field(struct compiler *c, struct plan_node *node, struct field field, const char *name)
{
	if (field.kind != FIELD_CHILD && !node->scalar && schema_node_has_label(node->decl, name)) {
		_cleanup_free_ char *message =
			xasprintf("`%s` does not appear in the document: a child has the same label", name);

		compiler_warn(c, node->decl->path, message);
		schema_column_path_release(&field.path);
		return;
	}
	if (find_field(node, name)) {
		say_twice(c, node, find_field(node, name));
		schema_column_path_release(&field.path);
		return;
	}
	field.name = xstrdup(name);
	field.source = xstrdup(name);
	node->fields = xreallocarray(node->fields, node->n_fields + 1, sizeof(*node->fields));
	node->fields[node->n_fields++] = field;
}

/* --- columns and expressions --- */

static void add_column(struct compiler *c, struct plan_node *node, int column)
{
	const struct catalog_column *type = &node->table->columns[column];

	add_field(c, node, (struct field){.kind = FIELD_COLUMN, .column = column, .type = type}, type->name);
}

static void add_path(struct compiler *c, struct plan_node *node, const char *text, const char *path)
{
	struct field field = {.kind = FIELD_COLUMN};
	_cleanup_free_ char *problem = schema_column_path_parse(text, &field.path);
	_cleanup_free_ char *label = xstrdup_or_null(field.path.label);
	const char *type;

	field.column = problem ? -1 : catalog_column(node->table, field.path.base);
	if (problem) {
		/* The schema's own finding. */
	} else if (field.column < 0) {
		unknown_column(c, path, node->table, field.path.base);
	} else {
		type = node->table->columns[field.column].base_type;
		if (strcmp(type, "json") == 0 || strcmp(type, "jsonb") == 0) {
			field.into_json = strcmp(type, "json") == 0;
			add_field(c, node, field, label);
			return;
		}
		compiler_fail(c, "InvalidSchema", path,
			      "column `%s` is of the type %s: a JSON path needs a json or jsonb column",
			      field.path.base, node->table->columns[field.column].type);
	}
	schema_column_path_release(&field.path);
}

static void add_named(struct compiler *c, struct plan_node *node, const char *name, const char *path)
{
	int column = catalog_column(node->table, name);

	if (column >= 0)
		add_column(c, node, column);
	else if (schema_column_is_path(name))
		add_path(c, node, name, path);
	else if (!is_system_column(name))
		unknown_column(c, path, node->table, name);
	else if (node->table->kind == 'r' || node->table->kind == 'p' || node->table->kind == 'm')
		add_field(c, node, (struct field){.kind = FIELD_SYSTEM}, name);
	else
		compiler_fail(c, "InvalidSchema", path, "%s.%s is no table: it has no system column `%s`",
			      node->table->schema, node->table->name, name);
}

static const struct catalog_expression *find_expression(struct compiler *c, const struct plan_node *node,
							const char *sql, const char *path)
{
	const struct catalog_expression *found = catalog_expression(compiler_catalog(c), node->table->oid, sql);

	if (!found || found->problem)
		compiler_fail(c, "InvalidExpression", path, "`%s`: %s", sql,
			      found ? found->problem : "is not in the catalog's snapshot");
	return found && !found->problem ? found : NULL;
}

static void add_expressions(struct compiler *c, struct plan_node *node)
{
	const struct schema_node *decl = node->decl;

	for (size_t i = 0; i < decl->n_expressions; i++) {
		const struct schema_expression *e = &decl->expressions[i];
		_cleanup_free_ char *all = xasprintf("%s.expressions", decl->path);
		_cleanup_free_ char *path = jsonx_path(all, e->name);
		const struct catalog_expression *found = find_expression(c, node, e->sql, path);

		if (found)
			add_field(c, node,
				  (struct field){.kind = FIELD_EXPRESSION, .number = i + 1, .type = &found->type},
				  e->name);
	}
	node->n_expressions = decl->n_expressions;
}

static void check_where(struct compiler *c, struct plan_node *node)
{
	_cleanup_free_ char *path = xasprintf("%s.where", node->decl->path);
	const struct catalog_expression *found;

	if (!node->decl->where)
		return;
	node->filtered = true;
	found = find_expression(c, node, node->decl->where, path);
	if (found && strcmp(found->type.base_type, "bool") != 0)
		compiler_fail(c, "InvalidExpression", path, "`%s`: must be a condition, found a value of the type %s",
			      node->decl->where, found->type.type);
}

static void add_columns(struct compiler *c, struct plan_node *node)
{
	const struct schema_node *decl = node->decl;
	bool all = decl->columns.n == 0 && !(node->scalar && decl->n_expressions) &&
		   !schema_key_is_invalid(decl, "columns");

	for (size_t i = 0; i < decl->columns.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.columns[%zu]", decl->path, i);

		if (schema_name_counts(&decl->columns, i))
			add_named(c, node, decl->columns.items[i], path);
	}
	for (size_t i = 0; all && i < node->table->n_columns; i++)
		add_column(c, node, (int)i);
}

/* --- order_by --- */

static bool has_order(const struct catalog_column *type)
{
	static const char *const none[] = {"json", "jsonpath", "xml",     "point", "line", "lseg",    "box",
					   "path", "circle",   "polygon", "xid",   "cid",  "aclitem", "txid_snapshot"};
	/* An array has the order of its elements. */
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

/* NULL: an expression with a problem of its own. */
static const struct catalog_column *sort_type(struct compiler *c, const struct plan_node *node, const struct sort *sort)
{
	const struct catalog_expression *e;

	if (sort->column >= 0)
		return &node->table->columns[sort->column];
	e = catalog_expression(compiler_catalog(c), node->table->oid,
			       node->decl->expressions[sort->expression - 1].sql);
	return e && !e->problem ? &e->type : NULL;
}

static void resolve_order(struct compiler *c, struct plan_node *node)
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
			unknown_column(c, path, node->table, sort.how->column);
			continue;
		}
		node->sorts[node->n_sorts++] = sort;
		type = sort_type(c, node, &sort);
		if (type && !has_order(type))
			compiler_fail(c, "InvalidSchema", path, "`%s` is of the type %s, which has no order",
				      sort.how->column, type->type);
	}
}

/* --- transform --- */

/* A name in `transform` that no field has: nothing happens, as in pgsync, but a person should know. */
static void warn_absent(struct compiler *c, const struct plan_node *node, const char *what, const char *name)
{
	_cleanup_free_ char *near = did_you_mean(node, name);
	_cleanup_free_ char *message = xasprintf("transform.%s: there is no field `%s` here%s", what, name, near);

	/* One that is listed has a finding of its own. */
	if (!fields_unsure(node) && !field_is_listed(node->decl, name))
		compiler_warn(c, node->decl->path, message);
}

static struct field *find_source(const struct plan_node *node, const char *name)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (strcmp(node->fields[i].source, name) == 0)
			return &node->fields[i];
	return NULL;
}

static void apply_replace(struct compiler *c, struct plan_node *node)
{
	const char *name;
	json_t *map;

	json_object_foreach (node->decl->transform.replace, name, map) {
		struct field *field = find_source(node, name);

		if (field && json_object_size(map))
			field->replace = map;
		else if (!field)
			warn_absent(c, node, "replace", name);
	}
}

/* A field of that name was to have another one. */
static bool rename_is_flawed(const struct plan_node *node, const char *name)
{
	_cleanup_free_ char *key = jsonx_path("transform.rename", name);

	return schema_key_is_invalid(node->decl, key);
}

static void apply_rename(struct compiler *c, struct plan_node *node)
{
	const char *name;
	json_t *to;

	json_object_foreach (node->decl->transform.rename, name, to) {
		struct field *field = find_source(node, name);

		if (field) {
			free(field->name);
			field->name = xstrdup(json_string_value(to));
		} else {
			warn_absent(c, node, "rename", name);
		}
	}
	for (size_t i = 0; i < node->n_fields; i++) {
		const struct field *field = &node->fields[i], *other = find_field(node, field->name);

		if (other != field && !rename_is_flawed(node, field->name))
			say_twice(c, node, is_of_the_table(node, field) ? field : other);
	}
}

static void add_concat(struct plan_node *node, const struct schema_concat *concat)
{
	struct field field = {.kind = FIELD_CONCAT,
			      .name = xstrdup(concat->destination),
			      .source = xstrdup(concat->destination),
			      .delimiter = concat->delimiter ? concat->delimiter : ""};
	struct field *overwritten;

	field.parts = xcalloc(concat->columns.n, sizeof(*field.parts));
	for (size_t i = 0; i < concat->columns.n; i++) {
		const struct field *found = find_field(node, concat->columns.items[i]);

		field.parts[field.n_parts++] = found ? (struct part){.field = (size_t)(found - node->fields)}
						     : (struct part){.literal = concat->columns.items[i]};
	}
	overwritten = find_field(node, concat->destination);
	if (overwritten)
		overwritten->hidden = true;
	node->fields = xreallocarray(node->fields, node->n_fields + 1, sizeof(*node->fields));
	node->fields[node->n_fields++] = field;
}

static void apply_transform(struct compiler *c, struct plan_node *node)
{
	const struct schema_transform *t = &node->decl->transform;

	apply_replace(c, node);
	if (node->scalar) {
		if (t->rename || t->n_concats || t->n_moves)
			compiler_warn(c, node->decl->path,
				      "transform: a scalar is a value without fields: only replace has an effect");
		return;
	}
	apply_rename(c, node);
	for (size_t i = 0; i < t->n_concats; i++)
		add_concat(node, &t->concats[i]);
}

void fields_resolve(struct compiler *c, struct plan_node *node)
{
	add_columns(c, node);
	add_expressions(c, node);
	check_where(c, node);
	resolve_order(c, node);
	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->decl->label && !schema_key_is_invalid(node->children[i]->decl, "label"))
			add_field(c, node, (struct field){.kind = FIELD_CHILD, .child = node->children[i]},
				  node->children[i]->decl->label);
	if (node->scalar && node->n_fields == 0 && !node->decl->columns.n && !node->decl->n_expressions &&
	    !fields_unsure(node))
		compiler_fail(c, "InvalidSchema", node->decl->path, "a scalar node needs a column");
	apply_transform(c, node);
}

/* --- move --- */

/* Finds or makes the object that the path leads to, within fields; the last word of the path is not part of it. NULL:
 * something else is in the way. */
static struct field *open_object(struct field **fields, size_t *n, const char *name, size_t len)
{
	struct field field = {.kind = FIELD_OBJECT};

	for (size_t i = 0; i < *n; i++) {
		if ((*fields)[i].hidden || strlen((*fields)[i].name) != len ||
		    strncmp((*fields)[i].name, name, len) != 0)
			continue;
		return (*fields)[i].kind == FIELD_OBJECT ? &(*fields)[i] : NULL;
	}
	field.name = xstrndup(name, len);
	field.source = xstrndup(name, len);
	*fields = xreallocarray(*fields, *n + 1, sizeof(**fields));
	(*fields)[*n] = field;
	return &(*fields)[(*n)++];
}

static bool put_field(struct field **fields, size_t *n, struct field field, const char *path)
{
	const char *dot;

	for (; (dot = strchr(path, '.')); path = dot + 1) {
		struct field *object = dot > path ? open_object(fields, n, path, (size_t)(dot - path)) : NULL;

		if (!object)
			return false;
		fields = &object->fields;
		n = &object->n_fields;
	}
	for (size_t i = 0; i < *n; i++)
		if (!(*fields)[i].hidden && strcmp((*fields)[i].name, path) == 0)
			return false;
	if (!*path)
		return false;
	field.name = xstrdup(path);
	field.source = xstrdup(path);
	*fields = xreallocarray(*fields, *n + 1, sizeof(**fields));
	(*fields)[(*n)++] = field;
	return true;
}

static const struct moved_field *add_moved_field(struct tree *tree, const struct plan_node *node,
						 const struct plan_node *target, const struct field *field)
{
	struct moved_field *moved_field = xcalloc(1, sizeof(*moved_field));

	*moved_field = (struct moved_field){.number = tree->n_moved_fields,
					    .node = node,
					    .target = target,
					    .field = (size_t)(field - node->fields)};
	tree->moved_fields = xreallocarray(tree->moved_fields, tree->n_moved_fields + 1, sizeof(struct moved_field *));
	tree->moved_fields[tree->n_moved_fields++] = moved_field;
	return moved_field;
}

static void move_field(struct compiler *c, struct tree *tree, struct plan_node *node, const struct schema_move *move)
{
	bool to_root;
	const char *path = schema_move_path(move, &to_root);
	struct plan_node *target = to_root ? tree->nodes[0] : node;
	struct field *found = find_field(node, move->column);
	struct field moved = {.kind = FIELD_MOVED};

	if (!found) {
		warn_absent(c, node, "move", move->column);
		return;
	}
	found->hidden = found->moved = true;
	moved.moved_field = add_moved_field(tree, node, target, found);
	if (!put_field(&target->fields, &target->n_fields, moved, path) &&
	    !schema_key_is_invalid(node->decl, move->path + strlen(node->decl->path) + 1))
		compiler_fail(c, "InvalidSchema", move->path,
			      "\"%s\" is no path to a new field: another field is there, or in the way",
			      move->destination);
}

void fields_move(struct compiler *c, struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct schema_transform *t = &tree->nodes[i]->decl->transform;

		for (size_t m = 0; !tree->nodes[i]->scalar && m < t->n_moves; m++)
			move_field(c, tree, tree->nodes[i], &t->moves[m]);
	}
}

/* --- names that no engine takes --- */

static bool is_object(const struct field *field)
{
	return field->kind == FIELD_OBJECT || field->kind == FIELD_META ||
	       (field->kind == FIELD_CHILD && !field->child->scalar);
}

/* Engines read "a.b" as the field b of an object a. A field in the way of that: one that is no object. */
static const struct field *in_the_way(const struct plan_node *node, const char *name)
{
	for (size_t i = 0; i < node->n_fields; i++) {
		const struct field *field = &node->fields[i];
		size_t len = strlen(field->name);

		if (!field->hidden && !is_object(field) && strncmp(name, field->name, len) == 0 && name[len] == '.')
			return field;
	}
	return NULL;
}

static void check_name(struct compiler *c, const struct plan_node *node, const struct field *field)
{
	const char *name = field->name;
	_cleanup_free_ char *problem =
		is_of_the_table(node, field) || field->path.n ? schema_field_problem(name, !node->parent) : NULL;
	const struct field *other = in_the_way(node, name);

	if (problem)
		compiler_fail(c, "InvalidSchema", node->decl->path, "%s; give it another name by transform.rename",
			      problem);
	else if (other)
		compiler_fail(c, "InvalidSchema", node->decl->path,
			      "`%s` and `%s` cannot both be fields: search engines take the latter for a field within "
			      "the former; give one another name by transform.rename",
			      other->name, name);
}

void fields_check_names(struct compiler *c, const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct plan_node *node = tree->nodes[i];

		for (size_t j = 0; j < node->n_fields && !node->scalar; j++)
			if (!node->fields[j].hidden)
				check_name(c, node, &node->fields[j]);
	}
}

void fields_release(struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(fields[i].name);
		free(fields[i].source);
		schema_column_path_release(&fields[i].path);
		free(fields[i].parts);
		fields_release(fields[i].fields, fields[i].n_fields);
	}
	free(fields);
}
