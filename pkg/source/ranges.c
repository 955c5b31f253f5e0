/* What a bootstrap reads. */
#include "source/ranges.h"

#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BLOCKS = 32, /* size of the first chunk, and the smallest size of the last ones */
	MOST_BLOCKS = 4096,
};

void ranges_release(struct ranges *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->items[i].name);
		free(r->items[i].parts);
	}
	free(r->items);
	*r = (struct ranges){0};
}

/* --- planning --- */

/* Continues where the checkpoint ended, unless the leaf has been rewritten since, which moves its rows to other
 * blocks. */
static void resume_range(struct range *range, const struct checkpoint_index *index)
{
	for (size_t i = 0; i < index->n_ranges; i++) {
		const struct checkpoint_range *was = &index->ranges[i];

		if (was->relation != range->relation || was->filenode != range->filenode)
			continue;
		range->next = was->next_block < was->end_block ? was->next_block : was->end_block;
		range->end = was->end_block;
		range->rows = was->rows;
	}
}

static void add_range(struct ranges *r, struct range range, const struct checkpoint_index *index)
{
	resume_range(&range, index);
	r->items = xreallocarray(r->items, r->n + 1, sizeof(*r->items));
	r->items[r->n++] = range;
}

void ranges_add_view(struct ranges *r, size_t plan, const struct catalog_table *view, struct checkpoint_index *index)
{
	index->rows_total = 0;
	add_range(r,
		  (struct range){.plan = plan,
				 .relation = view->oid,
				 .is_view = true,
				 .name = xasprintf("%s.%s", view->schema, view->name),
				 .end = 1,
				 .blocks = 1},
		  index);
}

int ranges_add_leaves(struct ranges *r, struct pg *pg, size_t plan, const struct catalog_table *root,
		      struct checkpoint_index *index, struct err *err)
{
	static const char sql[] =
		"SELECT c.oid, pg_relation_filenode(c.oid), quote_ident(n.nspname) || '.' || quote_ident(c.relname),"
		" ceil(pg_relation_size(c.oid) / current_setting('block_size')::numeric)::bigint,"
		" CASE WHEN c.reltuples < 0 THEN 0 ELSE c.reltuples::bigint END"
		" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.oid IN"
		" (SELECT $1::oid UNION ALL SELECT relid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf) ORDER "
		"BY c.oid";
	_cleanup_(pg_result_freep) struct pg_result *leaves = NULL;
	_cleanup_free_ char *oid = xasprintf("%u", root->oid);

	if (pg_query(pg, sql, (const char *const[]){oid}, 1, &leaves, err) < 0)
		return err_wrap(err, "reading the size of the root table");
	index->rows_total = 0;
	for (int row = 0; row < pg_n_rows(leaves); row++) {
		index->rows_total += pg_u64(leaves, row, 4);
		add_range(r,
			  (struct range){.plan = plan,
					 .relation = (uint32_t)pg_u64(leaves, row, 0),
					 .filenode = (uint32_t)pg_u64(leaves, row, 1),
					 .name = xstrdup(pg_value(leaves, row, 2)),
					 .end = pg_u64(leaves, row, 3),
					 .blocks = FIRST_BLOCKS},
			  index);
	}
	return 0;
}

/* --- handing out --- */

/* Chunks get smaller towards the end, so that the readers finish at about the same time. */
static uint64_t chunk_blocks(const struct range *range, size_t n_readers)
{
	uint64_t left = range->end - range->next;
	uint64_t share = left / (2 * n_readers);
	uint64_t blocks = range->blocks < share ? range->blocks : share;

	if (blocks < FIRST_BLOCKS && range->blocks >= FIRST_BLOCKS)
		blocks = FIRST_BLOCKS;
	if (blocks < 1)
		blocks = 1;
	return blocks < left ? blocks : left;
}

bool ranges_take(struct ranges *r, size_t n_readers, struct range_chunk *ret)
{
	for (size_t i = 0; i < r->n; i++) {
		struct range *range = &r->items[i];

		if (range->next >= range->end)
			continue;
		*ret = (struct range_chunk){.range = range, .from = range->next};
		range->next += chunk_blocks(range, n_readers);
		ret->to = range->next;
		range->parts = xreallocarray(range->parts, range->n_parts + 1, sizeof(*range->parts));
		range->parts[range->n_parts++] = (struct range_part){.from = ret->from};
		return true;
	}
	return false;
}

void ranges_adapt(const struct range_chunk *chunk, const struct range_cost *cost)
{
	uint64_t blocks = chunk->to - chunk->from;
	uint64_t want = cost->bytes ? blocks * RANGES_CHUNK_BYTES / cost->bytes : blocks * 2;
	uint64_t in_time = cost->ms ? blocks * (uint64_t)cost->most_ms / 2 / (uint64_t)cost->ms : want;

	if (want > in_time)
		want = in_time;
	if (want > blocks * 4)
		want = blocks * 4;
	if (want < 1)
		want = 1;
	chunk->range->blocks = want > MOST_BLOCKS ? MOST_BLOCKS : want;
}

/* Rows count once everything before them is durable: a resumed bootstrap reads the others again. */
void ranges_done(const struct range_chunk *chunk, uint64_t rows)
{
	struct range *range = chunk->range;
	size_t n = 0;

	for (size_t i = 0; i < range->n_parts; i++)
		if (range->parts[i].from == chunk->from)
			range->parts[i] = (struct range_part){.from = chunk->from, .rows = rows, .done = true};
	while (n < range->n_parts && range->parts[n].done)
		range->rows += range->parts[n++].rows;
	range->n_parts -= n;
	memmove(range->parts, range->parts + n, range->n_parts * sizeof(*range->parts));
}

uint64_t ranges_durable_below(const struct range *range)
{
	return range->n_parts ? range->parts[0].from : range->next;
}

bool ranges_wait_for_views(const struct ranges *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->items[i].is_view && ranges_durable_below(&r->items[i]) < r->items[i].end)
			return true;
	return false;
}

bool ranges_save(const struct range *range, struct checkpoint_index *index)
{
	uint64_t below = ranges_durable_below(range);
	struct checkpoint_range *to = NULL;
	bool changed;

	for (size_t i = 0; i < index->n_ranges; i++)
		if (index->ranges[i].relation == range->relation)
			to = &index->ranges[i];
	if (!to) {
		index->ranges = xreallocarray(index->ranges, index->n_ranges + 1, sizeof(*index->ranges));
		to = &index->ranges[index->n_ranges++];
		*to = (struct checkpoint_range){.relation = range->relation};
	}
	changed = to->next_block != below || to->filenode != range->filenode;
	*to = (struct checkpoint_range){.relation = range->relation,
					.filenode = range->filenode,
					.next_block = below,
					.end_block = range->end,
					.rows = range->rows};
	return changed;
}

int ranges_check(const struct range *range, struct pg *pg, struct err *err)
{
	_cleanup_free_ char *oid = xasprintf("%u", range->relation);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (!range->filenode)
		return 0;
	if (pg_query(pg, "SELECT pg_relation_filenode($1::oid)", (const char *const[]){oid}, 1, &r, err) < 0)
		return -1;
	if (!pg_is_null(r, 0, 0) && pg_u64(r, 0, 0) == range->filenode)
		return 0;
	return err_reason(err, ERR_CONFLICT, REASON_TABLE_REWRITTEN,
			  "%s was rewritten during the bootstrap; reading it again", range->name);
}
