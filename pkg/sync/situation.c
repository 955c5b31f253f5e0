/* What an attempt finds: checkpoint, slot, server and publication, and whether they belong together. */
#include "sync/situation_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "json/json.h"

/* What a generation was built from: the schema as written, the columns that it met, and the definitions of views. */
static char *built_from(const struct attempt *at)
{
	_cleanup_json_ json_t *parts = json_array();
	char hash[JSONX_HASH_BYTES];

	(void)json_array_append_new(parts, json_string(at->run->spec->schema_hash));
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct document_plan *plan = at->model.plans[i];

		(void)json_array_append(parts, plan->index_body);
		(void)json_array_append(parts, plan->fingerprint.columns);
		for (size_t v = 0; v < plan->n_views; v++)
			(void)json_array_append_new(parts, json_string(plan->views[v].view->definition));
	}
	return xstrdup(jsonx_hash(parts, hash));
}

static json_t *all_seen(const struct attempt *at)
{
	json_t *all = json_object();

	for (size_t i = 0; i < at->model.n_plans; i++)
		(void)json_object_update_recursive(all, at->model.plans[i]->fingerprint.catalog);
	return all;
}

/* Some key of both objects has another value now. */
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

/* What changes a column's values also rewrites the table; each of both alone (a new default, VACUUM FULL) changes none.
 */
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

bool situation_see_storage(struct attempt *at, const struct catalog *now)
{
	bool changed = false;
	const char *oid;
	json_t *table;

	json_object_foreach (json_object_get(at->cp.seen, "tables"), oid, table) {
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

void situation_release(struct situation *s)
{
	free(s->publication_mark);
	free(s->hash);
	json_decref(s->seen);
}

static int refuse_foreign(struct attempt *at, const struct situation *s, struct err *err)
{
	const char *slot = at->run->spec->source.slot_name;

	if (at->cp.phase == CHECKPOINT_NEW && s->slot.state != PG_SLOT_ABSENT && at->run->options->slot_name_given) {
		_cleanup_free_ char *who = source_slot_user(&at->source, &s->slot);

		return err_reason(
			err, ERR_INVALID, "SlotInUse",
			"replication slot \"%s\" exists and is not this PgSync's (streaming from it: %s): choose "
			"another "
			"spec.source.replication.slotName, or drop it (SELECT pg_drop_replication_slot('%s'))",
			slot, who, slot);
	}
	if (at->cp.phase != CHECKPOINT_NEW && at->cp.owner_uid && at->run->spec->uid &&
	    strcmp(at->cp.owner_uid, at->run->spec->uid) != 0)
		return err_reason(err, ERR_INVALID, "SlotInUse",
				  "replication slot \"%s\" belongs to another resource named %s (uid %s): choose "
				  "another slot name",
				  slot, at->cp.owner, at->cp.owner_uid);
	if (s->slot.state != PG_SLOT_ABSENT && !s->slot.logical_pgoutput)
		return err_reason(
			err, ERR_INVALID, "SlotInUse",
			"replication slot \"%s\" is not a pgoutput slot of database \"%s\": choose another name", slot,
			at->run->spec->source.database);
	return 0;
}

static const char *history_trouble(const struct attempt *at, const struct situation *s)
{
	const struct checkpoint *cp = &at->cp;

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
	/* A new slot begins behind whatever this one cannot get past. */
	if (cp->resync_nonce != at->run->spec->resync_nonce)
		return "spec.resyncNonce changed";
	if (s->slot.state == PG_SLOT_ABSENT)
		return "the replication slot is gone";
	if (s->slot.state == PG_SLOT_LOST)
		return "the server dropped WAL that the replication slot needed";
	if (!s->publication_mark ||
	    (cp->publication_mark && !pg_publication_same(s->publication_mark, cp->publication_mark)))
		return "the publication was dropped, and the slot's WAL cannot be decoded without it";
	return NULL;
}

bool situation_altered(const struct attempt *at, const struct situation *s)
{
	return at->cp.publication_mark && strcmp(at->cp.publication_mark, s->publication_mark) != 0;
}

static const char *generation_trouble(const struct attempt *at, const struct situation *s)
{
	if (strcmp(at->cp.schema_hash, s->hash) != 0)
		return "the schema, or a table of it, changed";
	if (is_changed(json_object_get(at->cp.seen, "labels"), json_object_get(s->seen, "labels")))
		return "a value of an enum was renamed";
	if (is_rewritten(json_object_get(at->cp.seen, "tables"), json_object_get(s->seen, "tables")))
		return "a column was altered, and its table rewritten";
	if (situation_altered(at, s))
		return PUBLICATION_ALTERED;
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);

		if (!index || !index->generation)
			return "an index was added";
	}
	return NULL;
}

int situation_look(struct attempt *at, struct situation *s, struct err *err)
{
	if (checkpoint_load(at->sink.search, at->run->key, &at->cp, err) < 0)
		return err_wrap(err, "loading the checkpoint");
	if (pg_slot_read(at->source.pg, at->run->spec->source.slot_name, &s->slot, err) < 0)
		return err_wrap(err, "reading the slot");
	if (pg_publication_mark(at->source.pg, at->run->spec->source.publication_name, &s->publication_mark, err) < 0)
		return -1;
	s->hash = built_from(at);
	s->seen = all_seen(at);
	return refuse_foreign(at, s, err);
}

int situation_take_slot(struct attempt *at, const struct situation *s, struct err *err)
{
	if (s->slot.state != PG_SLOT_ACTIVE)
		return 0;
	/* Our own last walsender may not have noticed yet that its connection is gone. */
	if (at->past->streamed && s->slot.active_pid != at->past->walsender_pid) {
		at->past->fenced = true;
		return err_reason(err, ERR_CONFLICT, "SlotTaken",
				  "another worker streams from slot \"%s\" (server process %d)",
				  at->run->spec->source.slot_name, s->slot.active_pid);
	}
	log_info("sync", "taking the slot from its old walsender", KV_I64("pid", s->slot.active_pid));
	return pg_slot_release(at->source.pg, at->run->spec->source.slot_name, err);
}

int situation_connect(struct attempt *at, struct situation *s, struct pg **ret, struct err *err)
{
	if (connector_replication(&at->connector, ret, err) < 0)
		return err_wrap(err, "replication connection");
	if (pg_identify_system(*ret, &s->server, err) < 0)
		return err_wrap(err, "reading the server's identity");
	s->new_slot_why = history_trouble(at, s);
	if (!s->new_slot_why)
		s->rebuild_why = generation_trouble(at, s);
	return 0;
}
