/* Tests of statuses composed from states and reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "operator/status_int.h"
#include "operator/status_test.h"
#include "json/json.h"

/* 2026-01-02T03:04:05Z and a minute later. */
#define FIRST_US (INT64_C(1767323045) * 1000000)
#define LATER_US (FIRST_US + 60 * INT64_C(1000000))

static struct status_input running(const json_t *report)
{
	return (struct status_input){.generation = 3, .state = STATE_RUNNING, .report = report, .wall_us = FIRST_US};
}

static void assert_condition(const json_t *status, enum condition_type type, enum condition_status expected,
			     const char *reason)
{
	const json_t *c = status_condition(status, type);

	if (!c)
		fail_msg("no condition %s", condition_type_name(type));
	if (!status_condition_is(status, type, expected) || strcmp(jsonx_string(c, "reason", ""), reason) != 0)
		fail_msg("%s is %s %s, expected %s %s", condition_type_name(type), jsonx_string(c, "status", ""),
			 jsonx_string(c, "reason", ""), condition_status_name(expected), reason);
}

static void assert_absent(const json_t *status, enum condition_type type)
{
	if (status_condition(status, type))
		fail_msg("condition %s is there", condition_type_name(type));
}

static void test_compose_when_frozen_without_a_worker_then_not_ready_and_nothing_continues(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in = (struct status_input){.previous = before, .generation = 3, .state = STATE_FROZEN, .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "ReconcileDisabled");
	assert_condition(status, CONDITION_STREAMING, STATUS_FALSE, "NotRunning");
	assert_condition(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, "Complete");
	assert_condition(status, CONDITION_SUSPENDED, STATUS_FALSE, "NotSuspended");
	assert_absent(status, CONDITION_RECONCILING);
	assert_absent(status, CONDITION_STALLED);
	assert_string_equal(jsonx_string(status, "phase", ""), "Pending");
	assert_null(jsonx_get(status, "stream.lag"));
}

static void test_compose_when_there_are_two_operators_then_degraded_says_so_unless_something_is_worse(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;
	_cleanup_json_ json_t *worse = NULL;
	const char *message;

	UNUSED(state);
	in.lease = "a/pgsync-operator";
	in.contender = "b/pgsync-operator 2026-01-02T03:04:05Z";
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_TRUE, "Streaming");
	assert_condition(status, CONDITION_DEGRADED, STATUS_TRUE, "OtherOperator");
	message = jsonx_string(status_condition(status, CONDITION_DEGRADED), "message", "");
	assert_non_null(strstr(message, "(Lease b/pgsync-operator)"));
	assert_non_null(strstr(message, "(Lease a/pgsync-operator)"));
	assert_string_equal(jsonx_string(status, "operator.lease", ""), "a/pgsync-operator");
	(void)json_object_set_new((json_t *)status_condition(report, CONDITION_DEGRADED), "status",
				  json_string("True"));
	(void)json_object_set_new((json_t *)status_condition(report, CONDITION_DEGRADED), "reason",
				  json_string("DeadLetters"));
	worse = status_compose(&in);
	assert_condition(worse, CONDITION_DEGRADED, STATUS_TRUE, "DeadLetters");
}

static json_t *planned_report(void)
{
	return parse(
		"{\"phase\": \"Planned\", \"conditions\": [{\"type\": \"Ready\", \"status\": \"False\", \"reason\": "
		"\"Planned\"}, {\"type\": \"Planned\", \"status\": \"True\", \"reason\": \"Planned\"}], \"findings\": "
		"[{\"severity\": \"Change\", \"message\": \"a slot\"}], \"moreFindings\": 2}");
}

