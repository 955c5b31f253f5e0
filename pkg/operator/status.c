/* Composing statuses: one table defines what each state means, and the rest follows from it. */
#include "operator/status_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "conditions/conditions.h"
#include "conditions/report.h"
#include "json/json.h"

enum { MESSAGE_BYTES = 32000 };

static const char no_worker[] = "no worker is running";

/* --- the table */

/* Where the reason and message of Ready come from. */
enum source {
	FROM_TABLE,
	FROM_REPORT, /* the whole condition */
	FROM_INPUTS, /* what is wrong with them */
	FROM_EXIT,   /* how the last worker ended */
	FROM_WRITER, /* why a write was refused */
};

/* Which of Reconciling and Stalled is present. */
enum progress {
	IDLE,        /* neither: nothing is in progress, and nothing is wrong */
	STARTING,    /* Reconciling, with reason Starting */
	RECONCILING, /* Reconciling, with Ready's reason and message */
	STALLED,     /* Stalled, with Ready's reason and message */
	AS_REPORTED,
};

/* How much of a report is used: what a worker reports about source, sink and stream is only true while it runs. */
enum report_use {
	REPORT_LASTING,   /* only what outlives a worker: none runs */
	REPORT_LAST_WORD, /* also its conditions, which show why the worker gave up */
	REPORT_LIVE,      /* a worker runs */
};

struct state {
	enum condition_status ready;
	enum source source;
	enum reason reason; /* of Ready; used when its source has none */
	const char *message;
	enum progress progress;
	enum phase phase; /* PHASE_N: as reported */
	enum report_use report;
};

#define STARTING_WORKER STATUS_UNKNOWN, FROM_TABLE, REASON_STARTING, "the worker is starting", STARTING, PHASE_PENDING
#define SUSPENDED_WORKER STATUS_FALSE, FROM_TABLE, REASON_SUSPENDED, "spec.suspend is true", IDLE, PHASE_SUSPENDED
#define REPORTING_WORKER STATUS_UNKNOWN, FROM_REPORT, REASON_STARTING, "the worker is starting", AS_REPORTED, PHASE_N
#define BEING_DELETED REASON_DELETING, "the resource is being deleted"

