/* Locks of other sessions: waits for them are short, and the session that holds one is named.
 *
 * A session that waits for a lock of a table while it holds another can make a migration the victim of a deadlock. So
 * no session of ours waits for longer than PG_LOCK_WAIT_MS, unless it asks for more (session.c), and statements that
 * lock more than readers do take one table in each transaction (pg_exec_locking). */
#ifndef PGSYNC_POSTGRES_LOCKS_H
#define PGSYNC_POSTGRES_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "postgres/pg.h"

/* How long a statement may wait for a lock: sessions behind it in the lock's queue wait just as long. */
enum { PG_LOCK_WAIT_MS = 100 };

#define PG_LOCK_NOT_AVAILABLE "55P03" /* the SQLSTATE */

/* A statement failed because of a lock that another session holds or waits for (lock_timeout, NOWAIT, a deadlock): it
 * may succeed when it is repeated. */
bool pg_is_lock_conflict(const struct err *err);

/* What a lock is for, which determines which other locks conflict with it. */
enum pg_lock_use {
	PG_LOCK_TO_READ,    /* ACCESS SHARE */
	PG_LOCK_TO_PUBLISH, /* SHARE UPDATE EXCLUSIVE, which lets others read and write */
	PG_LOCK_TO_ALTER,   /* ACCESS EXCLUSIVE */
};

/* Which relations; includes their indexes and partitions. */
struct pg_lock_query {
	const uint32_t *oids;
	size_t n; /* 0: all of the database */
	enum pg_lock_use use;
};
/* Describes the session that blocks: `table "public.t" is locked by process 12 ("psql", AccessExclusiveLock, idle in
 * transaction, statement: LOCK TABLE t)`; if there are several, the one with the oldest transaction. Shows only the
 * first words of the statement, so that no value is revealed, and only if the role may see it. *ret is NULL if no
 * session blocks now. Caller frees. */
int pg_lock_holder(struct pg *pg, const struct pg_lock_query *query, char **ret, struct err *err) WARN_UNUSED;
/* After a failure in *err: if it is a conflict of locks, *err becomes TableLocked and names the session. Returns -1. */
int pg_explain_lock(struct pg *pg, const struct pg_lock_query *query, struct err *err);

/* A statement, or several, that lock one table. */
struct pg_locking {
	const char *sql;
	uint32_t oid; /* of the table; 0: not known */
	enum pg_lock_use use;
};
/* Runs it in one transaction, which is repeated with growing pauses while locks are in its way; then
 * CONFLICT/TableLocked, naming the session that blocks and the statement. */
int pg_exec_locking(struct pg *pg, const struct pg_locking *statement, struct err *err) WARN_UNUSED;

#endif
