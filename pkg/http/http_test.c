/* Tests of requests, failures and the loop against a small server on its own thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/parse.h"
#include "http/http.h"

/* --- The server ------------------------------------------------------------------------------------------------------
 */
enum { MAX_CONNECTIONS = 16, REQUEST_BYTES = 4 * 1024 * 1024 };

struct server;
struct connection {
	struct server *server;
	pthread_t thread;
	int fd;
};

/* Answers one request; false closes the connection. */
typedef bool answer_fn(struct server *server, int fd, const char *request);

struct server {
	int fd;
	char url[64];
	answer_fn *answer;
	pthread_t thread;
	pthread_mutex_t lock;
	struct connection connections[MAX_CONNECTIONS];
	unsigned n_connections;
	unsigned n_requests;
	struct strbuf last; /* the last request, with its body */
	int stop[2];        /* closed at the write end when the server stops: an answer may wait for it */
};

static void send_text(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static size_t content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length: ");
	uint64_t value = 0;

	if (!at)
		return 0;
	at += strlen("\r\nContent-Length: ");
	return parse_u64(at, strspn(at, "0123456789"), &value) ? (size_t)value : 0;
}

static bool read_request(int fd, struct strbuf *sb)
{
	char chunk[16384];
	char *end;
	ssize_t n;

	strbuf_reset(sb);
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		strbuf_add(sb, chunk, (size_t)n);
		end = strstr(sb->data, "\r\n\r\n");
		if (end && sb->len >= (size_t)(end + 4 - sb->data) + content_length(sb->data))
			return true;
	}
	return false;
}

