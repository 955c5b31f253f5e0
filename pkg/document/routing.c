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

static int field_column(const struct place *root, const char *field)
{
	for (size_t i = 0; i < root->n_columns; i++)
		if (strcmp(root->table->columns[root->columns[i]].name, field) == 0)
			return root->columns[i];
	return -1;
}

bool routing_resolve(const struct schema_document *document, const struct place *root, int *ret, struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.routing", document->path);
	const struct catalog_column *column;

	*ret = -1;
	if (!document->routing || !root->table)
		return true;
	*ret = field_column(root, document->routing);
	if (*ret < 0) {
		findings_add(f, FINDING_ERROR, "InvalidSchema", path,
			     "\"%s\" is not one of the root's columns in the document", document->routing);
		return false;
	}
	column = &root->table->columns[*ret];
	if (column->generated)
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
