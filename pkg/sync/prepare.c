/* From whatever is there to where the stream can start: resume, or begin a new generation. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "sync/engine_int.h"
#include "sync/generation_int.h"
#include "sync/identity_int.h"
#include "sync/parts_int.h"
#include "sync/views_int.h"
#include "json/json.h"

int prepare_save(struct engine *e, struct err *err)
{
	if (checkpoint_save(e->search, e->key, &e->cp, err) < 0)
		return err_wrap(err, "saving the checkpoint");
	return 0;
}

static uint64_t parse_number(const char *text)
{
	uint64_t value = 0;

	return parse_u64(text, strlen(text), &value) ? value : 0;
}

/* --- what is there --- */

/* What a generation was built from: the schema as written, the columns that it met, and the definitions of views. */
static char *built_from(const struct engine *e)
{
	_cleanup_json_ json_t *parts = json_array();
	char hash[JSONX_HASH_BYTES];

	(void)json_array_append_new(parts, json_string(e->spec->schema_hash));
	for (size_t i = 0; i < e->n_plans; i++) {
		const struct document_plan *plan = e->plans[i];

		(void)json_array_append(parts, plan->index_body);
		(void)json_array_append(parts, plan->made_of);
		for (size_t v = 0; v < plan->n_views; v++)
			(void)json_array_append_new(parts, json_string(plan->views[v].view->definition));
	}
	return xstrdup(jsonx_hash(parts, hash));
}

static void replace(char **to, const char *from)
{
	free(*to);
	*to = xstrdup_or_null(from);
}

/* The slot as it stands, and what the checkpoint says of it. */
struct situation {
	struct pg_system server;
	struct pg_slot slot;
	char *publication_mark; /* NULL: there is no publication */
	char *hash;
	const char *new_slot_why; /* the old slot (or its history) cannot be used: NULL when it can */
	const char *rebuild_why;  /* the slot is fine, the generation is not */
};

static void situation_release(struct situation *s)
{
	free(s->publication_mark);
	free(s->hash);
}

/* Who streams from the slot, as its session says: other PgSyncs name themselves there. Caller frees. */
static char *slot_user(struct engine *e, const struct situation *s)
{
	_cleanup_free_ char *pid = xasprintf("%d", s->slot.active_pid);
	_cleanup_result_ PGresult *r = NULL;
	struct err ignored;

	if (s->slot.state != PG_SLOT_ACTIVE ||
	    pg_query(e->pg, "SELECT application_name FROM pg_stat_replication WHERE pid = $1::int",
		     (const char *const[]){pid}, 1, &r, &ignored) < 0 ||
	    PQntuples(r) != 1)
		return xstrdup("nobody now");
	return xasprintf("\"%s\"", PQgetvalue(r, 0, 0));
}

static int refuse_foreign(struct engine *e, const struct situation *s, struct err *err)
{
	const char *slot = e->spec->source.slot_name;

	if (e->cp.phase == CHECKPOINT_NEW && s->slot.state != PG_SLOT_ABSENT && e->options->slot_name_given) {
		_cleanup_free_ char *who = slot_user(e, s);

		return err_reason(
			err, ERR_INVALID, "SlotInUse",
			"replication slot \"%s\" exists and is not this PgSync's (streaming from it: %s): choose "
			"another "
			"spec.source.replication.slotName, or drop it (SELECT pg_drop_replication_slot('%s'))",
			slot, who, slot);
	}
	if (e->cp.phase != CHECKPOINT_NEW && e->cp.owner_uid && e->spec->uid &&
	    strcmp(e->cp.owner_uid, e->spec->uid) != 0)
		return err_reason(err, ERR_INVALID, "SlotInUse",
				  "replication slot \"%s\" belongs to another resource named %s (uid %s): choose "
				  "another slot name",
				  slot, e->cp.owner, e->cp.owner_uid);
	if (s->slot.state != PG_SLOT_ABSENT && !s->slot.logical_pgoutput)
		return err_reason(
			err, ERR_INVALID, "SlotInUse",
			"replication slot \"%s\" is not a pgoutput slot of database \"%s\": choose another name", slot,
			e->spec->source.database);
	return 0;
}

