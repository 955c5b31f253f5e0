/* Postgres connections over libpq: parameters, queries, errors by SQLSTATE.
 *
 * A connection belongs to one thread. All waiting is done on descriptors with a deadline, and ends at once when the
 * cancel descriptor becomes readable. Every session, replication included, overrides defaults of its role or database
 * that could do harm (session.c). So a key read from the WAL and the same key read by a query have the same bytes, and
 * names mean the server's own objects: search_path is pg_catalog, and all other names in statements must be qualified.
 * row_security is off: a policy that would hide rows is an error, never a silent deletion. */
#ifndef PGSYNC_POSTGRES_PG_H
#define PGSYNC_POSTGRES_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum pg_tls { PG_TLS_DISABLE, PG_TLS_PREFER, PG_TLS_REQUIRE, PG_TLS_VERIFY_CA, PG_TLS_VERIFY_FULL };

/* How a server may ask for the password; a set. A server that asks for none is always accepted. */
enum pg_auth {
	PG_AUTH_SCRAM = 1,    /* the server learns nothing, and proves that it knows the password as well */
	PG_AUTH_MD5 = 2,      /* it learns a digest from which it can guess the password */
	PG_AUTH_CLEARTEXT = 4 /* it learns the password */
};

struct pg_params {
	const char *host;
	int port;
	const char *database, *user, *password; /* password may be NULL */
	unsigned allowed_auth;                  /* enum pg_auth; 0: SCRAM */
	enum pg_tls tls;
	const char *ca_file; /* NULL unless VERIFY_*: libpq takes its CA from a file (see pg_ca_file) */
	const char *application_name;
	int cancel_fd;              /* readable: every wait ends with ERR_CANCELLED; -1: none */
	int64_t connect_timeout_ms; /* 0: 10 s */
	int64_t query_timeout_ms;   /* of each pg_query and pg_exec: TRANSIENT/Timeout, the connection is then dead; 0:
				       none */
};

struct pg;

/* Makes PEM text readable for libpq: an anonymous memory file whose path ("/proc/self/fd/N") is written to path;
 * returns the descriptor, which must stay open as long as connections are made. */
int pg_ca_file(const char *pem, char path[32], struct err *err) WARN_UNUSED;

/* Connects. The password is used only in a way that is allowed, whatever the server asks for. Errors by reason: DNS,
 * Refused, Timeout (TRANSIENT); TLS (DENIED: unknown issuer, expired, wrong name); AuthFailed (DENIED),
 * PrivilegeMissing (DENIED: such as a role without REPLICATION); DatabaseNotFound (INVALID), VersionUnsupported
 * (INVALID: before 14); SourceUnreachable (TRANSIENT) for the rest, such as a server that is starting up. Messages
 * never contain the password. */
int pg_connect(const struct pg_params *params, bool replication, struct pg **ret, struct err *err) WARN_UNUSED;
void pg_close(struct pg *pg);
CLEANUP(struct pg, pg_close);
int pg_server_version(struct pg *pg); /* 170010 */
/* Whether the server is a standby, as of the end of the last statement: a promotion shows in open sessions, too. */
bool pg_is_standby(struct pg *pg);
int pg_backend_pid(struct pg *pg);
/* Waits ms milliseconds; CANCELLED ends it. */
int pg_pause(const struct pg *pg, int64_t ms, struct err *err) WARN_UNUSED;

/* --- Results --------------------------------------------------------------------------------------------------- */
struct pg_result; /* rows, or one row of a stream; immutable */

void pg_result_free(struct pg_result *result);
CLEANUP(struct pg_result, pg_result_free);
int pg_n_rows(const struct pg_result *result);
/* The text of a field with its length; "" for NULL, and for a row or column that the server has left out. It lives as
 * long as the result. */
const char *pg_value(const struct pg_result *result, int row, int column);
size_t pg_length(const struct pg_result *result, int row, int column);
bool pg_is_null(const struct pg_result *result, int row, int column);
/* The same text, NULL for NULL. */
const char *pg_value_or_null(const struct pg_result *result, int row, int column);
/* The value of the text; false or 0 for NULL and for text that is not a boolean, number or LSN. */
bool pg_bool(const struct pg_result *result, int row, int column);
uint64_t pg_u64(const struct pg_result *result, int row, int column);
uint64_t pg_lsn(const struct pg_result *result, int row, int column);

