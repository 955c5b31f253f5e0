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

enum taken field_taken(const struct field *field)
{
	static const char *const dates[] = {"date", "timestamp", "timestamptz"};
	static const char *const numbers[] = {"numeric", "float4", "float8"};

	if (field->into_json)
		return TAKEN_WITHOUT_NUL;
	if (!field->type || field->path.n)
		return TAKEN_ALWAYS;
	for (size_t i = 0; i < ARRAY_SIZE(dates); i++) {
		if (strcmp(field->type->base_type, dates[i]) == 0)
			return TAKEN_FINITE_DATE;
		if (strcmp(field->type->base_type, numbers[i]) == 0)
			return TAKEN_FINITE_NUMBER;
	}
	return TAKEN_ALWAYS;
}

bool fields_unsure(const struct place *place)
{
	return !place->table || !schema_node_names_are_known(place->node);
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

struct field *find_field(const struct place *place, const char *name)
{
	for (size_t i = place->n_fields; i-- > 0;)
		if (!place->fields[i].hidden && strcmp(place->fields[i].name, name) == 0)
			return &place->fields[i];
	return NULL;
}

char *did_you_mean(const struct place *place, const char *name)
{
	_cleanup_free_ const char **names = xcalloc(place->n_fields, sizeof(*names));
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < place->n_fields; i++)
		if (!place->fields[i].hidden)
			names[n++] = place->fields[i].name;
	near = nearest_name(name, names, n);
	return near ? xasprintf("; did you mean `%s`?", near) : xstrdup("");
}

/* The schema has been checked for the names that it gives; those of the table are ours to check. */
static bool is_of_the_table(const struct place *place, const struct field *field)
{
	if (field->kind != FIELD_COLUMN)
		return field->kind == FIELD_SYSTEM;
	return !field_is_listed(place->node, field->source);
}

/* Two fields of one name; what the schema alone says of names is a flaw of the node. */
static void say_twice(struct compiler *c, const struct place *place, const struct field *field)
{
	if (is_of_the_table(place, field) || !place->node->invalid_keys.n)
		compiler_fail(c, "InvalidSchema", place->node->path,
			      "two fields are named `%s`, one of them a column of %s.%s; give one another name",
			      field->name, place->table->schema, place->table->name);
}

/* Takes the field; drops it with a warning when a child has its name. */
static void add_field(struct compiler *c, struct place *place, struct field field, const char *name)
{
	if (field.kind != FIELD_CHILD && !place->scalar && schema_node_has_label(place->node, name)) {
		_cleanup_free_ char *message =
			xasprintf("`%s` does not appear in the document: a child has the same label", name);

		compiler_warn(c, place->node->path, message);
		schema_column_path_release(&field.path);
		return;
	}
	if (find_field(place, name)) {
		say_twice(c, place, find_field(place, name));
		schema_column_path_release(&field.path);
		return;
	}
	field.name = xstrdup(name);
	field.source = xstrdup(name);
	place->fields = xreallocarray(place->fields, place->n_fields + 1, sizeof(*place->fields));
	place->fields[place->n_fields++] = field;
}

/* --- columns and expressions --- */

static void add_column(struct compiler *c, struct place *place, int column)
{
	const struct catalog_column *type = &place->table->columns[column];

	add_field(c, place, (struct field){.kind = FIELD_COLUMN, .column = column, .type = type}, type->name);
}

static void add_path(struct compiler *c, struct place *place, const char *text, const char *path)
{
	struct field field = {.kind = FIELD_COLUMN};
	_cleanup_free_ char *problem = schema_column_path_parse(text, &field.path);
	_cleanup_free_ char *label = xstrdup_or_null(field.path.label);
	const char *type;

	field.column = problem ? -1 : catalog_column(place->table, field.path.base);
	if (problem) {
		/* The schema's own finding. */
	} else if (field.column < 0) {
		unknown_column(c, path, place->table, field.path.base);
	} else {
		type = place->table->columns[field.column].base_type;
		if (strcmp(type, "json") == 0 || strcmp(type, "jsonb") == 0) {
			field.into_json = strcmp(type, "json") == 0;
			add_field(c, place, field, label);
			return;
		}
		compiler_fail(c, "InvalidSchema", path,
			      "column `%s` is of the type %s: a JSON path needs a json or jsonb column",
			      field.path.base, place->table->columns[field.column].type);
	}
	schema_column_path_release(&field.path);
}

