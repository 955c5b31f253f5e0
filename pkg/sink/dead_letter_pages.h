/* Dead letters as they are read: by the worker, to try their documents again, and by people.
 *
 * For the thread that owns the connection.
 */
#ifndef PGSYNC_SINK_DEAD_LETTER_PAGES_H
#define PGSYNC_SINK_DEAD_LETTER_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "search/search.h"
#include "sink/scroll.h"

/* A hit of a search, which it points into. */
struct dead_letter {
	const char *id;          /* of its document; its own as well */
	const char *fingerprint; /* sink/index_fingerprint.h: what its document was tried against; "": an earlier
				    release wrote it */
	char *key;               /* of the root, as dead_letters_retry has it; NULL: the id says it */
	size_t key_len;
	int64_t attempts; /* how often its document was tried */
	const json_t *source;
	struct search_version version;
};

/* Those of an index, page by page, as of now. None if their index is absent. */
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

/* The one of this document, as the only one of a page. n is 0 if there is none. */
int dead_letter_pages_get(struct dead_letter_pages *l, struct search *search, const char *alias, const char *id,
			  struct err *err) WARN_UNUSED;
/* Deletes it, unless another one has taken its place since it was read: CONFLICT. */
int dead_letter_discard(struct search *search, const char *alias, const struct dead_letter *letter,
			struct err *err) WARN_UNUSED;

/* --- decisions (pure) --- */

/* Whether its cause may be gone: what its index takes is not what its document was tried against. */
bool dead_letter_may_pass(const struct dead_letter *letter, const char *fingerprint);
/* How long the next pass over the dead letters of an index waits, after so many that found the same reason to begin:
 * a mapping may change all the time. Milliseconds. */
int64_t dead_letters_pause_ms(unsigned passes);

#endif
