/* Tests of the names in a status, and of the report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conditions/report.h"
#include "json/json.h"

static void test_names_then_every_value_has_its_own(void **state)
{
	UNUSED(state);
	for (int i = 0; i < CONDITION_N; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(condition_type_name((enum condition_type)i),
						condition_type_name((enum condition_type)j));
	for (int i = 0; i < PHASE_N; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(phase_name((enum phase)i), phase_name((enum phase)j));
	assert_string_equal(condition_status_name(STATUS_UNKNOWN), "Unknown");
	assert_string_equal(condition_status_name(STATUS_FALSE), "False");
	assert_string_equal(condition_status_name(STATUS_TRUE), "True");
}

static void test_report_json_when_just_started_then_pending_and_unknown(void **state)
{
	struct report r;
	json_t *json, *condition;
	size_t i;

	UNUSED(state);
	report_init(&r);
	json = report_json(&r);
	assert_string_equal(json_string_value(json_object_get(json, "phase")), "Pending");
	/* Stalled is not true, nothing is planned, and a worker does not report the operator's own types. */
	assert_int_equal(json_array_size(json_object_get(json, "conditions")), CONDITION_REPORTED_N - 2);
	json_array_foreach (json_object_get(json, "conditions"), i, condition)
		assert_string_equal(json_string_value(json_object_get(condition, "status")), "Unknown");
	json_decref(json);
	report_phase(&r, PHASE_CATCHING_UP);
	json = report_json(&r);
	assert_string_equal(json_string_value(json_object_get(json, "phase")), "CatchingUp");
	json_decref(json);
	report_release(&r);
}

static void test_findings_then_errors_changes_warnings_and_the_rest_is_counted(void **state)
{
	_cleanup_json_ json_t *json = NULL;
	struct findings f, changes;
	struct report r;
	json_t *list;

	UNUSED(state);
	findings_init(&f);
	findings_init(&changes);
	report_init(&r);
	findings_add(&f, FINDING_WARNING, REASON_MISSING_INDEX, NULL, "slow");
	findings_add(&f, FINDING_ERROR, REASON_UNKNOWN_TABLE, "spec.schema[0]", "no table");
	findings_add_statement(&changes, FINDING_WARNING, REASON_PLANNED, NULL, "ALTER TABLE t", "an identity");
	for (int i = 0; i < 100; i++)
		findings_add(&f, FINDING_WARNING, REASON_MISSING_INDEX, NULL, "%4000d", i);
	report_findings_set(&r, &f, &changes);
	json = report_json(&r);
	list = json_object_get(json, "findings");
	assert_string_equal(jsonx_string(json_array_get(list, 0), "path", ""), "spec.schema[0]");
	assert_string_equal(jsonx_string(json_array_get(list, 0), "severity", ""), "Error");
	assert_string_equal(jsonx_string(json_array_get(list, 1), "severity", ""), "Change");
	assert_string_equal(jsonx_string(json_array_get(list, 1), "statement", ""), "ALTER TABLE t");
	assert_string_equal(jsonx_string(json_array_get(list, 2), "message", ""), "slow");
	assert_true(strlen(jsonx_string(json_array_get(list, 3), "message", "")) == 2048);
	assert_true(json_array_size(list) < REPORT_FINDINGS);
	assert_int_equal(json_array_size(list) + (size_t)jsonx_integer(json, "moreFindings", 0), 103);
	findings_release(&f);
	findings_release(&changes);
	report_release(&r);
}

static size_t count_listed(size_t message_bytes, size_t path_bytes)
{
	_cleanup_free_ char *path = xasprintf("%0*d", (int)path_bytes, 0);
	_cleanup_json_ json_t *json = NULL;
	struct findings f;
	struct report r;

	findings_init(&f);
	report_init(&r);
	for (int i = 0; i < REPORT_FINDINGS; i++)
		findings_add(&f, FINDING_WARNING, REASON_MISSING_INDEX, path, "%0*d", (int)message_bytes, i);
	report_findings_set(&r, &f, NULL);
	json = report_json(&r);
	findings_release(&f);
	report_release(&r);
	return json_array_size(json_object_get(json, "findings"));
}