static void *serve_connection(void *user)
{
	struct connection *c = user;
	struct server *server = c->server;
	struct strbuf request;
	bool more = true;

	strbuf_init(&request, REQUEST_BYTES);
	while (more && read_request(c->fd, &request)) {
		(void)pthread_mutex_lock(&server->lock);
		server->n_requests++;
		strbuf_reset(&server->last);
		strbuf_add(&server->last, request.data, request.len);
		(void)pthread_mutex_unlock(&server->lock);
		more = server->answer(server, c->fd, request.data);
	}
	strbuf_release(&request);
	(void)shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static void *serve(void *user)
{
	struct server *server = user;
	int fd;

	while (server->n_connections < MAX_CONNECTIONS && (fd = accept(server->fd, NULL, NULL)) >= 0) {
		struct connection *c = &server->connections[server->n_connections++];

		*c = (struct connection){.server = server, .fd = fd};
		(void)pthread_create(&c->thread, NULL, serve_connection, c);
	}
	return NULL;
}

static int listen_any(char *url, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)snprintf(url, size, "http://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

static void server_start(struct server *server, answer_fn *answer)
{
	*server = (struct server){.answer = answer};
	(void)pthread_mutex_init(&server->lock, NULL);
	strbuf_init(&server->last, REQUEST_BYTES);
	assert_int_equal(pipe(server->stop), 0);
	server->fd = listen_any(server->url, sizeof(server->url));
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
	(void)close(server->stop[1]);
	(void)shutdown(server->fd, SHUT_RDWR);
	(void)pthread_join(server->thread, NULL);
	for (unsigned i = 0; i < server->n_connections; i++) {
		(void)shutdown(server->connections[i].fd, SHUT_RDWR);
		(void)pthread_join(server->connections[i].thread, NULL);
		(void)close(server->connections[i].fd);
	}
	(void)close(server->fd);
	(void)close(server->stop[0]);
	strbuf_release(&server->last);
	(void)pthread_mutex_destroy(&server->lock);
}

/* Until the test ends the server. */
static void wait_for_stop(struct server *server)
{
	struct pollfd fd = {.fd = server->stop[0], .events = POLLIN};

	(void)poll(&fd, 1, 10 * 1000);
}

/* --- Answers ---------------------------------------------------------------------------------------------------------
 */
static bool answer_ok(struct server *server, int fd, const char *request)
{
	UNUSED(server);
	UNUSED(request);
	send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
		      "Warning: 299 - \"old\"\r\nContent-Length: 2\r\n\r\n{}");
	return true;
}

static bool answer_busy(struct server *server, int fd, const char *request)
{
	UNUSED(server);
	UNUSED(request);
	send_text(fd, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nslow\ndown");
	return true;
}

static bool answer_401(struct server *server, int fd, const char *request)
{
	UNUSED(server);
	UNUSED(request);
	send_text(fd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static bool answer_never(struct server *server, int fd, const char *request)
{
	UNUSED(fd);
	UNUSED(request);
	wait_for_stop(server);
	return false;
}

static bool answer_nothing(struct server *server, int fd, const char *request)
{
	UNUSED(server);
	UNUSED(fd);
	UNUSED(request);
	return false;
}

/* Half an answer, and then silence: like a connection through a dead middle box. */
static bool answer_half(struct server *server, int fd, const char *request)
{
	UNUSED(request);
	send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
	wait_for_stop(server);
	return false;
}

static bool answer_pieces(struct server *server, int fd, const char *request)
{
	UNUSED(server);
	UNUSED(request);
	send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
	send_text(fd, "4\r\ntwo\n\r\n");
	send_text(fd, "6\r\nthree\n\r\n0\r\n\r\n");
	return true;
}

static bool answer_large(struct server *server, int fd, const char *request)
{
	_cleanup_free_ char *body = xcalloc(1, 100001);

	UNUSED(server);
	UNUSED(request);
	memset(body, 'x', 100000);
	send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	send_text(fd, body);
	return true;
}

/* --- A client --------------------------------------------------------------------------------------------------------
 */
struct client {
	struct server server;
	struct http *http;
	struct http_target *target;
	struct http_response response;
	struct err err;
};

static struct http_target *target_of(const char *const *urls, size_t n)
{
	struct http_target *target = NULL;
	struct err err;

	assert_int_equal(
		http_target_new(&(struct http_target_options){.urls = urls, .n_urls = n, .user_agent = "test/1"},
				&target, &err),
		0);
	return target;
}

static void client_start(struct client *c, answer_fn *answer)
{
	*c = (struct client){0};
	server_start(&c->server, answer);
	assert_int_equal(http_new(&c->http, &c->err), 0);
	c->target = target_of((const char *const[]){c->server.url}, 1);
}

static void client_stop(struct client *c)
{
	http_response_release(&c->response);
	http_free(c->http);
	http_target_free(c->target);
	server_stop(&c->server);
}

static int client_do(struct client *c, const struct http_request *request)
{
	http_response_release(&c->response);
	return http_do(c->http, c->target, request, &c->response, &c->err);
}

static const struct http_request get = {.method = "GET", .path = "/"};

/* --- Requests and answers --------------------------------------------------------------------------------------------
 */
static void test_do_when_answered_then_status_headers_and_body_are_there(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_ok);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "GET", .path = "/a/../b?c=d"}), 0);
	assert_int_equal(c.response.status, 200);
	assert_string_equal(c.response.body.data, "{}");
	assert_string_equal(c.response.content_type, "application/json");
	assert_string_equal(c.response.product, "Elasticsearch");
	assert_string_equal(c.response.warning, "299 - \"old\"");
	assert_int_equal(c.response.retry_after_ms, 0);
	assert_ptr_equal(strstr(c.server.last.data, "GET /a/../b?c=d HTTP/1.1\r\n"), c.server.last.data);
	assert_non_null(strstr(c.server.last.data, "User-Agent: test/1\r\n"));
	assert_non_null(strstr(c.server.last.data, "Accept: application/json\r\n"));
	client_stop(&c);
}

