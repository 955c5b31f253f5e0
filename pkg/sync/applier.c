/* The applier: batches of dirty keys in, durable documents out. */
#include "sync/applier_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sync/deadletter_int.h"
#include "sync/reader_int.h"
#include "sync/views_int.h"

enum {
	PAGE_KEYS = 2000,         /* keys of one query */
	BODY_BYTES = 1024 * 1024, /* of one bulk request: more does not make an engine faster, and is memory */
	KEY_PARAMETERS = 32,      /* INDEX_MAX_KEYS of Postgres; ways have as few columns */
};

struct applier {
	struct engine *engine;
	int wake_fd;
	pthread_t thread;
	bool started;

	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct batch *batch; /* handed over; NULL: idle */
	struct batch *spare;
	bool end, failed;
	bool rebuild;
	size_t rebuild_plan;
	uint64_t rebuild_version;
	struct err err;
	uint64_t acked;
	int64_t oldest_us;

	/* the applier's own */
	struct pg *pg;
	struct search *search;
	struct bulk *bulk;
	struct bulk_stats counted;
	struct deadletters dead;
	struct reading reading;
	struct keyset up; /* roots that a way led to, a page at a time */
	bool *to_sweep;   /* plans whose index may hold documents of rows that left their view */
	struct strbuf arrays[KEY_PARAMETERS];
	const char *params[KEY_PARAMETERS];
};

/* --- parameters: keys as arrays, one for each column --- */

static void arrays_begin(struct applier *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_reset(&a->arrays[i]);
		pg_array_begin(&a->arrays[i]);
	}
}

static int arrays_add(struct applier *a, const char *key, size_t len, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *value;
		size_t value_len;

		if (!key_decode_value(&key, &len, &value, &value_len))
			return err_set(err, ERR_FATAL, "a dirty key lacks its column %zu", i);
		pg_array_add(&a->arrays[i], value, value_len);
	}
	return 0;
}

static int arrays_end(struct applier *a, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		pg_array_end(&a->arrays[i]);
		if (!strbuf_ok(&a->arrays[i]))
			return err_reason(err, ERR_LIMIT, "KeyTooLarge",
					  "the keys of one batch are larger than %zu bytes", a->arrays[i].max);
		a->params[i] = a->arrays[i].data;
	}
	return 0;
}

/* --- documents --- */

/* Reads the documents of a page of root keys, keys[from..to) of set, and writes them; a root that is not there any more
 * is deleted. */
static int write_page(struct applier *a, struct keyset *set, const struct key *const *keys, size_t n, struct err *err)
{
	const struct document_plan *plan = a->engine->plans[a->reading.plan];

	arrays_begin(a, plan->n_keys);
	for (size_t i = 0; i < n; i++)
		if (arrays_add(a, keyset_data(set, keys[i]), keys[i]->len, plan->n_keys, err) < 0)
			return -1;
	if (arrays_end(a, plan->n_keys, err) < 0 ||
	    pg_rows_start_prepared(a->pg, plan->document->index, plan->sql_by_key, a->params, (int)plan->n_keys, err) <
		    0)
		return -1;
	a->reading.wanted = set;
	if (reading_take(&a->reading, err) < 0)
		return err_wrap(err, "reading documents of \"%s\"", plan->document->index);
	for (size_t i = 0; i < n; i++)
		if (!keys[i]->seen && reading_delete(&a->reading, keyset_data(set, keys[i]), keys[i]->len, err) < 0)
			return -1;
	return 0;
}

/* Every key of the set with this target that one of the first n transactions touched. */
static int write_roots(struct applier *a, struct keyset *set, uint32_t target, size_t n_txns, struct err *err)
{
	const struct key *page[PAGE_KEYS];
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct key *key = &set->keys[i];

		if (key->target != target || key->first_txn >= n_txns)
			continue;
		page[n++] = key;
		if (n < PAGE_KEYS)
			continue;
		if (write_page(a, set, page, n, err) < 0)
			return -1;
		n = 0;
	}
	return n ? write_page(a, set, page, n, err) : 0;
}

/* --- ways up --- */

