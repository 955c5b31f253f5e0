/* Documents that the index rejected, or that could not be made: kept in "<index>-dead-letters" with the reason, so that
 * the rest can go on.
 *
 * A collector belongs to one thread and its bulk writer. What was rejected is durable once deadletters_flush has
 * returned; only then may the transactions behind it be acknowledged.
 */
#ifndef PGSYNC_SYNC_DEADLETTER_INT_H
#define PGSYNC_SYNC_DEADLETTER_INT_H

#include "sync/engine_int.h"

#define DEADLETTERS_SUFFIX "-dead-letters"

struct deadletters {
	struct engine *engine;
	struct rejected *items;
	size_t n, alloc;
};

void deadletters_init(struct deadletters *d, struct engine *e);
void deadletters_release(struct deadletters *d);
/* A writer with the spec's limits, whose rejections are collected here. Both stay in place while it lives. */
struct bulk *deadletters_bulk(struct deadletters *d, struct search *search);
/* A document could not be made, because of what some row of it holds. physical: of the generation. */
int deadletters_add_failed(struct deadletters *d, const char *physical, const char *id, uint64_t version,
			   const struct err *why, struct err *err) WARN_UNUSED;
/* A generation begins without the letters of the one before: what is still rejected gets a new one. */
int deadletters_begin(struct engine *e, const char *alias, struct err *err) WARN_UNUSED;
/* Counts those that can be found, for the report. Any thread, with its own search. */
int deadletters_count(struct engine *e, struct search *search, const char *alias, struct err *err) WARN_UNUSED;
/* The counts become the condition. */
void deadletters_say(struct engine *e);
/* Writes what was collected; call it after bulk_flush. */
int deadletters_flush(struct deadletters *d, struct bulk *bulk, struct err *err) WARN_UNUSED;

#endif
