/* The recovery decision. */
#include "recovery/recovery.h"

#include <string.h>

#include "base/parse.h"
#include "json/json.h"

static const char *const texts[] = {
	[RECOVERY_NOTHING_WRONG] = "nothing is wrong",
	[RECOVERY_NOTHING_SYNCED] = "nothing has been synced yet",
	[RECOVERY_NEVER_PREPARED] = "an earlier start failed before it created slot and index",
	[RECOVERY_CHECKPOINT_LOST] =
		"Redis has lost the checkpoint, or it does not match its stamp in the search engine",
	[RECOVERY_OTHER_SERVER] = "the server is not the database cluster that was synced",
	[RECOVERY_OTHER_TIMELINE] = "the server is on another timeline (after a failover or a restore)",
	[RECOVERY_OTHER_HISTORY] = "the server lacks a transaction that was synced (an older copy of its files?)",
	[RECOVERY_WAL_BEHIND] = "the server's WAL position is behind what was already synced (after a restore)",
	[RECOVERY_RESYNC_REQUESTED] = "spec.resyncNonce changed",
	[RECOVERY_SLOT_GONE] = "the replication slot is gone",
	[RECOVERY_WAL_LOST] = "the server dropped WAL that the replication slot needed",
	[RECOVERY_PUBLICATION_GONE] =
		"the publication was dropped or renamed, and the slot's WAL cannot be decoded without it",
	[RECOVERY_ENGINE_RESTORED] = "the slot is ahead of what the search engine has (after a restore of the engine)",
	[RECOVERY_SCHEMA_CHANGED] = "the schema or one of its tables changed",
	[RECOVERY_ENUM_RENAMED] = "a value of an enum was renamed",
	[RECOVERY_OBJECT_CHANGED] =
		"a type, view, function, operator, cast or collation that documents depend on changed",
	[RECOVERY_COLUMN_REWRITTEN] = "a column was altered, and its table rewritten",
	[RECOVERY_PUBLICATION_ALTERED] = "the publication was altered",
	[RECOVERY_TABLE_ADDED] = "a table was added to the publication",
	[RECOVERY_INDEX_ADDED] = "an index was added",
	[RECOVERY_SLOT_UNKNOWN] = "the replication slot does not belong to this resource",
	[RECOVERY_SLOT_OF_ANOTHER] = "the replication slot belongs to another resource",
	[RECOVERY_SLOT_NOT_PGOUTPUT] = "the replication slot is not a pgoutput slot of this database",
	[RECOVERY_SLOT_TAKEN] = "another worker streams from the replication slot",
	[RECOVERY_LOSS_NOT_ALLOWED] = "slotLostPolicy is Stall",
	[RECOVERY_STANDBY_UNKNOWN] = "the server is a standby that has no slot of this resource",
	[RECOVERY_BOOTSTRAP_NEEDED] = "an index has to be rebuilt, and spec.bootstrap.policy is Never",
};

const char *recovery_cause_text(enum recovery_cause cause)
{
	return texts[cause];
}

static struct recovery_decision decide_refuse(enum recovery_cause cause)
{
	return (struct recovery_decision){.action = RECOVERY_REFUSE, .cause = cause};
}

struct recovery_decision recovery_admit(const struct recovery_input *in)
{
	const struct checkpoint *cp = in->cp;
	bool exists = in->slot.state != PG_SLOT_ABSENT;

	if (cp->phase == CHECKPOINT_NEW && exists && in->slot_name_given)
		return decide_refuse(RECOVERY_SLOT_UNKNOWN);
	if (cp->phase != CHECKPOINT_NEW && cp->owner_uid && in->uid && strcmp(cp->owner_uid, in->uid) != 0)
		return decide_refuse(RECOVERY_SLOT_OF_ANOTHER);
	if (exists && !in->slot.logical_pgoutput)
		return decide_refuse(RECOVERY_SLOT_NOT_PGOUTPUT);
	/* Our own last walsender may not have noticed yet that its connection is gone. */
	if (in->slot.state == PG_SLOT_ACTIVE && in->streamed && in->slot.active_pid != in->walsender_pid)
		return decide_refuse(RECOVERY_SLOT_TAKEN);
	return (struct recovery_decision){0};
}

/* A standby was promoted, and has everything that the indices were built from: their history continues. Documents are
 * read in snapshots that may hold commits which the stream has not sent, so what counts is not their version but what
 * their snapshots contained. For a bootstrap that is not known. */
static bool history_goes_on(const struct recovery_input *in)
{
	uint64_t end = in->earlier.end;

	return in->cp->phase == CHECKPOINT_LIVE && end && in->horizon && in->horizon <= end &&
	       in->cp->confirmed_lsn <= end && in->slot.confirmed_flush_lsn <= end;
}

static bool has_new_timeline(const struct recovery_input *in)
{
	return in->cp->timeline != in->server.timeline;
}

/* Another server that was restored has given its timeline the number that the checkpoint's has. */
static bool is_namesake(const struct recovery_input *in)
{
	uint64_t was = in->cp->timeline_begin, is = in->earlier.begin;

	return was && is && was != is;
}

