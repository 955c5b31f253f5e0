/* From whatever is there to where the stream can start: resume, or begin a new generation. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/dead_letters.h"
#include "sink/generations.h"
#include "source/identity.h"
#include "source/partitions.h"
#include "source/views.h"
#include "sync/resync_int.h"
#include "sync/situation_int.h"

static void replace(char **to, const char *from)
{
	free(*to);
	*to = xstrdup_or_null(from);
}

/* --- the source --- */

/* Replica identities and publication as the tables need them. The mark of the publication is set, not saved. */
static int ensure_tables(struct attempt *at, struct err *err)
{
	const struct source_tables *tables = &at->model.tables;
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};

	for (size_t i = 0; i < tables->n; i++)
		if (identity_add_gaps(&at->source, &tables->items[i], &gaps, err) < 0)
			return -1;
	if (identity_note(&at->cp, &gaps) && attempt_save(at, err) < 0)
		return -1;
	if (identity_set(&at->source, &gaps, err) < 0)
		return -1;
	free(TAKE_PTR(at->cp.publication_mark));
	return source_publish(&at->source, tables, &at->cp.publication_mark, err);
}

/* Waits for the transactions that are running now, as source_unfinished_transactions counts them. */
static int wait_for_transactions(struct attempt *at, bool every, struct err *err)
{
	_cleanup_free_ char *noted = NULL;

	if (source_note_transactions(&at->source, &noted, err) < 0)
		return -1;
	for (int64_t waited = 0;; waited += 50) {
		_cleanup_free_ char *left = NULL;

		if (source_unfinished_transactions(&at->source, noted, every, &left, err) < 0)
			return -1;
		if (!left)
			return 0;
		if (waited >= 2000 && waited % 1000 == 0) {
			report_condition(
				&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "WaitingForTransactions",
				"transactions that are running since before the start must end first: %s", left);
			run_publish(at->run);
		}
		if (connector_sleep(&at->connector, 50))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for running transactions");
	}
}

/* A new slot, in the place of the old one if `replace` is set. Its position goes into the checkpoint, which is not
 * saved. Returns once a bootstrap may begin. */
static int make_slot(struct attempt *at, struct pg *replication, bool replace, struct err *err)
{
	const struct source *source = &at->source;

	if (replace && pg_slot_drop(source->pg, source->slot, err) < 0)
		return err_wrap(err, "dropping the old replication slot");
	report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "CreatingSlot",
			 "creating replication slot \"%s\": transactions that are running now must end first",
			 source->slot);
	run_publish(at->run);
	if (source_create_slot(source, replication, &at->cp.slot_lsn, err) < 0)
		return -1;
	at->cp.confirmed_lsn = at->cp.slot_lsn;
	return wait_for_transactions(at, false, err);
}

/* --- generations --- */

/* A new, empty index above generation `after`; whatever was read up to `version` is in it, or will be. */
static int begin_generation(struct attempt *at, size_t plan, int64_t after, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = checkpoint_ensure(&at->cp, at->model.plans[plan]->document->index);

	if (generation_create(&at->sink, index->name, at->model.plans[plan]->index_body, after, &index->generation,
			      err) < 0 ||
	    dead_letters_begin(&at->sink, index->name, err) < 0)
		return -1;
	free(TAKE_PTR(index->ranges));
	index->n_ranges = 0;
	index->version = version;
	index->complete = at->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER;
	index->emptied = false;
	index->rows_total = 0;
	index->start_us = clock_wall_us();
	index->completion_us = 0;
	at->cp.phase = CHECKPOINT_BOOTSTRAP;
	return 0;
}

/* Where a generation that is begun now starts from: all of this history up to here is visible, so that a chunk which is
 * read from now on may carry it as its version. Whatever the stream repeats of it is older than the chunks. */
static int read_base_version(struct attempt *at, uint64_t *ret, struct err *err)
{
	if (pg_flush_lsn(at->source.pg, ret, err) < 0)
		return err_wrap(err, "reading the server's position");
	return wait_for_transactions(at, false, err);
}

