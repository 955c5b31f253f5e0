/* pgsync's `_meta`: for each table, the keys of the rows that the document is made of. One query for each node, down
 * from the roots; together they become one object for each root. */
#include <stdlib.h>
#include <string.h>

#include "document/query_int.h"
#include "postgres/pg.h"

static void add_keys(struct query *q)
{
	for (size_t i = 0; i < q->root->n_key; i++)
		strbuf_addf(&q->sb, "%s\"key.%zu\"", i ? ", " : "", i + 1);
}

/* How many rows of a node appear in the document for each row above it; 0: all. */
static int64_t shown_rows(const struct plan_node *node)
{
	bool first = node->parent && !node->many && !node->unique;

	return first ? 1 : node->decl->limit;
}

/* A column of the through table, in a query whose sources are those of add_joins. */
static void add_through(struct query *q, const struct plan_node *node, int column)
{
	if (!shown_rows(node)) {
		query_column(q, 'j', node, node->through, column);
		return;
	}
	strbuf_addf(&q->sb, "t%zu.", node->number);
	sql_free_name(&q->sb, node, "j", (size_t)column);
}

static void add_meta_links(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; i < node->joins[0].n; i++) {
		strbuf_adds(&q->sb, i ? " AND " : "");
		query_link(q, node, i, false);
		sql_join_equals(&q->sb, &node->joins[0], i);
		sql_own(&q->sb, node->parent, node->joins[0].upper_columns[i]);
		sql_collate(&q->sb, &node->joins[0], i, true);
	}
}

/* So that the same rows give the same bytes: if two links lead to one row, use the one with the smaller key. */
static void add_shown(struct query *q, const struct plan_node *node)
{
	const struct catalog_index *key = node->through ? catalog_primary_key(node->through) : NULL;

	strbuf_addf(&q->sb, " JOIN LATERAL (SELECT t%zu.*", node->number);
	for (size_t i = 0; key && i < key->n; i++) {
		strbuf_adds(&q->sb, ", ");
		query_column(q, 'j', node, node->through, key->columns[i]);
		strbuf_adds(&q->sb, " AS ");
		sql_free_name(&q->sb, node, "j", (size_t)key->columns[i]);
	}
	strbuf_adds(&q->sb, " FROM ");
	query_source(q, node);
	strbuf_adds(&q->sb, " WHERE ");
	add_meta_links(q, node);
	strbuf_adds(&q->sb, " ORDER BY ");
	sql_order(&q->sb, node);
	for (size_t i = 0; key && i < key->n; i++) {
		strbuf_adds(&q->sb, ", ");
		query_column(q, 'j', node, node->through, key->columns[i]);
	}
	strbuf_addf(&q->sb, " LIMIT %lld) t%zu ON true", (long long)shown_rows(node), node->number);
}

static void add_meta_joins(struct query *q, const struct plan_node *node)
{
	if (!node->parent)
		return;
	add_meta_joins(q, node->parent);
	if (shown_rows(node)) {
		add_shown(q, node);
		return;
	}
	strbuf_adds(&q->sb, node->through ? " JOIN (" : " JOIN ");
	query_source(q, node);
	strbuf_adds(&q->sb, node->through ? ") ON " : " ON ");
	add_meta_links(q, node);
}

/* The values of one key column of the node's table (or of its through table, kind 'j'). */
static void add_meta_column(struct query *q, const struct plan_node *node, char kind, int column)
{
	const struct catalog_table *table = kind == 'j' ? node->through : node->table;

	strbuf_adds(&q->sb, q->meta_parts++ ? "\n    UNION ALL SELECT " : "\n    SELECT ");
	for (size_t i = 0; i < q->root->n_key; i++) {
		sql_own(&q->sb, q->root, q->root->key[i]);
		strbuf_addf(&q->sb, " AS \"key.%zu\", ", i + 1);
	}
	pg_quote_literal(&q->sb, table->name);
	strbuf_adds(&q->sb, " AS t, ");
	pg_quote_literal(&q->sb, table->columns[column].name);
	strbuf_adds(&q->sb, " AS c, to_jsonb(");
	if (!node->parent)
		query_root_text(q, column);
	else if (kind == 'j')
		add_through(q, node, column);
	else
		sql_own(&q->sb, node, column);
	strbuf_adds(&q->sb, ") AS v FROM r0 t0");
	add_meta_joins(q, node);
}

/* pgsync names tables without their schema, and the entry with the root's name is the root's alone. */
static bool has_root_name(const struct query *q, const struct catalog_table *table)
{
	return strcmp(table->name, q->root->table->name) == 0;
}

/* pgsync keeps the first key column of the root, as text, and of a table behind a through table the columns that the
 * link refers to. */
static void add_meta_node(struct query *q, const struct plan_node *node)
{
	const struct catalog_table *through = node->through;
	const struct catalog_index *key = through && !has_root_name(q, through) ? catalog_primary_key(through) : NULL;
	const int *columns = through ? node->joins[1].lower_columns : node->key;
	size_t n = through ? node->joins[1].n : node->parent ? node->n_key : 1;

	for (size_t i = 0; key && i < key->n; i++)
		add_meta_column(q, node, 'j', key->columns[i]);
	for (size_t i = 0; i < n && (!node->parent || !has_root_name(q, node->table)); i++)
		add_meta_column(q, node, 't', columns[i]);
}

void meta_add(struct query *q)
{
	strbuf_adds(&q->sb, "m AS (\n  SELECT ");
	add_keys(q);
	strbuf_adds(&q->sb, ", json_object_agg(t, o ORDER BY t) AS doc FROM (\n  SELECT ");
	add_keys(q);
	strbuf_adds(&q->sb, ", t, json_object_agg(c, v ORDER BY c) AS o FROM (\n  SELECT ");
	add_keys(q);
	strbuf_adds(&q->sb, ", t, c, json_agg(DISTINCT v ORDER BY v) AS v FROM (");
	for (size_t i = 0; i < q->tree->n; i++)
		add_meta_node(q, q->tree->nodes[i]);
	strbuf_adds(&q->sb, "\n  ) u WHERE v IS NOT NULL GROUP BY ");
	add_keys(q);
	strbuf_adds(&q->sb, ", t, c) u GROUP BY ");
	add_keys(q);
	strbuf_adds(&q->sb, ", t) u GROUP BY ");
	add_keys(q);
	strbuf_adds(&q->sb, "\n), ");
}

void meta_add_join(struct query *q)
{
	strbuf_adds(&q->sb, "\n  LEFT JOIN m");
	for (size_t i = 0; i < q->root->n_key; i++) {
		const struct catalog_column *column = &q->root->table->columns[q->root->key[i]];

		strbuf_addf(&q->sb, "%sm.\"key.%zu\"", i ? " AND " : " ON ", i + 1);
		sql_equals(&q->sb, column, column);
		sql_own(&q->sb, q->root, q->root->key[i]);
	}
}