static void test_do_when_body_is_large_then_it_arrives_whole_and_without_expect(void **state)
{
	enum { BYTES = 2 * 1024 * 1024 };
	_cleanup_free_ char *body = xcalloc(1, BYTES + 1);
	struct client c;
	const char *sent;

	UNUSED(state);
	for (size_t i = 0; i < BYTES; i++)
		body[i] = (char)('a' + i % 23);
	client_start(&c, answer_ok);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "POST",
							      .path = "/_bulk",
							      .content_type = "application/x-ndjson",
							      .body = body,
							      .body_len = BYTES}),
			 0);
	sent = strstr(c.server.last.data, "\r\n\r\n");
	assert_non_null(sent);
	assert_string_equal(sent + 4, body);
	assert_non_null(strstr(c.server.last.data, "Content-Type: application/x-ndjson\r\n"));
	assert_null(strcasestr(c.server.last.data, "\r\nExpect:"));
	client_stop(&c);
}

static void test_do_when_method_has_no_body_then_length_is_zero_for_writes_only(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_ok);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "POST", .path = "/_refresh"}), 0);
	assert_non_null(strstr(c.server.last.data, "Content-Length: 0\r\n"));
	assert_null(strcasestr(c.server.last.data, "x-www-form-urlencoded"));
	assert_int_equal(client_do(&c, &(struct http_request){.method = "DELETE", .path = "/i"}), 0);
	assert_ptr_equal(strstr(c.server.last.data, "DELETE /i "), c.server.last.data);
	assert_null(strstr(c.server.last.data, "Content-Length"));
	client_stop(&c);
}

static void test_do_when_repeated_then_the_connection_is_reused(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_ok);
	for (int i = 0; i < 5; i++)
		assert_int_equal(client_do(&c, &get), 0);
	assert_int_equal(c.server.n_requests, 5);
	assert_int_equal(c.server.n_connections, 1);
	client_stop(&c);
}

static void test_status_err_when_throttled_then_transient_with_retry_after_and_text(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_busy);
	assert_int_equal(client_do(&c, &get), 0);
	assert_int_equal(http_status_err(&c.response, "writing", &c.err), -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_int_equal(c.err.code, 429);
	assert_int_equal(c.err.retry_after_ms, 7000);
	assert_string_equal(c.err.msg, "writing: HTTP status 429: slow down");
	client_stop(&c);
}

static void test_status_err_when_status_differs_then_kind_differs(void **state)
{
	static const struct {
		long status;
		enum err_kind kind;
	} cases[] = {{301, ERR_INVALID},   {400, ERR_INVALID},   {401, ERR_DENIED},    {403, ERR_DENIED},
		     {404, ERR_NOT_FOUND}, {409, ERR_CONFLICT},  {410, ERR_NOT_FOUND}, {413, ERR_LIMIT},
		     {422, ERR_INVALID},   {500, ERR_TRANSIENT}, {503, ERR_TRANSIENT}};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_response response = {.status = cases[i].status};

		assert_int_equal(http_status_err(&response, "x", &err), -1);
		assert_int_equal(err.kind, cases[i].kind);
		assert_int_equal(err.code, cases[i].status);
	}
}

static void test_escape_when_bytes_are_special_then_percent_encoded(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 100);
	http_escape(&sb, "aZ9-._~/ ?%\xC3\xA9");
	assert_string_equal(sb.data, "aZ9-._~%2F%20%3F%25%C3%A9");
	strbuf_release(&sb);
}

/* --- Credentials -----------------------------------------------------------------------------------------------------
 */
static void expect_authorization(const struct http_target_options *options, answer_fn *answer, const char *expected)
{
	struct http_target_options o = *options;
	struct client c;
	char header[128];

	client_start(&c, answer);
	http_target_free(TAKE_PTR(c.target));
	o.urls = (const char *const[]){c.server.url};
	o.n_urls = 1;
	assert_int_equal(http_target_new(&o, &c.target, &c.err), 0);
	assert_int_equal(client_do(&c, &get), 0);
	(void)snprintf(header, sizeof(header), "\r\nAuthorization: %s\r\n", expected);
	assert_non_null(strstr(c.server.last.data, header));
	client_stop(&c);
}

