/* Reading documents: a query's rows go from the connection into the bulk writer, one at a time. */
#ifndef PGSYNC_SYNC_READER_INT_H
#define PGSYNC_SYNC_READER_INT_H

#include "sink/dead_letters.h"
#include "sync/attempt_int.h"

/* For connections that read documents: see document/sql.c. Compiling a plan costs more than these queries gain by it,
 * small ranges must not read whole child tables, and what a chunk sorts should not go through files. */
#define READING_SETTINGS \
	"SET jit = off; SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0; SET work_mem = '32MB'"

struct reading {
	const struct model *model;
	struct connector *connector;
	struct pg *pg;
	struct bulk *bulk;
	struct dead_letters *dead;
	size_t plan;
	char *dead_index; /* the plan's dead-letter index, if it has any: what is written now leaves it */
	uint64_t version;
	struct keyset *wanted; /* keys of this plan to mark as seen, or NULL */
	struct strbuf scratch; /* for ids and keys */
	struct strbuf routing;
	struct strbuf keyed; /* a document whose id was hashed */
	uint64_t rows;
};

/* Everything is borrowed; the caller sets bulk and dead. */
void reading_init(struct reading *r, const struct model *model, struct connector *connector, struct pg *pg);
void reading_release(struct reading *r);
/* What follows belongs to this plan. */
void reading_begin_plan(struct reading *r, size_t plan);
/* Takes the rows of a document query that was started on r->pg until its end. */
int reading_take(struct reading *r, struct err *err) WARN_UNUSED;
/* A query failed: says which expressions and conditions a row may have failed for. Returns -1. */
int reading_failed(const struct reading *r, struct err *err);
/* The document of a root key cannot be made; why: what the query failed with. Keys as collect_int.h has them. */
int reading_add_failed(struct reading *r, const char *key, size_t len, const struct err *why,
		       struct err *err) WARN_UNUSED;
/* Adds a delete of the document of a root key that no document was read for (keys as collect_int.h has them).
 *
 * With routing, a document's place is its _id and its shard. A key that does not say the routing deletes nothing: the
 * change of the root's row itself, which says it, comes in this batch or in a later one. And two routings may lead to
 * one shard, where a document that moved is one with its successor: so the delete of the old place carries the version
 * below the batch's, and loses against what the batch writes there, in whatever order they arrive. It still wins
 * against all that was read before the change: those versions are below the change's LSNs. */
int reading_delete(struct reading *r, const char *key, size_t len, struct err *err) WARN_UNUSED;

#endif
