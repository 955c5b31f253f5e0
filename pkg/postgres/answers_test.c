/* Tests of a server that answers more than anybody can hold in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/parse.h"
#include "fakes/postgres.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

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

enum { FLOOD_MS = 20 * 1000, DEADLINE_MS = 300, REQUEST_BYTES = 16 * 1024, MESSAGES = 256, MOST_KEPT = 1024 * 1024 };
enum { FEEDBACK_MS = 1000, FEEDBACKS = 1000 };

#define ADMITTED "R\0\0\0\x08\0\0\0\0"
#define PARAMETER     \
	"S\0\0\0\x08" \
	"a\0b\0"
#define NOTICE        \
	"N\0\0\0\x21" \
	"SNOTICE\0C01000\0Mrow value\0H\0\0"
#define READY "Z\0\0\0\x05I"
#define DONE "C\0\0\0\x0dSELECT 0\0" READY
/* Copied data: a keepalive that asks for a reply. */
#define KEEPALIVE             \
	"d\0\0\0\x16"         \
	"k\0\0\0\0\0\0\0\x01" \
	"\0\0\0\0\0\0\0\0\x01"
#define COPY_BOTH "W\0\0\0\x07\0\0\0"

/* What a server answers before it floods its client: an element for each request, the first for the login. */
enum { ANSWERS = 3 };

struct bytes {
	const char *data;
	size_t len;
};

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct flooder {
	struct bytes answers[ANSWERS], message;
	int listen, port;
	pthread_t thread;
};

static void read_request(int fd)
{
	char request[REQUEST_BYTES];

	assert_true(recv(fd, request, sizeof(request), 0) > 0);
}

/* The same message until the client has gone, or has had far more time than it may take. */
static void flood(int fd, const struct bytes *message)
{
	int64_t end_ms = clock_now_ms() + FLOOD_MS;
	size_t len = MESSAGES * message->len;
	_cleanup_free_ char *messages = xcalloc(len, 1);

	for (size_t i = 0; i < MESSAGES; i++)
		memcpy(messages + i * message->len, message->data, message->len);
	while (clock_now_ms() < end_ms && send(fd, messages, len, MSG_NOSIGNAL) > 0)
		;
}

static void *serve_flood(void *user)
{
	const struct flooder *f = user;
	int fd = accept4(f->listen, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t i = 0; i < ANSWERS && f->answers[i].data; i++) {
		read_request(fd);
		assert_int_equal(send(fd, f->answers[i].data, f->answers[i].len, MSG_NOSIGNAL), f->answers[i].len);
	}
	flood(fd, &f->message);
	(void)close(fd);
	return NULL;
}

static void start_flooder(struct flooder *f)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	f->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listen, 1), 0);
	assert_int_equal(getsockname(f->listen, (struct sockaddr *)&address, &len), 0);
	f->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&f->thread, NULL, serve_flood, f), 0);
}

static void end_flooder(struct flooder *f)
{
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	(void)close(f->listen);
}

/* --- what is written, and kept, while a test runs */

static int begin_listening(int *ret_stderr)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	*ret_stderr = dup(STDERR_FILENO);
	assert_true(fd >= 0 && *ret_stderr >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	return fd;
}

static void assert_silence(int fd, int saved)
{
	char said[64] = "";

	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	(void)!pread(fd, said, sizeof(said) - 1, 0);
	(void)close(fd);
	assert_string_equal(said, "");
}

/* Only sanitizers know. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

/* The reason is that of the deadline, and not that the server has closed the connection. */
static void test_connect_when_the_server_never_stops_sending_then_timeout(void **state)
{
	static const struct flooder servers[] = {
		{.answers = {BYTES(ADMITTED)}, .message = BYTES(PARAMETER)},
		{.answers = {BYTES(ADMITTED)}, .message = BYTES(NOTICE)},
		{.answers = {BYTES(ADMITTED READY)}, .message = BYTES(PARAMETER)},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		struct pg_params params = {.host = "127.0.0.1",
					   .database = "d",
					   .user = "u",
					   .cancel_fd = -1,
					   .connect_timeout_ms = DEADLINE_MS};
		struct flooder f = servers[i];
		struct pg *pg = NULL;
		struct err err = {0};

		start_flooder(&f);
		params.port = f.port;
		assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
		if (err.reason != REASON_TIMEOUT)
			fail_msg("%zu: %s", i, err.msg);
		end_flooder(&f);
	}
}

