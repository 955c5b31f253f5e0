/* From whatever is there to where the stream can start: resume, or begin a new generation. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sync/deadletter_int.h"
#include "sync/generation_int.h"
#include "sync/parts_int.h"
#include "sync/situation_int.h"
#include "sync/source_int.h"
#include "sync/views_int.h"

static void replace(char **to, const char *from)
{
	free(*to);
	*to = xstrdup_or_null(from);
}

/* --- generations --- */

/* A new, empty index above generation `after`; whatever was read up to `version` is in it, or will be. */
static int begin_generation(struct engine *e, size_t plan, int64_t after, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = checkpoint_ensure(&e->cp, e->plans[plan]->document->index);

	if (generation_create(e, e->plans[plan], after, &index->generation, err) < 0 ||
	    deadletters_begin(e, index->name, err) < 0)
		return -1;
	free(TAKE_PTR(index->ranges));
	index->n_ranges = 0;
	index->version = version;
	index->complete = e->spec->bootstrap == SPEC_BOOTSTRAP_NEVER;
	index->emptied = false;
	index->rows_total = 0;
	index->start_us = clock_wall_us();
	index->completion_us = 0;
	e->cp.phase = CHECKPOINT_BOOTSTRAP;
	return 0;
}

/* Where a generation that is begun now starts from: all of this history up to here is visible, so that a chunk which is
 * read from now on may carry it as its version. Whatever the stream repeats of it is older than the chunks. */
static int read_base_version(struct engine *e, uint64_t *ret, struct err *err)
{
	if (engine_server_lsn(e->pg, ret, err) < 0)
		return err_wrap(err, "reading the server's position");
	return source_wait_for_transactions(e, false, err);
}

/* Without a bootstrap the new index would stay empty, and take the place of one that is not. */
static int check_policy(const struct engine *e, const struct checkpoint_index *index, bool live, struct err *err)
{
	if (e->spec->bootstrap != SPEC_BOOTSTRAP_NEVER || !live)
		return 0;
	return err_reason(
		err, ERR_INVALID, "BootstrapNeeded",
		"index \"%s\" has to be built anew, and spec.bootstrap.policy is Never: set it to IfNeeded, or "
		"restore what was changed",
		index->name);
}

