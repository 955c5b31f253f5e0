/* Tests of the retry by halving, with an attempt that fails for chosen items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apply/halving.h"
#include "base/mem.h"

enum { ITEMS = 17, MOST_ATTEMPTS = 200 };

/* Items from `first`; each is bad, or is done once. */
struct fake {
	uint64_t first;
	bool bad[ITEMS];
	int done[ITEMS], failed[ITEMS];
	int attempts, attempts_left; /* the attempt after the last one fails for another reason */
	uint64_t next;               /* items are settled in their order */
	bool fails_alone;            /* failed_alone fails */
	bool fails_always;           /* without items as well */
};

static int fake_attempt(void *user, uint64_t from, uint64_t to, struct err *err)
{
	struct fake *f = user;

	assert_true(from >= f->first && from <= to && to <= f->first + ITEMS);
	assert_int_equal(from, f->next);
	f->attempts++;
	if (f->attempts_left-- == 0)
		return err_set(err, ERR_TRANSIENT, "the connection is gone");
	if (f->fails_always) {
		(void)err_set(err, ERR_INVALID, "always");
		return 1;
	}
	for (uint64_t i = from; i < to; i++) {
		if (f->bad[i - f->first]) {
			(void)err_set(err, ERR_INVALID, "item %d", (int)(i - f->first));
			return 1;
		}
	}
	for (uint64_t i = from; i < to; i++)
		f->done[i - f->first]++;
	f->next = to;
	return 0;
}

static int fake_failed_alone(void *user, uint64_t item, const struct err *why, struct err *err)
{
	struct fake *f = user;
	struct err expected = {0};

	assert_int_equal(item, f->next);
	(void)err_set(&expected, ERR_INVALID, "item %d", (int)(item - f->first));
	assert_string_equal(why->msg, expected.msg);
	if (f->fails_alone)
		return err_set(err, ERR_DENIED, "cannot keep it");
	f->failed[item - f->first]++;
	f->next = item + 1;
	return 0;
}

static int run(struct fake *f, uint64_t n, struct err *err)
{
	const struct halving halving = {fake_attempt, fake_failed_alone, f};

	f->next = f->first;
	return halving_run(&halving, f->first, f->first + n, err);
}

static struct fake fake(uint64_t first)
{
	return (struct fake){.first = first, .attempts_left = MOST_ATTEMPTS};
}

/* Every bad item failed once, every other one was done once, and the caller's error is as it was. */
static void check_all(struct fake *f, uint64_t n)
{
	struct err err = {0};

	assert_int_equal(run(f, n, &err), 0);
	assert_int_equal(err.kind, ERR_NONE);
	assert_int_equal(f->next, f->first + n);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(f->failed[i], f->bad[i]);
		assert_int_equal(f->done[i], !f->bad[i]);
	}
}

static void test_halving_when_nothing_fails_then_one_attempt_does_it(void **state)
{
	UNUSED(state);
	for (uint64_t n = 1; n <= ITEMS; n++) {
		struct fake f = fake(1000);

		check_all(&f, n);
		assert_int_equal(f.attempts, 1);
	}
}

static void test_halving_when_there_is_nothing_then_nothing_is_attempted(void **state)
{
	struct fake f = fake(7);

	UNUSED(state);
	check_all(&f, 0);
	assert_int_equal(f.attempts, 0);
}

static void test_halving_when_one_item_is_bad_then_only_it_fails(void **state)
{
	UNUSED(state);
	for (uint64_t n = 1; n <= ITEMS; n++) {
		for (uint64_t bad = 0; bad < n; bad++) {
			struct fake f = fake(n % 2 ? 0 : UINT64_MAX - ITEMS);

			f.bad[bad] = true;
			check_all(&f, n);
		}
	}
}

static void test_halving_when_two_items_are_bad_then_only_they_fail(void **state)
{
	UNUSED(state);
	for (uint64_t a = 0; a < ITEMS; a++) {
		for (uint64_t b = a + 1; b < ITEMS; b++) {
			struct fake f = fake(5);

			f.bad[a] = f.bad[b] = true;
			check_all(&f, ITEMS);
		}
	}
}

