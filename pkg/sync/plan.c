/* What `pgsync plan` prints, without changing anything: documents, and what a start would do. */

#include "apply/build.h"
#include "apply/explain.h"
#include "sync/recover_int.h"

static void add_changes(const struct findings *changes, struct sections *out)
{
	if (changes->n)
		sections_begin(out, SECTION_TEXT, "What a start does");
	for (size_t i = 0; i < changes->n; i++) {
		const struct finding *change = &changes->items[i];

		strbuf_addf(&out->text, "  %s\n", change->message);
		if (change->statement)
			strbuf_addf(&out->text, "    %s\n", change->statement);
	}
}

static int describe_plan(struct attempt *at, struct sections *out, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;

	/* Planning may take longer than the control connection's time-out. */
	if (connector_pg(&at->connector, CONNECTOR_UNLIMITED, "plan", &pg, err) < 0 ||
	    pg_exec(pg, BUILD_SETTINGS, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (apply_explain(pg, at->model.plans[i], out, err) < 0)
			return -1;
	return 0;
}

struct request {
	struct findings *findings;
	struct sections *out; /* NULL: the checks alone */
};

static int check_and_describe(struct attempt *at, void *user, struct err *err)
{
	const struct request *request = user;
	struct findings changes;
	int r = preflight(at, request->findings, err);

	findings_init(&changes);
	if (r == 0 && request->out && !findings_failed(request->findings))
		r = recover_plan(at, request->findings, &changes, err);
	if (r == 0 && request->out && !findings_failed(request->findings)) {
		r = describe_plan(at, request->out, err);
		add_changes(&changes, request->out);
	}
	findings_release(&changes);
	return r;
}

int sync_check(const struct sync_options *options, struct findings *findings, struct err *err)
{
	return attempt_once(options, check_and_describe, &(struct request){.findings = findings}, err);
}

int sync_plan(const struct sync_options *options, struct findings *findings, struct sections *out, struct err *err)
{
	return attempt_once(options, check_and_describe, &(struct request){.findings = findings, .out = out}, err);
}
