/* Attempts: each starts from durable state, and what ends it becomes conditions. */
#include "sync/sync.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "recovery/retry.h"
#include "source/plan.h"
#include "sync/attempt_int.h"
#include "sync/monitor_int.h"
#include "sync/recover_int.h"

/* PLAN_MS: how often a plan is made again. */
enum { REPORT_MS = 200, PLAN_MS = 60 * 1000 };

static bool is_spec_invalid(const struct run *run)
{
	return run->options->spec_findings && findings_failed(run->options->spec_findings);
}

/* Findings about the spec come first, whichever side is unreachable. */
static int prefer_findings(const struct findings *findings, struct err *err)
{
	struct err away = *err;

	(void)findings_err(findings, err);
	err_append(err, "; %s", away.msg);
	return -1;
}

static bool is_plan(const struct run *run)
{
	return run->spec->mode == SPEC_MODE_PLAN;
}

/* Preflight, and in a plan what would follow. */
static int examine(struct attempt *at, struct findings *findings, struct err *err)
{
	struct findings changes;
	int r = preflight(at, findings, err);
	bool planned = r == 0 && is_plan(at->run) && !findings_failed(findings);

	findings_init(&changes);
	if (planned)
		r = recover_plan(at, findings, &changes, err);
	planned = planned && !findings_failed(findings);
	if (r == 0)
		report_findings_set(&at->run->report, findings, &changes);
	if (r == 0 && planned)
		report_planned(&at->run->report, changes.n, findings->n);
	findings_release(&changes);
	return r;
}

static int check_once(struct attempt *at, struct err *err)
{
	struct findings findings;
	int r;

	findings_init(&findings);
	if (at->run->options->spec_findings)
		findings_copy(&findings, at->run->options->spec_findings);
	r = examine(at, &findings, err);
	if (r == 0)
		r = findings_err(&findings, err);
	else if (is_spec_invalid(at->run))
		r = prefer_findings(&findings, err);
	for (size_t i = 0; r == 0 && i < findings.n; i++)
		log_warn("sync", "finding, skipping", KV_STR("path", findings.items[i].path),
			 KV_STR("message", findings.items[i].message));
	findings_release(&findings);
	return r;
}

static int make_attempt(struct attempt *at, struct err *err)
{
	struct pg *replication = NULL;

	if (check_once(at, err) < 0)
		return -1;
	if (is_plan(at->run))
		return MONITOR_PLANNED;
	if (at->run->options->until_caught_up && !at->past->catch_up_to &&
	    pg_flush_lsn(at->source.pg, &at->past->catch_up_to, err) < 0)
		return -1;
	if (recover_run(at, &replication, err) < 0)
		return -1;
	return monitor_run_take(at, replication, err);
}

static void set_failed(struct run *run, const struct err *err)
{
	enum reason reason = err->reason ? err->reason : err->kind == ERR_DENIED ? REASON_ACCESS_DENIED : REASON_FAILED;
	const struct report_failure failure = {.reason = reason,
					       .message = err->msg,
					       .needs_action = retry_needs_action(err),
					       .spec_invalid = is_spec_invalid(run),
					       .planning = is_plan(run)};

	report_failed(&run->report, &failure);
}

static void set_started(struct run *run)
{
	if (report_status(&run->report, CONDITION_STALLED) == STATUS_TRUE)
		report_condition(&run->report, CONDITION_STALLED, STATUS_FALSE, REASON_RETRYING, "retrying");
}

static void log_failure(const struct err *err, int64_t pause)
{
	const char *reason = err->reason ? reason_name(err->reason) : err_kind_name(err->kind);

	if (retry_needs_action(err))
		log_error("sync", "an administrator has to fix the problem, retrying", KV_STR("reason", reason),
			  KV_ERR(err), KV_I64("retry_ms", pause));
	else
		log_warn("sync", "attempt failed, retrying", KV_STR("reason", reason), KV_ERR(err),
			 KV_I64("retry_ms", pause));
}

/* Waits for the next attempt; true when the caller wants to stop. */
static bool pause_stopped(const struct sync_options *options, int64_t ms)
{
	struct pollfd fd = {.fd = options->stop_fd, .events = POLLIN};

	return poll(&fd, 1, (int)ms) > 0;
}

