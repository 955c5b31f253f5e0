/* Types whose text is made of names in the catalog, such as regclass: a document with such a value becomes stale when a
 * table is renamed, and the WAL contains no trace of that. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum { FIRST_NORMAL_OID = 16384 }; /* lower OIDs are built-in types */

static bool is_naming_type(const struct catalog_column *column)
{
	static const char *const types[] = {"regclass",     "regcollation", "regconfig",   "regdictionary",
					    "regnamespace", "regoper",      "regoperator", "regproc",
					    "regprocedure", "regrole",      "regtype",     "aclitem"};
	const char *base = column->base_type + (column->category == 'A' && column->base_type[0] == '_' ? 1 : 0);

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(base, types[i]) == 0)
			return true;
	return false;
}

/* Within a composite type, the catalog lists no other built-in types. */
static bool contains_naming_type(const struct catalog *catalog, struct catalog_object from)
{
	size_t n;
	const struct catalog_dependency *d = catalog_dependencies_of(catalog, &from, &n);

	for (size_t i = 0; i < n; i++)
		if (d[i].object.class == CATALOG_TYPE && d[i].object.oid < FIRST_NORMAL_OID)
			return true;
	return false;
}

static bool names_objects(const struct catalog *catalog, const struct catalog_table *table, int position)
{
	const struct catalog_column *column = &table->columns[position];

	return is_naming_type(column) ||
	       contains_naming_type(catalog, (struct catalog_object){CATALOG_RELATION, table->oid, column->attnum});
}

static void refuse_type(const char *path, const char *what, const struct catalog_column *type, struct diagnostics *d)
{
	diagnostics_fail(d, REASON_NOT_SUPPORTED, path,
			 "%s has type %s, whose text is the name of an object in the database: it changes when that "
			 "object is renamed, and no change of the row would be seen; leave it out, or use its oid in "
			 "`expressions` (`column::oid`)",
			 what, type->type);
}

static void check_column(const struct tree *tree, const char *path, const struct catalog_table *table, int position,
			 struct diagnostics *d)
{
	const struct catalog_column *column = &table->columns[position];
	_cleanup_free_ char *what = xasprintf("column `%s` of %s.%s", column->name, table->schema, table->name);

	if (names_objects(tree->catalog, table, position))
		refuse_type(path, what, column, d);
}

/* Where the schema names the field, or the node. Caller frees. */
static char *field_path(const struct plan_node *node, const struct field *field)
{
	for (size_t i = 0; i < node->decl->columns.n; i++)
		if (strcmp(node->decl->columns.items[i], field->source) == 0)
			return xasprintf("%s.columns[%zu]", node->decl->path, i);
	return xstrdup(node->decl->path);
}

static void check_field(const struct tree *tree, const struct plan_node *node, const struct field *field,
			struct diagnostics *d)
{
	_cleanup_free_ char *path = NULL;

	if (field->kind == FIELD_COLUMN && names_objects(tree->catalog, node->table, field->column)) {
		path = field_path(node, field);
		check_column(tree, path, node->table, field->column, d);
	} else if (field->kind == FIELD_EXPRESSION &&
		   (is_naming_type(field->type) ||
		    contains_naming_type(tree->catalog,
					 (struct catalog_object){CATALOG_TYPE, field->type->type_oid, 0}))) {
		path = xasprintf("%s.expressions.%s", node->decl->path, field->source);
		refuse_type(path, "its value", field->type, d);
	}
}

void naming_check(const struct tree *tree, const struct plan_node *node, struct diagnostics *d)
{
	_cleanup_free_ char *relationship = xasprintf("%s.relationship", node->decl->path);

	for (size_t i = 0; i < node->n_fields; i++)
		check_field(tree, node, &node->fields[i], d);
	for (size_t i = 0; !node->parent && node->table && i < node->n_key; i++)
		check_column(tree, node->decl->path, node->table, node->key[i], d);
	for (size_t j = 0; j < node->n_joins; j++)
		for (size_t i = 0; i < node->joins[j].n; i++)
			check_column(tree, relationship, node->joins[j].lower, node->joins[j].lower_columns[i], d);
}
