/* Tests of the monitor: nothing slow holds up the stream, the stages come in order, and what it sees ends the attempt.
 */
#include "sync/monitor_int.h"
#include "sync/world_test.h"

enum { START = 0x2000, COMMIT = 0x3000, END = COMMIT + 0x10 };

struct fixture {
	struct world w;
	pthread_t thread;
	struct err err;
	int result;
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){0};
	world_begin(&f->w);
	f->w.alias_moved = true;
	f->w.at.cp.confirmed_lsn = 0x1000;
	f->w.at.cp.owner = xstrdup("shop/books");
}

/* The generation has still to be filled. */
static void begin_copy(struct fixture *f)
{
	begin(f);
	f->w.alias_moved = false;
	f->w.at.cp.phase = CHECKPOINT_BOOTSTRAP;
	attempt_index(&f->w.at, 0)->complete = false;
	f->w.blocks = "10";
	world_add_row(&f->w, (struct row){.id = 1});
	world_add_row(&f->w, (struct row){.id = 2, .block = 5});
}

static void *run(void *user)
{
	struct fixture *f = user;
	struct pg *replication = NULL;

	f->result = connector_replication(&f->w.at.connector, &replication, &f->err);
	if (f->result == 0)
		f->result = monitor_run_take(&f->w.at, replication, &f->err);
	return NULL;
}

static void start(struct fixture *f)
{
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

/* Its result, once it has ended by itself. */
static int result(struct fixture *f)
{
	(void)pthread_join(f->thread, NULL);
	return f->result;
}

/* It may be in the middle of a query or a request, which is then ended. */
static void stop(struct fixture *f)
{
	connector_wake(f->w.options.stop_fd);
	if (result(f) < 0)
		assert_int_equal(f->err.kind, ERR_CANCELLED);
	else
		assert_int_equal(f->result, MONITOR_STOPPED);
}

static void end(struct fixture *f)
{
	world_end(&f->w);
}

/* --- what is slow --- */

static void test_monitor_when_the_engine_is_slow_to_answer_questions_then_the_stream_continues(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	fake_gate_close(&f.w.questions);
	start(&f);
	assert_true(fake_gate_holds(&f.w.questions, 1));
	send_transaction(&f.w, 1, COMMIT);
	world_wait_version(&f.w, 1, END);
	/* The server gets its answer, though no acknowledgement: that needs the checkpoint. */
	assert_true(fake_wal_keepalive(f.w.postgres, END + 0x100, true));
	assert_true(fake_wal_updates(f.w.postgres, fake_wal_feedback(f.w.postgres), 1));
	assert_true(fake_gate_holds(&f.w.questions, 1));
	fake_gate_open(&f.w.questions);
	stop(&f);
	end(&f);
}

static void test_monitor_when_it_is_to_stop_then_what_is_durable_is_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	stop(&f);
	assert_int_equal(world_version(&f.w, 1), END);
	end(&f);
}

static uint64_t acknowledged(struct fixture *f)
{
	return fake_wal_feedback(f->w.postgres).flushed;
}

static void set_unavailable(struct fixture *f, bool unavailable)
{
	(void)pthread_mutex_lock(&f->w.engine.lock);
	f->w.unavailable = unavailable;
	(void)pthread_mutex_unlock(&f->w.engine.lock);
}

/* So that the slot is never ahead of the checkpoint, unless that is an older one. */
static void test_monitor_when_the_position_is_not_saved_then_it_is_not_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	set_unavailable(&f, true);
	start(&f);
	send_transaction(&f.w, 1, COMMIT);
	world_wait_version(&f.w, 1, END);
	world_wait_requested(&f.w, "/pgsync-checkpoints", 2);
	assert_true(acknowledged(&f) < COMMIT);
	set_unavailable(&f, false);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	stop(&f);
	end(&f);
}

/* A server that is being shut down waits until everything is acknowledged. */
static void test_monitor_when_the_server_asks_then_the_position_is_saved_at_once(void **state)
{
	struct fixture f;
	int64_t start_ms;

	UNUSED(state);
	begin(&f);
	start(&f);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	start_ms = clock_now_ms();
	for (uint64_t i = 1; i <= 20; i++) {
		assert_true(fake_wal_keepalive(f.w.postgres, END + i, true));
		assert_true(fake_wal_flushed(f.w.postgres, END + i));
	}
	assert_in_range(clock_now_ms() - start_ms, 0, 20 * 200 - 1);
	stop(&f);
	end(&f);
}

