/* What the state of the slot means. */
#include "recovery/slot.h"

#include <stdio.h>

static void PRINTF_LIKE(4, 5)
	set(struct recovery_slot_health *h, enum recovery_health health, enum reason reason, const char *fmt, ...)
{
	va_list ap;

	h->health = health;
	h->reason = reason;
	va_start(ap, fmt);
	(void)vsnprintf(h->message, sizeof(h->message), fmt, ap);
	va_end(ap);
}

void recovery_slot_health(const struct pg_slot *slot, const char *name, uint64_t given_up, const char *unsaved,
			  struct recovery_slot_health *ret)
{
	if (slot->state == PG_SLOT_ABSENT && given_up)
		set(ret, RECOVERY_HEALTH_BAD, REASON_SLOT_GIVEN_UP,
		    "slot \"%s\" retained %llu bytes of WAL, more than spec.source.replication.maxRetainedWAL, and was "
		    "dropped: the index is rebuilt once the search engine can be reached",
		    name, (unsigned long long)given_up);
	else if (slot->state == PG_SLOT_ABSENT)
		set(ret, RECOVERY_HEALTH_UNKNOWN, REASON_NOT_CHECKED, "there is no replication slot");
	else if (slot->state == PG_SLOT_LOST)
		set(ret, RECOVERY_HEALTH_BAD, REASON_LOST,
		    "the server dropped WAL that slot \"%s\" needed, or invalidated it for another reason%s%s", name,
		    slot->invalidation[0] ? ": " : "", slot->invalidation);
	else if (slot->wal_unreserved)
		set(ret, RECOVERY_HEALTH_BAD, REASON_WAL_STATUS_UNRESERVED,
		    "the slot is about to be lost: it retains %llu bytes of WAL, more than max_slot_wal_keep_size "
		    "allows",
		    (unsigned long long)slot->retained_bytes);
	else if (unsaved)
		set(ret, RECOVERY_HEALTH_BAD, REASON_POSITION_NOT_SAVED,
		    "the index follows the tables, but its position cannot be saved, so the slot retains WAL (%llu "
		    "bytes "
		    "so far): %.300s",
		    (unsigned long long)slot->retained_bytes, unsaved);
	else
		set(ret, RECOVERY_HEALTH_GOOD, REASON_RESERVED, "the server keeps the WAL that the slot needs");
}

bool recovery_gives_slot_up(const struct pg_slot *slot, const struct recovery_slot_use *use)
{
	bool exists = slot->state == PG_SLOT_INACTIVE || slot->state == PG_SLOT_ACTIVE;
	bool ours = slot->logical_pgoutput && (use->streamed || !use->slot_name_given);
	bool free_or_ours =
		slot->state == PG_SLOT_INACTIVE || (use->streamed && slot->active_pid == use->walsender_pid);

	return use->max_retained > 0 && exists && ours && free_or_ours &&
	       slot->retained_bytes > (uint64_t)use->max_retained;
}