/* Why neither slot nor history can be used. */
static enum recovery_cause history_trouble(const struct recovery_input *in)
{
	const struct checkpoint *cp = in->cp;

	if (cp->phase == CHECKPOINT_NEW)
		return RECOVERY_NOTHING_SYNCED;
	if (cp->lost)
		return RECOVERY_CHECKPOINT_LOST;
	if (cp->phase == CHECKPOINT_PREPARING && !cp->slot_lsn)
		return RECOVERY_NEVER_PREPARED;
	if (strcmp(cp->system_identifier, in->server.identifier) != 0)
		return RECOVERY_OTHER_SERVER;
	if ((has_new_timeline(in) && !history_goes_on(in)) || is_namesake(in))
		return RECOVERY_OTHER_TIMELINE;
	if (in->missed)
		return RECOVERY_OTHER_HISTORY;
	if (in->slot.current_lsn < cp->confirmed_lsn)
		return RECOVERY_WAL_BEHIND;
	/* A new slot begins after whatever this one cannot get past. */
	if (cp->resync_nonce != in->resync_nonce)
		return RECOVERY_RESYNC_REQUESTED;
	if (in->slot.state == PG_SLOT_ABSENT)
		return RECOVERY_SLOT_GONE;
	if (in->slot.state == PG_SLOT_LOST)
		return RECOVERY_WAL_LOST;
	if (!in->publication || in->undecodable ||
	    (cp->publication_fingerprint && !pg_publication_same(in->publication, cp->publication_fingerprint)))
		return RECOVERY_PUBLICATION_GONE;
	return RECOVERY_NOTHING_WRONG;
}

/* True if a key that is in both objects has different values. */
static bool is_changed(const json_t *before, const json_t *now)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)now, key, value) {
		const json_t *was = json_object_get(before, key);

		if (was && !json_equal(was, value))
			return true;
	}
	return false;
}

/* A change of a column's values both alters the column and rewrites the table; one without the other (a new default,
 * VACUUM FULL) does not change values. */
static bool is_rewritten(const json_t *before, const json_t *now)
{
	const char *oid;
	json_t *table;

	json_object_foreach ((json_t *)now, oid, table) {
		const json_t *was = json_object_get(before, oid);

		if (was && jsonx_integer(was, "storage", 0) != jsonx_integer(table, "storage", 0) &&
		    is_changed(json_object_get(was, "columns"), json_object_get(table, "columns")))
			return true;
	}
	return false;
}

/* An object that was added or removed counts too: values now depend on other objects. */
static bool objects_changed(const json_t *before, const json_t *now)
{
	const json_t *was = json_object_get(before, "objects"), *is = json_object_get(now, "objects");

	return json_object_size(was) != json_object_size(is) || (was && !json_equal(was, is));
}

static bool publication_altered(const struct recovery_input *in)
{
	return in->cp->publication_fingerprint && in->publication &&
	       strcmp(in->cp->publication_fingerprint, in->publication) != 0;
}

/* A worker acknowledges nothing that the checkpoint does not confirm, and the checkpoint is next to the indices. So if
 * the slot is ahead, both were restored to an older state, and the changes in between do not come again. */
static bool slot_is_ahead(const struct recovery_input *in)
{
	return in->cp->confirmed_first && in->acknowledged > in->cp->confirmed_lsn;
}

/* Why every index has to be rebuilt, although slot and history are good. */
static enum recovery_cause generation_trouble(const struct recovery_input *in)
{
	const json_t *was = in->cp->catalog_fingerprint, *now = in->catalog;

	/* There is a slot but no index yet. */
	if (in->cp->phase == CHECKPOINT_PREPARING)
		return RECOVERY_NEVER_PREPARED;
	if (slot_is_ahead(in))
		return RECOVERY_ENGINE_RESTORED;
	if (strcmp(in->cp->schema_hash, in->fingerprint) != 0)
		return RECOVERY_SCHEMA_CHANGED;
	if (is_changed(json_object_get(was, "labels"), json_object_get(now, "labels")))
		return RECOVERY_ENUM_RENAMED;
	if (was && objects_changed(was, now))
		return RECOVERY_OBJECT_CHANGED;
	if (is_rewritten(json_object_get(was, "tables"), json_object_get(now, "tables")))
		return RECOVERY_COLUMN_REWRITTEN;
	if (publication_altered(in))
		return RECOVERY_PUBLICATION_ALTERED;
	for (size_t i = 0; i < in->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[i]);

		if (!index || !index->generation)
			return RECOVERY_INDEX_ADDED;
	}
	return in->publication_lacks_tables ? RECOVERY_TABLE_ADDED : RECOVERY_NOTHING_WRONG;
}

/* Without a bootstrap a new index would stay empty, and replace one that is not. */
static struct recovery_decision apply_bootstrap_policy(const struct recovery_input *in, struct recovery_decision d)
{
	bool all = d.rebuild_all || d.action == RECOVERY_NEW_SLOT;

	for (size_t i = 0; in->never_bootstrap && i < in->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[i]);
		uint64_t bit = UINT64_C(1) << i;
		/* The alias of a deleted index was deleted with it. */
		bool live = index && (index->live || ((d.recreate & bit) && in->cp->phase == CHECKPOINT_LIVE));

