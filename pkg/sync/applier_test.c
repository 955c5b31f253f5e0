/* Tests of the applier: the visibility barrier, what a batch becomes, and when it counts as durable. */
#include "apply/unsettled.h"
#include "sync/applier_int.h"
#include "sync/world_test.h"

enum { COMMIT = 0x3000, STEP = 0x100, TAIL = 0x10 };

struct fixture {
	struct world w;
	struct applier *applier;
	struct batch *batch;
	int wake_fd;
};

static void begin(struct fixture *f)
{
	world_begin(&f->w);
	f->batch = batch_new();
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	OK(&f->w, applier_start(&f->w.at.model, &f->w.run, &f->w.at.connector, f->wake_fd, &f->applier, &f->w.err));
}

static void end(struct fixture *f)
{
	fake_gate_open(&f->w.documents);
	fake_gate_open(&f->w.bulks);
	applier_stop(f->applier);
	batch_free(f->batch);
	world_end(&f->w);
	close_fdp(&f->wake_fd);
}

/* The n-th transaction of a batch touches a target; with an id, a root key of it. */
static void touch(struct fixture *f, uint32_t target, int id)
{
	_cleanup_free_ char *text = xasprintf("%d", id);
	_cleanup_(strbuf_release) struct strbuf key;

	strbuf_init(&key, 100);
	if (id)
		key_encode_value(&key, text, strlen(text));
	assert_true(keyset_add(&f->batch->keys, target, id ? key.data : "", key.len, batch_current(f->batch)));
}

static void add_transaction(struct fixture *f, uint64_t commit_lsn, int id)
{
	batch_begin(f->batch, (uint32_t)commit_lsn, commit_lsn, (int64_t)commit_lsn);
	touch(f, 0, id);
	batch_commit(f->batch, commit_lsn + TAIL);
}

static void submit(struct fixture *f, bool live)
{
	assert_true(applier_submit(f->applier, &f->batch, live));
	assert_true(batch_empty(f->batch));
}

static void wait_durable(struct fixture *f)
{
	uint64_t plans = 0;

	while (!applier_idle(f->applier)) {
		wait_news(f->wake_fd);
		OK(&f->w, applier_check(f->applier, &plans, &f->w.err));
	}
}

static int wait_end(struct fixture *f, uint64_t *ret_plans)
{
	int r;

	while (!(r = applier_check(f->applier, ret_plans, &f->w.err)))
		wait_news(f->wake_fd);
	return r;
}

/* --- the visibility barrier --- */

static void test_applier_when_no_commit_is_visible_then_it_opens_another_snapshot_and_writes_nothing(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	f.w.never_visible = true;
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	world_wait_asked(&f.w, "pg_visible_in_snapshot", 4);
	assert_true(world_asked(&f.w, "applier: BEGIN ISOLATION LEVEL REPEATABLE READ") >= 4);
	assert_true(world_asked(&f.w, "applier: ROLLBACK") >= 3);
	assert_int_equal(world_asked(&f.w, f.w.at.model.plans[0]->sql.by_key), 0);
	assert_int_equal(world_documents(&f.w), 0);
	assert_int_equal(applier_acked(f.applier), 0);
	(void)pthread_mutex_lock(fake_postgres_lock(f.w.postgres));
	f.w.never_visible = false;
	(void)pthread_mutex_unlock(fake_postgres_lock(f.w.postgres));
	wait_durable(&f);
	assert_int_equal(world_version(&f.w, 1), COMMIT + TAIL);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	end(&f);
}

static void test_applier_when_a_commit_is_not_visible_then_the_batch_is_cut_before_it(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	for (int id = 1; id <= 3; id++) {
		world_add_row(&f.w, (struct row){.id = id});
		add_transaction(&f, COMMIT + (uint64_t)id * STEP, id);
	}
	touch(&f, 0, 1);
	f.w.invisible[0] = "2";
	fake_gate_close(&f.w.bulks);
	submit(&f, true);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_int_equal(world_asked(&f.w, "{\"1\"}"), 1);
	fake_gate_open(&f.w.bulks);
	wait_durable(&f);
	/* The first snapshot held the first transaction alone; the second one held the others. */
	assert_int_equal(world_asked(&f.w, "pg_visible_in_snapshot"), 2);
	assert_int_equal(world_asked(&f.w, "\"2\""), 1);
	for (int id = 1; id <= 3; id++)
		assert_int_equal(world_version(&f.w, id), COMMIT + 3 * STEP + TAIL);
	assert_int_equal(applier_acked(f.applier), COMMIT + 3 * STEP + TAIL);
	end(&f);
}

