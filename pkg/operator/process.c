/* The worker of one resource: what it is told, what it says, and what its end means. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/utf8.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

/* MESSAGE_BYTES: the API server refuses a status whose worker.lastExit.message is longer than 1024. */
enum { CRASH_LOOP = 3, MESSAGE_BYTES = 1000 };

static void replace(char **field, char *take)
{
	free(*field);
	*field = take;
}

/* --- status.worker */

static void set_worker_status(struct resource *r, const char *key, json_t *value_take)
{
	if (!r->worker_status) {
		_cleanup_json_ json_t *status = r->status ? json_loads(r->status, 0, NULL) : NULL;

		/* The count goes on where another operator left it. */
		r->worker_status = json_pack("{s:s, s:I}", "placement", "Process", "restartCount",
					     (json_int_t)jsonx_integer(status, "worker.restartCount", 0));
	}
	(void)json_object_set_new(r->worker_status, key, value_take);
}

static json_t *now_json(void)
{
	char time[CLOCK_RFC3339_BYTES];

	return json_string(clock_rfc3339(clock_wall_us(), time));
}

/* --- what it says */

static void on_report(struct resource *r, const json_t *report)
{
	bool was_complete = status_condition_is(r->report, "BootstrapComplete", "True");

	if (r->report && json_equal(r->report, report))
		return;
	jsonx_decref(r->report);
	r->report = json_deep_copy(report);
	if (!was_complete && r->last.situation == SITUATION_RUNNING &&
	    status_condition_is(r->report, "BootstrapComplete", "True")) {
		_cleanup_json_ json_t *before = r->status ? json_loads(r->status, 0, NULL) : NULL;

		/* A restarted worker finds it complete; only the turn is news. */
		if (!status_condition_is(before, "BootstrapComplete", "True"))
			resource_event(r, false, REASON_BOOTSTRAP_COMPLETED, "Bootstrap", "%lld rows are indexed",
				       (long long)jsonx_integer(r->report, "bootstrap.rowsDone", 0));
	}
	resource_enqueue(r);
}

static void on_event(struct resource *r, const struct protocol_event *event)
{
	resource_event(r, event->warning, event->reason, event->action, "%s", event->note);
}

static void on_done(struct resource *r, const struct protocol_result *done)
{
	if (r->task != PROTOCOL_TASK_CLEANUP)
		return;
	r->done = true;
	r->cleaned = done->ok;
	if (r->cleaned)
		return;
	r->exit_reason = done->reason;
	replace(&r->exit_message, xstrdup(done->message));
}

static void on_message(void *user, const struct protocol_message *message)
{
	struct resource *r = user;

	if (r->worker_generation < 0)
		return;
	switch (message->kind) {
	case PROTOCOL_REPORT:
		on_report(r, message->report);
		break;
	case PROTOCOL_EVENT:
		on_event(r, &message->event);
		break;
	case PROTOCOL_DONE:
		on_done(r, &message->done);
		break;
	case PROTOCOL_UNKNOWN:
		break;
	}
}

/* --- its end */

static char *describe_exit(const struct worker_exit *exit)
{
	if (exit->signalled)
		return xasprintf("the worker was ended by signal %d (%s)", exit->code, strsignal(exit->code));
	return xasprintf("the worker ended with exit code %d", exit->code);
}

/* The worker's own words about what was wrong come first; how it ended is said after them. */
static void explain_exit(struct resource *r, const struct worker_exit *exit)
{
	_cleanup_free_ char *how = describe_exit(exit);
	_cleanup_json_ json_t *ready = json_copy((json_t *)status_condition(r->report, "Ready"));
	bool said = strcmp(jsonx_string(ready, "status", ""), "False") == 0 && *jsonx_string(ready, "message", "");
	bool looping = r->restarts.failures >= CRASH_LOOP;

	r->exit_reason = protocol_take_reason(said ? ready : NULL, "message",
					      r->refused ? REASON_WORKER_REFUSED : REASON_WORKER_EXITED);
	if (looping && !r->refused)
		r->exit_reason = REASON_WORKER_CRASH_LOOPING;
	if (said)
		replace(&r->exit_message, xasprintf("%s; %s", jsonx_string(ready, "message", ""), how));
	else if (looping)
		replace(&r->exit_message,
			xasprintf("%s, %u times in a row; its log says more", how, r->restarts.failures));
	else
		replace(&r->exit_message, xasprintf("%s; its log says more", how));
}

static void note_exit(struct resource *r, const struct worker_exit *exit)
{
	size_t len = utf8_prefix(r->exit_message, strlen(r->exit_message), MESSAGE_BYTES);
	json_t *last = json_pack("{s:s, s:s%, s:o}", "reason", reason_name(r->exit_reason), "message", r->exit_message,
				 len, "time", now_json());

	(void)json_object_set_new(last, exit->signalled ? "signal" : "exitCode", json_integer(exit->code));
	set_worker_status(r, "lastExit", last);
}