/* A new, empty index for every document; the old ones stay until the new are complete. */
static int new_generations(struct engine *e, uint64_t version, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		const struct checkpoint_index *index = engine_index(e, i);

		if (index && check_policy(e, index, index->live, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < e->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_ensure(&e->cp, e->plans[i]->document->index);

		if (generation_take_back(e, index->name, index->live, err) < 0 ||
		    begin_generation(e, i, index->live, version, err) < 0)
			return -1;
	}
	parts_adopt(e);
	return engine_save(e, err);
}

static void take_seen(struct checkpoint *cp, const struct situation *s)
{
	json_decref(cp->seen);
	cp->seen = json_incref(s->seen);
}

static void claim(struct engine *e, const struct situation *s)
{
	struct checkpoint *cp = &e->cp;

	replace(&cp->owner, e->owner);
	replace(&cp->owner_uid, e->spec->uid);
	replace(&cp->slot, e->spec->source.slot_name);
	replace(&cp->publication, e->spec->source.publication_name);
	replace(&cp->system_identifier, s->server.identifier);
	replace(&cp->schema_hash, s->hash);
	take_seen(cp, s);
	cp->timeline = s->server.timeline;
	cp->resync_nonce = e->spec->resync_nonce;
}

static int begin_anew(struct engine *e, struct pg *replication, const struct situation *s, struct err *err)
{
	if (e->cp.phase != CHECKPOINT_NEW && e->cp.phase != CHECKPOINT_PREPARING) {
		if (e->spec->source.slot_lost == SPEC_SLOT_LOST_STALL && e->cp.resync_nonce == e->spec->resync_nonce)
			return err_reason(err, ERR_INVALID, "SlotLost",
					  "replication slot \"%s\": %s; slotLostPolicy is Stall: set it to Resync, or "
					  "raise spec.resyncNonce, to build the index anew",
					  e->spec->source.slot_name, s->new_slot_why);
		engine_event(e, true, "ResyncStarted", "Resync", "building the index anew: %s", s->new_slot_why);
	}
	log_info("sync", "starting from nothing", KV_STR("why", s->new_slot_why));
	claim(e, s);
	e->cp.phase = CHECKPOINT_PREPARING;
	if (engine_save(e, err) < 0 || source_ensure_tables(e, err) < 0 ||
	    source_make_slot(e, replication, s->slot.state != PG_SLOT_ABSENT, err) < 0)
		return -1;
	return new_generations(e, e->cp.slot_lsn, err);
}

/* The stream held nothing of a table (or of rows, or of a kind of change) that was not published: whatever was built
 * then is to be built anew. That is durable before the publication changes, so that no failure in between makes it
 * forgotten. And a transaction that was open when the table came in is in the stream only with what it does later: its
 * end is waited for. */
static int publish_more(struct engine *e, struct err *err)
{
	replace(&e->cp.schema_hash, "");
	if (engine_save(e, err) < 0 || source_ensure_tables(e, err) < 0)
		return -1;
	return source_wait_for_transactions(e, true, err);
}

static int rebuild(struct engine *e, size_t plan, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = engine_index(e, plan);

	if (check_policy(e, index, index->live, err) < 0 ||
	    begin_generation(e, plan, index->generation, version, err) < 0)
		return -1;
	index->emptied = true;
	return 0;
}

/* Rows that are gone without an event of their own: the root was truncated, or partitions are others than those that
 * the indices were filled from. */
static int follow_losses(struct engine *e, struct err *err)
{
	_cleanup_free_ bool *parts = NULL;
	uint64_t version = 0;

	parts_compare(e, &parts);
	for (size_t p = 0; p < e->n_plans; p++) {
		bool truncated = e->truncated >> p & 1;

		if (!parts[p] && !truncated)
			continue;
		engine_event(e, false, "ResyncStarted", "Resync", "building index \"%s\" anew: %s",
			     e->plans[p]->document->index,
			     truncated ? "its root was truncated, or changed without a replica identity"
				       : "partitions of its root are gone or were emptied");
		if ((!version && read_base_version(e, &version, err) < 0) || rebuild(e, p, version, err) < 0)
			return -1;
	}
	targets_add_scans(&e->targets, e->reread.n_scans);
	if (!e->reread.pending)
		parts_adopt(e);
	return version ? engine_save(e, err) : 0;
}

int prepare_reread_done(struct engine *e, struct err *err)
{
	e->reread.pending = false;
	parts_adopt(e);
	return engine_save(e, err);
}

static int resume(struct engine *e, const struct situation *s, struct err *err)
{
	const char *why = s->rebuild_why;
	/* Also when the schema changed as well, or when this is the attempt after one that was killed half-way. */
	bool lacks = situation_altered(e, s);
	uint64_t version;

	if (!lacks && source_lacks_tables(e, &lacks, err) < 0)
		return -1;
	if ((lacks ? publish_more(e, err) : source_ensure_tables(e, err)) < 0)
		return -1;
	if (!why && strcmp(e->cp.publication_mark, s->publication_mark) != 0) {
		why = lacks ? "a table was added to the publication" : PUBLICATION_ALTERED;
		if (!lacks && source_wait_for_transactions(e, true, err) < 0)
			return -1;
	}
	if (!why && !json_equal(e->cp.seen, s->seen)) {
		take_seen(&e->cp, s);
		if (engine_save(e, err) < 0)
			return -1;
	}
	if (!why)
		return follow_losses(e, err);
	log_info("sync", "building a new generation", KV_STR("why", why));
	engine_event(e, false, "ResyncStarted", "Resync", "building the index anew: %s", why);
	claim(e, s);
	if (read_base_version(e, &version, err) < 0)
		return -1;
	return new_generations(e, version, err);
}

/* Somebody may have deleted an index, or moved its alias. */
static int ensure_indices(struct engine *e, const struct situation *s, struct err *err)
{
	/* The alias goes with its index. */
	bool lived = e->cp.phase == CHECKPOINT_LIVE;

	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = engine_index(e, i);
		bool exists = false;

		free(e->physical[i]);
		e->physical[i] = generation_name(index->name, index->generation);
		if (generation_is_ours(e, e->physical[i], &exists, err) < 0)
			return -1;
		if (exists && e->cp.phase == CHECKPOINT_LIVE && index->live != index->generation)
			e->cp.phase = CHECKPOINT_BOOTSTRAP; /* somebody moved the alias: it is put back like after a
							       bootstrap */
		if (exists)
			continue;
		if (check_policy(e, index, lived || index->live, err) < 0)
			return -1;
		log_warn("sync", "the index is gone, building it anew", KV_STR("index", e->physical[i]));
		if (begin_generation(e, i, index->generation - 1,
				     index->version > s->slot.confirmed_flush_lsn ? index->version
										  : s->slot.confirmed_flush_lsn,
				     err) < 0)
			return -1;
		free(e->physical[i]);
		e->physical[i] = generation_name(index->name, index->generation);
		if (engine_save(e, err) < 0)
			return -1;
	}
	return 0;
}

