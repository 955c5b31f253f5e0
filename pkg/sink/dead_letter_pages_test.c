/* Tests of reading dead letters, and of the fingerprints of indices. */
#include "sink/dead_letter_pages.h"
#include "sink/index_fingerprint.h"
#include "sink/requests.h"
#include "sink/routes_test.h"

/* --- decisions --- */

static void test_pause_then_it_doubles_up_to_a_cap(void **state)
{
	static const struct {
		unsigned passes;
		int64_t ms;
	} cases[] = {{0, 0}, {1, 5000}, {2, 10000}, {3, 20000}, {7, 320000}, {8, 600000}, {UINT32_MAX, 600000}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(dead_letters_pause_ms(cases[i].passes), cases[i].ms);
}

static void test_may_pass_when_the_index_takes_something_else_then_true(void **state)
{
	UNUSED(state);
	assert_false(dead_letter_may_pass(&(struct dead_letter){.fingerprint = "a"}, "a"));
	assert_true(dead_letter_may_pass(&(struct dead_letter){.fingerprint = "a"}, "b"));
	/* An earlier release wrote it. */
	assert_true(dead_letter_may_pass(&(struct dead_letter){.fingerprint = ""}, "b"));
}

/* --- fingerprints --- */

static const char *hash(const char *mapping, const char *settings, const char *pipelines)
{
	static char hashes[16][JSONX_HASH_BYTES];
	static unsigned next;
	_cleanup_json_ json_t *m = json_loads(mapping, 0, NULL);
	_cleanup_json_ json_t *s = json_loads(settings, 0, NULL);
	_cleanup_json_ json_t *p = json_loads(pipelines, 0, NULL);

	return index_fingerprint_hash(m, s, p, hashes[next++ % ARRAY_SIZE(hashes)]);
}

static void test_intake_then_what_decides_about_documents_counts_and_nothing_else(void **state)
{
	static const struct {
		const char *mapping, *settings, *pipelines;
		bool same;
	} cases[] = {
		{"{\"properties\":{\"a\":{\"type\":\"long\"}}}", "{\"mapping\":{\"coerce\":\"false\"}}", "{}", true},
		{"{\"properties\":{\"a\":{\"type\":\"text\"}}}", "{\"mapping\":{\"coerce\":\"false\"}}", "{}", false},
		{"{\"properties\":{\"a\":{\"type\":\"long\"}}}", "{\"mapping\":{\"coerce\":\"true\"}}", "{}", false},
		{"{\"properties\":{\"a\":{\"type\":\"long\"}}}", "{\"mapping\":{\"coerce\":\"false\"}}",
		 "{\"p\":{\"p\":{\"processors\":[]}}}", false},
		/* An owner, a bootstrap's settings, a node that went away, an index that was closed. */
		{"{\"_meta\":{\"pgsync\":{}},\"properties\":{\"a\":{\"type\":\"long\"}}}",
		 "{\"mapping\":{\"coerce\":\"false\"},\"refresh_interval\":\"-1\",\"number_of_replicas\":\"0\","
		 "\"routing\":{},\"verified_before_close\":\"true\"}",
		 "{}", true},
	};
	const char *first = hash(cases[0].mapping, cases[0].settings, cases[0].pipelines);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(!strcmp(first, hash(cases[i].mapping, cases[i].settings, cases[i].pipelines)),
				 cases[i].same);
}

static void test_intake_add_called_then_every_pipeline_is_found_once(void **state)
{
	_cleanup_json_ json_t *names = json_array();
	_cleanup_json_ json_t *pipeline = json_loads(
		"{\"p\":{\"processors\":[{\"set\":{\"field\":\"x\"}},{\"pipeline\":{\"name\":\"b\"}},{\"foreach\":{"
		"\"processor\":{\"pipeline\":{\"name\":\"c\"}}}}],\"on_failure\":[{\"pipeline\":{\"name\":\"b\"}}]}}",
		0, NULL);
	_cleanup_free_ char *found = NULL;

	UNUSED(state);
	index_fingerprint_add_called(pipeline, names);
	found = json_dumps(names, JSON_COMPACT);
	assert_string_equal(found, "[\"b\",\"c\"]");
}

static void test_intake_read_then_pipelines_of_pipelines_and_a_denied_one_is_none(void **state)
{
	static const struct route before[] = {
		{"GET /books-g1/_mapping", 200, "{\"books-g1\":{\"mappings\":{}}}", 0},
		{"GET /books-g1/_settings", 200, "{\"books-g1\":{\"settings\":{\"index\":{\"final_pipeline\":\"f\"}}}}",
		 0},
		{"GET /_ingest/pipeline/p", 200, "{\"p\":{\"processors\":[{\"pipeline\":{\"name\":\"q\"}}]}}", 0},
		{"GET /_ingest/pipeline/q", 404, "{}", 1},
		{"GET /_ingest/pipeline/q", 200, "{\"q\":{}}", 0},
		{"GET /_ingest/pipeline/f", 403, DENIED, 0},
		{0}};
	char hashes[3][JSONX_HASH_BYTES];
	struct routes r;

	UNUSED(state);
	routes_begin(&r, before);
	for (size_t i = 0; i < 3; i++)
		ROUTES_OK(&r, index_fingerprint_read(&r.sink, "books-g1", "p", hashes[i], &r.err));
	assert_string_not_equal(hashes[0], hashes[1]);
	assert_string_equal(hashes[1], hashes[2]);
	routes_end(&r);
}

/* --- reading --- */

#define HIT(id, source) "{\"_id\":\"" id "\",\"_seq_no\":4,\"_primary_term\":1,\"_source\":" source "}"
#define PAGE_OF(hits) "{\"_scroll_id\":\"s\",\"hits\":{\"hits\":[" hits "]}}"

static void test_dead_letter_pages_then_page_by_page_and_those_of_earlier_releases_too(void **state)
{
	static const struct route routes[] = {
		{"POST /books-dead-letters/_search", 200,
		 PAGE_OF(HIT("7", "{\"reason\":\"x\"}") "," HIT("sha256:1", "{\"attempts\":3,\"intake\":\"i\",\"key\":["
									    "\"a|b\",\"c\"]}")),
		 0},
		{"POST /_search/scroll", 200, PAGE_OF(""), 0},
		{0}};
	struct dead_letter_pages l;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, dead_letter_pages_begin(&l, r.sink.search, "books", &r.err));
	assert_int_equal(l.n, 2);
	assert_string_equal(l.items[0].id, "7");
	assert_string_equal(l.items[0].fingerprint, "");
	assert_int_equal(l.items[0].attempts, 1);
	assert_null(l.items[0].key);
	assert_int_equal(l.items[1].attempts, 3);
	assert_string_equal(l.items[1].fingerprint, "i");
	assert_int_equal(l.items[1].key_len, 6);
	assert_memory_equal(l.items[1].key, "a|b\0c", 6);
	assert_int_equal(l.items[1].version.seq_no, 4);
	ROUTES_OK(&r, dead_letter_pages_next(&l, &r.err));
	assert_int_equal(l.n, 0);
	dead_letter_pages_end(&l);
	routes_expect_changes(&r, "POST /books-dead-letters/_refresh; POST /books-dead-letters/_search; "
				  "POST /_search/scroll; DELETE /_search/scroll");
	routes_end(&r);
}