static void test_compose_when_planned_then_at_rest_and_the_findings_stay_as_long_as_they_are_true(void **state)
{
	_cleanup_json_ json_t *report = planned_report(),
			      *clean = parse("{\"phase\": \"Streaming\", \"findings\": []}");
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = status_compose(&in), *ended = NULL, *edited = NULL, *fixed = NULL;

	UNUSED(state);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "Planned");
	assert_condition(status, CONDITION_PLANNED, STATUS_TRUE, "Planned");
	assert_absent(status, CONDITION_RECONCILING);
	assert_absent(status, CONDITION_STALLED);
	assert_string_equal(jsonx_string(status, "phase", ""), "Planned");
	assert_int_equal(json_array_size(json_object_get(status, "findings")), 1);
	assert_int_equal(jsonx_integer(status, "moreFindings", 0), 2);
	in.previous = status;
	in.report = NULL;
	in.state = STATE_BACKOFF;
	ended = status_compose(&in);
	assert_absent(ended, CONDITION_PLANNED);
	assert_int_equal(json_array_size(json_object_get(ended, "findings")), 1);
	in.generation++;
	edited = status_compose(&in);
	assert_null(json_object_get(edited, "findings"));
	in.generation--;
	in.report = clean;
	in.state = STATE_RUNNING;
	fixed = status_compose(&in);
	assert_null(json_object_get(fixed, "findings"));
	assert_null(json_object_get(fixed, "moreFindings"));
}

static void test_compose_when_first_seen_then_all_conditions_are_there_and_unknown(void **state)
{
	static const enum condition_type types[] = {
		CONDITION_READY,          CONDITION_DEGRADED,        CONDITION_SOURCE_REACHABLE,
		CONDITION_SINK_REACHABLE, CONDITION_SCHEMA_ACCEPTED, CONDITION_BOOTSTRAP_COMPLETE,
		CONDITION_STREAMING,      CONDITION_SLOT_HEALTHY};
	struct status_input in = {.generation = 1, .state = STATE_LOADING, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!status_condition_is(status, types[i], STATUS_UNKNOWN))
			fail_msg("%s is not Unknown", condition_type_name(types[i]));
	}
	assert_condition(status, CONDITION_SUSPENDED, STATUS_FALSE, "NotSuspended");
	assert_condition(status, CONDITION_RECONCILING, STATUS_TRUE, "Starting");
	assert_absent(status, CONDITION_STALLED);
	assert_string_equal(jsonx_string(status, "phase", ""), "Pending");
	assert_int_equal(jsonx_integer(status, "observedGeneration", 0), 1);
	assert_string_equal(jsonx_string(status_condition(status, CONDITION_READY), "lastTransitionTime", ""),
			    "2026-01-02T03:04:05Z");
	assert_int_equal(jsonx_integer(status_condition(status, CONDITION_READY), "observedGeneration", 0), 1);
}

static void test_compose_when_streaming_then_the_report_is_the_status(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, CONDITION_READY, STATUS_TRUE, "Streaming");
	assert_condition(status, CONDITION_SLOT_HEALTHY, STATUS_TRUE, "Reserved");
	assert_absent(status, CONDITION_RECONCILING);
	assert_absent(status, CONDITION_STALLED);
	assert_string_equal(jsonx_string(status, "phase", ""), "Streaming");
	assert_true(json_equal(json_object_get(status, "stream"), json_object_get(report, "stream")));
	assert_true(json_equal(json_object_get(status, "indices"), json_object_get(report, "indices")));
}

static void test_compose_when_bootstrapping_then_reconciling(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	(void)json_object_set_new((json_t *)status_condition(report, CONDITION_BOOTSTRAP_COMPLETE), "status",
				  json_string("False"));
	status = status_compose(&in);
	assert_condition(status, CONDITION_RECONCILING, STATUS_TRUE, "Bootstrapping");
}

