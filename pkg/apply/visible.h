/* Which transactions of a batch a snapshot contains: the server may send a commit before other sessions see it, and a
 * standby, or another connection's server, may be behind. */
#ifndef PGSYNC_APPLY_VISIBLE_H
#define PGSYNC_APPLY_VISIBLE_H

#include <stdint.h>

#include "apply/snapshot.h"
#include "base/err.h"
#include "changes/batch.h"
#include "postgres/replication.h"

/* Opens the snapshot, as snapshot_begin; ret->n: how many of the batch's transactions are in it before the first that
 * is not. TRANSIENT/StreamEnded: the server was a standby, and was promoted. */
int visible_open(struct snapshot *s, const struct batch *batch, int64_t statement_ms, struct pg_visible *ret,
		 struct err *err) WARN_UNUSED;

#endif
