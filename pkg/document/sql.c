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

#include "document/document_int.h"
#include "postgres/pg.h"

enum { EXPRESSION_BYTES = 64 * 1024 };

/* --- words */

void sql_table(struct strbuf *sb, const struct catalog_table *table)
{
	pg_quote_table(sb, table->schema, table->name);
}

char *sql_type(const struct catalog_column *column)
{
	const char *open = strchr(column->type, '('), *close = strchr(column->type, ')');

	/* character and bit without a length are of length one. */
	if (strcmp(column->base_type, "bpchar") == 0 && strncmp(column->type, "character", 9) == 0)
		return xstrdup("pg_catalog.bpchar");
	if (!open || !close || strchr(column->type, '"') || strcmp(column->base_type, "bit") == 0)
		return xstrdup(column->type);
	return xasprintf("%.*s%s", (int)(open - column->type), column->type, close + 1);
}

/* For these a cast to text differs from the output function; concat() does not. */
static bool cast_differs(const struct catalog_column *column)
{
	static const char *const types[] = {"bool", "bpchar", "char", "inet"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(column->base_type, types[i]) == 0)
			return true;
	return false;
}

void sql_text(struct strbuf *sb, const struct catalog_column *column, const char *expr)
{
	if (cast_differs(column))
		strbuf_addf(sb, "concat(%s)", expr);
	else
		strbuf_addf(sb, "%s::text", expr);
}

/* --- the query being written */

struct query {
	const struct tree *tree;
	const struct plan_node *root;
	bool by_range;
	size_t meta_parts;
	size_t leaf_at; /* where the name of a partitioned root's leaf goes; 0: nowhere */
	struct strbuf sb;
};

/* t3."name"; j3 is the through table of node 3. */
static void add_column(struct query *q, char kind, const struct plan_node *node, const struct catalog_table *table,
		       int column)
{
	strbuf_addf(&q->sb, "%c%zu.", kind, node->number);
	pg_quote_ident(&q->sb, table->columns[column].name);
}

static void add_own(struct query *q, const struct plan_node *node, int column)
{
	sql_own(&q->sb, node, column);
}

/* The link to the parent's row, as the node's own query sees it. */
static void add_link(struct query *q, const struct plan_node *node, size_t i, bool from_set)
{
	const struct join *join = &node->joins[0];

	if (from_set) {
		strbuf_addf(&q->sb, "t%zu.", node->number);
		sql_free_name(&q->sb, node, "key", i + 1);
	} else {
		add_column(q, node->through ? 'j' : 't', node, join->lower, join->lower_columns[i]);
	}
}

static void add_key_cast(struct query *q, size_t i)
{
	const struct catalog_column *column = &q->root->table->columns[q->root->key[i]];
	_cleanup_free_ char *type = sql_type(column);

	strbuf_addf(&q->sb, "k.c%zu::%s", i + 1, type);
}

static void add_unnest(struct query *q)
{
	strbuf_adds(&q->sb, "unnest(");
	for (size_t i = 0; i < q->root->n_key; i++)
		strbuf_addf(&q->sb, "%s$%zu::text[]", i ? ", " : "", i + 1);
	strbuf_adds(&q->sb, ") AS k(");
	for (size_t i = 0; i < q->root->n_key; i++)
		strbuf_addf(&q->sb, "%sc%zu", i ? ", " : "", i + 1);
	strbuf_addc(&q->sb, ')');
}

/* " = ANY(the keys)": for one key column whose type has an array type. */
static bool keys_as_array(const struct query *q)
{
	return q->root->n_key == 1 && q->root->table->columns[q->root->key[0]].category != 'A';
}

static void add_any(struct query *q)
{
	_cleanup_free_ char *type = sql_type(&q->root->table->columns[q->root->key[0]]);

	strbuf_addf(&q->sb, " = ANY($1::text[]::%s[])", type);
}

/* A row of a view with a NULL in its key has no _id. */
static void add_root_has_key(struct query *q)
{
	for (size_t i = 0; i < q->root->n_key; i++) {
		strbuf_adds(&q->sb, i ? " AND " : "");
		add_own(q, q->root, q->root->key[i]);
		strbuf_adds(&q->sb, " IS NOT NULL");
	}
}