static void test_do_when_target_has_credentials_then_they_are_sent_unasked(void **state)
{
	UNUSED(state);
	expect_authorization(
		&(struct http_target_options){.auth = HTTP_AUTH_BASIC, .username = "me", .password = "p:w"}, answer_ok,
		"Basic bWU6cDp3");
	expect_authorization(&(struct http_target_options){.auth = HTTP_AUTH_BEARER, .token = "tok"}, answer_ok,
			     "Bearer tok");
	expect_authorization(&(struct http_target_options){.auth = HTTP_AUTH_API_KEY, .token = "a2V5"}, answer_ok,
			     "ApiKey a2V5");
}

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void test_do_when_token_file_changes_then_it_is_read_again_after_a_401(void **state)
{
	char path[] = "/tmp/http_test_XXXXXX";
	int fd = mkstemp(path);
	struct client c;

	UNUSED(state);
	assert_true(fd >= 0);
	(void)close(fd);
	write_file(path, "first\n");
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = (const char *const[]){c.server.url},
								       .n_urls = 1,
								       .auth = HTTP_AUTH_BEARER,
								       .token_file = path},
					 &c.target, &c.err),
			 0);
	assert_int_equal(client_do(&c, &get), 0);
	write_file(path, "second\n");
	assert_int_equal(client_do(&c, &get), 0);
	assert_non_null(strstr(c.server.last.data, "Bearer first\r\n"));
	c.server.answer = answer_401;
	assert_int_equal(client_do(&c, &get), 0);
	assert_int_equal(c.response.status, 401);
	assert_int_equal(client_do(&c, &get), 0);
	assert_non_null(strstr(c.server.last.data, "Bearer second\r\n"));
	/* If a file disappears, its last content stays in use. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(client_do(&c, &get), 0);
	assert_non_null(strstr(c.server.last.data, "Bearer second\r\n"));
	client_stop(&c);
}

static void test_do_when_token_file_is_absent_then_error_names_it(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = (const char *const[]){c.server.url},
								       .n_urls = 1,
								       .auth = HTTP_AUTH_BEARER,
								       .token_file = "/nowhere/token"},
					 &c.target, &c.err),
			 0);
	assert_int_equal(client_do(&c, &get), -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(c.err.msg, "/nowhere/token"));
	assert_int_equal(c.server.n_requests, 0);
	client_stop(&c);
}

static void test_target_when_url_holds_credentials_then_used_and_never_shown(void **state)
{
	struct client c;
	struct err err;
	_cleanup_free_ char *url = NULL;
	struct http_target *none = NULL;

	UNUSED(state);
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	url = xasprintf("http://me:s%%40cret@%s/", c.server.url + strlen("http://"));
	c.target = target_of((const char *const[]){url}, 1);
	assert_string_equal(http_target_name(c.target), c.server.url);
	assert_int_equal(client_do(&c, &get), 0);
	assert_non_null(strstr(c.server.last.data, "\r\nAuthorization: Basic bWU6c0BjcmV0\r\n"));
	assert_int_equal(
		http_target_new(&(struct http_target_options){.urls = (const char *const[]){"ftp://me:secret@host"},
							      .n_urls = 1},
				&none, &err),
		-1);
	assert_null(strstr(err.msg, "secret"));
	client_stop(&c);
}

static void test_target_when_url_is_invalid_then_error_says_what_is_wrong(void **state)
{
	static const struct {
		const char *url, *text;
	} cases[] = {{"", "empty"},
		     {"ftp://host", "neither http nor https"},
		     {"host:9200", "expected http"},
		     {"http://host/?q=1", "a query or a fragment"},
		     {"http://ho st", "expected http"}};
	struct http_target *target = NULL;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct http_target_options o = {.urls = &cases[i].url, .n_urls = 1};

		assert_int_equal(http_target_new(&o, &target, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, cases[i].text));
	}
}

static void test_target_when_credentials_are_incomplete_then_invalid(void **state)
{
	const char *const urls[] = {"http://h:1"};
	const struct http_target_options cases[] = {
		{.urls = urls, .n_urls = 1, .auth = HTTP_AUTH_BASIC, .username = "u"},
		{.urls = urls, .n_urls = 1, .auth = HTTP_AUTH_BEARER},
		{.urls = urls, .n_urls = 1, .auth = HTTP_AUTH_BEARER, .token = "a\r\nX-Evil: b"},
		{.urls = urls, .n_urls = 1, .cert_pem = "c"},
		{.n_urls = 0},
	};
	struct http_target *target = NULL;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(http_target_new(&cases[i], &target, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

/* --- Failures --------------------------------------------------------------------------------------------------------
 */
