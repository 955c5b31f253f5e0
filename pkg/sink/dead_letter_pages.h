/* Reading dead letters: for the worker, which tries their documents again, and for users.
 *
 * For the thread that owns the connection. */
#ifndef PGSYNC_SINK_DEAD_LETTER_PAGES_H
#define PGSYNC_SINK_DEAD_LETTER_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "search/search.h"
#include "sink/scroll.h"

/* A hit of a search; points into it. */
struct dead_letter {
	const char *id;          /* of its document, and of the dead letter itself */
	const char *fingerprint; /* of the index when its document was tried (sink/index_fingerprint.h); "": an earlier
				  * release wrote it */
	char *key;               /* of the root, as in struct dead_letters_retry; NULL: the id contains it */
	size_t key_len;
	int64_t attempts; /* how often its document was tried */
	const json_t *source;
	struct search_version version;
};

/* The dead letters of an index, page by page, as of now. None if their index is absent. */
struct dead_letter_pages {
	struct scroll scroll;
	struct dead_letter *items; /* of the page */
	size_t n;
	json_t *single; /* what dead_letter_pages_get read */
};

/* Reads the first page. Call dead_letter_pages_end even if it failed. */
int dead_letter_pages_begin(struct dead_letter_pages *l, struct search *search, const char *alias,
			    struct err *err) WARN_UNUSED;
/* Reads the next page; after the last one, n is 0. */
int dead_letter_pages_next(struct dead_letter_pages *l, struct err *err) WARN_UNUSED;
/* Also accepts a struct that is all zeros. */
void dead_letter_pages_end(struct dead_letter_pages *l);

/* Reads the dead letter of this document, as a page of one. n is 0 if there is none. */
int dead_letter_pages_get(struct dead_letter_pages *l, struct search *search, const char *alias, const char *id,
			  struct err *err) WARN_UNUSED;
/* Deletes a dead letter. CONFLICT if it was replaced since it was read. */
int dead_letter_discard(struct search *search, const char *alias, const struct dead_letter *letter,
			struct err *err) WARN_UNUSED;

/* --- decisions (pure) --- */

/* Whether its cause may be gone: its index's fingerprint differs from the one that its document was tried with. */
bool dead_letter_may_pass(const struct dead_letter *letter, const char *fingerprint);
/* How many milliseconds to wait before the next pass over an index's dead letters, after this many consecutive passes:
 * a mapping may keep changing. */
int64_t dead_letters_pause_ms(unsigned passes);

#endif
