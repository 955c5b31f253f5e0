/* Views in the tree. */
#include "sync/views_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sync/deadletter_int.h"
#include "json/json.h"

enum { PAGE_HITS = 5000, SQL_BYTES = 1024 };

/* --- materialized views --- */

static bool to_refresh(const struct document_view *view)
{
	return view->followed && view->view->kind == 'm';
}

bool views_to_refresh(const struct document_plan *plan)
{
	for (size_t i = 0; i < plan->n_views; i++)
		if (to_refresh(&plan->views[i]))
			return true;
	return false;
}

/* The plan with the smallest OID above `after` that is to be refreshed: views that read others come after these. */
static const struct catalog_table *next_view(const struct engine *e, const bool *plans, uint32_t after)
{
	const struct catalog_table *next = NULL;

	for (size_t p = 0; p < e->n_plans; p++) {
		for (size_t i = 0; (!plans || plans[p]) && i < e->plans[p]->n_views; i++) {
			const struct document_view *view = &e->plans[p]->views[i];

			if (to_refresh(view) && view->view->oid > after && (!next || view->view->oid < next->oid))
				next = view->view;
		}
	}
	return next;
}

/* CONCURRENTLY lets others read meanwhile. It compares the rows, by a unique index. */
static bool may_refresh_concurrently(const struct catalog_table *view)
{
	for (size_t i = 0; view->populated && i < view->n_indexes; i++) {
		const struct catalog_index *index = &view->indexes[i];

		if (index->unique && index->immediate && index->valid && !index->partial && !index->expression)
			return true;
	}
	return false;
}

static int refresh(struct pg *pg, const struct catalog_table *view, struct err *err)
{
	struct strbuf sql;
	int r;

	strbuf_init(&sql, SQL_BYTES);
	strbuf_addf(&sql, "REFRESH MATERIALIZED VIEW %s", may_refresh_concurrently(view) ? "CONCURRENTLY " : "");
	pg_quote_table(&sql, view->schema, view->name);
	r = pg_exec(pg, sql.data, err);
	if (r < 0)
		(void)err_wrap(err, "%s", sql.data);
	strbuf_release(&sql);
	return r;
}

int views_refresh(struct engine *e, struct pg *pg, const bool *plans, struct err *err)
{
	uint32_t after = 0;
	const struct catalog_table *view;

	while ((view = next_view(e, plans, after))) {
		after = view->oid;
		if (refresh(pg, view, err) < 0)
			return -1;
	}
	return 0;
}

/* --- rows that left a view --- */

/* Adds a delete for each hit that is older than the reading. */
static int delete_older(struct reading *r, const char *index, const json_t *hits, struct err *err)
{
	const json_t *hit;
	size_t i;

	json_array_foreach (hits, i, hit) {
		const char *id = jsonx_string(hit, "_id", "");
		struct bulk_action action = {.index = index,
					     .id = id,
					     .id_len = strlen(id),
					     .routing = jsonx_string(hit, "_routing", NULL),
					     .version = r->version};

		if ((uint64_t)json_integer_value(json_object_get(hit, "_version")) < r->version &&
		    bulk_add(r->bulk, &action, err) < 0)
			return -1;
	}
	return 0;
}

static void close_scroll(struct search *search, const char *id)
{
	_cleanup_json_ json_t *body = json_pack("{s:s}", "scroll_id", id);
	struct err ignored;

	(void)!search_json(search, "DELETE", "/_search/scroll", body, NULL, &ignored);
}

/* One page of hits. A shard that does not answer would keep what it has: no page is better than a part of one. */
static int read_page(struct search *search, const char *path, const json_t *body, json_t **ret, struct err *err)
{
	json_decref(TAKE_PTR(*ret));
	if (search_json(search, "POST", path, body, ret, err) < 0)
		return -1;
	if (json_integer_value(jsonx_get(*ret, "_shards.failed")) || json_is_true(json_object_get(*ret, "timed_out")))
		return err_reason(err, ERR_TRANSIENT, "SinkUnavailable", "not every shard answered");
	return 0;
}

static int sweep_pages(struct reading *r, struct search *search, const char *index, json_t **page, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("/%s/_search?scroll=5m", index);
	_cleanup_json_ json_t *body =
		json_pack("{s:i, s:b, s:b, s:[s]}", "size", PAGE_HITS, "_source", 0, "version", 1, "sort", "_doc");
	int failed = read_page(search, path, body, page, err);

	while (failed == 0 && json_array_size(jsonx_get(*page, "hits.hits")) > 0) {
		_cleanup_json_ json_t *next =
			json_pack("{s:s, s:s}", "scroll", "5m", "scroll_id", jsonx_string(*page, "_scroll_id", ""));

		failed = delete_older(r, index, jsonx_get(*page, "hits.hits"), err);
		if (failed == 0)
			failed = read_page(search, "/_search/scroll", next, page, err);
	}
	return failed;
}

static int sweep_index(struct reading *r, struct search *search, const char *index, struct err *err)
{
	_cleanup_json_ json_t *page = NULL;
	int failed;

	if (search_refresh(search, index, err) < 0)
		return -1;
	failed = sweep_pages(r, search, index, &page, err);
	if (page)
		close_scroll(search, jsonx_string(page, "_scroll_id", ""));
	return failed;
}

int views_sweep(struct reading *r, struct err *err)
{
	_cleanup_(search_freep) struct search *search = NULL;

	/* The bulk writer's own is busy with bulks. */
	if (engine_search(r->engine, &search, err) < 0 ||
	    sweep_index(r, search, r->engine->physical[r->plan], err) < 0 ||
	    (r->letters && sweep_index(r, search, r->letters, err) < 0))
		return err_wrap(err, "looking for documents of rows that are gone");
	return 0;
}
