/* The worker of one resource: its assignment, its messages, and its end. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/utf8.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

/* MESSAGE_BYTES: the API server refuses a status whose worker.lastExit.message is longer than 1024. */
enum { MESSAGE_BYTES = 1000 };

/* --- status.worker */

static bool is_agent(const struct operator_ *op)
{
	return op->options && op->options->agent;
}

static void set_worker_status(struct resource *r, const char *key, json_t *value_take)
{
	if (!r->worker.status) {
		_cleanup_json_ json_t *status = r->writer.status ? json_loads(r->writer.status, 0, NULL) : NULL;

		/* Another operator may have counted before. */
		r->worker.status =
			json_pack("{s:s, s:I}", "placement", is_agent(r->op) ? "Pod" : "Process", "restartCount",
				  (json_int_t)jsonx_integer(status, "worker.restartCount", 0));
	}
	(void)json_object_set_new(r->worker.status, key, value_take);
}

static json_t *now_json(void)
{
	char time[CLOCK_RFC3339_BYTES];

	return json_string(clock_rfc3339(clock_wall_us(), time));
}

/* --- its messages */

static void take_report(struct resource *r, const json_t *report)
{
	bool was_complete = status_condition_is(r->worker.report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE);

	if (r->worker.report && json_equal(r->worker.report, report))
		return;
	jsonx_decref(r->worker.report);
	r->worker.report = json_deep_copy(report);
	if (!was_complete && r->worker.task == PROTOCOL_TASK_RUN && !supervisor_is_stopping(r->worker.process) &&
	    status_condition_is(r->worker.report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE)) {
		_cleanup_json_ json_t *before = r->writer.status ? json_loads(r->writer.status, 0, NULL) : NULL;

		/* After a restart the bootstrap is already complete; only the transition is worth an event. */
		if (!status_condition_is(before, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE))
			resource_event(r, false, REASON_BOOTSTRAP_COMPLETED, "Bootstrap", "%lld rows have been indexed",
				       (long long)jsonx_integer(r->worker.report, "bootstrap.rowsDone", 0));
	}
	resource_enqueue(r);
}

static void take_event(struct resource *r, const struct protocol_event *event)
{
	resource_event(r, event->warning, event->reason, event->action, "%s", event->note);
}

static void take_done(struct resource *r, const struct protocol_result *done)
{
	if (r->worker.task != PROTOCOL_TASK_CLEANUP)
		return;
	r->worker.outcome = done->ok ? OUTCOME_CLEANED : OUTCOME_CLEANUP_FAILED;
	if (done->ok)
		return;
	r->worker.exit_reason = done->reason;
	resource_replace_text(&r->worker.exit_message, xstrdup(done->message));
}

static void take_sandbox(struct resource *r, unsigned parts)
{
	if (r->worker.task != PROTOCOL_TASK_RUN)
		return;
	set_worker_status(r, "sandbox", protocol_sandbox_names(parts));
	resource_enqueue(r);
}

static void on_message(void *user, const struct protocol_message *message)
{
	struct resource *r = user;

	if (r->worker.generation < 0)
		return;
	if (r->worker.silent)
		resource_enqueue(r);
	r->worker.silent = false;
	switch (message->kind) {
	case PROTOCOL_REPORT:
		take_report(r, message->report);
		break;
	case PROTOCOL_EVENT:
		take_event(r, &message->event);
		break;
	case PROTOCOL_DONE:
		take_done(r, &message->done);
		break;
	case PROTOCOL_SANDBOX:
		take_sandbox(r, message->sandbox);
		break;
	case PROTOCOL_VERDICT:
	case PROTOCOL_HEARTBEAT:
	case PROTOCOL_UNKNOWN:
		break;
	}
}

static void on_silent(void *user)
{
	struct resource *r = user;

	r->worker.silent = true;
	resource_enqueue(r);
}

/* --- its end */

static char *describe_exit(const struct resource *r, const struct worker_exit *exit)
{
	if (r->worker.killed)
		return xasprintf("the worker did not respond for %d seconds and was killed", RECONCILE_KILL_MS / 1000);
	/* In a container nothing else sends SIGKILL, and the worker cannot log it. */
	if (exit->signalled && exit->code == SIGKILL)
		return xasprintf(
			"the worker was killed by signal 9 (Killed), as happens when memory runs out: raise %s",
			is_agent(r->op) ? "spec.worker.resources.limits.memory"
					: "resources.limits.memory of the chart, which the operator's "
					  "workers share");
	if (exit->signalled)
		return xasprintf("the worker was killed by signal %d (%s)", exit->code, strsignal(exit->code));
	return xasprintf("the worker exited with code %d", exit->code);
}