static void add_named(struct compiler *c, struct place *place, const char *name, const char *path)
{
	int column = catalog_column(place->table, name);

	if (column >= 0)
		add_column(c, place, column);
	else if (schema_column_is_path(name))
		add_path(c, place, name, path);
	else if (!is_system_column(name))
		unknown_column(c, path, place->table, name);
	else if (place->table->kind == 'r' || place->table->kind == 'p' || place->table->kind == 'm')
		add_field(c, place, (struct field){.kind = FIELD_SYSTEM}, name);
	else
		compiler_fail(c, "InvalidSchema", path, "%s.%s is no table: it has no system column `%s`",
			      place->table->schema, place->table->name, name);
}

static const struct catalog_expression *find_expression(struct compiler *c, const struct place *place, const char *sql,
							const char *path)
{
	const struct catalog_expression *found = catalog_expression(compiler_catalog(c), place->table->oid, sql);

	if (!found || found->problem)
		compiler_fail(c, "InvalidExpression", path, "`%s`: %s", sql,
			      found ? found->problem : "is not in the catalog's snapshot");
	return found && !found->problem ? found : NULL;
}

static void add_expressions(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;

	for (size_t i = 0; i < node->n_expressions; i++) {
		const struct schema_expression *e = &node->expressions[i];
		_cleanup_free_ char *all = xasprintf("%s.expressions", node->path);
		_cleanup_free_ char *path = jsonx_path(all, e->name);
		const struct catalog_expression *found = find_expression(c, place, e->sql, path);

		if (found)
			add_field(c, place,
				  (struct field){.kind = FIELD_EXPRESSION, .number = i + 1, .type = &found->type},
				  e->name);
	}
	place->n_expressions = node->n_expressions;
}

static void check_where(struct compiler *c, struct place *place)
{
	_cleanup_free_ char *path = xasprintf("%s.where", place->node->path);
	const struct catalog_expression *found;

	if (!place->node->where)
		return;
	place->filtered = true;
	found = find_expression(c, place, place->node->where, path);
	if (found && strcmp(found->type.base_type, "bool") != 0)
		compiler_fail(c, "InvalidExpression", path, "`%s`: must be a condition, found a value of the type %s",
			      place->node->where, found->type.type);
}

