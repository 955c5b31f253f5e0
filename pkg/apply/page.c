/* Pages of keys. */
#include "apply/page.h"

#include "apply/halving.h"
#include "apply/limits.h"
#include "changes/batch.h"
#include "postgres/locks.h"

enum {
	PAGE_KEYS = 2000,
	VIEW_PAGE_KEYS = 20000, /* used where each query may compute a whole view */
};

size_t page_most(const struct document_plan *plan)
{
	return plan->computes_views ? VIEW_PAGE_KEYS : PAGE_KEYS;
}

/* --- parameters --- */

void page_params_init(struct page_params *params)
{
	for (size_t i = 0; i < DOCUMENT_MAX_KEYS; i++)
		strbuf_init(&params->arrays[i], (size_t)32 * BATCH_BYTES);
}

void page_params_release(struct page_params *params)
{
	for (size_t i = 0; i < DOCUMENT_MAX_KEYS; i++)
		strbuf_release(&params->arrays[i]);
}

static int add_page_key(struct page_params *params, const char *key, size_t len, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *value;
		size_t value_len;

		if (!key_decode_value(&key, &len, &value, &value_len))
			return err_set(err, ERR_FATAL, "a dirty key lacks its column %zu", i);
		pg_array_add(&params->arrays[i], value, value_len);
	}
	return 0;
}

int page_params_set(struct page_params *params, const struct page *page, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_reset(&params->arrays[i]);
		pg_array_begin(&params->arrays[i]);
	}
	for (size_t i = 0; i < page->n; i++)
		if (add_page_key(params, keyset_data(page->set, page->keys[i]), page->keys[i]->len, n, err) < 0)
			return -1;
	for (size_t i = 0; i < n; i++) {
		pg_array_end(&params->arrays[i]);
		if (!strbuf_ok(&params->arrays[i]))
			return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE,
					  "the keys of one batch are larger than %zu bytes", params->arrays[i].max);
		params->values[i] = params->arrays[i].data;
	}
	return 0;
}

/* --- halving --- */

struct halves {
	const struct page_task *task;
	const struct page *page;
};

static struct page part_of(const struct page *page, uint64_t from, uint64_t to)
{
	struct page part = *page;

	part.keys += from;
	part.n = to - from;
	return part;
}

/* Whether the transaction that the task was begun in is still open, and its savepoint with it. */
static bool has_savepoint(const struct page_task *task, uint64_t begun_in)
{
	return task->snapshot->open && task->snapshot->n == begun_in;
}

static int undo(const struct page_task *task, uint64_t begun_in, struct err *err)
{
	struct snapshot *s = task->snapshot;

	if (!has_savepoint(task, begun_in))
		return snapshot_undo(s, err) < 0 ? -1 : snapshot_again(s, err);
	if (pg_execf(s->pg, err, "ROLLBACK TO %s", task->savepoint) < 0)
		return -1;
	return pg_execf(s->pg, err, "RELEASE %s", task->savepoint);
}

/* Keeps the transaction usable if the task fails, but may succeed for a part of the page. */
static int try_once(const struct page_task *task, const struct page *page, struct err *err)
{
	struct snapshot *s = task->snapshot;
	uint64_t begun_in = s->n;
	struct err failed = {0};
	bool yields;

	if (pg_execf(s->pg, err, "SAVEPOINT %s", task->savepoint) < 0)
		return -1;
	if (task->run(task->user, page, err) == 0)
		return has_savepoint(task, begun_in) ? pg_execf(s->pg, err, "RELEASE %s", task->savepoint) : 0;
	yields = snapshot_yields(s, err);
	if (yields ? !task->interrupted : !limits_may_split(err))
		return -1;
	if (undo(task, begun_in, &failed) < 0) {
		*err = failed;
		return -1;
	}
	return 1;
}

int page_try(const struct page_task *task, const struct page *page, struct err *err)
{
	struct page left = *page;

	for (;;) {
		int r = try_once(task, &left, err);

		if (r <= 0 || !task->interrupted || (!limits_engine_is_late(err) && !pg_is_lock_conflict(err)))
			return r;
		r = task->interrupted(task->user, &left, err);
		if (r <= 0)
			return r < 0 ? -1 : 1;
	}
}

static int try_part(void *user, uint64_t from, uint64_t to, struct err *err)
{
	const struct halves *halves = user;
	const struct page part = part_of(halves->page, from, to);

	return page_try(halves->task, &part, err);
}

static int key_failed(void *user, uint64_t item, const struct err *why, struct err *err)
{
	const struct halves *halves = user;
	const struct page part = part_of(halves->page, item, item + 1);

	if (part.old && pg_is_about_a_value(why))
		return 0;
	return halves->task->failed_alone(halves->task->user, &part, why, err);
}

int page_halve(const struct page_task *task, const struct page *page, struct err *err)
{
	struct halves halves = {task, page};
	const struct halving halving = {try_part, key_failed, &halves};

	return halving_run(&halving, 0, page->n, err);
}
