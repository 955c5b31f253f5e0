/* The document query.
 *
 * One set for each level: r0 is the root's rows, r<i> the rows of a place that has sets below it, restricted to the
 * keys of the level above; n<i> is a place's rows made into json and grouped by the link to their parent, joined to the
 * parent's query. So the same text is a handful of index look-ups for one root and hash joins for a whole table, as the
 * planner finds better. Measured on Postgres 17 (200,000 roots with 300,000 links; and a tree of four levels):
 *
 * - r0 is NOT MATERIALIZED: reading a root's key twice (by key or by ctid) costs less than storing wide rows, and the
 *   planner keeps the statistics and uniqueness of the table. A whole table in one range took 2.0 s, stored 3.2 s.
 * - r<i> is MATERIALIZED: otherwise each level below repeats the whole chain of semi-joins above it, and planning grows
 *   with depth (3 ms for four levels, against 1 ms).
 * - Semi-joins, not LATERAL: per-row subplans took 16.9 s where the sets took 4 s.
 * - row_to_json of a LATERAL row that the planner pulls up has no limit of 100 arguments, keeps the columns' order and
 *   is quicker than json_build_object. Its keys are column names, so a label above 63 bytes needs the latter.
 * - By key, the first level is found by the parameters themselves where it refers to the root's key.
 * - A place that joins at most one row, with only such places below, is a plain LEFT JOIN in its parent's query.
 *
 * By range the plan has to be made for the actual parameters (an unprepared statement, or plan_cache_mode =
 * force_custom_plan): only then the planner knows how many blocks there are. By key a generic plan is as good, and
 * saves its making: it assumes ten keys and nests loops (one key 0.1 ms, 1,000 keys 22 ms; planned each time 0.3 and 25
 * ms). random_page_cost = 1.1 keeps small ranges from reading whole child tables (all of it in ranges of 24 blocks: 3.1
 * s of CPU time, with 4: 5.3 s; in ranges of 240 blocks 3 s with either).
 */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { NAME_BYTES = 63, PIECE_PAIRS = 50, EXPRESSION_BYTES = 64 * 1024 };

/* --- words */

/* 'a\0025b' after U& is a%b: the placeholder's sign never stands in SQL for anything else. */
static void add_escaped(struct strbuf *sb, const char *s, char quote)
{
	strbuf_adds(sb, "U&");
	strbuf_addc(sb, quote);
	for (; *s; s++) {
		if (*s == '%')
			strbuf_adds(sb, "\\0025");
		else if (*s == '\\')
			strbuf_adds(sb, "\\\\");
		else if (*s == quote)
			strbuf_addf(sb, "%c%c", quote, quote);
		else
			strbuf_addc(sb, *s);
	}
	strbuf_addc(sb, quote);
}

void sql_ident(struct strbuf *sb, const char *name)
{
	if (strchr(name, '%'))
		add_escaped(sb, name, '"');
	else
		pg_quote_ident(sb, name);
}

static void sql_literal(struct strbuf *sb, const char *value)
{
	if (strchr(value, '%'))
		add_escaped(sb, value, '\'');
	else
		pg_quote_literal(sb, value);
}

void sql_table(struct strbuf *sb, const struct catalog_table *table)
{
	sql_ident(sb, table->schema);
	strbuf_addc(sb, '.');
	sql_ident(sb, table->name);
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

/* A cast to text is not the output function for these; concat() is. */
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
	const struct place *root;
	bool by_range;
	struct strbuf sb;
};

/* t3."name"; j3 is the through table of place 3. */
static void add_column(struct query *q, char kind, const struct place *place, const struct catalog_table *table,
		       int column)
{
	strbuf_addf(&q->sb, "%c%zu.", kind, place->number);
	sql_ident(&q->sb, table->columns[column].name);
}

static void add_own(struct query *q, const struct place *place, int column)
{
	add_column(q, 't', place, place->table, column);
}

/* The link's columns among those of r<i>: a name that no column of the table has. */
static void add_key_name(struct query *q, const struct place *place, size_t i)
{
	_cleanup_free_ char *name = xasprintf("key.%zu", i + 1);

	while (catalog_column(place->table, name) >= 0) {
		char *longer = xasprintf("%s.", name);

		free(name);
		name = longer;
	}
	pg_quote_ident(&q->sb, name);
}

