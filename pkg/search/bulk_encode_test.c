/* Tests of the pure parts of the bulk API: lines, answers, verdicts, bodies and pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "search/bulk_body_int.h"
#include "search/bulk_int.h"
#include "search/bulk_pace_int.h"

/* --- Lines -----------------------------------------------------------------------------------------------------------
 */
static void expect_encoded(const struct bulk_action *action, const char *index, const char *expected)
{
	struct strbuf sb;

	strbuf_init(&sb, 100000);
	bulk_encode(&sb, action, index);
	assert_string_equal(sb.data, expected);
	assert_true(sb.len <= bulk_encoded_max(action, index));
	strbuf_release(&sb);
}

static void test_encode_when_index_then_action_and_document_lines(void **state)
{
	UNUSED(state);
	expect_encoded(
		&(struct bulk_action){.index = "books",
				      .id = "7",
				      .id_len = 1,
				      .version = 18446744073709551615U,
				      .document = "{\"a\":1}",
				      .document_len = 7},
		NULL,
		"{\"index\":{\"_id\":\"7\",\"version\":18446744073709551615,\"version_type\":\"external_gte\"}}\n"
		"{\"a\":1}\n");
}

static void test_encode_when_delete_then_one_line(void **state)
{
	UNUSED(state);
	expect_encoded(&(struct bulk_action){.index = "books", .id = "ab", .id_len = 2, .version = 5}, NULL,
		       "{\"delete\":{\"_id\":\"ab\",\"version\":5,\"version_type\":\"external_gte\"}}\n");
}

static void test_encode_when_index_and_routing_are_given_then_in_the_line(void **state)
{
	UNUSED(state);
	expect_encoded(&(struct bulk_action){.index = "b", .id = "1", .id_len = 1, .version = 5, .routing = "t\"1"},
		       "b-g2",
		       "{\"delete\":{\"_index\":\"b-g2\",\"_id\":\"1\",\"version\":5,\"version_type\":\"external_gte\","
		       "\"routing\":\"t\\\"1\"}}\n");
}

static void test_encode_when_id_is_special_then_escaped(void **state)
{
	UNUSED(state);
	expect_encoded(&(struct bulk_action){.index = "b", .id = "a\"\\\n\xC3\xA9", .id_len = 6, .version = 1}, NULL,
		       "{\"delete\":{\"_id\":\"a\\\"\\\\\\n\xC3\xA9\",\"version\":1,"
		       "\"version_type\":\"external_gte\"}}\n");
}

static void test_encode_when_document_has_line_breaks_then_they_become_spaces(void **state)
{
	UNUSED(state);
	expect_encoded(&(struct bulk_action){.index = "b",
					     .id = "1",
					     .id_len = 1,
					     .version = 1,
					     .document = "\n{\r\n\"a\":\n\n1}\n",
					     .document_len = 13},
		       NULL,
		       "{\"index\":{\"_id\":\"1\",\"version\":1,\"version_type\":\"external_gte\"}}\n"
		       " {  \"a\":  1} \n");
}

/* --- Answers ---------------------------------------------------------------------------------------------------------
 */
static int decode(const char *text, size_t n_actions, struct bulk_answer *ret, struct err *err)
{
	return bulk_decode(text, strlen(text), n_actions, ret, err);
}

static void test_decode_when_no_errors_then_every_item_succeeded(void **state)
{
	struct bulk_answer answer;
	struct err err;

	UNUSED(state);
	assert_int_equal(decode("{\"took\":12,\"errors\":false,\"items\":[garbage", 3, &answer, &err), 0);
	assert_int_equal(answer.took_ms, 12);
	assert_false(answer.errors);
	assert_int_equal(bulk_answer_item(&answer, 2).status, 200);
	bulk_answer_release(&answer);
	assert_int_equal(decode(" {\n \"errors\" : false, \"took\" : 7 }", 1, &answer, &err), 0);
	assert_int_equal(answer.took_ms, 7);
	assert_int_equal(bulk_answer_item(&answer, 0).status, 200);
	bulk_answer_release(&answer);
}

