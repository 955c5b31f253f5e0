/* Replica identities: the old values of link columns must be in the WAL (document.h), and of every published table the
 * WAL must contain something of old rows, or Postgres refuses to change them.
 *
 * Of a partitioned table the partitions' identities count. They are not inherited: a partition that is made or attached
 * later has its own, until that is noticed and set. What its old rows lack until then is known, because the stream
 * describes each partition before its first change (changes/collector.h).
 */
#ifndef PGSYNC_SOURCE_IDENTITY_H
#define PGSYNC_SOURCE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "source/source.h"

/* A table, or a partition of one, whose identity is not enough. */
struct identity_gap {
	const char *schema, *name; /* borrowed from the catalog, as the next */
	const char *identity_index;
	char replica_identity;
	bool is_owner;
	bool full; /* no index has all of the columns */
	char *sql; /* "ALTER TABLE ... REPLICA IDENTITY ..." that closes it */
};

struct identity_gaps {
	struct identity_gap *items;
	size_t n;
};

/* Adds the gaps of a table: of itself, or of its partitions. The server is asked about indexes of partitions only. */
int identity_add_gaps(const struct source *source, const struct source_table *table, struct identity_gaps *gaps,
		      struct err *err) WARN_UNUSED;
void identity_gaps_release(struct identity_gaps *gaps);
/* Puts into the checkpoint what the identities are now, unless it already knows an earlier one. True: the caller has to
 * save it before anything is changed. */
bool identity_note(struct checkpoint *cp, const struct identity_gaps *gaps);
/* Closes the gaps. */
int identity_set(const struct source *source, const struct identity_gaps *gaps, struct err *err) WARN_UNUSED;
/* Sets a table's identity back to what it was, unless another publication has the table: its subscriber may need the
 * old values. A table that is gone is done. */
int identity_restore(const struct source *source, const struct checkpoint_identity *identity,
		     struct err *err) WARN_UNUSED;

#endif
