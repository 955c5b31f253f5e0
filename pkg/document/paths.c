/* From a changed row to root keys.
 *
 * A row of the tree hangs on the row above it by the columns of one join; those values, old and new, are all that a
 * change must bring. (What it joined to below needs no old value: whatever leaves the document there either changed
 * itself, and is found from its own row, or is found from this one.) From these values the path climbs join by join. A
 * table is joined only if the next join needs columns of it that are not known yet by equality; when none is joined,
 * the values are the root key themselves.
 */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { PATH_BYTES = 16 * 1024, EXPRESSION_BYTES = 1024 };

/* A value known on the path up: of a column of the changed row, or of a table that was joined. */
struct known {
	const struct catalog_column *column; /* whose type it has */
	int given;                           /* index among the path's columns, or -1 */
	char *expr;                          /* when given < 0 */
};

struct climb {
	const struct tree *tree;
	const struct join *own; /* the changed row is of own->lower */
	bool *used;             /* which of own's columns the path needs */
	int *numbers;           /* parameter of each, from 1 */
	struct strbuf joined;
	size_t n_joined;
};

/* Equal values of these types have equal texts, so that one stands for the other. */
static bool same_text(const struct catalog_column *a, const struct catalog_column *b)
{
	static const char *const exact[] = {"oid",       "uuid",        "text", "varchar", "date",
					    "timestamp", "timestamptz", "time", "bool",    "name"};
	static const char *const integers[] = {"int2", "int4", "int8"};
	bool a_integer = false, b_integer = false;

	for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
		a_integer = a_integer || strcmp(a->base_type, integers[i]) == 0;
		b_integer = b_integer || strcmp(b->base_type, integers[i]) == 0;
	}
	if (a_integer && b_integer)
		return true;
	if (strcmp(a->base_type, b->base_type) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (strcmp(a->base_type, exact[i]) == 0)
			return true;
	return a->category == 'E';
}

static void known_release(struct known *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(known[i].expr);
	free(known);
}

/* The path's parameter, or a joined table's column. Caller frees. */
static char *known_text(struct climb *c, const struct known *known)
{
	_cleanup_free_ char *type = NULL;

	if (known->given < 0)
		return xstrdup(known->expr);
	c->used[known->given] = true;
	type = sql_type(known->column);
	return xasprintf("k.c%d::%s", c->numbers[known->given], type);
}

static char *column_text(const char *alias, const struct catalog_column *column)
{
	struct strbuf sb;

	strbuf_init(&sb, EXPRESSION_BYTES);
	strbuf_adds(&sb, alias);
	strbuf_addc(&sb, '.');
	pg_quote_ident(&sb, column->name);
	return strbuf_detach(&sb);
}

/* Which of the join's pairs has this column on its upper side and may stand for it; -1: none. */
static int find_known(const struct join *join, const struct known *known, int column)
{
	for (size_t i = 0; i < join->n; i++)
		if (join->upper_columns[i] == column &&
		    same_text(known[i].column, &join->upper->columns[join->upper_columns[i]]))
			return (int)i;
	return -1;
}

static void join_upper(struct climb *c, const struct join *join, const struct known *known, const char *alias)
{
	strbuf_adds(&c->joined, "\n  JOIN ");
	sql_table(&c->joined, join->upper);
	strbuf_addf(&c->joined, " %s", alias);
	for (size_t i = 0; i < join->n; i++) {
		_cleanup_free_ char *left = column_text(alias, &join->upper->columns[join->upper_columns[i]]);
		_cleanup_free_ char *right = known_text(c, &known[i]);

		strbuf_addf(&c->joined, "%s%s = %s", i ? " AND " : " ON ", left, right);
	}
	c->n_joined++;
}

/* From the values of join->upper_columns to those of `wanted`, columns of the same table. */
static struct known *climb_join(struct climb *c, const struct join *join, struct known *known, const int *wanted,
				size_t n_wanted)
{
	struct known *next = xcalloc(n_wanted, sizeof(*next));
	_cleanup_free_ char *alias = xasprintf("u%zu", c->n_joined + 1);
	bool all = true;

	for (size_t i = 0; i < n_wanted; i++)
		all = all && find_known(join, known, wanted[i]) >= 0;
	if (!all)
		join_upper(c, join, known, alias);
	for (size_t i = 0; i < n_wanted; i++) {
		const struct known *from = all ? &known[find_known(join, known, wanted[i])] : NULL;

		if (from) {
			next[i] = *from;
			next[i].expr = xstrdup_or_null(from->expr);
		} else {
			next[i].column = &join->upper->columns[wanted[i]];
			next[i].given = -1;
			next[i].expr = column_text(alias, next[i].column);
		}
	}
	known_release(known, join->n);
	return next;
}