/* A URL with a port that no process listens on. */
static void dead_url(char *url, size_t size)
{
	(void)close(listen_any(url, size));
}

static void test_do_when_refused_then_transient_refused(void **state)
{
	struct client c;
	char dead[64];

	UNUSED(state);
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	dead_url(dead, sizeof(dead));
	c.target = target_of((const char *const[]){dead}, 1);
	assert_int_equal(client_do(&c, &get), -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(c.err.reason), "Refused");
	assert_non_null(strstr(c.err.msg, dead));
	assert_non_null(strstr(c.err.msg, "Connection refused"));
	client_stop(&c);
}

static void test_do_when_first_url_is_dead_then_the_next_answers_and_is_kept(void **state)
{
	struct client c;
	char dead[64];

	UNUSED(state);
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	dead_url(dead, sizeof(dead));
	c.target = target_of((const char *const[]){dead, "http://no-such-host.invalid:1", c.server.url}, 3);
	assert_int_equal(client_do(&c, &get), 0);
	assert_int_equal(c.response.status, 200);
	assert_int_equal(client_do(&c, &get), 0);
	assert_int_equal(c.server.n_requests, 2);
	assert_int_equal(c.server.n_connections, 1);
	client_stop(&c);
}

static void test_do_when_all_urls_are_dead_then_error_says_so(void **state)
{
	struct client c;
	char first[64], second[64];

	UNUSED(state);
	client_start(&c, answer_ok);
	http_target_free(TAKE_PTR(c.target));
	dead_url(first, sizeof(first));
	dead_url(second, sizeof(second));
	c.target = target_of((const char *const[]){first, second}, 2);
	assert_int_equal(client_do(&c, &get), -1);
	assert_string_equal(reason_name(c.err.reason), "Refused");
	assert_non_null(strstr(c.err.msg, "the other servers either"));
	client_stop(&c);
}

static void test_do_when_server_does_not_answer_then_timeout(void **state)
{
	struct client c;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	client_start(&c, answer_never);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "GET", .path = "/", .timeout_ms = 150}), -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(c.err.reason), "Timeout");
	assert_in_range(clock_now_ms() - started_ms, 140, 5000);
	client_stop(&c);
}

static void test_do_when_connection_ends_without_answer_then_reset(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_nothing);
	assert_int_equal(client_do(&c, &get), -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(c.err.reason), "Reset");
	client_stop(&c);
}

/* The first request only. */
static bool answer_first(struct server *server, int fd, const char *request)
{
	bool first;

	(void)pthread_mutex_lock(&server->lock);
	first = server->n_requests == 1;
	(void)pthread_mutex_unlock(&server->lock);
	return first && answer_ok(server, fd, request);
}

static void test_do_when_a_kept_connection_breaks_then_a_body_for_once_is_not_sent_again(void **state)
{
	static const struct {
		bool once;
		unsigned requests;
	} cases[] = {{true, 2}, {false, 3}}; /* the other one shows that libcurl would otherwise send it again */

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_request request = {
			.method = "POST", .path = "/", .body = "once", .body_len = 4, .once = cases[i].once};
		struct client c;

		client_start(&c, answer_first);
		assert_int_equal(client_do(&c, &request), 0);
		(void)pthread_mutex_lock(&c.server.lock);
		assert_non_null(strstr(c.server.last.data, "\r\n\r\nonce"));
		(void)pthread_mutex_unlock(&c.server.lock);
		assert_int_equal(client_do(&c, &request), -1);
		assert_int_equal(c.err.kind, ERR_TRANSIENT);
		assert_string_equal(reason_name(c.err.reason), "Reset");
		client_stop(&c);
		assert_int_equal(c.server.n_requests, cases[i].requests);
	}
}

