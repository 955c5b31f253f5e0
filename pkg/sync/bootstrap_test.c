/* Tests of the bootstrap: where it resumes, what counts as copied, and what ends it. */
#include "apply/precedence.h"
#include "apply/unsettled.h"
#include "sync/bootstrap_int.h"
#include "sync/world_test.h"

enum { BLOCKS = 64 };

struct fixture {
	struct world w;
	struct bootstrap *bootstrap;
	struct checkpoint_index *index;
	int wake_fd;
};

/* A generation to fill, from a table of BLOCKS blocks with one row in each of these. */
static void begin(struct fixture *f, const uint64_t *blocks, size_t n)
{
	f->bootstrap = NULL;
	world_begin(&f->w);
	f->w.blocks = "64";
	f->w.at.cp.phase = CHECKPOINT_BOOTSTRAP;
	f->index = attempt_index(&f->w.at, 0);
	f->index->complete = false;
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (size_t i = 0; i < n; i++)
		world_add_row(&f->w, (struct row){.id = (int)i + 1, .block = blocks[i]});
}

static void remember(struct fixture *f, struct checkpoint_range range)
{
	f->index->ranges = xcalloc(1, sizeof(range));
	f->index->ranges[0] = range;
	f->index->n_ranges = 1;
}

static void start(struct fixture *f)
{
	OK(&f->w, bootstrap_start(&f->w.at, f->wake_fd, &f->bootstrap, &f->w.err));
	assert_non_null(f->bootstrap);
}

static int finish(struct fixture *f)
{
	int r;

	while (!(r = bootstrap_check(f->bootstrap, &f->w.err)))
		wait_news(f->wake_fd);
	return r;
}

static void copy(struct fixture *f)
{
	start(f);
	if (finish(f) < 0)
		fail_msg("%s", f->w.err.msg);
	(void)bootstrap_note(f->bootstrap, &f->w.at);
}

static void end(struct fixture *f)
{
	fake_gate_open(&f->w.documents);
	fake_gate_open(&f->w.bulks);
	bootstrap_stop(f->bootstrap);
	world_end(&f->w);
	close_fdp(&f->wake_fd);
}

static void test_bootstrap_when_done_then_every_row_is_in_the_index_with_the_generation_s_version(void **state)
{
	static const uint64_t blocks[] = {0, 31, 32, 63};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	copy(&f);
	assert_int_equal(world_documents(&f.w), 4);
	for (int id = 1; id <= 4; id++)
		assert_int_equal(world_version(&f.w, id), FILLED);
	assert_int_equal(f.index->n_ranges, 1);
	assert_int_equal(f.index->ranges[0].relation, BOOKS);
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].end_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].rows, 4);
	/* The refresh makes the documents searchable before the alias moves. */
	assert_true(world_requested(&f.w, "POST /books-g1/_refresh") > 0);
	end(&f);
}

static void test_bootstrap_when_live_then_there_is_nothing_to_copy(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL, 0);
	f.w.at.cp.phase = CHECKPOINT_LIVE;
	OK(&f.w, bootstrap_start(&f.w.at, f.wake_fd, &f.bootstrap, &f.w.err));
	assert_null(f.bootstrap);
	end(&f);
}

static void test_bootstrap_when_the_table_is_empty_then_it_is_done(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL, 0);
	f.w.blocks = "0";
	copy(&f);
	assert_int_equal(world_documents(&f.w), 0);
	end(&f);
}

/* --- where it resumes --- */

static void test_bootstrap_when_resumed_then_it_resumes_at_the_checkpoint_s_block(void **state)
{
	static const uint64_t blocks[] = {0, 39, 40, 63};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	remember(&f, (struct checkpoint_range){
			     .relation = BOOKS, .filenode = 100, .next_block = 40, .end_block = BLOCKS, .rows = 2});
	copy(&f);
	assert_int_equal(world_version(&f.w, 1), 0);
	assert_int_equal(world_version(&f.w, 2), 0);
	assert_int_equal(world_version(&f.w, 3), FILLED);
	assert_int_equal(world_version(&f.w, 4), FILLED);
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].rows, 4);
	end(&f);
}

