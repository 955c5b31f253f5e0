/* Documents that the index rejected, or that could not be made: kept in "<index>-dead-letters" with the reason, so that
 * the rest can go on.
 *
 * A collector belongs to one thread and its bulk writer. What was rejected is durable once dead_letters_flush has
 * returned; only then may the transactions behind it be acknowledged.
 */
#ifndef PGSYNC_SYNC_DEAD_LETTERS_INT_H
#define PGSYNC_SYNC_DEAD_LETTERS_INT_H

#include "sync/attempt_int.h"

#define DEAD_LETTERS_SUFFIX "-dead-letters"

struct dead_letters {
	const struct model *model;
	struct connector *connector;
	struct rejected *items;
	size_t n, alloc;
};

void dead_letters_init(struct dead_letters *d, const struct model *model, struct connector *connector);
void dead_letters_release(struct dead_letters *d);
/* A writer with the spec's limits, whose rejections are collected here. Both stay in place while it lives. */
struct bulk *dead_letters_bulk(struct dead_letters *d, struct search *search);
/* A document could not be made, because of what some row of it holds. concrete: of the generation. */
int dead_letters_add_failed(struct dead_letters *d, const char *concrete, const char *id, uint64_t version,
			    const struct err *why, struct err *err) WARN_UNUSED;
/* A generation begins without the letters of the one before: what is still rejected gets a new one. */
int dead_letters_begin(struct run *run, struct search *search, const char *alias, struct err *err) WARN_UNUSED;
/* Counts those that can be found, for the report. Any thread, with its own search. */
int dead_letters_count(struct run *run, struct search *search, const char *alias, struct err *err) WARN_UNUSED;
/* The counts become the condition. */
void dead_letters_say(struct run *run, const struct model *model);
/* Writes what was collected; call it after bulk_flush. */
int dead_letters_flush(struct dead_letters *d, struct bulk *bulk, struct err *err) WARN_UNUSED;

#endif
