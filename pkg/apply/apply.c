/* From a batch of dirty keys to bulk actions, target by target. */
#include "apply/apply.h"

#include <stdlib.h>
#include <string.h>

#include "apply/retries.h"
#include "apply/view.h"
#include "sink/purge.h"

enum {
	PURGE_DOCUMENTS = 1000, /* documents of a truncated root: up to this many, deleting them is faster than a new
				 * index */
	KEY_BYTES = 64 * 1024,
	ROOTS_BYTES = 64 * 1024 * 1024,
};

/* The part of a batch that is visible. */
struct part {
	struct apply *apply;
	const struct batch *batch;
	size_t n_txns;
	uint64_t version; /* of the newest transaction */
};

bool *apply_touched(const struct model *model, const struct batch *batch, size_t n_txns)
{
	bool *touched = xcalloc(model->targets.n, sizeof(*touched));

	for (size_t i = 0; i < batch->keys.n; i++)
		if (batch->keys.keys[i].first_txn < n_txns)
			touched[batch->keys.keys[i].target] = true;
	return touched;
}

/* --- versions --- */

/* The plan's generation was filled with data that includes every commit up to this version. */
static uint64_t filled_version(const struct part *p, size_t plan)
{
	return p->apply->model->filled[plan];
}

/* Data read now is newer than what a bootstrap read, even if the batch is older than its generation. */
static uint64_t above_filled(const struct model *m, size_t plan, uint64_t version)
{
	uint64_t filled = m->filled[plan];

	return version > filled ? version : filled + 1;
}

static uint64_t version_of(const struct part *p, size_t plan)
{
	return above_filled(p->apply->model, plan, p->version);
}

/* The LSN of the newest transaction of the part that touched the key. */
static uint64_t touched_lsn(const struct part *p, const struct key *key)
{
	size_t last = key->last_txn < p->n_txns ? key->last_txn : p->n_txns - 1;

	return p->batch->txns[last].lsn;
}

/* The target has no values, and the plan's generation was begun after the last transaction that touched it. */
static bool is_contained(const struct part *p, size_t plan, uint32_t target)
{
	return filled_version(p, plan) >= touched_lsn(p, keyset_find(&p->batch->keys, target, "", 0));
}

/* --- keys of a target --- */

/* The keys of a target that the part touched: first those that it touched only before the generation was begun. Caller
 * frees. */
static const struct key **select_keys(const struct part *p, uint32_t number, size_t plan, size_t *ret_old,
				      size_t *ret_n)
{
	const struct keyset *set = &p->batch->keys;
	const struct key **selected = xcalloc(set->n, sizeof(*selected));
	uint64_t filled = filled_version(p, plan);
	size_t old = 0, n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct key *key = &set->keys[i];

		if (key->target != number || key->first_txn >= p->n_txns)
			continue;
		selected[n++] = key;
		if (filled < touched_lsn(p, key))
			continue;
		selected[n - 1] = selected[old];
		selected[old++] = key;
	}
	*ret_old = old;
	*ret_n = n;
	return selected;
}

static int write_roots(void *user, const struct page *roots, struct err *err)
{
	return build_roots(user, roots, err);
}

/* --- every root --- */

/* A row that leaves a view has no event. */
static int write_whole_plan(const struct part *p, size_t plan, struct err *err)
{
	struct apply *a = p->apply;
	_cleanup_(build_end) struct build b = build_begin(&a->builder, plan, version_of(p, plan));
	const struct resolve up = {&a->resolver, plan, write_roots, &b};
	uint64_t rows = 0;

	if (!a->model->plans[plan]->root_is_view)
		return resolve_all(&up, err);
	a->purge_below[plan] = b.version;
	return view_build(&b, &rows, err);
}

/* Root keys, or keys of a path that leads to root keys. */
static int write_keys(const struct part *p, uint32_t number, struct err *err)
{
	struct apply *a = p->apply;
	const struct target target = target_at(&a->model->targets, number);
	_cleanup_(build_end) struct build b = build_begin(&a->builder, target.plan, version_of(p, target.plan));
	const struct resolve up = {&a->resolver, target.plan, write_roots, &b};
	size_t most = page_most(a->model->plans[target.plan]);
	size_t old, n;
	_cleanup_free_ const struct key **keys = select_keys(p, number, target.plan, &old, &n);
	struct page page = {.set = &p->batch->keys};
	bool unresolved = false;

	for (size_t i = 0; i < n; i += page.n) {
		size_t left;
		int r;

		page.old = i < old;
		left = (page.old ? old : n) - i;
		page.keys = keys + i;
		page.n = left < most ? left : most;
		r = target.path ? resolve_path(&up, target.path, &page, err) : build_roots(&b, &page, err);
		if (r < 0)
			return -1;
		unresolved = unresolved || r > 0;
	}
	return unresolved ? write_whole_plan(p, target.plan, err) : 0;
}

