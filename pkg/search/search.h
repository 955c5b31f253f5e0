/* Elasticsearch (7 to 9) and OpenSearch (1 to 3): flavour and version, indices, aliases, mappings, documents, bulk.
 *
 * A struct search is one connection set (an http loop) and belongs to one thread; each writing thread has its own. It
 * borrows a struct http_target, which may be shared. Requests use the lowest common denominator of all versions: no
 * types, plain JSON, external versions (version_type external_gte, so that the same write may be repeated and an older
 * one loses). Document bytes are never parsed here. An index name with a wildcard, a list or _all is INVALID
 * everywhere. Requests without an answer fail with the errors of http_do. */
#ifndef PGSYNC_SEARCH_SEARCH_H
#define PGSYNC_SEARCH_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

struct http_target;
struct search;

/* cancelled may be NULL; once it returns true, waiting ends with ERR_CANCELLED. */
int search_new(struct http_target *target, bool (*cancelled)(void *user), void *user, struct search **ret,
	       struct err *err) WARN_UNUSED;
void search_free(struct search *search);
CLEANUP(struct search, search_free);
/* The time limit of each request that is not a bulk request. 0: the default, 60 s. */
void search_set_timeout(struct search *search, int64_t timeout_ms);

enum search_flavour { SEARCH_ELASTICSEARCH, SEARCH_OPENSEARCH };

struct search_info {
	enum search_flavour flavour;
	int major, minor;
	char version[32];
	char cluster_name[128];
};
/* GET /. DENIED/AuthFailed on 401 and 403, INVALID/VersionUnsupported when it is neither engine, older than ES 7 or
 * OpenSearch 1, or Elastic Cloud Serverless. */
int search_info(struct search *search, struct search_info *ret, struct err *err) WARN_UNUSED;

/* Requests for rare needs. Only this package builds paths, with every name escaped: whatever it contains, it stays one
 * name. body and ret may be NULL. Statuses >= 400 are errors as http_status_err makes them, with the engine's error
 * type and reason in the message; reason AuthFailed for 401 and 403, SinkUnavailable for 429 and 5xx. NOT_FOUND is only
 * used for what the engine itself reports as absent; any other 404 is TRANSIENT/SinkUnavailable. */
/* GET and POST of one index: suffix is what follows its name, "/_search?scroll=5m". */
int search_index_get(struct search *search, const char *index, const char *suffix, json_t **ret,
		     struct err *err) WARN_UNUSED;
int search_index_post(struct search *search, const char *index, const char *suffix, const json_t *body, json_t **ret,
		      struct err *err) WARN_UNUSED;
/* GET of all indices whose names begin with the prefix. */
int search_indices_get(struct search *search, const char *prefix, const char *suffix, json_t **ret,
		       struct err *err) WARN_UNUSED;
/* The next page of a scroll (POST), or its end (DELETE). */
int search_scroll(struct search *search, const char *method, const json_t *body, json_t **ret,
		  struct err *err) WARN_UNUSED;

/* --- Indices and aliases
 * ------------------------------------------------------------------------------------------------- */
enum search_name_kind { SEARCH_NAME_ABSENT, SEARCH_NAME_INDEX, SEARCH_NAME_ALIAS };

struct search_name {
	enum search_name_kind kind;
	char *target; /* ALIAS: the (first) index behind it */
	size_t n_targets;
};
/* What a name refers to. */
int search_resolve(struct search *search, const char *name, struct search_name *ret, struct err *err) WARN_UNUSED;
void search_name_release(struct search_name *name);

/* body: {"settings": ..., "mappings": ...}. CONFLICT when it exists. INVALID/IndexRejected when the engine refuses the
 * body. */
int search_index_create(struct search *search, const char *index, const json_t *body, struct err *err) WARN_UNUSED;
/* Absent is success. */
int search_index_delete(struct search *search, const char *index, struct err *err) WARN_UNUSED;
int search_index_exists(struct search *search, const char *index, bool *ret, struct err *err) WARN_UNUSED;
/* Whether an ingest pipeline exists; DENIED if the login may not read it. */
int search_pipeline_exists(struct search *search, const char *name, bool *ret, struct err *err) WARN_UNUSED;
/* {"<name>": its definition}; NULL when there is none. DENIED as above. */
int search_pipeline_get(struct search *search, const char *name, json_t **ret, struct err *err) WARN_UNUSED;
/* What the index templates that apply to its name would make an index from: {"settings": ..., "mappings": ...}; NULL
 * when there is none. DENIED if the login may not read it. */
