/* For tests: a Postgres server on its own threads, as much of its protocol (version 3) as libpq and our client use.
 *
 * Statements are answered by a callback of the test. A walsender sends what the test pushes, and records what the
 * client acknowledges. Everything is text; each connection is trusted, without TLS. */
#ifndef PGSYNC_FAKES_POSTGRES_H
#define PGSYNC_FAKES_POSTGRES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_PARAMS = 32 };

struct fake_query {
	const char *application; /* application_name of the session */
	bool replication;        /* a walsender's command */
	const char *sql;         /* one statement, or several in a simple query */
	const char *params[FAKE_PARAMS];
	size_t n_params;
};

/* The result of a statement: rows, then possibly an error. */
struct fake_result;
void fake_result_row(struct fake_result *result, const char *const *values, size_t n);
/* A NULL value is NULL. */
#define FAKE_ROW(result, ...)                                         \
	fake_result_row((result), (const char *const[]){__VA_ARGS__}, \
			sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
void fake_result_fail(struct fake_result *result, const char *sqlstate, const char *message);

/* Answers one statement. Called one at a time, with the lock held: it may wait at a gate of this lock. A walsender's
 * command that it leaves without rows is answered by the fake itself. */
typedef void fake_query_fn(void *user, const struct fake_query *query, struct fake_result *result);

struct fake_postgres;

struct fake_postgres *fake_postgres_start(fake_query_fn *answer, void *user);
/* Every gate has to be open by now. */
void fake_postgres_stop(struct fake_postgres *server);
/* Sessions that begin from now on are told that the server is a standby. */
void fake_postgres_be_standby(struct fake_postgres *server);
int fake_postgres_port(const struct fake_postgres *server);
pthread_mutex_t *fake_postgres_lock(struct fake_postgres *server);
/* How many cancel requests have arrived. */
unsigned fake_postgres_cancels(struct fake_postgres *server);

/* --- the walsender: each of these waits until a stream has been started; false when there is none --- */

/* A transaction's messages, as pgoutput sends them. */
bool fake_wal_begin(struct fake_postgres *server, uint32_t xid, uint64_t commit_lsn);
bool fake_wal_commit(struct fake_postgres *server, uint64_t commit_lsn, uint64_t end_lsn);
struct fake_relation {
	uint32_t oid;
	const char *schema, *name;
	char replica_identity;
	struct {
		const char *name;
		uint32_t type_oid;
		bool key;
	} columns[4];
	uint16_t n;
};
bool fake_wal_relation(struct fake_postgres *server, const struct fake_relation *relation);
bool fake_wal_insert(struct fake_postgres *server, uint32_t oid, const char *const *values, uint16_t n);
/* The old row as its key: NULL except in key columns. */
bool fake_wal_delete(struct fake_postgres *server, uint32_t oid, const char *const *key, uint16_t n);
bool fake_wal_truncate(struct fake_postgres *server, uint32_t oid);
bool fake_wal_keepalive(struct fake_postgres *server, uint64_t end_lsn, bool reply_requested);
/* The server ends the stream with this error. */
bool fake_wal_fail(struct fake_postgres *server, const char *sqlstate, const char *message);

/* What the client has reported. */
struct fake_feedback {
	uint64_t received, flushed;
	bool asks; /* for a keepalive */
	unsigned count;
};
struct fake_feedback fake_wal_feedback(struct fake_postgres *server);
/* True once everything below lsn is acknowledged; false after FAKE_PATIENCE_MS. */
bool fake_wal_flushed(struct fake_postgres *server, uint64_t lsn);
/* True once n more status updates have arrived than there were in `since`. */
bool fake_wal_updates(struct fake_postgres *server, struct fake_feedback since, unsigned n);

#endif
