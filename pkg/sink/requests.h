/* Requests of users to a worker about dead letters: a document next to the checkpoint.
 *
 * Only the worker writes documents, in the order of the stream, so a command stores a request, and the worker carries
 * it out. Each save is conditional on the document not having changed since it was loaded: no request is lost, and one
 * that arrived while others were carried out stays. */
#ifndef PGSYNC_SINK_REQUESTS_H
#define PGSYNC_SINK_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"
#include "search/search.h"

/* {"all": ["<alias>", ...], "retry": {"<alias>": ["<id>", ...]}, "handled": "<nonce>"} */
struct requests {
	json_t *document; /* NULL: there is none */
	struct search_version version;
};

/* key: of the checkpoint. */
int requests_load(struct search *search, const char *key, struct requests *ret, struct err *err) WARN_UNUSED;
void requests_release(struct requests *requests);
/* Whether a retry was requested: for any dead letter of this index, and for that of this document. */
bool requests_name(const struct requests *requests, const char *alias);
bool requests_have(const struct requests *requests, const char *alias, const char *id);
/* The annotation's value that was carried out last; "": none. */
const char *requests_handled(const struct requests *requests);

/* For the command: adds a request. id: NULL for all dead letters of the index. */
int requests_add(struct search *search, const char *key, const char *alias, const char *id,
		 struct err *err) WARN_UNUSED;
/* For the worker: records that everything loaded was carried out, and so was the annotation's value (NULL: there is
 * none). Keeps what was added since. */
int requests_settle(struct search *search, const char *key, struct requests *requests, const char *nonce,
		    struct err *err) WARN_UNUSED;
/* Success if there is none. */
int requests_delete(struct search *search, const char *key, struct err *err) WARN_UNUSED;

/* What remains of `now` without what `done` asks for (pure); a new reference. */
json_t *requests_rest(const json_t *now, const json_t *done);

#endif