static void set_replayed(struct fixture *f, const char *lsn)
{
	(void)pthread_mutex_lock(fake_postgres_lock(f->w.postgres));
	f->w.replayed = lsn;
	(void)pthread_mutex_unlock(fake_postgres_lock(f->w.postgres));
}

/* pg_visible_in_snapshot is wrong there: a standby's snapshot does not list what is running. */
static void test_applier_when_a_standby_has_not_replayed_a_commit_then_it_is_not_read(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	fake_postgres_be_standby(f.w.postgres);
	for (int id = 1; id <= 2; id++) {
		world_add_row(&f.w, (struct row){.id = id});
		add_transaction(&f, COMMIT + (uint64_t)id * STEP, id);
	}
	set_replayed(&f, "0/3108"); /* within the first commit */
	submit(&f, true);
	world_wait_asked(&f.w, "applier: ROLLBACK", 3);
	assert_int_equal(world_asked(&f.w, f.w.at.model.plans[0]->sql.by_key), 0);
	fake_gate_close(&f.w.bulks);
	set_replayed(&f, "0/3110");
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_int_equal(world_asked(&f.w, "{\"1\"}"), 1);
	assert_int_equal(world_asked(&f.w, "\"2\""), 0);
	assert_int_equal(world_asked(&f.w, "pg_visible_in_snapshot"), 0);
	set_replayed(&f, "0/3210");
	fake_gate_open(&f.w.bulks);
	wait_durable(&f);
	assert_int_equal(world_version(&f.w, 2), COMMIT + 2 * STEP + TAIL);
	end(&f);
}

static void test_applier_when_the_batch_is_cut_then_only_the_first_part_is_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	add_transaction(&f, COMMIT, 1);
	add_transaction(&f, COMMIT + STEP, 2);
	f.w.invisible[0] = "2";
	f.w.invisible[1] = f.w.invisible[2] = f.w.invisible[3] = "1";
	submit(&f, true);
	while (!applier_acked(f.applier))
		wait_news(f.wake_fd);
	if (!applier_idle(f.applier)) {
		assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
		assert_int_equal(applier_oldest_us(f.applier), COMMIT + STEP);
	}
	wait_durable(&f);
	assert_int_equal(world_version(&f.w, 1), COMMIT + TAIL);
	assert_int_equal(applier_acked(f.applier), COMMIT + STEP + TAIL);
	assert_int_equal(applier_oldest_us(f.applier), 0);
	end(&f);
}

/* --- documents --- */

static void test_applier_when_a_row_is_there_or_gone_then_its_document_is_written_or_deleted(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	f.w.stored[f.w.n_stored++] = (struct stored){.id = 2, .version = FILLED};
	add_transaction(&f, COMMIT, 1);
	add_transaction(&f, COMMIT + STEP, 2);
	submit(&f, true);
	wait_durable(&f);
	assert_int_equal(world_version(&f.w, 1), COMMIT + STEP + TAIL);
	assert_int_equal(world_version(&f.w, 2), 0);
	assert_int_equal(f.w.n_deletes, 1);
	end(&f);
}

static void test_applier_when_the_batch_is_older_than_the_generation_then_its_version_is_above_the_copy(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	add_transaction(&f, FILLED - STEP, 1);
	submit(&f, false);
	wait_durable(&f);
	assert_int_equal(world_version(&f.w, 1), FILLED + 1);
	assert_int_equal(applier_acked(f.applier), FILLED - STEP + TAIL);
	end(&f);
}

static void test_applier_when_one_document_cannot_be_built_then_the_others_are_written_without_it(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	for (int id = 1; id <= 5; id++) {
		world_add_row(&f.w, (struct row){.id = id, .fails = id == 3});
		add_transaction(&f, COMMIT + (uint64_t)id * STEP, id);
	}
	submit(&f, true);
	wait_durable(&f);
	for (int id = 1; id <= 5; id++)
		assert_int_equal(world_version(&f.w, id), id == 3 ? 0 : COMMIT + 5 * STEP + TAIL);
	assert_int_equal(f.w.n_dead_letters, 1);
	end(&f);
}

