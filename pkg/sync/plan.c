/* What `pgsync plan` prints, without changing anything: documents, and what would be changed in the database. */

#include "source/plan.h"
#include "apply/build.h"
#include "apply/explain.h"
#include "sync/attempt_int.h"

static int describe_plan(struct attempt *at, struct strbuf *out, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;

	/* Planning may take longer than the control connection's time-out. */
	if (connector_pg(&at->connector, CONNECTOR_UNLIMITED, "plan", &pg, err) < 0 ||
	    pg_exec(pg, BUILD_SETTINGS, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (apply_explain(pg, at->model.plans[i], out, err) < 0)
			return -1;
	return source_plan_identities(&at->source, &at->model.tables, out, err);
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