static void add_root_condition(struct query *q)
{
	const struct plan_node *root = q->root;

	if (q->by_range && catalog_is_view(root->table)) {
		add_root_has_key(q);
		return;
	}
	if (q->by_range) {
		strbuf_adds(&q->sb, "t0.ctid >= $1::tid AND t0.ctid < $2::tid");
		return;
	}
	if (keys_as_array(q)) {
		add_own(q, root, root->key[0]);
		add_any(q);
		return;
	}
	strbuf_addc(&q->sb, '(');
	for (size_t i = 0; i < root->n_key; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_own(q, root, root->key[i]);
	}
	strbuf_adds(&q->sb, ") IN (SELECT ");
	for (size_t i = 0; i < root->n_key; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_key_cast(q, i);
	}
	strbuf_adds(&q->sb, " FROM ");
	add_unnest(q);
	strbuf_addc(&q->sb, ')');
}

static int key_position(const struct plan_node *root, int column)
{
	for (size_t i = 0; i < root->n_key; i++)
		if (root->key[i] == column)
			return (int)i;
	return -1;
}

/* The parameters are the parent's keys, so the level above need not be read. */
static bool found_by_parameters(const struct query *q, const struct plan_node *node)
{
	if (q->by_range || node->parent != q->root)
		return false;
	for (size_t i = 0; i < node->joins[0].n; i++)
		if (key_position(q->root, node->joins[0].upper_columns[i]) < 0)
			return false;
	return true;
}

/* The rows of a node that are linked to the rows of the level above. */
static void add_link_condition(struct query *q, const struct plan_node *node)
{
	const struct join *join = &node->joins[0];
	bool parameters = found_by_parameters(q, node);

	if (parameters && keys_as_array(q) && join->n == 1) {
		add_link(q, node, 0, false);
		add_any(q);
		return;
	}
	strbuf_addc(&q->sb, '(');
	for (size_t i = 0; i < join->n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_link(q, node, i, false);
	}
	strbuf_adds(&q->sb, ") IN (SELECT ");
	for (size_t i = 0; i < join->n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		if (parameters)
			add_key_cast(q, (size_t)key_position(q->root, join->upper_columns[i]));
		else
			pg_quote_ident(&q->sb, join->upper->columns[join->upper_columns[i]].name);
	}
	strbuf_adds(&q->sb, " FROM ");
	if (parameters)
		add_unnest(q);
	else
		strbuf_addf(&q->sb, "r%zu", node->parent->number);
	strbuf_addc(&q->sb, ')');
}

/* --- sources */

static bool has_ctid(const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_SYSTEM && strcmp(node->fields[i].source, "ctid") == 0)
			return true;
	return false;
}

static void add_system_columns(struct query *q, const struct plan_node *node, const char *alias)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_SYSTEM)
			strbuf_addf(&q->sb, ", %s.%s", alias, node->fields[i].source);
}

/* Each leaf of a partitioned table has its own ctids: the caller names one. */
static void add_table_name(struct query *q, const struct plan_node *node)
{
	if (!node->parent && q->by_range && node->table->kind == 'p')
		q->leaf_at = q->sb.len;
	else
		sql_table(&q->sb, node->table);
}

/* The node's table as t<i>. The SQL in the schema (`where`, expressions) goes into a subquery, where the table's
 * columns have no prefix and nothing else is visible; the planner pulls it up. */
static void add_table(struct query *q, const struct plan_node *node)
{
	_cleanup_free_ char *alias = NULL;
	struct strbuf quoted;

	if (!node->filtered && !node->n_expressions) {
		add_table_name(q, node);
		strbuf_addf(&q->sb, " t%zu", node->number);
		return;
	}
	strbuf_init(&quoted, EXPRESSION_BYTES);
	pg_quote_ident(&quoted, node->table->name);
	alias = strbuf_detach(&quoted);
	strbuf_addf(&q->sb, "(SELECT %s.*", alias);
	add_system_columns(q, node, alias);
	if (!node->parent && q->by_range && !has_ctid(node) && !catalog_is_view(node->table))
		strbuf_addf(&q->sb, ", %s.ctid", alias);
	for (size_t i = 0; i < node->n_expressions; i++) {
		strbuf_addf(&q->sb, ", (%s) AS ", node->decl->expressions[i].sql);
		sql_free_name(&q->sb, node, "x", i + 1);
	}
	strbuf_adds(&q->sb, " FROM ");
	add_table_name(q, node);
	strbuf_addf(&q->sb, " AS %s", alias);
	if (node->filtered)
		strbuf_addf(&q->sb, " WHERE (%s)", node->decl->where);
	strbuf_addf(&q->sb, ") t%zu", node->number);
}

/* The node's rows with the through table's, as j<i>. */
static void add_source(struct query *q, const struct plan_node *node)
{
	if (node->through) {
		sql_table(&q->sb, node->through);
		strbuf_addf(&q->sb, " j%zu JOIN ", node->number);
	}
	add_table(q, node);
	for (size_t i = 0; node->through && i < node->joins[1].n; i++) {
		const struct join *join = &node->joins[1];

		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		add_own(q, node, join->lower_columns[i]);
		strbuf_adds(&q->sb, " = ");
		add_column(q, 'j', node, join->upper, join->upper_columns[i]);
	}
}

