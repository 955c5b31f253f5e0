/* Pages of hits. */
#include "sink/scroll.h"

#include "base/mem.h"
#include "json/json.h"

static int read_page(struct scroll *s, const char *path, const json_t *body, struct err *err)
{
	json_t *page = NULL;

	if (search_json(s->search, "POST", path, body, &page, err) < 0)
		return -1;
	json_decref(s->page);
	s->page = page;
	if (json_integer_value(jsonx_get(page, "_shards.failed")) || json_is_true(json_object_get(page, "timed_out")))
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "not every shard answered");
	return 0;
}

int scroll_begin(struct scroll *s, struct search *search, const char *index, const json_t *body, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("/%s/_search?scroll=5m", index);

	*s = (struct scroll){.search = search};
	return search_refresh(search, index, err) < 0 ? -1 : read_page(s, path, body, err);
}

int scroll_next(struct scroll *s, struct err *err)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:s, s:s}", "scroll", "5m", "scroll_id", jsonx_string(s->page, "_scroll_id", ""));

	return read_page(s, "/_search/scroll", body, err);
}

const json_t *scroll_hits(const struct scroll *s)
{
	return jsonx_get(s->page, "hits.hits");
}

void scroll_end(struct scroll *s)
{
	struct err ignored;

	if (s->search && s->page) {
		_cleanup_json_ json_t *body = json_pack("{s:s}", "scroll_id", jsonx_string(s->page, "_scroll_id", ""));

		(void)!search_json(s->search, "DELETE", "/_search/scroll", body, NULL, &ignored);
	}
	json_decref(s->page);
	*s = (struct scroll){0};
}
