/* Tests of a server that answers more than anybody can hold in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/parse.h"
#include "fakes/postgres.h"
#include "postgres/pg.h"

enum { VALUE_BYTES = 1024 * 1024, TOO_MANY = 80, STREAMED = 100 };

struct server {
	struct fake_postgres *fake;
	struct pg *pg;
	char *value;
};

/* "SELECT n": n rows of a mebibyte. */
static void answer(void *user, const struct fake_query *query, struct fake_result *result)
{
	const struct server *s = user;
	uint64_t n;

	if (strncmp(query->sql, "SELECT ", 7) != 0 || !parse_u64(query->sql + 7, strlen(query->sql + 7), &n)) {
		FAKE_ROW(result, "pg_catalog");
		return;
	}
	for (; n > 0; n--)
		FAKE_ROW(result, s->value);
}

static void begin(struct server *s)
{
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u", .cancel_fd = -1};
	struct err err = {0};

	s->value = xcalloc(VALUE_BYTES + 1, 1);
	memset(s->value, 'x', VALUE_BYTES);
	s->fake = fake_postgres_start(answer, s);
	params.port = fake_postgres_port(s->fake);
	if (pg_connect(&params, false, &s->pg, &err) < 0)
		fail_msg("%s", err.msg);
}

static void end(struct server *s)
{
	pg_close(s->pg);
	fake_postgres_stop(s->fake);
	free(s->value);
}

