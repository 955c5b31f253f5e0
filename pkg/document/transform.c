/* Applies `transform` to a node's fields.
 *
 * As in pgsync: replace, rename, concat, in this order, each seeing what the ones before it left; then, when the whole
 * tree is resolved, move. Names in `replace` are those before rename, names in `concat` and `move` those after it. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

/* As in pgsync, a name in `transform` that no field has is ignored; but the user should know. */
static void warn_absent(const struct plan_node *node, const char *what, const char *name, struct diagnostics *d)
{
	_cleanup_free_ char *near = field_hint(node, name);
	_cleanup_free_ char *message = xasprintf("transform.%s: this node has no field `%s`%s", what, name, near);

	/* A field that is listed but not found has its own finding. */
	if (!fields_are_unsure(node) && !schema_node_lists(node->decl, name))
		diagnostics_warn(d, REASON_INVALID_SCHEMA, node->decl->path, "%s", message);
}

static struct field *find_source(const struct plan_node *node, const char *name)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (strcmp(node->fields[i].source, name) == 0)
			return &node->fields[i];
	return NULL;
}

static void apply_replace(struct plan_node *node, struct diagnostics *d)
{
	const char *name;
	json_t *map;

	json_object_foreach (node->decl->transform.replace, name, map) {
		struct field *field = find_source(node, name);

		if (field && json_object_size(map))
			field->replace = map;
		else if (!field)
			warn_absent(node, "replace", name, d);
	}
}

/* A rename of the field of that name is invalid, so the name it would have is not known. */
static bool rename_is_invalid(const struct plan_node *node, const char *name)
{
	_cleanup_free_ char *key = jsonx_path("transform.rename", name);

	return schema_key_is_invalid(node->decl, key);
}

static void apply_rename(struct plan_node *node, struct diagnostics *d)
{
	const char *name;
	json_t *to;

	json_object_foreach (node->decl->transform.rename, name, to) {
		struct field *field = find_source(node, name);

		if (field) {
			free(field->name);
			field->name = xstrdup(json_string_value(to));
		} else {
			warn_absent(node, "rename", name, d);
		}
	}
	for (size_t i = 0; i < node->n_fields; i++) {
		const struct field *field = &node->fields[i], *other = field_find(node, field->name);

		if (other != field && !rename_is_invalid(node, field->name))
			field_report_duplicate(node, field_comes_from_table(node, field) ? field : other, d);
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
		const struct field *found = field_find(node, concat->columns.items[i]);

		field.parts[field.n_parts++] = found ? (struct part){.field = (size_t)(found - node->fields)}
						     : (struct part){.literal = concat->columns.items[i]};
	}
	overwritten = field_find(node, concat->destination);
	if (overwritten)
		overwritten->hidden = true;
	node->fields = xreallocarray(node->fields, node->n_fields + 1, sizeof(*node->fields));
	node->fields[node->n_fields++] = field;
}

void transform_apply(struct plan_node *node, struct diagnostics *d)
{
	const struct schema_transform *t = &node->decl->transform;

	apply_replace(node, d);
	if (node->scalar) {
		if (t->rename || t->n_concats || t->n_moves)
			diagnostics_warn(d, REASON_INVALID_SCHEMA, node->decl->path,
					 "transform: a scalar has no fields, so only replace has an effect");
		return;
	}
	apply_rename(node, d);
	for (size_t i = 0; i < t->n_concats; i++)
		add_concat(node, &t->concats[i]);
}

/* --- move --- */

/* Finds the object of that name among the fields, or adds it. NULL: another field has the name. */
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

static void move_field(struct tree *tree, struct plan_node *node, const struct schema_move *move, struct diagnostics *d)
{
	bool to_root;
	const char *path = schema_move_path(move, &to_root);
	struct plan_node *target = to_root ? tree->nodes[0] : node;
	struct field *found = field_find(node, move->column);
	struct field moved = {.kind = FIELD_MOVED};

	if (!found) {
		warn_absent(node, "move", move->column, d);
		return;
	}
	found->hidden = found->moved = true;
	moved.moved_field = add_moved_field(tree, node, target, found);
	if (!put_field(&target->fields, &target->n_fields, moved, path) &&
	    !schema_key_is_invalid(node->decl, move->path + strlen(node->decl->path) + 1))
		diagnostics_fail(
			d, REASON_INVALID_SCHEMA, move->path,
			"\"%s\" cannot be the path of a new field: another field has that path, or is in its way",
			move->destination);
}

void transform_move(struct tree *tree, struct diagnostics *d)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct schema_transform *t = &tree->nodes[i]->decl->transform;

		for (size_t m = 0; !tree->nodes[i]->scalar && m < t->n_moves; m++)
			move_field(tree, tree->nodes[i], &t->moves[m], d);
	}
}