static void test_findings_then_what_is_listed_counts(void **state)
{
	UNUSED(state);
	assert_int_equal(count_listed(4000, 1), count_listed(2048, 1));
	assert_in_range(count_listed(2048, 1), 20, 24);
	assert_in_range(count_listed(1, 2048), 20, 24);
	assert_int_equal(count_listed(1, 1), REPORT_FINDINGS);
}

static void test_failed_when_a_side_is_away_then_ready_names_it_unless_action_is_needed(void **state)
{
	struct report_failure failure = {.reason = REASON_FAILED, .message = "no route", .planning = true};
	struct report r;

	UNUSED(state);
	report_init(&r);
	report_condition(&r, CONDITION_SOURCE_REACHABLE, STATUS_FALSE, REASON_FAILED, "no route");
	report_failed(&r, &failure);
	assert_int_equal(r.conditions[CONDITION_READY].reason, REASON_SOURCE_UNREACHABLE);
	assert_int_equal(r.conditions[CONDITION_PLANNED].status, STATUS_FALSE);
	assert_int_equal(r.conditions[CONDITION_STALLED].status, STATUS_FALSE);
	assert_int_equal(r.phase, PHASE_PENDING);
	failure.needs_action = true;
	report_failed(&r, &failure);
	assert_int_equal(r.conditions[CONDITION_READY].reason, REASON_FAILED);
	assert_int_equal(r.conditions[CONDITION_STALLED].status, STATUS_TRUE);
	assert_int_equal(r.phase, PHASE_FAILED);
	report_release(&r);
}

static json_t *find_condition(json_t *report, const char *type)
{
	json_t *condition;
	size_t i;

	json_array_foreach (json_object_get(report, "conditions"), i, condition) {
		if (!strcmp(json_string_value(json_object_get(condition, "type")), type))
			return condition;
	}
	return NULL;
}

static void test_report_when_condition_keeps_its_status_then_time_stays(void **state)
{
	struct report r;
	int64_t first;

	UNUSED(state);
	report_init(&r);
	report_condition(&r, CONDITION_READY, STATUS_TRUE, REASON_STREAMING, "a");
	r.conditions[CONDITION_READY].transition_us = first = 1000000;
	report_condition(&r, CONDITION_READY, STATUS_TRUE, REASON_STREAMING, "b");
	assert_int_equal(r.conditions[CONDITION_READY].transition_us, first);
	report_condition(&r, CONDITION_READY, STATUS_FALSE, REASON_LAG_EXCEEDS_TARGET, "c");
	assert_true(r.conditions[CONDITION_READY].transition_us > first);
	report_release(&r);
}

static void test_report_json_then_stalled_is_there_only_when_true(void **state)
{
	char slot[] = "s";
	struct report r;
	json_t *json;

	UNUSED(state);
	report_init(&r);
	report_stream_set(&r, &(struct report_stream){.slot = slot,
						      .slot_state = REPORT_SLOT_ACTIVE,
						      .confirmed_lsn = 0x100000010,
						      .retained_bytes = 16777216});
	report_progress(&r, 0, clock_wall_us() - 130 * INT64_C(1000000));
	json = report_json(&r);
	assert_null(find_condition(json, "Stalled"));
	assert_non_null(find_condition(json, "Ready"));
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "lag")), "2m");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "confirmedFlushLSN")),
			    "1/10");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "retainedWAL")),
			    "16MiB");
	json_decref(json);
	/* The stream is the first to know what it has acknowledged. */
	report_progress(&r, 0x100000020, 0);
	json = report_json(&r);
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "confirmedFlushLSN")),
			    "1/20");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "lag")), "0s");
	json_decref(json);
	report_condition(&r, CONDITION_STALLED, STATUS_TRUE, REASON_SLOT_LOST, "x");
	json = report_json(&r);
	assert_non_null(find_condition(json, "Stalled"));
	json_decref(json);
	report_release(&r);
}