static struct pg *connect_to(const struct flooder *f, int cancel_fd, bool replication)
{
	struct pg_params params = {.host = "127.0.0.1",
				   .database = "d",
				   .user = "u",
				   .port = f->port,
				   .cancel_fd = cancel_fd,
				   .query_timeout_ms = cancel_fd < 0 ? DEADLINE_MS : 0};
	struct pg *pg = NULL;
	struct err err = {0};

	if (pg_connect(&params, replication, &pg, &err) < 0)
		fail_msg("%s", err.msg);
	return pg;
}

/* A descriptor that asks to stop after some time. */
static int stop_later(void)
{
	const struct itimerspec at = {.it_value.tv_nsec = DEADLINE_MS * 1000 * 1000};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(timerfd_settime(fd, 0, &at, NULL), 0);
	return fd;
}

static void test_query_when_notices_have_no_end_then_it_ends_in_time_and_says_nothing(void **state)
{
	static const struct bytes messages[] = {BYTES(NOTICE), BYTES(PARAMETER)};

	UNUSED(state);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(messages); i++) {
		struct flooder f = {.answers = {BYTES(ADMITTED READY), BYTES(DONE)}, .message = messages[i / 2]};
		int cancel_fd = i % 2 ? stop_later() : -1, saved, said = begin_listening(&saved);
		int64_t begin_ms = clock_now_ms();
		struct err err = {0};
		size_t before;
		struct pg *pg;

		start_flooder(&f);
		pg = connect_to(&f, cancel_fd, false);
		before = allocated();
		assert_int_equal(pg_exec(pg, "SELECT 1", &err), -1);
		assert_true(allocated() < before + MOST_KEPT);
		assert_true(err.kind == (i % 2 ? ERR_CANCELLED : ERR_TRANSIENT) || err.kind == ERR_LIMIT);
		assert_true(clock_now_ms() - begin_ms < FLOOD_MS / 2);
		pg_close(pg);
		end_flooder(&f);
		assert_silence(said, saved);
		if (cancel_fd >= 0)
			(void)close(cancel_fd);
	}
}