/* The join above join number `h` of the node; false at the top. */
static bool next_join(const struct plan_node **node, size_t *h)
{
	if (*h > 0) {
		(*h)--;
		return true;
	}
	*node = (*node)->parent;
	if (!*node || !(*node)->parent)
		return false;
	*h = (*node)->n_joins - 1;
	return true;
}

/* The root key, from the values of join h of the node. */
static struct known *climb_all(struct climb *c, const struct plan_node *node, size_t h)
{
	const struct plan_node *root = c->tree->nodes[0];
	const struct join *join = &node->joins[h];
	struct known *known = xcalloc(join->n, sizeof(*known));

	for (size_t i = 0; i < join->n; i++)
		known[i] = (struct known){.column = &join->lower->columns[join->lower_columns[i]], .given = (int)i};
	while (next_join(&node, &h)) {
		const struct join *up = &node->joins[h];

		known = climb_join(c, join, known, up->lower_columns, up->n);
		join = up;
	}
	return climb_join(c, join, known, root->key, root->n_key);
}

static void climb_init(struct climb *c, const struct tree *tree, const struct join *own)
{
	*c = (struct climb){.tree = tree, .own = own};
	c->used = xcalloc(own->n, sizeof(*c->used));
	c->numbers = xcalloc(own->n, sizeof(*c->numbers));
	strbuf_init(&c->joined, SQL_BYTES);
}

static void climb_release(struct climb *c)
{
	free(c->used);
	free(c->numbers);
	strbuf_release(&c->joined);
}

/* Parameters are numbered in the order of the columns that turned out to be needed. */
static void climb_renumber(struct climb *c)
{
	int n = 0;

	for (size_t i = 0; i < c->own->n; i++)
		c->numbers[i] = c->used[i] ? ++n : 0;
	strbuf_reset(&c->joined);
	c->n_joined = 0;
}

static void add_path_column(struct document_path *path, const struct catalog_column *column)
{
	path->columns = xreallocarray(path->columns, path->n_columns + 1, sizeof(char *));
	path->columns[path->n_columns++] = xstrdup(column->name);
}

static char *path_sql(struct climb *c, const struct known *key, size_t n_key)
{
	const char *between = "";
	struct strbuf sb;
	int n = 0;

	strbuf_init(&sb, SQL_BYTES);
	strbuf_adds(&sb, "SELECT DISTINCT ");
	for (size_t i = 0; i < n_key; i++) {
		_cleanup_free_ char *expr = known_text(c, &key[i]);

		strbuf_adds(&sb, i ? ", " : "");
		sql_text(&sb, key[i].column, expr);
	}
	for (size_t i = 0; i < c->own->n; i++)
		n = c->numbers[i] > n ? c->numbers[i] : n;
	strbuf_adds(&sb, "\nFROM unnest(");
	for (int i = 1; i <= n; i++)
		strbuf_addf(&sb, "%s$%d::text[]", i > 1 ? ", " : "", i);
	strbuf_adds(&sb, ") AS k(");
	for (int i = 1; i <= n; i++)
		strbuf_addf(&sb, "%sc%d", i > 1 ? ", " : "", i);
	strbuf_addf(&sb, ")%s", c->joined.data);
	/* A link column that is NULL leads to no root. */
	between = "\nWHERE ";
	for (size_t i = 0; i < n_key; i++) {
		if (key[i].given >= 0 || key[i].column->not_null)
			continue;
		strbuf_addf(&sb, "%s%s IS NOT NULL", between, key[i].expr);
		between = " AND ";
	}
	return strbuf_detach(&sb);
}

static void add_name(struct strbuf *sb, const char *table, const char *label)
{
	strbuf_addf(sb, "%s%s", sb->len ? " > " : "", table);
	if (label && strcmp(label, table) != 0)
		strbuf_addf(sb, " \"%s\"", label);
}

static void add_path(struct strbuf *sb, const struct plan_node *node, bool through_only)
{
	if (node->parent)
		add_path(sb, node->parent, false);
	if (node->through)
		add_name(sb, node->through->name, NULL);
	if (!through_only)
		add_name(sb, node->table->name, node->parent ? node->decl->label : NULL);
}

static char *path_description(const struct plan_node *node, size_t h)
{
	struct strbuf sb;

	strbuf_init(&sb, PATH_BYTES);
	add_path(&sb, node, h + 1 < node->n_joins);
	return strbuf_detach(&sb);
}

static bool is_direct(const struct climb *c, const struct known *key, size_t n_key)
{
	for (size_t i = 0; i < n_key; i++)
		if (key[i].given < 0)
			return false;
	return c->n_joined == 0;
}

/* The path of the rows whose own link is join h of the node: the through table's rows, or the node's. */
static struct document_path resolve_path(const struct tree *tree, const struct plan_node *node, size_t h)
{
	const struct join *own = &node->joins[h];
	size_t n_key = tree->nodes[0]->n_key;
	struct document_path path = {.relation = own->lower->oid, .description = path_description(node, h)};
	struct climb c;
	struct known *key;

