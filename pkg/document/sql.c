/* The document query.
 *
 * There is one set for each level: r0 is the root's rows, r<i> the rows of a node with sets below it, restricted to the
 * keys of the level above; n<i> is a node's rows as json, grouped by the link to their parent and joined to the
 * parent's query. So the planner can run the same text as a handful of index look-ups for one root, and as hash joins
 * for a whole table. Measured on Postgres 17 (200,000 roots with 300,000 links; and a tree of four levels):
 *
 * - r0 is NOT MATERIALIZED: reading a root's key twice (by key or by ctid) costs less than storing wide rows, and the
 *   planner keeps the statistics and uniqueness of the table. A whole table in one range took 2.0 s, stored 3.2 s.
 * - r<i> is MATERIALIZED: otherwise each level below repeats the whole chain of semi-joins above it, and planning time
 *   grows with depth (3 ms for four levels, against 1 ms).
 * - Semi-joins, not LATERAL: subplans per row took 16.9 s where the sets took 4 s.
 * - row_to_json of a LATERAL row that the planner pulls up has no limit of 100 arguments, keeps the columns' order and
 *   is faster than json_build_object. Its keys are column names, so a label above 63 bytes needs the latter.
 * - By key, the parameters themselves find the first level if it refers to the root's key.
 * - A node that joins at most one row, with only such nodes below, is a plain LEFT JOIN in its parent's query.
 * - More than MOST_JOINED relations are joined in groups, one query around the other. Each row that the planner pulls
 *   up rewrites the columns of every join of the query, so planning time grows with the third power of the number of
 *   relations: one key of a root with 60, 120 and 250 one_to_one took 0.1 s, 0.6 s, and a minute and gigabytes; in
 *   groups 25, 50 and 250 ms. The fixed order of joins costs nothing: each of them finds at most one row per row.
 *   Larger and smaller groups do not plan faster.
 *
 * By range, the query has to be planned for its parameters (an unprepared statement, or plan_cache_mode =
 * force_custom_plan): only then does the planner know how many blocks there are. By key, a generic plan is as good and
 * saves the planning: it assumes ten keys and nests loops (one key 0.1 ms, 1,000 keys 22 ms; planned each time 0.3 and
 * 25 ms). random_page_cost = 1.1 keeps small ranges from reading whole child tables (a whole table in ranges of 24
 * blocks: 3.1 s of CPU time, with 4: 5.3 s; in ranges of 240 blocks 3 s with either).
 */
#include <stdlib.h>
#include <string.h>

#include "document/query_int.h"
#include "postgres/pg.h"

/* --- joins --- */

static void add_equalities(struct query *q, const struct plan_node *node, const struct plan_node *child)
{
	const struct join *join = &child->joins[0];

	for (size_t i = 0; i < join->n; i++) {
		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		if (child->inlined) {
			sql_own(&q->sb, child, join->lower_columns[i]);
			sql_collate(&q->sb, join, i, false);
		} else {
			strbuf_addf(&q->sb, "n%zu.\"key.%zu\"", child->number, i + 1);
		}
		sql_join_equals(&q->sb, join, i);
		sql_own(&q->sb, node, join->upper_columns[i]);
		sql_collate(&q->sb, join, i, true);
	}
}

static void add_child_joins(struct query *q, const struct plan_node *node, size_t group)
{
	for (size_t i = 0; i < node->n_children; i++) {
		const struct plan_node *child = node->children[i];

		if (child->group != group)
			continue;
		strbuf_adds(&q->sb, "\n  LEFT JOIN ");
		if (child->inlined)
			query_table(q, child);
		else
			strbuf_addf(&q->sb, "n%zu", child->number);
		add_equalities(q, node, child);
		if (child->inlined)
			add_child_joins(q, child, 0);
	}
}

/* The node's named rows, with the columns that its groups make, as t<i>. The planner pulls up no query with an OFFSET,
 * and does nothing for one of 0. */
