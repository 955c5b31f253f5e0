/* Tests of what the console of pgsync run says about documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "look.h"
#include "json/json.h"

static json_t *parse_document(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (text && jsonx_parse(text, strlen(text), "the test's text", &value, &err) < 0)
		fail_msg("%s in %s", err.msg, text);
	return value;
}

static const struct comparison_case {
	const char *index, *postgres, *expected; /* "path index postgres;" for each difference */
} comparisons[] = {
	{"{\"a\": 1}", "{\"a\": 1}", ""},
	{"{\"a\": 1, \"b\": [1, {\"c\": null}]}", "{\"b\": [1, {\"c\": null}], \"a\": 1}", ""},
	{NULL, NULL, ""},
	{"{\"a\": 1}", "{\"a\": 2}", "a 1 2;"},
	{"{\"a\": 1}", "{\"a\": \"1\"}", "a 1 \"1\";"},
	{"{\"a\": 15.99}", "{\"a\": 15.990}", ""},
	{"{\"a\": null}", "{}", "a null -;"},
	{"{}", "{\"a b\": {\"c\": 1}}", "[\"a b\"] - {\"c\":1};"},
	{"{\"a\": [{\"b\": 1}, {\"b\": 2}]}", "{\"a\": [{\"b\": 1}, {\"b\": 3}, 4]}", "a[1].b 2 3;a[2] - 4;"},
	{"{\"a\": {\"b\": 1}}", "{\"a\": [1]}", "a {\"b\":1} [1];"},
	{"{\"a\": 1}", NULL, " {\"a\":1} -;"},
	{NULL, "{\"a\": 1}", " - {\"a\":1};"},
};

static void test_comparison_lists_what_differs(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++) {
		_cleanup_json_ json_t *index = parse_document(comparisons[i].index);
		_cleanup_json_ json_t *postgres = parse_document(comparisons[i].postgres);
		_cleanup_json_ json_t *found = look_compare(index, postgres);
		struct strbuf text;
		json_t *one;
		size_t k;

		strbuf_init(&text, 4096);
		strbuf_adds(&text, "");
		json_array_foreach (json_object_get(found, "differences"), k, one)
			strbuf_addf(&text, "%s %s %s;", jsonx_string(one, "path", "?"), jsonx_string(one, "index", "-"),
				    jsonx_string(one, "postgres", "-"));
		assert_string_equal(text.len ? text.data : "", comparisons[i].expected);
		assert_int_equal(jsonx_boolean(found, "equal", true), !*comparisons[i].expected);
		strbuf_release(&text);
	}
}

static const struct text_case {
	const char *found, *begin, *part;
} texts[] = {
	{"{\"comparison\": {\"equal\": true}, \"id\": \"9\"}", "Equal: there is no such", "id:        9\n"},
	{"{\"index\": {}, \"postgres\": {}, \"version\": \"0/1\", \"comparison\": {\"equal\": true}}",
	 "Equal: the index has", "version:   0/1\n"},
	{"{\"postgres\": {}, \"comparison\": {\"equal\": false}}", "Different: the index has no",
	 "version:   (absent)\n"},
	{"{\"index\": {}, \"comparison\": {\"equal\": false}}", "Different: Postgres has no", "index:     books\n"},
	{"{\"index\": {}, \"postgres\": {}, \"comparison\": {\"equal\": false, \"more\": 3, \"differences\": "
	 "[{\"path\": "
	 "\"a.b\", \"postgres\": \"1\\n\"}]}}",
	 "Different: a change", "\na.b\n  index:     (absent)\n  Postgres:  1\\u000a\n\n... and 3 more\n"},
	{"{\"index\": {}, \"postgres\": {}, \"pipeline\": true, \"comparison\": {\"equal\": false}}",
	 "Different: an ingest pipeline", ""},
};

static void test_comparison_is_printed(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_ json_t *found = parse_document(texts[i].found);
		_cleanup_free_ char *text = NULL;
		size_t len;
		FILE *memory = open_memstream(&text, &len);

		assert_non_null(memory);
		look_print(found, "books", memory);
		(void)fclose(memory);
		if (strncmp(text, texts[i].begin, strlen(texts[i].begin)) != 0 || !strstr(text, texts[i].part))
			fail_msg("%s: found:\n%s", texts[i].found, text);
		assert_int_equal(look_is_equal(found), !strncmp(text, "Equal", 5));
	}
}

static void test_comparison_is_bounded(void **state)
{
	_cleanup_json_ json_t *many = json_object(), *none = json_object(), *found = NULL, *longer = NULL, *cut = NULL;
	_cleanup_free_ char *value = xcalloc(1, 1001);

	UNUSED(state);
	for (int i = 0; i < LOOK_DIFFERENCES + 7; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "k%d", i);
		(void)json_object_set_new(many, key, json_integer(i));
	}
	found = look_compare(many, none);
	assert_int_equal(json_array_size(json_object_get(found, "differences")), LOOK_DIFFERENCES);
	assert_int_equal(jsonx_integer(found, "more", 0), 7);
	memset(value, 'x', 1000);
	longer = json_pack("{s:s}", "a", value);
	cut = look_compare(longer, none);
	assert_true(strlen(jsonx_string(json_array_get(json_object_get(cut, "differences"), 0), "index", "")) <
		    LOOK_FIELD_BYTES + 8);
}

static void test_query_is_for_words_and_skips_objects(void **state)
{
	_cleanup_json_ json_t *all = look_query("", 0, 20), *some = look_query("le guin\" \\", 40, 20);

	UNUSED(state);
	assert_non_null(jsonx_get(all, "query.match_all"));
	assert_string_equal(jsonx_string(some, "query.simple_query_string.query", ""), "le guin\" \\");
	assert_int_equal(jsonx_integer(some, "from", 0), 40);
	assert_true(jsonx_contains(jsonx_get(some, "_source.excludes"), "*.*"));
}

static void test_hit_has_its_first_plain_fields(void **state)
{
	_cleanup_json_ json_t *hit = parse_document(
		"{\"_id\": \"7\", \"_score\": 1.5, \"_source\": {\"a\": 1, \"b\": {\"x\": 1}, \"c\": [1], "
		"\"d\": \"t\", \"e\": null, \"f\": true, \"g\": 2}}");
	_cleanup_json_ json_t *found = look_hit(hit);
	_cleanup_free_ char *text = jsonx_canonical(found);

	UNUSED(state);
	assert_string_equal(text,
			    "{\"fields\":{\"a\":1,\"d\":\"t\",\"e\":null,\"f\":true},\"id\":\"7\",\"score\":1.5}");
}

static void test_every_kind_of_error_has_a_status(void **state)
{
	UNUSED(state);
	for (int kind = ERR_TRANSIENT; kind <= ERR_FATAL; kind++)
		assert_in_range(look_status(&(struct err){.kind = (enum err_kind)kind}), 404, 503);
	assert_int_equal(look_status(&(struct err){.kind = ERR_NOT_FOUND}), 404);
	assert_int_equal(look_status(&(struct err){.kind = ERR_FATAL}), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comparison_lists_what_differs),
		cmocka_unit_test(test_comparison_is_printed),
		cmocka_unit_test(test_comparison_is_bounded),
		cmocka_unit_test(test_query_is_for_words_and_skips_objects),
		cmocka_unit_test(test_hit_has_its_first_plain_fields),
		cmocka_unit_test(test_every_kind_of_error_has_a_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
