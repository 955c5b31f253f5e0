/* Tests of names, owners, dead letters and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sink/dead_letters.h"
#include "sink/generations.h"
#include "json/json.h"

/* --- names --- */

static void test_generation_number_when_name_is_not_ours_then_zero(void **state)
{
	_cleanup_free_ char *name = generation_name("books", 12);

	UNUSED(state);
	assert_string_equal(name, "books-g12");
	assert_int_equal(generation_number("books", name), 12);
	assert_int_equal(generation_number("book", name), 0);
	assert_int_equal(generation_number("books", "books-g"), 0);
	assert_int_equal(generation_number("books", "books-g0"), 0);
	assert_int_equal(generation_number("books", "books-gx"), 0);
	assert_int_equal(generation_number("books", "other"), 0);
}

static void test_generation_alias_then_only_the_last_number_goes(void **state)
{
	static const struct {
		const char *concrete, *alias;
	} cases[] = {
		{"books-g12", "books"},
		{"old-g2-g1", "old-g2"},
		{"books", "books"},
		{"books-g0", "books-g0"},
		{"books-gift", "books-gift"},
		{"books-g3-dead-letters", "books-g3-dead-letters"},
		{"my-garden-g7", "my-garden"},
		{"books-g", "books-g"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *alias = generation_alias(cases[i].concrete);

		assert_string_equal(alias, cases[i].alias);
	}
}

/* --- owners --- */

static void test_generation_owner_then_name_and_uid_decide(void **state)
{
	static const struct sink sink = {.owner = "shop/books", .uid = "u1"};
	static const struct {
		const char *meta;
		enum generation_owner owner;
	} cases[] = {
		{"{}", GENERATION_FREE},
		{"{\"other\": {\"owner\": \"shop/books\"}}", GENERATION_FREE},
		{"{\"pgsync\": {\"owner\": \"\"}}", GENERATION_FREE},
		{"{\"pgsync\": {\"owner\": \"shop/books\", \"uid\": \"u1\"}}", GENERATION_OURS},
		/* Deleted and created again before the first had cleaned up. */
		{"{\"pgsync\": {\"owner\": \"shop/books\", \"uid\": \"u0\"}}", GENERATION_FOREIGN},
		{"{\"pgsync\": {\"owner\": \"shop/books\"}}", GENERATION_FOREIGN},
		{"{\"pgsync\": {\"owner\": \"shop/magazines\", \"uid\": \"u1\"}}", GENERATION_FOREIGN},
		{"{\"pgsync\": {\"formerOwner\": \"shop/books\"}}", GENERATION_LEFT},
		{"{\"pgsync\": {\"formerOwner\": \"shop/magazines\"}}", GENERATION_FREE},
		{"{\"pgsync\": {\"formerOwner\": \"shop/books\", \"owner\": \"shop/magazines\"}}", GENERATION_FOREIGN},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *meta = json_loads(cases[i].meta, 0, NULL);

		assert_non_null(meta);
		assert_int_equal(generation_owner(&sink, meta), cases[i].owner);
	}
}

static void test_generation_owner_when_there_is_no_uid_then_the_name_is_enough(void **state)
{
	static const struct sink named = {.owner = "shop/books"}, other = {.owner = "shop/books", .uid = "u1"};
	_cleanup_json_ json_t *meta = generation_owner_meta(&named);

	UNUSED(state);
	assert_int_equal(generation_owner(&named, meta), GENERATION_OURS);
	assert_int_equal(generation_owner(&other, meta), GENERATION_FOREIGN);
}

static void test_generation_owner_meta_then_it_is_ours(void **state)
{
	static const struct sink sink = {.owner = "shop/books", .uid = "u1"};
	_cleanup_json_ json_t *meta = generation_owner_meta(&sink);

	UNUSED(state);
	assert_int_equal(generation_owner(&sink, meta), GENERATION_OURS);
}

/* --- dead letters --- */

static void test_dead_letters_encode_then_every_field_is_json(void **state)
{
	const struct bulk_rejection r = {.index = "books-g1",
					 .id = "a\"b",
					 .version = 7,
					 .status = 400,
					 .type = "mapper_parsing_exception",
					 .reason = "line\nbreak"};
	const struct dead_letters_failure f = {.alias = "books",
					       .operation = "index",
					       .row = "public.books, id 7",
					       .fingerprint = "sha256:00",
					       .attempts = 2,
					       .wall_us = 1700000000123456};
	_cleanup_free_ char *text = dead_letters_encode(&r, &f);
	_cleanup_json_ json_t *json = json_loads(text, 0, NULL);

	UNUSED(state);
	assert_non_null(json);
	assert_string_equal(jsonx_string(json, "index", ""), "books");
	assert_string_equal(jsonx_string(json, "id", ""), "a\"b");
	assert_string_equal(jsonx_string(json, "row", ""), "public.books, id 7");
	assert_string_equal(jsonx_string(json, "intake", ""), "sha256:00");
	assert_int_equal(jsonx_integer(json, "attempts", 0), 2);
	assert_string_equal(jsonx_string(json, "operation", ""), "index");
	assert_int_equal(jsonx_integer(json, "status", 0), 400);
	assert_string_equal(jsonx_string(json, "time", ""), "2023-11-14T22:13:20.123456Z");
	assert_string_equal(jsonx_string(json, "type", ""), "mapper_parsing_exception");
	assert_string_equal(jsonx_string(json, "reason", ""), "line\nbreak");
	assert_null(strchr(text, '\n'));
}

static void test_dead_letters_encode_when_texts_are_long_then_they_are_cut(void **state)
{
	_cleanup_free_ char *longer = xcalloc(1, 10001);
	struct bulk_rejection r = {.index = "books-g1", .id = longer, .type = longer, .reason = longer};
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *json = NULL;

	UNUSED(state);
	memset(longer, 'x', 10000);
	text = dead_letters_encode(&r, &(struct dead_letters_failure){"books", "delete", longer, "", 1, 0});
	json = json_loads(text, 0, NULL);
	assert_int_equal(strlen(jsonx_string(json, "id", "")), 512);
	assert_int_equal(strlen(jsonx_string(json, "row", "")), 4096);
	assert_int_equal(strlen(jsonx_string(json, "type", "")), 256);
	assert_int_equal(strlen(jsonx_string(json, "reason", "")), 4096);
}

static const struct err bad_value = {.kind = ERR_INVALID, .sqlstate = "22012", .msg = "division by zero"};

static int fail_document(struct dead_letters *d, const char *id, struct err *err)
{
	const struct dead_letters_document document = {.concrete = "books-g1", .id = id, .version = 1};

	return dead_letters_add_failed(d, &document, &bad_value, err);
}

static void test_dead_letters_add_failed_when_stalling_then_an_error(void **state)
{
	static const struct sink sink = {.owner = "shop/books", .stall_on_error = true};
	struct dead_letters d;
	struct err err = {0};

	UNUSED(state);
	dead_letters_init(&d, &sink, NULL);
	assert_int_equal(fail_document(&d, "7", &err), -1);
	assert_string_equal(reason_name(err.reason), "DocumentFailed");
	assert_non_null(strstr(err.msg, "index \"books\""));
	assert_int_equal(d.n, 0);
	dead_letters_release(&d);
}

static void test_dead_letters_add_failed_then_it_is_collected_and_a_retry_has_failed(void **state)
{
	struct sink sink = {.owner = "shop/books"};
	char ids[][2] = {"7", "9"};
	struct dead_letters_retry items[] = {{.id = ids[0]}, {.id = ids[1]}};
	struct dead_letters_retries retries = {.concrete = "books-g1", .items = items, .n = 2};
	struct dead_letters d;
	struct report report;
	struct err err = {0};

	UNUSED(state);
	report_init(&report);
	dead_letters_init(&d, &sink, &report);
	d.retries = &retries;
	assert_int_equal(fail_document(&d, "7", &err), 0);
	assert_int_equal(fail_document(&d, "8", &err), 0);
	assert_int_equal(d.n, 2);
	assert_true(items[0].failed);
	assert_false(items[1].failed);
	/* The policy has changed since: documents that failed before do not stop anything. */
	sink.stall_on_error = true;
	assert_int_equal(fail_document(&d, "7", &err), 0);
	assert_int_equal(fail_document(&d, "8", &err), -1);
	dead_letters_release(&d);
	assert_int_equal(d.n, 0);
	report_release(&report);
}

static void test_dead_letters_condition_then_the_first_index_with_some(void **state)
{
	struct report r;

	UNUSED(state);
	report_init(&r);
	report_dead_letters_set(&r, "authors", 0, report_dead_letters_revision(&r, "authors"));
	report_dead_letters_set(&r, "books", 3, report_dead_letters_revision(&r, "books"));
	dead_letters_set_condition(&r);
	assert_int_equal(report_status(&r, CONDITION_DEGRADED), STATUS_TRUE);
	assert_string_equal(r.conditions[CONDITION_DEGRADED].message,
			    "3 documents were rejected or could not be built; see index \"books-dead-letters\"");
	report_dead_letters_set(&r, "books", 0, report_dead_letters_revision(&r, "books"));
	dead_letters_set_condition(&r);
	assert_int_equal(report_status(&r, CONDITION_DEGRADED), STATUS_FALSE);
	report_release(&r);
}

/* --- limits --- */

static void test_bulk_options_then_a_body_has_a_limit(void **state)
{
	struct sink sink = {.bulk_max_bytes = 65536, .bulk_concurrency = 3};

	UNUSED(state);
	assert_int_equal(sink_bulk_options(&sink).max_bytes, 65536);
	assert_int_equal(sink_bulk_options(&sink).concurrency, 3);
	assert_int_equal(sink_bulk_options(&sink).retry_ms, SINK_RETRY_MS);
	sink.bulk_max_bytes = (size_t)100 * 1024 * 1024;
	assert_int_equal(sink_bulk_options(&sink).max_bytes, 100 * 1024 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generation_number_when_name_is_not_ours_then_zero),
		cmocka_unit_test(test_generation_alias_then_only_the_last_number_goes),
		cmocka_unit_test(test_generation_owner_then_name_and_uid_decide),
		cmocka_unit_test(test_generation_owner_when_there_is_no_uid_then_the_name_is_enough),
		cmocka_unit_test(test_generation_owner_meta_then_it_is_ours),
		cmocka_unit_test(test_dead_letters_encode_then_every_field_is_json),
		cmocka_unit_test(test_dead_letters_encode_when_texts_are_long_then_they_are_cut),
		cmocka_unit_test(test_dead_letters_add_failed_when_stalling_then_an_error),
		cmocka_unit_test(test_dead_letters_add_failed_then_it_is_collected_and_a_retry_has_failed),
		cmocka_unit_test(test_dead_letters_condition_then_the_first_index_with_some),
		cmocka_unit_test(test_bulk_options_then_a_body_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