/* --- joins */

static void add_equalities(struct query *q, const struct plan_node *node, const struct plan_node *child)
{
	const struct join *join = &child->joins[0];

	for (size_t i = 0; i < join->n; i++) {
		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		if (child->inlined)
			add_own(q, child, join->lower_columns[i]);
		else
			strbuf_addf(&q->sb, "n%zu.\"key.%zu\"", child->number, i + 1);
		strbuf_adds(&q->sb, " = ");
		add_own(q, node, join->upper_columns[i]);
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
			add_table(q, child);
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

/* --- sets */

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
		add_own(q, node, (int)i);
		comma = true;
	}
	add_system_columns(q, node, alias);
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
		add_link(q, node, i, false);
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
		add_link(q, node, i, false);
		strbuf_adds(&q->sb, " AS ");
		sql_free_name(&q->sb, node, "key", i + 1);
	}
	add_needed(q, node, true);
	if (limit)
		add_ranked(q, node);
	strbuf_adds(&q->sb, "\n  FROM ");
	add_source(q, node);
	strbuf_adds(&q->sb, "\n  WHERE ");
	add_link_condition(q, node);
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
		add_link(q, node, i, node->has_sets);
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

	strbuf_addf(&q->sb, "n%zu AS (\n  SELECT ", node->number);
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
		add_source(q, node);
	add_child_joins(q, node, 0);
	sql_object_rows(&q->sb, node);
	if (!node->has_sets) {
		strbuf_adds(&q->sb, "\n  WHERE ");
		add_link_condition(q, node);
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

/* --- the root */

static void add_root_set(struct query *q)
{
	/* A view may be expensive: read it once. */
	strbuf_addf(&q->sb, "WITH r0 AS %sMATERIALIZED (\n  SELECT ", catalog_is_view(q->root->table) ? "" : "NOT ");
	add_needed(q, q->root, false);
	strbuf_adds(&q->sb, "\n  FROM ");
	add_table(q, q->root);
	strbuf_adds(&q->sb, "\n  WHERE ");
	add_root_condition(q);
	strbuf_adds(&q->sb, "\n), ");
}

static void add_root_text(struct query *q, int column)
{
	struct query own = {.tree = q->tree, .root = q->root};

	strbuf_init(&own.sb, EXPRESSION_BYTES);
	add_own(&own, q->root, column);
	sql_text(&q->sb, &q->root->table->columns[column], own.sb.data);
	strbuf_release(&own.sb);
}

static void add_root_keys(struct query *q)
{
	for (size_t i = 0; i < q->root->n_key; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_root_text(q, q->root->key[i]);
	}
}

/* --- _meta */

/* pgsync's `_meta`: for each table the keys of those of its rows that the document is made of. One query for each
 * node, down from the roots; together they become one object for each root. */
static void add_meta_keys(struct query *q)
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

/* A column of the through table, in a query whose sources are those of add_meta_joins. */
static void add_meta_through(struct query *q, const struct plan_node *node, int column)
{
	if (!shown_rows(node)) {
		add_column(q, 'j', node, node->through, column);
		return;
	}
	strbuf_addf(&q->sb, "t%zu.", node->number);
	sql_free_name(&q->sb, node, "j", (size_t)column);
}

static void add_meta_links(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; i < node->joins[0].n; i++) {
		strbuf_adds(&q->sb, i ? " AND " : "");
		add_link(q, node, i, false);
		strbuf_adds(&q->sb, " = ");
		add_own(q, node->parent, node->joins[0].upper_columns[i]);
	}
}

/* So that the same rows give the same bytes: of two links to one row, use the one with the smaller key. */
static void add_meta_shown(struct query *q, const struct plan_node *node)
{
	const struct catalog_index *key = node->through ? catalog_primary_key(node->through) : NULL;

	strbuf_addf(&q->sb, " JOIN LATERAL (SELECT t%zu.*", node->number);
	for (size_t i = 0; key && i < key->n; i++) {
		strbuf_adds(&q->sb, ", ");
		add_column(q, 'j', node, node->through, key->columns[i]);
		strbuf_adds(&q->sb, " AS ");
		sql_free_name(&q->sb, node, "j", (size_t)key->columns[i]);
	}
	strbuf_adds(&q->sb, " FROM ");
	add_source(q, node);
	strbuf_adds(&q->sb, " WHERE ");
	add_meta_links(q, node);
	strbuf_adds(&q->sb, " ORDER BY ");
	sql_order(&q->sb, node);
	for (size_t i = 0; key && i < key->n; i++) {
		strbuf_adds(&q->sb, ", ");
		add_column(q, 'j', node, node->through, key->columns[i]);
	}
	strbuf_addf(&q->sb, " LIMIT %lld) t%zu ON true", (long long)shown_rows(node), node->number);
}