int search_index_template(struct search *search, const char *index, json_t **ret, struct err *err) WARN_UNUSED;
/* mappings._meta of an index, {} when there is none, or when the name is an alias; NOT_FOUND when it is absent. */
int search_index_meta(struct search *search, const char *index, json_t **ret, struct err *err) WARN_UNUSED;
/* Merges into mappings (PUT _mapping): properties are added, _meta is replaced. */
int search_put_mapping(struct search *search, const char *index, const json_t *mapping, struct err *err) WARN_UNUSED;
int search_put_settings(struct search *search, const char *index, const json_t *settings, struct err *err) WARN_UNUSED;
int search_refresh(struct search *search, const char *index, struct err *err) WARN_UNUSED;
/* One atomic call: alias points to index alone. remove_index: a real index of the alias's name goes away in the same
 * call; without it, such an index is INVALID/IndexExists. */
int search_alias_move(struct search *search, const char *alias, const char *index, bool remove_index,
		      struct err *err) WARN_UNUSED;

/* Removes the aliases of an index that begin with `prefix`, except this one (NULL: all), and adds this one if it is
 * missing. One atomic request, sent at most once, so that no alias is added late; no request if nothing has to change.
 * NOT_FOUND if the index is absent. */
int search_alias_replace(struct search *search, const char *index, const char *prefix, const char *alias,
			 struct err *err) WARN_UNUSED;

struct search_stats {
	int64_t documents;
	char health[8]; /* green, yellow, red, or "" */
};
int search_stats(struct search *search, const char *index, struct search_stats *ret, struct err *err) WARN_UNUSED;
/* The history of each shard, {"0": "..."}, without those that have no started copy. Another one begins when a shard is
 * restored from a snapshot, or goes on from an older copy; not when it moves, or when another copy becomes the primary.
 */
int search_histories(struct search *search, const char *index, json_t **ret, struct err *err) WARN_UNUSED;

/* --- Single documents (checkpoints)
 * --------------------------------------------------------------------------------------- */
struct search_version {
	int64_t seq_no, primary_term; /* -1: the document does not exist */
};
/* Realtime. A missing document is not an error: *ret is NULL and the version is -1. */
int search_get(struct search *search, const char *index, const char *id, json_t **ret,
	       struct search_version *ret_version, struct err *err) WARN_UNUSED;
/* Writes only if the document still has this version (-1: does not exist); CONFLICT otherwise. */
int search_put(struct search *search, const char *index, const char *id, const json_t *document,
	       struct search_version *version, struct err *err) WARN_UNUSED;
/* Absent is success. */
int search_delete(struct search *search, const char *index, const char *id, struct err *err) WARN_UNUSED;
/* The same, if the document still has this version; CONFLICT otherwise. */
int search_delete_version(struct search *search, const char *index, const char *id,
			  const struct search_version *version, struct err *err) WARN_UNUSED;

/* --- Bulk
 * ---------------------------------------------------------------------------------------------------------------- */
/* A writer with up to `concurrency` bulk requests in progress. Bodies are sent when they reach max_bytes or
 * max_actions, or at bulk_flush. Responses are read item by item. Done: a document that was created or updated, a
 * deletion (whether or not there was a document), and a version conflict (the index has a newer version). A success
 * that wrote nothing (an ingest pipeline dropped the document) becomes a deletion with the same version. A document is
 * rejected, and goes to on_rejected, only for an error that is known to be about documents (bulk_judge.c). 413: body
 * size is halved permanently; a single document is rejected. Every other item is sent again after a back-off (100 ms to
 * 30 s, full jitter, Retry-After), as is a request that the engine pushes back (429, 503 and the like), while body size
 * and concurrency adapt (halved, then raised step by step). An item of a missing index, of a missing pipeline, or that
 * the login may not write, and a whole answer of 401, 403, 404 or 400 end the writer: the caller checks these again. A
 * request without an answer of the engine (a broken connection, a time-out, a 5xx of a proxy) may still be carried out
 * at any time, so it is never sent again: it ends the writer with TRANSIENT/SinkUnavailable, and the caller removes the
 * name that it was sent to (sink/write_alias.h). Retrying ends with TRANSIENT/SinkUnavailable once the next attempt
 * would begin retry_ms after the first time that the body was sent. The caller then builds the documents again, so that
 * nothing old is written late; the last request may take another 60 s. After any error but CANCELLED every call returns
 * the same error; free the writer.
 *
 * The engine eventually forgets a deleted document's version, so a caller sends a delete only when nothing older can
 * arrive after it (apply/unsettled.h).
 *
 * Memory: concurrency + 1 bodies of max_bytes (one of them may hold a single larger document). */