	climb_init(&c, tree, own);
	key = climb_all(&c, node, h);
	path.direct = is_direct(&c, key, n_key);
	for (size_t i = 0; i < n_key; i++) {
		if (key[i].given >= 0)
			c.used[key[i].given] = true;
		if (path.direct)
			add_path_column(&path, &own->lower->columns[own->lower_columns[key[i].given]]);
	}
	if (!path.direct) {
		known_release(key, n_key);
		climb_renumber(&c);
		key = climb_all(&c, node, h);
		path.sql = path_sql(&c, key, n_key);
		for (size_t i = 0; i < own->n; i++)
			if (c.used[i])
				add_path_column(&path, &own->lower->columns[own->lower_columns[i]]);
	}
	known_release(key, n_key);
	climb_release(&c);
	return path;
}

static bool same_path(const struct document_path *a, const struct document_path *b)
{
	if (a->relation != b->relation || a->direct != b->direct || a->n_columns != b->n_columns)
		return false;
	for (size_t i = 0; i < a->n_columns; i++)
		if (strcmp(a->columns[i], b->columns[i]) != 0)
			return false;
	return !a->sql || !b->sql ? a->sql == b->sql && a->opaque == b->opaque : strcmp(a->sql, b->sql) == 0;
}

/* Rows that lead to the same roots from two nodes of the tree need to be followed once. */
static void add_document_path(struct document_plan *plan, struct document_path path)
{
	for (size_t i = 0; i < plan->n_paths; i++) {
		if (!same_path(&plan->paths[i], &path))
			continue;
		free(path.description);
		free_strings(path.columns, path.n_columns);
		free(path.sql);
		return;
	}
	plan->paths = xreallocarray(plan->paths, plan->n_paths + 1, sizeof(*plan->paths));
	plan->paths[plan->n_paths++] = path;
}

static struct document_path root_path(const struct tree *tree)
{
	const struct plan_node *root = tree->nodes[0];
	struct document_path path = {.relation = root->table->oid,
				     .description = path_description(root, 0),
				     .direct = true,
				     .is_root = true};

	for (size_t i = 0; i < root->n_key; i++)
		add_path_column(&path, &root->table->columns[root->key[i]]);
	if (tree->routing >= 0)
		path.routing = xstrdup(root->table->columns[tree->routing].name);
	return path;
}

/* Between a base table and the rows of its view lies whatever the view's definition says. */
static struct document_path base_path(const struct plan_node *node, const struct catalog_table *base)
{
	_cleanup_free_ char *view = path_description(node, node->n_joins);

	return (struct document_path){
		.relation = base->oid, .description = xasprintf("%s < %s", view, base->name), .opaque = true};
}

/* --- tables */

static struct document_table *find_table(struct document_plan *plan, const struct tree *tree, uint32_t oid)
{
	struct document_table *table;

	for (size_t i = 0; i < plan->n_tables; i++)
		if (plan->tables[i].table->oid == oid)
			return &plan->tables[i];
	plan->tables = xreallocarray(plan->tables, plan->n_tables + 1, sizeof(*plan->tables));
	table = &plan->tables[plan->n_tables++];
	*table = (struct document_table){
		.table = catalog_find_oid(tree->catalog, oid),
		.is_root = oid == plan->root->oid,
	};
	return table;
}

static void add_link_column(struct document_table *table, int column)
{
	for (size_t i = 0; i < table->n_link_columns; i++)
		if (table->link_columns[i] == column)
			return;
	table->link_columns =
		xreallocarray(table->link_columns, table->n_link_columns + 1, sizeof(*table->link_columns));
	table->link_columns[table->n_link_columns++] = column;
}

static void add_tables(struct document_plan *plan, const struct tree *tree)
{
	for (size_t i = 0; i < plan->n_paths; i++) {
		const struct document_path *path = &plan->paths[i];
		struct document_table *table = find_table(plan, tree, path->relation);

		for (size_t j = 0; j < path->n_columns; j++)
			add_link_column(table, catalog_column(table->table, path->columns[j]));
	}
	/* A deletion has to name the shard that its document is on. */
	if (tree->routing >= 0 && !plan->root_is_view)
		add_link_column(find_table(plan, tree, plan->root->oid), tree->routing);
}

void paths_build(const struct tree *tree, struct document_plan *plan)
{
	if (!catalog_is_view(tree->nodes[0]->table))
		add_document_path(plan, root_path(tree));
	for (size_t i = 0; i < tree->n; i++) {
		const struct plan_node *node = tree->nodes[i];

		for (size_t h = 0; h < node->n_joins; h++)
			if (!catalog_is_view(node->joins[h].lower))
				add_document_path(plan, resolve_path(tree, node, h));
		for (size_t b = 0; b < node->n_base; b++)
			add_document_path(plan, base_path(node, node->base[b]));
	}
	add_tables(plan, tree);
}
