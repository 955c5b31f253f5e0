/* Connections for other protocols: libcurl resolves, connects and does TLS, and then hands the bytes over. */
#include "http/http_int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"

enum { SLICE_MS = 200 };

struct http_pipe {
	struct http_call call; /* of the connect request that libcurl does not send */
	struct http_target *target;
	curl_socket_t fd;
	int64_t deadline_ms;
	bool (*cancelled)(void *user);
	void *user;
};

static int pipe_error(struct http_pipe *pipe, enum err_kind kind, enum reason reason, const char *text, struct err *err)
{
	return err_reason(err, kind, reason, "%s: %s", pipe->target->urls[0].name, text);
}

/* libcurl calls this at least once a second while it connects. */
static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t upload_total, curl_off_t uploaded)
{
	struct http_pipe *pipe = user;

	UNUSED(total);
	UNUSED(now);
	UNUSED(upload_total);
	UNUSED(uploaded);
	pipe->call.cancelled = pipe->cancelled && pipe->cancelled(pipe->user);
	return pipe->call.cancelled;
}

static int make_pipe_target(struct http_pipe *pipe, const struct http_pipe_options *o, struct err *err)
{
	_cleanup_free_ char *url = xasprintf("%s://%s:%u", o->tls ? "https" : "http", o->host, o->port);
	const char *urls[] = {url};
	const struct http_target_options options = {.urls = urls, .n_urls = 1, .ca_pem = o->ca_pem};

	if (http_target_new(&options, &pipe->target, err) < 0)
		return -1;
	xreplace(&pipe->target->urls[0].name, o->name);
	return 0;
}

static int connect_pipe(struct http_pipe *pipe, struct err *err)
{
	struct http_call *call = &pipe->call;
	CURLcode code;

	call->target = pipe->target;
	call->started_ms = clock_now_ms();
	call->request = (struct http_request){
		.method = "connecting to", .path = "", .timeout_ms = pipe->deadline_ms - call->started_ms};
	if (call->request.timeout_ms <= 0)
		return pipe_error(pipe, ERR_TRANSIENT, REASON_TIMEOUT, "no answer in time", err);
	if (http_call_prepare(call, err) < 0)
		return -1;
	(void)curl_easy_setopt(call->easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(call->easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(call->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
	(void)curl_easy_setopt(call->easy, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(call->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(call->easy, CURLOPT_XFERINFODATA, pipe);
	code = curl_easy_perform(call->easy);
	if (call->cancelled)
		return pipe_error(pipe, ERR_CANCELLED, REASON_NONE, "cancelled", err);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &pipe->fd);
	return code == CURLE_OK ? 0 : http_call_error(call, code, err);
}

int http_pipe_open(const struct http_pipe_options *o, struct http_pipe **ret, struct err *err)
{
	_cleanup_(http_pipe_closep) struct http_pipe *pipe = xcalloc(1, sizeof(*pipe));

	http_init_library();
	pipe->deadline_ms = o->deadline_ms;
	pipe->cancelled = o->cancelled;
	pipe->user = o->user;
	if (make_pipe_target(pipe, o, err) < 0 || connect_pipe(pipe, err) < 0)
		return -1;
	*ret = TAKE_PTR(pipe);
	return 0;
}

void http_pipe_close(struct http_pipe *pipe)
{
	if (!pipe)
		return;
	http_call_release_easy(&pipe->call);
	http_response_release(&pipe->call.response);
	http_target_free(pipe->target);
	free(pipe);
}

static int wait_for_pipe(struct http_pipe *pipe, short events, struct err *err)
{
	for (;;) {
		int64_t left = pipe->deadline_ms - clock_now_ms();
		struct pollfd fd = {.fd = pipe->fd, .events = events};
		int r;

		if (pipe->cancelled && pipe->cancelled(pipe->user))
			return pipe_error(pipe, ERR_CANCELLED, REASON_NONE, "cancelled", err);
		if (left <= 0)
			return pipe_error(pipe, ERR_TRANSIENT, REASON_TIMEOUT, "no answer in time", err);
		r = poll(&fd, 1, (int)(left < SLICE_MS ? left : SLICE_MS));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return err_errno(err, errno, "poll");
	}
}

static int pipe_broken(struct http_pipe *pipe, struct err *err)
{
	return pipe_error(pipe, ERR_TRANSIENT, REASON_RESET, "the server closed the connection", err);
}

int http_pipe_send(struct http_pipe *pipe, const void *data, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		size_t n = 0;
		CURLcode code = curl_easy_send(pipe->call.easy, (const char *)data + done, len - done, &n);

		if (code == CURLE_OK)
			done += n;
		else if (code != CURLE_AGAIN)
			return pipe_broken(pipe, err);
		else if (wait_for_pipe(pipe, POLLOUT, err) < 0)
			return -1;
	}
	return 0;
}

int http_pipe_recv(struct http_pipe *pipe, void *buf, size_t size, size_t *ret_len, struct err *err)
{
	for (;;) {
		CURLcode code = curl_easy_recv(pipe->call.easy, buf, size, ret_len);

		/* A server that sends without end is late, too. */
		if (code == CURLE_OK && *ret_len && clock_now_ms() < pipe->deadline_ms)
			return 0;
		if (code != CURLE_AGAIN && (code != CURLE_OK || !*ret_len))
			return pipe_broken(pipe, err);
		if (wait_for_pipe(pipe, POLLIN, err) < 0)
			return -1;
	}
}
