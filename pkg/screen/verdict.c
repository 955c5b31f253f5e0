/* The verdict: the first rule that applies decides. */
#include <stdlib.h>
#include <string.h>

#include "base/rfc3339.h"
#include "screen/screen.h"
#include "screen/screen_int.h"
#include "json/json.h"

enum {
	LEASE_SECONDS = 15, /* of a Lease that does not say */
	CLOCK_SECONDS = 15, /* how far the clocks of two machines may be apart */
	LAG_TARGET = 60,
};

const json_t *screen_condition(const json_t *resource, enum condition_type type)
{
	const json_t *condition;
	size_t i;

	json_array_foreach (jsonx_get(resource, "status.conditions"), i, condition)
		if (strcmp(jsonx_string(condition, "type", ""), condition_type_name(type)) == 0)
			return condition;
	return NULL;
}

bool screen_condition_is(const json_t *resource, enum condition_type type, enum condition_status status)
{
	const json_t *condition = screen_condition(resource, type);

	return condition && strcmp(jsonx_string(condition, "status", ""), condition_status_name(status)) == 0;
}

enum reason screen_reason(const json_t *condition)
{
	const char *word = jsonx_string(condition, "reason", "");
	enum reason reason;

	return reason_parse(word, &reason) ? reason : REASON_NONE;
}

static void judge(struct verdict *ret, enum verdict_kind kind, const char *summary)
{
	ret->kind = kind;
	ret->summary = xstrdup(summary);
}

/* Takes the words and the remedy of a condition. */
static void explain_verdict(const struct screen_input *in, const json_t *condition, struct verdict *ret)
{
	const char *message = jsonx_string(condition, "message", "");

	ret->found = *message ? xstrdup(message) : NULL;
	ret->next = remedy_find(in->reasons, jsonx_string(condition, "reason", ""));
}

/* --- the rules, in order; false: the next one decides */

static bool judge_deletion(const struct screen_input *in, struct verdict *ret)
{
	bool stuck = screen_condition_is(in->resource, CONDITION_STALLED, STATUS_TRUE);

	if (!jsonx_string(in->resource, "metadata.deletionTimestamp", NULL))
		return false;
	judge(ret, stuck ? VERDICT_BROKEN : VERDICT_WORKING, stuck ? "its deletion is stuck" : "it is being deleted");
	explain_verdict(in, screen_condition(in->resource, CONDITION_READY), ret);
	return true;
}

static bool judge_unobserved(const struct screen_input *in, struct verdict *ret)
{
	if (jsonx_integer(in->resource, "status.observedGeneration", -1) >= 0)
		return false;
	judge(ret, VERDICT_UNKNOWN, "no operator has looked at it yet");
	ret->next = xasprintf("install pgsync-operator, or let its watchNamespaces include namespace %s",
			      jsonx_string(in->resource, "metadata.namespace", ""));
	return true;
}

/* How long ago the Lease was renewed, in seconds; -1: no operator holds it. */
static int64_t lease_age(const struct screen_input *in)
{
	int64_t renewed_us;

	if (in->found == LEASE_MISSING || !*jsonx_string(in->lease, "spec.holderIdentity", "") ||
	    !rfc3339_parse(jsonx_string(in->lease, "spec.renewTime", ""), &renewed_us))
		return -1;
	return renewed_us > in->wall_us ? 0 : (in->wall_us - renewed_us) / 1000000;
}

/* A status that nothing renews may not be true any more. */
static bool judge_operator(const struct screen_input *in, struct verdict *ret)
{
	const char *lease = jsonx_string(in->resource, "status.operator.lease", "");
	int64_t age = in->found == LEASE_NOT_READ ? 0 : lease_age(in);
	char span[AMOUNT_BYTES];

	if (age >= 0 && age <= jsonx_integer(in->lease, "spec.leaseDurationSeconds", LEASE_SECONDS) + CLOCK_SECONDS)
		return false;
	judge(ret, VERDICT_UNKNOWN, "no operator is running: what follows was true when one wrote it last");
	if (age >= 0)
		ret->found = xasprintf("Lease %s was renewed %s ago", lease, amount_of_time(age, span));
	else
		ret->found = xasprintf("no operator holds Lease %s", lease);
	ret->next = xasprintf("see whether its pods run: kubectl get pods --namespace %.*s --selector "
			      "app.kubernetes.io/part-of=pgsync",
			      (int)strcspn(lease, "/"), lease);
	return true;
}

static bool judge_generation(const struct screen_input *in, struct verdict *ret)
{
	if (jsonx_integer(in->resource, "status.observedGeneration", -1) >=
	    jsonx_integer(in->resource, "metadata.generation", 0))
		return false;
	judge(ret, VERDICT_WORKING, "the operator has not taken up the newest spec yet");
	return true;
}

static bool judge_suspension(const struct screen_input *in, struct verdict *ret)
{
	const char *retained = jsonx_string(in->resource, "status.stream.retainedWAL", "");

	if (!jsonx_boolean(in->resource, "spec.suspend", false))
		return false;
	if (!screen_condition_is(in->resource, CONDITION_SUSPENDED, STATUS_TRUE)) {
		judge(ret, VERDICT_WORKING, "it is being suspended");
		return true;
	}
	judge(ret, VERDICT_SUSPENDED, "no data flows: it is suspended");
	ret->found = xasprintf("the slot remains, and Postgres retains WAL for it (%s when it was last seen)",
			       *retained ? retained : "an unknown size");
	ret->next = xasprintf("to go on: kubectl pgsync resume %s --namespace %s",
			      jsonx_string(in->resource, "metadata.name", ""),
			      jsonx_string(in->resource, "metadata.namespace", ""));
	return true;
}