static void add_rows(struct query *q, const struct plan_node *node)
{
	for (size_t group = node->n_groups; group > 0; group--) {
		strbuf_addf(&q->sb, "(\n  SELECT t%zu.*", node->number);
		for (size_t i = 0; i < node->n_children; i++)
			if (node->children[i]->group == group)
				sql_group_columns(&q->sb, q->tree, node->children[i]);
		strbuf_adds(&q->sb, "\n  FROM ");
	}
	strbuf_addf(&q->sb, "r%zu t%zu", node->number, node->number);
	for (size_t group = 1; group <= node->n_groups; group++) {
		add_child_joins(q, node, group);
		for (size_t i = 0; i < node->n_children; i++)
			if (node->children[i]->group == group && node->children[i]->inlined)
				sql_object_rows(&q->sb, node->children[i]);
		strbuf_addf(&q->sb, "\n  OFFSET 0) t%zu", node->number);
	}
}

/* --- sets --- */

static void mark(bool *needed, const int *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		needed[columns[i]] = true;
}

static void mark_fields(bool *needed, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_COLUMN)
			needed[node->fields[i].column] = true;
	for (size_t i = 0; i < node->n_sorts; i++)
		if (node->sorts[i].column >= 0)
			needed[node->sorts[i].column] = true;
}

/* The columns of the table that the queries on top of r<i> use. */
static void add_needed(struct query *q, const struct plan_node *node, bool comma)
{
	_cleanup_free_ bool *needed = xcalloc(node->table->n_columns, sizeof(*needed));
	_cleanup_free_ char *alias = xasprintf("t%zu", node->number);

	mark(needed, node->key, node->n_key);
	mark_fields(needed, node);
	for (size_t i = 0; i < node->n_children; i++)
		mark(needed, node->children[i]->joins[0].upper_columns, node->children[i]->joins[0].n);
	if (!node->parent && q->tree->routing >= 0)
		needed[q->tree->routing] = true;
	for (size_t i = 0; i < node->table->n_columns; i++) {
		if (!needed[i])
			continue;
		strbuf_adds(&q->sb, comma ? ", " : "");
		sql_own(&q->sb, node, (int)i);
		comma = true;
	}
	sql_system_columns(&q->sb, node, alias);
	for (size_t i = 0; i < node->n_expressions; i++) {
		strbuf_addf(&q->sb, ", t%zu.", node->number);
		sql_free_name(&q->sb, node, "x", i + 1);
	}
}

/* The rank of a row among its siblings, for the limit. */
static void add_ranked(struct query *q, const struct plan_node *node)
{
	strbuf_adds(&q->sb, ", row_number() OVER (PARTITION BY ");
	for (size_t i = 0; i < node->joins[0].n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		query_link(q, node, i, false);
	}
	strbuf_adds(&q->sb, " ORDER BY ");
	sql_order(&q->sb, node);
	strbuf_adds(&q->sb, ") AS ");
	sql_free_name(&q->sb, node, "rank", 1);
}

/* r<i>: the node's rows, once for each row of the parent that they are linked to. */
static void add_row_set(struct query *q, const struct plan_node *node)
{
	int64_t limit = node->decl->limit;

	strbuf_addf(&q->sb, "r%zu AS MATERIALIZED (\n  %sSELECT ", node->number, limit ? "SELECT * FROM (" : "");
	for (size_t i = 0; i < node->joins[0].n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		query_link(q, node, i, false);
		strbuf_adds(&q->sb, " AS ");
		sql_free_name(&q->sb, node, "key", i + 1);
	}
	add_needed(q, node, true);
	if (limit)
		add_ranked(q, node);
	strbuf_adds(&q->sb, "\n  FROM ");
	query_source(q, node);
	strbuf_adds(&q->sb, "\n  WHERE ");
	query_link_condition(q, node);
	if (limit) {
		strbuf_addf(&q->sb, ") t%zu WHERE t%zu.", node->number, node->number);
		sql_free_name(&q->sb, node, "rank", 1);
		strbuf_addf(&q->sb, " <= %lld", (long long)limit);
	}
	strbuf_adds(&q->sb, "\n), ");
}