/* True if neither the index nor the table is large. The engine is asked without a transaction. */
static int is_small(const struct apply *a, size_t plan, bool *ret, struct err *err)
{
	struct search_stats stats;
	int rows;

	if (snapshot_end(a->builder.snapshot, err) < 0)
		return -1;
	if (search_stats(a->builder.dead->sink->search, a->model->concrete[plan], &stats, err) < 0)
		return err_wrap(err, "counting the documents of a truncated table");
	if (snapshot_again(a->builder.snapshot, err) < 0)
		return -1;
	if (source_count_rows(a->builder.pg, a->model->plans[plan]->root, PURGE_DOCUMENTS + 1, &rows, err) < 0)
		return -1;
	*ret = stats.documents <= PURGE_DOCUMENTS && rows <= PURGE_DOCUMENTS;
	return 0;
}

/* The root was truncated. A few documents are deleted one by one; many are replaced by a new generation. A new
 * generation is also begun while one is being filled, since a chunk that was read earlier may still be on its way into
 * the index, and for a partitioned root, which is about to be rebuilt because of its partitions. */
static int write_truncated(const struct part *p, size_t plan, struct err *err)
{
	struct apply *a = p->apply;
	bool purge = a->live && a->never_bootstrap;

	if (a->live && !purge && a->model->plans[plan]->root->kind != 'p' && is_small(a, plan, &purge, err) < 0)
		return -1;
	if (purge) {
		a->purge_below[plan] = version_of(p, plan);
		return write_whole_plan(p, plan, err);
	}
	/* Nothing is acknowledged, so the truncation is streamed again after the new generation has begun. */
	a->rebuild |= UINT64_C(1) << plan;
	return 0;
}

/* --- a batch --- */

/* If every root may depend on a row, all roots are read again anyway. */
static int write_scanned(void *user, const struct batch *rows, struct err *err)
{
	struct part scanned = *(const struct part *)user;
	const struct model *model = scanned.apply->model;
	_cleanup_free_ bool *touched = apply_touched(model, rows, 1);

	scanned.batch = rows;
	scanned.n_txns = 1;
	for (uint32_t i = 0; i < model->targets.first_all; i++)
		if (touched[i] && write_keys(&scanned, i, err) < 0)
			return -1;
	return 0;
}

static void add_roots(const struct dead_letters_retries *retries, size_t plan, struct keyset *roots)
{
	struct strbuf key;

	strbuf_init(&key, KEY_BYTES);
	for (size_t i = 0; i < retries->n; i++) {
		struct dead_letters_retry *retry = &retries->items[i];
		const char *end = retry->key + retry->key_len;

		retry->failed = false;
		strbuf_reset(&key);
		for (const char *value = retry->key; value < end; value += strlen(value) + 1)
			key_encode_value(&key, value, strlen(value));
		if (!strbuf_ok(&key) || !keyset_add(roots, (uint32_t)plan, key.data, key.len, 0))
			retry->failed = true;
	}
	strbuf_release(&key);
}

static int build_all(const struct build *b, const struct keyset *roots, size_t most, struct err *err)
{
	_cleanup_free_ const struct key **keys = xcalloc(roots->n, sizeof(*keys));
	struct page page = {.set = roots};

	for (size_t i = 0; i < roots->n; i++)
		keys[i] = &roots->keys[i];
	for (size_t i = 0; i < roots->n; i += page.n) {
		page.keys = keys + i;
		page.n = roots->n - i < most ? roots->n - i : most;
		if (build_roots(b, &page, err) < 0)
			return -1;
	}
	return 0;
}

