/* Tests of generations against a search engine: who may take which index, and what is requested in which order. */
#include "sink/generations.h"
#include "sink/routes_test.h"

/* --- creating --- */

static void test_generation_create_when_the_number_is_free_then_an_index_for_filling_that_names_its_owner(void **state)
{
	static const struct route routes[] = {{0}};
	_cleanup_json_ json_t *body = json_pack("{s:{s:{s:i}}}", "settings", "index", "number_of_shards", 3);
	int64_t generation = 0;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_create(&r.sink, "books", body, 2, &generation, &r.err));
	assert_int_equal(generation, 3);
	routes_expect_changes(&r, "PUT /books-g3");
	assert_true(routes_sent(&r, "\"number_of_shards\":3"));
	assert_true(routes_sent(&r, "\"refresh_interval\":\"-1\""));
	assert_true(routes_sent(&r, "\"number_of_replicas\":0"));
	assert_true(routes_sent(&r, "\"owner\":\"shop/books\""));
	/* The caller's body stays as it is: those are the settings to go live with. */
	assert_null(jsonx_get(body, "settings.index.refresh_interval"));
	routes_end(&r);
}

static void test_generation_create_when_a_leftover_of_ours_exists_then_it_is_replaced(void **state)
{
	static const struct route routes[] = {{"PUT /books-g1", 400, EXISTS, 1},
					      {"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "shop/books"), 0},
					      {0}};
	_cleanup_json_ json_t *body = json_object();
	int64_t generation = 0;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_create(&r.sink, "books", body, 0, &generation, &r.err));
	assert_int_equal(generation, 1);
	routes_expect_changes(&r, "PUT /books-g1; DELETE /books-g1; PUT /books-g1");
	routes_end(&r);
}

static void test_generation_create_when_another_resource_has_the_number_then_the_next_one(void **state)
{
	static const struct route routes[] = {{"PUT /books-g1", 400, EXISTS, 0},
					      {"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "other/books"), 0},
					      {0}};
	_cleanup_json_ json_t *body = json_object();
	int64_t generation = 0;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_create(&r.sink, "books", body, 0, &generation, &r.err));
	assert_int_equal(generation, 2);
	routes_expect_changes(&r, "PUT /books-g1; PUT /books-g2");
	routes_end(&r);
}

static void test_generation_create_when_the_mapping_is_rejected_then_the_engines_reason(void **state)
{
	static const struct route routes[] = {
		{"PUT /books-g1", 400,
		 "{\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":\"no type long2\"},\"status\":400}", 0},
		{0}};
	_cleanup_json_ json_t *body = json_object();
	int64_t generation = 0;
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	assert_int_equal(generation_create(&r.sink, "books", body, 0, &generation, &r.err), -1);
	assert_string_equal(reason_name(r.err.reason), "IndexRejected");
	assert_non_null(strstr(r.err.msg, "no type long2"));
	routes_expect_changes(&r, "PUT /books-g1");
	routes_end(&r);
}

/* --- who owns a name --- */

#define ALIAS_OF(index) "{\"" index "\":{\"aliases\":{\"books\":{}}}}"

