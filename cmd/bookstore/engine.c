/* What is asked of the search engine: searches, counts, and whether documents are what Postgres has. */
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "bookstore.h"
#include "json/json.h"

enum { IDS = 100, ENGINE_MS = 5000, PATH_BYTES = 2048, REASON_BYTES = 500 };

/* --- requests */

struct engine_call {
	const char *method, *suffix; /* of /<index> */
	const char *body;            /* or NULL */
	size_t body_len;
};

static char *engine_path(const struct bookstore *store, const char *suffix)
{
	struct strbuf path;

	strbuf_init(&path, PATH_BYTES);
	strbuf_addc(&path, '/');
	http_escape(&path, store->index);
	strbuf_adds(&path, suffix);
	return strbuf_detach(&path);
}

static bool engine_cancelled(void *user)
{
	const struct bookstore *store = user;
	struct pollfd fd = {.fd = store->stop_fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

int engine_loop(struct bookstore *store, unsigned worker, struct http **ret, struct err *err)
{
	struct connections *own = &store->connections[worker];

	if (!own->http) {
		if (http_new(&own->http, err) < 0)
			return -1;
		http_set_cancelled(own->http, engine_cancelled, store);
	}
	*ret = own->http;
	return 0;
}

/* Sends it; *ret_status is the engine's, *ret its JSON. Negative: no answer that could be read. */
static int engine_do(struct bookstore *store, unsigned worker, const struct engine_call *call, long *ret_status,
		     json_t **ret, struct err *err)
{
	_cleanup_free_ char *path = engine_path(store, call->suffix);
	const struct http_request request = {.method = call->method,
					     .path = path,
					     .body = call->body,
					     .body_len = call->body_len,
					     .timeout_ms = ENGINE_MS,
					     .max_response = BOOKSTORE_ANSWER_BYTES};
	struct http_response response = {0};
	struct http *http;
	int r;

	if (engine_loop(store, worker, &http, err) < 0 || http_do(http, store->engine, &request, &response, err) < 0)
		return -1;
	r = jsonx_parse(response.body.data, response.body.len, "the search engine's answer", ret, err);
	*ret_status = response.status;
	http_response_release(&response);
	return r;
}

/* --- failures */

static void answer_no_engine(struct web_response *response, const struct err *err)
{
	log_warn("bookstore", "the search engine did not answer, skipping the request", KV_ERR(err));
	if (err->kind == ERR_TRANSIENT || err->kind == ERR_CANCELLED)
		answer_unavailable(response, "the search engine does not answer; try again");
	else
		answer_error(response, 502,
			     "the search engine's answer cannot be used; the log of the bookstore says why");
}

/* What the engine says about the query, the innermost cause. */
static const char *reason_of(const json_t *answer)
{
	const char *outer = jsonx_string(answer, "error.reason", "no reason");
	const json_t *causes = jsonx_get(answer, "error.root_cause");

	return jsonx_string(json_array_get(causes, 0), "reason", outer);
}

/* 422: the query is wrong, and can be corrected; the request that was sent stays with it. */
static void answer_refused_query(struct web_response *response, const json_t *answer, json_t *sent_take)
{
	_cleanup_free_ char *message =
		xasprintf("the search engine refused the query: %.*s", REASON_BYTES, reason_of(answer));
	json_t *errors = json_pack("[{s:s, s:o}]", "field", "q", "message", jsonx_text(message));

	answer_json_take(response, 422,
			 json_pack("{s:i, s:o, s:o, s:o}", "status", 422, "message", jsonx_text(message), "errors",
				   errors, "request", sent_take));
}

static void answer_engine_status(struct web_response *response, const struct bookstore *store, long status)
{
	_cleanup_free_ char *message = NULL;

	if (status == 404)
		message = xasprintf("there is no index \"%s\" yet: does a PgSync fill it?", store->index);
	else
		message = xasprintf("the search engine answered %ld, expected 200", status);
	if (status == 401 || status == 403)
		answer_error(response, 502, message);
	else
		answer_unavailable(response, message);
}

/* --- searches */

static json_t *hits_of(const json_t *answer)
{
	json_t *hits = json_array(), *hit;
	size_t i;

	json_array_foreach (jsonx_get(answer, "hits.hits"), i, hit) {
		json_t *source = json_object_get(hit, "_source"), *highlight = json_object_get(hit, "highlight");
		json_t *score = json_object_get(hit, "_score");

		(void)json_array_append_new(hits,
					    json_pack("{s:s, s:O?, s:O*, s:O*}", "id", jsonx_string(hit, "_id", ""),
						      "score", score, "source", source, "highlight", highlight));
	}
	return hits;
}

/* Sends a body, and answers with the hits and with what was sent, byte for byte. */
static void search(struct bookstore *store, const struct web_request *request, const char *body, size_t len,
		   struct web_response *response)
{
	_cleanup_free_ char *path = engine_path(store, "/_search");
	_cleanup_json_ json_t *answer = NULL;
	json_t *sent;
	long status = 0;
	struct err err = {0};

	if (engine_do(store, request->worker, &(struct engine_call){"POST", "/_search", body, len}, &status, &answer,
		      &err) < 0) {
		answer_no_engine(response, &err);
		return;
	}
	sent = json_pack("{s:s, s:s, s:s%}", "method", "POST", "path", path, "body", body, len);
	if (status == 400) {
		answer_refused_query(response, answer, sent);
	} else if (status != 200) {
		answer_engine_status(response, store, status);
		json_decref(sent);
	} else {
		const json_t *total = jsonx_get(answer, "hits.total.value");

		answer_json_take(response, 200,
				 json_pack("{s:I, s:I, s:o, s:o}", "took_ms",
					   (json_int_t)jsonx_integer(answer, "took", 0), "total",
					   (json_int_t)json_integer_value(total), "hits", hits_of(answer), "request",
					   sent));
	}
}

void engine_search(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_json_ json_t *query = NULL;
	_cleanup_free_ char *body = NULL;
	struct modes_input input;

	modes_read(request, &input, errors);
	if (json_array_size(errors)) {
		answer_wrong(response, errors);
		return;
	}
	if (input.after && !after_wait(user, request, input.after, response))
		return;
	query = modes_query(&input);
	body = json_dumps(query, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	if (body)
		search(user, request, body, strlen(body), response);
	else
		answer_error(response, 500, "the query cannot be written as JSON");
}

/* The body of the request is the engine's query, sent as it is. */
void engine_search_as_sent(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_json_ json_t *body = answer_body(request, response);

	if (body)
		search(user, request, request->body, request->body_len, response);
}

/* --- rows and documents side by side */

static json_t *count_documents(struct bookstore *store, const struct web_request *request)
{
	_cleanup_json_ json_t *answer = NULL;
	long status = 0;
	struct err err = {0};

	if (engine_do(store, request->worker, &(struct engine_call){.method = "GET", .suffix = "/_count"}, &status,
		      &answer, &err) < 0 ||
	    status != 200)
		return json_null();
	return json_integer(jsonx_integer(answer, "count", 0));
}

void engine_stats(void *user, const struct web_request *request, struct web_response *response)
{
	struct bookstore *store = user;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	if (db_read(store, request->worker,
		    &(struct db_statement){
			    "SELECT (SELECT count(*) FROM public.books), (SELECT count(*) FROM public.authors),"
			    " (SELECT count(*) FROM public.book_authors)",
			    NULL, 0},
		    &r, &err) < 0) {
		answer_postgres(response, &err);
		return;
	}
	answer_json_take(response, 200,
			 json_pack("{s:{s:I, s:I, s:I}, s:{s:s, s:o}}", "postgres", "books",
				   (json_int_t)pg_u64(r, 0, 0), "authors", (json_int_t)pg_u64(r, 0, 1), "links",
				   (json_int_t)pg_u64(r, 0, 2), "index", "name", store->index, "documents",
				   count_documents(store, request)));
}

/* What the sample's PgSync makes of each book. */
static const char documents_sql[] =
	"SELECT i.id, CASE WHEN b.id IS NOT NULL THEN json_build_object('title', b.title, 'isbn', b.isbn,"
	" 'price', b.price, 'status', b.status, 'published_at', b.published_at, 'authors',"
	" (SELECT json_agg(json_build_object('name', a.name, 'bio', a.bio)) FROM public.book_authors AS l"
	"  JOIN public.authors AS a ON a.id = l.author_id WHERE l.book_id = b.id)) END"
	" FROM unnest($1::bigint[]) AS i (id) LEFT JOIN public.books AS b ON b.id = i.id";

/* Whether each of one list is in the other; the order does not matter. */
static bool same_authors(const json_t *a, const json_t *b)
{
	const json_t *one, *other;
	size_t i, j;

	if (!json_is_array(a) || !json_is_array(b))
		return json_equal((json_t *)a, (json_t *)b);
	json_array_foreach (a, i, one) {
		bool found = false;

		json_array_foreach (b, j, other)
			found = found || json_equal((json_t *)one, (json_t *)other);
		if (!found)
			return false;
	}
	return json_array_size(a) == json_array_size(b);
}

static bool same_document(const json_t *wanted, const json_t *found)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)wanted, key, value) {
		const json_t *other = json_object_get(found, key);

		if (strcmp(key, "authors") == 0 ? !same_authors(value, other) : !json_equal(value, (json_t *)other))
			return false;
	}
	return true;
}

