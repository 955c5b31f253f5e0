/* Tests of the bulk writer: bodies, push-back, rejections and errors. */
#include "search/bulk_world_test.h"

/* --- Success ---------------------------------------------------------------------------------------------------------
 */
static void test_bulk_when_all_succeed_then_each_is_written_once_in_bodies_of_the_size(void **state)
{
	struct world w;
	const struct bulk_stats *stats;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_bytes = 10000, .concurrency = 2});
	add_numbers(&w, 2000);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 2000);
	stats = bulk_stats(w.bulk);
	assert_int_equal(stats->indexed, 2000);
	assert_int_equal(stats->added, 2000);
	assert_int_equal(stats->added_bytes, 2000 * strlen("{\"title\":\"a book\"}"));
	assert_int_equal(stats->done_below, 2000);
	assert_int_equal(stats->requests, w.requests);
	assert_in_range(w.largest, 9000, 10000);
	assert_in_range(w.engine.n_connections, 1, 2);
	assert_non_null(strstr(w.path, "POST /books/_bulk?filter_path=took,errors,items.*.status,"));
	world_stop(&w);
}

static void test_bulk_when_max_actions_then_no_body_has_more(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_actions = 10, .concurrency = 3});
	add_numbers(&w, 95);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 95);
	assert_int_equal(w.requests, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.requests, 10);
	world_stop(&w);
}

static int item_mixed(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(id);
	return is_delete ? 404 : 409;
}

static void test_bulk_when_stale_or_gone_already_then_done(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_mixed;
	assert_int_equal(add_to(&w, "books", "1", "{}"), 0);
	assert_int_equal(add_to(&w, "books", "2", NULL), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->conflicts, 1);
	assert_int_equal(bulk_stats(w.bulk)->deleted, 1);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 0);
	assert_int_equal(w.n_rejections, 0);
	assert_int_equal(w.pressures, 0);
	world_stop(&w);
}

static void test_bulk_when_indices_differ_then_the_path_names_the_first_and_lines_the_others(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	assert_int_equal(add_to(&w, "books", "1", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_null(strstr(w.first_line, "_index"));
	assert_int_equal(add_to(&w, "authors", "2", "{}"), 0);
	assert_int_equal(add_to(&w, "books", "3", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /authors/_bulk?"));
	assert_null(strstr(w.first_line, "_index"));
	assert_int_equal(bulk_stats(w.bulk)->indexed, 3);
	assert_int_equal(add_to(&w, "book*", "3", "{}"), -1);
	assert_int_equal(w.err.kind, ERR_INVALID);
	world_stop(&w);
}

static void add_via(struct world *w, const char *via, const char *id)
{
	struct bulk_action action = {.index = "books-g1",
				     .via = via,
				     .id = id,
				     .id_len = strlen(id),
				     .version = 7,
				     .document = "{}",
				     .document_len = 2};

	assert_int_equal(bulk_add(w->bulk, &action, &w->err), 0);
}

static int item_rejected(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(id);
	UNUSED(is_delete);
	return 400;
}

static void test_bulk_when_an_alias_is_given_then_requests_name_it_and_messages_the_index(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_rejected;
	add_via(&w, "books-g1-W1", "1");
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /books-g1-W1/_bulk?"));
	assert_string_equal(w.rejections[0].index, "books-g1");
	/* The alias of another request; and one that is not the path's. */
	add_via(&w, "books-g1-W2", "2");
	add_via(&w, "books-g1-W1", "3");
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /books-g1-W2/_bulk?"));
	assert_non_null(strstr(w.body, "{\"index\":{\"_index\":\"books-g1-W1\",\"_id\":\"3\""));
	assert_string_equal(w.rejections[2].index, "books-g1");
	world_stop(&w);
}

/* --- Push-back -------------------------------------------------------------------------------------------------------
 */
static int item_busy_once(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(is_delete);
	return request == 1 && (id[0] == '3' || id[0] == '4') ? 429 : 201;
}

static void test_bulk_when_some_items_are_pushed_back_then_only_they_go_again(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_busy_once;
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 10);
	assert_int_equal(w.requests, 2);
	assert_int_equal(bulk_stats(w.bulk)->retries, 2);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 10);
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

static void test_bulk_when_the_engine_is_away_for_a_while_then_all_is_written_later(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 5});
	w.whole = &(struct refusal){.status = 503, .until = 2};
	add_numbers(&w, 20);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 20);
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

/* Adds some, and expects that the first request is the last one: it may still be carried out. */
static void expect_lost(struct world *w, const char *words)
{
	add_numbers(w, 3);
	assert_int_equal(bulk_flush(w->bulk, &w->err), -1);
	assert_int_equal(w->err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w->err.reason), "SinkUnavailable");
	assert_non_null(strstr(w->err.msg, words));
	assert_int_equal(bulk_flush(w->bulk, &w->err), -1);
	assert_int_equal(requests_so_far(w), 1);
	assert_int_equal(map_size(w->seen), 0);
}

