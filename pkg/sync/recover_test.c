/* Tests of recovery: what each decision does, in which order, and what it leaves to the next start. */
#include "sink/recipe.h"
#include "sync/store_test.h"

static void begin_live(struct store *s)
{
	store_begin(s);
	store_go_live(s);
}

static void expect_refusal(struct store *s, enum err_kind kind, enum reason reason, const char *words)
{
	assert_int_equal(store_start(s), -1);
	assert_int_equal(s->w.err.kind, kind);
	assert_string_equal(reason_name(s->w.err.reason), reason_name(reason));
	if (!has(s->w.err.msg, words))
		fail_msg("\"%s\" is not in: %s", words, s->w.err.msg);
}

/* --- the first start --- */

static void
test_recover_when_nothing_was_synced_then_the_checkpoint_comes_first_and_the_slot_before_the_index(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s,
			     "save; create publication; alter publication; create slot; save; create books-g1; save");
	assert_string_equal(s.events, "");
	assert_int_equal(s.w.at.cp.phase, CHECKPOINT_BOOTSTRAP);
	assert_int_equal(s.w.at.cp.slot_lsn, SLOT_LSN);
	assert_int_equal(s.w.at.model.filled[0], SLOT_LSN);
	assert_string_equal(s.w.at.model.concrete[0], "books-g1");
	store_end(&s);
}

/* Requests of the previous start may still be in flight: they are refused from now on. */
static void test_recover_then_the_index_is_written_under_the_name_of_this_start_alone(void **state)
{
	_cleanup_free_ char *first = NULL;
	_cleanup_free_ char *second = NULL;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	OK(&s.w, store_start(&s));
	first = xasprintf("books-g1-W%s", s.w.at.connector.token);
	assert_string_equal(store_find(&s, "books-g1")->write, first);
	OK(&s.w, store_start(&s));
	second = xasprintf("books-g1-W%s", s.w.at.connector.token);
	assert_string_not_equal(first, second);
	assert_string_equal(store_find(&s, "books-g1")->write, second);
	store_end(&s);
}

static void test_recover_when_the_slot_cannot_be_created_then_the_next_start_creates_it(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.sql_fails = "CREATE_REPLICATION_SLOT";
	assert_int_equal(store_start(&s), -1);
	store_expect_changes(&s, "save; create publication; alter publication");
	s.sql_fails = NULL;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; create slot; save; create books-g1; save");
	assert_string_equal(s.events, "");
	store_end(&s);
}

static void test_recover_when_the_index_cannot_be_created_then_the_slot_is_kept(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.http_denies = "PUT /books-g1";
	assert_int_equal(store_start(&s), -1);
	store_expect_changes(&s, "save; create publication; alter publication; create slot; save");
	assert_int_equal(store_start(&s), -1);
	store_expect_changes(&s, "");
	s.http_denies = NULL;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g1; save");
	assert_string_equal(s.events, "");
	store_end(&s);
}

static void test_recover_when_the_checkpoint_cannot_be_saved_then_nothing_is_created(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.http_denies = "PUT /pgsync-checkpoints/_doc";
	assert_int_equal(store_start(&s), -1);
	assert_true(has(s.w.err.msg, "saving the checkpoint"));
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_a_replica_identity_is_missing_then_the_old_one_is_saved_before_it_is_set(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.replica_identity = "n";
	OK(&s.w, store_start(&s));
	store_expect_changes(
		&s, "save; save; ALTER TABLE \"public\".\"books\" REPLICA IDENTITY USING INDEX "
		    "\"books_pkey\"; create publication; alter publication; create slot; save; create books-g1; save");
	assert_int_equal(s.w.at.cp.n_identities, 1);
	assert_int_equal(s.w.at.cp.identities[0].replica_identity, 'n');
	store_end(&s);
}

/* --- resuming --- */

static void test_recover_when_everything_is_as_it_was_then_nothing_changes(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	assert_int_equal(s.w.at.cp.phase, CHECKPOINT_LIVE);
	assert_string_equal(s.w.at.model.concrete[0], "books-g1");
	assert_int_equal(s.w.at.model.filled[0], SLOT_LSN);
	store_end(&s);
}

static void test_recover_when_an_old_walsender_holds_the_slot_then_it_is_ended_first(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.slot_pid = OTHER_PID;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "end walsender 77");
	store_end(&s);
}

