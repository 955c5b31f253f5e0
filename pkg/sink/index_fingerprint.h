/* The fingerprint of what decides whether an index accepts a document: its mapping, its settings, and the ingest
 * pipelines that writes go through. A dead letter records it, so that a later check can tell whether the cause may be
 * gone. */
#ifndef PGSYNC_SINK_INDEX_FINGERPRINT_H
#define PGSYNC_SINK_INDEX_FINGERPRINT_H

#include <jansson.h>

#include "base/err.h"
#include "sink/sink.h"
#include "json/json.h"

/* Of the index now. pipeline: the one that writes name, or NULL. What the login may not read counts as unchanged. */
int index_fingerprint_read(const struct sink *sink, const char *concrete, const char *pipeline,
			   char ret[JSONX_HASH_BYTES], struct err *err) WARN_UNUSED;

/* From the answers about an index (pure). Leaves out what does not affect documents, such as the owner, the number of
 * replicas, and the refresh interval. pipelines: by name. */
char *index_fingerprint_hash(const json_t *mapping, const json_t *settings, const json_t *pipelines,
			     char ret[JSONX_HASH_BYTES]);
/* Appends a pipeline's name to names, an array, unless it is there, or means none (pure). */
void index_fingerprint_add_name(json_t *names, const char *name);
/* Appends to names, an array, the pipelines that this one calls (pure). */
void index_fingerprint_add_called(const json_t *pipeline, json_t *names);

#endif
