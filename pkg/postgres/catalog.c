/* Answers from a loaded catalog; no I/O. */
#include "postgres/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/ints.h"
#include "base/parse.h"
#include "postgres/catalog_int.h"

static void release_part(struct catalog_part *part)
{
	free(part->schema);
	free(part->name);
	free(part->identity_index);
	free(part->identity);
}

static void release_table(struct catalog_table *t)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		free(t->columns[i].name);
		free(t->columns[i].type);
		free(t->columns[i].base_type);
		free(t->columns[i].collation);
		free(t->columns[i].equality_schema);
	}
	for (size_t i = 0; i < t->n_indexes; i++) {
		free(t->indexes[i].name);
		free(t->indexes[i].columns);
	}
	for (size_t i = 0; i < t->n_foreign_keys; i++) {
		free(t->foreign_keys[i].name);
		free(t->foreign_keys[i].columns);
		free(t->foreign_keys[i].to_columns);
	}
	free(t->columns);
	free(t->indexes);
	free(t->foreign_keys);
	free(t->schema);
	free(t->name);
	free(t->identity_index);
	for (size_t i = 0; i < t->n_reads; i++)
		free(t->reads[i].name);
	free(t->reads);
	for (size_t i = 0; i < t->n_parts; i++)
		release_part(&t->parts[i]);
	free(t->parts);
	free(t->definition);
}

static void release_expression(struct catalog_expression *e)
{
	free(e->sql);
	free(e->problem);
	free(e->type.name);
	free(e->type.type);
	free(e->type.base_type);
	free(e->columns);
	free(e->objects);
	free(e->qualified);
}

void catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	for (size_t i = 0; i < catalog->n; i++)
		release_table(&catalog->tables[i]);
	for (size_t i = 0; i < catalog->n_expressions; i++)
		release_expression(&catalog->expressions[i]);
	for (size_t i = 0; i < catalog->n_dependencies; i++)
		free(catalog->dependencies[i].value);
	free(catalog->tables);
	free(catalog->expressions);
	free(catalog->dependencies);
	free(catalog->watched);
	free(catalog->versions);
	free(catalog);
}

bool catalog_positions(const char *text, int **ret, size_t *ret_n)
{
	_cleanup_free_ int *positions = NULL;
	size_t n = 0, alloc = 0;

	while (text && *text) {
		size_t len = strcspn(text, " ");
		uint64_t value;

		if (!parse_u64(text, len, &value) || value >= INT16_MAX)
			return false;
		ALLOC_GROW(positions, n + 1, alloc);
		positions[n++] = (int)value;
		text += len;
		text += strspn(text, " ");
	}
	*ret = TAKE_PTR(positions);
	*ret_n = n;
	return true;
}

const struct catalog_table *catalog_find(const struct catalog *catalog, const char *schema, const char *table)
{
	for (size_t i = 0; i < catalog->n; i++)
		if (strcmp(catalog->tables[i].name, table) == 0 && strcmp(catalog->tables[i].schema, schema) == 0)
			return &catalog->tables[i];
	return NULL;
}

const struct catalog_table *catalog_find_oid(const struct catalog *catalog, uint32_t oid)
{
	for (size_t i = 0; i < catalog->n; i++)
		if (catalog->tables[i].oid == oid)
			return &catalog->tables[i];
	return NULL;
}

bool catalog_same_object(const struct catalog_object *a, const struct catalog_object *b)
{
	return a->class == b->class && a->oid == b->oid && a->sub == b->sub;
}