static void test_compose_when_an_attempt_fails_then_reconciling_says_what_ready_says(void **state)
{
	_cleanup_json_ json_t *report =
		parse("{\"phase\": \"Pending\", \"conditions\": ["
		      "{\"type\": \"Ready\", \"status\": \"False\", \"reason\": \"SourceUnreachable\", \"message\": "
		      "\"connection refused\"},"
		      "{\"type\": \"BootstrapComplete\", \"status\": \"Unknown\", \"reason\": \"NotChecked\", "
		      "\"message\": \"later\"}]}");
	struct status_input in = running(report);
	_cleanup_json_ json_t *first = status_compose(&in);
	_cleanup_json_ json_t *streaming = streaming_report();
	struct status_input before = running(streaming);
	_cleanup_json_ json_t *previous = status_compose(&before);
	_cleanup_json_ json_t *after = NULL;

	UNUSED(state);
	assert_condition(first, CONDITION_RECONCILING, STATUS_TRUE, "SourceUnreachable");
	assert_string_equal(jsonx_string(status_condition(first, CONDITION_RECONCILING), "message", ""),
			    "connection refused");
	assert_condition(first, CONDITION_BOOTSTRAP_COMPLETE, STATUS_UNKNOWN, "NotChecked");
	/* What was true stays true while it cannot be checked. */
	in.previous = previous;
	after = status_compose(&in);
	assert_condition(after, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, "Complete");
}

static void test_compose_when_the_worker_stalls_then_stalled_and_not_reconciling(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	(void)json_array_append_new(json_object_get(report, "conditions"),
				    parse("{\"type\": \"Stalled\", \"status\": \"True\", \"reason\": \"SlotLost\","
					  " \"message\": \"the slot is gone\"}"));
	status = status_compose(&in);
	assert_condition(status, CONDITION_STALLED, STATUS_TRUE, "SlotLost");
	assert_absent(status, CONDITION_RECONCILING);
}

static void test_compose_when_only_words_change_then_the_time_stays(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *after = NULL;
	json_t *ready = (json_t *)status_condition(report, CONDITION_READY);

	UNUSED(state);
	(void)json_object_set_new(ready, "reason", json_string("CaughtUp"));
	(void)json_object_set_new((json_t *)status_condition(report, CONDITION_SINK_REACHABLE), "status",
				  json_string("False"));
	in.previous = before;
	in.wall_us = LATER_US;
	after = status_compose(&in);
	assert_string_equal(jsonx_string(status_condition(after, CONDITION_READY), "lastTransitionTime", ""),
			    "2026-01-02T03:04:05Z");
	assert_string_equal(jsonx_string(status_condition(after, CONDITION_SINK_REACHABLE), "lastTransitionTime", ""),
			    "2026-01-02T03:05:05Z");
}

static void test_compose_when_suspended_then_lag_goes_and_facts_stay(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in = (struct status_input){
		.previous = before, .generation = 4, .state = STATE_SUSPENDED, .suspend = true, .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "Suspended");
	assert_condition(status, CONDITION_SUSPENDED, STATUS_TRUE, "Suspended");
	assert_condition(status, CONDITION_STREAMING, STATUS_FALSE, "Suspended");
	assert_condition(status, CONDITION_SOURCE_REACHABLE, STATUS_UNKNOWN, "Suspended");
	assert_condition(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, "Complete");
	assert_absent(status, CONDITION_RECONCILING);
	assert_absent(status, CONDITION_STALLED);
	assert_null(jsonx_get(status, "stream.lag"));
	assert_null(jsonx_get(status, "stream.lagSeconds"));
	assert_null(jsonx_get(status, "stream.lagBytes"));
	assert_string_equal(jsonx_string(status, "stream.slotName", ""), "books");
	assert_string_equal(jsonx_string(status, "stream.slotState", ""), "Inactive");
	assert_string_equal(jsonx_string(status, "bootstrap.progress", ""), "100%");
	assert_non_null(json_object_get(status, "indices"));
	/* The report of the fixture is not changed by that. */
	assert_string_equal(jsonx_string(before, "stream.lag", ""), "0s");
}

static void test_compose_when_suspended_and_the_worker_still_ends_then_not_yet_suspended(void **state)
{
	struct status_input in = {.generation = 1, .state = STATE_SUSPENDING, .suspend = true, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, CONDITION_SUSPENDED, STATUS_FALSE, "Stopping");
}

