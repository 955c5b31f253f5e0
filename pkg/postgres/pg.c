/* Statements: one result, none, or a stream of rows. */
#include "postgres/pg.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/parse.h"
#include "postgres/pg_int.h"

int pg_server_version(struct pg *pg)
{
	return PQserverVersion(pg->conn);
}

/* The server reports this parameter from Postgres 14 on, and says so when it changes. */
bool pg_is_standby(struct pg *pg)
{
	const char *value = PQparameterStatus(pg->conn, "in_hot_standby");

	return value && strcmp(value, "on") == 0;
}

int pg_backend_pid(struct pg *pg)
{
	return PQbackendPID(pg->conn);
}

/* --- Waiting -------------------------------------------------------------------------------------------------------
 */
int pg_wait_fd(int fd, short events, int cancel_fd, int64_t deadline_ms, struct err *err)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = cancel_fd, .events = POLLIN}};

	for (;;) {
		int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - clock_now_ms();
		int n;

		if (deadline_ms >= 0 && left_ms <= 0)
			left_ms = 0;
		n = poll(fds, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "waiting for Postgres");
		/* Cancelling takes precedence over data; otherwise a stream that never pauses could not be stopped. */
		if (n > 0 && fds[1].revents)
			return err_set(err, ERR_CANCELLED, "stopped while waiting for Postgres");
		/* So does the deadline. */
		if (deadline_ms >= 0 && clock_now_ms() >= deadline_ms)
			return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT, "Postgres did not answer in time");
		if (n > 0)
			return 0;
	}
}

int pg_pause(const struct pg *pg, int64_t ms, struct err *err)
{
	int r = pg_wait_fd(-1, 0, pg->cancel_fd, clock_now_ms() + ms, err);

	return r < 0 && err->kind == ERR_TRANSIENT ? 0 : r;
}

/* If a wait fails in the middle of a query, the query keeps running: cancel it, and never use the connection again. */
static int wait_socket(struct pg *pg, short events, int64_t deadline_ms, struct err *err)
{
	struct err ignored;

	if (pg_tls_pending(pg->conn) && (deadline_ms < 0 || clock_now_ms() < deadline_ms))
		return 0;
	if (pg_wait_fd(PQsocket(pg->conn), events, pg->cancel_fd, deadline_ms, err) == 0)
		return 0;
	pg->dead = true;
	pg->rows = false;
	(void)pg_cancel(pg, clock_now_ms() + PG_CANCEL_MS, &ignored);
	return -1;
}

int pg_usable(const struct pg *pg, struct err *err)
{
	assert(!pg->rows);
	if (pg->dead)
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE,
				  "this connection was abandoned in the middle of a query; connect again");
	return 0;
}

/* --- How much a server answers --------------------------------------------------------------------------------------
 * libpq keeps an answer in memory, a row before it is complete as well. So what counts is what came over the network.
 */
/* 0 for a socket of the file system, whose server is of this machine. */
static uint64_t bytes_received(const struct pg *pg)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(PQsocket(pg->conn), IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_bytes_received;
}

static void limit_answer(struct pg *pg)
{
	pg->most_received = bytes_received(pg) + PG_ANSWER_BYTES;
}

static int check_answer(struct pg *pg, struct err *err)
{
	struct err ignored;

	if (!pg->most_received || bytes_received(pg) <= pg->most_received)
		return 0;
	pg->dead = true;
	(void)pg_cancel(pg, clock_now_ms() + PG_CANCEL_MS, &ignored);
	return err_set(err, ERR_LIMIT, "Postgres answered a statement with more than %d MiB, expected less",
		       PG_ANSWER_BYTES >> 20);
}

int pg_flush(struct pg *pg, struct err *err)
{
	for (;;) {
		int r = PQflush(pg->conn);

		if (r == 0)
			return 0;
		if (r < 0)
			return pg_err_conn(pg->conn, err);
		/* The server may be blocked until we read what it sent. */
		if (wait_socket(pg, POLLIN | POLLOUT, -1, err) < 0 || check_answer(pg, err) < 0)
			return -1;
		if (!PQconsumeInput(pg->conn))
			return pg_err_conn(pg->conn, err);
	}
}

int pg_next_result(struct pg *pg, int64_t deadline_ms, struct pg_result **ret, struct err *err)
{
	while (PQisBusy(pg->conn)) {
		if (wait_socket(pg, POLLIN, deadline_ms, err) < 0 || check_answer(pg, err) < 0)
			return -1;
		/* Once the connection is lost PQgetResult does not block, and makes an error result of it. */
		if (!PQconsumeInput(pg->conn))
			break;
	}
	*ret = PQgetResult(pg->conn);
	return 0;
}

/* --- One result ----------------------------------------------------------------------------------------------------
 */
static bool is_failure(ExecStatusType status)
{
	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE &&
	       status != PGRES_EMPTY_QUERY;
}

