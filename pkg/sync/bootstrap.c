/* The bootstrap. */
#include "sync/bootstrap_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "apply/build.h"
#include "apply/halving.h"
#include "apply/snapshot.h"
#include "apply/unsettled.h"
#include "apply/view.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "source/ranges.h"

enum {
	WORKERS = 16,
	ITEM_BITS =
		11, /* a heap has at most 1,169 rows in a block, with blocks of 32 KiB; the last item counts for more */
	KEY_BYTES = 1024 * 1024,
	IN_FLIGHT = 16, /* chunks of one worker that are read but not durable; more than one only where rows are few */
};

struct chunk {
	struct range_chunk blocks;
	uint64_t number; /* as unsettled */
	uint64_t rows;
	uint64_t actions; /* of the worker's bulk writer, when it was read: durable once all of these are done */
};

struct worker {
	struct bootstrap *bootstrap;
	pthread_t thread;
	struct pg *pg;
	struct sink sink;
	struct search *search; /* of the bulk writer */
	struct bulk *bulk;
	struct bulk_stats counted;
	struct dead_letters dead;
	struct builder builder;
	struct snapshot snapshot;
	struct chunk read[IN_FLIGHT]; /* oldest first */
	size_t n_read;
};

struct bootstrap {
	const struct model *model;
	struct run *run;
	struct connector *connector;
	struct limits limits;
	int wake_fd;
	struct worker workers[WORKERS];
	size_t n_workers;

	pthread_mutex_t lock; /* for all below */
	struct ranges ranges;
	size_t running;
	bool failed, outdated;
	struct err err;
};

/* --- planning --- */

static int plan_some(struct bootstrap *b, struct attempt *at, bool views, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);

		if (index->complete || at->model.plans[i]->root_is_view != views)
			continue;
		if (views)
			ranges_add_view(&b->ranges, i, at->model.plans[i]->root, index);
		else if (ranges_add_leaves(&b->ranges, at->source.pg, i, at->model.plans[i]->root, index, err) < 0)
			return -1;
	}
	return 0;
}

/* --- handing out --- */

static bool take_chunk(struct bootstrap *b, struct chunk *ret)
{
	bool taken;

	*ret = (struct chunk){0};
	(void)pthread_mutex_lock(&b->lock);
	taken = !b->failed && !b->outdated && ranges_take(&b->ranges, b->n_workers, &ret->blocks);
	(void)pthread_mutex_unlock(&b->lock);
	if (taken)
		ret->number = unsettled_begin(b->model->unsettled);
	return taken;
}

static void chunk_done(struct bootstrap *b, const struct chunk *chunk)
{
	unsettled_end(b->model->unsettled, chunk->number);
	(void)pthread_mutex_lock(&b->lock);
	ranges_done(&chunk->blocks, chunk->rows);
	(void)pthread_mutex_unlock(&b->lock);
	connector_wake(b->wake_fd);
}

static void adapt(struct bootstrap *b, const struct chunk *chunk, const struct range_cost *cost)
{
	(void)pthread_mutex_lock(&b->lock);
	ranges_adapt(&chunk->blocks, cost);
	(void)pthread_mutex_unlock(&b->lock);
}

/* --- writing --- */

/* Forgets the chunks that are durable. */
static void settle_chunks(struct worker *w)
{
	uint64_t done = bulk_stats(w->bulk)->done_below;
	size_t n = 0;

	while (n < w->n_read && w->read[n].actions <= done)
		chunk_done(w->bootstrap, &w->read[n++]);
	memmove(w->read, w->read + n, (w->n_read - n) * sizeof(*w->read));
	w->n_read -= n;
}

static int flush_chunks(struct worker *w, struct err *err)
{
	if (bulk_flush(w->bulk, err) < 0 || dead_letters_flush(&w->dead, w->bulk, err) < 0)
		return -1;
	settle_chunks(w);
	return 0;
}

/* --- reading --- */

static const struct document_plan *range_plan(const struct worker *w, const struct range *range)
{
	return w->bootstrap->model->plans[range->plan];
}

