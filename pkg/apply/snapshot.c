/* The snapshot, and its locks. */
#include "apply/snapshot.h"

#include <stdlib.h>

#include "postgres/locks.h"

/* Pauses between tries, and between checks of other sessions' locks: each try that fails leaves an error in the
 * server's log. */
enum { PAUSE_MS = 2, PAUSE_MOST_MS = 3000, LOOK_MS = 100, REPORT_MS = 2000 };

int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report, struct err *err)
{
	*s = (struct snapshot){.pg = pg, .model = model, .report = report};
	backoff_init(&s->backoff, PAUSE_MS, PAUSE_MOST_MS, random_seed());
	/* For statements that take locks later: the planner locks the indexes of each table. */
	return pg_exec(pg, "SET lock_timeout = '10ms'", err);
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

int snapshot_begin(struct snapshot *s, int64_t statement_ms, struct err *err)
{
	_cleanup_free_ char *sql =
		xasprintf("%s; SET LOCAL statement_timeout = %lld", s->model->snapshot_sql, (long long)statement_ms);

	if (s->start_ms && wait_until_free(s, err) < 0)
		return -1;
	return pg_exec(s->pg, sql, err) < 0 ? err_wrap(err, "opening a snapshot") : 0;
}

int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err)
{
	struct err failed = {0};

	if (!pg_is_lock_conflict(err))
		return -1;
	if (pg_exec(s->pg, "ROLLBACK", &failed) < 0) {
		*err = failed;
		return -1;
	}
	if (!s->start_ms)
		s->start_ms = clock_now_ms();
	report_blocker(s, "another session holds a lock that is needed to read the tables");
	*ret_pause_ms = backoff_next_ms(&s->backoff);
	return 1;
}

void snapshot_done(struct snapshot *s)
{
	if (!s->start_ms)
		return;
	s->start_ms = 0;
	backoff_reset(&s->backoff);
	report_lock(s->report, NULL);
}
