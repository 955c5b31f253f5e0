/* Tests of dead letters and purges against a search engine: what is written, and when nothing may be acknowledged. */
#include "conditions/report.h"
#include "sink/dead_letters.h"
#include "sink/purge.h"
#include "sink/routes_test.h"

#define ONE_OK "{\"took\":1,\"errors\":false,\"items\":[{\"index\":{\"result\":\"created\",\"status\":201}}]}"
#define ONE_REJECTED                                                                                              \
	"{\"took\":1,\"errors\":true,\"items\":[{\"index\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_" \
	"exception\",\"reason\":\"no number\"}}}]}"

struct writer {
	struct routes r;
	struct report report;
	struct dead_letters dead;
	struct search *search;
	struct bulk *bulk;
};

static void begin(struct writer *w, const struct route *routes)
{
	routes_begin(&w->r, routes);
	report_init(&w->report);
	dead_letters_init(&w->dead, &w->r.sink, &w->report);
	assert_int_equal(search_new(w->r.target, NULL, NULL, &w->search, &w->r.err), 0);
	w->bulk = dead_letters_writer(&w->dead, w->search);
}

static void end(struct writer *w)
{
	bulk_free(w->bulk);
	search_free(w->search);
	dead_letters_release(&w->dead);
	report_release(&w->report);
	routes_end(&w->r);
}

static int write_one(struct writer *w)
{
	const struct bulk_action action = {.index = "books-g1",
					   .id = "7",
					   .id_len = 1,
					   .version = 5,
					   .document = "{}",
					   .document_len = 2,
					   .note = "[\"k\"]"};

	return bulk_add(w->bulk, &action, &w->r.err) < 0 ? -1 : bulk_flush(w->bulk, &w->r.err);
}

/* --- dead letters --- */

static void test_dead_letters_when_a_document_is_rejected_then_it_is_stored_and_counted(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_bulk", 200, ONE_REJECTED, 0},
					      {"GET /books-dead-letters/_mapping", 404, MISSING, 0},
					      {"POST /books-dead-letters-W1/_bulk", 200, ONE_OK, 0},
					      {"GET /books-dead-letters/_count", 200, "{\"count\":1}", 0},
					      {"GET /_cat/", 200, "[]", 0},
					      {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, write_one(&w));
	assert_int_equal(w.dead.n, 1);
	ROUTES_OK(&w.r, dead_letters_flush(&w.dead, w.bulk, &w.r.err));
	assert_int_equal(w.dead.n, 0);
	assert_true(routes_sent(&w.r, "\"reason\":\"no number\""));
	assert_true(routes_sent(&w.r, "\"operation\":\"index\""));
	assert_true(routes_sent(&w.r, "\"key\":[\"k\"]"));
	/* It has the version of its document, so that an older one does not replace it. */
	assert_true(routes_sent(&w.r, "\"version\":5"));
	assert_int_equal(report_dead_letters(&w.report, "books"), 1);
	assert_int_equal(report_status(&w.report, CONDITION_DEGRADED), STATUS_TRUE);
	end(&w);
}

static void test_dead_letters_when_nothing_was_rejected_then_no_request(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_bulk", 200, ONE_OK, 0}, {0}};
	unsigned before;
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, write_one(&w));
	before = w.r.engine.n_requests;
	ROUTES_OK(&w.r, dead_letters_flush(&w.dead, w.bulk, &w.r.err));
	assert_int_equal(w.r.engine.n_requests, before);
	end(&w);
}

static void name_row(const void *user, const char *concrete, const char *id, struct strbuf *to)
{
	strbuf_addf(to, "%s of %s, id %s", (const char *)user, concrete, id);
}

static void test_dead_letters_when_stalling_then_a_rejected_document_is_an_error(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_bulk", 200, ONE_REJECTED, 0}, {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	w.r.sink.stall_on_error = true;
	w.dead.name_row = name_row;
	w.dead.user = "public.books";
	assert_int_equal(write_one(&w), -1);
	assert_string_equal(reason_name(w.r.err.reason), "DocumentRejected");
	assert_non_null(
		strstr(w.r.err.msg, "index \"books\" rejected document \"7\" (public.books of books-g1, id 7)"));
	assert_int_equal(w.dead.n, 0);
	end(&w);
}

