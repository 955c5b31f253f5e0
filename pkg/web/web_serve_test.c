/* Tests of what pages and APIs need of the server: methods, paths with captures, bodies, workers, hosts and origins. */
#include "web/client_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "web/web.h"
#include "web/web_int.h"

enum { WORKERS = 3, BODY_BYTES = 1000 };

static const char *const headers[] = {"X-Always", "yes", NULL};
static const char *const hosts[] = {"shop.example", NULL};

/* Handlers that wait until the gate opens. */
static struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned inside;
	bool open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_inside(unsigned n)
{
	(void)pthread_mutex_lock(&gate.lock);
	while (gate.inside < n)
		(void)pthread_cond_wait(&gate.changed, &gate.lock);
	(void)pthread_mutex_unlock(&gate.lock);
}

/* Waits until a count of the workers is at least n. */
static void wait_count(struct web *web, const size_t *count, size_t n)
{
	size_t now = 0;

	while (now < n) {
		(void)pthread_mutex_lock(&web->work.lock);
		now = *count;
		(void)pthread_mutex_unlock(&web->work.lock);
		(void)poll(NULL, 0, 1);
	}
}

/* Waits until the server has read n requests for which no worker is free. */
static void wait_queued(struct web *web, size_t n)
{
	wait_count(web, &web->work.n_waiting, n);
}

static void wait_idle(struct web *web, size_t n)
{
	wait_count(web, &web->work.n_idle, n);
}

static void set_gate(bool open)
{
	(void)pthread_mutex_lock(&gate.lock);
	gate.open = open;
	(void)pthread_cond_broadcast(&gate.changed);
	(void)pthread_mutex_unlock(&gate.lock);
}

static void wait_for_gate(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	UNUSED(request);
	(void)pthread_mutex_lock(&gate.lock);
	gate.inside++;
	(void)pthread_cond_broadcast(&gate.changed);
	while (!gate.open)
		(void)pthread_cond_wait(&gate.changed, &gate.lock);
	gate.inside--;
	(void)pthread_mutex_unlock(&gate.lock);
	strbuf_adds(&response->body, "through");
}

static void tell(void *user, const struct web_request *request, struct web_response *response)
{
	const char *type = web_header(request, "content-type");

	strbuf_addf(&response->body, "%s %s %s|%s|%s|%s|%s", (const char *)user, request->method, request->path,
		    request->captures[0] ? request->captures[0] : "-",
		    request->captures[1] ? request->captures[1] : "-", request->body, type ? type : "-");
	web_add_header(response, "Location", "/here");
	if (request->worker >= WORKERS)
		response->status = 500;
}

static void refusal(const char *text, struct web_response *response)
{
	response->content_type = "application/json";
	strbuf_addf(&response->body, "{\"%u\":\"%s\"}", response->status, text);
}

static struct web *served_at(const char *listen, int channel_fd, unsigned workers)
{
	const struct web_route routes[] = {
		{.path = "/books", .handler = tell, .user = (void *)"list"},
		{.path = "/books", .handler = tell, .user = (void *)"create", .method = "POST"},
		{.path = "/books/{}", .handler = tell, .user = (void *)"read"},
		{.path = "/books/{}", .handler = tell, .user = (void *)"delete", .method = "DELETE"},
		{.path = "/books/{}/publish", .handler = tell, .user = (void *)"publish", .method = "POST"},
		{.path = "/{}/of/{}", .handler = tell, .user = (void *)"two"},
		{.path = "/gate", .handler = wait_for_gate},
		{.path = "/at-once", .handler = tell, .user = (void *)"at once", .in_server_thread = true},
	};
	const struct web_options options = {.listen = listen,
					    .channel_fd = channel_fd,
					    .routes = routes,
					    .n_routes = ARRAY_SIZE(routes),
					    .workers = workers,
					    .max_body = BODY_BYTES,
					    .refusal = refusal,
					    .headers = headers,
					    .for_browsers = true,
					    .hosts = hosts};
	struct web *web = NULL;
	struct err err = {0};

	if (web_serve(&options, &web, &err) < 0)
		fail_msg("%s", err.msg);
	return web;
}

