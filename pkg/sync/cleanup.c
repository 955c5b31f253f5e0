/* The cleanup when a resource is deleted. Each step may be repeated: an object that no longer exists counts as
 * removed. */
#include <string.h>

#include "base/log.h"
#include "sink/drop.h"
#include "sink/requests.h"
#include "source/identity.h"
#include "sync/attempt_int.h"

static bool owned(const struct attempt *at)
{
	const char *uid = at->cp.owner_uid;

	if (at->cp.phase == CHECKPOINT_NEW)
		return !at->run->options->slot_name_given;
	return !uid || !at->run->spec->uid || !strcmp(uid, at->run->spec->uid);
}

static int drop_slot(struct attempt *at, struct err *err)
{
	const char *name = at->source.slot;
	struct pg_slot slot;

	if (at->run->spec->delete_slot != SPEC_DELETE)
		return 0;
	if (pg_slot_read(at->source.pg, name, &slot, err) < 0)
		return -1;
	if (slot.state != PG_SLOT_ABSENT && !slot.logical_pgoutput) {
		log_warn("sync", "the slot is not a pgoutput slot of this database, so it stays", KV_STR("slot", name));
		return 0;
	}
	return pg_slot_drop(at->source.pg, name, err);
}

/* The publication is dropped if it is ours according to its mark, or according to the checkpoint if an earlier version
 * created it. */
static int drop_publication(struct attempt *at, struct err *err)
{
	return at->run->spec->delete_publication == SPEC_DELETE ? source_drop_publication(&at->source, &at->cp, err)
								: 0;
}

static int drop_sink(struct attempt *at, struct err *err)
{
	const struct checkpoint_store store = attempt_store(at);

	if (sink_drop_indices(&at->sink, &at->cp, at->run->spec->delete_index == SPEC_RETAIN, err) < 0)
		return -1;
	if (at->run->spec->delete_checkpoint == SPEC_DELETE &&
	    (requests_delete(at->sink.search, at->run->key, err) < 0 ||
	     checkpoint_delete(&store, at->run->key, err) < 0))
		return err_wrap(err, "deleting the checkpoint");
	return 0;
}

/* If the database was dropped, so were its publication and tables; its slots had to be dropped before. */
static bool source_is_gone(const struct err *err)
{
	return err->reason == REASON_DATABASE_NOT_FOUND;
}

/* Whether what cannot be reached is to be left behind; then that is made known. */
static bool leave(const struct attempt *at, const char *what, const struct err *err)
{
	const struct sync_options *options = at->run->options;
	_cleanup_free_ char *note = NULL;

	if (!options->leave_unreachable || !reason_is_unreachable(err->reason))
		return false;
	note = xasprintf("the cleanup left %s behind, which cannot be reached: %s", what, err->msg);
	log_warn("sync", "left behind what cannot be reached", KV_STR("what", what), KV_ERR(err));
	if (options->event)
		options->event(options->user, true, REASON_SLOT_ORPHANED, "Delete", note);
	return true;
}

static bool leave_source(const struct attempt *at, const struct err *err)
{
	_cleanup_free_ char *what =
		xasprintf("slot \"%s\" and publication \"%s\" of the source", at->source.slot, at->source.publication);

	return leave(at, what, err);
}

static int load_checkpoint(struct attempt *at, struct err *err)
{
	struct checkpoint_store store;

	if (connector_sink(&at->connector, &at->sink, err) < 0)
		return -1;
	store = attempt_store(at);
	return checkpoint_load(&store, at->run->key, &at->cp, err);
}

/* A checkpoint is saved before anything is created in the source: without one, nothing needs a cleanup, even if the
 * source cannot be reached. */
static bool nothing_was_made(struct attempt *at)
{
	struct err ignored;

	return load_checkpoint(at, &ignored) == 0 && at->cp.phase == CHECKPOINT_NEW;
}

static int clean_sink(struct attempt *at, bool derived, struct err *err)
{
	if (load_checkpoint(at, err) < 0)
		return leave(at, "the indices", err) ? 0 : err_wrap(err, "sink");
	if (!owned(at)) {
		log_warn("sync", "the slot belongs to another resource, skipping the cleanup",
			 KV_STR("slot", at->run->spec->source.slot_name));
		return 0;
	}
	if (at->source.pg && ((!derived && drop_slot(at, err) < 0) || drop_publication(at, err) < 0 ||
			      (!pg_is_standby(at->source.pg) && identity_restore_all(&at->source, &at->cp, err) < 0)))
		return -1;
	return drop_sink(at, err);
}

static int clean(struct attempt *at, void *user, struct err *err)
{
	bool derived = !at->run->options->slot_name_given;

	UNUSED(user);
	if (connector_source(&at->connector, CONNECTOR_UNLIMITED, "cleanup", &at->source, err) < 0 &&
	    !source_is_gone(err) && !leave_source(at, err))
		return nothing_was_made(at) ? 0 : err_wrap(err, "source");
	/* A leaked slot fills the server's disk: first drop the slot whose name is derived from the resource, even if
	 * the sink is unreachable. */
	if (at->source.pg && derived && (drop_slot(at, err) < 0 || drop_publication(at, err) < 0))
		return -1;
	return clean_sink(at, derived, err);
}

int sync_cleanup(const struct sync_options *options, struct err *err)
{
	return attempt_once(options, clean, NULL, err);
}