/* A row's position as a tid; the item is in the bits below the block. */
static char *tid(uint64_t place)
{
	return xasprintf("(%llu,%u)", (unsigned long long)(place >> ITEM_BITS),
			 (unsigned)(place & ((1u << ITEM_BITS) - 1)));
}

/* A range of row positions that is being read. */
struct span {
	struct worker *worker;
	const struct range *range;
	struct build build;
	uint64_t rows;
};

/* After a failure: waits if a lock was in the way, and returns 0 to try again. */
static int wait_for_lock(struct worker *w, struct err *err)
{
	int64_t pause_ms;

	if (snapshot_retry(&w->snapshot, &pause_ms, err) < 0)
		return -1;
	return connector_sleep(w->bootstrap->connector, pause_ms) ? err_set(err, ERR_CANCELLED, "stopped") : 0;
}

static int build_places(struct span *span, uint64_t from, uint64_t to, struct err *err)
{
	_cleanup_free_ char *first = tid(from);
	_cleanup_free_ char *end = tid(to);
	const char *const tids[] = {first, end};

	if (range_plan(span->worker, span->range)->root_is_view)
		return view_build(&span->build, &span->rows, err);
	return build_range(&span->build, span->range->name, tids, &span->rows, err);
}

/* The statement limit bounds what the server does, the deadline how long the engine may keep it waiting: a session that
 * cannot send its rows is not cancelled. */
static int begin_reading(struct span *span, uint64_t places, struct err *err)
{
	struct worker *w = span->worker;
	const struct limits *limits = &w->bootstrap->limits;
	bool whole = places <= 1 || range_plan(w, span->range)->root_is_view;

	if (snapshot_begin(&w->snapshot, limits_of_rows(limits, whole ? 1 : places), err) < 0)
		return -1;
	(void)bulk_set_deadline(w->bulk, whole ? 0 : clock_now_ms() + limits->snapshot_ms);
	return 0;
}

static int read_at_once(struct span *span, uint64_t from, uint64_t to, struct err *err)
{
	struct worker *w = span->worker;
	int r = begin_reading(span, to - from, err) < 0 || ranges_check(span->range, w->pg, err) < 0 ||
				build_places(span, from, to, err) < 0 || snapshot_end(&w->snapshot, err) < 0
			? -1
			: 0;

	(void)bulk_set_deadline(w->bulk, 0);
	return r;
}

/* Before it is read in parts. If the engine was the reason, it is waited for without a snapshot. */
static int undo_reading(struct worker *w, const struct err *why, struct err *err)
{
	if (snapshot_undo(&w->snapshot, err) < 0)
		return -1;
	return pg_is_about_a_value(why) ? 0 : flush_chunks(w, err);
}

static int try_places(void *user, uint64_t from, uint64_t to, struct err *err)
{
	struct span *span = user;
	struct worker *w = span->worker;
	struct err failed = {0};
	uint64_t rows = span->rows;

	for (;;) {
		bool yields;

		span->rows = rows;
		if (connector_sleep(w->bootstrap->connector, 0))
			return err_set(err, ERR_CANCELLED, "stopped");
		if (read_at_once(span, from, to, err) == 0) {
			snapshot_done(&w->snapshot);
			return 0;
		}
		yields = snapshot_yields(&w->snapshot, err);
		if (wait_for_lock(w, err) < 0)
			break;
		/* Less is read at once then, and the engine waited for without a snapshot. */
		if (yields && flush_chunks(w, err) < 0)
			return -1;
		if (yields && to - from > 1 && !range_plan(w, span->range)->root_is_view)
			return 1;
	}
	if (!limits_may_split(err))
		return build_failed(&span->build, err);
	span->rows = rows;
	if (undo_reading(w, err, &failed) < 0) {
		*err = failed;
		return -1;
	}
	return 1;
}

