/* Which column of the root documents are routed by. */
#include <string.h>

#include "document/document_int.h"

/* Their output, which the WAL and the query give, is also the text of their JSON value: what a reader who knows the
 * document routes a request by. A bool's is not, but can be told. */
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

/* The name that the column's value has in the document. */
static const char *field_name(const struct node *node, const char *column)
{
	const char *renamed = json_string_value(json_object_get(node->transform.rename, column));

	return renamed ? renamed : column;
}

static int field_column(const struct place *root, const char *field)
{
	for (size_t i = 0; i < root->n_columns; i++)
		if (strcmp(field_name(root->node, root->table->columns[root->columns[i]].name), field) == 0)
			return root->columns[i];
	return -1;
}

/* What makes the field's value another one than a column's: a changed row says only the latter. NULL: nothing. */
static const char *made_by(const struct node *node, const char *field, const char *column)
{
	const struct transform *t = &node->transform;

	if (column && json_object_get(t->replace, column))
		return "replace";
	for (size_t i = 0; i < t->n_concats; i++)
		if (strcmp(t->concats[i].destination, field) == 0)
			return "concat";
	for (size_t i = 0; i < t->n_moves; i++)
		if (strcmp(t->moves[i].column, field) == 0 || strcmp(t->moves[i].destination, field) == 0)
			return "move";
	return NULL;
}

bool routing_resolve(const struct schema_document *document, const struct place *root, int *ret, struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.routing", document->path);
	const char *field = document->routing;
	const struct catalog_column *column = NULL;
	const char *transform;

	*ret = -1;
	if (!field || !root->table)
		return true;
	*ret = field_column(root, field);
	if (*ret >= 0)
		column = &root->table->columns[*ret];
	transform = made_by(root->node, field, column ? column->name : NULL);
	if (transform)
		findings_add(f, FINDING_ERROR, "NotSupported", path,
			     "field \"%s\" is made by `%s`; route by a column's value as it is (it may be renamed), so "
			     "that a changed row says where its old document is",
			     field, transform);
	else if (!column)
		findings_add(f, FINDING_ERROR, "InvalidSchema", path,
			     "\"%s\" is not one of the root's columns in the document", field);
	else if (column->generated)
		findings_add(f, FINDING_ERROR, "NotSupported", path,
			     "column `%s` is generated: its value is not in the WAL, and a deletion could not name the "
			     "shard",
			     column->name);
	else if (!is_routable(column))
		findings_add(f, FINDING_ERROR, "NotSupported", path,
			     "column `%s` is of type %s; documents can be routed by numbers, text, uuid, date, boolean "
			     "and enums",
			     column->name, column->type);
	else
		return true;
	return false;
}