static void test_decode_when_items_differ_then_each_has_its_status_and_error(void **state)
{
	struct bulk_answer answer;
	struct bulk_item item;
	struct err err;

	UNUSED(state);
	assert_int_equal(
		decode("{\"took\":1,\"ingest_took\":4,\"errors\":true,\"items\":["
		       "{\"index\":{\"_id\":\"1\",\"_shards\":{\"total\":1,\"failures\":[]},\"status\":201}},"
		       "{\"delete\":{\"status\":404}},"
		       "{\"index\":{\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"x\"},"
		       "\"status\":409}},"
		       "{\"index\":{\"status\":400,\"error\":{\"reason\":\"say \\\"\\u00e9\\\"\","
		       "\"type\":\"mapper_parsing_exception\",\"caused_by\":{\"type\":\"other\"}}}},"
		       "{\"index\":{\"status\":400,\"error\":{\"type\":\"t\",\"reason\":\"no field\","
		       "\"caused_by\":{\"type\":\"u\",\"reason\":\"no "
		       "number\",\"caused_by\":{\"reason\":\"\\\"x\\\"\"}}}}},"
		       "{\"index\":{\"status\":400,\"error\":{\"reason\":\"no type\"}}},"
		       "{\"index\":{\"status\":400,\"error\":"
		       "{\"type\":\"t\",\"caused_by\":{\"caused_by\":{\"caused_by\":{\"caused_by\":{\"caused_by\":"
		       "{\"reason\":\"deep\"}}}}}}}}]}",
		       7, &answer, &err),
		0);
	assert_true(answer.errors);
	assert_int_equal(bulk_answer_item(&answer, 0).status, 201);
	assert_null(bulk_answer_item(&answer, 0).type);
	assert_int_equal(bulk_answer_item(&answer, 1).status, 404);
	assert_int_equal(bulk_answer_item(&answer, 2).status, 409);
	item = bulk_answer_item(&answer, 3);
	assert_int_equal(item.status, 400);
	assert_string_equal(item.type, "mapper_parsing_exception");
	assert_string_equal(item.reason, "say \"\xC3\xA9\"");
	assert_string_equal(bulk_answer_item(&answer, 4).reason, "no field: no number: \"x\"");
	assert_string_equal(bulk_answer_item(&answer, 5).reason, "no type");
	assert_string_equal(bulk_answer_item(&answer, 6).reason, "");
	bulk_answer_release(&answer);
}