static void test_applier_when_the_engine_refuses_a_document_then_it_is_a_dead_letter_before_it_is_durable(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.rejected = 2;
	for (int id = 1; id <= 2; id++) {
		world_add_row(&f.w, (struct row){.id = id});
		add_transaction(&f, COMMIT + (uint64_t)id * STEP, id);
	}
	fake_gate_close(&f.w.questions);
	submit(&f, true);
	/* It asks whether the index of dead letters is there. */
	assert_true(fake_gate_holds(&f.w.questions, 1));
	assert_int_equal(applier_acked(f.applier), 0);
	fake_gate_open(&f.w.questions);
	wait_durable(&f);
	assert_int_equal(f.w.n_dead_letters, 1);
	assert_int_equal(world_version(&f.w, 2), 0);
	assert_int_equal(applier_acked(f.applier), COMMIT + 2 * STEP + TAIL);
	end(&f);
}

/* --- every root --- */

static void test_applier_when_every_root_may_have_changed_then_all_are_read_unless_the_copy_holds_it(void **state)
{
	static const struct {
		uint64_t commit;
		unsigned reads;
	} cases[] = {{COMMIT, 1}, {FILLED - STEP, 0}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		begin(&f);
		batch_begin(f.batch, 9, cases[i].commit, 1);
		touch(&f, f.w.at.model.targets.first_all, 0);
		batch_commit(f.batch, cases[i].commit + TAIL);
		submit(&f, true);
		wait_durable(&f);
		assert_int_equal(world_asked(&f.w, f.w.at.model.plans[0]->sql.all_keys), cases[i].reads);
		assert_int_equal(applier_acked(f.applier), cases[i].commit + TAIL);
		end(&f);
	}
}

static void truncate_root(struct fixture *f, uint64_t commit_lsn)
{
	batch_begin(f->batch, 9, commit_lsn, 1);
	touch(f, f->w.at.model.targets.first_rebuild, 0);
	batch_commit(f->batch, commit_lsn + TAIL);
}

static void test_applier_when_the_root_is_truncated_while_copying_then_its_index_is_to_be_rebuilt(void **state)
{
	struct fixture f;
	uint64_t plans = 0;

	UNUSED(state);
	begin(&f);
	truncate_root(&f, COMMIT);
	submit(&f, false);
	assert_int_equal(wait_end(&f, &plans), 1);
	assert_int_equal(plans, 1);
	/* The truncation must be streamed again, so neither it nor anything after it is acknowledged. */
	assert_int_equal(applier_acked(f.applier), 0);
	assert_false(applier_idle(f.applier));
	add_transaction(&f, COMMIT + STEP, 1);
	assert_false(applier_submit(f.applier, &f.batch, false));
	end(&f);
}

static void test_applier_when_the_copy_began_after_the_truncation_then_nothing_is_rebuilt(void **state)
{
	struct fixture f;
	uint64_t plans = 0;

	UNUSED(state);
	begin(&f);
	truncate_root(&f, FILLED - STEP);
	submit(&f, false);
	wait_durable(&f);
	assert_int_equal(applier_check(f.applier, &plans, &f.w.err), 0);
	assert_int_equal(applier_acked(f.applier), FILLED - STEP + TAIL);
	end(&f);
}

/* --- handing over --- */

static void test_applier_when_it_is_busy_then_it_takes_no_other_batch(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	fake_gate_close(&f.w.documents);
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	assert_false(applier_idle(f.applier));
	assert_int_equal(applier_oldest_us(f.applier), COMMIT);
	add_transaction(&f, COMMIT + STEP, 2);
	assert_false(applier_submit(f.applier, &f.batch, true));
	assert_int_equal(f.batch->n_txns, 1);
	fake_gate_open(&f.w.documents);
	wait_durable(&f);
	submit(&f, true);
	wait_durable(&f);
	assert_int_equal(applier_acked(f.applier), COMMIT + STEP + TAIL);
	end(&f);
}

static void test_applier_when_documents_cannot_be_read_then_it_fails_for_good(void **state)
{
	struct fixture f;
	uint64_t plans = 0;

	UNUSED(state);
	begin(&f);
	f.w.refuses_documents = true;
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	assert_int_equal(wait_end(&f, &plans), -1);
	assert_int_equal(f.w.err.kind, ERR_DENIED);
	assert_int_equal(applier_acked(f.applier), 0);
	add_transaction(&f, COMMIT + STEP, 2);
	assert_false(applier_submit(f.applier, &f.batch, true));
	end(&f);
}

