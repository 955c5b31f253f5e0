/* Tests of the delays before a failed worker is restarted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "operator/restarts_int.h"

static void test_restarts_when_failing_in_a_row_then_delays_grow_to_the_cap(void **state)
{
	struct restarts r;
	int64_t now_ms = 5000, longest_ms = 0;

	UNUSED(state);
	restarts_init(&r, 1);
	assert_int_equal(r.not_before_ms, 0);
	restarts_failed(&r, 10, now_ms);
	assert_in_range(r.not_before_ms - now_ms, RESTARTS_BACKOFF_MS / 2, RESTARTS_BACKOFF_MS);
	for (int i = 0; i < 20; i++) {
		int64_t delay_ms;

		restarts_failed(&r, 10, now_ms);
		delay_ms = r.not_before_ms - now_ms;
		assert_in_range(delay_ms, RESTARTS_BACKOFF_MS / 2, RESTARTS_BACKOFF_CAP_MS);
		longest_ms = delay_ms > longest_ms ? delay_ms : longest_ms;
	}
	assert_int_equal(r.failures, 21);
	/* Delays are random, up to the cap; among this many, at least one is long. */
	assert_true(longest_ms > RESTARTS_BACKOFF_CAP_MS / 4);
}

static void test_restarts_when_it_ran_long_then_the_backoff_starts_over(void **state)
{
	struct restarts r;

	UNUSED(state);
	restarts_init(&r, 1);
	for (int i = 0; i < 12; i++)
		restarts_failed(&r, 10, 0);
	restarts_failed(&r, RESTARTS_HEALTHY_MS, 1000);
	assert_int_equal(r.failures, 1);
	assert_in_range(r.not_before_ms - 1000, RESTARTS_BACKOFF_MS / 2, RESTARTS_BACKOFF_MS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restarts_when_failing_in_a_row_then_delays_grow_to_the_cap),
		cmocka_unit_test(test_restarts_when_it_ran_long_then_the_backoff_starts_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
