/* Tests of landmarks: what the stream repeats, and what it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recovery/landmarks.h"

static const struct checkpoint_landmark synced = {.lsn = 1000, .xid = 7, .commit_us = 70};

/* What was streamed when the slot was at this position, on timeline 1. */
static struct landmarks expect_from(uint64_t slot, uint32_t server_timeline)
{
	struct landmarks l = {.newest = {.lsn = 900}};
	const struct checkpoint cp = {.timeline = 1, .landmark = synced};
	const struct recovery_input in = {
		.cp = &cp, .server.timeline = server_timeline, .slot.confirmed_flush_lsn = slot};

	landmarks_expect(&l, &in);
	return l;
}

static void test_pass_when_the_newest_comes_again_then_it_is_the_same_history(void **state)
{
	struct landmarks l = expect_from(800, 1);

	UNUSED(state);
	assert_true(landmarks_pass(&l, &(struct checkpoint_landmark){.lsn = 800, .xid = 5}));
	assert_true(landmarks_reach(&l, 1000));
	assert_true(landmarks_pass(&l, &synced));
	assert_true(landmarks_reach(&l, 1500));
	assert_true(landmarks_pass(&l, &(struct checkpoint_landmark){.lsn = 2000, .xid = 9}));
	assert_int_equal(l.newest.lsn, 2000);
}

static void test_pass_when_the_newest_does_not_come_again_then_it_is_missed(void **state)
{
	static const struct checkpoint_landmark others[] = {
		{.lsn = 1000, .xid = 8, .commit_us = 70},
		{.lsn = 1000, .xid = 7, .commit_us = 71},
		{.lsn = 1001, .xid = 7, .commit_us = 70},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct landmarks l = expect_from(1000, 1);

		assert_false(landmarks_pass(&l, &others[i]));
		assert_true(l.missed);
		assert_int_equal(l.newest.lsn, 1000);
	}
}

static void test_reach_when_the_newest_did_not_come_again_then_it_is_missed(void **state)
{
	struct landmarks l = expect_from(800, 1);

	UNUSED(state);
	assert_true(landmarks_reach(&l, 999));
	assert_false(landmarks_reach(&l, 1001));
	assert_false(landmarks_reach(&l, 0));
}

static void test_expect_when_the_stream_need_not_repeat_it_then_anything_may_come(void **state)
{
	struct landmarks beyond = expect_from(1001, 1), promoted = expect_from(800, 2), nothing = {0};

	UNUSED(state);
	assert_true(landmarks_reach(&beyond, 3000));
	assert_true(landmarks_pass(&beyond, &(struct checkpoint_landmark){.lsn = 3000}));
	assert_true(landmarks_pass(&promoted, &(struct checkpoint_landmark){.lsn = 1200}));
	assert_true(landmarks_reach(&nothing, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_when_the_newest_comes_again_then_it_is_the_same_history),
		cmocka_unit_test(test_pass_when_the_newest_does_not_come_again_then_it_is_missed),
		cmocka_unit_test(test_reach_when_the_newest_did_not_come_again_then_it_is_missed),
		cmocka_unit_test(test_expect_when_the_stream_need_not_repeat_it_then_anything_may_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
