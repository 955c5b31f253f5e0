/* From a changed row to root keys.
 *
 * A row of the tree is linked to the row above it by the columns of one join; those values, old and new, are all that a
 * change must bring. (The columns that join it to rows below need no old value: a row below that leaves the document
 * either changed itself, and is found from its own change, or is found from this row.) From these values the path is
 * resolved join by join. A table is joined only if the next join needs columns of it that are not known yet by
 * equality; when none is joined, the values are the root key themselves.
 *
 * A path is first resolved as data, which shows which of the changed row's columns are needed, and then written as
 * SQL. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { PATH_BYTES = 16 * 1024, EXPRESSION_BYTES = 1024 };

/* A value on the path: of a column of the changed row, or of a table that was joined. */
struct value {
	const struct catalog_column *column; /* whose type it has */
	size_t step;                         /* the step whose table it is of, from 1; 0: of the changed row */
	size_t link;                         /* when step is 0: its position in the own join */
};

/* A table that has to be joined: u<number of the step>. */
struct step {
	const struct join *join;
	struct value *lower; /* join->n values: what the upper columns are equal to */
};

struct resolution {
	const struct tree *tree;
	const struct join *own; /* the changed row is of own->lower */
	struct step *steps;
	size_t n_steps;
	struct value *key; /* the root key */
};

/* Equal values of these types have equal texts, so that one can be used for the other. */
static bool have_equal_texts(const struct catalog_column *a, const struct catalog_column *b)
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

/* --- resolving --- */

/* Which of the join's pairs has this column on its upper side, with a value of equal text on the lower; -1: none. */
static int find_equal_value(const struct join *join, const struct value *lower, int column)
{
	for (size_t i = 0; i < join->n; i++)
		if (join->upper_columns[i] == column && !join_is_loose(join, i) &&
		    have_equal_texts(lower[i].column, &join->upper->columns[join->upper_columns[i]]))
			return (int)i;
	return -1;
}

static bool all_known(const struct join *join, const struct value *lower, const int *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (find_equal_value(join, lower, wanted[i]) < 0)
			return false;
	return true;
}

/* From the values of the join's lower columns to those of `wanted`, columns of its upper table. */
static struct value *resolve_join(struct resolution *r, const struct join *join, struct value *lower_take,
				  const int *wanted, size_t n)
{
	struct value *next = xcalloc(n, sizeof(*next));

	if (all_known(join, lower_take, wanted, n)) {
		for (size_t i = 0; i < n; i++)
			next[i] = lower_take[find_equal_value(join, lower_take, wanted[i])];
		free(lower_take);
		return next;
	}
	r->steps = xreallocarray(r->steps, r->n_steps + 1, sizeof(*r->steps));
	r->steps[r->n_steps++] = (struct step){.join = join, .lower = lower_take};
	for (size_t i = 0; i < n; i++)
		next[i] = (struct value){.column = &join->upper->columns[wanted[i]], .step = r->n_steps};
	return next;
}

/* The join above the node's j-th one; false at the top. */
static bool next_join(const struct plan_node **node, size_t *j)
{
	if (*j > 0) {
		(*j)--;
		return true;
	}
	*node = (*node)->parent;
	if (!*node || !(*node)->parent)
		return false;
	*j = (*node)->n_joins - 1;
	return true;
}

/* The root key, from the values of the node's j-th join. */
static void resolve_root_key(struct resolution *r, const struct plan_node *node, size_t j)
{
	const struct plan_node *root = r->tree->nodes[0];
	const struct join *join = r->own;
	struct value *values = xcalloc(join->n, sizeof(*values));

	for (size_t i = 0; i < join->n; i++)
		values[i] = (struct value){.column = &join->lower->columns[join->lower_columns[i]], .link = i};
	while (next_join(&node, &j)) {
		const struct join *up = &node->joins[j];

		values = resolve_join(r, join, values, up->lower_columns, up->n);
		join = up;
	}
	r->key = resolve_join(r, join, values, root->key, root->n_key);
}

static void resolution_release(struct resolution *r)
{
	for (size_t i = 0; i < r->n_steps; i++)
		free(r->steps[i].lower);
	free(r->steps);
	free(r->key);
}

/* --- parameters --- */

static void mark_used(bool *used, const struct value *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (values[i].step == 0)
			used[values[i].link] = true;
}

