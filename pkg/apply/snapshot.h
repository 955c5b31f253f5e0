/* The snapshot that documents are read in, and the locks that it needs.
 *
 * A session that waits for a lock while it holds another can make a migration the victim of a deadlock. So the locks
 * are taken all at once or not at all, and within the transaction a lock is waited for only briefly, for much less than
 * any deadlock_timeout: then everything is rolled back, and repeated after a pause. */
#ifndef PGSYNC_APPLY_SNAPSHOT_H
#define PGSYNC_APPLY_SNAPSHOT_H

#include <stdint.h>

#include "apply/model.h"
#include "base/clock.h"
#include "base/err.h"
#include "conditions/report.h"
#include "postgres/pg.h"

/* Belongs to the thread of its connection; borrows everything. */
struct snapshot {
	struct pg *pg;
	const struct model *model;
	struct report *report; /* gets the holder of a lock, once the wait has lasted */
	struct backoff backoff;
	int64_t start_ms; /* since when a lock has been in the way; 0: none is */
};

/* Prepares the session. */
int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report,
		  struct err *err) WARN_UNUSED;
/* Opens the transaction. Each of its statements is cancelled after this time (0: never). If a lock was in the way
 * before, it first waits until that lock is released. */
int snapshot_begin(struct snapshot *s, int64_t statement_ms, struct err *err) WARN_UNUSED;
/* Call it after anything in the transaction failed. 1: a lock was in the way; then no transaction is open, and the
 * caller has to repeat all of it after the pause. Negative: any other failure, which stays in *err. */
int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err) WARN_UNUSED;
/* Call it once everything has been read. */
void snapshot_done(struct snapshot *s);

#endif
