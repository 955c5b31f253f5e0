/* Tests of the work queue, under a clock that the test moves. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/heap_int.h"
#include "kube/kube.h"

enum { BASE_MS = 5, CAP_MS = 1000 * 1000 };

/* The next key is `expected` (NULL: there is none). */
static void assert_next(struct workqueue *queue, int64_t now_ms, const char *expected)
{
	_cleanup_free_ char *key = workqueue_get(queue, now_ms);

	if (expected) {
		assert_non_null(key);
		assert_string_equal(key, expected);
	} else {
		assert_null(key);
	}
}

static void test_get_when_keys_were_added_then_first_in_first_out(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add(queue, "a", 1);
	workqueue_add(queue, "b", 2);
	assert_int_equal(workqueue_depth(queue), 2);
	assert_int_equal(workqueue_next_ms(queue), 1);
	assert_next(queue, 3, "a");
	assert_next(queue, 3, "b");
	assert_next(queue, 3, NULL);
	assert_int_equal(workqueue_next_ms(queue), -1);
}

static void test_add_when_key_waits_already_then_one_entry(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add(queue, "a", 0);
	workqueue_add(queue, "a", 0);
	assert_int_equal(workqueue_depth(queue), 1);
	assert_next(queue, 0, "a");
	assert_next(queue, 0, NULL);
}

static void test_add_when_key_is_processed_then_it_comes_again_after_done_only(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add(queue, "a", 0);
	assert_next(queue, 0, "a");
	workqueue_add(queue, "a", 1);
	workqueue_add(queue, "a", 2);
	assert_next(queue, 3, NULL);
	assert_int_equal(workqueue_next_ms(queue), -1);
	workqueue_done(queue, "a", 4);
	assert_next(queue, 4, "a");
	workqueue_done(queue, "a", 5);
	assert_next(queue, 5, NULL);
}

static void test_add_after_when_added_twice_then_the_earlier_time_wins(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add_after(queue, "a", 0, 500);
	workqueue_add_after(queue, "a", 0, 100);
	workqueue_add_after(queue, "a", 0, 300);
	assert_int_equal(workqueue_next_ms(queue), 100);
	assert_next(queue, 99, NULL);
	assert_next(queue, 100, "a");
	workqueue_done(queue, "a", 100);
	assert_next(queue, 1000, NULL);
}

static void test_add_after_when_due_during_processing_then_not_given_out_twice(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add(queue, "a", 0);
	assert_next(queue, 0, "a");
	workqueue_add_after(queue, "a", 0, 10);
	assert_next(queue, 20, NULL);
	workqueue_done(queue, "a", 20);
	assert_next(queue, 20, "a");
}

static void test_add_after_when_several_wait_then_by_time(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_add_after(queue, "c", 0, 30);
	workqueue_add_after(queue, "a", 0, 10);
	workqueue_add_after(queue, "b", 0, 20);
	workqueue_add_after(queue, "at once", 0, 0);
	assert_next(queue, 0, "at once");
	assert_next(queue, 25, "a");
	assert_next(queue, 25, "b");
	assert_next(queue, 25, NULL);
	assert_int_equal(workqueue_next_ms(queue), 30);
}

/* 5 ms, 10, 20, ... up to the cap; forget starts again. */
static void test_add_rate_limited_when_repeated_then_doubles_up_to_the_cap_until_forgotten(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, 40, UINT_MAX);
	static const int64_t DELAYS[] = {5, 10, 20, 40, 40};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(DELAYS); i++) {
		workqueue_add_rate_limited(queue, "a", 1000);
		assert_int_equal(workqueue_next_ms(queue), 1000 + DELAYS[i]);
		assert_next(queue, 2000, "a");
		workqueue_done(queue, "a", 2000);
	}
	workqueue_forget(queue, "a");
	workqueue_add_rate_limited(queue, "a", 1000);
	assert_int_equal(workqueue_next_ms(queue), 1005);
}

static void test_rate_limit_when_failures_are_many_then_no_overflow(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	for (int i = 0; i < 5000; i++) {
		workqueue_add_rate_limited(queue, "a", 0);
		assert_next(queue, CAP_MS, "a");
		workqueue_done(queue, "a", 0);
	}
	workqueue_add_rate_limited(queue, "a", 0);
	assert_int_equal(workqueue_next_ms(queue), CAP_MS);
}

static void test_done_and_forget_when_key_is_unknown_then_nothing(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);

	UNUSED(state);
	workqueue_done(queue, "x", 0);
	workqueue_forget(queue, "x");
	workqueue_add(queue, "x", 0);
	workqueue_done(queue, "x", 0); /* waits, but is not being processed */
	assert_next(queue, 0, "x");
}

