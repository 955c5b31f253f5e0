/* Tests of table-driven decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "json/json.h"

struct source {
	char *host;
	int64_t port;
	int64_t any;
	int mode;
	bool tls;
};

struct spec {
	struct source source;
	struct jsonx_strings tables;
	json_t *schema;
	char *note;
	int customs;
};

static const char *const modes[] = {"Disable", "Require", "VerifyFull", NULL};

static void decode_custom(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct spec *spec = out;

	if (json_is_integer(value))
		spec->customs++;
	else
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, path, "no");
}

static const struct jsonx_field source_fields[] = {
	{.name = "host",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct source, host),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = 5},
	{.name = "port", .type = JSONX_INTEGER, .offset = offsetof(struct source, port), .min = 1, .max = 65535},
	{.name = "any", .type = JSONX_INTEGER, .offset = offsetof(struct source, any)},
	{.name = "mode", .type = JSONX_ENUM, .offset = offsetof(struct source, mode), .words = modes},
	{.name = "tls", .type = JSONX_BOOLEAN, .offset = offsetof(struct source, tls)},
	{0},
};

static const struct jsonx_field spec_fields[] = {
	{.name = "source",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct spec, source),
	 .flags = JSONX_REQUIRED,
	 .fields = source_fields},
	{.name = "tables", .type = JSONX_STRINGS, .offset = offsetof(struct spec, tables)},
	{.name = "schema", .type = JSONX_VALUE, .offset = offsetof(struct spec, schema)},
	{.name = "note", .type = JSONX_STRING, .offset = offsetof(struct spec, note)},
	{.name = "custom", .type = JSONX_CUSTOM, .decode = decode_custom},
	{0},
};

/* Decodes text over what spec holds; returns all findings, "path: message" on lines. Caller frees. */
static char *decoded(const char *text, struct spec *spec)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_(findings_release) struct findings f;
	struct err err = {0};

	findings_init(&f);
	if (jsonx_parse(text, strlen(text), "text", &value, &err) < 0)
		fail_msg("%s", err.msg);
	jsonx_decode(value, spec_fields, spec, "spec", REASON_INVALID_SPEC, &f);
	for (size_t i = 0; i < f.n; i++)
		assert_int_equal(f.items[i].severity, FINDING_ERROR);
	return findings_join(&f, FINDING_ERROR, "\n");
}

static void release(struct spec *spec)
{
	free(spec->source.host);
	free(spec->note);
	jsonx_strings_release(&spec->tables);
	jsonx_decref(spec->schema);
}

static void assert_findings(const char *text, const char *expected)
{
	_cleanup_(release) struct spec spec = {0};
	_cleanup_free_ char *got = decoded(text, &spec);

	assert_string_equal(got, expected);
}

static void test_decode_when_all_is_well_then_struct_is_filled(void **state)
{
	_cleanup_(release) struct spec spec = {0};
	_cleanup_free_ char *got =
		decoded("{\"source\":{\"host\":\"db\",\"port\":65535,\"any\":-9223372036854775808,"
			"\"mode\":\"VerifyFull\",\"tls\":true},\"tables\":[\"a\",\"b\"],\"schema\":{\"x\":1},"
			"\"note\":\"\",\"custom\":5}",
			&spec);

	UNUSED(state);
	assert_string_equal(got, "");
	assert_string_equal(spec.source.host, "db");
	assert_true(spec.source.port == 65535);
	assert_true(spec.source.any == INT64_MIN);
	assert_int_equal(spec.source.mode, 2);
	assert_true(spec.source.tls);
	assert_int_equal(spec.tables.n, 2);
	assert_string_equal(spec.tables.items[1], "b");
	assert_int_equal(jsonx_integer(spec.schema, "x", 0), 1);
	assert_string_equal(spec.note, "");
	assert_int_equal(spec.customs, 1);
}

static void test_decode_when_fields_are_absent_or_null_then_defaults_stay(void **state)
{
	_cleanup_(release) struct spec spec = {.source = {.port = 5432, .mode = 1}, .note = xstrdup("kept")};
	_cleanup_free_ char *got = decoded(
		"{\"source\":{\"host\":\"db\",\"port\":null},\"note\":null,\"tables\":null,\"schema\":null}", &spec);

	UNUSED(state);
	assert_string_equal(got, "");
	assert_true(spec.source.port == 5432);
	assert_int_equal(spec.source.mode, 1);
	assert_string_equal(spec.note, "kept");
	assert_null(spec.schema);
}

static void test_decode_twice_then_old_values_are_released(void **state)
{
	_cleanup_(release) struct spec spec = {0};
	_cleanup_free_ char *first = decoded("{\"source\":{\"host\":\"a\"},\"tables\":[\"t\"],\"schema\":[1]}", &spec);
	_cleanup_free_ char *second = decoded("{\"source\":{\"host\":\"b\"},\"tables\":[],\"schema\":[2]}", &spec);

	UNUSED(state);
	assert_string_equal(first, "");
	assert_string_equal(second, "");
	assert_string_equal(spec.source.host, "b");
	assert_int_equal(spec.tables.n, 0);
	assert_int_equal(json_integer_value(json_array_get(spec.schema, 0)), 2);
}

