/* Tests of connections that are handed over: bytes both ways, deadlines, the end of a connection, cancellation. */
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

#include "base/clock.h"
#include "http/http.h"

enum { LONG_MS = 10000, SHORT_MS = 300, BUFFER = 64 * 1024, MANY_BYTES = 8 * 1024 * 1024 };

/* Accepts one connection, takes `takes` bytes, sends `says`, and closes the connection unless it `stays`: until the
 * other side closes it. */
struct peer {
	int listen;
	unsigned port;
	size_t takes, taken;
	const char *says;
	bool stays;
	pthread_t thread;
};

static void *be_peer(void *user)
{
	struct peer *p = user;
	char chunk[BUFFER];
	int fd = accept4(p->listen, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = 1;

	while (p->taken < p->takes && (n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		p->taken += (size_t)n;
	if (p->says)
		(void)send(fd, p->says, strlen(p->says), MSG_NOSIGNAL);
	while (p->stays && recv(fd, chunk, sizeof(chunk), 0) > 0)
		continue;
	(void)close(fd);
	return NULL;
}

static void start_peer(struct peer *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	p->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(p->listen, 1), 0);
	assert_int_equal(getsockname(p->listen, (struct sockaddr *)&address, &len), 0);
	p->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, be_peer, p), 0);
}

static void stop_peer(struct peer *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	(void)close(p->listen);
}

static struct http_pipe_options options_for(unsigned port, int64_t ms)
{
	return (struct http_pipe_options){
		.name = "redis://peer", .host = "127.0.0.1", .port = port, .deadline_ms = clock_now_ms() + ms};
}

static struct http_pipe *open_pipe(struct peer *p, int64_t ms)
{
	struct http_pipe *pipe = NULL;
	struct http_pipe_options options;
	struct err err;

	start_peer(p);
	options = options_for(p->port, ms);
	if (http_pipe_open(&options, &pipe, &err) < 0)
		fail_msg("%s", err.msg);
	return pipe;
}

static void expect_failure(int r, const struct err *err, enum err_kind kind, enum reason reason)
{
	assert_int_equal(r, -1);
	assert_int_equal(err->kind, kind);
	assert_int_equal(err->reason, reason);
	assert_non_null(strstr(err->msg, "redis://peer"));
}

static void test_pipe_when_bytes_go_both_ways_then_all_arrive_and_the_end_is_an_error(void **state)
{
	struct peer p = {.takes = MANY_BYTES, .says = "ab"};
	struct http_pipe *pipe = open_pipe(&p, LONG_MS);
	_cleanup_free_ char *data = xcalloc(1, MANY_BYTES);
	char buf[BUFFER];
	struct err err = {0};
	size_t n = 0;

	UNUSED(state);
	assert_int_equal(http_pipe_send(pipe, data, MANY_BYTES, &err), 0);
	assert_int_equal(http_pipe_recv(pipe, buf, 1, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(buf[0], 'a');
	assert_int_equal(http_pipe_recv(pipe, buf, sizeof(buf), &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(buf[0], 'b');
	expect_failure(http_pipe_recv(pipe, buf, sizeof(buf), &n, &err), &err, ERR_TRANSIENT, REASON_RESET);
	http_pipe_close(pipe);
	stop_peer(&p);
	assert_int_equal(p.taken, MANY_BYTES);
}

static void test_pipe_when_the_other_side_says_nothing_then_the_deadline_ends_it(void **state)
{
	struct peer p = {.stays = true};
	struct http_pipe *pipe = open_pipe(&p, SHORT_MS);
	int64_t started = clock_now_ms();
	struct err err = {0};
	char buf[1];
	size_t n;

	UNUSED(state);
	expect_failure(http_pipe_recv(pipe, buf, sizeof(buf), &n, &err), &err, ERR_TRANSIENT, REASON_TIMEOUT);
	assert_true(clock_now_ms() - started < LONG_MS);
	http_pipe_close(pipe);
	stop_peer(&p);
}

static void test_pipe_when_the_other_side_reads_nothing_then_the_deadline_ends_sending(void **state)
{
	/* The kernel accepts connections, and a few bytes of them, before accept is called. */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_free_ char *data = xcalloc(1, MANY_BYTES);
	socklen_t len = sizeof(address);
	struct http_pipe_options options;
	struct http_pipe *pipe = NULL;
	struct err err = {0};

	UNUSED(state);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	options = options_for(ntohs(address.sin_port), SHORT_MS);
	assert_int_equal(http_pipe_open(&options, &pipe, &err), 0);
	expect_failure(http_pipe_send(pipe, data, MANY_BYTES, &err), &err, ERR_TRANSIENT, REASON_TIMEOUT);
	http_pipe_close(pipe);
	(void)close(fd);
}

static bool is_cancelled(void *user)
{
	return *(const bool *)user;
}

static void test_pipe_when_cancelled_then_every_wait_ends(void **state)
{
	struct peer p = {.stays = true};
	bool cancelled = false;
	struct http_pipe_options options;
	struct http_pipe *pipe = NULL;
	struct err err = {0};
	char buf[1];
	size_t n;

	UNUSED(state);
	start_peer(&p);
	options = options_for(p.port, LONG_MS);
	options.cancelled = is_cancelled;
	options.user = &cancelled;
	assert_int_equal(http_pipe_open(&options, &pipe, &err), 0);
	cancelled = true;
	expect_failure(http_pipe_recv(pipe, buf, sizeof(buf), &n, &err), &err, ERR_CANCELLED, REASON_NONE);
	http_pipe_close(pipe);
	stop_peer(&p);
}

static void test_open_when_it_cannot_connect_then_the_error_names_the_server(void **state)
{
	struct peer p = {.says = "x"};
	struct http_pipe_options options;
	struct http_pipe *pipe = NULL;
	struct err err = {0};

	UNUSED(state);
	http_pipe_close(open_pipe(&p, LONG_MS));
	stop_peer(&p);
	options = options_for(p.port, LONG_MS);
	expect_failure(http_pipe_open(&options, &pipe, &err), &err, ERR_TRANSIENT, REASON_REFUSED);
	options.deadline_ms = clock_now_ms() - 1;
	expect_failure(http_pipe_open(&options, &pipe, &err), &err, ERR_TRANSIENT, REASON_TIMEOUT);
	assert_null(pipe);
}

static void test_open_when_the_other_side_does_not_speak_tls_then_refused(void **state)
{
	struct peer p = {.takes = 1, .says = "-ERR this is not TLS\r\n"};
	struct http_pipe_options options;
	struct http_pipe *pipe = NULL;
	struct err err = {0};

	UNUSED(state);
	start_peer(&p);
	options = options_for(p.port, LONG_MS);
	options.tls = true;
	assert_int_equal(http_pipe_open(&options, &pipe, &err), -1);
	assert_non_null(strstr(err.msg, "redis://peer"));
	assert_null(pipe);
	stop_peer(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe_when_bytes_go_both_ways_then_all_arrive_and_the_end_is_an_error),
		cmocka_unit_test(test_pipe_when_the_other_side_says_nothing_then_the_deadline_ends_it),
		cmocka_unit_test(test_pipe_when_the_other_side_reads_nothing_then_the_deadline_ends_sending),
		cmocka_unit_test(test_pipe_when_cancelled_then_every_wait_ends),
		cmocka_unit_test(test_open_when_it_cannot_connect_then_the_error_names_the_server),
		cmocka_unit_test(test_open_when_the_other_side_does_not_speak_tls_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