static int check_result(const struct pg_result *result, struct err *err)
{
	ExecStatusType status = PQresultStatus(result);

	if (!is_failure(status))
		return 0;
	if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
		return pg_err_result(result, err);
	return err_set(err, ERR_FATAL, "a statement was answered with %s, expected rows or completion",
		       PQresStatus(status));
}

/* Reads to the end; keeps the last result that is not a failure, and the first failure. */
static int collect_results(struct pg *pg, struct pg_result **ret, struct err *err)
{
	int64_t deadline_ms = pg->query_timeout_ms > 0 ? clock_now_ms() + pg->query_timeout_ms : -1;
	_cleanup_(pg_result_freep) struct pg_result *last = NULL;
	int failed = 0;

	for (;;) {
		struct pg_result *result = NULL;

		if (pg_next_result(pg, deadline_ms, &result, failed ? &(struct err){0} : err) < 0)
			return -1;
		if (!result)
			break;
		if (failed == 0)
			failed = check_result(result, err);
		pg_result_free(last);
		last = result;
		if (PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT ||
		    PQresultStatus(result) == PGRES_COPY_BOTH) {
			/* COPY is not supported: without this PQgetResult would return the same result forever. */
			pg->dead = true;
			return -1;
		}
	}
	if (failed < 0)
		return -1;
	if (!last)
		return pg_err_conn(pg->conn, err);
	if (ret)
		*ret = TAKE_PTR(last);
	return 0;
}

static int read_results(struct pg *pg, struct pg_result **ret, struct err *err)
{
	int r = collect_results(pg, ret, err);

	pg->most_received = 0;
	return r;
}

static int send_query(struct pg *pg, const char *sql, const char *const *params, int n_params, struct err *err)
{
	/* A walsender only takes the simple protocol. */
	int ok = pg->replication ? PQsendQuery(pg->conn, sql)
				 : PQsendQueryParams(pg->conn, sql, n_params, NULL, params, NULL, NULL, 0);

	limit_answer(pg);
	return ok ? 0 : pg_err_conn(pg->conn, err);
}

int pg_query(struct pg *pg, const char *sql, const char *const *params, int n_params, struct pg_result **ret,
	     struct err *err)
{
	assert(!pg->replication || n_params == 0);
	if (pg_usable(pg, err) < 0 || send_query(pg, sql, params, n_params, err) < 0 || pg_flush(pg, err) < 0)
		return -1;
	return read_results(pg, ret, err);
}

/* Until there is a result, or none can arrive any more; then the next wait reports that. */
static void wait_patiently(struct pg *pg, const struct pg_waiting *waiting)
{
	struct err err;

	while (PQisBusy(pg->conn) && check_answer(pg, &err) == 0) {
		int r = pg_wait_fd(PQsocket(pg->conn), POLLIN, pg->cancel_fd, clock_now_ms() + waiting->every_ms, &err);

		if (r < 0 && err.reason == REASON_TIMEOUT)
			waiting->fn(waiting->user);
		else if (r < 0 || !PQconsumeInput(pg->conn))
			return;
	}
}

int pg_query_patiently(struct pg *pg, const char *sql, const struct pg_waiting *waiting, struct pg_result **ret,
		       struct err *err)
{
	if (pg_usable(pg, err) < 0 || send_query(pg, sql, NULL, 0, err) < 0 || pg_flush(pg, err) < 0)
		return -1;
	wait_patiently(pg, waiting);
	return read_results(pg, ret, err);
}

int pg_exec(struct pg *pg, const char *sql, struct err *err)
{
	if (pg_usable(pg, err) < 0)
		return -1;
	if (!PQsendQuery(pg->conn, sql))
		return pg_err_conn(pg->conn, err);
	limit_answer(pg);
	if (pg_flush(pg, err) < 0)
		return -1;
	return read_results(pg, NULL, err);
}

int pg_execf(struct pg *pg, struct err *err, const char *fmt, ...)
{
	struct strbuf sb;
	va_list ap;
	int r;

	strbuf_init(&sb, PG_SQL_BYTES);
	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	r = strbuf_ok(&sb) ? pg_exec(pg, sb.data, err)
			   : err_set(err, ERR_LIMIT, "a statement is longer than %d bytes", PG_SQL_BYTES);
	strbuf_release(&sb);
	return r;
}

/* --- Rows ----------------------------------------------------------------------------------------------------------
 */
static int begin_rows(struct pg *pg, struct err *err)
{
	/* From here on each result is one row, so libpq never buffers more than that. */
	pg->most_received = 0;
	if (!PQsetSingleRowMode(pg->conn))
		return err_set(err, ERR_FATAL, "libpq refused the single-row mode");
	if (pg_flush(pg, err) < 0)
		return -1;
	pg->rows = true;
	return 0;
}

int pg_rows_start(struct pg *pg, const char *sql, const char *const *params, int n_params, struct err *err)
{
	if (pg_usable(pg, err) < 0 || send_query(pg, sql, params, n_params, err) < 0)
		return -1;
	pg->executing[0] = '\0';
	return begin_rows(pg, err);
}

