/* What deletion asks for. Each step may be repeated: what is gone is done. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sync/deadletter_int.h"
#include "sync/generation_int.h"

static bool owned(const struct engine *e)
{
	const char *uid = e->cp.owner_uid;

	if (e->cp.phase == CHECKPOINT_NEW)
		return !e->options->slot_name_given;
	return !uid || !e->spec->uid || !strcmp(uid, e->spec->uid);
}

static int drop_source(struct engine *e, struct err *err)
{
	const struct spec_source *source = &e->spec->source;

	if (e->spec->delete_slot == SPEC_DELETE && pg_slot_drop(e->pg, source->slot_name, err) < 0)
		return err_wrap(err, "dropping replication slot \"%s\"", source->slot_name);
	if (e->spec->delete_publication == SPEC_DELETE && pg_publication_drop(e->pg, source->publication_name, err) < 0)
		return err_wrap(err, "dropping publication \"%s\"", source->publication_name);
	return 0;
}

static char *identity_sql(const struct checkpoint_identity *identity)
{
	struct strbuf sb;

	strbuf_init(&sb, 1024);
	strbuf_adds(&sb, "ALTER TABLE ");
	pg_quote_table(&sb, identity->schema, identity->table);
	strbuf_adds(&sb, " REPLICA IDENTITY ");
	switch (identity->replica_identity) {
	case 'f':
		strbuf_adds(&sb, "FULL");
		break;
	case 'n':
		strbuf_adds(&sb, "NOTHING");
		break;
	case 'i':
		strbuf_adds(&sb, "USING INDEX ");
		pg_quote_ident(&sb, identity->identity_index);
		break;
	default:
		strbuf_adds(&sb, "DEFAULT");
	}
	return strbuf_detach(&sb);
}

/* Somebody else streams the table, and may need the old values that the identity of now puts into the WAL. */
static int is_published_elsewhere(struct engine *e, const struct checkpoint_identity *identity, bool *ret,
				  struct err *err)
{
	static const char sql[] =
		"SELECT FROM pg_publication_tables WHERE pubname <> $2 AND (schemaname, tablename) IN (SELECT "
		"n.nspname, "
		"c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN"
		" (to_regclass($1), pg_partition_root(to_regclass($1)))) LIMIT 1";
	_cleanup_(pg_result_freep) struct pg_result *found = NULL;
	_cleanup_(strbuf_release) struct strbuf table;

	strbuf_init(&table, 1024);
	pg_quote_table(&table, identity->schema, identity->table);
	if (pg_query(e->pg, sql, (const char *const[]){table.data, e->spec->source.publication_name}, 2, &found, err) <
	    0)
		return -1;
	*ret = pg_n_rows(found) > 0;
	return 0;
}

static int restore_identity(struct engine *e, const struct checkpoint_identity *identity, struct err *err)
{
	static const char *const gone[] = {"42P01", "3F000", "42704"};
	_cleanup_free_ char *sql = identity_sql(identity);
	bool elsewhere;

	if (is_published_elsewhere(e, identity, &elsewhere, err) < 0)
		return err_wrap(err, "looking for other publications of %s.%s", identity->schema, identity->table);
	if (elsewhere) {
		log_info("sync", "another publication has the table, leaving its replica identity",
			 KV_STR("table", identity->table), KV_STR("restore", sql));
		return 0;
	}
	if (pg_exec(e->pg, sql, err) == 0)
		return 0;
	for (size_t g = 0; g < ARRAY_SIZE(gone); g++)
		if (!strcmp(err->sqlstate, gone[g]))
			return 0;
	return err_wrap(err, "restoring the replica identity (%s)", sql);
}

static int restore_identities(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->cp.n_identities; i++)
		if (restore_identity(e, &e->cp.identities[i], err) < 0)
			return -1;
	return 0;
}

static int delete_generation(struct engine *e, const char *alias, int64_t generation, struct err *err)
{
	_cleanup_free_ char *physical = generation_name(alias, generation);

	if (generation && search_index_delete(e->search, physical, err) < 0)
		return err_wrap(err, "deleting index \"%s\"", physical);
	return 0;
}

static int drop_index(struct engine *e, const struct checkpoint_index *index, struct err *err)
{
	_cleanup_free_ char *live = generation_name(index->name, index->live);
	_cleanup_free_ char *dead = xasprintf("%s" DEADLETTERS_SUFFIX, index->name);

	/* What nobody can read goes in any case. */
	if (generation_sweep(e, index->name, index->live, err) < 0)
		return -1;
	if (e->spec->delete_index == SPEC_RETAIN)
		return index->live ? generation_disown(e, live, err) : 0;
	if (delete_generation(e, index->name, index->live, err) < 0 || search_index_delete(e->search, dead, err) < 0)
		return err_wrap(err, "deleting index \"%s\"", index->name);
	return 0;
}

static int drop_sink(struct engine *e, struct err *err)
{
	for (size_t i = 0; i < e->cp.n_indices; i++)
		if (drop_index(e, &e->cp.indices[i], err) < 0)
			return -1;
	if (e->spec->delete_checkpoint == SPEC_DELETE && checkpoint_delete(e->search, e->key, err) < 0)
		return err_wrap(err, "deleting the checkpoint");
	return 0;
}

/* A database that is gone took publication and tables along, and could only go after its slots. */
static bool source_is_gone(const struct err *err)
{
	return err->reason && !strcmp(err->reason, "DatabaseNotFound");
}

/* A checkpoint comes before anything is made in the source: without one there is nothing to clean, whatever keeps us
 * out of it. */
static bool nothing_was_made(struct engine *e)
{
	struct err ignored;

	return engine_search(e, &e->search, &ignored) == 0 &&
	       checkpoint_load(e->search, e->key, &e->cp, &ignored) == 0 && e->cp.phase == CHECKPOINT_NEW;
}

static int clean_sink(struct engine *e, bool derived, struct err *err)
{
	if (engine_search(e, &e->search, err) < 0 || checkpoint_load(e->search, e->key, &e->cp, err) < 0)
		return err_wrap(err, "sink");
	if (!owned(e)) {
		log_warn("sync", "the slot belongs to somebody else, skipping the clean-up",
			 KV_STR("slot", e->spec->source.slot_name));
		return 0;
	}
	if (e->pg && !derived && drop_source(e, err) < 0)
		return -1;
	if (e->pg && restore_identities(e, err) < 0)
		return -1;
	return drop_sink(e, err);
}

static int clean(struct engine *e, struct err *err)
{
	bool derived = !e->options->slot_name_given;

	if (engine_pg(e, false, "cleanup", &e->pg, err) < 0 && !source_is_gone(err))
		return nothing_was_made(e) ? 0 : err_wrap(err, "source");
	/* A leaked slot fills the server's disk: what is ours by its name goes first, whatever the state of the sink.
	 */
	if (e->pg && derived && drop_source(e, err) < 0)
		return -1;
	return clean_sink(e, derived, err);
}

int sync_cleanup(const struct sync_options *options, struct err *err)
{
	struct engine e;
	int r = engine_init(&e, options, err);

	if (r == 0)
		r = engine_begin(&e, err);
	if (r == 0)
		r = clean(&e, err);
	engine_end(&e);
	engine_release(&e);
	return r;
}
