/* Locks of other sessions. */
#include "postgres/locks.h"

#include <string.h>

#include "base/clock.h"
#include "postgres/pg_int.h"

enum { OIDS_BYTES = 1024 * 1024, TRIES = 6, FIRST_PAUSE_MS = 200, LAST_PAUSE_MS = 5000 };

bool pg_is_lock_conflict(const struct err *err)
{
	return pg_is_sqlstate(err, PG_LOCK_NOT_AVAILABLE) || pg_is_sqlstate(err, "40P01");
}

/* --- which session blocks --- */

/* As pg_locks.mode. */
#define TO_READ "AccessExclusiveLock"
#define TO_PUBLISH TO_READ ",ExclusiveLock,ShareRowExclusiveLock,ShareLock,ShareUpdateExclusiveLock"
#define TO_ALTER TO_PUBLISH ",RowExclusiveLock,RowShareLock,AccessShareLock"
static const char *const in_the_way[] = {
	[PG_LOCK_TO_READ] = "{" TO_READ "}",
	[PG_LOCK_TO_PUBLISH] = "{" TO_PUBLISH "}",
	[PG_LOCK_TO_ALTER] = "{" TO_ALTER "}",
};

/* Locks of other sessions on relations ($1, an index counting as its table) in some modes ($2). A prepared transaction
 * has no process; a session without a user is the autovacuum. */
#define LOCKS                                                                                                     \
	" FROM pg_locks l LEFT JOIN pg_index i ON i.indexrelid = l.relation"                                      \
	" JOIN pg_class c ON c.oid = coalesce(i.indrelid, l.relation)"                                            \
	" JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_activity a ON a.pid = l.pid"            \
	" LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND '-1/' || p.transaction::text = l.virtualtransaction" \
	" LEFT JOIN pg_stat_activity b ON NOT l.granted AND b.pid = (pg_blocking_pids(l.pid))[1]"                 \
	" WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()"                              \
	" AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"                \
	" AND l.mode = ANY ($2::text[]) AND (c.oid = ANY ($1::oid[])"                                             \
	"  OR c.relispartition AND pg_partition_root(c.oid) = ANY ($1::oid[])"                                    \
	"  OR $1 = '{}' AND n.nspname !~ '^pg_')"

/* A session that waits for a strong lock blocks later ones just like one that holds it; then the session that it waits
 * for is the one to report. Application names are visible to every role. */
static const char sql_holder[] =
	"SELECT n.nspname || '.' || c.relname, coalesce('process ' || l.pid, format('the prepared transaction %L', "
	"p.gid)),"
	" CASE WHEN a.pid IS NOT NULL AND a.usesysid IS NULL THEN 'autovacuum' ELSE a.application_name END,"
	" l.mode, l.granted, a.state, substring(a.query, "
	"'^\\s*([[:alpha:]_]+(?:\\s+[[:alpha:]_][[:alnum:]_.]*){0,2})'),"
	" 'process ' || b.pid, b.application_name" LOCKS
	" ORDER BY NOT l.granted, a.xact_start NULLS LAST, l.pid LIMIT 1";
enum { TABLE, WHO, APPLICATION, MODE, GRANTED, STATE, STATEMENT, BLOCKER, BLOCKER_APPLICATION };

static void add_session(struct strbuf *sb, const struct pg_result *r, int who, int application)
{
	const char *name = pg_value(r, 0, application);

	strbuf_addf(sb, "%s (%s%s%s", pg_value(r, 0, who), *name ? "\"" : "", *name ? name : "no application name",
		    *name ? "\"" : "");
}

static char *describe_lock(const struct pg_result *r)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_addf(&sb, "table \"%s\" is locked by ", pg_value(r, 0, TABLE));
	add_session(&sb, r, WHO, APPLICATION);
	strbuf_addf(&sb, ", %s%s", pg_bool(r, 0, GRANTED) ? "" : "waiting for ", pg_value(r, 0, MODE));
	if (!pg_is_null(r, 0, STATE))
		strbuf_addf(&sb, ", %s", pg_value(r, 0, STATE));
	if (!pg_is_null(r, 0, STATEMENT))
		strbuf_addf(&sb, ", statement: %.80s", pg_value(r, 0, STATEMENT));
	strbuf_addc(&sb, ')');
	if (!pg_is_null(r, 0, BLOCKER)) {
		strbuf_adds(&sb, ", which waits for ");
		add_session(&sb, r, BLOCKER, BLOCKER_APPLICATION);
		strbuf_addc(&sb, ')');
	}
	return strbuf_detach(&sb);
}

/* Functions that documents call may have left settings in the session, such as a search_path with objects like those
 * of the server. So they are not looked up there, and could not write. */