/* NULL when it failed. */
static struct pg_prepared *prepare(struct pg *pg, const char *name, const char *sql, struct err *err)
{
	struct pg_prepared *p = xcalloc(1, sizeof(*p));

	(void)snprintf(p->statement, sizeof(p->statement), "pgsync_%u", pg->next_statement++);
	if (!PQsendPrepare(pg->conn, p->statement, sql, 0, NULL)) {
		(void)pg_err_conn(pg->conn, err);
		free(p);
		return NULL;
	}
	if (pg_flush(pg, err) < 0 || read_results(pg, NULL, err) < 0) {
		free(p);
		return NULL;
	}
	p->sql = xstrdup(sql);
	map_puts(pg->prepared, name, p);
	return p;
}

int pg_rows_start_prepared(struct pg *pg, const char *name, const char *sql, const char *const *params, int n_params,
			   struct err *err)
{
	struct pg_prepared *p = map_gets(pg->prepared, name);

	if (!p && (map_size(pg->prepared) >= PG_PREPARED_MAX || strlen(name) >= sizeof(pg->executing)))
		return pg_rows_start(pg, sql, params, n_params, err);
	if (pg_usable(pg, err) < 0)
		return -1;
	if (!p)
		p = prepare(pg, name, sql, err);
	if (!p)
		return -1;
	assert(strcmp(p->sql, sql) == 0);
	if (!PQsendQueryPrepared(pg->conn, p->statement, n_params, params, NULL, NULL, 0))
		return pg_err_conn(pg->conn, err);
	(void)snprintf(pg->executing, sizeof(pg->executing), "%s", name);
	return begin_rows(pg, err);
}

/* After ALTER TABLE a prepared statement may be unusable ("cached plan must not change result type"): the caller's
 * next attempt prepares it again, under another name, since a failed transaction does not let us drop the old one. */
static void forget_prepared(struct pg *pg, struct err *err)
{
	if (!pg->executing[0] || (!pg_is_sqlstate(err, "0A000") && !pg_is_sqlstate(err, "26000")))
		return;
	err->kind = ERR_TRANSIENT;
	(void)map_removes(pg->prepared, pg->executing);
}

static int fail_rows(struct pg *pg, const struct pg_result *failure, struct err *err)
{
	struct err ignored = {0};

	(void)check_result(failure, err);
	forget_prepared(pg, err);
	pg->rows = false;
	(void)read_results(pg, NULL, &ignored);
	return -1;
}

int pg_rows_next(struct pg *pg, struct pg_result **ret, struct err *err)
{
	assert(pg->rows);
	for (;;) {
		_cleanup_(pg_result_freep) struct pg_result *result = NULL;

		if (pg_next_result(pg, -1, &result, err) < 0) {
			pg->rows = false;
			return -1;
		}
		if (!result) {
			pg->rows = false;
			return 0;
		}
		if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
			*ret = TAKE_PTR(result);
			return 1;
		}
		if (is_failure(PQresultStatus(result)))
			return fail_rows(pg, result, err);
	}
}

int pg_rows_stop(struct pg *pg, struct err *err)
{
	int64_t end_ms = clock_now_ms() + PG_STOP_MS;

	assert(pg->rows);
	pg->rows = false;
	/* If it cannot be cancelled, the rest would arrive first. */
	if (pg_cancel(pg, clock_now_ms() + PG_CANCEL_MS, err) < 0) {
		pg->dead = true;
		return -1;
	}
	for (;;) {
		_cleanup_(pg_result_freep) struct pg_result *rest = NULL;

		if (pg_next_result(pg, end_ms, &rest, err) < 0)
			return -1;
		if (!rest)
			return 0;
	}
}

/* --- Results -------------------------------------------------------------------------------------------------------
 * libpq names its PGresult struct pg_result too, so its headers and ours declare one type.
 */
void pg_result_free(struct pg_result *result)
{
	PQclear(result);
}

int pg_n_rows(const struct pg_result *result)
{
	return PQntuples(result);
}

const char *pg_value(const struct pg_result *result, int row, int column)
{
	/* NULL: the server has left out the row or the column. */
	return PQgetvalue(result, row, column) ?: "";
}

size_t pg_length(const struct pg_result *result, int row, int column)
{
	return (size_t)PQgetlength(result, row, column);
}

bool pg_is_null(const struct pg_result *result, int row, int column)
{
	return PQgetisnull(result, row, column) != 0;
}

const char *pg_value_or_null(const struct pg_result *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

bool pg_bool(const struct pg_result *result, int row, int column)
{
	const char *value = pg_value_or_null(result, row, column);

	return value && value[0] == 't';
}

uint64_t pg_u64(const struct pg_result *result, int row, int column)
{
	const char *value = pg_value_or_null(result, row, column);
	uint64_t ret = 0;

	return value && parse_u64(value, strlen(value), &ret) ? ret : 0;
}

uint64_t pg_lsn(const struct pg_result *result, int row, int column)
{
	const char *value = pg_value_or_null(result, row, column);
	uint64_t ret = 0;

	return value && parse_lsn(value, &ret) ? ret : 0;
}
