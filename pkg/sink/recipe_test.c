/* Tests of recipes: what is read, what counts as a difference, and what is learned. */
#include "sink/recipe.h"
#include "sink/routes_test.h"

/* --- reading --- */

#define SIMULATE "POST /_index_template/_simulate_index/books-g1"
#define TEMPLATE(settings) "{\"template\":{\"settings\":{\"index\":{" settings "}}},\"overlapping\":[]}"

/* The recipe of an engine that answers so. */
static json_t *read_recipe(const struct route *list, const char *pipeline, const json_t *made)
{
	json_t *ret = NULL;
	struct routes r;

	routes_begin(&r, list);
	ROUTES_OK(&r, recipe_read(&r.sink, "books-g1", pipeline, made, &ret, &r.err));
	routes_end(&r);
	return ret;
}

static json_t *read_pipeline(int status, const char *answer, const json_t *made)
{
	const struct route list[] = {{"GET /_ingest/pipeline/p", status, answer, 0}, {0}};

	return read_recipe(list, "p", made);
}

static char *compare_pipelines(const char *before, const char *after)
{
	_cleanup_json_ json_t *made = read_pipeline(200, before, NULL);
	_cleanup_json_ json_t *now = read_pipeline(200, after, made);

	return recipe_difference(made, now, false);
}

