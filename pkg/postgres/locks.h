/* Locks of other sessions: waiting for none for long, and naming who holds one. */
#ifndef PGSYNC_POSTGRES_LOCKS_H
#define PGSYNC_POSTGRES_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "postgres/pg.h"

/* How long a statement that needs more than ACCESS SHARE may wait for its lock: whatever comes after it in the lock's
 * queue waits as long. */
enum { PG_LOCK_WAIT_MS = 100 };

/* A statement failed because of a lock that another session holds or waits for (lock_timeout, NOWAIT, a deadlock): it
 * may succeed when it is repeated. */
bool pg_is_lock_conflict(const struct err *err);

/* Which relations, and which locks on them. */
struct pg_lock_query {
	const uint32_t *oids; /* their partitions count, too */
	size_t n;
	bool readers_too; /* all locks of other sessions; else only those that a reader has to wait for */
};
/* Says which session is in the way: `table "public.t" is locked by process 12 ("psql", AccessExclusiveLock)`; of
 * several, the one whose transaction is the oldest. *ret is NULL if there is none now. Caller frees. */
int pg_lock_holder(struct pg *pg, const struct pg_lock_query *query, char **ret, struct err *err) WARN_UNUSED;

#endif
