/* Shared between the files of this package: the foreign keys of a database as edges between its tables. */
#ifndef PGSYNC_PROPOSE_PROPOSE_INT_H
#define PGSYNC_PROPOSE_PROPOSE_INT_H

#include <stdbool.h>

#include "propose/propose.h"

struct propose_edge {
	const struct catalog_table *from, *to;
	const struct catalog_foreign_key *key;
};

struct propose_edges {
	struct propose_edge **items; /* borrowed */
	size_t n, alloc;
};

struct propose_graph {
	const struct catalog *catalog; /* borrowed */
	struct propose_edge *edges;
	size_t n;
	struct propose_edges *out, *in; /* of each table, by its position in the catalog */
};

/* Without keys that repeat another one, and without those of partitions. */
void propose_graph_init(struct propose_graph *graph, const struct catalog *catalog);
void propose_graph_release(struct propose_graph *graph);
const struct propose_edges *propose_out(const struct propose_graph *graph, const struct catalog_table *table);
const struct propose_edges *propose_in(const struct propose_graph *graph, const struct catalog_table *table);
/* How many foreign keys there are between two tables, in both directions. */
size_t propose_edges_between(const struct propose_graph *graph, const struct catalog_table *a,
			     const struct catalog_table *b);
/* For a table that only connects two others: the edge to the one that is not `from`; otherwise NULL. */
const struct propose_edge *propose_through(const struct propose_graph *graph, const struct propose_edge *from);

/* The columns that make its rows unique: its primary key, or those of another index; NULL if there is none. */
const struct catalog_index *propose_key(const struct catalog_table *table);

/* Why a document should not contain this column; NULL if it should. */
const char *propose_column_obstacle(const struct catalog_column *column);
/* What to know about its mapping, or NULL. */
const char *propose_column_hint(const struct catalog_column *column);

/* Builds one document over the graph. */
void propose_tree(const struct propose_graph *graph, const struct catalog_table *root, struct propose_document *ret);

#endif