static void test_report_dead_letters_when_some_came_while_they_were_counted_then_these_stay(void **state)
{
	struct report r;
	uint32_t before;

	UNUSED(state);
	report_init(&r);
	before = report_dead_letters_revision(&r, "books");
	report_dead_letters_set(&r, "books", 3, report_dead_letters_revision(&r, "books"));
	/* A count that was begun earlier does not include them. */
	report_dead_letters_set(&r, "books", 0, before);
	assert_int_equal(report_dead_letters(&r, "books"), 3);
	report_dead_letters_set(&r, "books", 0, report_dead_letters_revision(&r, "books"));
	assert_int_equal(report_dead_letters(&r, "books"), 0);
	report_release(&r);
}

static void expect_progress(struct report *r, const char *expected)
{
	json_t *json = report_json(r);

	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "bootstrap"), "progress")),
			    expected);
	json_decref(json);
}

static void test_report_json_when_an_index_is_built_again_then_the_progress_begins_again(void **state)
{
	struct report_bootstrap done = {.known = true, .ratio = 1, .rows_done = 7, .start_us = 1, .completion_us = 2};
	struct report_bootstrap begun = {.known = true, .ratio = .5, .start_us = 3};
	struct report r;

	UNUSED(state);
	report_init(&r);
	report_bootstrap_set(&r, &done);
	report_condition(&r, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, REASON_COMPLETE, "7 rows");
	expect_progress(&r, "100%");
	report_condition(&r, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_CREATING_SLOT, "creating a slot");
	expect_progress(&r, "0%");
	report_bootstrap_set(&r, &begun);
	expect_progress(&r, "49%");
	report_release(&r);

	/* A worker that has just started does not know how far the one before it got, but that it builds again. */
	report_init(&r);
	report_condition(&r, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_CREATING_SLOT, "creating a slot");
	expect_progress(&r, "0%");
	report_release(&r);
}

static void assert_ready(struct report *report, enum condition_status status, enum reason reason)
{
	_cleanup_json_ json_t *json = report_json(report);
	json_t *condition = json_array_get(json_object_get(json, "conditions"), CONDITION_READY);

	assert_string_equal(json_string_value(json_object_get(condition, "type")), "Ready");
	assert_string_equal(json_string_value(json_object_get(condition, "status")), condition_status_name(status));
	assert_string_equal(json_string_value(json_object_get(condition, "reason")), reason_name(reason));
}

static void test_report_ready_when_earlier_changes_may_be_missing_then_not_ready_before_they_are_written(void **state)
{
	static const struct err none;
	struct report_readiness readiness = {.live = true, .behind = true, .refusal = &none, .lag_target_seconds = 60};
	struct report report;

	UNUSED(state);
	report_init(&report);
	report_condition(&report, CONDITION_STREAMING, STATUS_TRUE, REASON_STREAMING, "stream");
	report_ready(&report, &readiness);
	assert_ready(&report, STATUS_UNKNOWN, REASON_STARTING);
	report_progress(&report, 0, 1);
	report_ready(&report, &readiness);
	assert_ready(&report, STATUS_FALSE, REASON_LAG_EXCEEDS_TARGET);
	report_progress(&report, 0, 0);
	readiness.behind = false;
	report_ready(&report, &readiness);
	assert_ready(&report, STATUS_TRUE, REASON_STREAMING);
	/* Another attempt of a stream that flows does not make it less ready. */
	readiness.behind = true;
	report_ready(&report, &readiness);
	assert_ready(&report, STATUS_TRUE, REASON_STREAMING);
	report_release(&report);
}

