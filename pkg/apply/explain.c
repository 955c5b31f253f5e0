/* Documents as `pgsync plan` describes them, with the plans that the server makes for their SQL. */
#include "apply/explain.h"

/* Blocks of an early chunk of a bootstrap. */
#define RANGE_FROM "(0,0)"
#define RANGE_TO "(1024,0)"

enum { STATEMENT_BYTES = 8 * 1024 * 1024 };

static void print_rows(struct sections *out, const char *title, const struct pg_result *rows)
{
	sections_begin(out, SECTION_TEXT, title);
	for (int i = 0; i < pg_n_rows(rows); i++)
		strbuf_addf(&out->text, "    %s\n", pg_value(rows, i, 0));
}

/* The generic plan, which a batch of the stream uses. */
static int explain_by_key(struct pg *pg, const struct document_plan *plan, struct sections *out, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;
	struct strbuf sql;
	int r;

	strbuf_init(&sql, STATEMENT_BYTES);
	strbuf_addf(&sql, "SET LOCAL plan_cache_mode = force_generic_plan; PREPARE pgsync_plan AS %s",
		    plan->sql.by_key);
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
	print_rows(out, "Plan of a batch", rows);
	return pg_exec(pg, "DEALLOCATE pgsync_plan; SET LOCAL plan_cache_mode = auto", err);
}

static int explain_by_range(struct pg *pg, const struct document_plan *plan, struct sections *out, struct err *err)
{
	static const char *const params[] = {RANGE_FROM, RANGE_TO};
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;
	_cleanup_free_ char *query = document_sql_by_range(plan, NULL);
	_cleanup_free_ char *explain = xasprintf("EXPLAIN %s", query);

	if (pg_query(pg, explain, params, plan->root_is_view ? 0 : 2, &rows, err) < 0)
		return -1;
	print_rows(out, plan->root_is_view ? "Plan of all documents" : "Plan of the bootstrap's chunks of 1,024 blocks",
		   rows);
	return 0;
}

int apply_explain(struct pg *pg, const struct document_plan *plan, struct sections *out, struct err *err)
{
	document_describe(plan, out);
	/* The server calls functions while it plans: those that are declared IMMUTABLE, with constants. */
	if (pg_exec(pg, "BEGIN READ ONLY", err) < 0 || explain_by_key(pg, plan, out, err) < 0 ||
	    explain_by_range(pg, plan, out, err) < 0 || pg_exec(pg, "ROLLBACK", err) < 0)
		return err_wrap(err, "planning the documents of \"%s\"", plan->document->index);
	return 0;
}
