/* The snapshot that documents are read in, and the locks that it needs.
 *
 * A session that waits for a lock while it holds another can make a migration the victim of a deadlock. So the locks
 * are taken all at once or not at all, and within the transaction a lock is waited for only briefly, for much less than
 * any deadlock_timeout: then everything is rolled back, and repeated after a pause.
 *
 * Nor is the search engine waited for while a migration would have to wait for it, too. So the bulk writer takes rows
 * for a moment; when it would have to wait longer, the transaction ends, and another one goes on once the writer has
 * room (build_roots). What is read later is newer, and its version may say less than its snapshot contains.
 *
 * A query may take longer, and so may the engine where reading the rest later would cost much. Then the transaction
 * ends when another session waits for its locks (precedence.h). */
#ifndef PGSYNC_APPLY_SNAPSHOT_H
#define PGSYNC_APPLY_SNAPSHOT_H

#include <stdint.h>

#include "apply/model.h"
#include "apply/precedence.h"
#include "base/clock.h"
#include "base/err.h"
#include "conditions/report.h"
#include "postgres/pg.h"

/* Belongs to the thread of its connection; borrows everything. */
struct snapshot {
	struct pg *pg;
	const struct model *model;
	struct report *report; /* gets the holder of a lock, once the wait has lasted */
	struct bulk *bulk;     /* takes what is read; NULL: nothing is, views are only refreshed */
	struct backoff backoff;
	int64_t start_ms;     /* since when a lock has been in the way; 0: none is */
	int64_t statement_ms; /* of each statement; 0: no limit */
	uint64_t n;           /* transactions so far */
	bool open;
	bool standby;                 /* the server was one when the session began */
	_Atomic uint64_t *horizon;    /* is raised above what is read for a live index; NULL: there is none */
	struct precedence precedence; /* zeros: this session is not watched */
};

/* How long after its beginning the engine may still be waited for in a transaction. */
enum { SNAPSHOT_HOLD_MS = 100 };

/* Prepares the session. */
int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report,
		  struct err *err) WARN_UNUSED;
/* From here on the session, and its waits for the bulk writer (NULL: it only refreshes views), are among those that are
 * watched; its address must not change. */
void snapshot_watch(struct snapshot *s, struct bulk *bulk, struct precedences *all);
/* Ends that. Also accepts a snapshot that is all zeros. */
void snapshot_release(struct snapshot *s);
/* While no transaction is open: refreshes materialized views, as views_refresh, and gives way like what reads. After a
 * failure, call snapshot_retry. */
int snapshot_refresh(struct snapshot *s, const bool *marked, struct err *err) WARN_UNUSED;
/* Opens the transaction. Each of its statements is cancelled after this time (0: never). If a lock was in the way
 * before, it first waits until that lock is released. From now on the bulk writer has a deadline. */
int snapshot_begin(struct snapshot *s, int64_t statement_ms, struct err *err) WARN_UNUSED;
/* Sets another limit for statements, in this transaction and those that follow it with snapshot_again. */
int snapshot_limit(struct snapshot *s, int64_t statement_ms, struct err *err) WARN_UNUSED;
/* COMMIT or ROLLBACK; the bulk writer has no deadline any more. Cursors WITH HOLD stay open after a COMMIT. */
int snapshot_end(struct snapshot *s, struct err *err) WARN_UNUSED;
int snapshot_undo(struct snapshot *s, struct err *err) WARN_UNUSED;
/* Opens the next transaction after snapshot_end or snapshot_undo, and waits for locks itself. */
int snapshot_again(struct snapshot *s, struct err *err) WARN_UNUSED;
/* After anything in the transaction failed: true if it has to end because others wait for its locks. Then *err is a
 * conflict of locks. */
bool snapshot_yields(struct snapshot *s, struct err *err);
/* Call it after anything in the transaction failed. 1: a lock was in the way, of this session or of another one; then
 * no transaction is open, and the caller has to repeat all of it after the pause. Negative: any other failure, which
 * stays in *err. */
int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err) WARN_UNUSED;
/* Call it once everything has been read. */
void snapshot_done(struct snapshot *s);

#endif