static void test_decode_when_answer_is_malformed_then_invalid(void **state)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"<html>busy</html>",
		"{}",
		"{\"took\":1}",
		"{\"errors\":1}",
		"{\"errors\":true}",
		"{\"errors\":true,\"items\":[]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":200}},{}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":99}}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":600}}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{}}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{}]}",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":2",
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":200}}]",
		"{\"error\":{\"type\":\"x\"},\"status\":500}",
	};
	struct bulk_answer answer;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(decode(texts[i], 2, &answer, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void test_judge_when_status_differs_then_verdict_differs(void **state)
{
	static const struct {
		bool is_delete;
		int status;
		const char *type;
		enum bulk_verdict verdict;
	} cases[] = {
		{false, 200, NULL, BULK_DONE},
		{false, 201, NULL, BULK_DONE},
		{true, 404, NULL, BULK_DONE},
		{false, 409, NULL, BULK_STALE},
		{true, 409, NULL, BULK_STALE},
		{true, 404, "index_not_found_exception", BULK_NO_INDEX},
		{false, 404, "index_not_found_exception", BULK_NO_INDEX},
		{false, 404, "document_missing_exception", BULK_REJECT},
		{false, 400, "mapper_parsing_exception", BULK_REJECT},
		{false, 400, "strict_dynamic_mapping_exception", BULK_REJECT},
		{false, 400, "invalid_index_name_exception", BULK_NO_INDEX},
		{true, 400, "invalid_index_name_exception", BULK_NO_INDEX},
		{false, 401, "security_exception", BULK_FORBIDDEN},
		{false, 403, "security_exception", BULK_FORBIDDEN},
		{false, 403, "cluster_block_exception", BULK_RETRY},
		{false, 429, "es_rejected_execution_exception", BULK_RETRY},
		{false, 429, "circuit_breaking_exception", BULK_RETRY},
		{false, 503, "unavailable_shards_exception", BULK_RETRY},
		{false, 504, NULL, BULK_RETRY},
		{false, 500, "null_pointer_exception", BULK_RETRY_FEW},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(bulk_judge(cases[i].is_delete,
					    &(struct bulk_item){.status = cases[i].status, .type = cases[i].type}),
				 cases[i].verdict);
}

/* --- Bodies ----------------------------------------------------------------------------------------------------------
 */
static void add(struct bulk_body *body, const char *id, uint64_t ordinal)
{
	assert_true(bulk_body_add(body,
				  &(struct bulk_action){.index = "b",
							.id = id,
							.id_len = strlen(id),
							.version = 1,
							.document = "{}",
							.document_len = 2},
				  0, NULL, ordinal));
}

static void test_body_when_some_are_sent_again_then_only_they_and_the_rest_stay(void **state)
{
	struct bulk_body body;

	UNUSED(state);
	bulk_body_init(&body, 10000);
	for (uint64_t i = 0; i < 5; i++)
		add(&body, (const char *[]){"a", "bb", "ccc", "dddd", "eeeee"}[i], i);
	body.entries[1].again = true;
	assert_int_equal(bulk_body_cut(&body, 3), 1);
	assert_int_equal(body.n, 3);
	assert_string_equal(bulk_body_id(&body, 0), "bb");
	assert_string_equal(bulk_body_id(&body, 2), "eeeee");
	assert_int_equal(body.entries[0].ordinal, 1);
	assert_string_equal(body.data.data,
			    "{\"index\":{\"_id\":\"bb\",\"version\":1,\"version_type\":\"external_gte\"}}\n{}\n"
			    "{\"index\":{\"_id\":\"dddd\",\"version\":1,\"version_type\":\"external_gte\"}}\n{}\n"
			    "{\"index\":{\"_id\":\"eeeee\",\"version\":1,\"version_type\":\"external_gte\"}}\n{}\n");
	assert_int_equal(bulk_body_bytes(&body, 3), body.data.len);
	assert_int_equal(bulk_body_prefix(&body, body.data.len), 3);
	assert_int_equal(bulk_body_prefix(&body, body.data.len - 1), 2);
	assert_int_equal(bulk_body_prefix(&body, 1), 1);
	bulk_body_release(&body);
}

static void test_body_when_action_does_not_fit_then_nothing_changes(void **state)
{
	struct bulk_body body;
	const struct bulk_action action = {
		.index = "b", .id = "1", .id_len = 1, .version = 1, .document = "{\"a\":1}", .document_len = 7};

	UNUSED(state);
	bulk_body_init(&body, 100);
	assert_true(bulk_body_add(&body, &action, 0, NULL, 0));
	assert_false(bulk_body_add(&body, &action, 0, NULL, 1));
	assert_int_equal(body.n, 1);
	assert_int_equal(bulk_body_bytes(&body, 1), body.data.len);
	bulk_body_reset(&body, 0);
	assert_true(bulk_body_add(&body, &action, 0, NULL, 1));
	bulk_body_release(&body);
}

/* --- Pace ------------------------------------------------------------------------------------------------------------
 */
enum { MIB = 1024 * 1024 };

static void test_pace_when_pushed_back_then_less_is_asked_for_and_later_more(void **state)
{
	struct bulk_pace p;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	assert_true(bulk_pace_pushed_back(&p, 1000, 0, false));
	assert_int_equal(p.window, 2);
	assert_int_equal(p.target_bytes, MIB);
	assert_in_range(p.pause_until_ms, 1050, 1100);
	/* Another one that was under way at the same time. */
	assert_false(bulk_pace_pushed_back(&p, 1001, 0, false));
	assert_int_equal(p.window, 2);
	/* One that was started before says nothing. */
	assert_false(bulk_pace_accepted(&p, 999));
	assert_true(p.pressed);
	assert_true(bulk_pace_accepted(&p, 1100));
	assert_false(bulk_pace_accepted(&p, 1100));
	for (int i = 0; i < 100; i++)
		(void)bulk_pace_accepted(&p, 1100);
	assert_int_equal(p.window, 4);
	assert_int_equal(p.target_bytes, 2 * MIB);
}

static void test_pace_when_pushed_back_again_and_again_then_pauses_grow_up_to_the_cap(void **state)
{
	struct bulk_pace p;
	int64_t now_ms = 0, longest_ms = 0;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	for (int i = 0; i < 60; i++) {
		(void)bulk_pace_pushed_back(&p, now_ms, 0, false);
		if (p.pause_until_ms - now_ms > longest_ms)
			longest_ms = p.pause_until_ms - now_ms;
		now_ms = p.pause_until_ms;
	}
	assert_in_range(longest_ms, 10 * 1000, 30 * 1000);
	assert_int_equal(p.window, 1);
	assert_int_equal(p.target_bytes, 128 * 1024);
}

static void test_pace_when_server_is_away_then_it_is_asked_often_and_size_stays(void **state)
{
	struct bulk_pace p;
	int64_t now_ms = 0;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	for (int i = 0; i < 30; i++) {
		(void)bulk_pace_pushed_back(&p, now_ms, 0, true);
		assert_in_range(p.pause_until_ms - now_ms, 0, 5000);
		now_ms = p.pause_until_ms;
	}
	assert_int_equal(p.window, 4);
	assert_int_equal(p.target_bytes, 2 * MIB);
}

static void test_pace_when_server_names_a_time_then_it_is_kept(void **state)
{
	struct bulk_pace p;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	(void)bulk_pace_pushed_back(&p, 1000, 7000, false);
	assert_int_equal(p.pause_until_ms, 8000);
}

static void test_pace_when_too_large_then_never_that_size_again(void **state)
{
	struct bulk_pace p;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	bulk_pace_too_large(&p, 2 * MIB);
	for (int i = 0; i < 100; i++)
		(void)bulk_pace_accepted(&p, 0);
	assert_int_equal(p.target_bytes, MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode_when_index_then_action_and_document_lines),
		cmocka_unit_test(test_encode_when_delete_then_one_line),
		cmocka_unit_test(test_encode_when_index_and_routing_are_given_then_in_the_line),
		cmocka_unit_test(test_encode_when_id_is_special_then_escaped),
		cmocka_unit_test(test_encode_when_document_has_line_breaks_then_they_become_spaces),
		cmocka_unit_test(test_decode_when_no_errors_then_every_item_succeeded),
		cmocka_unit_test(test_decode_when_items_differ_then_each_has_its_status_and_error),
		cmocka_unit_test(test_decode_when_answer_is_malformed_then_invalid),
		cmocka_unit_test(test_judge_when_status_differs_then_verdict_differs),
		cmocka_unit_test(test_body_when_some_are_sent_again_then_only_they_and_the_rest_stay),
		cmocka_unit_test(test_body_when_action_does_not_fit_then_nothing_changes),
		cmocka_unit_test(test_pace_when_pushed_back_then_less_is_asked_for_and_later_more),
		cmocka_unit_test(test_pace_when_pushed_back_again_and_again_then_pauses_grow_up_to_the_cap),
		cmocka_unit_test(test_pace_when_server_is_away_then_it_is_asked_often_and_size_stays),
		cmocka_unit_test(test_pace_when_server_names_a_time_then_it_is_kept),
		cmocka_unit_test(test_pace_when_too_large_then_never_that_size_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