static void test_bootstrap_when_the_table_grew_since_then_only_the_planned_blocks_are_copied(void **state)
{
	static const uint64_t blocks[] = {10, 50};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	/* The stream contains the rows beyond this block. */
	remember(&f, (struct checkpoint_range){.relation = BOOKS, .filenode = 100, .end_block = 40});
	copy(&f);
	assert_int_equal(world_version(&f.w, 1), FILLED);
	assert_int_equal(world_version(&f.w, 2), 0);
	assert_int_equal(f.index->ranges[0].end_block, 40);
	end(&f);
}

static void test_bootstrap_when_the_table_was_rewritten_since_then_it_begins_again(void **state)
{
	static const uint64_t blocks[] = {0, 63};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	remember(&f, (struct checkpoint_range){
			     .relation = BOOKS, .filenode = 99, .next_block = 40, .end_block = BLOCKS, .rows = 2});
	copy(&f);
	assert_int_equal(world_documents(&f.w), 2);
	assert_int_equal(f.index->ranges[0].filenode, 100);
	assert_int_equal(f.index->ranges[0].rows, 2);
	end(&f);
}

static void test_bootstrap_when_the_table_is_rewritten_meanwhile_then_it_is_a_conflict(void **state)
{
	static const uint64_t blocks[] = {0};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.filenode_later = "101";
	start(&f);
	assert_int_equal(finish(&f), -1);
	assert_int_equal(f.w.err.kind, ERR_CONFLICT);
	assert_int_equal(f.w.err.reason, REASON_TABLE_REWRITTEN);
	assert_int_equal(world_documents(&f.w), 0);
	end(&f);
}

/* --- what counts as copied --- */

static void test_bootstrap_when_the_engine_has_not_answered_then_the_chunk_does_not_count(void **state)
{
	static const uint64_t blocks[] = {0};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	(void)bootstrap_note(f.bootstrap, &f.w.at);
	assert_int_equal(f.index->ranges[0].next_block, 0);
	assert_int_equal(f.index->ranges[0].rows, 0);
	assert_true(unsettled_any(f.w.at.model.unsettled, UINT64_MAX));
	assert_int_equal(bootstrap_check(f.bootstrap, &f.w.err), 0);
	fake_gate_open(&f.w.bulks);
	assert_int_equal(finish(&f), 1);
	assert_false(unsettled_any(f.w.at.model.unsettled, UINT64_MAX));
	assert_true(bootstrap_note(f.bootstrap, &f.w.at));
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].rows, 1);
	/* Nothing new to save. */
	assert_false(bootstrap_note(f.bootstrap, &f.w.at));
	end(&f);
}

static void test_bootstrap_when_an_earlier_chunk_is_late_then_later_ones_do_not_count(void **state)
{
	static const uint64_t blocks[] = {0, 32};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.held_from = "(0,0)";
	fake_gate_close(&f.w.documents);
	start(&f);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	while (!world_version(&f.w, 2))
		wait_news(f.wake_fd);
	(void)bootstrap_note(f.bootstrap, &f.w.at);
	assert_int_equal(f.index->ranges[0].next_block, 0);
	fake_gate_open(&f.w.documents);
	assert_int_equal(finish(&f), 1);
	(void)bootstrap_note(f.bootstrap, &f.w.at);
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	end(&f);
}

static void test_bootstrap_when_the_root_is_a_view_then_the_stream_waits_until_it_is_copied(void **state)
{
	static const uint64_t blocks[] = {0, 1};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.at.model.plans[0]->root_is_view = true;
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_true(bootstrap_holds(f.bootstrap));
	fake_gate_open(&f.w.bulks);
	assert_int_equal(finish(&f), 1);
	assert_false(bootstrap_holds(f.bootstrap));
	assert_int_equal(world_documents(&f.w), 2);
	end(&f);
}

static void test_bootstrap_when_the_root_is_a_table_then_the_stream_does_not_wait(void **state)
{
	static const uint64_t blocks[] = {0};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_false(bootstrap_holds(f.bootstrap));
	end(&f);
}

/* --- rows that fail --- */

static void test_bootstrap_when_a_row_fails_alone_then_it_is_found_and_left_out(void **state)
{
	static const uint64_t blocks[] = {0, 7, 20, 21, 63};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.rows[2].fails = true;
	copy(&f);
	for (int id = 1; id <= 5; id++)
		assert_int_equal(world_version(&f.w, id), id == 3 ? 0 : FILLED);
	assert_int_equal(f.w.n_dead_letters, 1);
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].rows, 4);
	end(&f);
}

