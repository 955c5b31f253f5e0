/* Requests and responses: the callbacks of libmicrohttpd, which writes a response whenever its client can take more, so
 * that a slow client delays only its own. */
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/utf8.h"
#include "web/web_int.h"

enum { ALLOW_BYTES = 128 };

static const char text_plain[] = "text/plain; charset=utf-8";

/* --- what handlers use */

const char *web_argument(const struct web_request *request, const char *name)
{
	for (size_t i = 0; i < request->n_arguments; i++)
		if (strcmp(request->arguments[i].name, name) == 0)
			return request->arguments[i].value ? request->arguments[i].value : "";
	return NULL;
}

const char *web_header(const struct web_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

void web_add_header(struct web_response *response, const char *name, const char *value)
{
	if (response->n_headers == WEB_HEADERS)
		return;
	response->headers[response->n_headers].name = name;
	response->headers[response->n_headers++].value = xstrdup(value);
}

/* --- exchanges */

static void release_response(struct web_response *response)
{
	strbuf_release(&response->body);
	for (size_t i = 0; i < response->n_headers; i++)
		free(response->headers[i].value);
	response->n_headers = 0;
}

static struct web_exchange *exchange_new(struct web *web, struct MHD_Connection *connection, const char *method,
					 const char *path)
{
	struct web_exchange *e = xcalloc(1, sizeof(*e));

	e->web = web;
	e->request = (struct web_request){
		.method = method, .path = path, .arguments = e->arguments, .connection = connection};
	e->response =
		(struct web_response){.status = MHD_HTTP_OK, .content_type = text_plain, .cache_control = "no-store"};
	strbuf_init(&e->response.body, WEB_BODY_BYTES);
	strbuf_init(&e->body, web->options.max_body);
	strbuf_init(&e->texts, WEB_QUERY_BYTES);
	return e;
}

static void exchange_free(struct web_exchange *e)
{
	release_response(&e->response);
	strbuf_release(&e->body);
	strbuf_release(&e->texts);
	free(e->path);
	free(e);
}

/* The server's own answer. */
static void refuse(struct web_exchange *e, unsigned status, const char *text)
{
	struct web_response *response = &e->response;

	release_response(response);
	strbuf_init(&response->body, WEB_BODY_BYTES);
	response->status = status;
	response->content_type = text_plain;
	response->cache_control = "no-store";
	if (e->web->options.refusal)
		e->web->options.refusal(text, response);
	else
		strbuf_addf(&response->body, "%s\n", text);
	atomic_store(&e->answered, true);
}

/* --- the head of a request */

static bool is_readable(const char *method)
{
	return !strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD);
}

static bool may_have_body(const char *method)
{
	return !strcmp(method, MHD_HTTP_METHOD_POST) || !strcmp(method, MHD_HTTP_METHOD_PUT) ||
	       !strcmp(method, MHD_HTTP_METHOD_PATCH);
}

/* Whether the client announced a body. */
static bool has_body(const struct web_request *request)
{
	const char *length = web_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return web_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
}

static void refuse_other_method(struct web_exchange *e, const char *allow)
{
	bool plain = strcmp(allow, "GET, HEAD") == 0;

	refuse(e, MHD_HTTP_METHOD_NOT_ALLOWED,
	       plain ? "only GET and HEAD, without a body" : "the path does not have this method");
	web_add_header(&e->response, MHD_HTTP_HEADER_ALLOW, allow);
}

