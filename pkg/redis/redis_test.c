/* Tests of a Redis that answers with errors, with too much, or with something else. */
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

#include "redis/redis.h"

enum { REQUEST_BYTES = 4096, SENT_MOST = 64 * 1024 * 1024, CHUNK = 64 * 1024, REPLIES = 5 };

/* Answers each command of one connection with the next reply; after the last one, it sends `filler` without end, or
 * closes the connection. */
struct server {
	int listen;
	unsigned port;
	const char *replies[REPLIES];
	char filler; /* 0: none */
	size_t sent;
	pthread_t thread;
};

static void fill(struct server *s, int fd)
{
	char chunk[CHUNK];
	ssize_t n = 1;

	memset(chunk, s->filler, sizeof(chunk));
	for (; s->filler && s->sent < SENT_MOST && n > 0; s->sent += n > 0 ? (size_t)n : 0)
		n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL);
}

static void *serve(void *user)
{
	struct server *s = user;
	char request[REQUEST_BYTES];
	int fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);

	for (size_t i = 0; i < REPLIES && s->replies[i]; i++) {
		if (recv(fd, request, sizeof(request), 0) <= 0)
			break;
		(void)send(fd, s->replies[i], strlen(s->replies[i]), MSG_NOSIGNAL);
	}
	fill(s, fd);
	(void)close(fd);
	return NULL;
}

static void start_server(struct server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	s->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listen, 1), 0);
	assert_int_equal(getsockname(s->listen, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->listen);
}

static bool never(void *user)
{
	UNUSED(user);
	return false;
}

static struct redis *open_redis(struct server *s)
{
	struct redis_server where = {.host = "127.0.0.1", .cancelled = never};
	struct redis *redis = NULL;
	struct err err;

	start_server(s);
	where.port = s->port;
	assert_int_equal(redis_open(&where, &redis, &err), 0);
	return redis;
}

/* What a GET gives that is answered with this. */
static int get(struct server *s, char **ret, struct err *err)
{
	struct redis *redis = open_redis(s);
	size_t len;
	int r = redis_get(redis, "k", ret, &len, err);

	redis_close(redis);
	stop_server(s);
	return r;
}

static void test_get_when_there_is_a_value_then_its_bytes(void **state)
{
	struct server found = {.replies = {"$3\r\na\r\n\r\n"}}, none = {.replies = {"$-1\r\n"}};
	char *value = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(get(&found, &value, &err), 0);
	assert_string_equal(value, "a\r\n");
	free(value);
	assert_int_equal(get(&none, &value, &err), 0);
	assert_null(value);
}

static void test_get_when_the_answer_is_not_of_redis_then_refused(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"*2147483647\r\n",
		"*1\r\n*1\r\n*1\r\n$1\r\nx\r\n",
		"*17\r\n",
		"$-2\r\n",
		"$99999999999999999999\r\n",
		":1\r\n",
		"*1\r\n$1\r\nx\r\n",
		"+OK\r\n",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct server s = {.replies = {answers[i]}};
		char *value = NULL;
		struct err err = {.kind = ERR_FATAL};

		assert_int_equal(get(&s, &value, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, "GET: the answer is not one that Redis gives"));
		assert_null(value);
	}
}

static void test_get_when_a_value_has_no_end_then_the_limit_ends_it(void **state)
{
	static const char *const begins[] = {"$536870912\r\n", "$9000000000000000000\r\n", "$", "+", "-ERR ",
					     "*1\r\n+"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		struct server s = {.replies = {begins[i]}, .filler = 'x'};
		char *value = NULL;
		struct err err = {.kind = ERR_FATAL};

		assert_int_equal(get(&s, &value, &err), -1);
		assert_int_equal(err.kind, ERR_LIMIT);
		assert_true(s.sent < SENT_MOST);
		assert_null(value);
	}
}

static void test_get_when_the_connection_ends_then_transient(void **state)
{
	struct server s = {.replies = {"$5\r\nab"}};
	char *value = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(get(&s, &value, &err), -1);
	assert_true(err_is_transient(&err));
	assert_non_null(strstr(err.msg, "the server closed the connection"));
}

static void test_get_when_the_server_refuses_then_the_message_says_what_to_do(void **state)
{
	static const struct {
		const char *answer;
		enum err_kind kind;
		enum reason reason;
		const char *text;
	} cases[] = {
		{"-NOAUTH Authentication required.\r\n", ERR_DENIED, REASON_AUTH_FAILED, "asks for a password"},
		{"-NOPERM this user has no permissions to run the 'get' command\r\n", ERR_DENIED,
		 REASON_PRIVILEGE_MISSING, "it needs GET, SET, DEL, WATCH, MULTI and EXEC on pgsync:*"},
		{"-MOVED 3999 10.0.0.1:6381\r\n", ERR_INVALID, REASON_NOT_SUPPORTED,
		 "use a single server, or Sentinel"},
		{"-READONLY You can't write against a read only replica.\r\n", ERR_TRANSIENT, REASON_NONE,
		 "the server is a replica"},
		{"-LOADING Redis is loading the dataset in memory\r\n", ERR_TRANSIENT, REASON_NONE,
		 "the server is loading its data"},
		{"-OOM command not allowed\r\n", ERR_TRANSIENT, REASON_NONE, "memory is full"},
		{"-ERR geheim\r\n", ERR_TRANSIENT, REASON_NONE, "its own log may say why"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server s = {.replies = {cases[i].answer}};
		char *value = NULL;
		struct err err;

		assert_int_equal(get(&s, &value, &err), -1);
		assert_int_equal(err.kind, cases[i].kind);
		assert_int_equal(err.reason, cases[i].reason);
		assert_non_null(strstr(err.msg, cases[i].text));
		assert_null(strstr(err.msg, "geheim"));
	}
}

static int watch_and_set(struct server *s, struct err *err)
{
	struct redis *redis = open_redis(s);
	int r = redis_watch(redis, "k", err) < 0 ? -1 : redis_set(redis, "k", "v", 1, err);

	redis_close(redis);
	stop_server(s);
	return r;
}

static void test_set_when_the_key_was_changed_then_conflict(void **state)
{
	struct server stored = {.replies = {"+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n"}};
	struct server changed = {.replies = {"+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*-1\r\n"}};
	struct server refused = {.replies = {"+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n-OOM\r\n"}};
	struct err err;

	UNUSED(state);
	assert_int_equal(watch_and_set(&stored, &err), 0);
	assert_int_equal(watch_and_set(&changed, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(watch_and_set(&refused, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_when_there_is_a_value_then_its_bytes),
		cmocka_unit_test(test_get_when_the_answer_is_not_of_redis_then_refused),
		cmocka_unit_test(test_get_when_a_value_has_no_end_then_the_limit_ends_it),
		cmocka_unit_test(test_get_when_the_connection_ends_then_transient),
		cmocka_unit_test(test_get_when_the_server_refuses_then_the_message_says_what_to_do),
		cmocka_unit_test(test_set_when_the_key_was_changed_then_conflict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
