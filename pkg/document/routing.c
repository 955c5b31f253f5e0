/* The column of the root that documents are routed by. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

/* Types whose output, which the WAL and the query contain, is also the text of their JSON value: clients that know the
 * document route their requests by that. For a bool it is different, but can be derived. */
static bool is_routable(const struct catalog_column *column)
{
	static const char *const types[] = {"int2",   "int4",    "int8", "oid",  "float4",
					    "float8", "numeric", "bool", "text", "varchar",
					    "bpchar", "citext",  "name", "uuid", "date"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(column->base_type, types[i]) == 0)
			return true;
	return column->category == 'E';
}

/* What makes the field's value differ from the column's, which is all that a changed row contains. NULL: nothing does.
 */
static const char *made_by(const struct schema_node *node, const struct field *field, const char *name)
{
	const struct schema_transform *t = &node->transform;

	if (field && field->kind == FIELD_CONCAT)
		return "concat";
	if (field && field->kind == FIELD_EXPRESSION)
		return "expressions";
	if (field && field->path.n)
		return "a JSON path";
	for (size_t i = 0; i < t->n_moves; i++)
		if (strcmp(t->moves[i].column, name) == 0 || strcmp(t->moves[i].destination, name) == 0)
			return "move";
	return NULL;
}

/* Looks for the field of that name, even if other fields use its column too. */
void routing_describe(const struct tree *tree, struct document_plan *plan)
{
	const struct plan_node *root = tree->nodes[0];
	const struct field *field = NULL;

	plan->routing.given = tree->routing >= 0;
	if (plan->routing.given)
		field = field_find(root, tree->document->routing);
	if (!field)
		return;
	plan->routing.is_bool = strcmp(field->type->base_type, "bool") == 0;
	if (field->type->category != 'N' && !plan->routing.is_bool)
		plan->routing.replace = field->replace;
}

/* As SQL's replace(): every occurrence, from the left, but none within a replacement. */
static void replace_all(struct strbuf *text, const char *search, const char *with)
{
	struct strbuf out;
	const char *s = text->data;
	const char *found;

	strbuf_init(&out, text->max);
	while ((found = strstr(s, search))) {
		strbuf_add(&out, s, (size_t)(found - s));
		strbuf_adds(&out, with);
		s = found + strlen(search);
	}
	strbuf_adds(&out, s);
	strbuf_release(text);
	*text = out;
}

void document_routing(struct strbuf *sb, const struct document_plan *plan, const char *value, size_t len)
{
	struct strbuf text;
	const char *search;
	json_t *with;

	if (plan->routing.is_bool && len) {
		strbuf_adds(sb, *value == 't' ? "true" : "false");
		return;
	}
	strbuf_init(&text, sb->max);
	strbuf_add(&text, value, len);
	json_object_foreach ((json_t *)plan->routing.replace, search, with)
		replace_all(&text, search, json_string_value(with));
	strbuf_add(sb, text.data, text.len);
	strbuf_release(&text);
}

int routing_resolve(const struct schema_document *document, const struct plan_node *root, struct diagnostics *d)
{
	_cleanup_free_ char *path = xasprintf("%s.routing", document->path);
	const char *name = document->routing;
	const struct field *field = name && root->table ? field_find(root, name) : NULL;
	const struct catalog_column *column = field && field->kind == FIELD_COLUMN ? field->type : NULL;
	_cleanup_free_ char *near = NULL;
	const char *transform;

	if (!name || document->routing_invalid || !root->table || (!field && fields_are_unsure(root)))
		return column ? field->column : -1;
	transform = made_by(root->decl, field, name);
	near = field_hint(root, name);
	if (transform)
		diagnostics_fail(d, REASON_NOT_SUPPORTED, path,
				 "field \"%s\" is the result of `%s`; route by an unchanged column value (renaming is "
				 "fine), so that a changed row shows where its old document is",
				 name, transform);
	else if (!column)
		diagnostics_fail(d, REASON_INVALID_SCHEMA, path,
				 "\"%s\" is not one of the root's columns in the document%s", name, near);
	else if (column->generated)
		diagnostics_fail(
			d, REASON_NOT_SUPPORTED, path,
			"column `%s` is generated: its value is not in the WAL, so a deletion could not name the shard",
			column->name);
	else if (!is_routable(column))
		diagnostics_fail(
			d, REASON_NOT_SUPPORTED, path,
			"column `%s` has type %s; documents can be routed by numbers, text, uuid, date, boolean "
			"and enums",
			column->name, column->type);
	return column ? field->column : -1;
}