static void test_recover_when_the_alias_was_moved_then_it_is_put_back_as_after_a_bootstrap(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.alias[0] = '\0';
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	assert_int_equal(s.w.at.cp.phase, CHECKPOINT_BOOTSTRAP);
	assert_true(attempt_index(&s.w.at, 0)->complete);
	OK(&s.w, attempt_go_live(&s.w.at, &s.w.err));
	assert_string_equal(s.alias, "books-g1");
	store_end(&s);
}

static void test_recover_when_the_table_was_rewritten_then_only_the_catalog_is_saved(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.filenode = "200";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save");
	assert_int_equal(s.w.at.cp.phase, CHECKPOINT_LIVE);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

/* --- rebuilding with the slot --- */

static void test_recover_when_the_index_is_gone_then_another_number_takes_its_place(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_remove(&s, "books-g1");
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_int_equal(s.w.at.cp.phase, CHECKPOINT_BOOTSTRAP);
	assert_false(attempt_index(&s.w.at, 0)->complete);
	assert_string_equal(s.w.at.model.concrete[0], "books-g2");
	store_end(&s);
}

/* The engine has an older state of both: what was acknowledged in between is in no index. */
static void test_recover_when_the_slot_is_ahead_of_the_checkpoint_then_every_index_is_rebuilt_once(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.acknowledged = "0/1001";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_true(has(s.events, "ahead of what the search engine has"));
	assert_int_equal(s.w.at.cp.confirmed_lsn, 0x1001);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

/* Whatever the checkpoint says: what this index had since is not in it. */
static void test_recover_when_a_shard_has_another_history_then_the_index_is_rebuilt(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_edit_index(&s, "histories", "{\"0\": \"first\"}");
	/* While nothing is known, nothing is wrong. */
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	s.w.history = "first";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	s.w.history = "second";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_true(has(s.events, "restored from a snapshot"));
	assert_null(attempt_index(&s.w.at, 0)->histories);
	store_end(&s);
}

static void test_recover_when_an_earlier_version_acknowledged_more_than_it_saved_then_that_is_adopted(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_forget_confirmed_first(&s);
	s.acknowledged = "0/1001";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save");
	assert_int_equal(s.w.at.cp.confirmed_lsn, 0x1001);
	s.acknowledged = "0/1002";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	store_end(&s);
}

static void test_recover_when_the_root_was_truncated_then_a_new_index_may_be_smaller(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.past.truncated = 1;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_string_equal(s.events, "ResyncStarted: rebuilding index \"books\": its root table was truncated, or "
				      "changed without a replica identity\n");
	assert_true(attempt_index(&s.w.at, 0)->allow_shrink);
	assert_int_equal(s.w.past.truncated, 0);
	/* What is read from now on contains everything up to the server's position. */
	assert_int_equal(s.w.at.model.filled[0], 0x2000);
	store_end(&s);
}

static void test_recover_when_a_pipeline_changed_then_a_new_index_begins_with_the_present_one(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_edit_index(&s, "outdated", "\"ingest pipeline \\\"p\\\" has changed\"");
	store_edit_index(&s, "recipe", "{\"pipelines\":{\"p\":\"sha256:ab\"}}");
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_string_equal(s.events, "ResyncStarted: rebuilding index \"books\": ingest pipeline \"p\" has changed\n");
	/* A pipeline that drops everything must not empty the alias. */
	assert_false(attempt_index(&s.w.at, 0)->allow_shrink);
	assert_null(attempt_index(&s.w.at, 0)->outdated);
	assert_non_null(attempt_index(&s.w.at, 0)->recipe);
	assert_null(jsonx_get(attempt_index(&s.w.at, 0)->recipe, "pipelines.p"));
	/* Once. */
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_pipelines_cannot_be_read_then_the_new_index_begins_without_knowing_them(void **state)
{
	static const int statuses[] = {403, 404, 500};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct store s;

		begin_live(&s);
		s.w.past.truncated = 1;
		s.http_denies = "_simulate_index";
		s.denial = statuses[i];
		OK(&s.w, store_start(&s));
		store_expect_changes(&s, "create books-g2; save");
		assert_false(recipe_is_known(attempt_index(&s.w.at, 0)->recipe));
		store_end(&s);
	}
}

static void test_recover_when_a_column_was_altered_then_every_index_is_rebuilt_with_the_same_slot(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.filenode = "200";
	s.w.altered = "2";
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	assert_string_equal(s.events,
			    "ResyncStarted: rebuilding the index: a column was altered, and its table rewritten\n");
	assert_string_equal(s.alias, "books-g1");
	store_end(&s);
}

static void test_recover_when_the_publication_lost_the_table_then_that_is_saved_before_it_is_added_again(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.is_member = false;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; alter publication; create books-g2; save");
	store_end(&s);
}

static void test_recover_when_it_ends_before_the_publication_changed_then_the_index_is_still_rebuilt(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.is_member = false;
	s.sql_fails = "ALTER PUBLICATION";
	assert_int_equal(store_start(&s), -1);
	store_expect_changes(&s, "save");
	/* Another client adds the table meanwhile: the stream lacks what was committed before. */
	s.is_member = true;
	s.sql_fails = NULL;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "create books-g2; save");
	store_end(&s);
}

/* --- a publication that is not ours --- */

static void begin_with_publication(struct store *s, const char *comment, bool is_member)
{
	store_begin(s);
	s->has_publication = true;
	s->is_member = is_member;
	s->comment = comment;
}

static void test_recover_when_the_publication_is_unmarked_and_lacks_a_table_then_refused_and_untouched(void **state)
{
	struct store s;

	UNUSED(state);
	begin_with_publication(&s, NULL, false);
	s.replica_identity = "n";
	expect_refusal(&s, ERR_INVALID, REASON_PUBLICATION_CONFLICT, "COMMENT ON PUBLICATION");
	store_expect_changes(&s, "save");
	/* What the first start saved does not make it ours. */
	expect_refusal(&s, ERR_INVALID, REASON_PUBLICATION_CONFLICT, "IS 'pgsync: shop/books'");
	store_expect_changes(&s, "save");
	/* Its owner hands it over. */
	s.comment = "pgsync: shop/books";
	OK(&s.w, store_start(&s));
	store_end(&s);
}

static void test_recover_when_the_publication_is_unmarked_but_fits_then_it_is_used_and_stays_as_it_is(void **state)
{
	struct store s;

	UNUSED(state);
	begin_with_publication(&s, "of the finance team", true);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; create slot; save; create books-g1; save");
	/* That the checkpoint records it by now does not make it ours either. */
	s.is_member = false;
	expect_refusal(&s, ERR_INVALID, REASON_PUBLICATION_CONFLICT, "was not created by pgsync");
	store_expect_changes(&s, "save");
	s.w.err = (struct err){0};
	attempt_end(&s.w.at);
	OK(&s.w, sync_cleanup(&s.w.options, &s.w.err));
	assert_true(s.has_publication);
	store_end(&s);
}

static void
test_recover_when_the_server_is_a_standby_then_what_is_published_there_is_used_and_nothing_written(void **state)
{
	struct store s;

	UNUSED(state);
	begin_with_publication(&s, "pgsync: shop/books", true);
	fake_postgres_be_standby(s.w.postgres);
	s.w.replayed = s.w.flush_lsn;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; create slot; save; create books-g1; save");
	assert_int_equal(world_asked(&s.w, "pg_current_xact_id"), 0);
	attempt_end(&s.w.at);
	OK(&s.w, sync_cleanup(&s.w.options, &s.w.err));
	assert_true(s.has_publication);
	assert_false(s.has_slot);
	store_end(&s);
}

static void test_recover_when_the_publication_has_the_mark_of_another_then_refused(void **state)
{
	struct store s;

	UNUSED(state);
	begin_with_publication(&s, "pgsync: other/books", true);
	expect_refusal(&s, ERR_INVALID, REASON_PUBLICATION_CONFLICT, "belongs to another PgSync");
	store_expect_changes(&s, "save");
	store_end(&s);
}

static void test_recover_when_an_earlier_version_made_the_publication_then_it_is_marked(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_forget_mark(&s);
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "mark publication");
	/* Another publication of the same name is not the one that was handed over. */
	store_forget_mark(&s);
	s.publication_oid++;
	s.is_member = false;
	expect_refusal(&s, ERR_INVALID, REASON_PUBLICATION_CONFLICT, "was not created by pgsync");
	store_end(&s);
}

