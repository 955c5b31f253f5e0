/* Whether the stream is that of the same history. */
#include "recovery/landmarks.h"

void landmarks_expect(struct landmarks *l, const struct recovery_input *in)
{
	if (in->cp->landmark.lsn > l->newest.lsn)
		l->newest = in->cp->landmark;
	/* The timeline's history says what was lost; transactions that were streamed but not synced do not count. */
	if (in->cp->timeline != in->server.timeline)
		l->newest = (struct checkpoint_landmark){0};
	l->expected = l->newest.lsn >= in->slot.confirmed_flush_lsn ? l->newest.lsn : 0;
}

static bool is_same_transaction(const struct checkpoint_landmark *a, const struct checkpoint_landmark *b)
{
	return a->lsn == b->lsn && a->xid == b->xid && a->commit_us == b->commit_us;
}

bool landmarks_pass(struct landmarks *l, const struct checkpoint_landmark *txn)
{
	if (l->expected && txn->lsn >= l->expected) {
		l->missed = !is_same_transaction(txn, &l->newest);
		l->expected = 0;
	}
	if (!l->missed && txn->lsn > l->newest.lsn)
		l->newest = *txn;
	return !l->missed;
}

bool landmarks_reach(struct landmarks *l, uint64_t lsn)
{
	l->missed = l->missed || (l->expected && lsn > l->expected);
	return !l->missed;
}
