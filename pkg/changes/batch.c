/* A batch of consecutive transactions. */
#include "changes/batch.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

void batch_init(struct batch *batch)
{
	*batch = (struct batch){0};
	/* Room above the point at which a batch is full: one row of every path still fits. */
	keyset_init(&batch->keys, (size_t)16 * BATCH_BYTES);
}

void batch_release(struct batch *batch)
{
	keyset_release(&batch->keys);
	free(batch->txns);
	batch_init(batch);
}

struct batch *batch_new(void)
{
	struct batch *batch = xmalloc(sizeof(*batch));

	batch_init(batch);
	return batch;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	batch_release(batch);
	free(batch);
}

void batch_reset(struct batch *batch)
{
	keyset_reset(&batch->keys);
	batch->n_txns = 0;
}

bool batch_empty(const struct batch *batch)
{
	return !batch->n_txns;
}

bool batch_full(const struct batch *batch)
{
	return batch->keys.n >= BATCH_KEYS || batch->n_txns >= BATCH_TXNS || batch->keys.bytes.len >= BATCH_BYTES;
}

void batch_begin(struct batch *batch, uint32_t xid, uint64_t commit_lsn, int64_t commit_us)
{
	ALLOC_GROW(batch->txns, batch->n_txns + 1, batch->alloc);
	batch->txns[batch->n_txns++] =
		(struct batch_txn){.xid = xid, .lsn = commit_lsn + BATCH_WITHIN_COMMIT, .commit_us = commit_us};
}

void batch_begin_artificial(struct batch *batch, uint64_t lsn, int64_t now_us)
{
	ALLOC_GROW(batch->txns, batch->n_txns + 1, batch->alloc);
	batch->txns[batch->n_txns++] = (struct batch_txn){.lsn = lsn, .commit_us = now_us, .complete = true};
}

void batch_commit(struct batch *batch, uint64_t end_lsn)
{
	struct batch_txn *txn;

	assert(batch->n_txns);
	txn = &batch->txns[batch->n_txns - 1];
	assert(end_lsn >= txn->lsn);
	txn->lsn = end_lsn;
	txn->complete = true;
}

uint32_t batch_current(const struct batch *batch)
{
	assert(batch->n_txns);
	return (uint32_t)(batch->n_txns - 1);
}

uint64_t batch_ack_lsn(const struct batch *batch, size_t n)
{
	while (n && !batch->txns[n - 1].complete)
		n--;
	return n ? batch->txns[n - 1].lsn : 0;
}

void batch_cut(struct batch *batch, size_t n)
{
	assert(n <= batch->n_txns);
	keyset_cut(&batch->keys, (uint32_t)n);
	memmove(batch->txns, batch->txns + n, (batch->n_txns - n) * sizeof(*batch->txns));
	batch->n_txns -= n;
}
