/* The bootstrap: fills the generations that are not complete, in chunks, while the stream flows.
 *
 * A chunk is a stretch of blocks of a root table, read in its own short transaction and written with the generation's
 * base version: anything that the stream writes is newer and wins. So chunks may be repeated, run side by side, and
 * stop at any time; only the block below which everything is durable is remembered.
 *
 * It has its own threads; the functions below are for the control thread.
 *
 * Rows of a view have no position, and leave the view without an event. So a root that is a view is read in one pass
 * (from the start after an interruption), and the stream waits until that is done: a document that it then deletes
 * because the view no longer contains its row is already in the index. */
#ifndef PGSYNC_SYNC_BOOTSTRAP_INT_H
#define PGSYNC_SYNC_BOOTSTRAP_INT_H

#include "sync/attempt_int.h"

struct bootstrap;

/* Plans what is left to do according to the checkpoint, and starts the threads. They write to wake_fd (an eventfd)
 * whenever a chunk is durable and when they end; *ret is NULL when every generation is complete. */
int bootstrap_start(struct attempt *at, int wake_fd, struct bootstrap **ret, struct err *err) WARN_UNUSED;
void bootstrap_stop(struct bootstrap *b);
CLEANUP(struct bootstrap, bootstrap_stop);

/* The stream must not submit anything yet. */
bool bootstrap_holds(struct bootstrap *b);
enum bootstrap_state {
	BOOTSTRAP_RUNNING = 0,
	BOOTSTRAP_DONE,     /* everything is durable */
	BOOTSTRAP_OUTDATED, /* the catalog differs from that of the plans: another attempt continues */
};
/* One of these; negative: failed. */
int bootstrap_check(struct bootstrap *b, struct err *err) WARN_UNUSED;
/* Copies the progress into the report. */
void bootstrap_report(struct bootstrap *b, struct attempt *at);
/* Copies the progress into the checkpoint (for saving) and the report. True if the checkpoint changed. */
bool bootstrap_note(struct bootstrap *b, struct attempt *at);

#endif
