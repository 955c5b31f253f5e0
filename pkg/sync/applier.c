/* The applier: batches of dirty keys in, durable documents out. */
#include "sync/applier_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply.h"
#include "apply/snapshot.h"
#include "apply/unsettled.h"
#include "apply/visible.h"
#include "base/clock.h"
#include "base/log.h"
#include "source/views.h"

enum { SETTLE_MS = 5 }; /* pause between checks for unsettled chunks */

struct applier {
	const struct model *model;
	struct run *run;
	struct connector *connector;
	int wake_fd;
	pthread_t thread;
	bool started;

	/* shared, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t submitted;
	struct batch *batch; /* handed over; NULL: idle */
	struct batch *spare;
	bool end, failed;
	bool live;        /* no generation is being filled */
	bool outdated;    /* the catalog differs from that of the plans: the batch must be read again */
	uint64_t rebuild; /* as in struct apply */
	struct err err;
	uint64_t acked;
	int64_t oldest_us;

	/* the applier's own */
	struct pg *pg;
	struct sink sink;
	struct search *search; /* of the bulk writer */
	struct bulk *bulk;
	struct bulk_stats counted;
	struct dead_letters dead;
	struct apply apply;
	struct snapshot snapshot;
	bool repeating; /* the batch is being written a second time */
};

/* The commit-visibility barrier. The server can send a commit before other sessions see it; a document read too early
 * would miss it, and no later change would correct that. So the batch is cut at the first transaction that this
 * snapshot does not contain. Leaves the transaction open; *ret is at least 1. */
static int begin_visible(struct applier *a, const struct batch *batch, size_t *ret, struct err *err)
{
	int64_t start = clock_now_us();
	struct pg_visible visible = {0};
	struct backoff backoff;

	backoff_init(&backoff, 1, 20, random_seed());
	for (;;) {
		if (visible_open(&a->snapshot, batch, connector_limits(a->connector).statement_ms, &visible, err) < 0)
			return -1;
		if (visible.n)
			break;
		if (snapshot_undo(&a->snapshot, err) < 0)
			return -1;
		if (connector_sleep(a->connector, backoff_next_ms(&backoff)))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for a commit to become visible");
	}
	*ret = visible.n;
	pg_horizon_saw(a->snapshot.horizon, visible.horizon);
	if (backoff.attempt)
		meters_visibility_wait(a->run->metrics, clock_now_us() - start);
	return 0;
}

/* Opens a snapshot in which the first *ret transactions are visible. Materialized views have to include what these
 * transactions changed in their base tables, so they are refreshed after the transactions became visible and before the
 * snapshot is taken. */
static int begin(struct applier *a, const struct batch *batch, size_t *ret, struct err *err)
{
	const struct model *m = a->model;
	_cleanup_free_ bool *plans = xcalloc(m->n_plans, sizeof(*plans));
	_cleanup_free_ bool *touched = NULL;
	bool any = false;
	size_t later;

	if (begin_visible(a, batch, ret, err) < 0)
		return -1;
	touched = apply_touched(m, batch, *ret);
	for (size_t i = 0; i < m->n_plans; i++) {
		plans[i] = touched[m->targets.first_all + i] && views_to_refresh(m->plans[i]);
		any = any || plans[i];
	}
	if (!any)
		return 0;
	if (snapshot_undo(&a->snapshot, err) < 0 || snapshot_refresh(&a->snapshot, plans, err) < 0)
		return -1;
	/* Other transactions that are visible now may have committed after the refresh. */
	return begin_visible(a, batch, &later, err);
}

static int flush_batch(struct applier *a, struct err *err)
{
	return bulk_flush(a->bulk, err) < 0 || dead_letters_flush(&a->dead, a->bulk, err) < 0 ? -1 : 0;
}

/* Waits for chunks that may have read what this batch deletes. No snapshot may be open meanwhile: the chunks might be
 * blocked by a session that waits for the snapshot's locks. */
static int wait_for_chunks(struct applier *a, uint64_t last_chunk, struct err *err)
{
	while (unsettled_any(a->model->unsettled, last_chunk))
		if (connector_sleep(a->connector, SETTLE_MS))
			return err_set(err, ERR_CANCELLED, "stopped while deletes waited for a bootstrap");
	return 0;
}

