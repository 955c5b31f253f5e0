/* Locks of other sessions. */
#include "postgres/locks.h"

#include "postgres/pg_int.h"

enum { OIDS_BYTES = 1024 * 1024 };

bool pg_is_lock_conflict(const struct err *err)
{
	return pg_is_sqlstate(err, "55P03") || pg_is_sqlstate(err, "40P01");
}

/* A session that waits for a strong lock is in the way of later ones, as much as one that holds it; then the session
 * that it waits for is what matters. Application names are visible to every role. */
static const char sql_holder[] =
	"SELECT n.nspname || '.' || c.relname, l.pid, a.application_name, l.mode, l.granted, b.pid, b.application_name"
	" FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
	" LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
	" LEFT JOIN pg_stat_activity b ON NOT l.granted AND b.pid = (pg_blocking_pids(l.pid))[1]"
	" WHERE l.locktype = 'relation' AND l.pid <> pg_backend_pid()"
	" AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
	" AND ($2::bool OR l.mode = 'AccessExclusiveLock')"
	" AND (l.relation = ANY ($1::oid[]) OR c.relispartition AND pg_partition_root(l.relation) = ANY ($1::oid[]))"
	" ORDER BY NOT l.granted, a.xact_start NULLS LAST, l.pid LIMIT 1";

static void add_session(struct strbuf *sb, const struct pg_result *r, int pid, int application)
{
	const char *name = pg_value(r, 0, application);

	strbuf_addf(sb, "process %s (%s%s%s", pg_value(r, 0, pid), *name ? "\"" : "",
		    *name ? name : "no application name", *name ? "\"" : "");
}

static char *describe(const struct pg_result *r)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_addf(&sb, "table \"%s\" is locked by ", pg_value(r, 0, 0));
	add_session(&sb, r, 1, 2);
	strbuf_addf(&sb, ", %s%s)", pg_bool(r, 0, 4) ? "" : "waiting for ", pg_value(r, 0, 3));
	if (!pg_is_null(r, 0, 5)) {
		strbuf_adds(&sb, ", which waits for ");
		add_session(&sb, r, 5, 6);
		strbuf_addc(&sb, ')');
	}
	return strbuf_detach(&sb);
}

int pg_lock_holder(struct pg *pg, const struct pg_lock_query *query, char **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_(strbuf_release) struct strbuf oids;

	strbuf_init(&oids, OIDS_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < query->n; i++)
		pg_array_add_number(&oids, query->oids[i]);
	pg_array_end(&oids);
	if (pg_query(pg, sql_holder, (const char *const[]){oids.data, query->readers_too ? "t" : "f"}, 2, &r, err) < 0)
		return err_wrap(err, "looking for who holds a lock");
	*ret = pg_n_rows(r) ? describe(r) : NULL;
	return 0;
}