static const struct state states[RECONCILE_STATES] = {
	[STATE_UNKNOWN] = {STARTING_WORKER, REPORT_LASTING},
	[STATE_LOADING] = {STATUS_UNKNOWN, FROM_TABLE, REASON_PENDING,
			   "the Secrets and ConfigMaps that the spec refers to are being read", STARTING, PHASE_PENDING,
			   REPORT_LASTING},
	[STATE_INVALID] = {STATUS_FALSE, FROM_INPUTS, REASON_INVALID_SPEC, "", STALLED, PHASE_FAILED, REPORT_LASTING},
	[STATE_INVALID_RUNNING] = {STATUS_FALSE, FROM_INPUTS, REASON_INVALID_SPEC, "", STALLED, PHASE_FAILED,
				   REPORT_LIVE},
	[STATE_CREDENTIALS_GONE] = {REPORTING_WORKER, REPORT_LIVE},
	[STATE_STARTING] = {STARTING_WORKER, REPORT_LIVE},
	[STATE_RUNNING] = {REPORTING_WORKER, REPORT_LIVE},
	[STATE_SILENT] = {STATUS_UNKNOWN, FROM_TABLE, REASON_WORKER_SILENT,
			  "the worker does not respond; unless it does soon, the operator kills it and starts another",
			  RECONCILING, PHASE_PENDING, REPORT_LASTING},
	[STATE_RESTARTING] = {STARTING_WORKER, REPORT_LASTING},
	[STATE_BACKOFF] = {STATUS_FALSE, FROM_EXIT, REASON_WORKER_EXITED, no_worker, STARTING, PHASE_PENDING,
			   REPORT_LASTING},
	[STATE_CRASH_LOOP] = {STATUS_FALSE, FROM_EXIT, REASON_WORKER_CRASH_LOOPING, no_worker, STARTING, PHASE_FAILED,
			      REPORT_LASTING},
	[STATE_REFUSED] = {STATUS_FALSE, FROM_EXIT, REASON_WORKER_REFUSED, no_worker, STALLED, PHASE_FAILED,
			   REPORT_LAST_WORD},
	[STATE_SUSPENDING] = {SUSPENDED_WORKER, REPORT_LASTING},
	[STATE_SUSPENDED] = {SUSPENDED_WORKER, REPORT_LASTING},
	[STATE_FROZEN] = {STATUS_FALSE, FROM_TABLE, REASON_RECONCILE_DISABLED,
			  "no worker is running, and the annotation pgsync.io/reconcile=disabled prevents the operator "
			  "from starting one",
			  IDLE, PHASE_PENDING, REPORT_LASTING},
	[STATE_OVER_LIMIT] =
		{STATUS_FALSE, FROM_TABLE, REASON_TOO_MANY_PGSYNCS,
		 "the operator has as many PgSyncs as --max-pgsyncs allows, and the older ones come first; "
		 "delete one, or ask its administrator to raise the limit",
		 STALLED, PHASE_FAILED, REPORT_LASTING},
	[STATE_WRITE_REFUSED] = {STATUS_FALSE, FROM_WRITER, REASON_WRITE_REFUSED, "", STALLED, PHASE_FAILED,
				 REPORT_LASTING},
	/* Not written: the other operator writes. */
	[STATE_STANDING_BACK] = {STARTING_WORKER, REPORT_LASTING},
	/* Not written: the agent writes. */
	[STATE_IN_POD] = {STARTING_WORKER, REPORT_LASTING},
	[STATE_POD_STARTING] = {STATUS_UNKNOWN, FROM_TABLE, REASON_STARTING, "the pod of the worker is starting",
				STARTING, PHASE_PENDING, REPORT_LASTING},
	[STATE_POD_LOST] = {STATUS_UNKNOWN, FROM_TABLE, REASON_WORKER_LOST,
			    "nothing is heard of the worker's pod: see its Deployment, events and log", RECONCILING,
			    PHASE_PENDING, REPORT_LASTING},
	[STATE_DELETING] = {STATUS_FALSE, FROM_TABLE, BEING_DELETED, RECONCILING, PHASE_DELETING, REPORT_LASTING},
	[STATE_DELETE_RETRY] = {STATUS_FALSE, FROM_EXIT, BEING_DELETED, RECONCILING, PHASE_DELETING, REPORT_LASTING},
	[STATE_DELETE_INVALID] = {STATUS_FALSE, FROM_INPUTS, BEING_DELETED, STALLED, PHASE_DELETING, REPORT_LASTING},
	[STATE_DELETE_REFUSED] = {STATUS_FALSE, FROM_EXIT, BEING_DELETED, STALLED, PHASE_DELETING, REPORT_LASTING},
	[STATE_STOPPED] = {STATUS_UNKNOWN, FROM_TABLE, REASON_OPERATOR_STOPPED,
			   "the operator has stopped, and its workers with it", IDLE, PHASE_PENDING, REPORT_LASTING},
	[STATE_POD_STOPPED] = {STATUS_UNKNOWN, FROM_TABLE, REASON_WORKER_LOST, "the pod of the worker has stopped",
			       RECONCILING, PHASE_PENDING, REPORT_LASTING},
};

/* --- conditions */

const json_t *status_condition(const json_t *status, enum condition_type type)
{
	size_t i;
	json_t *condition;

	json_array_foreach (json_object_get(status, "conditions"), i, condition)
		if (strcmp(jsonx_string(condition, "type", ""), condition_type_name(type)) == 0)
			return condition;
	return NULL;
}

bool status_condition_is(const json_t *status, enum condition_type type, enum condition_status expected)
{
	return strcmp(jsonx_string(status_condition(status, type), "status", ""), condition_status_name(expected)) == 0;
}

/* Messages may quote anything, and are cut at the API's limit. */
static json_t *message_json(const char *message)
{
	size_t len = utf8_prefix(message, strlen(message), MESSAGE_BYTES);
	_cleanup_free_ char *text = xstrndup(message, len);

	utf8_make_printable(text);
	return json_string(text);
}

struct composer {
	const struct status_input *in;
	const struct state *state;
	json_t *conditions;
};