static void add_meta_joins(struct query *q, const struct plan_node *node)
{
	if (!node->parent)
		return;
	add_meta_joins(q, node->parent);
	if (shown_rows(node)) {
		add_meta_shown(q, node);
		return;
	}
	strbuf_adds(&q->sb, node->through ? " JOIN (" : " JOIN ");
	add_source(q, node);
	strbuf_adds(&q->sb, node->through ? ") ON " : " ON ");
	add_meta_links(q, node);
}

/* The values of one key column of the node's table (or of its through table, kind 'j'). */
static void add_meta_column(struct query *q, const struct plan_node *node, char kind, int column)
{
	const struct catalog_table *table = kind == 'j' ? node->through : node->table;

	strbuf_adds(&q->sb, q->meta_parts++ ? "\n    UNION ALL SELECT " : "\n    SELECT ");
	for (size_t i = 0; i < q->root->n_key; i++) {
		add_own(q, q->root, q->root->key[i]);
		strbuf_addf(&q->sb, " AS \"key.%zu\", ", i + 1);
	}
	pg_quote_literal(&q->sb, table->name);
	strbuf_adds(&q->sb, " AS t, ");
	pg_quote_literal(&q->sb, table->columns[column].name);
	strbuf_adds(&q->sb, " AS c, to_jsonb(");
	if (!node->parent)
		add_root_text(q, column);
	else if (kind == 'j')
		add_meta_through(q, node, column);
	else
		add_own(q, node, column);
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

static void add_meta(struct query *q)
{
	strbuf_adds(&q->sb, "m AS (\n  SELECT ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, ", json_object_agg(t, o ORDER BY t) AS doc FROM (\n  SELECT ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, ", t, json_object_agg(c, v ORDER BY c) AS o FROM (\n  SELECT ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, ", t, c, json_agg(DISTINCT v ORDER BY v) AS v FROM (");
	for (size_t i = 0; i < q->tree->n; i++)
		add_meta_node(q, q->tree->nodes[i]);
	strbuf_adds(&q->sb, "\n  ) u WHERE v IS NOT NULL GROUP BY ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, ", t, c) u GROUP BY ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, ", t) u GROUP BY ");
	add_meta_keys(q);
	strbuf_adds(&q->sb, "\n), ");
}

static void add_meta_join(struct query *q)
{
	strbuf_adds(&q->sb, "\n  LEFT JOIN m");
	for (size_t i = 0; i < q->root->n_key; i++) {
		strbuf_addf(&q->sb, "%sm.\"key.%zu\" = ", i ? " AND " : " ON ", i + 1);
		add_own(q, q->root, q->root->key[i]);
	}
}

/* --- the whole */

static void add_sets(struct query *q)
{
	add_root_set(q);
	add_row_sets(q, q->root);
	add_json_sets(q, q->root);
	if (q->tree->format->meta == SCHEMA_META_PGSYNC)
		add_meta(q);
	strbuf_truncate(&q->sb, q->sb.len - 2);
	strbuf_addc(&q->sb, '\n');
}

static void add_outputs(struct query *q)
{
	add_root_keys(q);
	strbuf_adds(&q->sb, ", ");
	sql_node_value(&q->sb, q->root);
	strbuf_adds(&q->sb, " AS doc");
	if (q->tree->routing >= 0) {
		strbuf_adds(&q->sb, ", ");
		add_root_text(q, q->tree->routing);
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
		add_table(&q, q.root);
	add_child_joins(&q, q.root, 0);
	if (tree->format->meta == SCHEMA_META_PGSYNC)
		add_meta_join(&q);
	sql_object_rows(&q.sb, q.root);
	if (!q.root->has_sets) {
		strbuf_adds(&q.sb, "\nWHERE ");
		add_root_condition(&q);
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
	add_root_keys(&q);
	strbuf_adds(&q.sb, " FROM ");
	add_table_name(&q, q.root);
	strbuf_adds(&q.sb, " t0");
	if (by_range) {
		strbuf_adds(&q.sb, " WHERE ");
		add_root_condition(&q);
	}
	return (struct document_query){.text = strbuf_detach(&q.sb), .leaf_at = q.leaf_at};
}