static void test_generation_check_owner_then_only_what_is_ours_or_free_may_be_used(void **state)
{
	static const struct {
		const char *what;
		struct route routes[3];
		bool adopt;
		int64_t live; /* -1: refused */
		const char *words;
	} cases[] = {
		{"no such name", {{"GET /books/_alias", 404, MISSING, 0}}, false, 0, NULL},
		{"our alias",
		 {{"GET /books/_alias", 200, ALIAS_OF("books-g3"), 0},
		  {"GET /books-g3/_mapping", 200, OWNED_BY("books-g3", "shop/books"), 0}},
		 false,
		 3,
		 NULL},
		{"an alias that was given up",
		 {{"GET /books/_alias", 200, ALIAS_OF("books-g3"), 0},
		  {"GET /books-g3/_mapping", 200, LEFT_BY("books-g3", "shop/books"), 0}},
		 false,
		 3,
		 NULL},
		{"an alias of another resource",
		 {{"GET /books/_alias", 200, ALIAS_OF("books-g3"), 0},
		  {"GET /books-g3/_mapping", 200, OWNED_BY("books-g3", "other/books"), 0}},
		 true,
		 -1,
		 "belongs to PgSync other/books"},
		{"an alias to an index of another program",
		 {{"GET /books/_alias", 200, ALIAS_OF("legacy"), 0}},
		 false,
		 -1,
		 "points to \"legacy\", which pgsync did not create"},
		{"the same, adopted", {{"GET /books/_alias", 200, ALIAS_OF("legacy"), 0}}, true, 0, NULL},
		{"an alias to two indices",
		 {{"GET /books/_alias", 200, "{\"books-g1\":{},\"books-g2\":{}}", 0}},
		 true,
		 -1,
		 "points to 2 indices"},
		{"an index", {{"GET /books/_alias", 200, "{\"books\":{}}", 0}}, false, -1, "adoptExistingIndex"},
		{"an index, adopted", {{"GET /books/_alias", 200, "{\"books\":{}}", 0}}, true, 0, NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t live = 77;
		struct routes r;
		int result;

		routes_begin(&r, cases[i].routes);
		r.sink.adopt_existing = cases[i].adopt;
		result = generation_check_owner(&r.sink, "books", &live, &r.err);
		if (cases[i].live < 0 &&
		    (result == 0 || r.err.reason != REASON_INDEX_IN_USE || !strstr(r.err.msg, cases[i].words)))
			fail_msg("%s: %d, %s", cases[i].what, result, r.err.msg);
		if (cases[i].live >= 0 && (result < 0 || live != cases[i].live))
			fail_msg("%s: %d, generation %lld: %s", cases[i].what, result, (long long)live, r.err.msg);
		routes_expect_changes(&r, "");
		routes_end(&r);
	}
}

static void test_generation_is_ours_when_it_cannot_be_read_then_an_error_rather_than_no(void **state)
{
	static const struct route gone[] = {{"GET /books-g1/_mapping", 404, MISSING, 0}, {0}};
	static const struct route denied[] = {{"GET /books-g1/_mapping", 403, DENIED, 0}, {0}};
	struct routes r;
	bool ours = true;

	UNUSED(state);
	routes_begin(&r, gone);
	ROUTES_OK(&r, generation_is_ours(&r.sink, "books-g1", &ours, &r.err));
	assert_false(ours);
	routes_end(&r);
	routes_begin(&r, denied);
	assert_int_equal(generation_is_ours(&r.sink, "books-g1", &ours, &r.err), -1);
	routes_end(&r);
}

static void test_generation_take_back_then_only_what_was_given_up_is_marked(void **state)
{
	static const struct route left[] = {{"GET /books-g3/_mapping", 200, LEFT_BY("books-g3", "shop/books"), 0}, {0}};
	static const struct route ours[] = {{"GET /books-g3/_mapping", 200, OWNED_BY("books-g3", "shop/books"), 0},
					    {0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, left);
	ROUTES_OK(&r, generation_take_back(&r.sink, "books", 3, &r.err));
	routes_expect_changes(&r, "PUT /books-g3/_mapping");
	assert_true(routes_sent(&r, "\"owner\":\"shop/books\""));
	routes_end(&r);
	routes_begin(&r, ours);
	ROUTES_OK(&r, generation_take_back(&r.sink, "books", 3, &r.err));
	ROUTES_OK(&r, generation_take_back(&r.sink, "books", 0, &r.err));
	routes_expect_changes(&r, "");
	routes_end(&r);
}

static void test_generation_disown_when_it_is_of_another_resource_or_gone_then_nothing(void **state)
{
	static const struct route ours[] = {{"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "shop/books"), 0},
					    {0}};
	static const struct route foreign[] = {{"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "other/books"), 0},
					       {0}};
	static const struct route gone[] = {{"GET /books-g1/_mapping", 404, MISSING, 0}, {0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, ours);
	ROUTES_OK(&r, generation_disown(&r.sink, "books-g1", &r.err));
	routes_expect_changes(&r, "PUT /books-g1/_mapping");
	assert_true(routes_sent(&r, "\"formerOwner\":\"shop/books\""));
	routes_end(&r);
	routes_begin(&r, foreign);
	ROUTES_OK(&r, generation_disown(&r.sink, "books-g1", &r.err));
	routes_expect_changes(&r, "");
	routes_end(&r);
	routes_begin(&r, gone);
	ROUTES_OK(&r, generation_disown(&r.sink, "books-g1", &r.err));
	routes_expect_changes(&r, "");
	routes_end(&r);
}

/* --- collecting and going live --- */

static void test_generation_collect_then_ours_but_the_one_to_keep(void **state)
{
	static const struct route routes[] = {
		{"GET /books-g*/_settings", 200,
		 "{\"books-g1\":{},\"books-g2\":{},\"books-g3\":{},\"books-gift\":{},\"books-g1-dead-letters\":{}}", 0},
		{"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "shop/books"), 0},
		{"GET /books-g3/_mapping", 200, OWNED_BY("books-g3", "other/books"), 0},
		{0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_collect(&r.sink, "books", 2, &r.err));
	routes_expect_changes(&r, "DELETE /books-g1");
	routes_end(&r);
}

static void test_generation_collect_when_the_name_has_special_characters_then_it_stays_one_name(void **state)
{
	static const struct route routes[] = {
		{"GET /50%25-%C3%A9%26%3D%2B%3B-g*/_settings", 200, "{\"50%-\xc3\xa9&=+;-g1\":{}}", 0},
		{"GET /50%25-%C3%A9%26%3D%2B%3B-g1/_mapping", 200, OWNED_BY("50%-\xc3\xa9&=+;-g1", "shop/books"), 0},
		{0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_collect(&r.sink, "50%-\xc3\xa9&=+;", 2, &r.err));
	routes_expect_changes(&r, "DELETE /50%25-%C3%A9%26%3D%2B%3B-g1");
	/* A name that could match more than one index is never sent. */
	assert_int_equal(generation_collect(&r.sink, "books/_all", 2, &r.err), -1);
	assert_int_equal(generation_collect(&r.sink, "books?x", 2, &r.err), -1);
	routes_expect_changes(&r, "DELETE /50%25-%C3%A9%26%3D%2B%3B-g1");
	routes_end(&r);
}

static void test_generation_collect_when_one_cannot_be_deleted_then_it_is_named(void **state)
{
	static const struct route routes[] = {{"GET /books-g*/_settings", 200, "{\"books-g1\":{}}", 0},
					      {"GET /books-g1/_mapping", 200, OWNED_BY("books-g1", "shop/books"), 0},
					      {"DELETE /books-g1", 403, DENIED, 0},
					      {0}};
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	assert_int_equal(generation_collect(&r.sink, "books", 2, &r.err), -1);
	assert_non_null(strstr(r.err.msg, "deleting the old generation \"books-g1\""));
	routes_end(&r);
}

static void test_generation_would_empty_then_only_if_it_replaces_another_index_although_rows_were_read(void **state)
{
	static const struct {
		const char *what, *count, *alias;
		uint64_t rows;
		bool allow_shrink, would_empty;
	} cases[] = {
		{"all rejected, another index is served", "{\"count\":0}", ALIAS_OF("books-g1"), 9, false, true},
		{"all rejected, a real index is served", "{\"count\":0}", "{\"books\":{}}", 9, false, true},
		{"all rejected, nothing is served", "{\"count\":0}", NULL, 9, false, false},
		{"all rejected, it is served itself", "{\"count\":0}", ALIAS_OF("books-g2"), 9, false, false},
		{"one document", "{\"count\":1}", ALIAS_OF("books-g1"), 9, false, false},
		{"an empty table", "{\"count\":0}", ALIAS_OF("books-g1"), 0, false, false},
		{"a truncated table", "{\"count\":0}", ALIAS_OF("books-g1"), 9, true, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct route routes[] = {
			{"GET /books-g2/_count", 200, cases[i].count, 0},
			{"GET /_cat/", 200, "[]", 0},
			{"GET /books/_alias", cases[i].alias ? 200 : 404, cases[i].alias ? cases[i].alias : MISSING, 0},
			{0}};
		struct checkpoint_range range = {.rows = cases[i].rows};
		const struct checkpoint_index index = {.name = (char[]){"books"},
						       .generation = 2,
						       .ranges = &range,
						       .n_ranges = 1,
						       .allow_shrink = cases[i].allow_shrink};
		struct routes r;
		bool would_empty;

		routes_begin(&r, routes);
		ROUTES_OK(&r, generation_would_empty(&r.sink, &index, &would_empty, &r.err));
		if (would_empty != cases[i].would_empty)
			fail_msg("%s: %d", cases[i].what, would_empty);
		routes_end(&r);
	}
}

static void test_generation_go_live_then_settings_and_a_refresh_before_the_alias(void **state)
{
	static const struct route routes[] = {{"GET /books/_alias", 200, ALIAS_OF("books-g1"), 0}, {0}};
	_cleanup_json_ json_t *body = json_pack("{s:{s:{s:i}}}", "settings", "index", "number_of_replicas", 2);
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_go_live(&r.sink, "books", body, 2, &r.err));
	routes_expect_changes(&r, "PUT /books-g2/_settings; POST /books-g2/_refresh; POST /_aliases");
	/* The schema's setting, and the engine's default. */
	assert_true(routes_sent(&r, "\"number_of_replicas\":2"));
	assert_true(routes_sent(&r, "\"refresh_interval\":null"));
	assert_true(routes_sent(&r, "{\"remove\":{\"index\":\"books-g1\",\"alias\":\"books\"}}"));
	assert_true(routes_sent(&r, "{\"add\":{\"index\":\"books-g2\",\"alias\":\"books\"}}"));
	routes_end(&r);
}

static void test_generation_go_live_when_a_real_index_has_the_name_then_it_goes_in_the_same_request(void **state)
{
	static const struct route routes[] = {{"GET /books/_alias", 200, "{\"books\":{}}", 0}, {0}};
	_cleanup_json_ json_t *body = json_object();
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	ROUTES_OK(&r, generation_go_live(&r.sink, "books", body, 1, &r.err));
	assert_true(routes_sent(&r, "{\"remove_index\":{\"index\":\"books\"}}"));
	routes_end(&r);
}

static void test_generation_go_live_when_the_settings_are_rejected_then_the_alias_stays(void **state)
{
	static const struct route routes[] = {
		{"PUT /books-g2/_settings", 400,
		 "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"no\"},\"status\":400}", 0},
		{0}};
	_cleanup_json_ json_t *body = json_object();
	struct routes r;

	UNUSED(state);
	routes_begin(&r, routes);
	assert_int_equal(generation_go_live(&r.sink, "books", body, 2, &r.err), -1);
	assert_non_null(strstr(r.err.msg, "completing index \"books-g2\""));
	routes_expect_changes(&r, "PUT /books-g2/_settings");
	routes_end(&r);
}

static void test_generation_is_live_then_only_when_the_alias_points_to_it_alone(void **state)
{
	static const struct {
		int status;
		const char *alias;
		bool live;
	} cases[] = {{200, ALIAS_OF("books-g2"), true},
		     {200, ALIAS_OF("books-g1"), false},
		     {200, "{\"books-g2\":{},\"books-g3\":{}}", false},
		     {200, "{\"books\":{}}", false},
		     {404, MISSING, false}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct route routes[] = {{"GET /books/_alias", cases[i].status, cases[i].alias, 0}, {0}};
		struct routes r;
		bool live = !cases[i].live;

		routes_begin(&r, routes);
		ROUTES_OK(&r, generation_is_live(&r.sink, "books", "books-g2", &live, &r.err));
		assert_int_equal(live, cases[i].live);
		routes_end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_generation_create_when_the_number_is_free_then_an_index_for_filling_that_names_its_owner),
		cmocka_unit_test(test_generation_create_when_a_leftover_of_ours_exists_then_it_is_replaced),
		cmocka_unit_test(test_generation_create_when_another_resource_has_the_number_then_the_next_one),
		cmocka_unit_test(test_generation_create_when_the_mapping_is_rejected_then_the_engines_reason),
		cmocka_unit_test(test_generation_check_owner_then_only_what_is_ours_or_free_may_be_used),
		cmocka_unit_test(test_generation_is_ours_when_it_cannot_be_read_then_an_error_rather_than_no),
		cmocka_unit_test(test_generation_take_back_then_only_what_was_given_up_is_marked),
		cmocka_unit_test(test_generation_disown_when_it_is_of_another_resource_or_gone_then_nothing),
		cmocka_unit_test(test_generation_collect_then_ours_but_the_one_to_keep),
		cmocka_unit_test(test_generation_collect_when_the_name_has_special_characters_then_it_stays_one_name),
		cmocka_unit_test(test_generation_collect_when_one_cannot_be_deleted_then_it_is_named),
		cmocka_unit_test(
			test_generation_would_empty_then_only_if_it_replaces_another_index_although_rows_were_read),
		cmocka_unit_test(test_generation_go_live_then_settings_and_a_refresh_before_the_alias),
		cmocka_unit_test(
			test_generation_go_live_when_a_real_index_has_the_name_then_it_goes_in_the_same_request),
		cmocka_unit_test(test_generation_go_live_when_the_settings_are_rejected_then_the_alias_stays),
		cmocka_unit_test(test_generation_is_live_then_only_when_the_alias_points_to_it_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
