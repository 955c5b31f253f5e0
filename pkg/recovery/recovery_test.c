/* Tests of the recovery decision: each thing that can be found at a start, alone and in pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recovery/recovery.h"
#include "json/json.h"

/* A PgSync with two live indices, whose slot, server, publication and catalog match its checkpoint. */
struct world {
	struct checkpoint cp;
	struct checkpoint_index indices[2];
	struct recovery_input in;
	json_t *seen, *now;
};

static char index_a[] = "a", index_b[] = "b", uid_1[] = "uid-1", system_1[] = "system-1", print_1[] = "print-1",
	    publication_1[] = "7:1", publication_1_altered[] = "7:2", publication_2[] = "8:1";
static const char *const names[] = {index_a, index_b};

static void setup(struct world *w)
{
	*w = (struct world){
		.indices = {{.name = index_a, .generation = 3, .live = 3, .complete = true, .version = 50},
			    {.name = index_b, .generation = 1, .live = 1, .complete = true, .version = 50}},
		.cp = {.phase = CHECKPOINT_LIVE,
		       .owner_uid = uid_1,
		       .system_identifier = system_1,
		       .timeline = 1,
		       .publication_fingerprint = publication_1,
		       .schema_hash = print_1,
		       .resync_nonce = 4,
		       .confirmed_lsn = 1000,
		       .confirmed_first = true,
		       .n_indices = 2},
		.seen = json_pack("{s:{s:s}, s:{s:s}, s:{s:{s:i, s:{s:s}}}}", "labels", "10", "new", "objects",
				  "1255.20.0", "body", "tables", "16", "storage", 1, "columns", "x", "1"),
	};
	w->now = json_deep_copy(w->seen);
	w->cp.indices = w->indices;
	w->cp.catalog_fingerprint = w->seen;
	w->in = (struct recovery_input){
		.cp = &w->cp,
		.slot = {.state = PG_SLOT_INACTIVE,
			 .logical_pgoutput = true,
			 .current_lsn = 2000,
			 .confirmed_flush_lsn = 1000},
		.acknowledged = 1000,
		.server = {.identifier = "system-1", .timeline = 1},
		.publication = publication_1,
		.fingerprint = print_1,
		.catalog = w->now,
		.indices = names,
		.n_plans = 2,
		.uid = uid_1,
		.resync_nonce = 4,
	};
}

static void teardown(struct world *w)
{
	json_decref(w->seen);
	json_decref(w->now);
}

/* --- what can be found --- */

static void find_nothing(struct world *w)
{
	UNUSED(w);
}

static void find_new(struct world *w)
{
	w->cp = (struct checkpoint){.phase = CHECKPOINT_NEW};
	w->in.slot.state = PG_SLOT_ABSENT;
}

static void find_preparing(struct world *w)
{
	w->cp.phase = CHECKPOINT_PREPARING;
	w->cp.slot_lsn = 0;
}

static void find_other_server(struct world *w)
{
	w->in.server = (struct pg_system){.identifier = "system-2", .timeline = 1};
}

static void find_other_timeline(struct world *w)
{
	w->in.server.timeline = 2;
}

static void find_namesake(struct world *w)
{
	w->cp.timeline_begin = 700;
	w->in.timeline.begin = w->in.earlier.begin = 600;
}

static void find_missed(struct world *w)
{
	w->in.missed = true;
}

static void find_undecodable(struct world *w)
{
	w->in.undecodable = true;
}

static void find_wal_behind(struct world *w)
{
	w->in.slot.current_lsn = 999;
}

static void find_nonce(struct world *w)
{
	w->in.resync_nonce = 5;
}

static void find_slot_gone(struct world *w)
{
	w->in.slot.state = PG_SLOT_ABSENT;
	w->in.slot.logical_pgoutput = false;
}

static void find_wal_lost(struct world *w)
{
	w->in.slot.state = PG_SLOT_LOST;
}

static void find_no_publication(struct world *w)
{
	w->in.publication = NULL;
}

static void find_another_publication(struct world *w)
{
	w->in.publication = publication_2;
}

static void find_schema(struct world *w)
{
	w->in.fingerprint = "print-2";
}