static void test_monitor_when_others_saved_the_checkpoint_then_the_attempt_ends_without_an_acknowledgement(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.checkpoint_conflict = true;
	start(&f);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(result(&f) < 0);
	assert_int_equal(f.err.reason, REASON_CHECKPOINT_CONFLICT);
	assert_true(acknowledged(&f) < COMMIT);
	end(&f);
}

static void test_monitor_when_the_histories_of_the_shards_are_not_known_then_they_are_saved(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.history = "first";
	start(&f);
	world_wait_requested(&f.w, "\"histories\":{\"0\":\"first\"}", 1);
	stop(&f);
	end(&f);
}

static void test_monitor_when_a_shard_gets_another_history_then_another_attempt_rebuilds(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.history = "second";
	attempt_index(&f.w.at, 0)->histories = json_pack("{s:s}", "0", "first");
	start(&f);
	assert_int_equal(result(&f), MONITOR_AGAIN);
	end(&f);
}

/* --- stages --- */

static void assert_in_order(struct world *w, const char *const *parts, size_t n)
{
	const char *at;

	(void)pthread_mutex_lock(&w->engine.lock);
	at = w->requests.data;
	for (size_t i = 0; i < n && at; i++)
		at = strstr(at, parts[i]);
	(void)pthread_mutex_unlock(&w->engine.lock);
	assert_non_null(at);
}

static void test_monitor_when_the_copy_is_done_then_the_alias_moves_once_all_until_then_is_durable(void **state)
{
	static const char *const order[] = {"\"complete\":true", "POST /_aliases", "\"phase\":\"Live\""};
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	start(&f);
	/* The checkpoint says that the generation is complete before anything waits for it. */
	world_wait_requested(&f.w, "\"complete\":true", 1);
	/* The server has no WAL to send, so the monitor creates some. */
	world_wait_asked(&f.w, "pg_logical_emit_message", 2);
	assert_int_equal(world_documents(&f.w), 2);
	assert_int_equal(world_requested(&f.w, "POST /_aliases"), 0);
	assert_true(fake_wal_keepalive(f.w.postgres, START - 1, true));
	assert_true(fake_wal_flushed(f.w.postgres, START - 1));
	assert_int_equal(world_requested(&f.w, "POST /_aliases"), 0);
	assert_true(fake_wal_keepalive(f.w.postgres, START, true));
	world_wait_requested(&f.w, "\"phase\":\"Live\"", 1);
	stop(&f);
	assert_in_order(&f.w, order, ARRAY_SIZE(order));
	assert_int_equal(f.w.at.cp.phase, CHECKPOINT_LIVE);
	assert_int_equal(attempt_index(&f.w.at, 0)->live, 1);
	end(&f);
}

static void test_monitor_when_copying_then_changes_flow_and_are_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	fake_gate_close(&f.w.documents);
	f.w.held_from = "(0,0)";
	start(&f);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	send_transaction(&f.w, 3, COMMIT);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(world_version(&f.w, 3), END);
	assert_int_equal(world_requested(&f.w, "\"complete\":true"), 0);
	stop(&f);
	assert_false(attempt_index(&f.w.at, 0)->complete);
	end(&f);
}

static void
test_monitor_when_stopped_before_the_alias_moved_then_the_checkpoint_says_complete_and_not_live(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	start(&f);
	world_wait_requested(&f.w, "\"complete\":true", 1);
	stop(&f);
	assert_int_equal(f.w.at.cp.phase, CHECKPOINT_BOOTSTRAP);
	assert_true(attempt_index(&f.w.at, 0)->complete);
	assert_int_equal(world_requested(&f.w, "POST /_aliases"), 0);
	end(&f);
}

static void test_monitor_when_the_root_is_a_view_then_changes_wait_until_it_is_copied(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	f.w.at.model.plans[0]->root_is_view = true;
	fake_gate_close(&f.w.bulks);
	start(&f);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	send_transaction(&f.w, 3, COMMIT);
	assert_true(fake_wal_updates(f.w.postgres, fake_wal_feedback(f.w.postgres), 2));
	assert_true(fake_wal_feedback(f.w.postgres).flushed < COMMIT);
	assert_int_equal(world_asked(&f.w, "pg_visible_in_snapshot"), 0);
	fake_gate_open(&f.w.bulks);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	stop(&f);
	end(&f);
}

