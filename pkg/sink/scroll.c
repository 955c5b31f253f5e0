/* Pages of hits. */
#include "sink/scroll.h"

#include "base/mem.h"
#include "json/json.h"

/* What is not a page must not pass for the last one, which has no hits. */
static bool is_page(const json_t *page)
{
	return json_is_array(jsonx_get(page, "hits.hits")) && *jsonx_string(page, "_scroll_id", "");
}

static int take_page(struct scroll *s, json_t *page_take, struct err *err)
{
	json_decref(s->page);
	s->page = page_take;
	if (!is_page(s->page))
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
				  "the answer to a search is not a page of hits; is something else in front of the "
				  "search engine?");
	if (json_integer_value(jsonx_get(s->page, "_shards.failed")) ||
	    json_is_true(json_object_get(s->page, "timed_out")))
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "not every shard answered");
	return 0;
}

int scroll_begin(struct scroll *s, struct search *search, const char *index, const json_t *body, struct err *err)
{
	json_t *page = NULL;

	*s = (struct scroll){.search = search};
	if (search_refresh(search, index, err) < 0 ||
	    search_index_post(search, index, "/_search?scroll=5m", body, &page, err) < 0)
		return -1;
	return take_page(s, page, err);
}

int scroll_next(struct scroll *s, struct err *err)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:s, s:s}", "scroll", "5m", "scroll_id", jsonx_string(s->page, "_scroll_id", ""));
	json_t *page = NULL;

	return search_scroll(s->search, "POST", body, &page, err) < 0 ? -1 : take_page(s, page, err);
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

		(void)!search_scroll(s->search, "DELETE", body, NULL, &ignored);
	}
	json_decref(s->page);
	*s = (struct scroll){0};
}
