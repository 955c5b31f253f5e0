/* A query that is being written, and the parts that sql.c and meta.c build it from. Private to this package.
 *
 * A node's table is t<number>, its through table j<number>, its named rows r<number>, its json n<number>. */
#ifndef PGSYNC_DOCUMENT_QUERY_INT_H
#define PGSYNC_DOCUMENT_QUERY_INT_H

#include "document/document_int.h"

struct query {
	const struct tree *tree;
	const struct plan_node *root;
	bool by_range;
	size_t meta_parts;
	size_t leaf_at; /* where to insert the name of a partitioned root's leaf; 0: nowhere */
	struct strbuf sb;
};

/* --- query.c --- */
/* Appends t3."name", or j3."name" (kind 'j') of the through table of node 3. */
void query_column(struct query *q, char kind, const struct plan_node *node, const struct catalog_table *table,
		  int column);
/* Appends a column of the link to the parent's row, as the node's own query sees it. */
void query_link(struct query *q, const struct plan_node *node, size_t i, bool from_set);
/* Appends the condition for the root's rows: of the keys, or of the range. */
void query_root_condition(struct query *q);
/* Appends the condition for the rows of a node that are linked to the rows of the level above. */
void query_link_condition(struct query *q, const struct plan_node *node);
/* Appends the table's name, but for that of a leaf: see leaf_at. */
void query_table_name(struct query *q, const struct plan_node *node);
/* Appends the node's table as t<i>. The SQL in the schema (`where`, expressions) goes into a subquery, where the
 * table's columns have no prefix and nothing else is visible; the planner pulls it up. */
void query_table(struct query *q, const struct plan_node *node);
/* Appends the node's table, joined to its through table. */
void query_source(struct query *q, const struct plan_node *node);
/* Appends the same without the node's own condition and expressions, and the condition for its rows. */
void query_linked_rows(struct query *q, const struct plan_node *node);
/* Appends a column of the root as text. */
void query_root_text(struct query *q, int column);
/* Appends the columns of the root's key as text. */
void query_root_keys(struct query *q);

/* --- meta.c --- */
/* Appends the set m: `_meta` by root key. */
void meta_add(struct query *q);
/* Appends the join of the root to m. */
void meta_add_join(struct query *q);

#endif