static bool has_refused(const struct worker_exit *exit)
{
	return !exit->signalled && exit->code == PROTOCOL_EXIT_BAD_INPUT;
}

/* The worker's own message comes first, then how it ended. */
static void explain_exit(struct resource *r, const struct worker_exit *exit)
{
	_cleanup_free_ char *how = describe_exit(r, exit);
	_cleanup_json_ json_t *ready = json_copy((json_t *)status_condition(r->worker.report, CONDITION_READY));
	bool said = status_condition_is(r->worker.report, CONDITION_READY, STATUS_FALSE) &&
		    *jsonx_string(ready, "message", "");
	bool refused = r->worker.outcome == OUTCOME_REFUSED;
	bool looping = r->worker.restarts.failures >= RECONCILE_CRASH_LOOP;

	r->worker.exit_reason = protocol_take_reason(said ? ready : NULL, "message",
						     refused ? REASON_WORKER_REFUSED : REASON_WORKER_EXITED);
	if (looping && !refused)
		r->worker.exit_reason = REASON_WORKER_CRASH_LOOPING;
	if (said)
		resource_replace_text(&r->worker.exit_message,
				      xasprintf("%s; %s", jsonx_string(ready, "message", ""), how));
	else if (looping)
		resource_replace_text(&r->worker.exit_message, xasprintf("%s, %u times in a row; see its log", how,
									 r->worker.restarts.failures));
	else
		resource_replace_text(&r->worker.exit_message, xasprintf("%s; see its log", how));
}

static void note_exit(struct resource *r, const struct worker_exit *exit)
{
	size_t len = utf8_prefix(r->worker.exit_message, strlen(r->worker.exit_message), MESSAGE_BYTES);
	json_t *last = json_pack("{s:s, s:s%, s:o}", "reason", reason_name(r->worker.exit_reason), "message",
				 r->worker.exit_message, len, "time", now_json());

	(void)json_object_set_new(last, exit->signalled ? "signal" : "exitCode", json_integer(exit->code));
	set_worker_status(r, "lastExit", last);
}

static void run_failed(struct resource *r, const struct worker_exit *exit, int64_t now_ms)
{
	const char *cause = exit->signalled ? "Signal" : has_refused(exit) ? "BadInput" : "Failed";
	bool refused = has_refused(exit);

	r->worker.outcome = refused ? OUTCOME_REFUSED : OUTCOME_FAILED;
	restarts_failed(&r->worker.restarts, exit->uptime_ms, now_ms);
	explain_exit(r, exit);
	note_exit(r, exit);
	if (!refused)
		set_worker_status(r, "restartCount",
				  json_integer((json_int_t)jsonx_integer(r->worker.status, "restartCount", 0) + 1));
	metric_add(r->op->metrics.restarts, (const char *const[]){r->namespace, r->name, cause, NULL}, 1);
	resource_event(r, true, REASON_WORKER_EXITED, refused ? "Stop" : "Restart", "%s", r->worker.exit_message);
	if (!refused)
		jsonx_decref(TAKE_PTR(r->worker.report));
}

static void cleanup_ended(struct resource *r, const struct worker_exit *exit, int64_t now_ms)
{
	bool explained = r->worker.outcome == OUTCOME_CLEANUP_FAILED;

	if (r->worker.outcome == OUTCOME_CLEANED)
		return;
	r->worker.outcome = has_refused(exit) ? OUTCOME_REFUSED : OUTCOME_FAILED;
	restarts_failed(&r->worker.restarts, exit->uptime_ms, now_ms);
	if (!explained) {
		r->worker.exit_reason = REASON_CLEANUP_FAILED;
		resource_replace_text(&r->worker.exit_message, describe_exit(r, exit));
	}
	resource_event(r, true, r->worker.exit_reason, "Cleanup", "%s", r->worker.exit_message);
}

static void on_exited(void *user, const struct worker_exit *exit)
{
	struct resource *r = user;
	bool stopped = supervisor_is_stopping(r->worker.process);
	int64_t now_ms = clock_now_ms();

	log_info("operator", "worker ended", KV_STR("resource", r->key),
		 KV_STR("task", protocol_task_name(r->worker.task)),
		 KV_STR("how", exit->signalled ? "signal" : "exit code"), KV_I64("code", exit->code));
	r->worker.process = NULL;
	waiting_close(r->op->waiting, r->key);
	if (stopped) {
		if (r->worker.task == PROTOCOL_TASK_RUN && r->op->phase != OPERATOR_RUNNING)
			r->worker.outcome = OUTCOME_OPERATOR_ENDS;
		jsonx_decref(TAKE_PTR(r->worker.report));
		if (r->worker.task == PROTOCOL_TASK_RUN)
			resource_event(r, false, REASON_STOPPED, "Stop", "the worker has stopped");
	} else if (r->worker.task != PROTOCOL_TASK_CLEANUP) {
		run_failed(r, exit, now_ms);
	} else {
		cleanup_ended(r, exit, now_ms);
	}
	resource_enqueue(r);
}