static void add_columns(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;
	bool all = node->columns.n == 0 && !(place->scalar && node->n_expressions) &&
		   !schema_node_is_invalid(node, "columns");

	for (size_t i = 0; i < node->columns.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.columns[%zu]", node->path, i);

		if (schema_name_counts(&node->columns, i))
			add_named(c, place, node->columns.items[i], path);
	}
	for (size_t i = 0; all && i < place->table->n_columns; i++)
		add_column(c, place, (int)i);
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
static const struct catalog_column *sort_type(struct compiler *c, const struct place *place, const struct sort *sort)
{
	const struct catalog_expression *e;

	if (sort->column >= 0)
		return &place->table->columns[sort->column];
	e = catalog_expression(compiler_catalog(c), place->table->oid,
			       place->node->expressions[sort->expression - 1].sql);
	return e && !e->problem ? &e->type : NULL;
}

static void resolve_order(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;

	place->sorts = xcalloc(node->n_order_by, sizeof(*place->sorts));
	for (size_t i = 0; i < node->n_order_by; i++) {
		_cleanup_free_ char *path = xasprintf("%s.order_by[%zu]", node->path, i);
		struct sort sort = {.how = &node->order_by[i]};
		const struct catalog_column *type;
		_cleanup_free_ char *expression = jsonx_path("expressions", sort.how->column);

		sort.column = catalog_column(place->table, sort.how->column);
		sort.expression = sort.column < 0 ? expression_number(node, sort.how->column) : 0;
		if (sort.column < 0 && !sort.expression &&
		    (!*sort.how->column || schema_node_is_invalid(node, expression)))
			continue;
		if (sort.column < 0 && !sort.expression) {
			unknown_column(c, path, place->table, sort.how->column);
			continue;
		}
		place->sorts[place->n_sorts++] = sort;
		type = sort_type(c, place, &sort);
		if (type && !has_order(type))
			compiler_fail(c, "InvalidSchema", path, "`%s` is of the type %s, which has no order",
				      sort.how->column, type->type);
	}
}

/* --- transform --- */

/* A name in `transform` that no field has: nothing happens, as in pgsync, but a person should know. */
static void warn_absent(struct compiler *c, const struct place *place, const char *what, const char *name)
{
	_cleanup_free_ char *near = did_you_mean(place, name);
	_cleanup_free_ char *message = xasprintf("transform.%s: there is no field `%s` here%s", what, name, near);

	/* One that is listed has a finding of its own. */
	if (!fields_unsure(place) && !field_is_listed(place->node, name))
		compiler_warn(c, place->node->path, message);
}

static struct field *find_source(const struct place *place, const char *name)
{
	for (size_t i = 0; i < place->n_fields; i++)
		if (strcmp(place->fields[i].source, name) == 0)
			return &place->fields[i];
	return NULL;
}

static void apply_replace(struct compiler *c, struct place *place)
{
	const char *name;
	json_t *map;

	json_object_foreach (place->node->transform.replace, name, map) {
		struct field *field = find_source(place, name);

		if (field && json_object_size(map))
			field->replace = map;
		else if (!field)
			warn_absent(c, place, "replace", name);
	}
}

/* A field of that name was to have another one. */
static bool rename_is_flawed(const struct place *place, const char *name)
{
	_cleanup_free_ char *key = jsonx_path("transform.rename", name);

	return schema_node_is_invalid(place->node, key);
}

static void apply_rename(struct compiler *c, struct place *place)
{
	const char *name;
	json_t *to;

	json_object_foreach (place->node->transform.rename, name, to) {
		struct field *field = find_source(place, name);

		if (field) {
			free(field->name);
			field->name = xstrdup(json_string_value(to));
		} else {
			warn_absent(c, place, "rename", name);
		}
	}
	for (size_t i = 0; i < place->n_fields; i++) {
		const struct field *field = &place->fields[i], *other = find_field(place, field->name);

		if (other != field && !rename_is_flawed(place, field->name))
			say_twice(c, place, is_of_the_table(place, field) ? field : other);
	}
}

static void add_concat(struct place *place, const struct schema_concat *concat)
{
	struct field field = {.kind = FIELD_CONCAT,
			      .name = xstrdup(concat->destination),
			      .source = xstrdup(concat->destination),
			      .delimiter = concat->delimiter ? concat->delimiter : ""};
	struct field *overwritten;

	field.parts = xcalloc(concat->columns.n, sizeof(*field.parts));
	for (size_t i = 0; i < concat->columns.n; i++) {
		const struct field *found = find_field(place, concat->columns.items[i]);

		field.parts[field.n_parts++] = found ? (struct part){.field = (size_t)(found - place->fields)}
						     : (struct part){.literal = concat->columns.items[i]};
	}
	overwritten = find_field(place, concat->destination);
	if (overwritten)
		overwritten->hidden = true;
	place->fields = xreallocarray(place->fields, place->n_fields + 1, sizeof(*place->fields));
	place->fields[place->n_fields++] = field;
}

static void apply_transform(struct compiler *c, struct place *place)
{
	const struct schema_transform *t = &place->node->transform;

	apply_replace(c, place);
	if (place->scalar) {
		if (t->rename || t->n_concats || t->n_moves)
			compiler_warn(c, place->node->path,
				      "transform: a scalar is a value without fields: only replace has an effect");
		return;
	}
	apply_rename(c, place);
	for (size_t i = 0; i < t->n_concats; i++)
		add_concat(place, &t->concats[i]);
}

void fields_resolve(struct compiler *c, struct place *place)
{
	add_columns(c, place);
	add_expressions(c, place);
	check_where(c, place);
	resolve_order(c, place);
	for (size_t i = 0; i < place->n_children; i++)
		if (place->children[i]->node->label && !schema_node_is_invalid(place->children[i]->node, "label"))
			add_field(c, place, (struct field){.kind = FIELD_CHILD, .child = place->children[i]},
				  place->children[i]->node->label);
	if (place->scalar && place->n_fields == 0 && !place->node->columns.n && !place->node->n_expressions &&
	    !fields_unsure(place))
		compiler_fail(c, "InvalidSchema", place->node->path, "a scalar node needs a column");
	apply_transform(c, place);
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

static const struct carry *add_carry(struct tree *tree, const struct place *place, const struct place *target,
				     const struct field *field)
{
	struct carry *carry = xcalloc(1, sizeof(*carry));

	*carry = (struct carry){
		.number = tree->n_carries, .place = place, .target = target, .field = (size_t)(field - place->fields)};
	tree->carries = xreallocarray(tree->carries, tree->n_carries + 1, sizeof(struct carry *));
	tree->carries[tree->n_carries++] = carry;
	return carry;
}

static void move_field(struct compiler *c, struct tree *tree, struct place *place, const struct schema_move *move)
{
	bool to_root;
	const char *path = schema_move_path(move, &to_root);
	struct place *target = to_root ? tree->places[0] : place;
	struct field *found = find_field(place, move->column);
	struct field moved = {.kind = FIELD_CARRIED};

	if (!found) {
		warn_absent(c, place, "move", move->column);
		return;
	}
	found->hidden = found->moved = true;
	moved.carry = add_carry(tree, place, target, found);
	if (!put_field(&target->fields, &target->n_fields, moved, path) &&
	    !schema_node_is_invalid(place->node, move->path + strlen(place->node->path) + 1))
		compiler_fail(c, "InvalidSchema", move->path,
			      "\"%s\" is no path to a new field: another field is there, or in the way",
			      move->destination);
}

void fields_move(struct compiler *c, struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct schema_transform *t = &tree->places[i]->node->transform;

		for (size_t m = 0; !tree->places[i]->scalar && m < t->n_moves; m++)
			move_field(c, tree, tree->places[i], &t->moves[m]);
	}
}

/* --- names that no engine takes --- */

static bool is_object(const struct field *field)
{
	return field->kind == FIELD_OBJECT || field->kind == FIELD_META ||
	       (field->kind == FIELD_CHILD && !field->child->scalar);
}

/* Engines read "a.b" as the field b of an object a. A field in the way of that: one that is no object. */
static const struct field *in_the_way(const struct place *place, const char *name)
{
	for (size_t i = 0; i < place->n_fields; i++) {
		const struct field *field = &place->fields[i];
		size_t len = strlen(field->name);

		if (!field->hidden && !is_object(field) && strncmp(name, field->name, len) == 0 && name[len] == '.')
			return field;
	}
	return NULL;
}

static void check_name(struct compiler *c, const struct place *place, const struct field *field)
{
	const char *name = field->name;
	_cleanup_free_ char *problem =
		is_of_the_table(place, field) || field->path.n ? schema_field_problem(name, !place->parent) : NULL;
	const struct field *other = in_the_way(place, name);

	if (problem)
		compiler_fail(c, "InvalidSchema", place->node->path, "%s; give it another name by transform.rename",
			      problem);
	else if (other)
		compiler_fail(c, "InvalidSchema", place->node->path,
			      "`%s` and `%s` cannot both be fields: search engines take the latter for a field within "
			      "the former; give one another name by transform.rename",
			      other->name, name);
}

void fields_check_names(struct compiler *c, const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct place *place = tree->places[i];

		for (size_t j = 0; j < place->n_fields && !place->scalar; j++)
			if (!place->fields[j].hidden)
				check_name(c, place, &place->fields[j]);
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