static void find_enum(struct world *w)
{
	(void)json_object_set_new(json_object_get(w->now, "labels"), "10", json_string("ancient"));
}

static void find_label_added(struct world *w)
{
	(void)json_object_set_new(json_object_get(w->now, "labels"), "11", json_string("newer"));
}

static void find_object(struct world *w)
{
	(void)json_object_set_new(json_object_get(w->now, "objects"), "1255.20.0", json_string("another body"));
}

static void find_object_added(struct world *w)
{
	(void)json_object_set_new(json_object_get(w->now, "objects"), "2605.21.0", json_string("a cast"));
}

static void find_objects_gone(struct world *w)
{
	(void)json_object_del(w->now, "objects");
}

static void find_rewrite(struct world *w)
{
	json_t *table = json_object_get(json_object_get(w->now, "tables"), "16");

	(void)json_object_set_new(table, "storage", json_integer(2));
	(void)json_object_set_new(json_object_get(table, "columns"), "x", json_string("2"));
}

static void find_vacuum_full(struct world *w)
{
	(void)json_object_set_new(json_object_get(json_object_get(w->now, "tables"), "16"), "storage", json_integer(2));
}

static void find_publication_altered(struct world *w)
{
	w->in.publication = publication_1_altered;
}

static void find_tables_unpublished(struct world *w)
{
	w->in.publication_lacks_tables = true;
}

static void find_index_added(struct world *w)
{
	w->cp.n_indices = 1;
}

static void find_truncated(struct world *w)
{
	w->in.truncated = 1;
}

static void find_partitions_gone(struct world *w)
{
	w->in.partitions_gone = 2;
}

static void find_outdated(struct world *w)
{
	static char why[] = "ingest pipeline \"p\" has changed";

	w->indices[1].outdated = why;
}

static void find_restored(struct world *w)
{
	w->in.restored = 1;
}

static void find_index_missing(struct world *w)
{
	w->in.missing = 2;
}

static void find_alias_moved(struct world *w)
{
	w->indices[0].live = 9;
}

static void find_slot_ahead(struct world *w)
{
	w->in.acknowledged = 1001;
}

static void find_slot_gone_and_nonce(struct world *w)
{
	find_slot_gone(w);
	find_nonce(w);
}

static void find_slot_gone_while_preparing(struct world *w)
{
	find_slot_gone(w);
	find_preparing(w);
}

/* --- each alone --- */

static const struct {
	const char *name;
	void (*find)(struct world *w);
	struct recovery_decision expected;
} cases[] = {
	{"nothing", find_nothing, {0}},
	{"new", find_new, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_NOTHING_SYNCED}},
	{"preparing", find_preparing, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_NEVER_PREPARED}},
	{"other server", find_other_server, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_SERVER}},
	{"other timeline", find_other_timeline, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_TIMELINE}},
	{"another timeline of the same number",
	 find_namesake,
	 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_TIMELINE}},
	{"missed", find_missed, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_HISTORY}},
	{"WAL behind", find_wal_behind, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_WAL_BEHIND}},
	{"nonce", find_nonce, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_RESYNC_REQUESTED}},
	{"slot gone", find_slot_gone, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_SLOT_GONE}},
	{"WAL lost", find_wal_lost, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_WAL_LOST}},
	{"no publication", find_no_publication, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_PUBLICATION_GONE}},
	{"not decodable", find_undecodable, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_PUBLICATION_GONE}},
	{"another publication",
	 find_another_publication,
	 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_PUBLICATION_GONE}},
	{"schema", find_schema, {.cause = RECOVERY_SCHEMA_CHANGED, .rebuild_all = true}},
	{"enum", find_enum, {.cause = RECOVERY_ENUM_RENAMED, .rebuild_all = true}},
	{"label added", find_label_added, {.adopt_catalog = true}},
	{"object", find_object, {.cause = RECOVERY_OBJECT_CHANGED, .rebuild_all = true}},
	{"object added", find_object_added, {.cause = RECOVERY_OBJECT_CHANGED, .rebuild_all = true}},
	{"objects gone", find_objects_gone, {.cause = RECOVERY_OBJECT_CHANGED, .rebuild_all = true}},
	{"rewrite", find_rewrite, {.cause = RECOVERY_COLUMN_REWRITTEN, .rebuild_all = true}},
	{"vacuum full", find_vacuum_full, {.adopt_catalog = true}},
	{"publication altered",
	 find_publication_altered,
	 {.cause = RECOVERY_PUBLICATION_ALTERED, .rebuild_all = true, .patch_publication = true}},
	{"tables unpublished",
	 find_tables_unpublished,
	 {.cause = RECOVERY_TABLE_ADDED, .rebuild_all = true, .patch_publication = true}},
	{"index added", find_index_added, {.cause = RECOVERY_INDEX_ADDED, .rebuild_all = true}},
	{"truncated", find_truncated, {.rebuild = 1}},
	{"partitions gone", find_partitions_gone, {.rebuild = 2}},
	{"outdated", find_outdated, {.rebuild = 2}},
	{"restored", find_restored, {.rebuild = 1}},
	{"index missing", find_index_missing, {.recreate = 2}},
	{"alias moved", find_alias_moved, {.put_back = 1}},
	{"slot ahead", find_slot_ahead, {.cause = RECOVERY_ENGINE_RESTORED, .rebuild_all = true}},
};

