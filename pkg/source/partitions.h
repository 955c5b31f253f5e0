/* Partitions that come and go. ATTACH and DETACH, and DROP or TRUNCATE of a partition, leave no trace in the stream:
 * rows are there, or are gone, without an event. What can be noticed is that the partitions differ from those that the
 * checkpoint knows: by OID, by their attachment (another one after DETACH and ATTACH), by their file (another one after
 * TRUNCATE or a rewrite). What is attached and detached again between two looks is not noticed.
 *
 * Pure. What a difference means for the documents is decided in pkg/sync.
 */
#ifndef PGSYNC_SOURCE_PARTITIONS_H
#define PGSYNC_SOURCE_PARTITIONS_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"
#include "source/source.h"

/* A partition of the table that the checkpoint knows is gone, or another one by now. */
bool partitions_are_gone(const struct checkpoint *cp, const struct catalog_table *table);
/* A partition with rows that the checkpoint does not know. */
bool partitions_is_new(const struct checkpoint *cp, const struct catalog_table *table, const struct catalog_part *part);
/* The checkpoint knows the partitions as they are now; the caller saves it. */
void partitions_adopt(const struct source_tables *tables, struct checkpoint *cp);

#endif