static void test_applier_when_stopped_during_a_query_then_it_cancels_it_and_ends(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	fake_gate_close(&f.w.documents);
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	applier_stop(TAKE_PTR(f.applier));
	assert_int_equal(world_documents(&f.w), 0);
	end(&f);
}

/* --- deletes beside a bootstrap --- */

static void test_applier_when_a_chunk_may_hold_the_row_then_its_delete_waits_until_the_chunk_is_settled(void **state)
{
	struct fixture f;
	struct unsettled *u;
	uint64_t before;

	UNUSED(state);
	begin(&f);
	u = f.w.at.model.unsettled;
	before = unsettled_begin(u);
	world_add_row(&f.w, (struct row){.id = 1});
	add_transaction(&f, COMMIT, 1);
	touch(&f, 0, 2); /* it has no row */
	submit(&f, false);
	world_wait_asked(&f.w, "applier: COMMIT", 1);
	/* This chunk's snapshot is newer than the deletion. */
	(void)unsettled_begin(u);
	/* Documents do not wait. */
	while (!world_version(&f.w, 1))
		(void)poll(NULL, 0, 1);
	(void)poll(NULL, 0, 50);
	assert_int_equal(world_deletes(&f.w), 0);
	assert_false(applier_idle(f.applier));
	assert_int_equal(applier_acked(f.applier), 0);
	unsettled_end(u, before);
	wait_durable(&f);
	assert_int_equal(world_deletes(&f.w), 1);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	end(&f);
}

static void
test_applier_when_a_pipeline_drops_a_document_beside_a_chunk_then_it_is_deleted_again_after_the_chunk(void **state)
{
	struct fixture f;
	struct unsettled *u;
	uint64_t chunk;

	UNUSED(state);
	begin(&f);
	u = f.w.at.model.unsettled;
	chunk = unsettled_begin(u);
	world_add_row(&f.w, (struct row){.id = 1});
	f.w.dropped = 1;
	add_transaction(&f, COMMIT, 1);
	submit(&f, false);
	while (!world_deletes(&f.w))
		(void)poll(NULL, 0, 1);
	(void)poll(NULL, 0, 50);
	assert_int_equal(world_deletes(&f.w), 1);
	assert_int_equal(applier_acked(f.applier), 0);
	(void)unsettled_begin(u);
	unsettled_end(u, chunk);
	wait_durable(&f);
	assert_int_equal(world_deletes(&f.w), 2);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	end(&f);
}

static void test_applier_when_no_generation_is_filled_then_deletes_do_not_wait(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	(void)unsettled_begin(f.w.at.model.unsettled);
	add_transaction(&f, COMMIT, 2);
	submit(&f, true);
	wait_durable(&f);
	assert_int_equal(world_deletes(&f.w), 1);
	end(&f);
}

static void test_applier_when_stopped_while_deletes_wait_then_none_is_sent(void **state)
{
	struct fixture f;
	uint64_t plans = 0;

	UNUSED(state);
	begin(&f);
	(void)unsettled_begin(f.w.at.model.unsettled);
	add_transaction(&f, COMMIT, 2);
	submit(&f, false);
	world_wait_asked(&f.w, "applier: COMMIT", 1);
	connector_cancel(&f.w.at.connector);
	assert_int_equal(wait_end(&f, &plans), -1);
	assert_int_equal(f.w.err.kind, ERR_CANCELLED);
	assert_int_equal(world_deletes(&f.w), 0);
	end(&f);
}

static void test_applier_then_it_writes_under_the_attempt_s_own_name(void **state)
{
	struct fixture f;
	_cleanup_free_ char *path = NULL;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	wait_durable(&f);
	path = xasprintf("POST /books-g1-W%s/_bulk", f.w.at.connector.token);
	assert_string_equal(f.w.bulk_path, path);
	end(&f);
}

/* --- the catalog --- */

static void set_versions(struct fixture *f, const char *versions)
{
	(void)pthread_mutex_lock(fake_postgres_lock(f->w.postgres));
	f->w.versions = versions;
	(void)pthread_mutex_unlock(fake_postgres_lock(f->w.postgres));
}