/* A worker's reason is shown unchanged: a newer worker may know more reasons. */
static void put_word(struct composer *c, enum condition_type type, const char *status, const char *reason,
		     const char *message)
{
	const json_t *before = status_condition(c->in->previous, type);
	const char *since = jsonx_string(before, "lastTransitionTime", NULL);
	char now[CLOCK_RFC3339_BYTES];

	/* The time is that of the status' last change, not of its reason or message. */
	if (!since || strcmp(jsonx_string(before, "status", ""), status) != 0)
		since = clock_rfc3339(c->in->wall_us, now);
	(void)json_array_append_new(c->conditions,
				    json_pack("{s:s, s:s, s:s, s:o, s:I, s:s}", "type", condition_type_name(type),
					      "status", status, "reason", *reason ? reason : reason_name(REASON_NONE),
					      "message", message_json(message), "observedGeneration",
					      (json_int_t)c->in->generation, "lastTransitionTime", since));
}

static void put_condition(struct composer *c, enum condition_type type, enum condition_status status,
			  enum reason reason, const char *message)
{
	put_word(c, type, condition_status_name(status), reason_name(reason), message);
}

static void put_copy(struct composer *c, enum condition_type type, const json_t *condition)
{
	put_word(c, type, jsonx_string(condition, "status", condition_status_name(STATUS_UNKNOWN)),
		 jsonx_string(condition, "reason", ""), jsonx_string(condition, "message", ""));
}

/* --- Ready, Reconciling, Stalled, Degraded */

/* The reason and message of a state, without a report. */
static struct status_cause cause_of(const struct composer *c)
{
	struct status_cause cause = {0};

	if (c->state->source == FROM_INPUTS)
		cause = c->in->invalid;
	else if (c->state->source == FROM_EXIT)
		cause = c->in->exit;
	else if (c->state->source == FROM_WRITER)
		cause = c->in->refused;
	return (struct status_cause){.reason = cause.reason ? cause.reason : c->state->reason,
				     .message = cause.message ? cause.message : c->state->message};
}

bool status_is_cleanup_failure(enum reconcile_state state)
{
	return state == STATE_DELETE_RETRY || state == STATE_DELETE_INVALID || state == STATE_DELETE_REFUSED;
}

static void put_cause(struct composer *c, enum condition_type type, enum condition_status status)
{
	struct status_cause cause = cause_of(c);
	_cleanup_free_ char *advice = NULL;

	/* Only the user can decide to leave something behind, so the message explains how. */
	if (status_is_cleanup_failure(c->in->state))
		advice = xasprintf(
			"cannot clean up: %s; fix this, or annotate the resource with pgsync.io/force-delete=true to "
			"delete it and leave the slot and the publication behind",
			cause.message);
	put_condition(c, type, status, cause.reason, advice ? advice : cause.message);
}

static void put_ready(struct composer *c)
{
	const json_t *reported =
		c->state->source == FROM_REPORT ? status_condition(c->in->report, CONDITION_READY) : NULL;

	if (reported)
		put_copy(c, CONDITION_READY, reported);
	else
		put_cause(c, CONDITION_READY, c->state->ready);
}

static void put_starting(struct composer *c)
{
	put_condition(c, CONDITION_RECONCILING, STATUS_TRUE, REASON_STARTING, "the worker is starting");
}

static void put_reported_progress(struct composer *c)
{
	const json_t *report = c->in->report, *ready = status_condition(report, CONDITION_READY);

	if (!report)
		put_starting(c);
	else if (status_condition_is(report, CONDITION_STALLED, STATUS_TRUE))
		put_copy(c, CONDITION_STALLED, status_condition(report, CONDITION_STALLED));
	else if (status_condition_is(report, CONDITION_PLANNED, STATUS_TRUE) ||
		 status_condition_is(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE))
		return;
	/* An attempt to fill the index failed, and the next one follows. */
	else if (status_condition_is(report, CONDITION_READY, STATUS_FALSE))
		put_word(c, CONDITION_RECONCILING, condition_status_name(STATUS_TRUE),
			 jsonx_string(ready, "reason", ""), jsonx_string(ready, "message", ""));
	else
		put_condition(c, CONDITION_RECONCILING, STATUS_TRUE, REASON_BOOTSTRAPPING,
			      "rows are being copied to the index");
}

/* Stalled and Reconciling are there only when they are true: what kstatus and its users expect. */
static void put_progress(struct composer *c)
{
	switch (c->state->progress) {
	case IDLE:
		break;
	case STARTING:
		put_starting(c);
		break;
	case RECONCILING:
		put_cause(c, CONDITION_RECONCILING, STATUS_TRUE);
		break;
	case STALLED:
		put_cause(c, CONDITION_STALLED, STATUS_TRUE);
		break;
	case AS_REPORTED:
		put_reported_progress(c);
		break;
	}
}

