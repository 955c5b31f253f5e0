/* Tests of what the state of the slot means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recovery/slot.h"

enum { OURS = 77, ANOTHER = 78, LIMIT = 1000 };

static void test_gives_slot_up_then_only_what_is_ours_and_retains_too_much(void **state)
{
	static const struct {
		const char *name;
		enum pg_slot_state slot;
		int pid;
		uint64_t retained;
		bool foreign; /* another plugin, or another database */
		struct recovery_slot_use use;
		bool expected;
	} cases[] = {
		{"unused", PG_SLOT_INACTIVE, 0, LIMIT + 1, false, {.max_retained = LIMIT}, true},
		{"at the limit", PG_SLOT_INACTIVE, 0, LIMIT, false, {.max_retained = LIMIT}, false},
		{"no limit", PG_SLOT_INACTIVE, 0, LIMIT + 1, false, {.max_retained = 0}, false},
		{"absent", PG_SLOT_ABSENT, 0, LIMIT + 1, false, {.max_retained = LIMIT}, false},
		{"lost", PG_SLOT_LOST, 0, LIMIT + 1, false, {.max_retained = LIMIT}, false},
		{"foreign", PG_SLOT_INACTIVE, 0, LIMIT + 1, true, {.max_retained = LIMIT}, false},
		{"name of the user, never streamed",
		 PG_SLOT_INACTIVE,
		 0,
		 LIMIT + 1,
		 false,
		 {.max_retained = LIMIT, .slot_name_given = true},
		 false},
		{"name of the user, streamed",
		 PG_SLOT_INACTIVE,
		 0,
		 LIMIT + 1,
		 false,
		 {.max_retained = LIMIT, .slot_name_given = true, .streamed = true, .walsender_pid = OURS},
		 true},
		{"our walsender",
		 PG_SLOT_ACTIVE,
		 OURS,
		 LIMIT + 1,
		 false,
		 {.max_retained = LIMIT, .streamed = true, .walsender_pid = OURS},
		 true},
		{"another walsender",
		 PG_SLOT_ACTIVE,
		 ANOTHER,
		 LIMIT + 1,
		 false,
		 {.max_retained = LIMIT, .streamed = true, .walsender_pid = OURS},
		 false},
		{"a walsender before we streamed",
		 PG_SLOT_ACTIVE,
		 ANOTHER,
		 LIMIT + 1,
		 false,
		 {.max_retained = LIMIT},
		 false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct pg_slot slot = {.state = cases[i].slot,
					     .active_pid = cases[i].pid,
					     .logical_pgoutput = !cases[i].foreign,
					     .retained_bytes = cases[i].retained};

		if (recovery_gives_slot_up(&slot, &cases[i].use) != cases[i].expected)
			fail_msg("%s: expected %d", cases[i].name, cases[i].expected);
	}
}

static void test_slot_health_then_reason_and_words(void **state)
{
	static const struct {
		struct pg_slot slot;
		uint64_t given_up;
		const char *unsaved;
		enum recovery_health health;
		enum reason reason;
		const char *words;
	} cases[] = {
		{{.state = PG_SLOT_ABSENT},
		 0,
		 NULL,
		 RECOVERY_HEALTH_UNKNOWN,
		 REASON_NOT_CHECKED,
		 "no replication slot"},
		{{.state = PG_SLOT_ABSENT},
		 4096,
		 NULL,
		 RECOVERY_HEALTH_BAD,
		 REASON_SLOT_GIVEN_UP,
		 "\"s\" retained 4096 bytes of WAL, more than spec.source.replication.maxRetainedWAL"},
		/* A new one. */
		{{.state = PG_SLOT_ACTIVE}, 4096, NULL, RECOVERY_HEALTH_GOOD, REASON_RESERVED, "keeps the WAL"},
		{{.state = PG_SLOT_LOST, .invalidation = "idle_timeout"},
		 0,
		 NULL,
		 RECOVERY_HEALTH_BAD,
		 REASON_LOST,
		 "idle_timeout"},
		{{.state = PG_SLOT_INACTIVE, .wal_unreserved = true, .retained_bytes = 99},
		 0,
		 NULL,
		 RECOVERY_HEALTH_BAD,
		 REASON_WAL_STATUS_UNRESERVED,
		 "retains 99 bytes"},
		{{.state = PG_SLOT_ACTIVE, .retained_bytes = 99},
		 0,
		 "the index is read-only",
		 RECOVERY_HEALTH_BAD,
		 REASON_POSITION_NOT_SAVED,
		 "retains WAL (99 bytes so far): the index is read-only"},
		/* Worse. */
		{{.state = PG_SLOT_LOST}, 0, "the index is read-only", RECOVERY_HEALTH_BAD, REASON_LOST, "dropped WAL"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct recovery_slot_health h;

		recovery_slot_health(&cases[i].slot, "s", cases[i].given_up, cases[i].unsaved, &h);
		assert_int_equal(h.health, cases[i].health);
		assert_string_equal(reason_name(h.reason), reason_name(cases[i].reason));
		assert_non_null(strstr(h.message, cases[i].words));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gives_slot_up_then_only_what_is_ours_and_retains_too_much),
		cmocka_unit_test(test_slot_health_then_reason_and_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