static struct web *served(unsigned workers)
{
	return served_at("127.0.0.1:0", -1, workers);
}

static int start_with_workers(void **state)
{
	*state = served(WORKERS);
	return 0;
}

static int start_without_workers(void **state)
{
	*state = served(0);
	return 0;
}

static int stop_server(void **state)
{
	web_stop(*state);
	return 0;
}

static void send_request(int fd, const char *head, const char *more, const char *body)
{
	_cleanup_free_ char *request = xasprintf("%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s",
						 head, more, strlen(body), body);

	put(fd, request);
}

static void test_requests_then_the_routes_answers(void **state)
{
	static const struct {
		const char *head, *body;
		unsigned status;
		const char *answer;
	} rows[] = {
		{"GET /books", "", 200, "list GET /books|-|-||-"},
		{"POST /books", "{\"a\":1}", 200, "create POST /books|-|-|{\"a\":1}|-"},
		{"POST /books", "", 200, "create POST /books|-|-||-"},
		{"GET /books/12", "", 200, "read GET /books/12|12|-||-"},
		{"GET /books/a%20b", "", 200, "read GET /books/a b|a b|-||-"},
		{"DELETE /books/12", "", 200, "delete DELETE /books/12|12|-||-"},
		{"POST /books/12/publish", "x", 200, "publish POST /books/12/publish|12|-|x|-"},
		{"GET /a/of/b", "", 200, "two GET /a/of/b|a|b||-"},
		{"GET /books/", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books/12/", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books//publish", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books/12/published", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books%00", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books%00/12", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books/%00%00", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books/%2500", "", 200, "read GET /books/%00|%00|-||-"},
		{"GET /books/%ff", "", 404, "{\"404\":\"not found\"}"},
		{"GET /a/of/", "", 404, "{\"404\":\"not found\"}"},
		{"GET /a/of/b/c", "", 404, "{\"404\":\"not found\"}"},
		{"GET /books?a=%ff", "", 400, "{\"400\":\"the query is not UTF-8\"}"},
		{"GET /books?%00=a", "", 400, "{\"400\":\"the query is not UTF-8\"}"},
		{"GET /books/1/publish", "", 405, "{\"405\":\"the path does not have this method\"}"},
		{"PATCH /books", "", 405, "{\"405\":\"the path does not have this method\"}"},
		{"DELETE /books/12", "x", 400, "{\"400\":\"this method has no body\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;

		send_request(fd, rows[i].head, "", rows[i].body);
		get_answer(fd, false, &a);
		assert_int_equal(a.status, rows[i].status);
		assert_string_equal(a.body.data, rows[i].answer);
		assert_non_null(strcasestr(a.headers.data, "\r\nx-always: yes\r\n"));
		assert_true(rows[i].status != 200 || strcasestr(a.headers.data, "\r\nlocation: /here\r\n"));
	}
}

static void test_wrong_method_then_the_methods_of_the_path(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_(answer_release) struct answer a;

	send_request(fd, "PUT /books/7", "", "");
	get_answer(fd, false, &a);
	assert_int_equal(a.status, 405);
	assert_non_null(strcasestr(a.headers.data, "\r\nallow: GET, HEAD, DELETE\r\n"));
}

static void test_requests_with_bodies_then_all_on_one_connection(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));

	for (int i = 0; i < 500; i++) {
		_cleanup_(answer_release) struct answer a;
		char body[BODY_BYTES + 1];

		memset(body, 'a' + i % 26, sizeof(body) - 1);
		body[i * 2 % BODY_BYTES] = '\0';
		send_request(fd, "POST /books", "Content-Type: text/x\r\n", body);
		get_answer(fd, false, &a);
		assert_int_equal(a.status, 200);
		assert_int_equal(strlen("create POST /books|-|-||text/x") + strlen(body), a.body.len);
		assert_non_null(strstr(a.body.data, body));
	}
}

