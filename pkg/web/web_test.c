/* Tests of the server over real sockets, with a client that writes and reads bytes. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/parse.h"
#include "web/client_test.h"
#include "web/web.h"

enum { BIG_BYTES = 8 * 1024 * 1024, PEER_CONNECTIONS = 64 };

static void hello(void *user, const struct web_request *request, struct web_response *response)
{
	strbuf_addf(&response->body, "%s?", (const char *)user);
	for (size_t i = 0; i < request->n_arguments; i++) {
		const struct web_argument *a = &request->arguments[i];

		strbuf_addf(&response->body, "%s%s%s%s", i ? "&" : "", a->name, a->value ? "=" : "",
			    a->value ? a->value : "");
	}
}

static void teapot(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	UNUSED(request);
	response->status = 503;
	response->content_type = "application/json";
	strbuf_adds(&response->body, "{}");
}

static void empty(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	UNUSED(request);
	UNUSED(response);
}

static void fill(struct web_response *response, size_t n)
{
	for (size_t i = 0; i < n; i += 16)
		strbuf_addf(&response->body, "%015zx\n", i);
}

static void big(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	UNUSED(request);
	fill(response, BIG_BYTES);
}

static void too_big(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	UNUSED(request);
	fill(response, TOO_BIG_BYTES);
}

static struct web *started(const char *listen)
{
	const struct web_route routes[] = {
		{.path = "/hello", .handler = hello, .user = (void *)"hi"},
		{.path = "/teapot", .handler = teapot},
		{.path = "/empty", .handler = empty},
		{.path = "/big", .handler = big},
		{.path = "/toobig", .handler = too_big},
	};
	struct err err = {0};
	struct web *web = NULL;

	if (web_start(listen, routes, ARRAY_SIZE(routes), &web, &err) < 0)
		fail_msg("%s", err.msg);
	return web;
}

static int start(void **state)
{
	*state = started("127.0.0.1:0");
	return 0;
}

static int stop(void **state)
{
	web_stop(*state);
	return 0;
}

static void test_get_when_path_is_known_then_the_handlers_answer(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;

	assert_answer(fd, "GET", "/hello", 200, "hi?");
	assert_answer(fd, "GET", "/hello?a=1&b=2", 200, "hi?a=1&b=2");
	assert_answer(fd, "GET", "/hello?a=%20b&c", 200, "hi?a= b&c");
	assert_answer(fd, "GET", "/empty", 200, "");
	ask(fd, "GET", "/teapot", &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.body.data, "{}");
	assert_non_null(strcasestr(a.headers.data, "\r\ncontent-type: application/json\r\n"));
}

static void test_head_then_length_and_no_body(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;

	ask(fd, "HEAD", "/hello?abc", &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(content_length(&a), strlen("hi?abc"));
	assert_non_null(strcasestr(a.headers.data, "\r\ncontent-type: text/plain; charset=utf-8\r\n"));
	/* The connection goes on: no stray body. */
	assert_answer(fd, "GET", "/hello", 200, "hi?");
}

static void test_get_when_path_is_unknown_then_404(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));

	assert_answer(fd, "GET", "/", 404, "not found\n");
	assert_answer(fd, "GET", "/hello/", 404, "not found\n");
	assert_answer(fd, "GET", "/hell", 404, "not found\n");
	assert_answer(fd, "HEAD", "/hell", 404, "");
	assert_answer(fd, "GET", "/../hello", 404, "not found\n");
}

static void test_other_methods_then_405(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;

		ask(fd, methods[i], "/hello", &a);
		assert_int_equal(a.status, 405);
		assert_non_null(strcasestr(a.headers.data, "\r\nallow: GET, HEAD\r\n"));
		assert_int_equal(next_byte(fd), -1);
	}
}

