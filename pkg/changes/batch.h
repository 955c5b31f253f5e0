/* A batch: the keys that some consecutive transactions made dirty, and those transactions in commit order.
 *
 * With protocol version 1 the server sends a transaction only after its commit. So a batch may also end inside a
 * transaction: that part gets a position two bytes into the commit record (`lsn`), which is below the transaction's
 * end, and the rest follows in the next batch. Two bytes, because data that was read before the transaction may carry
 * the record's beginning as its version, and the delete of a routed document has a version below the batch's that must
 * still be above that (apply/build.h).
 *
 * A batch belongs to one thread at a time: the stream fills it, then the applier has it. */
#ifndef PGSYNC_CHANGES_BATCH_H
#define PGSYNC_CHANGES_BATCH_H

#include "changes/keyset.h"

struct batch_txn {
	uint32_t xid;      /* 0: not a transaction of a client */
	bool complete;     /* its commit was read: lsn is the end of the transaction */
	uint64_t lsn;      /* the external version of documents read when it is visible */
	int64_t commit_us; /* wall time */
};

struct batch {
	struct keyset keys;
	struct batch_txn *txns;
	size_t n_txns, alloc;
};

/* Distance from a commit record's beginning to the version of a part of its transaction. */
enum { BATCH_WITHIN_COMMIT = 2 };
enum { BATCH_KEYS = 20000, BATCH_TXNS = 20000, BATCH_BYTES = 1024 * 1024 };

void batch_init(struct batch *batch);
void batch_release(struct batch *batch);
/* The same on the heap. */
struct batch *batch_new(void);
void batch_free(struct batch *batch);
void batch_reset(struct batch *batch);
bool batch_empty(const struct batch *batch);
/* True if no further row should be added: submit the batch first. */
bool batch_full(const struct batch *batch);
/* Opens a transaction; keys added from here on belong to it. */
void batch_begin(struct batch *batch, uint32_t xid, uint64_t commit_lsn, int64_t commit_us);
/* Opens a transaction that is not a client's: keys added from here on count as of `lsn`, below which everything was
 * read. */
void batch_begin_artificial(struct batch *batch, uint64_t lsn, int64_t now_us);
/* Ends the open transaction; its end is at least BATCH_WITHIN_COMMIT after its commit. */
void batch_commit(struct batch *batch, uint64_t end_lsn);
/* The number of the open (last) transaction. */
uint32_t batch_current(const struct batch *batch);
/* The newest LSN below which everything is in the first n transactions: what may be acknowledged once they are durable.
 * 0: none. */
uint64_t batch_ack_lsn(const struct batch *batch, size_t n);
/* Drops the first n transactions and the keys that only they touched. */
void batch_cut(struct batch *batch, size_t n);

#endif
