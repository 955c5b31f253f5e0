/* Any bytes as what a server answers, over a connection of the loop: a response or an error, within what http.h
 * promises. The first byte says how it is asked, the second in pieces of how many bytes it answers. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES = 2, ASK_HEAD = 1, ASK_STREAM = 2, PIECES = 64 };
enum { MOST_BYTES = 2000, POLL_MS = 1000, POLLS = 10, TIMEOUT_MS = POLLS * POLL_MS, DAY_MS = 24 * 60 * 60 * 1000 };

static int listener = -1;
static struct http_target *target;

struct outcome {
	int n;
	size_t streamed;
};

static void listen_and_name_it(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr *any = (const struct sockaddr *)&address;
	socklen_t len = sizeof(address);
	_cleanup_free_ char *url = NULL;
	struct err err;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, any, len) < 0 || listen(listener, 16) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) < 0)
		abort();
	url = xasprintf("http://127.0.0.1:%u", ntohs(address.sin_port));
	if (http_target_new(&(struct http_target_options){.urls = (const char *const[]){url}, .n_urls = 1}, &target,
			    &err) < 0)
		abort();
}

static bool on_data(void *user, const char *data, size_t len)
{
	struct outcome *outcome = user;

	UNUSED(data);
	outcome->streamed += len;
	return outcome->streamed <= MOST_BYTES;
}

/* The connection has ended, so nothing is left to wait for. */
static void check_error(const struct err *err)
{
	if (err->kind == ERR_NONE || err->kind == ERR_FATAL || err->reason == REASON_TIMEOUT || !err->msg[0])
		abort();
}

static void check_response(const struct http_response *response)
{
	struct err err = {0};

	if (response->status < 0 || response->status > 999 || response->body.len > MOST_BYTES ||
	    response->retry_after_ms < 0 || response->retry_after_ms > DAY_MS)
		abort();
	if (http_status_err(response, "GET /", &err) != -1)
		abort();
	for (const char *c = err.msg; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7F)
			abort();
}

static void on_done(void *user, const struct http_response *response, const struct err *err)
{
	struct outcome *outcome = user;

	outcome->n++;
	if (err)
		check_error(err);
	else
		check_response(response);
}

static void turn(struct http *http, int timeout_ms)
{
	struct err err;

	if (http_poll(http, NULL, 0, timeout_ms, &err) < 0)
		abort();
}

static void answer(struct http *http, const uint8_t *data, size_t size, size_t piece, const struct outcome *outcome)
{
	_cleanup_close_ int fd = -1;

	turn(http, 0); /* it connects */
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		abort();
	for (size_t at = 0; at < size && !outcome->n; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (send(fd, data + at, n, MSG_NOSIGNAL) < 0)
			break;
		turn(http, 0);
	}
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < POLLS && !outcome->n; i++)
		turn(http, POLL_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request = {.path = "/a?b", .timeout_ms = TIMEOUT_MS, .max_response = MOST_BYTES};
	struct outcome outcome = {0};
	struct http *http;
	struct err err;

	if (size < HEAD_BYTES)
		return 0;
	if (listener < 0)
		listen_and_name_it();
	if (http_new(&http, &err) < 0)
		abort();
	request.method = data[0] & ASK_HEAD ? "HEAD" : "GET";
	request.on_data = data[0] & ASK_STREAM ? on_data : NULL;
	request.user = &outcome;
	(void)http_start(http, target, &request, on_done, &outcome);
	answer(http, data + HEAD_BYTES, size - HEAD_BYTES, data[1] % PIECES ? data[1] % PIECES : size, &outcome);
	if (outcome.n != 1)
		abort();
	http_free(http);
	return 0;
}
