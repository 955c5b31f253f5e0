/* Tests of what is decided without a server: tables, identities, partitions, views, checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "source/checks.h"
#include "source/identity.h"
#include "source/partitions.h"
#include "source/ranges.h"
#include "source/views.h"

/* --- a table: books(id, isbn, author_id), with a primary key on id, and a unique index on (author_id, isbn) --- */

static char public[] = "public", books[] = "books", pkey[] = "books_pkey", by_author[] = "books_author_isbn";
static char id[] = "id", isbn[] = "isbn", author_id[] = "author_id";
static int key_columns[] = {0}, author_columns[] = {2, 1}, link_author[] = {2}, link_id[] = {0};

struct fixture {
	struct catalog_column columns[3];
	struct catalog_index indexes[2];
	struct catalog_table table;
};

static void fixture_init(struct fixture *x)
{
	*x = (struct fixture){
		.columns = {{.name = id, .not_null = true},
			    {.name = isbn, .not_null = true},
			    {.name = author_id, .not_null = true}},
		.indexes = {{.name = pkey,
			     .unique = true,
			     .primary = true,
			     .immediate = true,
			     .valid = true,
			     .columns = key_columns,
			     .n = 1},
			    {.name = by_author,
			     .unique = true,
			     .immediate = true,
			     .valid = true,
			     .columns = author_columns,
			     .n = 2}},
		.table = {.oid = 1,
			  .schema = public,
			  .name = books,
			  .kind = 'r',
			  .persistence = 'p',
			  .replica_identity = 'd',
			  .is_owner = true,
			  .can_select = true,
			  .n_columns = 3,
			  .n_indexes = 2},
	};
	x->table.columns = x->columns;
	x->table.indexes = x->indexes;
}

/* --- tables --- */

static void test_source_tables_then_links_of_all_plans_in_order(void **state)
{
	struct catalog_column columns[3] = {{.attnum = 1}, {.attnum = 2}, {.attnum = 3}};
	struct catalog_table tables[3] = {{.oid = 1, .columns = columns, .n_columns = 3},
					  {.oid = 2, .columns = columns, .n_columns = 1},
					  {.oid = 3}};
	struct catalog catalog = {.tables = tables, .n = 3};
	int first[] = {2}, second[] = {0, 2};
	struct document_table a[] = {{.table = &tables[0], .link_columns = first, .n_link_columns = 1}};
	struct document_table b[] = {{.table = &tables[2]},
				     {.table = &tables[0], .link_columns = second, .n_link_columns = 2}};
	struct document_plan plan_a = {.tables = a, .n_tables = 1}, plan_b = {.tables = b, .n_tables = 2};
	struct document_plan *plans[] = {&plan_a, &plan_b};
	struct source_tables got;

	UNUSED(state);
	source_tables_init(&got, &catalog, plans, 2);
	assert_int_equal(got.n, 2);
	assert_ptr_equal(got.items[0].table, &tables[0]);
	assert_int_equal(got.items[0].n_links, 2);
	assert_int_equal(got.items[0].links[0], 0);
	assert_int_equal(got.items[0].links[1], 2);
	assert_ptr_equal(got.items[1].table, &tables[2]);
	assert_int_equal(got.items[1].n_links, 0);
	assert_ptr_equal(source_tables_find(&got, 3), &got.items[1]);
	assert_null(source_tables_find(&got, 2));
	source_tables_release(&got);
}

