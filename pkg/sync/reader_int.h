/* Reading documents: a query's rows go from the connection into the bulk writer, one at a time. */
#ifndef PGSYNC_SYNC_READER_INT_H
#define PGSYNC_SYNC_READER_INT_H

#include "sync/engine_int.h"

/* For connections that read documents: see document/sql.c. Compiling a plan costs more than these queries gain by it,
 * and small ranges must not read whole child tables. */
#define READING_SETTINGS "SET jit = off; SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0"

struct reading {
	struct engine *engine;
	struct pg *pg;
	struct bulk *bulk;
	size_t plan;
	char *letters; /* the plan's dead-letter index, when it holds any: what is written now leaves it */
	uint64_t version;
	struct keyset *wanted; /* keys of this plan to mark as seen, or NULL */
	struct strbuf scratch; /* for ids and keys */
	uint64_t rows;
};

void reading_init(struct reading *r, struct engine *e, struct pg *pg, struct bulk *bulk);
void reading_release(struct reading *r);
/* What follows belongs to this plan. */
void reading_begin_plan(struct reading *r, size_t plan);
/* Takes the rows of a document query that was started on r->pg until its end. */
int reading_take(struct reading *r, struct err *err) WARN_UNUSED;
/* Adds a delete of the document with this root key (as key_encode_value made it). */
int reading_delete(struct reading *r, const char *key, size_t len, struct err *err) WARN_UNUSED;

#endif