/* Sends the deletes that were held back. */
static int write_held(struct applier *a, uint64_t last_chunk, struct err *err)
{
	if (!apply_holds(&a->apply))
		return 0;
	if (flush_batch(a, err) < 0 || wait_for_chunks(a, last_chunk, err) < 0)
		return -1;
	return apply_held(&a->apply, err);
}

/* If an ingest pipeline dropped a document, its delete was not held back, and a chunk that read the row earlier may
 * still write it. Then the batch is written again once those chunks are settled. */
static bool must_repeat(struct applier *a, uint64_t dropped_before, uint64_t last_chunk)
{
	a->repeating = !a->repeating && bulk_stats(a->bulk)->dropped > dropped_before &&
		       unsettled_any(a->model->unsettled, last_chunk);
	return a->repeating;
}

static void set_progress(struct applier *a, uint64_t acked, int64_t oldest_us)
{
	(void)pthread_mutex_lock(&a->lock);
	if (acked > a->acked)
		a->acked = acked;
	a->oldest_us = oldest_us;
	(void)pthread_mutex_unlock(&a->lock);
	connector_wake(a->wake_fd);
}

/* Records whether a new attempt is needed, and why. */
static void note_outcome(struct applier *a, bool outdated)
{
	(void)pthread_mutex_lock(&a->lock);
	a->rebuild = a->apply.rebuild;
	a->outdated = outdated;
	(void)pthread_mutex_unlock(&a->lock);
}

/* Writes the part of the batch that is visible, and cuts it off once it is durable. */
static int write_prefix(struct applier *a, struct batch *batch, struct err *err)
{
	uint64_t dropped = bulk_stats(a->bulk)->dropped;
	uint64_t ack, last_chunk;
	size_t n;
	bool current;
	int purged;

	if (begin(a, batch, &n, err) < 0)
		return -1;
	if (apply_batch(&a->apply, batch, n, err) < 0)
		return -1;
	/* Chunks that are begun from here on are read in newer snapshots. */
	last_chunk = unsettled_last(a->model->unsettled);
	/* The snapshot ends before the wait for the engine: it holds back vacuum and locks. */
	if (snapshot_end(&a->snapshot, err) < 0)
		return -1;
	snapshot_done(&a->snapshot);
	if (write_held(a, last_chunk, err) < 0 || flush_batch(a, err) < 0)
		return -1;
	if (must_repeat(a, dropped, last_chunk))
		return wait_for_chunks(a, last_chunk, err);
	purged = apply_finish(&a->apply, err);
	if (purged < 0 || (purged && flush_batch(a, err) < 0))
		return -1;
	/* A batch counts only if everything was read with the catalog that the plans were made from. Otherwise it is
	 * not acknowledged, and its documents are written again, even if the catalog has changed back by then. */
	if (catalog_is_current(a->pg, a->model->catalog, &current, err) < 0)
		return -1;
	note_outcome(a, !current);
	meters_bulk(a->run->metrics, &a->counted, bulk_stats(a->bulk));
	meters_nulled(a->run->metrics, builder_take_sanitized(&a->apply.builder));
	ack = batch_ack_lsn(batch, n);
	batch_cut(batch, n);
	/* A truncated root is not done until its new generation is, so the truncation must arrive again. */
	set_progress(a, a->rebuild || !current ? 0 : ack, batch->n_txns ? batch->txns[0].commit_us : 0);
	return 0;
}

/* Tries again while another session's lock is in the way; writing the same documents twice does no harm. */
static int write_some(struct applier *a, struct batch *batch, struct err *err)
{
	int64_t pause_ms;

	while (write_prefix(a, batch, err) < 0) {
		if (snapshot_retry(&a->snapshot, &pause_ms, err) < 0)
			return -1;
		if (connector_sleep(a->connector, pause_ms))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for a lock");
	}
	return 0;
}

static int write_batch(struct applier *a, struct batch *batch, bool live, struct err *err)
{
	int64_t start = clock_now_us();
	size_t keys = batch->keys.n;
	size_t txns = batch->n_txns;

	a->apply.live = live;
	while (!batch_empty(batch) && !a->rebuild && !a->outdated)
		if (write_some(a, batch, err) < 0)
			return -1;
	meters_batch(a->run->metrics, keys, clock_now_us() - start);
	log_debug("sync", "batch is durable", KV_U64("transactions", txns), KV_U64("keys", keys),
		  KV_I64("microseconds", clock_now_us() - start));
	return 0;
}

/* --- the thread --- */

static struct batch *wait_batch(struct applier *a, bool *ret_live)
{
	struct batch *batch;