static void test_bulk_when_the_outcome_is_not_known_then_nothing_goes_again(void **state)
{
	static const struct refusal refusals[] = {
		{.status = 0}, {.status = 408}, {.status = 500}, {.status = 502}, {.status = 504}};
	static const char *const garbage[] = {
		"<html>maintenance</html>",
		"{\"took\":1,\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"sta"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
		w.whole = &refusals[i];
		expect_lost(&w, "outcome of a bulk request is unknown");
		world_stop(&w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
		w.garbage = garbage[i];
		w.garbage_until = 1;
		expect_lost(&w, "outcome of a bulk request is unknown");
		world_stop(&w);
	}
}

static void test_bulk_when_a_proxy_says_503_then_the_outcome_is_not_known(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	w.garbage = "<html>no server available</html>";
	w.garbage_until = 1;
	w.garbage_status = 503;
	expect_lost(&w, "503");
	world_stop(&w);
}

/* A kept-alive connection that breaks: libcurl would send the request again by itself. */
static void test_bulk_when_a_connection_in_use_breaks_then_nothing_goes_again(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	assert_int_equal(add_to(&w, "books", "first", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	w.whole = &(struct refusal){.status = 0, .until = 2};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_int_equal(requests_so_far(&w), 2);
	world_stop(&w);
}

static void test_bulk_when_no_server_listens_then_it_is_sent_again(void **state)
{
	static const char *const url = "http://127.0.0.1:1";
	struct http_target *target;
	struct search *search;
	struct bulk *bulk;
	struct bulk_action action = {
		.index = "books", .id = "1", .id_len = 1, .version = 7, .document = "{}", .document_len = 2};
	struct err err;

	UNUSED(state);
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &target, &err), 0);
	assert_int_equal(search_new(target, NULL, NULL, &search, &err), 0);
	bulk = bulk_new(search, &(struct bulk_options){.retry_ms = 300});
	assert_int_equal(bulk_add(bulk, &action, &err), 0);
	assert_int_equal(bulk_flush(bulk, &err), -1);
	assert_non_null(strstr(err.msg, "has accepted nothing for"));
	assert_true(bulk_stats(bulk)->requests > 1);
	bulk_free(bulk);
	search_free(search);
	http_target_free(target);
}

static void test_bulk_when_push_back_does_not_end_then_transient_after_the_time(void **state)
{
	struct world w;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	w.whole = &(struct refusal){.status = 429};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_non_null(strstr(w.err.msg, "es_rejected_execution_exception"));
	assert_in_range(clock_now_ms() - started_ms, 300, 5000);
	/* The writer has ended: nothing of the request may be written late. */
	w.whole = NULL;
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(add_to(&w, "books", "1", "{}"), -1);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_int_equal(map_size(w.seen), 0);
	world_stop(&w);
}

static void test_bulk_when_the_engine_asks_for_a_longer_pause_then_the_writer_ends_at_once(void **state)
{
	struct world w;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 20000});
	w.whole = &(struct refusal){.status = 429};
	w.engine.headers = "Retry-After: 600\r\n";
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_int_equal(w.err.retry_after_ms, 600000);
	assert_non_null(strstr(w.err.msg, "pause of 600 s"));
	assert_int_equal(w.requests, 1);
	assert_in_range(clock_now_ms() - started_ms, 0, 5000);
	world_stop(&w);
}

