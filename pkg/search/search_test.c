/* Tests of requests and their errors against a fake engine that answers as each test specifies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/engine.h"
#include "http/http.h"
#include "search/search.h"
#include "json/json.h"

#define INDEX_NOT_FOUND \
	"{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"},\"status\":404}"

/* Answers to requests, by the beginning of their first line. */
struct reply {
	const char *request;
	int status;
	const char *body;
};

struct world {
	struct fake_engine engine;
	struct http_target *target;
	struct search *search;
	struct err err;
	const struct reply *replies;
	size_t n_replies;
	char last[512]; /* "<method> <path>" of the last request, and its body */
	char last_body[1024];
};

static int answer(struct fake_engine *engine, const char *head, const char *body, struct strbuf *to)
{
	struct world *w = engine->user;

	(void)snprintf(w->last, sizeof(w->last), "%.*s", (int)(strstr(head, " HTTP/1.1") - head), head);
	(void)snprintf(w->last_body, sizeof(w->last_body), "%.1000s", body);
	for (size_t i = 0; i < w->n_replies; i++) {
		if (!strncmp(head, w->replies[i].request, strlen(w->replies[i].request))) {
			strbuf_adds(to, w->replies[i].body);
			return w->replies[i].status;
		}
	}
	strbuf_adds(to, strncmp(head, "GET ", 4) ? FAKE_CONFIRMED : "{}");
	return 200;
}

static void world_start(struct world *w, const struct reply *replies, size_t n)
{
	const char *url;

	*w = (struct world){.replies = replies, .n_replies = n};
	fake_engine_start(&w->engine, answer, w);
	url = w->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &w->target, &w->err),
			 0);
	assert_int_equal(search_new(w->target, NULL, NULL, &w->search, &w->err), 0);
}

static void world_stop(struct world *w)
{
	search_free(w->search);
	fake_engine_stop(&w->engine);
	http_target_free(w->target);
}

#define START(w, ...)                                        \
	static const struct reply replies[] = {__VA_ARGS__}; \
	struct world w;                                      \
	UNUSED(state);                                       \
	world_start(&w, replies, sizeof(replies) / sizeof(*replies))

/* --- Which engine ----------------------------------------------------------------------------------------------------
 */
static int info_of(const char *body, const char *headers, struct search_info *ret, struct err *err)
{
	struct reply reply = {"GET / ", 200, body};
	struct world w;
	int r;

	world_start(&w, &reply, 1);
	w.engine.headers = headers;
	r = search_info(w.search, ret, err);
	world_stop(&w);
	return r;
}

static void test_info_when_elasticsearch_then_flavour_and_version(void **state)
{
	struct search_info info;
	struct err err;

	UNUSED(state);
	assert_int_equal(info_of("{\"cluster_name\":\"c1\",\"version\":{\"number\":\"8.15.0-SNAPSHOT\"}}",
				 "X-Elastic-Product: Elasticsearch\r\n", &info, &err),
			 0);
	assert_int_equal(info.flavour, SEARCH_ELASTICSEARCH);
	assert_int_equal(info.major, 8);
	assert_int_equal(info.minor, 15);
	assert_string_equal(info.version, "8.15.0-SNAPSHOT");
	assert_string_equal(info.cluster_name, "c1");
	assert_int_equal(
		info_of("{\"version\":{\"number\":\"7.0.1\"},\"tagline\":\"You Know, for Search\"}", "", &info, &err),
		0);
	assert_int_equal(info.flavour, SEARCH_ELASTICSEARCH);
	assert_int_equal(info.major, 7);
}

static void test_info_when_opensearch_then_flavour_and_version_even_in_disguise(void **state)
{
	struct search_info info;
	struct err err;

	UNUSED(state);
	assert_int_equal(
		info_of("{\"version\":{\"distribution\":\"opensearch\",\"number\":\"2.19.1\"}}", "", &info, &err), 0);
	assert_int_equal(info.flavour, SEARCH_OPENSEARCH);
	assert_int_equal(info.major, 2);
	assert_int_equal(info_of("{\"version\":{\"number\":\"7.10.2\"},"
				 "\"tagline\":\"The OpenSearch Project: https://opensearch.org/\"}",
				 "", &info, &err),
			 0);
	assert_int_equal(info.flavour, SEARCH_OPENSEARCH);
	assert_int_equal(info.major, 1);
}

