/* From dirty keys to bulk actions, within one snapshot: up the paths to root keys, from these to documents and deletes.
 *
 * Belongs to the applier's thread.
 */
#ifndef PGSYNC_SYNC_WRITER_INT_H
#define PGSYNC_SYNC_WRITER_INT_H

#include "sync/reader_int.h"

struct writer {
	const struct model *model;
	struct connector *connector;
	struct pg *pg;
	struct reading reading;
	uint64_t version;          /* of the batch */
	struct keyset up;          /* roots that a path led to, a page at a time */
	struct strbuf key;         /* one of them */
	struct collector *scanner; /* of rows of partitions, as if they were inserted now */
	struct batch page;         /* of such rows */
	bool live;                 /* no generation is being filled */
	bool *to_sweep;            /* plans whose index may hold documents of rows that are gone */
	uint64_t rebuild;          /* a bit for each plan whose root was truncated: its index is to start anew */
	struct strbuf arrays[DOCUMENT_MAX_KEYS];
	const char *params[DOCUMENT_MAX_KEYS];
};

void writer_init(struct writer *w, const struct model *model, struct connector *connector);
/* Connections of the thread; borrowed. */
void writer_connect(struct writer *w, struct pg *pg, struct bulk *bulk, struct dead_letters *dead);
void writer_release(struct writer *w);

/* Which targets the first n transactions touched; caller frees. */
bool *writer_touched(const struct writer *w, const struct batch *batch, size_t n_txns);
/* Writes what the first n transactions made dirty, in the transaction that is open on the connection, in which all of
 * them are visible. */
int writer_write(struct writer *w, struct batch *batch, size_t n_txns, struct err *err) WARN_UNUSED;
/* After everything written is durable: adds deletes for what is gone. 1: there may be some to flush. */
int writer_sweep(struct writer *w, struct err *err) WARN_UNUSED;

#endif
