/* Tests of the bulk writer when the engine is in trouble, and when it writes nothing. */
#include "search/bulk_world_test.h"

/* --- Trouble of the engine -------------------------------------------------------------------------------------------
 */
static int item_refused_thrice(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	return request <= 3 ? item_refused(w, request, id, is_delete) : 200;
}

static void test_bulk_when_the_engine_is_in_trouble_then_items_wait_and_none_is_rejected(void **state)
{
	static const struct {
		int status;
		const char *type, *remedy;
	} cases[] = {
		{500, "translog_exception", ""},
		{400, "index_closed_exception", "POST /<index>/_open"},
		{400, "routing_missing_exception", "_routing.required"},
		{400, "a_type_of_a_later_version", ""},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 2});
		refuse_item(&w, "1", cases[i].status);
		w.item = item_refused_thrice;
		w.error_type = cases[i].type;
		add_numbers(&w, 3);
		assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
		expect_written_once(&w, 3);
		assert_int_equal(w.requests, 4);
		assert_int_equal(w.n_rejections, 0);
		assert_int_equal(bulk_stats(w.bulk)->retries, 3);
		assert_int_equal(w.pressures, 1);
		assert_int_equal(w.reliefs, 1);
		assert_non_null(strstr(w.pressure, cases[i].type));
		assert_non_null(strstr(w.pressure, "reason of 1"));
		assert_non_null(strstr(w.pressure, cases[i].remedy));
		world_stop(&w);
	}
}

static void test_bulk_when_trouble_of_an_item_does_not_end_then_an_error_with_its_words(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	refuse_item(&w, "1", 500);
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_non_null(strstr(w.err.msg, "translog_exception: reason of 1"));
	assert_int_equal(w.n_rejections, 0);
	assert_int_equal(count_of(&w, "0"), 1);
	assert_int_equal(count_of(&w, "2"), 1);
	/* When the writer is freed, it no longer counts as pushed back. */
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 0);
	bulk_free(w.bulk);
	w.bulk = NULL;
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

/* A caller that adds has a transaction open. */
static void test_add_when_the_engine_pushes_back_for_longer_than_it_may_wait_then_the_writer_ends(void **state)
{
	struct world w;
	int64_t started_ms = clock_now_ms();
	int r = 0;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_actions = 1, .retry_ms = 20000, .hold_ms = 300});
	w.whole = &(struct refusal){.status = 429};
	for (int i = 0; i < 4 && r == 0; i++)
		r = add_to(&w, "books", "1", "{}");
	assert_int_equal(r, -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_non_null(strstr(w.err.msg, "es_rejected_execution_exception"));
	assert_in_range(clock_now_ms() - started_ms, 0, 10000);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	world_stop(&w);
}

/* A caller that may not wait longer tries again without a transaction: nothing that was added is lost. */
static void test_add_when_the_deadline_has_passed_then_it_does_not_wait_and_the_writer_goes_on(void **state)
{
	struct world w;
	int r = 0, added = 0;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_actions = 1});
	w.whole = &(struct refusal){.status = 429};
	assert_int_equal(bulk_set_deadline(w.bulk, clock_now_ms() + 50), 0);
	for (; r == 0; added += r == 0) {
		_cleanup_free_ char *id = xasprintf("%d", added);

		r = add_to(&w, "books", id, "{}");
	}
	/* One that is filled, and one that is being sent. */
	assert_int_equal(added, 2);
	assert_int_equal(w.err.kind, ERR_CONFLICT);
	assert_int_equal(w.err.reason, REASON_LIMIT_EXCEEDED);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.reason, REASON_LIMIT_EXCEEDED);
	(void)pthread_mutex_lock(&w.engine.lock);
	w.whole = NULL;
	(void)pthread_mutex_unlock(&w.engine.lock);
	assert_false(bulk_has_room(w.bulk));
	assert_true(bulk_set_deadline(w.bulk, 0) > 0);
	assert_int_equal(bulk_make_room(w.bulk, &w.err), 0);
	assert_true(bulk_has_room(w.bulk));
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 2);
	world_stop(&w);
}

