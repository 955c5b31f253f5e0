/* Tests of JSON texts: parsing, canonical form, hash, paths, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "json/json.h"

static json_t *parsed(const char *text)
{
	struct err err = {0};
	json_t *value = NULL;

	if (jsonx_parse(text, strlen(text), "text", &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

static void assert_refused(const char *text, size_t len, const char *message)
{
	struct err err = {0};
	json_t *value = NULL;

	assert_int_equal(jsonx_parse(text, len, "schema.json", &value, &err), -1);
	assert_null(value);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.msg, message))
		fail_msg("expected \"%s\" in \"%s\"", message, err.msg);
}

#define ASSERT_REFUSED(text, message) assert_refused(text, sizeof(text) - 1, message)

static void test_parse_when_text_is_malformed_then_refused_with_position(void **state)
{
	UNUSED(state);
	ASSERT_REFUSED("{\n  \"a\": 1,\n  \"b\" 2\n}", "schema.json: line 3, column ");
	ASSERT_REFUSED("{\"a\": 1, \"a\": 2}", "duplicate object key near '\"a\"'");
	ASSERT_REFUSED("{} {}", "line 1, column ");
	ASSERT_REFUSED("{\"a\": \"\xFF\"}", "line 1, column ");
	ASSERT_REFUSED("{\"a\": \"\\u0000\"}", "line 1, column ");
	ASSERT_REFUSED("[1", "line 1, column ");
	ASSERT_REFUSED("[1]\0", "line 1, column ");
	ASSERT_REFUSED("", "line 1, column ");
	ASSERT_REFUSED("[9223372036854775808]", "line 1, column ");
	ASSERT_REFUSED("[1e999]", "line 1, column ");
	ASSERT_REFUSED("[NaN]", "line 1, column ");
}

static void test_parse_when_a_secret_is_near_the_error_then_message_is_silent_about_it(void **state)
{
	static const char text[] = "{\"password\": \"hunter2hunter2\" x}";
	struct err err = {0};
	json_t *value = NULL;

	UNUSED(state);
	assert_int_equal(jsonx_parse(text, strlen(text), "text", &value, &err), -1);
	assert_null(strstr(err.msg, "hunter2"));
}

static char *nested(size_t levels)
{
	struct strbuf sb;

	strbuf_init(&sb, 10000);
	for (size_t i = 0; i < levels; i++)
		strbuf_addc(&sb, '[');
	for (size_t i = 0; i < levels; i++)
		strbuf_addc(&sb, ']');
	return strbuf_detach(&sb);
}

static void test_parse_when_nested_beyond_96_levels_then_refused(void **state)
{
	_cleanup_free_ char *good = nested(96);
	_cleanup_free_ char *bad = nested(97);
	_cleanup_json_ json_t *value = parsed(good);
	/* Brackets in strings do not nest, even after an escaped quote. */
	_cleanup_json_ json_t *text = parsed("[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
					     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]");

	UNUSED(state);
	assert_true(json_is_array(value));
	assert_int_equal(json_string_length(json_array_get(text, 0)), 101);
	assert_refused(bad, strlen(bad), "line 1, column 97: nested deeper than 96 levels");
}

static void test_canonical_when_key_order_differs_then_same_bytes_and_hash(void **state)
{
	_cleanup_json_ json_t *a = parsed("{ \"b\": [1, 2.5, null], \"a\": {\"y\": true, \"x\": \"\xC3\xA9\\n\"} }");
	_cleanup_json_ json_t *b = parsed("{\"a\":{\"x\":\"\\u00e9\\n\",\"y\":true},\"b\":[1,2.5,null]}");
	_cleanup_json_ json_t *c = parsed("{\"a\":{\"x\":\"\\u00e9\\n\",\"y\":true},\"b\":[2.5,1,null]}");
	_cleanup_free_ char *text = jsonx_canonical(a);
	char ha[JSONX_HASH_BYTES], hb[JSONX_HASH_BYTES], hc[JSONX_HASH_BYTES];

	UNUSED(state);
	assert_string_equal(text, "{\"a\":{\"x\":\"\xC3\xA9\\n\",\"y\":true},\"b\":[1,2.5,null]}");
	assert_string_equal(jsonx_hash(a, ha), jsonx_hash(b, hb));
	assert_string_not_equal(ha, jsonx_hash(c, hc));
}