static void test_info_when_neither_or_too_old_then_unsupported(void **state)
{
	static const char serverless[] = "{\"version\":{\"number\":\"8.11.0\",\"build_flavor\":\"serverless\"},"
					 "\"tagline\":\"You Know, for Search\"}";
	static const char *const bodies[] = {
		"<html>hello</html>",
		"{}",
		"{\"version\":{\"number\":\"6.8.23\"},\"tagline\":\"You Know, for Search\"}",
		"{\"version\":{\"number\":\"x\"},\"tagline\":\"You Know, for Search\"}",
		"{\"version\":{\"distribution\":\"opensearch\"}}",
		serverless,
	};
	struct search_info info;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		assert_int_equal(info_of(bodies[i], "", &info, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(reason_name(err.reason), "VersionUnsupported");
	}
}

/* --- Errors ----------------------------------------------------------------------------------------------------------
 */
static void test_json_when_refused_then_kind_reason_and_the_engines_words(void **state)
{
	static const struct {
		int status;
		enum err_kind kind;
		const char *reason, *body, *text;
	} cases[] = {
		{401, ERR_DENIED, "AuthFailed", "Unauthorized",
		 "HTTP status 401, without an error in the search engine's format"},
		/* Elasticsearch 8 and 9 without credentials: security is on by default. */
		{401, ERR_DENIED, "AuthFailed",
		 "{\"error\":{\"root_cause\":[{\"type\":\"security_exception\",\"reason\":\"missing authentication "
		 "credentials for REST request [/]\",\"header\":{\"WWW-Authenticate\":[\"Basic "
		 "realm=\\\"security\\\"\","
		 "\"ApiKey\"]}}],\"type\":\"security_exception\",\"reason\":\"missing authentication credentials for "
		 "REST "
		 "request [/]\"},\"status\":401}",
		 "security_exception: missing authentication credentials for REST request [/]"},
		{403, ERR_DENIED, "AuthFailed", "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}",
		 "security_exception: no"},
		{403, ERR_TRANSIENT, "SinkUnavailable",
		 "{\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"read-only\"}}", "read-only"},
		{404, ERR_NOT_FOUND, NULL, "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"r\"}}",
		 "index_not_found_exception"},
		{404, ERR_NOT_FOUND, NULL, "{\"error\":\"alias [books] missing\",\"status\":404}",
		 "alias [books] missing"},
		{404, ERR_TRANSIENT, "SinkUnavailable", "{\"message\":\"no Route matched with those values\"}",
		 "not an answer of the search engine"},
		{404, ERR_TRANSIENT, "SinkUnavailable",
		 "{\"error\":{\"type\":\"search_context_missing_exception\",\"reason\":\"No search context found\"}}",
		 "search_context_missing_exception: No search context found"},
		{400, ERR_INVALID, NULL, "{\"error\":\"no handler found\",\"status\":400}", "no handler found"},
		{429, ERR_TRANSIENT, "SinkUnavailable", "{}", "429"},
		{503, ERR_TRANSIENT, "SinkUnavailable", "<html>", "503"},
		{200, ERR_TRANSIENT, "SinkUnavailable", "<html>", "not JSON"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reply reply = {"POST /x", cases[i].status, cases[i].body};
		struct world w;
		json_t *value = NULL;

		world_start(&w, &reply, 1);
		assert_int_equal(search_index_post(w.search, "x", "", NULL, &value, &w.err), -1);
		assert_int_equal(w.err.kind, cases[i].kind);
		if (cases[i].reason)
			assert_string_equal(reason_name(w.err.reason), cases[i].reason);
		if (!strstr(w.err.msg, cases[i].text))
			fail_msg("\"%s\" is not in: %s", cases[i].text, w.err.msg);
		assert_null(value);
		world_stop(&w);
	}
}

static void test_index_when_name_could_mean_several_then_invalid_and_nothing_is_sent(void **state)
{
	static const char *const names[] = {"", "*", "books*", "a,b", "_all", "-books", "a/b", "..", "a b", "a?"};

	START(w, {"GET /none", 200, ""});
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(search_index_delete(w.search, names[i], &w.err), -1);
		assert_int_equal(w.err.kind, ERR_INVALID);
	}
	assert_int_equal(w.engine.n_requests, 0);
	world_stop(&w);
}

/* --- Indices and aliases ---------------------------------------------------------------------------------------------
 */
static void test_resolve_when_name_is_absent_index_or_alias_then_it_says_so(void **state)
{
	struct search_name name;

	START(w, {"GET /none/_alias", 404, "{\"error\":\"alias [none] missing\",\"status\":404}"},
	      {"GET /plain/_alias", 200, "{\"plain\":{\"aliases\":{}}}"},
	      {"GET /books/_alias", 200, "{\"books-g2\":{\"aliases\":{\"books\":{}}},\"books-g1\":{\"aliases\":{}}}"},
	      {"GET /down/_alias", 503, "{}"});
	assert_int_equal(search_resolve(w.search, "none", &name, &w.err), 0);
	assert_int_equal(name.kind, SEARCH_NAME_ABSENT);
	assert_int_equal(search_resolve(w.search, "plain", &name, &w.err), 0);
	assert_int_equal(name.kind, SEARCH_NAME_INDEX);
	assert_int_equal(search_resolve(w.search, "books", &name, &w.err), 0);
	assert_int_equal(name.kind, SEARCH_NAME_ALIAS);
	assert_string_equal(name.target, "books-g2");
	assert_int_equal(name.n_targets, 2);
	search_name_release(&name);
	assert_int_equal(search_resolve(w.search, "down", &name, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	world_stop(&w);
}

static void test_alias_move_when_others_have_it_then_one_call_changes_all(void **state)
{
	START(w,
	      {"GET /books/_alias", 200, "{\"books-g1\":{\"aliases\":{\"books\":{}}},\"books-g2\":{\"aliases\":{}}}"});
	assert_int_equal(search_alias_move(w.search, "books", "books-g2", false, &w.err), 0);
	assert_string_equal(w.last, "POST /_aliases");
	assert_string_equal(w.last_body, "{\"actions\":[{\"remove\":{\"index\":\"books-g1\",\"alias\":\"books\"}},"
					 "{\"add\":{\"index\":\"books-g2\",\"alias\":\"books\"}}]}");
	assert_int_equal(w.engine.n_requests, 2);
	world_stop(&w);
}

static void test_alias_move_when_an_index_has_the_name_then_refused_unless_asked_to_remove_it(void **state)
{
	START(w, {"GET /books/_alias", 200, "{\"books\":{\"aliases\":{}}}"});
	assert_int_equal(search_alias_move(w.search, "books", "books-g1", false, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_INVALID);
	assert_string_equal(reason_name(w.err.reason), "IndexExists");
	assert_int_equal(w.engine.n_requests, 1);
	assert_int_equal(search_alias_move(w.search, "books", "books-g1", true, &w.err), 0);
	assert_string_equal(w.last_body, "{\"actions\":[{\"remove_index\":{\"index\":\"books\"}},"
					 "{\"add\":{\"index\":\"books-g1\",\"alias\":\"books\"}}]}");
	world_stop(&w);
}

static void test_alias_replace_when_others_have_the_prefix_then_one_call_changes_all(void **state)
{
	START(w,
	      {"GET /b-g1/_alias ", 200,
	       "{\"b-g1\":{\"aliases\":{\"b\":{},\"b-g1-W1\":{},\"b-g1-W2\":{},\"c-W1\":{}}}}"},
	      {"GET /bare/_alias ", 200, "{\"bare\":{\"aliases\":{}}}"},
	      {"GET /mine/_alias ", 200, "{\"mine\":{\"aliases\":{\"mine-W3\":{}}}}"},
	      {"GET /gone/_alias ", 404, INDEX_NOT_FOUND});
	assert_int_equal(search_alias_replace(w.search, "b-g1", "b-g1-W", "b-g1-W3", &w.err), 0);
	assert_string_equal(w.last, "POST /_aliases");
	assert_string_equal(w.last_body, "{\"actions\":[{\"remove\":{\"index\":\"b-g1\",\"alias\":\"b-g1-W1\"}},"
					 "{\"remove\":{\"index\":\"b-g1\",\"alias\":\"b-g1-W2\"}},"
					 "{\"add\":{\"index\":\"b-g1\",\"alias\":\"b-g1-W3\"}}]}");
	assert_int_equal(search_alias_replace(w.search, "bare", "bare-W", "bare-W3", &w.err), 0);
	assert_string_equal(w.last_body, "{\"actions\":[{\"add\":{\"index\":\"bare\",\"alias\":\"bare-W3\"}}]}");
	assert_int_equal(search_alias_replace(w.search, "mine", "mine-W", NULL, &w.err), 0);
	assert_string_equal(w.last_body, "{\"actions\":[{\"remove\":{\"index\":\"mine\",\"alias\":\"mine-W3\"}}]}");
	/* Nothing has to change, so nothing is sent. */
	assert_int_equal(search_alias_replace(w.search, "mine", "mine-W", "mine-W3", &w.err), 0);
	assert_string_equal(w.last, "GET /mine/_alias");
	assert_int_equal(search_alias_replace(w.search, "bare", "bare-W", NULL, &w.err), 0);
	assert_string_equal(w.last, "GET /bare/_alias");
	assert_int_equal(search_alias_replace(w.search, "gone", "gone-W", "gone-W3", &w.err), -1);
	assert_int_equal(w.err.kind, ERR_NOT_FOUND);
	world_stop(&w);
}

/* If a second copy were answered, the first one could still arrive when the alias has been removed again. */
static void test_alias_replace_when_the_answer_is_a_proxy_s_then_it_is_not_sent_again(void **state)
{
	START(w, {"GET /b/_alias ", 200, "{\"b\":{\"aliases\":{}}}"}, {"POST /_aliases", 504, "<html>"});
	assert_int_equal(search_alias_replace(w.search, "b", "b-W", "b-W1", &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_int_equal(w.engine.n_requests, 2);
	world_stop(&w);
}

static void test_index_create_when_refused_then_conflict_or_rejected(void **state)
{
	_cleanup_json_ json_t *body = json_pack("{}");

	START(w,
	      {"PUT /there ", 400, "{\"error\":{\"type\":\"resource_already_exists_exception\",\"reason\":\"there\"}}"},
	      {"PUT /bad ", 400, "{\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":\"no handler\"}}"});
	assert_int_equal(search_index_create(w.search, "new", body, &w.err), 0);
	assert_int_equal(search_index_create(w.search, "there", body, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CONFLICT);
	assert_int_equal(search_index_create(w.search, "bad", body, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_INVALID);
	assert_string_equal(reason_name(w.err.reason), "IndexRejected");
	world_stop(&w);
}

static void test_pipeline_when_absent_or_hidden_then_distinguished(void **state)
{
	bool exists = false;

	START(w, {"GET /_ingest/pipeline/mine%20%2F", 200, "{}"}, {"GET /_ingest/pipeline/gone", 404, "{}"},
	      {"GET /_ingest/pipeline/hidden", 403, "{}"});
	assert_int_equal(search_pipeline_exists(w.search, "mine /", &exists, &w.err), 0);
	assert_true(exists);
	assert_int_equal(search_pipeline_exists(w.search, "gone", &exists, &w.err), 0);
	assert_false(exists);
	assert_int_equal(search_pipeline_exists(w.search, "hidden", &exists, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_DENIED);
	world_stop(&w);
}

static void test_index_template_when_none_applies_or_hidden_then_distinguished(void **state)
{
	static const struct {
		const char *index, *found;
		enum err_kind kind;
	} cases[] = {{"books", "{\"settings\":{}}", ERR_NONE}, {"none", NULL, ERR_NONE}, {"hidden", NULL, ERR_DENIED}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *template = NULL;
		_cleanup_free_ char *text = NULL;

		START(w,
		      {"POST /_index_template/_simulate_index/books", 200,
		       "{\"template\":{\"settings\":{}},\"overlapping\":[]}"},
		      {"POST /_index_template/_simulate_index/none", 200, "{}"},
		      {"POST /_index_template/_simulate_index/hidden", 403, "{}"});
		assert_int_equal(search_index_template(w.search, cases[i].index, &template, &w.err),
				 cases[i].kind == ERR_NONE ? 0 : -1);
		assert_int_equal(w.err.kind, cases[i].kind);
		text = template ? json_dumps(template, JSON_COMPACT) : NULL;
		assert_int_equal(text != NULL, cases[i].found != NULL);
		if (text)
			assert_string_equal(text, cases[i].found);
		world_stop(&w);
	}
}

static void test_index_when_absent_then_delete_succeeds_exists_is_false_and_meta_is_not_found(void **state)
{
	json_t *meta = NULL;
	bool exists = true;

	START(w, {"DELETE /gone", 404, INDEX_NOT_FOUND}, {"GET /gone ", 404, INDEX_NOT_FOUND},
	      {"GET /gone/_mapping", 404, INDEX_NOT_FOUND}, {"GET /plain/_mapping", 200, "{}"},
	      {"GET /books-g1/_mapping", 200, "{\"books-g1\":{\"mappings\":{\"_meta\":{\"hash\":\"x\"}}}}"},
	      {"GET /books/_mapping", 200, "{\"books-g1\":{\"mappings\":{\"_meta\":{\"hash\":\"x\"}}}}"});
	assert_int_equal(search_index_delete(w.search, "gone", &w.err), 0);
	assert_int_equal(search_index_exists(w.search, "gone", &exists, &w.err), 0);
	assert_false(exists);
	assert_int_equal(search_index_exists(w.search, "here", &exists, &w.err), 0);
	assert_true(exists);
	assert_int_equal(search_index_meta(w.search, "gone", &meta, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_NOT_FOUND);
	assert_int_equal(search_index_meta(w.search, "plain", &meta, &w.err), 0);
	assert_int_equal(json_object_size(meta), 0);
	json_decref(meta);
	assert_int_equal(search_index_meta(w.search, "books-g1", &meta, &w.err), 0);
	assert_string_equal(jsonx_string(meta, "hash", ""), "x");
	json_decref(meta);
	/* An alias that points to an index does not have `_meta` itself. */
	assert_int_equal(search_index_meta(w.search, "books", &meta, &w.err), 0);
	assert_int_equal(json_object_size(meta), 0);
	json_decref(meta);
	world_stop(&w);
}

static void test_stats_when_several_shards_then_count_and_the_worst_health(void **state)
{
	struct search_stats stats;

	START(w, {"GET /books/_count", 200, "{\"count\":25}"},
	      {"GET /_cat/indices/books?", 200, "[{\"health\":\"yellow\"},{\"health\":\"green\"}]"},
	      {"GET /closed/_count", 200, "{\"count\":3}"}, {"GET /_cat/indices/closed?", 403, "{}"});
	assert_int_equal(search_stats(w.search, "books", &stats, &w.err), 0);
	assert_int_equal(stats.documents, 25);
	assert_string_equal(stats.health, "yellow");
	assert_int_equal(search_stats(w.search, "closed", &stats, &w.err), 0);
	assert_int_equal(stats.documents, 3);
	assert_string_equal(stats.health, "");
	world_stop(&w);
}

static void test_histories_when_a_shard_has_no_started_primary_then_it_is_left_out(void **state)
{
	json_t *histories;

	START(w,
	      {"GET /books/_stats/docs?level=shards", 200,
	       "{\"indices\":{\"books\":{\"shards\":{"
	       "\"0\":[{\"routing\":{\"primary\":false},\"commit\":{\"user_data\":{\"history_uuid\":\"b\"}}},"
	       "{\"routing\":{\"primary\":true},\"commit\":{\"user_data\":{\"history_uuid\":\"a\"}}}],"
	       "\"1\":[{\"routing\":{\"primary\":true}}],\"2\":[]}}}}"},
	      {"GET /gone/_stats/docs?level=shards", 404,
	       "{\"error\":{\"type\":\"index_not_found_exception\"},\"status\":404}"},
	      {"GET /odd/_stats/docs?level=shards", 200, "{}"});
	assert_int_equal(search_histories(w.search, "books", &histories, &w.err), 0);
	assert_int_equal(json_object_size(histories), 1);
	assert_string_equal(jsonx_string(histories, "0", ""), "a");
	json_decref(histories);
	assert_int_equal(search_histories(w.search, "gone", &histories, &w.err), -1);
	assert_int_equal(search_histories(w.search, "odd", &histories, &w.err), -1);
	world_stop(&w);
}

/* --- Documents -------------------------------------------------------------------------------------------------------
 */
static void test_get_when_document_or_index_is_absent_then_null_and_no_error(void **state)
{
	struct search_version version;
	json_t *document = (json_t *)&version;

	START(w, {"GET /c/_doc/a%2Fb ", 404, "{\"found\":false}"},
	      {"GET /none/_doc/a ", 404, "{\"error\":{\"type\":\"index_not_found_exception\"},\"status\":404}"},
	      {"GET /c/_doc/there ", 200,
	       "{\"_seq_no\":5,\"_primary_term\":2,\"found\":true,\"_source\":{\"a\":\"b\"}}"});
	assert_int_equal(search_get(w.search, "c", "a/b", &document, &version, &w.err), 0);
	assert_null(document);
	assert_int_equal(version.seq_no, -1);
	assert_int_equal(search_get(w.search, "none", "a", &document, &version, &w.err), 0);
	assert_null(document);
	assert_int_equal(search_get(w.search, "c", "there", &document, &version, &w.err), 0);
	assert_string_equal(jsonx_string(document, "a", ""), "b");
	assert_int_equal(version.seq_no, 5);
	assert_int_equal(version.primary_term, 2);
	json_decref(document);
	world_stop(&w);
}

/* A gateway in front of the engine may answer 404, too, without knowing what exists. */
static void test_all_when_something_else_says_404_then_nothing_counts_as_absent(void **state)
{
	static const char *const bodies[] = {"{\"message\":\"no Route matched with those values\"}",
					     "{\"error\":\"Not Found\",\"status\":404}",
					     "{\"error\":{\"code\":404,\"message\":\"not found\"}}",
					     "{\"found\":null}",
					     "[]",
					     "404 page not found",
					     ""};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct reply replies[] = {
			{"GET ", 404, bodies[i]}, {"HEAD ", 404, bodies[i]}, {"DELETE ", 404, bodies[i]}};
		struct search_version version;
		struct search_name name;
		json_t *value = NULL;
		struct world w;
		bool exists;

		world_start(&w, replies, ARRAY_SIZE(replies));
		assert_int_equal(search_get(w.search, "c", "k", &value, &version, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
		assert_int_equal(search_delete(w.search, "c", "k", &w.err), -1);
		assert_int_equal(search_index_delete(w.search, "c", &w.err), -1);
		assert_int_equal(search_index_exists(w.search, "c", &exists, &w.err), -1);
		assert_int_equal(search_index_meta(w.search, "c", &value, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		assert_int_equal(search_resolve(w.search, "c", &name, &w.err), -1);
		assert_int_equal(search_pipeline_exists(w.search, "p", &exists, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		world_stop(&w);
	}
}

/* A proxy, or an engine of which a node does not answer, may say 200. */
static void test_all_when_a_change_is_not_confirmed_then_an_error(void **state)
{
	static const char *const bodies[] = {"",
					     "{}",
					     "[]",
					     "<html>sign in</html>",
					     "{\"acknowledged\":false}",
					     "{\"acknowledged\":\"true\"}",
					     "{\"result\":\"noop\",\"_seq_no\":1,\"_primary_term\":1}",
					     "{\"result\":true}",
					     "{\"_shards\":{\"total\":2,\"successful\":1,\"failed\":1}}",
					     "{\"_shards\":{}}",
					     "{\"_seq_no\":1,\"_primary_term\":1}"};
	_cleanup_json_ json_t *document = json_pack("{s:i}", "a", 1);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct reply replies[] = {{"GET ", 200, "{\"b\":{\"aliases\":{}}}"}, {"", 200, bodies[i]}};
		struct search_version version = {.seq_no = -1, .primary_term = -1};
		struct world w;

		world_start(&w, replies, ARRAY_SIZE(replies));
		assert_int_equal(search_put(w.search, "c", "k", document, &version, &w.err), -1);
		assert_int_equal(version.seq_no, -1);
		assert_int_equal(search_delete(w.search, "c", "k", &w.err), -1);
		assert_int_equal(search_index_create(w.search, "c", document, &w.err), -1);
		assert_int_equal(search_index_delete(w.search, "c", &w.err), -1);
		assert_int_equal(search_alias_move(w.search, "a", "b", false, &w.err), -1);
		assert_int_equal(search_alias_replace(w.search, "b", "b-W", "b-W1", &w.err), -1);
		assert_int_equal(search_put_mapping(w.search, "c", document, &w.err), -1);
		assert_int_equal(search_put_settings(w.search, "c", document, &w.err), -1);
		assert_int_equal(search_refresh(w.search, "c", &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
		world_stop(&w);
	}
}

static void test_all_when_an_answer_is_about_something_else_then_nothing_counts_as_absent_or_empty(void **state)
{
	static const char *const bodies[] = {"[]", "\"ok\"", "1", "{\"status\":\"ok\"}", "{\"count\":\"3\"}"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct reply replies[] = {{"GET /_cat/", 200, "[]"}, {"GET ", 200, bodies[i]}};
		struct search_stats stats;
		struct search_name name;
		json_t *value = NULL;
		struct world w;

		world_start(&w, replies, ARRAY_SIZE(replies));
		assert_int_equal(search_resolve(w.search, "c", &name, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		assert_int_equal(search_index_meta(w.search, "c", &value, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		assert_int_equal(search_stats(w.search, "c", &stats, &w.err), -1);
		assert_int_equal(w.err.kind, ERR_TRANSIENT);
		world_stop(&w);
	}
}

static void test_put_when_version_is_given_then_the_write_is_conditional(void **state)
{
	_cleanup_json_ json_t *document = json_pack("{s:i}", "a", 1);
	struct search_version version = {.seq_no = -1, .primary_term = -1};

	START(w, {"PUT /c/_doc/k?op_type=create ", 201, "{\"result\":\"created\",\"_seq_no\":0,\"_primary_term\":1}"},
	      {"PUT /c/_doc/k?if_seq_no=0&if_primary_term=1 ", 200, FAKE_CONFIRMED},
	      {"PUT /c/_doc/k?if_seq_no=1&", 409, "{\"error\":{\"type\":\"version_conflict_engine_exception\"}}"});
	assert_int_equal(search_put(w.search, "c", "k", document, &version, &w.err), 0);
	assert_int_equal(version.seq_no, 0);
	assert_int_equal(search_put(w.search, "c", "k", document, &version, &w.err), 0);
	assert_int_equal(version.seq_no, 1);
	assert_string_equal(w.last_body, "{\"a\":1}");
	assert_int_equal(search_put(w.search, "c", "k", document, &version, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CONFLICT);
	assert_int_equal(version.seq_no, 1);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info_when_elasticsearch_then_flavour_and_version),
		cmocka_unit_test(test_info_when_opensearch_then_flavour_and_version_even_in_disguise),
		cmocka_unit_test(test_info_when_neither_or_too_old_then_unsupported),
		cmocka_unit_test(test_json_when_refused_then_kind_reason_and_the_engines_words),
		cmocka_unit_test(test_index_when_name_could_mean_several_then_invalid_and_nothing_is_sent),
		cmocka_unit_test(test_resolve_when_name_is_absent_index_or_alias_then_it_says_so),
		cmocka_unit_test(test_alias_move_when_others_have_it_then_one_call_changes_all),
		cmocka_unit_test(test_alias_move_when_an_index_has_the_name_then_refused_unless_asked_to_remove_it),
		cmocka_unit_test(test_alias_replace_when_others_have_the_prefix_then_one_call_changes_all),
		cmocka_unit_test(test_alias_replace_when_the_answer_is_a_proxy_s_then_it_is_not_sent_again),
		cmocka_unit_test(test_index_create_when_refused_then_conflict_or_rejected),
		cmocka_unit_test(test_pipeline_when_absent_or_hidden_then_distinguished),
		cmocka_unit_test(test_index_template_when_none_applies_or_hidden_then_distinguished),
		cmocka_unit_test(test_index_when_absent_then_delete_succeeds_exists_is_false_and_meta_is_not_found),
		cmocka_unit_test(test_stats_when_several_shards_then_count_and_the_worst_health),
		cmocka_unit_test(test_histories_when_a_shard_has_no_started_primary_then_it_is_left_out),
		cmocka_unit_test(test_get_when_document_or_index_is_absent_then_null_and_no_error),
		cmocka_unit_test(test_all_when_something_else_says_404_then_nothing_counts_as_absent),
		cmocka_unit_test(test_all_when_a_change_is_not_confirmed_then_an_error),
		cmocka_unit_test(
			test_all_when_an_answer_is_about_something_else_then_nothing_counts_as_absent_or_empty),
		cmocka_unit_test(test_put_when_version_is_given_then_the_write_is_conditional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
