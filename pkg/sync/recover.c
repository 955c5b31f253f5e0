/* Recovery: looks at what exists, and carries out the decision of pkg/recovery. */
#include "sync/recover_int.h"

#include <stdlib.h>
#include <string.h>

#include "apply/partition_changes.h"
#include "base/clock.h"
#include "base/log.h"
#include "recovery/explain.h"
#include "recovery/recovery.h"
#include "sessions/refresh.h"
#include "sink/dead_letters.h"
#include "sink/generations.h"
#include "sink/recipe.h"
#include "sink/write_alias.h"
#include "source/identity.h"
#include "source/partitions.h"
#include "source/plan.h"
#include "source/views.h"
#include "json/json.h"

/* What recovery_input borrows. */
struct found {
	struct recovery_input in;
	char *publication;
	char *fingerprint;
	json_t *catalog;
	const char **indices;
};

static void found_release(struct found *f)
{
	free(f->publication);
	free(f->fingerprint);
	json_decref(f->catalog);
	free(f->indices);
}

static bool has_plan(uint64_t plans, size_t plan)
{
	return plans >> plan & 1;
}

/* --- inspecting --- */

/* Reads what can be read before the slot is touched. */
static int inspect(struct attempt *at, struct found *f, struct err *err)
{
	const struct checkpoint_store store = attempt_store(at);
	const struct spec *spec = at->run->spec;
	struct recovery_input *in = &f->in;

	/* First, because another worker may still save and acknowledge. */
	if (pg_slot_read(at->source.pg, at->source.slot, &in->slot, err) < 0)
		return err_wrap(err, "reading the slot");
	in->acknowledged = in->slot.state == PG_SLOT_ABSENT ? 0 : in->slot.confirmed_flush_lsn;
	if (checkpoint_load(&store, at->run->key, &at->cp, err) < 0)
		return err_wrap(err, "loading the checkpoint");
	if (pg_slot_read(at->source.pg, at->source.slot, &in->slot, err) < 0 ||
	    pg_publication_fingerprint(at->source.pg, at->source.publication, &f->publication, err) < 0)
		return -1;
	f->fingerprint = document_plans_fingerprint(at->model.plans, at->model.n_plans, spec->schema_hash);
	f->catalog = document_plans_catalog(at->model.plans, at->model.n_plans);
	f->indices = xcalloc(at->model.n_plans, sizeof(*f->indices));
	for (size_t i = 0; i < at->model.n_plans; i++)
		f->indices[i] = at->model.plans[i]->document->index;
	in->cp = &at->cp;
	in->standby = pg_is_standby(at->source.pg);
	in->publication = f->publication;
	in->fingerprint = f->fingerprint;
	in->catalog = f->catalog;
	in->indices = f->indices;
	in->n_plans = at->model.n_plans;
	in->truncated = at->past->truncated;
	in->uid = spec->uid;
	in->resync_nonce = spec->resync_nonce;
	in->stall_when_slot_lost = spec->source.slot_lost == SPEC_SLOT_LOST_STALL;
	in->never_bootstrap = spec->bootstrap == SPEC_BOOTSTRAP_NEVER;
	in->slot_name_given = at->run->options->slot_name_given;
	in->streamed = at->past->streamed;
	in->walsender_pid = at->past->walsender_pid;
	in->missed = at->run->landmarks.missed;
	in->undecodable = at->run->landmarks.undecodable;
	return 0;
}

/* Aliases that belong to another resource are refused; ours show which generation is live. */
static int check_owners(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = checkpoint_ensure(&at->cp, at->model.plans[i]->document->index);

		if (generation_check_owner(&at->sink, index->name, &index->live, err) < 0 ||
		    dead_letters_check_owner(&at->sink, index->name, err) < 0)
			return -1;
	}
	return 0;
}

static int find_missing_indices(struct attempt *at, struct recovery_input *in, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);
		_cleanup_free_ char *concrete = generation_name(index->name, index->generation);
		bool ours = true, learned;

		if (index->generation && generation_is_ours(&at->sink, concrete, &ours, err) < 0)
			return -1;
		if (!ours)
			in->missing |= UINT64_C(1) << i;
		else if (index->histories && generation_is_restored(&at->sink, index, &learned))
			in->restored |= UINT64_C(1) << i;
	}
	return 0;
}