static void test_rows_when_notices_have_no_end_then_they_can_be_stopped(void **state)
{
	struct flooder f = {.answers = {BYTES(ADMITTED READY), BYTES(DONE)}, .message = BYTES(NOTICE)};
	int cancel_fd = stop_later(), saved, said = begin_listening(&saved);
	struct pg_result *row = NULL;
	struct err err = {0};
	size_t before;
	struct pg *pg;

	UNUSED(state);
	start_flooder(&f);
	pg = connect_to(&f, cancel_fd, false);
	before = allocated();
	assert_int_equal(pg_rows_start(pg, "SELECT 1", NULL, 0, &err), 0);
	assert_int_equal(pg_rows_next(pg, &row, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_true(allocated() < before + MOST_KEPT);
	pg_close(pg);
	end_flooder(&f);
	assert_silence(said, saved);
	(void)close(cancel_fd);
}

/* What reads the stream does not wait in it: it comes back, again and again, to see whether it is to stop. */
static void test_stream_when_notices_have_no_end_then_each_read_returns(void **state)
{
	static const struct bytes messages[] = {BYTES(NOTICE), BYTES(PARAMETER)};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		struct flooder f = {.answers = {BYTES(ADMITTED READY), BYTES(DONE), BYTES(COPY_BOTH)},
				    .message = messages[i]};
		int saved, said = begin_listening(&saved);
		struct pg_stream *stream = NULL;
		int64_t end_ms, longest_ms = 0;
		struct pg_event event;
		struct err err = {0};
		size_t before;

		start_flooder(&f);
		if (pg_stream_open_take(connect_to(&f, -1, true), "s", "p", &stream, &err) < 0)
			fail_msg("%s", err.msg);
		before = allocated();
		end_ms = clock_now_ms() + DEADLINE_MS;
		while (clock_now_ms() < end_ms) {
			int64_t begin_ms = clock_now_ms();

			assert_int_equal(pg_wait_fd(pg_stream_fd(stream), POLLIN, -1, end_ms + FLOOD_MS, &err), 0);
			assert_int_equal(pg_stream_read(stream, &event, &err), PG_STREAM_AGAIN);
			if (clock_now_ms() - begin_ms > longest_ms)
				longest_ms = clock_now_ms() - begin_ms;
		}
		assert_true(longest_ms < FLOOD_MS / 10);
		assert_true(allocated() < before + MOST_KEPT);
		pg_stream_close(stream);
		end_flooder(&f);
		assert_silence(said, saved);
	}
}

/* The server asks for a reply again and again, and takes none of them. */
static void test_feedback_when_the_server_takes_none_then_it_does_not_pile_up(void **state)
{
	struct flooder f = {.answers = {BYTES(ADMITTED READY), BYTES(DONE), BYTES(COPY_BOTH)},
			    .message = BYTES(KEEPALIVE)};
	struct pg_stream *stream = NULL;
	struct pg_event event;
	struct err err = {0};
	int64_t end_ms;
	size_t before;

	UNUSED(state);
	start_flooder(&f);
	if (pg_stream_open_take(connect_to(&f, -1, true), "s", "p", &stream, &err) < 0)
		fail_msg("%s", err.msg);
	before = allocated();
	end_ms = clock_now_ms() + FEEDBACK_MS;
	while (clock_now_ms() < end_ms) {
		if (pg_stream_read(stream, &event, &err) == 0)
			assert_true(event.reply_requested);
		for (int i = 0; i < FEEDBACKS; i++)
			assert_int_equal(pg_stream_feedback(stream, 1, 1, false, &err), 0);
	}
	assert_true(allocated() < before + MOST_KEPT);
	pg_stream_close(stream);
	end_flooder(&f);
}

/* --- a server that leaves out what was asked for */

static void answer_nothing(void *user, const struct fake_query *query, struct fake_result *result)
{
	UNUSED(user);
	if (strncmp(query->sql, "SELECT set_config", 17) == 0)
		FAKE_ROW(result, "pg_catalog");
	else if (strcmp(query->sql, "ROW") == 0)
		fake_result_row(result, NULL, 0);
}

static void test_value_when_the_server_leaves_it_out_then_empty(void **state)
{
	static const char *const statements[] = {"NOTHING", "ROW"};
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u", .cancel_fd = -1};
	struct fake_postgres *fake = fake_postgres_start(answer_nothing, NULL);
	struct pg *pg = NULL;
	struct err err = {0};
	uint64_t lsn;

	UNUSED(state);
	params.port = fake_postgres_port(fake);
	if (pg_connect(&params, false, &pg, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		_cleanup_(pg_result_freep) struct pg_result *result = NULL;

		assert_int_equal(pg_query(pg, statements[i], NULL, 0, &result, &err), 0);
		assert_string_equal(pg_value(result, 0, 1), "");
		assert_int_equal(pg_length(result, 0, 1), 0);
		assert_true(pg_is_null(result, 0, 1));
		assert_null(pg_value_or_null(result, 0, 1));
	}
	assert_int_equal(pg_flush_lsn(pg, &lsn, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	pg_close(pg);
	fake_postgres_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_exec_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_rows_when_there_are_many_then_all_are_streamed),
		cmocka_unit_test(test_rows_when_they_are_stopped_and_the_server_does_not_cancel_then_timeout),
		cmocka_unit_test(test_connect_when_the_server_never_stops_sending_then_timeout),
		cmocka_unit_test(test_query_when_notices_have_no_end_then_it_ends_in_time_and_says_nothing),
		cmocka_unit_test(test_rows_when_notices_have_no_end_then_they_can_be_stopped),
		cmocka_unit_test(test_stream_when_notices_have_no_end_then_each_read_returns),
		cmocka_unit_test(test_feedback_when_the_server_takes_none_then_it_does_not_pile_up),
		cmocka_unit_test(test_value_when_the_server_leaves_it_out_then_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