/* The link to the parent's row, as the place's own query sees it. */
static void add_link(struct query *q, const struct place *place, size_t i, bool from_set)
{
	const struct hop *hop = &place->hops[0];

	if (from_set) {
		strbuf_addf(&q->sb, "t%zu.", place->number);
		add_key_name(q, place, i);
	} else {
		add_column(q, place->through ? 'j' : 't', place, hop->lower, hop->lower_columns[i]);
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

static void add_root_condition(struct query *q)
{
	const struct place *root = q->root;

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

static int key_position(const struct place *root, int column)
{
	for (size_t i = 0; i < root->n_key; i++)
		if (root->key[i] == column)
			return (int)i;
	return -1;
}

/* The parameters are the parent's keys already. */
static bool found_by_parameters(const struct query *q, const struct place *place)
{
	if (q->by_range || place->parent != q->root)
		return false;
	for (size_t i = 0; i < place->hops[0].n; i++)
		if (key_position(q->root, place->hops[0].upper_columns[i]) < 0)
			return false;
	return true;
}

/* The rows of a place that hang on the rows of the level above. */
static void add_link_condition(struct query *q, const struct place *place)
{
	const struct hop *hop = &place->hops[0];
	bool parameters = found_by_parameters(q, place);

	if (parameters && keys_as_array(q) && hop->n == 1) {
		add_link(q, place, 0, false);
		add_any(q);
		return;
	}
	strbuf_addc(&q->sb, '(');
	for (size_t i = 0; i < hop->n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_link(q, place, i, false);
	}
	strbuf_adds(&q->sb, ") IN (SELECT ");
	for (size_t i = 0; i < hop->n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		if (parameters)
			add_key_cast(q, (size_t)key_position(q->root, hop->upper_columns[i]));
		else
			sql_ident(&q->sb, hop->upper->columns[hop->upper_columns[i]].name);
	}
	strbuf_adds(&q->sb, " FROM ");
	if (parameters)
		add_unnest(q);
	else
		strbuf_addf(&q->sb, "r%zu", place->parent->number);
	strbuf_addc(&q->sb, ')');
}

/* --- values */

static void add_value(struct query *q, const struct place *place);

static void add_label_value(struct query *q, const struct place *child)
{
	if (!child->inlined) {
		strbuf_addf(&q->sb, "n%zu.doc", child->number);
	} else if (child->scalar) {
		add_value(q, child);
	} else {
		strbuf_adds(&q->sb, "CASE WHEN ");
		add_own(q, child, child->hops[0].lower_columns[0]);
		strbuf_adds(&q->sb, " IS NOT NULL THEN ");
		add_value(q, child);
		strbuf_adds(&q->sb, " END");
	}
}

static bool has_long_label(const struct place *place)
{
	for (size_t i = 0; i < place->n_children; i++)
		if (strlen(place->children[i]->node->label) > NAME_BYTES)
			return true;
	return false;
}

/* Key and value number i of an object: columns, then children. */
static void add_pair(struct query *q, const struct place *place, size_t i)
{
	const struct place *child = i < place->n_columns ? NULL : place->children[i - place->n_columns];

	sql_literal(&q->sb, child ? child->node->label : place->table->columns[place->columns[i]].name);
	strbuf_adds(&q->sb, ", ");
	if (child)
		add_label_value(q, child);
	else
		add_own(q, place, place->columns[i]);
}

/* json_build_object takes 100 arguments; pieces are put together as text, without their inner braces. */
static void add_build_object(struct query *q, const struct place *place)
{
	size_t n = place->n_columns + place->n_children;
	size_t pieces = (n + PIECE_PAIRS - 1) / PIECE_PAIRS;

	strbuf_adds(&q->sb, pieces > 1 ? "(" : "");
	for (size_t piece = 0; piece < pieces; piece++) {
		if (piece)
			strbuf_adds(&q->sb, " || ',' || ");
		strbuf_adds(&q->sb, pieces == 1          ? ""
				    : piece == 0         ? "left("
				    : piece + 1 < pieces ? "substr(left("
							 : "substr(");
		strbuf_adds(&q->sb, "json_build_object(");
		for (size_t i = piece * PIECE_PAIRS; i < n && i < (piece + 1) * PIECE_PAIRS; i++) {
			strbuf_adds(&q->sb, i > piece * PIECE_PAIRS ? ", " : "");
			add_pair(q, place, i);
		}
		strbuf_addc(&q->sb, ')');
		if (pieces > 1)
			strbuf_adds(&q->sb, piece == 0           ? "::text, -1)"
					    : piece + 1 < pieces ? "::text, -1), 2)"
								 : "::text, 2)");
	}
	strbuf_adds(&q->sb, pieces > 1 ? ")::json" : "");
}

/* What a row of the place becomes. */
static void add_value(struct query *q, const struct place *place)
{
	if (place->scalar)
		add_own(q, place, place->columns[0]);
	else if (has_long_label(place))
		add_build_object(q, place);
	else
		strbuf_addf(&q->sb, "row_to_json(x%zu)", place->number);
}

/* --- joins */

static void add_equalities(struct query *q, const struct place *place, const struct place *child)
{
	const struct hop *hop = &child->hops[0];

	for (size_t i = 0; i < hop->n; i++) {
		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		if (child->inlined)
			add_own(q, child, hop->lower_columns[i]);
		else
			strbuf_addf(&q->sb, "n%zu.\"key.%zu\"", child->number, i + 1);
		strbuf_adds(&q->sb, " = ");
		add_own(q, place, hop->upper_columns[i]);
	}
}

static void add_child_joins(struct query *q, const struct place *place)
{
	for (size_t i = 0; i < place->n_children; i++) {
		const struct place *child = place->children[i];

		strbuf_adds(&q->sb, "\n  LEFT JOIN ");
		if (child->inlined) {
			sql_table(&q->sb, child->table);
			strbuf_addf(&q->sb, " t%zu", child->number);
		} else {
			strbuf_addf(&q->sb, "n%zu", child->number);
		}
		add_equalities(q, place, child);
		if (child->inlined)
			add_child_joins(q, child);
	}
}

/* The rows that row_to_json takes, those within first. */
static void add_object_rows(struct query *q, const struct place *place)
{
	for (size_t i = 0; i < place->n_children; i++)
		if (place->children[i]->inlined)
			add_object_rows(q, place->children[i]);
	if (place->scalar || has_long_label(place))
		return;
	strbuf_adds(&q->sb, "\n  CROSS JOIN LATERAL (SELECT ");
	for (size_t i = 0; i < place->n_columns; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_own(q, place, place->columns[i]);
	}
	for (size_t i = 0; i < place->n_children; i++) {
		strbuf_adds(&q->sb, i || place->n_columns ? ", " : "");
		add_label_value(q, place->children[i]);
		strbuf_adds(&q->sb, " AS ");
		sql_ident(&q->sb, place->children[i]->node->label);
	}
	strbuf_addf(&q->sb, ") x%zu", place->number);
}

/* --- sets */

static void mark(bool *needed, const int *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		needed[columns[i]] = true;
}

/* The columns of the table that the queries on top of r<i> use. */
static void add_needed(struct query *q, const struct place *place, bool comma)
{
	_cleanup_free_ bool *needed = xcalloc(place->table->n_columns, sizeof(*needed));

	mark(needed, place->key, place->n_key);
	mark(needed, place->columns, place->n_columns);
	for (size_t i = 0; i < place->n_children; i++)
		mark(needed, place->children[i]->hops[0].upper_columns, place->children[i]->hops[0].n);
	if (!place->parent && q->tree->routing >= 0)
		needed[q->tree->routing] = true;
	for (size_t i = 0; i < place->table->n_columns; i++) {
		if (!needed[i])
			continue;
		strbuf_adds(&q->sb, comma ? ", " : "");
		add_own(q, place, (int)i);
		comma = true;
	}
}

static void add_source(struct query *q, const struct place *place)
{
	if (place->through) {
		sql_table(&q->sb, place->through);
		strbuf_addf(&q->sb, " j%zu JOIN ", place->number);
	}
	sql_table(&q->sb, place->table);
	strbuf_addf(&q->sb, " t%zu", place->number);
	for (size_t i = 0; place->through && i < place->hops[1].n; i++) {
		const struct hop *hop = &place->hops[1];

		strbuf_adds(&q->sb, i ? " AND " : " ON ");
		add_own(q, place, hop->lower_columns[i]);
		strbuf_adds(&q->sb, " = ");
		add_column(q, 'j', place, hop->upper, hop->upper_columns[i]);
	}
}

/* r<i>: the place's rows, each once for each parent's row that it hangs on. */
static void add_row_set(struct query *q, const struct place *place)
{
	strbuf_addf(&q->sb, "r%zu AS MATERIALIZED (\n  SELECT ", place->number);
	for (size_t i = 0; i < place->hops[0].n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_link(q, place, i, false);
		strbuf_adds(&q->sb, " AS ");
		add_key_name(q, place, i);
	}
	add_needed(q, place, true);
	strbuf_adds(&q->sb, "\n  FROM ");
	add_source(q, place);
	strbuf_adds(&q->sb, "\n  WHERE ");
	add_link_condition(q, place);
	strbuf_adds(&q->sb, "\n), ");
}

static void add_links(struct query *q, const struct place *place, const char *name)
{
	for (size_t i = 0; i < place->hops[0].n; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_link(q, place, i, place->has_sets);
		if (name)
			strbuf_addf(&q->sb, " AS \"%s.%zu\"", name, i + 1);
	}
}

static void add_order(struct query *q, const struct place *place)
{
	for (size_t i = 0; i < place->n_key; i++) {
		strbuf_adds(&q->sb, i ? ", " : "");
		add_own(q, place, place->key[i]);
	}
}

/* n<i>: json by link. Of several rows in a one_to_one the first by primary key counts. */
static void add_json_set(struct query *q, const struct place *place)
{
	bool first = !place->many && !place->unique;

	strbuf_addf(&q->sb, "n%zu AS (\n  SELECT ", place->number);
	if (first) {
		strbuf_adds(&q->sb, "DISTINCT ON (");
		add_links(q, place, NULL);
		strbuf_adds(&q->sb, ") ");
	}
	add_links(q, place, "key");
	strbuf_adds(&q->sb, place->many ? ", json_agg(" : ", ");
	add_value(q, place);
	if (place->many) {
		strbuf_adds(&q->sb, " ORDER BY ");
		add_order(q, place);
		strbuf_addc(&q->sb, ')');
	}
	strbuf_adds(&q->sb, " AS doc\n  FROM ");
	if (place->has_sets)
		strbuf_addf(&q->sb, "r%zu t%zu", place->number, place->number);
	else
		add_source(q, place);
	add_child_joins(q, place);
	add_object_rows(q, place);
	if (!place->has_sets) {
		strbuf_adds(&q->sb, "\n  WHERE ");
		add_link_condition(q, place);
	}
	if (place->many || first) {
		strbuf_adds(&q->sb, place->many ? "\n  GROUP BY " : "\n  ORDER BY ");
		add_links(q, place, NULL);
	}
	if (first) {
		strbuf_adds(&q->sb, ", ");
		add_order(q, place);
	}
	strbuf_adds(&q->sb, "\n), ");
}

/* Rows from the top, json from the bottom: every set stands after those that it uses. */
static void add_row_sets(struct query *q, const struct place *place)
{
	for (size_t i = 0; i < place->n_children; i++) {
		const struct place *child = place->children[i];

		if (child->inlined || !child->has_sets)
			continue;
		add_row_set(q, child);
		add_row_sets(q, child);
	}
}

static void add_json_sets(struct query *q, const struct place *place)
{
	for (size_t i = 0; i < place->n_children; i++) {
		const struct place *child = place->children[i];

		if (child->inlined)
			continue;
		add_json_sets(q, child);
		add_json_set(q, child);
	}
}

/* --- the root */

static void add_root_source(struct query *q)
{
	/* Parts of a partitioned table have their own ctids: the caller names one. */
	if (q->by_range && q->root->table->kind == 'p')
		strbuf_adds(&q->sb, "%s");
	else
		sql_table(&q->sb, q->root->table);
	strbuf_adds(&q->sb, " t0");
}

static void add_root_set(struct query *q)
{
	strbuf_adds(&q->sb, "WITH r0 AS NOT MATERIALIZED (\n  SELECT ");
	add_needed(q, q->root, false);
	strbuf_adds(&q->sb, "\n  FROM ");
	add_root_source(q);
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

char *sql_documents(const struct tree *tree, bool by_range)
{
	struct query q = {.tree = tree, .root = tree->places[0], .by_range = by_range};

	strbuf_init(&q.sb, SQL_BYTES);
	if (q.root->has_sets) {
		add_root_set(&q);
		add_row_sets(&q, q.root);
		add_json_sets(&q, q.root);
		strbuf_truncate(&q.sb, q.sb.len - 2);
		strbuf_addc(&q.sb, '\n');
	}
	strbuf_adds(&q.sb, "SELECT ");
	add_root_keys(&q);
	strbuf_adds(&q.sb, ", ");
	add_value(&q, q.root);
	strbuf_adds(&q.sb, " AS doc");
	if (tree->routing >= 0) {
		strbuf_adds(&q.sb, ", ");
		add_root_text(&q, tree->routing);
	}
	strbuf_adds(&q.sb, "\nFROM ");
	if (q.root->has_sets)
		strbuf_adds(&q.sb, "r0 t0");
	else
		add_root_source(&q);
	add_child_joins(&q, q.root);
	add_object_rows(&q, q.root);
	if (!q.root->has_sets) {
		strbuf_adds(&q.sb, "\nWHERE ");
		add_root_condition(&q);
	}
	return strbuf_detach(&q.sb);
}

char *sql_all_roots(const struct tree *tree)
{
	struct query q = {.tree = tree, .root = tree->places[0]};

	strbuf_init(&q.sb, SQL_BYTES);
	strbuf_adds(&q.sb, "SELECT ");
	add_root_keys(&q);
	strbuf_adds(&q.sb, " FROM ");
	add_root_source(&q);
	return strbuf_detach(&q.sb);
}