static const char *history_trouble(const struct engine *e, const struct situation *s)
{
	const struct checkpoint *cp = &e->cp;

	if (cp->phase == CHECKPOINT_NEW)
		return "nothing was synced yet";
	if (cp->phase == CHECKPOINT_PREPARING)
		return "an earlier start did not get as far as a slot";
	if (strcmp(cp->system_identifier, s->server.identifier) != 0)
		return "the server is another database cluster than the one that was synced";
	if (cp->timeline != s->server.timeline)
		return "the server's history changed (a failover or a restore: another timeline)";
	if (s->slot.current_lsn < cp->confirmed_lsn)
		return "the server's WAL position is behind what was already synced (a restored server)";
	if (s->slot.state == PG_SLOT_ABSENT)
		return "the replication slot is gone";
	if (s->slot.state == PG_SLOT_LOST)
		return "the server dropped WAL that the replication slot needed";
	if (!s->publication_mark ||
	    (cp->publication_mark && !pg_publication_same(s->publication_mark, cp->publication_mark)))
		return "the publication was dropped, and the slot's WAL cannot be decoded without it";
	return NULL;
}

#define PUBLICATION_ALTERED "somebody altered the publication"

static bool is_altered(const struct engine *e, const struct situation *s)
{
	return e->cp.publication_mark && strcmp(e->cp.publication_mark, s->publication_mark) != 0;
}

static const char *generation_trouble(const struct engine *e, const struct situation *s)
{
	if (strcmp(e->cp.schema_hash, s->hash) != 0)
		return "the schema changed";
	if (e->cp.resync_nonce != e->spec->resync_nonce)
		return "spec.resyncNonce changed";
	if (is_altered(e, s))
		return PUBLICATION_ALTERED;
	for (size_t i = 0; i < e->n_plans; i++) {
		const struct checkpoint_index *index = checkpoint_find(&e->cp, e->plans[i]->document->index);

		if (!index || !index->generation)
			return "an index was added";
	}
	return NULL;
}

/* The checkpoint and the slot, and whether they are ours to use. */
static int look(struct engine *e, struct situation *s, struct err *err)
{
	if (checkpoint_load(e->search, e->key, &e->cp, err) < 0)
		return err_wrap(err, "loading the checkpoint");
	if (pg_slot_read(e->pg, e->spec->source.slot_name, &s->slot, err) < 0)
		return err_wrap(err, "reading the slot");
	if (pg_publication_mark(e->pg, e->spec->source.publication_name, &s->publication_mark, err) < 0)
		return -1;
	s->hash = built_from(e);
	return refuse_foreign(e, s, err);
}

/* Ends an old walsender of ours. Once this worker has streamed, somebody else who holds the slot is its successor: then
 * it waits for word. */
static int take_slot(struct engine *e, const struct situation *s, struct err *err)
{
	if (s->slot.state != PG_SLOT_ACTIVE)
		return 0;
	/* Our own last walsender may not have noticed yet that its connection is gone. */
	if (e->streamed && s->slot.active_pid != e->walsender_pid) {
		e->superseded = true;
		return err_reason(err, ERR_CONFLICT, "SlotTaken",
				  "another worker streams from slot \"%s\" (server process %d)",
				  e->spec->source.slot_name, s->slot.active_pid);
	}
	log_info("sync", "taking the slot from its old walsender", KV_I64("pid", s->slot.active_pid));
	return pg_slot_release(e->pg, e->spec->source.slot_name, err);
}

/* Only now a walsender of our own: there is never more than one for a resource. */
static int connect_replication(struct engine *e, struct situation *s, struct pg **ret, struct err *err)
{
	if (engine_pg(e, true, "stream", ret, err) < 0)
		return err_wrap(err, "replication connection");
	if (pg_identify_system(*ret, &s->server, err) < 0)
		return err_wrap(err, "reading the server's identity");
	s->new_slot_why = history_trouble(e, s);
	if (!s->new_slot_why)
		s->rebuild_why = generation_trouble(e, s);
	return 0;
}

