/* Tests of who gives way, and when. */
#include "apply/precedence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/clock.h"

enum { PID = 7, LATER_MS = 10000 };

struct fixture {
	struct precedences *all;
	struct precedence p;
	int64_t now_ms;
	int asked[PRECEDENCE_SESSIONS];
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){.all = precedences_new(), .now_ms = clock_now_ms() + LATER_MS};
	precedence_init(&f->p, f->all, PID);
}

static void end(struct fixture *f)
{
	precedences_cancelled(f->all);
	precedence_release(&f->p);
	precedences_free(f->all);
}

/* The watcher looks after this time. True: the session has to end its transaction. */
static bool look(struct fixture *f, int64_t after_ms, int blocking)
{
	size_t n;

	f->now_ms += after_ms;
	n = precedences_decide(f->all, f->now_ms, &blocking, 1, f->asked);
	precedences_cancelled(f->all);
	return n == 1 && f->asked[0] == PID;
}

static void test_patience_then_it_doubles_and_has_a_limit(void **state)
{
	UNUSED(state);
	assert_int_equal(precedence_patience_ms(0), PRECEDENCE_PATIENCE_MS);
	assert_int_equal(precedence_patience_ms(1), 2 * PRECEDENCE_PATIENCE_MS);
	assert_int_equal(precedence_patience_ms(5), 32 * PRECEDENCE_PATIENCE_MS);
	assert_true(precedence_patience_ms(UINT32_MAX) > 3600 * 1000);
}

static void test_open_when_a_transaction_is_short_then_nobody_looks(void **state)
{
	struct fixture f;
	int pids[PRECEDENCE_SESSIONS];

	UNUSED(state);
	begin(&f);
	assert_int_equal(precedences_open(f.all, f.now_ms, pids), 0);
	precedence_begin(&f.p);
	assert_int_equal(precedences_open(f.all, f.now_ms - LATER_MS, pids), 0);
	assert_int_equal(precedences_open(f.all, f.now_ms, pids), 1);
	assert_int_equal(pids[0], PID);
	precedence_end(&f.p);
	assert_int_equal(precedences_open(f.all, f.now_ms, pids), 0);
	end(&f);
}

static bool is_readable(int fd)
{
	struct pollfd at = {.fd = fd, .events = POLLIN};

	return poll(&at, 1, 0) == 1;
}

static void test_idle_then_the_watcher_is_woken_once_when_a_transaction_begins(void **state)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fixture f;
	eventfd_t begun;

	UNUSED(state);
	begin(&f);
	assert_true(precedences_idle(f.all, fd));
	assert_false(is_readable(fd));
	precedence_begin(&f.p);
	assert_true(is_readable(fd));
	assert_int_equal(eventfd_read(fd, &begun), 0);
	/* The watcher looks from time to time now, and is not woken. */
	assert_false(precedences_idle(f.all, fd));
	precedence_end(&f.p);
	precedence_begin(&f.p);
	assert_false(is_readable(fd));
	precedence_end(&f.p);
	assert_true(precedences_idle(f.all, fd));
	assert_true(precedences_idle(f.all, -1));
	precedence_begin(&f.p);
	assert_false(is_readable(fd));
	end(&f);
}

static void test_decide_when_others_wait_for_longer_than_a_moment_then_the_session_gives_way(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	precedence_begin(&f.p);
	assert_false(look(&f, 0, PID));
	assert_false(look(&f, PRECEDENCE_PATIENCE_MS - 1, PID));
	assert_false(precedence_asked(&f.p));
	assert_true(look(&f, 1, PID));
	assert_true(precedence_asked(&f.p));
	precedence_end(&f.p);
	assert_false(precedence_asked(&f.p));
	end(&f);
}