static int take_roots(struct applier *a, const PGresult *rows, size_t n_keys, struct err *err)
{
	struct strbuf *key = &a->reading.scratch;

	keyset_reset(&a->up);
	for (int row = 0; row < PQntuples(rows); row++) {
		strbuf_reset(key);
		for (int column = 0; column < (int)n_keys; column++)
			key_encode_value(key, PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column));
		if (!keyset_add(&a->up, (uint32_t)a->reading.plan, key->data, key->len, 0))
			return err_reason(err, ERR_LIMIT, "KeyTooLarge", "a page of root keys is too large");
	}
	return write_roots(a, &a->up, (uint32_t)a->reading.plan, 1, err);
}

/* Roots may be many (a row that a million documents share): a cursor pages through them, and no list of them is ever in
 * memory. */
static int write_ways(struct applier *a, const char *sql, size_t n_params, struct err *err)
{
	size_t n_keys = a->engine->plans[a->reading.plan]->n_keys;
	_cleanup_free_ char *declare = xasprintf("DECLARE pgsync_roots NO SCROLL CURSOR FOR %s", sql);
	_cleanup_free_ char *fetch = xasprintf("FETCH %d FROM pgsync_roots", PAGE_KEYS);
	int n = PAGE_KEYS;

	if (pg_query(a->pg, declare, a->params, (int)n_params, NULL, err) < 0)
		return err_wrap(err, "finding the documents of a change");
	while (n == PAGE_KEYS) {
		_cleanup_result_ PGresult *rows = NULL;

		if (pg_query(a->pg, fetch, NULL, 0, &rows, err) < 0)
			return err_wrap(err, "finding the documents of a change");
		n = PQntuples(rows);
		if (n && take_roots(a, rows, n_keys, err) < 0)
			return -1;
	}
	return pg_exec(a->pg, "CLOSE pgsync_roots", err);
}

static int write_way_page(struct applier *a, const struct document_way *way, struct err *err)
{
	if (arrays_end(a, way->n_columns, err) < 0)
		return -1;
	return write_ways(a, way->sql, way->n_columns, err);
}

static int write_way(struct applier *a, const struct batch *batch, uint32_t target, const struct document_way *way,
		     size_t n_txns, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < batch->keys.n; i++) {
		const struct key *key = &batch->keys.keys[i];

		if (key->target != target || key->first_txn >= n_txns)
			continue;
		if (!n++)
			arrays_begin(a, way->n_columns);
		if (arrays_add(a, keyset_data(&batch->keys, key), key->len, way->n_columns, err) < 0)
			return -1;
		if (n < PAGE_KEYS)
			continue;
		if (write_way_page(a, way, err) < 0)
			return -1;
		n = 0;
	}
	return n ? write_way_page(a, way, err) : 0;
}

/* --- a batch --- */

/* The LSN of the newest of the first n transactions that touched a target without values. */
static uint64_t touched_lsn(const struct batch *batch, uint32_t target, size_t n_txns)
{
	const struct key *key = keyset_find(&batch->keys, target, "", 0);
	size_t last = key->last_txn < n_txns ? key->last_txn : n_txns - 1;

	return batch->txns[last].lsn;
}

static void ask_rebuild(struct applier *a, size_t plan)
{
	(void)pthread_mutex_lock(&a->lock);
	a->rebuild = true;
	a->rebuild_plan = plan;
	a->rebuild_version = a->reading.version;
	(void)pthread_mutex_unlock(&a->lock);
}

/* Which targets the first n transactions touched, so that each is looked at once. */
static bool *touched_targets(const struct applier *a, const struct batch *batch, size_t n_txns)
{
	bool *touched = xcalloc(a->engine->targets.n, sizeof(*touched));

	for (size_t i = 0; i < batch->keys.n; i++)
		if (batch->keys.keys[i].first_txn < n_txns)
			touched[batch->keys.keys[i].target] = true;
	return touched;
}

/* What a generation was filled with holds every commit up to its version. */
static bool is_contained(const struct applier *a, size_t plan, uint64_t lsn)
{
	return checkpoint_find(&a->engine->cp, a->engine->plans[plan]->document->index)->version >= lsn;
}

/* Every root. Those of a view cost one reading of it, whatever its definition; and none of them has an event when it is
 * gone. */
