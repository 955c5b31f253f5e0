/* Memory that dies together: a batch's strings and structs, freed in one call. Nothing in an arena is freed alone. */
#ifndef PGSYNC_BASE_ARENA_H
#define PGSYNC_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used; /* bytes handed out since init or reset */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
/* Forgets everything, and keeps one block for the next round. */
void arena_reset(struct arena *a);
/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* A copy with a NUL after it. */
char *arena_strndup(struct arena *a, const char *s, size_t len) __attribute__((returns_nonnull));

#endif