/* Of books(id, isbn, author_id), `wide` is the only column without a limit. */
static void
test_source_tables_when_an_unused_column_may_be_large_then_only_identity_and_links_are_published(void **state)
{
	static const struct {
		int wide, link, used;
		char identity;
		bool author_index;     /* may be named */
		bool generated;        /* the link */
		const char *published; /* positions */
	} cases[] = {
		{1, 0, 2, 'd', true, false, "0"},  {1, 0, 1, 'd', true, false, ""}, /* it is used */
		{-1, 0, 2, 'd', true, false, ""},                                   /* there is none */
		{1, 0, 2, 'f', true, false, ""},   {1, 2, 0, 'i', true, false, "12"},
		{1, 2, 0, 'd', true, false, "12"}, /* the identity will be set to that index, */
		{1, 2, 0, 'd', false, false, ""},  /* or to FULL */
		{1, 0, 2, 'd', true, true, ""},
	};
	struct fixture x;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int link = cases[i].link, used[] = {cases[i].used, cases[i].link};
		struct document_table read = {
			.link_columns = &link, .n_link_columns = 1, .used_columns = used, .n_used_columns = 2};
		struct document_plan plan = {.tables = &read, .n_tables = 1}, *plans[] = {&plan};
		struct catalog catalog = {.tables = &x.table, .n = 1};
		struct source_tables got;
		char published[4] = "";

		fixture_init(&x);
		read.table = &x.table;
		x.table.replica_identity = cases[i].identity;
		x.table.identity_index = cases[i].identity == 'i' ? by_author : NULL;
		x.indexes[1].immediate = cases[i].author_index;
		x.columns[link].generated = cases[i].generated;
		if (cases[i].wide >= 0)
			x.columns[cases[i].wide].unlimited = true;
		source_tables_init(&got, &catalog, plans, 1);
		for (size_t c = 0; c < got.items[0].n_published; c++)
			published[c] = (char)('0' + got.items[0].published[c]);
		if (strcmp(published, cases[i].published) != 0)
			fail_msg("case %zu: %s, expected %s", i, published, cases[i].published);
		source_tables_release(&got);
	}
}

/* --- identities --- */

static void test_identity_gaps_then_by_index_or_full_only_where_needed(void **state)
{
	static const struct {
		char identity;
		const char *index;
		int *links;
		bool author_index; /* may be named */
		const char *sql;   /* NULL: no gap */
	} cases[] = {
		{'d', NULL, link_id, true, NULL},
		{'f', NULL, link_author, true, NULL},
		{'i', by_author, link_author, true, NULL},
		{'d', NULL, link_author, true,
		 "ALTER TABLE \"public\".\"books\" REPLICA IDENTITY USING INDEX \"books_author_isbn\""},
		{'d', NULL, link_author, false, "ALTER TABLE \"public\".\"books\" REPLICA IDENTITY FULL"},
		{'n', NULL, link_id, true,
		 "ALTER TABLE \"public\".\"books\" REPLICA IDENTITY USING INDEX \"books_pkey\""},
	};
	struct fixture x;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
		struct source source = {0};
		struct source_table table = {.table = &x.table, .links = cases[i].links, .n_links = 1};
		struct err err;

		fixture_init(&x);
		x.table.replica_identity = cases[i].identity;
		x.table.identity_index = (char *)cases[i].index;
		x.indexes[1].valid = cases[i].author_index;
		assert_int_equal(identity_add_gaps(&source, &table, &gaps, &err), 0);
		assert_int_equal(gaps.n, cases[i].sql ? 1 : 0);
		if (!cases[i].sql)
			continue;
		assert_string_equal(gaps.items[0].sql, cases[i].sql);
		assert_int_equal(gaps.items[0].replica_identity, cases[i].identity);
		assert_true(gaps.items[0].full == !strcmp(cases[i].sql + strlen(cases[i].sql) - 4, "FULL"));
	}
}

static void test_identity_gaps_of_a_partitioned_table_then_those_of_its_partitions(void **state)
{
	int covered[] = {2};
	struct catalog_part parts[] = {
		{.oid = 2, .kind = 'p', .replica_identity = 'n'},
		{.oid = 3, .kind = 'r', .replica_identity = 'f'},
		{.oid = 4, .kind = 'r', .replica_identity = 'i', .identity = covered, .n_identity = 1}};
	struct source_table table = {.links = link_author, .n_links = 1};
	struct identity_gaps gaps = {0};
	struct source source = {0};
	struct fixture x;
	struct err err;

	UNUSED(state);
	fixture_init(&x);
	x.table.kind = 'p';
	x.table.replica_identity = 'n';
	x.table.parts = parts;
	x.table.n_parts = 3;
	table.table = &x.table;
	assert_int_equal(identity_add_gaps(&source, &table, &gaps, &err), 0);
	assert_int_equal(gaps.n, 0);
	identity_gaps_release(&gaps);
}

static void test_identity_note_then_only_what_was_there_first_is_remembered(void **state)
{
	struct identity_gap gap = {
		.schema = "public", .name = "books", .replica_identity = 'i', .identity_index = pkey};
	const struct identity_gaps gaps = {.items = &gap, .n = 1};
	struct checkpoint cp = {0};

	UNUSED(state);
	assert_true(identity_note(&cp, &gaps));
	gap.replica_identity = 'f';
	gap.identity_index = NULL;
	assert_false(identity_note(&cp, &gaps));
	assert_int_equal(cp.n_identities, 1);
	assert_string_equal(cp.identities[0].table, "books");
	assert_int_equal(cp.identities[0].replica_identity, 'i');
	assert_string_equal(cp.identities[0].identity_index, "books_pkey");
	checkpoint_release(&cp);
}

