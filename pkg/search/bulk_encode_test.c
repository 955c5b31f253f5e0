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

static void test_decode_when_no_errors_then_each_item_has_its_result(void **state)
{
	struct bulk_answer answer;
	struct err err;

	UNUSED(state);
	assert_int_equal(decode("{\"took\":12,\"errors\":false,\"items\":["
				"{\"index\":{\"result\":\"created\",\"status\":201}},"
				"{\"index\":{\"status\":200,\"result\":\"noop\"}},"
				"{ \"delete\" : { \"result\" : \"not_found\", \"status\" : 404 } },"
				"{\"index\":{\"result\":\"something new\",\"status\":200}},"
				"{\"index\":{\"result\":null,\"status\":200}},"
				"{\"index\":{\"status\":200}}]}",
				6, &answer, &err),
			 0);
	assert_int_equal(answer.took_ms, 12);
	assert_int_equal(bulk_answer_item(&answer, 0).status, 201);
	assert_int_equal(bulk_answer_item(&answer, 0).result, BULK_RESULT_CREATED);
	assert_int_equal(bulk_answer_item(&answer, 1).result, BULK_RESULT_NOOP);
	assert_int_equal(bulk_answer_item(&answer, 2).result, BULK_RESULT_NOT_FOUND);
	for (size_t i = 3; i < 6; i++)
		assert_int_equal(bulk_answer_item(&answer, i).result, BULK_RESULT_NONE);
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
	assert_int_equal(bulk_answer_item(&answer, 0).status, 201);
	assert_null(bulk_answer_item(&answer, 0).type);
	assert_int_equal(bulk_answer_item(&answer, 1).status, 404);
	assert_int_equal(bulk_answer_item(&answer, 2).status, 409);
	assert_string_equal(bulk_answer_item(&answer, 2).type, BULK_VERSION_CONFLICT);
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

/* Read as the first, each of them would confirm two writes. */
static void test_decode_when_answer_contradicts_itself_then_invalid(void **state)
{
#define WRITTEN "{\"index\":{\"result\":\"created\",\"status\":201}}"
	static const char *const texts[] = {
		"{\"errors\":false,\"items\":[" WRITTEN "," WRITTEN "]}",
		"{\"errors\":true,\"items\":[" WRITTEN "," WRITTEN "]}",
		"{\"errors\":\"false\",\"items\":[" WRITTEN "," WRITTEN "]}",
		"{\"errors\":false,\"items\":[" WRITTEN "," WRITTEN "]}{\"errors\":true}",
		"{\"errors\":false,\"items\":[" WRITTEN "," WRITTEN "],\"items\":[]}",
		"{\"errors\":false,\"items\":[],\"items\":[" WRITTEN "," WRITTEN "]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"status\":400,\"result\":\"created\",\"status\":201}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"status\":201,\"result\":\"noop\",\"result\":\"created\"}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"error\":{\"type\":\"t\"},\"error\":{},\"status\":400}}]}",
		"{\"items\":[" WRITTEN ",{\"update\":{\"result\":\"updated\",\"status\":200}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"result\":\"created\",\"status\":\"201\"}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"result\":\"created\",\"status\":201.0}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"result\":\"created\",\"status\":65737}}]}",
		"{\"items\":[" WRITTEN ",{\"index\":{\"result\":\"created\",\"status\":18446744073709551817}}]}",
		"{\"took\":-1,\"items\":[" WRITTEN "," WRITTEN "]}",
	};
#undef WRITTEN
	struct bulk_answer answer;
	struct err err;

	UNUSED(state);
	assert_int_equal(decode(texts[0], 2, &answer, &err), 0);
	bulk_answer_release(&answer);
	for (size_t i = 1; i < ARRAY_SIZE(texts); i++) {
		if (decode(texts[i], 2, &answer, &err) == 0)
			fail_msg("taken for an answer: %s", texts[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

/* The judgement of the only item of an answer. */
static enum bulk_verdict judge_text(bool is_delete, const char *fields)
{
	_cleanup_free_ char *text = xasprintf("{\"items\":[{\"%s\":{%s}}]}", is_delete ? "delete" : "index", fields);
	struct bulk_answer answer;
	enum bulk_verdict verdict;
	struct bulk_item item;
	struct err err;

	assert_int_equal(decode(text, 1, &answer, &err), 0);
	item = bulk_answer_item(&answer, 0);
	assert_int_equal(item.is_delete, is_delete);
	verdict = bulk_judge(is_delete, &item).verdict;
	bulk_answer_release(&answer);
	return verdict;
}

static void test_judge_when_status_result_and_error_disagree_then_not_done(void **state)
{
	static const struct {
		bool is_delete;
		const char *fields;
		enum bulk_verdict verdict;
	} cases[] = {
		{false, "\"status\":201,\"result\":\"created\"", BULK_DONE},
		{false, "\"status\":201,\"result\":\"created\",\"error\":{\"type\":\"mapper_parsing_exception\"}",
		 BULK_RETRY},
		{false, "\"status\":201,\"result\":\"created\",\"error\":{}", BULK_RETRY},
		{false, "\"status\":201,\"result\":\"created\",\"error\":null", BULK_RETRY},
		{false, "\"status\":201,\"result\":\"created\",\"error\":\"no\"", BULK_RETRY},
		{false, "\"status\":200,\"result\":\"noop\",\"error\":{}", BULK_RETRY},
		{false, "\"status\":100,\"result\":\"created\"", BULK_RETRY},
		{true, "\"status\":200,\"result\":\"deleted\"", BULK_DONE},
		{true, "\"status\":503,\"result\":\"deleted\"", BULK_RETRY},
		{true, "\"status\":429,\"result\":\"not_found\"", BULK_RETRY},
		{true, "\"status\":404,\"result\":\"deleted\"", BULK_RETRY},
		{true, "\"status\":404,\"result\":\"not_found\",\"error\":{}", BULK_RETRY},
		{false, "\"status\":409,\"error\":{\"type\":\"" BULK_VERSION_CONFLICT "\"}", BULK_STALE},
		{false, "\"status\":503,\"error\":{\"type\":\"" BULK_VERSION_CONFLICT "\"}", BULK_RETRY},
		{true, "\"status\":400,\"error\":{\"type\":\"" BULK_VERSION_CONFLICT "\"}", BULK_RETRY},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (judge_text(cases[i].is_delete, cases[i].fields) != cases[i].verdict)
			fail_msg("%s: another verdict than %d", cases[i].fields, cases[i].verdict);
}

static void test_judge_when_there_is_no_error_then_the_result_decides(void **state)
{
	static const struct {
		bool is_delete;
		int status;
		enum bulk_result result;
		enum bulk_verdict verdict;
	} cases[] = {
		{false, 201, BULK_RESULT_CREATED, BULK_DONE},
		{false, 200, BULK_RESULT_UPDATED, BULK_DONE},
		{true, 200, BULK_RESULT_DELETED, BULK_DONE},
		{true, 404, BULK_RESULT_NOT_FOUND, BULK_DONE},
		{false, 200, BULK_RESULT_NOOP, BULK_DROPPED}, /* the processor `drop` */
		/* An answer that no engine gives is not a success. */
		{false, 200, BULK_RESULT_NONE, BULK_RETRY},
		{false, 200, BULK_RESULT_DELETED, BULK_RETRY},
		{false, 404, BULK_RESULT_CREATED, BULK_RETRY},
		{false, 409, BULK_RESULT_NONE, BULK_RETRY},
		{false, 400, BULK_RESULT_NONE, BULK_RETRY},
		{true, 200, BULK_RESULT_NONE, BULK_RETRY},
		{true, 200, BULK_RESULT_NOOP, BULK_RETRY},
		{true, 404, BULK_RESULT_NONE, BULK_RETRY},
		{false, 504, BULK_RESULT_NONE, BULK_RETRY},
		{false, 401, BULK_RESULT_NONE, BULK_FORBIDDEN},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(bulk_judge(cases[i].is_delete,
					    &(struct bulk_item){.status = cases[i].status, .result = cases[i].result})
					 .verdict,
				 cases[i].verdict);
}

/* How the engines answer if an ingest pipeline has changed fields that begin with an underscore. The request was for
 * version 70 of document `7|"x"` in books-g1. */
static void test_judge_when_a_pipeline_changed_the_target_then_rejected(void **state)
{
#define CREATED ",\"result\":\"created\",\"status\":201"
#define CONFLICT(version)                                                                                      \
	",\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"[7]: version " \
	"conflict, "                                                                                           \
	"current version [90] is higher than the one provided [" version "]\"}"
#define ID "\"_index\":\"books-g1\",\"_id\":\"7|\\\"x\\\"\""
	static const struct {
		const char *fields;
		enum bulk_verdict verdict;
		const char *words;
	} cases[] = {
		{ID ",\"_version\":70" CREATED, BULK_DONE, NULL},
		{"\"result\":\"created\",\"status\":201", BULK_DONE, NULL},
		{"\"_index\":\"other\",\"_id\":\"7|\\\"x\\\"\",\"_version\":70" CREATED, BULK_REJECT,
		 "field \"_index\""},
		{"\"_index\":\"books-g1\",\"_id\":\"8\",\"_version\":70" CREATED, BULK_REJECT, "field \"_id\""},
		{ID ",\"_version\":71" CREATED, BULK_REJECT, "field \"_version\""},
		{ID CONFLICT("70"), BULK_STALE, NULL},
		{ID CONFLICT("1"), BULK_REJECT, "field \"_version\""},
		{ID CONFLICT("a number"), BULK_STALE, NULL},
		{"\"_index\":\"an alias\",\"_id\":\"7|\\\"x\\\"\",\"_version\":-3,\"result\":\"noop\",\"status\":200",
		 BULK_DROPPED, NULL},
		{"\"_index\":\"other\",\"_id\":\"8\",\"status\":500,\"error\":{\"type\":\"translog_exception\","
		 "\"reason\":\"x\"}",
		 BULK_RETRY, NULL},
	};
#undef CREATED
#undef CONFLICT
#undef ID
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = xasprintf("{\"items\":[{\"index\":{%s}}]}", cases[i].fields);
		_cleanup_(strbuf_release) struct strbuf words;
		struct bulk_answer answer;
		struct bulk_item item;
		struct err err;

		assert_int_equal(decode(text, 1, &answer, &err), 0);
		item = bulk_answer_item(&answer, 0);
		bulk_item_compare(&item, "books-g1", "7|\"x\"", 70);
		if (bulk_judge(false, &item).verdict != cases[i].verdict)
			fail_msg("%s: another verdict than %d", text, cases[i].verdict);
		strbuf_init(&words, 4096);
		bulk_item_words(&item, &words);
		if (cases[i].words)
			assert_non_null(strstr(words.data, cases[i].words));
		bulk_answer_release(&answer);
	}
}

struct error_case {
	int status;
	const char *type, *reason;
	enum bulk_verdict verdict;
};

static void expect_verdicts(const struct error_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct bulk_item item = {
			.status = cases[i].status, .type = cases[i].type, .reason = cases[i].reason};
		enum bulk_verdict of_delete = cases[i].verdict == BULK_REJECT ? BULK_RETRY : cases[i].verdict;
		enum bulk_verdict got = bulk_judge(false, &item).verdict;

		if (got != cases[i].verdict)
			print_error("status %d, %s: %s: verdict %d, not %d\n", item.status, item.type,
				    item.reason ? item.reason : "", got, cases[i].verdict);
		assert_int_equal(got, cases[i].verdict);
		assert_int_equal(bulk_judge(true, &item).verdict, of_delete);
	}
}

/* Seen at OpenSearch 2.19.1, or read in the sources that the comments name. */
static void test_judge_when_the_error_is_about_the_document_then_rejected(void **state)
{
	static const struct error_case cases[] = {
		/* DocumentParser of OpenSearch and of Elasticsearch up to 8.8 */
		{400, "mapper_parsing_exception", "failed to parse field [a] of type [integer] in document with id '3'",
		 BULK_REJECT},
		{400, "mapper_parsing_exception", "object mapping for [n] tried to parse field [n] as object",
		 BULK_REJECT},
		/* DocumentParsingException, since Elasticsearch 8.9 */
		{400, "document_parsing_exception", "[1:6] failed to parse field [a] of type [integer]", BULK_REJECT},
		/* StrictDynamicMappingException */
		{400, "strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [zz]",
		 BULK_REJECT},
		/* MapperService: limits of the mapping */
		{400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", BULK_REJECT},
		{400, "illegal_argument_exception", "Limit of mapping depth [20] has been exceeded", BULK_REJECT},
		{400, "illegal_argument_exception",
		 "The number of nested documents has exceeded the allowed limit of [10000].", BULK_REJECT},
		{400, "illegal_argument_exception", "mapper [a] cannot be changed from type [long] to [text]",
		 BULK_REJECT},
		/* Lucene: IndexingChain */
		{400, "illegal_argument_exception", "Document contains at least one immense term in field=\"k\"",
		 BULK_REJECT},
		{400, "max_bytes_length_exceeded_exception", "bytes can be at most 32766 in length; got 40000",
		 BULK_REJECT},
		/* vectors */
		{400, "illegal_argument_exception", "The [dense_vector] field [v] has a different number of dimensions",
		 BULK_REJECT},
		{400, "parsing_exception", "Failed to parse object", BULK_REJECT},
		{400, "parse_exception", "latitude must be a number", BULK_REJECT},
		{400, "invalid_shape_exception", "Self-intersection at or near point", BULK_REJECT},
		/* x-content and Jackson */
		{400, "x_content_parse_exception", "[1:8] Duplicate field 'a'", BULK_REJECT},
		{400, "json_parse_exception", "Duplicate field 'a'", BULK_REJECT},
		{400, "json_e_o_f_exception", "Unexpected end-of-input", BULK_REJECT},
		{400, "not_x_content_exception", "Compressor detection can only be called on some xcontent bytes",
		 BULK_REJECT},
		{500, "stream_constraints_exception", "String value length (50000001) exceeds the maximum allowed",
		 BULK_REJECT},
		{500, "input_coercion_exception", "Numeric value out of range of long", BULK_REJECT},
		/* IndexRequest.validate */
		{400, "action_request_validation_exception", "id [...] is too long, must be no longer than 512 bytes",
		 BULK_REJECT},
		/* processors of pipelines: convert, date, grok, fail, script, dissect */
		{400, "illegal_argument_exception", "unable to convert [x] to integer", BULK_REJECT},
		{400, "illegal_argument_exception", "Provided Grok expressions do not match field value: [x]",
		 BULK_REJECT},
		{400, "illegal_argument_exception", "field [foo] not present as part of path [foo]", BULK_REJECT},
		{500, "date_time_parse_exception", "Text 'x' could not be parsed at index 0", BULK_REJECT},
		{400, "number_format_exception", "For input string: \"x\"", BULK_REJECT},
		{500, "fail_processor_exception", "no {{k}}", BULK_REJECT},
		{400, "script_exception", "runtime error", BULK_REJECT},
		{500, "find_match", "Unable to find match for dissect pattern", BULK_REJECT},
	};

	UNUSED(state);
	expect_verdicts(cases, ARRAY_SIZE(cases));
}

static void test_judge_when_the_error_is_trouble_of_the_engine_then_never_rejected(void **state)
{
	static const struct error_case cases[] = {
		{409, "version_conflict_engine_exception", "current version [9] is higher than the one provided [7]",
		 BULK_STALE},
		{404, "index_not_found_exception", "no such index [books-g1]", BULK_NO_INDEX},
		{400, "invalid_index_name_exception", "Invalid index name [books-g1-W1], must be lowercase",
		 BULK_NO_INDEX},
		{403, "security_exception", "no permissions for [indices:data/write/bulk]", BULK_FORBIDDEN},
		{401, "security_exception", "unable to authenticate", BULK_FORBIDDEN},
		{401, "authentication_exception", "", BULK_FORBIDDEN},
		/* IngestService.executePipelines, PipelineProcessor */
		{400, "illegal_argument_exception", "pipeline with id [x] does not exist", BULK_NO_PIPELINE},
		{500, "illegal_state_exception", "Pipeline processor configured for non-existent pipeline [gone]",
		 BULK_NO_PIPELINE},
		/* IngestService.substitutePipeline */
		{500, "illegal_state_exception", "pipeline with id [x] could not be loaded, caused by [...]",
		 BULK_RETRY},
		/* ScriptService */
		{400, "script_exception", "compile error", BULK_RETRY},
		{429, "circuit_breaking_exception", "[script] Too many dynamic script compilations within", BULK_RETRY},
		/* IndexNameExpressionResolver, TransportBulkAction */
		{400, "index_closed_exception", "closed", BULK_RETRY},
		{400, "routing_missing_exception", "routing is required for [r2]/[1]", BULK_RETRY},
		{400, "illegal_argument_exception", "no write index is defined for alias [books]", BULK_RETRY},
		{400, "illegal_argument_exception",
		 "only write ops with an op_type of create are allowed in data streams", BULK_RETRY},
		{400, "illegal_argument_exception",
		 "Rejecting mapping update to [b] as the final mapping would have more than 1 type: [a, _doc]",
		 BULK_RETRY},
		{400, "resource_already_exists_exception", "index [x] already exists", BULK_RETRY},
		{400, "validation_exception", "this action would add [2] shards, but this cluster currently has",
		 BULK_RETRY},
		{403, "index_create_block_exception", "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)]",
		 BULK_RETRY},
		/* ClusterBlock: 403, since Elasticsearch 8 also 429; no master: 503 */
		{403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)]", BULK_RETRY},
		{429, "cluster_block_exception", "blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage",
		 BULK_RETRY},
		{503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master]", BULK_RETRY},
		/* InternalEngine.tryAcquireInFlightDocs, IndexWriter */
		{400, "illegal_argument_exception",
		 "Number of documents in shard [books-g1][0] exceeds the limit of [2147483519] documents per shard",
		 BULK_RETRY},
		{400, "illegal_argument_exception", "number of documents in the index cannot exceed 2147483519",
		 BULK_RETRY},
		/* push-back */
		{429, "es_rejected_execution_exception", "rejected execution of primary operation", BULK_RETRY},
		{429, "rejected_execution_exception", "rejected execution of primary operation", BULK_RETRY},
		{429, "circuit_breaking_exception", "[parent] Data too large", BULK_RETRY},
		{503, "process_cluster_event_timeout_exception", "failed to process cluster event (put-mapping)",
		 BULK_RETRY},
		{503, "cluster_manager_throttling_exception", "Throttling Exception : Limit exceeded for put-mapping",
		 BULK_RETRY},
		/* shards and nodes that are unavailable or moving */
		{503, "unavailable_shards_exception", "[books-g1][0] primary shard is not active", BULK_RETRY},
		{503, "no_shard_available_action_exception", "", BULK_RETRY},
		{503, "master_not_discovered_exception", "", BULK_RETRY},
		{503, "cluster_manager_not_discovered_exception", "", BULK_RETRY},
		{503, "node_closed_exception", "node closed", BULK_RETRY},
		{500, "node_disconnected_exception", "", BULK_RETRY},
		{500, "node_not_connected_exception", "", BULK_RETRY},
		{500, "receive_timeout_transport_exception", "", BULK_RETRY},
		{500, "remote_transport_exception", "", BULK_RETRY},
		{404, "shard_not_found_exception", "no such shard", BULK_RETRY},
		{404, "index_shard_closed_exception", "Shard closed", BULK_RETRY},
		{404, "illegal_index_shard_state_exception", "CurrentState[CLOSED]", BULK_RETRY},
		{500, "index_shard_not_started_exception", "", BULK_RETRY},
		{500, "index_shard_relocated_exception", "", BULK_RETRY},
		{500, "shard_not_in_primary_mode_exception", "", BULK_RETRY},
		{500, "retry_on_primary_exception", "", BULK_RETRY},
		{500, "primary_missing_action_exception", "", BULK_RETRY},
		{500, "already_closed_exception", "this IndexWriter is closed", BULK_RETRY},
		{500, "task_cancelled_exception", "", BULK_RETRY},
		{500, "timeout_exception", "", BULK_RETRY},
		/* disks */
		{500, "translog_exception", "Failed to write operation", BULK_RETRY},
		{500, "translog_corrupted_exception", "", BULK_RETRY},
		{500, "engine_exception", "", BULK_RETRY},
		{500, "i_o_exception", "No space left on device", BULK_RETRY},
		{500, "file_system_exception", "Too many open files", BULK_RETRY},
		{500, "corrupt_index_exception", "checksum failed", BULK_RETRY},
		{500, "lock_obtain_failed_exception", "", BULK_RETRY},
		{500, "out_of_memory_error", "Java heap space", BULK_RETRY},
		/* unknown types */
		{500, "null_pointer_exception", NULL, BULK_RETRY},
		{500, "exception", "java.lang.IllegalStateException", BULK_RETRY},
		{400, "a_type_of_a_later_version", "", BULK_RETRY},
		{404, "document_missing_exception", "", BULK_RETRY},
		{404, "resource_not_found_exception", "", BULK_RETRY},
		{409, "a_conflict_of_another_kind", "", BULK_RETRY},
		{400, "", "no type", BULK_RETRY},
	};

	UNUSED(state);
	expect_verdicts(cases, ARRAY_SIZE(cases));
}

static void test_judge_when_a_user_can_end_the_trouble_then_the_remedy_says_how(void **state)
{
	static const struct {
		const char *type, *reason, *remedy;
	} cases[] = {
		{"index_closed_exception", "closed", "_open"},
		{"cluster_block_exception", "blocked", "disk"},
		{"routing_missing_exception", "routing is required", "_routing.required"},
		{"illegal_argument_exception", "pipeline with id [x] does not exist", "pipeline"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct bulk_item item = {.status = 400, .type = cases[i].type, .reason = cases[i].reason};

		assert_non_null(strstr(bulk_judge(false, &item).remedy, cases[i].remedy));
	}
	assert_null(bulk_judge(false, &(struct bulk_item){.status = 500, .type = "translog_exception"}).remedy);
}

static void test_words_when_an_error_quotes_the_row_then_they_do_not(void **state)
{
	static const struct {
		const char *type, *reason, *words;
	} cases[] = {
		{"mapper_parsing_exception",
		 "failed to parse field [price] of type [integer] in document with id '3'. Preview of field's value: "
		 "'secret': For input string: \"secret\"",
		 "mapper_parsing_exception: field \"price\""},
		{"illegal_argument_exception", "unable to convert [secret] to integer", "illegal_argument_exception"},
		{"illegal_argument_exception",
		 "Document contains at least one immense term in field=\"k\" (whose UTF8 ...) '[115, 101]...'",
		 "illegal_argument_exception: field \"k\""},
		{"strict_dynamic_mapping_exception",
		 "mapping set to strict, dynamic introduction of [zz] within [_doc]",
		 "strict_dynamic_mapping_exception: field \"zz\""},
		{"fail_processor_exception", "secret", "fail_processor_exception"},
		{"index_closed_exception", "closed", "index_closed_exception: closed"},
		{"a_new_exception", "what's in \"secret\" or 'secret' or `secret",
		 "a_new_exception: what's in ... or ... or ..."},
		{NULL, NULL, "an error without a type"},
	};
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 1000);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		strbuf_reset(&sb);
		bulk_item_words(&(struct bulk_item){.status = 400, .type = cases[i].type, .reason = cases[i].reason},
				&sb);
		assert_string_equal(sb.data, cases[i].words);
	}
	strbuf_release(&sb);
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

static void test_body_when_a_document_becomes_a_delete_then_the_others_stay_as_they_are(void **state)
{
	struct bulk_body body;

	UNUSED(state);
	bulk_body_init(&body, 10000);
	add(&body, "a", 0);
	/* The shortest document there can be, and every part of an action line. */
	assert_true(bulk_body_add(&body,
				  &(struct bulk_action){.index = "b",
							.id = "\"",
							.id_len = 1,
							.version = 9,
							.routing = "r",
							.pipeline = "p",
							.document = "",
							.document_len = 0},
				  0, "other", 1));
	add(&body, "c", 2);
	bulk_body_make_delete(&body, 1);
	assert_true(body.entries[1].is_delete);
	for (size_t i = 0; i < 3; i++)
		body.entries[i].again = true;
	assert_int_equal(bulk_body_cut(&body, 3), 3);
	assert_string_equal(body.data.data,
			    "{\"index\":{\"_id\":\"a\",\"version\":1,\"version_type\":\"external_gte\"}}\n{}\n"
			    "{\"delete\":{\"_index\":\"other\",\"_id\":\"\\\"\",\"version\":9,"
			    "\"version_type\":\"external_gte\",\"routing\":\"r\",\"pipeline\":\"p\"}}\n"
			    "{\"index\":{\"_id\":\"c\",\"version\":1,\"version_type\":\"external_gte\"}}\n{}\n");
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
	bulk_pace_pushed_back(&p, 1000, 0, false);
	assert_true(p.pressed);
	assert_int_equal(p.window, 2);
	assert_int_equal(p.target_bytes, MIB);
	assert_in_range(p.pause_until_ms, 1050, 1100);
	/* Another request that was in progress at the same time. */
	bulk_pace_pushed_back(&p, 1001, 0, false);
	assert_int_equal(p.window, 2);
	/* A request that was started before is not evidence. */
	bulk_pace_accepted(&p, 999);
	assert_true(p.pressed);
	bulk_pace_accepted(&p, 1100);
	assert_false(p.pressed);
	for (int i = 0; i < 100; i++)
		bulk_pace_accepted(&p, 1100);
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
		bulk_pace_pushed_back(&p, now_ms, 0, false);
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
		bulk_pace_pushed_back(&p, now_ms, 0, true);
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
	bulk_pace_pushed_back(&p, 1000, 7000, false);
	assert_int_equal(p.pause_until_ms, 8000);
}

static void test_pace_when_too_large_then_never_that_size_again(void **state)
{
	struct bulk_pace p;

	UNUSED(state);
	bulk_pace_init(&p, 4, 2 * MIB, 1);
	bulk_pace_too_large(&p, 2 * MIB);
	for (int i = 0; i < 100; i++)
		bulk_pace_accepted(&p, 0);
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
		cmocka_unit_test(test_decode_when_no_errors_then_each_item_has_its_result),
		cmocka_unit_test(test_decode_when_items_differ_then_each_has_its_status_and_error),
		cmocka_unit_test(test_decode_when_answer_is_malformed_then_invalid),
		cmocka_unit_test(test_decode_when_answer_contradicts_itself_then_invalid),
		cmocka_unit_test(test_judge_when_status_result_and_error_disagree_then_not_done),
		cmocka_unit_test(test_judge_when_there_is_no_error_then_the_result_decides),
		cmocka_unit_test(test_judge_when_a_pipeline_changed_the_target_then_rejected),
		cmocka_unit_test(test_judge_when_the_error_is_about_the_document_then_rejected),
		cmocka_unit_test(test_judge_when_the_error_is_trouble_of_the_engine_then_never_rejected),
		cmocka_unit_test(test_judge_when_a_user_can_end_the_trouble_then_the_remedy_says_how),
		cmocka_unit_test(test_words_when_an_error_quotes_the_row_then_they_do_not),
		cmocka_unit_test(test_body_when_some_are_sent_again_then_only_they_and_the_rest_stay),
		cmocka_unit_test(test_body_when_a_document_becomes_a_delete_then_the_others_stay_as_they_are),
		cmocka_unit_test(test_body_when_action_does_not_fit_then_nothing_changes),
		cmocka_unit_test(test_pace_when_pushed_back_then_less_is_asked_for_and_later_more),
		cmocka_unit_test(test_pace_when_pushed_back_again_and_again_then_pauses_grow_up_to_the_cap),
		cmocka_unit_test(test_pace_when_server_is_away_then_it_is_asked_often_and_size_stays),
		cmocka_unit_test(test_pace_when_server_names_a_time_then_it_is_kept),
		cmocka_unit_test(test_pace_when_too_large_then_never_that_size_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