static const char *state_of(const json_t *wanted, const json_t *found)
{
	if (!wanted && !found)
		return "absent";
	if (!wanted)
		return "to_delete";
	if (!found)
		return "missing";
	return same_document(wanted, found) ? "same" : "different";
}

static const json_t *find_source(const json_t *answer, const char *id)
{
	const json_t *doc;
	size_t i;

	json_array_foreach (json_object_get(answer, "docs"), i, doc)
		if (strcmp(jsonx_string(doc, "_id", ""), id) == 0)
			return jsonx_boolean(doc, "found", false) ? json_object_get(doc, "_source") : NULL;
	return NULL;
}

static json_t *compare_rows(const struct pg_result *r, const json_t *answer)
{
	json_t *items = json_array();

	for (int i = 0; i < pg_n_rows(r); i++) {
		const char *row = pg_value_or_null(r, i, 1);
		_cleanup_json_ json_t *wanted = row ? json_loads(row, 0, NULL) : NULL;
		const json_t *found = find_source(answer, pg_value(r, i, 0));

		(void)json_array_append_new(items, json_pack("{s:I, s:s, s:O*}", "id", (json_int_t)pg_u64(r, i, 0),
							     "state", state_of(wanted, found), "document", found));
	}
	return json_pack("{s:o}", "items", items);
}