static int write_all(struct applier *a, size_t number, struct err *err)
{
	const struct document_plan *plan = a->engine->plans[number];

	if (!plan->root_is_view)
		return write_ways(a, plan->all_roots_sql, 0, err);
	a->to_sweep[number] = true;
	a->reading.wanted = NULL;
	if (pg_rows_start(a->pg, plan->sql_by_range, NULL, 0, err) < 0 || reading_take(&a->reading, err) < 0)
		return err_wrap(err, "reading documents of \"%s\"", plan->document->index);
	return 0;
}

static int write_target(struct applier *a, struct batch *batch, uint32_t number, size_t n_txns, struct err *err)
{
	struct target target = target_at(&a->engine->targets, number);

	reading_begin_plan(&a->reading, target.plan);
	switch (target.kind) {
	case TARGET_ROOT:
		return write_roots(a, &batch->keys, number, n_txns, err);
	case TARGET_WAY:
		return write_way(a, batch, number, target.way, n_txns, err);
	case TARGET_ALL:
		if (is_contained(a, target.plan, touched_lsn(batch, number, n_txns)))
			return 0;
		return write_all(a, target.plan, err);
	case TARGET_REBUILD:
		/* A truncation comes again after the new generation was begun: nothing was acknowledged. */
		if (!is_contained(a, target.plan, touched_lsn(batch, number, n_txns)))
			ask_rebuild(a, target.plan);
		return 0;
	}
	return 0;
}

static int write_targets(struct applier *a, struct batch *batch, size_t n_txns, struct err *err)
{
	_cleanup_free_ bool *touched = touched_targets(a, batch, n_txns);

	for (uint32_t i = 0; i < a->engine->targets.n; i++)
		if (touched[i] && write_target(a, batch, i, n_txns, err) < 0)
			return -1;
	return 0;
}

/* The commit-visibility barrier. The server can send a commit before other sessions see it; a document read too early
 * would miss it, and no later change would say so. So the batch is cut at the first transaction that this snapshot does
 * not hold. Leaves the transaction open; *ret is at least 1. */
static int begin_visible(struct applier *a, const struct batch *batch, size_t *ret, struct err *err)
{
	_cleanup_free_ uint32_t *xids = xcalloc(batch->n_txns, sizeof(*xids));
	int64_t start = clock_now_us();
	struct backoff backoff;

	for (size_t i = 0; i < batch->n_txns; i++)
		xids[i] = batch->txns[i].xid;
	backoff_init(&backoff, 1, 20, random_seed());
	for (;;) {
		if (pg_exec(a->pg, a->engine->begin_sql, err) < 0)
			return err_wrap(err, "opening a snapshot");
		if (pg_visible_prefix(a->pg, xids, batch->n_txns, ret, err) < 0)
			return err_wrap(err, "asking which commits are visible");
		if (*ret)
			break;
		if (pg_exec(a->pg, "ROLLBACK", err) < 0)
			return -1;
		if (engine_sleep(a->engine, backoff_next_ms(&backoff)))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for a commit to become visible");
	}
	if (backoff.attempt)
		meters_visibility_wait(a->engine->meters, clock_now_us() - start);
	return 0;
}

/* Opens the snapshot that the first *ret transactions are visible in. What they changed below materialized views is in
 * these by then: they are refreshed after the transactions were seen, and before the snapshot. */
static int begin(struct applier *a, const struct batch *batch, size_t *ret, struct err *err)
{
	struct engine *e = a->engine;
	_cleanup_free_ bool *plans = xcalloc(e->n_plans, sizeof(*plans));
	_cleanup_free_ bool *touched = NULL;
	bool any = false;
	size_t later;

	if (begin_visible(a, batch, ret, err) < 0)
		return -1;
	touched = touched_targets(a, batch, *ret);
	for (size_t i = 0; i < e->n_plans; i++) {
		plans[i] = touched[e->targets.first_all + i] && views_to_refresh(e->plans[i]);
		any = any || plans[i];
	}
	if (!any)
		return 0;
	if (pg_exec(a->pg, "ROLLBACK", err) < 0 || views_refresh(e, a->pg, plans, err) < 0)
		return -1;
	/* What else is visible now may have come after the refreshing. */
	return begin_visible(a, batch, &later, err);
}