/* --- partitions --- */

static void test_partitions_then_a_difference_is_noticed_by_oid_attachment_or_file(void **state)
{
	static const struct {
		struct checkpoint_part known;
		bool gone, is_new;
	} cases[] = {
		{{.table = 1, .part = 3, .attachment = 6, .filenode = 9}, false, false},
		{{.table = 1, .part = 3, .attachment = 5, .filenode = 9}, true, true},
		{{.table = 1, .part = 3, .attachment = 6, .filenode = 8}, true, true},
		{{.table = 1, .part = 2, .attachment = 6, .filenode = 9}, true, true},
		{{.table = 7, .part = 3, .attachment = 6, .filenode = 9}, false, true},
	};
	struct catalog_part part = {.oid = 3, .kind = 'r', .attachment = 6, .filenode = 9};
	struct catalog_table table = {.oid = 1, .kind = 'p', .parts = &part, .n_parts = 1};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct checkpoint_part known = cases[i].known;
		const struct checkpoint cp = {.parts = &known, .n_parts = 1};

		assert_int_equal(partitions_are_gone(&cp, &table), cases[i].gone);
		assert_int_equal(partitions_is_new(&cp, &table, &part), cases[i].is_new);
	}
	part.kind = 'p';
	assert_false(partitions_is_new(&(struct checkpoint){0}, &table, &part));
}

static void test_partitions_adopt_then_there_is_no_difference(void **state)
{
	struct catalog_part parts[] = {{.oid = 3, .kind = 'r', .attachment = 6, .filenode = 9},
				       {.oid = 4, .kind = 'r', .attachment = 7, .filenode = 5}};
	struct catalog_table table = {.oid = 1, .kind = 'p', .parts = parts, .n_parts = 2};
	struct source_table one = {.table = &table};
	const struct source_tables tables = {.items = &one, .n = 1};
	struct checkpoint cp = {0};

	UNUSED(state);
	partitions_adopt(&tables, &cp);
	partitions_adopt(&tables, &cp);
	assert_int_equal(cp.n_parts, 2);
	assert_false(partitions_are_gone(&cp, &table));
	assert_false(partitions_is_new(&cp, &table, &parts[1]));
	checkpoint_release(&cp);
}

/* --- ranges of a bootstrap --- */

static struct range *add_leaf(struct ranges *r, uint64_t blocks)
{
	static const struct catalog_table view = {.oid = 7, .schema = public, .name = books, .kind = 'r'};
	struct checkpoint_index index = {0};
	struct range *range;

	ranges_add_view(r, 0, &view, &index);
	range = &r->items[r->n - 1];
	range->is_view = false;
	range->end = blocks;
	range->blocks = 32;
	return range;
}

static void test_ranges_then_every_block_once(void **state)
{
	struct ranges r = {0};
	struct range *range = add_leaf(&r, 1000);
	struct range_chunk chunk;
	uint64_t next = 0;

	UNUSED(state);
	while (ranges_take(&r, 2, &chunk)) {
		assert_int_equal(chunk.from, next);
		assert_true(chunk.to > chunk.from);
		next = chunk.to;
		ranges_adapt(&chunk, &(struct range_cost){.bytes = (chunk.to - chunk.from) * 1000});
		ranges_done(&chunk, 5);
	}
	assert_int_equal(next, 1000);
	assert_int_equal(ranges_durable_below(range), 1000);
	assert_int_equal(range->n_parts, 0);
	ranges_release(&r);
}

static void test_ranges_when_chunks_end_in_any_order_then_only_what_is_below_all_is_durable(void **state)
{
	struct ranges r = {0};
	struct range *range = add_leaf(&r, 1000);
	struct range_chunk a, b, c;
	struct checkpoint_index index = {0};

	UNUSED(state);
	assert_true(ranges_take(&r, 1, &a) && ranges_take(&r, 1, &b) && ranges_take(&r, 1, &c));
	ranges_done(&b, 10);
	assert_int_equal(ranges_durable_below(range), 0);
	(void)ranges_save(range, &index);
	assert_int_equal(index.ranges[0].next_block, 0);
	assert_int_equal(index.ranges[0].rows, 0);
	ranges_done(&a, 1);
	assert_int_equal(ranges_durable_below(range), c.from);
	assert_true(ranges_save(range, &index));
	assert_false(ranges_save(range, &index));
	assert_int_equal(index.n_ranges, 1);
	assert_int_equal(index.ranges[0].next_block, c.from);
	assert_int_equal(index.ranges[0].rows, 11);
	free(index.ranges);
	ranges_release(&r);
}

