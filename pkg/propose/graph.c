/* The foreign keys of a database as edges between its tables, and what unique indexes say about them. */
#include <stdlib.h>
#include <string.h>

#include "base/ints.h"
#include "propose/propose_int.h"

static bool is_same_key(const struct catalog_foreign_key *a, const struct catalog_foreign_key *b)
{
	return a->to == b->to && a->n == b->n && memcmp(a->columns, b->columns, a->n * sizeof(*a->columns)) == 0;
}

static bool repeats(const struct catalog_table *table, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_same_key(&table->foreign_keys[k], &table->foreign_keys[i]))
			return true;
	return false;
}

static void append_edge(struct propose_edges *to, struct propose_edge *edge)
{
	ALLOC_GROW(to->items, to->n + 1, to->alloc);
	to->items[to->n++] = edge;
}

void propose_graph_init(struct propose_graph *graph, const struct catalog *catalog)
{
	size_t most = 0;

	for (size_t i = 0; i < catalog->n; i++)
		most += catalog->tables[i].n_foreign_keys;
	*graph = (struct propose_graph){.catalog = catalog,
					.edges = xcalloc(most + 1, sizeof(*graph->edges)),
					.out = xcalloc(catalog->n + 1, sizeof(*graph->out)),
					.in = xcalloc(catalog->n + 1, sizeof(*graph->in))};
	for (size_t i = 0; i < catalog->n; i++) {
		const struct catalog_table *from = &catalog->tables[i];

		for (size_t k = 0; k < from->n_foreign_keys && !from->partition_of; k++) {
			const struct catalog_table *to = catalog_find_oid(catalog, from->foreign_keys[k].to);
			struct propose_edge *edge = &graph->edges[graph->n];

			if (!to || to->partition_of || !from->foreign_keys[k].n || repeats(from, k))
				continue;
			*edge = (struct propose_edge){from, to, &from->foreign_keys[k]};
			graph->n++;
			append_edge(&graph->out[i], edge);
			append_edge(&graph->in[to - catalog->tables], edge);
		}
	}
}

void propose_graph_release(struct propose_graph *graph)
{
	for (size_t i = 0; i < graph->catalog->n; i++) {
		free(graph->out[i].items);
		free(graph->in[i].items);
	}
	free(graph->out);
	free(graph->in);
	free(graph->edges);
}

const struct propose_edges *propose_out(const struct propose_graph *graph, const struct catalog_table *table)
{
	return &graph->out[table - graph->catalog->tables];
}

const struct propose_edges *propose_in(const struct propose_graph *graph, const struct catalog_table *table)
{
	return &graph->in[table - graph->catalog->tables];
}

size_t propose_edges_between(const struct propose_graph *graph, const struct catalog_table *a,
			     const struct catalog_table *b)
{
	const struct propose_edges *out = propose_out(graph, a), *in = propose_in(graph, a);
	size_t n = 0;

	for (size_t i = 0; i < out->n; i++)
		n += out->items[i]->to == b;
	for (size_t i = 0; i < in->n && a != b; i++)
		n += in->items[i]->from == b;
	return n;
}

/* A column that tells rows apart and says nothing else. */
static bool is_surrogate(const struct catalog_table *table, int column)
{
	const struct catalog_index *primary = catalog_primary_key(table);

	return primary && primary->n == 1 && primary->columns[0] == column;
}

const struct propose_edge *propose_through(const struct propose_graph *graph, const struct propose_edge *from)
{
	const struct propose_edges *out = propose_out(graph, from->from);
	const struct propose_edge *other;

	if (out->n != 2 || propose_in(graph, from->from)->n)
		return NULL;
	other = out->items[out->items[0] == from];
	if (other->to == from->to || other->to == from->from || from->to == from->from)
		return NULL;
	for (size_t i = 0; i < from->from->n_columns; i++)
		if (!ints_contain(from->key->columns, from->key->n, (int)i) &&
		    !ints_contain(other->key->columns, other->key->n, (int)i) && !is_surrogate(from->from, (int)i))
			return NULL;
	return other;
}

const struct catalog_index *propose_key(const struct catalog_table *table)
{
	const struct catalog_index *primary = catalog_primary_key(table);

	if (primary)
		return primary;
	for (size_t i = 0; i < table->n_indexes; i++) {
		const struct catalog_index *index = &table->indexes[i];
		bool usable = index->unique && index->immediate && catalog_index_is_plain(index);

		for (size_t k = 0; k < index->n; k++)
			usable = usable && table->columns[index->columns[k]].not_null;
		if (usable)
			return index;
	}
	return NULL;
}