static void test_bootstrap_when_the_query_fails_without_rows_then_it_ends_the_bootstrap(void **state)
{
	static const uint64_t blocks[] = {0, 7};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.fails_always = true;
	start(&f);
	assert_int_equal(finish(&f), -1);
	assert_string_equal(f.w.err.sqlstate, "22012");
	assert_int_equal(f.w.n_dead_letters, 0);
	(void)bootstrap_note(f.bootstrap, &f.w.at);
	assert_int_equal(f.index->ranges[0].next_block, 0);
	end(&f);
}

/* --- limits --- */

static void test_bootstrap_when_a_chunk_takes_too_long_then_it_is_read_in_parts_with_a_snapshot_each(void **state)
{
	static const uint64_t blocks[] = {0, 7, 20, 21};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		f.w.rows[i].slow = 60;
	copy(&f);
	for (int id = 1; id <= 4; id++)
		assert_int_equal(world_version(&f.w, id), FILLED);
	assert_int_equal(f.w.n_dead_letters, 0);
	assert_int_equal(f.index->ranges[0].next_block, BLOCKS);
	assert_int_equal(f.index->ranges[0].rows, 4);
	/* The parts with more than one of these rows were rolled back. Each part has its own transaction. */
	assert_true(world_asked(&f.w, "bootstrap: ROLLBACK") >= 3);
	assert_int_equal(world_asked(&f.w, "bootstrap: BEGIN"),
			 world_asked(&f.w, "bootstrap: ROLLBACK") + world_asked(&f.w, "bootstrap: COMMIT"));
	end(&f);
}

static void test_bootstrap_when_one_row_takes_too_long_then_it_is_an_error_and_no_dead_letter(void **state)
{
	static const uint64_t blocks[] = {0, 20};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.rows[1].slow = 200;
	start(&f);
	assert_int_equal(finish(&f), -1);
	assert_int_equal(f.w.err.kind, ERR_TRANSIENT);
	assert_int_equal(f.w.err.reason, REASON_LIMIT_EXCEEDED);
	assert_non_null(strstr(f.w.err.msg, "reading the document of one row (public.books at (20,1))"));
	assert_int_equal(f.w.n_dead_letters, 0);
	end(&f);
}

static void test_bootstrap_then_its_statements_have_the_limits_of_the_spec(void **state)
{
	static const uint64_t blocks[] = {0};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	f.w.rows[0].slow = 200;
	f.w.spec->source.limits = (struct spec_limits){.statement_seconds = 70, .snapshot_seconds = 50};
	start(&f);
	assert_int_equal(finish(&f), -1);
	/* A chunk has its own snapshot, so both limits are in force; a single row has to be read in one. */
	assert_true(world_asked(&f.w, "SET LOCAL statement_timeout = 50000") > 0);
	assert_true(world_asked(&f.w, "SET LOCAL statement_timeout = 70000") > 0);
	end(&f);
}

static void test_bootstrap_when_the_engine_takes_nothing_then_the_snapshot_ends(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL, 0);
	for (int id = 1; id <= ROWS; id++)
		world_add_row(&f.w, (struct row){.id = id, .block = (uint64_t)id - 1});
	f.w.spec->bootstrap_parallelism = 1;
	f.w.spec->source.limits.snapshot_seconds = 1;
	/* Each document is a request. */
	f.w.spec->sink.bulk_max_bytes = 1;
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	world_wait_asked(&f.w, "bootstrap: ROLLBACK", 1);
	fake_gate_open(&f.w.bulks);
	assert_int_equal(finish(&f), 1);
	assert_int_equal(world_documents(&f.w), ROWS);
	end(&f);
}

/* What the watcher does when others wait for every session that reads. */
static void ask_all(struct precedences *all)
{
	int64_t later_ms = clock_now_ms() + FAKE_PATIENCE_MS;
	int pids[PRECEDENCE_SESSIONS], asked[PRECEDENCE_SESSIONS];
	size_t n = precedences_open(all, later_ms, pids);

	(void)precedences_decide(all, later_ms, pids, n, asked);
	(void)precedences_decide(all, later_ms + FAKE_PATIENCE_MS, pids, n, asked);
	precedences_cancelled(all);
}