static void test_ranges_when_resumed_then_what_is_durable_is_left_out_unless_rewritten(void **state)
{
	static const struct catalog_table view = {.oid = 7, .schema = public, .name = books, .kind = 'v'};
	struct checkpoint_range was = {.relation = 7, .next_block = 1, .end_block = 1, .rows = 12};
	struct checkpoint_index index = {.ranges = &was, .n_ranges = 1, .rows_total = 99};
	struct ranges r = {0};
	struct range_chunk chunk;

	UNUSED(state);
	ranges_add_view(&r, 0, &view, &index);
	assert_int_equal(index.rows_total, 0);
	assert_int_equal(r.items[0].rows, 12);
	assert_false(ranges_take(&r, 1, &chunk));
	assert_false(ranges_wait_for_views(&r));
	was.filenode = 5;
	ranges_add_view(&r, 0, &view, &index);
	assert_true(ranges_wait_for_views(&r));
	assert_true(ranges_take(&r, 1, &chunk));
	assert_true(ranges_wait_for_views(&r));
	ranges_done(&chunk, 12);
	assert_false(ranges_wait_for_views(&r));
	ranges_release(&r);
}

static void test_ranges_adapt_then_within_limits(void **state)
{
	static const struct {
		struct range_cost cost; /* of a chunk of 32 blocks */
		uint64_t blocks;
	} cases[] = {
		{{.bytes = 0}, 64},                                /* nothing came out */
		{{.bytes = RANGES_CHUNK_BYTES}, 32},               /* as wanted */
		{{.bytes = RANGES_CHUNK_BYTES / 100}, 128},        /* at most four times as many */
		{{.bytes = (uint64_t)RANGES_CHUNK_BYTES * 16}, 2}, /* as few as it takes */
		{{.bytes = (uint64_t)RANGES_CHUNK_BYTES * 99}, 1}, /* at least one */
		/* The same for its time. */
		{{.bytes = RANGES_CHUNK_BYTES, .ms = 100, .most_ms = 1000}, 32},
		{{.bytes = RANGES_CHUNK_BYTES, .ms = 500, .most_ms = 1000}, 32},
		{{.bytes = RANGES_CHUNK_BYTES, .ms = 1000, .most_ms = 1000}, 16},
		{{.bytes = RANGES_CHUNK_BYTES / 4, .ms = 250, .most_ms = 1000}, 64},
		{{.bytes = RANGES_CHUNK_BYTES / 4, .ms = 90000, .most_ms = 1000}, 1},
	};
	struct ranges r = {0};
	struct range *range = add_leaf(&r, 1000);
	struct range_chunk chunk = {.range = range, .from = 0, .to = 32};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ranges_adapt(&chunk, &cases[i].cost);
		assert_int_equal(range->blocks, cases[i].blocks);
	}
	ranges_release(&r);
}

/* --- checks --- */

struct setup {
	struct fixture x;
	struct source source;
	struct checks_server server;
	struct catalog_part part;
	struct identity_gap gap;
	struct identity_gaps gaps;
	struct document_view view;
	struct source_table read;
	struct check_input in;
};

/* Nothing is wrong. */
static void setup_init(struct setup *s)
{
	*s = (struct setup){
		.source = {.slot = "slot", .publication = "pub", .user = "sync", .database = "shop"},
		.server = {.version = 170010,
			   .wal_level = "logical",
			   .role = "sync",
			   .encoding = "UTF8",
			   .free_slots = 1,
			   .free_senders = 1,
			   .may_replicate = true,
			   .may_create = true},
		.part = {.oid = 2,
			 .schema = public,
			 .name = isbn,
			 .kind = 'r',
			 .persistence = 'p',
			 .is_owner = true,
			 .can_select = true},
		.gap = {.schema = "public", .name = "books", .is_owner = true, .sql = (char *)"ALTER"},
	};
	fixture_init(&s->x);
	s->x.table.populated = s->x.table.can_refresh = true;
	s->gaps.items = &s->gap;
	s->view.view = &s->x.table;
	s->in = (struct check_input){.source = &s->source,
				     .server = &s->server,
				     .table = &s->x.table,
				     .name = "public.books",
				     .gaps = &s->gaps,
				     .read = &s->read,
				     .view = &s->view};
}