static void test_decode_when_much_is_invalid_then_every_violation_is_named(void **state)
{
	UNUSED(state);
	assert_findings(
		"{\"source\":{\"port\":\"abc\",\"hots\":\"x\",\"mode\":\"Requires\",\"tls\":\"yes\",\"any\":1.5},"
		"\"tables\":[\"a\",1,null],\"note\":{},\"custom\":\"x\"}",
		"spec.source.port: must be an integer between 1 and 65535, found \"abc\"\n"
		"spec.source.any: must be an integer, found 1.5\n"
		"spec.source.mode: must be one of `Disable`, `Require`, `VerifyFull`, found \"Requires\"; did you mean "
		"`Require`?\n"
		"spec.source.tls: must be true or false, found \"yes\"\n"
		"spec.source.hots: unknown field; did you mean `host`?\n"
		"spec.tables[1]: must be a string, found 1\n"
		"spec.tables[2]: must be a string, found null\n"
		"spec.note: must be a string, found an object\n"
		"spec.custom: no");
}

static void test_decode_when_an_item_is_invalid_then_the_others_keep_their_places(void **state)
{
	_cleanup_(release) struct spec spec = {0};
	_cleanup_free_ char *got = decoded("{\"source\":{\"host\":\"db\"},\"tables\":[\"a\",1,\"c\"]}", &spec);

	UNUSED(state);
	assert_string_equal(got, "spec.tables[1]: must be a string, found 1");
	assert_int_equal(spec.tables.n, 3);
	assert_string_equal(spec.tables.items[0], "a");
	assert_string_equal(spec.tables.items[1], "");
	assert_string_equal(spec.tables.items[2], "c");
}

static void test_decode_when_bounds_are_crossed_then_bounds_are_named(void **state)
{
	UNUSED(state);
	assert_findings("{\"source\":{\"host\":\"\",\"port\":0}}",
			"spec.source.host: must not be empty\n"
			"spec.source.port: must be an integer between 1 and 65535, found 0");
	assert_findings("{\"source\":{\"host\":\"toolong\",\"port\":65536}}",
			"spec.source.host: must be 1 to 5 bytes long, found 7\n"
			"spec.source.port: must be an integer between 1 and 65535, found 65536");
	assert_findings("{\"source\":{\"host\":true,\"mode\":3}}",
			"spec.source.host: must be a string, found true\n"
			"spec.source.mode: must be one of `Disable`, `Require`, `VerifyFull`, found 3");
}

static void test_decode_when_nothing_is_near_an_unknown_field_then_known_ones_are_listed(void **state)
{
	UNUSED(state);
	assert_findings(
		"{\"source\":{\"host\":\"a\"},\"a b\":1}",
		"spec[\"a b\"]: unknown field; the fields here are `source`, `tables`, `schema`, `note`, `custom`");
}

static void test_decode_when_not_an_object_then_reported_once(void **state)
{
	UNUSED(state);
	assert_findings("[]", "spec: must be an object, found an array");
	assert_findings("{\"source\":\"x\"}", "spec.source: must be an object, found \"x\"");
	assert_findings("{}", "spec.source: is required");
}

static void test_decode_when_a_value_is_long_then_it_is_cut_between_characters(void **state)
{
	/* 40 characters of two bytes: 30 of them fit into what is shown. */
	UNUSED(state);
	assert_findings(
		"{\"source\":{\"host\":\"a\",\"port\":\"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\"}}",
		"spec.source.port: must be an integer between 1 and 65535, found "
		"\"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\"...");
}

static void test_decode_when_many_fields_are_unknown_then_the_rest_is_counted(void **state)
{
	_cleanup_(release) struct spec spec = {0};
	_cleanup_free_ char *got = decoded("{\"source\":{\"host\":\"a\"},\"u1\":1,\"u2\":1,\"u3\":1,\"u4\":1,\"u5\":1,"
					   "\"u6\":1,\"u7\":1,\"u8\":1,\"u9\":1,\"u10\":1,\"u11\":1,\"u12\":1}",
					   &spec);

	UNUSED(state);
	assert_non_null(strstr(got, "spec.u10: unknown field"));
	assert_null(strstr(got, "spec.u11"));
	assert_non_null(strstr(got, "spec: 2 more unknown fields"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_when_all_is_well_then_struct_is_filled),
		cmocka_unit_test(test_decode_when_fields_are_absent_or_null_then_defaults_stay),
		cmocka_unit_test(test_decode_twice_then_old_values_are_released),
		cmocka_unit_test(test_decode_when_much_is_invalid_then_every_violation_is_named),
		cmocka_unit_test(test_decode_when_an_item_is_invalid_then_the_others_keep_their_places),
		cmocka_unit_test(test_decode_when_bounds_are_crossed_then_bounds_are_named),
		cmocka_unit_test(test_decode_when_nothing_is_near_an_unknown_field_then_known_ones_are_listed),
		cmocka_unit_test(test_decode_when_not_an_object_then_reported_once),
		cmocka_unit_test(test_decode_when_a_value_is_long_then_it_is_cut_between_characters),
		cmocka_unit_test(test_decode_when_many_fields_are_unknown_then_the_rest_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