/* Independent of the order in which requests of several connections arrive. */
static int item_refused_for_three_tries(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	static unsigned tries;

	if (!strcmp(id, w->refused_id) && ++tries <= 3)
		return item_refused(w, request, id, is_delete);
	return 200;
}

static void test_bulk_when_others_are_taken_meanwhile_then_the_pressure_lasts_until_the_item_is(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 1});
	refuse_item(&w, "1", 500);
	w.item = item_refused_for_three_tries;
	add_numbers(&w, 6);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 6);
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

static void test_bulk_when_the_pipeline_or_the_index_is_missing_then_the_writer_ends_at_once(void **state)
{
	static const struct {
		int status;
		const char *type, *text, *reason;
	} cases[] = {
		{400, "illegal_argument_exception", "pipeline with id [x] does not exist", "PipelineMissing"},
		{404, "index_not_found_exception", "no such index", "IndexMissing"},
		{403, "security_exception", "no permissions", "AuthFailed"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 1});
		refuse_item(&w, "1", cases[i].status);
		w.error_type = cases[i].type;
		w.error_reason = cases[i].text;
		add_numbers(&w, 3);
		assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
		assert_string_equal(reason_name(w.err.reason), cases[i].reason);
		assert_non_null(strstr(w.err.msg, cases[i].text));
		assert_int_equal(w.requests, 1);
		assert_int_equal(w.n_rejections, 0);
		world_stop(&w);
	}
}

/* --- Answers to something else ---------------------------------------------------------------------------------------
 */
static void test_bulk_when_the_answer_is_about_other_actions_then_nothing_is_done(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.garbage = "{\"took\":1,\"errors\":false,\"items\":[{\"delete\":{\"status\":404,\"result\":\"not_found\"}},"
		    "{\"index\":{\"status\":201,\"result\":\"created\"}},"
		    "{\"index\":{\"status\":201,\"result\":\"created\"}}]}";
	w.garbage_until = 1;
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(w.err.msg, "item 0 of the answer is about another action"));
	assert_int_equal(bulk_stats(w.bulk)->indexed, 0);
	assert_int_equal(bulk_stats(w.bulk)->retries, 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 0);
	world_stop(&w);
}

/* --- What pipelines drop ---------------------------------------------------------------------------------------------
 */
static int item_dropped(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	if (strcmp(id, "1") != 0)
		return 201;
	return is_delete ? 200 : DROPPED;
}

static void test_bulk_when_a_pipeline_drops_a_document_then_it_is_deleted_with_its_version(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_dropped;
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.requests, 2);
	assert_string_equal(w.first_line,
			    "{\"delete\":{\"_id\":\"1\",\"version\":7,\"version_type\":\"external_gte\"}}");
	assert_int_equal(bulk_stats(w.bulk)->indexed, 2);
	assert_int_equal(bulk_stats(w.bulk)->deleted, 1);
	assert_int_equal(bulk_stats(w.bulk)->dropped, 1);
	assert_int_equal(bulk_stats(w.bulk)->retries, 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 3);
	assert_int_equal(w.drops, 1);
	assert_int_equal(w.pressures, 0);
	assert_int_equal(w.n_rejections, 0);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_when_the_engine_is_in_trouble_then_items_wait_and_none_is_rejected),
		cmocka_unit_test(test_bulk_when_trouble_of_an_item_does_not_end_then_an_error_with_its_words),
		cmocka_unit_test(test_add_when_the_engine_pushes_back_for_longer_than_it_may_wait_then_the_writer_ends),
		cmocka_unit_test(test_add_when_the_deadline_has_passed_then_it_does_not_wait_and_the_writer_goes_on),
		cmocka_unit_test(test_bulk_when_others_are_taken_meanwhile_then_the_pressure_lasts_until_the_item_is),
		cmocka_unit_test(test_bulk_when_the_pipeline_or_the_index_is_missing_then_the_writer_ends_at_once),
		cmocka_unit_test(test_bulk_when_the_answer_is_about_other_actions_then_nothing_is_done),
		cmocka_unit_test(test_bulk_when_a_pipeline_drops_a_document_then_it_is_deleted_with_its_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