static void assert_decision(const char *name, const struct recovery_decision *d, const struct recovery_decision *e)
{
	if (d->action != e->action || d->cause != e->cause || d->loss != e->loss || d->plan != e->plan ||
	    d->patch_publication != e->patch_publication || d->rebuild_all != e->rebuild_all ||
	    d->rebuild != e->rebuild || d->recreate != e->recreate || d->put_back != e->put_back ||
	    d->adopt_catalog != e->adopt_catalog || d->adopt_position != e->adopt_position ||
	    d->failed_over != e->failed_over || d->adopt_timeline != e->adopt_timeline)
		fail_msg("%s: action %d, cause \"%s\"", name, (int)d->action, recovery_cause_text(d->cause));
}

static void test_decide_when_one_thing_is_found_then_what_it_asks_for(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct recovery_decision d;
		struct world w;

		setup(&w);
		cases[i].find(&w);
		d = recovery_decide(&w.in);
		assert_decision(cases[i].name, &d, &cases[i].expected);
		teardown(&w);
	}
}

static void test_decide_when_the_server_is_a_standby_then_only_one_that_was_followed_is(void **state)
{
	static const struct {
		const char *name;
		void (*find)(struct world *w);
		struct recovery_decision expected;
	} standbys[] = {
		{"with the slot", find_nothing, {0}},
		{"without the slot", find_slot_gone, {.action = RECOVERY_REFUSE, .cause = RECOVERY_STANDBY_UNKNOWN}},
		{"to rebuild from",
		 find_slot_gone_and_nonce,
		 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_RESYNC_REQUESTED}},
		{"new", find_new, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_NOTHING_SYNCED}},
		{"preparing",
		 find_slot_gone_while_preparing,
		 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_NEVER_PREPARED}},
		{"publication altered",
		 find_publication_altered,
		 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_PUBLICATION_ALTERED}},
		{"tables unpublished",
		 find_tables_unpublished,
		 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_TABLE_ADDED}},
		{"WAL lost", find_wal_lost, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_WAL_LOST}},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(standbys); i++) {
		struct recovery_decision d;
		struct world w;

		setup(&w);
		w.in.standby = true;
		standbys[i].find(&w);
		d = recovery_decide(&w.in);
		assert_decision(standbys[i].name, &d, &standbys[i].expected);
		teardown(&w);
	}
}

static void test_decide_when_an_outdated_index_is_being_filled_then_it_goes_live_first(void **state)
{
	const struct recovery_decision expected = {0};
	struct recovery_decision d;
	struct world w;

	UNUSED(state);
	setup(&w);
	find_outdated(&w);
	w.cp.phase = CHECKPOINT_BOOTSTRAP;
	w.indices[1].complete = false;
	d = recovery_decide(&w.in);
	assert_decision("outdated while it is filled", &d, &expected);
	teardown(&w);
}

/* --- the slot and the checkpoint --- */

static void find_slot_behind(struct world *w)
{
	w->in.acknowledged = 1;
}

