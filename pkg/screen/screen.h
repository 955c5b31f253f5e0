/* What people are told about a PgSync: a verdict, what to do, and the details, on one screen.
 *
 * Everything comes from the resource as the API server returns it, its operator's Lease and its events. Pure: the time
 * and the page of remedies are arguments. Text may quote anything that is in the resource, apart from ends of lines:
 * print it through terminal_guard. */
#ifndef PGSYNC_SCREEN_SCREEN_H
#define PGSYNC_SCREEN_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/strbuf.h"
#include "conditions/conditions.h"

/* The text of docs/conditions.md. */
const char *screen_reasons(void);

enum lease_found {
	LEASE_NOT_READ, /* it may not be read, or the status names none */
	LEASE_MISSING,
	LEASE_READ,
};

/* All of it is borrowed. */
struct screen_input {
	const json_t *resource;
	enum lease_found found;
	const json_t *lease;  /* the object, with LEASE_READ */
	const json_t *events; /* an array of events of v1, or NULL: they may not be read */
	const char *reasons;  /* of screen_reasons */
	int64_t wall_us;
};

enum verdict_kind {
	VERDICT_FLOWING,
	VERDICT_SUSPENDED, /* as asked */
	VERDICT_PLANNED,   /* as asked: everything was checked, and nothing was changed */
	VERDICT_WORKING,   /* on its way to one of these */
	VERDICT_LATE,      /* data flows, but more slowly than it should */
	VERDICT_DEGRADED,  /* data flows, but something is missing */
	VERDICT_BROKEN,
	VERDICT_UNKNOWN, /* nothing tells what the state is now */
};

struct verdict {
	enum verdict_kind kind;
	char *summary; /* one sentence */
	char *found;   /* what was found, in the words of the operator; or NULL */
	char *next;    /* what to do; or NULL: nothing */
};

/* Whether the resource has this condition with this status. */
bool screen_condition_is(const json_t *resource, enum condition_type type, enum condition_status status);

void verdict_decide(const struct screen_input *in, struct verdict *ret);
void verdict_release(struct verdict *verdict);
/* "Flowing", "Suspended", ... */
const char *verdict_name(enum verdict_kind kind);
/* The PgSync is as its spec asks. */
bool verdict_is_good(enum verdict_kind kind);

/* One PgSync on one screen: the verdict first, then worker, slot, indices, conditions, events. */
void screen_status(const struct screen_input *in, struct strbuf *out);
/* What the operator found, and whether it checked the current spec: in mode Plan everything, else the schema. Returns
 * whether it did, without an error. */
bool screen_plan(const json_t *resource, struct strbuf *out);
/* One line for each of n PgSyncs. */
void screen_list(const struct screen_input *items, size_t n, bool namespaces, struct strbuf *out);
/* The same for programs: {"namespace", "name", "verdict", "healthy", "summary", "found", "next", "status"}. A new
 * reference. */
json_t *screen_json(const struct screen_input *in);

/* Which lines of a log are about one PgSync, fed in pieces: those whose field `pgsync` (of its worker) or `resource`
 * (of the operator) names it, in either format. */
enum { SCREEN_LINE_FORMS = 4 };
struct screen_lines {
	struct strbuf rest; /* the beginning of a line */
	char *marks[SCREEN_LINE_FORMS];
};
/* resource: "namespace/name". */
void screen_lines_init(struct screen_lines *lines, const char *resource);
void screen_lines_release(struct screen_lines *lines);
/* Appends the lines that are complete now. */
void screen_lines_feed(struct screen_lines *lines, const char *data, size_t len, struct strbuf *out);

/* One line for each of n PgSyncs, or for all columns' names with none: how far behind each is. Columns have a fixed
 * width, so that lines can be added later. */
void screen_lag_header(bool namespaces, struct strbuf *out);
void screen_lag(const struct screen_input *in, bool namespaces, struct strbuf *out);
/* The live overview: totals, and a line for each, those that are not healthy first. */
void screen_top(const struct screen_input *items, size_t n, bool namespaces, struct strbuf *out);
/* The indices of these PgSyncs (an array) and how many dead letters each has. Returns how many there are in all. */
long long screen_dead_letters(const json_t *resources, bool namespaces, struct strbuf *out);

/* The text without what may be a secret: users and passwords in URLs, values of settings such as password=..., tokens.
 * Row values are not known here; logs and statuses have none. */
void scrub_text(const char *text, size_t len, struct strbuf *out);
/* The same for each string of a value, and without strings under names such as "password". A new reference. */
json_t *scrub_json(const json_t *value);

/* Adds a file to a tar archive; name: at most 99 bytes. */
void archive_add(struct strbuf *out, const char *name, const char *data, size_t len, int64_t wall_us);
void archive_end(struct strbuf *out);

/* What docs/conditions.md tells to do about a reason, without its markup; NULL: it has no such row. Caller frees. */
char *remedy_find(const char *page, const char *word);

#endif
