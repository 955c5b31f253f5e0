/* Failpoints: named places right after a step, often a durable one, where a test build can fail, wait or be killed.
 *
 * A release build has none: FAILPOINT is the constant 0. A build with -DPGSYNC_FAILPOINTS reads them at the first pass
 * from the environment variable PGSYNC_FAILPOINTS, entries separated by semicolons:
 *
 *     checkpoint.saved=fail@2;alias.moved=kill;bulk.sent=wait:500
 *
 *     fail      the step reports a transient error although it happened, as when an answer is lost
 *     wait:MS   the thread sleeps for MS milliseconds
 *     kill      the process ends by SIGKILL
 *     @N        only the N-th pass of this process acts; without it every pass does
 *
 * With PGSYNC_FAILPOINTS_LOG=FILE each entry acts only once, however many processes read it, and appends its text as a
 * line to FILE first. A test sees there that its failpoint was reached, and a restarted process is not killed again.
 * An entry that cannot be parsed ends the process with a message. Any thread may pass a failpoint.
 */
#ifndef PGSYNC_BASE_FAILPOINT_H
#define PGSYNC_BASE_FAILPOINT_H

#include "base/err.h"

/* X(identifier, name): all failpoints; `make check` compares this list with the code. */
#define FAILPOINTS(X)                                 \
	X(SLOT_CREATED, "slot.created")               \
	X(SLOT_DROPPED, "slot.dropped")               \
	X(PUBLICATION_SET, "publication.set")         \
	X(PUBLICATION_DROPPED, "publication.dropped") \
	X(IDENTITY_SET, "identity.set")               \
	X(CHECKPOINT_SAVED, "checkpoint.saved")       \
	X(CHECKPOINT_DELETED, "checkpoint.deleted")   \
	X(INDEX_CREATED, "index.created")             \
	X(INDEX_REFRESHED, "index.refreshed")         \
	X(INDEX_DELETED, "index.deleted")             \
	X(ALIAS_MOVED, "alias.moved")                 \
	X(CHUNK_READ, "chunk.read")                   \
	X(BULK_SENT, "bulk.sent")                     \
	X(BULK_ANSWERED, "bulk.answered")             \
	X(DEADLETTER_WRITTEN, "deadletter.written")   \
	X(ACKNOWLEDGED, "acknowledged")               \
	X(WORKER_STARTED, "worker.started")           \
	X(FINALIZER_ADDED, "finalizer.added")         \
	X(FINALIZER_REMOVED, "finalizer.removed")     \
	X(STATUS_APPLIED, "status.applied")           \
	X(LEASE_RENEWED, "lease.renewed")

#ifdef PGSYNC_FAILPOINTS

enum failpoint {
#define FAILPOINT_ID(id, name) FAILPOINT_##id,
	FAILPOINTS(FAILPOINT_ID)
#undef FAILPOINT_ID
		FAILPOINT_COUNT,
};

const char *failpoint_name(enum failpoint point);
int failpoint_pass(enum failpoint point, struct err *err) WARN_UNUSED;
/* For tests: forgets what was read and counted. Do not call it while another thread passes one. */
void failpoint_reset(void);

#define FAILPOINT(id, err) failpoint_pass(FAILPOINT_##id, (err))

#else

/* 0, or -1 with *err set. */
#define FAILPOINT(id, err) ((void)(err), 0)

#endif

#endif
