/* The health of slot, search engine and indices, as conditions and figures. The monitor checks them periodically.
 *
 * For the thread that owns the attempt. */
#ifndef PGSYNC_SYNC_HEALTH_INT_H
#define PGSYNC_SYNC_HEALTH_INT_H

#include "sync/attempt_int.h"
#include "sync/stream_int.h"

struct health {
	struct attempt *attempt;
	size_t next_index;   /* to ask about */
	struct err sink_err; /* from the last round over the indices; kind NONE: the engine answered */
	bool index_gone;     /* one of our indices was deleted, or its alias moved */
};

/* Sets the condition from the server's report about the slot. */
void health_set_slot_condition(struct run *run, const struct pg_slot *slot);
/* Drops the slot if it retains more WAL than the spec allows: then TRANSIENT/SlotGivenUp. */
int health_limit_wal(struct attempt *at, const struct pg_slot *slot, struct err *err) WARN_UNUSED;
/* Reads the slot: its condition and figures, and the condition of the sink. An absent slot is shown as "Inactive". */
int health_check_slot(struct health *h, const struct stream_progress *progress, struct err *err) WARN_UNUSED;
/* Asks the engine about the next index: one per call, so that the monitor's other tasks need not wait long. True at the
 * end of a round. A failure becomes a condition but does not end the attempt: the applier decides that. */
bool health_check_index(struct health *h);

#endif