static bool gives_up(const struct run *run, const struct carryover *past, const struct err *err)
{
	const struct retry_limits limits = {.until_caught_up = run->options->until_caught_up,
					    .supervised = run->options->supervised,
					    .fenced = past->fenced};

	return retry_gives_up(err, &limits);
}

static int make_attempts(struct run *run, struct err *err)
{
	struct carryover past = {.follows = !is_plan(run)};
	struct retry retry;

	retry_init(&retry, random_seed());
	for (;;) {
		int64_t start = clock_now_ms();
		struct attempt at;
		int64_t pause;
		int r;

		*err = (struct err){0};
		r = attempt_begin(&at, run, &past, err);
		if (r == 0)
			r = make_attempt(&at, err);
		attempt_end(&at);
		if (pause_stopped(run->options, 0) || r == MONITOR_STOPPED || r == MONITOR_CAUGHT_UP)
			return 0;
		if (r == MONITOR_PLANNED) {
			if (run->options->until_caught_up || pause_stopped(run->options, PLAN_MS))
				return 0;
			continue;
		}
		if (r == MONITOR_AGAIN) {
			set_started(run);
			continue;
		}
		if (gives_up(run, &past, err))
			return -1;
		past.on_probation = true;
		pause = retry_pause_ms(&retry, err, clock_now_ms() - start);
		log_failure(err, pause);
		set_failed(run, err);
		if (pause_stopped(run->options, pause))
			return 0;
	}
}

/* Attempts run in a separate thread, so that reports stay on time while an attempt waits. */
struct control {
	struct run *run;
	int done_fd; /* an eventfd: readable once the attempts are over */
	int result;
	struct err err;
};

static void *run_control(void *user)
{
	struct control *c = user;

	c->result = make_attempts(c->run, &c->err);
	connector_wake(c->done_fd);
	return NULL;
}

static int control_run(struct run *run, struct err *err)
{
	struct control c = {.run = run, .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	struct pollfd fd = {.fd = c.done_fd, .events = POLLIN};
	pthread_t thread;
	int r;

	if (c.done_fd < 0)
		return err_errno(err, errno, "eventfd");
	r = pthread_create(&thread, NULL, run_control, &c);
	if (r) {
		close_fdp(&c.done_fd);
		return err_errno(err, r, "starting the attempts");
	}
	do
		run_publish(run);
	while (poll(&fd, 1, REPORT_MS) <= 0);
	(void)pthread_join(thread, NULL);
	close_fdp(&c.done_fd);
	*err = c.err;
	return c.result;
}

int sync_run(const struct sync_options *options, struct err *err)
{
	struct run run;
	int r = run_init(&run, options, err);

	/* The first attempt may take a while, and will not change it. */
	if (is_spec_invalid(&run) && findings_err(options->spec_findings, err) < 0)
		set_failed(&run, err);
	if (r == 0)
		r = control_run(&run, err);
	if (r < 0)
		set_failed(&run, err);
	run_publish(&run);
	run_release(&run);
	return r;
}

static int prepare_only(struct attempt *at, void *user, struct err *err)
{
	struct findings *findings = user;
	_cleanup_(pg_closep) struct pg *replication = NULL;
	const char *name = at->run->spec->source.slot_name;
	struct pg_slot slot;

	if (preflight(at, findings, err) < 0)
		return -1;
	if (findings_failed(findings))
		return 0;
	if (is_plan(at->run)) {
		findings_add(findings, FINDING_WARNING, REASON_PLANNED, "spec.mode", "is Plan: nothing was changed");
		return 0;
	}
	if (pg_slot_read(at->source.pg, name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	if (slot.state == PG_SLOT_ACTIVE) {
		findings_add(findings, FINDING_WARNING, REASON_SLOT_ACTIVE, NULL,
			     "a worker streams from replication slot \"%s\" (server process %d); nothing was changed",
			     name, slot.active_pid);
		return 0;
	}
	return recover_run(at, &replication, err);
}

int sync_prepare(const struct sync_options *options, struct findings *findings, struct err *err)
{
	return attempt_once(options, prepare_only, findings, err);
}
