/* Landmarks: whether the server still has the history that was streamed (pure).
 *
 * A copy of a server's files that is started as it is has system identifier, timeline and slot of the original, and
 * once it has been written to, positions tell nothing either. But its slot is as old as the copy, so the stream repeats
 * what came after that. If the newest transaction that was ever streamed is not among what is repeated, at its
 * position, then this is another history.
 *
 * For the thread of the stream while there is one, otherwise for the control thread. */
#ifndef PGSYNC_RECOVERY_LANDMARKS_H
#define PGSYNC_RECOVERY_LANDMARKS_H

#include "recovery/recovery.h"

/* All zeros: nothing was streamed. */
struct landmarks {
	struct checkpoint_landmark newest;
	uint64_t expected; /* the stream contains `newest` again, at this position; 0: it need not */
	bool missed;       /* it did not */
	/* The server decodes with the catalog of the moment at which a change was written. If the publication had
	 * another name then, the stream ends at this change, whatever the publication is called later. */
	bool undecodable;
};

/* The stream begins where the slot is. The slot must be free, so that its position does not move any more. */
void landmarks_expect(struct landmarks *l, const struct recovery_input *in);
/* The stream is at this transaction, or has sent everything before this position. False: it has missed what was
 * expected, and nothing from here on counts. */
bool landmarks_pass(struct landmarks *l, const struct checkpoint_landmark *txn);
bool landmarks_reach(struct landmarks *l, uint64_t lsn);

#endif
