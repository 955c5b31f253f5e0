/* Composing and comparing statuses. */
#include "operator/status_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "json/json.h"

enum { NUMBERS_MS = 10 * 1000, COUNTERS_MS = 60 * 1000, MESSAGE_BYTES = 32000 };

static const char no_worker[] = "no worker is running";

/* --- conditions */

const json_t *status_condition(const json_t *status, const char *type)
{
	size_t i;
	json_t *condition;

	json_array_foreach (json_object_get(status, "conditions"), i, condition)
		if (strcmp(jsonx_string(condition, "type", ""), type) == 0)
			return condition;
	return NULL;
}

bool status_condition_is(const json_t *status, const char *type, const char *expected)
{
	return strcmp(jsonx_string(status_condition(status, type), "status", ""), expected) == 0;
}

/* Messages may quote anything, and may be cut: what is not UTF-8 is replaced, and the API's limit is kept. */
static json_t *message_json(const char *message)
{
	size_t len = utf8_prefix(message, strlen(message), MESSAGE_BYTES);
	_cleanup_free_ char *text = xstrndup(message, len);

	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(text + i, len - i);

		if (n == 0)
			text[i] = '?';
		i += n ? n : 1;
	}
	return json_string(text);
}

struct composer {
	const struct status_input *in;
	json_t *conditions;
};

/* A reason that a worker says is shown as it says it: a newer one may know more of them. */
static void put_word(struct composer *c, const char *type, const char *status, const char *reason, const char *message)
{
	const json_t *before = status_condition(c->in->previous, type);
	const char *since = jsonx_string(before, "lastTransitionTime", NULL);
	char now[CLOCK_RFC3339_BYTES];

	/* The time says when the status turned, not when its words changed. */
	if (!since || strcmp(jsonx_string(before, "status", ""), status) != 0)
		since = clock_rfc3339(c->in->wall_us, now);
	(void)json_array_append_new(c->conditions,
				    json_pack("{s:s, s:s, s:s, s:o, s:I, s:s}", "type", type, "status", status,
					      "reason", *reason ? reason : reason_name(REASON_NONE), "message",
					      message_json(message), "observedGeneration",
					      (json_int_t)c->in->generation, "lastTransitionTime", since));
}

static void put(struct composer *c, const char *type, const char *status, enum reason reason, const char *message)
{
	put_word(c, type, status, reason_name(reason), message);
}

static void put_copy(struct composer *c, const char *type, const json_t *condition)
{
	put_word(c, type, jsonx_string(condition, "status", "Unknown"), jsonx_string(condition, "reason", ""),
		 jsonx_string(condition, "message", ""));
}