/* The documents of dead letters, by the keys of their roots. Each dead letter stays until its document is durable. */
static int write_retries(const struct part *p, size_t plan, struct err *err)
{
	struct apply *a = p->apply;
	struct dead_letters_retries *retries = retries_page(a->model->retries);
	_cleanup_(build_end) struct build b = build_begin(&a->builder, plan, version_of(p, plan));
	_cleanup_(keyset_release) struct keyset roots;

	build_keep_dead_letters(&b);
	a->retried = b.version;
	a->builder.dead->retries = retries;
	keyset_init(&roots, ROOTS_BYTES);
	add_roots(retries, plan, &roots);
	return build_all(&b, &roots, page_most(a->model->plans[plan]), err);
}

static int write_target(struct part *p, uint32_t number, struct err *err)
{
	struct apply *a = p->apply;
	const struct target target = target_at(&a->model->targets, number);

	switch (target.kind) {
	case TARGET_ROOT:
	case TARGET_PATH:
		return write_keys(p, number, err);
	case TARGET_ALL:
		return is_contained(p, target.plan, number) ? 0 : write_whole_plan(p, target.plan, err);
	case TARGET_REBUILD:
		return is_contained(p, target.plan, number) ? 0 : write_truncated(p, target.plan, err);
	case TARGET_RETRY:
		return write_retries(p, target.plan, err);
	case TARGET_SCAN:
		return scan_partition(&a->scanner, &a->model->partition_changes.scans[target.scan], write_scanned, p,
				      err);
	}
	return 0;
}

int apply_batch(struct apply *a, const struct batch *batch, size_t n_txns, struct err *err)
{
	_cleanup_free_ bool *touched = apply_touched(a->model, batch, n_txns);
	struct part part = {.apply = a, .batch = batch, .n_txns = n_txns, .version = batch->txns[n_txns - 1].lsn};

	a->builder.held = a->live ? NULL : &a->held;
	a->held_version = part.version;
	for (uint32_t i = 0; i < a->model->targets.n; i++)
		if (touched[i] && write_target(&part, i, err) < 0)
			return -1;
	return 0;
}

bool apply_holds(const struct apply *a)
{
	return a->held.n > 0;
}

int apply_held(struct apply *a, struct err *err)
{
	int r = 0;

	for (size_t plan = 0; r == 0 && plan < a->model->n_plans; plan++) {
		uint64_t version = above_filled(a->model, plan, a->held_version);
		_cleanup_(build_end) struct build b = build_begin(&a->builder, plan, version);

		r = build_deletes(&b, &a->held, err);
	}
	keyset_reset(&a->held);
	return r;
}

/* The documents of a plan and its dead letters. */
static int purge_plan(struct apply *a, size_t plan, uint64_t version, struct err *err)
{
	_cleanup_(build_end) struct build b = build_begin(&a->builder, plan, version);
	const struct sink *sink = a->builder.dead->sink;

	if (purge_older(sink, a->model->concrete[plan], version, a->builder.bulk, err) < 0)
		return -1;
	return b.dead_index ? purge_older(sink, b.dead_index, version, a->builder.bulk, err) : 0;
}

static int settle_retries(struct apply *a, struct err *err)
{
	if (dead_letters_add_settled(a->builder.dead, a->builder.bulk, a->retried, err) < 0)
		return -1;
	a->retried = 0;
	a->builder.dead->retries = NULL;
	retries_done(a->model->retries);
	return 0;
}

int apply_finish(struct apply *a, struct err *err)
{
	int any = a->retried > 0;

	if (any && settle_retries(a, err) < 0)
		return -1;
	for (size_t i = 0; i < a->model->n_plans; i++) {
		uint64_t version = a->purge_below[i];

		if (!version)
			continue;
		a->purge_below[i] = 0;
		if (purge_plan(a, i, version, err) < 0)
			return -1;
		any = 1;
	}
	return any;
}

/* --- life --- */

void apply_init(struct apply *a, const struct model *model, struct snapshot *snapshot, struct bulk *bulk,
		struct dead_letters *dead)
{
	*a = (struct apply){.model = model, .purge_below = xcalloc(model->n_plans, sizeof(*a->purge_below))};
	builder_init(&a->builder, model, snapshot, bulk, dead);
	keyset_init(&a->held, (size_t)16 * BATCH_BYTES);
	resolver_init(&a->resolver, model, snapshot);
	scanner_init(&a->scanner, model, snapshot->pg);
}

void apply_release(struct apply *a)
{
	builder_release(&a->builder);
	keyset_release(&a->held);
	resolver_release(&a->resolver);
	scanner_release(&a->scanner);
	free(a->purge_below);
}
