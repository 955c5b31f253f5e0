/* Statuses: composed from situations and reports, and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "operator/status_int.h"
#include "json/json.h"

/* 2026-01-02T03:04:05Z and a minute later. */
#define FIRST_US (INT64_C(1767323045) * 1000000)
#define LATER_US (FIRST_US + 60 * INT64_C(1000000))

static json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "the test's text", &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

/* A worker that streams. */
static json_t *streaming_report(void)
{
	return parse(
		"{\"phase\": \"Streaming\", \"conditions\": ["
		"{\"type\": \"Ready\", \"status\": \"True\", \"reason\": \"Streaming\", \"message\": \"data flows\"},"
		"{\"type\": \"Degraded\", \"status\": \"False\", \"reason\": \"AsExpected\", \"message\": \"\"},"
		"{\"type\": \"SourceReachable\", \"status\": \"True\", \"reason\": \"Connected\", \"message\": \"\"},"
		"{\"type\": \"SinkReachable\", \"status\": \"True\", \"reason\": \"Connected\", \"message\": \"\"},"
		"{\"type\": \"SchemaAccepted\", \"status\": \"True\", \"reason\": \"Accepted\", \"message\": \"\"},"
		"{\"type\": \"BootstrapComplete\", \"status\": \"True\", \"reason\": \"Complete\", \"message\": \"\"},"
		"{\"type\": \"Streaming\", \"status\": \"True\", \"reason\": \"Attached\", \"message\": \"\"},"
		"{\"type\": \"SlotHealthy\", \"status\": \"True\", \"reason\": \"Reserved\", \"message\": \"\"}],"
		"\"bootstrap\": {\"progress\": \"100%\", \"rowsDone\": 25},"
		"\"stream\": {\"slotName\": \"books\", \"slotState\": \"Active\", \"lag\": \"0s\", \"lagSeconds\": 0,"
		" \"lagBytes\": 8, \"confirmedFlushLSN\": \"0/10\", \"retainedWALBytes\": 16777216},"
		"\"indices\": [{\"name\": \"books\", \"physicalName\": \"books-g1\", \"documentCount\": 25}]}");
}

static struct status_input running(const json_t *report)
{
	return (struct status_input){.generation = 3,
				     .situation = SITUATION_RUNNING,
				     .report = report,
				     .running = true,
				     .worker_generation = 3,
				     .wall_us = FIRST_US};
}

static void assert_condition(const json_t *status, const char *type, const char *expected, const char *reason)
{
	const json_t *c = status_condition(status, type);

	if (!c)
		fail_msg("no condition %s", type);
	if (strcmp(jsonx_string(c, "status", ""), expected) != 0 || strcmp(jsonx_string(c, "reason", ""), reason) != 0)
		fail_msg("%s is %s %s, expected %s %s", type, jsonx_string(c, "status", ""),
			 jsonx_string(c, "reason", ""), expected, reason);
}

static void assert_absent(const json_t *status, const char *type)
{
	if (status_condition(status, type))
		fail_msg("condition %s is there", type);
}

static void test_compose_when_frozen_without_a_worker_then_not_ready_and_nothing_goes_on(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in = (struct status_input){.previous = before,
				   .generation = 3,
				   .situation = SITUATION_FROZEN,
				   .ended = true,
				   .worker_generation = 3,
				   .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, "Ready", "False", "ReconcileDisabled");
	assert_condition(status, "Streaming", "False", "NotRunning");
	assert_condition(status, "BootstrapComplete", "True", "Complete");
	assert_condition(status, "Suspended", "False", "NotSuspended");
	assert_absent(status, "Reconciling");
	assert_absent(status, "Stalled");
	assert_string_equal(jsonx_string(status, "phase", ""), "Pending");
	assert_null(jsonx_get(status, "stream.lag"));
}

static void test_compose_when_first_seen_then_all_conditions_are_there_and_unknown(void **state)
{
	static const char *const types[] = {"Ready",          "Degraded",          "SourceReachable", "SinkReachable",
					    "SchemaAccepted", "BootstrapComplete", "Streaming",       "SlotHealthy"};
	struct status_input in = {.generation = 1, .situation = SITUATION_LOADING, .ended = true, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!status_condition_is(status, types[i], "Unknown"))
			fail_msg("%s is not Unknown", types[i]);
	}
	assert_condition(status, "Suspended", "False", "NotSuspended");
	assert_condition(status, "Reconciling", "True", "Starting");
	assert_absent(status, "Stalled");
	assert_string_equal(jsonx_string(status, "phase", ""), "Pending");
	assert_int_equal(jsonx_integer(status, "observedGeneration", 0), 1);
	assert_string_equal(jsonx_string(status_condition(status, "Ready"), "lastTransitionTime", ""),
			    "2026-01-02T03:04:05Z");
	assert_int_equal(jsonx_integer(status_condition(status, "Ready"), "observedGeneration", 0), 1);
}

