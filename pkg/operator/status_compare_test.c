/* Tests of comparing statuses: what is written at once, and what waits. */
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

	(void)json_object_set_new((json_t *)status_condition(new, CONDITION_STREAMING), key, json_string(value));
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

static enum status_change lag_change(int before, int after)
{
	_cleanup_json_ json_t *old = streaming_report();
	_cleanup_json_ json_t *new = streaming_report();

	(void)json_object_set_new(json_object_get(old, "stream"), "lagSeconds", json_integer(before));
	(void)json_object_set_new(json_object_get(new, "stream"), "lagSeconds", json_integer(after));
	return status_compare(old, new);
}

static void test_compare_when_a_lag_has_gone_then_a_turn(void **state)
{
	UNUSED(state);
	assert_int_equal(lag_change(33, 0), STATUS_TURN);
	assert_int_equal(lag_change(5, 0), STATUS_TURN);
	assert_int_equal(lag_change(4, 0), STATUS_NUMBERS);
	assert_int_equal(lag_change(33, 32), STATUS_NUMBERS);
	assert_int_equal(lag_change(0, 33), STATUS_NUMBERS);
	assert_int_equal(lag_change(0, 0), STATUS_SAME);
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
		cmocka_unit_test(test_compare_when_something_differs_then_it_is_as_urgent_as_what_it_is),
		cmocka_unit_test(test_compare_when_conditions_or_indices_come_or_go_then_a_turn),
		cmocka_unit_test(test_compare_when_a_lag_has_gone_then_a_turn),
		cmocka_unit_test(test_due_when_a_turn_then_at_once_and_numbers_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
