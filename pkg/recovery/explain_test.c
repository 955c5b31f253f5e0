/* Tests of decisions in words: what a plan says of each, and what a refusal does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recovery/explain.h"

#define FILLS " index books with one document for each row of public.books"
#define MEANWHILE "; until then, searches find the index as it is now"

static char books[] = "books", pipeline_changed[] = "its pipeline changed", owner[] = "shop/books", uid[] = "uid-1";
static const char *const aliases[] = {books};
static const struct recovery_names names = {.slot = "s", .database = "shop"};
static const struct recovery_document documents[] = {{"spec.schema[0]", "public", "books"}};

/* One index that is live. */
struct world {
	struct checkpoint_index index;
	struct checkpoint cp;
	struct recovery_input in;
};

static void setup(struct world *w)
{
	*w = (struct world){
		.index = {.name = books, .generation = 3, .live = 3},
		.cp = {.phase = CHECKPOINT_LIVE, .owner = owner, .owner_uid = uid, .n_indices = 1},
		.in = {.slot = {.state = PG_SLOT_INACTIVE, .active_pid = 77}, .indices = aliases, .n_plans = 1},
	};
	w->cp.indices = &w->index;
	w->in.cp = &w->cp;
}

/* --- what was found --- */

static void find_nothing(struct world *w)
{
	UNUSED(w);
}

static void find_new(struct world *w)
{
	w->cp = (struct checkpoint){.phase = CHECKPOINT_NEW};
	w->in.slot.state = PG_SLOT_ABSENT;
}

static void find_never_filled(struct world *w)
{
	w->index = (struct checkpoint_index){.name = books};
}

static void find_not_live(struct world *w)
{
	w->index.live = 0;
}

static void find_never_prepared(struct world *w)
{
	find_never_filled(w);
	w->in.slot.state = PG_SLOT_ABSENT;
}

static void find_slot_gone(struct world *w)
{
	w->in.slot.state = PG_SLOT_ABSENT;
}

static void find_truncated(struct world *w)
{
	w->in.truncated = 1;
}

static void find_partitions_gone(struct world *w)
{
	w->in.partitions_gone = 1;
}

static void find_restored(struct world *w)
{
	w->in.restored = 1;
}

static void find_outdated(struct world *w)
{
	w->index.outdated = pipeline_changed;
}

static void find_never(struct world *w)
{
	find_new(w);
	w->in.never_bootstrap = true;
}

/* --- plans --- */

#define NEW_SLOT(because)                                       \
	{                                                       \
		.action = RECOVERY_NEW_SLOT, .cause = (because) \
	}
#define REBUILD_ALL(because)                            \
	{                                               \
		.cause = (because), .rebuild_all = true \
	}
#define SLOT_MADE "a start creates replication slot \"s\"; the server then retains WAL for it\n"

static const struct {
	const char *name;
	void (*find)(struct world *w);
	struct recovery_decision d;
	const char *says; /* a line for each change */
} plans[] = {
	{"all is well", find_nothing, {0}, ""},
	{"nothing was synced", find_new, NEW_SLOT(RECOVERY_NOTHING_SYNCED), SLOT_MADE "a start fills" FILLS "\n"},
	{"the slot was never made", find_never_prepared, NEW_SLOT(RECOVERY_NEVER_PREPARED),
	 SLOT_MADE "a start fills" FILLS "\n"},
	{"nothing was synced, and nothing is copied", find_never, NEW_SLOT(RECOVERY_NOTHING_SYNCED),
	 SLOT_MADE "a start creates index books and copies no rows of public.books into it: spec.bootstrap.policy is "
		   "Never\n"},
	{"the slot is gone", find_slot_gone, NEW_SLOT(RECOVERY_SLOT_GONE),
	 SLOT_MADE "a start rebuilds" FILLS ": the replication slot is gone" MEANWHILE "\n"},
	{"a resync", find_nothing, NEW_SLOT(RECOVERY_RESYNC_REQUESTED),
	 "a start drops replication slot \"s\", and creates it again\n"
	 "a start rebuilds" FILLS ": spec.resyncNonce changed" MEANWHILE "\n"},
	{"the schema changed", find_nothing, REBUILD_ALL(RECOVERY_SCHEMA_CHANGED),
	 "a start rebuilds" FILLS ": the schema or one of its tables changed" MEANWHILE "\n"},
	{"the schema changed while the first index is filled", find_not_live, REBUILD_ALL(RECOVERY_SCHEMA_CHANGED),
	 "a start rebuilds" FILLS ": the schema or one of its tables changed\n"},
	{"an index was added", find_never_filled, REBUILD_ALL(RECOVERY_INDEX_ADDED), "a start fills" FILLS "\n"},
	{"truncated",
	 find_truncated,
	 {.rebuild = 1},
	 "a start rebuilds" FILLS ": its root table was truncated, or changed without a replica identity" MEANWHILE
	 "\n"},
	{"partitions gone",
	 find_partitions_gone,
	 {.rebuild = 1},
	 "a start rebuilds" FILLS ": partitions of its root table were removed or emptied" MEANWHILE "\n"},
	{"restored",
	 find_restored,
	 {.rebuild = 1},
	 "a start rebuilds" FILLS ": it was restored from a snapshot, or from an older copy of a shard" MEANWHILE "\n"},
	{"outdated", find_outdated, {.rebuild = 1}, "a start rebuilds" FILLS ": its pipeline changed" MEANWHILE "\n"},
	{"the index is gone", find_not_live, {.recreate = 1}, "a start rebuilds" FILLS ": the index is gone\n"},
	{"the alias leads elsewhere",
	 find_nothing,
	 {.put_back = 1},
	 "a start moves the alias books back to the index that pgsync keeps in sync\n"},
};