static void test_compose_when_streaming_then_the_report_is_the_status(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, "Ready", "True", "Streaming");
	assert_condition(status, "SlotHealthy", "True", "Reserved");
	assert_absent(status, "Reconciling");
	assert_absent(status, "Stalled");
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
	(void)json_object_set_new((json_t *)status_condition(report, "BootstrapComplete"), "status",
				  json_string("False"));
	status = status_compose(&in);
	assert_condition(status, "Reconciling", "True", "Bootstrapping");
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
	assert_condition(first, "Reconciling", "True", "SourceUnreachable");
	assert_string_equal(jsonx_string(status_condition(first, "Reconciling"), "message", ""), "connection refused");
	assert_condition(first, "BootstrapComplete", "Unknown", "NotChecked");
	/* What was true once is still true while nobody can look. */
	in.previous = previous;
	after = status_compose(&in);
	assert_condition(after, "BootstrapComplete", "True", "Complete");
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
	assert_condition(status, "Stalled", "True", "SlotLost");
	assert_absent(status, "Reconciling");
}

static void test_compose_when_only_words_change_then_the_time_stays(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *after = NULL;
	json_t *ready = (json_t *)status_condition(report, "Ready");

	UNUSED(state);
	(void)json_object_set_new(ready, "reason", json_string("CaughtUp"));
	(void)json_object_set_new((json_t *)status_condition(report, "SinkReachable"), "status", json_string("False"));
	in.previous = before;
	in.wall_us = LATER_US;
	after = status_compose(&in);
	assert_string_equal(jsonx_string(status_condition(after, "Ready"), "lastTransitionTime", ""),
			    "2026-01-02T03:04:05Z");
	assert_string_equal(jsonx_string(status_condition(after, "SinkReachable"), "lastTransitionTime", ""),
			    "2026-01-02T03:05:05Z");
}

static void test_compose_when_suspended_then_lag_goes_and_facts_stay(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *before = status_compose(&in);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in = (struct status_input){.previous = before,
				   .generation = 4,
				   .situation = SITUATION_SUSPENDED,
				   .ended = true,
				   .suspend = true,
				   .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, "Ready", "False", "Suspended");
	assert_condition(status, "Suspended", "True", "Suspended");
	assert_condition(status, "Streaming", "False", "Suspended");
	assert_condition(status, "SourceReachable", "Unknown", "Suspended");
	assert_condition(status, "BootstrapComplete", "True", "Complete");
	assert_absent(status, "Reconciling");
	assert_absent(status, "Stalled");
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
	struct status_input in = {
		.generation = 1, .situation = SITUATION_SUSPENDED, .suspend = true, .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, "Suspended", "False", "Stopping");
}

static void test_compose_when_the_spec_is_wrong_then_stalled_and_not_accepted(void **state)
{
	struct status_input in = {.generation = 2,
				  .situation = SITUATION_BAD_INPUTS,
				  .reason = REASON_INVALID_SCHEMA,
				  .message = "spec.schema[0].nodes: unknown key",
				  .problem_reason = REASON_INVALID_SCHEMA,
				  .problem = "spec.schema[0].nodes: unknown key",
				  .ended = true,
				  .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, "Ready", "False", "InvalidSchema");
	assert_condition(status, "Stalled", "True", "InvalidSchema");
	assert_condition(status, "SchemaAccepted", "False", "InvalidSchema");
	assert_absent(status, "Reconciling");
	assert_string_equal(jsonx_string(status_condition(status, "Stalled"), "message", ""),
			    "spec.schema[0].nodes: unknown key");
	assert_string_equal(jsonx_string(status, "phase", ""), "Failed");
}

