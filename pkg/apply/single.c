/* One document, as its rows give it now. */
#include "apply/single.h"

#include <stdlib.h>
#include <string.h>

#include "apply/build.h"
#include "apply/model.h"
#include "postgres/replication.h"

enum { KEY_BYTES = 64 * 1024 };

static int compile_single(struct pg *pg, const struct compile_input *in, struct model *ret, struct err *err)
{
	_cleanup_(compilation_release) struct compilation c = {0};
	_cleanup_(findings_release) struct findings findings;

	findings_init(&findings);
	if (compile_documents(in, pg, &c, &findings, err) < 0 || findings_err(&findings, err) < 0)
		return -1;
	model_init_take(ret, &c);
	return 0;
}

/* What fails leaves the transaction open: the connection is closed then. */
static int read_single(struct pg *pg, const struct model *model, const char *const *params, int64_t statement_ms,
		       struct apply_single *ret, struct err *err)
{
	const struct document_plan *plan = model->plans[0];
	_cleanup_(pg_result_freep) struct pg_result *row = NULL;

	/* Everything before this position is in the snapshot, which is made later. */
	if (pg_exec(pg, BUILD_SETTINGS "; SET lock_timeout = '1s'", err) < 0 || pg_flush_lsn(pg, &ret->lsn, err) < 0 ||
	    pg_exec(pg, model->snapshot_sql, err) < 0 ||
	    pg_execf(pg, err, "SET LOCAL statement_timeout = %lld", (long long)statement_ms) < 0 ||
	    pg_query(pg, plan->sql.by_key, params, (int)plan->n_keys, &row, err) < 0)
		return -1;
	ret->text = pg_n_rows(row) > 0 ? xstrdup(pg_value(row, 0, (int)plan->n_keys)) : NULL;
	return pg_exec(pg, "COMMIT", err);
}

/* The key of an _id as the query's parameters. */
static int set_params(const struct document_plan *plan, const char *id, struct page_params *params, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf key;
	const char *value;

	strbuf_init(&key, KEY_BYTES);
	if (!document_split_id(&key, plan->id_format, id, plan->n_keys))
		return err_set(err, ERR_INVALID, "this _id does not say which row it is about");
	value = key.data;
	for (size_t i = 0; i < plan->n_keys; i++, value += strlen(value) + 1) {
		pg_array_begin(&params->arrays[i]);
		pg_array_add(&params->arrays[i], value, strlen(value));
		pg_array_end(&params->arrays[i]);
		params->values[i] = params->arrays[i].data;
	}
	return 0;
}

int apply_read_single(struct pg *pg, const struct compile_input *in, const char *id, int64_t statement_ms,
		      struct apply_single *ret, struct err *err)
{
	struct page_params params;
	struct model model = {0};
	int r = compile_single(pg, in, &model, err);

	*ret = (struct apply_single){0};
	page_params_init(&params);
	if (r == 0)
		r = set_params(model.plans[0], id, &params, err);
	if (r == 0)
		r = read_single(pg, &model, params.values, statement_ms, ret, err);
	page_params_release(&params);
	model_release(&model);
	return r;
}
