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
	_cleanup_free_ char *near = NULL;

	/* A field that is listed but not found has its own finding. */
	if (fields_are_unsure(node) || schema_node_lists(node->decl, name))
		return;
	near = diagnostics_may_hint(d) ? field_hint(node, name) : xstrdup("");
	diagnostics_warn(d, REASON_INVALID_SCHEMA, node->decl->path, "transform.%s: this node has no field `%s`%s",
			 what, name, near);
}

static void apply_replace(struct plan_node *node, struct diagnostics *d)
{
	const char *name;
	json_t *map;

	json_object_foreach (node->decl->transform.replace, name, map) {
		struct field *field = field_find_source(node, name);

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
		struct field *field = field_find_source(node, name);

		if (field) {
			free(field->name);
			field->name = xstrdup(json_string_value(to));
		} else {
			warn_absent(node, "rename", name, d);
		}
	}
	fields_index(node);
	for (size_t i = 0; i < node->n_fields; i++) {
		const struct field *field = &node->fields[i], *other = field_find(node, field->name);

		if (other != field && !rename_is_invalid(node, field->name))
			field_report_duplicate(node, field_comes_from_table(node, field) ? field : other, d);
	}
}

static void add_concat_field(struct plan_node *node, const struct schema_concat *concat)
{
	struct field field = {.kind = FIELD_CONCAT, .delimiter = concat->delimiter ? concat->delimiter : ""};
	struct field *overwritten;

	field.parts = xcalloc(concat->columns.n, sizeof(*field.parts));
	for (size_t i = 0; i < concat->columns.n; i++) {
		const struct field *found = field_find(node, concat->columns.items[i]);

		field.parts[field.n_parts++] = found ? (struct part){.field = (size_t)(found - node->fields)}
						     : (struct part){.literal = concat->columns.items[i]};
	}
	overwritten = field_find(node, concat->destination);
	if (overwritten)
		field_hide(node, overwritten, false);
	field_add(node, field, concat->destination);
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
		add_concat_field(node, &t->concats[i]);
}

/* --- move --- */

static struct field *find_within(const struct field *object, const char *name, size_t len)
{
	size_t at = object->by_name ? (size_t)map_get(object->by_name, name, len) : 0;

	return at ? &object->fields[at - 1] : NULL;
}

static void add_within(struct field *object, struct field field, const char *name)
{
	if (!object->by_name)
		object->by_name = map_new(NULL);
	field.name = xstrdup(name);
	field.source = xstrdup(name);
	ALLOC_GROW(object->fields, object->n_fields + 1, object->alloc_fields);
	object->fields[object->n_fields++] = field;
	map_puts(object->by_name, name, (void *)object->n_fields);
}

/* A field of the node, or of an object within it; in: the object, or NULL. */
static struct field *find_at(const struct plan_node *node, const struct field *in, const char *name, size_t len)
{
	return in ? find_within(in, name, len) : field_find_part(node, name, len);
}

static void add_at(struct plan_node *node, struct field *in, struct field field, const char *name)
{
	if (in)
		add_within(in, field, name);
	else
		field_add(node, field, name);
}

/* Finds the object of that name, or adds it. NULL: another field has the name. */
static struct field *open_object(struct plan_node *node, struct field *in, const char *name, size_t len)
{
	_cleanup_free_ char *own = xstrndup(name, len);
	struct field *found = find_at(node, in, name, len);

	if (!found) {
		add_at(node, in, (struct field){.kind = FIELD_OBJECT}, own);
		found = find_at(node, in, name, len);
	}
	return found->kind == FIELD_OBJECT ? found : NULL;
}

static bool put_field(struct plan_node *node, struct field field, const char *path)
{
	struct field *in = NULL;
	const char *dot;

	for (; (dot = strchr(path, '.')); path = dot + 1) {
		in = dot > path ? open_object(node, in, path, (size_t)(dot - path)) : NULL;
		if (!in)
			return false;
	}
	if (!*path || find_at(node, in, path, strlen(path)))
		return false;
	add_at(node, in, field, path);
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
	field_hide(node, found, true);
	moved.moved_field = add_moved_field(tree, node, target, found);
	if (!put_field(target, moved, path) &&
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