/* --- identities, publication, slot --- */

static bool identity_is_known(const struct checkpoint *cp, const struct identity_gap *gap)
{
	for (size_t i = 0; i < cp->n_identities; i++)
		if (!strcmp(cp->identities[i].schema, gap->schema) && !strcmp(cp->identities[i].table, gap->name))
			return true;
	return false;
}

/* Remembers what was there; durable before anything is changed. */
static int note_identities(struct engine *e, const struct identity_gaps *gaps, struct err *err)
{
	struct checkpoint *cp = &e->cp;
	bool news = false;

	for (size_t i = 0; i < gaps->n; i++) {
		const struct identity_gap *gap = &gaps->items[i];

		if (identity_is_known(cp, gap))
			continue;
		cp->identities = xreallocarray(cp->identities, cp->n_identities + 1, sizeof(*cp->identities));
		cp->identities[cp->n_identities++] = (struct checkpoint_identity){
			.schema = xstrdup(gap->schema),
			.table = xstrdup(gap->name),
			.replica_identity = gap->replica_identity,
			.identity_index = xstrdup_or_null(gap->identity_index),
		};
		news = true;
	}
	return news ? prepare_save(e, err) : 0;
}

/* Sets the replica identities that a table needs. */
static int ensure_identity(struct engine *e, const struct catalog_table *table, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};

	if (identity_find_gaps(e, table, &gaps, err) < 0 || note_identities(e, &gaps, err) < 0)
		return -1;
	for (size_t i = 0; i < gaps.n; i++) {
		log_info("sync", "setting a replica identity", KV_STR("statement", gaps.items[i].sql));
		if (pg_exec(e->pg, gaps.items[i].sql, err) < 0)
			return err_wrap(err, "setting the replica identity of %s.%s", gaps.items[i].schema,
					gaps.items[i].name);
	}
	return 0;
}

/* Replica identities and publication as the tables need them. What the publication is then is noted, not saved. */
static int ensure_tables(struct engine *e, struct err *err)
{
	const char *publication = e->spec->source.publication_name;
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = preflight_tables(e, &n);

	for (size_t i = 0; i < n; i++)
		if (ensure_identity(e, tables[i], err) < 0)
			return -1;
	free(TAKE_PTR(e->cp.publication_mark));
	if (pg_publication_ensure(e->pg, publication, tables, n, err) < 0 ||
	    pg_publication_mark(e->pg, publication, &e->cp.publication_mark, err) < 0)
		return -1;
	return 0;
}

/* Transactions that had their commit in the WAL before the slot's start, but which other sessions do not see yet, are
 * in neither the stream nor an early chunk. So a bootstrap waits for those that may be there: the ones running now,
 * unless their session is seen to be doing something other than committing, or they are prepared (then the commit comes
 * later, and is streamed). every: for them as well. */
static int wait_for_transactions(struct engine *e, bool every, struct err *err)
{
	static const char note_sql[] = "SELECT coalesce(array_agg(x), '{}') FROM "
				       "pg_snapshot_xip(pg_current_snapshot()) x";
	static const char left_sql[] =
		"SELECT count(*), coalesce(string_agg(coalesce('pid ' || a.pid || ' (' || coalesce(a.state, '?') || "
		"')',"
		"  (SELECT 'prepared transaction ' || p.gid FROM pg_prepared_xacts p WHERE p.transaction = x::xid), "
		"'?'),"
		"  ', '), '')"
		" FROM unnest($1::xid8[]) x LEFT JOIN pg_stat_activity a ON a.backend_xid = x::xid"
		" WHERE pg_snapshot_xmin(pg_current_snapshot()) <= x AND NOT pg_visible_in_snapshot(x, "
		"pg_current_snapshot())"
		" AND pg_xact_status(x) = 'in progress'"
		" AND ($2::bool OR NOT EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.transaction = x::xid))"
		" AND ($2::bool OR a.pid IS NULL OR a.state = 'active' AND"
		"  (a.wait_event = 'SyncRep' OR a.query_start > now() - interval '1 second'))";
	_cleanup_result_ PGresult *noted = NULL;
	const char *params[] = {NULL, every ? "t" : "f"};

	if (pg_query(e->pg, note_sql, NULL, 0, &noted, err) < 0)
		return err_wrap(err, "reading the running transactions");
	params[0] = PQgetvalue(noted, 0, 0);
	for (int64_t waited = 0;; waited += 50) {
		_cleanup_result_ PGresult *left = NULL;

		if (pg_query(e->pg, left_sql, params, 2, &left, err) < 0)
			return err_wrap(err, "waiting for running transactions");
		if (!strcmp(PQgetvalue(left, 0, 0), "0"))
			return 0;
		if (waited >= 2000 && waited % 1000 == 0) {
			report_condition(&e->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE,
					 "WaitingForTransactions",
					 "transactions that are running since before the start must end first: %s",
					 PQgetvalue(left, 0, 1));
			engine_publish(e);
		}
		if (engine_sleep(e, 50))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for running transactions");
	}
}