/* Reads what matters only if there is a history: the tables of the publication, the partitions, the indices. */
static int inspect_history(struct attempt *at, struct recovery_input *in, struct err *err)
{
	_cleanup_free_ bool *gone = xcalloc(at->model.n_plans, sizeof(*gone));
	_cleanup_free_ bool *lacking = xcalloc(at->model.tables.n, sizeof(*lacking));
	size_t n;

	if (source_find_lacking(&at->source, &at->model.tables, lacking, &n, err) < 0 ||
	    find_missing_indices(at, in, err) < 0)
		return -1;
	in->publication_lacks_tables = n > 0;
	partition_changes_compare(&at->model, &at->cp, in->never_bootstrap ? NULL : gone);
	for (size_t i = 0; i < at->model.n_plans; i++)
		in->partitions_gone |= (uint64_t)gone[i] << i;
	return 0;
}

/* --- refusing --- */

static int refuse_to_recover(struct attempt *at, const struct found *f, const struct recovery_decision *d,
			     struct err *err)
{
	bool unknown = d->cause == RECOVERY_SLOT_UNKNOWN;
	_cleanup_free_ char *who = unknown ? source_slot_user(&at->source, &f->in.slot) : NULL;
	const struct recovery_names names = {at->source.slot, at->source.database, who};

	at->past->fenced = at->past->fenced || d->cause == RECOVERY_SLOT_TAKEN;
	return recovery_refuse(&f->in, d, &names, err);
}

/* --- the source --- */

/* Sets replica identities and the publication as the tables need them. Sets the publication's fingerprint, but does not
 * save it. 1: nothing of the publication changed but columns. */
static int ensure_tables(struct attempt *at, struct err *err)
{
	const struct source_tables *tables = &at->model.tables;
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	struct source_published published = {0};
	enum source_claim claim;

	if (source_claim_publication(&at->source, &at->cp, tables, &claim, err) < 0)
		return -1;
	for (size_t i = 0; i < tables->n; i++)
		if (identity_add_gaps(&at->source, &tables->items[i], &gaps, err) < 0)
			return -1;
	if (identity_note(&at->cp, &gaps) && attempt_save(at, err) < 0)
		return -1;
	/* Postgres refuses changes of a table whose identity is not published. */
	if (gaps.n && (source_widen(&at->source, claim, err) < 0 || identity_set(&at->source, &gaps, err) < 0 ||
		       catalog_load_identities(at->source.pg, at->model.catalog, err) < 0))
		return -1;
	if (source_publish(&at->source, claim, tables, &published, err) < 0)
		return -1;
	free(at->cp.publication_fingerprint);
	at->cp.publication_fingerprint = published.fingerprint;
	return published.only_columns;
}

static void report_waiting(void *user, const char *transactions)
{
	report_condition(user, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_WAITING_FOR_TRANSACTIONS,
			 "transactions that began before pgsync started must end first: %s", transactions);
}

static void report_creating(void *user, const char *transactions)
{
	report_condition(user, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_CREATING_SLOT,
			 "the replication slot is being created: transactions that were running must end first: %s",
			 transactions);
}

static int wait_for_transactions(struct attempt *at, bool every, struct err *err)
{
	const struct source_waiting waiting = {report_waiting, &at->run->report};

	return source_wait_for_transactions(&at->source, every, &waiting, err);
}

/* Creates a slot, after dropping the old one if `replace` is set. Records its position in the checkpoint, which is not
 * saved. Returns once a bootstrap may begin. */
static int make_slot(struct attempt *at, struct pg *replication, bool replace, struct err *err)
{
	const struct source_waiting waiting = {report_creating, &at->run->report};
	const struct source *source = &at->source;

	if (replace && pg_slot_drop(source->pg, source->slot, err) < 0)
		return err_wrap(err, "dropping the old replication slot");
	report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_CREATING_SLOT,
			 "creating replication slot \"%s\": transactions that are running now must end first",
			 source->slot);
	if (source_create_slot(source, replication, &waiting, &at->cp.slot_lsn, err) < 0)
		return -1;
	at->cp.confirmed_lsn = at->cp.slot_lsn;
	at->run->given_up = 0;
	return wait_for_transactions(at, false, err);
}

