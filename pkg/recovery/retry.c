/* What to do after a failed attempt. */
#include "recovery/retry.h"

void retry_init(struct retry *retry, uint64_t seed)
{
	backoff_init(&retry->brief, RETRY_BASE_MS, RETRY_CAP_MS, seed);
	backoff_init(&retry->stalled, RETRY_STALLED_BASE_MS, RETRY_STALLED_CAP_MS, seed);
}

bool retry_waits_for_tables(const struct err *err)
{
	return err->reason == REASON_UNKNOWN_TABLE;
}

bool retry_needs_action(const struct err *err)
{
	return !err_is_transient(err) && err->kind != ERR_CANCELLED && err->kind != ERR_NOT_FOUND &&
	       !retry_waits_for_tables(err);
}

int64_t retry_pause_ms(struct retry *retry, const struct err *err, int64_t attempt_ms)
{
	if (attempt_ms > RETRY_LONG_MS)
		backoff_reset(&retry->brief);
	if (retry_waits_for_tables(err))
		return RETRY_TABLES_MS;
	if (retry_needs_action(err)) {
		backoff_reset(&retry->brief);
		return backoff_next_ms(&retry->stalled);
	}
	backoff_reset(&retry->stalled);
	/* The worker that ended our walsender needs a moment to start its own: do not take the slot back in the
	 * meantime. */
	if (err->reason == REASON_SLOT_TAKEN)
		return RETRY_SLOT_TAKEN_MS;
	if (err->retry_after_ms > 0)
		return err->retry_after_ms < RETRY_AFTER_CAP_MS ? err->retry_after_ms : RETRY_AFTER_CAP_MS;
	return backoff_next_ms(&retry->brief);
}

bool retry_gives_up(const struct err *err, const struct retry_limits *limits)
{
	if (limits->until_caught_up && !err_is_transient(err) && err->kind != ERR_CANCELLED)
		return true;
	return limits->supervised && limits->fenced;
}
