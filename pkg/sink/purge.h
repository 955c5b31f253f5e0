/* Deletes documents of rows that are gone without an event: those that left a view, those of a truncated table.
 *
 * Everything that the root contains has just been written with one version, and is durable: so any older document has
 * no row. This needs neither a list of keys in memory nor a way to get the key from an _id; a page of hits gives shard
 * and version. If a document was rejected, its older version is deleted too: only the dead letter stays. It is for the
 * thread that owns the sink and the bulk writer. */
#ifndef PGSYNC_SINK_PURGE_H
#define PGSYNC_SINK_PURGE_H

#include <stdint.h>

#include "base/err.h"
#include "sink/sink.h"

/* Adds a delete to the bulk writer for each document of the index that is older than the version. */
int purge_older(const struct sink *sink, const char *index, uint64_t version, struct bulk *bulk,
		struct err *err) WARN_UNUSED;

#endif
