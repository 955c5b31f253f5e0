/* Tests of the basic types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/findings.h"
#include "base/map.h"
#include "base/parse.h"
#include "base/rfc3339.h"
#include "base/strbuf.h"
#include "base/utf8.h"

static void test_strbuf_when_maximum_is_crossed_then_nothing_is_added(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 4);
	strbuf_adds(&sb, "abc");
	strbuf_adds(&sb, "de");
	assert_false(strbuf_ok(&sb));
	assert_string_equal(sb.data, "abc");
	strbuf_addc(&sb, 'x');
	assert_int_equal(sb.len, 3);
	strbuf_reset(&sb);
	strbuf_adds(&sb, "wxyz");
	assert_true(strbuf_ok(&sb));
	assert_string_equal(sb.data, "wxyz");
	strbuf_release(&sb);
}

static void test_strbuf_json_when_bytes_are_special_then_escaped(void **state)
{
	struct strbuf sb;
	const char text[] = "a\"b\\c\n\x01\xC3\xA9\xFF";

	UNUSED(state);
	strbuf_init(&sb, 100);
	strbuf_add_json(&sb, text, sizeof(text) - 1);
	assert_string_equal(sb.data, "\"a\\\"b\\\\c\\n\\u0001\xC3\xA9\xEF\xBF\xBD\"");
	strbuf_release(&sb);
}

static void test_strbuf_of_secrets_when_it_is_cut_off_then_the_rest_is_wiped(void **state)
{
	static const char zeros[6];
	struct strbuf sb;

	UNUSED(state);
	strbuf_init_secret(&sb, 1000);
	strbuf_adds(&sb, "user:secret");
	strbuf_truncate(&sb, 5);
	assert_memory_equal(sb.data + 5, zeros, 6);
	for (int i = 0; i < 100; i++)
		strbuf_addc(&sb, 'x'); /* grows several times */
	assert_memory_equal(sb.data, "user:xxx", 8);
	assert_int_equal(sb.len, 105);
	strbuf_reset(&sb);
	assert_memory_equal(sb.data, zeros, 6);
	free_secret(strbuf_detach(&sb));
	assert_true(sb.secret);
	strbuf_release(&sb);
}

static void test_strbuf_detach_then_buffer_is_usable_again(void **state)
{
	struct strbuf sb;
	_cleanup_free_ char *first = NULL;

	UNUSED(state);
	strbuf_init(&sb, 100);
	strbuf_addf(&sb, "%d-%s", 7, "x");
	first = strbuf_detach(&sb);
	assert_string_equal(first, "7-x");
	assert_string_equal(sb.data, "");
	strbuf_addu(&sb, UINT64_MAX);
	assert_string_equal(sb.data, "18446744073709551615");
	strbuf_release(&sb);
}

static void test_cursor_when_input_ends_then_get_fails_and_consumes_nothing(void **state)
{
	struct cursor c;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	const char *s = NULL;

	UNUSED(state);
	cursor_init(&c, "\x01\x02\x03", 3);
	assert_false(cursor_u32(&c, &u32));
	assert_true(cursor_u16(&c, &u16));
	assert_int_equal(u16, 0x0102);
	assert_false(cursor_cstring(&c, &s));
	assert_int_equal(cursor_left(&c), 1);
	assert_false(cursor_bytes(&c, 2, &s));
}

static void test_map_when_key_is_put_twice_then_old_value_is_freed(void **state)
{
	_cleanup_(map_freep) struct map *m = map_new(free);

	UNUSED(state);
	map_puts(m, "a", xstrdup("1"));
	map_puts(m, "a", xstrdup("2"));
	map_put(m, "a\0b", 3, xstrdup("3"));
	assert_int_equal(map_size(m), 2);
	assert_string_equal(map_gets(m, "a"), "2");
	assert_string_equal(map_get(m, "a\0b", 3), "3");
	assert_true(map_removes(m, "a"));
	assert_false(map_removes(m, "a"));
	assert_null(map_gets(m, "a"));
}