static void old_server(struct setup *s)
{
	s->server.version = 130002;
}
static void replica_level(struct setup *s)
{
	memcpy(s->server.wal_level, "replica", 8);
}
static void replica_level_19(struct setup *s)
{
	replica_level(s);
	s->server.raises_wal_level = true;
}
static void minimal_level_19(struct setup *s)
{
	replica_level_19(s);
	memcpy(s->server.wal_level, "minimal", 8);
}
static void latin(struct setup *s)
{
	memcpy(s->server.encoding, "LATIN1", 7);
}
static void no_encoding(struct setup *s)
{
	memcpy(s->server.encoding, "SQL_ASCII", 10);
}
static void no_replication(struct setup *s)
{
	s->server.may_replicate = false;
}
static void standby(struct setup *s)
{
	s->server.is_standby = true;
}
static void fed_standby(struct setup *s)
{
	standby(s);
	s->server.feeds_back = true;
}
static void old_standby(struct setup *s)
{
	standby(s);
	s->server.version = 150004;
}
static void failover_standby(struct setup *s)
{
	fed_standby(s);
	s->source.failover = true;
}
static void standby_cannot_create(struct setup *s)
{
	fed_standby(s);
	s->server.may_create = false;
}
static void no_create(struct setup *s)
{
	s->server.may_create = false;
}
static void no_create_but_published(struct setup *s)
{
	no_create(s);
	s->server.has_publication = true;
}
static void no_slots(struct setup *s)
{
	s->server.free_slots = 0;
}
static void no_senders(struct setup *s)
{
	s->server.free_senders = 0;
}
static void all_taken_by_us(struct setup *s)
{
	no_slots(s);
	no_senders(s);
	s->server.has_slot = true;
}
static void everything(struct setup *s)
{
	old_server(s);
	replica_level(s);
	no_replication(s);
	standby(s);
	no_create(s);
	no_slots(s);
	no_senders(s);
}
static void large(struct setup *s)
{
	s->read.large_unused = true;
}
static void large_and_full(struct setup *s)
{
	large(s);
	s->x.table.replica_identity = 'f';
}
static void large_and_full_gap(struct setup *s)
{
	large(s);
	s->gap.full = true;
	s->gaps.n = 1;
}
static void large_and_full_14(struct setup *s)
{
	large_and_full(s);
	s->server.version = 140018;
}
static void no_select(struct setup *s)
{
	s->x.table.can_select = false;
}
static void row_security(struct setup *s)
{
	s->x.table.row_security = true;
	s->x.table.is_owner = false;
}
static void forced_row_security(struct setup *s)
{
	s->x.table.row_security = true;
}
static void bypassed(struct setup *s)
{
	row_security(s);
	s->server.bypasses_row_security = true;
}
static void overlap(struct setup *s)
{
	s->in.overlaps = true;
}
static void partitioned(struct setup *s)
{
	s->x.table.kind = 'p';
	s->x.table.parts = &s->part;
	s->x.table.n_parts = 1;
}
static void no_key(struct setup *s)
{
	partitioned(s);
	s->x.indexes[0].primary = false;
}
static void foreign_part(struct setup *s)
{
	partitioned(s);
	s->part.kind = 'f';
}
static void unlogged_part(struct setup *s)
{
	partitioned(s);
	s->part.persistence = 'u';
}
static void no_select_part(struct setup *s)
{
	partitioned(s);
	s->part.can_select = false;
}
static void no_select_inner(struct setup *s)
{
	no_select_part(s);
	s->part.kind = 'p';
}
static void gap(struct setup *s)
{
	s->gaps.n = 1;
}
static void verify(struct setup *s)
{
	gap(s);
	s->source.verify_identities = true;
}
static void not_owner(struct setup *s)
{
	gap(s);
	s->gap.is_owner = false;
}
static void virtual_column(struct setup *s)
{
	s->x.columns[1].is_virtual = true;
}
static void virtual_and_full(struct setup *s)
{
	virtual_column(s);
	s->x.table.replica_identity = 'f';
}
static void virtual_and_full_gap(struct setup *s)
{
	virtual_column(s);
	gap(s);
	s->gap.full = true;
}
static void materialized(struct setup *s)
{
	s->x.table.kind = 'm';
}
static void unpopulated(struct setup *s)
{
	materialized(s);
	s->x.table.populated = false;
}
static void unpopulated_view(struct setup *s)
{
	s->x.table.kind = 'v';
	s->x.table.populated = false;
}
static void followed(struct setup *s)
{
	materialized(s);
	s->view.followed = true;
}
static void followed_unpopulated(struct setup *s)
{
	followed(s);
	s->x.table.populated = false;
}
static void no_refresh(struct setup *s)
{
	followed(s);
	s->x.table.can_refresh = false;
}
static void no_refresh_16(struct setup *s)
{
	no_refresh(s);
	s->server.version = 160004;
}
static void followed_on_standby(struct setup *s)
{
	followed(s);
	fed_standby(s);
}
static void no_index(struct setup *s)
{
	followed(s);
	s->x.table.n_indexes = 0;
}
static void invalid_index(struct setup *s)
{
	followed(s);
	s->x.table.n_indexes = 1;
	s->x.indexes[0].valid = false;
}
static void fine(struct setup *s)
{
	UNUSED(s);
}

