/* What `pgsync plan` prints, without changing anything: documents, SQL with the plans that the server makes for it,
 * mapping, and what would be changed in the database. */
#include <stdlib.h>
#include <string.h>

#include "apply/build.h"
#include "source/identity.h"
#include "sync/attempt_int.h"

/* Blocks of an early chunk of a bootstrap. */
#define RANGE_FROM "(0,0)"
#define RANGE_TO "(1024,0)"

enum { STATEMENT_BYTES = 8 * 1024 * 1024 };

static void print_rows(struct strbuf *out, const char *title, const struct pg_result *rows)
{
	strbuf_addf(out, "\n%s\n", title);
	for (int i = 0; i < pg_n_rows(rows); i++)
		strbuf_addf(out, "    %s\n", pg_value(rows, i, 0));
}

/* The generic plan, which a batch of the stream uses. */
static int explain_by_key(struct pg *pg, const struct document_plan *plan, struct strbuf *out, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;
	struct strbuf sql;
	int r;

	strbuf_init(&sql, STATEMENT_BYTES);
	strbuf_addf(&sql, "SET plan_cache_mode = force_generic_plan; PREPARE pgsync_plan AS %s", plan->sql.by_key);
	r = pg_exec(pg, sql.data, err);
	strbuf_reset(&sql);
	strbuf_adds(&sql, "EXPLAIN EXECUTE pgsync_plan(");
	for (size_t i = 0; i < plan->n_keys; i++)
		strbuf_adds(&sql, i ? ", '{}'" : "'{}'");
	strbuf_addc(&sql, ')');
	if (r == 0)
		r = pg_query(pg, sql.data, NULL, 0, &rows, err);
	strbuf_release(&sql);
	if (r < 0)
		return -1;
	print_rows(out, "Plan of a batch:", rows);
	return pg_exec(pg, "DEALLOCATE pgsync_plan; RESET plan_cache_mode", err);
}

static int explain_by_range(struct pg *pg, const struct document_plan *plan, struct strbuf *out, struct err *err)
{
	static const char *const params[] = {RANGE_FROM, RANGE_TO};
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;
	_cleanup_free_ char *query = document_sql_by_range(plan, NULL);
	_cleanup_free_ char *explain = xasprintf("EXPLAIN %s", query);

	if (pg_query(pg, explain, params, plan->root_is_view ? 0 : 2, &rows, err) < 0)
		return -1;
	print_rows(out,
		   plan->root_is_view ? "Plan of all documents:" : "Plan of the bootstrap's chunks of 1,024 blocks:",
		   rows);
	return 0;
}

static int describe_one(struct pg *pg, const struct document_plan *plan, struct strbuf *out, struct err *err)
{
	_cleanup_free_ char *text = document_describe(plan);

	strbuf_adds(out, text);
	if (explain_by_key(pg, plan, out, err) < 0 || explain_by_range(pg, plan, out, err) < 0)
		return err_wrap(err, "planning the documents of \"%s\"", plan->document->index);
	return 0;
}

static int add_identities(struct attempt *at, struct strbuf *out, struct err *err)
{
	const struct source_tables *tables = &at->model.tables;
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};

	for (size_t i = 0; i < tables->n; i++)
		if (identity_add_gaps(&at->source, &tables->items[i], &gaps, err) < 0)
			return -1;
	if (gaps.n)
		strbuf_adds(out, "\nReplica identities to set (they are restored on deletion):\n");
	for (size_t i = 0; i < gaps.n; i++)
		strbuf_addf(out, "  %s\n", gaps.items[i].sql);
	return 0;
}

static int describe_plan(struct attempt *at, struct strbuf *out, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;

	/* Planning may take longer than the control connection's time-out. */
	if (connector_pg(&at->connector, CONNECTOR_UNLIMITED, "plan", &pg, err) < 0 ||
	    pg_exec(pg, BUILD_SETTINGS, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (describe_one(pg, at->model.plans[i], out, err) < 0)
			return -1;
	return add_identities(at, out, err);
}

struct request {
	struct findings *findings;
	struct strbuf *out; /* NULL: the checks alone */
};

static int check_and_describe(struct attempt *at, void *user, struct err *err)
{
	const struct request *request = user;

	if (preflight(at, request->findings, err) < 0)
		return -1;
	return request->out && !findings_failed(request->findings) ? describe_plan(at, request->out, err) : 0;
}

int sync_check(const struct sync_options *options, struct findings *findings, struct err *err)
{
	return attempt_once(options, check_and_describe, &(struct request){.findings = findings}, err);
}

int sync_plan(const struct sync_options *options, struct findings *findings, struct strbuf *out, struct err *err)
{
	return attempt_once(options, check_and_describe, &(struct request){.findings = findings, .out = out}, err);
}
