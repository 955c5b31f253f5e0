/* Which tables and columns may be a part of a document, and which tables may be roots. */
#include "propose/propose.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "propose/propose_int.h"

void propose_release(struct propose_document *document)
{
	json_decref(document->nodes);
	json_decref(document->tables);
	json_decref(document->rows);
	json_decref(document->left_out);
	json_decref(document->hints);
	*document = (struct propose_document){0};
}

/* --- names */

char *propose_name(const struct catalog_table *table)
{
	return strcmp(table->schema, "public") == 0 ? xstrdup(table->name)
						    : xasprintf("%s.%s", table->schema, table->name);
}

const struct catalog_table *propose_find(const struct catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->n; i++) {
		_cleanup_free_ char *written = propose_name(&catalog->tables[i]);
		_cleanup_free_ char *full = xasprintf("%s.%s", catalog->tables[i].schema, catalog->tables[i].name);

		if (strcmp(written, name) == 0 || strcmp(full, name) == 0)
			return &catalog->tables[i];
	}
	return NULL;
}

/* --- tables */

char *propose_obstacle(const struct catalog_table *table)
{
	const char *what = NULL;

	if (table->kind != 'r' && table->kind != 'p')
		what = "it is not a table; name its `primary_key` and `base_tables` yourself";
	else if (table->partition_of)
		what = "it is a partition; use the partitioned table";
	else if (table->persistence != 'p')
		what = "it is unlogged or temporary, so its changes are not in the write-ahead log";
	else if (table->is_inherited)
		what = "other tables inherit from it, which is not supported";
	else if (!table->can_select)
		what = "the role may not read it";
	else if (table->row_security)
		what = "row level security hides rows of it from the role";
	else if (!propose_key(table))
		what = "it has neither a primary key nor a unique index on columns that are NOT NULL";
	return what ? xstrdup(what) : NULL;
}

/* --- columns */

static bool looks_secret(const char *name)
{
	static const char *const words[] = {"password", "passwd", "secret",     "token",
					    "api_key",  "apikey", "private_key"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

const char *propose_column_obstacle(const struct catalog_column *column)
{
	if (strcmp(column->base_type, "bytea") == 0)
		return "bytes, which cannot be searched";
	if (strncmp(column->base_type, "reg", 3) == 0 || strcmp(column->base_type, "aclitem") == 0)
		return "its text is a name that changes without any row";
	if (looks_secret(column->name))
		return "looks like a secret";
	return NULL;
}

const char *propose_column_hint(const struct catalog_column *column)
{
	static const char *const stored[] = {"json", "jsonb", "hstore"};

	if (strcmp(column->base_type, "numeric") == 0 && column->typmod < 0)
		return "numeric without a precision is searched as `double`, with about 15 digits";
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++)
		if (strcmp(column->base_type, stored[i]) == 0)
			return i == 2 ? "stored, not searchable"
				      : "stored, not searchable; to search it, add a column: COLUMN->>KEY";
	return column->category == 'C' ? "stored, not searchable" : NULL;
}

/* --- documents and roots */

void propose_document(const struct catalog *catalog, const struct catalog_table *root, struct propose_document *ret)
{
	struct propose_graph graph;

	propose_graph_init(&graph, catalog);
	propose_tree(&graph, root, ret);
	propose_graph_release(&graph);
}

static bool only_connects(const struct propose_graph *graph, const struct catalog_table *table)
{
	const struct propose_edges *out = propose_out(graph, table);

	return out->n == 2 && propose_through(graph, out->items[0]);
}

static int compare_roots(const void *a, const void *b)
{
	const struct propose_root *x = a, *y = b;
	size_t n = json_array_size(x->tables), m = json_array_size(y->tables);

	if (n != m)
		return n > m ? -1 : 1;
	if (x->table->row_estimate != y->table->row_estimate)
		return x->table->row_estimate > y->table->row_estimate ? -1 : 1;
	if (strcmp(x->table->name, y->table->name) != 0)
		return strcmp(x->table->name, y->table->name);
	return strcmp(x->table->schema, y->table->schema);
}

size_t propose_roots(const struct catalog *catalog, struct propose_root **ret)
{
	struct propose_root *roots = xcalloc(catalog->n + 1, sizeof(*roots));
	struct propose_graph graph;
	size_t n = 0;

	propose_graph_init(&graph, catalog);
	for (size_t i = 0; i < catalog->n; i++) {
		const struct catalog_table *table = &catalog->tables[i];
		_cleanup_free_ char *obstacle = propose_obstacle(table);
		struct propose_document document;

		if (obstacle || only_connects(&graph, table))
			continue;
		propose_tree(&graph, table, &document);
		roots[n++] = (struct propose_root){table, json_incref(document.tables)};
		propose_release(&document);
	}
	propose_graph_release(&graph);
	qsort(roots, n, sizeof(*roots), compare_roots);
	*ret = roots;
	return n;
}

void propose_roots_free(struct propose_root *roots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(roots[i].tables);
	free(roots);
}