static void find_earlier_version(struct world *w)
{
	w->cp.confirmed_first = false;
	w->in.acknowledged = 1500;
}

static void find_slot_ahead_of_a_bootstrap(struct world *w)
{
	find_slot_ahead(w);
	w->cp.phase = CHECKPOINT_BOOTSTRAP;
	w->indices[0].complete = false;
}

/* Another worker acknowledged more after the checkpoint was loaded. */
static void find_slot_moving(struct world *w)
{
	w->in.slot.confirmed_flush_lsn = 1500;
}

static void find_slot_of_a_new_resource(struct world *w)
{
	find_new(w);
	w->cp.confirmed_first = true;
	w->in.acknowledged = 1500;
}

static void
test_decide_when_the_slot_is_not_where_the_checkpoint_says_then_rebuilt_only_if_changes_are_missing(void **state)
{
	static const struct {
		const char *name;
		void (*find)(struct world *w);
		struct recovery_decision expected;
	} rows[] = {
		{"ahead", find_slot_ahead, {.cause = RECOVERY_ENGINE_RESTORED, .rebuild_all = true}},
		{"ahead of a bootstrap",
		 find_slot_ahead_of_a_bootstrap,
		 {.cause = RECOVERY_ENGINE_RESTORED, .rebuild_all = true}},
		{"behind", find_slot_behind, {0}},
		{"still moving", find_slot_moving, {0}},
		{"an earlier version acknowledged first", find_earlier_version, {.adopt_position = true}},
		{"no checkpoint",
		 find_slot_of_a_new_resource,
		 {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_NOTHING_SYNCED}},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct recovery_decision d;
		struct world w;

		setup(&w);
		rows[i].find(&w);
		d = recovery_decide(&w.in);
		assert_decision(rows[i].name, &d, &rows[i].expected);
		teardown(&w);
	}
}

/* --- the server's timeline has the number that the checkpoint has --- */

static void test_decide_when_a_timeline_has_the_same_number_then_it_counts_where_it_began(void **state)
{
	static const struct {
		const char *name;
		uint64_t checkpoint, server;
		struct recovery_decision expected;
	} rows[] = {
		{"the first one", 0, 0, {0}},
		{"at the same position", 700, 700, {0}},
		{"before", 700, 600, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_TIMELINE}},
		{"after", 700, 800, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_OTHER_TIMELINE}},
		{"the server does not know", 700, 0, {0}},
		{"the checkpoint does not know", 0, 700, {.adopt_timeline = true}},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct recovery_decision d;
		struct world w;

		setup(&w);
		w.cp.timeline = w.in.server.timeline = 2;
		w.cp.timeline_begin = rows[i].checkpoint;
		w.in.timeline.begin = w.in.earlier.begin = rows[i].server;
		d = recovery_decide(&w.in);
		assert_decision(rows[i].name, &d, &rows[i].expected);
		teardown(&w);
	}
}

/* --- a standby was promoted --- */

/* The checkpoint's timeline ended at 1500; nothing that was read is from beyond. */
static void find_promoted(struct world *w)
{
	w->in.server.timeline = 3;
	w->in.earlier.end = 1500;
	w->in.timeline.begin = 1600;
	w->in.horizon = 1500;
}

static void read_beyond(struct world *w)
{
	w->in.horizon = 1501;
}

static void know_no_horizon(struct world *w)
{
	w->in.horizon = 0;
}

static void have_another_history(struct world *w)
{
	w->in.earlier.end = 0;
}

static void confirm_beyond(struct world *w)
{
	w->cp.confirmed_lsn = 1501;
}

static void have_a_slot_that_is_beyond(struct world *w)
{
	w->in.slot.confirmed_flush_lsn = 1501;
}

static void descend_from_a_namesake(struct world *w)
{
	w->cp.timeline = 2;
	w->cp.timeline_begin = 700;
	w->in.earlier.begin = 600;
}

static void bootstrap(struct world *w)
{
	w->cp.phase = CHECKPOINT_BOOTSTRAP;
}