struct bulk;

struct bulk_rejection {
	const char *index, *id;
	uint64_t version;
	bool is_delete;
	int status;
	const char *type, *reason; /* the engine's; the reason may quote the document, */
	const char *words;         /* this does not: for messages and logs */
	const char *note;          /* of the action; or NULL */
};

struct bulk_options {
	size_t max_bytes; /* default 2 MiB: the target size of a body; one document may exceed it up to max_document */
	size_t max_document;  /* default 90 MiB */
	unsigned max_actions; /* default 10,000 */
	unsigned concurrency; /* default 2 */
	int64_t retry_ms;     /* default 5 minutes */
	/* The longest that bulk_add waits while the engine pushes back: its caller has a snapshot open, and with it
	 * locks that a migration waits for. Then the writer ends with TRANSIENT/SinkUnavailable. 0: no limit. */
	int64_t hold_ms;
	/* Called from bulk_* in the caller's thread for each rejected item. A negative return stops the writer with
	 * that error. May make other requests, but not use this writer. NULL: a rejection is INVALID/DocumentRejected.
	 */
	int (*on_rejected)(void *user, const struct bulk_rejection *rejection, struct err *err);
	/* Called for each document that an ingest pipeline dropped. May be NULL. */
	void (*on_dropped)(void *user, const char *index);
	/* Called when the engine pushes back (429, 5xx, no answer) or refuses an item, and when it has accepted all of
	 * it, or the writer is freed; for a condition. May be NULL. */
	void (*on_pressure)(void *user, bool under_pressure, const char *why);
	void *user;
};

struct bulk_stats {
	uint64_t indexed, deleted, dropped, conflicts, rejected, retries, requests, bytes;
	uint64_t added, added_bytes; /* actions added by bulk_add, and their documents' bytes */
	uint64_t done_below;         /* each of the first done_below actions is done (or was handed to on_rejected) */
	int64_t last_took_ms;
};

struct bulk *bulk_new(struct search *search, const struct bulk_options *options);
/* Drops what was not sent; cancels the requests in progress. */
void bulk_free(struct bulk *bulk);
CLEANUP(struct bulk, bulk_free);

struct bulk_action {
	const char *index; /* the index as messages name it */
	const char *via;   /* the alias that the request names instead; or NULL */
	const char *id;
	size_t id_len;
	const char *routing;  /* or NULL */
	const char *pipeline; /* of ingest, for documents; or NULL */
	uint64_t version;     /* external, > 0 */
	const char *document; /* NULL: a delete. Raw line breaks become spaces */
	size_t document_len;
	const char *note; /* passed to on_rejected if it is rejected; or NULL */
};
/* From this time on, calls fail instead of waiting for the engine (CONFLICT/LimitExceeded). What was added stays, and
 * the writer can be used once the deadline has been moved. 0: none. Returns the previous one. */
int64_t bulk_set_deadline(struct bulk *bulk, int64_t deadline_ms);
/* Asked while a call waits: true ends the wait as a deadline does. */
void bulk_set_interrupt(struct bulk *bulk, bool (*interrupted)(void *user), void *user);
/* True if an action can be added, whatever its size, without waiting. */
bool bulk_has_room(const struct bulk *bulk);
/* Waits until that is so. */
int bulk_make_room(struct bulk *bulk, struct err *err) WARN_UNUSED;
/* Copies the action into the current body. May wait for a free slot. An empty id, an id above 512 bytes and a document
 * above max_document are rejected as items. */
int bulk_add(struct bulk *bulk, const struct bulk_action *action, struct err *err) WARN_UNUSED;
/* Sends what is left and waits until every action is done. */
int bulk_flush(struct bulk *bulk, struct err *err) WARN_UNUSED;
/* Lets transfers make progress without waiting; if none is in progress, a body that is not full is sent as it is. */
int bulk_send(struct bulk *bulk, struct err *err) WARN_UNUSED;
const struct bulk_stats *bulk_stats(const struct bulk *bulk);

#endif