static void test_percent_decode_when_escapes_then_bytes_and_the_rest_as_it_is(void **state)
{
	static const struct {
		const char *text, *want;
		size_t len;
	} rows[] = {
		{"", "", 0},     {"a%20b%2F", "a b/", 4}, {"%c3%BC", "\xc3\xbc", 2}, {"100%", "100%", 4},
		{"%4", "%4", 2}, {"%zz%g0", "%zz%g0", 6}, {"a%00b", "a", 3},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = 0;
		_cleanup_free_ char *decoded = percent_decode(rows[i].text, rows[i].text + strlen(rows[i].text), &len);

		assert_string_equal(decoded, rows[i].want);
		assert_int_equal(len, rows[i].len);
	}
}

static void test_amount_of_bytes_then_rounded_down_in_one_unit(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{0, "0B"},
		{1023, "1023B"},
		{1024, "1.0KiB"},
		{1536, "1.5KiB"},
		{10 * 1024 - 1, "9.9KiB"},
		{10 * 1024, "10KiB"},
		{UINT64_C(16) << 20, "16MiB"},
		{UINT64_C(1) << 40, "1.0TiB"},
		{UINT64_MAX, "16777215TiB"},
	};
	char buf[AMOUNT_BYTES];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(amount_of_bytes(rows[i].bytes, buf), rows[i].text);
}

static void test_amount_of_time_then_a_unit_begins_at_two(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{INT64_MIN, "0s"}, {0, "0s"},      {119, "119s"},
		{120, "2m"},       {7199, "119m"}, {7200, "2h"},
		{172799, "47h"},   {172800, "2d"}, {INT64_MAX, "106751991167300d"},
	};
	char buf[AMOUNT_BYTES];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(amount_of_time(rows[i].seconds, buf), rows[i].text);
}

static void test_parse_numbers_when_malformed_then_refused(void **state)
{
	uint64_t u;
	int64_t ms;

	UNUSED(state);
	assert_true(parse_u64("18446744073709551615", 20, &u));
	assert_true(u == UINT64_MAX);
	assert_false(parse_u64("18446744073709551616", 20, &u));
	assert_false(parse_u64("", 0, &u));
	assert_false(parse_u64("-1", 2, &u));
	assert_false(parse_u64("1 ", 2, &u));
	assert_true(parse_lsn("16/B374D848", &u));
	assert_true(u == 0x16B374D848U);
	assert_false(parse_lsn("16", &u));
	assert_false(parse_lsn("1/100000000", &u));
	assert_true(parse_range("65535", 1, 65535, &u));
	assert_false(parse_range("0", 1, 65535, &u));
	assert_true(parse_duration_ms("15s", &ms) && ms == 15000);
	assert_true(parse_duration_ms("250ms", &ms) && ms == 250);
	assert_true(parse_duration_ms("2", &ms) && ms == 2000);
	assert_false(parse_duration_ms("s", &ms));
	assert_false(parse_duration_ms("1d", &ms));
}

static void test_utf8_when_overlong_or_surrogate_then_invalid(void **state)
{
	UNUSED(state);
	assert_int_equal(utf8_sequence("\xC0\x80", 2), 0);
	assert_int_equal(utf8_sequence("\xED\xA0\x80", 3), 0);
	assert_int_equal(utf8_sequence("\xF4\x90\x80\x80", 4), 0);
	assert_int_equal(utf8_sequence("\xE2\x82", 2), 0);
	assert_int_equal(utf8_sequence("\xE2\x82\xAC", 3), 3);
	assert_int_equal(utf8_sequence("\xF0\x9F\x98\x80", 4), 4);
}

static void test_json_string_when_terminals_would_act_then_escaped(void **state)
{
	/* In pieces, for clang-tidy does not want characters that change the direction of a text in a literal. */
	_cleanup_free_ char *text = xasprintf("\x1b]0;x\a \x7f \xC2\x9b"
					      "2J %c%s %c%s \xC2\xA0 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
					      0xE2, "\x80\xAE", 0xD8, "\x9C");
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 1000);
	strbuf_add_json(&sb, text, strlen(text));
	assert_string_equal(sb.data, "\"\\u001b]0;x\\u0007 \\u007f \\u009b"
				     "2J \\u202e \\u061c \xC2\xA0 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
	strbuf_release(&sb);
}