static void test_bootstrap_when_others_wait_for_its_locks_then_the_snapshot_ends(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL, 0);
	for (int id = 1; id <= ROWS; id++)
		world_add_row(&f.w, (struct row){.id = id, .block = (uint64_t)id - 1});
	f.w.spec->bootstrap_parallelism = 1;
	f.w.spec->sink.bulk_max_bytes = 1;
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	ask_all(f.w.at.connector.precedences);
	world_wait_asked(&f.w, "bootstrap: ROLLBACK", 1);
	fake_gate_open(&f.w.bulks);
	assert_int_equal(finish(&f), 1);
	assert_int_equal(world_documents(&f.w), ROWS);
	end(&f);
}

static void test_bootstrap_when_stopped_during_a_query_then_it_ends(void **state)
{
	static const uint64_t blocks[] = {0};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	fake_gate_close(&f.w.documents);
	start(&f);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	bootstrap_stop(TAKE_PTR(f.bootstrap));
	assert_int_equal(world_documents(&f.w), 0);
	end(&f);
}

static void test_bootstrap_when_the_catalog_was_touched_then_what_was_read_does_not_count(void **state)
{
	static const uint64_t blocks[] = {0, 31, 32, 63};
	struct fixture f;

	UNUSED(state);
	begin(&f, blocks, ARRAY_SIZE(blocks));
	(void)pthread_mutex_lock(fake_postgres_lock(f.w.postgres));
	f.w.versions = "2";
	(void)pthread_mutex_unlock(fake_postgres_lock(f.w.postgres));
	start(&f);
	assert_int_equal(finish(&f), BOOTSTRAP_OUTDATED);
	(void)bootstrap_note(f.bootstrap, &f.w.at);
	for (size_t i = 0; i < f.index->n_ranges; i++)
		assert_int_equal(f.index->ranges[i].next_block, 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bootstrap_when_done_then_every_row_is_in_the_index_with_the_generation_s_version),
		cmocka_unit_test(test_bootstrap_when_live_then_there_is_nothing_to_copy),
		cmocka_unit_test(test_bootstrap_when_the_table_is_empty_then_it_is_done),
		cmocka_unit_test(test_bootstrap_when_resumed_then_it_resumes_at_the_checkpoint_s_block),
		cmocka_unit_test(test_bootstrap_when_the_table_grew_since_then_only_the_planned_blocks_are_copied),
		cmocka_unit_test(test_bootstrap_when_the_table_was_rewritten_since_then_it_begins_again),
		cmocka_unit_test(test_bootstrap_when_the_table_is_rewritten_meanwhile_then_it_is_a_conflict),
		cmocka_unit_test(test_bootstrap_when_the_engine_has_not_answered_then_the_chunk_does_not_count),
		cmocka_unit_test(test_bootstrap_when_an_earlier_chunk_is_late_then_later_ones_do_not_count),
		cmocka_unit_test(test_bootstrap_when_the_root_is_a_view_then_the_stream_waits_until_it_is_copied),
		cmocka_unit_test(test_bootstrap_when_the_root_is_a_table_then_the_stream_does_not_wait),
		cmocka_unit_test(test_bootstrap_when_a_row_fails_alone_then_it_is_found_and_left_out),
		cmocka_unit_test(test_bootstrap_when_the_query_fails_without_rows_then_it_ends_the_bootstrap),
		cmocka_unit_test(
			test_bootstrap_when_a_chunk_takes_too_long_then_it_is_read_in_parts_with_a_snapshot_each),
		cmocka_unit_test(test_bootstrap_when_one_row_takes_too_long_then_it_is_an_error_and_no_dead_letter),
		cmocka_unit_test(test_bootstrap_then_its_statements_have_the_limits_of_the_spec),
		cmocka_unit_test(test_bootstrap_when_the_engine_takes_nothing_then_the_snapshot_ends),
		cmocka_unit_test(test_bootstrap_when_others_wait_for_its_locks_then_the_snapshot_ends),
		cmocka_unit_test(test_bootstrap_when_stopped_during_a_query_then_it_ends),
		cmocka_unit_test(test_bootstrap_when_the_catalog_was_touched_then_what_was_read_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