static const char *not_reported(const struct composer *c)
{
	return c->state->report == REPORT_LIVE ? "the worker has not reported yet" : no_worker;
}

static void put_degraded(struct composer *c)
{
	const struct status_input *in = c->in;
	const json_t *reported =
		c->state->report == REPORT_LIVE ? status_condition(in->report, CONDITION_DEGRADED) : NULL;

	if (in->state == STATE_CREDENTIALS_GONE) {
		_cleanup_free_ char *message = xasprintf("%s; the worker continues with the credentials that it has",
							 in->invalid.message ? in->invalid.message : "");

		put_condition(c, CONDITION_DEGRADED, STATUS_TRUE, REASON_CREDENTIALS_NOT_FOUND, message);
	} else if (in->contender && (!reported || !status_condition_is(in->report, CONDITION_DEGRADED, STATUS_TRUE))) {
		_cleanup_free_ char *message =
			xasprintf("another operator (Lease %.*s) watches this PgSync, too, and does nothing while this "
				  "one (Lease "
				  "%s) works: uninstall one of them, or give each its own namespaces (watchNamespaces)",
				  (int)strcspn(in->contender, " "), in->contender, in->lease ? in->lease : "none");

		put_condition(c, CONDITION_DEGRADED, STATUS_TRUE, REASON_OTHER_OPERATOR, message);
	} else if (reported) {
		put_copy(c, CONDITION_DEGRADED, reported);
	} else {
		put_condition(c, CONDITION_DEGRADED, STATUS_UNKNOWN, REASON_NOT_RUNNING, not_reported(c));
	}
}

/* --- the other conditions */

/* Conditions that are only known while a worker runs. If a worker gave up, its last report stays, since it shows
 * why. */
static void put_live(struct composer *c, enum condition_type type, enum condition_status without)
{
	const json_t *reported = c->state->report == REPORT_LASTING ? NULL : status_condition(c->in->report, type);

	if (reported)
		put_copy(c, type, reported);
	else
		put_condition(c, type, without,
			      c->state->reason == REASON_SUSPENDED ? REASON_SUSPENDED : REASON_NOT_RUNNING,
			      not_reported(c));
}

/* Whether there has been a worker: before, it is not known whether anything would stream. A status that is composed
 * again, with nothing new, stays as it is. */
static bool has_run(const struct composer *c, const json_t *worker)
{
	return worker ||
	       (c->in->previous && !status_condition_is(c->in->previous, CONDITION_STREAMING, STATUS_UNKNOWN));
}

/* What stays true when the worker ends. */
static void put_lasting(struct composer *c, enum condition_type type)
{
	const json_t *reported = status_condition(c->in->report, type);
	const json_t *previous = status_condition(c->in->previous, type);

	if (!reported || (previous && status_condition_is(c->in->report, type, STATUS_UNKNOWN) &&
			  !status_condition_is(c->in->previous, type, STATUS_UNKNOWN)))
		reported = previous;
	if (reported)
		put_copy(c, type, reported);
	else
		put_condition(c, type, STATUS_UNKNOWN, REASON_NOT_RUNNING, "no worker has reported it yet");
}

static void put_schema_accepted(struct composer *c)
{
	const struct status_input *in = c->in;
	enum reason reason = in->invalid.reason;
	bool schema =
		reason == REASON_INVALID_SPEC || reason == REASON_INVALID_SCHEMA || reason == REASON_NOT_SUPPORTED;

	if (schema && !(in->checked && in->report))
		put_condition(c, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, reason,
			      in->invalid.message ? in->invalid.message : "");
	else if (!in->report && jsonx_integer(in->previous, "observedGeneration", 0) != in->generation)
		put_condition(c, CONDITION_SCHEMA_ACCEPTED, STATUS_UNKNOWN, REASON_NOT_CHECKED,
			      "no worker has checked it yet");
	else
		put_lasting(c, CONDITION_SCHEMA_ACCEPTED);
}

