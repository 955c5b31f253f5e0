/* What the source must have before the stream can start: replica identities, publication, slot. */
#include "sync/source_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/parse.h"
#include "sync/identity_int.h"

enum { STATEMENT_BYTES = 1024 };

static bool identity_is_known(const struct checkpoint *cp, const struct identity_gap *gap)
{
	for (size_t i = 0; i < cp->n_identities; i++)
		if (!strcmp(cp->identities[i].schema, gap->schema) && !strcmp(cp->identities[i].table, gap->name))
			return true;
	return false;
}

/* Remembers what was there; durable before anything is changed. */
static int note_identities(struct attempt *at, const struct identity_gaps *gaps, struct err *err)
{
	struct checkpoint *cp = &at->cp;
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
	return news ? attempt_save(at, err) : 0;
}

/* Sets the replica identities that a table needs. */
static int ensure_identity(struct attempt *at, const struct catalog_table *table, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};

	if (identity_find_gaps(&at->model, at->pg, table, &gaps, err) < 0 || note_identities(at, &gaps, err) < 0)
		return -1;
	for (size_t i = 0; i < gaps.n; i++) {
		log_info("sync", "setting a replica identity", KV_STR("statement", gaps.items[i].sql));
		if (pg_exec(at->pg, gaps.items[i].sql, err) < 0)
			return err_wrap(err, "setting the replica identity of %s.%s", gaps.items[i].schema,
					gaps.items[i].name);
		if (FAILPOINT(IDENTITY_SET, err) < 0)
			return -1;
	}
	return 0;
}

int source_ensure_tables(struct attempt *at, struct err *err)
{
	const char *publication = at->run->spec->source.publication_name;
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = model_tables(&at->model, &n);

	for (size_t i = 0; i < n; i++)
		if (ensure_identity(at, tables[i], err) < 0)
			return -1;
	free(TAKE_PTR(at->cp.publication_mark));
	if (pg_publication_ensure(at->pg, publication, tables, n, err) < 0 ||
	    pg_publication_mark(at->pg, publication, &at->cp.publication_mark, err) < 0)
		return -1;
	return 0;
}

int source_wait_for_transactions(struct attempt *at, bool every, struct err *err)
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
	_cleanup_(pg_result_freep) struct pg_result *noted = NULL;
	const char *params[] = {NULL, every ? "t" : "f"};

	if (pg_query(at->pg, note_sql, NULL, 0, &noted, err) < 0)
		return err_wrap(err, "reading the running transactions");
	params[0] = pg_value(noted, 0, 0);
	for (int64_t waited = 0;; waited += 50) {
		_cleanup_(pg_result_freep) struct pg_result *left = NULL;

		if (pg_query(at->pg, left_sql, params, 2, &left, err) < 0)
			return err_wrap(err, "waiting for running transactions");
		if (!strcmp(pg_value(left, 0, 0), "0"))
			return 0;
		if (waited >= 2000 && waited % 1000 == 0) {
			report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE,
					 "WaitingForTransactions",
					 "transactions that are running since before the start must end first: %s",
					 pg_value(left, 0, 1));
			run_publish(at->run);
		}
		if (connector_sleep(&at->connector, 50))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for running transactions");
	}
}

int source_count_rows(struct pg *pg, const struct catalog_table *table, int most, int *ret, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf sql;
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

	strbuf_init(&sql, STATEMENT_BYTES);
	strbuf_adds(&sql, "SELECT FROM ");
	pg_quote_table(&sql, table->schema, table->name);
	strbuf_addf(&sql, " LIMIT %d", most);
	if (pg_query(pg, sql.data, NULL, 0, &rows, err) < 0)
		return err_wrap(err, "counting the rows of %s.%s", table->schema, table->name);
	*ret = pg_n_rows(rows);
	return 0;
}

int source_make_slot(struct attempt *at, struct pg *replication, bool replace, struct err *err)
{
	const struct spec_source *source = &at->run->spec->source;
	struct checkpoint *cp = &at->cp;

	if (replace && pg_slot_drop(at->pg, source->slot_name, err) < 0)
		return err_wrap(err, "dropping the old replication slot");
	report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "CreatingSlot",
			 "creating replication slot \"%s\": transactions that are running now must end first",
			 source->slot_name);
	run_publish(at->run);
	if (pg_slot_create(replication, source->slot_name, source->failover, &cp->slot_lsn, err) < 0)
		return err_wrap(err, "creating replication slot \"%s\"", source->slot_name);
	cp->confirmed_lsn = cp->slot_lsn;
	log_info("sync", "replication slot created", KV_STR("slot", source->slot_name), KV_LSN("lsn", cp->slot_lsn));
	return source_wait_for_transactions(at, false, err);
}

int source_lacks_tables(struct attempt *at, bool *ret, struct err *err)
{
	static const char sql[] = "SELECT count(*) FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
				  " WHERE p.pubname = $1 AND r.prrelid = ANY ($2::oid[])";
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = model_tables(&at->model, &n);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct strbuf oids;
	uint64_t published = 0;
	int failed;

	strbuf_init(&oids, 1024 * 1024);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&oids, "%s%u", i ? "," : "{", tables[i]->oid);
	strbuf_addc(&oids, '}');
	failed = pg_query(at->pg, sql, (const char *const[]){at->run->spec->source.publication_name, oids.data}, 2, &r,
			  err);
	strbuf_release(&oids);
	if (failed < 0)
		return err_wrap(err, "reading the publication");
	*ret = !parse_u64(pg_value(r, 0, 0), strlen(pg_value(r, 0, 0)), &published) || published != n;
	return 0;
}

int source_still_published(struct attempt *at, bool *ret, struct err *err)
{
	_cleanup_free_ char *mark = NULL;

	if (pg_publication_mark(at->pg, at->run->spec->source.publication_name, &mark, err) < 0)
		return -1;
	*ret = mark && strcmp(mark, at->cp.publication_mark) == 0;
	return 0;
}