static int keep_failed(struct span *span, uint64_t place, const struct err *why, struct err *err)
{
	const struct document_plan *plan = range_plan(span->worker, span->range);
	_cleanup_free_ char *sql = document_keys_by_range(plan, span->range->name);
	_cleanup_free_ char *first = tid(place);
	_cleanup_free_ char *end = tid(place + 1);
	const char *const params[] = {first, end};
	_cleanup_(strbuf_release) struct strbuf key;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	strbuf_init(&key, KEY_BYTES);
	if (pg_query(span->worker->pg, sql, params, 2, &r, err) < 0)
		return -1;
	for (int row = 0; row < pg_n_rows(r); row++) {
		strbuf_reset(&key);
		for (int i = 0; i < (int)plan->n_keys; i++)
			key_encode_value(&key, pg_value(r, row, i), pg_length(r, row, i));
		if (build_add_failed(&span->build, key.data, key.len, why, err) < 0)
			return -1;
	}
	return 0;
}

static int leave_out_at_once(struct span *span, uint64_t place, const struct err *why, struct err *err)
{
	struct worker *w = span->worker;

	return begin_reading(span, 1, err) < 0 || keep_failed(span, place, why, err) < 0 ||
			       snapshot_end(&w->snapshot, err) < 0
		       ? -1
		       : 0;
}

/* No document can be built for the row at this position. A row that is no longer there has changed, so the stream
 * contains it. */
static int leave_out(void *user, uint64_t place, const struct err *why, struct err *err)
{
	struct span *span = user;
	_cleanup_free_ char *at = tid(place);
	_cleanup_free_ char *what = xasprintf("the document of one row (%s at %s)", span->range->name, at);

	if (!pg_is_about_a_value(why))
		return limits_exceeded_by(what, why, err);
	while (leave_out_at_once(span, place, why, err) < 0)
		if (wait_for_lock(span->worker, err) < 0)
			return -1;
	snapshot_done(&span->worker->snapshot);
	return build_has_many_dead_letters(&span->worker->builder) ? flush_chunks(span->worker, err) : 0;
}

/* If a row makes the query fail, the range is halved until that row is alone. If the query takes too long, it is halved
 * at once: the whole of it would take as long again. */
static int read_blocks(struct span *span, uint64_t from, uint64_t to, struct err *err)
{
	const struct halving halving = {try_places, leave_out, span};
	uint64_t first = from << ITEM_BITS, end = to << ITEM_BITS, middle = end;
	int r = try_places(span, first, end, err);

	span->build.apart = true;
	if (r > 0 && !pg_is_about_a_value(err))
		middle = first + (end - first) / 2;
	if (r > 0)
		r = halving_run(&halving, first, middle, err) < 0 ? -1 : halving_run(&halving, middle, end, err);
	if (r < 0 && (pg_is_about_a_value(err) || err->reason == REASON_LIMIT_EXCEEDED))
		(void)build_failed(&span->build, err);
	return r < 0 ? err_wrap(err, "bootstrap") : 0;
}

/* A chunk counts only if it was read with the catalog that the plans were made from. 1: it does not count, and another
 * attempt has to read the rest. */
static int check_chunk_catalog(struct worker *w, struct err *err)
{
	struct bootstrap *b = w->bootstrap;
	bool current;

	while (catalog_is_current(w->pg, b->model->catalog, &current, err) < 0)
		if (wait_for_lock(w, err) < 0)
			return -1;
	snapshot_done(&w->snapshot);
	if (current)
		return 0;
	(void)pthread_mutex_lock(&b->lock);
	b->outdated = true;
	(void)pthread_mutex_unlock(&b->lock);
	return 1;
}

/* 1: as check_catalog. */
static int read_chunk(struct worker *w, struct chunk *chunk, struct err *err)
{
	size_t plan = chunk->blocks.range->plan;
	struct range_cost cost = {.most_ms = w->bootstrap->limits.snapshot_ms};
	uint64_t before = bulk_stats(w->bulk)->added_bytes;
	int64_t start_ms = clock_now_ms();
	struct span span = {.worker = w, .range = chunk->blocks.range};
	int r;

	span.build = build_begin(&w->builder, plan, w->bootstrap->model->filled[plan]);
	r = read_blocks(&span, chunk->blocks.from, chunk->blocks.to, err);
	build_end(&span.build);
	if (r < 0)
		return -1;
	r = check_chunk_catalog(w, err);
	if (r)
		return r;
	chunk->rows = span.rows;
	chunk->actions = bulk_stats(w->bulk)->added;
	cost.bytes = bulk_stats(w->bulk)->added_bytes - before;
	cost.ms = clock_now_ms() - start_ms;
	adapt(w->bootstrap, chunk, &cost);
	log_debug("sync", "chunk read", KV_STR("table", span.range->name), KV_U64("from", chunk->blocks.from),
		  KV_U64("to", chunk->blocks.to), KV_U64("rows", chunk->rows), KV_U64("bytes", cost.bytes));
	return FAILPOINT(CHUNK_READ, err);
}