static void test_bodies_that_are_not_read_then_refused_and_the_connection_ends(void **state)
{
	static const struct {
		const char *headers;
		unsigned status;
	} rows[] = {
		{"Content-Length: 1001\r\n", 413},
		{"Content-Length: 99999999999\r\n", 413},
		{"Transfer-Encoding: chunked\r\n", 411},
		{"Content-Length: 1001\r\nExpect: 100-continue\r\n", 413},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;
		_cleanup_free_ char *request =
			xasprintf("POST /books HTTP/1.1\r\nHost: localhost\r\n%s\r\n", rows[i].headers);

		put(fd, request);
		get_answer(fd, false, &a);
		assert_int_equal(a.status, rows[i].status);
		assert_non_null(strcasestr(a.headers.data, "\r\nconnection: close\r\n"));
		assert_int_equal(next_byte(fd), -1);
	}
}

static void test_body_that_ends_early_then_no_handler_is_called_and_others_are_served(void **state)
{
	_cleanup_close_ int fd = connected(web_port(*state));
	_cleanup_close_ int other = -1;
	_cleanup_(answer_release) struct answer a;

	put(fd, "POST /books HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf");
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(next_byte(fd), -1);
	other = connected(web_port(*state));
	send_request(other, "GET /books", "", "");
	get_answer(other, false, &a);
	assert_int_equal(a.status, 200);
}

static void test_heads_that_two_servers_could_read_differently_then_refused_and_the_connection_ends(void **state)
{
	static const char *const rows[] = {
		"Content-Length: 5\r\nContent-Length: 0\r\n",
		"Content-Length: 5\r\ncontent-length: 5\r\n",
		"Host: localhost\r\n",
		"Content-Length : 5\r\n",
		"Content-Length\t: 5\r\n",
		"X-A: b\rContent-Length: 5\r\n",
		"X-A: \x01\r\n",
		"X(A): b\r\n",
		"X-A: b\x7f\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;
		_cleanup_free_ char *request =
			xasprintf("POST /books HTTP/1.1\r\nHost: localhost\r\n%s\r\nhello", rows[i]);

		put(fd, request);
		get_answer(fd, false, &a);
		if (a.status != 400)
			fail_msg("%s: %u", rows[i], a.status);
		assert_int_equal(next_byte(fd), -1);
	}
}

static void test_hosts_and_origins_then_only_ours(void **state)
{
	static const struct {
		const char *head, *headers;
		unsigned status;
	} rows[] = {
		{"GET /books", "Host: localhost:8001\r\n", 200},
		{"GET /books", "Host: 127.0.0.1:8001\r\n", 200},
		{"GET /books", "Host: [::1]:8001\r\n", 200},
		{"GET /books", "Host: shop.example\r\n", 200},
		{"GET /books", "Host: SHOP.example:80\r\n", 200},
		{"GET /books", "Host: evil.example\r\n", 421},
		{"GET /books", "Host: shop.example.evil.example\r\n", 421},
		{"GET /books", "Host: 127.0.0.1.evil.example\r\n", 421},
		{"GET /books", "Host: evil.example:127.0.0.1\r\n", 421},
		{"GET /books", "Host: [::1]evil.example\r\n", 421},
		{"GET /books", "Host: localhost:80@evil.example\r\n", 421},
		{"GET /books", "Host: localhost:80:80\r\n", 421},
		{"GET /books", "Host: [::1]:\r\n", 200},
		{"GET /books", "Host:\r\n", 421},
		{"GET /books", "Host: localhost:1\r\nOrigin: http://evil.example\r\n", 200},
		{"POST /books", "Host: localhost:1\r\n", 200},
		{"POST /books", "Host: localhost:1\r\nOrigin: http://localhost:1\r\n", 200},
		{"POST /books", "Host: localhost:1\r\nOrigin: http://localhost:2\r\n", 403},
		{"POST /books", "Host: localhost:1\r\nOrigin: http://evil.example\r\n", 403},
		{"POST /books", "Host: localhost:1\r\nOrigin: null\r\n", 403},
		{"POST /books", "Host: localhost:1\r\nSec-Fetch-Site: same-origin\r\n", 200},
		{"POST /books", "Host: localhost:1\r\nSec-Fetch-Site: none\r\n", 200},
		{"POST /books", "Host: localhost:1\r\nSec-Fetch-Site: cross-site\r\n", 403},
		{"DELETE /books/1", "Host: localhost:1\r\nSec-Fetch-Site: same-site\r\n", 403},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int fd = connected(web_port(*state));
		_cleanup_(answer_release) struct answer a;
		_cleanup_free_ char *request = xasprintf("%s HTTP/1.1\r\n%s\r\n", rows[i].head, rows[i].headers);

		put(fd, request);
		get_answer(fd, false, &a);
		if (a.status != rows[i].status)
			fail_msg("%s %s: %u", rows[i].head, rows[i].headers, a.status);
	}
}

