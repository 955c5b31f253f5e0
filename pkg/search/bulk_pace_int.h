/* How much is sent to the engine at once: additive increase, multiplicative decrease (as in TCP's congestion control)
 * of requests in progress and bytes in each, and a pause with full jitter after each push-back. Pure. */
#ifndef PGSYNC_SEARCH_BULK_PACE_INT_H
#define PGSYNC_SEARCH_BULK_PACE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct bulk_pace {
	unsigned concurrency, window; /* requests in progress: the most ever allowed, allowed now */
	size_t max_bytes, target_bytes;
	unsigned clean; /* requests in a row that were accepted completely */
	struct backoff backoff;
	int64_t pause_until_ms; /* nothing is sent before */
	int64_t pushed_ms;      /* the last push-back */
	bool pressed;
};

void bulk_pace_init(struct bulk_pace *p, unsigned concurrency, size_t max_bytes, uint64_t seed);
/* The engine pushed back, or (unreachable) did not answer. */
void bulk_pace_pushed_back(struct bulk_pace *p, int64_t now_ms, int64_t retry_after_ms, bool unreachable);
/* A request sent at started_ms was accepted. */
void bulk_pace_accepted(struct bulk_pace *p, int64_t started_ms);
/* A request of this many bytes was too large (413): none of that size will be sent again. */
void bulk_pace_too_large(struct bulk_pace *p, size_t bytes);

#endif
