/* Requests to the engine, its errors, and which engine it is. */
#include "search/search.h"

#include <poll.h>

#include "base/clock.h"
#include "base/parse.h"
#include "search/search_int.h"
#include "json/json.h"

/* Creating an index waits for its shards (30 s on the server). */
enum { DEFAULT_TIMEOUT_MS = 60 * 1000, TRIES = 3, PAUSE_MS = 100, PATH_BYTES = 8 * 1024 };

int search_new(struct http_target *target, bool (*cancelled)(void *user), void *user, struct search **ret,
	       struct err *err)
{
	_cleanup_(search_freep) struct search *search = xcalloc(1, sizeof(*search));

	search->target = target;
	search->cancelled = cancelled;
	search->user = user;
	search->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (http_new(&search->http, err) < 0)
		return -1;
	http_set_cancelled(search->http, cancelled, user);
	*ret = TAKE_PTR(search);
	return 0;
}

void search_set_timeout(struct search *search, int64_t timeout_ms)
{
	search->timeout_ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
}

void search_free(struct search *search)
{
	if (!search)
		return;
	http_free(search->http);
	free(search);
}

json_t *search_must(json_t *value)
{
	if (!value)
		abort();
	return value;
}

/* --- Requests --------------------------------------------------------------------------------------------------------
 */
void search_answer_release(struct search_answer *answer)
{
	http_response_release(&answer->response);
	json_decref(answer->root);
	answer->root = NULL;
}

const char *search_error_type(const json_t *root)
{
	return jsonx_string(root, "error.type", NULL);
}

const char *search_error_reason(const json_t *root)
{
	const json_t *error = json_object_get(root, "error");

	return json_is_string(error) ? json_string_value(error) : jsonx_string(root, "error.reason", NULL);
}

bool search_says_absent(const json_t *root)
{
	static const char *const types[] = {"index_not_found_exception", "resource_not_found_exception",
					    "aliases_not_found_exception"};
	const json_t *error = json_object_get(root, "error");
	const char *type = search_error_type(root);

	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++)
		if (!strcmp(type, types[i]))
			return true;
	/* Of an alias, a document, the deletion of a document. */
	return (json_is_string(error) && !strncmp(json_string_value(error), "alias [", 7)) ||
	       json_is_false(json_object_get(root, "found")) || !strcmp(jsonx_string(root, "result", ""), "not_found");
}

static bool is_passing(long status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* A brief refusal should not fail the caller's attempt: the request is repeated a few times, with short pauses. */
static int request_with_retries(struct search *search, const struct http_request *request, struct http_response *ret,
				struct err *err)
{
	struct backoff backoff;

	backoff_init(&backoff, PAUSE_MS, (int64_t)4 * PAUSE_MS, random_seed());
	for (int left = TRIES - 1;; left--) {
		*ret = (struct http_response){0};
		if (http_do(search->http, search->target, request, ret, err) < 0)
			return -1;
		if (!left || request->once || !is_passing(ret->status) ||
		    (search->cancelled && search->cancelled(search->user)))
			return 0;
		http_response_release(ret);
		(void)poll(NULL, 0, (int)backoff_next_ms(&backoff));
	}
}

static int send_json(struct search *search, struct http_request request, const json_t *body, struct search_answer *ret,
		     struct err *err)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct err parse_err;

	*ret = (struct search_answer){0};
	if (body && !text)
		return err_set(err, ERR_FATAL, "%s %s: the body cannot be written as JSON", request.method,
			       request.path);
	request.body = text;
	request.body_len = text ? strlen(text) : 0;
	request.timeout_ms = search->timeout_ms;
	if (request_with_retries(search, &request, &ret->response, err) < 0)
		return -1;
	if (jsonx_parse(ret->response.body.data, ret->response.body.len, "the answer", &ret->root, &parse_err) < 0)
		ret->root = NULL;
	return 0;
}

int search_request(struct search *search, const char *method, const char *path, const json_t *body,
		   struct search_answer *ret, struct err *err)
{
	return send_json(search, (struct http_request){.method = method, .path = path}, body, ret, err);
}

/* An index or an alias is acknowledged, a document has a result, and of a refresh only the shards are counted. */
bool search_confirms(const json_t *root)
{
	const json_t *acknowledged = json_object_get(root, "acknowledged"), *shards = json_object_get(root, "_shards");
	const char *result = jsonx_string(root, "result", NULL);

	if (acknowledged)
		return json_is_true(acknowledged);
	if (result)
		return !strcmp(result, "created") || !strcmp(result, "updated") || !strcmp(result, "deleted");
	if (shards)
		return jsonx_integer(shards, "failed", -1) == 0;
	return json_is_true(json_object_get(root, "succeeded")); /* the end of a scroll */
}