static const char *or_else(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

static enum reason reason_or(enum reason reason, enum reason otherwise)
{
	return reason ? reason : otherwise;
}

/* A worker runs, with the newest spec, and has said something. */
static bool report_counts(const struct status_input *in)
{
	return in->running && in->report;
}

static bool credentials_gone(const struct status_input *in)
{
	return in->situation == SITUATION_BAD_INPUTS && in->running && in->worker_generation == in->generation &&
	       reason_or(in->reason, REASON_CREDENTIALS_NOT_FOUND) == REASON_CREDENTIALS_NOT_FOUND;
}

/* --- Ready: the first obstacle has the word */

static void put_ready(struct composer *c)
{
	const struct status_input *in = c->in;
	const json_t *reported = status_condition(in->report, "Ready");

	switch (in->situation) {
	case SITUATION_BAD_INPUTS:
		if (credentials_gone(in))
			break;
		put(c, "Ready", "False", reason_or(in->reason, REASON_INVALID_SPEC), or_else(in->message, ""));
		return;
	case SITUATION_SUSPENDED:
		put(c, "Ready", "False", REASON_SUSPENDED, "spec.suspend is true");
		return;
	case SITUATION_FROZEN:
		put(c, "Ready", "False", REASON_RECONCILE_DISABLED,
		    "no worker is running, and the annotation pgsync.io/reconcile=disabled keeps one from being "
		    "started");
		return;
	case SITUATION_DELETING:
	case SITUATION_DELETE_RETRY:
	case SITUATION_DELETE_BLOCKED:
		put(c, "Ready", "False", reason_or(in->reason, REASON_DELETING),
		    or_else(in->message, "the resource is being deleted"));
		return;
	case SITUATION_BACKOFF:
	case SITUATION_REFUSED:
		put(c, "Ready", "False", reason_or(in->reason, REASON_WORKER_EXITED), or_else(in->message, no_worker));
		return;
	case SITUATION_STOPPED:
		put(c, "Ready", "Unknown", REASON_OPERATOR_STOPPED, "the operator has ended, and its workers with it");
		return;
	case SITUATION_LOADING:
		put(c, "Ready", "Unknown", reason_or(in->reason, REASON_PENDING),
		    or_else(in->message, "the Secrets and ConfigMaps that the spec names are being read"));
		return;
	case SITUATION_UNKNOWN:
	case SITUATION_STARTING:
	case SITUATION_RESTARTING:
	case SITUATION_RUNNING:
		break;
	}
	if (report_counts(in) && reported && in->situation != SITUATION_RESTARTING)
		put_copy(c, "Ready", reported);
	else
		put(c, "Ready", "Unknown", REASON_STARTING, "the worker is starting");
}

/* --- the rest */

static bool is_stalled(const struct status_input *in)
{
	return (in->situation == SITUATION_BAD_INPUTS && !credentials_gone(in)) || in->situation == SITUATION_REFUSED ||
	       in->situation == SITUATION_DELETE_BLOCKED;
}

static bool is_idle(const struct status_input *in)
{
	return in->situation == SITUATION_SUSPENDED || in->situation == SITUATION_FROZEN ||
	       in->situation == SITUATION_STOPPED;
}

/* The index is being filled, or an attempt at it failed and the next one follows: Ready says which. */
static void put_reconciling(struct composer *c)
{
	const json_t *ready = status_condition(c->in->report, "Ready");

	if (strcmp(jsonx_string(ready, "status", ""), "False") == 0)
		put_word(c, "Reconciling", "True", jsonx_string(ready, "reason", ""),
			 jsonx_string(ready, "message", ""));
	else
		put(c, "Reconciling", "True", REASON_BOOTSTRAPPING, "the index is being filled");
}

/* Stalled and Reconciling are there only when they are true: what kstatus and its users expect. */
static void put_abnormal(struct composer *c)
{
	const struct status_input *in = c->in;
	const json_t *stalled = status_condition(in->report, "Stalled");

	if (is_stalled(in)) {
		put(c, "Stalled", "True", reason_or(in->reason, REASON_WORKER_REFUSED),
		    or_else(in->message, no_worker));
		return;
	}
	if (is_idle(in))
		return;
	if (report_counts(in) && status_condition_is(in->report, "Stalled", "True")) {
		put_copy(c, "Stalled", stalled);
		return;
	}
	if (in->situation == SITUATION_DELETING || in->situation == SITUATION_DELETE_RETRY)
		put(c, "Reconciling", "True", reason_or(in->reason, REASON_DELETING),
		    or_else(in->message, "the resource is being deleted"));
	else if (!report_counts(in))
		put(c, "Reconciling", "True", REASON_STARTING, "the worker is being started");
	else if (!status_condition_is(in->report, "BootstrapComplete", "True"))
		put_reconciling(c);
}

static void put_degraded(struct composer *c)
{
	const struct status_input *in = c->in;

	if (credentials_gone(in)) {
		_cleanup_free_ char *message =
			xasprintf("%s; the worker goes on with what it has", or_else(in->message, ""));

		put(c, "Degraded", "True", reason_or(in->reason, REASON_CREDENTIALS_NOT_FOUND), message);
	} else if (report_counts(in) && status_condition(in->report, "Degraded")) {
		put_copy(c, "Degraded", status_condition(in->report, "Degraded"));
	} else {
		put(c, "Degraded", "Unknown", REASON_NOT_RUNNING, no_worker);
	}
}

/* What is only known while a worker runs. A worker that gave up keeps the last word: it says why. */
static void put_live(struct composer *c, const char *type, const char *without)
{
	const struct status_input *in = c->in;
	const json_t *reported =
		in->running || in->situation == SITUATION_REFUSED ? status_condition(in->report, type) : NULL;

	if (reported && !is_idle(in))
		put_copy(c, type, reported);
	else
		put(c, type, without, in->situation == SITUATION_SUSPENDED ? REASON_SUSPENDED : REASON_NOT_RUNNING,
		    in->running ? "the worker has said nothing yet" : no_worker);
}

/* What stays true when the worker ends. */
static void put_lasting(struct composer *c, const char *type)
{
	const json_t *reported = status_condition(c->in->report, type);
	const json_t *previous = status_condition(c->in->previous, type);

	if (!reported || (previous && status_condition_is(c->in->report, type, "Unknown") &&
			  !status_condition_is(c->in->previous, type, "Unknown")))
		reported = previous;
	if (reported)
		put_copy(c, type, reported);
	else
		put(c, type, "Unknown", REASON_NOT_RUNNING, "no worker has said so yet");
}

static void put_schema_accepted(struct composer *c)
{
	const struct status_input *in = c->in;
	enum reason reason = in->problem_reason;
	bool schema =
		reason == REASON_INVALID_SPEC || reason == REASON_INVALID_SCHEMA || reason == REASON_NOT_SUPPORTED;

	if (schema && !(in->checks && in->report))
		put(c, "SchemaAccepted", "False", reason, or_else(in->problem, ""));
	else if (!in->report && jsonx_integer(in->previous, "observedGeneration", 0) != in->generation)
		put(c, "SchemaAccepted", "Unknown", REASON_NOT_CHECKED, "no worker has checked it yet");
	else
		put_lasting(c, "SchemaAccepted");
}

static void put_suspended(struct composer *c)
{
	const struct status_input *in = c->in;

	if (!in->suspend)
		put(c, "Suspended", "False", REASON_NOT_SUSPENDED, "spec.suspend is false");
	else if (in->situation == SITUATION_SUSPENDED && in->ended)
		put(c, "Suspended", "True", REASON_SUSPENDED,
		    "the data flow is stopped; the slot stays, and keeps WAL from now on");
	else
		put(c, "Suspended", "False", REASON_STOPPING, "spec.suspend is true and the worker is still running");
}

/* --- the other fields */

static const char *phase(const struct status_input *in)
{
	switch (in->situation) {
	case SITUATION_SUSPENDED:
		return "Suspended";
	case SITUATION_DELETING:
	case SITUATION_DELETE_RETRY:
	case SITUATION_DELETE_BLOCKED:
		return "Deleting";
	case SITUATION_REFUSED:
		return "Failed";
	case SITUATION_BAD_INPUTS:
		return credentials_gone(in) ? jsonx_string(in->report, "phase", "Pending") : "Failed";
	case SITUATION_BACKOFF:
		return in->reason == REASON_WORKER_CRASH_LOOPING ? "Failed" : "Pending";
	case SITUATION_UNKNOWN:
	case SITUATION_LOADING:
	case SITUATION_STARTING:
	case SITUATION_RESTARTING:
	case SITUATION_RUNNING:
	case SITUATION_FROZEN:
	case SITUATION_STOPPED:
		break;
	}
	return report_counts(in) ? jsonx_string(in->report, "phase", "Pending") : "Pending";
}

static void keep(json_t *status, const struct status_input *in, const char *key)
{
	json_t *value = json_object_get(in->report, key);

	if (!value)
		value = json_object_get(in->previous, key);
	if (value)
		(void)json_object_set(status, key, value);
}

/* A lag that nobody measures any more would be a lie. */
static void keep_stream(json_t *status, const struct status_input *in)
{
	json_t *stream;

	keep(status, in, "stream");
	if (in->running || !json_object_get(status, "stream"))
		return;
	stream = json_copy(json_object_get(status, "stream"));
	(void)json_object_del(stream, "lag");
	(void)json_object_del(stream, "lagSeconds");
	(void)json_object_del(stream, "lagBytes");
	if (strcmp(jsonx_string(stream, "slotState", ""), "Active") == 0)
		(void)json_object_set_new(stream, "slotState", json_string("Inactive"));
	(void)json_object_set_new(status, "stream", stream);
}

json_t *status_compose(const struct status_input *in)
{
	struct composer c = {.in = in, .conditions = json_array()};
	json_t *worker = in->worker ? (json_t *)in->worker : json_object_get(in->previous, "worker");
	json_t *status = json_object();

	put_ready(&c);
	put_abnormal(&c);
	put_degraded(&c);
	put_live(&c, "SourceReachable", "Unknown");
	put_live(&c, "SinkReachable", "Unknown");
	put_schema_accepted(&c);
	put_lasting(&c, "BootstrapComplete");
	put_live(&c, "Streaming", in->situation == SITUATION_LOADING || !in->previous ? "Unknown" : "False");
	put_live(&c, "SlotHealthy", "Unknown");
	put_suspended(&c);

	(void)json_object_set_new(status, "phase", json_string(phase(in)));
	(void)json_object_set_new(status, "conditions", c.conditions);
	if (worker)
		(void)json_object_set(status, "worker", worker);
	keep(status, in, "bootstrap");
	keep_stream(status, in);
	keep(status, in, "indices");
	(void)json_object_set_new(status, "observedGeneration", json_integer((json_int_t)in->generation));
	return status;
}

/* --- comparing */

static bool same_at(const json_t *a, const json_t *b, const char *path)
{
	const json_t *x = jsonx_get(a, path), *y = jsonx_get(b, path);

	return x == y || (x && y && json_equal(x, y));
}

static bool conditions_turned(const json_t *old, const json_t *new)
{
	const json_t *before = json_object_get(old, "conditions"), *after = json_object_get(new, "conditions");
	size_t i;
	json_t *condition;

	if (json_array_size(before) != json_array_size(after))
		return true;
	json_array_foreach (after, i, condition) {
		const json_t *was = status_condition(old, jsonx_string(condition, "type", ""));

		if (!was || !same_at(was, condition, "status") || !same_at(was, condition, "reason") ||
		    !same_at(was, condition, "observedGeneration"))
			return true;
	}
	return false;
}

static bool indices_turned(const json_t *old, const json_t *new)
{
	const json_t *before = json_object_get(old, "indices"), *after = json_object_get(new, "indices");

	if (json_array_size(before) != json_array_size(after))
		return true;
	for (size_t i = 0; i < json_array_size(after); i++) {
		const json_t *a = json_array_get(before, i), *b = json_array_get(after, i);

		if (!same_at(a, b, "name") || !same_at(a, b, "physicalName") || !same_at(a, b, "health"))
			return true;
	}
	return false;
}

/* Equal but for the fields that move all the time. */
static bool same_but_counters(const json_t *old, const json_t *new)
{
	static const char *const counters[] = {"confirmedFlushLSN", "lagBytes", "retainedWALBytes", "retainedWAL"};
	_cleanup_json_ json_t *a = json_deep_copy(old);
	_cleanup_json_ json_t *b = json_deep_copy(new);

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		(void)json_object_del(json_object_get(a, "stream"), counters[i]);
		(void)json_object_del(json_object_get(b, "stream"), counters[i]);
	}
	return json_equal(a, b);
}

enum status_change status_compare(const json_t *old, const json_t *new)
{
	static const char *const names[] = {"observedGeneration",
					    "phase",
					    "worker",
					    "stream.slotName",
					    "stream.publicationName",
					    "stream.slotState",
					    "bootstrap.completionTime"};

	if (!old)
		return STATUS_TURN;
	if (json_equal(old, new))
		return STATUS_SAME;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!same_at(old, new, names[i]))
			return STATUS_TURN;
	if (conditions_turned(old, new) || indices_turned(old, new))
		return STATUS_TURN;
	return same_but_counters(old, new) ? STATUS_COUNTERS : STATUS_NUMBERS;
}

int64_t status_due_ms(enum status_change change, int64_t last_write_ms)
{
	if (change == STATUS_TURN || last_write_ms == 0)
		return 0;
	return last_write_ms + (change == STATUS_NUMBERS ? NUMBERS_MS : COUNTERS_MS);
}