/* Without a bootstrap the new index would stay empty, and take the place of one that is not. */
static int check_policy(const struct attempt *at, const struct checkpoint_index *index, bool live, struct err *err)
{
	if (at->run->spec->bootstrap != SPEC_BOOTSTRAP_NEVER || !live)
		return 0;
	return err_reason(
		err, ERR_INVALID, "BootstrapNeeded",
		"index \"%s\" has to be built anew, and spec.bootstrap.policy is Never: set it to IfNeeded, or "
		"restore what was changed",
		index->name);
}

/* A new, empty index for every document; the old ones stay until the new are complete. */
static int new_generations(struct attempt *at, uint64_t version, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);

		if (index && check_policy(at, index, index->live, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_ensure(&at->cp, at->model.plans[i]->document->index);

		if (generation_take_back(&at->sink, index->name, index->live, err) < 0 ||
		    begin_generation(at, i, index->live, version, err) < 0)
			return -1;
	}
	partitions_adopt(&at->model.tables, &at->cp);
	return attempt_save(at, err);
}

static void take_seen(struct checkpoint *cp, const struct situation *s)
{
	json_decref(cp->seen);
	cp->seen = json_incref(s->seen);
}

static void claim(struct attempt *at, const struct situation *s)
{
	struct checkpoint *cp = &at->cp;

	replace(&cp->owner, at->run->owner);
	replace(&cp->owner_uid, at->run->spec->uid);
	replace(&cp->slot, at->run->spec->source.slot_name);
	replace(&cp->publication, at->run->spec->source.publication_name);
	replace(&cp->system_identifier, s->server.identifier);
	replace(&cp->schema_hash, s->hash);
	take_seen(cp, s);
	cp->timeline = s->server.timeline;
	cp->resync_nonce = at->run->spec->resync_nonce;
}

static int begin_anew(struct attempt *at, struct pg *replication, const struct situation *s, struct err *err)
{
	if (at->cp.phase != CHECKPOINT_NEW && at->cp.phase != CHECKPOINT_PREPARING) {
		if (at->run->spec->source.slot_lost == SPEC_SLOT_LOST_STALL &&
		    at->cp.resync_nonce == at->run->spec->resync_nonce)
			return err_reason(err, ERR_INVALID, "SlotLost",
					  "replication slot \"%s\": %s; slotLostPolicy is Stall: set it to Resync, or "
					  "raise spec.resyncNonce, to build the index anew",
					  at->run->spec->source.slot_name, s->new_slot_why);
		run_event(at->run, true, "ResyncStarted", "Resync", "building the index anew: %s", s->new_slot_why);
	}
	log_info("sync", "starting from nothing", KV_STR("why", s->new_slot_why));
	claim(at, s);
	at->cp.phase = CHECKPOINT_PREPARING;
	if (attempt_save(at, err) < 0 || ensure_tables(at, err) < 0 ||
	    make_slot(at, replication, s->slot.state != PG_SLOT_ABSENT, err) < 0)
		return -1;
	return new_generations(at, at->cp.slot_lsn, err);
}

/* The stream held nothing of a table (or of rows, or of a kind of change) that was not published: whatever was built
 * then is to be built anew. That is durable before the publication changes, so that no failure in between makes it
 * forgotten. And a transaction that was open when the table came in is in the stream only with what it does later: its
 * end is waited for. */
static int publish_more(struct attempt *at, struct err *err)
{
	replace(&at->cp.schema_hash, "");
	if (attempt_save(at, err) < 0 || ensure_tables(at, err) < 0)
		return -1;
	return wait_for_transactions(at, true, err);
}

static int rebuild(struct attempt *at, size_t plan, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = attempt_index(at, plan);

	if (check_policy(at, index, index->live, err) < 0 ||
	    begin_generation(at, plan, index->generation, version, err) < 0)
		return -1;
	index->emptied = true;
	return 0;
}

