/* The snapshot, and its locks. */
#include "apply/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "apply/limits.h"
#include "postgres/locks.h"
#include "postgres/replication.h"
#include "sink/sink.h"
#include "source/views.h"

/* Pauses between tries, and between checks of other sessions' locks: each try that fails leaves an error in the
 * server's log. */
enum { PAUSE_MS = 2, PAUSE_MOST_MS = 3000, LOOK_MS = 100, REPORT_MS = 2000 };

int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report, struct err *err)
{
	*s = (struct snapshot){.pg = pg, .model = model, .report = report, .standby = pg_is_standby(pg)};
	backoff_init(&s->backoff, PAUSE_MS, PAUSE_MOST_MS, random_seed());
	/* For statements that take locks later: the planner locks the indexes of each table. */
	return pg_exec(pg, "SET lock_timeout = '10ms'", err);
}

static bool must_end_soon(void *user)
{
	struct snapshot *s = user;

	return precedence_asked(&s->precedence);
}

void snapshot_watch(struct snapshot *s, struct bulk *bulk, struct precedences *all)
{
	s->bulk = bulk;
	precedence_init(&s->precedence, all, pg_backend_pid(s->pg));
	if (bulk)
		bulk_set_interrupt(bulk, must_end_soon, s);
}

void snapshot_release(struct snapshot *s)
{
	precedence_release(&s->precedence);
}

/* Caller frees. */
static int find_holder(const struct snapshot *s, char **ret, struct err *err)
{
	const struct source_tables *tables = &s->model->tables;
	_cleanup_free_ uint32_t *oids = xcalloc(tables->n + 1, sizeof(*oids));
	const struct pg_lock_query query = {.oids = oids, .n = tables->n, .use = PG_LOCK_TO_READ};

	for (size_t i = 0; i < tables->n; i++)
		oids[i] = tables->items[i].table->oid;
	return pg_lock_holder(s->pg, &query, ret, err);
}

static void report_blocker(const struct snapshot *s, const char *holder)
{
	if (clock_now_ms() - s->start_ms >= REPORT_MS)
		report_lock(s->report, holder);
}

/* Returns once no session holds, or waits for, a lock that blocks readers. */
static int wait_until_free(struct snapshot *s, struct err *err)
{
	for (;;) {
		_cleanup_free_ char *holder = NULL;

		if (find_holder(s, &holder, err) < 0)
			return -1;
		if (!holder)
			return 0;
		backoff_reset(&s->backoff);
		report_blocker(s, holder);
		if (pg_pause(s->pg, LOOK_MS, err) < 0)
			return -1;
	}
}

int snapshot_refresh(struct snapshot *s, const bool *marked, struct err *err)
{
	if (s->start_ms && wait_until_free(s, err) < 0)
		return -1;
	precedence_begin(&s->precedence);
	if (views_refresh(s->pg, s->model->plans, s->model->n_plans, marked, err) < 0)
		return -1;
	precedence_end(&s->precedence);
	return 0;
}

static void limit_engine(struct snapshot *s, int64_t deadline_ms)
{
	if (s->bulk)
		(void)bulk_set_deadline(s->bulk, deadline_ms);
}

int snapshot_begin(struct snapshot *s, int64_t statement_ms, struct err *err)
{
	_cleanup_free_ char *sql =
		xasprintf("%s; SET LOCAL statement_timeout = %lld", s->model->snapshot_sql, (long long)statement_ms);

	s->statement_ms = statement_ms;
	if (s->start_ms && wait_until_free(s, err) < 0)
		return -1;
	precedence_begin(&s->precedence);
	if (pg_exec(s->pg, sql, err) < 0)
		return err_wrap(err, "opening a snapshot");
	s->n++;
	s->open = true;
	limit_engine(s, clock_now_ms() + SNAPSHOT_HOLD_MS);
	return 0;
}

int snapshot_limit(struct snapshot *s, int64_t statement_ms, struct err *err)
{
	s->statement_ms = statement_ms;
	return pg_execf(s->pg, err, "SET LOCAL statement_timeout = %lld", (long long)statement_ms);
}

bool snapshot_yields(struct snapshot *s, struct err *err)
{
	if ((!pg_is_cancelled(err) && !limits_engine_is_late(err)) || !precedence_asked(&s->precedence))
		return false;
	(void)err_reason(err, ERR_CONFLICT, REASON_TABLE_LOCKED, "another session waits for the tables that are read");
	memcpy(err->sqlstate, PG_LOCK_NOT_AVAILABLE, sizeof(PG_LOCK_NOT_AVAILABLE));
	return true;
}

/* COMMIT first reads what cursors WITH HOLD have left, so it may take long. */
int snapshot_end(struct snapshot *s, struct err *err)
{
	int r;

	s->open = false;
	limit_engine(s, 0);
	r = pg_exec(s->pg, "COMMIT", err);
	if (r < 0 && snapshot_yields(s, err))
		precedence_repeat(&s->precedence);
	precedence_end(&s->precedence);
	return r;
}

/* Nothing may cancel a ROLLBACK. */
static int roll_back(struct snapshot *s, const char *sql, struct err *err)
{
	s->open = false;
	limit_engine(s, 0);
	precedence_end(&s->precedence);
	return pg_exec(s->pg, sql, err);
}

int snapshot_undo(struct snapshot *s, struct err *err)
{
	return roll_back(s, "ROLLBACK", err);
}

/* As snapshot_retry; rollback: what ends the transaction. */
static int give_way(struct snapshot *s, const char *rollback, int64_t *ret_pause_ms, struct err *err)
{
	struct err failed = {0};

	bool yields = snapshot_yields(s, err) || precedence_asked(&s->precedence);

	if (!pg_is_lock_conflict(err))
		return -1;
	if (roll_back(s, rollback, &failed) < 0) {
		*err = failed;
		return -1;
	}
	if (yields)
		precedence_repeat(&s->precedence);
	if (!s->start_ms)
		s->start_ms = clock_now_ms();
	report_blocker(s, err->reason == REASON_TABLE_LOCKED
				  ? err->msg
				  : "another session holds a lock that is needed to read the tables");
	*ret_pause_ms = backoff_next_ms(&s->backoff);
	return 1;
}

int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err)
{
	return give_way(s, "ROLLBACK; CLOSE ALL", ret_pause_ms, err);
}

static void forget_lock(struct snapshot *s)
{
	if (!s->start_ms)
		return;
	s->start_ms = 0;
	backoff_reset(&s->backoff);
	report_lock(s->report, NULL);
}

void snapshot_done(struct snapshot *s)
{
	forget_lock(s);
	precedence_done(&s->precedence);
}

int snapshot_again(struct snapshot *s, struct err *err)
{
	int64_t pause_ms;

	while (snapshot_begin(s, s->statement_ms, err) < 0)
		if (give_way(s, "ROLLBACK", &pause_ms, err) < 0 || pg_pause(s->pg, pause_ms, err) < 0)
			return -1;
	forget_lock(s);
	return s->horizon ? pg_horizon_raise(s->pg, s->horizon, err) : 0;
}
