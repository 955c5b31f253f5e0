/* System identity, replication slots and what a snapshot sees. */
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/parse.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

enum { XIDS_BYTES = 16 * 1024 * 1024, SLOT_POLL_MS = 50 };

int pg_identify_system(struct pg *replication, struct pg_system *ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct pg_system found = {.identifier = ""};

	if (pg_query(replication, "IDENTIFY_SYSTEM", NULL, 0, &r, err) < 0) {
		/* A syntax error: an ordinary session. */
		if (pg_is_sqlstate(err, "42601"))
			return pg_err_pooler("the connection for replication is an ordinary one", err);
		return err_wrap(err, "IDENTIFY_SYSTEM");
	}
	if (pg_n_rows(r) != 1 || PQnfields(r) < 3 || strlen(pg_value(r, 0, 0)) >= sizeof(found.identifier))
		return err_set(err, ERR_FATAL, "IDENTIFY_SYSTEM gave %d rows of %d columns, expected one of four",
			       pg_n_rows(r), PQnfields(r));
	(void)snprintf(found.identifier, sizeof(found.identifier), "%s", pg_value(r, 0, 0));
	found.timeline = (uint32_t)pg_u64(r, 0, 1);
	found.flush_lsn = pg_lsn(r, 0, 2);
	*ret = found;
	return 0;
}

/* A line for each timeline that ended: its number, where it ended, why; blanks between. */
static bool parse_history_line(const char *line, uint64_t *number, uint64_t *end)
{
	size_t digits = strspn(line, "0123456789"), blanks = strspn(line + digits, " \t");
	size_t len = strcspn(line + digits + blanks, " \t\r\n");
	char lsn[32];

	if (!digits || !blanks || len >= sizeof(lsn) || !parse_u64(line, digits, number))
		return false;
	(void)snprintf(lsn, sizeof(lsn), "%.*s", (int)len, line + digits + blanks);
	return parse_lsn(lsn, end);
}

struct pg_timeline pg_history_find(const char *history, uint32_t server, uint32_t timeline)
{
	struct pg_timeline found = {0};

	for (const char *line = history; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		uint64_t number, end;

		if (!parse_history_line(line, &number, &end))
			continue;
		found.end = end;
		if (number == timeline)
			return found;
		found.begin = end;
	}
	return (struct pg_timeline){.begin = timeline == server ? found.begin : 0};
}

int pg_history_read(struct pg *replication, uint32_t server, char **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_free_ char *sql = xasprintf("TIMELINE_HISTORY %u", server);

	if (server > 1 && pg_query(replication, sql, NULL, 0, &r, err) < 0 && !pg_is_sqlstate(err, "58P01"))
		return err_wrap(err, "reading the history of timeline %u", server);
	*ret = xstrdup(r && pg_n_rows(r) == 1 && PQnfields(r) == 2 ? pg_value(r, 0, 1) : "");
	return 0;
}

/* --- Reading a slot ------------------------------------------------------------------------------------------------
 */
static const char sql_slot[] = "SELECT c.lsn, s.slot_name IS NOT NULL, s.active, s.active_pid,"
			       " s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND s.database = current_database(),"
			       " s.wal_status, s.confirmed_flush_lsn, s.restart_lsn,"
			       " greatest(pg_wal_lsn_diff(c.lsn, s.restart_lsn), 0)::int8, s.safe_wal_size,"
			       " to_jsonb(s) ->> 'invalidation_reason'"
			       " FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE "
			       "pg_current_wal_lsn() END) c(lsn)"
			       " LEFT JOIN pg_replication_slots s ON s.slot_name = $1";

/* The server also reports "lost" for a slot that is invalid for another reason, such as a long idle time. */
static enum pg_slot_state slot_state(const struct pg_result *r, const char *wal_status)
{
	if (!pg_bool(r, 0, 1))
		return PG_SLOT_ABSENT;
	if (strcmp(wal_status, "lost") == 0)
		return PG_SLOT_LOST;
	return pg_bool(r, 0, 2) ? PG_SLOT_ACTIVE : PG_SLOT_INACTIVE;
}