static void test_hash_of_empty_object_then_the_known_sha256(void **state)
{
	_cleanup_json_ json_t *value = parsed("{}");
	char hash[JSONX_HASH_BYTES];

	UNUSED(state);
	/* printf '{}' | sha256sum */
	assert_string_equal(jsonx_hash(value, hash),
			    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

static void test_canonical_when_number_is_a_double_then_it_comes_back_unchanged(void **state)
{
	static const double values[] = {0.1, 1e300, 5e-324, 123456789.123456789, -2.5};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_json_ json_t *value = json_real(values[i]);
		_cleanup_free_ char *text = jsonx_canonical(value);
		_cleanup_json_ json_t *again = parsed(text);

		assert_true(json_is_real(again));
		assert_true(json_real_value(again) == values[i]);
	}
}

static void test_get_when_path_leads_nowhere_then_default(void **state)
{
	_cleanup_json_ json_t *value = parsed("{\"a\":{\"b\":{\"s\":\"x\",\"i\":7,\"t\":true}},\"n\":null}");

	UNUSED(state);
	assert_string_equal(jsonx_string(value, "a.b.s", "-"), "x");
	assert_string_equal(jsonx_string(value, "a.b.i", "-"), "-");
	assert_string_equal(jsonx_string(value, "a.b", "-"), "-");
	assert_int_equal(jsonx_integer(value, "a.b.i", -1), 7);
	assert_int_equal(jsonx_integer(value, "a.b.s", -1), -1);
	assert_true(jsonx_boolean(value, "a.b.t", false));
	assert_true(jsonx_boolean(value, "a.b.x", true));
	assert_true(json_is_null(jsonx_get(value, "n")));
	assert_null(jsonx_get(value, "a.b.s.x"));
	assert_null(jsonx_get(value, "a.x.s"));
	assert_null(jsonx_get(NULL, "a"));
}

static void test_read_file_when_missing_large_or_a_directory_then_kind_says_so(void **state)
{
	char path[] = "/tmp/json_test.XXXXXX";
	int fd = mkstemp(path);
	struct err err = {0};
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	UNUSED(state);
	assert_int_equal(write(fd, "abc\0def", 7), 7);
	(void)close(fd);
	assert_int_equal(jsonx_read_file(path, 7, &text, &len, &err), 0);
	assert_int_equal(len, 7);
	assert_memory_equal(text, "abc\0def", 8);
	assert_int_equal(jsonx_read_file(path, 6, &text, &len, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	(void)unlink(path);
	assert_int_equal(jsonx_read_file(path, 7, &text, &len, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(jsonx_read_file("/tmp", 7, &text, &len, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

/* The parser must find the same value there as in the text that was found. */
static void test_find_text_when_there_is_a_value_then_its_text_and_nothing_else(void **state)
{
	static const struct {
		const char *text, *path, *found;
	} cases[] = {
		{"{\"a\":{\"b\":[1,{\"b\":2}]},\"b\":3}", "a.b", "[1,{\"b\":2}]"},
		{"{\"x\":{\"b\":1},\"a\":{\"c\":{\"b\":2},\"b\":\"}\\\"]\"}}", "a.b", "\"}\\\"]\""},
		{" { \"a\" : { \"b\" : -1.5e3 } } ", "a.b", "-1.5e3"},
		{"{\"a\":{\"\":[],\"bb\":1,\"b\":null}}", "a.b", "null"},
		{"{\"a\":{\"b\":{}}}", "a", "{\"b\":{}}"},
		{"[1]", "", "[1]"},
		{"{\"a\":[{\"b\":1}]}", "a.b", NULL},
		{"{\"a\":{\"c\":1}}", "a.b", NULL},
		{"{\"a\":\"b\"}", "a.b", NULL},
		{"{\"a.b\":1}", "a.b", NULL},
		{"{}", "a", NULL},
		{"[]", "a", NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *found = NULL;
		size_t len = 0;
		bool there = jsonx_find_text(cases[i].text, strlen(cases[i].text), cases[i].path, &found, &len);

		if (there != (cases[i].found != NULL))
			fail_msg("%s in %s: %s", cases[i].path, cases[i].text, there ? "found" : "not found");
		if (there && (len != strlen(cases[i].found) || memcmp(found, cases[i].found, len) != 0))
			fail_msg("%s in %s: found %.*s", cases[i].path, cases[i].text, (int)len, found);
	}
}

static void test_find_text_when_the_text_is_cut_anywhere_then_nothing_is_read_beyond_it(void **state)
{
	static const char text[] = "{\"x\":[\"\\\"\",{}],\"a\":{\"b\":[\"\\\\\"]}}";
	const char *found;
	size_t len;

	UNUSED(state);
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		/* As large as the text, so that AddressSanitizer sees where that ends. */
		_cleanup_free_ char *cut = xmalloc(n ? n : 1);

		memcpy(cut, text, n);
		if (jsonx_find_text(cut, n, "a.b", &found, &len))
			assert_true(found >= cut && found + len <= cut + n);
	}
}

static void test_member_when_the_object_is_a_text_then_only_that_value_is_parsed(void **state)
{
	static const struct {
		const char *text, *key, *value;
	} rows[] = {
		{" {\"a.b/c\" : \"x\", \"d\": [}", "a.b/c", "\"x\""},
		{"{\"a\":{\"b\":\"}\"},\"b\":{\"c\":1}}", "b", "{\"c\":1}"},
		{"{\"a\":\"\\u00e9\"}", "a", "\"\xc3\xa9\""},
		{"{\"a\":1}", "b", NULL},
		{"{\"a\":}", "a", NULL},
		{"[\"a\"]", "a", NULL},
		{"", "a", NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *text = json_string(rows[i].text);
		_cleanup_json_ json_t *found = jsonx_member(text, rows[i].key);
		_cleanup_json_ json_t *value = rows[i].value ? json_loads(rows[i].value, JSON_DECODE_ANY, NULL) : NULL;

		if (value ? !json_equal(found, value) : found != NULL)
			fail_msg("row %zu", i);
	}
}

static bool count_two(void *user, const char *key, size_t len)
{
	unsigned *n = user;

	assert_int_equal(len, 1);
	assert_int_equal(key[0], "ab"[*n]);
	return ++*n < 2;
}

static void test_keys_when_the_callback_has_enough_then_it_ends(void **state)
{
	_cleanup_json_ json_t *object = json_pack("{s:i, s:i, s:i}", "a", 1, "b", 2, "c", 3);
	_cleanup_json_ json_t *text = json_string("{\"a\":[1,{}],\"b\":\"\",\"c\":1}");
	unsigned n = 0;

	UNUSED(state);
	jsonx_each_key(object, count_two, &n);
	assert_int_equal(n, 2);
	n = 0;
	jsonx_each_key(text, count_two, &n);
	assert_int_equal(n, 2);
}

static void test_nul_when_the_backslash_is_one_itself_then_there_is_none(void **state)
{
	UNUSED(state);
	assert_true(jsonx_holds_nul("[\"a\\u0000\"]"));
	assert_true(jsonx_holds_nul("[\"a\\\\\\u0000\"]"));
	assert_true(jsonx_holds_nul("[\"\\\\u0000\\u0000\"]"));
	assert_false(jsonx_holds_nul("[\"a\\\\u0000\"]"));
	assert_false(jsonx_holds_nul("[\"a\\u0001\"]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_member_when_the_object_is_a_text_then_only_that_value_is_parsed),
		cmocka_unit_test(test_keys_when_the_callback_has_enough_then_it_ends),
		cmocka_unit_test(test_nul_when_the_backslash_is_one_itself_then_there_is_none),
		cmocka_unit_test(test_parse_when_text_is_malformed_then_refused_with_position),
		cmocka_unit_test(test_parse_when_a_secret_is_near_the_error_then_message_is_silent_about_it),
		cmocka_unit_test(test_parse_when_nested_beyond_96_levels_then_refused),
		cmocka_unit_test(test_canonical_when_key_order_differs_then_same_bytes_and_hash),
		cmocka_unit_test(test_hash_of_empty_object_then_the_known_sha256),
		cmocka_unit_test(test_canonical_when_number_is_a_double_then_it_comes_back_unchanged),
		cmocka_unit_test(test_get_when_path_leads_nowhere_then_default),
		cmocka_unit_test(test_find_text_when_there_is_a_value_then_its_text_and_nothing_else),
		cmocka_unit_test(test_find_text_when_the_text_is_cut_anywhere_then_nothing_is_read_beyond_it),
		cmocka_unit_test(test_read_file_when_missing_large_or_a_directory_then_kind_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