/* A body that took long to fill, as behind a slow query, has all of its time left. */
static void test_bulk_when_a_body_took_long_to_fill_then_its_time_begins_when_it_is_sent(void **state)
{
	struct world w;
	int64_t end_ms;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 1000});
	w.whole = &(struct refusal){.status = 429, .until = 1};
	assert_int_equal(add_to(&w, "books", "1", "{}"), 0);
	for (end_ms = clock_now_ms() + 1500; clock_now_ms() < end_ms;)
		(void)poll(NULL, 0, 50);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(count_of(&w, "1"), 1);
	world_stop(&w);
}

static void test_bulk_when_cancelled_while_waiting_then_cancelled(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.whole = &(struct refusal){.status = 429};
	w.cancelled = true;
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CANCELLED);
	world_stop(&w);
}

static void test_send_when_the_engine_has_nothing_to_do_then_it_gets_what_is_there(void **state)
{
	struct world w;
	int64_t end_ms = clock_now_ms() + 10000;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	add_numbers(&w, 3);
	assert_int_equal(bulk_stats(w.bulk)->requests, 0);
	assert_int_equal(bulk_send(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->requests, 1);
	add_numbers(&w, 2);
	while (bulk_stats(w.bulk)->done_below < 3 && clock_now_ms() < end_ms) {
		assert_int_equal(bulk_stats(w.bulk)->requests, 1);
		assert_int_equal(bulk_send(w.bulk, &w.err), 0);
	}
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->requests, 2);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 5);
	world_stop(&w);
}

static int item_first_waits(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(request);
	UNUSED(is_delete);
	return id[0] == '0' && map_size(w->seen) < 2 ? 503 : 200;
}

static void test_stats_when_an_early_action_waits_then_done_below_waits_too(void **state)
{
	struct world w;
	int64_t end_ms = clock_now_ms() + 10000;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 1});
	w.item = item_first_waits;
	add_numbers(&w, 3);
	while (bulk_stats(w.bulk)->indexed < 2 && clock_now_ms() < end_ms) {
		assert_int_equal(bulk_send(w.bulk, &w.err), 0);
		if (bulk_stats(w.bulk)->indexed < 3)
			assert_int_equal(bulk_stats(w.bulk)->done_below, 0);
	}
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 3);
	world_stop(&w);
}

/* --- Too large -------------------------------------------------------------------------------------------------------
 */
static void test_bulk_when_too_large_then_halved_until_it_fits_and_remembered(void **state)
{
	struct world w;
	unsigned refused;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_bytes = 64000, .concurrency = 1});
	w.whole = &(struct refusal){.status = 413, .above = 10000};
	add_numbers(&w, 1500);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 1500);
	refused = w.requests;
	w.largest = 0;
	add_numbers(&w, 1500);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_true(w.largest <= 10000);
	assert_true(w.requests > refused);
	assert_int_equal(w.n_rejections, 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 3000);
	world_stop(&w);
}

/* Of three documents the large one in the middle is rejected with that status, and the others are written. */
static void expect_only_the_large_one_rejected(struct world *w, int status)
{
	_cleanup_free_ char *large = xmalloc(5001);

	memset(large, ' ', 5000);
	large[0] = '{';
	large[4999] = '}';
	large[5000] = '\0';
	assert_int_equal(add_to(w, "books", "1", "{}"), 0);
	assert_int_equal(add_to(w, "books", "large", large), 0);
	assert_int_equal(add_to(w, "books", "2", "{}"), 0);
	assert_int_equal(bulk_flush(w->bulk, &w->err), 0);
	assert_int_equal(w->n_rejections, 1);
	assert_string_equal(w->rejections[0].id, "large");
	assert_int_equal(w->rejections[0].status, status);
	assert_int_equal(count_of(w, "1"), 1);
	assert_int_equal(count_of(w, "2"), 1);
	assert_int_equal(count_of(w, "large"), 0);
}