	(void)pthread_mutex_lock(&a->lock);
	while (!a->batch && !a->end)
		(void)pthread_cond_wait(&a->submitted, &a->lock);
	batch = a->end ? NULL : a->batch;
	*ret_live = a->live;
	(void)pthread_mutex_unlock(&a->lock);
	return batch;
}

static void end_attempt(struct applier *a, const struct err *err)
{
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
	connector_wake(a->wake_fd);
}

static int connect_both(struct applier *a, struct err *err)
{
	if (connector_pg(a->connector, CONNECTOR_UNLIMITED, "applier", &a->pg, err) < 0 ||
	    connector_sink(a->connector, &a->sink, err) < 0 || connector_search(a->connector, &a->search, err) < 0 ||
	    pg_exec(a->pg, "SET cursor_tuple_fraction = 1", err) < 0 || pg_exec(a->pg, BUILD_SETTINGS, err) < 0 ||
	    snapshot_init(&a->snapshot, a->model, a->pg, &a->run->report, err) < 0)
		return -1;
	a->bulk = dead_letters_writer(&a->dead, a->search);
	a->snapshot.horizon = &a->run->horizon;
	snapshot_watch(&a->snapshot, a->bulk, a->connector->precedences);
	apply_init(&a->apply, a->model, &a->snapshot, a->bulk, &a->dead);
	a->apply.builder.view_hold_ms = connector_limits(a->connector).snapshot_ms;
	a->apply.never_bootstrap = a->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER;
	return 0;
}

static void *run_applier(void *user)
{
	struct applier *a = user;
	struct err err = {0};
	struct batch *batch;
	bool live;

	while ((batch = wait_batch(a, &live))) {
		if ((!a->pg && connect_both(a, &err) < 0) || write_batch(a, batch, live, &err) < 0) {
			end_attempt(a, &err);
			return NULL;
		}
		end_attempt(a, NULL);
	}
	return NULL;
}

int applier_start(const struct model *model, struct run *run, struct connector *connector, int wake_fd,
		  struct applier **ret, struct err *err)
{
	_cleanup_(applier_stopp) struct applier *a = xcalloc(1, sizeof(*a));
	int r;

	a->model = model;
	a->run = run;
	a->connector = connector;
	a->wake_fd = wake_fd;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->submitted, NULL);
	dead_letters_init(&a->dead, &a->sink, &run->report);
	a->spare = batch_new();
	r = pthread_create(&a->thread, NULL, run_applier, a);
	if (r)
		return err_errno(err, r, "starting the applier");
	a->started = true;
	*ret = TAKE_PTR(a);
	return 0;
}

void applier_stop(struct applier *a)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->end = true;
	(void)pthread_cond_signal(&a->submitted);
	(void)pthread_mutex_unlock(&a->lock);
	if (a->started) {
		if (!applier_idle(a))
			connector_cancel(a->connector);
		(void)pthread_join(a->thread, NULL);
	}
	snapshot_release(&a->snapshot);
	bulk_free(a->bulk);
	search_free(a->search);
	search_free(a->sink.search);
	pg_close(a->pg);
	dead_letters_release(&a->dead);
	apply_release(&a->apply);
	batch_free(a->batch);
	batch_free(a->spare);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_cond_destroy(&a->submitted);
	free(a);
}

bool applier_idle(struct applier *a)
{
	bool idle;

	(void)pthread_mutex_lock(&a->lock);
	/* Idle means that everything submitted may be acknowledged. That excludes a truncation that requires a rebuild,
	 * and a batch that must be read again. */
	idle = !a->batch && !a->rebuild && !a->outdated;
	(void)pthread_mutex_unlock(&a->lock);
	return idle;
}

bool applier_submit(struct applier *a, struct batch **batch, bool live)
{
	bool given = false;

	(void)pthread_mutex_lock(&a->lock);
	if (!a->batch && !a->failed && !a->rebuild && !a->outdated) {
		a->batch = *batch;
		a->live = live;
		*batch = TAKE_PTR(a->spare);
		a->oldest_us = a->batch->txns[0].commit_us;
		(void)pthread_cond_signal(&a->submitted);
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

int applier_check(struct applier *a, uint64_t *ret_plans, struct err *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&a->lock);
	if (a->failed) {
		*err = a->err;
		r = -1;
	} else if ((a->rebuild || a->outdated) && !a->batch) {
		*ret_plans = a->rebuild;
		r = 1;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return r;
}