static void run_failed(struct resource *r, const struct worker_exit *exit, int64_t now_ms)
{
	const char *cause = exit->signalled ? "Signal" : exit->code == PROTOCOL_EXIT_BAD_INPUT ? "BadInput" : "Failed";

	r->refused = !exit->signalled && exit->code == PROTOCOL_EXIT_BAD_INPUT;
	restarts_failed(&r->restarts, exit->uptime_ms, now_ms);
	explain_exit(r, exit);
	note_exit(r, exit);
	if (!r->refused)
		set_worker_status(r, "restartCount",
				  json_integer((json_int_t)jsonx_integer(r->worker_status, "restartCount", 0) + 1));
	metric_add(r->op->meters.restarts, (const char *const[]){r->namespace, r->name, cause, NULL}, 1);
	resource_event(r, true, REASON_WORKER_EXITED, r->refused ? "Stop" : "Restart", "%s", r->exit_message);
	if (!r->refused)
		jsonx_decref(TAKE_PTR(r->report));
}

static void cleanup_ended(struct resource *r, const struct worker_exit *exit, int64_t now_ms)
{
	if (r->cleaned)
		return;
	r->refused = !exit->signalled && exit->code == PROTOCOL_EXIT_BAD_INPUT;
	restarts_failed(&r->restarts, exit->uptime_ms, now_ms);
	if (!r->done) {
		r->exit_reason = REASON_CLEANUP_FAILED;
		replace(&r->exit_message, describe_exit(exit));
	}
	resource_event(r, true, r->exit_reason, "Cleanup", "%s", r->exit_message);
}

static void on_exited(void *user, const struct worker_exit *exit)
{
	struct resource *r = user;
	int64_t now_ms = clock_now_ms();

	log_info("operator", "worker ended", KV_STR("resource", r->key), KV_STR("task", protocol_task_name(r->task)),
		 KV_STR("how", exit->signalled ? "signal" : "exit code"), KV_I64("code", exit->code));
	r->worker = NULL;
	if (r->asked_to_stop) {
		r->farewell = r->task == PROTOCOL_TASK_RUN && r->op->phase != PHASE_RUNNING;
		jsonx_decref(TAKE_PTR(r->report));
		if (r->task == PROTOCOL_TASK_RUN)
			resource_event(r, false, REASON_STOPPED, "Stop", "the worker has stopped");
	} else if (r->task != PROTOCOL_TASK_CLEANUP) {
		run_failed(r, exit, now_ms);
	} else {
		cleanup_ended(r, exit, now_ms);
	}
	resource_enqueue(r);
}

/* --- starting and stopping */

/* The line that a worker starts with; caller frees. */
static char *assignment_line(const struct resource *r, enum protocol_task task)
{
	_cleanup_(protocol_assignment_release) struct protocol_assignment assignment = {
		.task = task, .resource = resource_json(r), .secrets = json_object(), .config_maps = json_object()};
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	findings_init(&f);
	spec = spec_decode(assignment.resource, &f);
	resource_values(r, spec, assignment.secrets, assignment.config_maps);
	return protocol_encode_assignment(&assignment);
}

static void note_start(struct resource *r, enum protocol_task before, const char *identity)
{
	bool rotated = before == PROTOCOL_TASK_RUN && strcmp(r->worker_spec_hash, r->spec_hash) == 0 &&
		       strcmp(r->worker_hash, r->hash) != 0;

	set_worker_status(r, "identity", json_string(identity));
	set_worker_status(r, "startTime", now_json());
	if (rotated) {
		metric_add(r->op->meters.rotations, (const char *const[]){r->namespace, r->name, NULL}, 1);
		resource_event(r, false, REASON_CREDENTIALS_ROTATED, "Restart",
			       "a Secret has changed; the worker was restarted with the new credentials");
	}
	resource_event(r, false, REASON_STARTED, "Start", "the worker was started for generation %lld",
		       (long long)r->generation);
}

void resource_start(struct resource *r, enum protocol_task task)
{
	struct operator_ *op = r->op;
	_cleanup_free_ char *identity = xasprintf("%s-%u", op->short_identity, ++op->starts);
	struct worker_options options = {.name = r->key,
					 .input_take = assignment_line(r, task),
					 .handlers = {.message = on_message, .exited = on_exited},
					 .user = r};
	enum protocol_task before = r->task;
	struct err err;

	/* Failures of other inputs, or at another task, say nothing about this start. */
	if (task != r->task || strcmp(r->worker_hash, r->hash) != 0)
		restarts_reset(&r->restarts);
	r->refused = r->asked_to_stop = r->done = r->cleaned = r->farewell = false;
	jsonx_decref(TAKE_PTR(r->report));
	r->task = task;
	if (worker_start(op->supervisor, &options, clock_now_ms(), &r->worker, &err) < 0) {
		log_error("operator", "starting a worker failed", KV_STR("resource", r->key), KV_ERR(&err));
		r->exit_reason = REASON_WORKER_NOT_STARTED;
		replace(&r->exit_message, xstrdup(err.msg));
		restarts_failed(&r->restarts, 0, clock_now_ms());
	} else {
		log_info("operator", "worker started", KV_STR("resource", r->key),
			 KV_STR("task", protocol_task_name(task)), KV_I64("pid", worker_pid(r->worker)),
			 KV_I64("generation", r->generation));
		if (FAILPOINT(WORKER_STARTED, &err) < 0)
			worker_kill(r->worker);
		if (task == PROTOCOL_TASK_RUN)
			note_start(r, before, identity);
	}
	memcpy(r->worker_hash, r->hash, sizeof(r->worker_hash));
	memcpy(r->worker_spec_hash, r->spec_hash, sizeof(r->worker_spec_hash));
	r->worker_generation = r->generation;
}

void resource_stop(struct resource *r)
{
	if (!r->worker)
		return;
	r->asked_to_stop = true;
	worker_stop(r->worker, clock_now_ms());
}