static void test_dead_letter_pages_when_there_is_no_index_then_none(void **state)
{
	static const struct route routes[] = {{"POST /books-dead-letters/", 404, MISSING, 0}, {0}};
	struct dead_letter_pages l;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, dead_letter_pages_begin(&l, r.sink.search, "books", &r.err));
	assert_int_equal(l.n, 0);
	ROUTES_OK(&r, dead_letter_pages_next(&l, &r.err));
	dead_letter_pages_end(&l);
	routes_end(&r);
}

static void test_dead_letter_pages_discard_when_another_one_took_its_place_then_conflict(void **state)
{
	static const struct route routes[] = {
		{"GET /books-dead-letters/_doc/7", 200,
		 "{\"_seq_no\":4,\"_primary_term\":1,\"_source\":{\"id\":\"7\"}}", 0},
		{"DELETE /books-dead-letters/_doc/7?if_seq_no=4&if_primary_term=1", 409,
		 "{\"error\":{\"type\":\"version_conflict_engine_exception\"},\"status\":409}", 1},
		{"DELETE /books-dead-letters/_doc/7?if_seq_no=4&if_primary_term=1", 404, "{\"result\":\"not_found\"}",
		 0},
		{0}};
	struct dead_letter_pages l;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, dead_letter_pages_get(&l, r.sink.search, "books", "7", &r.err));
	assert_int_equal(l.n, 1);
	assert_int_equal(dead_letter_discard(r.sink.search, "books", &l.items[0], &r.err), -1);
	assert_int_equal(r.err.kind, ERR_CONFLICT);
	dead_letter_pages_end(&l);
	routes_end(&r);
}

/* --- requests --- */

static json_t *document(const char *text)
{
	return json_loads(text, 0, NULL);
}

static void test_requests_then_an_index_or_single_letters_are_asked_for(void **state)
{
	struct requests r = {.document = document("{\"all\":[\"a.b\"],\"retry\":{\"c\":[\"7\"],\"d\":[]},"
						  "\"handled\":\"n\"}")};
	struct requests none = {0};

	UNUSED(state);
	assert_true(requests_name(&r, "a.b"));
	assert_true(requests_have(&r, "a.b", "anything"));
	assert_true(requests_name(&r, "c"));
	assert_true(requests_have(&r, "c", "7"));
	assert_false(requests_have(&r, "c", "8"));
	assert_false(requests_name(&r, "d"));
	assert_string_equal(requests_handled(&r), "n");
	assert_false(requests_name(&none, "c"));
	assert_string_equal(requests_handled(&none), "");
	requests_release(&r);
}

