/* Tests of the cleanup: what it removes and in which order, and that it forgets nothing while a server is
 * unreachable. */
#include "sync/store_test.h"
#include "sync/sync.h"

#define GIVE_UP_G1 "mark books-g1 {\"pgsync\":{\"formerOwner\":\"shop/books\"}}"

static void begin_live(struct store *s)
{
	store_begin(s);
	store_go_live(s);
	attempt_end(&s->w.at);
}

static int clean(struct store *s)
{
	s->w.err = (struct err){0};
	return sync_cleanup(&s->w.options, &s->w.err);
}

/* --- what is removed --- */

static void test_cleanup_then_the_slot_goes_first_and_the_checkpoint_last(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; " GIVE_UP_G1 "; delete requests; delete checkpoint");
	assert_string_equal(s.alias, "books-g1");
	assert_string_equal(store_find(&s, "books-g1")->write, "");
	/* The second time it finds nothing left to do. */
	OK(&s.w, clean(&s));
	assert_null(s.checkpoint);
	assert_false(s.has_slot);
	store_end(&s);
}

static void test_cleanup_when_the_index_is_to_be_deleted_then_it_goes_with_its_dead_letters(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.spec->delete_index = SPEC_DELETE;
	store_add(&s, "books-dead-letters", "{\"pgsync\":{\"owner\":\"shop/books\"}}");
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; delete books-g1; delete books-dead-letters; delete "
				 "requests; delete checkpoint");
	assert_string_equal(s.alias, "");
	store_end(&s);
}

static void test_cleanup_when_everything_is_retained_then_only_the_index_is_given_up(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.spec->delete_slot = s.w.spec->delete_publication = s.w.spec->delete_checkpoint = SPEC_RETAIN;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, GIVE_UP_G1);
	store_end(&s);
}

static void test_cleanup_when_a_generation_is_half_filled_then_it_is_deleted_and_that_of_another_stays(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_add(&s, "books-g2", "{\"pgsync\":{\"owner\":\"shop/books\"}}");
	store_add(&s, "books-g3", "{\"pgsync\":{\"owner\":\"other/books\"}}");
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; delete books-g2; " GIVE_UP_G1
				 "; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_a_worker_still_streams_then_its_walsender_is_ended(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.slot_pid = OTHER_PID;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "end walsender 77; drop slot; drop publication; " GIVE_UP_G1
				 "; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_a_replica_identity_was_set_then_the_old_one_is_restored(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.replica_identity = "n";
	store_go_live(&s);
	OK(&s.w, clean(&s));
	store_expect_changes(
		&s,
		"drop slot; drop publication; ALTER TABLE \"public\".\"books\" REPLICA IDENTITY NOTHING; " GIVE_UP_G1
		"; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_an_earlier_version_made_the_publication_then_it_goes(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	store_forget_mark(&s);
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; " GIVE_UP_G1 "; delete requests; delete checkpoint");
	store_end(&s);
}

/* --- what is not ours --- */

static void test_cleanup_when_publication_and_slot_are_of_others_then_they_stay(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.has_publication = s.is_member = s.has_slot = s.slot_is_physical = true;
	s.slot_pid = OTHER_PID;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "delete requests; delete checkpoint");
	s.comment = "pgsync: other/books";
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_indices_to_be_deleted_are_of_others_by_now_then_they_stay(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.spec->delete_index = SPEC_DELETE;
	store_remove(&s, "books-g1");
	store_add(&s, "books-g1", "{\"pgsync\":{\"owner\":\"other/books\"}}");
	store_add(&s, "books-dead-letters", "{}");
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_a_given_slot_is_of_another_resource_then_everything_stays(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->uid = xstrdup("u1");
	store_go_live(&s);
	free(s.w.spec->uid);
	s.w.spec->uid = xstrdup("u2");
	s.w.options.slot_name_given = true;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_cleanup_when_a_given_slot_was_never_used_then_it_stays(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.has_slot = true;
	s.w.options.slot_name_given = true;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "");
	assert_true(s.has_slot);
	store_end(&s);
}

/* --- a server that is unreachable --- */

static void test_cleanup_when_the_source_is_away_then_nothing_is_forgotten(void **state)
{
	struct store s;
	int64_t port;

	UNUSED(state);
	begin_live(&s);
	port = s.w.spec->source.port;
	s.w.spec->source.port = 1;
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "source: "));
	store_expect_changes(&s, "");
	assert_non_null(s.checkpoint);
	s.w.spec->source.port = port;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "drop slot; drop publication; " GIVE_UP_G1 "; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_the_source_is_away_and_nothing_was_created_then_done(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->source.port = 1;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "");
	store_end(&s);
}

static void test_cleanup_when_both_are_away_then_it_is_not_done(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->source.port = 1;
	store_move_sink(&s);
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "source: "));
	store_end(&s);
}

