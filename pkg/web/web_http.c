/* Requests and responses: the callbacks of libwebsockets.
 *
 * A response is written piece by piece whenever its client can take more, so a slow client delays only its own
 * response.
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "web/web_int.h"

enum {
	ACCEPTS = 64, /* at once, before others are served again */
};

static const char text_plain[] = "text/plain; charset=utf-8";

static struct web *web_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static void answer(struct web_session *session, unsigned status, const char *text)
{
	strbuf_release(&session->response.body);
	strbuf_init(&session->response.body, WEB_BODY_BYTES);
	session->response.status = status;
	session->response.content_type = text_plain;
	strbuf_adds(&session->response.body, text);
}

static const struct web_route *find_route(const struct web *web, const char *path, size_t len)
{
	for (size_t i = 0; i < web->n_routes; i++)
		if (strlen(web->routes[i].path) == len && memcmp(web->routes[i].path, path, len) == 0)
			return &web->routes[i];
	return NULL;
}

/* Whether the client announced a body. */
static bool has_body(struct lws *wsi)
{
	char length[24] = "";

	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING))
		return true;
	if (!lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
		return false;
	return lws_hdr_copy(wsi, length, sizeof(length), WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 ||
	       strcmp(length, "0") != 0;
}

/* The query as libwebsockets has it: cut at each '&', and decoded. */
static void get_query(struct lws *wsi, char query[WEB_HEADER_BYTES])
{
	size_t len = 0;

	query[0] = '\0';
	for (int i = 0; len < WEB_HEADER_BYTES - 1; i++) {
		char *to = query + len + (i > 0);
		int n = lws_hdr_copy_fragment(wsi, to, (int)(query + WEB_HEADER_BYTES - to), WSI_TOKEN_HTTP_URI_ARGS,
					      i);

		if (n <= 0)
			break;
		if (i > 0)
			query[len] = '&';
		len = (size_t)(to - query) + (size_t)n;
	}
	query[len] = '\0';
}

static void call_handler(struct lws *wsi, struct web_session *session, const struct web_route *route)
{
	struct web_response *response = &session->response;
	char query[WEB_HEADER_BYTES];

	get_query(wsi, query);
	response->status = HTTP_STATUS_OK;
	response->content_type = text_plain;
	strbuf_init(&response->body, WEB_BODY_BYTES);
	route->handler(route->user, query, response);
	if (!strbuf_ok(&response->body))
		answer(session, HTTP_STATUS_INTERNAL_SERVER_ERROR, "the answer is too large\n");
}

static int finish_answer(struct lws *wsi, struct web_session *session)
{
	bool close = session->close;

	strbuf_release(&session->response.body);
	/* From here on the session is another one, or none. */
	return close || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int add_header(struct lws *wsi, enum lws_token_indexes token, const char *value, unsigned char **p,
		      unsigned char *end)
{
	return lws_add_http_header_by_token(wsi, token, (const unsigned char *)value, (int)strlen(value), p, end);
}

static int send_headers(struct lws *wsi, struct web_session *session, bool head_only)
{
	struct web *web = web_of(wsi);
	const struct web_response *response = &session->response;
	unsigned char *start = web->out + LWS_PRE;
	unsigned char *p = start;
	unsigned char *end = web->out + sizeof(web->out);

	if (lws_add_http_common_headers(wsi, response->status, response->content_type, response->body.len, &p, end) ||
	    add_header(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, "no-store", &p, end))
		return -1;
	if (response->status == HTTP_STATUS_METHOD_NOT_ALLOWED &&
	    add_header(wsi, WSI_TOKEN_HTTP_ALLOW, "GET, HEAD", &p, end))
		return -1;
	if (session->close && add_header(wsi, WSI_TOKEN_CONNECTION, "close", &p, end))
		return -1;
	if (lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;
	if (head_only || !response->body.len)
		return finish_answer(wsi, session);
	lws_callback_on_writable(wsi);
	return 0;
}

static int on_request(struct lws *wsi, struct web_session *session, const char *path, size_t len)
{
	const struct web_route *route = find_route(web_of(wsi), path, len);
	bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
	bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
	bool body = has_body(wsi);

	web_connection_active(wsi);
	session->sent = 0;
	/* A body is never read: libwebsockets 4.1 can be made to wait for the rest of one without end, in a busy loop,
	 * and never serves another client again. */
	session->close = body || (!head && !get);
	if (!route)
		answer(session, HTTP_STATUS_NOT_FOUND, "not found\n");
	else if (body || (!head && !get))
		answer(session, HTTP_STATUS_METHOD_NOT_ALLOWED, "only GET and HEAD, without a body\n");
	else
		call_handler(wsi, session, route);
	return send_headers(wsi, session, head);
}

static int on_writable(struct lws *wsi, struct web_session *session)
{
	unsigned char *chunk = web_of(wsi)->out + LWS_PRE;
	const struct strbuf *body = &session->response.body;
	size_t left = body->len - session->sent;
	size_t n = left < WEB_CHUNK_BYTES ? left : WEB_CHUNK_BYTES;

	if (!n)
		return 0;
	memcpy(chunk, body->data + session->sent, n);
	if (lws_write(wsi, chunk, n, n == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
		return -1;
	session->sent += n;
	web_connection_active(wsi);
	if (n == left)
		return finish_answer(wsi, session);
	lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, WEB_TIMEOUT_S);
	lws_callback_on_writable(wsi);
	return 0;
}

/* A server may ignore a request to upgrade to another protocol. libwebsockets compares the name again after this, in
 * place: once it is empty, the request is served like any other. */
static int on_upgrade(char *name)
{
	if (strcasecmp(name, "websocket") != 0 && strcasecmp(name, "h2c") != 0)
		return -1; /* already answered */
	*name = '\0';
	return 0;
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct web_session *session = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_request(wsi, session, in, len);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(wsi, session);
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return on_upgrade(in);
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		if (session)
			strbuf_release(&session->response.body);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		web_connection_ended(wsi);
		return 0;
	case LWS_CALLBACK_RAW_ADOPT:
	case LWS_CALLBACK_RAW_RX:
		return -1; /* CONNECT */
	default:
		return 0;
	}
}

static int on_listen(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	const int on = 1;

	UNUSED(user);
	UNUSED(in);
	UNUSED(len);
	if (reason != LWS_CALLBACK_RAW_RX_FILE)
		return 0;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(lws_get_socket_fd(wsi), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return 0;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		web_connection_new(web_of(wsi), fd);
	}
	return 0;
}

const struct lws_protocols web_protocols[] = {
	{.name = "http", .callback = on_http, .per_session_data_size = sizeof(struct web_session)},
	{.name = WEB_PROTOCOL_LISTEN, .callback = on_listen},
	{0},
};
