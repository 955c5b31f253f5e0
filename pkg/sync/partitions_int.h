/* Partitions that come and go. Neither ATTACH nor DETACH, nor DROP or TRUNCATE of a partition, leaves a trace in the
 * stream: rows are there, or are gone, without an event. What can be noticed is that the partitions are others than
 * those that the checkpoint knows: by OID, by their attachment (another one after DETACH and ATTACH), by their file
 * (another one after TRUNCATE or a rewrite). The catalog is looked at when an attempt starts and every five seconds; a
 * difference ends the attempt, and the next one makes good for it before the checkpoint knows the new partitions:
 *
 *   a partition more      its rows are read as if they were inserted now: a few for one that was made empty
 *   one less, or another  of a root: its index is built anew, since the rows that are gone are not known;
 *                         of another table: every root that may depend on it is read again
 *
 * What is attached and detached again between two looks is not noticed.
 */
#ifndef PGSYNC_SYNC_PARTITIONS_INT_H
#define PGSYNC_SYNC_PARTITIONS_INT_H

#include "checkpoint/checkpoint.h"
#include "sync/model_int.h"

/* Compares the partitions with those of the checkpoint: fills in m->resync, and marks in rebuild (one for each plan)
 * whose index has to be rebuilt. rebuild is NULL where nothing would fill a new index: then every root is read again.
 */
void partitions_compare(struct model *m, const struct checkpoint *cp, bool *rebuild);
/* The checkpoint knows the partitions as they are now; the caller saves it. */
void partitions_adopt(const struct model *m, struct checkpoint *cp);
void partition_resync_release(struct partition_resync *resync);

#endif