static void test_query_when_the_answer_has_no_end_then_limit(void **state)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;
	_cleanup_free_ char *sql = xasprintf("SELECT %d", TOO_MANY);
	struct server s;
	struct err err = {0};

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_query(s.pg, "SELECT 3", NULL, 0, &result, &err), 0);
	assert_int_equal(pg_n_rows(result), 3);
	pg_result_free(TAKE_PTR(result));
	assert_int_equal(pg_query(s.pg, sql, NULL, 0, &result, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_null(result);
	/* What is left of the answer would be taken for the next one. */
	assert_int_equal(pg_query(s.pg, "SELECT 1", NULL, 0, &result, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	end(&s);
}

static void test_exec_when_the_answer_has_no_end_then_limit(void **state)
{
	_cleanup_free_ char *sql = xasprintf("SELECT %d", TOO_MANY);
	struct server s;
	struct err err = {0};

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_exec(s.pg, sql, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	end(&s);
}

/* However many there are: only one is in memory. */
static void test_rows_when_there_are_many_then_all_are_streamed(void **state)
{
	_cleanup_free_ char *sql = xasprintf("SELECT %d", STREAMED);
	struct pg_result *row = NULL;
	struct server s;
	struct err err = {0};
	int n = 0;

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_rows_start(s.pg, sql, NULL, 0, &err), 0);
	for (; pg_rows_next(s.pg, &row, &err) == 1; n++)
		pg_result_free(TAKE_PTR(row));
	assert_int_equal(n, STREAMED);
	end(&s);
}

/* --- a server that does not cancel */

struct gate {
	struct fake_postgres *fake;
	pthread_cond_t opened;
	bool open;
};

/* "WAIT" is answered once the gate is open. */
static void answer_at_gate(void *user, const struct fake_query *query, struct fake_result *result)
{
	struct gate *gate = user;

	if (strcmp(query->sql, "WAIT") != 0) {
		FAKE_ROW(result, "pg_catalog");
		return;
	}
	while (!gate->open)
		(void)pthread_cond_wait(&gate->opened, fake_postgres_lock(gate->fake));
}

static void open_gate(struct gate *gate)
{
	(void)pthread_mutex_lock(fake_postgres_lock(gate->fake));
	gate->open = true;
	(void)pthread_cond_broadcast(&gate->opened);
	(void)pthread_mutex_unlock(fake_postgres_lock(gate->fake));
}

static void test_rows_when_they_are_stopped_and_the_server_does_not_cancel_then_timeout(void **state)
{
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u", .cancel_fd = -1};
	struct gate gate = {.opened = PTHREAD_COND_INITIALIZER};
	struct fake_postgres *fake;
	struct pg *pg = NULL;
	struct err err = {0};

	UNUSED(state);
	fake = fake_postgres_start(answer_at_gate, &gate);
	(void)pthread_mutex_lock(fake_postgres_lock(fake));
	gate.fake = fake;
	(void)pthread_mutex_unlock(fake_postgres_lock(fake));
	params.port = fake_postgres_port(fake);
	if (pg_connect(&params, false, &pg, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(pg_rows_start(pg, "WAIT", NULL, 0, &err), 0);
	assert_int_equal(pg_rows_stop(pg, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_int_equal(err.reason, REASON_TIMEOUT);
	/* A late answer would be taken for the next one. */
	assert_int_equal(pg_exec(pg, "SELECT 1", &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	open_gate(&gate);
	pg_close(pg);
	fake_postgres_stop(fake);
}

/* --- a server that never stops sending */

enum { FLOOD_MS = 20 * 1000, DEADLINE_MS = 300, REQUEST_BYTES = 1024, MESSAGES = 256 };

#define ADMITTED "R\0\0\0\x08\0\0\0\0"
#define PARAMETER     \
	"S\0\0\0\x08" \
	"a\0b"
#define READY "Z\0\0\0\x05I"

struct flooder {
	int listen, port;
	bool ready; /* it says that the session is ready, and sends parameters instead of the first answer */
	pthread_t thread;
};

static void read_request(int fd)
{
	char request[REQUEST_BYTES];

	assert_true(recv(fd, request, sizeof(request), 0) > 0);
}

/* Parameters until the client has gone, or has had far more time than it may take. */
static void flood(int fd)
{
	int64_t end_ms = clock_now_ms() + FLOOD_MS;
	char parameters[MESSAGES * sizeof(PARAMETER)];

	for (size_t i = 0; i < MESSAGES; i++)
		memcpy(parameters + i * sizeof(PARAMETER), PARAMETER, sizeof(PARAMETER));
	while (clock_now_ms() < end_ms && send(fd, parameters, sizeof(parameters), MSG_NOSIGNAL) > 0)
		;
}

static void *serve_flood(void *user)
{
	const struct flooder *f = user;
	int fd = accept4(f->listen, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	read_request(fd);
	assert_int_equal(send(fd, ADMITTED, sizeof(ADMITTED) - 1, MSG_NOSIGNAL), sizeof(ADMITTED) - 1);
	if (f->ready) {
		assert_int_equal(send(fd, READY, sizeof(READY) - 1, MSG_NOSIGNAL), sizeof(READY) - 1);
		read_request(fd);
	}
	flood(fd);
	(void)close(fd);
	return NULL;
}

static void start_flooder(struct flooder *f, bool ready)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	f->ready = ready;
	f->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listen, 1), 0);
	assert_int_equal(getsockname(f->listen, (struct sockaddr *)&address, &len), 0);
	f->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&f->thread, NULL, serve_flood, f), 0);
}

/* The reason is that of the deadline, and not that the server has closed the connection. */
static void test_connect_when_the_server_never_stops_sending_then_timeout(void **state)
{
	UNUSED(state);
	for (int ready = 0; ready <= 1; ready++) {
		struct pg_params params = {.host = "127.0.0.1",
					   .database = "d",
					   .user = "u",
					   .cancel_fd = -1,
					   .connect_timeout_ms = DEADLINE_MS};
		struct flooder f;
		struct pg *pg = NULL;
		struct err err = {0};

		start_flooder(&f, ready);
		params.port = f.port;
		assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
		assert_int_equal(err.reason, REASON_TIMEOUT);
		assert_int_equal(pthread_join(f.thread, NULL), 0);
		(void)close(f.listen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_exec_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_rows_when_there_are_many_then_all_are_streamed),
		cmocka_unit_test(test_rows_when_they_are_stopped_and_the_server_does_not_cancel_then_timeout),
		cmocka_unit_test(test_connect_when_the_server_never_stops_sending_then_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