static const struct {
	enum check_needs needs;
	void (*change)(struct setup *s);
	const char *summary; /* of the findings: reasons, "-" before those that are warnings */
} check_cases[] = {
	{CHECK_NEEDS_SERVER, fine, ""},
	{CHECK_NEEDS_SERVER, old_server, "VersionUnsupported"},
	{CHECK_NEEDS_SERVER, replica_level, "WalLevelNotLogical"},
	{CHECK_NEEDS_SERVER, replica_level_19, ""},
	{CHECK_NEEDS_SERVER, minimal_level_19, "WalLevelNotLogical"},
	{CHECK_NEEDS_SERVER, latin, ""},
	{CHECK_NEEDS_SERVER, no_encoding, "NotSupported"},
	{CHECK_NEEDS_SERVER, no_replication, "PrivilegeMissing"},
	{CHECK_NEEDS_SERVER, standby, "-ServerIsStandby"},
	{CHECK_NEEDS_SERVER, fed_standby, ""},
	{CHECK_NEEDS_SERVER, old_standby, "ServerIsStandby"},
	{CHECK_NEEDS_SERVER, failover_standby, "ServerIsStandby"},
	{CHECK_NEEDS_SERVER, standby_cannot_create, ""},
	{CHECK_NEEDS_SERVER, no_create, "PrivilegeMissing"},
	{CHECK_NEEDS_SERVER, no_create_but_published, ""},
	{CHECK_NEEDS_SERVER, no_slots, "NoFreeSlot"},
	{CHECK_NEEDS_SERVER, no_senders, "NoFreeSender"},
	{CHECK_NEEDS_SERVER, all_taken_by_us, ""},
	{CHECK_NEEDS_SERVER, everything,
	 "VersionUnsupported WalLevelNotLogical PrivilegeMissing ServerIsStandby NoFreeSlot NoFreeSender"},
	{CHECK_NEEDS_TABLE, fine, ""},
	{CHECK_NEEDS_TABLE, no_select, "PrivilegeMissing"},
	{CHECK_NEEDS_TABLE, row_security, "RowSecurity"},
	{CHECK_NEEDS_TABLE, forced_row_security, "RowSecurity"},
	{CHECK_NEEDS_TABLE, bypassed, ""},
	{CHECK_NEEDS_TABLE, overlap, "NotSupported"},
	{CHECK_NEEDS_TABLE, partitioned, ""},
	{CHECK_NEEDS_TABLE, no_key, "-ReplicaIdentity"},
	{CHECK_NEEDS_TABLE, foreign_part, "NotSupported"},
	{CHECK_NEEDS_TABLE, unlogged_part, "TableNotLogged"},
	{CHECK_NEEDS_TABLE, no_select_part, "PrivilegeMissing"},
	{CHECK_NEEDS_TABLE, no_select_inner, ""},
	{CHECK_NEEDS_IDENTITY, fine, ""},
	{CHECK_NEEDS_IDENTITY, gap, ""},
	{CHECK_NEEDS_IDENTITY, verify, "ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, not_owner, "ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, virtual_column, ""},
	{CHECK_NEEDS_IDENTITY, virtual_and_full, "ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, virtual_and_full_gap, "ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, large, ""},
	{CHECK_NEEDS_IDENTITY, large_and_full, "-ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, large_and_full_gap, "-ReplicaIdentity"},
	{CHECK_NEEDS_IDENTITY, large_and_full_14, ""},
	{CHECK_NEEDS_VIEW, fine, ""},
	{CHECK_NEEDS_VIEW, no_select, "PrivilegeMissing"},
	{CHECK_NEEDS_VIEW, materialized, ""},
	{CHECK_NEEDS_VIEW, unpopulated, "ViewNotPopulated"},
	{CHECK_NEEDS_VIEW, unpopulated_view, ""},
	{CHECK_NEEDS_VIEW, followed, ""},
	{CHECK_NEEDS_VIEW, followed_unpopulated, ""},
	{CHECK_NEEDS_VIEW, followed_on_standby, "NotSupported"},
	{CHECK_NEEDS_VIEW, no_refresh, "PrivilegeMissing"},
	{CHECK_NEEDS_VIEW, no_refresh_16, "PrivilegeMissing"},
	{CHECK_NEEDS_VIEW, no_index, "-RefreshBlocks"},
	{CHECK_NEEDS_VIEW, invalid_index, "-RefreshBlocks"},
};

static void add_summary(struct strbuf *sb, const struct findings *f)
{
	strbuf_reset(sb);
	for (size_t i = 0; i < f->n; i++)
		strbuf_addf(sb, "%s%s%s", i ? " " : "", f->items[i].severity == FINDING_WARNING ? "-" : "",
			    reason_name(f->items[i].reason));
}

static void test_checks_then_each_finds_what_is_wrong_and_nothing_else(void **state)
{
	_cleanup_(strbuf_release) struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(check_cases); i++) {
		struct setup s;
		struct findings f;

		setup_init(&s);
		check_cases[i].change(&s);
		findings_init(&f);
		checks_run(check_cases[i].needs, &s.in, &f);
		add_summary(&sb, &f);
		assert_string_equal(sb.len ? sb.data : "", check_cases[i].summary);
		findings_release(&f);
	}
}

