/* What an attempt finds: checkpoint, slot, server and publication, and whether they belong together. */
#ifndef PGSYNC_SYNC_SITUATION_INT_H
#define PGSYNC_SYNC_SITUATION_INT_H

#include "sync/attempt_int.h"

#define PUBLICATION_ALTERED "somebody altered the publication"

/* The slot as it stands, and what the checkpoint says of it. */
struct situation {
	struct pg_system server;
	struct pg_slot slot;
	char *publication_mark; /* NULL: there is no publication */
	char *hash;
	json_t *seen;             /* of all plans, as checkpoint.seen */
	const char *new_slot_why; /* the old slot (or its history) cannot be used: NULL when it can */
	const char *rebuild_why;  /* the slot is fine, the generation is not */
};

void situation_release(struct situation *s);

/* Loads the checkpoint into the engine and reads the slot; refuses (INVALID/SlotInUse) what is not ours to use. */
int situation_look(struct attempt *at, struct situation *s, struct err *err) WARN_UNUSED;
/* Ends an old walsender of ours. Once this worker has streamed, somebody else who holds the slot is its successor: then
 * it waits for word. */
int situation_take_slot(struct attempt *at, const struct situation *s, struct err *err) WARN_UNUSED;
/* Only now a walsender of our own: there is never more than one for a resource. With what it says of the server, the
 * reasons not to go on with the slot or the generation, if there are any. */
int situation_connect(struct attempt *at, struct situation *s, struct pg **ret, struct err *err) WARN_UNUSED;
/* A table that was rewritten while its columns stayed as they were (VACUUM FULL, TRUNCATE) has the same values, and a
 * later ALTER of a column says nothing of this rewrite. `now` is equal to the engine's catalog. True: the checkpoint is
 * to be saved. */
bool situation_see_storage(struct attempt *at, const struct catalog *now);
/* Whether the publication is another one than the checkpoint knows; there is one. */
bool situation_altered(const struct attempt *at, const struct situation *s);

#endif