static void test_printable_when_a_terminal_would_act_then_question_marks(void **state)
{
	_cleanup_free_ char *text = xasprintf("a\x1b[2J\n\xC2\x9b%c\x80\xAE\xff\xC3\xA9\xE2", 0xE2);

	UNUSED(state);
	utf8_make_printable(text);
	assert_string_equal(text, "a?[2J\n??????\xC3\xA9?");
}

static void test_utf8_prefix_when_it_must_cut_then_no_character_is_parted(void **state)
{
	UNUSED(state);
	assert_int_equal(utf8_prefix("abc", 3, 3), 3);
	assert_int_equal(utf8_prefix("abc", 3, 2), 2);
	assert_int_equal(utf8_prefix("abc", 3, 0), 0);
	assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 4), 4);
	assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 3), 1);
	assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 2), 1);
	assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 1), 1);
	assert_int_equal(utf8_prefix("\xF0\x9F\x98\x80x", 5, 3), 0);
	assert_int_equal(utf8_prefix("\xF0\x9F\x98\x80x", 5, 4), 4);
	/* Text that is not UTF-8 may be cut anywhere. */
	assert_int_equal(utf8_prefix("\x80\x80\x80\x80\x80\x80", 6, 4), 4);
	assert_int_equal(utf8_prefix("\xE2\x82\x41\x41", 4, 1), 1);
}

static void test_backoff_when_repeated_then_grows_to_its_cap(void **state)
{
	struct backoff b;

	UNUSED(state);
	backoff_init(&b, 100, 1000, 42);
	for (int i = 0; i < 20; i++) {
		int64_t delay = backoff_next_ms(&b);

		assert_true(delay >= 50 && delay <= 1000);
		if (i == 0)
			assert_true(delay <= 100);
	}
	backoff_reset(&b);
	assert_true(backoff_next_ms(&b) <= 100);
}

static void test_reasons_then_each_has_a_word_that_leads_back_to_it(void **state)
{
	UNUSED(state);
	assert_string_equal(reason_name(REASON_AUTH_FAILED), "AuthFailed");
	assert_string_equal(reason_name(REASON_NONE), "Unspecified");
	for (int i = 0; i < REASON_N; i++) {
		enum reason back = REASON_N;

		assert_true(reason_parse(reason_name((enum reason)i), &back));
		/* It would be another reason if two had the same word. */
		assert_int_equal(back, i);
	}
}

static void test_reason_when_a_server_is_away_then_it_is_unreachable(void **state)
{
	UNUSED(state);
	assert_true(reason_is_unreachable(REASON_DNS));
	assert_true(reason_is_unreachable(REASON_SOURCE_UNREACHABLE));
	assert_false(reason_is_unreachable(REASON_AUTH_FAILED));
	assert_false(reason_is_unreachable(REASON_NONE));
}

static void test_reason_when_the_word_is_unknown_then_not_parsed(void **state)
{
	static const char *const words[] = {"", "authFailed", "AuthFailed ", "AuthFail", "Novelty"};
	enum reason reason = REASON_N;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_false(reason_parse(words[i], &reason));
	assert_int_equal(reason, REASON_N);
	assert_string_equal(reason_name(REASON_N), "Unspecified");
}

static void test_findings_when_copied_then_the_statement_is_too(void **state)
{
	_cleanup_(findings_release) struct findings f, copy;

	UNUSED(state);
	findings_init(&f);
	findings_init(&copy);
	findings_add_statement(&f, FINDING_WARNING, REASON_MISSING_INDEX, "spec", "CREATE INDEX", "slow: %s",
			       "CREATE INDEX");
	findings_add(&f, FINDING_WARNING, REASON_NOT_SUPPORTED, NULL, "no");
	findings_copy(&copy, &f);
	assert_string_equal(copy.items[0].statement, "CREATE INDEX");
	assert_string_equal(copy.items[0].message, "slow: CREATE INDEX");
	assert_null(copy.items[1].statement);
}

