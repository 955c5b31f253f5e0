/* The parts that all queries of a tree are made of: conditions and sources of a node's rows. */
#include <stdlib.h>
#include <string.h>

#include "document/query_int.h"
#include "postgres/pg.h"

enum { EXPRESSION_BYTES = 64 * 1024 };

void query_column(struct query *q, char kind, const struct plan_node *node, const struct catalog_table *table,
		  int column)
{
	strbuf_addf(&q->sb, "%c%zu.", kind, node->number);
	pg_quote_ident(&q->sb, table->columns[column].name);
}

void query_link(struct query *q, const struct plan_node *node, size_t i, bool from_set)
{
	const struct join *join = &node->joins[0];

	if (from_set) {
		strbuf_addf(&q->sb, "t%zu.", node->number);
		sql_free_name(&q->sb, node, "key", i + 1);
	} else {
		query_column(q, node->through ? 'j' : 't', node, join->lower, join->lower_columns[i]);
		sql_collate(&q->sb, join, i, false);
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

/* A column of the node's table; alias: as the subquery of query_table sees it, otherwise NULL. */
static void add_own(struct query *q, const struct plan_node *node, const char *alias, int column)
{
	if (!alias) {
		sql_own(&q->sb, node, column);
		return;
	}
	strbuf_addf(&q->sb, "%s.", alias);
	pg_quote_ident(&q->sb, node->table->columns[column].name);
}

static void add_any(struct query *q)
{
	const struct catalog_column *column = &q->root->table->columns[q->root->key[0]];
	_cleanup_free_ char *type = sql_type(column);

	sql_equals(&q->sb, column, column);
	strbuf_addf(&q->sb, "ANY($1::text[]::%s[])", type);
}

/* A row of a view with a NULL in its key has no _id. */
static void add_root_has_key(struct query *q, const char *alias)
{
	for (size_t i = 0; i < q->root->n_key; i++) {
		strbuf_adds(&q->sb, i ? " AND " : "");
		add_own(q, q->root, alias, q->root->key[i]);
		strbuf_adds(&q->sb, " IS NOT NULL");
	}
}

static int key_position(const struct plan_node *root, int column)
{
	for (size_t i = 0; i < root->n_key; i++)
		if (root->key[i] == column)
			return (int)i;
	return -1;
}

/* Columns that have to equal those of some row. */
struct match {
	const struct plan_node *node; /* whose row it is about */
	const struct join *join;      /* its lower columns; NULL: the root's key */
	const char *alias;            /* as for add_own, for columns of the node's table */
	enum { BY_PARAMETERS, BY_PARENT, BY_THROUGH } by;
};

static size_t match_columns(const struct query *q, const struct match *m)
{
	return m->join ? m->join->n : q->root->n_key;
}

static const struct catalog_column *left_column(const struct query *q, const struct match *m, size_t i)
{
	return m->join ? &m->join->lower->columns[m->join->lower_columns[i]]
		       : &q->root->table->columns[q->root->key[i]];
}

static const struct catalog_column *right_column(const struct query *q, const struct match *m, size_t i)
{
	return m->join ? &m->join->upper->columns[m->join->upper_columns[i]]
		       : &q->root->table->columns[q->root->key[i]];
}

static void add_left(struct query *q, const struct match *m, size_t i)
{
	if (!m->join) {
		add_own(q, q->root, m->alias, q->root->key[i]);
	} else if (m->alias) {
		add_own(q, m->node, m->alias, m->join->lower_columns[i]);
		sql_collate(&q->sb, m->join, i, false);
	} else {
		query_link(q, m->node, i, false);
	}
}

static void add_right(struct query *q, const struct match *m, size_t i)
{
	if (m->by == BY_PARAMETERS) {
		add_key_cast(q, m->join ? (size_t)key_position(q->root, m->join->upper_columns[i]) : i);
		return;
	}
	if (m->by == BY_THROUGH)
		strbuf_addf(&q->sb, "j%zu.", m->node->number);
	pg_quote_ident(&q->sb, right_column(q, m, i)->name);
	sql_collate(&q->sb, m->join, i, true);
}

/* IN compares all columns with operators of one name. */
static bool needs_own_operators(const struct query *q, const struct match *m)
{
	for (size_t i = 0; i < match_columns(q, m); i++)
		if (left_column(q, m, i)->equality_schema && right_column(q, m, i)->equality_schema)
			return true;
	return false;
}

/* " FROM rows [WHERE condition]"; true with a condition. */
static bool add_match_rows(struct query *q, const struct match *m)
{
	strbuf_adds(&q->sb, " FROM ");
	if (m->by == BY_PARAMETERS) {
		add_unnest(q);
		return false;
	}
	if (m->by == BY_PARENT) {
		strbuf_addf(&q->sb, "r%zu", m->node->parent->number);
		return false;
	}
	sql_table(&q->sb, m->node->through);
	strbuf_addf(&q->sb, " j%zu WHERE ", m->node->number);
	query_link_condition(q, m->node);
	return true;
}

static void add_match(struct query *q, const struct match *m)
{
	size_t n = match_columns(q, m);

	if (needs_own_operators(q, m)) {
		bool where;

		strbuf_adds(&q->sb, "EXISTS (SELECT");
		where = add_match_rows(q, m);
		for (size_t i = 0; i < n; i++, where = true) {
			strbuf_adds(&q->sb, where ? " AND " : " WHERE ");
			add_left(q, m, i);
			sql_equals(&q->sb, left_column(q, m, i), right_column(q, m, i));
			add_right(q, m, i);
		}
		strbuf_addc(&q->sb, ')');
		return;
	}
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "(");
		add_left(q, m, i);
	}
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&q->sb, i ? ", " : ") IN (SELECT ");
		add_right(q, m, i);
	}
	(void)add_match_rows(q, m);
	strbuf_addc(&q->sb, ')');
}