int search_explain_unconfirmed(const struct search *search, const char *method, const char *path, struct err *err)
{
	return err_reason(
		err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
		"%s %s%.*s: the answer does not confirm the change: a node of the cluster has not answered in "
		"time, or something else is in front of the search engine",
		method, http_target_name(search->target), (int)strcspn(path, "?"), path);
}

int search_send_once(struct search *search, const char *method, const char *path, const json_t *body, struct err *err)
{
	const struct http_request request = {.method = method, .path = path, .once = true};
	_cleanup_(search_answer_release) struct search_answer answer = {0};

	if (send_json(search, request, body, &answer, err) < 0)
		return -1;
	if (answer.response.status >= 300)
		return search_answer_err(search, method, path, &answer.response, answer.root, err);
	return search_confirms(answer.root) ? 0 : search_explain_unconfirmed(search, method, path, err);
}

int search_answer_err(const struct search *search, const char *method, const char *path,
		      const struct http_response *response, const json_t *root, struct err *err)
{
	const char *type = search_error_type(root);
	const char *reason = search_error_reason(root);
	_cleanup_free_ char *what =
		xasprintf("%s %s%.*s", method, http_target_name(search->target), (int)strcspn(path, "?"), path);

	(void)http_status_err(response, what, err);
	if (type || reason)
		(void)snprintf(err->msg, sizeof(err->msg), "%s: HTTP status %ld: %.100s%s%.800s", what,
			       response->status, type ? type : "", type && reason ? ": " : "", reason ? reason : "");
	else if (response->status >= 400)
		/* A user who may set a URL must not be able to read what is behind it, so do not quote the answer. */
		(void)snprintf(err->msg, sizeof(err->msg),
			       "%s: HTTP status %ld, without an error in the search engine's format", what,
			       response->status);
	if (err->kind == ERR_DENIED && type && !strcmp(type, "cluster_block_exception")) {
		/* A full disk makes indices read-only: that is not about privileges, and it is temporary. */
		err->kind = ERR_TRANSIENT;
		err->reason = REASON_SINK_UNAVAILABLE;
	} else if (err->kind == ERR_NOT_FOUND && !search_says_absent(root)) {
		/* The answer is not the engine's, so it does not show whether the engine has the object. */
		err->kind = ERR_TRANSIENT;
		err->reason = REASON_SINK_UNAVAILABLE;
		if (!type)
			err_append(err, "; this is not an answer of the search engine: check sink.urls and the proxy "
					"in front of it");
	} else if (err->kind == ERR_DENIED) {
		err->reason = REASON_AUTH_FAILED;
	} else if (err->kind == ERR_TRANSIENT) {
		err->reason = REASON_SINK_UNAVAILABLE;
	}
	return -1;
}

int search_json(struct search *search, const char *method, const char *path, const json_t *body, json_t **ret,
		struct err *err)
{
	_cleanup_(search_answer_release) struct search_answer answer;

	if (search_request(search, method, path, body, &answer, err) < 0)
		return -1;
	if (answer.response.status >= 300)
		return search_answer_err(search, method, path, &answer.response, answer.root, err);
	if (!ret)
		return search_confirms(answer.root) ? 0 : search_explain_unconfirmed(search, method, path, err);
	if (!answer.root)
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
				  "%s %s%.*s: the answer (HTTP status %ld, %s) is not JSON; is something else in "
				  "front of the search engine?",
				  method, http_target_name(search->target), (int)strcspn(path, "?"), path,
				  answer.response.status,
				  answer.response.content_type[0] ? answer.response.content_type : "no content type");
	*ret = TAKE_PTR(answer.root);
	return 0;
}

static bool is_one_index(const char *index)
{
	return index && *index && strcspn(index, "*?,<>\"\\/| ") == strlen(index) && !strchr("_-+", index[0]) &&
	       strcmp(index, ".") != 0 && strcmp(index, "..") != 0;
}

struct path {
	const char *above, *index, *middle, *id, *suffix;
};

static int make_path(const struct path *p, char **ret, struct err *err)
{
	struct strbuf sb;
	int r = 0;

	if (!is_one_index(p->index))
		return err_set(err, ERR_INVALID, "'%s' is not the name of a single index", p->index ? p->index : "");
	strbuf_init(&sb, PATH_BYTES);
	strbuf_adds(&sb, p->above);
	strbuf_addc(&sb, '/');
	http_escape(&sb, p->index);
	strbuf_adds(&sb, p->middle);
	if (p->id)
		http_escape(&sb, p->id);
	strbuf_adds(&sb, p->suffix);
	if (strbuf_ok(&sb))
		*ret = strbuf_detach(&sb);
	else
		r = err_set(err, ERR_LIMIT, "the path for index %.100s is longer than %d bytes", p->index, PATH_BYTES);
	strbuf_release(&sb);
	return r;
}

int search_path(const char *index, const char *middle, const char *id, const char *suffix, char **ret, struct err *err)
{
	return make_path(&(struct path){"", index, middle, id, suffix}, ret, err);
}

