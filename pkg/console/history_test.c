/* Tests of the ring of a PgSync's last 15 minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/console_int.h"
#include "json/json.h"

enum { START_MS = 1000003 }; /* within a step */

static struct strbuf answer;

static const char *history_text(const struct console_history *history, int64_t now_ms)
{
	strbuf_reset(&answer);
	console_history_json(history, now_ms, &answer);
	return answer.data;
}

struct at {
	int seconds;
	struct console_sample sample;
};

#define WAL(position, kept, lag)                        \
	{                                               \
		position, kept, lag, CONSOLE_COUNTS_WAL \
	}
#define ROWS(rows)                                \
	{                                         \
		rows, -1, -1, CONSOLE_COUNTS_ROWS \
	}
#define NOTHING                                   \
	{                                         \
		0, -1, -1, CONSOLE_COUNTS_NOTHING \
	}

static const struct {
	const char *what;
	struct at samples[5];
	int n, now_seconds;
	const char *expected;
} cases[] = {
	{"empty", {{0}}, 0, 0, "\"lagSeconds\":[],\"rate\":[],\"retainedWALBytes\":[]"},
	{"one sample has no rate",
	 {{0, WAL(100, 7, 3)}},
	 1,
	 0,
	 "\"lagSeconds\":[3],\"rate\":[null],\"retainedWALBytes\":[7]"},
	{"the last sample of a step counts",
	 {{0, WAL(0, 1, 1)}, {1, WAL(0, 2, 2)}},
	 2,
	 1,
	 "\"lagSeconds\":[2],\"rate\":[null],\"retainedWALBytes\":[2]"},
	{"a rate is that of the last two steps",
	 {{0, WAL(0, 0, 0)}, {5, WAL(100, 0, 0)}, {10, WAL(100, 0, 0)}, {15, WAL(300, 0, 0)}},
	 4,
	 15,
	 "\"lagSeconds\":[0,0,0,0],\"rate\":[null,20,10,20],\"retainedWALBytes\":[0,0,0,0]"},
	{"a sample is valid until the next",
	 {{0, WAL(0, 5, 1)}, {15, WAL(0, 6, 2)}},
	 2,
	 25,
	 "\"lagSeconds\":[1,1,1,2,2,2],\"rate\":[null,0,0,0,0,0],\"retainedWALBytes\":[5,5,5,6,6,6]"},
	{"what is unknown is null",
	 {{0, NOTHING}, {5, NOTHING}},
	 2,
	 5,
	 "\"lagSeconds\":[null,null],\"rate\":[null,null],\"retainedWALBytes\":[null,null]"},
	{"rows and WAL have no rate together",
	 {{0, ROWS(0)}, {5, ROWS(500)}, {10, WAL(600, 0, 0)}},
	 3,
	 10,
	 "\"lagSeconds\":[null,null,0],\"rate\":[null,100,null],\"retainedWALBytes\":[null,null,0]"},
	{"a counter that begins again has no rate",
	 {{0, ROWS(500)}, {5, ROWS(10)}},
	 2,
	 5,
	 "\"lagSeconds\":[null,null],\"rate\":[null,null],\"retainedWALBytes\":[null,null]"},
	{"a clock that goes back",
	 {{5, WAL(0, 1, 1)}, {0, WAL(0, 2, 2)}},
	 2,
	 0,
	 "\"lagSeconds\":[2],\"rate\":[null],\"retainedWALBytes\":[2]"},
};

static void test_history_of_a_few_samples(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct console_history history = {0};
		_cleanup_free_ char *expected = xasprintf("{\"stepSeconds\":5,%s}", cases[i].expected);

		for (int k = 0; k < cases[i].n; k++)
			console_history_add(&history, START_MS + cases[i].samples[k].seconds * 1000,
					    &cases[i].samples[k].sample);
		if (strcmp(history_text(&history, START_MS + cases[i].now_seconds * 1000), expected) != 0)
			fail_msg("%s: %s, expected %s", cases[i].what, answer.data, expected);
	}
	assert_string_equal(history_text(NULL, START_MS),
			    "{\"stepSeconds\":5,\"lagSeconds\":[],\"rate\":[],\"retainedWALBytes\":[]}");
}

/* Adds a sample for each step in [from, to); its lag is the step's number. */
static void add_steps(struct console_history *history, int from, int to)
{
	for (int i = from; i < to; i++) {
		struct console_sample sample = {.lag_s = i, .wal_bytes = 0};

		console_history_add(history, START_MS + (int64_t)i * CONSOLE_STEP_MS, &sample);
	}
}

