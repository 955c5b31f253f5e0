/* What the source must have before the stream can start: replica identities, publication, slot. */
#ifndef PGSYNC_SYNC_SOURCE_INT_H
#define PGSYNC_SYNC_SOURCE_INT_H

#include "sync/attempt_int.h"

/* Replica identities and publication as the tables need them. What the publication is then is noted, not saved. */
int source_ensure_tables(struct attempt *at, struct err *err) WARN_UNUSED;
/* Whether the publication lacks one of the tables (or is not there at all). */
int source_lacks_tables(struct attempt *at, bool *ret, struct err *err) WARN_UNUSED;
/* Whether the publication is what it was: neither altered nor dropped. */
int source_still_published(struct attempt *at, bool *ret, struct err *err) WARN_UNUSED;
/* Transactions that had their commit in the WAL before the slot's start, but which other sessions do not see yet, are
 * in neither the stream nor an early chunk. So a bootstrap waits for those that may be there: the ones running now,
 * unless their session is seen to be doing something other than committing, or they are prepared (then the commit comes
 * later, and is streamed). every: for them as well. */
int source_wait_for_transactions(struct attempt *at, bool every, struct err *err) WARN_UNUSED;
/* How many rows the table has, counted up to `most`. */
int source_count_rows(struct pg *pg, const struct catalog_table *table, int most, int *ret,
		      struct err *err) WARN_UNUSED;
/* A new slot, in the place of the old one if `replace` is set; its position goes into the checkpoint, which is not
 * saved. Returns once a bootstrap may begin. */
int source_make_slot(struct attempt *at, struct pg *replication, bool replace, struct err *err) WARN_UNUSED;

#endif