static int check_owners(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = checkpoint_ensure(&e->cp, e->plans[i]->document->index);

		if (generation_check_owner(e, e->plans[i]->document->index, &index->live, err) < 0)
			return -1;
	}
	return 0;
}

/* Whatever is written from here on takes the letter of its document along. */
static int count_letters(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++)
		if (deadletters_count(e, e->search, e->plans[i]->document->index, err) < 0)
			return -1;
	deadletters_say(e);
	return 0;
}

static bool has_empty_view(const struct engine *e)
{
	for (size_t p = 0; p < e->n_plans; p++)
		for (size_t i = 0; i < e->plans[p]->n_views; i++)
			if (e->plans[p]->views[i].view->kind == 'm' && !e->plans[p]->views[i].view->populated)
				return true;
	return false;
}

static bool some_to_refresh(const struct engine *e)
{
	for (size_t p = 0; p < e->n_plans; p++)
		if (views_to_refresh(e->plans[p]))
			return true;
	return false;
}

/* What a bootstrap reads must hold every commit up to its generation's version. */
static int fill_views(struct engine *e, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;

	if ((e->cp.phase == CHECKPOINT_LIVE && !has_empty_view(e)) || !some_to_refresh(e))
		return 0;
	/* The control connection's time-out is for small queries. */
	return engine_pg(e, false, "refresh", &pg, err) < 0 ? -1 : views_refresh(e, pg, NULL, err);
}

int prepare(struct engine *e, struct pg **ret, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;
	_cleanup_(situation_release) struct situation s = {0};

	if (situation_look(e, &s, err) < 0 || check_owners(e, err) < 0 || situation_take_slot(e, &s, err) < 0 ||
	    situation_connect(e, &s, &replication, err) < 0)
		return -1;
	if ((s.new_slot_why ? begin_anew(e, replication, &s, err) : resume(e, &s, err)) < 0)
		return -1;
	e->truncated = 0;
	if (ensure_indices(e, &s, err) < 0 || count_letters(e, err) < 0 || fill_views(e, err) < 0)
		return -1;
	*ret = TAKE_PTR(replication);
	return 0;
}

static int check_filled(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		const struct checkpoint_index *index = engine_index(e, i);

		if (generation_check_filled(e, e->plans[i], index, err) < 0)
			return -1;
	}
	return 0;
}

int prepare_go_live(struct engine *e, struct err *err)
{
	if (check_filled(e, err) < 0)
		return -1;
	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = engine_index(e, i);

		if (generation_go_live(e, e->plans[i], index->generation, err) < 0)
			return -1;
		index->live = index->generation;
	}
	e->cp.phase = CHECKPOINT_LIVE;
	return engine_save(e, err);
}

int prepare_sweep(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->cp.n_indices; i++)
		if (generation_sweep(e, e->cp.indices[i].name, e->cp.indices[i].live, err) < 0)
			return -1;
	return 0;
}