static void assert_lags(const struct console_history *history, int now_step, int n, int first, int last)
{
	_cleanup_json_ json_t *value =
		json_loads(history_text(history, START_MS + (int64_t)now_step * CONSOLE_STEP_MS), 0, NULL);
	const json_t *lags = json_object_get(value, "lagSeconds");

	assert_int_equal(json_array_size(lags), n);
	assert_int_equal(json_integer_value(json_array_get(lags, 0)), first);
	assert_int_equal(json_integer_value(json_array_get(lags, (size_t)n - 1)), last);
}

static void test_history_has_the_last_15_minutes_and_no_more(void **state)
{
	struct console_history history = {0};

	UNUSED(state);
	add_steps(&history, 0, CONSOLE_STEPS);
	assert_lags(&history, CONSOLE_STEPS - 1, CONSOLE_STEPS, 0, CONSOLE_STEPS - 1);
	assert_lags(&history, CONSOLE_STEPS + 9, CONSOLE_STEPS, 10, CONSOLE_STEPS - 1);
	add_steps(&history, CONSOLE_STEPS, 1000);
	assert_lags(&history, 999, CONSOLE_STEPS, 1000 - CONSOLE_STEPS, 999);
	/* Hours later, only the last sample is in the ring. */
	assert_lags(&history, 9999, CONSOLE_STEPS, 999, 999);
	add_steps(&history, 10000, 10001);
	assert_lags(&history, 10000, CONSOLE_STEPS, 999, 10000);
}

static void test_sample_of_a_resource_takes_rows_until_the_bootstrap_is_complete(void **state)
{
	static const char text[] = "{\"metadata\": {\"generation\": 1}, \"status\": {\"stream\": {\"lagSeconds\": 3, "
				   "\"retainedWALBytes\": 16, \"confirmedFlushLSN\": \"1/10\"}, \"bootstrap\": "
				   "{\"rowsDone\": 42}, \"conditions\": [{\"type\": \"BootstrapComplete\", "
				   "\"status\": \"%s\", \"observedGeneration\": 1}]}}";
	static const char *const statuses[] = {"False", "True"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		_cleanup_free_ char *resource_text = xasprintf(text, statuses[i]);
		_cleanup_json_ json_t *resource = json_loads(resource_text, 0, NULL);
		struct console_sample sample = console_history_sample(resource);

		assert_int_equal(sample.lag_s, 3);
		assert_int_equal(sample.wal_bytes, 16);
		assert_int_equal(sample.counts, i ? CONSOLE_COUNTS_WAL : CONSOLE_COUNTS_ROWS);
		assert_int_equal(sample.counter, i ? UINT64_C(0x100000010) : 42);
	}
}

static void test_sample_of_an_empty_resource_knows_nothing(void **state)
{
	_cleanup_json_ json_t *resource = json_object();
	struct console_sample sample = console_history_sample(resource);

	UNUSED(state);
	assert_int_equal(sample.lag_s, -1);
	assert_int_equal(sample.wal_bytes, -1);
	assert_int_equal(sample.counts, CONSOLE_COUNTS_NOTHING);
}

/* --- in the store */

static void test_store_has_a_bounded_number_of_histories(void **state)
{
	_cleanup_json_ json_t *resource = json_object();
	struct console_store store;

	UNUSED(state);
	console_store_init(&store, &(struct console_options){0});
	for (int i = 0; i < CONSOLE_HISTORIES + 2; i++) {
		_cleanup_free_ char *name = xasprintf("n%d", i);

		console_store_show(&store,
				   &(struct console_pgsync){
					   .namespace = "shop", .name = name, .created = "", .resource = resource},
				   START_MS);
	}
	assert_non_null(console_store_find(&store, "shop", "n0")->history);
	assert_null(console_store_find(&store, "shop", "n4000")->history);
	console_store_forget(&store, "shop", "n0");
	console_store_forget(&store, "shop", "n4001");
	assert_int_equal(store.n_histories, CONSOLE_HISTORIES - 1);
	console_store_forget_all(&store);
	assert_int_equal(store.n_histories, 0);
	console_store_release(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history_of_a_few_samples),
		cmocka_unit_test(test_history_has_the_last_15_minutes_and_no_more),
		cmocka_unit_test(test_sample_of_a_resource_takes_rows_until_the_bootstrap_is_complete),
		cmocka_unit_test(test_sample_of_an_empty_resource_knows_nothing),
		cmocka_unit_test(test_store_has_a_bounded_number_of_histories),
	};
	int failed;

	strbuf_init(&answer, 1 << 20);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	strbuf_release(&answer);
	return failed;
}
