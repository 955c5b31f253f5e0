/* Finds which row, and which of its values, makes a document fail. */
#include "apply/locate.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 1024 * 1024, SQL_BYTES = 16 * 1024 * 1024, SHOWN_BYTES = 128 };

/* A search among the rows of one node. */
struct search_rows {
	struct pg *pg;
	const struct document_probe *probe;
	const char *params[DOCUMENT_MAX_KEYS + 2];
	size_t n_keys;
};

/* Rows, by their position, and values of the node. */
struct span {
	uint64_t first_row, end_row;
	size_t first_value, end_value;
};

/* Runs a query in a savepoint. 1: it failed because of a value; 0: it did not, and *ret has its rows, or is NULL if it
 * failed for a reason that waiting does not fix. */
static int query_keys(const struct search_rows *s, const char *sql, const struct span *span, struct pg_result **ret,
		      struct err *err)
{
	_cleanup_free_ char *offset = xasprintf("%llu", (unsigned long long)span->first_row);
	_cleanup_free_ char *limit = xasprintf("%llu", (unsigned long long)(span->end_row - span->first_row));
	const char *params[DOCUMENT_MAX_KEYS + 2];
	struct err failed = {0};

	memcpy(params, s->params, sizeof(params));
	params[s->n_keys] = offset;
	params[s->n_keys + 1] = limit;
	if (pg_exec(s->pg, "SAVEPOINT pgsync_locate", err) < 0)
		return -1;
	if (pg_query(s->pg, sql, params, (int)s->n_keys + 2, ret, &failed) == 0)
		return pg_exec(s->pg, "RELEASE pgsync_locate", err);
	if (!failed.sqlstate[0] || (err_is_transient(&failed) && !pg_is_about_a_value(&failed))) {
		*err = failed;
		return -1;
	}
	if (pg_exec(s->pg, "ROLLBACK TO pgsync_locate; RELEASE pgsync_locate", err) < 0)
		return -1;
	return pg_is_about_a_value(&failed);
}

/* 1: some of these values fail for some of these rows. */
static int fails(const struct search_rows *s, const struct span *span, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *ignored = NULL;
	_cleanup_(strbuf_release) struct strbuf sql;

	strbuf_init(&sql, SQL_BYTES);
	strbuf_adds(&sql, s->probe->head);
	for (size_t i = span->first_value; i < span->end_value; i++)
		strbuf_addf(&sql, "%s%s", i > span->first_value ? ", " : "", s->probe->values[i].sql);
	strbuf_adds(&sql, s->probe->tail);
	return query_keys(s, sql.data, span, &ignored, err);
}

/* Runs a query on the keys of the rows; *ret is its first value, or NULL. Caller frees *ret. */
static int query_value(const struct search_rows *s, const char *rest, const struct span *span, char **ret,
		       struct err *err)
{
	_cleanup_free_ char *sql = xasprintf("%s%s", s->probe->head, rest);
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

	*ret = NULL;
	if (query_keys(s, sql, span, &rows, err) < 0)
		return -1;
	if (rows && pg_n_rows(rows))
		*ret = xstrdup(pg_value(rows, 0, 0));
	return 0;
}

/* Reduces the span to the first of its values that fails, and the first row that it fails for. */
static int narrow(const struct search_rows *s, struct span *span, struct err *err)
{
	while (span->end_value - span->first_value > 1 || span->end_row - span->first_row > 1) {
		struct span half = *span;
		int r;

		if (span->end_value - span->first_value > 1)
			half.end_value = span->first_value + (span->end_value - span->first_value) / 2;
		else
			half.end_row = span->first_row + (span->end_row - span->first_row) / 2;
		r = fails(s, &half, err);
		if (r < 0)
			return -1;
		if (r > 0)
			*span = half;
		else if (half.end_value < span->end_value)
			span->first_value = half.end_value;
		else
			span->first_row = half.end_row;
	}
	return 0;
}

static int search_node(const struct search_rows *s, struct strbuf *ret, struct err *err)
{
	struct span span = {.end_row = INT64_MAX, .end_value = s->probe->n_values};
	_cleanup_free_ char *rows = NULL;
	_cleanup_free_ char *key = NULL;
	int r;

	if (!span.end_value)
		return 0;
	r = fails(s, &span, err);
	if (r <= 0)
		return r;
	if (query_value(s, "count(*) FROM p", &span, &rows, err) < 0)
		return -1;
	span.end_row = rows ? strtoull(rows, NULL, 10) : 0;
	if (!span.end_row)
		return 0;
	if (narrow(s, &span, err) < 0 || query_value(s, s->probe->keys, &span, &key, err) < 0)
		return -1;
	strbuf_addf(ret, "%s, %s %.*s, %s", s->probe->table, s->probe->key_columns, SHOWN_BYTES, key ? key : "?",
		    s->probe->values[span.first_value].name);
	return 1;
}

int locate_row(struct pg *pg, const struct document_plan *plan, const struct document_key *root, struct strbuf *ret,
	       struct err *err)
{
	struct search_rows search = {.pg = pg, .n_keys = root->n};
	struct strbuf keys[DOCUMENT_MAX_KEYS];
	int r = 0;

	for (size_t i = 0; i < root->n; i++) {
		strbuf_init(&keys[i], KEY_BYTES);
		pg_array_begin(&keys[i]);
		pg_array_add(&keys[i], root->values[i], root->lens[i]);
		pg_array_end(&keys[i]);
		search.params[i] = keys[i].data;
	}
	for (size_t i = 0; r == 0 && i < plan->n_probes; i++) {
		search.probe = &plan->probes[i];
		r = search_node(&search, ret, err);
	}
	for (size_t i = 0; i < root->n; i++)
		strbuf_release(&keys[i]);
	return r;
}
