/* Every document of an index, a page of hits at a time, as of the moment when the scroll was begun.
 *
 * A scroll belongs to one thread, as its connection does. */
#ifndef PGSYNC_SINK_SCROLL_H
#define PGSYNC_SINK_SCROLL_H

#include <jansson.h>

#include "base/err.h"
#include "search/search.h"

struct scroll {
	struct search *search; /* NULL: it was not begun, or has ended */
	json_t *page;
};

/* Reads the first page, after a refresh. body: of the search. NOT_FOUND: the index is absent. If not every shard
 * answered, the page is an error: a partial page must not be used. Call scroll_end even if it failed. */
int scroll_begin(struct scroll *s, struct search *search, const char *index, const json_t *body,
		 struct err *err) WARN_UNUSED;
int scroll_next(struct scroll *s, struct err *err) WARN_UNUSED;
/* The hits of the page; an empty array after the last page. Borrowed. */
const json_t *scroll_hits(const struct scroll *s);
/* Also accepts a scroll that was not begun. */
void scroll_end(struct scroll *s);

#endif
