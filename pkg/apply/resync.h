/* What partitions that came or went mean for the documents (source/partitions.h). A difference ends an attempt, and the
 * next one makes good for it before the checkpoint knows the new partitions:
 *
 *   a partition more      its rows are read as if they were inserted now: a few for one that was made empty
 *   one less, or another  of a root: its index is rebuilt, since the rows that are gone are not known;
 *                         of another table: every root that may depend on it is read again
 */
#ifndef PGSYNC_APPLY_RESYNC_H
#define PGSYNC_APPLY_RESYNC_H

#include "apply/model.h"
#include "checkpoint/checkpoint.h"

/* Compares the partitions with those of the checkpoint: fills in m->resync, and marks in rebuild (one for each plan)
 * whose index has to be rebuilt. rebuild is NULL where nothing would fill a new index: then every root is read again.
 */
void resync_compare(struct model *m, const struct checkpoint *cp, bool *rebuild);
void resync_release(struct partition_resync *resync);

#endif
