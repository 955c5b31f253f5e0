/* The bootstrap: fills the generations that are not complete, in chunks, while the stream flows.
 *
 * A chunk is a stretch of blocks of a root table, read in its own short transaction and written with the
 * generation's base version: whatever the stream writes is newer and wins. So chunks may be repeated, run side by side,
 * and stop at any time; only the block below which everything is durable is remembered.
 *
 * Rows of a view have no place, and leave it without an event. A root that is a view is therefore read in one go (again
 * from its beginning when it was interrupted), and meanwhile the stream waits: what it then deletes, because the view
 * does not hold it any more, is all in the index.
 */
#ifndef PGSYNC_SYNC_BOOTSTRAP_INT_H
#define PGSYNC_SYNC_BOOTSTRAP_INT_H

#include "sync/attempt_int.h"

struct bootstrap;

/* Plans what is left to do by the checkpoint and starts the threads, which write to wake_fd (an eventfd) whenever a
 * chunk is durable, and when they end; *ret is NULL when every generation is complete. */
int bootstrap_start(struct attempt *at, int wake_fd, struct bootstrap **ret, struct err *err) WARN_UNUSED;
void bootstrap_stop(struct bootstrap *b);
CLEANUP(struct bootstrap, bootstrap_stop);

/* The stream must not hand over anything yet. */
bool bootstrap_holds(struct bootstrap *b);
/* 1: everything is durable. Negative: failed. */
int bootstrap_check(struct bootstrap *b, struct err *err) WARN_UNUSED;
/* Copies where it stands into the checkpoint (for saving) and the report. True when the checkpoint changed. */
bool bootstrap_note(struct bootstrap *b, struct attempt *at);

#endif