static void test_decide_when_a_standby_is_promoted_then_the_stream_goes_on_unless_something_may_be_lost(void **state)
{
	static const struct {
		const char *name;
		void (*find)(struct world *w);
		enum recovery_cause loss;
	} rows[] = {
		{"nothing else", find_nothing, RECOVERY_NOTHING_WRONG},
		{"documents read from beyond", read_beyond, RECOVERY_OTHER_TIMELINE},
		{"unknown what was read", know_no_horizon, RECOVERY_OTHER_TIMELINE},
		{"not in the history", have_another_history, RECOVERY_OTHER_TIMELINE},
		{"from another timeline of that number", descend_from_a_namesake, RECOVERY_OTHER_TIMELINE},
		{"acknowledged beyond", confirm_beyond, RECOVERY_OTHER_TIMELINE},
		{"the slot is beyond", have_a_slot_that_is_beyond, RECOVERY_OTHER_TIMELINE},
		{"a bootstrap was reading", bootstrap, RECOVERY_OTHER_TIMELINE},
		{"the slot was not synchronized", find_slot_gone, RECOVERY_SLOT_GONE},
		{"the slot was invalidated", find_wal_lost, RECOVERY_WAL_LOST},
		{"another server", find_other_server, RECOVERY_OTHER_SERVER},
		{"the synchronized slot is behind", find_slot_behind, RECOVERY_NOTHING_WRONG},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct recovery_decision d, expected = {.failed_over = true, .adopt_timeline = true};
		struct world w;

		setup(&w);
		find_promoted(&w);
		rows[i].find(&w);
		d = recovery_decide(&w.in);
		if (rows[i].loss)
			expected = (struct recovery_decision){.action = RECOVERY_NEW_SLOT, .cause = rows[i].loss};
		assert_decision(rows[i].name, &d, &expected);
		teardown(&w);
	}
}

/* --- in pairs: the one that requires more wins, and nothing that the other one needs is forgotten --- */

static bool rebuilds(const struct recovery_decision *d, uint64_t plans)
{
	return d->action == RECOVERY_NEW_SLOT || d->rebuild_all || ((d->rebuild | d->recreate) & plans) == plans;
}

static void assert_covers(const char *name, const struct recovery_decision *both, const struct recovery_decision *one)
{
	bool ok = rebuilds(both, one->rebuild | one->recreate);

	if (one->action == RECOVERY_NEW_SLOT)
		ok = ok && both->action == RECOVERY_NEW_SLOT;
	if (one->rebuild_all)
		ok = ok && (both->rebuild_all || both->action == RECOVERY_NEW_SLOT);
	/* A new slot brings publication and aliases along; a rebuilt index gets its alias when it goes live. */
	if (one->patch_publication)
		ok = ok && (both->patch_publication || both->action == RECOVERY_NEW_SLOT);
	if (one->put_back)
		ok = ok && (both->put_back == one->put_back || rebuilds(both, one->put_back));
	if (!ok)
		fail_msg("%s: action %d, cause \"%s\"", name, (int)both->action, recovery_cause_text(both->cause));
}

static void test_decide_when_two_things_are_found_then_both_are_dealt_with(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
			_cleanup_free_ char *name = xasprintf("%s, %s", cases[i].name, cases[j].name);
			struct recovery_decision d;
			struct world w;

			setup(&w);
			cases[i].find(&w);
			cases[j].find(&w);
			d = recovery_decide(&w.in);
			/* A second finding may make the first irrelevant: a new resource has no history. */
			if (cases[i].find != find_new && cases[j].find != find_new &&
			    !(cases[i].find == find_no_publication || cases[i].find == find_another_publication ||
			      cases[i].find == find_publication_altered)) {
				assert_covers(name, &d, &cases[i].expected);
			}
			assert_covers(name, &d, &cases[j].expected);
			assert_int_not_equal(d.action, RECOVERY_REFUSE);
			teardown(&w);
		}
	}
}