static void test_monitor_when_caught_up_then_it_ends_if_asked_to(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.options.until_caught_up = true;
	f.w.past.catch_up_to = COMMIT;
	start(&f);
	assert_true(fake_wal_keepalive(f.w.postgres, COMMIT - 1, false));
	assert_true(fake_wal_flushed(f.w.postgres, COMMIT - 1));
	send_transaction(&f.w, 1, COMMIT);
	assert_int_equal(result(&f), MONITOR_CAUGHT_UP);
	assert_int_equal(world_version(&f.w, 1), END);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	end(&f);
}

static void test_monitor_when_it_gets_past_where_it_began_then_probation_ends(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.past.on_probation = true;
	start(&f);
	world_wait_asked(&f.w, "pg_logical_emit_message", 1);
	assert_true(fake_wal_keepalive(f.w.postgres, START, false));
	assert_true(fake_wal_flushed(f.w.postgres, START));
	/* The next two checks of the slot. */
	world_wait_asked(&f.w, "LEFT JOIN pg_replication_slots",
			 world_asked(&f.w, "LEFT JOIN pg_replication_slots") + 2);
	stop(&f);
	assert_false(f.w.past.on_probation);
	assert_int_equal(report_status(&f.w.run.report, CONDITION_STALLED), STATUS_FALSE);
	end(&f);
}

/* --- recipes --- */

/* What the engine's pipeline "p" is, which its index passes documents through; under the lock of engine. */
static struct {
	const char *definition; /* NULL: the login may not read it */
	const char *template;   /* the same */
} recipe;

static int answer_recipe(struct world *w, const char *head, const char *body, struct strbuf *answer)
{
	bool template = has(head, "/_simulate_index/");
	const char *answered = template ? recipe.template : recipe.definition;

	UNUSED(body);
	if (has(head, "GET /books-g1/_settings")) {
		strbuf_adds(answer, "{\"books-g1\":{\"settings\":{\"index\":{\"final_pipeline\":\"p\"}}}}");
		return 200;
	}
	if (!template && !has(head, "/_ingest/pipeline/p"))
		return answer_question(w, head, answer);
	if (!answered) {
		strbuf_adds(answer, "{\"error\":{\"type\":\"security_exception\"},\"status\":403}");
		return 403;
	}
	strbuf_adds(answer, answered);
	return 200;
}

/* made: the recipe in the checkpoint; NULL: an earlier release saved it. */
static void begin_recipe(struct fixture *f, const char *made, const char *definition)
{
	begin(f);
	recipe.definition = definition;
	recipe.template = "{}";
	f->w.on_http = answer_recipe;
	attempt_index(&f->w.at, 0)->recipe = made ? json_loads(made, 0, NULL) : NULL;
}

#define MADE_WITH(hash) "{\"given\":[\"p\"],\"pipelines\":{\"p\":" hash "},\"template\":null}"
#define DEFINITION "{\"p\":{\"processors\":[]}}"

static void test_monitor_when_a_pipeline_changed_then_that_is_saved_and_another_attempt_rebuilds(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_recipe(&f, MADE_WITH("\"sha256:ab\""), DEFINITION);
	start(&f);
	assert_int_equal(result(&f), MONITOR_AGAIN);
	assert_string_equal(attempt_index(&f.w.at, 0)->outdated, "ingest pipeline \"p\" has changed");
	assert_int_equal(world_requested(&f.w, "\"outdated\":\"ingest pipeline"), 1);
	end(&f);
}

static void test_monitor_when_a_pipeline_changed_while_copying_then_the_copy_goes_live_first(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	recipe.definition = DEFINITION;
	recipe.template = "{}";
	f.w.on_http = answer_recipe;
	attempt_index(&f.w.at, 0)->recipe = json_loads(MADE_WITH("\"sha256:ab\""), 0, NULL);
	start(&f);
	world_wait_requested(&f.w, "\"outdated\":\"ingest pipeline", 1);
	world_wait_requested(&f.w, "\"complete\":true", 1);
	assert_true(fake_wal_keepalive(f.w.postgres, START, true));
	assert_int_equal(result(&f), MONITOR_AGAIN);
	assert_int_equal(f.w.at.cp.phase, CHECKPOINT_LIVE);
	assert_true(attempt_is_outdated(&f.w.at));
	end(&f);
}

