/* Documents of rows that are gone without an event. */
#include "sink/purge.h"

#include <string.h>

#include "sink/write_alias.h"
#include "json/json.h"

enum { PAGE_HITS = 5000 };

struct purge {
	const struct sink *sink;
	const char *index, *via;
	uint64_t version; /* of what was just written */
	struct bulk *bulk;
};

static int delete_older(const struct purge *p, const json_t *hits, struct err *err)
{
	const json_t *hit;
	size_t i;

	json_array_foreach (hits, i, hit) {
		const char *id = jsonx_string(hit, "_id", "");
		struct bulk_action action = {.index = p->index,
					     .via = p->via,
					     .id = id,
					     .id_len = strlen(id),
					     .routing = jsonx_string(hit, "_routing", NULL),
					     /* Never deletes what was just written, even if a replica is behind. */
					     .version = p->version - 1};

		if ((uint64_t)json_integer_value(json_object_get(hit, "_version")) < p->version &&
		    bulk_add(p->bulk, &action, err) < 0)
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

/* One page of hits. A shard that does not answer would keep its documents: no page is better than a partial one. */
static int read_page(struct search *search, const char *path, const json_t *body, json_t **ret, struct err *err)
{
	json_decref(TAKE_PTR(*ret));
	if (search_json(search, "POST", path, body, ret, err) < 0)
		return -1;
	if (json_integer_value(jsonx_get(*ret, "_shards.failed")) || json_is_true(json_object_get(*ret, "timed_out")))
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "not every shard answered");
	return 0;
}

static int purge_pages(const struct purge *p, json_t **page, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("/%s/_search?scroll=5m", p->index);
	_cleanup_json_ json_t *body =
		json_pack("{s:i, s:b, s:b, s:[s]}", "size", PAGE_HITS, "_source", 0, "version", 1, "sort", "_doc");
	int failed = read_page(p->sink->search, path, body, page, err);

	while (failed == 0 && json_array_size(jsonx_get(*page, "hits.hits")) > 0) {
		_cleanup_json_ json_t *next =
			json_pack("{s:s, s:s}", "scroll", "5m", "scroll_id", jsonx_string(*page, "_scroll_id", ""));

		failed = delete_older(p, jsonx_get(*page, "hits.hits"), err);
		if (failed == 0)
			failed = read_page(p->sink->search, "/_search/scroll", next, page, err);
	}
	return failed;
}

int purge_older(const struct sink *sink, const char *index, uint64_t version, struct bulk *bulk, struct err *err)
{
	_cleanup_free_ char *via = write_alias_name(index, sink->token);
	const struct purge p = {.sink = sink, .index = index, .via = via, .version = version, .bulk = bulk};
	_cleanup_json_ json_t *page = NULL;
	int failed = search_refresh(sink->search, index, err);

	if (failed == 0)
		failed = purge_pages(&p, &page, err);
	if (page)
		close_scroll(sink->search, jsonx_string(page, "_scroll_id", ""));
	return failed < 0 ? err_wrap(err, "looking for documents of rows that are gone") : 0;
}
