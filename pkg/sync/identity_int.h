/* Replica identities: the old values of link columns must be in the WAL (document.h), and of every published table the
 * WAL must hold something of old rows, or Postgres refuses to change them.
 *
 * Of a partitioned table it is the partitions' identities that count. They are not inherited: one that is made or
 * attached later has that of its own, until it is noticed and set. What such a partition's old rows lack until then is
 * known, because the stream describes each partition before its first change (collect_int.h).
 */
#ifndef PGSYNC_SYNC_IDENTITY_INT_H
#define PGSYNC_SYNC_IDENTITY_INT_H

#include "sync/attempt_int.h"

/* The columns of a table whose old values must be in the WAL, over all documents, ascending; caller frees *ret. */
size_t identity_link_columns(const struct model *m, const struct catalog_table *table, int **ret);

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

/* All of a table: itself, or its partitions. */
int identity_find_gaps(const struct model *m, struct pg *pg, const struct catalog_table *table,
		       struct identity_gaps *ret, struct err *err) WARN_UNUSED;
void identity_gaps_release(struct identity_gaps *gaps);

#endif