/* Rows that are gone without an event of their own: the root was truncated, or partitions are others than those that
 * the indices were filled from. */
static int follow_losses(struct attempt *at, struct err *err)
{
	_cleanup_free_ bool *gone = xcalloc(at->model.n_plans, sizeof(*gone));
	uint64_t version = 0;

	resync_compare(&at->model, &at->cp, at->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER ? NULL : gone);
	for (size_t p = 0; p < at->model.n_plans; p++) {
		bool truncated = at->past->truncated >> p & 1;

		if (!gone[p] && !truncated)
			continue;
		run_event(at->run, false, "ResyncStarted", "Resync", "building index \"%s\" anew: %s",
			  at->model.plans[p]->document->index,
			  truncated ? "its root was truncated, or changed without a replica identity"
				    : "partitions of its root are gone or were emptied");
		if ((!version && read_base_version(at, &version, err) < 0) || rebuild(at, p, version, err) < 0)
			return -1;
	}
	targets_add_scans(&at->model.targets, at->model.resync.n_scans);
	if (!at->model.resync.pending)
		partitions_adopt(&at->model.tables, &at->cp);
	return version ? attempt_save(at, err) : 0;
}

int prepare_resync_done(struct attempt *at, struct err *err)
{
	at->model.resync.pending = false;
	partitions_adopt(&at->model.tables, &at->cp);
	return attempt_save(at, err);
}

static int resume(struct attempt *at, const struct situation *s, struct err *err)
{
	const char *why = s->rebuild_why;
	/* Also when the schema changed as well, or when this is the attempt after one that was killed half-way. */
	bool lacks = situation_altered(at, s);
	uint64_t version;

	if (!lacks && source_lacks_tables(&at->source, &at->model.tables, &lacks, err) < 0)
		return -1;
	if ((lacks ? publish_more(at, err) : ensure_tables(at, err)) < 0)
		return -1;
	if (!why && strcmp(at->cp.publication_mark, s->publication_mark) != 0) {
		why = lacks ? "a table was added to the publication" : PUBLICATION_ALTERED;
		if (!lacks && wait_for_transactions(at, true, err) < 0)
			return -1;
	}
	if (!why && !json_equal(at->cp.seen, s->seen)) {
		take_seen(&at->cp, s);
		if (attempt_save(at, err) < 0)
			return -1;
	}
	if (!why)
		return follow_losses(at, err);
	log_info("sync", "building a new generation", KV_STR("why", why));
	run_event(at->run, false, "ResyncStarted", "Resync", "building the index anew: %s", why);
	claim(at, s);
	if (read_base_version(at, &version, err) < 0)
		return -1;
	return new_generations(at, version, err);
}

/* Somebody may have deleted an index, or moved its alias. */
static int ensure_indices(struct attempt *at, const struct situation *s, struct err *err)
{
	/* The alias goes with its index. */
	bool lived = at->cp.phase == CHECKPOINT_LIVE;

	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);
		bool exists = false;

		free(at->model.concrete[i]);
		at->model.concrete[i] = generation_name(index->name, index->generation);
		if (generation_is_ours(&at->sink, at->model.concrete[i], &exists, err) < 0)
			return -1;
		if (exists && at->cp.phase == CHECKPOINT_LIVE && index->live != index->generation)
			at->cp.phase = CHECKPOINT_BOOTSTRAP; /* somebody moved the alias: it is put back like after a
							       bootstrap */
		if (exists)
			continue;
		if (check_policy(at, index, lived || index->live, err) < 0)
			return -1;
		log_warn("sync", "the index is gone, building it anew", KV_STR("index", at->model.concrete[i]));
		if (begin_generation(at, i, index->generation - 1,
				     index->version > s->slot.confirmed_flush_lsn ? index->version
										  : s->slot.confirmed_flush_lsn,
				     err) < 0)
			return -1;
		free(at->model.concrete[i]);
		at->model.concrete[i] = generation_name(index->name, index->generation);
		if (attempt_save(at, err) < 0)
			return -1;
	}
	return 0;
}

