/* The table of situations: what is wanted, what there is, and what follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "operator/reconcile_int.h"

enum { NOW_MS = 1000000 };

struct row {
	const char *what;
	struct desired desired;
	struct observed observed;
	enum action action;
	enum situation situation;
	int64_t again_ms;
};

/* A resource with a good spec and our finalizer, and an operator that leads. */
#define WANTED .exists = true, .finalizer = true, .inputs = INPUTS_OK, .hash = "a"
#define OURS .leading = true, .hash = "", .now_ms = NOW_MS
#define RUNS .worker = WORKER_RUNNING, .hash = "a"

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct decision d = reconcile_decide(&rows[i].desired, &rows[i].observed);

		if (d.action != rows[i].action || d.situation != rows[i].situation || d.again_ms != rows[i].again_ms)
			fail_msg("%s: action %d, situation %d, again at %lld", rows[i].what, d.action, d.situation,
				 (long long)d.again_ms);
	}
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

static void test_decide_when_alive_then_finalizer_before_start_and_one_worker(void **state)
{
	static const struct row rows[] = {
		{"new", {WANTED, .finalizer = false}, {OURS}, ACTION_ADD_FINALIZER, SITUATION_STARTING, 0},
		{"finalizer is there", {WANTED}, {OURS}, ACTION_START, SITUATION_STARTING, 0},
		{"runs", {WANTED}, {OURS, RUNS}, ACTION_NONE, SITUATION_RUNNING, 0},
		{"runs, and its finalizer was taken away",
		 {WANTED, .finalizer = false},
		 {OURS, RUNS},
		 ACTION_ADD_FINALIZER,
		 SITUATION_RUNNING,
		 0},
		{"runs with an older spec", {WANTED, .hash = "b"}, {OURS, RUNS}, ACTION_STOP, SITUATION_RESTARTING, 0},
		{"still ending, for a new spec",
		 {WANTED, .hash = "b"},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_RESTARTING,
		 0},
		{"still ending, and the old spec is back",
		 {WANTED},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_RESTARTING,
		 0},
		{"ended by itself",
		 {WANTED},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500},
		 ACTION_NONE,
		 SITUATION_BACKOFF,
		 NOW_MS + 500},
		{"ended, and its time has come",
		 {WANTED},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS},
		 ACTION_START,
		 SITUATION_STARTING,
		 0},
		{"ended, but the spec is another now",
		 {WANTED, .hash = "b"},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500},
		 ACTION_START,
		 SITUATION_STARTING,
		 0},
		{"refused its input",
		 {WANTED},
		 {OURS, .hash = "a", .refused = true},
		 ACTION_NONE,
		 SITUATION_REFUSED,
		 0},
		{"refused an earlier input",
		 {WANTED, .hash = "b"},
		 {OURS, .hash = "a", .refused = true},
		 ACTION_START,
		 SITUATION_STARTING,
		 0},
		{"gone", {.hash = ""}, {OURS}, ACTION_FORGET, SITUATION_UNKNOWN, 0},
		{"gone with a worker", {.hash = ""}, {OURS, RUNS}, ACTION_STOP, SITUATION_UNKNOWN, 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_inputs_are_not_good_then_nothing_starts_and_nothing_stops(void **state)
{
	static const struct row rows[] = {
		{"not read yet",
		 {WANTED, .finalizer = false, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 SITUATION_LOADING,
		 0},
		{"not read yet, and a worker runs",
		 {WANTED, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		/* No finalizer: nothing was begun, so a deletion has nothing to wait for. */
		{"bad from the start",
		 {WANTED, .finalizer = false, .inputs = INPUTS_BAD, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 SITUATION_BAD_INPUTS,
		 0},
		{"bad edit of one that runs",
		 {WANTED, .inputs = INPUTS_BAD, .hash = ""},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_BAD_INPUTS,
		 0},
		/* Nothing is changed by a check, so no finalizer is needed. */
		{"flawed from the start",
		 {WANTED, .finalizer = false, .inputs = INPUTS_FLAWED},
		 {OURS},
		 ACTION_START_CHECK,
		 SITUATION_STARTING,
		 0},
		{"flawed, and being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_FLAWED},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		{"flawed in another way while it is being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_FLAWED, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 SITUATION_RESTARTING,
		 0},
		{"mended while it is being checked",
		 {WANTED, .finalizer = false, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_ADD_FINALIZER,
		 SITUATION_RUNNING,
		 0},
		{"mended, and the check still runs",
		 {WANTED, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 SITUATION_RESTARTING,
		 0},
		{"bad while it is being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_BAD, .hash = ""},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 SITUATION_BAD_INPUTS,
		 0},
		{"flawed edit of one that runs",
		 {WANTED, .inputs = INPUTS_FLAWED, .hash = "b"},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_BAD_INPUTS,
		 0},
		{"the check failed, and its time has not come",
		 {WANTED, .finalizer = false, .inputs = INPUTS_FLAWED},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CHECK, .not_before_ms = NOW_MS + 5},
		 ACTION_NONE,
		 SITUATION_BACKOFF,
		 NOW_MS + 5},
		{"bad, and suspended",
		 {WANTED, .inputs = INPUTS_BAD, .hash = "", .suspend = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 SITUATION_SUSPENDED,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_suspended_or_frozen_then_as_asked(void **state)
{
	static const struct row rows[] = {
		{"suspended", {WANTED, .suspend = true}, {OURS}, ACTION_NONE, SITUATION_SUSPENDED, 0},
		{"suspended while it runs",
		 {WANTED, .suspend = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 SITUATION_SUSPENDED,
		 0},
		{"suspended while it ends",
		 {WANTED, .suspend = true},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_SUSPENDED,
		 0},
		{"frozen, edited",
		 {WANTED, .hash = "b", .frozen = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		{"frozen, suspended",
		 {WANTED, .suspend = true, .frozen = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		/* Nothing is started, and that is said. */
		{"frozen, without a worker", {WANTED, .frozen = true}, {OURS}, ACTION_NONE, SITUATION_FROZEN, 0},
		{"frozen, its worker is ending",
		 {WANTED, .frozen = true},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_UNKNOWN,
		 0},
		{"frozen and suspended, without a worker",
		 {WANTED, .suspend = true, .frozen = true},
		 {OURS},
		 ACTION_NONE,
		 SITUATION_SUSPENDED,
		 0},
		{"frozen, deleted",
		 {WANTED, .deleting = true, .frozen = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		{"frozen, deleted by force",
		 {WANTED, .deleting = true, .frozen = true, .force_delete = true},
		 {OURS},
		 ACTION_REMOVE_FINALIZER,
		 SITUATION_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_deleted_then_stop_clean_release(void **state)
{
	static const struct row rows[] = {
		{"runs", {WANTED, .deleting = true}, {OURS, RUNS}, ACTION_STOP, SITUATION_DELETING, 0},
		{"ending",
		 {WANTED, .deleting = true},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_DELETING,
		 0},
		{"ended", {WANTED, .deleting = true}, {OURS, .hash = "a"}, ACTION_START_CLEANUP, SITUATION_DELETING, 0},
		{"suspended",
		 {WANTED, .deleting = true, .suspend = true},
		 {OURS},
		 ACTION_START_CLEANUP,
		 SITUATION_DELETING,
		 0},
		/* Neither the back-off nor the refusal of a run holds up a clean-up. */
		{"flawed by its last edit",
		 {WANTED, .deleting = true, .inputs = INPUTS_FLAWED},
		 {OURS},
		 ACTION_START_CLEANUP,
		 SITUATION_DELETING,
		 0},
		{"flawed from the start, and being checked",
		 {WANTED, .finalizer = false, .deleting = true, .inputs = INPUTS_FLAWED},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 SITUATION_DELETING,
		 0},
		{"was crashing",
		 {WANTED, .deleting = true},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500, .refused = true},
		 ACTION_START_CLEANUP,
		 SITUATION_DELETING,
		 0},
		{"cleaning",
		 {WANTED, .deleting = true},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CLEANUP},
		 ACTION_NONE,
		 SITUATION_DELETING,
		 0},
		{"cleaned",
		 {WANTED, .deleting = true},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .cleaned = true},
		 ACTION_REMOVE_FINALIZER,
		 SITUATION_DELETING,
		 0},
		{"clean-up failed",
		 {WANTED, .deleting = true},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .not_before_ms = NOW_MS + 500},
		 ACTION_NONE,
		 SITUATION_DELETE_RETRY,
		 NOW_MS + 500},
		{"clean-up failed, and its time has come",
		 {WANTED, .deleting = true},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .not_before_ms = NOW_MS},
		 ACTION_START_CLEANUP,
		 SITUATION_DELETING,
		 0},
		{"clean-up refused its input",
		 {WANTED, .deleting = true},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .refused = true},
		 ACTION_NONE,
		 SITUATION_DELETE_BLOCKED,
		 0},
		{"the Secret is gone",
		 {WANTED, .deleting = true, .inputs = INPUTS_BAD, .hash = ""},
		 {OURS, .hash = "a"},
		 ACTION_NONE,
		 SITUATION_DELETE_BLOCKED,
		 0},
		{"the Secret is not read yet",
		 {WANTED, .deleting = true, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 SITUATION_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_deletion_is_forced_or_not_ours_then_no_clean_up(void **state)
{
	static const struct row rows[] = {
		{"the Secret is gone, forced",
		 {WANTED, .deleting = true, .inputs = INPUTS_BAD, .hash = "", .force_delete = true},
		 {OURS, .hash = "a"},
		 ACTION_REMOVE_FINALIZER,
		 SITUATION_DELETING,
		 0},
		{"forced while it runs",
		 {WANTED, .deleting = true, .force_delete = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 SITUATION_DELETING,
		 0},
		{"forced while cleaning",
		 {WANTED, .deleting = true, .force_delete = true},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CLEANUP},
		 ACTION_STOP,
		 SITUATION_DELETING,
		 0},
		{"force-delete without a deletion",
		 {WANTED, .force_delete = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 SITUATION_RUNNING,
		 0},
		/* Others' finalizers may hold it; ours is not put back, and nothing is started. */
		{"without our finalizer",
		 {WANTED, .deleting = true, .finalizer = false},
		 {OURS},
		 ACTION_NONE,
		 SITUATION_DELETING,
		 0},
		{"without our finalizer while it runs",
		 {WANTED, .deleting = true, .finalizer = false},
		 {OURS, RUNS},
		 ACTION_STOP,
		 SITUATION_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_not_leading_then_workers_go_on_and_nothing_is_done(void **state)
{
	static const struct row rows[] = {
		{"new", {WANTED, .finalizer = false}, {OURS, .leading = false}, ACTION_NONE, SITUATION_UNKNOWN, 0},
		{"runs, edited",
		 {WANTED, .hash = "b"},
		 {OURS, RUNS, .leading = false},
		 ACTION_NONE,
		 SITUATION_UNKNOWN,
		 0},
		{"deleted",
		 {WANTED, .deleting = true},
		 {OURS, RUNS, .leading = false},
		 ACTION_NONE,
		 SITUATION_UNKNOWN,
		 0},
		/* A new worker would take the slot from one of a leader that we do not see. */
		{"its worker died", {WANTED}, {OURS, .hash = "a", .leading = false}, ACTION_NONE, SITUATION_UNKNOWN, 0},
		{"gone", {.hash = ""}, {OURS, .leading = false}, ACTION_FORGET, SITUATION_UNKNOWN, 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

#pragma GCC diagnostic pop

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_when_alive_then_finalizer_before_start_and_one_worker),
		cmocka_unit_test(test_decide_when_inputs_are_not_good_then_nothing_starts_and_nothing_stops),
		cmocka_unit_test(test_decide_when_suspended_or_frozen_then_as_asked),
		cmocka_unit_test(test_decide_when_deleted_then_stop_clean_release),
		cmocka_unit_test(test_decide_when_deletion_is_forced_or_not_ours_then_no_clean_up),
		cmocka_unit_test(test_decide_when_not_leading_then_workers_go_on_and_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
