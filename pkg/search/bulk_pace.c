/* How much is sent to the engine at once. */
#include "search/bulk_pace_int.h"

enum {
	MIN_TARGET_BYTES = 128 * 1024,
	BACKOFF_BASE_MS = 100,
	BACKOFF_CAP_MS = 30 * 1000,
	/* Trying an unreachable server costs nothing, and it may be back at any time. */
	BACKOFF_UNREACHABLE_MS = 5 * 1000,
	CLEAN_REQUESTS = 4, /* successes in a row before more is sent */
	STEPS = 8,          /* from nothing to max_bytes */
};

void bulk_pace_init(struct bulk_pace *p, unsigned concurrency, size_t max_bytes, uint64_t seed)
{
	*p = (struct bulk_pace){
		.concurrency = concurrency, .window = concurrency, .max_bytes = max_bytes, .target_bytes = max_bytes};
	backoff_init(&p->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, seed);
}

static void shrink(struct bulk_pace *p)
{
	size_t half = p->target_bytes / 2;

	if (p->window > 1)
		p->window /= 2;
	if (half >= MIN_TARGET_BYTES)
		p->target_bytes = half;
}

void bulk_pace_pushed_back(struct bulk_pace *p, int64_t now_ms, int64_t retry_after_ms, bool unreachable)
{
	p->pressed = true;
	p->clean = 0;
	p->pushed_ms = now_ms;
	/* Requests that were in progress together count as one push-back. */
	if (now_ms >= p->pause_until_ms) {
		int64_t delay_ms = backoff_next_ms(&p->backoff);

		if (unreachable && delay_ms > BACKOFF_UNREACHABLE_MS)
			delay_ms = BACKOFF_UNREACHABLE_MS;
		if (!unreachable)
			shrink(p);
		p->pause_until_ms = now_ms + delay_ms;
	}
	if (retry_after_ms && p->pause_until_ms < now_ms + retry_after_ms)
		p->pause_until_ms = now_ms + retry_after_ms;
}

void bulk_pace_accepted(struct bulk_pace *p, int64_t started_ms)
{
	/* A request from before the push-back does not show that it has ended. */
	if (p->pressed && started_ms < p->pushed_ms)
		return;
	p->pressed = false;
	backoff_reset(&p->backoff);
	if (++p->clean < CLEAN_REQUESTS)
		return;
	p->clean = 0;
	if (p->window < p->concurrency)
		p->window++;
	p->target_bytes += p->max_bytes / STEPS;
	if (p->target_bytes > p->max_bytes)
		p->target_bytes = p->max_bytes;
}

void bulk_pace_too_large(struct bulk_pace *p, size_t bytes)
{
	size_t half = bytes / 2 ? bytes / 2 : 1;

	if (p->max_bytes > half)
		p->max_bytes = half;
	if (p->target_bytes > p->max_bytes)
		p->target_bytes = p->max_bytes;
}