static unsigned threads_of(struct web *web)
{
	unsigned n;

	(void)pthread_mutex_lock(&web->work.lock);
	n = web->work.n_threads;
	(void)pthread_mutex_unlock(&web->work.lock);
	return n;
}

static void test_worker_when_nothing_asks_for_it_then_it_is_not_started(void **state)
{
	assert_int_equal(threads_of(*state), 0);
	set_gate(true);
	for (int i = 0; i < 5; i++) {
		_cleanup_close_ int fd = connected_from("127.0.0.1", web_port(*state));
		_cleanup_(answer_release) struct answer a;

		send_request(fd, "GET /gate", "", "");
		get_answer(fd, false, &a);
		assert_string_equal(a.body.data, "through");
		wait_idle(*state, 1);
	}
	assert_int_equal(threads_of(*state), 1);
}

static void test_workers_that_wait_then_others_are_served_and_too_many_are_refused(void **state)
{
	int waiting[WORKERS + WEB_WAITING], refused = connected_from("127.0.0.2", web_port(*state));
	_cleanup_(answer_release) struct answer a;

	set_gate(false);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		char address[] = "127.0.0.3";

		address[8] = (char)('3' + i % 4);
		waiting[i] = connected_from(address, web_port(*state));
		send_request(waiting[i], "GET /gate", "", "");
		if (i < WORKERS)
			wait_inside((unsigned)i + 1);
	}
	wait_queued(*state, WEB_WAITING);
	/* What the server itself answers needs no worker. */
	send_request(refused, "GET /nothing", "", "");
	get_answer(refused, false, &a);
	assert_int_equal(a.status, 404);
	answer_release(&a);
	send_request(refused, "GET /at-once", "", "");
	get_answer(refused, false, &a);
	assert_int_equal(a.status, 200);
	answer_release(&a);
	send_request(refused, "GET /gate", "", "");
	get_answer(refused, false, &a);
	assert_int_equal(a.status, 503);
	assert_non_null(strcasestr(a.headers.data, "\r\nretry-after: 1\r\n"));
	set_gate(true);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		_cleanup_(answer_release) struct answer b;

		get_answer(waiting[i], false, &b);
		assert_string_equal(b.body.data, "through");
		(void)close(waiting[i]);
	}
	(void)close(refused);
}

static void test_requests_that_wait_then_a_client_of_the_same_address_does_not_take_their_place(void **state)
{
	int waiting[WEB_PEER_CONNECTIONS], late;
	char byte;

	set_gate(false);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = connected_from("127.0.0.3", web_port(*state));
		send_request(waiting[i], "GET /gate", "", "");
		if (i < WORKERS)
			wait_inside((unsigned)i + 1);
	}
	wait_queued(*state, ARRAY_SIZE(waiting) - WORKERS);
	late = connected_from("127.0.0.3", web_port(*state));
	assert_int_equal(recv(late, &byte, 1, 0), 0);
	(void)close(late);
	set_gate(true);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		_cleanup_(answer_release) struct answer b;

		get_answer(waiting[i], false, &b);
		assert_string_equal(b.body.data, "through");
		(void)close(waiting[i]);
	}
}

static void test_client_that_leaves_while_its_request_waits_then_others_are_served(void **state)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(answer_release) struct answer a;

	set_gate(false);
	for (int i = 0; i < WORKERS + 5; i++) {
		int left = connected(web_port(*state));

		send_request(left, "GET /gate", "", "");
		if (i < WORKERS)
			wait_inside((unsigned)i + 1);
		(void)close(left);
	}
	set_gate(true);
	fd = connected(web_port(*state));
	send_request(fd, "GET /books", "", "");
	get_answer(fd, false, &a);
	assert_int_equal(a.status, 200);
}