static void test_decide_when_only_the_indices_are_missing_then_the_new_slot_is_kept_while_it_is_good(void **state)
{
	static const struct {
		const char *name;
		enum pg_slot_state slot;
		struct recovery_decision expected;
	} slots[] = {
		{"there", PG_SLOT_INACTIVE, {.cause = RECOVERY_NEVER_PREPARED, .rebuild_all = true}},
		{"gone", PG_SLOT_ABSENT, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_SLOT_GONE}},
		{"lost", PG_SLOT_LOST, {.action = RECOVERY_NEW_SLOT, .cause = RECOVERY_WAL_LOST}},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct recovery_decision d;
		struct world w;

		setup(&w);
		w.cp.phase = CHECKPOINT_PREPARING;
		w.cp.slot_lsn = 900;
		w.in.slot.state = slots[i].slot;
		w.in.stall_when_slot_lost = true;
		d = recovery_decide(&w.in);
		assert_decision(slots[i].name, &d, &slots[i].expected);
		teardown(&w);
	}
}

/* --- policies --- */

static void test_decide_when_stalling_then_a_lost_history_is_refused_unless_a_resync_is_asked_for(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct recovery_decision *expected = &cases[i].expected;
		bool lost = expected->action == RECOVERY_NEW_SLOT && expected->cause != RECOVERY_NOTHING_SYNCED &&
			    expected->cause != RECOVERY_NEVER_PREPARED && expected->cause != RECOVERY_RESYNC_REQUESTED;
		struct recovery_decision d;
		struct world w;

		setup(&w);
		w.in.stall_when_slot_lost = true;
		cases[i].find(&w);
		d = recovery_decide(&w.in);
		if (lost)
			assert_decision(cases[i].name, &d,
					&(struct recovery_decision){.action = RECOVERY_REFUSE,
								    .cause = RECOVERY_LOSS_NOT_ALLOWED,
								    .loss = expected->cause});
		else
			assert_decision(cases[i].name, &d, expected);
		w.in.resync_nonce = 6;
		d = recovery_decide(&w.in);
		if (w.cp.phase == CHECKPOINT_LIVE)
			assert_int_equal(d.action, RECOVERY_NEW_SLOT);
		teardown(&w);
	}
}

static void test_decide_when_never_bootstrapping_then_no_live_index_is_replaced(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct recovery_decision *expected = &cases[i].expected;
		uint64_t plans = expected->rebuild | expected->recreate;
		struct recovery_decision d;
		struct world w;

		setup(&w);
		w.in.never_bootstrap = true;
		cases[i].find(&w);
		d = recovery_decide(&w.in);
		/* A new resource has no index that could be replaced; and an index that users fill is theirs to
		 * judge. */
		if (cases[i].find == find_outdated || cases[i].find == find_restored)
			assert_decision(cases[i].name, &d, &(struct recovery_decision){0});
		else if (cases[i].find == find_new ||
			 !(plans || expected->rebuild_all || expected->action == RECOVERY_NEW_SLOT))
			assert_decision(cases[i].name, &d, expected);
		else
			assert_decision(cases[i].name, &d,
					&(struct recovery_decision){.action = RECOVERY_REFUSE,
								    .cause = RECOVERY_BOOTSTRAP_NEEDED,
								    .plan = plans == 2 ? 1 : 0});
		teardown(&w);
	}
}

static void test_published_when_the_publication_had_to_change_then_every_index_is_rebuilt(void **state)
{
	const struct recovery_decision altered = {.cause = RECOVERY_PUBLICATION_ALTERED, .rebuild_all = true};
	const struct recovery_decision refused = {.action = RECOVERY_REFUSE, .cause = RECOVERY_BOOTSTRAP_NEEDED};
	struct recovery_decision first, d;
	struct world w;

	UNUSED(state);
	setup(&w);
	find_truncated(&w);
	first = recovery_decide(&w.in);
	d = recovery_published(&w.in, first, publication_1, false);
	assert_decision("as it was", &d, &first);
	d = recovery_published(&w.in, first, publication_1_altered, false);
	assert_decision("altered", &d, &altered);
	d = recovery_published(&w.in, first, publication_1_altered, true);
	assert_decision("only columns", &d, &first);
	w.in.never_bootstrap = true;
	d = recovery_published(&w.in, first, publication_1_altered, false);
	assert_decision("never", &d, &refused);
	w.in.never_bootstrap = false;
	find_schema(&w);
	first = recovery_decide(&w.in);
	d = recovery_published(&w.in, first, publication_1_altered, false);
	assert_decision("rebuilt anyway", &d, &first);
	teardown(&w);
}