/* The stream contained no changes of a table (or of rows, or of a kind of change) that was not published, so what was
 * built meanwhile has to be rebuilt. That is saved before the publication changes, so that a failure in between cannot
 * lose it. A transaction that was open when the table was added is in the stream only with its later changes, so wait
 * until it has ended. */
static int patch_publication(struct attempt *at, struct err *err)
{
	xreplace(&at->cp.schema_hash, "");
	if (attempt_save(at, err) < 0 || ensure_tables(at, err) < 0)
		return -1;
	return wait_for_transactions(at, true, err);
}

/* --- indices --- */

/* Creates an empty index above generation `after`. Once filled, it contains everything up to `version`. */
static int begin_generation(struct attempt *at, size_t plan, int64_t after, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = attempt_index(at, plan);
	const struct document_plan *made = at->model.plans[plan];
	_cleanup_free_ char *concrete = NULL;

	if (generation_create(&at->sink, index->name, made->index_body, after, &index->generation, err) < 0 ||
	    dead_letters_begin(&at->sink, index->name, err) < 0)
		return -1;
	concrete = generation_name(index->name, index->generation);
	json_decref(TAKE_PTR(index->recipe));
	free(TAKE_PTR(index->outdated));
	json_decref(TAKE_PTR(index->histories));
	/* The monitor takes it, then. */
	if (recipe_read(&at->sink, concrete, made->document->pipeline, NULL, &index->recipe, err) < 0)
		log_info("sync", "could not read the ingest pipelines of the index, reading them later", KV_ERR(err));
	free(TAKE_PTR(index->ranges));
	index->n_ranges = 0;
	index->version = version;
	index->complete = at->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER;
	index->allow_shrink = false;
	index->rows_total = 0;
	index->start_us = clock_wall_us();
	index->completion_us = index->complete ? index->start_us : 0;
	at->cp.phase = CHECKPOINT_BOOTSTRAP;
	return 0;
}

/* The position that a generation begun now starts from. Everything up to it is visible, so chunks that are read from
 * now on may carry it as their version: changes that the stream repeats are older. */
static int read_base_version(struct attempt *at, uint64_t *ret, struct err *err)
{
	if (pg_flush_lsn(at->source.pg, ret, err) < 0)
		return err_wrap(err, "reading the server's position");
	return wait_for_transactions(at, false, err);
}

/* Creates an empty index for every document; the old ones stay until the new ones are complete. */
static int rebuild_all(struct attempt *at, uint64_t version, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);

		if (generation_take_back(&at->sink, index->name, index->live, err) < 0 ||
		    begin_generation(at, i, index->live, version, err) < 0)
			return -1;
	}
	/* New generations are filled from the current partitions. */
	partition_changes_release(&at->model.partition_changes);
	partitions_adopt(&at->model.tables, &at->cp);
	return attempt_save(at, err);
}

/* Rows disappeared without an event: the root was truncated, or partitions differ from those that the index was filled
 * from. Or the engine does something else with documents now. */
static int rebuild_some(struct attempt *at, const struct recovery_input *in, uint64_t plans, struct err *err)
{
	uint64_t version;

	if (!plans)
		return 0;
	if (read_base_version(at, &version, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++) {
		if (!has_plan(plans, i))
			continue;
		run_event(at->run, false, REASON_RESYNC_STARTED, "Resync", "rebuilding index \"%s\": %s",
			  in->indices[i], recovery_why_rebuilt(in, i));
		if (begin_generation(at, i, attempt_index(at, i)->generation, version, err) < 0)
			return -1;
		attempt_index(at, i)->allow_shrink = has_plan(in->truncated | in->partitions_gone, i);
	}
	return 0;
}

/* The index is gone. The new one gets another number: if this run ends before that is saved, the next one still finds
 * that the checkpoint's index is missing, instead of finding an empty one with the same name. */
static int recreate(struct attempt *at, const struct recovery_input *in, uint64_t plans, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);
		uint64_t confirmed = in->slot.confirmed_flush_lsn;

		if (!has_plan(plans, i))
			continue;
		log_warn("sync", "the index is gone, rebuilding it", KV_STR("index", index->name),
			 KV_I64("generation", index->generation));
		if (begin_generation(at, i, index->generation, index->version > confirmed ? index->version : confirmed,
				     err) < 0)
			return -1;
	}
	return 0;
}

