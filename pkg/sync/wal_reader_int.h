/* The intake: reads the WAL from the slot, and collects in a batch which keys it makes dirty.
 *
 * Belongs to the stream's thread, which hands the batch over and puts an empty one in its place.
 */
#ifndef PGSYNC_SYNC_WAL_READER_INT_H
#define PGSYNC_SYNC_WAL_READER_INT_H

#include "sync/attempt_int.h"

struct pgoutput;

struct wal_reader {
	struct attempt *attempt;
	struct pg_stream *wal;
	struct pgoutput *decoder;
	struct collector *collector;

	struct batch *open; /* being collected */
	bool in_txn;        /* it ends inside a transaction: */
	struct batch_txn txn;
	uint64_t received;     /* everything below was read, and is in a batch or of no interest */
	bool reply_requested;  /* the server asks how far we are */
	bool catalog_in_doubt; /* a relation looks different than in the catalog */
};

/* Starts the stream of the engine's slot. */
int wal_reader_open_take(struct wal_reader *in, struct attempt *at, struct pg *replication,
			 struct err *err) WARN_UNUSED;
void wal_reader_close(struct wal_reader *in);
/* Reads for a while, until the batch is full (0), or until there is nothing more to read now (PG_STREAM_AGAIN). */
int wal_reader_read(struct wal_reader *in, struct err *err) WARN_UNUSED;
/* `open` is an empty batch now: what is left of the transaction that the one before ended in goes into it. */
void wal_reader_go_on(struct wal_reader *in);

#endif