		if (!live || !(all || ((d.rebuild | d.recreate) & bit)))
			continue;
		d = decide_refuse(RECOVERY_BOOTSTRAP_NEEDED);
		d.plan = i;
		return d;
	}
	return d;
}

static uint64_t misplaced_aliases(const struct recovery_input *in)
{
	uint64_t plans = 0;

	for (size_t i = 0; in->cp->phase == CHECKPOINT_LIVE && i < in->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[i]);

		if (index && index->live != index->generation)
			plans |= UINT64_C(1) << i;
	}
	return plans;
}

/* Those that a bootstrap filled: one that is still being filled is finished first, so that a pipeline that keeps
 * changing does not keep the alias from moving. An index that users fill is theirs to judge. */
static uint64_t outdated_indices(const struct recovery_input *in)
{
	uint64_t plans = 0;

	for (size_t i = 0; !in->never_bootstrap && i < in->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[i]);

		if (index && index->complete && index->outdated)
			plans |= UINT64_C(1) << i;
	}
	return plans;
}

/* An index that users fill may well be filled from a snapshot. */
static uint64_t restored_indices(const struct recovery_input *in)
{
	return in->never_bootstrap ? 0 : in->restored & ~in->missing;
}

static struct recovery_decision decide_resume(const struct recovery_input *in)
{
	struct recovery_decision d = {
		.cause = generation_trouble(in),
		.failed_over = has_new_timeline(in),
		.adopt_timeline = in->timeline.begin && in->timeline.begin != in->cp->timeline_begin,
		/* Also if the schema changed, or if an attempt was killed halfway through this. */
		.patch_publication = publication_altered(in) || in->publication_lacks_tables,
		.adopt_position = !in->cp->confirmed_first,
	};

	d.rebuild_all = d.cause != RECOVERY_NOTHING_WRONG;
	if (!d.rebuild_all) {
		d.rebuild = in->truncated | in->partitions_gone | restored_indices(in) | outdated_indices(in);
		d.recreate = in->missing & ~d.rebuild;
		d.put_back = misplaced_aliases(in) & ~in->missing;
		d.adopt_catalog = !json_equal(in->cp->catalog_fingerprint, in->catalog);
	}
	return d;
}

/* A service that led to the primary may lead to a standby for a while. To follow it, the index would have to be
 * rebuilt, and the slot on the primary would stay. */
static bool is_other_standby(const struct recovery_input *in)
{
	return in->standby && in->slot.state == PG_SLOT_ABSENT && in->cp->resync_nonce == in->resync_nonce &&
	       (in->cp->phase == CHECKPOINT_BOOTSTRAP || in->cp->phase == CHECKPOINT_LIVE);
}

struct recovery_decision recovery_decide(const struct recovery_input *in)
{
	enum recovery_cause loss = history_trouble(in);
	bool first = in->cp->phase == CHECKPOINT_NEW || in->cp->phase == CHECKPOINT_PREPARING;
	struct recovery_decision d;

	if (is_other_standby(in))
		return decide_refuse(RECOVERY_STANDBY_UNKNOWN);
	if (loss == RECOVERY_NOTHING_WRONG) {
		d = apply_bootstrap_policy(in, decide_resume(in));
		if (!in->standby || !d.patch_publication)
			return d;
		/* Transactions that were open when the publication was altered have to end first; a standby does not
		 * say which those are, but waits for them when it creates a slot. */
		loss = in->publication_lacks_tables ? RECOVERY_TABLE_ADDED : RECOVERY_PUBLICATION_ALTERED;
	}
	if (!first && in->stall_when_slot_lost && in->cp->resync_nonce == in->resync_nonce) {
		d = decide_refuse(RECOVERY_LOSS_NOT_ALLOWED);
		d.loss = loss;
		return d;
	}
	return apply_bootstrap_policy(in, (struct recovery_decision){.action = RECOVERY_NEW_SLOT, .cause = loss});
}

struct recovery_decision recovery_published(const struct recovery_input *in, struct recovery_decision first,
					    const char *after, bool only_columns)
{
	if (first.rebuild_all || only_columns || strcmp(after, in->publication) == 0)
		return first;
	return apply_bootstrap_policy(
		in, (struct recovery_decision){.cause = RECOVERY_PUBLICATION_ALTERED, .rebuild_all = true});
}

bool recovery_note_rewrites(struct checkpoint *cp, const struct catalog *now)
{
	bool changed = false;
	const char *oid;
	json_t *table;

	json_object_foreach (json_object_get(cp->catalog_fingerprint, "tables"), oid, table) {
		uint64_t number = 0;
		const struct catalog_table *found =
			parse_u64(oid, strlen(oid), &number) ? catalog_find_oid(now, (uint32_t)number) : NULL;

		if (!found || jsonx_integer(table, "storage", 0) == (int64_t)found->storage)
			continue;
		(void)json_object_set_new(table, "storage", json_integer((json_int_t)found->storage));
		changed = true;
	}
	return changed;
}