static bool judge_plan(const struct screen_input *in, struct verdict *ret)
{
	const char *name = jsonx_string(in->resource, "metadata.name", "");
	const char *namespace = jsonx_string(in->resource, "metadata.namespace", "");
	const json_t *planned = screen_condition(in->resource, CONDITION_PLANNED);

	if (!screen_condition_is(in->resource, CONDITION_PLANNED, STATUS_TRUE))
		return false;
	judge(ret, VERDICT_PLANNED, "no data flows: spec.mode is Plan, and nothing prevents a start");
	ret->found = xstrdup(jsonx_string(planned, "message", ""));
	ret->next = xasprintf(
		"see what a start would do: kubectl pgsync status %s --namespace %s; to start: kubectl patch pgsync "
		"%s --namespace %s --type=merge --patch '{\"spec\":{\"mode\":\"Sync\"}}'",
		name, namespace, name, namespace);
	return true;
}

static char *lag_text(const json_t *resource)
{
	const char *lag = jsonx_string(resource, "status.stream.lag", "");
	long long target = (long long)jsonx_integer(resource, "spec.lagTargetSeconds", LAG_TARGET);

	return xasprintf("%s behind the tables (target: %llds)", *lag ? lag : "an unknown time", target);
}

static bool judge_flow(const struct screen_input *in, struct verdict *ret)
{
	const json_t *degraded = screen_condition(in->resource, CONDITION_DEGRADED);
	_cleanup_free_ char *lag = lag_text(in->resource);

	if (!screen_condition_is(in->resource, CONDITION_READY, STATUS_TRUE))
		return false;
	if (screen_condition_is(in->resource, CONDITION_DEGRADED, STATUS_TRUE)) {
		ret->kind = VERDICT_DEGRADED;
		ret->summary = xasprintf("data flows, %s, but something is wrong (%s)", lag,
					 jsonx_string(degraded, "reason", ""));
		explain_verdict(in, degraded, ret);
		return true;
	}
	ret->kind = VERDICT_FLOWING;
	ret->summary = xasprintf("data flows, %s", lag);
	return true;
}

static bool judge_lag(const struct screen_input *in, struct verdict *ret)
{
	const json_t *ready = screen_condition(in->resource, CONDITION_READY);
	_cleanup_free_ char *lag = lag_text(in->resource);

	if (screen_reason(ready) != REASON_LAG_EXCEEDS_TARGET)
		return false;
	ret->kind = VERDICT_LATE;
	ret->summary = xasprintf("data flows, but too slowly: %s", lag);
	explain_verdict(in, ready, ret);
	return true;
}

static bool is_on_its_way(enum reason reason)
{
	static const enum reason reasons[] = {
		REASON_STARTING,    REASON_PENDING,     REASON_NOT_CHECKED,   REASON_BOOTSTRAPPING,
		REASON_IN_PROGRESS, REASON_PROGRESSING, REASON_CREATING_SLOT, REASON_WAITING_FOR_TRANSACTIONS};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i] == reason)
			return true;
	return false;
}

static bool judge_progress(const struct screen_input *in, struct verdict *ret)
{
	const json_t *ready = screen_condition(in->resource, CONDITION_READY);
	const char *progress = jsonx_string(in->resource, "status.bootstrap.progress", "");
	bool filling = screen_condition_is(in->resource, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE);

	if (screen_condition_is(in->resource, CONDITION_STALLED, STATUS_TRUE) || !is_on_its_way(screen_reason(ready)))
		return false;
	ret->kind = VERDICT_WORKING;
	if (filling && *progress)
		ret->summary = xasprintf("the index is being filled: %s of the rows are in it", progress);
	else
		ret->summary = xstrdup("it is starting");
	explain_verdict(in, ready, ret);
	return true;
}

static bool judge_failure(const struct screen_input *in, struct verdict *ret)
{
	const json_t *ready = screen_condition(in->resource, CONDITION_READY);
	bool unknown = !ready || screen_condition_is(in->resource, CONDITION_READY, STATUS_UNKNOWN);

	ret->kind = unknown ? VERDICT_UNKNOWN : VERDICT_BROKEN;
	ret->summary = xasprintf("%s (%s)", unknown ? "it is not known whether data flows" : "data does not flow",
				 jsonx_string(ready, "reason", "no condition"));
	explain_verdict(in, ready, ret);
	return true;
}

void verdict_decide(const struct screen_input *in, struct verdict *ret)
{
	static bool (*const rules[])(const struct screen_input *in, struct verdict *ret) = {
		judge_deletion, judge_unobserved, judge_operator, judge_generation, judge_suspension,
		judge_plan,     judge_flow,       judge_lag,      judge_progress,   judge_failure,
	};

	*ret = (struct verdict){0};
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i](in, ret))
			return;
}

void verdict_release(struct verdict *verdict)
{
	free(verdict->summary);
	free(verdict->found);
	free(verdict->next);
	*verdict = (struct verdict){0};
}

const char *verdict_name(enum verdict_kind kind)
{
	static const char *const names[] = {
		[VERDICT_FLOWING] = "Flowing", [VERDICT_SUSPENDED] = "Suspended", [VERDICT_WORKING] = "Working",
		[VERDICT_LATE] = "Late",       [VERDICT_DEGRADED] = "Degraded",   [VERDICT_BROKEN] = "Broken",
		[VERDICT_UNKNOWN] = "Unknown", [VERDICT_PLANNED] = "Planned",
	};

	return names[kind];
}

bool verdict_is_good(enum verdict_kind kind)
{
	return kind == VERDICT_FLOWING || kind == VERDICT_SUSPENDED || kind == VERDICT_PLANNED;
}
