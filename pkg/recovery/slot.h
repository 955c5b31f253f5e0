/* What the state of the slot means (pure): how healthy it is, and whether it retains too much WAL.
 */
#ifndef PGSYNC_RECOVERY_SLOT_H
#define PGSYNC_RECOVERY_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reason.h"
#include "postgres/replication.h"

enum recovery_health { RECOVERY_HEALTH_UNKNOWN, RECOVERY_HEALTH_BAD, RECOVERY_HEALTH_GOOD };

struct recovery_slot_health {
	enum recovery_health health;
	enum reason reason;
	char message[512];
};
/* given_up: bytes that the slot retained when it was dropped because of that, if there has been no slot since; or 0.
 * unsaved: why the position has not been saved for a while, so that nothing is acknowledged; NULL: it has. */
void recovery_slot_health(const struct pg_slot *slot, const char *name, uint64_t given_up, const char *unsaved,
			  struct recovery_slot_health *ret);

struct recovery_slot_use {
	int64_t max_retained; /* bytes; 0: no limit */
	bool slot_name_given; /* the slot's name is the user's choice */
	bool streamed;        /* this run had the slot, */
	int walsender_pid;    /* by this walsender */
};
/* Whether the slot retains too much. It is only given up if it is certainly ours (its name was derived from this
 * resource, or this run has streamed from it), and if no other worker streams from it, which would decide for
 * itself. */
bool recovery_gives_slot_up(const struct pg_slot *slot, const struct recovery_slot_use *use);

#endif