/* After all of the view was written and is durable. */
static int sweep(struct applier *a, struct err *err)
{
	for (size_t i = 0; i < a->engine->n_plans; i++) {
		if (!a->to_sweep[i])
			continue;
		a->to_sweep[i] = false;
		reading_begin_plan(&a->reading, i);
		if (views_sweep(&a->reading, err) < 0 || bulk_flush(a->bulk, err) < 0 ||
		    deadletters_flush(&a->dead, a->bulk, err) < 0)
			return -1;
	}
	return 0;
}

static void set_progress(struct applier *a, uint64_t acked, int64_t oldest_us)
{
	uint64_t one = 1;

	(void)pthread_mutex_lock(&a->lock);
	if (acked > a->acked)
		a->acked = acked;
	a->oldest_us = oldest_us;
	(void)pthread_mutex_unlock(&a->lock);
	if (write(a->wake_fd, &one, sizeof(one)) < 0)
		UNUSED(one);
}

/* Writes the part of the batch that is visible, and cuts it off once it is durable. */
static int write_prefix(struct applier *a, struct batch *batch, struct err *err)
{
	uint64_t ack;
	size_t n;

	if (begin(a, batch, &n, err) < 0)
		return -1;
	a->reading.version = batch->txns[n - 1].lsn;
	if (write_targets(a, batch, n, err) < 0)
		return -1;
	/* The snapshot ends before the wait for the engine: it holds back vacuum and locks. */
	if (pg_exec(a->pg, "COMMIT", err) < 0 || bulk_flush(a->bulk, err) < 0 ||
	    deadletters_flush(&a->dead, a->bulk, err) < 0 || sweep(a, err) < 0)
		return -1;
	meters_bulk(a->engine->meters, &a->counted, bulk_stats(a->bulk));
	ack = batch_ack_lsn(batch, n);
	batch_cut(batch, n);
	/* A truncated root is not done before its new generation is: it must come again. */
	set_progress(a, a->rebuild ? 0 : ack, batch->n_txns ? batch->txns[0].commit_us : 0);
	return 0;
}

static int write_batch(struct applier *a, struct batch *batch, struct err *err)
{
	int64_t start = clock_now_us();
	size_t keys = batch->keys.n;
	size_t txns = batch->n_txns;

	while (!batch_empty(batch) && !a->rebuild)
		if (write_prefix(a, batch, err) < 0)
			return -1;
	meters_batch(a->engine->meters, keys, clock_now_us() - start);
	log_debug("sync", "batch is durable", KV_U64("transactions", txns), KV_U64("keys", keys),
		  KV_I64("microseconds", clock_now_us() - start));
	return 0;
}

/* --- the thread --- */

static struct batch *wait_batch(struct applier *a)
{
	struct batch *batch;

	(void)pthread_mutex_lock(&a->lock);
	while (!a->batch && !a->end)
		(void)pthread_cond_wait(&a->given, &a->lock);
	batch = a->end ? NULL : a->batch;
	(void)pthread_mutex_unlock(&a->lock);
	return batch;
}

static void finish(struct applier *a, const struct err *err)
{
	uint64_t one = 1;

	(void)pthread_mutex_lock(&a->lock);
	if (err) {
		a->failed = true;
		a->err = *err;
	} else {
		batch_reset(a->batch);
		a->spare = a->batch;
		a->batch = NULL;
		a->oldest_us = 0;
	}
	(void)pthread_mutex_unlock(&a->lock);
	if (write(a->wake_fd, &one, sizeof(one)) < 0)
		UNUSED(one);
}

static int connect_both(struct applier *a, struct err *err)
{
	struct bulk_options options = {
		.max_bytes = a->engine->spec->sink.bulk_max_bytes < BODY_BYTES
				     ? (size_t)a->engine->spec->sink.bulk_max_bytes
				     : BODY_BYTES,
		.concurrency = (unsigned)a->engine->spec->sink.bulk_concurrency,
		.retry_ms = DEADLETTERS_RETRY_MS,
		.on_rejected = deadletters_rejected,
		.on_pressure = deadletters_pressure,
		.user = &a->dead,
	};

	if (engine_pg(a->engine, false, "applier", &a->pg, err) < 0 || engine_search(a->engine, &a->search, err) < 0 ||
	    pg_exec(a->pg, "SET cursor_tuple_fraction = 1", err) < 0 || pg_exec(a->pg, READING_SETTINGS, err) < 0)
		return -1;
	a->bulk = bulk_new(a->search, &options);
	reading_init(&a->reading, a->engine, a->pg, a->bulk);
	return 0;
}

