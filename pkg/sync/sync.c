/* Attempts: each starts from durable state, and what ends it becomes conditions. */
#include "sync/sync.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sync/engine_int.h"

enum {
	TABLES_MS = 1000,
	STALLED_BASE_MS = 1000,
	STALLED_CAP_MS = 15000,
	RETRY_BASE_MS = 200,
	RETRY_CAP_MS = 5000,
	SLOT_TAKEN_MS = 3000
};

static bool stop_asked(const struct sync_options *options)
{
	struct pollfd fd = {.fd = options->stop_fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

/* The tables may be on their way (a migration that runs after us): wait, rather than ask for a person. */
static bool waits_for_tables(const struct err *err)
{
	return err->reason && !strcmp(err->reason, "UnknownTable");
}

/* No later attempt can do better before a person acts. */
static bool needs_a_person(const struct err *err)
{
	return !err_is_transient(err) && err->kind != ERR_CANCELLED && err->kind != ERR_NOT_FOUND &&
	       !waits_for_tables(err);
}

static bool is_flawed(const struct engine *e)
{
	return e->options->flaws && findings_failed(e->options->flaws);
}

/* What was wrong with the spec before comes first, whatever side is away. */
static int prefer_findings(const struct findings *findings, struct err *err)
{
	struct err away = *err;

	(void)findings_err(findings, err);
	err_append(err, "; %s", away.msg);
	return -1;
}

static int check(struct engine *e, struct err *err)
{
	struct findings findings;
	int r;

	findings_init(&findings);
	if (e->options->flaws)
		findings_copy(&findings, e->options->flaws);
	r = preflight(e, &findings, err);
	if (r == 0)
		r = findings_err(&findings, err);
	else if (is_flawed(e))
		r = prefer_findings(&findings, err);
	for (size_t i = 0; r == 0 && i < findings.n; i++)
		log_warn("sync", "finding, skipping", KV_STR("path", findings.items[i].path),
			 KV_STR("message", findings.items[i].message));
	findings_release(&findings);
	return r;
}

static int attempt(struct engine *e, struct err *err)
{
	struct pg *replication = NULL;
	int r;

	r = engine_begin(e, err);
	if (r < 0)
		return r;
	engine_publish(e);
	if (check(e, err) < 0)
		return -1;
	if (e->options->until_caught_up && !e->catch_up_to && engine_server_lsn(e->pg, &e->catch_up_to, err) < 0)
		return -1;
	if (prepare(e, &replication, err) < 0)
		return -1;
	return stream_run_take(e, replication, err);
}

/* Which side is away says more to somebody who waits for Ready than how. */
static const char *ready_reason(struct engine *e, const char *reason)
{
	if (is_flawed(e))
		return reason;
	if (report_status(&e->report, CONDITION_SOURCE_REACHABLE) == STATUS_FALSE)
		return "SourceUnreachable";
	if (report_status(&e->report, CONDITION_SINK_REACHABLE) == STATUS_FALSE)
		return "SinkUnreachable";
	return reason;
}

/* What was last said of copy and slot is not so between two attempts, and what was not looked at is not known. */
static void say_interrupted(struct engine *e, const struct err *err)
{
	struct report *report = &e->report;
	enum condition_status complete = report_status(report, CONDITION_BOOTSTRAP_COMPLETE);

	if (complete == STATUS_FALSE)
		report_condition(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "Interrupted",
				 "goes on once this is over: %s", err->msg);
	else if (complete == STATUS_UNKNOWN)
		report_condition(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_UNKNOWN, "NotChecked",
				 "is looked at once this is over: %s", err->msg);
	if (report_status(report, CONDITION_SLOT_HEALTHY) == STATUS_UNKNOWN ||
	    report_status(report, CONDITION_SOURCE_REACHABLE) == STATUS_FALSE)
		report_condition(report, CONDITION_SLOT_HEALTHY, STATUS_UNKNOWN, "NotChecked",
				 "is looked at once this is over: %s", err->msg);
}

static void say_failed(struct engine *e, const struct err *err)
{
	const char *reason = err->reason ? err->reason : err->kind == ERR_DENIED ? "AccessDenied" : "Failed";

	e->unproven = true;
	say_interrupted(e, err);
	report_condition(&e->report, CONDITION_STREAMING, STATUS_FALSE, reason, "%s", err->msg);
	report_condition(&e->report, CONDITION_READY, STATUS_FALSE, ready_reason(e, reason), "%s", err->msg);
	if (!strcmp(reason, "SlotLost"))
		report_condition(&e->report, CONDITION_SLOT_HEALTHY, STATUS_FALSE, "Lost", "%s", err->msg);
	if (needs_a_person(err)) {
		report_condition(&e->report, CONDITION_STALLED, STATUS_TRUE, reason, "%s", err->msg);
		report_phase(&e->report, "Failed");
	} else {
		report_condition(&e->report, CONDITION_STALLED, STATUS_FALSE, "Retrying", "trying again");
		if (waits_for_tables(err))
			report_phase(&e->report, "Pending");
	}
	engine_publish(e);
}

static void say_going(struct engine *e)
{
	if (report_status(&e->report, CONDITION_STALLED) == STATUS_TRUE)
		report_condition(&e->report, CONDITION_STALLED, STATUS_FALSE, "Retrying", "trying again");
}

static int64_t pause_ms(const struct err *err, struct backoff *retry, struct backoff *stalled)
{
	if (waits_for_tables(err))
		return TABLES_MS;
	if (needs_a_person(err)) {
		backoff_reset(retry);
		return backoff_next_ms(stalled);
	}
	backoff_reset(stalled);
	/* Whoever ended our walsender needs a moment to start its own: do not take the slot back in between. */
	if (err->reason && !strcmp(err->reason, "SlotTaken"))
		return SLOT_TAKEN_MS;
	return err->retry_after_ms > 0 ? err->retry_after_ms : backoff_next_ms(retry);
}

static void log_failure(const struct err *err, int64_t pause)
{
	const char *reason = err->reason ? err->reason : err_kind_name(err->kind);

	if (needs_a_person(err))
		log_error("sync", "cannot go on before somebody acts", KV_STR("reason", reason), KV_ERR(err),
			  KV_I64("retry_ms", pause));
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

static int attempts(struct engine *e, struct err *err)
{
	struct backoff retry, stalled;

	backoff_init(&retry, RETRY_BASE_MS, RETRY_CAP_MS, random_seed());
	backoff_init(&stalled, STALLED_BASE_MS, STALLED_CAP_MS, random_seed());
	for (;;) {
		int64_t start = clock_now_ms();
		int64_t pause;
		int r;

		*err = (struct err){0};
		r = attempt(e, err);
		engine_end(e);
		if (stop_asked(e->options) || r == STREAM_CAUGHT_UP)
			return 0;
		if (r == STREAM_AGAIN) {
			say_going(e);
			continue;
		}
		if (r == 0)
			return 0;
		if (e->options->until_caught_up && !err_is_transient(err) && err->kind != ERR_CANCELLED)
			return -1;
		if (e->options->supervised && e->superseded)
			return -1;
		if (clock_now_ms() - start > 2 * (int64_t)RETRY_CAP_MS)
			backoff_reset(&retry);
		pause = pause_ms(err, &retry, &stalled);
		log_failure(err, pause);
		say_failed(e, err);
		if (pause_stopped(e->options, pause))
			return 0;
	}
}

int sync_run(const struct sync_options *options, struct err *err)
{
	struct engine e;
	int r = engine_init(&e, options, err);

	/* The first attempt may take a while, and will not change it. */
	if (is_flawed(&e) && findings_err(options->flaws, err) < 0)
		say_failed(&e, err);
	if (r == 0)
		r = attempts(&e, err);
	if (r < 0)
		say_failed(&e, err);
	else
		engine_publish(&e);
	engine_release(&e);
	return r;
}

static int prepare_only(struct engine *e, struct findings *findings, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;
	const char *name = e->spec->source.slot_name;
	struct pg_slot slot;

	if (preflight(e, findings, err) < 0)
		return -1;
	if (findings_failed(findings))
		return 0;
	if (pg_slot_read(e->pg, name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	if (slot.state == PG_SLOT_ACTIVE) {
		findings_add(findings, FINDING_WARNING, "SlotActive", NULL,
			     "replication slot \"%s\" is streamed from (server process %d): all is left as it is", name,
			     slot.active_pid);
		return 0;
	}
	return prepare(e, &replication, err);
}

int sync_prepare(const struct sync_options *options, struct findings *findings, struct err *err)
{
	struct engine e;
	int r = engine_init(&e, options, err);

	if (r == 0)
		r = engine_begin(&e, err);
	if (r == 0)
		r = prepare_only(&e, findings, err);
	engine_end(&e);
	engine_release(&e);
	return r;
}