int search_path_below(const char *above, const char *index, const char *suffix, char **ret, struct err *err)
{
	return make_path(&(struct path){above, index, "", NULL, suffix}, ret, err);
}

int search_index_post(struct search *search, const char *index, const char *suffix, const json_t *body, json_t **ret,
		      struct err *err)
{
	_cleanup_free_ char *path = NULL;

	if (search_path(index, suffix, NULL, "", &path, err) < 0)
		return -1;
	return search_json(search, "POST", path, body, ret, err);
}

int search_index_get(struct search *search, const char *index, const char *suffix, json_t **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL;

	if (search_path(index, suffix, NULL, "", &path, err) < 0)
		return -1;
	return search_json(search, "GET", path, NULL, ret, err);
}

int search_indices_get(struct search *search, const char *prefix, const char *suffix, json_t **ret, struct err *err)
{
	_cleanup_free_ char *rest = xasprintf("*%s", suffix);

	return search_index_get(search, prefix, rest, ret, err);
}

int search_index_send(struct search *search, const char *method, const char *index, const char *suffix,
		      const json_t *body, struct err *err)
{
	_cleanup_free_ char *path = NULL;

	if (search_path(index, suffix, NULL, "", &path, err) < 0)
		return -1;
	return search_json(search, method, path, body, NULL, err);
}

int search_scroll(struct search *search, const char *method, const json_t *body, json_t **ret, struct err *err)
{
	return search_json(search, method, "/_search/scroll", body, ret, err);
}

/* --- Which engine ----------------------------------------------------------------------------------------------------
 */
/* "7.17.28", "8.0.0-SNAPSHOT" */
static bool parse_version(const char *text, struct search_info *info)
{
	size_t major_len = strspn(text, "0123456789");
	const char *rest = text + major_len;
	uint64_t major, minor;

	if (*rest != '.' || !parse_u64(text, major_len, &major) ||
	    !parse_u64(rest + 1, strspn(rest + 1, "0123456789"), &minor) || major > 1000 || minor > 1000)
		return false;
	info->major = (int)major;
	info->minor = (int)minor;
	(void)snprintf(info->version, sizeof(info->version), "%s", text);
	return true;
}

static int read_info(const struct search_answer *answer, const char *name, struct search_info *ret, struct err *err)
{
	const char *number = jsonx_string(answer->root, "version.number", NULL);
	const char *distribution = jsonx_string(answer->root, "version.distribution", "");
	const char *tagline = jsonx_string(answer->root, "tagline", "");
	struct search_info info = {0};

	if (!strcmp(distribution, "opensearch") || strstr(tagline, "OpenSearch"))
		info.flavour = SEARCH_OPENSEARCH;
	else if (!strcmp(answer->response.product, "Elasticsearch") || !strcmp(tagline, "You Know, for Search"))
		info.flavour = SEARCH_ELASTICSEARCH;
	else
		return err_reason(err, ERR_INVALID, REASON_VERSION_UNSUPPORTED,
				  "%s answers, but is neither Elasticsearch nor OpenSearch", name);
	if (!number || !parse_version(number, &info))
		return err_reason(err, ERR_INVALID, REASON_VERSION_UNSUPPORTED, "%s does not report its version", name);
	(void)snprintf(info.cluster_name, sizeof(info.cluster_name), "%s",
		       jsonx_string(answer->root, "cluster_name", ""));
	/* compatibility.override_main_response_version makes OpenSearch 1 and 2 report 7.10.2, for old clients: then do
	 * not rely on anything newer than version 1. */
	if (info.flavour == SEARCH_OPENSEARCH && info.major == 7) {
		info.major = 1;
		info.minor = 0;
	}
	if (info.flavour == SEARCH_ELASTICSEARCH && info.major < 7)
		return err_reason(err, ERR_INVALID, REASON_VERSION_UNSUPPORTED,
				  "%s is Elasticsearch %s; version 7 or later is needed", name, info.version);
	/* Settings [index.number_of_replicas] are not available when running in serverless mode */
	if (!strcmp(jsonx_string(answer->root, "version.build_flavor", ""), "serverless"))
		return err_reason(err, ERR_INVALID, REASON_VERSION_UNSUPPORTED,
				  "%s is Elastic Cloud Serverless, which refuses the index settings that a rebuild "
				  "needs; use Elastic Cloud Hosted, or your own Elasticsearch",
				  name);
	*ret = info;
	return 0;
}

int search_info(struct search *search, struct search_info *ret, struct err *err)
{
	_cleanup_(search_answer_release) struct search_answer answer;

	if (search_request(search, "GET", "/", NULL, &answer, err) < 0)
		return -1;
	if (answer.response.status >= 300)
		return search_answer_err(search, "GET", "/", &answer.response, answer.root, err);
	return read_info(&answer, http_target_name(search->target), ret, err);
}