static int check_owners(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = checkpoint_ensure(&at->cp, at->model.plans[i]->document->index);

		if (generation_check_owner(&at->sink, at->model.plans[i]->document->index, &index->live, err) < 0)
			return -1;
	}
	return 0;
}

/* What is written from here on deletes the dead letter of its document. */
static int count_dead_letters(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (dead_letters_count(&at->sink, &at->run->report, at->model.plans[i]->document->index, err) < 0)
			return -1;
	dead_letters_set_condition(&at->run->report);
	return 0;
}

static bool has_empty_view(const struct attempt *at)
{
	for (size_t p = 0; p < at->model.n_plans; p++)
		for (size_t i = 0; i < at->model.plans[p]->n_views; i++)
			if (at->model.plans[p]->views[i].view->kind == 'm' &&
			    !at->model.plans[p]->views[i].view->populated)
				return true;
	return false;
}

static bool some_to_refresh(const struct attempt *at)
{
	for (size_t p = 0; p < at->model.n_plans; p++)
		if (views_to_refresh(at->model.plans[p]))
			return true;
	return false;
}

/* What a bootstrap reads must hold every commit up to its generation's version. */
static int fill_views(struct attempt *at, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;

	if ((at->cp.phase == CHECKPOINT_LIVE && !has_empty_view(at)) || !some_to_refresh(at))
		return 0;
	/* The control connection's time-out is for small queries. */
	return connector_pg(&at->connector, CONNECTOR_UNLIMITED, "refresh", &pg, err) < 0
		       ? -1
		       : views_refresh(pg, at->model.plans, at->model.n_plans, NULL, err);
}

int prepare(struct attempt *at, struct pg **ret, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;
	_cleanup_(situation_release) struct situation s = {0};

	if (situation_look(at, &s, err) < 0 || check_owners(at, err) < 0 || situation_take_slot(at, &s, err) < 0 ||
	    situation_connect(at, &s, &replication, err) < 0)
		return -1;
	if ((s.new_slot_why ? begin_anew(at, replication, &s, err) : resume(at, &s, err)) < 0)
		return -1;
	at->past->truncated = 0;
	if (ensure_indices(at, &s, err) < 0 || count_dead_letters(at, err) < 0 || fill_views(at, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++)
		at->model.filled[i] = attempt_index(at, i)->version;
	*ret = TAKE_PTR(replication);
	return 0;
}

static int refuse_empty(const struct checkpoint_index *index, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(index->name, index->generation);

	return err_reason(
		err, ERR_INVALID, "EveryDocumentRejected",
		"index \"%s\" has no document, as those of all %llu rows were rejected, so alias \"%s\" is not moved "
		"to it: \"%s" DEAD_LETTERS_SUFFIX "\" says why; correct the mapping, the schema or the rows",
		concrete, (unsigned long long)checkpoint_rows(index), index->name, index->name);
}

/* A generation that received nothing of what was read must not replace another one. */
static int check_filled(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);
		bool would_empty;
		int rows = 0;

		if (generation_would_empty(&at->sink, index, &would_empty, err) < 0)
			return -1;
		if (would_empty && source_count_rows(at->source.pg, at->model.plans[i]->root, 1, &rows, err) < 0)
			return -1;
		if (rows)
			return refuse_empty(index, err);
	}
	return 0;
}

int prepare_go_live(struct attempt *at, struct err *err)
{
	if (check_filled(at, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);

		if (generation_go_live(&at->sink, index->name, at->model.plans[i]->index_body, index->generation, err) <
		    0)
			return -1;
		index->live = index->generation;
	}
	at->cp.phase = CHECKPOINT_LIVE;
	return attempt_save(at, err);
}

int prepare_collect_generations(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->cp.n_indices; i++)
		if (generation_collect(&at->sink, at->cp.indices[i].name, at->cp.indices[i].live, err) < 0)
			return -1;
	return 0;
}
