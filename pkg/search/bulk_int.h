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

/* What the server is asked to answer. Statuses stay, because items are told apart by their position alone. */
#define BULK_FILTER \
	"filter_path=took,errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.**.reason"

/* One struct for each action would cost more than the request did, so an answer is kept in columns. */
struct bulk_answer {
	int64_t took_ms;
	bool errors;         /* false: every item succeeded, and the columns are NULL */
	uint16_t *statuses;  /* one for each action */
	uint32_t *errors_at; /* position of the item's error in texts; 0: none */
	struct strbuf texts; /* "<type>\0<reason>\0" of errors, without those of version conflicts */
};

struct bulk_item {
	int status;
	const char *type, *reason; /* NULL when not known; borrowed from the answer */
};

/* Reads the answer to a request of n_actions; items are looked at only when `errors` is true. INVALID when it is not a
 * bulk answer or its items do not match the request. */
int bulk_decode(const char *data, size_t len, size_t n_actions, struct bulk_answer *ret, struct err *err) WARN_UNUSED;
void bulk_answer_release(struct bulk_answer *answer);
/* Status 200 for each item of an answer without errors. */
struct bulk_item bulk_answer_item(const struct bulk_answer *answer, size_t i);

enum bulk_verdict {
	BULK_DONE = 0,
	BULK_STALE,     /* a newer version is there: done, too */
	BULK_RETRY,     /* the engine is busy or a shard is away */
	BULK_RETRY_FEW, /* a brief failure, or caused by this document: a limited number of times */
	BULK_REJECT,    /* the document itself is refused */
	BULK_NO_INDEX,
	BULK_FORBIDDEN,
};

enum bulk_verdict bulk_judge(bool is_delete, const struct bulk_item *item);

#endif
