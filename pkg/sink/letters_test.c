/* Tests of reading dead letters, and of what their documents are tried against. */
#include "sink/intake.h"
#include "sink/letters.h"
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
		assert_int_equal(letters_pause_ms(cases[i].passes), cases[i].ms);
}

static void test_may_pass_when_the_index_takes_something_else_then_true(void **state)
{
	UNUSED(state);
	assert_false(letter_may_pass(&(struct letter){.intake = "a"}, "a"));
	assert_true(letter_may_pass(&(struct letter){.intake = "a"}, "b"));
	/* An earlier release wrote it. */
	assert_true(letter_may_pass(&(struct letter){.intake = ""}, "b"));
}

/* --- fingerprints --- */

static const char *hash(const char *mapping, const char *settings, const char *pipelines)
{
	static char hashes[16][JSONX_HASH_BYTES];
	static unsigned next;
	_cleanup_json_ json_t *m = json_loads(mapping, 0, NULL);
	_cleanup_json_ json_t *s = json_loads(settings, 0, NULL);
	_cleanup_json_ json_t *p = json_loads(pipelines, 0, NULL);

	return intake_hash(m, s, p, hashes[next++ % ARRAY_SIZE(hashes)]);
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
	intake_add_called(pipeline, names);
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
		ROUTES_OK(&r, intake_read(&r.sink, "books-g1", "p", hashes[i], &r.err));
	assert_string_not_equal(hashes[0], hashes[1]);
	assert_string_equal(hashes[1], hashes[2]);
	routes_end(&r);
}

/* --- reading --- */

#define HIT(id, source) "{\"_id\":\"" id "\",\"_seq_no\":4,\"_primary_term\":1,\"_source\":" source "}"
#define PAGE_OF(hits) "{\"_scroll_id\":\"s\",\"hits\":{\"hits\":[" hits "]}}"

static void test_letters_then_page_by_page_and_those_of_earlier_releases_too(void **state)
{
	static const struct route routes[] = {
		{"POST /books-dead-letters/_search", 200,
		 PAGE_OF(HIT("7", "{\"reason\":\"x\"}") "," HIT("sha256:1", "{\"attempts\":3,\"intake\":\"i\",\"key\":["
									    "\"a|b\",\"c\"]}")),
		 0},
		{"POST /_search/scroll", 200, PAGE_OF(""), 0},
		{0}};
	struct letters l;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, letters_begin(&l, r.sink.search, "books", &r.err));
	assert_int_equal(l.n, 2);
	assert_string_equal(l.items[0].id, "7");
	assert_string_equal(l.items[0].intake, "");
	assert_int_equal(l.items[0].attempts, 1);
	assert_null(l.items[0].key);
	assert_int_equal(l.items[1].attempts, 3);
	assert_string_equal(l.items[1].intake, "i");
	assert_int_equal(l.items[1].key_len, 6);
	assert_memory_equal(l.items[1].key, "a|b\0c", 6);
	assert_int_equal(l.items[1].seq_no, 4);
	ROUTES_OK(&r, letters_next(&l, &r.err));
	assert_int_equal(l.n, 0);
	letters_end(&l);
	routes_expect_changes(&r, "POST /books-dead-letters/_refresh; POST /books-dead-letters/_search; "
				  "POST /_search/scroll; DELETE /_search/scroll");
	routes_end(&r);
}

static void test_letters_when_there_is_no_index_then_none(void **state)
{
	static const struct route routes[] = {{"POST /books-dead-letters/", 404, MISSING, 0}, {0}};
	struct letters l;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, letters_begin(&l, r.sink.search, "books", &r.err));
	assert_int_equal(l.n, 0);
	ROUTES_OK(&r, letters_next(&l, &r.err));
	letters_end(&l);
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
		cmocka_unit_test(test_letters_then_page_by_page_and_those_of_earlier_releases_too),
		cmocka_unit_test(test_letters_when_there_is_no_index_then_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
