/* What added and removed partitions mean for the documents (source/partitions.h). A difference ends an attempt, and
 * the next attempt reads what is missing before it records the new partitions in the checkpoint:
 *
 *   a new partition           its rows are read as if they were inserted now: few if it was attached empty
 *   one that is gone or was   of a root: its index is rebuilt, since the rows that are gone are not known;
 *   replaced                  of another table: every root that may depend on it is read again
 *
 * Pure.
 */
#ifndef PGSYNC_APPLY_PARTITION_CHANGES_H
#define PGSYNC_APPLY_PARTITION_CHANGES_H

#include "apply/model.h"
#include "base/findings.h"
#include "checkpoint/checkpoint.h"

/* Compares the partitions with those in the checkpoint: fills in m->partition_changes, and sets rebuild[plan] where an
 * index has to be rebuilt. Pass NULL for rebuild if nothing would fill a new index: then every root is read again. */
void partition_changes_compare(struct model *m, const struct checkpoint *cp, bool *rebuild);
/* Opens a transaction in the batch with all that has to be read, as of `lsn`, below which everything was read. */
void partition_changes_add(const struct model *m, struct batch *batch, uint64_t lsn);
/* Adds what is read because of them, for a plan. */
void partition_changes_describe(const struct model *m, struct findings *changes);
void partition_changes_release(struct partition_changes *changes);

#endif
