/* What the files of this package share: the connection, waiting on it, and errors from the server's messages. */
#ifndef PGSYNC_POSTGRES_PG_INT_H
#define PGSYNC_POSTGRES_PG_INT_H

#include <stdatomic.h>

#include <libpq-fe.h>

#include "base/map.h"
#include "postgres/pg.h"

enum {
	PG_PREPARED_MAX = 256,            /* names remembered per connection; further ones run unprepared */
	PG_SQL_BYTES = 4 * 1024 * 1024,   /* the longest statement that this package builds */
	PG_ANSWER_BYTES = 64 << 20,       /* the largest answer that is not a stream of rows */
	PG_STOP_MS = 2000,                /* how long a statement may go on after it was cancelled */
	PG_CANCEL_MS = 1000,              /* how long a cancel request may take when we stop */
	PG_SLOT_RELEASE_MS = 10 * 1000,   /* how long a walsender may take to release its slot */
	PG_CONNECT_TIMEOUT_MS = 10 * 1000 /* when pg_params does not say */
};

struct pg_prepared {
	char *sql;
	char statement[16]; /* its name on the server */
};

struct pg {
	PGconn *conn;
	int cancel_fd;
	int64_t query_timeout_ms; /* 0: none */
	uint64_t most_received;   /* by the connection, when the answer to the current statement ends; 0: no bound */
	bool replication;
	bool rows; /* a stream of rows is open */
	bool dead; /* a wait was cancelled or the deadline passed in the middle of a query: only pg_close is valid */
	struct map *prepared;    /* name -> struct pg_prepared */
	unsigned next_statement; /* server-side names are never used twice */
	char executing[64];      /* name of the prepared query whose rows are read, or "" */
};

/* --- Settings (session.c) -------------------------------------------------------------------------------------- */
/* The settings that a session has from its start: the value of libpq's parameter `options`. Caller frees. */
char *pg_session_options(bool replication);
/* The statement that sets the rest, for the settings that the server knows. Caller frees. */
char *pg_session_statement(void);

/* --- Logging in ------------------------------------------------------------------------------------------------ */
/* Follows what a server sends until it admits us. */
struct pg_auth_watch {
	unsigned allowed; /* enum pg_auth */
	unsigned char head[9];
	size_t n_head;
	size_t skip;     /* bytes of the current message that are to come */
	bool challenged; /* they are a SCRAM challenge */
	char challenge[1024];
	size_t n_challenge;
	bool admitted;
};
/* The next bytes from the server. DENIED/AuthFailed if it asks for the password in a way that is not allowed, or for
 * work without end: libpq must not see them then. Pure (auth.c). */
int pg_auth_feed(struct pg_auth_watch *watch, const char *data, size_t len, struct err *err) WARN_UNUSED;
/* Completes a connection that PQconnectStartParams has begun (handshake.c). */
int pg_handshake(PGconn *conn, const struct pg_params *params, int64_t deadline_ms, struct err *err) WARN_UNUSED;

/* --- Waiting --------------------------------------------------------------------------------------------------- */
/* Waits for events (POLLIN, POLLOUT) on the socket. deadline_ms: on clock_now_ms, -1: none. CANCELLED when the cancel
 * descriptor is readable; TRANSIENT/Timeout at the deadline, even if the server never stops sending. */
int pg_wait_fd(int fd, short events, int cancel_fd, int64_t deadline_ms, struct err *err) WARN_UNUSED;
/* Sends everything that libpq has buffered. */
int pg_flush(struct pg *pg, struct err *err) WARN_UNUSED;
/* The next result without blocking in libpq; *ret is NULL after the last one. A running query is cancelled when the
 * wait is. deadline_ms as in pg_wait_fd. */
int pg_next_result(struct pg *pg, int64_t deadline_ms, struct pg_result **ret, struct err *err) WARN_UNUSED;
/* Fails if the only valid call on the connection is pg_close. */
int pg_usable(const struct pg *pg, struct err *err) WARN_UNUSED;
/* True if TLS has decrypted bytes that poll() does not know about. */
bool pg_tls_pending(PGconn *conn);

/* --- Errors (error.c) ------------------------------------------------------------------------------------------ */
enum err_kind pg_sqlstate_kind(const char *sqlstate);
/* REASON_NONE if the state alone does not determine the reason. */
enum reason pg_sqlstate_reason(const char *sqlstate);
/* Fills *err from the fields of a server error; primary, detail and hint may be NULL. Row values are left out. */
int pg_err_fields(const char *sqlstate, const char *primary, const char *detail, const char *hint, struct err *err);
/* Fills *err from a failed result; without a SQLSTATE, the connection is gone. */
int pg_err_result(const struct pg_result *result, struct err *err);
/* TRANSIENT/SourceUnreachable with libpq's last message. */
int pg_err_conn(const PGconn *conn, struct err *err);
/* A function, operator, type, table or schema was not found. */
bool pg_is_unknown_name(const struct err *err);
bool pg_is_sqlstate(const struct err *err, const char *sqlstate);

struct pg_connect_failure {
	const char *message; /* libpq's, with PQERRORS_VERBOSE */
	const struct pg_params *params;
	long verify; /* X509_V_ERR_*, 0 if the certificate was not the problem */
	bool needs_password;
};
/* Explains why a connection could not be made. */
int pg_err_connect(const struct pg_connect_failure *failure, struct err *err);
/* Reports that the other end is not a Postgres server, with what was found. Returns -1. */
int pg_err_pooler(const char *found, struct err *err);
/* libpq's message on one line, without source locations. */
void pg_flatten(struct strbuf *sb, const char *message);

/* --- Calls that block, each in its own thread (task.c) ---------------------------------------------------------- */
/* getaddrinfo and PQcancel cannot be waited for with a descriptor. A task runs one of them in a detached thread;
 * the caller waits for done_fd and may leave before the call returns. The last of the two frees the task. */
struct pg_task {
	void (*run)(struct pg_task *task);
	void (*release)(struct pg_task *task); /* frees the object around the task */
	atomic_int refs;
	atomic_bool done; /* run has returned */
	int done_fd;
};
/* Takes over the task: on failure it is released. On success the caller holds one reference. */
int pg_task_start_take(struct pg_task *task, struct err *err) WARN_UNUSED;
/* cancel_fd may be -1. */
int pg_task_wait(const struct pg_task *task, int cancel_fd, int64_t deadline_ms, struct err *err) WARN_UNUSED;
void pg_task_unref(struct pg_task *task);
CLEANUP(struct pg_task, pg_task_unref);

/* Asks the server to cancel the connection's statement, and waits until the request is delivered. Best effort: a caller
 * that is stopping anyway may ignore the result. */
int pg_cancel(struct pg *pg, int64_t deadline_ms, struct err *err);
/* Numeric addresses of a host, comma separated, most preferred first. TRANSIENT/DNS when it cannot be resolved. */
int pg_resolve(const char *host, int cancel_fd, int64_t deadline_ms, char **ret, struct err *err) WARN_UNUSED;

#endif