static void test_decide_when_a_bootstrap_was_interrupted_then_it_continues(void **state)
{
	struct recovery_decision d;
	struct world w;

	UNUSED(state);
	setup(&w);
	w.cp.phase = CHECKPOINT_BOOTSTRAP;
	w.indices[0].live = 2;
	w.indices[0].complete = false;
	d = recovery_decide(&w.in);
	assert_decision("interrupted", &d, &(struct recovery_decision){0});
	teardown(&w);
}

/* --- admission --- */

static void test_admit_when_the_slot_is_not_ours_then_refused(void **state)
{
	struct world w;

	UNUSED(state);
	setup(&w);
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	w.in.uid = "uid-2";
	assert_int_equal(recovery_admit(&w.in).cause, RECOVERY_SLOT_OF_ANOTHER);
	w.in.uid = NULL;
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	w.in.slot.logical_pgoutput = false;
	assert_int_equal(recovery_admit(&w.in).cause, RECOVERY_SLOT_NOT_PGOUTPUT);
	w.in.slot.state = PG_SLOT_ABSENT;
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	teardown(&w);
}

static void test_admit_when_nothing_was_synced_then_a_slot_of_the_users_name_is_left_alone(void **state)
{
	struct world w;

	UNUSED(state);
	setup(&w);
	w.cp.phase = CHECKPOINT_NEW;
	/* A derived name is ours, whatever happened to the checkpoint. */
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	w.in.slot_name_given = true;
	assert_int_equal(recovery_admit(&w.in).cause, RECOVERY_SLOT_UNKNOWN);
	w.in.slot.state = PG_SLOT_ABSENT;
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	teardown(&w);
}

static void test_admit_when_another_worker_took_the_slot_then_it_is_not_taken_back(void **state)
{
	struct world w;

	UNUSED(state);
	setup(&w);
	w.in.slot.state = PG_SLOT_ACTIVE;
	w.in.slot.active_pid = 42;
	/* At its start, a worker takes the slot from the worker that has it. */
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	w.in.streamed = true;
	w.in.walsender_pid = 42;
	assert_int_equal(recovery_admit(&w.in).action, RECOVERY_RESUME);
	w.in.walsender_pid = 41;
	assert_int_equal(recovery_admit(&w.in).cause, RECOVERY_SLOT_TAKEN);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_when_one_thing_is_found_then_what_it_asks_for),
		cmocka_unit_test(test_decide_when_the_server_is_a_standby_then_only_one_that_was_followed_is),
		cmocka_unit_test(test_decide_when_an_outdated_index_is_being_filled_then_it_goes_live_first),
		cmocka_unit_test(
			test_decide_when_the_slot_is_not_where_the_checkpoint_says_then_rebuilt_only_if_changes_are_missing),
		cmocka_unit_test(
			test_decide_when_a_standby_is_promoted_then_the_stream_goes_on_unless_something_may_be_lost),
		cmocka_unit_test(
			test_decide_when_only_the_indices_are_missing_then_the_new_slot_is_kept_while_it_is_good),
		cmocka_unit_test(test_decide_when_a_timeline_has_the_same_number_then_it_counts_where_it_began),
		cmocka_unit_test(test_decide_when_two_things_are_found_then_both_are_dealt_with),
		cmocka_unit_test(test_decide_when_stalling_then_a_lost_history_is_refused_unless_a_resync_is_asked_for),
		cmocka_unit_test(test_decide_when_never_bootstrapping_then_no_live_index_is_replaced),
		cmocka_unit_test(test_published_when_the_publication_had_to_change_then_every_index_is_rebuilt),
		cmocka_unit_test(test_decide_when_a_bootstrap_was_interrupted_then_it_continues),
		cmocka_unit_test(test_admit_when_the_slot_is_not_ours_then_refused),
		cmocka_unit_test(test_admit_when_nothing_was_synced_then_a_slot_of_the_users_name_is_left_alone),
		cmocka_unit_test(test_admit_when_another_worker_took_the_slot_then_it_is_not_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
