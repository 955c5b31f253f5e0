/* What a bootstrap reads: the blocks of each root's leaves, handed out in chunks, and which of them are durable.
 *
 * Chunks may be read side by side and end in any order. Only the block below which everything is durable is remembered,
 * so a bootstrap may stop at any time. The caller locks. Apart from ranges_add_leaves and ranges_check it is pure.
 */
#ifndef PGSYNC_SOURCE_RANGES_H
#define PGSYNC_SOURCE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "checkpoint/checkpoint.h"
#include "postgres/catalog.h"
#include "postgres/pg.h"

/* A chunk that is in progress, or that is done while an earlier one is in progress. */
struct range_part {
	uint64_t from; /* its first block */
	uint64_t rows;
	bool done;
};

/* One leaf relation of one root. */
struct range {
	size_t plan;
	uint32_t relation, filenode; /* a view has no filenode: 0 */
	bool is_view;
	char *name;               /* quoted */
	uint64_t next, end;       /* blocks to hand out */
	uint64_t blocks;          /* of a chunk, adapted to the size of its documents */
	uint64_t rows;            /* in the blocks below which everything is durable */
	struct range_part *parts; /* from that block on, by block */
	size_t n_parts;
};

struct ranges {
	struct range *items;
	size_t n;
};

struct range_chunk {
	struct range *range;
	uint64_t from, to; /* blocks */
};

void ranges_release(struct ranges *r);

/* --- planning: what is durable according to the checkpoint is left out --- */

/* The leaves of a root, with their size in blocks: a row that is inserted later, into any block, is in the stream.
 * Sets index->rows_total to an estimate. */
int ranges_add_leaves(struct ranges *r, struct pg *pg, size_t plan, const struct catalog_table *root,
		      struct checkpoint_index *index, struct err *err) WARN_UNUSED;
/* A root that is a view: a single block for all of it. */
void ranges_add_view(struct ranges *r, size_t plan, const struct catalog_table *view, struct checkpoint_index *index);

/* --- handing out --- */

/* The next chunk for one of n readers; false: there is none left. Pointers into r stay valid. */
bool ranges_take(struct ranges *r, size_t n_readers, struct range_chunk *ret);
/* What it took to read a chunk. */
struct range_cost {
	uint64_t bytes;
	int64_t ms, most_ms; /* the time, and the most that it should have taken */
};
/* The chunk was read: the next ones should have about RANGES_CHUNK_BYTES, and take half the time that they may take.
 */
enum { RANGES_CHUNK_BYTES = 8 * 1024 * 1024 }; /* a chunk's plan may read whole child tables: not too often */
void ranges_adapt(const struct range_chunk *chunk, const struct range_cost *cost);
/* The chunk is durable. */
void ranges_done(const struct range_chunk *chunk, uint64_t rows);
/* Everything below this block is durable. */
uint64_t ranges_durable_below(const struct range *range);
/* True if some view is not durable yet. */
bool ranges_wait_for_views(const struct ranges *r);
/* Puts what is durable into the checkpoint's entry of the range's index. True if that changed it. */
bool ranges_save(const struct range *range, struct checkpoint_index *index);
/* CONFLICT/TableRewritten if the leaf was rewritten (VACUUM FULL, CLUSTER) since it was planned: rows moved without
 * events, so what was read by block does not count. */
int ranges_check(const struct range *range, struct pg *pg, struct err *err) WARN_UNUSED;

#endif