static void test_bulk_when_one_document_alone_is_too_large_then_rejected_and_the_rest_written(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_document = 20000});
	w.whole = &(struct refusal){.status = 413, .above = 2000};
	expect_only_the_large_one_rejected(&w, 413);
	world_stop(&w);
}

static void test_bulk_when_a_document_is_beyond_all_room_then_rejected_and_not_tried_for_ever(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 10000});
	w.whole = &(struct refusal){
		.status = 429,
		.above = 3000,
		.words = "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, "
			 "replica_bytes=0, all_bytes=0, coordinating_operation_bytes=5001, "
			 "max_coordinating_and_primary_bytes=3000]"};
	expect_only_the_large_one_rejected(&w, 429);
	world_stop(&w);
}

/* --- Rejection -------------------------------------------------------------------------------------------------------
 */
static void test_bulk_when_one_is_rejected_then_it_is_reported_and_the_rest_written(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "5", 400);
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 1);
	assert_string_equal(w.rejections[0].index, "books");
	assert_string_equal(w.rejections[0].id, "5");
	assert_string_equal(w.rejections[0].type, "mapper_parsing_exception");
	assert_string_equal(w.rejections[0].words, "mapper_parsing_exception");
	assert_string_equal(w.rejections[0].reason, "reason of 5");
	assert_int_equal(w.rejections[0].version, 7);
	assert_int_equal(w.rejections[0].status, 400);
	assert_false(w.rejections[0].is_delete);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 9);
	assert_int_equal(bulk_stats(w.bulk)->rejected, 1);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 10);
	world_stop(&w);
}

static void test_bulk_when_the_receiver_refuses_a_rejection_then_the_writer_stops(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "5", 400);
	w.stop_on_rejection = true;
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "Interrupted");
	assert_int_equal(bulk_send(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "Interrupted");
	assert_true(bulk_stats(w.bulk)->done_below < 10);
	world_stop(&w);
}

static void test_bulk_when_rejections_have_no_receiver_then_the_writer_stops(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){0});
	bulk_free(w.bulk);
	w.bulk = bulk_new(w.search, &(struct bulk_options){0});
	refuse_item(&w, "5", 400);
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "DocumentRejected");
	world_stop(&w);
}

static int item_rejects_books(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(is_delete);
	return strncmp(id, "letter", 6) ? 400 : 200;
}

static void test_bulk_when_every_document_is_rejected_then_the_writer_still_works(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_actions = 4});
	w.item = item_rejects_books;
	add_numbers(&w, 50);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 50);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 50);
	assert_int_equal(add_to(&w, "dead", "letter", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(count_of(&w, "letter"), 1);
	world_stop(&w);
}

static void test_add_when_the_engine_would_refuse_it_anyway_then_rejected_as_an_item(void **state)
{
	char long_id[514];
	struct world w;

	UNUSED(state);
	memset(long_id, 'x', sizeof(long_id));
	long_id[513] = '\0';
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_document = 1000});
	assert_int_equal(add_to(&w, "books", long_id, "{}"), 0);
	assert_int_equal(add_to(&w, "books", "", "{}"), 0);
	assert_int_equal(add_to(&w, "books", long_id + 1, "{}"), 0);
	assert_int_equal(bulk_add(w.bulk,
				  &(struct bulk_action){.index = "books",
							.id = "1",
							.id_len = 1,
							.version = 9,
							.document = long_id,
							.document_len = 1001},
				  &w.err),
			 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 3);
	assert_string_equal(w.rejections[0].type, "invalid_id");
	assert_int_equal(w.rejections[2].status, 413);
	assert_int_equal(count_of(&w, long_id + 1), 1);
	assert_int_equal(bulk_stats(w.bulk)->added, 4);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 4);
	world_stop(&w);
}

/* --- Errors of the whole ---------------------------------------------------------------------------------------------
 */