/* --- carrying out --- */

static void take_catalog(struct checkpoint *cp, const struct found *f)
{
	json_decref(cp->catalog_fingerprint);
	cp->catalog_fingerprint = json_incref(f->catalog);
}

/* Nothing below is acknowledged again: an index that is built now contains it. */
static void take_position(struct checkpoint *cp, const struct found *f)
{
	if (f->in.acknowledged > cp->confirmed_lsn)
		cp->confirmed_lsn = f->in.acknowledged;
	cp->confirmed_first = true;
}

static void claim(struct attempt *at, const struct found *f)
{
	struct checkpoint *cp = &at->cp;

	xreplace(&cp->owner, at->run->owner);
	xreplace(&cp->owner_uid, at->run->spec->uid);
	xreplace(&cp->slot, at->source.slot);
	xreplace(&cp->publication, at->source.publication);
	xreplace(&cp->system_identifier, f->in.server.identifier);
	xreplace(&cp->schema_hash, f->fingerprint);
	take_catalog(cp, f);
	cp->timeline = f->in.server.timeline;
	cp->timeline_begin = f->in.timeline.begin;
	cp->landmark = (struct checkpoint_landmark){0};
	at->run->landmarks = (struct landmarks){0};
	cp->resync_nonce = at->run->spec->resync_nonce;
}

static int start_over(struct attempt *at, struct pg *replication, const struct found *f, enum recovery_cause cause,
		      struct err *err)
{
	const char *why = recovery_cause_text(cause);

	if (cause != RECOVERY_NOTHING_SYNCED && cause != RECOVERY_NEVER_PREPARED)
		run_event(at->run, true, REASON_RESYNC_STARTED, "Resync", "rebuilding the index: %s", why);
	log_info("sync", "starting a full copy", KV_STR("why", why));
	claim(at, f);
	at->cp.confirmed_first = true;
	at->cp.phase = CHECKPOINT_PREPARING;
	at->cp.slot_lsn = 0;
	if (attempt_save(at, err) < 0 || ensure_tables(at, err) < 0 ||
	    make_slot(at, replication, f->in.slot.state != PG_SLOT_ABSENT, err) < 0 || attempt_save(at, err) < 0)
		return -1;
	return rebuild_all(at, at->cp.slot_lsn, err);
}

static int rebuild_every_index(struct attempt *at, const struct found *f, enum recovery_cause cause, struct err *err)
{
	const char *why = recovery_cause_text(cause);
	uint64_t version;

	log_info("sync", "building a new generation", KV_STR("why", why));
	if (cause != RECOVERY_NEVER_PREPARED)
		run_event(at->run, false, REASON_RESYNC_STARTED, "Resync", "rebuilding the index: %s", why);
	claim(at, f);
	take_position(&at->cp, f);
	return read_base_version(at, &version, err) < 0 ? -1 : rebuild_all(at, version, err);
}

/* Resumes unchanged, or rebuilds individual indices; moves the checkpoint if it is to be elsewhere. */
static int resume_indices(struct attempt *at, const struct found *f, const struct recovery_decision *d, struct err *err)
{
	const struct checkpoint_store store = attempt_store(at);

	if (rebuild_some(at, &f->in, d->rebuild, err) < 0 || recreate(at, &f->in, d->recreate, err) < 0)
		return -1;
	/* Puts an alias back in the same way as after a bootstrap. */
	if (d->put_back)
		at->cp.phase = CHECKPOINT_BOOTSTRAP;
	if (d->adopt_catalog)
		take_catalog(&at->cp, f);
	if (d->failed_over) {
		run_event(at->run, false, REASON_FAILED_OVER, "Stream",
			  "the server is a standby that was promoted (timeline %u after %u), and nothing was lost: the "
			  "stream continues from its slot",
			  f->in.server.timeline, at->cp.timeline);
		at->cp.timeline = f->in.server.timeline;
		at->cp.landmark = (struct checkpoint_landmark){0};
	}
	if (d->adopt_timeline)
		at->cp.timeline_begin = f->in.timeline.begin;
	targets_add_scans(&at->model.targets, at->model.partition_changes.n_scans);
	if (!at->model.partition_changes.pending)
		partitions_adopt(&at->model.tables, &at->cp);
	return checkpoint_is_misplaced(&store, &at->cp) || d->rebuild || d->recreate || d->adopt_catalog ||
			       d->adopt_position || d->failed_over || d->adopt_timeline
		       ? attempt_save(at, err)
		       : 0;
}