/* --- rebuilding with a new slot --- */

static void test_recover_when_the_slot_is_gone_then_a_new_slot_and_a_new_index_while_the_old_one_is_served(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.has_slot = false;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; create slot; save; create books-g2; save");
	assert_string_equal(s.events, "warning ResyncStarted: rebuilding the index: the replication slot is gone\n");
	assert_string_equal(s.alias, "books-g1");
	assert_int_equal(attempt_index(&s.w.at, 0)->live, 1);
	store_end(&s);
}

static void test_recover_when_the_slot_is_lost_then_it_is_dropped_and_created_again(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.slot_is_lost = true;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; drop slot; create slot; save; create books-g2; save");
	store_end(&s);
}

static void test_recover_when_a_resync_is_requested_then_once(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.spec->resync_nonce = 7;
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; drop slot; create slot; save; create books-g2; save");
	assert_string_equal(s.events, "warning ResyncStarted: rebuilding the index: spec.resyncNonce changed\n");
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_a_new_index_is_there_already_then_it_is_replaced(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.has_slot = false;
	/* Left by a start that ended before it could save. */
	store_add(&s, "books-g2", "{\"pgsync\":{\"owner\":\"shop/books\"}}");
	OK(&s.w, store_start(&s));
	store_expect_changes(&s, "save; create slot; save; delete books-g2; create books-g2; save");
	store_end(&s);
}

/* --- refusing: nothing changes --- */

static void test_recover_when_the_slot_is_gone_and_the_policy_is_stall_then_refused(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.has_slot = false;
	s.w.spec->source.slot_lost = SPEC_SLOT_LOST_STALL;
	expect_refusal(&s, ERR_INVALID, REASON_SLOT_LOST, "the replication slot is gone; slotLostPolicy is Stall");
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_the_index_is_gone_and_the_policy_is_never_then_refused(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_remove(&s, "books-g1");
	s.w.spec->bootstrap = SPEC_BOOTSTRAP_NEVER;
	expect_refusal(&s, ERR_INVALID, REASON_BOOTSTRAP_NEEDED, "index \"books\" has to be rebuilt");
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_another_worker_took_the_slot_then_this_one_is_fenced_off(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.past.streamed = true;
	s.w.past.walsender_pid = 12;
	s.slot_pid = OTHER_PID;
	expect_refusal(&s, ERR_CONFLICT, REASON_SLOT_TAKEN, "server process 77");
	assert_true(s.w.past.fenced);
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_the_given_slot_exists_already_then_its_consumer_is_named(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.options.slot_name_given = true;
	s.has_slot = true;
	s.slot_pid = OTHER_PID;
	expect_refusal(&s, ERR_INVALID, REASON_SLOT_IN_USE, "streaming from it: \"another consumer\"");
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_the_slot_belongs_to_another_resource_then_refused(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->uid = xstrdup("u1");
	store_go_live(&s);
	free(s.w.spec->uid);
	s.w.spec->uid = xstrdup("u2");
	expect_refusal(&s, ERR_INVALID, REASON_SLOT_IN_USE, "belongs to another resource named shop/books (uid u1)");
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_the_slot_is_not_for_pgoutput_then_refused(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.has_slot = s.slot_is_physical = true;
	expect_refusal(&s, ERR_INVALID, REASON_SLOT_IN_USE, "is not a pgoutput slot of database \"db\"");
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_recover_when_the_alias_is_of_another_resource_then_refused_before_the_slot_is_touched(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	store_add(&s, "books-g4", "{\"pgsync\":{\"owner\":\"other/books\"}}");
	(void)snprintf(s.alias, sizeof(s.alias), "books-g4");
	expect_refusal(&s, ERR_INVALID, REASON_INDEX_IN_USE, "belongs to PgSync other/books");
	store_expect_changes(&s, "");
	store_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_recover_when_nothing_was_synced_then_the_checkpoint_comes_first_and_the_slot_before_the_index),
		cmocka_unit_test(test_recover_then_the_index_is_written_under_the_name_of_this_start_alone),
		cmocka_unit_test(test_recover_when_the_slot_cannot_be_created_then_the_next_start_creates_it),
		cmocka_unit_test(test_recover_when_the_index_cannot_be_created_then_the_slot_is_kept),
		cmocka_unit_test(test_recover_when_the_checkpoint_cannot_be_saved_then_nothing_is_created),
		cmocka_unit_test(
			test_recover_when_a_replica_identity_is_missing_then_the_old_one_is_saved_before_it_is_set),
		cmocka_unit_test(test_recover_when_everything_is_as_it_was_then_nothing_changes),
		cmocka_unit_test(test_recover_when_an_old_walsender_holds_the_slot_then_it_is_ended_first),
		cmocka_unit_test(test_recover_when_the_alias_was_moved_then_it_is_put_back_as_after_a_bootstrap),
		cmocka_unit_test(test_recover_when_the_table_was_rewritten_then_only_the_catalog_is_saved),
		cmocka_unit_test(test_recover_when_the_index_is_gone_then_another_number_takes_its_place),
		cmocka_unit_test(
			test_recover_when_the_slot_is_ahead_of_the_checkpoint_then_every_index_is_rebuilt_once),
		cmocka_unit_test(test_recover_when_a_shard_has_another_history_then_the_index_is_rebuilt),
		cmocka_unit_test(
			test_recover_when_an_earlier_version_acknowledged_more_than_it_saved_then_that_is_adopted),
		cmocka_unit_test(test_recover_when_the_root_was_truncated_then_a_new_index_may_be_smaller),
		cmocka_unit_test(test_recover_when_a_pipeline_changed_then_a_new_index_begins_with_the_present_one),
		cmocka_unit_test(
			test_recover_when_pipelines_cannot_be_read_then_the_new_index_begins_without_knowing_them),
		cmocka_unit_test(test_recover_when_a_column_was_altered_then_every_index_is_rebuilt_with_the_same_slot),
		cmocka_unit_test(
			test_recover_when_the_publication_lost_the_table_then_that_is_saved_before_it_is_added_again),
		cmocka_unit_test(
			test_recover_when_the_publication_is_unmarked_and_lacks_a_table_then_refused_and_untouched),
		cmocka_unit_test(
			test_recover_when_the_publication_is_unmarked_but_fits_then_it_is_used_and_stays_as_it_is),
		cmocka_unit_test(
			test_recover_when_the_server_is_a_standby_then_what_is_published_there_is_used_and_nothing_written),
		cmocka_unit_test(test_recover_when_the_publication_has_the_mark_of_another_then_refused),
		cmocka_unit_test(test_recover_when_an_earlier_version_made_the_publication_then_it_is_marked),
		cmocka_unit_test(
			test_recover_when_it_ends_before_the_publication_changed_then_the_index_is_still_rebuilt),
		cmocka_unit_test(
			test_recover_when_the_slot_is_gone_then_a_new_slot_and_a_new_index_while_the_old_one_is_served),
		cmocka_unit_test(test_recover_when_the_slot_is_lost_then_it_is_dropped_and_created_again),
		cmocka_unit_test(test_recover_when_a_resync_is_requested_then_once),
		cmocka_unit_test(test_recover_when_a_new_index_is_there_already_then_it_is_replaced),
		cmocka_unit_test(test_recover_when_the_slot_is_gone_and_the_policy_is_stall_then_refused),
		cmocka_unit_test(test_recover_when_the_index_is_gone_and_the_policy_is_never_then_refused),
		cmocka_unit_test(test_recover_when_another_worker_took_the_slot_then_this_one_is_fenced_off),
		cmocka_unit_test(test_recover_when_the_given_slot_exists_already_then_its_consumer_is_named),
		cmocka_unit_test(test_recover_when_the_slot_belongs_to_another_resource_then_refused),
		cmocka_unit_test(test_recover_when_the_slot_is_not_for_pgoutput_then_refused),
		cmocka_unit_test(
			test_recover_when_the_alias_is_of_another_resource_then_refused_before_the_slot_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