static int compare(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_objects(const struct catalog_object *a, const struct catalog_object *b)
{
	int r = compare(a->class, b->class);

	r = r ? r : compare(a->oid, b->oid);
	return r ? r : (a->sub > b->sub) - (a->sub < b->sub);
}

static int compare_from(const void *a, const void *b)
{
	return compare_objects(&((const struct catalog_dependency *)a)->from,
			       &((const struct catalog_dependency *)b)->from);
}

void catalog_sort_dependencies(struct catalog *catalog)
{
	if (catalog->n_dependencies)
		qsort(catalog->dependencies, catalog->n_dependencies, sizeof(*catalog->dependencies), compare_from);
}

const struct catalog_dependency *catalog_dependencies_of(const struct catalog *catalog,
							 const struct catalog_object *from, size_t *ret_n)
{
	size_t first = 0, end = catalog->n_dependencies;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (compare_objects(&catalog->dependencies[middle].from, from) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	while (end < catalog->n_dependencies && catalog_same_object(&catalog->dependencies[end].from, from))
		end++;
	*ret_n = end - first;
	return catalog->dependencies ? &catalog->dependencies[first] : NULL;
}

int catalog_column(const struct catalog_table *table, const char *name)
{
	for (size_t i = 0; i < table->n_columns; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return (int)i;
	return -1;
}

bool catalog_is_view(const struct catalog_table *table)
{
	return table->kind == 'v' || table->kind == 'm';
}

const struct catalog_index *catalog_primary_key(const struct catalog_table *table)
{
	for (size_t i = 0; i < table->n_indexes; i++)
		if (table->indexes[i].primary)
			return &table->indexes[i];
	return NULL;
}

bool catalog_index_is_plain(const struct catalog_index *index)
{
	return index->valid && !index->partial && !index->expression && index->n > 0;
}

bool catalog_is_unique(const struct catalog_table *table, const int *columns, size_t n)
{
	for (size_t i = 0; i < table->n_indexes; i++) {
		const struct catalog_index *index = &table->indexes[i];
		size_t covered = 0;

		if (!index->unique || !catalog_index_is_plain(index))
			continue;
		while (covered < index->n && ints_contain(columns, n, index->columns[covered]))
			covered++;
		if (covered == index->n)
			return true;
	}
	return false;
}

/* Under the identities 'd' and 'i'. */
const struct catalog_index *catalog_identity(const struct catalog_table *table)
{
	const struct catalog_index *primary = catalog_primary_key(table);

	if (table->replica_identity == 'd')
		/* A deferrable primary key does not identify rows: the WAL then contains no old values. */
		return primary && primary->immediate && primary->valid ? primary : NULL;
	if (table->replica_identity != 'i' || !table->identity_index)
		return NULL;
	for (size_t i = 0; i < table->n_indexes; i++)
		if (strcmp(table->indexes[i].name, table->identity_index) == 0)
			return &table->indexes[i];
	return NULL;
}

bool catalog_identity_covers(const struct catalog_table *table, int column)
{
	const struct catalog_index *index;

	if (column < 0 || (size_t)column >= table->n_columns)
		return false;
	/* pgoutput does not publish generated columns. */
	if (table->columns[column].generated)
		return false;
	if (table->kind == 'p') {
		for (size_t i = 0; i < table->n_parts; i++)
			if (catalog_part_is_leaf(&table->parts[i]) && !catalog_part_covers(&table->parts[i], column))
				return false;
		return true;
	}
	if (table->replica_identity == 'f')
		return true;
	index = catalog_identity(table);
	return index && ints_contain(index->columns, index->n, column);
}

bool catalog_identity_exists(const struct catalog_table *table)
{
	if (table->kind != 'p')
		return table->replica_identity == 'f' || catalog_identity(table);
	for (size_t i = 0; i < table->n_parts; i++)
		if (!catalog_part_identifies(&table->parts[i]))
			return false;
	return true;
}

bool catalog_identity_covers_all(const struct catalog_table *table, const int *columns, size_t n)
{
	bool covered = catalog_identity_exists(table);

	for (size_t i = 0; i < n; i++)
		covered = covered && catalog_identity_covers(table, columns[i]);
	return covered;
}

static bool may_identify(const struct catalog_table *table, const struct catalog_index *index)
{
	if (!index->unique || !index->immediate || !catalog_index_is_plain(index))
		return false;
	for (size_t i = 0; i < index->n; i++) {
		const struct catalog_column *column = &table->columns[index->columns[i]];

		if (!column->not_null || column->generated)
			return false;
	}
	return true;
}

const struct catalog_index *catalog_identity_index(const struct catalog_table *table, const int *columns, size_t n)
{
	const struct catalog_index *best = NULL;

	for (size_t i = 0; i < table->n_indexes; i++) {
		const struct catalog_index *index = &table->indexes[i];
		size_t covered = 0;

		if (!may_identify(table, index))
			continue;
		while (covered < n && ints_contain(index->columns, index->n, columns[covered]))
			covered++;
		/* Fewer columns need less WAL. */
		if (covered == n && (!best || index->n < best->n))
			best = index;
	}
	return best;
}

const struct catalog_expression *catalog_expression(const struct catalog *catalog, uint32_t relation, const char *sql)
{
	for (size_t i = 0; i < catalog->n_expressions; i++)
		if (catalog->expressions[i].relation == relation && !strcmp(catalog->expressions[i].sql, sql))
			return &catalog->expressions[i];
	return NULL;
}