static void test_dead_letters_when_they_are_rejected_too_then_an_error_that_says_what_to_delete(void **state)
{
	static const struct route routes[] = {{"GET /books-dead-letters/_mapping", 404, MISSING, 0},
					      {"POST /_aliases", 200, FAKE_CONFIRMED, 0},
					      {"POST /", 200, ONE_REJECTED, 0},
					      {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, write_one(&w));
	assert_int_equal(dead_letters_flush(&w.dead, w.bulk, &w.r.err), -1);
	assert_string_equal(reason_name(w.r.err.reason), "DeadLetterRejected");
	assert_non_null(strstr(w.r.err.msg, "\"books-dead-letters\" rejects dead letters: delete it"));
	end(&w);
}

static void test_dead_letters_when_their_index_cannot_be_created_then_an_error(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_bulk", 200, ONE_REJECTED, 0},
					      {"GET /books-dead-letters/_mapping", 404, MISSING, 0},
					      {"PUT /books-dead-letters", 403, DENIED, 0},
					      {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, write_one(&w));
	assert_int_equal(dead_letters_flush(&w.dead, w.bulk, &w.r.err), -1);
	assert_int_equal(w.r.err.kind, ERR_DENIED);
	end(&w);
}

#define RELEASED "{\"books-dead-letters\":{\"mappings\":{\"_meta\":{\"pgsync\":{\"formerOwner\":\"other/books\"}}}}}"

/* refused: words of the message; NULL: it is not refused. */
static const struct owner_case {
	const char *what;
	struct route routes[3];
	const char *begun, *deleted, *refused;
} owner_cases[] = {
	{"ours",
	 {{"GET /books-dead-letters/_mapping", 200, OWNED_BY("books-dead-letters", "shop/books"), 0}},
	 "DELETE /books-dead-letters",
	 "DELETE /books-dead-letters",
	 NULL},
	{"released", {{"GET /books-dead-letters/_mapping", 200, RELEASED, 0}}, "DELETE /books-dead-letters", "", NULL},
	{"without a mark", {{"GET /books-dead-letters/_mapping", 200, "{}", 0}}, "", "", "was not created by pgsync"},
	{"an alias of an index of ours",
	 {{"GET /books-dead-letters/_mapping", 200, OWNED_BY("books-g1", "shop/books"), 0}},
	 "",
	 "",
	 "was not created by pgsync"},
	{"of another resource",
	 {{"GET /books-dead-letters/_mapping", 200, OWNED_BY("books-dead-letters", "other/books"), 0}},
	 "",
	 "",
	 "belongs to PgSync other/books"},
	{"none", {{"GET /books-dead-letters/_mapping", 404, MISSING, 0}}, "", "", NULL},
	{"not for this login", {{"GET /books-dead-letters/_mapping", 403, DENIED, 0}}, "", "", NULL},
};

static void expect_judged(const struct owner_case *c, const struct routes *r, int result)
{
	if (!c->refused && result < 0)
		fail_msg("%s: %s", c->what, r->err.msg);
	if (c->refused && (result == 0 || r->err.reason != REASON_INDEX_IN_USE || !strstr(r->err.msg, c->refused)))
		fail_msg("%s: it was not refused: %s", c->what, r->err.msg);
}

static void test_dead_letters_begin_then_what_is_ours_goes_and_the_rest_is_refused(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(owner_cases); i++) {
		const struct owner_case *c = &owner_cases[i];
		struct routes r;

		routes_begin(&r, c->routes);
		expect_judged(c, &r, dead_letters_check_owner(&r.sink, "books", &r.err));
		routes_expect_changes(&r, "");
		expect_judged(c, &r, dead_letters_begin(&r.sink, "books", &r.err));
		routes_expect_changes(&r, c->begun);
		routes_end(&r);
	}
}