static void test_checks_then_the_statement_to_run_fits_the_server(void **state)
{
	struct setup s;
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	setup_init(&s);
	no_refresh(&s);
	checks_run(CHECK_NEEDS_VIEW, &s.in, &f);
	assert_non_null(strstr(f.items[0].message, "GRANT MAINTAIN ON \"public\".\"books\" TO \"sync\""));
	findings_release(&f);
	findings_init(&f);
	no_refresh_16(&s);
	checks_run(CHECK_NEEDS_VIEW, &s.in, &f);
	assert_non_null(strstr(f.items[0].message, "ALTER MATERIALIZED VIEW \"public\".\"books\" OWNER TO \"sync\""));
	findings_release(&f);
}

/* What follows the first verb of a message is for the user to run. */
static const char *statement_of(const char *message)
{
	static const char *const verbs[] = {"GRANT ", "ALTER ", "CREATE ", "REFRESH "};
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const char *at = strstr(message, verbs[i]);

		if (at && (!first || at < first))
			first = at;
	}
	return first;
}

static void test_checks_when_names_contain_quotes_then_no_statement_lets_them_end(void **state)
{
	static char hostile[] = "x\" TO joe; DROP TABLE y; --";
	unsigned statements = 0;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(check_cases); i++) {
		struct setup s;
		struct findings f;

		setup_init(&s);
		check_cases[i].change(&s);
		s.source.user = s.source.database = hostile;
		(void)snprintf(s.server.role, sizeof(s.server.role), "%s", hostile);
		s.x.table.schema = s.x.table.name = s.part.schema = s.part.name = hostile;
		findings_init(&f);
		checks_run(check_cases[i].needs, &s.in, &f);
		for (size_t j = 0; j < f.n; j++) {
			const char *statement = statement_of(f.items[j].message);
			const char *name = statement ? strstr(statement, "x\"") : NULL;

			statements += statement && strstr(statement, "\"x\"\" TO joe;");
			if (name && strncmp(name, "x\"\"", 3) != 0)
				fail_msg("%s", f.items[j].message);
		}
		findings_release(&f);
	}
	assert_in_range(statements, 12, 100);
}