/* --- starting and stopping */

static void note_start(struct resource *r, enum protocol_task before, const char *identity)
{
	bool rotated = before == PROTOCOL_TASK_RUN && strcmp(r->worker.spec_hash, r->inputs.spec_hash) == 0 &&
		       strcmp(r->worker.hash, r->inputs.hash) != 0;

	set_worker_status(r, "identity", json_string(identity));
	set_worker_status(r, "startTime", now_json());
	if (rotated) {
		metric_add(r->op->metrics.rotations, (const char *const[]){r->namespace, r->name, NULL}, 1);
		resource_event(r, false, REASON_CREDENTIALS_ROTATED, "Restart",
			       "a Secret has changed; restarted the worker with the new credentials");
	}
	resource_event(r, false, REASON_STARTED, "Start", "started the worker for generation %lld",
		       (long long)r->cache.generation);
}

/* As supervisor_start, with a channel for clients. */
static int start_process(struct resource *r, struct worker_options *options, struct err *err)
{
	struct operator_ *op = r->op;
	int clients_fd = 0, result;

	if (r->worker.task == PROTOCOL_TASK_RUN && waiting_open(op->waiting, r->key, &clients_fd, err) < 0) {
		free_secret(options->input_take);
		return -1;
	}
	options->clients_fd = clients_fd;
	result = supervisor_start(op->supervisor, options, clock_now_ms(), &r->worker.process, err);
	if (clients_fd)
		(void)close(clients_fd);
	if (result < 0)
		waiting_close(op->waiting, r->key);
	return result;
}

void resource_start(struct resource *r, enum protocol_task task)
{
	struct operator_ *op = r->op;
	_cleanup_free_ char *identity = xasprintf("%s-%u", op->short_identity, ++op->starts);
	struct worker_options options = {.name = r->key,
					 .input_take = resource_assignment(r, task),
					 .handlers = {.message = on_message, .silent = on_silent, .exited = on_exited},
					 .user = r};
	enum protocol_task before = r->worker.task;
	struct err err;

	/* Failures with other inputs, or with another task, do not count. */
	if (task != r->worker.task || strcmp(r->worker.hash, r->inputs.hash) != 0)
		restarts_reset(&r->worker.restarts);
	r->worker.outcome = OUTCOME_NONE;
	jsonx_decref(TAKE_PTR(r->worker.report));
	r->worker.task = task;
	r->worker.planning = r->cache.plan && task == PROTOCOL_TASK_RUN;
	r->worker.silent = r->worker.killed = false;
	if (start_process(r, &options, &err) < 0) {
		log_error("operator", "cannot start a worker", KV_STR("resource", r->key), KV_ERR(&err));
		r->worker.exit_reason = REASON_WORKER_NOT_STARTED;
		resource_replace_text(&r->worker.exit_message, xstrdup(err.msg));
		restarts_failed(&r->worker.restarts, 0, clock_now_ms());
	} else {
		log_info("operator", "worker started", KV_STR("resource", r->key),
			 KV_STR("task", protocol_task_name(task)), KV_I64("pid", supervisor_pid(r->worker.process)),
			 KV_I64("generation", r->cache.generation));
		if (FAILPOINT(WORKER_STARTED, &err) < 0)
			supervisor_kill(r->worker.process);
		if (task == PROTOCOL_TASK_RUN)
			note_start(r, before, identity);
	}
	memcpy(r->worker.hash, r->inputs.hash, sizeof(r->worker.hash));
	memcpy(r->worker.spec_hash, r->inputs.spec_hash, sizeof(r->worker.spec_hash));
	r->worker.generation = r->cache.generation;
}

void resource_stop(struct resource *r)
{
	if (!r->worker.process)
		return;
	supervisor_stop(r->worker.process, clock_now_ms());
}

void resource_kill(struct resource *r)
{
	if (!r->worker.process || r->worker.killed)
		return;
	r->worker.killed = true;
	supervisor_kill(r->worker.process);
}
