/* The pure parts of the bulk API: lines of a request, items of an answer, and what an item's status means. */
#ifndef PGSYNC_SEARCH_BULK_INT_H
#define PGSYNC_SEARCH_BULK_INT_H

#include "base/strbuf.h"
#include "search/search.h"

enum { BULK_ID_BYTES = 512 };

/* Appends the action's line and, unless it is a delete, the document's. index: written into the action line, or NULL
 * when the request's path names it. */
void bulk_encode(struct strbuf *sb, const struct bulk_action *action, const char *index);
/* More than the lines need, document included. */
size_t bulk_encoded_max(const struct bulk_action *action, const char *index);

/* The parts of the answer that the server is asked for (filter_path). Statuses are needed because items are identified
 * only by their position, results because a success may have written nothing, and the other three because it may have
 * written something else: an ingest pipeline can change them. */
#define BULK_FILTER                                                                                          \
	"filter_path=took,errors,items.*.status,items.*.result,items.*._index,items.*._id,items.*._version," \
	"items.*.error.type,items.*.error.reason,items.*.error.**.reason"

enum bulk_result {
	BULK_RESULT_NONE = 0, /* none was given, or one that is not known */
	BULK_RESULT_CREATED,
	BULK_RESULT_UPDATED,
	BULK_RESULT_DELETED,
	BULK_RESULT_NOT_FOUND,
	BULK_RESULT_NOOP,
	BULK_RESULT_N,
};

/* One struct for each action would cost more than the request did, so an answer is kept in columns. */
struct bulk_answer {
	int64_t took_ms;
	uint16_t *statuses; /* one for each action */
	uint8_t *results;
	bool *deletes;        /* what the item says about its action */
	uint64_t *versions;   /* that it was written with, or refused; 0: not said */
	uint32_t *indices_at; /* positions in texts; 0: none */
	uint32_t *ids_at;
	uint32_t *errors_at;
	struct strbuf texts; /* "<type>\0<reason>\0" of errors, "<text>\0" of others */
};

struct bulk_item {
	int status;
	enum bulk_result result;
	bool is_delete;
	const char *type, *reason; /* NULL: there is no error; "": it has none; borrowed from the answer */
	const char *index, *id;    /* or NULL; borrowed, too */
	uint64_t version;          /* or 0 */
};

/* Reads the answer to a request of n_actions. INVALID when it is not a bulk answer, contradicts itself, or has another
 * number of items. */
int bulk_decode(const char *data, size_t len, size_t n_actions, struct bulk_answer *ret, struct err *err) WARN_UNUSED;
void bulk_answer_release(struct bulk_answer *answer);
struct bulk_item bulk_answer_item(const struct bulk_answer *answer, size_t i);

#define BULK_VERSION_CONFLICT "version_conflict_engine_exception"
/* Our own type of error: bulk_item_compare. */
#define BULK_CHANGED "changed_by_pipeline"

enum bulk_verdict {
	BULK_RETRY = 0, /* a problem of the engine, or something unknown: nothing is lost as long as it is sent again */
	BULK_DONE,
	BULK_STALE,       /* the index has a newer version: done, too */
	BULK_DROPPED,     /* a success that wrote nothing: an older version in the index must be deleted */
	BULK_REJECT,      /* the document itself is refused */
	BULK_NO_INDEX,    /* sending it again cannot help: the caller looks at the index again, */
	BULK_NO_PIPELINE, /* and at the pipeline */
	BULK_FORBIDDEN,
};

struct bulk_judgement {
	enum bulk_verdict verdict;
	const char *remedy; /* of a problem that a user can fix; or NULL */
};

/* If the item is not about this document or this version, makes that its error. */
void bulk_item_compare(struct bulk_item *item, const char *index, const char *id, uint64_t version);

/* Only errors that are known to be about a document are BULK_REJECT. */
struct bulk_judgement bulk_judge(bool is_delete, const struct bulk_item *item);

/* What may be shown of an item's error, "<type>: <reason>": without values of rows, which engines often quote. */
void bulk_item_words(const struct bulk_item *item, struct strbuf *to);

#endif