static void expect_error(int status, enum err_kind kind, const char *reason)
{
	struct world w;

	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.whole = &(struct refusal){.status = status};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, kind);
	assert_int_equal(w.err.code, status);
	if (reason)
		assert_string_equal(reason_name(w.err.reason), reason);
	assert_int_equal(w.requests, 1);
	world_stop(&w);
}

static void test_bulk_when_the_whole_is_refused_then_an_error_of_its_kind(void **state)
{
	UNUSED(state);
	expect_error(401, ERR_DENIED, "AuthFailed");
	expect_error(403, ERR_DENIED, "AuthFailed");
	expect_error(404, ERR_NOT_FOUND, "IndexMissing");
	expect_error(400, ERR_INVALID, NULL);
}

static void test_bulk_when_an_item_is_forbidden_then_an_error_and_no_rejection(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "1", 403);
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_DENIED);
	assert_string_equal(reason_name(w.err.reason), "AuthFailed");
	assert_int_equal(w.n_rejections, 0);
	world_stop(&w);
}

static void test_free_when_requests_are_under_way_then_nothing_leaks(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 10});
	add_numbers(&w, 45);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_when_all_succeed_then_each_is_written_once_in_bodies_of_the_size),
		cmocka_unit_test(test_bulk_when_max_actions_then_no_body_has_more),
		cmocka_unit_test(test_bulk_when_stale_or_gone_already_then_done),
		cmocka_unit_test(test_bulk_when_indices_differ_then_the_path_names_the_first_and_lines_the_others),
		cmocka_unit_test(test_bulk_when_an_alias_is_given_then_requests_name_it_and_messages_the_index),
		cmocka_unit_test(test_bulk_when_some_items_are_pushed_back_then_only_they_go_again),
		cmocka_unit_test(test_bulk_when_the_engine_is_away_for_a_while_then_all_is_written_later),
		cmocka_unit_test(test_bulk_when_the_outcome_is_not_known_then_nothing_goes_again),
		cmocka_unit_test(test_bulk_when_a_proxy_says_503_then_the_outcome_is_not_known),
		cmocka_unit_test(test_bulk_when_a_connection_in_use_breaks_then_nothing_goes_again),
		cmocka_unit_test(test_bulk_when_no_server_listens_then_it_is_sent_again),
		cmocka_unit_test(test_bulk_when_push_back_does_not_end_then_transient_after_the_time),
		cmocka_unit_test(test_bulk_when_the_engine_asks_for_a_longer_pause_then_the_writer_ends_at_once),
		cmocka_unit_test(test_bulk_when_a_body_took_long_to_fill_then_its_time_begins_when_it_is_sent),
		cmocka_unit_test(test_bulk_when_cancelled_while_waiting_then_cancelled),
		cmocka_unit_test(test_send_when_the_engine_has_nothing_to_do_then_it_gets_what_is_there),
		cmocka_unit_test(test_stats_when_an_early_action_waits_then_done_below_waits_too),
		cmocka_unit_test(test_bulk_when_too_large_then_halved_until_it_fits_and_remembered),
		cmocka_unit_test(test_bulk_when_one_document_alone_is_too_large_then_rejected_and_the_rest_written),
		cmocka_unit_test(test_bulk_when_a_document_is_beyond_all_room_then_rejected_and_not_tried_for_ever),
		cmocka_unit_test(test_bulk_when_one_is_rejected_then_it_is_reported_and_the_rest_written),
		cmocka_unit_test(test_bulk_when_the_receiver_refuses_a_rejection_then_the_writer_stops),
		cmocka_unit_test(test_bulk_when_rejections_have_no_receiver_then_the_writer_stops),
		cmocka_unit_test(test_bulk_when_every_document_is_rejected_then_the_writer_still_works),
		cmocka_unit_test(test_add_when_the_engine_would_refuse_it_anyway_then_rejected_as_an_item),
		cmocka_unit_test(test_bulk_when_the_whole_is_refused_then_an_error_of_its_kind),
		cmocka_unit_test(test_bulk_when_an_item_is_forbidden_then_an_error_and_no_rejection),
		cmocka_unit_test(test_free_when_requests_are_under_way_then_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
