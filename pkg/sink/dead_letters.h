/* Dead letters: documents that the engine rejected, or that could not be built. They are kept in "<alias>-dead-letters"
 * with the reason, so that all other documents can continue.
 *
 * A collector belongs to one thread and its bulk writer. What was rejected is durable once dead_letters_flush has
 * returned; only then may the transactions behind it be acknowledged. */
#ifndef PGSYNC_SINK_DEAD_LETTERS_H
#define PGSYNC_SINK_DEAD_LETTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/reserved.h"
#include "base/strbuf.h"
#include "conditions/report.h"
#include "sink/sink.h"

#define DEAD_LETTERS_SUFFIX RESERVED_DEAD_LETTERS

/* The name of the alias's dead-letter index; caller frees. */
char *dead_letters_index(const char *alias);

/* What happened to a document. */
struct dead_letters_failure {
	const char *alias;
	const char *operation;   /* "index", "delete", or "read" if the document could not be built */
	const char *row;         /* of the root: "public.books, id 7"; or "" */
	const char *fingerprint; /* of the index when it was tried (sink/index_fingerprint.h); or "" */
	int64_t attempts;        /* how often it was tried since one of its rows changed */
	int64_t wall_us;
};
/* A dead letter as it is stored; pure. Caller frees. */
char *dead_letters_encode(const struct bulk_rejection *r, const struct dead_letters_failure *f);

/* A document that is tried again, because its cause may be gone. Its dead letter stays until that is known. */
struct dead_letters_retry {
	char *id;
	char *key; /* of the root: its values, each followed by a NUL */
	size_t key_len;
	int64_t attempts; /* so far */
	bool failed;      /* again */
};
struct dead_letters_retries {
	const char *concrete;
	struct dead_letters_retry *items;
	size_t n;
};
void dead_letters_retries_release(struct dead_letters_retries *retries);

struct dead_letters {
	const struct sink *sink;
	struct report *report;
	/* Appends the row of the root that a document is of, "public.books, id 7"; the builder sets it. NULL: not
	 * known. */
	void (*name_row)(const void *user, const char *concrete, const char *id, struct strbuf *to);
	const void *user;
	/* The retries that are being written; or NULL. One that fails is marked, and stays a dead letter even if the
	 * policy is Stall. */
	struct dead_letters_retries *retries;
	struct dead_letters_pending *items;
	size_t n, alloc;
};

/* Borrows sink and report. */
void dead_letters_init(struct dead_letters *d, const struct sink *sink, struct report *report);
void dead_letters_release(struct dead_letters *d);
/* Appends the values of a root key as a JSON array, for a document whose id does not contain them (document_split_id).
 * It is passed as the note of the document's action, and stored in its dead letter. */
void dead_letters_note(struct strbuf *sb, const char *const *values, const size_t *lens, size_t n);
/* A writer with the sink's limits on its own connection. What it rejects is collected here, or is
 * INVALID/DocumentRejected if the sink stalls on errors. d and the connection must stay in place while it lives. */
struct bulk *dead_letters_writer(struct dead_letters *d, struct search *search);
struct dead_letters_document {
	const char *concrete; /* the index that it would have gone to */
	const char *id;
	const char *key; /* as dead_letters_note makes it; or NULL */
	uint64_t version;
};
/* Collects a document that could not be built, or fails with INVALID/DocumentFailed. */
int dead_letters_add_failed(struct dead_letters *d, const struct dead_letters_document *document, const struct err *why,
			    struct err *err) WARN_UNUSED;
/* Adds the deletion of each dead letter whose document did not fail again. version: of what was written. */
int dead_letters_add_settled(struct dead_letters *d, struct bulk *bulk, uint64_t version, struct err *err) WARN_UNUSED;
/* Writes what was collected; call it after bulk_flush. */
int dead_letters_flush(struct dead_letters *d, struct bulk *bulk, struct err *err) WARN_UNUSED;

/* Refuses (INVALID/IndexInUse) a dead-letter index that is not ours. */
int dead_letters_check_owner(const struct sink *sink, const char *alias, struct err *err) WARN_UNUSED;
/* Deletes the dead-letter index if it is ours. */
int dead_letters_delete(const struct sink *sink, const char *alias, struct err *err) WARN_UNUSED;
/* Releases the dead-letter index if it is ours, as generation_disown does. */
int dead_letters_disown(const struct sink *sink, const char *alias, struct err *err) WARN_UNUSED;
/* Deletes the dead letters of the generation before: a document that is still rejected gets a new one. Refuses a
 * foreign index. */
int dead_letters_begin(const struct sink *sink, const char *alias, struct err *err) WARN_UNUSED;
/* Counts the dead letters that a search finds, for the report. */
int dead_letters_count(const struct sink *sink, struct report *report, const char *alias, struct err *err) WARN_UNUSED;
/* Sets the condition Degraded from the counts. */
void dead_letters_set_condition(struct report *report);

#endif
