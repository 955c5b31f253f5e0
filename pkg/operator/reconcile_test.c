/* Tables of what is desired, what is observed, and what follows. */
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
	enum reconcile_state state;
	int64_t again_ms;
};

/* A resource with a good spec and our finalizer, and an operator that leads. */
#define WANTED .presence = PRESENCE_ALIVE, .finalizer = true, .inputs = INPUTS_VALID, .hash = "a"
#define OURS .leading = true, .hash = "", .now_ms = NOW_MS
#define RUNS .worker = WORKER_RUNNING, .hash = "a", .reported = true

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct decision d = reconcile_decide(&rows[i].desired, &rows[i].observed);

		if (d.action != rows[i].action || d.state != rows[i].state || d.again_ms != rows[i].again_ms)
			fail_msg("%s: action %d, state %d, again at %lld", rows[i].what, d.action, d.state,
				 (long long)d.again_ms);
	}
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

static void test_decide_when_alive_then_finalizer_before_start_and_one_worker(void **state)
{
	static const struct row rows[] = {
		{"new", {WANTED, .finalizer = false}, {OURS}, ACTION_ADD_FINALIZER, STATE_STARTING, 0},
		{"finalizer is there", {WANTED}, {OURS}, ACTION_START, STATE_STARTING, 0},
		{"runs", {WANTED}, {OURS, RUNS}, ACTION_NONE, STATE_RUNNING, 0},
		{"runs, and its finalizer was taken away",
		 {WANTED, .finalizer = false},
		 {OURS, RUNS},
		 ACTION_ADD_FINALIZER,
		 STATE_RUNNING,
		 0},
		{"runs with an older spec", {WANTED, .hash = "b"}, {OURS, RUNS}, ACTION_STOP, STATE_RESTARTING, 0},
		{"still ending, for a new spec",
		 {WANTED, .hash = "b"},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
		{"still ending, and the old spec is back",
		 {WANTED},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
		{"ended by itself",
		 {WANTED},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500},
		 ACTION_NONE,
		 STATE_BACKOFF,
		 NOW_MS + 500},
		{"ended, and its time has come",
		 {WANTED},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS},
		 ACTION_START,
		 STATE_STARTING,
		 0},
		{"ended, but the spec is another now",
		 {WANTED, .hash = "b"},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500},
		 ACTION_START,
		 STATE_STARTING,
		 0},
		{"refused its input",
		 {WANTED},
		 {OURS, .hash = "a", .outcome = OUTCOME_REFUSED},
		 ACTION_NONE,
		 STATE_REFUSED,
		 0},
		{"refused an earlier input",
		 {WANTED, .hash = "b"},
		 {OURS, .hash = "a", .outcome = OUTCOME_REFUSED},
		 ACTION_START,
		 STATE_STARTING,
		 0},
		{"gone", {.hash = ""}, {OURS}, ACTION_FORGET, STATE_UNKNOWN, 0},
		{"gone with a worker", {.hash = ""}, {OURS, RUNS}, ACTION_STOP, STATE_UNKNOWN, 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_planning_then_no_finalizer_and_a_running_stream_stops(void **state)
{
	static const struct row rows[] = {
		{"new", {WANTED, .plan = true, .finalizer = false}, {OURS}, ACTION_START, STATE_STARTING, 0},
		{"planned",
		 {WANTED, .plan = true, .finalizer = false},
		 {OURS, RUNS, .planning = true},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		{"was syncing", {WANTED, .plan = true, .hash = "b"}, {OURS, RUNS}, ACTION_STOP, STATE_RESTARTING, 0},
		{"was syncing, and the new spec is not verified yet",
		 {WANTED, .plan = true, .inputs = INPUTS_UNVERIFIED, .hash = ""},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_RESTARTING,
		 0},
		{"was syncing, and the new spec is invalid",
		 {WANTED, .plan = true, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_RESTARTING,
		 0},
		{"was syncing, and is ending",
		 {WANTED, .plan = true, .hash = "b"},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
		{"the new spec can only be checked",
		 {WANTED, .plan = true, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS},
		 ACTION_START_CHECK,
		 STATE_STARTING,
		 0},
		{"is to sync now: the finalizer comes first",
		 {WANTED, .hash = "b", .finalizer = false},
		 {OURS, RUNS, .planning = true},
		 ACTION_ADD_FINALIZER,
		 STATE_RUNNING,
		 0},
		{"is to sync now",
		 {WANTED, .hash = "b"},
		 {OURS, RUNS, .planning = true},
		 ACTION_STOP,
		 STATE_RESTARTING,
		 0},
		{"is to sync now, but the new spec is invalid",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, RUNS, .planning = true},
		 ACTION_STOP,
		 STATE_INVALID_RUNNING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_another_operator_is_responsible_then_nothing_but_to_stop(void **state)
{
	static const struct row rows[] = {
		{"it may be dead", {WANTED, .claim = CLAIM_UNCLEAR}, {OURS}, ACTION_NONE, STATE_UNKNOWN, 0},
		{"it may be dead, and our worker runs",
		 {WANTED, .claim = CLAIM_UNCLEAR},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		{"it is alive", {WANTED, .claim = CLAIM_OTHERS}, {OURS}, ACTION_NONE, STATE_STANDING_BACK, 0},
		{"it is alive, and our worker runs",
		 {WANTED, .claim = CLAIM_OTHERS},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_STANDING_BACK,
		 0},
		{"our worker is ending",
		 {WANTED, .claim = CLAIM_OTHERS},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_STANDING_BACK,
		 0},
		{"the finalizer is missing",
		 {WANTED, .claim = CLAIM_OTHERS, .finalizer = false},
		 {OURS},
		 ACTION_NONE,
		 STATE_STANDING_BACK,
		 0},
		{"a deletion is for the other one, too",
		 {WANTED, .claim = CLAIM_OTHERS, .presence = PRESENCE_DELETING, .force_delete = true},
		 {OURS},
		 ACTION_NONE,
		 STATE_STANDING_BACK,
		 0},
		{"gone", {.claim = CLAIM_OTHERS, .hash = ""}, {OURS}, ACTION_FORGET, STATE_UNKNOWN, 0},
		{"gone, and it may be dead",
		 {.claim = CLAIM_UNCLEAR, .hash = ""},
		 {OURS},
		 ACTION_FORGET,
		 STATE_UNKNOWN,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_a_worker_is_silent_then_told_and_later_killed(void **state)
{
	enum { SILENT = PROTOCOL_SILENT_MS, KILL = RECONCILE_KILL_MS };
	static const struct row rows[] = {
		{"a moment", {WANTED}, {OURS, RUNS, .silent_ms = SILENT - 1}, ACTION_NONE, STATE_RUNNING, 0},
		{"two heartbeats are missing",
		 {WANTED},
		 {OURS, RUNS, .silent_ms = SILENT},
		 ACTION_NONE,
		 STATE_SILENT,
		 NOW_MS + KILL - SILENT},
		{"it has not reported yet",
		 {WANTED},
		 {OURS, .worker = WORKER_RUNNING, .hash = "a", .silent_ms = SILENT},
		 ACTION_NONE,
		 STATE_SILENT,
		 NOW_MS + KILL - SILENT},
		{"too long", {WANTED}, {OURS, RUNS, .silent_ms = KILL}, ACTION_KILL, STATE_SILENT, 0},
		{"with bad inputs",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, RUNS, .silent_ms = KILL},
		 ACTION_KILL,
		 STATE_SILENT,
		 0},
		{"a cleanup",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CLEANUP, .silent_ms = KILL},
		 ACTION_KILL,
		 STATE_SILENT,
		 0},
		{"without leadership, nothing could be started",
		 {WANTED},
		 {OURS, RUNS, .leading = false, .silent_ms = KILL},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		{"nothing may be started either",
		 {WANTED, .frozen = true},
		 {OURS, RUNS, .silent_ms = KILL},
		 ACTION_NONE,
		 STATE_SILENT,
		 0},
		{"it is stopping, which has its own deadline",
		 {WANTED, .hash = "b"},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a", .silent_ms = KILL},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_inputs_are_not_verified_then_nothing_changes_and_only_a_failure_is_told(void **state)
{
	static const struct row rows[] = {
		{"not verified yet",
		 {WANTED, .finalizer = false, .inputs = INPUTS_UNVERIFIED, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		{"not verified yet, and a worker runs",
		 {WANTED, .inputs = INPUTS_UNVERIFIED, .hash = ""},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		{"not verified yet, and a worker ends",
		 {WANTED, .inputs = INPUTS_UNVERIFIED, .hash = ""},
		 {OURS, .worker = WORKER_STOPPING},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		{"it cannot be verified",
		 {WANTED, .inputs = INPUTS_UNVERIFIED, .verify_failures = 1, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_BACKOFF,
		 0},
		{"it cannot be verified, again and again",
		 {WANTED, .inputs = INPUTS_UNVERIFIED, .verify_failures = RECONCILE_CRASH_LOOP, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_CRASH_LOOP,
		 0},
		{"it is being deleted, and cannot be verified",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_UNVERIFIED, .verify_failures = 1, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
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
		 STATE_LOADING,
		 0},
		{"not read yet, and a worker runs",
		 {WANTED, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		/* No finalizer: nothing was begun, so a deletion has nothing to wait for. */
		{"invalid from the start",
		 {WANTED, .finalizer = false, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_INVALID,
		 0},
		{"invalid edit of one that runs",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_INVALID_RUNNING,
		 0},
		/* Nothing is changed by a check, so no finalizer is needed. */
		{"checkable from the start",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS},
		 ACTION_START_CHECK,
		 STATE_STARTING,
		 0},
		{"checkable, and being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		{"invalid in another way while it is being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 STATE_RESTARTING,
		 0},
		{"corrected while it is being checked",
		 {WANTED, .finalizer = false, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_ADD_FINALIZER,
		 STATE_RUNNING,
		 0},
		{"corrected, and the check still runs",
		 {WANTED, .hash = "b"},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 STATE_RESTARTING,
		 0},
		{"invalid while it is being checked",
		 {WANTED, .finalizer = false, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 STATE_INVALID_RUNNING,
		 0},
		{"checkable edit of one that runs",
		 {WANTED, .inputs = INPUTS_CHECKABLE, .hash = "b"},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_INVALID_RUNNING,
		 0},
		{"the check failed, and its time has not come",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CHECK, .not_before_ms = NOW_MS + 5},
		 ACTION_NONE,
		 STATE_BACKOFF,
		 NOW_MS + 5},
		{"invalid, and suspended",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = "", .suspend = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_SUSPENDING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_suspended_or_frozen_then_as_asked(void **state)
{
	static const struct row rows[] = {
		{"suspended", {WANTED, .suspend = true}, {OURS}, ACTION_NONE, STATE_SUSPENDED, 0},
		{"suspended while it runs", {WANTED, .suspend = true}, {OURS, RUNS}, ACTION_STOP, STATE_SUSPENDING, 0},
		{"suspended while it ends",
		 {WANTED, .suspend = true},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_SUSPENDING,
		 0},
		{"frozen, edited", {WANTED, .hash = "b", .frozen = true}, {OURS, RUNS}, ACTION_NONE, STATE_RUNNING, 0},
		{"frozen, suspended",
		 {WANTED, .suspend = true, .frozen = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		/* Nothing is started, and the state shows that. */
		{"over the limit", {WANTED, .over_limit = true}, {OURS}, ACTION_NONE, STATE_OVER_LIMIT, 0},
		{"over the limit, with a worker",
		 {WANTED, .over_limit = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_OVER_LIMIT,
		 0},
		{"over the limit, suspended",
		 {WANTED, .suspend = true, .over_limit = true},
		 {OURS},
		 ACTION_NONE,
		 STATE_SUSPENDED,
		 0},
		{"frozen, without a worker", {WANTED, .frozen = true}, {OURS}, ACTION_NONE, STATE_FROZEN, 0},
		{"frozen, its worker is ending",
		 {WANTED, .frozen = true},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		{"frozen and suspended, without a worker",
		 {WANTED, .suspend = true, .frozen = true},
		 {OURS},
		 ACTION_NONE,
		 STATE_SUSPENDED,
		 0},
		{"frozen, deleted",
		 {WANTED, .presence = PRESENCE_DELETING, .frozen = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		{"frozen, deleted by force",
		 {WANTED, .presence = PRESENCE_DELETING, .frozen = true, .force_delete = true},
		 {OURS},
		 ACTION_REMOVE_FINALIZER,
		 STATE_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_deleted_then_stop_clean_release(void **state)
{
	static const struct row rows[] = {
		{"runs", {WANTED, .presence = PRESENCE_DELETING}, {OURS, RUNS}, ACTION_STOP, STATE_DELETING, 0},
		{"ending",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a"},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
		{"ended",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a"},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"suspended",
		 {WANTED, .presence = PRESENCE_DELETING, .suspend = true},
		 {OURS},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		/* Neither the back-off nor the refusal of a run holds up a cleanup. */
		{"checkable after its last edit",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_CHECKABLE},
		 {OURS},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"checkable from the start, and being checked",
		 {WANTED, .finalizer = false, .presence = PRESENCE_DELETING, .inputs = INPUTS_CHECKABLE},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK},
		 ACTION_STOP,
		 STATE_DELETING,
		 0},
		{"was crashing",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a", .not_before_ms = NOW_MS + 500, .outcome = OUTCOME_REFUSED},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"cleaning",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CLEANUP},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
		{"cleaned",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .outcome = OUTCOME_CLEANED},
		 ACTION_REMOVE_FINALIZER,
		 STATE_DELETING,
		 0},
		{"cleanup failed",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .not_before_ms = NOW_MS + 500},
		 ACTION_NONE,
		 STATE_DELETE_RETRY,
		 NOW_MS + 500},
		{"cleanup failed, and its time has come",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .not_before_ms = NOW_MS},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"cleanup refused its input",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .outcome = OUTCOME_REFUSED},
		 ACTION_NONE,
		 STATE_DELETE_REFUSED,
		 0},
		{"the Secret is gone",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_INVALID, .hash = ""},
		 {OURS, .hash = "a"},
		 ACTION_NONE,
		 STATE_DELETE_INVALID,
		 0},
		{"the Secret is not read yet",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_the_namespace_ends_then_a_cleanup_that_cannot_work_is_given_up(void **state)
{
#define FAILED(n) .task = PROTOCOL_TASK_CLEANUP, .hash = "a", .outcome = OUTCOME_FAILED, .failures = (n)
#define LEAVING WANTED, .presence = PRESENCE_DELETING, .namespace_ends = true
#define NO_SECRET .inputs = INPUTS_INVALID, .hash = ""
	static const struct row rows[] = {
		{"first attempt", {LEAVING}, {OURS}, ACTION_START_CLEANUP, STATE_DELETING, 0},
		{"two have failed", {LEAVING}, {OURS, FAILED(2)}, ACTION_START_CLEANUP, STATE_DELETING, 0},
		{"three have failed", {LEAVING}, {OURS, FAILED(3)}, ACTION_START_LAST_CLEANUP, STATE_DELETING, 0},
		{"the last one failed, too",
		 {LEAVING},
		 {OURS, FAILED(9)},
		 ACTION_START_LAST_CLEANUP,
		 STATE_DELETING,
		 0},
		{"in its pause",
		 {LEAVING},
		 {OURS, FAILED(3), .not_before_ms = NOW_MS + 500},
		 ACTION_NONE,
		 STATE_DELETE_RETRY,
		 NOW_MS + 500},
		{"with other inputs than those that failed",
		 {LEAVING, .hash = "b"},
		 {OURS, FAILED(3)},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"the run has failed, no cleanup",
		 {LEAVING},
		 {OURS, FAILED(3), .task = PROTOCOL_TASK_RUN},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"a hundred have failed, and the namespace stays",
		 {LEAVING, .namespace_ends = false},
		 {OURS, FAILED(100)},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"the Secret is gone",
		 {LEAVING, NO_SECRET, .credentials_missing = true},
		 {OURS},
		 ACTION_REMOVE_FINALIZER,
		 STATE_DELETING,
		 0},
		{"the Secret is gone, and the namespace stays",
		 {LEAVING, NO_SECRET, .credentials_missing = true, .namespace_ends = false},
		 {OURS},
		 ACTION_NONE,
		 STATE_DELETE_INVALID,
		 0},
		{"the spec is invalid, which can be corrected",
		 {LEAVING, NO_SECRET},
		 {OURS},
		 ACTION_NONE,
		 STATE_DELETE_INVALID,
		 0},
		{"the namespace ends before the PgSync",
		 {WANTED, .namespace_ends = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_deletion_is_forced_or_not_ours_then_no_cleanup(void **state)
{
	static const struct row rows[] = {
		{"the Secret is gone, forced",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_INVALID, .hash = "", .force_delete = true},
		 {OURS, .hash = "a"},
		 ACTION_REMOVE_FINALIZER,
		 STATE_DELETING,
		 0},
		{"forced while it runs",
		 {WANTED, .presence = PRESENCE_DELETING, .force_delete = true},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_DELETING,
		 0},
		{"forced while cleaning",
		 {WANTED, .presence = PRESENCE_DELETING, .force_delete = true},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CLEANUP},
		 ACTION_STOP,
		 STATE_DELETING,
		 0},
		{"force-delete without a deletion",
		 {WANTED, .force_delete = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		/* Finalizers of others may keep the object; ours is not added again, and nothing is started. */
		{"without our finalizer",
		 {WANTED, .presence = PRESENCE_DELETING, .finalizer = false},
		 {OURS},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
		{"without our finalizer while it runs",
		 {WANTED, .presence = PRESENCE_DELETING, .finalizer = false},
		 {OURS, RUNS},
		 ACTION_STOP,
		 STATE_DELETING,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_not_leading_then_workers_continue_and_nothing_is_done(void **state)
{
	static const struct row rows[] = {
		{"new", {WANTED, .finalizer = false}, {OURS, .leading = false}, ACTION_NONE, STATE_UNKNOWN, 0},
		{"runs, edited", {WANTED, .hash = "b"}, {OURS, RUNS, .leading = false}, ACTION_NONE, STATE_UNKNOWN, 0},
		{"deleted",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, RUNS, .leading = false},
		 ACTION_NONE,
		 STATE_UNKNOWN,
		 0},
		/* A new worker would take the slot from one of a leader that we do not see. */
		{"its worker died", {WANTED}, {OURS, .hash = "a", .leading = false}, ACTION_NONE, STATE_UNKNOWN, 0},
		{"gone", {.hash = ""}, {OURS, .leading = false}, ACTION_FORGET, STATE_UNKNOWN, 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

/* A worker that was started again after failures. */
#define RETRIES .worker = WORKER_RUNNING, .hash = "a", .failures = 1

static void test_decide_when_a_worker_has_not_reported_then_its_past_decides_the_state(void **state)
{
	static const struct row rows[] = {
		{"first start", {WANTED}, {OURS, RUNS, .reported = false}, ACTION_NONE, STATE_STARTING, 0},
		{"after a failure", {WANTED}, {OURS, RETRIES}, ACTION_NONE, STATE_BACKOFF, 0},
		{"after several", {WANTED}, {OURS, RETRIES, .failures = 3}, ACTION_NONE, STATE_CRASH_LOOP, 0},
		{"after a failure, reported",
		 {WANTED},
		 {OURS, RETRIES, .reported = true},
		 ACTION_NONE,
		 STATE_RUNNING,
		 0},
		{"waits after several",
		 {WANTED},
		 {OURS, .hash = "a", .failures = 3, .not_before_ms = NOW_MS + 5},
		 ACTION_NONE,
		 STATE_CRASH_LOOP,
		 NOW_MS + 5},
		{"frozen, after a failure", {WANTED, .frozen = true}, {OURS, RETRIES}, ACTION_NONE, STATE_BACKOFF, 0},
		{"ending after a failure, for a new spec",
		 {WANTED, .hash = "b"},
		 {OURS, RETRIES, .worker = WORKER_STOPPING},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
		{"cleaning after a failure",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, RETRIES, .task = PROTOCOL_TASK_CLEANUP},
		 ACTION_NONE,
		 STATE_DELETE_RETRY,
		 0},
		{"ending for a deletion, after a failure of the run",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, RETRIES, .worker = WORKER_STOPPING},
		 ACTION_NONE,
		 STATE_DELETING,
		 0},
		{"the Secret is not read yet, after a failed cleanup",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_LOADING, .hash = ""},
		 {OURS, .task = PROTOCOL_TASK_CLEANUP, .failures = 1},
		 ACTION_NONE,
		 STATE_DELETE_RETRY,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_inputs_are_invalid_then_the_state_says_whether_a_worker_continues(void **state)
{
	static const struct row rows[] = {
		{"the Secret of one that runs is gone",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = "", .credentials_missing = true},
		 {OURS, RUNS, .newest_spec = true},
		 ACTION_NONE,
		 STATE_CREDENTIALS_GONE,
		 0},
		{"an edit names a Secret that does not exist",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = "", .credentials_missing = true},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_INVALID_RUNNING,
		 0},
		{"the Secret is gone, and nothing runs",
		 {WANTED, .inputs = INPUTS_INVALID, .hash = "", .credentials_missing = true},
		 {OURS, .hash = "a", .newest_spec = true},
		 ACTION_NONE,
		 STATE_INVALID,
		 0},
		{"the check has not reported yet",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS, RUNS, .task = PROTOCOL_TASK_CHECK, .reported = false},
		 ACTION_NONE,
		 STATE_INVALID,
		 0},
		{"the check has failed before, and has not reported yet",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE},
		 {OURS, RETRIES, .task = PROTOCOL_TASK_CHECK},
		 ACTION_NONE,
		 STATE_INVALID,
		 0},
		{"the check ends before it has reported, for another one",
		 {WANTED, .finalizer = false, .inputs = INPUTS_CHECKABLE, .hash = "b"},
		 {OURS, .worker = WORKER_STOPPING, .hash = "a", .task = PROTOCOL_TASK_CHECK},
		 ACTION_NONE,
		 STATE_INVALID,
		 0},
		{"the cleanup refused inputs that are invalid",
		 {WANTED, .presence = PRESENCE_DELETING, .inputs = INPUTS_CHECKABLE},
		 {OURS, .hash = "a", .task = PROTOCOL_TASK_CLEANUP, .outcome = OUTCOME_REFUSED},
		 ACTION_NONE,
		 STATE_DELETE_INVALID,
		 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

static void test_decide_when_a_worker_runs_then_applied_only_with_the_newest_inputs(void **state)
{
	static const struct {
		struct desired desired;
		struct observed observed;
		bool applied;
	} rows[] = {
		{{WANTED}, {OURS, RUNS}, true},
		{{WANTED}, {OURS, RETRIES}, true},
		{{WANTED, .frozen = true}, {OURS, RUNS}, true},
		{{WANTED, .frozen = true, .hash = "b"}, {OURS, RUNS}, false},
		{{WANTED, .hash = "b"}, {OURS, RUNS}, false},
		{{WANTED, .inputs = INPUTS_LOADING, .hash = ""}, {OURS, RUNS}, false},
		{{WANTED, .inputs = INPUTS_UNVERIFIED, .hash = ""}, {OURS, RUNS}, false},
		{{WANTED, .inputs = INPUTS_CHECKABLE}, {OURS, RUNS, .task = PROTOCOL_TASK_CHECK}, false},
		{{WANTED}, {OURS, RUNS, .leading = false}, false},
		{{WANTED, .suspend = true}, {OURS, RUNS}, false},
		{{WANTED}, {OURS, .hash = "a"}, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (reconcile_decide(&rows[i].desired, &rows[i].observed).applied != rows[i].applied)
			fail_msg("row %zu: applied is not %d", i, rows[i].applied);
}

#define IN_POD WANTED, .pod = true
#define CURRENT .pod_exists = true, .pod_current = true

static void test_decide_when_in_a_pod_then_one_side_ends_before_the_other_begins(void **state)
{
	static const struct row rows[] = {
		{"not known yet", {IN_POD}, {OURS, .pod = POD_UNCLEAR}, ACTION_NONE, STATE_UNKNOWN, 0},
		{"new", {IN_POD, .finalizer = false}, {OURS}, ACTION_ADD_FINALIZER, STATE_STARTING, 0},
		{"with the finalizer", {IN_POD}, {OURS}, ACTION_PLACE, STATE_POD_STARTING, 0},
		{"invalid", {IN_POD, .inputs = INPUTS_INVALID}, {OURS}, ACTION_NONE, STATE_INVALID, 0},
		{"from a process", {IN_POD}, {OURS, RUNS}, ACTION_STOP, STATE_RESTARTING, 0},
		{"from a process that ends",
		 {IN_POD},
		 {OURS, RUNS, .worker = WORKER_STOPPING},
		 ACTION_NONE,
		 STATE_RESTARTING,
		 0},
		{"an invalid edit stops no process",
		 {IN_POD, .inputs = INPUTS_INVALID},
		 {OURS, RUNS},
		 ACTION_NONE,
		 STATE_INVALID_RUNNING,
		 0},
		{"starts",
		 {IN_POD},
		 {OURS, CURRENT, .pod = POD_SILENT, .pod_is_new = true},
		 ACTION_NONE,
		 STATE_POD_STARTING,
		 NOW_MS + RECONCILE_POD_MS},
		{"alive", {IN_POD}, {OURS, CURRENT, .pod = POD_ALIVE}, ACTION_NONE, STATE_IN_POD, 0},
		{"lost",
		 {IN_POD},
		 {OURS, CURRENT, .pod = POD_SILENT},
		 ACTION_NONE,
		 STATE_POD_LOST,
		 NOW_MS + RECONCILE_POD_MS},
		{"alive, and the spec is another now",
		 {IN_POD},
		 {OURS, .pod = POD_ALIVE, .pod_exists = true},
		 ACTION_PLACE,
		 STATE_IN_POD,
		 0},
		{"alive, and the spec is invalid now",
		 {IN_POD, .inputs = INPUTS_INVALID},
		 {OURS, .pod = POD_ALIVE, .pod_exists = true},
		 ACTION_NONE,
		 STATE_IN_POD,
		 0},
		{"its Deployment was deleted", {IN_POD}, {OURS, .pod = POD_ALIVE}, ACTION_PLACE, STATE_IN_POD, 0},
		{"frozen", {WANTED, .frozen = true}, {OURS, CURRENT, .pod = POD_ALIVE}, ACTION_NONE, STATE_IN_POD, 0},
		{"to a process", {WANTED}, {OURS, CURRENT, .pod = POD_ALIVE}, ACTION_UNPLACE, STATE_RESTARTING, 0},
		{"to a process, still alive", {WANTED}, {OURS, .pod = POD_ALIVE}, ACTION_NONE, STATE_RESTARTING, 0},
		{"to a process, ended", {WANTED}, {OURS}, ACTION_START, STATE_STARTING, 0},
		{"suspended",
		 {WANTED, .suspend = true},
		 {OURS, CURRENT, .pod = POD_SILENT},
		 ACTION_UNPLACE,
		 STATE_SUSPENDING,
		 0},
		{"deleted",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS, CURRENT, .pod = POD_ALIVE},
		 ACTION_UNPLACE,
		 STATE_DELETING,
		 0},
		{"deleted, ended",
		 {WANTED, .presence = PRESENCE_DELETING},
		 {OURS},
		 ACTION_START_CLEANUP,
		 STATE_DELETING,
		 0},
		{"not leading", {IN_POD}, {OURS, .leading = false}, ACTION_NONE, STATE_UNKNOWN, 0},
	};

	UNUSED(state);
	check(rows, ARRAY_SIZE(rows));
}

#pragma GCC diagnostic pop

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_when_alive_then_finalizer_before_start_and_one_worker),
		cmocka_unit_test(test_decide_when_planning_then_no_finalizer_and_a_running_stream_stops),
		cmocka_unit_test(test_decide_when_another_operator_is_responsible_then_nothing_but_to_stop),
		cmocka_unit_test(test_decide_when_a_worker_is_silent_then_told_and_later_killed),
		cmocka_unit_test(
			test_decide_when_inputs_are_not_verified_then_nothing_changes_and_only_a_failure_is_told),
		cmocka_unit_test(test_decide_when_inputs_are_not_good_then_nothing_starts_and_nothing_stops),
		cmocka_unit_test(test_decide_when_suspended_or_frozen_then_as_asked),
		cmocka_unit_test(test_decide_when_deleted_then_stop_clean_release),
		cmocka_unit_test(test_decide_when_the_namespace_ends_then_a_cleanup_that_cannot_work_is_given_up),
		cmocka_unit_test(test_decide_when_deletion_is_forced_or_not_ours_then_no_cleanup),
		cmocka_unit_test(test_decide_when_not_leading_then_workers_continue_and_nothing_is_done),
		cmocka_unit_test(test_decide_when_a_worker_has_not_reported_then_its_past_decides_the_state),
		cmocka_unit_test(test_decide_when_inputs_are_invalid_then_the_state_says_whether_a_worker_continues),
		cmocka_unit_test(test_decide_when_in_a_pod_then_one_side_ends_before_the_other_begins),
		cmocka_unit_test(test_decide_when_a_worker_runs_then_applied_only_with_the_newest_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