static int64_t safe_size(const struct pg_result *r)
{
	const char *value = pg_value_or_null(r, 0, 9);

	if (!value)
		return -1;
	/* Below zero: the next checkpoint may invalidate the slot. */
	return value[0] == '-' ? 0 : (int64_t)pg_u64(r, 0, 9);
}

int pg_slot_read(struct pg *pg, const char *name, struct pg_slot *ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	const char *wal_status;
	struct pg_slot slot = {0};

	if (pg_query(pg, sql_slot, (const char *const[]){name}, 1, &r, err) < 0)
		return err_wrap(err, "reading replication slot \"%s\"", name);
	if (pg_n_rows(r) != 1)
		return err_set(err, ERR_FATAL, "reading replication slot \"%s\": got %d rows, expected one", name,
			       pg_n_rows(r));
	wal_status = pg_value(r, 0, 5);
	slot.wal_unreserved = strcmp(wal_status, "unreserved") == 0;
	/* From Postgres 17 on. */
	(void)snprintf(slot.invalidation, sizeof(slot.invalidation), "%s", pg_value(r, 0, 10));
	slot.state = slot_state(r, wal_status);
	slot.current_lsn = pg_lsn(r, 0, 0);
	slot.active_pid = (int)pg_u64(r, 0, 3);
	slot.logical_pgoutput = pg_bool(r, 0, 4);
	slot.confirmed_flush_lsn = pg_lsn(r, 0, 6);
	slot.restart_lsn = pg_lsn(r, 0, 7);
	slot.retained_bytes = pg_u64(r, 0, 8);
	slot.safe_wal_size = safe_size(r);
	*ret = slot;
	return 0;
}

/* --- Creating ------------------------------------------------------------------------------------------------------
 */
static int explain_create(const char *name, struct err *err)
{
	if (pg_is_sqlstate(err, "42710")) {
		err->kind = ERR_CONFLICT;
		err->reason = REASON_SLOT_CONFLICT;
	} else if (pg_is_sqlstate(err, "53400")) {
		err->kind = ERR_LIMIT;
		err->reason = REASON_NO_FREE_SLOT;
	} else if (pg_is_sqlstate(err, "55000")) {
		err->kind = ERR_INVALID;
		err->reason = REASON_WAL_LEVEL_NOT_LOGICAL;
	}
	return err_wrap(err, "creating replication slot \"%s\"", name);
}

int pg_slot_create(struct pg *replication, const struct pg_new_slot *slot, uint64_t *ret_lsn, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	int version = pg_server_version(replication);
	struct strbuf sql;
	int failed;

	strbuf_init(&sql, PG_SQL_BYTES);
	strbuf_adds(&sql, "CREATE_REPLICATION_SLOT ");
	pg_quote_ident(&sql, slot->name);
	strbuf_adds(&sql, " LOGICAL pgoutput ");
	if (version < 150000)
		strbuf_adds(&sql, "NOEXPORT_SNAPSHOT");
	else
		strbuf_addf(&sql, "(SNAPSHOT 'nothing'%s)",
			    slot->failover && version >= 170000 ? ", FAILOVER true" : "");
	failed = pg_query_patiently(replication, sql.data, &slot->waiting, &r, err);
	strbuf_release(&sql);
	if (failed < 0)
		return explain_create(slot->name, err);
	if (pg_n_rows(r) != 1 || PQnfields(r) < 2 || !parse_lsn(pg_value(r, 0, 1), ret_lsn))
		return err_set(err, ERR_FATAL, "creating replication slot \"%s\": the answer contains no LSN",
			       slot->name);
	return FAILPOINT(SLOT_CREATED, err);
}