static void test_do_when_stream_falls_silent_then_idle_timeout(void **state)
{
	struct client c;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	client_start(&c, answer_half);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "GET", .path = "/", .idle_timeout_ms = 150}),
			 -1);
	assert_int_equal(c.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(c.err.reason), "Timeout");
	assert_non_null(strstr(c.err.msg, "received nothing for 150 ms"));
	assert_in_range(clock_now_ms() - started_ms, 150, 5000);
	client_stop(&c);
}

static void test_do_when_answer_exceeds_the_cap_then_limit(void **state)
{
	struct client c;

	UNUSED(state);
	client_start(&c, answer_large);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "GET", .path = "/", .max_response = 99999}),
			 -1);
	assert_int_equal(c.err.kind, ERR_LIMIT);
	assert_int_equal(client_do(&c, &(struct http_request){.method = "GET", .path = "/", .max_response = 100000}),
			 0);
	assert_int_equal(c.response.body.len, 100000);
	client_stop(&c);
}

/* --- Streams, cancellation, the loop ---------------------------------------------------------------------------------
 */
struct collector {
	struct strbuf sb;
	size_t stop_at;
	struct http_call *cancel;
};

static bool collect(void *user, const char *data, size_t len)
{
	struct collector *collector = user;

	strbuf_add(&collector->sb, data, len);
	if (collector->cancel)
		http_cancel(collector->cancel);
	return !collector->stop_at || collector->sb.len < collector->stop_at;
}

static void test_stream_when_pieces_arrive_then_each_is_given_and_body_is_empty(void **state)
{
	struct client c;
	struct collector got = {0};

	UNUSED(state);
	strbuf_init(&got.sb, 1000);
	client_start(&c, answer_pieces);
	assert_int_equal(
		client_do(&c, &(struct http_request){.method = "GET", .path = "/", .on_data = collect, .user = &got}),
		0);
	assert_string_equal(got.sb.data, "one\ntwo\nthree\n");
	assert_int_equal(c.response.body.len, 0);
	strbuf_release(&got.sb);
	client_stop(&c);
}

static void test_stream_when_status_is_an_error_then_its_body_is_collected(void **state)
{
	struct client c;
	struct collector got = {0};

	UNUSED(state);
	strbuf_init(&got.sb, 1000);
	client_start(&c, answer_busy);
	assert_int_equal(
		client_do(&c, &(struct http_request){.method = "GET", .path = "/", .on_data = collect, .user = &got}),
		0);
	assert_int_equal(got.sb.len, 0);
	assert_string_equal(c.response.body.data, "slow\ndown");
	client_stop(&c);
}

static void test_stream_when_receiver_says_stop_then_cancelled(void **state)
{
	struct client c;
	struct collector got = {.stop_at = 1};

	UNUSED(state);
	strbuf_init(&got.sb, 1000);
	client_start(&c, answer_half);
	assert_int_equal(
		client_do(&c, &(struct http_request){.method = "GET", .path = "/", .on_data = collect, .user = &got}),
		-1);
	assert_int_equal(c.err.kind, ERR_CANCELLED);
	assert_string_equal(got.sb.data, "abc");
	strbuf_release(&got.sb);
	client_stop(&c);
}

struct outcome {
	unsigned calls;
	long status;
	enum err_kind kind;
};

static void record(void *user, const struct http_response *response, const struct err *err)
{
	struct outcome *outcome = user;

	outcome->calls++;
	outcome->status = response ? response->status : 0;
	outcome->kind = err ? err->kind : ERR_NONE;
}

static void poll_until(struct client *c, const bool *done)
{
	int64_t end_ms = clock_now_ms() + 5000;

	while (!*done && clock_now_ms() < end_ms)
		assert_int_equal(http_poll(c->http, NULL, 0, 100, &c->err), 0);
}