static int query_read_only(struct pg *pg, const char *sql, const char *const params[2], struct pg_result **ret,
			   struct err *err)
{
	bool own = PQtransactionStatus(pg->conn) == PQTRANS_IDLE;
	struct err ignored;
	int r;

	if (own && pg_exec(pg, "BEGIN READ ONLY; SET LOCAL search_path = pg_catalog", err) < 0)
		return -1;
	r = pg_query(pg, sql, params, 2, ret, err);
	if (own && pg_exec(pg, "ROLLBACK", r < 0 ? &ignored : err) < 0) {
		pg->dead = true;
		if (r == 0)
			pg_result_free(TAKE_PTR(*ret));
		return -1;
	}
	return r;
}

static int query_locks(struct pg *pg, const char *sql, const struct pg_lock_query *query, struct pg_result **ret,
		       struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf oids;

	strbuf_init(&oids, OIDS_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < query->n; i++)
		pg_array_add_number(&oids, query->oids[i]);
	pg_array_end(&oids);
	if (query_read_only(pg, sql, (const char *const[]){oids.data, in_the_way[query->use]}, ret, err) < 0)
		return err_wrap(err, "finding the session that holds a lock");
	return 0;
}

int pg_lock_holder(struct pg *pg, const struct pg_lock_query *query, char **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (query_locks(pg, sql_holder, query, &r, err) < 0)
		return -1;
	*ret = pg_n_rows(r) ? describe_lock(r) : NULL;
	return 0;
}

int pg_explain_lock(struct pg *pg, const struct pg_lock_query *query, struct err *err)
{
	_cleanup_free_ char *holder = NULL;
	struct err conflict = *err, ignored;

	if (!pg_is_lock_conflict(err))
		return -1;
	if (pg_lock_holder(pg, query, &holder, &ignored) < 0)
		holder = NULL;
	(void)err_reason(err, ERR_CONFLICT, REASON_TABLE_LOCKED,
			 "%s; pgsync tries again, and never waits longer than %d ms, so that no statement of the "
			 "application queues behind it: end that transaction",
			 holder ? holder : "another session locks the table", PG_LOCK_WAIT_MS);
	memcpy(err->sqlstate, conflict.sqlstate, sizeof(err->sqlstate));
	return -1;
}

/* --- statements that lock --- */

/* The server cancels an autovacuum that blocks another session, but only after deadlock_timeout. Sessions that queue
 * behind us would wait for the autovacuum as well. */
static int waits_for_autovacuum(struct pg *pg, const struct pg_lock_query *query, bool *ret, struct err *err)
{
	static const char sql[] = "SELECT coalesce(bool_and(a.pid IS NOT NULL AND a.usesysid IS NULL), false)" LOCKS;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	*ret = false;
	if (query->use != PG_LOCK_TO_PUBLISH || !query->n)
		return 0;
	if (query_locks(pg, sql, query, &r, err) < 0)
		return -1;
	*ret = pg_bool(r, 0, 0);
	return 0;
}

/* 1: a lock is in the way; *err says so. */
static int exec_once(struct pg *pg, const char *sql, bool patient, struct err *err)
{
	static const char patience[] =
		"SELECT set_config('lock_timeout', (2 * setting::int)::text, true) FROM pg_settings"
		" WHERE name = 'deadlock_timeout'; ";
	struct err ignored;
	int r = pg_execf(pg, err, "BEGIN; %s%s; COMMIT", patient ? patience : "", sql);

	if (r == 0)
		return 0;
	if (pg_exec(pg, "ROLLBACK", &ignored) < 0)
		return -1;
	return pg_is_lock_conflict(err) ? 1 : -1;
}

/* Each try holds up the application for PG_LOCK_WAIT_MS at most, and the pauses between them grow. A lock that is soon
 * released is not reported. */
int pg_exec_locking(struct pg *pg, const struct pg_locking *statement, struct err *err)
{
	const struct pg_lock_query query = {&statement->oid, statement->oid ? 1 : 0, statement->use};
	bool patient = false;
	struct backoff pauses;
	int r;

	backoff_init(&pauses, FIRST_PAUSE_MS, LAST_PAUSE_MS, random_seed());
	for (int i = 1; (r = exec_once(pg, statement->sql, patient, err)) > 0; i++) {
		if (i == TRIES) {
			(void)pg_explain_lock(pg, &query, err);
			err_append(err, ", or run this yourself: %s", statement->sql);
			return -1;
		}
		if (pg_pause(pg, backoff_next_ms(&pauses), err) < 0 ||
		    waits_for_autovacuum(pg, &query, &patient, err) < 0)
			return -1;
	}
	return r;
}
