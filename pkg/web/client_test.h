/* A client for tests that writes and reads bytes over real sockets. */
#ifndef PGSYNC_WEB_CLIENT_TEST_H
#define PGSYNC_WEB_CLIENT_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/strbuf.h"

enum { TOO_BIG_BYTES = 16 * 1024 * 1024 + 1, CLIENT_TIMEOUT_S = 20 };

/* The server sees this address of the client; all of 127.0.0.0/8 are this machine. */
static inline int connected_from(const char *client, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, client, &from.sin_addr), 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline int connected(int port)
{
	return connected_from("127.0.0.1", port);
}

static inline void put(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* The next byte, or -1 when the connection is closed. */
static inline int next_byte(int fd)
{
	unsigned char c;
	ssize_t n = recv(fd, &c, 1, 0);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		fail_msg("the server did not answer in time");
	return n == 1 ? c : -1;
}

struct answer {
	unsigned status;
	struct strbuf headers;
	struct strbuf body;
};

static inline void answer_release(struct answer *a)
{
	strbuf_release(&a->headers);
	strbuf_release(&a->body);
}

static inline uint64_t content_length(const struct answer *a)
{
	const char *at = strcasestr(a->headers.data, "\r\ncontent-length: ");
	uint64_t n;

	assert_non_null(at);
	at += strlen("\r\ncontent-length: ");
	assert_true(parse_u64(at, strcspn(at, "\r"), &n));
	return n;
}

/* Reads one response; its body too, unless it answers a HEAD. */
static inline void get_answer(int fd, bool head, struct answer *a)
{
	size_t left;
	int c;

	strbuf_init(&a->headers, 10000);
	strbuf_init(&a->body, TOO_BIG_BYTES);
	while (!strstr(a->headers.data, "\r\n\r\n")) {
		c = next_byte(fd);
		if (c < 0)
			fail_msg("closed after \"%s\"", a->headers.data);
		strbuf_addc(&a->headers, (char)c);
	}
	assert_memory_equal(a->headers.data, "HTTP/1.1 ", 9);
	a->status = (unsigned)strtoul(a->headers.data + 9, NULL, 10);
	left = head ? 0 : content_length(a);
	while (left) {
		char *to = strbuf_reserve(&a->body, left);
		ssize_t n = recv(fd, to, left, 0);

		assert_true(n > 0);
		a->body.len += (size_t)n;
		a->body.data[a->body.len] = '\0';
		left -= (size_t)n;
	}
}

static inline void ask(int fd, const char *method, const char *path, struct answer *a)
{
	_cleanup_free_ char *request = xasprintf("%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);

	put(fd, request);
	get_answer(fd, strcmp(method, "HEAD") == 0, a);
}

static inline void assert_answer(int fd, const char *method, const char *path, unsigned status, const char *body)
{
	_cleanup_(answer_release) struct answer a;

	ask(fd, method, path, &a);
	assert_int_equal(a.status, status);
	assert_string_equal(a.body.data, body);
}

#endif