static void *open_gate_later(void *user)
{
	UNUSED(user);
	(void)poll(NULL, 0, 50);
	set_gate(true);
	return NULL;
}

static void test_channel_then_connections_that_are_handed_over_are_served(void **state)
{
	enum { CLIENTS = 3 };
	int server, client, fds[CLIENTS], late;
	struct answer a;
	struct web *web;
	struct err err = {0};

	UNUSED(state);
	assert_int_equal(web_channel_open(&server, &client, &err), 0);
	web = served_at(NULL, server, WORKERS);
	assert_int_equal(web_port(web), 0);
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(web_channel_connect(client, &fds[i], &err), 0);
		assert_int_equal(fcntl(fds[i], F_SETFL, 0), 0);
	}
	for (int i = CLIENTS; i--;) {
		send_request(fds[i], "GET /books/1", "", "");
		get_answer(fds[i], false, &a);
		assert_string_equal(a.body.data, "read GET /books/1|1|-||-");
		answer_release(&a);
	}
	/* The client's end is closed: those that are connected are still served. */
	assert_int_equal(close(client), 0);
	send_request(fds[0], "GET /books", "", "");
	get_answer(fds[0], false, &a);
	assert_string_equal(a.body.data, "list GET /books|-|-||-");
	answer_release(&a);
	web_stop(web);
	assert_int_equal(next_byte(fds[0]), -1);
	for (int i = 0; i < CLIENTS; i++)
		(void)close(fds[i]);
	(void)close(server);

	assert_int_equal(web_channel_open(&server, &client, &err), 0);
	web = served_at(NULL, server, 0);
	(void)close(server);
	web_stop(web);
	assert_int_equal(web_channel_connect(client, &late, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	(void)close(client);
}

static void test_stop_while_requests_wait_then_all_are_answered(void **state)
{
	struct web *web = served(WORKERS);
	int waiting[WORKERS + 5];
	pthread_t thread;

	UNUSED(state);
	set_gate(false);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = connected(web_port(web));
		send_request(waiting[i], "GET /gate", "", "");
		if (i < WORKERS)
			wait_inside((unsigned)i + 1);
	}
	wait_queued(web, ARRAY_SIZE(waiting) - WORKERS);
	assert_int_equal(pthread_create(&thread, NULL, open_gate_later, NULL), 0);
	web_stop(web);
	(void)pthread_join(thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		_cleanup_(answer_release) struct answer a;

		get_answer(waiting[i], false, &a);
		assert_int_equal(a.status, i < WORKERS ? 200 : 503);
		assert_int_equal(next_byte(waiting[i]), -1);
		(void)close(waiting[i]);
	}
}

#define BOTH(test)                                                              \
	cmocka_unit_test_setup_teardown(test, start_with_workers, stop_server), \
		cmocka_unit_test_setup_teardown(test, start_without_workers, stop_server)
#define WITH_WORKERS(test) cmocka_unit_test_setup_teardown(test, start_with_workers, stop_server)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_requests_then_the_routes_answers),
		BOTH(test_wrong_method_then_the_methods_of_the_path),
		BOTH(test_requests_with_bodies_then_all_on_one_connection),
		BOTH(test_bodies_that_are_not_read_then_refused_and_the_connection_ends),
		BOTH(test_body_that_ends_early_then_no_handler_is_called_and_others_are_served),
		BOTH(test_heads_that_two_servers_could_read_differently_then_refused_and_the_connection_ends),
		BOTH(test_hosts_and_origins_then_only_ours),
		WITH_WORKERS(test_worker_when_nothing_asks_for_it_then_it_is_not_started),
		WITH_WORKERS(test_workers_that_wait_then_others_are_served_and_too_many_are_refused),
		WITH_WORKERS(test_requests_that_wait_then_a_client_of_the_same_address_does_not_take_their_place),
		WITH_WORKERS(test_client_that_leaves_while_its_request_waits_then_others_are_served),
		cmocka_unit_test(test_channel_then_connections_that_are_handed_over_are_served),
		cmocka_unit_test(test_stop_while_requests_wait_then_all_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