static void test_compose_when_the_spec_is_invalid_then_stalled_and_not_accepted(void **state)
{
	struct status_input in = {.generation = 2,
				  .state = STATE_INVALID,
				  .invalid = {REASON_INVALID_SCHEMA, "spec.schema[0].nodes: unknown key"},
				  .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "InvalidSchema");
	assert_condition(status, CONDITION_STALLED, STATUS_TRUE, "InvalidSchema");
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "InvalidSchema");
	assert_absent(status, CONDITION_RECONCILING);
	assert_string_equal(jsonx_string(status_condition(status, CONDITION_STALLED), "message", ""),
			    "spec.schema[0].nodes: unknown key");
	assert_string_equal(jsonx_string(status, "phase", ""), "Failed");
}

static void test_compose_when_the_spec_is_invalid_and_suspended_then_not_accepted(void **state)
{
	struct status_input in = {.generation = 2,
				  .state = STATE_SUSPENDED,
				  .invalid = {REASON_INVALID_SCHEMA, "spec.schema[0].nodes: unknown key"},
				  .suspend = true,
				  .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "Suspended");
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "InvalidSchema");
}

static void test_compose_when_the_invalid_spec_is_checked_then_what_the_worker_found(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.invalid = (struct status_cause){REASON_INVALID_SCHEMA, "spec.schema[0].nodes: unknown key"};
	status = status_compose(&in);
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "InvalidSchema");
	jsonx_decref(TAKE_PTR(status));
	in.checked = true;
	status = status_compose(&in);
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "Accepted"); /* as this report has it */
}

static void test_compose_when_a_bad_edit_meets_a_running_worker_then_not_ready_but_alive(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.generation = 4; /* the worker runs 3 */
	in.state = STATE_INVALID_RUNNING;
	in.invalid = (struct status_cause){REASON_INVALID_SPEC, "spec.sink: wrong"};
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_FALSE, "InvalidSpec");
	assert_condition(status, CONDITION_STALLED, STATUS_TRUE, "InvalidSpec");
	assert_condition(status, CONDITION_STREAMING, STATUS_TRUE, "Attached");
	assert_string_equal(jsonx_string(status, "stream.lag", ""), "0s");
}

static void test_compose_when_a_secret_goes_under_a_running_worker_then_ready_and_degraded(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.state = STATE_CREDENTIALS_GONE;
	in.invalid = (struct status_cause){REASON_CREDENTIALS_NOT_FOUND, "Secret \"x\" not found"};
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_TRUE, "Streaming");
	assert_condition(status, CONDITION_DEGRADED, STATUS_TRUE, "CredentialsNotFound");
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "Accepted");
	assert_absent(status, CONDITION_STALLED);
	assert_string_equal(jsonx_string(status, "phase", ""), "Streaming");
	assert_non_null(strstr(jsonx_string(status_condition(status, CONDITION_DEGRADED), "message", ""), "\"x\""));
}

static void test_compose_when_a_worker_starts_again_then_what_outlives_it_is_kept(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	_cleanup_json_ json_t *fresh = NULL;
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	fresh = parse(
		"{\"phase\": \"Pending\", \"conditions\": ["
		"{\"type\": \"Ready\", \"status\": \"Unknown\", \"reason\": \"Starting\", \"message\": \"\"},"
		"{\"type\": \"SchemaAccepted\", \"status\": \"Unknown\", \"reason\": \"Starting\", \"message\": \"\"},"
		"{\"type\": \"BootstrapComplete\", \"status\": \"Unknown\", \"reason\": \"Starting\","
		" \"message\": \"\"}]}");
	in.previous = before;
	in.report = fresh;
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_UNKNOWN, "Starting");
	assert_condition(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, "Complete");
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "Accepted");
	assert_non_null(json_object_get(status, "indices"));
}

static void test_compose_when_a_new_generation_is_not_checked_yet_then_acceptance_is_unknown(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.previous = before;
	in.generation = 4;
	in.state = STATE_STARTING;
	in.report = NULL;
	status = status_compose(&in);
	assert_condition(status, CONDITION_SCHEMA_ACCEPTED, STATUS_UNKNOWN, "NotChecked");
	assert_condition(status, CONDITION_READY, STATUS_UNKNOWN, "Starting");
	assert_condition(status, CONDITION_STREAMING, STATUS_FALSE, "NotRunning");
}