static int make_slot(struct engine *e, struct pg *replication, const struct situation *s, struct err *err)
{
	const struct source_spec *source = &e->spec->source;
	struct checkpoint *cp = &e->cp;

	if (s->slot.state != PG_SLOT_ABSENT && pg_slot_drop(e->pg, source->slot_name, err) < 0)
		return err_wrap(err, "dropping the old replication slot");
	report_condition(&e->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "CreatingSlot",
			 "creating replication slot \"%s\": transactions that are running now must end first",
			 source->slot_name);
	engine_publish(e);
	if (pg_slot_create(replication, source->slot_name, source->failover, &cp->slot_lsn, err) < 0)
		return err_wrap(err, "creating replication slot \"%s\"", source->slot_name);
	cp->confirmed_lsn = cp->slot_lsn;
	log_info("sync", "replication slot created", KV_STR("slot", source->slot_name), KV_LSN("lsn", cp->slot_lsn));
	return wait_for_transactions(e, false, err);
}

/* --- generations --- */

static void reset_index(struct checkpoint_index *index, int64_t generation, uint64_t version)
{
	free(index->ranges);
	index->ranges = NULL;
	index->n_ranges = 0;
	index->generation = generation;
	index->version = version;
	index->complete = false;
	index->rows_total = 0;
	index->start_us = clock_wall_us();
	index->completion_us = 0;
}

/* Where a generation that is begun now starts from: all of this history up to here is visible, so that a chunk which is
 * read from now on may carry it as its version. Whatever the stream repeats of it is older than the chunks. */
static int read_base_version(struct engine *e, uint64_t *ret, struct err *err)
{
	if (engine_server_lsn(e->pg, ret, err) < 0)
		return err_wrap(err, "reading the server's position");
	return wait_for_transactions(e, false, err);
}

/* Without a bootstrap the new index would stay empty, and take the place of one that is not. */
static int check_policy(const struct engine *e, const struct checkpoint_index *index, struct err *err)
{
	if (e->spec->bootstrap != BOOTSTRAP_NEVER || !index || !index->live)
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
	struct checkpoint *cp = &e->cp;

	for (size_t i = 0; i < e->n_plans; i++)
		if (check_policy(e, checkpoint_find(cp, e->plans[i]->document->index), err) < 0)
			return -1;
	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = checkpoint_ensure(cp, e->plans[i]->document->index);
		int64_t generation;

		if (generation_create(e, e->plans[i], index->live, &generation, err) < 0)
			return -1;
		reset_index(index, generation, version);
		index->complete = e->spec->bootstrap == BOOTSTRAP_NEVER;
	}
	cp->phase = CHECKPOINT_BOOTSTRAP;
	parts_adopt(e);
	return prepare_save(e, err);
}

static void claim(struct engine *e, const struct situation *s)
{
	struct checkpoint *cp = &e->cp;

	free(cp->owner);
	cp->owner = xasprintf("%s/%s", e->spec->namespace, e->spec->name);
	replace(&cp->owner_uid, e->spec->uid);
	replace(&cp->slot, e->spec->source.slot_name);
	replace(&cp->publication, e->spec->source.publication_name);
	replace(&cp->system_identifier, s->server.identifier);
	replace(&cp->schema_hash, s->hash);
	cp->timeline = s->server.timeline;
	cp->resync_nonce = e->spec->resync_nonce;
}