static void test_applier_when_the_catalog_was_touched_then_the_batch_does_not_count(void **state)
{
	uint64_t plans = 0;
	struct fixture f;

	UNUSED(state);
	begin(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	add_transaction(&f, COMMIT, 1);
	submit(&f, true);
	wait_durable(&f);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	set_versions(&f, "2");
	add_transaction(&f, COMMIT + STEP, 1);
	submit(&f, true);
	assert_int_equal(wait_end(&f, &plans), 1);
	assert_int_equal(plans, 0);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	assert_false(applier_idle(f.applier));
	/* Nor does anything after it. */
	set_versions(&f, "1");
	add_transaction(&f, COMMIT + 2 * STEP, 1);
	assert_false(applier_submit(f.applier, &f.batch, true));
	end(&f);
}

/* The locks of the tables, and the snapshot, are not held while the engine takes its time. */
static void test_applier_when_the_engine_takes_nothing_then_the_transaction_ends(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	for (int id = 1; id <= ROWS; id++)
		world_add_row(&f.w, (struct row){.id = id});
	/* Each document is a request. */
	f.w.spec->sink.bulk_max_bytes = 1;
	fake_gate_close(&f.w.bulks);
	add_transaction(&f, COMMIT, 1);
	for (int id = 2; id <= ROWS; id++)
		touch(&f, 0, id);
	submit(&f, true);
	world_wait_asked(&f.w, "applier: COMMIT", 1);
	assert_int_equal(world_documents(&f.w), 0);
	assert_int_equal(applier_acked(f.applier), 0);
	/* Others commit before the rest is read: what that holds may not be in the stream yet. */
	(void)pthread_mutex_lock(fake_postgres_lock(f.w.postgres));
	f.w.flush_lsn = "0/9000";
	(void)pthread_mutex_unlock(fake_postgres_lock(f.w.postgres));
	fake_gate_open(&f.w.bulks);
	wait_durable(&f);
	for (int id = 1; id <= ROWS; id++)
		assert_int_equal(world_version(&f.w, id), COMMIT + TAIL);
	assert_int_equal(atomic_load(&f.w.run.horizon), 0x9000);
	assert_int_equal(applier_acked(f.applier), COMMIT + TAIL);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_applier_when_no_commit_is_visible_then_it_opens_another_snapshot_and_writes_nothing),
		cmocka_unit_test(test_applier_when_a_commit_is_not_visible_then_the_batch_is_cut_before_it),
		cmocka_unit_test(test_applier_when_a_standby_has_not_replayed_a_commit_then_it_is_not_read),
		cmocka_unit_test(test_applier_when_the_batch_is_cut_then_only_the_first_part_is_acknowledged),
		cmocka_unit_test(test_applier_when_a_row_is_there_or_gone_then_its_document_is_written_or_deleted),
		cmocka_unit_test(
			test_applier_when_the_batch_is_older_than_the_generation_then_its_version_is_above_the_copy),
		cmocka_unit_test(test_applier_when_one_document_cannot_be_built_then_the_others_are_written_without_it),
		cmocka_unit_test(
			test_applier_when_the_engine_refuses_a_document_then_it_is_a_dead_letter_before_it_is_durable),
		cmocka_unit_test(
			test_applier_when_every_root_may_have_changed_then_all_are_read_unless_the_copy_holds_it),
		cmocka_unit_test(test_applier_when_the_root_is_truncated_while_copying_then_its_index_is_to_be_rebuilt),
		cmocka_unit_test(test_applier_when_the_copy_began_after_the_truncation_then_nothing_is_rebuilt),
		cmocka_unit_test(test_applier_when_it_is_busy_then_it_takes_no_other_batch),
		cmocka_unit_test(test_applier_when_documents_cannot_be_read_then_it_fails_for_good),
		cmocka_unit_test(test_applier_when_stopped_during_a_query_then_it_cancels_it_and_ends),
		cmocka_unit_test(
			test_applier_when_a_chunk_may_hold_the_row_then_its_delete_waits_until_the_chunk_is_settled),
		cmocka_unit_test(
			test_applier_when_a_pipeline_drops_a_document_beside_a_chunk_then_it_is_deleted_again_after_the_chunk),
		cmocka_unit_test(test_applier_when_no_generation_is_filled_then_deletes_do_not_wait),
		cmocka_unit_test(test_applier_when_stopped_while_deletes_wait_then_none_is_sent),
		cmocka_unit_test(test_applier_then_it_writes_under_the_attempt_s_own_name),
		cmocka_unit_test(test_applier_when_the_catalog_was_touched_then_the_batch_does_not_count),
		cmocka_unit_test(test_applier_when_the_engine_takes_nothing_then_the_transaction_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
