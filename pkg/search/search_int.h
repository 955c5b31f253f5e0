/* What the files of this package share: requests whose status the caller judges, and paths. */
#ifndef PGSYNC_SEARCH_SEARCH_INT_H
#define PGSYNC_SEARCH_SEARCH_INT_H

#include "http/http.h"
#include "search/search.h"

struct search {
	struct http *http;
	struct http_target *target;
	bool (*cancelled)(void *user);
	void *user;
	int64_t timeout_ms; /* of one request that is not a bulk request */
};

/* An answer of any status; root is NULL if the body is not JSON. */
struct search_answer {
	struct http_response response;
	json_t *root;
};

void search_answer_release(struct search_answer *answer);
/* The engine's error type and reason, or NULL. Borrowed. */
const char *search_error_type(const json_t *root);
const char *search_error_reason(const json_t *root);
/* Whether a 404 is the engine's own, so that the object does not exist. A proxy may answer 404 as well. */
bool search_says_absent(const json_t *root);

/* Sends and waits; 0 if an answer arrived, whatever its status. */
int search_request(struct search *search, const char *method, const char *path, const json_t *body,
		   struct search_answer *ret, struct err *err) WARN_UNUSED;
/* Sends at most once: if no answer arrives, nothing that is sent later can be mistaken for it. */
int search_send_once(struct search *search, const char *method, const char *path, const json_t *body,
		     struct err *err) WARN_UNUSED;
/* Sets an error of the kind that belongs to the status, with the engine's message. Returns -1. */
int search_answer_err(const struct search *search, const char *method, const char *path,
		      const struct http_response *response, const json_t *root, struct err *err);

/* "/<index><middle><id><suffix>" with the names escaped; id may be NULL. Caller frees. INVALID if `index` could mean
 * anything but one index (a wildcard, a list, _all): a wrong name must not delete more than intended. */
int search_path(const char *index, const char *middle, const char *id, const char *suffix, char **ret,
		struct err *err) WARN_UNUSED;
/* The same below another path: "/_cat/indices". */
int search_path_below(const char *above, const char *index, const char *suffix, char **ret,
		      struct err *err) WARN_UNUSED;
/* Whether the answer confirms that the request was carried out, on all nodes that it concerns. */
bool search_confirms(const json_t *root);
/* Sets the error about an answer that does not. Returns -1. */
int search_explain_unconfirmed(const struct search *search, const char *method, const char *path, struct err *err);
/* Any JSON request, with a complete path. Without `ret` it is one that changes something: TRANSIENT unless the answer
 * confirms that. */
int search_json(struct search *search, const char *method, const char *path, const json_t *body, json_t **ret,
		struct err *err) WARN_UNUSED;
/* search_path and search_json in one, for requests that change something. */
int search_index_send(struct search *search, const char *method, const char *index, const char *suffix,
		      const json_t *body, struct err *err) WARN_UNUSED;

/* Returns jansson's result; ends the program if memory is exhausted. */
json_t *search_must(json_t *value);

#endif
