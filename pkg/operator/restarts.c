/* When to restart a worker that failed. */
#include "operator/restarts_int.h"

void restarts_init(struct restarts *r, uint64_t seed)
{
	*r = (struct restarts){0};
	backoff_init(&r->backoff, RESTARTS_BACKOFF_MS, RESTARTS_BACKOFF_CAP_MS, seed);
}

void restarts_failed(struct restarts *r, int64_t uptime_ms, int64_t now_ms)
{
	if (uptime_ms >= RESTARTS_HEALTHY_MS)
		restarts_reset(r);
	r->failures++;
	r->not_before_ms = now_ms + backoff_next_ms(&r->backoff);
}

void restarts_reset(struct restarts *r)
{
	backoff_reset(&r->backoff);
	r->failures = 0;
	r->not_before_ms = 0;
}
