/* One document of an index, beside what its row gives now. */
#include <stdlib.h>
#include <string.h>

#include "apply/single.h"
#include "base/parse.h"
#include "document/document.h"
#include "look.h"
#include "search/search.h"
#include "sync/sync.h"
#include "json/json.h"

/* By a search, which finds it whatever its routing is. *ret: the hit, NULL if there is none. */
static int read_hit(const struct look_subject *s, json_t **ret, struct err *err)
{
	const char *index = s->options->spec->documents[s->document]->index;
	_cleanup_json_ json_t *query =
		json_pack("{s:{s:{s:[s]}}, s:i, s:b}", "query", "ids", "values", s->id, "size", 1, "version", true);
	_cleanup_json_ json_t *answer = NULL;

	if (search_refresh(s->search, index, err) < 0 ||
	    search_index_post(s->search, index, "/_search", query, &answer, err) < 0)
		return -1;
	*ret = json_incref(json_array_get(jsonx_get(answer, "hits.hits"), 0));
	return 0;
}

static json_t *lsn_json(uint64_t lsn)
{
	char text[LSN_BYTES];

	return json_string(lsn_format(lsn, text));
}

/* Postgres comes first: then an index that has every change up to its position must have this document. */
int look_document(const struct look_subject *s, json_t **ret, struct err *unread, struct err *err)
{
	_cleanup_json_ json_t *now = NULL, *hit = NULL;
	const json_t *source;
	const char *key;
	struct apply_single document = {0};
	int r;

	if (read_hit(s, &hit, err) < 0)
		return -1;
	/* A document with a hashed _id has the key in a field. */
	key = jsonx_string(json_object_get(hit, "_source"), DOCUMENT_KEY_FIELD, s->id);
	r = sync_read_document(s->options, s->document, key, &document, unread);
	if (r == 0 && document.text)
		r = jsonx_parse(document.text, strlen(document.text), "the document", &now, unread);
	free(document.text);
	json_decref(TAKE_PTR(hit));
	if (read_hit(s, &hit, err) < 0)
		return -1;
	source = json_object_get(hit, "_source");
	*ret = json_pack("{s:s, s:O*, s:O*}", "id", s->id, "index", source, "postgres", now);
	if (hit)
		(void)json_object_set_new(*ret, "version", lsn_json((uint64_t)jsonx_integer(hit, "_version", 0)));
	if (hit)
		(void)json_object_set(*ret, "generation", json_object_get(hit, "_index"));
	if (r < 0) {
		(void)json_object_set_new(*ret, "error", jsonx_text(unread->msg));
		return 0;
	}
	(void)json_object_set_new(*ret, "position", lsn_json(document.lsn));
	(void)json_object_set_new(*ret, "pipeline", json_boolean(s->options->spec->documents[s->document]->pipeline));
	(void)json_object_set_new(*ret, "comparison", look_compare(source, now));
	return 0;
}