/* The slot is usable. First the publication, then the indices. */
static int resume(struct attempt *at, const struct found *f, const struct recovery_decision *first, struct err *err)
{
	struct recovery_decision d;
	int only_columns;

	if (first->adopt_position)
		take_position(&at->cp, f);
	only_columns = first->patch_publication ? patch_publication(at, err) : ensure_tables(at, err);
	if (only_columns < 0)
		return -1;
	if (!at->cp.publication_fingerprint)
		return err_reason(err, ERR_TRANSIENT, REASON_PUBLICATION_MISSING,
				  "publication \"%s\" was dropped while pgsync was starting", at->source.publication);
	if (only_columns && strcmp(at->cp.publication_fingerprint, f->in.publication) != 0 && attempt_save(at, err) < 0)
		return -1;
	d = recovery_published(&f->in, *first, at->cp.publication_fingerprint, only_columns > 0);
	if (d.action == RECOVERY_REFUSE)
		return refuse_to_recover(at, f, &d, err);
	if (d.rebuild_all && !first->rebuild_all && wait_for_transactions(at, true, err) < 0)
		return -1;
	return d.rebuild_all ? rebuild_every_index(at, f, d.cause, err) : resume_indices(at, f, &d, err);
}

/* By a connection that can stream, and does not yet. */
static int identify(struct attempt *at, struct found *f, struct pg **ret, struct err *err)
{
	_cleanup_free_ char *history = NULL;

	if (connector_replication(&at->connector, ret, err) < 0)
		return err_wrap(err, "replication connection");
	if (pg_identify_system(*ret, &f->in.server, err) < 0 ||
	    pg_history_read(*ret, f->in.server.timeline, &history, err) < 0)
		return err_wrap(err, "reading the server's identity");
	f->in.horizon = atomic_load(&at->run->horizon);
	f->in.timeline = pg_history_find(history, f->in.server.timeline, f->in.server.timeline);
	f->in.earlier = pg_history_find(history, f->in.server.timeline, at->cp.timeline);
	return 0;
}

/* Only then starts our own walsender: a resource never has more than one. */
static int take_slot(struct attempt *at, struct found *f, struct pg **ret, struct err *err)
{
	if (f->in.slot.state == PG_SLOT_ACTIVE) {
		log_info("sync", "taking the slot from its old walsender", KV_I64("pid", f->in.slot.active_pid));
		if (pg_slot_release(at->source.pg, at->source.slot, err) < 0 ||
		    pg_slot_read(at->source.pg, at->source.slot, &f->in.slot, err) < 0)
			return -1;
	}
	return identify(at, f, ret, err);
}

static int recover(struct attempt *at, struct found *f, struct pg **ret, struct err *err)
{
	struct recovery_decision d;

	if (inspect(at, f, err) < 0)
		return -1;
	d = recovery_admit(&f->in);
	if (d.action == RECOVERY_REFUSE)
		return refuse_to_recover(at, f, &d, err);
	if (check_owners(at, err) < 0 || take_slot(at, f, ret, err) < 0 || inspect_history(at, &f->in, err) < 0)
		return -1;
	d = recovery_decide(&f->in);
	switch (d.action) {
	case RECOVERY_REFUSE:
		return refuse_to_recover(at, f, &d, err);
	case RECOVERY_NEW_SLOT:
		return start_over(at, *ret, f, d.cause, err);
	case RECOVERY_RESUME:
		break;
	}
	landmarks_expect(&at->run->landmarks, &f->in);
	if (at->source.failover && pg_slot_set_failover(*ret, at->source.slot, err) < 0)
		return -1;
	return resume(at, f, &d, err);
}