/* The parameter of each of the own join's columns, from 1 in their order; 0: it is not needed. Caller frees. */
static int *number_parameters(const struct resolution *r, int *ret_n)
{
	_cleanup_free_ bool *used = xcalloc(r->own->n, sizeof(*used));
	int *numbers = xcalloc(r->own->n, sizeof(*numbers));

	*ret_n = 0;
	for (size_t i = 0; i < r->n_steps; i++)
		mark_used(used, r->steps[i].lower, r->steps[i].join->n);
	mark_used(used, r->key, r->tree->nodes[0]->n_key);
	for (size_t i = 0; i < r->own->n; i++)
		numbers[i] = used[i] ? ++*ret_n : 0;
	return numbers;
}

/* --- SQL --- */

static void add_step_column(struct strbuf *sb, size_t step, const struct catalog_column *column)
{
	strbuf_addf(sb, "u%zu.", step);
	pg_quote_ident(sb, column->name);
}

static void add_path_value(struct strbuf *sb, const struct value *value, const int *numbers)
{
	_cleanup_free_ char *type = NULL;

	if (value->step) {
		add_step_column(sb, value->step, value->column);
		return;
	}
	type = sql_type(value->column);
	strbuf_addf(sb, "k.c%d::%s", numbers[value->link], type);
}

static void add_root_key(struct strbuf *sb, const struct resolution *r, const int *numbers)
{
	for (size_t i = 0; i < r->tree->nodes[0]->n_key; i++) {
		struct strbuf value;

		strbuf_init(&value, EXPRESSION_BYTES);
		add_path_value(&value, &r->key[i], numbers);
		strbuf_adds(sb, i ? ", " : "");
		sql_text(sb, r->key[i].column, value.data);
		strbuf_release(&value);
	}
}

static void add_unnested(struct strbuf *sb, int n)
{
	strbuf_adds(sb, "unnest(");
	for (int i = 1; i <= n; i++)
		strbuf_addf(sb, "%s$%d::text[]", i > 1 ? ", " : "", i);
	strbuf_adds(sb, ") AS k(");
	for (int i = 1; i <= n; i++)
		strbuf_addf(sb, "%sc%d", i > 1 ? ", " : "", i);
	strbuf_addc(sb, ')');
}

static void add_step(struct strbuf *sb, const struct step *step, size_t number, const int *numbers)
{
	const struct join *join = step->join;

	strbuf_adds(sb, "\n  JOIN ");
	sql_table(sb, join->upper);
	strbuf_addf(sb, " u%zu", number);
	for (size_t i = 0; i < join->n; i++) {
		strbuf_adds(sb, i ? " AND " : " ON ");
		add_step_column(sb, number, &join->upper->columns[join->upper_columns[i]]);
		sql_collate_up(sb, join, i, true);
		sql_equals(sb, step->lower[i].column, &join->upper->columns[join->upper_columns[i]]);
		add_path_value(sb, &step->lower[i], numbers);
		sql_collate_up(sb, join, i, false);
	}
}

/* A link column that is NULL leads to no root. */
static void add_not_null(struct strbuf *sb, const struct resolution *r)
{
	const char *between = "\nWHERE ";

	for (size_t i = 0; i < r->tree->nodes[0]->n_key; i++) {
		if (!r->key[i].step || r->key[i].column->not_null)
			continue;
		strbuf_adds(sb, between);
		add_step_column(sb, r->key[i].step, r->key[i].column);
		strbuf_adds(sb, " IS NOT NULL");
		between = " AND ";
	}
}

static char *path_sql(const struct resolution *r, const int *numbers, int n)
{
	struct strbuf sb;

	strbuf_init(&sb, SQL_BYTES);
	strbuf_adds(&sb, "SELECT DISTINCT ");
	add_root_key(&sb, r, numbers);
	strbuf_adds(&sb, "\nFROM ");
	add_unnested(&sb, n);
	for (size_t i = 0; i < r->n_steps; i++)
		add_step(&sb, &r->steps[i], i + 1, numbers);
	add_not_null(&sb, r);
	return strbuf_detach(&sb);
}

/* --- paths --- */

static void add_label(struct strbuf *sb, const char *table, const char *label)
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
		add_label(sb, node->through->name, NULL);
	if (!through_only)
		add_label(sb, node->table->name, node->parent ? node->decl->label : NULL);
}

static char *path_description(const struct plan_node *node, size_t j)
{
	struct strbuf sb;

	strbuf_init(&sb, PATH_BYTES);
	add_path(&sb, node, j + 1 < node->n_joins);
	return strbuf_detach(&sb);
}

