/* What reading documents may cost the server (spec.source.limits), and what follows when it costs more: what was read
 * by one statement, in one snapshot, is read again in parts. */
#ifndef PGSYNC_APPLY_LIMITS_H
#define PGSYNC_APPLY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct limits {
	int64_t statement_ms; /* of each statement */
	int64_t snapshot_ms;  /* of a snapshot of the bootstrap */
};

/* How long each statement on this many rows may take, in a snapshot that only they are read in. A single row cannot be
 * read in parts, however old the snapshot becomes. */
int64_t limits_of_rows(const struct limits *limits, uint64_t n);

/* True if what failed may succeed in parts: because a value makes it fail, or because it exceeds a limit. */
bool limits_may_split(const struct err *err);

/* True if the engine did not take what was read in time (bulk_set_deadline). */
bool limits_engine_is_late(const struct err *err);

/* The error for a single row that takes longer to read than the limit; what: names the row. No caller splits it
 * further. Returns -1. */
int limits_exceeded_by(const char *what, const struct err *why, struct err *err);

#endif