/* Only of a worker that plans. */
static void put_planned(struct composer *c)
{
	const json_t *reported =
		c->state->report == REPORT_LASTING ? NULL : status_condition(c->in->report, CONDITION_PLANNED);

	if (reported)
		put_copy(c, CONDITION_PLANNED, reported);
}

static void put_suspended(struct composer *c)
{
	if (!c->in->suspend)
		put_condition(c, CONDITION_SUSPENDED, STATUS_FALSE, REASON_NOT_SUSPENDED, "spec.suspend is false");
	else if (c->in->state == STATE_SUSPENDED)
		put_condition(c, CONDITION_SUSPENDED, STATUS_TRUE, REASON_SUSPENDED,
			      "no worker is running; the replication slot remains, and retains WAL");
	else
		put_condition(c, CONDITION_SUSPENDED, STATUS_FALSE, REASON_STOPPING,
			      "spec.suspend is true and the worker is still running");
}

/* --- the other fields */

static void keep_field(json_t *status, const struct status_input *in, const char *key)
{
	json_t *value = json_object_get(in->report, key);

	if (!value)
		value = json_object_get(in->previous, key);
	if (value)
		(void)json_object_set(status, key, value);
}

/* What the checks found: the newest list, or the last one about this generation. */
static void keep_findings(json_t *status, const struct status_input *in)
{
	bool fresh = json_object_get(in->report, "findings") != NULL;
	const json_t *from = fresh ? in->report : in->previous;
	json_t *findings = json_object_get(from, "findings"), *more = json_object_get(from, "moreFindings");

	if (!fresh && jsonx_integer(in->previous, "observedGeneration", 0) != in->generation)
		return;
	if (json_array_size(findings))
		(void)json_object_set(status, "findings", findings);
	if (more)
		(void)json_object_set(status, "moreFindings", more);
}

/* A lag that is not being measured would be wrong. */
static void keep_stream(json_t *status, const struct status_input *in, bool live)
{
	json_t *stream;

	keep_field(status, in, "stream");
	if (live || !json_object_get(status, "stream"))
		return;
	stream = json_copy(json_object_get(status, "stream"));
	(void)json_object_del(stream, "lag");
	(void)json_object_del(stream, "lagSeconds");
	(void)json_object_del(stream, "lagBytes");
	if (report_slot_is(stream, REPORT_SLOT_ACTIVE))
		(void)json_object_set_new(stream, "slotState", json_string(report_slot_name(REPORT_SLOT_INACTIVE)));
	(void)json_object_set_new(status, "stream", stream);
}

json_t *status_compose(const struct status_input *in)
{
	struct composer c = {.in = in, .state = &states[in->state], .conditions = json_array()};
	json_t *worker = in->worker ? (json_t *)in->worker : json_object_get(in->previous, "worker");
	const char *reported = jsonx_string(in->report, "phase", phase_name(PHASE_PENDING));
	const char *phase = c.state->phase == PHASE_N ? reported : phase_name(c.state->phase);
	json_t *status = json_object();

	put_ready(&c);
	put_progress(&c);
	put_degraded(&c);
	put_live(&c, CONDITION_SOURCE_REACHABLE, STATUS_UNKNOWN);
	put_live(&c, CONDITION_SINK_REACHABLE, STATUS_UNKNOWN);
	put_schema_accepted(&c);
	put_lasting(&c, CONDITION_BOOTSTRAP_COMPLETE);
	put_live(&c, CONDITION_STREAMING,
		 in->state == STATE_LOADING || !has_run(&c, worker) ? STATUS_UNKNOWN : STATUS_FALSE);
	put_live(&c, CONDITION_SLOT_HEALTHY, STATUS_UNKNOWN);
	put_planned(&c);
	put_suspended(&c);

	(void)json_object_set_new(status, "phase", json_string(phase));
	(void)json_object_set_new(status, "conditions", c.conditions);
	if (in->lease)
		(void)json_object_set_new(status, "operator", json_pack("{s:s}", "lease", in->lease));
	if (worker)
		(void)json_object_set(status, "worker", worker);
	keep_field(status, in, "bootstrap");
	keep_stream(status, in, c.state->report == REPORT_LIVE);
	keep_field(status, in, "indices");
	keep_field(status, in, "retriedDeadLetters");
	keep_findings(status, in);
	(void)json_object_set_new(status, "observedGeneration", json_integer((json_int_t)in->generation));
	return status;
}
