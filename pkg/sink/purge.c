/* Documents of rows that are gone without an event. */
#include "sink/purge.h"

#include <string.h>

#include "sink/scroll.h"
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
					     /* Never deletes a document that was just written, even if a replica is
					      * behind. */
					     .version = p->version - 1};

		if ((uint64_t)json_integer_value(json_object_get(hit, "_version")) < p->version &&
		    bulk_add(p->bulk, &action, err) < 0)
			return -1;
	}
	return 0;
}

static int purge_pages(const struct purge *p, struct scroll *s, struct err *err)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:i, s:b, s:b, s:[s]}", "size", PAGE_HITS, "_source", 0, "version", 1, "sort", "_doc");
	int failed = scroll_begin(s, p->sink->search, p->index, body, err);

	while (failed == 0 && json_array_size(scroll_hits(s)) > 0) {
		failed = delete_older(p, scroll_hits(s), err);
		if (failed == 0)
			failed = scroll_next(s, err);
	}
	return failed;
}

int purge_older(const struct sink *sink, const char *index, uint64_t version, struct bulk *bulk, struct err *err)
{
	_cleanup_free_ char *via = write_alias_name(index, sink->token);
	const struct purge p = {.sink = sink, .index = index, .via = via, .version = version, .bulk = bulk};
	_cleanup_(scroll_end) struct scroll scroll = {0};

	if (purge_pages(&p, &scroll, err) < 0)
		return err_wrap(err, "looking for documents of rows that are gone");
	return 0;
}
