/* Generations: the concrete indices behind an alias, and to whom they belong. */
#ifndef PGSYNC_SYNC_GENERATIONS_INT_H
#define PGSYNC_SYNC_GENERATIONS_INT_H

#include "sync/attempt_int.h"

/* "<alias>-g<generation>"; caller frees. */
char *generation_name(const char *alias, int64_t generation);
/* The generation in a concrete name of this alias; 0: it is none. */
int64_t generation_number(const char *alias, const char *concrete);

/* What the mapping's `_meta` of an index says of who made it; a new value. */
json_t *generation_owner_meta(const struct run *run);
/* Refuses (CONFLICT/IndexInUse) an alias or a real index that belongs to somebody else; *ret_live: the generation
 * that the alias points to, or 0. */
int generation_check_owner(struct attempt *at, const char *alias, int64_t *ret_live, struct err *err) WARN_UNUSED;
/* Whether the index is there and this PgSync made it. One of the same name that the engine made by itself, for a write
 * after a deletion, is not. */
int generation_is_ours(struct attempt *at, const char *concrete, bool *ret, struct err *err) WARN_UNUSED;
/* Deletes every generation of the alias that is ours, but `keep`: what a failure left behind. */
int generation_collect(struct attempt *at, const char *alias, int64_t keep, struct err *err) WARN_UNUSED;
/* Makes an empty index of the plan's next free generation above `after`; a left-over of our own is replaced. */
int generation_create(struct attempt *at, const struct document_plan *plan, int64_t after, int64_t *ret,
		      struct err *err) WARN_UNUSED;
/* Refuses (INVALID/EveryDocumentRejected) to let a generation in which nothing arrived of what was read take the place
 * of another. */
int generation_check_filled(struct attempt *at, const struct document_plan *plan, const struct checkpoint_index *index,
			    struct err *err) WARN_UNUSED;
/* Whether the alias leads to the index, and to it alone. */
int generation_is_live(struct attempt *at, const char *alias, const char *concrete, bool *ret,
		       struct err *err) WARN_UNUSED;
/* Settings for life instead of for filling, a refresh, and the alias on it. */
int generation_go_live(struct attempt *at, const struct document_plan *plan, int64_t generation,
		       struct err *err) WARN_UNUSED;
/* If the generation is what an earlier life of this PgSync left, it is ours again: it goes once the alias has moved off
 * it, and nobody else takes it before. The caller knows that the alias leads there; what was left elsewhere may be kept
 * on purpose. 0: there is none. */
int generation_take_back(struct attempt *at, const char *alias, int64_t generation, struct err *err) WARN_UNUSED;
/* Nobody owns the index from here on, if this PgSync did: the next that names it may take the alias. */
int generation_disown(struct attempt *at, const char *concrete, struct err *err) WARN_UNUSED;

#endif
