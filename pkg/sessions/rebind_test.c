/* Tests of a name server that gives another address each time it is asked: the address that is checked against what is
 * denied is the one that is connected to, for Postgres, for HTTP, and for what Redis is spoken over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/egress.h"
#include "http/http.h"
#include "postgres/pg.h"

#define NAME "rebind.test"
#define ALLOWED "127.0.0.1"
#define DENIED "127.0.0.2"

enum { ROUNDS = 8, TIMEOUT_MS = 300 };

/* --- the name server */

static unsigned asked, begins_with;

/* In the place of libc's, for the libraries as well. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static int (*libc)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!libc)
		*(void **)&libc = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node && strcmp(node, NAME) == 0)
		node = (__atomic_fetch_add(&asked, 1, __ATOMIC_SEQ_CST) + begins_with) % 2 ? DENIED : ALLOWED;
	return libc(node, service, hints, ret);
}

/* --- what listens at both addresses */

struct listener {
	int fd, port;
};

static int listen_at(const char *address, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 32), 0);
	return fd;
}

static int port_of(int fd)
{
	struct sockaddr_in at = {0};
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.sin_port);
}

static int count_connections(int listener)
{
	int n = 0;

	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
		(void)close(fd);
	return n;
}

/* --- who connects. No connection gets an answer, so all fail; what matters is the address. */

static void connect_postgres(int port)
{
	struct pg_params params = {.host = NAME,
				   .port = port,
				   .database = "d",
				   .user = "u",
				   .cancel_fd = -1,
				   .connect_timeout_ms = TIMEOUT_MS};
	struct pg *pg = NULL;
	struct err err = {0};

	assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
	assert_true(err.reason == REASON_TIMEOUT || err.reason == REASON_EGRESS_DENIED);
}

static void connect_http(int port)
{
	_cleanup_free_ char *url = xasprintf("http://" NAME ":%d", port);
	_cleanup_(http_target_freep) struct http_target *target = NULL;
	_cleanup_(http_freep) struct http *http = NULL;
	struct http_response response;
	struct err err = {0};

	assert_int_equal(http_new(&http, &err), 0);
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = (const char *const[]){url}, .n_urls = 1},
					 &target, &err),
			 0);
	assert_int_equal(http_do(http, target,
				 &(struct http_request){.method = "GET", .path = "/", .timeout_ms = TIMEOUT_MS},
				 &response, &err),
			 -1);
	assert_true(err.reason == REASON_TIMEOUT || err.reason == REASON_EGRESS_DENIED);
}

static void connect_pipe(int port)
{
	const struct http_pipe_options options = {
		.name = NAME, .host = NAME, .port = (unsigned)port, .deadline_ms = clock_now_ms() + TIMEOUT_MS};
	struct http_pipe *pipe = NULL;
	struct err err = {0};

	if (http_pipe_open(&options, &pipe, &err) < 0)
		assert_int_equal(err.reason, REASON_EGRESS_DENIED);
	http_pipe_close(pipe);
}

static void test_connect_when_a_name_moves_to_a_denied_address_then_that_is_never_connected_to(void **state)
{
	static void (*const connects[])(int port) = {connect_postgres, connect_http, connect_pipe};
	int allowed = listen_at(ALLOWED, 0), port = port_of(allowed), denied = listen_at(DENIED, port);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(connects); i++) {
		asked = 0;
		for (begins_with = 0; begins_with < ROUNDS; begins_with++)
			connects[i](port);
		/* It did move, and it was connected to while it was elsewhere. */
		assert_true(asked >= ROUNDS);
		assert_true(count_connections(allowed) > 0);
		assert_int_equal(count_connections(denied), 0);
	}
	(void)close(allowed);
	(void)close(denied);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_when_a_name_moves_to_a_denied_address_then_that_is_never_connected_to),
	};
	struct err err;

	if (egress_deny(DENIED, &err) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