static void test_monitor_when_the_recipe_was_not_known_then_it_is_learned_and_nothing_is_rebuilt(void **state)
{
	static const char *const made[] = {NULL, MADE_WITH("null")};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		struct fixture f;

		begin_recipe(&f, made[i], DEFINITION);
		start(&f);
		world_wait_requested(&f.w, "\"recipe\":{\"given\":[\"p\"],\"pipelines\":{\"p\":\"sha256:", 1);
		stop(&f);
		assert_null(attempt_index(&f.w.at, 0)->outdated);
		end(&f);
	}
}

/* A one-time run ends once every recipe was compared. */
static void run_once(struct fixture *f)
{
	f->w.options.until_caught_up = true;
	f->w.past.catch_up_to = COMMIT;
	start(f);
	send_transaction(&f->w, 1, COMMIT);
	assert_int_equal(result(f), MONITOR_CAUGHT_UP);
	assert_null(attempt_index(&f->w.at, 0)->outdated);
}

static void test_monitor_when_pipelines_and_templates_may_not_be_read_then_nothing_is_rebuilt(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_recipe(&f, MADE_WITH("\"sha256:ab\""), NULL);
	recipe.template = NULL;
	run_once(&f);
	assert_int_equal(world_requested(&f.w, "/_simulate_index/"), 1);
	assert_int_equal(world_requested(&f.w, "\"outdated\":"), 0);
	end(&f);
}

static void test_monitor_when_no_bootstrap_is_allowed_then_no_recipe_is_read(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_recipe(&f, MADE_WITH("\"sha256:ab\""), DEFINITION);
	f.w.spec->bootstrap = SPEC_BOOTSTRAP_NEVER;
	run_once(&f);
	assert_int_equal(world_requested(&f.w, "/_simulate_index/"), 0);
	end(&f);
}

/* --- what ends an attempt --- */

static void test_monitor_when_the_index_is_gone_or_its_alias_leads_elsewhere_then_the_attempt_ends(void **state)
{
	static const struct {
		bool gone, moved;
	} cases[] = {{true, true}, {false, false}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		begin(&f);
		f.w.index_gone = cases[i].gone;
		f.w.alias_moved = cases[i].moved;
		start(&f);
		assert_int_equal(result(&f), -1);
		assert_int_equal(f.err.kind, ERR_TRANSIENT);
		assert_int_equal(f.err.reason, REASON_INDEX_GONE);
		end(&f);
	}
}

static void test_monitor_when_catalog_or_publication_are_other_ones_then_another_attempt(void **state)
{
	static const struct {
		const char *altered, *mark;
	} cases[] = {{"2", "1:1"}, {"1", "1:2"}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		begin(&f);
		f.w.altered = cases[i].altered;
		f.w.publication = cases[i].mark;
		start(&f);
		assert_int_equal(result(&f), MONITOR_AGAIN);
		end(&f);
	}
}

static void send_doubted(struct world *w)
{
	struct fake_relation other = relation;

	other.columns[1].type_oid = 1043;
	world_add_row(w, (struct row){.id = 1});
	assert_true(fake_wal_begin(w->postgres, 9, COMMIT));
	assert_true(fake_wal_relation(w->postgres, &other));
	send_insert(w, 1);
	assert_true(fake_wal_commit(w->postgres, COMMIT, END));
}

static void test_monitor_when_a_doubted_catalog_is_as_known_then_the_stream_continues(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f);
	send_doubted(&f.w);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(world_version(&f.w, 1), END);
	stop(&f);
	end(&f);
}

static void test_monitor_when_a_doubted_catalog_is_another_one_then_nothing_of_it_is_written(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f);
	world_wait_asked(&f.w, "FROM pg_publication p WHERE p.pubname", 1);
	(void)pthread_mutex_lock(fake_postgres_lock(f.w.postgres));
	f.w.altered = "2";
	(void)pthread_mutex_unlock(fake_postgres_lock(f.w.postgres));
	send_doubted(&f.w);
	assert_int_equal(result(&f), MONITOR_AGAIN);
	assert_int_equal(world_documents(&f.w), 0);
	assert_true(fake_wal_feedback(f.w.postgres).flushed < COMMIT);
	end(&f);
}