static int begin_anew(struct engine *e, struct pg *replication, const struct situation *s, struct err *err)
{
	if (e->cp.phase != CHECKPOINT_NEW && e->cp.phase != CHECKPOINT_PREPARING) {
		if (e->spec->source.slot_lost == SLOT_LOST_STALL && e->cp.resync_nonce == e->spec->resync_nonce)
			return err_reason(err, ERR_INVALID, "SlotLost",
					  "replication slot \"%s\": %s; slotLostPolicy is Stall: set it to Resync, or "
					  "raise spec.resyncNonce, to build the index anew",
					  e->spec->source.slot_name, s->new_slot_why);
		engine_event(e, true, "ResyncStarted", "Resync", "building the index anew: %s", s->new_slot_why);
	}
	log_info("sync", "starting from nothing", KV_STR("why", s->new_slot_why));
	claim(e, s);
	e->cp.phase = CHECKPOINT_PREPARING;
	if (prepare_save(e, err) < 0 || ensure_tables(e, err) < 0 || make_slot(e, replication, s, err) < 0)
		return -1;
	return new_generations(e, e->cp.slot_lsn, err);
}

/* Whether the publication lacks one of the tables (or is not there at all). */
static int publication_lacks(struct engine *e, bool *ret, struct err *err)
{
	static const char sql[] = "SELECT count(*) FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
				  " WHERE p.pubname = $1 AND r.prrelid = ANY ($2::oid[])";
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = preflight_tables(e, &n);
	_cleanup_result_ PGresult *r = NULL;
	struct strbuf oids;
	int failed;

	strbuf_init(&oids, 1024 * 1024);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&oids, "%s%u", i ? "," : "{", tables[i]->oid);
	strbuf_addc(&oids, '}');
	failed = pg_query(e->pg, sql, (const char *const[]){e->spec->source.publication_name, oids.data}, 2, &r, err);
	strbuf_release(&oids);
	if (failed < 0)
		return err_wrap(err, "reading the publication");
	*ret = parse_number(PQgetvalue(r, 0, 0)) != n;
	return 0;
}

int prepare_still_published(struct engine *e, struct err *err)
{
	_cleanup_free_ char *mark = NULL;

	if (pg_publication_mark(e->pg, e->spec->source.publication_name, &mark, err) < 0)
		return -1;
	return !mark || strcmp(mark, e->cp.publication_mark) != 0 ? STREAM_AGAIN : 0;
}

/* The stream held nothing of a table (or of rows, or of a kind of change) that was not published: whatever was built
 * then is to be built anew. That is durable before the publication changes, so that no failure in between makes it
 * forgotten. And a transaction that was open when the table came in is in the stream only with what it does later: its
 * end is waited for. */
static int publish_more(struct engine *e, struct err *err)
{
	replace(&e->cp.schema_hash, "");
	if (prepare_save(e, err) < 0 || ensure_tables(e, err) < 0)
		return -1;
	return wait_for_transactions(e, true, err);
}

static int rebuild(struct engine *e, size_t plan, uint64_t version, struct err *err)
{
	struct checkpoint_index *index = checkpoint_find(&e->cp, e->plans[plan]->document->index);
	int64_t generation;

	if (check_policy(e, index, err) < 0)
		return -1;
	if (generation_create(e, e->plans[plan], index->generation, &generation, err) < 0)
		return -1;
	reset_index(index, generation, version);
	index->complete = e->spec->bootstrap == BOOTSTRAP_NEVER;
	e->cp.phase = CHECKPOINT_BOOTSTRAP;
	return 0;
}

