/* Decisions in words. */
#include "recovery/explain.h"

static bool is_among(uint64_t plans, size_t plan)
{
	return plans >> plan & 1;
}

/* --- refusals --- */

static int refuse_slot(const struct recovery_input *in, enum recovery_cause cause, const struct recovery_names *names,
		       struct err *err)
{
	if (cause == RECOVERY_SLOT_UNKNOWN)
		return err_reason(err, ERR_INVALID, REASON_SLOT_IN_USE,
				  "replication slot \"%s\" exists but does not belong to this PgSync (streaming from "
				  "it: %s): choose another spec.source.replication.slotName, or drop it (SELECT "
				  "pg_drop_replication_slot('%s'))",
				  names->slot, names->slot_user ? names->slot_user : "not known", names->slot);
	if (cause == RECOVERY_SLOT_OF_ANOTHER)
		return err_reason(err, ERR_INVALID, REASON_SLOT_IN_USE,
				  "replication slot \"%s\" belongs to another resource named %s (uid %s): choose "
				  "another slot name",
				  names->slot, in->cp->owner, in->cp->owner_uid);
	return err_reason(err, ERR_INVALID, REASON_SLOT_IN_USE,
			  "replication slot \"%s\" is not a pgoutput slot of database \"%s\": choose another name",
			  names->slot, names->database);
}

int recovery_refuse(const struct recovery_input *in, const struct recovery_decision *d,
		    const struct recovery_names *names, struct err *err)
{
	if (d->cause == RECOVERY_SLOT_TAKEN)
		return err_reason(err, ERR_CONFLICT, REASON_SLOT_TAKEN,
				  "another worker streams from slot \"%s\" (server process %d)", names->slot,
				  in->slot.active_pid);
	if (d->cause == RECOVERY_LOSS_NOT_ALLOWED)
		return err_reason(err, ERR_INVALID, REASON_SLOT_LOST,
				  "replication slot \"%s\": %s; slotLostPolicy is Stall: set it to Resync, or raise "
				  "spec.resyncNonce, to rebuild the index",
				  names->slot, recovery_cause_text(d->loss));
	if (d->cause == RECOVERY_STANDBY_UNKNOWN)
		return err_reason(err, ERR_INVALID, REASON_SERVER_IS_STANDBY,
				  "the server is a standby, and replication slot \"%s\" is not on it: set "
				  "spec.source.host to the server that has been followed; or raise spec.resyncNonce to "
				  "rebuild the index from this standby, and drop the slot on the other server",
				  names->slot);
	if (d->cause == RECOVERY_BOOTSTRAP_NEEDED)
		return err_reason(err, ERR_INVALID, REASON_BOOTSTRAP_NEEDED,
				  "index \"%s\" has to be rebuilt, and spec.bootstrap.policy is Never: set it to "
				  "IfNeeded, or undo the change",
				  in->indices[d->plan]);
	return refuse_slot(in, d->cause, names, err);
}

/* --- plans --- */

const char *recovery_why_rebuilt(const struct recovery_input *in, size_t plan)
{
	const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[plan]);

	if (is_among(in->truncated, plan))
		return "its root table was truncated, or changed without a replica identity";
	if (is_among(in->partitions_gone, plan))
		return "partitions of its root table were removed or emptied";
	if (is_among(in->restored, plan))
		return "it was restored from a snapshot, or from an older copy of a shard";
	return index ? index->outdated : NULL;
}

static void describe_slot(const struct recovery_input *in, const struct recovery_decision *d,
			  const struct recovery_names *names, struct findings *changes)
{
	if (d->action == RECOVERY_NEW_SLOT)
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
			     in->slot.state == PG_SLOT_ABSENT
				     ? "a start creates replication slot \"%s\"; the server then retains WAL for it"
				     : "a start drops replication slot \"%s\", and creates it again",
			     names->slot);
}

/* why: NULL for an index that was never filled. */
static void describe_index(const struct recovery_input *in, size_t plan, const char *why,
			   const struct recovery_document *document, struct findings *changes)
{
	const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[plan]);
	bool live = index && index->live;

	if (in->never_bootstrap)
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, document->path,
			     "a start creates index %s and copies no rows of %s.%s into it: spec.bootstrap.policy is "
			     "Never",
			     in->indices[plan], document->schema, document->table);
	else
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, document->path,
			     "a start %s index %s with one document for each row of %s.%s%s%s%s",
			     why ? "rebuilds" : "fills", in->indices[plan], document->schema, document->table,
			     why ? ": " : "", why ? why : "",
			     why && live ? "; until then, searches find the index as it is now" : "");
}

/* Whether the decision gives this plan a new index, and why; NULL for its first. */
static bool is_filled(const struct recovery_input *in, const struct recovery_decision *d, size_t plan, const char **why)
{
	const struct checkpoint_index *index = checkpoint_find(in->cp, in->indices[plan]);
	bool first = !index || (!index->generation && !index->live);
	bool all = d->action == RECOVERY_NEW_SLOT || d->rebuild_all;

	if (all)
		*why = first ? NULL : recovery_cause_text(d->cause);
	else if (is_among(d->rebuild, plan))
		*why = recovery_why_rebuilt(in, plan);
	else
		*why = "the index is gone";
	return all || is_among(d->rebuild | d->recreate, plan);
}

void recovery_describe(const struct recovery_input *in, const struct recovery_decision *d,
		       const struct recovery_names *names, const struct recovery_document *documents,
		       struct findings *changes)
{
	describe_slot(in, d, names, changes);
	for (size_t i = 0; i < in->n_plans; i++) {
		const char *why;

		if (is_filled(in, d, i, &why))
			describe_index(in, i, why, &documents[i], changes);
		else if (is_among(d->put_back, i))
			findings_add(changes, FINDING_WARNING, REASON_PLANNED, documents[i].path,
				     "a start moves the alias %s back to the index that pgsync keeps in sync",
				     in->indices[i]);
	}
}