static void test_findings_when_several_then_joined_in_one_error(void **state)
{
	struct findings f;
	struct err err = {0};

	UNUSED(state);
	findings_init(&f);
	assert_int_equal(findings_err(&f, &err), 0);
	findings_add(&f, FINDING_WARNING, REASON_MISSING_INDEX, NULL, "slow");
	assert_false(findings_failed(&f));
	findings_add(&f, FINDING_ERROR, REASON_UNKNOWN_COLUMN, "spec.a", "no column %d", 1);
	findings_add(&f, FINDING_ERROR, REASON_UNKNOWN_TABLE, NULL, "no table");
	assert_int_equal(findings_err(&f, &err), -1);
	assert_string_equal(reason_name(err.reason), "UnknownColumn");
	assert_string_equal(err.msg, "spec.a: no column 1; no table");
	findings_release(&f);
}

static void test_findings_when_there_are_too_many_then_counted(void **state)
{
	struct findings many, all;
	_cleanup_free_ char *text = NULL;

	UNUSED(state);
	findings_init(&many);
	findings_init(&all);
	for (int i = 0; i < 5000; i++)
		findings_add(&many, FINDING_WARNING, REASON_MISSING_INDEX, "spec", "slow");
	assert_false(findings_failed(&many));
	/* Warnings must leave room for errors. */
	findings_add(&many, FINDING_ERROR, REASON_UNKNOWN_TABLE, "spec.a", "no table");
	assert_true(findings_failed(&many));
	for (int i = 0; i < 5000; i++)
		findings_add(&many, FINDING_ERROR, REASON_UNKNOWN_COLUMN, "spec.b", "no column");
	findings_move(&all, &many);
	assert_int_equal(all.n, FINDINGS_MOST);
	assert_int_equal(all.n + all.dropped[FINDING_ERROR] + all.dropped[FINDING_WARNING], 10001);
	text = findings_summary(&all, FINDING_ERROR, 60);
	assert_string_equal(text, "spec.a: no table; and 5000 more");
	findings_release(&all);
}

static void expect_summary(const struct findings *f, size_t max, const char *want)
{
	_cleanup_free_ char *got = findings_summary(f, FINDING_ERROR, max);

	assert_string_equal(got, want);
}

/* Whole findings, and the number of the others; a single one that is too long is cut between characters. */
static void test_findings_when_they_do_not_fit_then_counted(void **state)
{
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	for (int i = 0; i < 40; i++)
		findings_add(&f, FINDING_ERROR, REASON_UNKNOWN_COLUMN, "spec", "no column %d", i);
	expect_summary(&f, 32 + 40, "spec: no column 0; spec: no column 1; and 38 more");
	findings_release(&f);
	findings_add(&f, FINDING_ERROR, REASON_UNKNOWN_COLUMN, NULL, "no \xc3\xa4\xc3\xa4");
	expect_summary(&f, 32 + 6, "no \xc3\xa4");
	expect_summary(&f, 1000, "no \xc3\xa4\xc3\xa4");
	findings_release(&f);
}