/* The partitions may be others than those that the indices were filled from. */
static int follow_parts(struct engine *e, struct err *err)
{
	_cleanup_free_ bool *anew = NULL;
	uint64_t version = 0;

	parts_compare(e, &anew);
	for (size_t p = 0; p < e->n_plans; p++) {
		if (!anew[p])
			continue;
		engine_event(e, false, "ResyncStarted", "Resync",
			     "building index \"%s\" anew: partitions of its root are gone or were emptied",
			     e->plans[p]->document->index);
		if ((!version && read_base_version(e, &version, err) < 0) || rebuild(e, p, version, err) < 0)
			return -1;
	}
	targets_add_scans(&e->targets, e->reread.n_scans);
	if (!e->reread.pending)
		parts_adopt(e);
	return version ? prepare_save(e, err) : 0;
}

int prepare_reread_done(struct engine *e, struct err *err)
{
	e->reread.pending = false;
	parts_adopt(e);
	return prepare_save(e, err);
}

static int resume(struct engine *e, const struct situation *s, struct err *err)
{
	const char *why = s->rebuild_why;
	/* Also when the schema changed as well, or when this is the attempt after one that was killed half-way. */
	bool lacks = is_altered(e, s);
	uint64_t version;

	if (!lacks && publication_lacks(e, &lacks, err) < 0)
		return -1;
	if ((lacks ? publish_more(e, err) : ensure_tables(e, err)) < 0)
		return -1;
	if (!why && strcmp(e->cp.publication_mark, s->publication_mark) != 0) {
		why = lacks ? "a table was added to the publication" : PUBLICATION_ALTERED;
		if (!lacks && wait_for_transactions(e, true, err) < 0)
			return -1;
	}
	if (!why)
		return follow_parts(e, err);
	log_info("sync", "building a new generation", KV_STR("why", why));
	engine_event(e, false, "ResyncStarted", "Resync", "building the index anew: %s", why);
	claim(e, s);
	if (read_base_version(e, &version, err) < 0)
		return -1;
	return new_generations(e, version, err);
}

/* The generation may have been marked for rebuilding (a truncated root), or its index deleted by somebody. */
static int ensure_indices(struct engine *e, const struct situation *s, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = checkpoint_find(&e->cp, e->plans[i]->document->index);
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
		if (check_policy(e, index, err) < 0)
			return -1;
		log_warn("sync", "the index is gone, building it anew", KV_STR("index", e->physical[i]));
		if (generation_create(e, e->plans[i], index->generation - 1, &index->generation, err) < 0)
			return -1;
		reset_index(index, index->generation,
			    index->version > s->slot.confirmed_flush_lsn ? index->version
									 : s->slot.confirmed_flush_lsn);
		e->cp.phase = CHECKPOINT_BOOTSTRAP;
		free(e->physical[i]);
		e->physical[i] = generation_name(index->name, index->generation);
		if (prepare_save(e, err) < 0)
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

	if (look(e, &s, err) < 0 || check_owners(e, err) < 0 || take_slot(e, &s, err) < 0 ||
	    connect_replication(e, &s, &replication, err) < 0)
		return -1;
	if ((s.new_slot_why ? begin_anew(e, replication, &s, err) : resume(e, &s, err)) < 0)
		return -1;
	if (ensure_indices(e, &s, err) < 0 || fill_views(e, err) < 0)
		return -1;
	*ret = TAKE_PTR(replication);
	return 0;
}

int prepare_rebuild(struct engine *e, size_t plan, struct err *err)
{
	uint64_t version;

	if (read_base_version(e, &version, err) < 0 || rebuild(e, plan, version, err) < 0)
		return -1;
	return prepare_save(e, err);
}

int prepare_go_live(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		struct checkpoint_index *index = checkpoint_find(&e->cp, e->plans[i]->document->index);

		if (generation_go_live(e, e->plans[i], index->generation, err) < 0)
			return -1;
		index->live = index->generation;
	}
	e->cp.phase = CHECKPOINT_LIVE;
	if (prepare_save(e, err) < 0)
		return -1;
	for (size_t i = 0; i < e->cp.n_indices; i++)
		if (generation_sweep(e, e->cp.indices[i].name, e->cp.indices[i].live, err) < 0)
			return -1;
	return 0;
}
