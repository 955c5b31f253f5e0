/* Replica identities: the WAL must contain the old values of link columns (document.h), and a published table needs
 * some replica identity, or Postgres refuses UPDATE and DELETE.
 *
 * For a partitioned table, the partitions' identities count. They are not inherited: a partition that is created or
 * attached later keeps its own identity until pgsync notices and sets it. What its old rows lack until then is known,
 * because the stream describes each partition before its first change (changes/collector.h).
 *
 * Each call uses the source's connection, so it is for the thread that owns it. */
#ifndef PGSYNC_SOURCE_IDENTITY_H
#define PGSYNC_SOURCE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "source/source.h"

/* A table, or a partition of one, whose replica identity is insufficient. */
struct identity_gap {
	uint32_t oid;
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

/* Adds the gaps of a table itself, or of its partitions. The server is asked about indexes of partitions only. */
int identity_add_gaps(const struct source *source, const struct source_table *table, struct identity_gaps *gaps,
		      struct err *err) WARN_UNUSED;
void identity_gaps_release(struct identity_gaps *gaps);
/* Records the current identities in the checkpoint, unless it already has earlier ones. True: the caller has to save
 * it before anything is changed. */
bool identity_note(struct checkpoint *cp, const struct identity_gaps *gaps);
/* Closes the gaps. CONFLICT/TableLocked if another session still holds a lock on a table after several tries: ALTER
 * TABLE waits briefly each time, because whatever the application does with the table queues behind it. */
int identity_set(const struct source *source, const struct identity_gaps *gaps, struct err *err) WARN_UNUSED;
/* Restores a table's identity, unless another publication has the table: its subscriber may need the old values. A
 * table that no longer exists counts as done. Errors as for identity_set. */
int identity_restore(const struct source *source, const struct checkpoint_identity *identity,
		     struct err *err) WARN_UNUSED;
/* Restores every identity that the checkpoint lists. */
int identity_restore_all(const struct source *source, const struct checkpoint *cp, struct err *err) WARN_UNUSED;

#endif