static void test_cancel_when_called_from_its_own_data_then_done_is_not_called(void **state)
{
	struct client c;
	struct collector got = {0};
	struct outcome outcome = {0};
	struct http_request request = {.method = "GET", .path = "/", .on_data = collect, .user = &got};

	UNUSED(state);
	strbuf_init(&got.sb, 1000);
	client_start(&c, answer_half);
	got.cancel = http_start(c.http, c.target, &request, record, &outcome);
	for (int i = 0; i < 50 && got.sb.len == 0; i++)
		assert_int_equal(http_poll(c.http, NULL, 0, 100, &c.err), 0);
	assert_string_equal(got.sb.data, "abc");
	assert_int_equal(http_poll(c.http, NULL, 0, 10, &c.err), 0);
	assert_int_equal(outcome.calls, 0);
	strbuf_release(&got.sb);
	client_stop(&c);
}

static void test_start_when_several_then_they_run_at_once_and_each_is_done_once(void **state)
{
	struct client c;
	struct outcome outcomes[3] = {0};
	struct outcome slow = {0};
	struct http_call *call;

	UNUSED(state);
	client_start(&c, answer_ok);
	for (int i = 0; i < 3; i++)
		(void)http_start(c.http, c.target, &get, record, &outcomes[i]);
	for (int i = 0; i < 50 && (!outcomes[0].calls || !outcomes[1].calls || !outcomes[2].calls); i++)
		assert_int_equal(http_poll(c.http, NULL, 0, 100, &c.err), 0);
	c.server.answer = answer_never;
	call = http_start(c.http, c.target, &get, record, &slow);
	assert_int_equal(http_poll(c.http, NULL, 0, 20, &c.err), 0);
	http_cancel(call);
	assert_int_equal(http_poll(c.http, NULL, 0, 20, &c.err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(outcomes[i].calls, 1);
		assert_int_equal(outcomes[i].status, 200);
	}
	assert_int_equal(slow.calls, 0);
	client_stop(&c);
}

static void test_free_when_a_call_is_under_way_then_done_hears_cancelled(void **state)
{
	struct client c;
	struct outcome outcome = {0};

	UNUSED(state);
	client_start(&c, answer_never);
	(void)http_start(c.http, c.target, &get, record, &outcome);
	assert_int_equal(http_poll(c.http, NULL, 0, 20, &c.err), 0);
	http_free(TAKE_PTR(c.http));
	assert_int_equal(outcome.calls, 1);
	assert_int_equal(outcome.kind, ERR_CANCELLED);
	client_stop(&c);
}

struct chain {
	struct client *client;
	unsigned left;
	bool done;
};

/* A done that starts the next request, and makes a blocking one at the end. */
static void follow(void *user, const struct http_response *response, const struct err *err)
{
	struct chain *chain = user;

	assert_null(err);
	assert_int_equal(response->status, 200);
	if (chain->left-- > 0) {
		(void)http_start(chain->client->http, chain->client->target, &get, follow, chain);
		return;
	}
	assert_int_equal(client_do(chain->client, &get), 0);
	chain->done = true;
}

static void test_done_when_it_starts_and_waits_for_others_then_the_loop_continues(void **state)
{
	struct client c;
	struct chain chain = {.client = &c, .left = 3};

	UNUSED(state);
	client_start(&c, answer_ok);
	(void)http_start(c.http, c.target, &get, follow, &chain);
	poll_until(&c, &chain.done);
	assert_true(chain.done);
	assert_int_equal(c.server.n_requests, 5);
	client_stop(&c);
}

static void test_poll_when_a_descriptor_is_ready_then_its_revents_are_set(void **state)
{
	struct client c;
	int fds[2];
	struct curl_waitfd wait = {.events = CURL_WAIT_POLLIN};
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	client_start(&c, answer_ok);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	wait.fd = fds[0];
	assert_int_equal(http_poll(c.http, &wait, 1, 5000, &c.err), 0);
	assert_int_equal(wait.revents & CURL_WAIT_POLLIN, CURL_WAIT_POLLIN);
	assert_in_range(clock_now_ms() - started_ms, 0, 4000);
	(void)close(fds[0]);
	(void)close(fds[1]);
	client_stop(&c);
}

struct stopper {
	_Atomic bool stop;
};

static bool is_stopped(void *user)
{
	struct stopper *stopper = user;

	return stopper->stop;
}

static void *stop_soon(void *user)
{
	struct stopper *stopper = user;

	(void)poll(NULL, 0, 100);
	stopper->stop = true;
	return NULL;
}

static void test_do_when_asked_to_stop_then_cancelled_within_a_second(void **state)
{
	struct client c;
	struct stopper stopper = {0};
	pthread_t thread;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	client_start(&c, answer_never);
	http_set_cancelled(c.http, is_stopped, &stopper);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
	assert_int_equal(client_do(&c, &get), -1);
	assert_int_equal(c.err.kind, ERR_CANCELLED);
	assert_in_range(clock_now_ms() - started_ms, 90, 1800);
	assert_int_equal(pthread_join(thread, NULL), 0);
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_do_when_answered_then_status_headers_and_body_are_there),
		cmocka_unit_test(test_do_when_body_is_large_then_it_arrives_whole_and_without_expect),
		cmocka_unit_test(test_do_when_method_has_no_body_then_length_is_zero_for_writes_only),
		cmocka_unit_test(test_do_when_repeated_then_the_connection_is_reused),
		cmocka_unit_test(test_status_err_when_throttled_then_transient_with_retry_after_and_text),
		cmocka_unit_test(test_status_err_when_status_differs_then_kind_differs),
		cmocka_unit_test(test_escape_when_bytes_are_special_then_percent_encoded),
		cmocka_unit_test(test_do_when_target_has_credentials_then_they_are_sent_unasked),
		cmocka_unit_test(test_do_when_token_file_changes_then_it_is_read_again_after_a_401),
		cmocka_unit_test(test_do_when_token_file_is_absent_then_error_names_it),
		cmocka_unit_test(test_target_when_url_holds_credentials_then_used_and_never_shown),
		cmocka_unit_test(test_target_when_url_is_invalid_then_error_says_what_is_wrong),
		cmocka_unit_test(test_target_when_credentials_are_incomplete_then_invalid),
		cmocka_unit_test(test_do_when_refused_then_transient_refused),
		cmocka_unit_test(test_do_when_first_url_is_dead_then_the_next_answers_and_is_kept),
		cmocka_unit_test(test_do_when_all_urls_are_dead_then_error_says_so),
		cmocka_unit_test(test_do_when_server_does_not_answer_then_timeout),
		cmocka_unit_test(test_do_when_connection_ends_without_answer_then_reset),
		cmocka_unit_test(test_do_when_a_kept_connection_breaks_then_a_body_for_once_is_not_sent_again),
		cmocka_unit_test(test_do_when_stream_falls_silent_then_idle_timeout),
		cmocka_unit_test(test_do_when_answer_exceeds_the_cap_then_limit),
		cmocka_unit_test(test_stream_when_pieces_arrive_then_each_is_given_and_body_is_empty),
		cmocka_unit_test(test_stream_when_status_is_an_error_then_its_body_is_collected),
		cmocka_unit_test(test_stream_when_receiver_says_stop_then_cancelled),
		cmocka_unit_test(test_cancel_when_called_from_its_own_data_then_done_is_not_called),
		cmocka_unit_test(test_start_when_several_then_they_run_at_once_and_each_is_done_once),
		cmocka_unit_test(test_free_when_a_call_is_under_way_then_done_hears_cancelled),
		cmocka_unit_test(test_done_when_it_starts_and_waits_for_others_then_the_loop_continues),
		cmocka_unit_test(test_poll_when_a_descriptor_is_ready_then_its_revents_are_set),
		cmocka_unit_test(test_do_when_asked_to_stop_then_cancelled_within_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