static void test_read_when_a_pipeline_is_written_otherwise_then_it_is_the_same(void **state)
{
	static const char before[] = "{\"p\":{\"version\":1,\"description\":\"d\",\"processors\":[{\"set\":{\"field\":"
				     "\"a\",\"value\":1}}]}}";
	static const char *const same[] = {
		"{\"p\":{\"processors\":[{\"set\":{\"value\":1,\"field\":\"a\"}}],\"description\":\"d\",\"version\":1}"
		"}",
		"{\"p\":{\"processors\":[{\"set\":{\"field\":\"a\",\"value\":1}}]}}",
		"{\"p\":{\"created_date_millis\":1,\"modified_date_millis\":2,\"version\":2,\"_meta\":{\"by\":\"me\"},"
		"\"processors\":[{\"set\":{\"field\":\"a\",\"value\":1}}]}}",
	};
	static const char *const different[] = {
		"{\"p\":{\"processors\":[{\"set\":{\"field\":\"a\",\"value\":2}}]}}",
		"{\"p\":{\"processors\":[]}}",
		"{\"p\":{\"processors\":[{\"set\":{\"field\":\"a\",\"value\":1}}],\"on_failure\":[{\"drop\":{}}]}}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		assert_null(compare_pipelines(before, same[i]));
	for (size_t i = 0; i < ARRAY_SIZE(different); i++) {
		_cleanup_free_ char *why = compare_pipelines(before, different[i]);

		assert_string_equal(why, "ingest pipeline \"p\" has changed");
	}
}

static void test_read_when_a_pipeline_calls_another_one_then_that_one_counts(void **state)
{
	struct route list[] = {
		{"GET /_ingest/pipeline/p", 200, "{\"p\":{\"processors\":[{\"pipeline\":{\"name\":\"q\"}}]}}", 0},
		{"GET /_ingest/pipeline/q", 404, "{}", 0},
		{0}};
	_cleanup_json_ json_t *made = read_recipe(list, "p", NULL);
	_cleanup_json_ json_t *now = NULL;
	_cleanup_free_ char *why = NULL;

	UNUSED(state);
	assert_true(recipe_is_known(made));
	list[1] = (struct route){"GET /_ingest/pipeline/q", 200, "{\"q\":{\"processors\":[]}}", 0};
	now = read_recipe(list, "p", made);
	why = recipe_difference(made, now, false);
	assert_string_equal(why, "ingest pipeline \"q\" has changed");
}

static void test_read_then_the_pipelines_that_documents_pass_when_the_generation_begins(void **state)
{
	static const struct {
		const char *pipeline, *settings, *given;
	} cases[] = {
		{NULL, "", "[]"},
		{NULL, "\"default_pipeline\":\"_none\"", "[]"},
		{NULL, "\"default_pipeline\":\"d\",\"final_pipeline\":\"f\"", "[\"d\",\"f\"]"},
		{"p", "\"default_pipeline\":\"d\",\"final_pipeline\":\"f\"", "[\"p\",\"f\"]"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *settings =
			xasprintf("{\"books-g1\":{\"settings\":{\"index\":{%s}}}}", cases[i].settings);
		const struct route list[] = {{"GET /books-g1/_settings", 200, settings, 0}, {0}};
		const struct route later[] = {
			{"GET /books-g1/_settings", 200,
			 "{\"books-g1\":{\"settings\":{\"index\":{\"final_pipeline\":\"other\"}}}}", 0},
			{0}};
		_cleanup_json_ json_t *made = read_recipe(list, cases[i].pipeline, NULL);
		_cleanup_json_ json_t *now = read_recipe(later, cases[i].pipeline, made);
		_cleanup_free_ char *given = json_dumps(json_object_get(made, "given"), JSON_COMPACT);

		assert_string_equal(given, cases[i].given);
		/* Settings that a user puts on an existing index are lost with it, so they are no reason to rebuild. */
		assert_true(json_equal(json_object_get(made, "given"), json_object_get(now, "given")));
		assert_null(recipe_difference(made, now, true));
	}
}

static void test_read_when_it_may_not_be_read_or_is_missing_then_it_is_not_known_and_unchanged(void **state)
{
	static const struct {
		int status;
		const char *answer;
	} cases[] = {
		{403, DENIED}, {404, "not here"}, {400, "{\"error\":{\"type\":\"x\"},\"status\":400}"}, {404, "{}"}};
	_cleanup_json_ json_t *made = read_pipeline(200, "{\"p\":{\"processors\":[]}}", NULL);

	UNUSED(state);
	assert_true(recipe_is_known(made));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *now = read_pipeline(cases[i].status, cases[i].answer, made);

		assert_false(recipe_is_known(now));
		assert_null(recipe_difference(made, now, false));
		assert_null(recipe_difference(now, made, false));
		assert_false(recipe_learn(made, now));
		assert_true(recipe_learn(now, made));
		assert_true(recipe_is_known(now));
		assert_false(recipe_learn(now, made));
	}
}

static void test_read_when_the_engine_cannot_be_asked_then_it_fails(void **state)
{
	static const char *const paths[] = {"GET /books-g1/_settings", SIMULATE, "GET /_ingest/pipeline/p"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct route list[] = {{paths[i], 503, "{}", 0}, {0}};
		json_t *ret = NULL;
		struct routes r;

		routes_begin(&r, list);
		assert_int_equal(recipe_read(&r.sink, "books-g1", "p", NULL, &ret, &r.err), -1);
		assert_int_equal(r.err.kind, ERR_TRANSIENT);
		assert_null(ret);
		routes_end(&r);
	}
}

/* --- templates --- */

static json_t *read_templates(int status, const char *answer)
{
	const struct route list[] = {{SIMULATE, status, answer, 0}, {0}};

	return read_recipe(list, NULL, NULL);
}

static void test_difference_when_the_template_changes_then_its_pipelines_count_and_the_rest_only_if_empty(void **state)
{
	static const char *const pipelines = "its index template names another ingest pipeline";
	static const char *const rest = "it has no document, and its index template has changed";
	static const struct {
		int status;
		const char *now, *when_full, *when_empty;
	} cases[] = {
		{200, TEMPLATE("\"default_pipeline\":\"d\",\"x\":\"1\""), NULL, NULL},
		{200, TEMPLATE("\"x\":\"1\",\"default_pipeline\":\"d\",\"number_of_replicas\":\"2\""), NULL, NULL},
		{200, TEMPLATE("\"default_pipeline\":\"d\",\"x\":\"2\""), NULL, rest},
		{200, TEMPLATE("\"default_pipeline\":\"e\",\"x\":\"1\""), pipelines, pipelines},
		{200, "{}", pipelines, pipelines},
		{403, DENIED, NULL, NULL},
	};
	_cleanup_json_ json_t *made = read_templates(200, TEMPLATE("\"default_pipeline\":\"d\",\"x\":\"1\""));

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *now = read_templates(cases[i].status, cases[i].now);
		_cleanup_free_ char *full = recipe_difference(made, now, false);
		_cleanup_free_ char *empty = recipe_difference(made, now, true);

		assert_string_equal(full ? full : "-", cases[i].when_full ? cases[i].when_full : "-");
		assert_string_equal(empty ? empty : "-", cases[i].when_empty ? cases[i].when_empty : "-");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_when_a_pipeline_is_written_otherwise_then_it_is_the_same),
		cmocka_unit_test(test_read_when_a_pipeline_calls_another_one_then_that_one_counts),
		cmocka_unit_test(test_read_then_the_pipelines_that_documents_pass_when_the_generation_begins),
		cmocka_unit_test(test_read_when_it_may_not_be_read_or_is_missing_then_it_is_not_known_and_unchanged),
		cmocka_unit_test(test_read_when_the_engine_cannot_be_asked_then_it_fails),
		cmocka_unit_test(
			test_difference_when_the_template_changes_then_its_pipelines_count_and_the_rest_only_if_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