static void add_path_column(struct document_path *path, const struct catalog_column *column)
{
	path->columns = xreallocarray(path->columns, path->n_columns + 1, sizeof(char *));
	path->columns[path->n_columns++] = xstrdup(column->name);
}

/* The path of the rows whose link is the node's j-th join: the through table's rows, or the node's. */
static struct document_path join_path(const struct tree *tree, const struct plan_node *node, size_t j)
{
	const struct join *own = &node->joins[j];
	struct document_path path = {.relation = own->lower->oid, .description = path_description(node, j)};
	struct resolution r = {.tree = tree, .own = own};
	_cleanup_free_ int *numbers = NULL;
	int n;

	resolve_root_key(&r, node, j);
	path.direct = r.n_steps == 0;
	if (path.direct) {
		for (size_t i = 0; i < tree->nodes[0]->n_key; i++)
			add_path_column(&path, r.key[i].column);
	} else {
		numbers = number_parameters(&r, &n);
		path.sql = path_sql(&r, numbers, n);
		for (size_t i = 0; i < own->n; i++)
			if (numbers[i])
				add_path_column(&path, &own->lower->columns[own->lower_columns[i]]);
	}
	resolution_release(&r);
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

/* Two nodes may have the same path: keep one of them. */
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

/* How a view's rows depend on a base table is only known to its definition. */
static struct document_path base_path(const struct plan_node *node, const struct catalog_table *base)
{
	_cleanup_free_ char *view = path_description(node, node->n_joins);

	return (struct document_path){
		.relation = base->oid, .description = xasprintf("%s < %s", view, base->name), .opaque = true};
}

/* --- tables */

static struct document_table *find_document_table(struct document_plan *plan, const struct tree *tree, uint32_t oid)
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

static void add_column_once(int **columns, size_t *n, int column)
{
	for (size_t i = 0; i < *n; i++)
		if ((*columns)[i] == column)
			return;
	*columns = xreallocarray(*columns, *n + 1, sizeof(**columns));
	(*columns)[(*n)++] = column;
}

static void add_link_column(struct document_table *table, int column)
{
	add_column_once(&table->link_columns, &table->n_link_columns, column);
}

static void add_used(struct document_plan *plan, const struct catalog_table *of, const int *columns, size_t n)
{
	for (size_t t = 0; t < plan->n_tables; t++)
		for (size_t i = 0; plan->tables[t].table == of && i < n; i++)
			add_column_once(&plan->tables[t].used_columns, &plan->tables[t].n_used_columns, columns[i]);
}

static void add_used_by(struct document_plan *plan, const struct plan_node *node)
{
	add_used(plan, node->table, node->key, node->n_key);
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_COLUMN)
			add_used(plan, node->table, &node->fields[i].column, 1);
	for (size_t i = 0; i < node->n_sorts; i++)
		if (node->sorts[i].column >= 0)
			add_used(plan, node->table, &node->sorts[i].column, 1);
	for (size_t j = 0; j < node->n_joins; j++) {
		add_used(plan, node->joins[j].upper, node->joins[j].upper_columns, node->joins[j].n);
		add_used(plan, node->joins[j].lower, node->joins[j].lower_columns, node->joins[j].n);
	}
}

static void add_tables(struct document_plan *plan, const struct tree *tree)
{
	for (size_t i = 0; i < plan->n_paths; i++) {
		const struct document_path *path = &plan->paths[i];
		struct document_table *table = find_document_table(plan, tree, path->relation);

		for (size_t j = 0; j < path->n_columns; j++)
			add_link_column(table, catalog_column(table->table, path->columns[j]));
	}
	/* A deletion has to name the shard that contains its document. */
	if (tree->routing >= 0 && !plan->root_is_view)
		add_link_column(find_document_table(plan, tree, plan->root->oid), tree->routing);
	for (size_t i = 0; i < tree->n; i++)
		add_used_by(plan, tree->nodes[i]);
}

void paths_build(const struct tree *tree, struct document_plan *plan)
{
	if (!catalog_is_view(tree->nodes[0]->table))
		add_document_path(plan, root_path(tree));
	for (size_t i = 0; i < tree->n; i++) {
		const struct plan_node *node = tree->nodes[i];

		for (size_t j = 0; j < node->n_joins; j++)
			if (!catalog_is_view(node->joins[j].lower))
				add_document_path(plan, join_path(tree, node, j));
		for (size_t b = 0; b < node->n_base; b++)
			add_document_path(plan, base_path(node, node->base[b]));
	}
	add_tables(plan, tree);
}
