/* Dead letters as they are read: by the worker, to try their documents again, and by people.
 *
 * For the thread that owns the connection.
 */
#ifndef PGSYNC_SINK_LETTERS_H
#define PGSYNC_SINK_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "search/search.h"
#include "sink/scroll.h"

/* A hit of a search, which it points into. */
struct letter {
	const char *id;     /* of its document; its own as well */
	const char *intake; /* sink/intake.h: what its document was tried against; "": an earlier release wrote it */
	char *key;          /* of the root, as dead_letters_retry has it; NULL: the id says it */
	size_t key_len;
	int64_t attempts; /* how often its document was tried */
	const json_t *source;
	struct search_version version;
};

/* Those of an index, page by page, as of now. None if their index is absent. */
struct letters {
	struct scroll scroll;
	struct letter *items; /* of the page */
	size_t n;
	json_t *single; /* what letters_get read */
};

/* Reads the first page. Call letters_end even if it failed. */
int letters_begin(struct letters *l, struct search *search, const char *alias, struct err *err) WARN_UNUSED;
/* Reads the next page; after the last one, n is 0. */
int letters_next(struct letters *l, struct err *err) WARN_UNUSED;
/* Also accepts a struct that is all zeros. */
void letters_end(struct letters *l);

/* The one of this document, as the only one of a page. n is 0 if there is none. */
int letters_get(struct letters *l, struct search *search, const char *alias, const char *id,
		struct err *err) WARN_UNUSED;
/* Deletes it, unless another one has taken its place since it was read: CONFLICT. */
int letters_discard(struct search *search, const char *alias, const struct letter *letter, struct err *err) WARN_UNUSED;

/* --- decisions (pure) --- */

/* Whether its cause may be gone: what its index takes is not what its document was tried against. */
bool letter_may_pass(const struct letter *letter, const char *intake);
/* How long the next pass over the dead letters of an index waits, after so many that found the same reason to begin:
 * a mapping may change all the time. Milliseconds. */
int64_t letters_pause_ms(unsigned passes);

#endif