/* --- planning: the same decision, which is not carried out --- */

static int describe(struct attempt *at, const struct found *f, const struct recovery_decision *d,
		    struct findings *changes, struct err *err)
{
	_cleanup_free_ struct recovery_document *documents = xcalloc(at->model.n_plans, sizeof(*documents));
	const struct recovery_names names = {.slot = at->source.slot};

	if (source_plan_changes(&at->source, &at->cp, &at->model.tables, changes, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct document_plan *plan = at->model.plans[i];

		documents[i] = (struct recovery_document){plan->document->path, plan->root->schema, plan->root->name};
	}
	recovery_describe(&f->in, d, &names, documents, changes);
	if (d->action == RECOVERY_RESUME && !d->rebuild_all)
		partition_changes_describe(&at->model, changes);
	return 0;
}

static int decide_without_slot(struct attempt *at, struct found *f, struct recovery_decision *ret, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;

	if (inspect(at, f, err) < 0)
		return -1;
	*ret = recovery_admit(&f->in);
	if (ret->action == RECOVERY_REFUSE)
		return 0;
	if (check_owners(at, err) < 0 || identify(at, f, &replication, err) < 0 || inspect_history(at, &f->in, err) < 0)
		return -1;
	*ret = recovery_decide(&f->in);
	return 0;
}

int recover_plan(struct attempt *at, struct findings *findings, struct findings *changes, struct err *err)
{
	_cleanup_(found_release) struct found f = {0};
	struct recovery_decision d;

	if (decide_without_slot(at, &f, &d, err) < 0)
		return -1;
	if (d.action != RECOVERY_REFUSE)
		return describe(at, &f, &d, changes, err);
	(void)refuse_to_recover(at, &f, &d, err);
	findings_add(findings, FINDING_ERROR, err->reason, NULL, "%s", err->msg);
	return 0;
}

/* --- the model, and what a bootstrap reads --- */

static void complete_model(struct attempt *at)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);

		free(at->model.concrete[i]);
		at->model.concrete[i] = generation_name(index->name, index->generation);
		at->model.filled[i] = index->version;
	}
}

/* From here on, requests that an earlier attempt sent are refused. */
static int take_write_aliases(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		_cleanup_free_ char *dead = dead_letters_index(attempt_index(at, i)->name);

		if (write_alias_take(&at->sink, at->model.concrete[i], err) < 0 ||
		    (report_dead_letters(&at->run->report, attempt_index(at, i)->name) > 0 &&
		     write_alias_take(&at->sink, dead, err) < 0))
			return -1;
	}
	return 0;
}

/* From here on, writing a document deletes its dead letter. */
static int count_dead_letters(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (dead_letters_count(&at->sink, &at->run->report, attempt_index(at, i)->name, err) < 0)
			return -1;
	dead_letters_set_condition(&at->run->report);
	return 0;
}

/* The views that a bootstrap reads must include every commit up to its generation's version. */
static int fill_views(struct attempt *at, struct err *err)
{
	if (!views_must_fill(at->model.plans, at->model.n_plans, at->cp.phase == CHECKPOINT_LIVE))
		return 0;
	return connector_refresh(&at->connector, &at->model, &at->run->report, err);
}

int recover_run(struct attempt *at, struct pg **ret, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;
	_cleanup_(found_release) struct found f = {0};

	/* Another run may have read until its slot was taken from it, so this position counts. */
	if (recover(at, &f, &replication, err) < 0 || pg_horizon_raise(at->source.pg, &at->run->horizon, err) < 0)
		return -1;
	at->past->truncated = 0;
	complete_model(at);
	if (count_dead_letters(at, err) < 0 || take_write_aliases(at, err) < 0 || fill_views(at, err) < 0)
		return -1;
	*ret = TAKE_PTR(replication);
	return 0;
}

int recover_adopt_partitions(struct attempt *at, struct err *err)
{
	at->model.partition_changes.pending = false;
	partitions_adopt(&at->model.tables, &at->cp);
	return attempt_save(at, err);
}