/* --- Statements ------------------------------------------------------------------------------------------------ */
/* Runs one statement with text parameters (NULL is NULL; none on a replication connection) and waits for its rows. ret
 * may be NULL. After CANCELLED, the only valid call on the connection is pg_close. Errors: kind from the SQLSTATE (08,
 * 57P0x, 53: TRANSIENT; 40, 55006, 55P03: CONFLICT; 28, 42501: DENIED; 42, 22, 23: INVALID; 57014: CANCELLED when we
 * asked), sqlstate set, message with the server's detail and hint, without row values. */
int pg_query(struct pg *pg, const char *sql, const char *const *params, int n_params, struct pg_result **ret,
	     struct err *err) WARN_UNUSED;
/* The same without parameters; fn is called repeatedly until there is an answer. It may use other connections. */
struct pg_waiting {
	int64_t every_ms;
	void (*fn)(void *user);
	void *user;
};
int pg_query_patiently(struct pg *pg, const char *sql, const struct pg_waiting *waiting, struct pg_result **ret,
		       struct err *err) WARN_UNUSED;
/* Several statements without parameters, as one string; results are dropped. */
int pg_exec(struct pg *pg, const char *sql, struct err *err) WARN_UNUSED;
/* printf for pg_exec; quote identifiers and literals with pg_quote_*. */
int pg_execf(struct pg *pg, struct err *err, const char *fmt, ...) WARN_UNUSED PRINTF_LIKE(3, 4);

/* Streams rows: the whole result is never in memory. Start; then row by row until 0. Between start and the end no other
 * query may run on the connection. pg_rows_start only sends, so the server works while the caller does something else.
 */
int pg_rows_start(struct pg *pg, const char *sql, const char *const *params, int n_params, struct err *err) WARN_UNUSED;
/* As pg_rows_start, preparing sql once under `name` (unique per sql on this connection); the first call waits for that.
 * A plan that an ALTER TABLE invalidated fails as TRANSIENT, and the next call prepares it again. */
int pg_rows_start_prepared(struct pg *pg, const char *name, const char *sql, const char *const *params, int n_params,
			   struct err *err) WARN_UNUSED;
/* True if a query may have failed because of a row's value: an expression divides by zero, a text is not a number. */
bool pg_is_about_a_value(const struct err *err);
/* True if the server cancelled the statement: it took longer than statement_timeout, or it was cancelled otherwise. */
bool pg_is_cancelled(const struct err *err);
/* 1: a row is in *ret (one row; caller clears). 0: the end. Negative: failed; the stream is over. */
int pg_rows_next(struct pg *pg, struct pg_result **ret, struct err *err) WARN_UNUSED;
/* Ends the stream early: the server cancels the statement, which fails the transaction. If it does not do that in two
 * seconds: TRANSIENT/Timeout, and the connection is dead. */
int pg_rows_stop(struct pg *pg, struct err *err) WARN_UNUSED;

/* Appends "quoted" identifiers and 'literals' (no connection needed: standard_conforming_strings is assumed on). */
void pg_quote_ident(struct strbuf *sb, const char *name);
void pg_quote_literal(struct strbuf *sb, const char *value);
/* Appends schema.table, both quoted. */
void pg_quote_table(struct strbuf *sb, const char *schema, const char *table);
/* A statement that a message tells the user to run: %I becomes the next argument as a quoted identifier, so that no
 * name can make it another statement. Caller frees. */
char *pg_statement(const char *format, ...);

/* Builds an array literal, {"a","b",NULL} or {1,2}, one element at a time: begin, add..., end. Elements hold no NUL
 * bytes. */
void pg_array_begin(struct strbuf *sb);
void pg_array_add(struct strbuf *sb, const char *value, size_t len); /* value NULL: NULL */
void pg_array_add_number(struct strbuf *sb, int64_t value);
void pg_array_end(struct strbuf *sb);

#endif