/* Against a model: no key is processed twice at once, and each change is followed by a processing. */
static void test_queue_when_used_at_random_then_agrees_with_a_model(void **state)
{
	enum { KEYS = 8, STEPS = 20000 };
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(BASE_MS, CAP_MS, UINT_MAX);
	bool changed[KEYS] = {false}, processing[KEYS] = {false};
	uint64_t seed = 7;
	char *key;

	UNUSED(state);
	for (int i = 0; i < STEPS; i++) {
		int k = (int)(random_next(&seed) % KEYS);
		char name[2] = {(char)('a' + k), '\0'};

		switch (random_next(&seed) % 3) {
		case 0:
			workqueue_add(queue, name, i);
			changed[k] = true;
			break;
		case 1:
			workqueue_done(queue, name, i);
			processing[k] = false;
			break;
		default:
			key = workqueue_get(queue, i);
			if (!key)
				break;
			k = key[0] - 'a';
			free(key);
			assert_true(changed[k]);
			assert_false(processing[k]);
			changed[k] = false;
			processing[k] = true;
		}
	}
	for (int k = 0; k < KEYS; k++)
		workqueue_done(queue, (char[]){(char)('a' + k), '\0'}, STEPS);
	while ((key = workqueue_get(queue, STEPS))) {
		assert_true(changed[key[0] - 'a']);
		changed[key[0] - 'a'] = false;
		free(key);
	}
	for (int k = 0; k < KEYS; k++)
		assert_false(changed[k]);
}

static void test_heap_when_nodes_are_removed_anywhere_then_order_stays(void **state)
{
	enum { N = 200 };
	struct heap_node nodes[N] = {0};
	struct heap heap = {0};
	struct heap_node *top;
	uint64_t seed = 3;
	int64_t last = -1;
	int left = 0;

	UNUSED(state);
	for (int i = 0; i < N; i++)
		heap_push(&heap, &nodes[i], (int64_t)(random_next(&seed) % 50));
	for (int i = 0; i < N; i += 3)
		heap_remove(&heap, &nodes[i]);
	while ((top = heap_top(&heap))) {
		assert_true(top->at_ms >= last);
		last = top->at_ms;
		heap_remove(&heap, top);
		left++;
	}
	assert_int_equal(left, N - (N + 2) / 3);
	heap_release(&heap);
}

static void test_get_when_a_namespace_has_many_keys_then_others_have_their_turn(void **state)
{
	static const char *const keys[] = {"a/1", "a/2", "a/3", "b/1", "c/1", "b/2"};
	static const char *const turns[] = {"a/1", "b/1", "c/1", "a/2", "b/2", "a/3", NULL};
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(5, 1000, UINT_MAX);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		workqueue_add(queue, keys[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(turns); i++)
		assert_next(queue, 100, turns[i]);
}

static void test_get_when_a_namespace_is_at_its_limit_then_it_waits_and_others_do_not(void **state)
{
	_cleanup_(workqueue_freep) struct workqueue *queue = workqueue_new(5, 1000, 2);

	UNUSED(state);
	workqueue_add(queue, "a/1", 0);
	workqueue_add(queue, "a/2", 0);
	workqueue_add(queue, "a/3", 0);
	assert_next(queue, 100, "a/1");
	assert_next(queue, 100, "a/2");
	assert_next(queue, 100, NULL);
	assert_int_equal(workqueue_next_ms(queue), -1);
	assert_int_equal(workqueue_depth(queue), 1);
	workqueue_add(queue, "b/1", 7);
	assert_int_equal(workqueue_next_ms(queue), 7);
	assert_next(queue, 100, "b/1");
	/* Changed while it is being processed: behind the one that waits. */
	workqueue_add(queue, "a/1", 8);
	workqueue_done(queue, "a/1", 9);
	assert_int_equal(workqueue_next_ms(queue), 0);
	assert_next(queue, 100, "a/3");
	assert_next(queue, 100, NULL);
	workqueue_done(queue, "a/2", 10);
	assert_next(queue, 100, "a/1");
	workqueue_done(queue, "a/1", 11);
	workqueue_done(queue, "a/3", 11);
	workqueue_done(queue, "b/1", 11);
	assert_next(queue, 100, NULL);
	assert_int_equal(workqueue_depth(queue), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_when_a_namespace_has_many_keys_then_others_have_their_turn),
		cmocka_unit_test(test_get_when_a_namespace_is_at_its_limit_then_it_waits_and_others_do_not),
		cmocka_unit_test(test_get_when_keys_were_added_then_first_in_first_out),
		cmocka_unit_test(test_add_when_key_waits_already_then_one_entry),
		cmocka_unit_test(test_add_when_key_is_processed_then_it_comes_again_after_done_only),
		cmocka_unit_test(test_add_after_when_added_twice_then_the_earlier_time_wins),
		cmocka_unit_test(test_add_after_when_due_during_processing_then_not_given_out_twice),
		cmocka_unit_test(test_add_after_when_several_wait_then_by_time),
		cmocka_unit_test(test_add_rate_limited_when_repeated_then_doubles_up_to_the_cap_until_forgotten),
		cmocka_unit_test(test_rate_limit_when_failures_are_many_then_no_overflow),
		cmocka_unit_test(test_done_and_forget_when_key_is_unknown_then_nothing),
		cmocka_unit_test(test_queue_when_used_at_random_then_agrees_with_a_model),
		cmocka_unit_test(test_heap_when_nodes_are_removed_anywhere_then_order_stays),
	};

	return cmocka_run_group_tests_name("workqueue", tests, NULL, NULL);
}