static void add_root_condition(struct query *q, const char *alias)
{
	const struct plan_node *root = q->root;

	if (q->by_range && catalog_is_view(root->table)) {
		add_root_has_key(q, alias);
	} else if (q->by_range) {
		strbuf_addf(&q->sb, "%s.ctid >= $1::tid AND %s.ctid < $2::tid", alias ? alias : "t0",
			    alias ? alias : "t0");
	} else if (keys_as_array(q)) {
		add_own(q, root, alias, root->key[0]);
		add_any(q);
	} else {
		add_match(q, &(struct match){.node = root, .alias = alias, .by = BY_PARAMETERS});
	}
}

void query_root_condition(struct query *q)
{
	add_root_condition(q, NULL);
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

void query_link_condition(struct query *q, const struct plan_node *node)
{
	const struct match match = {
		.node = node, .join = &node->joins[0], .by = found_by_parameters(q, node) ? BY_PARAMETERS : BY_PARENT};

	if (match.by == BY_PARAMETERS && keys_as_array(q) && match.join->n == 1) {
		query_link(q, node, 0, false);
		add_any(q);
	} else {
		add_match(q, &match);
	}
}

/* --- sources --- */

static bool has_ctid(const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_SYSTEM && strcmp(node->fields[i].source, "ctid") == 0)
			return true;
	return false;
}

/* Each leaf of a partitioned table has its own ctids: the caller names one. */
void query_table_name(struct query *q, const struct plan_node *node)
{
	if (!node->parent && q->by_range && node->table->kind == 'p')
		q->leaf_at = q->sb.len;
	else
		sql_table(&q->sb, node->table);
}

/* The condition that the rows of a node's table are linked to the roots asked for, in the subquery of query_table. */
static void add_linked(struct query *q, const struct plan_node *node, const char *alias)
{
	if (!node->parent)
		add_root_condition(q, alias);
	else
		add_match(q, &(struct match){.node = node,
					     .join = &node->joins[node->n_joins - 1],
					     .alias = alias,
					     .by = node->through ? BY_THROUGH : BY_PARENT});
}

/* Only CASE guarantees the order of evaluation. */
static void add_where(struct query *q, const struct plan_node *node, const char *alias)
{
	if (!q->tree->apart) {
		strbuf_addf(&q->sb, " WHERE (%s)", sql_qualified(q->tree, node, node->decl->where));
		return;
	}
	strbuf_adds(&q->sb, " WHERE CASE WHEN ");
	add_linked(q, node, alias);
	strbuf_addf(&q->sb, " THEN (%s) END", sql_qualified(q->tree, node, node->decl->where));
}

void query_table(struct query *q, const struct plan_node *node)
{
	_cleanup_free_ char *alias = NULL;

	if (!node->filtered && !node->n_expressions) {
		query_table_name(q, node);
		strbuf_addf(&q->sb, " t%zu", node->number);
		return;
	}
	alias = sql_alias(node);
	strbuf_addf(&q->sb, "(SELECT %s.*", alias);
	sql_system_columns(&q->sb, node, alias);
	if (!node->parent && q->by_range && !has_ctid(node) && !catalog_is_view(node->table))
		strbuf_addf(&q->sb, ", %s.ctid", alias);
	sql_expression_columns(&q->sb, q->tree, node);
	strbuf_adds(&q->sb, " FROM ");
	query_table_name(q, node);
	strbuf_addf(&q->sb, " AS %s", alias);
	if (node->filtered)
		add_where(q, node, alias);
	strbuf_addf(&q->sb, ") t%zu", node->number);
}

static void add_through_join(struct query *q, const struct plan_node *node)
{
	for (size_t i = 0; node->through && i < node->joins[1].n; i++) {
		const struct join *join = &node->joins[1];

		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		sql_own(&q->sb, node, join->lower_columns[i]);
		sql_collate(&q->sb, join, i, false);
		sql_join_equals(&q->sb, join, i);
		query_column(q, 'j', node, join->upper, join->upper_columns[i]);
		sql_collate(&q->sb, join, i, true);
	}
}

static void add_through_table(struct query *q, const struct plan_node *node)
{
	if (!node->through)
		return;
	sql_table(&q->sb, node->through);
	strbuf_addf(&q->sb, " j%zu JOIN ", node->number);
}

void query_source(struct query *q, const struct plan_node *node)
{
	add_through_table(q, node);
	query_table(q, node);
	add_through_join(q, node);
}

void query_linked_rows(struct query *q, const struct plan_node *node)
{
	add_through_table(q, node);
	query_table_name(q, node);
	strbuf_addf(&q->sb, " t%zu", node->number);
	add_through_join(q, node);
	strbuf_adds(&q->sb, " WHERE ");
	if (node->parent)
		query_link_condition(q, node);
	else
		query_root_condition(q);
}

/* --- the root's key --- */

void query_root_text(struct query *q, int column)
{
	struct query own = {.tree = q->tree, .root = q->root};

	strbuf_init(&own.sb, EXPRESSION_BYTES);
	sql_own(&own.sb, q->root, column);
	sql_text(&q->sb, &q->root->table->columns[column], own.sb.data);
	strbuf_release(&own.sb);
}

void query_root_keys(struct query *q)
{
	for (size_t i = 0; i < q->root->n_key; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		query_root_text(q, q->root->key[i]);
	}
}