static void *run(void *user)
{
	struct applier *a = user;
	struct err err = {0};
	struct batch *batch;

	while ((batch = wait_batch(a))) {
		if ((!a->pg && connect_both(a, &err) < 0) || write_batch(a, batch, &err) < 0) {
			finish(a, &err);
			return NULL;
		}
		finish(a, NULL);
	}
	return NULL;
}

int applier_start(struct engine *e, int wake_fd, struct applier **ret, struct err *err)
{
	_cleanup_(applier_stopp) struct applier *a = xcalloc(1, sizeof(*a));
	int r;

	a->engine = e;
	a->wake_fd = wake_fd;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->given, NULL);
	deadletters_init(&a->dead, e);
	a->to_sweep = xcalloc(e->n_plans, sizeof(*a->to_sweep));
	keyset_init(&a->up, (size_t)16 * BATCH_BYTES);
	for (size_t i = 0; i < KEY_PARAMETERS; i++)
		strbuf_init(&a->arrays[i], (size_t)32 * BATCH_BYTES);
	a->spare = xcalloc(1, sizeof(*a->spare));
	batch_init(a->spare);
	r = pthread_create(&a->thread, NULL, run, a);
	if (r)
		return err_errno(err, r, "starting the applier");
	a->started = true;
	*ret = TAKE_PTR(a);
	return 0;
}

static void free_batch(struct batch *batch)
{
	if (!batch)
		return;
	batch_release(batch);
	free(batch);
}

void applier_stop(struct applier *a)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->end = true;
	(void)pthread_cond_signal(&a->given);
	(void)pthread_mutex_unlock(&a->lock);
	if (a->started) {
		if (!applier_idle(a))
			engine_cancel(a->engine);
		(void)pthread_join(a->thread, NULL);
		reading_release(&a->reading);
	}
	bulk_free(a->bulk);
	search_free(a->search);
	pg_close(a->pg);
	deadletters_release(&a->dead);
	keyset_release(&a->up);
	free(a->to_sweep);
	for (size_t i = 0; i < KEY_PARAMETERS; i++)
		strbuf_release(&a->arrays[i]);
	free_batch(a->batch);
	free_batch(a->spare);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_cond_destroy(&a->given);
	free(a);
}

bool applier_idle(struct applier *a)
{
	bool idle;

	(void)pthread_mutex_lock(&a->lock);
	/* With a rebuild asked for, the truncation is not done: what counts as idle may be acknowledged. */
	idle = !a->batch && !a->rebuild;
	(void)pthread_mutex_unlock(&a->lock);
	return idle;
}

bool applier_give(struct applier *a, struct batch **batch)
{
	bool given = false;

	(void)pthread_mutex_lock(&a->lock);
	if (!a->batch && !a->failed && !a->rebuild) {
		a->batch = *batch;
		*batch = TAKE_PTR(a->spare);
		a->oldest_us = a->batch->txns[0].commit_us;
		(void)pthread_cond_signal(&a->given);
		given = true;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return given;
}

uint64_t applier_acked(struct applier *a)
{
	uint64_t acked;

	(void)pthread_mutex_lock(&a->lock);
	acked = a->acked;
	(void)pthread_mutex_unlock(&a->lock);
	return acked;
}

int64_t applier_oldest_us(struct applier *a)
{
	int64_t oldest;

	(void)pthread_mutex_lock(&a->lock);
	oldest = a->oldest_us;
	(void)pthread_mutex_unlock(&a->lock);
	return oldest;
}

int applier_check(struct applier *a, size_t *ret_plan, uint64_t *ret_version, struct err *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&a->lock);
	if (a->failed) {
		*err = a->err;
		r = -1;
	} else if (a->rebuild && !a->batch) {
		*ret_plan = a->rebuild_plan;
		*ret_version = a->rebuild_version;
		r = 1;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return r;
}
