/* Tests of the health of slot, search engine and indices. */
#include "sync/health_int.h"
#include "sync/world_test.h"

static void assert_condition(struct run *run, enum condition_type type, enum condition_status status,
			     enum reason reason)
{
	assert_int_equal(report_status(&run->report, type), status);
	assert_int_equal(run->report.conditions[type].reason, reason);
}

static void test_slot_when_read_then_its_state_is_the_condition(void **state)
{
	static const struct {
		struct pg_slot slot;
		enum condition_status status;
		enum reason reason;
	} cases[] = {
		{{.state = PG_SLOT_ABSENT}, STATUS_UNKNOWN, REASON_NOT_CHECKED},
		{{.state = PG_SLOT_LOST}, STATUS_FALSE, REASON_LOST},
		{{.state = PG_SLOT_ACTIVE, .wal_unreserved = true}, STATUS_FALSE, REASON_WAL_STATUS_UNRESERVED},
		{{.state = PG_SLOT_ACTIVE}, STATUS_TRUE, REASON_RESERVED},
		{{.state = PG_SLOT_INACTIVE}, STATUS_TRUE, REASON_RESERVED},
	};
	struct world w;

	UNUSED(state);
	world_begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		health_set_slot_condition(&w.run, &cases[i].slot);
		assert_condition(&w.run, CONDITION_SLOT_HEALTHY, cases[i].status, cases[i].reason);
	}
	world_end(&w);
}

static void test_slot_when_nothing_is_pending_then_the_distance_to_the_server_is_no_lag(void **state)
{
	static const struct {
		struct stream_progress progress;
		uint64_t lag;
	} cases[] = {
		{{.durable = 0x1000, .pending = true}, 0x1000},
		{{.durable = 0x1000, .pending = false}, 0},
		{{.durable = 0x2000, .pending = true}, 0},
		{{.durable = 0x3000, .pending = true}, 0},
	};
	struct world w;
	struct health health;

	UNUSED(state);
	world_begin(&w);
	health = (struct health){.attempt = &w.at};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OK(&w, health_check_slot(&health, &cases[i].progress, &w.err));
		assert_int_equal(w.run.report.stream.lag_bytes, cases[i].lag);
		assert_int_equal(w.run.report.stream.slot_state, REPORT_SLOT_ACTIVE);
	}
	world_end(&w);
}

static void test_index_when_asked_about_then_it_is_ours_and_live_or_gone(void **state)
{
	static const struct {
		bool gone, moved;
		enum checkpoint_phase phase;
		bool index_gone;
	} cases[] = {
		{false, true, CHECKPOINT_LIVE, false},
		{true, true, CHECKPOINT_LIVE, true},
		{false, false, CHECKPOINT_LIVE, true},
		/* Not live yet: the alias points elsewhere. */
		{false, false, CHECKPOINT_BOOTSTRAP, false},
		{true, false, CHECKPOINT_BOOTSTRAP, true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		struct health health;

		world_begin(&w);
		w.index_gone = cases[i].gone;
		w.alias_moved = cases[i].moved;
		w.at.cp.phase = cases[i].phase;
		health = (struct health){.attempt = &w.at};
		assert_true(health_check_index(&health));
		assert_int_equal(health.index_gone, cases[i].index_gone);
		assert_true(health.index_gone || health.sink_err.kind == ERR_NONE);
		world_end(&w);
	}
}

static void test_index_when_the_engine_does_not_answer_then_it_is_a_condition_and_not_the_end(void **state)
{
	struct world w;
	struct health health;
	const struct stream_progress progress = {0};

	UNUSED(state);
	world_begin(&w);
	w.alias_moved = true;
	w.unavailable = true;
	health = (struct health){.attempt = &w.at};
	assert_true(health_check_index(&health));
	assert_false(health.index_gone);
	OK(&w, health_check_slot(&health, &progress, &w.err));
	assert_int_equal(report_status(&w.run.report, CONDITION_SINK_REACHABLE), STATUS_FALSE);
	w.unavailable = false;
	assert_true(health_check_index(&health));
	OK(&w, health_check_slot(&health, &progress, &w.err));
	assert_condition(&w.run, CONDITION_SINK_REACHABLE, STATUS_TRUE, REASON_CONNECTED);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_when_read_then_its_state_is_the_condition),
		cmocka_unit_test(test_slot_when_nothing_is_pending_then_the_distance_to_the_server_is_no_lag),
		cmocka_unit_test(test_index_when_asked_about_then_it_is_ours_and_live_or_gone),
		cmocka_unit_test(test_index_when_the_engine_does_not_answer_then_it_is_a_condition_and_not_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
