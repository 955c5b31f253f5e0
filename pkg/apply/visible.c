/* What a snapshot contains. */
#include "apply/visible.h"

#include <stdlib.h>

static bool is_replayed(const struct batch_txn *txn, uint64_t replayed)
{
	return !txn->xid || (txn->complete ? txn->lsn <= replayed : txn->lsn < replayed);
}

/* The transactions of the batch that a standby had replayed when it was at this position. */
static size_t replayed_prefix(const struct batch *batch, uint64_t replayed)
{
	size_t n = 0;

	while (n < batch->n_txns && is_replayed(&batch->txns[n], replayed))
		n++;
	return n;
}

/* A snapshot of a standby does not list the transactions that are running, but contains all that was replayed before it
 * was opened. */
static int open_on_standby(struct snapshot *s, const struct batch *batch, int64_t statement_ms, struct pg_visible *ret,
			   struct err *err)
{
	uint64_t replayed;

	if (pg_replayed_lsn(s->pg, &replayed, err) < 0 || snapshot_begin(s, statement_ms, err) < 0)
		return -1;
	ret->n = replayed_prefix(batch, replayed);
	return pg_replayed_lsn(s->pg, &ret->horizon, err);
}

static int open_on_primary(struct snapshot *s, const struct batch *batch, int64_t statement_ms, struct pg_visible *ret,
			   struct err *err)
{
	_cleanup_free_ uint32_t *xids = xcalloc(batch->n_txns, sizeof(*xids));

	for (size_t i = 0; i < batch->n_txns; i++)
		xids[i] = batch->txns[i].xid;
	return snapshot_begin(s, statement_ms, err) < 0 ? -1 : pg_visible_prefix(s->pg, xids, batch->n_txns, ret, err);
}

int visible_open(struct snapshot *s, const struct batch *batch, int64_t statement_ms, struct pg_visible *ret,
		 struct err *err)
{
	bool standby = pg_is_standby(s->pg);

	/* Its timeline is another one now, and the next attempt finds out whether the history continues. */
	if (standby != s->standby)
		return err_reason(err, ERR_TRANSIENT, REASON_STREAM_ENDED,
				  "the server was a standby, and was promoted");
	return (standby ? open_on_standby : open_on_primary)(s, batch, statement_ms, ret, err);
}
