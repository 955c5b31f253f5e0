/* What a worker reports: conditions, phase and numbers, as a fragment of a PgSync's status.
 *
 * Any thread may use a report: it locks itself.
 */
#ifndef PGSYNC_CONDITIONS_REPORT_H
#define PGSYNC_CONDITIONS_REPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/findings.h"
#include "conditions/conditions.h"

/* The CRD allows 32,768 of a message. */
enum { REPORT_MESSAGE_BYTES = 30000 };
enum { REPORT_FINDINGS = 64, REPORT_FINDINGS_BYTES = 48 * 1024 };

struct condition {
	enum condition_status status;
	enum reason reason;
	char *message;         /* owned */
	int64_t transition_us; /* wall time of the last change of status */
};

struct report_index {
	char *name;
	int64_t generation; /* 0: no index yet */
	int64_t documents, dead_letters;
	uint32_t dead_letters_revision; /* how many times dead_letters was set */
	int64_t nulled;                 /* values written as null since the worker's start */
	int64_t dropped;                /* documents that an ingest pipeline dropped since then */
	char health[8];
	char *fingerprint; /* sink/index_fingerprint.h, as of the last check; NULL: not known */
};

enum report_slot { REPORT_SLOT_UNKNOWN, REPORT_SLOT_INACTIVE, REPORT_SLOT_ACTIVE, REPORT_SLOT_LOST };
/* Its name in statuses; NULL: unknown. */
const char *report_slot_name(enum report_slot slot);
/* Whether `stream` of a status says so; NULL: nothing is known. */
bool report_slot_is(const json_t *stream, enum report_slot slot);

struct report_stream {
	char *slot, *publication;
	uint64_t confirmed_lsn;
	uint64_t lag_bytes, retained_bytes;
	enum report_slot slot_state;
};

struct report_bootstrap {
	uint64_t rows_done, rows_total;
	double ratio; /* of blocks; 1: done */
	int64_t start_us, completion_us;
	bool known;
};

struct report {
	pthread_mutex_t lock;
	enum phase phase;
	struct condition conditions[CONDITION_REPORTED_N];
	struct report_index *indices;
	size_t n_indices;
	struct report_stream stream;
	uint64_t acked_lsn; /* that the stream has acknowledged; 0: nothing yet */
	int64_t oldest_us;  /* commit time of the oldest transaction that is not in the index; 0: none */
	struct report_bootstrap bootstrap;
	unsigned pressing;   /* how many writers the search engine pushes back */
	int64_t pressure_ms; /* since when there is one */
	char pressure[ERR_MSG_BYTES];
	json_t *findings;      /* an array, as in the status; NULL: nothing was checked yet. Owned */
	size_t more_findings;  /* that did not fit into it */
	char *retried;         /* the annotation's value that dead letters were retried for; or NULL */
	char lock_holder[512]; /* the session that holds a lock that is waited for; "": none */
};

void report_init(struct report *report);
void report_release(struct report *report);
void report_phase(struct report *report, enum phase phase);
void report_condition(struct report *report, enum condition_type type, enum condition_status status, enum reason reason,
		      const char *fmt, ...) PRINTF_LIKE(5, 6);
enum condition_status report_status(struct report *report, enum condition_type type);
/* Caller frees. */
char *report_message(struct report *report, enum condition_type type);
/* SchemaAccepted, with what `plan` prints about schema, tables and pipelines: errors first, then warnings. */
void report_schema(struct report *report, const struct findings *f);
/* What the checks found, as the status lists it (at most REPORT_FINDINGS, and REPORT_FINDINGS_BYTES; the others are
 * counted): errors first, then what would be done (`changes`, or NULL), then warnings. */
void report_findings_set(struct report *report, const struct findings *f, const struct findings *changes);
/* A plan is complete: nothing prevents a start, and nothing was changed. */
void report_planned(struct report *report, size_t changes, size_t warnings);
/* An attempt failed: what is reported until the next one. */
struct report_failure {
	enum reason reason;
	const char *message;
	bool needs_action; /* of an administrator */
	bool spec_invalid;
	bool planning; /* spec.mode is Plan */
};
void report_failed(struct report *report, const struct report_failure *failure);
/* The condition's status is no longer known. */
void report_unknown(struct report *report, enum condition_type type, enum reason reason, const char *message);
void report_stream_set(struct report *report, const struct report_stream *stream); /* copies */
/* How far the stream has got: what it has acknowledged, and the commit (wall time) whose age is the lag, 0 if there is
 * none. The stream itself reports them, so both are up to date even while other threads wait for a server. */
void report_progress(struct report *report, uint64_t acked_lsn, int64_t oldest_us);
int64_t report_lag_seconds(struct report *report);
void report_bootstrap_set(struct report *report, const struct report_bootstrap *bootstrap);
/* Adds or replaces the index of that name; negative numbers keep what was known. */
void report_index_set(struct report *report, const struct report_index *index);

/* n values that no search engine can index were written as null. */
void report_nulled_add(struct report *report, const char *name, int64_t n);
/* An ingest pipeline dropped a document. */
void report_dropped_add(struct report *report, const char *name);
/* The known number of the index's dead letters. */
int64_t report_dead_letters(struct report *report, const char *name);
/* The number of dead letters of the first index that has any, and its name (caller frees); 0: no index has any. */
int64_t report_any_dead_letters(struct report *report, char **ret_name);
/* Sets the number of an index, unless it was set since the revision was read. So counting needs no lock, and a count
 * that began earlier does not hide dead letters that were written meanwhile. */
uint32_t report_dead_letters_revision(struct report *report, const char *name);
void report_dead_letters_set(struct report *report, const char *name, int64_t n, uint32_t revision);
/* The index's fingerprint as last read (sink/index_fingerprint.h). It may be older than the index, never newer. */
void report_index_fingerprint_set(struct report *report, const char *name, const char *fingerprint);
/* Caller frees; "": not known. */
char *report_index_fingerprint(struct report *report, const char *name);
/* All dead letters were retried, as requested by this value of the annotation. */
void report_retried(struct report *report, const char *nonce);
/* The search engine pushes a writer back, or accepts all of its writes again. Each writer reports the two in turn. */
void report_pressure(struct report *report, bool under_pressure, const char *why);
/* True when it has been pushing back for ms. Copies why in any case. */
bool report_pressed(struct report *report, int64_t ms, char why[ERR_MSG_BYTES]);

/* Reports who holds a lock that we wait for; NULL: we no longer wait. */
void report_lock(struct report *report, const char *holder);
/* What was last reported to report_lock, or ""; caller frees. */
char *report_lock_holder(struct report *report);

/* What decides about Ready, besides other conditions, the lag and a lock that is waited for. */
struct report_readiness {
	bool on_probation; /* the last attempt failed, and this one has not got past it: Ready stays as it is */
	bool live;         /* the aliases point to the indices being written */
	bool behind;       /* what was committed before the attempt may be missing: Ready does not become True */
	const struct err *refusal; /* why the aliases do not move; or kind NONE */
	int64_t lag_target_seconds;
};
void report_ready(struct report *report, const struct report_readiness *readiness);

/* A new reference. */
json_t *report_json(struct report *report);

#endif