static void test_dead_letters_delete_then_only_what_is_ours_goes(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(owner_cases); i++) {
		struct routes r;

		routes_begin(&r, owner_cases[i].routes);
		ROUTES_OK(&r, dead_letters_delete(&r.sink, "books", &r.err));
		routes_expect_changes(&r, owner_cases[i].deleted);
		routes_end(&r);
	}
}

static void test_dead_letters_when_their_index_is_foreign_then_nothing_is_written_there(void **state)
{
	static const struct route routes[] = {
		{"POST /books-g1/_bulk", 200, ONE_REJECTED, 0},
		{"GET /books-dead-letters/_mapping", 200, OWNED_BY("books-dead-letters", "other/books"), 0},
		{0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, write_one(&w));
	assert_int_equal(dead_letters_flush(&w.dead, w.bulk, &w.r.err), -1);
	assert_string_equal(reason_name(w.r.err.reason), "IndexInUse");
	assert_false(routes_sent(&w.r, "_aliases"));
	end(&w);
}

static void test_dead_letters_count_when_there_is_no_index_then_zero(void **state)
{
	static const struct route routes[] = {{"GET /books-dead-letters/_count", 404, MISSING, 0}, {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	report_dead_letters_set(&w.report, "books", 3, report_dead_letters_revision(&w.report, "books"));
	ROUTES_OK(&w.r, dead_letters_count(&w.r.sink, &w.report, "books", &w.r.err));
	assert_int_equal(report_dead_letters(&w.report, "books"), 0);
	end(&w);
}

static void test_dead_letters_count_when_the_answer_is_an_error_then_the_number_stays(void **state)
{
	static const struct route routes[] = {
		{"GET /books-dead-letters/_count", 400, "{\"error\":{},\"status\":400}", 0}, {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	report_dead_letters_set(&w.report, "books", 3, report_dead_letters_revision(&w.report, "books"));
	assert_int_equal(dead_letters_count(&w.r.sink, &w.report, "books", &w.r.err), -1);
	assert_int_equal(report_dead_letters(&w.report, "books"), 3);
	end(&w);
}

/* --- purging --- */

#define NO_HITS "{\"_scroll_id\":\"s\",\"_shards\":{\"failed\":0},\"hits\":{\"hits\":[]}}"

static void test_purge_then_what_is_older_is_deleted_with_a_version_below_what_was_just_written(void **state)
{
	static const struct route routes[] = {
		{"POST /books-g1/_search", 200,
		 "{\"_scroll_id\":\"s\",\"_shards\":{\"failed\":0},\"hits\":{\"hits\":[{\"_id\":\"old\",\"_version\":9,"
		 "\"_routing\":\"r\"},{\"_id\":\"new\",\"_version\":10}]}}",
		 0},
		{"POST /_search/scroll", 200,
		 "{\"_scroll_id\":\"s\",\"_shards\":{\"failed\":0},\"hits\":{\"hits\":[{\"_id\":\"older\",\"_version\":"
		 "1}]}}",
		 1},
		{"POST /_search/scroll", 200, NO_HITS, 0},
		{"POST /books-g1-W1/_bulk", 200,
		 "{\"took\":1,\"errors\":false,\"items\":[{\"delete\":{\"result\":\"deleted\",\"status\":200}},{"
		 "\"delete\":{\"result\":\"deleted\",\"status\":200}}]"
		 "}",
		 0},
		{0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	ROUTES_OK(&w.r, purge_older(&w.r.sink, "books-g1", 10, w.bulk, &w.r.err));
	ROUTES_OK(&w.r, bulk_flush(w.bulk, &w.r.err));
	routes_expect_changes(&w.r, "POST /books-g1/_refresh; POST /books-g1/_search; POST /_search/scroll; "
				    "POST /_search/scroll; DELETE /_search/scroll; "
				    "POST /books-g1-W1/_bulk");
	assert_true(routes_sent(&w.r, "\"_id\":\"old\""));
	assert_true(routes_sent(&w.r, "\"_id\":\"older\""));
	assert_true(routes_sent(&w.r, "\"routing\":\"r\""));
	assert_false(routes_sent(&w.r, "\"_id\":\"new\""));
	assert_true(routes_sent(&w.r, "\"version\":9"));
	assert_false(routes_sent(&w.r, "\"version\":10"));
	end(&w);
}

/* Documents of rows that are gone would stay. */
static void test_purge_when_the_answer_is_not_a_page_then_an_error(void **state)
{
	static const char *const pages[] = {
		"{}",
		"[]",
		"{\"_scroll_id\":\"s\",\"hits\":{}}",
		"{\"_scroll_id\":\"s\",\"hits\":{\"hits\":{}}}",
		"{\"_scroll_id\":\"\",\"hits\":{\"hits\":[]}}",
		"{\"hits\":{\"hits\":[]}}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		const struct route routes[] = {{"POST /books-g1/_search", 200, pages[i], 0}, {0}};
		struct writer w;

		begin(&w, routes);
		assert_int_equal(purge_older(&w.r.sink, "books-g1", 10, w.bulk, &w.r.err), -1);
		assert_int_equal(w.r.err.kind, ERR_TRANSIENT);
		assert_non_null(strstr(w.r.err.msg, "is not a page of hits"));
		end(&w);
	}
}

static void test_purge_when_a_shard_does_not_answer_then_nothing_is_deleted(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_search", 200,
					       "{\"_scroll_id\":\"s\",\"_shards\":{\"failed\":1},\"hits\":{\"hits\":[{"
					       "\"_id\":\"old\",\"_version\":9}]}}",
					       0},
					      {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	assert_int_equal(purge_older(&w.r.sink, "books-g1", 10, w.bulk, &w.r.err), -1);
	assert_int_equal(w.r.err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(w.r.err.msg, "not every shard answered"));
	ROUTES_OK(&w.r, bulk_flush(w.bulk, &w.r.err));
	routes_expect_changes(&w.r, "POST /books-g1/_refresh; POST /books-g1/_search; DELETE /_search/scroll");
	end(&w);
}

static void test_purge_when_the_index_is_gone_then_an_error(void **state)
{
	static const struct route routes[] = {{"POST /books-g1/_refresh", 404, MISSING, 0}, {0}};
	struct writer w;

	UNUSED(state);
	begin(&w, routes);
	assert_int_equal(purge_older(&w.r.sink, "books-g1", 10, w.bulk, &w.r.err), -1);
	assert_int_equal(w.r.err.kind, ERR_NOT_FOUND);
	routes_expect_changes(&w.r, "POST /books-g1/_refresh");
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_letters_when_a_document_is_rejected_then_it_is_stored_and_counted),
		cmocka_unit_test(test_dead_letters_when_nothing_was_rejected_then_no_request),
		cmocka_unit_test(test_dead_letters_when_stalling_then_a_rejected_document_is_an_error),
		cmocka_unit_test(test_dead_letters_when_they_are_rejected_too_then_an_error_that_says_what_to_delete),
		cmocka_unit_test(test_dead_letters_when_their_index_cannot_be_created_then_an_error),
		cmocka_unit_test(test_dead_letters_begin_then_what_is_ours_goes_and_the_rest_is_refused),
		cmocka_unit_test(test_dead_letters_delete_then_only_what_is_ours_goes),
		cmocka_unit_test(test_dead_letters_when_their_index_is_foreign_then_nothing_is_written_there),
		cmocka_unit_test(test_dead_letters_count_when_there_is_no_index_then_zero),
		cmocka_unit_test(test_dead_letters_count_when_the_answer_is_an_error_then_the_number_stays),
		cmocka_unit_test(test_purge_then_what_is_older_is_deleted_with_a_version_below_what_was_just_written),
		cmocka_unit_test(test_purge_when_the_answer_is_not_a_page_then_an_error),
		cmocka_unit_test(test_purge_when_a_shard_does_not_answer_then_nothing_is_deleted),
		cmocka_unit_test(test_purge_when_the_index_is_gone_then_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