static void test_compose_when_a_message_is_not_utf8_or_too_long_then_it_is_repaired(void **state)
{
	_cleanup_free_ char *message = xmalloc(40001);
	struct status_input in = {
		.generation = 1, .state = STATE_BACKOFF, .exit = {REASON_WORKER_EXITED, message}, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = NULL;
	const char *shown;

	UNUSED(state);
	memset(message, 'x', 40000);
	message[40000] = '\0';
	message[1] = '\xff';
	status = status_compose(&in);
	shown = jsonx_string(status_condition(status, CONDITION_READY), "message", "");
	assert_int_equal(strncmp(shown, "x?xx", 4), 0);
	assert_true(strlen(shown) <= 32768); /* the API's limit */
}

static void test_compose_when_the_operator_ends_then_nothing_claims_to_flow(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in = (struct status_input){.previous = before, .generation = 3, .state = STATE_STOPPED, .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, CONDITION_READY, STATUS_UNKNOWN, "OperatorStopped");
	assert_condition(status, CONDITION_STREAMING, STATUS_FALSE, "NotRunning");
	assert_absent(status, CONDITION_RECONCILING);
}

/* --- every state */

struct expected {
	const char *name;
	enum reconcile_state state;
	enum condition_status ready;
	enum reason ready_reason;
	enum condition_type abnormal; /* RECONCILING or STALLED; N: neither */
	enum reason abnormal_reason;
	enum condition_status streaming, degraded;
	enum phase phase;
	bool lag;
};

static void assert_state(const json_t *status, const struct expected *e)
{
	static const enum condition_type abnormal[] = {CONDITION_RECONCILING, CONDITION_STALLED};
	enum condition_status source = e->streaming == STATUS_TRUE ? STATUS_TRUE : STATUS_UNKNOWN;

	print_message("%s\n", e->name);
	assert_condition(status, CONDITION_READY, e->ready, reason_name(e->ready_reason));
	for (size_t i = 0; i < ARRAY_SIZE(abnormal); i++) {
		if (e->abnormal == abnormal[i])
			assert_condition(status, abnormal[i], STATUS_TRUE, reason_name(e->abnormal_reason));
		else
			assert_absent(status, abnormal[i]);
	}
	assert_true(status_condition_is(status, CONDITION_STREAMING, e->streaming));
	assert_true(status_condition_is(status, CONDITION_SOURCE_REACHABLE, source));
	assert_true(status_condition_is(status, CONDITION_DEGRADED, e->degraded));
	assert_true(status_condition_is(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE));
	assert_string_equal(jsonx_string(status, "phase", ""), phase_name(e->phase));
	assert_int_equal(jsonx_get(status, "stream.lag") != NULL, e->lag);
}

/* With a report that data flows, which is used in some states only. */
static void test_compose_when_in_any_state_then_as_the_table_says(void **state)
{
	static const struct expected rows[] = {
		{"unknown", STATE_UNKNOWN, STATUS_UNKNOWN, REASON_STARTING, CONDITION_RECONCILING, REASON_STARTING,
		 STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"loading", STATE_LOADING, STATUS_UNKNOWN, REASON_PENDING, CONDITION_RECONCILING, REASON_STARTING,
		 STATUS_UNKNOWN, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"invalid", STATE_INVALID, STATUS_FALSE, REASON_INVALID_SCHEMA, CONDITION_STALLED,
		 REASON_INVALID_SCHEMA, STATUS_FALSE, STATUS_UNKNOWN, PHASE_FAILED, false},
		{"invalid, running", STATE_INVALID_RUNNING, STATUS_FALSE, REASON_INVALID_SCHEMA, CONDITION_STALLED,
		 REASON_INVALID_SCHEMA, STATUS_TRUE, STATUS_FALSE, PHASE_FAILED, true},
		{"credentials gone", STATE_CREDENTIALS_GONE, STATUS_TRUE, REASON_STREAMING, CONDITION_N, REASON_NONE,
		 STATUS_TRUE, STATUS_TRUE, PHASE_STREAMING, true},
		{"running", STATE_RUNNING, STATUS_TRUE, REASON_STREAMING, CONDITION_N, REASON_NONE, STATUS_TRUE,
		 STATUS_FALSE, PHASE_STREAMING, true},
		{"silent", STATE_SILENT, STATUS_UNKNOWN, REASON_WORKER_SILENT, CONDITION_RECONCILING,
		 REASON_WORKER_SILENT, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"write refused", STATE_WRITE_REFUSED, STATUS_FALSE, REASON_WRITE_REFUSED, CONDITION_STALLED,
		 REASON_WRITE_REFUSED, STATUS_FALSE, STATUS_UNKNOWN, PHASE_FAILED, false},
		{"restarting", STATE_RESTARTING, STATUS_UNKNOWN, REASON_STARTING, CONDITION_RECONCILING,
		 REASON_STARTING, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"backoff", STATE_BACKOFF, STATUS_FALSE, REASON_SINK_UNREACHABLE, CONDITION_RECONCILING,
		 REASON_STARTING, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"crash loop", STATE_CRASH_LOOP, STATUS_FALSE, REASON_SINK_UNREACHABLE, CONDITION_RECONCILING,
		 REASON_STARTING, STATUS_FALSE, STATUS_UNKNOWN, PHASE_FAILED, false},
		{"refused", STATE_REFUSED, STATUS_FALSE, REASON_SINK_UNREACHABLE, CONDITION_STALLED,
		 REASON_SINK_UNREACHABLE, STATUS_TRUE, STATUS_UNKNOWN, PHASE_FAILED, false},
		{"suspending", STATE_SUSPENDING, STATUS_FALSE, REASON_SUSPENDED, CONDITION_N, REASON_NONE, STATUS_FALSE,
		 STATUS_UNKNOWN, PHASE_SUSPENDED, false},
		{"suspended", STATE_SUSPENDED, STATUS_FALSE, REASON_SUSPENDED, CONDITION_N, REASON_NONE, STATUS_FALSE,
		 STATUS_UNKNOWN, PHASE_SUSPENDED, false},
		{"frozen", STATE_FROZEN, STATUS_FALSE, REASON_RECONCILE_DISABLED, CONDITION_N, REASON_NONE,
		 STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"over the limit", STATE_OVER_LIMIT, STATUS_FALSE, REASON_TOO_MANY_PGSYNCS, CONDITION_STALLED,
		 REASON_TOO_MANY_PGSYNCS, STATUS_FALSE, STATUS_UNKNOWN, PHASE_FAILED, false},
		{"standing back", STATE_STANDING_BACK, STATUS_UNKNOWN, REASON_STARTING, CONDITION_RECONCILING,
		 REASON_STARTING, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"deleting", STATE_DELETING, STATUS_FALSE, REASON_DELETING, CONDITION_RECONCILING, REASON_DELETING,
		 STATUS_FALSE, STATUS_UNKNOWN, PHASE_DELETING, false},
		{"delete, retry", STATE_DELETE_RETRY, STATUS_FALSE, REASON_SINK_UNREACHABLE, CONDITION_RECONCILING,
		 REASON_SINK_UNREACHABLE, STATUS_FALSE, STATUS_UNKNOWN, PHASE_DELETING, false},
		{"delete, invalid", STATE_DELETE_INVALID, STATUS_FALSE, REASON_INVALID_SCHEMA, CONDITION_STALLED,
		 REASON_INVALID_SCHEMA, STATUS_FALSE, STATUS_UNKNOWN, PHASE_DELETING, false},
		{"delete, refused", STATE_DELETE_REFUSED, STATUS_FALSE, REASON_SINK_UNREACHABLE, CONDITION_STALLED,
		 REASON_SINK_UNREACHABLE, STATUS_FALSE, STATUS_UNKNOWN, PHASE_DELETING, false},
		{"stopped", STATE_STOPPED, STATUS_UNKNOWN, REASON_OPERATOR_STOPPED, CONDITION_N, REASON_NONE,
		 STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"in a pod", STATE_IN_POD, STATUS_UNKNOWN, REASON_STARTING, CONDITION_RECONCILING, REASON_STARTING,
		 STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"pod starts", STATE_POD_STARTING, STATUS_UNKNOWN, REASON_STARTING, CONDITION_RECONCILING,
		 REASON_STARTING, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"pod is lost", STATE_POD_LOST, STATUS_UNKNOWN, REASON_WORKER_LOST, CONDITION_RECONCILING,
		 REASON_WORKER_LOST, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
		{"pod has stopped", STATE_POD_STOPPED, STATUS_UNKNOWN, REASON_WORKER_LOST, CONDITION_RECONCILING,
		 REASON_WORKER_LOST, STATUS_FALSE, STATUS_UNKNOWN, PHASE_PENDING, false},
	};
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);

	UNUSED(state);
	/* STARTING has no report: the next test. */
	assert_int_equal(ARRAY_SIZE(rows), RECONCILE_STATES - 1);
	in.previous = before;
	in.invalid = (struct status_cause){REASON_INVALID_SCHEMA, "spec.schema: unknown key"};
	in.exit = (struct status_cause){REASON_SINK_UNREACHABLE, "connection refused"};
	in.refused = (struct status_cause){REASON_WRITE_REFUSED, "a policy says no"};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *status = NULL;

		in.state = rows[i].state;
		status = status_compose(&in);
		assert_state(status, &rows[i]);
	}
}