int pg_slot_set_failover(struct pg *replication, const char *name, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_(strbuf_release) struct strbuf sql;

	if (pg_server_version(replication) < 170000)
		return 0;
	strbuf_init(&sql, PG_SQL_BYTES);
	strbuf_adds(&sql, "SELECT FROM pg_replication_slots WHERE failover AND slot_name = ");
	pg_quote_literal(&sql, name);
	if (pg_query(replication, sql.data, NULL, 0, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) == 1)
		return 0;
	strbuf_reset(&sql);
	strbuf_adds(&sql, "ALTER_REPLICATION_SLOT ");
	pg_quote_ident(&sql, name);
	strbuf_adds(&sql, " (FAILOVER true)");
	return pg_exec(replication, sql.data, err) < 0 ? err_wrap(err, "making slot \"%s\" a failover slot", name) : 0;
}

/* --- Releasing and dropping ----------------------------------------------------------------------------------------
 */
enum { SLOT_GONE = 1, SLOT_HELD = 2 };

/* 0: the slot is free; SLOT_GONE; SLOT_HELD: its walsender was told to end, ret_pid says which. */
static int try_release(struct pg *pg, const char *name, int *ret_pid, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	/* One statement, so that the process cannot have become another one meanwhile; the server waits for its end. */
	if (pg_query(pg,
		     "SELECT active_pid, pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots"
		     " WHERE slot_name = $1",
		     (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) == 0)
		return SLOT_GONE;
	*ret_pid = (int)pg_u64(r, 0, 0);
	return *ret_pid ? SLOT_HELD : 0;
}

static int still_held(const char *name, int pid, struct err *err)
{
	return err_reason(err, ERR_CONFLICT, REASON_SLOT_ACTIVE,
			  "replication slot \"%s\" is still in use by process %d, which was asked to end %d s ago",
			  name, pid, PG_SLOT_RELEASE_MS / 1000);
}

/* 0 when free, SLOT_GONE, or negative. */
static int release(struct pg *pg, const char *name, int64_t deadline_ms, struct err *err)
{
	for (;;) {
		int pid = 0;
		int r = try_release(pg, name, &pid, err);

		if (r != SLOT_HELD)
			return r;
		if (clock_now_ms() >= deadline_ms)
			return still_held(name, pid, err);
		if (pg_pause(pg, SLOT_POLL_MS, err) < 0)
			return -1;
	}
}

int pg_slot_release(struct pg *pg, const char *name, struct err *err)
{
	if (release(pg, name, clock_now_ms() + PG_SLOT_RELEASE_MS, err) < 0)
		return err_wrap(err, "releasing replication slot \"%s\"", name);
	return 0;
}

int pg_slot_drop(struct pg *pg, const char *name, struct err *err)
{
	int64_t deadline_ms = clock_now_ms() + PG_SLOT_RELEASE_MS;

	for (;;) {
		int r = release(pg, name, deadline_ms, err);

		if (r < 0)
			break;
		if (r == SLOT_GONE)
			return 0;
		if (pg_query(pg, "SELECT pg_drop_replication_slot($1)", (const char *const[]){name}, 1, NULL, err) == 0)
			return FAILPOINT(SLOT_DROPPED, err);
		if (pg_is_sqlstate(err, "42704"))
			return 0;
		/* Another walsender took the slot in between. */
		if (!pg_is_sqlstate(err, "55006") || clock_now_ms() >= deadline_ms)
			break;
		if (pg_pause(pg, SLOT_POLL_MS, err) < 0)
			break;
	}
	return err_wrap(err, "dropping replication slot \"%s\"", name);
}

/* --- Visibility ----------------------------------------------------------------------------------------------------
 */
/* A 32-bit xid is within 2^31 of the snapshot's xmax; that gives its epoch. Transactions older than xmin have ended, so
 * most never reach the function. */
static const char sql_visible[] =
	"WITH s AS MATERIALIZED (SELECT s.s, pg_snapshot_xmin(s.s)::text::int8 AS xmin,"
	"  pg_snapshot_xmax(s.s)::text::int8 AS xmax FROM pg_current_snapshot() AS s(s)),"
	" x AS (SELECT u.position, s.s, s.xmin, s.xmax"
	"  + CASE WHEN (u.xid - s.xmax) & 4294967295 >= 2147483648"
	"    THEN ((u.xid - s.xmax) & 4294967295) - 4294967296 ELSE (u.xid - s.xmax) & 4294967295 END AS xid"
	"  FROM unnest($1::int8[]) WITH ORDINALITY AS u(xid, position), s WHERE u.xid <> 0)"
	" SELECT min(x.position), pg_current_wal_insert_lsn() FROM x WHERE CASE WHEN x.xid < x.xmin THEN false"
	"  ELSE NOT pg_visible_in_snapshot(x.xid::text::xid8, x.s) END";

/* It runs before every batch, so it is prepared and planned once. *ret is its only row. */
static int read_visible(struct pg *pg, const char *xids, struct pg_result **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *row = NULL;
	int r;

	if (pg_rows_start_prepared(pg, "visible", sql_visible, (const char *const[]){xids}, 1, err) < 0)
		return -1;
	while ((r = pg_rows_next(pg, &row, err)) > 0) {
		pg_result_free(*ret);
		*ret = TAKE_PTR(row);
	}
	if (r == 0 && !*ret)
		return err_set(err, ERR_FATAL, "the visibility check returned no row");
	return r;
}

int pg_visible_prefix(struct pg *pg, const uint32_t *xids, size_t n, struct pg_visible *ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct strbuf list;
	uint64_t first;
	int failed;

	strbuf_init(&list, XIDS_BYTES);
	pg_array_begin(&list);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_addc(&list, ',');
		strbuf_addu(&list, xids[i]);
	}
	pg_array_end(&list);
	if (strbuf_ok(&list))
		failed = read_visible(pg, list.data, &r, err);
	else
		failed = err_set(err, ERR_LIMIT, "%zu transactions exceed the limit of one query", n);
	strbuf_release(&list);
	if (failed < 0)
		return err_wrap(err, "checking which transactions are visible");
	first = pg_u64(r, 0, 0);
	if (first > n)
		return err_set(err, ERR_FATAL, "the visibility check named transaction %llu of %zu",
			       (unsigned long long)first, n);
	ret->n = first == 0 ? n : (size_t)first - 1;
	ret->horizon = pg_lsn(r, 0, 1);
	return 0;
}

