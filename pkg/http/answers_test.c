/* Tests of unrequested answers: redirects, compression, and headers without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/engine.h"
#include "http/http.h"

struct client {
	struct fake_engine engine;
	struct http *http;
	struct http_target *target;
	struct http_response response;
	struct err err;
	int status;
	const char *body;
	size_t body_len;
	bool asked_to_compress;
};

static int answer(struct fake_engine *engine, const char *head, const char *body, struct strbuf *to)
{
	struct client *c = engine->user;

	UNUSED(body);
	c->asked_to_compress = strcasestr(head, "accept-encoding") != NULL;
	strbuf_add(to, c->body, c->body_len);
	return c->status;
}

enum { TIMEOUT_MS = 1000 };

static int ask_for(struct client *c, const char *headers)
{
	const struct http_request request = {.method = "GET", .path = "/", .timeout_ms = TIMEOUT_MS};
	const char *url;

	fake_engine_start(&c->engine, answer, c);
	c->engine.headers = headers;
	url = c->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &c->target, &c->err),
			 0);
	assert_int_equal(http_new(&c->http, &c->err), 0);
	return http_do(c->http, c->target, &request, &c->response, &c->err);
}

static void ask(struct client *c, const char *headers)
{
	assert_int_equal(ask_for(c, headers), 0);
}

static void stop(struct client *c)
{
	http_response_release(&c->response);
	http_free(c->http);
	http_target_free(c->target);
	fake_engine_stop(&c->engine);
}

static void test_do_when_a_proxy_compresses_unasked_then_the_body_is_read(void **state)
{
	/* gzip of {"ok":1} */
	static const char zipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcf\x56\xb2\x32\xac\x05\x00"
				     "\x09\x8c\x54\x10\x08\x00\x00\x00";
	struct client c = {.status = 200, .body = zipped, .body_len = sizeof(zipped) - 1};

	UNUSED(state);
	ask(&c, "Content-Encoding: gzip\r\n");
	assert_string_equal(c.response.body.data, "{\"ok\":1}");
	assert_false(c.asked_to_compress);
	stop(&c);
}

/* A GiB within three layers of gzip. It is the comment at the beginning of a fourth one, so that no byte of a body
 * comes out. */
static const char bomb[] =
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x93\xef\xe6\x60\x00\x01\x26\xe6\xb7\x77\x16\xfa\x4d\x4b\x94\x69\x7f"
	"\x18"
	"\xae\x60\x60\xce\xd2\xdc\xa9\xd0\xca\x77\x74\xa3\x22\x73\xf7\xcc\x05\x92\xbc\x47\xf4\x25\x64\x02\xcd\xdc\x1f"
	"\xf1"
	"\x68\xe4\x58\xed\x6e\x5d\x77\xf6\xac\xe5\x62\x37\xbe\x03\x47\xe6\x9c\x7c\x5b\xbc\x47\xfd\xe1\xb7\x7b\xd7\xa7"
	"\xce"
	"\xfb\xd3\xbf\xdf\x76\xb7\xfc\x3c\x7d\xfe\xed\x62\x62\xf5\xb5\xf7\xe2\x24\xb7\x4d\x6b\xef\x9f\xdd\x5f\x1e\x3f"
	"\xd7"
	"\xee\xd7\xdf\x47\x8f\x7e\xfd\x7d\x73\xfb\xfb\xe4\xf2\x72\x36\xa0\x5d\x09\x97\xfc\xfa\xc3\xdf\xeb\xf6\xf6\xef"
	"\x77"
	"\x7f\xed\x3f\x8f\x19\x28\x12\x5c\xbe\x6d\xfb\x66\xb3\x75\x4c\xe6\xf9\x69\xde\xe7\x18\x81\x02\x93\xbf\x3f\x38"
	"\xff"
	"\xf5\xe0\x0e\xd6\x9a\x99\xf1\x77\xeb\x9f\xc9\x01\x45\x0c\x2a\xed\xef\xeb\xf5\x4d\x6d\xe8\xfd\xd9\xbf\xbc\x1d"
	"\xaa"
	"\x26\xc8\x00\xe4\xf4\x20\x16\x90\x11\x0b\x5c\xc1\x9c\x24\x64\x4e\xd4\xa8\xcc\xa8\xcc\xa8\xcc\xa8\xcc\xa8\xcc"
	"\xa8"
	"\x0c\x71\x32\x76\x6f\xde\xe6\xdc\xc9\x63\xcc\x36\xff\x7c\x5d\xfb\x31\x7f\xe3\xff\x97\x97\x0f\xfd\xbb\x7e\x7a"
	"\xed"
	"\xee\xc3\x05\x1f\xf8\x79\xdf\x1f\xbb\x77\xe5\x0d\x3f\x03\x00\x35\x0c\xf6\xa1\x34\x07\x00\x00";

