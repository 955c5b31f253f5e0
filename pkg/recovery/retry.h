/* What to do after a failed attempt: how long to wait before the next one, or whether to give up. Decided by the
 * error's kind and reason, and by how often attempts failed before. Pure; a struct retry belongs to one thread. */
#ifndef PGSYNC_RECOVERY_RETRY_H
#define PGSYNC_RECOVERY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

enum {
	RETRY_TABLES_MS = 1000,
	RETRY_SLOT_TAKEN_MS = 3000,
	RETRY_BASE_MS = 200, /* a server is unreachable, or a conflict is in the way */
	RETRY_CAP_MS = 5000,
	RETRY_STALLED_BASE_MS = 1000, /* an administrator has to act */
	RETRY_STALLED_CAP_MS = 15000,
	RETRY_AFTER_CAP_MS = 60 * 1000,   /* the longest pause that a server may ask for */
	RETRY_LONG_MS = 2 * RETRY_CAP_MS, /* an attempt that took longer than this was working */
};

struct retry {
	struct backoff brief, stalled;
};

void retry_init(struct retry *retry, uint64_t seed);
/* The pause before the next attempt. attempt_ms: how long the one that failed took. */
int64_t retry_pause_ms(struct retry *retry, const struct err *err, int64_t attempt_ms);

/* The tables may still be created (by a migration that runs later): wait instead of asking for help. */
bool retry_waits_for_tables(const struct err *err);
/* No later attempt can succeed until an administrator acts. */
bool retry_needs_action(const struct err *err);

struct retry_limits {
	bool until_caught_up, supervised; /* as in sync_options */
	bool fenced;                      /* another worker has taken the slot since we had it */
};
/* True if the failed attempt ends the run. */
bool retry_gives_up(const struct err *err, const struct retry_limits *limits);

#endif