static void test_halving_when_items_are_bad_in_any_combination_then_only_they_fail(void **state)
{
	enum { SOME = 9 };

	UNUSED(state);
	for (unsigned mask = 0; mask < 1u << SOME; mask++) {
		struct fake f = fake(0);

		for (unsigned i = 0; i < SOME; i++)
			f.bad[i] = mask & (1u << i);
		check_all(&f, SOME);
	}
}

static void test_halving_when_all_items_are_bad_then_each_fails_alone(void **state)
{
	struct fake f = fake(3);

	UNUSED(state);
	memset(f.bad, true, sizeof(f.bad));
	check_all(&f, ITEMS);
	/* A tree with one leaf for each item, and an attempt without items for each. */
	assert_int_equal(f.attempts, 3 * ITEMS - 1);
}

static void test_halving_when_another_error_comes_then_it_ends_at_once(void **state)
{
	UNUSED(state);
	/* With one bad item among 16 there are 10 attempts; each fails in turn. */
	for (int good = 0; good < 10; good++) {
		struct fake f = fake(0);
		struct err err = {0};

		f.bad[5] = true;
		f.attempts_left = good;
		assert_int_equal(run(&f, 16, &err), -1);
		assert_int_equal(err.kind, ERR_TRANSIENT);
		assert_string_equal(err.msg, "the connection is gone");
		assert_int_equal(f.attempts, good + 1);
	}
}

static void test_halving_when_a_failed_item_cannot_be_kept_then_it_ends_at_once(void **state)
{
	struct fake f = fake(0);
	struct err err = {0};

	UNUSED(state);
	f.bad[2] = f.bad[9] = true;
	f.fails_alone = true;
	assert_int_equal(run(&f, ITEMS, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(f.next, 2);
	assert_int_equal(f.done[9] + f.done[16] + f.failed[9], 0);
}

static void test_halving_when_it_fails_without_items_then_no_item_is_blamed(void **state)
{
	struct fake f = fake(0);
	struct err err = {0};

	UNUSED(state);
	f.fails_always = true;
	assert_int_equal(run(&f, ITEMS, &err), -1);
	assert_string_equal(err.msg, "always");
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(f.failed[i], 0);
}

/* --- the depth --- */

enum { BITS = 40 };

struct deep {
	uint64_t bad;
	int attempts, failed;
};

static int deep_attempt(void *user, uint64_t from, uint64_t to, struct err *err)
{
	struct deep *d = user;

	d->attempts++;
	if (d->bad < from || d->bad >= to)
		return 0;
	(void)err_set(err, ERR_INVALID, "bad");
	return 1;
}

static int deep_failed_alone(void *user, uint64_t item, const struct err *why, struct err *err)
{
	struct deep *d = user;

	UNUSED(why);
	UNUSED(err);
	assert_int_equal(item, d->bad);
	d->failed++;
	return 0;
}

static void test_halving_when_one_of_very_many_is_bad_then_two_attempts_for_each_bit_find_it(void **state)
{
	const uint64_t n = UINT64_C(1) << BITS;
	const uint64_t bad[] = {0, 1, n / 3, n / 2 - 1, n / 2, n - 1};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct deep d = {.bad = bad[i]};
		const struct halving halving = {deep_attempt, deep_failed_alone, &d};
		struct err err = {0};

		assert_int_equal(halving_run(&halving, 0, n, &err), 0);
		assert_int_equal(d.failed, 1);
		/* And one without items. */
		assert_int_equal(d.attempts, 2 * BITS + 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_halving_when_nothing_fails_then_one_attempt_does_it),
		cmocka_unit_test(test_halving_when_there_is_nothing_then_nothing_is_attempted),
		cmocka_unit_test(test_halving_when_one_item_is_bad_then_only_it_fails),
		cmocka_unit_test(test_halving_when_two_items_are_bad_then_only_they_fail),
		cmocka_unit_test(test_halving_when_items_are_bad_in_any_combination_then_only_they_fail),
		cmocka_unit_test(test_halving_when_all_items_are_bad_then_each_fails_alone),
		cmocka_unit_test(test_halving_when_another_error_comes_then_it_ends_at_once),
		cmocka_unit_test(test_halving_when_a_failed_item_cannot_be_kept_then_it_ends_at_once),
		cmocka_unit_test(test_halving_when_it_fails_without_items_then_no_item_is_blamed),
		cmocka_unit_test(test_halving_when_one_of_very_many_is_bad_then_two_attempts_for_each_bit_find_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
