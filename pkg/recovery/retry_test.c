/* Tests of what happens after a failed attempt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recovery/retry.h"

enum { SEED = 1, QUICK_MS = 1, ATTEMPTS = 12 };

/* A pause between half of the base and the cap. */
enum pause { BRIEF, STALLED, TABLES, TAKEN, AS_TOLD, CAPPED };

static void assert_pause(int64_t ms, enum pause pause)
{
	static const struct {
		int64_t least, most;
	} spans[] = {
		[BRIEF] = {RETRY_BASE_MS / 2, RETRY_CAP_MS},
		[STALLED] = {RETRY_STALLED_BASE_MS / 2, RETRY_STALLED_CAP_MS},
		[TABLES] = {RETRY_TABLES_MS, RETRY_TABLES_MS},
		[TAKEN] = {RETRY_SLOT_TAKEN_MS, RETRY_SLOT_TAKEN_MS},
		[AS_TOLD] = {7777, 7777},
		[CAPPED] = {60000, 60000},
	};

	assert_in_range(ms, spans[pause].least, spans[pause].most);
}

static void test_retry_when_an_attempt_failed_then_the_error_says_how_long_to_wait_and_who_has_to_act(void **state)
{
	static const struct {
		struct err err;
		enum pause pause;
		bool needs_action;
	} cases[] = {
		{{.kind = ERR_TRANSIENT}, BRIEF, false},
		{{.kind = ERR_TRANSIENT, .retry_after_ms = 7777}, AS_TOLD, false},
		{{.kind = ERR_TRANSIENT, .retry_after_ms = 600000}, CAPPED, false},
		{{.kind = ERR_CONFLICT}, BRIEF, false},
		{{.kind = ERR_CONFLICT, .reason = REASON_SLOT_TAKEN}, TAKEN, false},
		{{.kind = ERR_CANCELLED}, BRIEF, false},
		{{.kind = ERR_NOT_FOUND}, BRIEF, false},
		{{.kind = ERR_INVALID}, STALLED, true},
		{{.kind = ERR_INVALID, .reason = REASON_UNKNOWN_TABLE}, TABLES, false},
		{{.kind = ERR_DENIED}, STALLED, true},
		{{.kind = ERR_LIMIT}, STALLED, true},
		{{.kind = ERR_FATAL}, STALLED, true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct retry retry;

		retry_init(&retry, SEED);
		assert_pause(retry_pause_ms(&retry, &cases[i].err, QUICK_MS), cases[i].pause);
		assert_int_equal(retry_needs_action(&cases[i].err), cases[i].needs_action);
		assert_int_equal(retry_waits_for_tables(&cases[i].err), cases[i].pause == TABLES);
	}
}

/* The pause once attempts have failed many times. */
static int64_t late_pause(struct retry *retry, const struct err *err)
{
	int64_t longest = 0;

	for (int i = 0; i < ATTEMPTS; i++) {
		int64_t ms = retry_pause_ms(retry, err, QUICK_MS);

		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static void test_retry_when_attempts_keep_failing_then_pauses_grow_up_to_their_cap(void **state)
{
	static const struct err away = {.kind = ERR_TRANSIENT}, invalid = {.kind = ERR_INVALID};
	struct retry retry;

	UNUSED(state);
	retry_init(&retry, SEED);
	assert_in_range(late_pause(&retry, &away), 2 * RETRY_BASE_MS, RETRY_CAP_MS);
	retry_init(&retry, SEED);
	assert_in_range(late_pause(&retry, &invalid), 2 * RETRY_STALLED_BASE_MS, RETRY_STALLED_CAP_MS);
}

static void test_retry_when_an_attempt_took_long_or_failed_otherwise_then_pauses_are_short_again(void **state)
{
	static const struct err away = {.kind = ERR_TRANSIENT}, invalid = {.kind = ERR_INVALID};
	struct retry retry;

	UNUSED(state);
	retry_init(&retry, SEED);
	(void)late_pause(&retry, &away);
	assert_int_equal(retry.brief.attempt, ATTEMPTS);
	/* It was working, so the next failure is a new problem. */
	assert_in_range(retry_pause_ms(&retry, &away, RETRY_LONG_MS + 1), RETRY_BASE_MS / 2, 2 * RETRY_BASE_MS);
	(void)late_pause(&retry, &away);
	(void)retry_pause_ms(&retry, &invalid, QUICK_MS);
	assert_int_equal(retry.brief.attempt, 0);
	(void)late_pause(&retry, &invalid);
	(void)retry_pause_ms(&retry, &away, QUICK_MS);
	assert_int_equal(retry.stalled.attempt, 0);
}

static void test_retry_when_an_attempt_failed_then_the_run_continues_unless_it_may_not(void **state)
{
	static const struct {
		enum err_kind kind;
		struct retry_limits limits;
		bool gives_up;
	} cases[] = {
		{ERR_INVALID, {0}, false},
		{ERR_FATAL, {0}, false},
		/* Until caught up: errors that no later attempt can recover from. */
		{ERR_INVALID, {.until_caught_up = true}, true},
		{ERR_DENIED, {.until_caught_up = true}, true},
		{ERR_NOT_FOUND, {.until_caught_up = true}, true},
		{ERR_TRANSIENT, {.until_caught_up = true}, false},
		{ERR_CONFLICT, {.until_caught_up = true}, false},
		{ERR_CANCELLED, {.until_caught_up = true}, false},
		/* A supervised worker whose time is over never comes back. */
		{ERR_TRANSIENT, {.supervised = true, .fenced = true}, true},
		{ERR_CONFLICT, {.supervised = true, .fenced = true}, true},
		{ERR_CONFLICT, {.supervised = true}, false},
		/* An unsupervised one waits for its turn. */
		{ERR_CONFLICT, {.fenced = true}, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct err err = {.kind = cases[i].kind};

		assert_int_equal(retry_gives_up(&err, &cases[i].limits), cases[i].gives_up);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_retry_when_an_attempt_failed_then_the_error_says_how_long_to_wait_and_who_has_to_act),
		cmocka_unit_test(test_retry_when_attempts_keep_failing_then_pauses_grow_up_to_their_cap),
		cmocka_unit_test(test_retry_when_an_attempt_took_long_or_failed_otherwise_then_pauses_are_short_again),
		cmocka_unit_test(test_retry_when_an_attempt_failed_then_the_run_continues_unless_it_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
