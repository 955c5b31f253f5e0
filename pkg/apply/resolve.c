/* From dirty keys up to root keys. */
#include "apply/resolve.h"

#include <stdlib.h>

#include "apply/limits.h"
#include "base/log.h"
#include "changes/batch.h"

/* Passes on the roots that were collected. */
static int hand_over(const struct resolve *r, struct err *err)
{
	struct keyset *roots = &r->with->roots;
	_cleanup_free_ const struct key **keys = xcalloc(roots->n, sizeof(*keys));
	const struct page page = {.set = roots, .keys = keys, .n = roots->n};
	int result;

	for (size_t i = 0; i < roots->n; i++)
		keys[i] = &roots->keys[i];
	result = page.n ? r->found(r->user, &page, err) : 0;
	keyset_reset(roots);
	return result;
}

static int take_roots(const struct resolve *r, const struct pg_result *rows, struct err *err)
{
	struct keyset *roots = &r->with->roots;
	struct strbuf *key = &r->with->key;
	size_t n_keys = r->with->model->plans[r->plan]->n_keys;
	uint32_t target = (uint32_t)r->plan;

	keyset_reset(roots);
	for (int row = 0; row < pg_n_rows(rows); row++) {
		strbuf_reset(key);
		for (int column = 0; column < (int)n_keys; column++)
			key_encode_value(key, pg_value(rows, row, column), pg_length(rows, row, column));
		if (keyset_add(roots, target, key->data, key->len, 0))
			continue;
		if (hand_over(r, err) < 0)
			return -1;
		if (!keyset_add(roots, target, key->data, key->len, 0))
			return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE, "a root key is larger than %zu bytes",
					  roots->bytes.max);
	}
	return hand_over(r, err);
}

/* Pages through the root keys that a query yields. */
static int page_roots(const struct resolve *r, const char *sql, size_t n_params, struct err *err)
{
	struct resolver *with = r->with;
	struct pg *pg = with->snapshot->pg;
	_cleanup_free_ char *declare = xasprintf("DECLARE pgsync_roots NO SCROLL CURSOR WITH HOLD FOR %s", sql);
	int most = (int)page_most(with->model->plans[r->plan]);
	_cleanup_free_ char *fetch = xasprintf("FETCH %d FROM pgsync_roots", most);
	int n = most;

	if (pg_query(pg, declare, with->params.values, (int)n_params, NULL, err) < 0)
		return err_wrap(err, "finding the documents of a change");
	while (n == most) {
		_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

		if (pg_query(pg, fetch, NULL, 0, &rows, err) < 0)
			return err_wrap(err, "finding the documents of a change");
		n = pg_n_rows(rows);
		if (n && take_roots(r, rows, err) < 0)
			return -1;
	}
	return pg_exec(pg, "CLOSE pgsync_roots", err);
}

struct path_pages {
	const struct resolve *resolve;
	const struct document_path *path;
	bool unresolved; /* some key */
};

static int resolve_page(void *user, const struct page *page, struct err *err)
{
	const struct path_pages *up = user;
	const struct document_path *path = up->path;

	if (page_params_set(&up->resolve->with->params, page, path->n_columns, err) < 0)
		return -1;
	return page_roots(up->resolve, path->sql, path->n_columns, err);
}

static int key_unresolved(void *user, const struct page *page, const struct err *why, struct err *err)
{
	struct path_pages *up = user;

	UNUSED(page);
	if (!pg_is_about_a_value(why))
		return limits_exceeded_by("which documents the change of one row affects", why, err);
	log_warn("sync", "cannot find the documents that a change affects, reading all of them",
		 KV_STR("path", up->path->description), KV_STR("error", why->msg));
	up->unresolved = true;
	return 0;
}

int resolve_path(const struct resolve *r, const struct document_path *path, const struct page *page, struct err *err)
{
	struct path_pages up = {.resolve = r, .path = path};
	const struct page_task task = {.snapshot = r->with->snapshot,
				       .savepoint = "pgsync_resolve",
				       .run = resolve_page,
				       .failed_alone = key_unresolved,
				       .user = &up};

	return page_halve(&task, page, err) < 0 ? -1 : up.unresolved;
}

int resolve_all(const struct resolve *r, struct err *err)
{
	const struct document_plan *plan = r->with->model->plans[r->plan];
	_cleanup_free_ char *of_view = plan->root_is_view ? document_keys_by_range(plan, NULL) : NULL;

	return page_roots(r, of_view ? of_view : plan->sql.all_keys, 0, err);
}

/* --- life --- */

void resolver_init(struct resolver *r, const struct model *model, struct snapshot *snapshot)
{
	*r = (struct resolver){.model = model, .snapshot = snapshot};
	page_params_init(&r->params);
	keyset_init(&r->roots, (size_t)16 * BATCH_BYTES);
	strbuf_init(&r->key, (size_t)16 * BATCH_BYTES);
}

void resolver_release(struct resolver *r)
{
	page_params_release(&r->params);
	keyset_release(&r->roots);
	strbuf_release(&r->key);
}
