/* When to restart a worker that failed: pure. */
#ifndef PGSYNC_OPERATOR_RESTARTS_INT_H
#define PGSYNC_OPERATOR_RESTARTS_INT_H

#include <stdint.h>

#include "base/clock.h"

enum {
	RESTARTS_HEALTHY_MS = 600 * 1000, /* a worker that ran this long resets the back-off */
	RESTARTS_BACKOFF_MS = 1000,
	RESTARTS_BACKOFF_CAP_MS = 300 * 1000,
};

struct restarts {
	struct backoff backoff;
	unsigned failures;     /* in a row */
	int64_t not_before_ms; /* 0: at once */
};
void restarts_init(struct restarts *r, uint64_t seed);
/* Call it when a worker ended without being asked to. */
void restarts_failed(struct restarts *r, int64_t uptime_ms, int64_t now_ms);
void restarts_reset(struct restarts *r);

#endif
