/* The WAL reader: reads the replication stream and collects in a batch which keys it makes dirty.
 *
 * It belongs to the stream thread, which submits the batch and replaces it with an empty one.
 */
#ifndef PGSYNC_SYNC_WAL_READER_INT_H
#define PGSYNC_SYNC_WAL_READER_INT_H

#include "apply/model.h"
#include "changes/batch.h"
#include "postgres/replication.h"
#include "sync/run_int.h"

struct pgoutput;

struct wal_reader {
	const struct model *model;
	struct meters *metrics;
	struct landmarks *landmarks;
	struct pg_stream *wal;
	struct pgoutput *decoder;
	struct collector *collector;

	struct batch *open; /* being collected */
	bool in_txn;        /* it ends inside a transaction: */
	struct batch_txn txn;
	uint64_t received;    /* everything below was read, and is in a batch or irrelevant */
	bool reply_requested; /* the server asks for our position */
	uint32_t doubts;      /* how often a relation looked different from the catalog that the plans were made from */
};

/* Starts the stream of the run's slot. */
int wal_reader_open_take(struct wal_reader *in, const struct model *model, struct run *run, struct pg *replication,
			 struct err *err) WARN_UNUSED;
void wal_reader_close(struct wal_reader *in);
/* Reads for a while, until something was missed, until the batch is full (0), or until nothing more can be read now
 * (PG_STREAM_AGAIN). */
int wal_reader_read(struct wal_reader *in, struct err *err) WARN_UNUSED;
/* `open` is an empty batch now: the rest of the transaction that the previous one ended in goes into it. */
void wal_reader_continue(struct wal_reader *in);

#endif
