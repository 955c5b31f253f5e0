/* Tests of going live, of saving the checkpoint, and of an attempt's cancellation. */
#include "sync/world_test.h"

static void begin(struct world *w)
{
	struct checkpoint_index *index;

	world_begin(w);
	w->at.cp.phase = CHECKPOINT_BOOTSTRAP;
	index = attempt_index(&w->at, 0);
	index->ranges = xcalloc(1, sizeof(*index->ranges));
	index->ranges[0] = (struct checkpoint_range){.relation = BOOKS, .rows = 1};
	index->n_ranges = 1;
}

static void test_go_live_when_the_generation_has_documents_then_the_alias_moves_and_the_checkpoint_says_so(void **state)
{
	struct world w;

	UNUSED(state);
	begin(&w);
	w.stored[w.n_stored++] = (struct stored){.id = 1, .version = FILLED};
	OK(&w, attempt_go_live(&w.at, &w.err));
	assert_true(w.alias_moved);
	assert_int_equal(w.at.cp.phase, CHECKPOINT_LIVE);
	assert_int_equal(attempt_index(&w.at, 0)->live, 1);
	assert_int_equal(world_requested(&w, "\"phase\":\"Live\""), 1);
	world_end(&w);
}

static void test_go_live_when_the_alias_is_moved_then_settings_and_refresh_came_first(void **state)
{
	const char *settings, *refresh, *alias;
	struct world w;

	UNUSED(state);
	begin(&w);
	w.stored[w.n_stored++] = (struct stored){.id = 1, .version = FILLED};
	OK(&w, attempt_go_live(&w.at, &w.err));
	settings = strstr(w.requests.data, "PUT /books-g1/_settings");
	refresh = settings ? strstr(settings, "POST /books-g1/_refresh") : NULL;
	alias = refresh ? strstr(refresh, "POST /_aliases") : NULL;
	assert_non_null(alias);
	assert_non_null(strstr(alias, "PUT /pgsync-checkpoints"));
	world_end(&w);
}

static void test_save_when_repeated_then_each_names_the_version_before_it(void **state)
{
	struct world w;

	UNUSED(state);
	begin(&w);
	w.at.cp.seq_no = w.at.cp.primary_term = -1;
	OK(&w, attempt_save(&w.at, &w.err));
	assert_int_equal(world_requested(&w, "op_type=create"), 1);
	assert_int_equal(w.at.cp.seq_no, 1);
	OK(&w, attempt_save(&w.at, &w.err));
	assert_int_equal(world_requested(&w, "if_seq_no=1&if_primary_term=1"), 1);
	assert_int_equal(w.at.cp.seq_no, 2);
	world_end(&w);
}

static void test_save_when_the_engine_does_not_answer_then_the_version_stays(void **state)
{
	struct world w;

	UNUSED(state);
	begin(&w);
	w.at.cp.seq_no = 5;
	w.at.cp.primary_term = 1;
	w.unavailable = true;
	assert_int_equal(attempt_save(&w.at, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_int_equal(w.at.cp.seq_no, 5);
	world_end(&w);
}

static void test_connector_when_cancelled_then_every_wait_ends(void **state)
{
	struct world w;

	UNUSED(state);
	begin(&w);
	assert_false(connector_sleep(&w.at.connector, 0));
	connector_cancel(&w.at.connector);
	assert_true(connector_sleep(&w.at.connector, FAKE_PATIENCE_MS));
	assert_true(connector_sleep(&w.at.connector, FAKE_PATIENCE_MS));
	assert_int_equal(pg_query(w.at.source.pg, "SELECT 1", NULL, 0, NULL, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CANCELLED);
	assert_int_equal(attempt_save(&w.at, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CANCELLED);
	world_end(&w);
}

static void test_connector_when_the_caller_wants_to_stop_then_every_wait_ends(void **state)
{
	struct world w;

	UNUSED(state);
	begin(&w);
	connector_wake(w.options.stop_fd);
	assert_true(connector_sleep(&w.at.connector, FAKE_PATIENCE_MS));
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_go_live_when_the_generation_has_documents_then_the_alias_moves_and_the_checkpoint_says_so),
		cmocka_unit_test(test_go_live_when_the_alias_is_moved_then_settings_and_refresh_came_first),
		cmocka_unit_test(test_save_when_repeated_then_each_names_the_version_before_it),
		cmocka_unit_test(test_save_when_the_engine_does_not_answer_then_the_version_stays),
		cmocka_unit_test(test_connector_when_cancelled_then_every_wait_ends),
		cmocka_unit_test(test_connector_when_the_caller_wants_to_stop_then_every_wait_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
