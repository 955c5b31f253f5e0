/* Requests and responses: the callbacks of libmicrohttpd, which writes a response whenever its client can take more, so
 * that a slow client delays only its own. */
#include <string.h>

#include "web/web_int.h"

static const char text_plain[] = "text/plain; charset=utf-8";

static const struct web_route *find_route(const struct web *web, const char *path)
{
	for (size_t i = 0; i < web->n_routes; i++)
		if (strcmp(web->routes[i].path, path) == 0)
			return &web->routes[i];
	return NULL;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Whether the client announced a body. */
static bool has_body(struct MHD_Connection *connection)
{
	const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
}

static enum MHD_Result add_argument(void *user, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct strbuf *query = user;

	UNUSED(kind);
	strbuf_addf(query, "%s%s%s%s", query->len ? "&" : "", key, value ? "=" : "", value ? value : "");
	return MHD_YES;
}

static void answer(struct web_response *response, unsigned status, const char *text)
{
	strbuf_release(&response->body);
	strbuf_init(&response->body, WEB_BODY_BYTES);
	response->status = status;
	response->content_type = text_plain;
	strbuf_adds(&response->body, text);
}

static void call_handler(struct MHD_Connection *connection, const struct web_route *route,
			 struct web_response *response)
{
	struct strbuf query;

	strbuf_init(&query, WEB_QUERY_BYTES);
	(void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_argument, &query);
	if (strbuf_ok(&query))
		route->handler(route->user, query.data, response);
	else
		answer(response, MHD_HTTP_URI_TOO_LONG, "the query is too long\n");
	strbuf_release(&query);
	if (!strbuf_ok(&response->body))
		answer(response, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer is too large\n");
}

static enum MHD_Result send_response(struct MHD_Connection *connection, struct web_response *response, bool close)
{
	size_t len = response->body.len;
	struct MHD_Response *r =
		MHD_create_response_from_buffer(len, strbuf_detach(&response->body), MHD_RESPMEM_MUST_FREE);
	enum MHD_Result sent = MHD_NO;

	if (r && MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type) &&
	    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
	    (response->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD")) &&
	    (!close || MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close")))
		sent = MHD_queue_response(connection, response->status, r);
	if (r)
		MHD_destroy_response(r);
	return sent;
}

/* Called for the head of a request, and again where the body would begin. An answer to the first call ends the
 * connection afterwards, so that no body is ever read; an answer to the second does not. */
enum MHD_Result web_http_request(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *upload, size_t *upload_len, void **context)
{
	const struct web_route *route = find_route(cls, path);
	bool readable = !strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD);
	bool close = !readable || has_body(connection);
	struct web_response response = {.status = MHD_HTTP_OK, .content_type = text_plain};

	UNUSED(version);
	UNUSED(upload);
	UNUSED(upload_len);
	if (!close && !*context) {
		*context = cls;
		return MHD_YES;
	}
	web_connection_active(connection);
	strbuf_init(&response.body, WEB_BODY_BYTES);
	if (!route)
		answer(&response, MHD_HTTP_NOT_FOUND, "not found\n");
	else if (close)
		answer(&response, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD, without a body\n");
	else
		call_handler(connection, route, &response);
	return send_response(connection, &response, close);
}

void web_http_completed(void *cls, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode code)
{
	UNUSED(cls);
	UNUSED(context);
	if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		web_connection_active(connection);
}
