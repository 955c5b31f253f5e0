/* Tests of waits: what ends one, and what the stream learns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "waits/waits.h"

enum { LONG_MS = 60 * 1000 };

/* A wait in another thread. */
struct asker {
	struct waits *waits;
	uint64_t lsn, reached;
	enum waits_end end;
	pthread_t thread;
};

static void *run_asker(void *user)
{
	struct asker *a = user;

	a->end = waits_wait(a->waits, a->lsn, LONG_MS, &a->reached);
	return NULL;
}

static void begin_asker(struct asker *a, struct waits *w, uint64_t lsn)
{
	*a = (struct asker){.waits = w, .lsn = lsn};
	assert_int_equal(pthread_create(&a->thread, NULL, run_asker, a), 0);
	while (waits_wanted(w) < lsn)
		(void)poll(NULL, 0, 1);
}

static void expect_end(struct asker *a, enum waits_end end, uint64_t reached)
{
	assert_int_equal(pthread_join(a->thread, NULL), 0);
	assert_int_equal(a->end, end);
	assert_int_equal(a->reached, reached);
}

static void test_wait_when_the_position_is_reached_then_at_once(void **state)
{
	_cleanup_(waits_freep) struct waits *w = waits_new();
	uint64_t reached;

	UNUSED(state);
	waits_reached(w, 100);
	assert_int_equal(waits_wait(w, 100, LONG_MS, &reached), WAITS_REACHED);
	assert_int_equal(reached, 100);
	assert_int_equal(waits_wait(w, 7, LONG_MS, &reached), WAITS_REACHED);
	assert_int_equal(waits_wanted(w), 0);
}

static void test_wait_when_it_is_not_reached_in_time_then_the_position_is_told(void **state)
{
	_cleanup_(waits_freep) struct waits *w = waits_new();
	uint64_t reached;

	UNUSED(state);
	waits_reached(w, 99);
	assert_int_equal(waits_wait(w, 100, 1, &reached), WAITS_TIMEOUT);
	assert_int_equal(reached, 99);
	assert_int_equal(waits_wait(w, 100, 0, &reached), WAITS_TIMEOUT);
	assert_int_equal(waits_wanted(w), 0);
}

static void test_wait_then_the_stream_is_woken_and_knows_the_highest_position(void **state)
{
	_cleanup_(waits_freep) struct waits *w = waits_new();
	struct pollfd fd = {.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
	struct asker near, far;

	UNUSED(state);
	waits_attach(w, fd.fd);
	begin_asker(&near, w, 100);
	assert_int_equal(poll(&fd, 1, LONG_MS), 1);
	begin_asker(&far, w, 200);
	assert_int_equal(waits_wanted(w), 200);
	waits_reached(w, 150);
	expect_end(&near, WAITS_REACHED, 150);
	assert_int_equal(waits_wanted(w), 200);
	waits_reached(w, 200);
	expect_end(&far, WAITS_REACHED, 200);
	assert_int_equal(waits_wanted(w), 0);
	waits_attach(w, -1);
	(void)close(fd.fd);
}

static void test_wait_when_another_stream_begins_then_the_position_of_the_one_before_does_not_count(void **state)
{
	_cleanup_(waits_freep) struct waits *w = waits_new();
	uint64_t reached;

	UNUSED(state);
	waits_reached(w, 100);
	waits_attach(w, -1);
	assert_int_equal(waits_wait(w, 50, 0, &reached), WAITS_TIMEOUT);
	assert_int_equal(reached, 0);
	assert_int_equal(waits_stream(w), 0);
	waits_attach(w, 0);
	assert_int_equal(waits_stream(w), 1);
	waits_reached(w, 60);
	assert_int_equal(waits_wait(w, 50, 0, &reached), WAITS_REACHED);
}

static void test_close_then_waits_end_now_and_later(void **state)
{
	_cleanup_(waits_freep) struct waits *w = waits_new();
	struct asker a;
	uint64_t reached;

	UNUSED(state);
	begin_asker(&a, w, 100);
	assert_false(waits_closed(w));
	waits_close(w);
	assert_true(waits_closed(w));
	expect_end(&a, WAITS_CLOSED, 0);
	assert_int_equal(waits_wait(w, 100, LONG_MS, &reached), WAITS_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait_when_the_position_is_reached_then_at_once),
		cmocka_unit_test(test_wait_when_it_is_not_reached_in_time_then_the_position_is_told),
		cmocka_unit_test(test_wait_then_the_stream_is_woken_and_knows_the_highest_position),
		cmocka_unit_test(
			test_wait_when_another_stream_begins_then_the_position_of_the_one_before_does_not_count),
		cmocka_unit_test(test_close_then_waits_end_now_and_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
