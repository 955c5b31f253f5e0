/* From root keys, or a range of the root table, to documents: a query's rows go from the connection into the bulk
 * writer, one at a time. A builder belongs to one thread, as its connection and its writer do.
 */
#ifndef PGSYNC_APPLY_BUILD_H
#define PGSYNC_APPLY_BUILD_H

#include "apply/model.h"
#include "apply/page.h"
#include "sink/dead_letters.h"

/* For connections that read documents: see document/sql.c. JIT compilation costs these queries more than it gains,
 * small ranges must not read whole child tables, and a chunk should be sorted in memory, not in files. */
#define BUILD_SETTINGS \
	"SET jit = off; SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0; SET work_mem = '32MB'"

/* What a thread builds documents with. All but the buffers is borrowed. */
struct builder {
	const struct model *model;
	struct snapshot *snapshot;
	struct pg *pg; /* of the snapshot */
	struct bulk *bulk;
	struct dead_letters *dead;
	/* How long the engine may be waited for while a view is read: reading the rest later would compute all of it
	 * again. 0: no longer than for others. The caller sets it */
	int64_t view_hold_ms;
	uint64_t sanitized; /* values that were written as null so far */
	/* Where deletes are held back: root keys, each with its plan as the target. NULL: deletes are written at once.
	 * The caller sets it, and adds them later (build_deletes). */
	struct keyset *held;

	struct page_params params;
	const struct key **left; /* of a page that the engine did not take in time */
	size_t alloc_left;
	struct strbuf scratch; /* for ids and keys */
	struct strbuf routing;
	struct strbuf keyed; /* a document whose id was hashed */
	struct strbuf note;
};

/* From here on, dead letters name their rows. */
void builder_init(struct builder *with, const struct model *model, struct snapshot *snapshot, struct bulk *bulk,
		  struct dead_letters *dead);
/* Also accepts a builder that is all zeros. */
void builder_release(struct builder *with);
/* The number of values written as null since the last call. */
uint64_t builder_take_sanitized(struct builder *with);

/* Documents of one plan, and the version that they are written with. */
struct build {
	struct builder *with;
	size_t plan;
	uint64_t version;
	char *dead_index;     /* the plan's dead-letter index if it has dead letters: that of a document that is written
			       * now is removed */
	char *via, *dead_via; /* what requests name instead of the indices (sink/write_alias.h) */
	bool apart;           /* use the queries that fail only because of the roots asked for (document_plan.sql) */
};

struct build build_begin(struct builder *with, size_t plan, uint64_t version);
void build_end(struct build *b);
/* From here on, writing a document does not remove its dead letter. */
void build_keep_dead_letters(struct build *b);

/* Builds the documents of root keys, and deletes those of roots that are gone. A document that fails because of a value
 * of its rows becomes a dead letter; if the page is old, it is left out. When the engine is late, the transaction ends,
 * and the rest of the page is read in another one.
 *
 * With routing, a document is identified by its _id and its shard. A key without the routing value deletes nothing:
 * the change of the root's row itself, which has it, comes in this batch or a later one. Two routing values may also
 * lead to the same shard, where the moved document and its successor are one document. So the delete of the old
 * document carries a version below the batch's, and loses against what the batch writes there, in any order. It still
 * wins against everything that was read before the change, because those versions are below the change's LSNs.
 */
int build_roots(const struct build *b, const struct page *roots, struct err *err) WARN_UNUSED;
/* Adds the deletes of the plan's keys that were held. */
int build_deletes(const struct build *b, const struct keyset *held, struct err *err) WARN_UNUSED;
/* Builds the documents of a range of a leaf (document_sql_by_range), from the first tid up to, but not including, the
 * second. A root that is a view has no ranges: all of its documents are built, and leaf and tids may be NULL (see
 * view.h). Adds their number to *rows. The caller handles errors (build_failed). */
int build_range(const struct build *b, const char *leaf, const char *const tids[2], uint64_t *rows,
		struct err *err) WARN_UNUSED;
/* A query failed: adds to the error which expressions and conditions may have failed for a row. Returns -1. */
int build_failed(const struct build *b, struct err *err);
/* True if so many dead letters were collected that the caller should flush, once no transaction is open. */
bool build_has_many_dead_letters(const struct builder *with);
/* The document of a root key (in the format of changes/collector.h) cannot be built; why: the query's error. Finds the
 * row that causes it (locate.h), in the open transaction. */
int build_add_failed(const struct build *b, const char *key, size_t len, const struct err *why,
		     struct err *err) WARN_UNUSED;

#endif