static void test_compose_when_the_spec_is_wrong_and_suspended_then_not_accepted(void **state)
{
	struct status_input in = {.generation = 2,
				  .situation = SITUATION_SUSPENDED,
				  .problem_reason = REASON_INVALID_SCHEMA,
				  .problem = "spec.schema[0].nodes: unknown key",
				  .suspend = true,
				  .ended = true,
				  .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = status_compose(&in);

	UNUSED(state);
	assert_condition(status, "Ready", "False", "Suspended");
	assert_condition(status, "SchemaAccepted", "False", "InvalidSchema");
}

static void test_compose_when_the_wrong_spec_is_checked_then_what_the_worker_found(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.problem_reason = REASON_INVALID_SCHEMA;
	in.problem = "spec.schema[0].nodes: unknown key";
	status = status_compose(&in);
	assert_condition(status, "SchemaAccepted", "False", "InvalidSchema");
	jsonx_decref(TAKE_PTR(status));
	in.checks = true;
	status = status_compose(&in);
	assert_condition(status, "SchemaAccepted", "True", "Accepted"); /* as this report has it */
}

static void test_compose_when_a_bad_edit_meets_a_running_worker_then_not_ready_but_alive(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.generation = 4; /* the worker runs 3 */
	in.situation = SITUATION_BAD_INPUTS;
	in.reason = REASON_INVALID_SPEC;
	in.message = "spec.sink: wrong";
	status = status_compose(&in);
	assert_condition(status, "Ready", "False", "InvalidSpec");
	assert_condition(status, "Stalled", "True", "InvalidSpec");
	assert_condition(status, "Streaming", "True", "Attached");
	assert_string_equal(jsonx_string(status, "stream.lag", ""), "0s");
}

static void test_compose_when_a_secret_goes_under_a_running_worker_then_ready_and_degraded(void **state)
{
	_cleanup_json_ json_t *report = streaming_report();
	struct status_input in = running(report);
	_cleanup_json_ json_t *status = NULL;

	UNUSED(state);
	in.situation = SITUATION_BAD_INPUTS;
	in.reason = REASON_CREDENTIALS_NOT_FOUND;
	in.message = "Secret \"x\" not found";
	status = status_compose(&in);
	assert_condition(status, "Ready", "True", "Streaming");
	assert_condition(status, "Degraded", "True", "CredentialsNotFound");
	assert_condition(status, "SchemaAccepted", "True", "Accepted");
	assert_absent(status, "Stalled");
	assert_string_equal(jsonx_string(status, "phase", ""), "Streaming");
	assert_non_null(strstr(jsonx_string(status_condition(status, "Degraded"), "message", ""), "\"x\""));
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
	assert_condition(status, "Ready", "Unknown", "Starting");
	assert_condition(status, "BootstrapComplete", "True", "Complete");
	assert_condition(status, "SchemaAccepted", "True", "Accepted");
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
	in.generation = in.worker_generation = 4;
	in.situation = SITUATION_STARTING;
	in.report = NULL;
	status = status_compose(&in);
	assert_condition(status, "SchemaAccepted", "Unknown", "NotChecked");
	assert_condition(status, "Ready", "Unknown", "Starting");
	assert_condition(status, "Streaming", "False", "NotRunning");
}

static void test_compose_when_a_message_is_not_utf8_or_too_long_then_it_is_mended(void **state)
{
	_cleanup_free_ char *message = xmalloc(40001);
	struct status_input in = {.generation = 1,
				  .situation = SITUATION_BACKOFF,
				  .reason = REASON_WORKER_EXITED,
				  .message = message,
				  .ended = true,
				  .wall_us = FIRST_US};
	_cleanup_json_ json_t *status = NULL;
	const char *shown;

	UNUSED(state);
	memset(message, 'x', 40000);
	message[40000] = '\0';
	message[1] = '\xff';
	status = status_compose(&in);
	shown = jsonx_string(status_condition(status, "Ready"), "message", "");
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
	in = (struct status_input){.previous = before,
				   .generation = 3,
				   .situation = SITUATION_STOPPED,
				   .ended = true,
				   .wall_us = LATER_US};
	status = status_compose(&in);
	assert_condition(status, "Ready", "Unknown", "OperatorStopped");
	assert_condition(status, "Streaming", "False", "NotRunning");
	assert_absent(status, "Reconciling");
}

/* --- comparing */

static enum status_change change_of(const char *path, json_t *value_take)
{
	_cleanup_json_ json_t *old = streaming_report();
	_cleanup_json_ json_t *new = streaming_report();
	const char *dot = strrchr(path, '.');
	_cleanup_free_ char *parent = xstrndup(path, dot ? (size_t)(dot - path) : 0);

	(void)json_object_set_new(dot ? jsonx_get(new, parent) : new, dot ? dot + 1 : path, value_take);
	return status_compare(old, new);
}

static enum status_change condition_change_of(const char *key, const char *value)
{
	_cleanup_json_ json_t *old = streaming_report();
	_cleanup_json_ json_t *new = streaming_report();

	(void)json_object_set_new((json_t *)status_condition(new, "Streaming"), key, json_string(value));
	return status_compare(old, new);
}

static void test_compare_when_something_differs_then_it_is_as_urgent_as_what_it_is(void **state)
{
	_cleanup_json_ json_t *same = streaming_report();
	_cleanup_json_ json_t *as_before = streaming_report();

	UNUSED(state);
	assert_int_equal(status_compare(NULL, same), STATUS_TURN);
	assert_int_equal(status_compare(as_before, same), STATUS_SAME);
	assert_int_equal(change_of("phase", json_string("CatchingUp")), STATUS_TURN);
	assert_int_equal(change_of("observedGeneration", json_integer(9)), STATUS_TURN);
	assert_int_equal(change_of("stream.slotState", json_string("Lost")), STATUS_TURN);
	assert_int_equal(condition_change_of("status", "False"), STATUS_TURN);
	assert_int_equal(condition_change_of("reason", "Reconnecting"), STATUS_TURN);
	assert_int_equal(condition_change_of("message", "12 rows"), STATUS_NUMBERS);
	assert_int_equal(change_of("stream.lag", json_string("3s")), STATUS_NUMBERS);
	assert_int_equal(change_of("bootstrap.progress", json_string("42%")), STATUS_NUMBERS);
	assert_int_equal(change_of("stream.confirmedFlushLSN", json_string("0/20")), STATUS_COUNTERS);
	assert_int_equal(change_of("stream.lagBytes", json_integer(16)), STATUS_COUNTERS);
	assert_int_equal(change_of("stream.retainedWALBytes", json_integer(1)), STATUS_COUNTERS);
}

static void test_compare_when_conditions_or_indices_come_or_go_then_a_turn(void **state)
{
	_cleanup_json_ json_t *old = streaming_report();
	_cleanup_json_ json_t *stalled = streaming_report();
	_cleanup_json_ json_t *moved = streaming_report();

	UNUSED(state);
	(void)json_array_append_new(json_object_get(stalled, "conditions"), parse("{\"type\": \"Stalled\"}"));
	assert_int_equal(status_compare(old, stalled), STATUS_TURN);
	(void)json_object_set_new(json_array_get(json_object_get(moved, "indices"), 0), "physicalName",
				  json_string("books-g2"));
	assert_int_equal(status_compare(old, moved), STATUS_TURN);
	(void)json_array_clear(json_object_get(moved, "indices"));
	assert_int_equal(status_compare(old, moved), STATUS_TURN);
}

static void test_due_when_a_turn_then_at_once_and_numbers_wait(void **state)
{
	UNUSED(state);
	assert_int_equal(status_due_ms(STATUS_TURN, 100000), 0);
	assert_int_equal(status_due_ms(STATUS_NUMBERS, 100000), 110000);
	assert_int_equal(status_due_ms(STATUS_COUNTERS, 100000), 160000);
	assert_int_equal(status_due_ms(STATUS_COUNTERS, 0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compose_when_frozen_without_a_worker_then_not_ready_and_nothing_goes_on),
		cmocka_unit_test(test_compose_when_first_seen_then_all_conditions_are_there_and_unknown),
		cmocka_unit_test(test_compose_when_streaming_then_the_report_is_the_status),
		cmocka_unit_test(test_compose_when_bootstrapping_then_reconciling),
		cmocka_unit_test(test_compose_when_an_attempt_fails_then_reconciling_says_what_ready_says),
		cmocka_unit_test(test_compose_when_the_worker_stalls_then_stalled_and_not_reconciling),
		cmocka_unit_test(test_compose_when_only_words_change_then_the_time_stays),
		cmocka_unit_test(test_compose_when_suspended_then_lag_goes_and_facts_stay),
		cmocka_unit_test(test_compose_when_suspended_and_the_worker_still_ends_then_not_yet_suspended),
		cmocka_unit_test(test_compose_when_the_spec_is_wrong_then_stalled_and_not_accepted),
		cmocka_unit_test(test_compose_when_the_spec_is_wrong_and_suspended_then_not_accepted),
		cmocka_unit_test(test_compose_when_the_wrong_spec_is_checked_then_what_the_worker_found),
		cmocka_unit_test(test_compose_when_a_bad_edit_meets_a_running_worker_then_not_ready_but_alive),
		cmocka_unit_test(test_compose_when_a_secret_goes_under_a_running_worker_then_ready_and_degraded),
		cmocka_unit_test(test_compose_when_a_worker_starts_again_then_what_outlives_it_is_kept),
		cmocka_unit_test(test_compose_when_a_new_generation_is_not_checked_yet_then_acceptance_is_unknown),
		cmocka_unit_test(test_compose_when_a_message_is_not_utf8_or_too_long_then_it_is_mended),
		cmocka_unit_test(test_compose_when_the_operator_ends_then_nothing_claims_to_flow),
		cmocka_unit_test(test_compare_when_something_differs_then_it_is_as_urgent_as_what_it_is),
		cmocka_unit_test(test_compare_when_conditions_or_indices_come_or_go_then_a_turn),
		cmocka_unit_test(test_due_when_a_turn_then_at_once_and_numbers_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
