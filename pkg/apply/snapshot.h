/* The snapshot that documents are read in, and the locks that it needs.
 *
 * A session that waits for a lock while it holds another can make a migration the victim of a deadlock. So the locks
 * are taken all at once or not at all, and within the transaction a lock is waited for only for a moment, much less
 * than any deadlock_timeout: then everything is rolled back, and done again after a pause.
 */
#ifndef PGSYNC_APPLY_SNAPSHOT_H
#define PGSYNC_APPLY_SNAPSHOT_H

#include <stdint.h>

#include "apply/model.h"
#include "base/clock.h"
#include "base/err.h"
#include "conditions/report.h"
#include "postgres/pg.h"

/* Belongs to the thread of its connection; all is borrowed. */
struct snapshot {
	struct pg *pg;
	const struct model *model;
	struct report *report; /* is told who holds a lock, once that has lasted */
	struct backoff backoff;
	int64_t start_ms; /* when a lock came into the way; 0: none is */
};

/* Prepares the session. */
int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report,
		  struct err *err) WARN_UNUSED;
/* Opens the transaction. After a lock was in the way, it first waits until that is not so any more. */
int snapshot_begin(struct snapshot *s, struct err *err) WARN_UNUSED;
/* After whatever failed in the transaction: 1 if a lock was in the way; then no transaction is open, and all of it is
 * to be done again after the pause. Negative for any other failure, which stays in *err. */
int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err) WARN_UNUSED;
/* All has been read that had to be. */
void snapshot_done(struct snapshot *s);

#endif