static void add_links(struct query *q, const struct plan_node *node, const char *name)
{
	for (size_t i = 0; i < node->joins[0].n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		query_link(q, node, i, node->has_sets);
		if (name)
			strbuf_addf(&q->sb, " AS \"%s.%zu\"", name, i + 1);
	}
}

/* What the parent's query needs besides the document. */
static void add_passing(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; i < q->tree->n_moved_fields; i++) {
		if (!sql_moved_field_passes(q->tree->moved_fields[i], node))
			continue;
		strbuf_adds(&q->sb, ", ");
		sql_moved_field_set(&q->sb, q->tree->moved_fields[i], node);
		strbuf_addf(&q->sb, " AS \"m.%zu\"", q->tree->moved_fields[i]->number);
	}
	if (!node->may_sanitize)
		return;
	strbuf_adds(&q->sb, node->many ? ", sum(" : ", ");
	sql_sanitized_count(&q->sb, node);
	strbuf_adds(&q->sb, node->many ? ") AS sanitized" : " AS sanitized");
}

/* n<i>: json by link. If a one_to_one has several rows, use the first by primary key. */
static void add_json_set(struct query *q, const struct plan_node *node)
{
	bool first = !node->many && !node->unique;

	/* Pulled up under a LEFT JOIN, its values would be computed for any row of the table. */
	strbuf_addf(&q->sb, "n%zu AS %s(\n  SELECT ", node->number, q->tree->apart ? "MATERIALIZED " : "");
	if (first) {
		strbuf_adds(&q->sb, "DISTINCT ON (");
		add_links(q, node, NULL);
		strbuf_adds(&q->sb, ") ");
	}
	add_links(q, node, "key");
	strbuf_adds(&q->sb, node->many ? ", json_agg(" : ", ");
	sql_node_value(&q->sb, node);
	if (node->many) {
		strbuf_adds(&q->sb, " ORDER BY ");
		sql_order(&q->sb, node);
		strbuf_addc(&q->sb, ')');
	}
	strbuf_adds(&q->sb, " AS doc");
	add_passing(q, node);
	strbuf_adds(&q->sb, "\n  FROM ");
	if (node->has_sets)
		add_rows(q, node);
	else
		query_source(q, node);
	add_child_joins(q, node, 0);
	sql_object_rows(&q->sb, node);
	if (!node->has_sets) {
		strbuf_adds(&q->sb, "\n  WHERE ");
		query_link_condition(q, node);
	}
	if (node->many || first) {
		strbuf_adds(&q->sb, node->many ? "\n  GROUP BY " : "\n  ORDER BY ");
		add_links(q, node, NULL);
	}
	if (first) {
		strbuf_adds(&q->sb, ", ");
		sql_order(&q->sb, node);
	}
	strbuf_adds(&q->sb, "\n), ");
}

/* Rows top-down, json bottom-up: every set comes after those that it uses. */
static void add_row_sets(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_children; i++) {
		const struct plan_node *child = node->children[i];

		if (child->inlined || !child->has_sets)
			continue;
		add_row_set(q, child);
		add_row_sets(q, child);
	}
}

static void add_json_sets(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_children; i++) {
		const struct plan_node *child = node->children[i];

		if (child->inlined)
			continue;
		add_json_sets(q, child);
		add_json_set(q, child);
	}
}

/* --- the root --- */

static void add_root_set(struct query *q)
{
	/* A view may be expensive: read it once. */
	strbuf_addf(&q->sb, "WITH r0 AS %sMATERIALIZED (\n  SELECT ",
		    catalog_is_view(q->root->table) || q->tree->apart ? "" : "NOT ");
	add_needed(q, q->root, false);
	strbuf_adds(&q->sb, "\n  FROM ");
	query_table(q, q->root);
	strbuf_adds(&q->sb, "\n  WHERE ");
	query_root_condition(q);
	strbuf_adds(&q->sb, "\n), ");
}