static void test_cleanup_when_the_sink_is_away_then_the_slot_goes_and_the_rest_later(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.http_denies = "/pgsync-checkpoints/_doc";
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "sink: "));
	store_expect_changes(&s, "drop slot; drop publication");
	assert_non_null(s.checkpoint);
	s.http_denies = NULL;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, GIVE_UP_G1 "; delete requests; delete checkpoint");
	store_end(&s);
}

static void collect_note(void *user, bool warning, enum reason reason, const char *action, const char *note)
{
	UNUSED(action);
	assert_true(warning);
	assert_int_equal(reason, REASON_SLOT_ORPHANED);
	strbuf_addf(user, "%s\n", note);
}

static void test_cleanup_when_what_cannot_be_reached_is_left_then_the_rest_goes(void **state)
{
	struct strbuf notes;
	struct store s;

	UNUSED(state);
	strbuf_init(&notes, 10000);
	begin_live(&s);
	s.w.options.event = collect_note;
	s.w.options.user = &notes;
	s.w.options.leave_unreachable = true;
	s.w.spec->source.port = 1;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, GIVE_UP_G1 "; delete requests; delete checkpoint");
	assert_true(has(notes.data, "left slot \"") && !has(notes.data, "the indices"));
	store_end(&s);
	strbuf_release(&notes);
}

static void test_cleanup_when_nothing_can_be_reached_and_is_left_then_done(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.options.leave_unreachable = true;
	s.w.spec->source.port = 1;
	store_move_sink(&s);
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "");
	assert_non_null(s.checkpoint);
	store_end(&s);
}

static void test_cleanup_when_a_server_that_is_there_refuses_then_nothing_is_left(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.w.options.leave_unreachable = true;
	s.http_denies = "/pgsync-checkpoints/_doc";
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "sink: "));
	store_end(&s);
}

static void test_cleanup_when_an_identity_cannot_be_restored_then_the_checkpoint_still_has_it(void **state)
{
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.replica_identity = "n";
	store_go_live(&s);
	s.sql_fails = "REPLICA IDENTITY NOTHING";
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "restoring the replica identity"));
	store_expect_changes(&s, "drop slot; drop publication");
	assert_non_null(strstr(s.checkpoint, "books"));
	s.sql_fails = NULL;
	OK(&s.w, clean(&s));
	store_expect_changes(&s, "ALTER TABLE \"public\".\"books\" REPLICA IDENTITY NOTHING; " GIVE_UP_G1
				 "; delete requests; delete checkpoint");
	store_end(&s);
}

static void test_cleanup_when_the_index_cannot_be_given_up_then_the_checkpoint_stays(void **state)
{
	struct store s;

	UNUSED(state);
	begin_live(&s);
	s.http_denies = "PUT /books-g1/_mapping";
	assert_int_equal(clean(&s), -1);
	assert_true(has(s.w.err.msg, "releasing index \"books-g1\""));
	assert_non_null(s.checkpoint);
	store_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cleanup_then_the_slot_goes_first_and_the_checkpoint_last),
		cmocka_unit_test(test_cleanup_when_the_index_is_to_be_deleted_then_it_goes_with_its_dead_letters),
		cmocka_unit_test(test_cleanup_when_everything_is_retained_then_only_the_index_is_given_up),
		cmocka_unit_test(
			test_cleanup_when_a_generation_is_half_filled_then_it_is_deleted_and_that_of_another_stays),
		cmocka_unit_test(test_cleanup_when_a_worker_still_streams_then_its_walsender_is_ended),
		cmocka_unit_test(test_cleanup_when_a_replica_identity_was_set_then_the_old_one_is_restored),
		cmocka_unit_test(test_cleanup_when_an_earlier_version_made_the_publication_then_it_goes),
		cmocka_unit_test(test_cleanup_when_publication_and_slot_are_of_others_then_they_stay),
		cmocka_unit_test(test_cleanup_when_indices_to_be_deleted_are_of_others_by_now_then_they_stay),
		cmocka_unit_test(test_cleanup_when_a_given_slot_is_of_another_resource_then_everything_stays),
		cmocka_unit_test(test_cleanup_when_a_given_slot_was_never_used_then_it_stays),
		cmocka_unit_test(test_cleanup_when_the_source_is_away_then_nothing_is_forgotten),
		cmocka_unit_test(test_cleanup_when_the_source_is_away_and_nothing_was_created_then_done),
		cmocka_unit_test(test_cleanup_when_both_are_away_then_it_is_not_done),
		cmocka_unit_test(test_cleanup_when_the_sink_is_away_then_the_slot_goes_and_the_rest_later),
		cmocka_unit_test(test_cleanup_when_what_cannot_be_reached_is_left_then_the_rest_goes),
		cmocka_unit_test(test_cleanup_when_nothing_can_be_reached_and_is_left_then_done),
		cmocka_unit_test(test_cleanup_when_a_server_that_is_there_refuses_then_nothing_is_left),
		cmocka_unit_test(test_cleanup_when_an_identity_cannot_be_restored_then_the_checkpoint_still_has_it),
		cmocka_unit_test(test_cleanup_when_the_index_cannot_be_given_up_then_the_checkpoint_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
