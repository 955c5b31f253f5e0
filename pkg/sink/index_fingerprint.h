/* What decides whether an index takes a document: its mapping, its settings, and the ingest pipelines of both. As a
 * fingerprint, so that a dead letter can say what its document was refused by, and a later look whether that is still
 * there. */
#ifndef PGSYNC_SINK_INDEX_FINGERPRINT_H
#define PGSYNC_SINK_INDEX_FINGERPRINT_H

#include <jansson.h>

#include "base/err.h"
#include "sink/sink.h"
#include "json/json.h"

/* Of the index now. pipeline: that writes name, or NULL. What the login may not read counts as unchanging. */
int index_fingerprint_read(const struct sink *sink, const char *concrete, const char *pipeline,
			   char ret[JSONX_HASH_BYTES], struct err *err) WARN_UNUSED;

/* Of the answers about an index (pure): without what says nothing about documents, such as its owner, the number of its
 * replicas, and how often it is refreshed. pipelines: by name. */
char *index_fingerprint_hash(const json_t *mapping, const json_t *settings, const json_t *pipelines,
			     char ret[JSONX_HASH_BYTES]);
/* Appends to names, an array, the pipelines that this one calls (pure). */
void index_fingerprint_add_called(const json_t *pipeline, json_t *names);

#endif
