/* How two tables of the tree are joined: by foreign_key, otherwise by the only foreign key between them. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum { LIST_BYTES = 4096 };

void join_release(struct join *join)
{
	free(join->upper_columns);
	free(join->lower_columns);
	*join = (struct join){0};
}

/* If the table is not known, its column names cannot be checked. */
static bool find_columns(const struct catalog_table *table, const struct jsonx_strings *names, const char *path,
			 int **ret, struct diagnostics *d)
{
	int *columns = xcalloc(names->n, sizeof(*columns));
	bool ok = true;

	for (size_t i = 0; table && i < names->n; i++) {
		columns[i] = catalog_column(table, names->items[i]);
		if (columns[i] >= 0 || !*names->items[i])
			continue;
		diagnostics_unknown_column(d, path, table, names->items[i]);
		ok = false;
	}
	*ret = columns;
	return ok;
}

/* --- collations */

static const struct catalog_column *side_of(const struct join *join, size_t i, bool of_upper)
{
	return of_upper ? &join->upper->columns[join->upper_columns[i]] : &join->lower->columns[join->lower_columns[i]];
}

/* Deterministic collations agree on what is equal, so the side that is looked up by an index keeps its own. */
const char *join_collation(const struct join *join, size_t i, bool of_upper, bool index_on_upper)
{
	const struct catalog_column *own = side_of(join, i, of_upper), *other = side_of(join, i, !of_upper);
	bool agree = !own->nondeterministic && !other->nondeterministic;
	bool upper_decides = agree ? index_on_upper : !join->refers_to_lower;

	if (of_upper == upper_decides || !own->collation || !other->collation ||
	    strcmp(own->collation, other->collation) == 0)
		return NULL;
	return other->collation;
}

bool join_is_loose(const struct join *join, size_t i)
{
	return side_of(join, i, !join->refers_to_lower)->nondeterministic;
}

/* --- explicit foreign_key */

/* Numbers of these types compare with each other; oid types and money only with their own type. */
static bool is_number(const struct catalog_column *column)
{
	static const char *const types[] = {"int2", "int4", "int8", "numeric", "float4", "float8"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(column->base_type, types[i]) == 0)
			return true;
	return false;
}

static bool comparable(const struct catalog_column *a, const struct catalog_column *b)
{
	return strcmp(a->base_type, b->base_type) == 0 || (is_number(a) && is_number(b)) ||
	       (a->category == 'S' && b->category == 'S');
}

/* Columns of a join are also grouped by. */
static bool check_order(const struct catalog_table *table, int position, const char *path, struct diagnostics *d)
{
	const struct catalog_column *column = &table->columns[position];

	if (column->no_order)
		diagnostics_fail(d, REASON_INVALID_SCHEMA, path,
				 "column `%s` of %s.%s has type %s, whose values cannot be compared; name columns of "
				 "another type%s",
				 column->name, table->schema, table->name, column->type,
				 strcmp(column->base_type, "json") == 0 ? ", such as jsonb" : "");
	return !column->no_order;
}

/* A foreign key of the upper table refers to these columns of the lower one. */
static bool is_declared_on_upper(const struct join *join)
{
	for (size_t k = 0; k < join->upper->n_foreign_keys; k++) {
		const struct catalog_foreign_key *fk = &join->upper->foreign_keys[k];

		if (fk->to == join->lower->oid && columns_are_equal(fk->columns, fk->n, join->upper_columns, join->n) &&
		    columns_are_equal(fk->to_columns, fk->n, join->lower_columns, join->n))
			return true;
	}
	return false;
}

static bool resolve_given(const struct join_request *r, struct join *join, struct diagnostics *d)
{
	_cleanup_free_ char *upper = xasprintf("%s.relationship.foreign_key.parent", r->path);
	_cleanup_free_ char *lower = xasprintf("%s.relationship.foreign_key.child", r->path);
	bool found_upper = find_columns(r->upper, r->upper_columns, upper, &join->upper_columns, d);
	bool found_lower = find_columns(r->lower, r->lower_columns, lower, &join->lower_columns, d);

	if (!found_upper || !found_lower || r->invalid || r->upper_columns->n != r->lower_columns->n)
		return false;
	join->n = r->upper_columns->n;
	join->refers_to_lower = is_declared_on_upper(join);
	for (size_t i = 0; i < join->n; i++) {
		const struct catalog_column *u = &r->upper->columns[join->upper_columns[i]];
		const struct catalog_column *l = &r->lower->columns[join->lower_columns[i]];

		if (!check_order(r->upper, join->upper_columns[i], upper, d) ||
		    !check_order(r->lower, join->lower_columns[i], lower, d))
			return false;
		if (comparable(u, l))
			continue;
		diagnostics_fail(d, REASON_INVALID_SCHEMA, lower,
				 "column `%s` (%s) of %s.%s cannot be compared with column `%s` (%s) of %s.%s", l->name,
				 l->type, r->lower->schema, r->lower->name, u->name, u->type, r->upper->schema,
				 r->upper->name);
		return false;
	}
	return true;
}

/* --- foreign keys of the catalog */

struct candidate {
	const struct catalog_foreign_key *fk;
	bool on_lower;
};