/* Two tables, of which a document reads one, and one that did not compile names the other. */
static void test_checks_tables_then_those_that_some_document_names(void **state)
{
	struct fixture x, y, z;
	struct catalog_table tables[3];
	struct source_table read = {.table = &tables[0], .links = link_author, .n_links = 1};
	const struct catalog catalog = {.tables = tables, .n = 3};
	const struct source_tables all = {.items = &read, .n = 1};
	bool named[] = {false, true, false};
	const struct checks_subject subject = {.catalog = &catalog, .tables = &all, .named = named};
	const struct source source = {.user = "sync", .verify_identities = true};
	const struct checks_server server = {.version = 170010};
	struct findings f;
	struct err err;

	UNUSED(state);
	fixture_init(&x);
	fixture_init(&y);
	fixture_init(&z);
	tables[0] = x.table;
	tables[1] = y.table;
	tables[2] = z.table;
	for (uint32_t i = 0; i < 3; i++) {
		tables[i].oid = i + 1;
		tables[i].can_select = false;
	}
	tables[1].partition_of = 1;
	findings_init(&f);
	assert_int_equal(checks_tables(&source, &server, &subject, &f, &err), 0);
	/* For the table that is read: no privilege, no identity. For the one that is named: no privilege, read
	 * twice. */
	assert_int_equal(f.n, 4);
	assert_string_equal(reason_name(f.items[0].reason), "PrivilegeMissing");
	assert_string_equal(reason_name(f.items[1].reason), "ReplicaIdentity");
	assert_string_equal(reason_name(f.items[2].reason), "PrivilegeMissing");
	assert_string_equal(reason_name(f.items[3].reason), "NotSupported");
	findings_release(&f);
}

/* --- who owns a publication --- */

static void test_judge_then_only_our_mark_makes_a_publication_ours(void **state)
{
	static const struct {
		const char *comment, *fingerprint, *known;
		bool marked;
		enum source_claim claim;
	} cases[] = {
		{NULL, NULL, "7:1", false, SOURCE_ABSENT},
		{"pgsync: shop/books", "7:1", NULL, false, SOURCE_OURS},
		{"pgsync: shop/books", "8:1", "7:1", true, SOURCE_OURS},
		{"pgsync: shop/books2", "7:1", "7:1", false, SOURCE_OF_ANOTHER},
		{"pgsync: shop/book", "7:1", "7:1", false, SOURCE_OF_ANOTHER},
		{"our pgsync: shop/books", "7:1", NULL, false, SOURCE_UNMARKED},
		{NULL, "7:1", NULL, false, SOURCE_UNMARKED},
		/* An earlier version created it. */
		{NULL, "7:2", "7:1", false, SOURCE_OURS_BY_CP},
		{"for the search team", "7:1", "7:1", false, SOURCE_OURS_BY_CP},
		{NULL, "8:1", "7:1", false, SOURCE_UNMARKED},
		/* A checkpoint of this version is not evidence of ownership. */
		{NULL, "7:1", "7:1", true, SOURCE_UNMARKED},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct checkpoint cp = {.publication_marked = cases[i].marked,
					.publication_fingerprint = (char *)cases[i].known};

		if (source_judge("shop/books", cases[i].comment, cases[i].fingerprint, &cp) != cases[i].claim)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge_then_only_our_mark_makes_a_publication_ours),
		cmocka_unit_test(test_source_tables_then_links_of_all_plans_in_order),
		cmocka_unit_test(
			test_source_tables_when_an_unused_column_may_be_large_then_only_identity_and_links_are_published),
		cmocka_unit_test(test_identity_gaps_then_by_index_or_full_only_where_needed),
		cmocka_unit_test(test_identity_gaps_of_a_partitioned_table_then_those_of_its_partitions),
		cmocka_unit_test(test_identity_note_then_only_what_was_there_first_is_remembered),
		cmocka_unit_test(test_partitions_then_a_difference_is_noticed_by_oid_attachment_or_file),
		cmocka_unit_test(test_partitions_adopt_then_there_is_no_difference),
		cmocka_unit_test(test_ranges_then_every_block_once),
		cmocka_unit_test(test_ranges_when_chunks_end_in_any_order_then_only_what_is_below_all_is_durable),
		cmocka_unit_test(test_ranges_when_resumed_then_what_is_durable_is_left_out_unless_rewritten),
		cmocka_unit_test(test_ranges_adapt_then_within_limits),
		cmocka_unit_test(test_checks_then_each_finds_what_is_wrong_and_nothing_else),
		cmocka_unit_test(test_checks_then_the_statement_to_run_fits_the_server),
		cmocka_unit_test(test_checks_when_names_contain_quotes_then_no_statement_lets_them_end),
		cmocka_unit_test(test_checks_tables_then_those_that_some_document_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
