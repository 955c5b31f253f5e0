/* Generations: the concrete indices behind an alias, "<alias>-g<number>", and who owns them.
 *
 * An index names its owner in its mapping's `_meta`. A resource that was deleted and created again has the same owner
 * name but another uid. Each request uses the sink's connection, so it is for the thread that owns it. */
#ifndef PGSYNC_SINK_GENERATIONS_H
#define PGSYNC_SINK_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "checkpoint/checkpoint.h"
#include "sink/sink.h"

/* --- names (pure) --- */

/* "<alias>-g<generation>"; caller frees. */
char *generation_name(const char *alias, int64_t generation);
/* The generation in the name of an index of this alias; 0: it is not one. */
int64_t generation_number(const char *alias, const char *concrete);
/* The alias of an index; the whole name if it is not a generation. Caller frees. */
char *generation_alias(const char *concrete);

/* --- owners (pure) --- */

enum generation_owner {
	GENERATION_FREE,    /* it names no owner */
	GENERATION_OURS,    /* this resource created it */
	GENERATION_LEFT,    /* an earlier resource of the same name created it, and released it */
	GENERATION_FOREIGN, /* another resource created it, or an earlier one of the same name that still owns it */
};

/* Who owns the index with this `_meta`. */
enum generation_owner generation_owner(const struct sink *sink, const json_t *meta);
/* The `_meta` of an index that this resource makes; a new reference. */
json_t *generation_owner_meta(const struct sink *sink);

/* --- requests --- */

/* Refuses (INVALID/IndexInUse) an alias or an index that belongs to another resource. *ret_live: the generation that
 * the alias points to, or 0. */
int generation_check_owner(const struct sink *sink, const char *alias, int64_t *ret_live, struct err *err) WARN_UNUSED;
/* Whether the index exists and is ours. One with the same name that the engine created on its own, for a write after a
 * deletion, is not. */
int generation_is_ours(const struct sink *sink, const char *concrete, bool *ret, struct err *err) WARN_UNUSED;
/* Deletes every generation of the alias that is ours, except `keep`. */
int generation_collect(const struct sink *sink, const char *alias, int64_t keep, struct err *err) WARN_UNUSED;
/* Creates an empty index with the alias's next free generation above `after`. A leftover of ours is replaced. body:
 * its settings and mappings. */
int generation_create(const struct sink *sink, const char *alias, const json_t *body, int64_t after, int64_t *ret,
		      struct err *err) WARN_UNUSED;
/* Whether going live would replace another index with one that has no document, although rows were copied into it. */
int generation_would_empty(const struct sink *sink, const struct checkpoint_index *index, bool *ret,
			   struct err *err) WARN_UNUSED;
/* Whether the alias points to the index, and to it alone. */
int generation_is_live(const struct sink *sink, const char *alias, const char *concrete, bool *ret,
		       struct err *err) WARN_UNUSED;
/* Replaces the settings for filling by the final ones, refreshes, and moves the alias to the index. body: as for
 * generation_create. */
int generation_go_live(const struct sink *sink, const char *alias, const json_t *body, int64_t generation,
		       struct err *err) WARN_UNUSED;
/* Reclaims the generation if an earlier resource of the same name released it: then it is deleted once the alias has
 * moved away, and no other resource takes it before. The caller has checked that the alias points to it; other indices
 * may be kept on purpose. generation 0: does nothing. */
int generation_take_back(const struct sink *sink, const char *alias, int64_t generation, struct err *err) WARN_UNUSED;
/* Releases the index if it is ours, and ends writing to it: the next resource that names it may take the alias. */
int generation_disown(const struct sink *sink, const char *concrete, struct err *err) WARN_UNUSED;

/* Whether a shard of the generation has another history than the checkpoint knows, so that it may lack what was
 * written. Adds what was not known there: *ret_learned, and that has to be saved. What cannot be read counts as
 * unchanged. */
bool generation_is_restored(const struct sink *sink, struct checkpoint_index *index, bool *ret_learned);

#endif