static void test_decide_when_the_wait_ends_or_is_for_another_then_it_goes_on(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	precedence_begin(&f.p);
	assert_false(look(&f, 0, PID));
	assert_false(look(&f, PRECEDENCE_PATIENCE_MS, PID + 1));
	assert_false(look(&f, PRECEDENCE_PATIENCE_MS, PID));
	precedence_end(&f.p);
	precedence_begin(&f.p);
	assert_false(look(&f, PRECEDENCE_PATIENCE_MS, PID));
	assert_false(precedence_asked(&f.p));
	precedence_end(&f.p);
	assert_false(look(&f, PRECEDENCE_PATIENCE_MS, PID));
	end(&f);
}

static void test_decide_when_the_session_goes_on_then_it_is_asked_again(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	precedence_begin(&f.p);
	assert_false(look(&f, 0, PID));
	assert_true(look(&f, PRECEDENCE_PATIENCE_MS, PID));
	assert_false(look(&f, PRECEDENCE_AGAIN_MS - 1, PID));
	assert_true(look(&f, 1, PID));
	precedence_end(&f.p);
	end(&f);
}

static bool gives_way_after(struct fixture *f, int64_t ms)
{
	bool early, gives_way;

	precedence_begin(&f->p);
	early = look(f, 0, PID) || look(f, ms - 1, PID);
	gives_way = look(f, 1, PID);
	precedence_end(&f->p);
	return gives_way && !early;
}

static void test_decide_when_the_same_work_gave_way_before_then_others_wait_longer(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	for (unsigned i = 0; i < 5; i++)
		assert_true(gives_way_after(&f, precedence_patience_ms(i)));
	precedence_got_on(&f.p);
	assert_true(gives_way_after(&f, precedence_patience_ms(0)));
	precedence_repeat(&f.p);
	assert_true(gives_way_after(&f, precedence_patience_ms(1)));
	precedence_got_on(&f.p);
	assert_true(gives_way_after(&f, precedence_patience_ms(1)));
	precedence_done(&f.p);
	assert_true(gives_way_after(&f, precedence_patience_ms(0)));
	end(&f);
}

static void *send_cancel(void *user)
{
	struct fixture *f = user;

	(void)poll(NULL, 0, 20);
	precedences_cancelled(f->all);
	return NULL;
}

static void test_end_when_a_cancel_request_is_under_way_then_waits_for_it(void **state)
{
	const int blocking = PID;
	struct fixture f;
	pthread_t thread;

	UNUSED(state);
	begin(&f);
	precedence_begin(&f.p);
	assert_int_equal(precedences_decide(f.all, f.now_ms, &blocking, 1, f.asked), 0);
	assert_int_equal(precedences_decide(f.all, f.now_ms + LATER_MS, &blocking, 1, f.asked), 1);
	assert_true(f.p.cancelling);
	assert_int_equal(pthread_create(&thread, NULL, send_cancel, &f), 0);
	precedence_end(&f.p);
	assert_false(f.p.cancelling);
	assert_int_equal(pthread_join(thread, NULL), 0);
	end(&f);
}

static void test_session_when_nobody_watches_then_never_asked(void **state)
{
	struct precedence p = {0};

	UNUSED(state);
	precedence_begin(&p);
	assert_false(precedence_asked(&p));
	precedence_end(&p);
	precedence_repeat(&p);
	precedence_done(&p);
	precedence_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience_then_it_doubles_and_has_a_limit),
		cmocka_unit_test(test_open_when_a_transaction_is_short_then_nobody_looks),
		cmocka_unit_test(test_idle_then_the_watcher_is_woken_once_when_a_transaction_begins),
		cmocka_unit_test(test_decide_when_others_wait_for_longer_than_a_moment_then_the_session_gives_way),
		cmocka_unit_test(test_decide_when_the_wait_ends_or_is_for_another_then_it_goes_on),
		cmocka_unit_test(test_decide_when_the_session_goes_on_then_it_is_asked_again),
		cmocka_unit_test(test_decide_when_the_same_work_gave_way_before_then_others_wait_longer),
		cmocka_unit_test(test_end_when_a_cancel_request_is_under_way_then_waits_for_it),
		cmocka_unit_test(test_session_when_nobody_watches_then_never_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