static void test_findings_when_an_error_is_at_a_path_within_or_above_then_they_concern_it(void **state)
{
	static const struct {
		const char *path;
		bool concerns;
	} rows[] = {
		{"spec.sink.urls[0]", false},          {"spec.sources", false}, {"spec.source", true},
		{"spec.source.tls.caSecretRef", true}, {"spec", true},          {"", true},
		{"configmap/a/b[0].nodes", false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;

		findings_init(&f);
		findings_add(&f, FINDING_WARNING, REASON_INVALID_SPEC, "spec.source", "is odd");
		assert_false(findings_any_about(&f, "spec.source"));
		findings_add(&f, FINDING_ERROR, REASON_INVALID_SPEC, rows[i].path, "is wrong");
		assert_int_equal(findings_any_about(&f, "spec.source"), rows[i].concerns);
	}
}

static void test_nearest_name_when_word_is_mistyped_then_found(void **state)
{
	const char *const names[] = {"id", "title", "price"};
	const char *const keys[] = {"table", "label"};

	UNUSED(state);
	assert_string_equal(nearest_name("titel", names, 3), "title");
	assert_null(nearest_name("completely_other", names, 3));
	assert_string_equal(nearest_name("lable", keys, 2), "label");
	assert_string_equal(nearest_name("lable", keys, 1), "table");
	assert_string_equal(nearest_name("tilte", names, 3), "title");
	assert_string_equal(nearest_name("TITLE", names, 3), "title");
}

static void test_err_wrap_then_kind_and_reason_stay(void **state)
{
	struct err err;

	UNUSED(state);
	assert_int_equal(err_reason(&err, ERR_DENIED, REASON_AUTH_FAILED, "password of %s", "u"), -1);
	assert_int_equal(err_wrap(&err, "connecting"), -1);
	assert_string_equal(err.msg, "connecting: password of u");
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(reason_name(err.reason), "AuthFailed");
}

static void test_rfc3339_when_parsed_then_microseconds(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} GOOD[] = {{"1970-01-01T00:00:00Z", 0},
		    {"1970-01-01T00:00:01.5Z", 1500000},
		    {"1970-01-01T01:00:00.000001+01:00", 1},
		    {"1969-12-31T23:00:00-01:00", 0},
		    {"2000-02-29T00:00:00.123456789Z", 951782400123456}};
	static const char *const BAD[] = {"",
					  "1970-01-01",
					  "1970-01-01 00:00:00Z",
					  "1970-01-01T00:00:00",
					  "1970-13-01T00:00:00Z",
					  "1970-01-01T24:00:00Z",
					  "1970-01-01T00:00:00Zx",
					  "1970-01-01T00:00:00+1"};
	int64_t us;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++) {
		assert_true(rfc3339_parse(GOOD[i].text, &us));
		assert_int_equal(us, GOOD[i].us);
	}
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++)
		assert_false(rfc3339_parse(BAD[i], &us));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strbuf_when_maximum_is_crossed_then_nothing_is_added),
		cmocka_unit_test(test_strbuf_json_when_bytes_are_special_then_escaped),
		cmocka_unit_test(test_strbuf_of_secrets_when_it_is_cut_off_then_the_rest_is_wiped),
		cmocka_unit_test(test_strbuf_detach_then_buffer_is_usable_again),
		cmocka_unit_test(test_cursor_when_input_ends_then_get_fails_and_consumes_nothing),
		cmocka_unit_test(test_map_when_key_is_put_twice_then_old_value_is_freed),
		cmocka_unit_test(test_amount_of_bytes_then_rounded_down_in_one_unit),
		cmocka_unit_test(test_amount_of_time_then_a_unit_begins_at_two),
		cmocka_unit_test(test_percent_decode_when_escapes_then_bytes_and_the_rest_as_it_is),
		cmocka_unit_test(test_parse_numbers_when_malformed_then_refused),
		cmocka_unit_test(test_utf8_when_overlong_or_surrogate_then_invalid),
		cmocka_unit_test(test_json_string_when_terminals_would_act_then_escaped),
		cmocka_unit_test(test_printable_when_a_terminal_would_act_then_question_marks),
		cmocka_unit_test(test_utf8_prefix_when_it_must_cut_then_no_character_is_parted),
		cmocka_unit_test(test_backoff_when_repeated_then_grows_to_its_cap),
		cmocka_unit_test(test_reasons_then_each_has_a_word_that_leads_back_to_it),
		cmocka_unit_test(test_reason_when_a_server_is_away_then_it_is_unreachable),
		cmocka_unit_test(test_reason_when_the_word_is_unknown_then_not_parsed),
		cmocka_unit_test(test_findings_when_copied_then_the_statement_is_too),
		cmocka_unit_test(test_findings_when_several_then_joined_in_one_error),
		cmocka_unit_test(test_findings_when_there_are_too_many_then_counted),
		cmocka_unit_test(test_findings_when_they_do_not_fit_then_counted),
		cmocka_unit_test(test_findings_when_an_error_is_at_a_path_within_or_above_then_they_concern_it),
		cmocka_unit_test(test_nearest_name_when_word_is_mistyped_then_found),
		cmocka_unit_test(test_err_wrap_then_kind_and_reason_stay),
		cmocka_unit_test(test_rfc3339_when_parsed_then_microseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