static void check_body(struct web_exchange *e)
{
	const char *length = web_header(&e->request, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t n;

	if (!may_have_body(e->request.method) || !e->web->options.max_body)
		refuse(e, MHD_HTTP_BAD_REQUEST, "this method has no body");
	else if (web_header(&e->request, MHD_HTTP_HEADER_TRANSFER_ENCODING) || !length)
		refuse(e, MHD_HTTP_LENGTH_REQUIRED, "a body needs a Content-Length");
	else if (!parse_range(length, 0, e->web->options.max_body, &n))
		refuse(e, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
}

static bool is_plain_text(const char *s, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_sequence(s + at, len - at);
		if (!n || !s[at])
			return false;
	}
	return true;
}

static const char *keep_text(struct web_exchange *e, const char *s, size_t len)
{
	size_t at = e->texts.len;

	strbuf_add(&e->texts, s, len);
	strbuf_addc(&e->texts, '\0');
	return e->texts.data + at;
}

static enum MHD_Result add_argument(void *user, enum MHD_ValueKind kind, const char *key, size_t key_len,
				    const char *value, size_t value_len)
{
	struct web_exchange *e = user;
	struct web_argument *a = &e->arguments[e->request.n_arguments];

	UNUSED(kind);
	if (atomic_load(&e->answered))
		return MHD_NO;
	if (e->request.n_arguments == WEB_ARGUMENTS || key_len + value_len + 2 > WEB_QUERY_BYTES - e->texts.len) {
		refuse(e, MHD_HTTP_URI_TOO_LONG, "the query is too long");
		return MHD_NO;
	}
	if (!is_plain_text(key, key_len) || !is_plain_text(value, value_len)) {
		refuse(e, MHD_HTTP_BAD_REQUEST, "the query is not UTF-8");
		return MHD_NO;
	}
	/* So that the texts stay where they are. */
	(void)strbuf_reserve(&e->texts, WEB_QUERY_BYTES - e->texts.len);
	a->name = keep_text(e, key, key_len);
	a->value = value ? keep_text(e, value, value_len) : NULL;
	e->request.n_arguments++;
	return MHD_YES;
}

/* Counts what two servers could read differently: then one of them takes a body for a request. */
struct head_flaws {
	unsigned lengths, hosts;
	bool malformed;
};

static enum MHD_Result find_flaws(void *user, enum MHD_ValueKind kind, const char *key, size_t key_len,
				  const char *value, size_t value_len)
{
	struct head_flaws *flaws = user;

	UNUSED(kind);
	flaws->lengths += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
	flaws->hosts += strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0;
	if (!web_is_header(key, key_len, value, value_len))
		flaws->malformed = true;
	return MHD_YES;
}

static bool is_ambiguous(const struct web_request *request)
{
	struct head_flaws flaws = {0};

	(void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, find_flaws, &flaws);
	return flaws.lengths > 1 || flaws.hosts > 1 || flaws.malformed;
}

/* Answers what is refused before its body. */
static void check_head(struct web_exchange *e)
{
	const struct web_options *options = &e->web->options;
	const struct web_request *r = &e->request;
	struct strbuf allow;

	strbuf_init(&allow, ALLOW_BYTES);
	e->route = web_find_route(options, r->method, r->path, e, &allow);
	if (is_ambiguous(r))
		refuse(e, MHD_HTTP_BAD_REQUEST, "the headers are malformed, or Host or Content-Length is repeated");
	else if (options->for_browsers && !web_host_is_ours(web_header(r, MHD_HTTP_HEADER_HOST), options->hosts))
		refuse(e, MHD_HTTP_MISDIRECTED_REQUEST, "the Host header does not name this server");
	else if (options->for_browsers && !is_readable(r->method) &&
		 !web_is_same_site(web_header(r, MHD_HTTP_HEADER_HOST), web_header(r, "Origin"),
				   web_header(r, "Sec-Fetch-Site")))
		refuse(e, MHD_HTTP_FORBIDDEN, "pages of other sites may not write to this server");
	else if (!e->route && allow.len)
		refuse_other_method(e, allow.data);
	else if (!e->route || !is_plain_text(r->path, strlen(r->path)))
		refuse(e, MHD_HTTP_NOT_FOUND, "not found");
	else if (has_body(r) && is_readable(r->method))
		refuse_other_method(e, "GET, HEAD");
	else if (has_body(r))
		check_body(e);
	e->close = atomic_load(&e->answered) &&
		   (!is_readable(r->method) || has_body(r) || e->response.status == MHD_HTTP_BAD_REQUEST);
	strbuf_release(&allow);
}

/* --- the answer */

void web_http_handle(struct web_exchange *e, unsigned worker)
{
	e->request.worker = worker;
	e->request.body = e->body.data;
	e->request.body_len = e->body.len;
	e->route->handler(e->route->user, &e->request, &e->response);
	if (!strbuf_ok(&e->response.body))
		refuse(e, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer is too large");
	atomic_store(&e->answered, true);
}

static bool add_headers(struct MHD_Response *r, const struct web_exchange *e)
{
	const struct web_response *response = &e->response;
	bool ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, response->cache_control) &&
		  (response->status == MHD_HTTP_NO_CONTENT || response->status == MHD_HTTP_NOT_MODIFIED ||
		   MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type)) &&
		  (!e->close || MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close"));

	for (size_t i = 0; ok && i < response->n_headers; i++)
		ok = MHD_add_response_header(r, response->headers[i].name, response->headers[i].value);
	for (const char *const *h = e->web->options.headers; ok && h && h[0]; h += 2)
		ok = MHD_add_response_header(r, h[0], h[1]);
	return ok;
}

static enum MHD_Result send_response(struct web_exchange *e)
{
	size_t len = e->response.body.len;
	struct MHD_Response *r =
		MHD_create_response_from_buffer(len, strbuf_detach(&e->response.body), MHD_RESPMEM_MUST_FREE);
	enum MHD_Result sent = MHD_NO;

	web_connection_active(e->request.connection);
	if (r && add_headers(r, e))
		sent = MHD_queue_response(e->request.connection, e->response.status, r);
	if (r)
		MHD_destroy_response(r);
	return sent;
}

/* Where the body is complete. */
static enum MHD_Result handle(struct web_exchange *e)
{
	struct web *web = e->web;

	(void)MHD_get_connection_values_n(e->request.connection, MHD_GET_ARGUMENT_KIND, add_argument, e);
	if (atomic_load(&e->answered))
		return send_response(e);
	if (!web->options.workers || e->route->in_server_thread) {
		web_http_handle(e, 0);
		return send_response(e);
	}
	if (!atomic_load(&web->stop) && web_work_submit(web, e))
		return MHD_YES;
	refuse(e, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests are waiting, or the server is stopping; try again");
	web_add_header(&e->response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return send_response(e);
}

/* Called for the head of a request; for each piece of its body; where the body ends; and once more after a worker has
 * answered. An answer to the first call ends the connection afterwards, so that no body is ever read; later ones do
 * not. */
enum MHD_Result web_http_request(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *upload, size_t *upload_len, void **context)
{
	struct web_exchange *e = *context;

	UNUSED(version);
	if (!e) {
		e = exchange_new(cls, connection, method, path);
		*context = e;
		check_head(e);
		return e->close ? send_response(e) : MHD_YES;
	}
	if (*upload_len) {
		strbuf_add(&e->body, upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	return atomic_load(&e->answered) ? send_response(e) : handle(e);
}

void web_http_completed(void *cls, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode code)
{
	UNUSED(cls);
	if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		web_connection_active(connection);
	if (*context)
		exchange_free(*context);
	*context = NULL;
}