static void test_describe_then_each_change_with_its_reason(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		_cleanup_(strbuf_release) struct strbuf said;
		struct findings changes;
		struct world w;

		setup(&w);
		plans[i].find(&w);
		findings_init(&changes);
		strbuf_init(&said, 4096);
		recovery_describe(&w.in, &plans[i].d, &names, documents, &changes);
		for (size_t c = 0; c < changes.n; c++)
			strbuf_addf(&said, "%s\n", changes.items[c].message);
		if (strcmp(said.data, plans[i].says) != 0)
			fail_msg("%s: \"%s\", expected \"%s\"", plans[i].name, said.data, plans[i].says);
		findings_release(&changes);
	}
}

/* --- refusals --- */

static const struct {
	enum recovery_cause cause;
	enum reason reason;
	const char *says;
} refusals[] = {
	{RECOVERY_SLOT_TAKEN, REASON_SLOT_TAKEN, "another worker streams from slot \"s\" (server process 77)"},
	{RECOVERY_LOSS_NOT_ALLOWED, REASON_SLOT_LOST,
	 "replication slot \"s\": the replication slot is gone; slotLostPolicy is Stall: set it to Resync, or raise "
	 "spec.resyncNonce, to rebuild the index"},
	{RECOVERY_BOOTSTRAP_NEEDED, REASON_BOOTSTRAP_NEEDED,
	 "index \"books\" has to be rebuilt, and spec.bootstrap.policy is Never: set it to IfNeeded, or undo the "
	 "change"},
	{RECOVERY_SLOT_UNKNOWN, REASON_SLOT_IN_USE,
	 "replication slot \"s\" exists but does not belong to this PgSync (streaming from it: not known): choose "
	 "another spec.source.replication.slotName, or drop it (SELECT pg_drop_replication_slot('s'))"},
	{RECOVERY_SLOT_OF_ANOTHER, REASON_SLOT_IN_USE,
	 "replication slot \"s\" belongs to another resource named shop/books (uid uid-1): choose another slot name"},
	{RECOVERY_SLOT_NOT_PGOUTPUT, REASON_SLOT_IN_USE,
	 "replication slot \"s\" is not a pgoutput slot of database \"shop\": choose another name"},
};

static void test_refuse_then_what_is_in_the_way_and_what_to_do(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct recovery_decision d = {
			.action = RECOVERY_REFUSE, .cause = refusals[i].cause, .loss = RECOVERY_SLOT_GONE};
		struct err err = {0};
		struct world w;

		setup(&w);
		assert_int_equal(recovery_refuse(&w.in, &d, &names, &err), -1);
		assert_string_equal(err.msg, refusals[i].says);
		assert_int_equal(err.reason, refusals[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe_then_each_change_with_its_reason),
		cmocka_unit_test(test_refuse_then_what_is_in_the_way_and_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
