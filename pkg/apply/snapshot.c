/* The snapshot, and its locks. */
#include "apply/snapshot.h"

#include <stdlib.h>

#include "postgres/locks.h"

enum { PAUSE_MS = 2, PAUSE_MOST_MS = 200, ASK_MS = 2000 };

int snapshot_init(struct snapshot *s, const struct model *model, struct pg *pg, struct report *report, struct err *err)
{
	*s = (struct snapshot){.pg = pg, .model = model, .report = report};
	backoff_init(&s->backoff, PAUSE_MS, PAUSE_MOST_MS, random_seed());
	/* For what takes locks later: the planner, of the indexes of each table. */
	return pg_exec(pg, "SET lock_timeout = '10ms'", err);
}

int snapshot_begin(struct snapshot *s, struct err *err)
{
	return pg_exec(s->pg, s->model->snapshot_sql, err) < 0 ? err_wrap(err, "opening a snapshot") : 0;
}

static int report_holder(struct snapshot *s, struct err *err)
{
	const struct source_tables *tables = &s->model->tables;
	_cleanup_free_ uint32_t *oids = xcalloc(tables->n + 1, sizeof(*oids));
	const struct pg_lock_query query = {.oids = oids, .n = tables->n};
	_cleanup_free_ char *holder = NULL;

	for (size_t i = 0; i < tables->n; i++)
		oids[i] = tables->items[i].table->oid;
	if (pg_lock_holder(s->pg, &query, &holder, err) < 0)
		return -1;
	report_lock(s->report, holder ? holder : "another session holds a lock that is needed to read the tables");
	return 0;
}

int snapshot_retry(struct snapshot *s, int64_t *ret_pause_ms, struct err *err)
{
	struct err failed = {0};
	int64_t now = clock_now_ms();

	if (!pg_is_lock_conflict(err))
		return -1;
	if (pg_exec(s->pg, "ROLLBACK", &failed) < 0) {
		*err = failed;
		return -1;
	}
	if (!s->start_ms)
		s->start_ms = s->asked_ms = now;
	if (now - s->asked_ms >= ASK_MS) {
		s->asked_ms = now;
		if (report_holder(s, err) < 0)
			return -1;
	}
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