static void count_written(struct worker *w)
{
	struct meters *metrics = w->bootstrap->run->metrics;

	meters_bulk(metrics, &w->counted, bulk_stats(w->bulk));
	meters_nulled(metrics, builder_take_sanitized(&w->builder));
}

/* Continues reading while the engine works, up to IN_FLIGHT chunks; rejected documents must be stored before their
 * chunk counts as durable. */
static int next_chunk(struct worker *w, struct err *err)
{
	if (bulk_send(w->bulk, err) < 0)
		return -1;
	if (w->dead.n == 0)
		settle_chunks(w);
	if ((w->n_read == IN_FLIGHT - 1 || w->dead.n) && flush_chunks(w, err) < 0)
		return -1;
	count_written(w);
	return 0;
}

/* The documents have to be searchable before the index goes live. The engine writes its memory to disk with one thread,
 * but indexing threads help: so the first worker that is done starts the refresh, and the last one has little left. */
static int refresh_indices(struct worker *w, struct err *err)
{
	struct bootstrap *b = w->bootstrap;

	for (size_t i = 0; i < b->ranges.n; i++) {
		const char *index = b->model->concrete[b->ranges.items[i].plan];

		if (i && b->ranges.items[i].plan == b->ranges.items[i - 1].plan)
			continue;
		if (search_refresh(w->sink.search, index, err) < 0)
			return err_wrap(err, "refreshing index \"%s\"", index);
	}
	return 0;
}

static int fill(struct worker *w, struct err *err)
{
	struct connector *connector = w->bootstrap->connector;
	struct chunk chunk;

	if (connector_pg(connector, CONNECTOR_UNLIMITED, "bootstrap", &w->pg, err) < 0 ||
	    connector_sink(connector, &w->sink, err) < 0 || connector_search(connector, &w->search, err) < 0 ||
	    pg_exec(w->pg, BUILD_SETTINGS, err) < 0 ||
	    snapshot_init(&w->snapshot, w->bootstrap->model, w->pg, &w->bootstrap->run->report, err) < 0)
		return -1;
	w->bulk = dead_letters_writer(&w->dead, w->search);
	snapshot_watch(&w->snapshot, w->bulk, connector->precedences);
	builder_init(&w->builder, w->bootstrap->model, &w->snapshot, w->bulk, &w->dead);
	w->builder.view_hold_ms = w->bootstrap->limits.snapshot_ms;
	while (take_chunk(w->bootstrap, &chunk)) {
		int r = read_chunk(w, &chunk, err);

		if (r)
			return r < 0 ? -1 : 0;
		w->read[w->n_read++] = chunk;
		if (next_chunk(w, err) < 0)
			return -1;
	}
	if (flush_chunks(w, err) < 0)
		return -1;
	log_debug("sync", "all chunks were copied, refreshing");
	return refresh_indices(w, err);
}

static void *run_worker(void *user)
{
	struct worker *w = user;
	struct bootstrap *b = w->bootstrap;
	struct err err = {0};
	int r = fill(w, &err);

	if (w->bulk)
		count_written(w);
	(void)pthread_mutex_lock(&b->lock);
	b->running--;
	if (r < 0 && !b->failed) {
		b->failed = true;
		b->err = err;
	}
	(void)pthread_mutex_unlock(&b->lock);
	connector_wake(b->wake_fd);
	return NULL;
}

/* --- from outside --- */