static void test_requests_rest_then_what_came_meanwhile(void **state)
{
	static const struct {
		const char *now, *done, *rest;
	} cases[] = {
		{"{\"all\":[\"a\"],\"retry\":{\"c\":[\"7\"]}}", "{\"all\":[\"a\"],\"retry\":{\"c\":[\"7\"]}}", "{}"},
		{"{\"all\":[\"a\",\"b\"]}", "{\"all\":[\"a\"]}", "{\"all\":[\"b\"]}"},
		{"{\"retry\":{\"c\":[\"7\",\"8\"]},\"handled\":\"n\"}", "{\"retry\":{\"c\":[\"7\"]}}",
		 "{\"retry\":{\"c\":[\"8\"]},\"handled\":\"n\"}"},
		{"{}", "{}", "{}"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *now = document(cases[i].now);
		_cleanup_json_ json_t *done = document(cases[i].done);
		_cleanup_json_ json_t *rest = requests_rest(now, done);
		_cleanup_json_ json_t *expected = document(cases[i].rest);

		assert_true(json_equal(rest, expected));
	}
}

#define CONFLICT "{\"error\":{\"type\":\"version_conflict_engine_exception\"},\"status\":409}"
#define STORED(source) "{\"_seq_no\":4,\"_primary_term\":1,\"_source\":" source "}"

static void test_requests_when_two_are_made_at_once_then_neither_is_lost(void **state)
{
	static const struct route routes[] = {
		{"GET /pgsync-checkpoints/_doc/shop%2Fbooks%2Fs%2Fdead-letters", 404, "{\"found\":false}", 1},
		{"PUT /pgsync-checkpoints/_doc/shop%2Fbooks%2Fs%2Fdead-letters?op_type=create", 409, CONFLICT, 1},
		{"GET /pgsync-checkpoints/_doc/", 200, STORED("{\"retry\":{\"books\":[\"8\"]}}"), 0},
		{"PUT /pgsync-checkpoints/_doc/", 200, FAKE_CONFIRMED, 0},
		{0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, requests_add(r.sink.search, "shop/books/s", "books", "7", &r.err));
	assert_true(routes_sent(&r, "{\"retry\":{\"books\":[\"8\",\"7\"]}}"));
	routes_end(&r);
}

static void test_requests_settle_when_one_came_meanwhile_then_it_stays(void **state)
{
	static const struct route routes[] = {
		{"GET /pgsync-checkpoints/_doc/", 200, STORED("{\"all\":[\"books\"]}"), 1},
		{"PUT /pgsync-checkpoints/_doc/", 409, CONFLICT, 1},
		{"GET /pgsync-checkpoints/_doc/", 200, STORED("{\"all\":[\"books\"],\"retry\":{\"books\":[\"9\"]}}"),
		 0},
		{"PUT /pgsync-checkpoints/_doc/", 200, FAKE_CONFIRMED, 0},
		{0}};
	struct requests requests;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, requests_load(r.sink.search, "shop/books/s", &requests, &r.err));
	ROUTES_OK(&r, requests_settle(r.sink.search, "shop/books/s", &requests, "n", &r.err));
	assert_true(routes_sent(&r, "{\"retry\":{\"books\":[\"9\"]},\"handled\":\"n\"}"));
	requests_release(&requests);
	routes_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_then_it_doubles_up_to_a_cap),
		cmocka_unit_test(test_may_pass_when_the_index_takes_something_else_then_true),
		cmocka_unit_test(test_intake_then_what_decides_about_documents_counts_and_nothing_else),
		cmocka_unit_test(test_intake_add_called_then_every_pipeline_is_found_once),
		cmocka_unit_test(test_intake_read_then_pipelines_of_pipelines_and_a_denied_one_is_none),
		cmocka_unit_test(test_dead_letter_pages_then_page_by_page_and_those_of_earlier_releases_too),
		cmocka_unit_test(test_dead_letter_pages_when_there_is_no_index_then_none),
		cmocka_unit_test(test_dead_letter_pages_discard_when_another_one_took_its_place_then_conflict),
		cmocka_unit_test(test_requests_then_an_index_or_single_letters_are_asked_for),
		cmocka_unit_test(test_requests_rest_then_what_came_meanwhile),
		cmocka_unit_test(test_requests_when_two_are_made_at_once_then_neither_is_lost),
		cmocka_unit_test(test_requests_settle_when_one_came_meanwhile_then_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
