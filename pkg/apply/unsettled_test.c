/* Tests of which chunks deletes wait for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apply/unsettled.h"
#include "base/mem.h"

static void test_unsettled_when_nothing_was_begun_then_nothing_is_waited_for(void **state)
{
	struct unsettled *u = unsettled_new();

	UNUSED(state);
	assert_int_equal(unsettled_last(u), 0);
	assert_false(unsettled_any(u, unsettled_last(u)));
	unsettled_free(u);
}

static void test_unsettled_when_chunks_end_in_any_order_then_each_counts_until_its_end(void **state)
{
	struct unsettled *u = unsettled_new();
	uint64_t first = unsettled_begin(u), second = unsettled_begin(u), third = unsettled_begin(u);

	UNUSED(state);
	assert_true(first < second && second < third);
	assert_int_equal(unsettled_last(u), third);
	unsettled_end(u, second);
	assert_true(unsettled_any(u, first));
	unsettled_end(u, first);
	assert_false(unsettled_any(u, second));
	assert_true(unsettled_any(u, third));
	unsettled_end(u, third);
	assert_false(unsettled_any(u, UINT64_MAX));
	unsettled_free(u);
}

static void test_unsettled_when_chunks_begin_later_then_they_are_not_waited_for(void **state)
{
	struct unsettled *u = unsettled_new();
	uint64_t before = unsettled_begin(u), last = unsettled_last(u);

	UNUSED(state);
	for (unsigned i = 0; i < 100; i++)
		(void)unsettled_begin(u);
	assert_true(unsettled_any(u, last));
	unsettled_end(u, before);
	assert_false(unsettled_any(u, last));
	unsettled_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unsettled_when_nothing_was_begun_then_nothing_is_waited_for),
		cmocka_unit_test(test_unsettled_when_chunks_end_in_any_order_then_each_counts_until_its_end),
		cmocka_unit_test(test_unsettled_when_chunks_begin_later_then_they_are_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