/* "3,7,12": as an array literal for Postgres, and as JSON for the engine. */
static bool read_ids(const char *text, struct strbuf *literal, json_t *ids)
{
	pg_array_begin(literal);
	while (text && *text && json_array_size(ids) <= IDS) {
		size_t len = strcspn(text, ",");
		_cleanup_free_ char *id = xstrndup(text, len);

		if (!form_is_id(id))
			return false;
		pg_array_add(literal, id, len);
		(void)json_array_append_new(ids, json_string(id));
		text += len + (text[len] == ',');
	}
	pg_array_end(literal);
	return json_array_size(ids) >= 1 && json_array_size(ids) <= IDS;
}

static void compare_documents(struct bookstore *store, const struct web_request *request, const char *literal,
			      const json_t *ids, struct web_response *response)
{
	_cleanup_json_ json_t *wanted = json_pack("{s:O}", "ids", ids);
	_cleanup_free_ char *body = json_dumps(wanted, JSON_COMPACT);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_json_ json_t *answer = NULL;
	long status = 0;
	struct err err = {0};

	/* The index first: what is newer in Postgres is then "different", and never wrongly "same". */
	if (engine_do(store, request->worker, &(struct engine_call){"POST", "/_mget", body, strlen(body)}, &status,
		      &answer, &err) < 0)
		answer_no_engine(response, &err);
	else if (status != 200)
		answer_engine_status(response, store, status);
	else if (db_read(store, request->worker, &(struct db_statement){documents_sql, (const char *[]){literal}, 1},
			 &r, &err) < 0)
		answer_postgres(response, &err);
	else
		answer_json_take(response, 200, compare_rows(r, answer));
}

void engine_documents(void *user, const struct web_request *request, struct web_response *response)
{
	static const char *const words[] = {"ids", NULL};
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_json_ json_t *ids = json_array();
	struct strbuf literal;

	strbuf_init(&literal, IDS * 24);
	form_check_arguments(request, words, errors);
	if (!read_ids(web_argument(request, "ids"), &literal, ids))
		form_wrong(errors, "ids", "must be 1 to %d ids of books, separated by commas", IDS);
	if (json_array_size(errors))
		answer_wrong(response, errors);
	else
		compare_documents(user, request, literal.data, ids, response);
	strbuf_release(&literal);
}
