/* What is looked at now and then while the stream runs, and what is said of it: slot and lag, the sink, the indices. */
#ifndef PGSYNC_SYNC_VITALS_INT_H
#define PGSYNC_SYNC_VITALS_INT_H

#include "sync/attempt_int.h"

/* How far the stream is. */
struct progress {
	uint64_t durable;    /* everything below is in the index */
	int64_t lag_seconds; /* since the oldest commit that is not */
	bool pending;        /* something was read that is not durable yet */
	bool catching_up;    /* a bootstrap is complete, and not live yet */
};

/* Of one attempt; the stream's thread. */
struct vitals {
	struct attempt *attempt;
	uint64_t start_lsn; /* the server's position when the attempt began */
	bool index_gone;    /* somebody deleted an index of ours, or moved its alias */

	int64_t slot_ms, indices_ms, report_ms; /* when last done */
	struct err sink_err;                    /* of the last look at the indices; kind NONE: it answered */
};

/* What the server says of the slot becomes the condition. */
void vitals_say_slot(struct attempt *at, const struct pg_slot *slot);
/* Looks at what is due and reports it. */
int vitals_look(struct vitals *v, const struct progress *progress, int64_t now, struct err *err) WARN_UNUSED;
/* Whether the search engine has just answered. */
bool vitals_sink_answered(const struct vitals *v, int64_t now);
/* Everything is due. */
void vitals_hurry(struct vitals *v);

#endif
