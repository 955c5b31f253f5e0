/* Whether two snapshots of the catalog are equal. */
#include <string.h>

#include "postgres/catalog.h"

static bool same_string(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_column(const struct catalog_column *a, const struct catalog_column *b)
{
	return same_string(a->name, b->name) && a->type_oid == b->type_oid && a->typmod == b->typmod &&
	       a->not_null == b->not_null && a->attnum == b->attnum && a->altered == b->altered &&
	       a->collation_oid == b->collation_oid;
}

static bool same_key(const struct catalog_index *a, const struct catalog_index *b)
{
	if (!a || !b)
		return a == b;
	return a->n == b->n && !memcmp(a->columns, b->columns, a->n * sizeof(*a->columns));
}

static bool same_foreign_key(const struct catalog_foreign_key *a, const struct catalog_foreign_key *b)
{
	return a->to == b->to && a->n == b->n && !memcmp(a->columns, b->columns, a->n * sizeof(*a->columns)) &&
	       !memcmp(a->to_columns, b->to_columns, a->n * sizeof(*a->to_columns));
}

static bool same_foreign_keys(const struct catalog_table *a, const struct catalog_table *b)
{
	if (a->n_foreign_keys != b->n_foreign_keys)
		return false;
	for (size_t i = 0; i < a->n_foreign_keys; i++)
		if (!same_foreign_key(&a->foreign_keys[i], &b->foreign_keys[i]))
			return false;
	return true;
}

static bool same_part(const struct catalog_part *a, const struct catalog_part *b)
{
	return a->oid == b->oid && a->attachment == b->attachment && a->filenode == b->filenode &&
	       a->replica_identity == b->replica_identity && a->n_identity == b->n_identity &&
	       (!a->n_identity || !memcmp(a->identity, b->identity, a->n_identity * sizeof(*a->identity)));
}

static bool same_parts(const struct catalog_table *a, const struct catalog_table *b)
{
	if (a->n_parts != b->n_parts)
		return false;
	for (size_t i = 0; i < a->n_parts; i++)
		if (!same_part(&a->parts[i], &b->parts[i]))
			return false;
	return true;
}

static bool same_table(const struct catalog_table *a, const struct catalog_table *b)
{
	if (a->oid != b->oid || !same_string(a->schema, b->schema) || !same_string(a->name, b->name) ||
	    a->kind != b->kind || a->is_inherited != b->is_inherited || a->replica_identity != b->replica_identity ||
	    !same_string(a->identity_index, b->identity_index) || !same_string(a->definition, b->definition) ||
	    a->n_columns != b->n_columns || !same_key(catalog_primary_key(a), catalog_primary_key(b)) ||
	    !same_foreign_keys(a, b) || !same_parts(a, b))
		return false;
	for (size_t i = 0; i < a->n_columns; i++)
		if (!same_column(&a->columns[i], &b->columns[i]))
			return false;
	return true;
}

bool catalog_equal(const struct catalog *a, const struct catalog *b)
{
	if (a->n != b->n || !same_string(a->versions, b->versions))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct catalog_table *other = catalog_find(b, a->tables[i].schema, a->tables[i].name);

		if (!other || !same_table(&a->tables[i], other))
			return false;
	}
	return true;
}