/* A state without further information: no report, no cause, no earlier status. */
static void test_compose_when_nothing_is_known_then_every_state_has_words(void **state)
{
	UNUSED(state);
	for (int s = 0; s < RECONCILE_STATES; s++) {
		struct status_input in = {.generation = 1, .state = (enum reconcile_state)s, .wall_us = FIRST_US};
		_cleanup_json_ json_t *status = status_compose(&in);
		const json_t *ready = status_condition(status, CONDITION_READY);
		size_t i;
		json_t *condition;

		assert_false(status_condition_is(status, CONDITION_READY, STATUS_TRUE));
		assert_string_not_equal(jsonx_string(ready, "reason", "Unspecified"), "Unspecified");
		json_array_foreach (json_object_get(status, "conditions"), i, condition)
			assert_non_null(jsonx_string(condition, "message", NULL));
		assert_true(status_condition_is(status, CONDITION_STREAMING, STATUS_UNKNOWN));
	}
}

static void test_compose_when_starting_then_unknown_until_the_first_report(void **state)
{
	struct status_input in = {.generation = 1, .state = STATE_STARTING, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, CONDITION_READY, STATUS_UNKNOWN, "Starting");
	assert_condition(status, CONDITION_RECONCILING, STATUS_TRUE, "Starting");
	assert_string_equal(jsonx_string(status_condition(status, CONDITION_STREAMING), "message", ""),
			    "the worker has not reported yet");
	assert_string_equal(jsonx_string(status, "phase", ""), "Pending");
}