static int read_lsn(struct pg *pg, const char *sql, uint64_t *ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;

	if (pg_query(pg, sql, NULL, 0, &result, err) < 0)
		return -1;
	if (!parse_lsn(pg_value(result, 0, 0), ret))
		return err_set(err, ERR_FATAL, "the server's WAL position \"%s\" is not an LSN",
			       pg_value(result, 0, 0));
	return 0;
}

int pg_replayed_lsn(struct pg *pg, uint64_t *ret, struct err *err)
{
	return read_lsn(pg, "SELECT pg_last_wal_replay_lsn()", ret, err);
}

int pg_flush_lsn(struct pg *pg, uint64_t *ret, struct err *err)
{
	return pg_is_standby(pg) ? pg_replayed_lsn(pg, ret, err)
				 : read_lsn(pg, "SELECT pg_current_wal_flush_lsn()", ret, err);
}

void pg_horizon_saw(_Atomic uint64_t *horizon, uint64_t lsn)
{
	uint64_t seen = atomic_load(horizon);

	while (seen < lsn && !atomic_compare_exchange_weak(horizon, &seen, lsn))
		;
}

int pg_horizon_raise(struct pg *pg, _Atomic uint64_t *horizon, struct err *err)
{
	uint64_t lsn;
	int r = pg_is_standby(pg) ? pg_replayed_lsn(pg, &lsn, err)
				  : read_lsn(pg, "SELECT pg_current_wal_insert_lsn()", &lsn, err);

	if (r < 0)
		return err_wrap(err, "reading the server's position");
	pg_horizon_saw(horizon, lsn);
	return 0;
}
