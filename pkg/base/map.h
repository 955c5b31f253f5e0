/* A map from byte strings to pointers, for one thread. Keys are copied; values are borrowed, or freed if asked. */
#ifndef PGSYNC_BASE_MAP_H
#define PGSYNC_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct map;

/* free_value may be NULL: then the map never frees a value. */
struct map *map_new(void (*free_value)(void *));
void map_free(struct map *m);
CLEANUP(struct map, map_free);

size_t map_size(const struct map *m);
void *map_get(const struct map *m, const void *key, size_t len);
void *map_gets(const struct map *m, const char *key);
/* Replaces (and frees) a value that the key already had. */
void map_put(struct map *m, const void *key, size_t len, void *value);
void map_puts(struct map *m, const char *key, void *value);
/* Removes the key and frees its value; false when there is none. */
bool map_remove(struct map *m, const void *key, size_t len);
bool map_removes(struct map *m, const char *key);
/* Calls fn for each entry in insertion order until it returns false. fn may remove the entry that it is given. */
void map_each(struct map *m, bool (*fn)(void *user, const char *key, size_t len, void *value), void *user);

#endif