/* --- the whole --- */

static void add_sets(struct query *q)
{
	add_root_set(q);
	add_row_sets(q, q->root);
	add_json_sets(q, q->root);
	if (q->tree->format->meta == SCHEMA_META_PGSYNC)
		meta_add(q);
	strbuf_truncate(&q->sb, q->sb.len - 2);
	strbuf_addc(&q->sb, '\n');
}

static void add_outputs(struct query *q)
{
	query_root_keys(q);
	strbuf_adds(&q->sb, ", ");
	sql_node_value(&q->sb, q->root);
	strbuf_adds(&q->sb, " AS doc");
	if (q->tree->routing >= 0) {
		strbuf_adds(&q->sb, ", ");
		query_root_text(q, q->tree->routing);
	}
	if (q->root->may_sanitize) {
		strbuf_adds(&q->sb, ", nullif(");
		sql_sanitized_count(&q->sb, q->root);
		strbuf_adds(&q->sb, ", 0)::text");
	}
}

struct document_query sql_documents(const struct tree *tree, bool by_range)
{
	struct query q = {.tree = tree, .root = tree->nodes[0], .by_range = by_range};

	strbuf_init(&q.sb, SQL_BYTES);
	if (q.root->has_sets)
		add_sets(&q);
	strbuf_adds(&q.sb, "SELECT ");
	add_outputs(&q);
	strbuf_adds(&q.sb, "\nFROM ");
	if (q.root->has_sets)
		add_rows(&q, q.root);
	else
		query_table(&q, q.root);
	add_child_joins(&q, q.root, 0);
	if (tree->format->meta == SCHEMA_META_PGSYNC)
		meta_add_join(&q);
	sql_object_rows(&q.sb, q.root);
	if (!q.root->has_sets) {
		strbuf_adds(&q.sb, "\nWHERE ");
		query_root_condition(&q);
	}
	if (strbuf_ok(&q.sb))
		return (struct document_query){.text = strbuf_detach(&q.sb), .leaf_at = q.leaf_at};
	strbuf_release(&q.sb);
	return (struct document_query){0};
}

struct document_query sql_keys(const struct tree *tree, bool by_range)
{
	struct query q = {.tree = tree, .root = tree->nodes[0], .by_range = by_range};

	strbuf_init(&q.sb, SQL_BYTES);
	strbuf_adds(&q.sb, "SELECT ");
	query_root_keys(&q);
	strbuf_adds(&q.sb, " FROM ");
	query_table_name(&q, q.root);
	strbuf_adds(&q.sb, " t0");
	if (by_range) {
		strbuf_adds(&q.sb, " WHERE ");
		query_root_condition(&q);
	}
	return (struct document_query){.text = strbuf_detach(&q.sb), .leaf_at = q.leaf_at};
}

/* --- the rows of one node --- */

static void add_rows_above(struct query *q, const struct plan_node *node)
{
	if (!node)
		return;
	add_rows_above(q, node->parent);
	if (node->parent)
		add_row_set(q, node);
	else
		add_root_set(q);
}

void sql_rows_above(struct strbuf *sb, const struct tree *tree, const struct plan_node *node)
{
	struct query q = {.tree = tree, .root = tree->nodes[0], .sb = *sb};

	add_rows_above(&q, node->parent);
	if (!node->parent)
		strbuf_adds(&q.sb, "WITH ");
	*sb = q.sb;
}

void sql_linked_rows(struct strbuf *sb, const struct tree *tree, const struct plan_node *node)
{
	struct query q = {.tree = tree, .root = tree->nodes[0], .sb = *sb};

	query_linked_rows(&q, node);
	*sb = q.sb;
}