static void expect_compressed_twice(const char *headers)
{
	struct client c = {.status = 200, .body = bomb, .body_len = sizeof(bomb) - 1};

	assert_int_equal(ask_for(&c, headers), -1);
	assert_int_equal(c.err.kind, ERR_LIMIT);
	assert_non_null(strstr(c.err.msg, "the answer is compressed more than once"));
	stop(&c);
}

static void test_do_when_an_answer_is_compressed_again_and_again_then_limit(void **state)
{
	UNUSED(state);
	expect_compressed_twice("Content-Encoding: gzip, gzip, gzip, gzip\r\n");
	expect_compressed_twice("Content-Encoding: gzip\r\ncontent-encoding:gzip\r\nContent-Encoding: gzip,gzip\r\n");
	expect_compressed_twice(
		"Content-Encoding: gzip\r\nTransfer-Encoding: gzip, gzip\r\nContent-Encoding: gzip\r\n");
}

static void test_status_err_when_redirected_then_it_says_where_to_without_the_query(void **state)
{
	struct client c = {.status = 302, .body = "", .body_len = 0};

	UNUSED(state);
	ask(&c, "Location: https://login.example/sign-in?token=secret\r\n");
	assert_int_equal(http_status_err(&c.response, "GET x", &c.err), -1);
	assert_int_equal(c.err.kind, ERR_INVALID);
	assert_int_equal(c.err.code, 302);
	assert_non_null(strstr(c.err.msg, "HTTP status 302 redirects to https://login.example/sign-in, "));
	assert_null(strstr(c.err.msg, "secret"));
	stop(&c);
}

/* --- headers without end */

enum { SENT_MOST = 64 * 1024 * 1024, REQUEST_BYTES = 4096, PIECES = 100 };

struct babbler {
	int listen;
	const char *begin; /* of its answer, */
	const char *piece; /* which goes on with this, again and again */
	pthread_t thread;
};

static void *babble(void *user)
{
	const struct babbler *b = user;
	size_t len = strlen(b->piece);
	_cleanup_free_ char *pieces = xmalloc(PIECES * len);
	char request[REQUEST_BYTES];
	int fd = accept4(b->listen, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(recv(fd, request, sizeof(request), 0) > 0);
	for (size_t i = 0; i < PIECES; i++)
		memcpy(pieces + i * len, b->piece, len);
	assert_true(send(fd, b->begin, strlen(b->begin), MSG_NOSIGNAL) > 0);
	for (size_t sent = 0; sent < SENT_MOST && send(fd, pieces, PIECES * len, MSG_NOSIGNAL) > 0;)
		sent += PIECES * len;
	(void)close(fd);
	return NULL;
}

static int start_babbler(struct babbler *b)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	b->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(b->listen, 1), 0);
	assert_int_equal(getsockname(b->listen, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, babble, b), 0);
	return ntohs(address.sin_port);
}

static void expect_limit(const char *begin, const char *piece, const char *words)
{
	const struct http_request request = {.method = "GET", .path = "/"};
	struct client c = {0};
	struct babbler b = {.begin = begin, .piece = piece};
	char url[32];
	const char *urls[] = {url};

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", start_babbler(&b));
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = urls, .n_urls = 1}, &c.target, &c.err),
			 0);
	assert_int_equal(http_new(&c.http, &c.err), 0);
	assert_int_equal(http_do(c.http, c.target, &request, &c.response, &c.err), -1);
	assert_int_equal(c.err.kind, ERR_LIMIT);
	assert_non_null(strstr(c.err.msg, words));
	http_response_release(&c.response);
	http_free(c.http);
	http_target_free(c.target);
	assert_int_equal(pthread_join(b.thread, NULL), 0);
	(void)close(b.listen);
}

#define BEFORE_TRAILERS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"

static void test_do_when_the_headers_have_no_end_then_limit(void **state)
{
	static const char line[] = "X-Header: of a server that has much to say\r\n";

	UNUSED(state);
	expect_limit("HTTP/1.1 200 OK\r\n", line, "bytes of headers");
	expect_limit(BEFORE_TRAILERS, line, "bytes of headers");
}

static void test_do_when_a_line_of_the_headers_has_no_end_then_limit(void **state)
{
	static const char words[] = "a line of the answer's headers is too long";

	UNUSED(state);
	expect_limit("HTTP/1.1 200 ", "OK is not all there is to say about it. ", words);
	expect_limit("HTTP/1.1 200 OK\r\nX-Header: ", "a server that has much to say ", words);
	expect_limit("HTTP/1.1 200 OK\r\nX-Header: a\r\n", " folded\r\n", "bytes of headers");
	expect_limit(BEFORE_TRAILERS "X-Trailer: ", "a server that has much to say ", words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_do_when_a_proxy_compresses_unasked_then_the_body_is_read),
		cmocka_unit_test(test_do_when_an_answer_is_compressed_again_and_again_then_limit),
		cmocka_unit_test(test_status_err_when_redirected_then_it_says_where_to_without_the_query),
		cmocka_unit_test(test_do_when_the_headers_have_no_end_then_limit),
		cmocka_unit_test(test_do_when_a_line_of_the_headers_has_no_end_then_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
