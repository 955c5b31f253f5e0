/* Documents of rows that are gone without an event of their own. */
#include "sync/purge_int.h"

#include <string.h>

#include "json/json.h"

enum { PAGE_HITS = 5000 };

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
					     /* Never what was just written, should a copy of the index be behind. */
					     .version = r->version - 1};

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

int purge_older(struct reading *r, struct err *err)
{
	_cleanup_(search_freep) struct search *search = NULL;

	/* The bulk writer's own is busy with bulks. */
	if (connector_search(r->connector, &search, err) < 0 ||
	    sweep_index(r, search, r->model->concrete[r->plan], err) < 0 ||
	    (r->letters && sweep_index(r, search, r->letters, err) < 0))
		return err_wrap(err, "looking for documents of rows that are gone");
	return 0;
}
