/* What the engine says of itself: conditions, phase and numbers, as a fragment of a PgSync's status.
 *
 * Every thread of the engine may write; the lock is inside.
 */
#ifndef PGSYNC_SYNC_REPORT_INT_H
#define PGSYNC_SYNC_REPORT_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

enum condition_type {
	CONDITION_READY,
	CONDITION_STALLED,
	CONDITION_DEGRADED,
	CONDITION_SOURCE_REACHABLE,
	CONDITION_SINK_REACHABLE,
	CONDITION_SCHEMA_ACCEPTED,
	CONDITION_BOOTSTRAP_COMPLETE,
	CONDITION_STREAMING,
	CONDITION_SLOT_HEALTHY,
	CONDITION_N,
};

enum condition_status { STATUS_UNKNOWN, STATUS_FALSE, STATUS_TRUE };

struct condition {
	enum condition_status status;
	char reason[64];
	char *message;         /* owned */
	int64_t transition_us; /* wall time of the last change of status */
};

struct report_index {
	char *name;
	int64_t generation; /* 0: no index yet */
	int64_t documents, dead_letters;
	uint32_t letters_noted; /* how often dead_letters was set */
	int64_t nulled;         /* values that were written as null since the worker's start */
	char health[8];
};

struct report_stream {
	char *slot, *publication;
	uint64_t confirmed_lsn;
	uint64_t lag_bytes, retained_bytes;
	int64_t lag_seconds;
	const char *slot_state; /* "Active", "Inactive", "Lost", or NULL: unknown */
};

struct report_bootstrap {
	uint64_t rows_done, rows_total;
	double ratio; /* of blocks; 1: done */
	int64_t start_us, completion_us;
	bool known;
};

struct report {
	pthread_mutex_t lock;
	const char *phase;
	struct condition conditions[CONDITION_N];
	struct report_index *indices;
	size_t n_indices;
	struct report_stream stream;
	struct report_bootstrap bootstrap;
	int64_t pressure_ms; /* since when the engine pushes back; 0: it does not */
	char pressure[256];
};

void report_init(struct report *report);
void report_release(struct report *report);
void report_phase(struct report *report, const char *phase);
void report_condition(struct report *report, enum condition_type type, enum condition_status status, const char *reason,
		      const char *fmt, ...) PRINTF_LIKE(5, 6);
enum condition_status report_status(struct report *report, enum condition_type type);
/* The condition's status is not known any more (an attempt ended). */
void report_unknown(struct report *report, enum condition_type type, const char *reason, const char *message);
void report_stream_set(struct report *report, const struct report_stream *stream); /* copies */
void report_bootstrap_set(struct report *report, const struct report_bootstrap *bootstrap);
/* Adds or replaces the index of that name; negative numbers keep what was known. */
void report_index_set(struct report *report, const struct report_index *index);

/* Values that no search engine takes were written as null. */
void report_nulled_add(struct report *report, const char *name, int64_t n);
/* How many dead letters the index is known to have. */
int64_t report_dead_letters(struct report *report, const char *name);
/* Sets that, unless somebody else did since report_letters_noted was asked: so counting takes no lock, and a count that
 * was begun earlier does not hide letters that came meanwhile. */
uint32_t report_letters_noted(struct report *report, const char *name);
void report_letters(struct report *report, const char *name, int64_t n, uint32_t noted);
/* The search engine pushes back, or takes writes again. */
void report_pressure(struct report *report, bool under_pressure, const char *why);
/* True when it has been pushing back for ms; then why is copied. */
bool report_pressed(struct report *report, int64_t ms, char why[256]);

/* A new reference. */
json_t *report_json(struct report *report);

#endif
