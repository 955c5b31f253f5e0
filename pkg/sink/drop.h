/* Deletes or releases what a resource has in the search engine, when the resource is deleted.
 *
 * Only what is ours is touched, and what no longer exists counts as deleted: each call may be repeated. For the thread
 * that owns the sink. */
#ifndef PGSYNC_SINK_DROP_H
#define PGSYNC_SINK_DROP_H

#include <stdbool.h>

#include "base/err.h"
#include "checkpoint/checkpoint.h"
#include "sink/sink.h"

/* Deletes every index that the checkpoint lists: its generations, and its dead letters. retain: the generations that
 * are live and the dead letters stay, and are released, so that the next resource that names them may take them. */
int sink_drop_indices(const struct sink *sink, const struct checkpoint *cp, bool retain, struct err *err) WARN_UNUSED;

#endif
