/* Partitions that were added or removed. ATTACH and DETACH, and DROP or TRUNCATE of a partition, leave no trace in the
 * stream: rows appear or disappear without an event. But the partitions then differ from those in the checkpoint: in
 * their OIDs, in their attachment (a new one after DETACH and ATTACH), or in their relfilenode (a new one after
 * TRUNCATE or a rewrite). A partition that is attached and detached again between two checks goes unnoticed.
 *
 * Pure. pkg/apply decides what a difference means for the documents (apply/partition_changes.h). */
#ifndef PGSYNC_SOURCE_PARTITIONS_H
#define PGSYNC_SOURCE_PARTITIONS_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"
#include "source/source.h"

/* True if a partition that the checkpoint records is gone or was replaced. */
bool partitions_are_gone(const struct checkpoint *cp, const struct catalog_table *table);
/* True if a partition that the checkpoint does not record has rows. */
bool partitions_is_new(const struct checkpoint *cp, const struct catalog_table *table, const struct catalog_part *part);
/* Records the current partitions in the checkpoint; the caller saves it. */
void partitions_adopt(const struct source_tables *tables, struct checkpoint *cp);

#endif