static int start_workers(struct bootstrap *b, struct err *err)
{
	size_t n = (size_t)spec_bootstrap_readers(b->run->spec);

	if (n > WORKERS)
		n = WORKERS;
	for (size_t i = 0; i < n; i++) {
		struct worker *w = &b->workers[i];
		int r;

		w->bootstrap = b;
		dead_letters_init(&w->dead, &w->sink, &b->run->report);
		b->running++;
		r = pthread_create(&w->thread, NULL, run_worker, w);
		if (r) {
			b->running--;
			return err_errno(err, r, "starting the bootstrap");
		}
		b->n_workers++;
	}
	return 0;
}

int bootstrap_start(struct attempt *at, int wake_fd, struct bootstrap **ret, struct err *err)
{
	_cleanup_(bootstrap_stopp) struct bootstrap *b = NULL;

	*ret = NULL;
	if (at->cp.phase == CHECKPOINT_LIVE)
		return 0;
	b = xcalloc(1, sizeof(*b));
	b->model = &at->model;
	b->run = at->run;
	b->connector = &at->connector;
	b->limits = connector_limits(&at->connector);
	b->wake_fd = wake_fd;
	(void)pthread_mutex_init(&b->lock, NULL);
	/* Views first: the stream waits for them. */
	if (plan_some(b, at, true, err) < 0 || plan_some(b, at, false, err) < 0)
		return -1;
	(void)pthread_mutex_lock(&b->lock);
	if (start_workers(b, err) < 0) {
		(void)pthread_mutex_unlock(&b->lock);
		return -1;
	}
	(void)pthread_mutex_unlock(&b->lock);
	*ret = TAKE_PTR(b);
	return 0;
}

void bootstrap_stop(struct bootstrap *b)
{
	if (!b)
		return;
	(void)pthread_mutex_lock(&b->lock);
	if (b->running)
		connector_cancel(b->connector);
	(void)pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < b->n_workers; i++) {
		struct worker *w = &b->workers[i];

		(void)pthread_join(w->thread, NULL);
		snapshot_release(&w->snapshot);
		bulk_free(w->bulk);
		search_free(w->search);
		search_free(w->sink.search);
		builder_release(&w->builder);
		pg_close(w->pg);
		dead_letters_release(&w->dead);
	}
	ranges_release(&b->ranges);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

bool bootstrap_holds(struct bootstrap *b)
{
	bool holds;

	(void)pthread_mutex_lock(&b->lock);
	holds = ranges_wait_for_views(&b->ranges);
	(void)pthread_mutex_unlock(&b->lock);
	return holds;
}

int bootstrap_check(struct bootstrap *b, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&b->lock);
	if (b->failed)
		*err = b->err;
	r = b->failed ? -1 : b->outdated ? BOOTSTRAP_OUTDATED : b->running == 0 ? BOOTSTRAP_DONE : BOOTSTRAP_RUNNING;
	(void)pthread_mutex_unlock(&b->lock);
	return r;
}

void bootstrap_report(struct bootstrap *b, struct attempt *at)
{
	struct report_bootstrap report = {.known = true};
	uint64_t blocks = 0, done = 0;

	(void)pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->ranges.n; i++) {
		const struct range *range = &b->ranges.items[i];
		const struct checkpoint_index *index = attempt_index(at, range->plan);

		blocks += range->end;
		done += ranges_durable_below(range);
		report.rows_done += range->rows;
		if (!report.start_us || index->start_us < report.start_us)
			report.start_us = index->start_us;
	}
	(void)pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < at->model.n_plans; i++)
		report.rows_total += attempt_index(at, i)->rows_total;
	if (report.rows_total < report.rows_done)
		report.rows_total = report.rows_done;
	report.ratio = blocks ? (double)done / (double)blocks : 1;
	report_bootstrap_set(&at->run->report, &report);
	meters_bootstrap(at->run->metrics, report.rows_done, report.ratio);
}

bool bootstrap_note(struct bootstrap *b, struct attempt *at)
{
	bool changed = false;

	(void)pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->ranges.n; i++)
		changed = ranges_save(&b->ranges.items[i], attempt_index(at, b->ranges.items[i].plan)) || changed;
	(void)pthread_mutex_unlock(&b->lock);
	bootstrap_report(b, at);
	return changed;
}
