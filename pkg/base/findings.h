/* All problems at once: a list of findings that validators and checks fill, shown to the user. For one thread.
 *
 * A finding names the place (a JSON path or an object's name), what was found, what was expected and what to do. A list
 * keeps FINDINGS_MOST of them and counts the others, so that the cost of a hostile input does not grow with its
 * size. */
#ifndef PGSYNC_BASE_FINDINGS_H
#define PGSYNC_BASE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum finding_severity {
	FINDING_ERROR = 0, /* nothing can run until this is fixed */
	FINDING_WARNING,   /* works, but the user should know */
};

struct finding {
	enum finding_severity severity;
	enum reason reason; /* of the condition */
	char *path;         /* "spec.schema[0].nodes.columns[2]", or "" */
	char *message;
	char *statement; /* the SQL that does what the message advises, also quoted there; or NULL */
	bool unknown;    /* a field or a word that this program does not know, but a newer one may */
};

enum { FINDINGS_MOST = 1000 }; /* at most half of them warnings, so that there is room for errors */

struct findings {
	struct finding *items;
	size_t n;
	size_t alloc;
	size_t dropped[2]; /* for each severity, the number that did not fit */
};

void findings_init(struct findings *f);
void findings_release(struct findings *f);
/* Adds one; path may be NULL. */
void findings_add(struct findings *f, enum finding_severity severity, enum reason reason, const char *path,
		  const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The same, with the SQL that does what the message advises. */
void findings_add_statement(struct findings *f, enum finding_severity severity, enum reason reason, const char *path,
			    const char *statement, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* Adds an error about a field or a word that this program does not know. */
void findings_add_unknown(struct findings *f, enum reason reason, const char *path, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* Adds a copy of one. */
void findings_add_copy(struct findings *f, const struct finding *item);
/* Moves the findings of `from` to the end of f. */
void findings_move(struct findings *f, struct findings *from);
/* Copies the findings of `from` to the end of f. */
void findings_copy(struct findings *f, const struct findings *from);
bool findings_failed(const struct findings *f);
/* Turns the errors among the findings into one err: kind INVALID, the reason of the first, a summary of as many as fit.
 */
int findings_err(const struct findings *f, struct err *err);
/* The findings of a severity, "path: message" joined by "; ": as many as fit in max bytes, and the number of the
 * others. Caller frees.
 */
char *findings_summary(const struct findings *f, enum finding_severity severity, size_t max);
/* All findings of a severity, "path: message" joined by sep; caller frees. */
char *findings_join(const struct findings *f, enum finding_severity severity, const char *sep);

/* True if the finding is an error at the JSON path, within it, or at something that contains it. */
bool finding_is_about(const struct finding *finding, const char *path);
/* True if any finding is about the path. Then do not rely on the value there. */
bool findings_any_about(const struct findings *f, const char *path);

/* True if the JSON path is `of` or leads to something within it. */
bool finding_path_is_within(const char *path, const char *of);

/* The name among n that is nearest to `word` by edit distance, or NULL if none is close enough. */
const char *nearest_name(const char *word, const char *const *names, size_t n);

#endif