static void test_compose_when_a_cleanup_fails_then_the_message_says_how_to_skip_it(void **state)
{
	static const enum reconcile_state states[] = {STATE_DELETE_RETRY, STATE_DELETE_INVALID, STATE_DELETE_REFUSED};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct status_input in = {.generation = 1,
					  .state = states[i],
					  .invalid = {REASON_CREDENTIALS_NOT_FOUND, "the cause"},
					  .exit = {REASON_CLEANUP_FAILED, "the cause"},
					  .wall_us = FIRST_US};
		_cleanup_json_ json_t *status = status_compose(&in);
		const char *ready = jsonx_string(status_condition(status, CONDITION_READY), "message", "");
		const json_t *abnormal = status_condition(status, i == 0 ? CONDITION_RECONCILING : CONDITION_STALLED);

		assert_non_null(strstr(ready, "the cause"));
		assert_non_null(strstr(ready, "pgsync.io/force-delete=true"));
		assert_string_equal(jsonx_string(abnormal, "message", ""), ready);
	}
}

static void test_compose_when_nothing_is_new_then_the_status_stays(void **state)
{
	_cleanup_json_ json_t *worker = json_pack("{s:s, s:i}", "placement", "Process", "restartCount", 0);
	_cleanup_json_ json_t *report = streaming_report();

	UNUSED(state);
	for (int i = 0; i < RECONCILE_STATES * 4; i++) {
		struct status_input in = {.generation = 3,
					  .state = (enum reconcile_state)(i / 4),
					  .worker = i & 1 ? worker : NULL,
					  .report = i & 2 ? report : NULL,
					  .wall_us = FIRST_US};
		_cleanup_json_ json_t *first = status_compose(&in);
		_cleanup_json_ json_t *second = NULL;

		in.previous = first;
		in.wall_us = LATER_US;
		second = status_compose(&in);
		if (status_compare(first, second) != STATUS_SAME) {
			_cleanup_free_ char *was = jsonx_canonical(first), *is = jsonx_canonical(second);

			fail_msg("state %d, case %d: %s\n%s", i / 4, i % 4, was, is);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compose_when_frozen_without_a_worker_then_not_ready_and_nothing_continues),
		cmocka_unit_test(
			test_compose_when_there_are_two_operators_then_degraded_says_so_unless_something_is_worse),
		cmocka_unit_test(test_compose_when_planned_then_at_rest_and_the_findings_stay_as_long_as_they_are_true),
		cmocka_unit_test(test_compose_when_first_seen_then_all_conditions_are_there_and_unknown),
		cmocka_unit_test(test_compose_when_streaming_then_the_report_is_the_status),
		cmocka_unit_test(test_compose_when_bootstrapping_then_reconciling),
		cmocka_unit_test(test_compose_when_an_attempt_fails_then_reconciling_says_what_ready_says),
		cmocka_unit_test(test_compose_when_the_worker_stalls_then_stalled_and_not_reconciling),
		cmocka_unit_test(test_compose_when_only_words_change_then_the_time_stays),
		cmocka_unit_test(test_compose_when_suspended_then_lag_goes_and_facts_stay),
		cmocka_unit_test(test_compose_when_suspended_and_the_worker_still_ends_then_not_yet_suspended),
		cmocka_unit_test(test_compose_when_the_spec_is_invalid_then_stalled_and_not_accepted),
		cmocka_unit_test(test_compose_when_the_spec_is_invalid_and_suspended_then_not_accepted),
		cmocka_unit_test(test_compose_when_the_invalid_spec_is_checked_then_what_the_worker_found),
		cmocka_unit_test(test_compose_when_a_bad_edit_meets_a_running_worker_then_not_ready_but_alive),
		cmocka_unit_test(test_compose_when_a_secret_goes_under_a_running_worker_then_ready_and_degraded),
		cmocka_unit_test(test_compose_when_a_worker_starts_again_then_what_outlives_it_is_kept),
		cmocka_unit_test(test_compose_when_a_new_generation_is_not_checked_yet_then_acceptance_is_unknown),
		cmocka_unit_test(test_compose_when_a_message_is_not_utf8_or_too_long_then_it_is_repaired),
		cmocka_unit_test(test_compose_when_the_operator_ends_then_nothing_claims_to_flow),
		cmocka_unit_test(test_compose_when_in_any_state_then_as_the_table_says),
		cmocka_unit_test(test_compose_when_nothing_is_known_then_every_state_has_words),
		cmocka_unit_test(test_compose_when_starting_then_unknown_until_the_first_report),
		cmocka_unit_test(test_compose_when_nothing_is_new_then_the_status_stays),
		cmocka_unit_test(test_compose_when_a_cleanup_fails_then_the_message_says_how_to_skip_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