static void test_request_with_a_body_then_refused_and_the_connection_ends(void **state)
{
	static const struct {
		const char *request;
		unsigned status;
	} requests[] = {
		{"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world", 405},
		{"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 405},
		{"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
		{"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;

		put(fd, requests[i].request);
		get_answer(fd, false, &a);
		assert_int_equal(a.status, requests[i].status);
		assert_non_null(strcasestr(a.headers.data, "\r\nconnection: close\r\n"));
		while (next_byte(fd) >= 0)
			;
	}
}

static void test_request_with_an_empty_body_then_the_connection_continues(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;

	put(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	get_answer(fd, false, &a);
	assert_int_equal(a.status, 200);
	assert_answer(fd, "GET", "/hello", 200, "hi?");
}

static void test_request_with_a_chunked_body_then_405_and_the_connection_ends(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;

	put(fd, "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	get_answer(fd, false, &a);
	assert_int_equal(a.status, 405);
	assert_non_null(strcasestr(a.headers.data, "\r\nconnection: close\r\n"));
	assert_int_equal(next_byte(fd), -1);
}

static void test_keep_alive_then_many_requests_on_one_connection(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));

	for (int i = 0; i < 2000; i++)
		assert_answer(fd, "GET", "/hello", 200, "hi?");
}

static void test_pipelined_requests_then_answers_in_order(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	static const char *const bodies[] = {"hi?1", "not found\n", "hi?3"};

	put(fd, "GET /hello?1 HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /hello?3 HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		_cleanup_(answer_release) struct answer a;

		get_answer(fd, false, &a);
		assert_string_equal(a.body.data, bodies[i]);
	}
}

static void test_http_1_0_then_the_connection_ends_after_the_answer(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	char text[2000];
	size_t len = 0;
	int c;

	put(fd, "GET /hello HTTP/1.0\r\n\r\n");
	while ((c = next_byte(fd)) >= 0 && len < sizeof(text) - 1)
		text[len++] = (char)c;
	text[len] = '\0';
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	assert_string_equal(text + len - 7, "\r\n\r\nhi?");
}

static void test_slow_reader_then_others_are_served_and_it_gets_all(void **state)
{
	_cleanup_close_ int slow = connected(web_port(*state));
	_cleanup_close_ int fast = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;
	struct web_response expected;
	int64_t began;

	put(slow, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(next_byte(slow), 'H');
	began = clock_now_ms();
	for (int i = 0; i < 200; i++)
		assert_answer(fast, "GET", "/hello", 200, "hi?");
	assert_true(clock_now_ms() - began < 5000);
	/* The first byte was consumed above: put it back in front. */
	strbuf_init(&a.headers, 10000);
	strbuf_addc(&a.headers, 'H');
	while (!strstr(a.headers.data, "\r\n\r\n"))
		strbuf_addc(&a.headers, (char)next_byte(slow));
	strbuf_init(&a.body, TOO_BIG_BYTES);
	for (size_t left = content_length(&a); left;) {
		char *to = strbuf_reserve(&a.body, left);
		ssize_t n = recv(slow, to, left, 0);

		assert_true(n > 0);
		a.body.len += (size_t)n;
		left -= (size_t)n;
	}
	strbuf_init(&expected.body, BIG_BYTES);
	fill(&expected, BIG_BYTES);
	assert_int_equal(a.body.len, BIG_BYTES);
	assert_memory_equal(a.body.data, expected.body.data, BIG_BYTES);
	strbuf_release(&expected.body);
	assert_answer(slow, "GET", "/hello", 200, "hi?");
}

static void test_unfinished_requests_then_others_are_served(void **state)
{
	int slow[40];
	_cleanup_close_ int fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		slow[i] = connected(web_port(*state));
		put(slow[i], "GET /hello HTTP/1.1\r\nHost:");
	}
	fd = connected(web_port(*state));
	assert_answer(fd, "GET", "/hello", 200, "hi?");
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		_cleanup_(answer_release) struct answer a;

		put(slow[i], " x\r\n\r\n");
		get_answer(slow[i], false, &a);
		assert_int_equal(a.status, 200);
		(void)close(slow[i]);
	}
}

/* Asks where the connection may be closed already; true when an answer begins. */
static bool is_served(int fd)
{
	static const char request[] = "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	return next_byte(fd) == 'H';
}

static void test_too_many_connections_then_the_longest_idle_are_closed(void **state)
{
	int fds[200];
	size_t served = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connected(web_port(*state));
	assert_true(is_served(fds[ARRAY_SIZE(fds) - 1]));
	for (size_t i = 0; i < ARRAY_SIZE(fds) - 1; i++) {
		bool is = is_served(fds[i]);

		served += is;
		assert_true(is || i < ARRAY_SIZE(fds) - PEER_CONNECTIONS);
	}
	assert_int_equal(served, PEER_CONNECTIONS - 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

static void test_too_many_connections_of_one_address_then_those_of_others_stay(void **state)
{
	_cleanup_close_ int other = connected_from("127.0.0.2", web_port(*state));
	int fds[200];

	assert_answer(other, "GET", "/hello", 200, "hi?");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connected(web_port(*state));
	assert_true(is_served(fds[ARRAY_SIZE(fds) - 1]));
	assert_answer(other, "GET", "/hello", 200, "hi?");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

static void test_too_many_connections_of_many_addresses_then_a_newcomer_is_served(void **state)
{
	int fds[300];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		char address[INET_ADDRSTRLEN];

		(void)snprintf(address, sizeof(address), "127.0.1.%zu", i % 200 + 1);
		fds[i] = connected_from(address, web_port(*state));
	}
	for (size_t i = ARRAY_SIZE(fds); i > ARRAY_SIZE(fds) - 100; i--)
		assert_true(is_served(fds[i - 1]));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

static void test_answer_when_it_would_be_larger_than_16_mib_then_500(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));

	assert_answer(fd, "GET", "/toobig", 500, "the answer is too large\n");
	assert_answer(fd, "GET", "/hello", 200, "hi?");
}

static void test_wish_for_another_protocol_then_ignored(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	static const char *const wishes[] = {
		"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		_cleanup_(answer_release) struct answer a;

		put(fd, wishes[i]);
		get_answer(fd, false, &a);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body.data, "hi?");
	}
}

static void test_nonsense_then_closed_and_others_are_served(void **state)
{
	static const char *const nonsense[] = {
		"\r\n\r\n\r\n",
		"hello\r\n\r\n",
		"GET\r\n\r\n",
		"GET hello HTTP/1.1\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /hello HTTP/1.1\r\nUpgrade: tea\r\n\r\n",
		"GET /hello%00 HTTP/1.1\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	};
	_cleanup_free_ char *large = xasprintf("GET /hello HTTP/1.1\r\nX: %020000d\r\n\r\n", 1);

	for (size_t i = 0; i <= ARRAY_SIZE(nonsense); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_close_ int other = -1;

		put(fd, i < ARRAY_SIZE(nonsense) ? nonsense[i] : large);
		(void)shutdown(fd, SHUT_WR);
		while (next_byte(fd) >= 0)
			;
		other = connected(web_port(*state));
		assert_answer(other, "GET", "/hello", 200, "hi?");
	}
}

static void test_stop_when_clients_are_connected_then_it_ends(void **state)
{
	struct web *web = started("127.0.0.1:0");
	_cleanup_close_ int idle = connected(web_port(web));
	_cleanup_close_ int half = connected(web_port(web));
	_cleanup_close_ int reading = connected(web_port(web));
	int64_t began;

	UNUSED(state);
	put(half, "GET /hel");
	put(reading, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(next_byte(reading), 'H');
	began = clock_now_ms();
	web_stop(web);
	assert_true(clock_now_ms() - began < 3000);
	assert_int_equal(next_byte(idle), -1);
}

static int count_fds(bool *ret_all_cloexec)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		uint64_t fd;

		if (!parse_u64(entry->d_name, strlen(entry->d_name), &fd))
			continue;
		n++;
		if (fd > 2 && !(fcntl((int)fd, F_GETFD) & FD_CLOEXEC))
			*ret_all_cloexec = false;
	}
	(void)closedir(dir);
	return n;
}

static void test_descriptors_then_none_is_inherited_and_none_is_left(void **state)
{
	bool inherited_before = true;
	bool all_cloexec = true;
	int before = count_fds(&inherited_before);

	UNUSED(state);
	for (int i = 0; i < 5; i++) {
		struct web *web = started("127.0.0.1:0");
		int fd = connected(web_port(web));

		assert_answer(fd, "GET", "/hello", 200, "hi?");
		assert_true(count_fds(&all_cloexec) > before);
		(void)close(fd);
		web_stop(web);
	}
	assert_int_equal(count_fds(&all_cloexec), before);
	assert_true(all_cloexec || !inherited_before);
}

/* Sets how many descriptors this process may have, and returns how many it might have before. */
static rlim_t limit_descriptors(rlim_t most)
{
	struct rlimit limit;
	rlim_t before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = most;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static int last_descriptor(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t last = 0;
	uint64_t fd;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (parse_u64(entry->d_name, strlen(entry->d_name), &fd) && fd > last)
			last = fd;
	(void)closedir(dir);
	return (int)last;
}

/* Leaves this process without a descriptor, and returns how many it might have before. The numbers below the highest
 * that is open may be free: the server closes the connections of earlier tests when it finds their end. */
static rlim_t take_all_descriptors(int *ret_taken, size_t n_taken)
{
	rlim_t before = limit_descriptors((rlim_t)last_descriptor() + 1);
	size_t n = 0;

	while (n < n_taken && (ret_taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_true(n < n_taken && errno == EMFILE);
	return before;
}

static void expect_hello(int fd)
{
	char buf[200] = "";

	assert_int_equal(write(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 32), 32);
	assert_true(read(fd, buf, sizeof(buf) - 1) > 0);
	assert_non_null(strstr(buf, "200 OK"));
}

static void connect_socket(int fd, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void test_no_descriptor_is_left_then_one_client_after_the_other_is_served(void **state)
{
	int clients[4];
	int taken[1024];
	rlim_t before;

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	before = take_all_descriptors(taken, ARRAY_SIZE(taken));
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		connect_socket(clients[i], web_port(*state));
		expect_hello(clients[i]);
		/* It keeps its place while no other waits for one. */
		(void)poll(NULL, 0, 300);
		expect_hello(clients[i]);
	}
	(void)limit_descriptors(before);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		(void)close(clients[i]);
	for (size_t i = 0; taken[i] >= 0; i++)
		(void)close(taken[i]);
}

static double process_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_no_descriptor_can_be_had_then_the_server_waits_and_recovers(void **state)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rlim_t before = limit_descriptors(3);
	double used = process_seconds();

	connect_socket(client, web_port(*state));
	(void)poll(NULL, 0, 500);
	used = process_seconds() - used;
	(void)limit_descriptors(before);
	/* A server that tries again and again uses all of it. */
	assert_true(used < 0.1);
	expect_hello(client);
	(void)close(client);
}

static void test_start_when_address_is_in_use_then_conflict(void **state)
{
	_cleanup_free_ char *listen = xasprintf("127.0.0.1:%d", web_port(*state));
	struct web *web = NULL;
	struct err err = {0};

	assert_int_equal(web_start(listen, NULL, 0, &web, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.msg, listen));
	assert_null(web);
}

static void test_start_when_listen_is_malformed_then_invalid(void **state)
{
	static const char *const wrong[] = {
		"",      "8080",           "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:8080", "[127.0.0.1]:1",
		"[::1]", "localhost:8080", "1.2.3:-1",  ":x",         "[::1:80",         "[]:80",    "203.0.113.7:0"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct web *web = NULL;
		struct err err = {0};

		if (web_start(wrong[i], NULL, 0, &web, &err) == 0)
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void test_start_when_all_addresses_then_reached_by_ipv4(void **state)
{
	_cleanup_(web_stopp) struct web *web = started(":0");
	_cleanup_close_ int fd = connected(web_port(web));

	UNUSED(state);
	assert_answer(fd, "GET", "/hello", 200, "hi?");
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static void test_start_when_ipv6_then_reached_by_ipv6(void **state)
{
	static const char *const listens[] = {"[::1]:0", ":0"};

	UNUSED(state);
	if (!has_ipv6())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(listens); i++) {
		_cleanup_(web_stopp) struct web *web = started(listens[i]);
		struct sockaddr_in6 address = {.sin6_family = AF_INET6,
					       .sin6_addr = in6addr_loopback,
					       .sin6_port = htons((uint16_t)web_port(web))};
		_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
		assert_answer(fd, "GET", "/hello", 200, "hi?");
	}
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_get_when_path_is_known_then_the_handlers_answer),
		SERVED(test_head_then_length_and_no_body),
		SERVED(test_get_when_path_is_unknown_then_404),
		SERVED(test_other_methods_then_405),
		SERVED(test_request_with_a_body_then_refused_and_the_connection_ends),
		SERVED(test_request_with_an_empty_body_then_the_connection_continues),
		SERVED(test_request_with_a_chunked_body_then_405_and_the_connection_ends),
		SERVED(test_keep_alive_then_many_requests_on_one_connection),
		SERVED(test_pipelined_requests_then_answers_in_order),
		SERVED(test_http_1_0_then_the_connection_ends_after_the_answer),
		SERVED(test_slow_reader_then_others_are_served_and_it_gets_all),
		SERVED(test_unfinished_requests_then_others_are_served),
		SERVED(test_too_many_connections_then_the_longest_idle_are_closed),
		SERVED(test_too_many_connections_of_one_address_then_those_of_others_stay),
		SERVED(test_too_many_connections_of_many_addresses_then_a_newcomer_is_served),
		SERVED(test_answer_when_it_would_be_larger_than_16_mib_then_500),
		SERVED(test_wish_for_another_protocol_then_ignored),
		SERVED(test_nonsense_then_closed_and_others_are_served),
		SERVED(test_no_descriptor_is_left_then_one_client_after_the_other_is_served),
		SERVED(test_no_descriptor_can_be_had_then_the_server_waits_and_recovers),
		cmocka_unit_test(test_stop_when_clients_are_connected_then_it_ends),
		cmocka_unit_test(test_descriptors_then_none_is_inherited_and_none_is_left),
		SERVED(test_start_when_address_is_in_use_then_conflict),
		cmocka_unit_test(test_start_when_listen_is_malformed_then_invalid),
		cmocka_unit_test(test_start_when_all_addresses_then_reached_by_ipv4),
		cmocka_unit_test(test_start_when_ipv6_then_reached_by_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