static void test_monitor_when_the_root_is_truncated_while_copying_then_another_attempt_rebuilds(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_copy(&f);
	start(&f);
	world_wait_requested(&f.w, "\"complete\":true", 1);
	assert_true(fake_wal_begin(f.w.postgres, 9, COMMIT));
	assert_true(fake_wal_relation(f.w.postgres, &relation));
	assert_true(fake_wal_truncate(f.w.postgres, BOOKS));
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, END));
	assert_int_equal(result(&f), MONITOR_AGAIN);
	assert_int_equal(f.w.past.truncated, 1);
	assert_int_equal(f.w.at.cp.phase, CHECKPOINT_BOOTSTRAP);
	end(&f);
}

static void test_monitor_when_stream_or_copy_fail_then_so_does_the_attempt(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f);
	assert_true(fake_wal_fail(f.w.postgres, "57P01", "terminating"));
	assert_int_equal(result(&f), -1);
	assert_int_equal(f.err.reason, REASON_SLOT_TAKEN);
	end(&f);

	begin_copy(&f);
	f.w.filenode_later = "101";
	start(&f);
	assert_int_equal(result(&f), -1);
	assert_int_equal(f.err.reason, REASON_TABLE_REWRITTEN);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_monitor_when_the_engine_is_slow_to_answer_questions_then_the_stream_continues),
		cmocka_unit_test(test_monitor_when_the_position_is_not_saved_then_it_is_not_acknowledged),
		cmocka_unit_test(test_monitor_when_the_server_asks_then_the_position_is_saved_at_once),
		cmocka_unit_test(
			test_monitor_when_others_saved_the_checkpoint_then_the_attempt_ends_without_an_acknowledgement),
		cmocka_unit_test(test_monitor_when_the_histories_of_the_shards_are_not_known_then_they_are_saved),
		cmocka_unit_test(test_monitor_when_a_shard_gets_another_history_then_another_attempt_rebuilds),
		cmocka_unit_test(test_monitor_when_it_is_to_stop_then_what_is_durable_is_acknowledged),
		cmocka_unit_test(
			test_monitor_when_the_copy_is_done_then_the_alias_moves_once_all_until_then_is_durable),
		cmocka_unit_test(test_monitor_when_copying_then_changes_flow_and_are_acknowledged),
		cmocka_unit_test(
			test_monitor_when_stopped_before_the_alias_moved_then_the_checkpoint_says_complete_and_not_live),
		cmocka_unit_test(test_monitor_when_the_root_is_a_view_then_changes_wait_until_it_is_copied),
		cmocka_unit_test(test_monitor_when_caught_up_then_it_ends_if_asked_to),
		cmocka_unit_test(test_monitor_when_it_gets_past_where_it_began_then_probation_ends),
		cmocka_unit_test(test_monitor_when_a_pipeline_changed_then_that_is_saved_and_another_attempt_rebuilds),
		cmocka_unit_test(test_monitor_when_a_pipeline_changed_while_copying_then_the_copy_goes_live_first),
		cmocka_unit_test(test_monitor_when_the_recipe_was_not_known_then_it_is_learned_and_nothing_is_rebuilt),
		cmocka_unit_test(test_monitor_when_pipelines_and_templates_may_not_be_read_then_nothing_is_rebuilt),
		cmocka_unit_test(test_monitor_when_no_bootstrap_is_allowed_then_no_recipe_is_read),
		cmocka_unit_test(
			test_monitor_when_the_index_is_gone_or_its_alias_leads_elsewhere_then_the_attempt_ends),
		cmocka_unit_test(test_monitor_when_catalog_or_publication_are_other_ones_then_another_attempt),
		cmocka_unit_test(test_monitor_when_a_doubted_catalog_is_as_known_then_the_stream_continues),
		cmocka_unit_test(test_monitor_when_a_doubted_catalog_is_another_one_then_nothing_of_it_is_written),
		cmocka_unit_test(test_monitor_when_the_root_is_truncated_while_copying_then_another_attempt_rebuilds),
		cmocka_unit_test(test_monitor_when_stream_or_copy_fail_then_so_does_the_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