/* True for the foreign key that the through table's other join uses. */
static bool is_other(const struct join_request *r, const struct catalog_foreign_key *fk, bool on_lower)
{
	return r->other && on_lower && r->other->upper == r->lower &&
	       columns_are_equal(fk->columns, fk->n, r->other->upper_columns, r->other->n);
}

static size_t add_candidates(const struct join_request *r, bool on_lower, struct candidate *candidates, size_t n)
{
	const struct catalog_table *from = on_lower ? r->lower : r->upper;
	const struct catalog_table *to = on_lower ? r->upper : r->lower;

	for (size_t i = 0; i < from->n_foreign_keys; i++)
		if (from->foreign_keys[i].to == to->oid && !is_other(r, &from->foreign_keys[i], on_lower))
			candidates[n++] = (struct candidate){.fk = &from->foreign_keys[i], .on_lower = on_lower};
	return n;
}

static void add_key_text(struct strbuf *sb, const struct catalog_table *from, const struct catalog_foreign_key *fk,
			 const struct catalog_table *to)
{
	_cleanup_free_ char *columns = columns_list(from, fk->columns, fk->n);
	_cleanup_free_ char *to_columns = columns_list(to, fk->to_columns, fk->n);

	strbuf_addf(sb, "%s%s.%s (%s) -> %s.%s (%s)", sb->len ? "; " : "", from->schema, from->name, columns,
		    to->schema, to->name, to_columns);
}

static void report_none(const struct join_request *r, struct diagnostics *d)
{
	_cleanup_free_ char *path = xasprintf("%s.relationship", r->path);
	const struct catalog_table *tables[] = {r->upper, r->lower};
	struct strbuf sb;

	strbuf_init(&sb, LIST_BYTES);
	for (size_t t = 0; t < (r->upper == r->lower ? 1u : 2u); t++)
		for (size_t i = 0; i < tables[t]->n_foreign_keys; i++)
			strbuf_addf(&sb, "%s%s.%s: %s", sb.len ? ", " : "", tables[t]->schema, tables[t]->name,
				    tables[t]->foreign_keys[i].name);
	diagnostics_fail(
		d, REASON_NO_FOREIGN_KEY, path,
		"there is no foreign key between %s.%s and %s.%s (their foreign keys are: %s); name the columns "
		"that join them in `foreign_key`",
		r->upper->schema, r->upper->name, r->lower->schema, r->lower->name, sb.len ? sb.data : "none");
	strbuf_release(&sb);
}

static void report_several(const struct join_request *r, const struct candidate *candidates, size_t n,
			   struct diagnostics *d)
{
	_cleanup_free_ char *path = xasprintf("%s.relationship", r->path);
	struct strbuf sb;

	strbuf_init(&sb, LIST_BYTES);
	for (size_t i = 0; i < n; i++) {
		const struct candidate *c = &candidates[i];

		add_key_text(&sb, c->on_lower ? r->lower : r->upper, c->fk, c->on_lower ? r->upper : r->lower);
	}
	diagnostics_fail(d, REASON_AMBIGUOUS_FOREIGN_KEY, path,
			 "there are %zu foreign keys between %s.%s and %s.%s: %s; choose one with `foreign_key`", n,
			 r->upper->schema, r->upper->name, r->lower->schema, r->lower->name, sb.data);
	strbuf_release(&sb);
}

/* A through table refers to the tables on both its sides. A foreign key from one of those to the through table is a
 * different relationship. */
static size_t prefer_through(const struct join_request *r, struct candidate *candidates, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		kept += candidates[i].on_lower == r->through_is_lower;
	if (!r->has_through || kept != 1)
		return n;
	for (size_t i = 0; i < n; i++)
		if (candidates[i].on_lower == r->through_is_lower)
			candidates[0] = candidates[i];
	return 1;
}

static bool resolve_found(const struct join_request *r, struct join *join, struct diagnostics *d)
{
	_cleanup_free_ struct candidate *candidates =
		xcalloc(r->upper->n_foreign_keys + r->lower->n_foreign_keys, sizeof(*candidates));
	const struct catalog_foreign_key *fk;
	size_t n = 0;

	/* If a table refers to itself, the relationship's type gives the direction: many rows refer to one. */
	if (r->upper != r->lower || r->type == SCHEMA_ONE_TO_MANY)
		n = add_candidates(r, true, candidates, n);
	if (r->upper != r->lower || r->type == SCHEMA_ONE_TO_ONE)
		n = add_candidates(r, false, candidates, n);
	n = prefer_through(r, candidates, n);
	if (n == 0)
		report_none(r, d);
	if (n > 1)
		report_several(r, candidates, n, d);
	if (n != 1)
		return false;
	fk = candidates[0].fk;
	join->n = fk->n;
	join->refers_to_lower = !candidates[0].on_lower;
	join->lower_columns =
		xmemdup(candidates[0].on_lower ? fk->columns : fk->to_columns, fk->n * sizeof(*fk->columns));
	join->upper_columns =
		xmemdup(candidates[0].on_lower ? fk->to_columns : fk->columns, fk->n * sizeof(*fk->columns));
	return true;
}

bool join_resolve(const struct join_request *request, struct join *ret, struct diagnostics *d)
{
	ret->upper = request->upper;
	ret->lower = request->lower;
	if (request->invalid || (request->upper_columns && request->upper_columns->n && request->lower_columns->n))
		return resolve_given(request, ret, d);
	return resolve_found(request, ret, d);
}