static void test_report_ready_then_what_is_wrong_comes_first(void **state)
{
	static const struct {
		enum condition_status sink, streaming;
		bool live, late, refused;
		enum condition_status ready;
		enum reason reason;
	} cases[] = {
		{STATUS_TRUE, STATUS_TRUE, true, false, false, STATUS_TRUE, REASON_STREAMING},
		{STATUS_TRUE, STATUS_TRUE, true, true, false, STATUS_FALSE, REASON_LAG_EXCEEDS_TARGET},
		{STATUS_TRUE, STATUS_TRUE, false, false, false, STATUS_FALSE, REASON_BOOTSTRAPPING},
		{STATUS_TRUE, STATUS_FALSE, true, false, false, STATUS_FALSE, REASON_BOOTSTRAPPING},
		{STATUS_TRUE, STATUS_TRUE, false, false, true, STATUS_FALSE, REASON_EVERY_DOCUMENT_REJECTED},
		{STATUS_FALSE, STATUS_TRUE, false, false, true, STATUS_FALSE, REASON_SINK_UNREACHABLE},
		{STATUS_FALSE, STATUS_TRUE, true, false, false, STATUS_FALSE, REASON_SINK_UNREACHABLE},
		{STATUS_FALSE, STATUS_FALSE, false, true, false, STATUS_FALSE, REASON_SINK_UNREACHABLE},
	};
	struct report report;

	UNUSED(state);
	report_init(&report);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err refusal = {0};
		struct report_readiness readiness = {
			.live = cases[i].live, .refusal = &refusal, .lag_target_seconds = 60};

		report_condition(&report, CONDITION_SINK_REACHABLE, cases[i].sink, REASON_CONNECTED, "sink");
		report_condition(&report, CONDITION_STREAMING, cases[i].streaming, REASON_STREAMING, "stream");
		report_progress(&report, 0, cases[i].late ? 1 : 0);
		if (cases[i].refused)
			(void)err_reason(&refusal, ERR_INVALID, REASON_EVERY_DOCUMENT_REJECTED, "refused");
		report_ready(&report, &readiness);
		assert_ready(&report, cases[i].ready, cases[i].reason);
		/* While the attempt has not got past the last one, all of this is too early. */
		readiness.on_probation = true;
		report_condition(&report, CONDITION_READY, STATUS_FALSE, REASON_FAILED, "the last attempt failed");
		report_ready(&report, &readiness);
		assert_ready(&report, STATUS_FALSE, REASON_FAILED);
	}
	report_release(&report);
}

/* The remedy is at its end. */
static void test_report_pressed_when_the_engine_uses_many_words_then_all_are_kept(void **state)
{
	struct report r;
	struct err err;
	char why[ERR_MSG_BYTES] = "";

	UNUSED(state);
	(void)err_set(&err, ERR_TRANSIENT, "index %0200d refuses a write (status 429): %0500d; free disk space", 1, 2);
	report_init(&r);
	report_pressure(&r, true, err.msg);
	assert_true(report_pressed(&r, 0, why));
	assert_string_equal(why, err.msg);
	assert_non_null(strstr(why, "; free disk space"));
	report_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_findings_then_errors_changes_warnings_and_the_rest_is_counted),
		cmocka_unit_test(test_findings_then_what_is_listed_counts),
		cmocka_unit_test(test_failed_when_a_side_is_away_then_ready_names_it_unless_action_is_needed),
		cmocka_unit_test(test_names_then_every_value_has_its_own),
		cmocka_unit_test(test_report_json_when_just_started_then_pending_and_unknown),
		cmocka_unit_test(test_report_when_condition_keeps_its_status_then_time_stays),
		cmocka_unit_test(test_report_json_then_stalled_is_there_only_when_true),
		cmocka_unit_test(
			test_report_ready_when_earlier_changes_may_be_missing_then_not_ready_before_they_are_written),
		cmocka_unit_test(test_report_ready_then_what_is_wrong_comes_first),
		cmocka_unit_test(test_report_pressed_when_the_engine_uses_many_words_then_all_are_kept),
		cmocka_unit_test(test_report_json_when_an_index_is_built_again_then_the_progress_begins_again),
		cmocka_unit_test(test_report_dead_letters_when_some_came_while_they_were_counted_then_these_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
