/* A map from byte strings to pointers, on uthash. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

/* By default, uthash calls exit() if memory is exhausted; this aborts like every allocation here. */
#define uthash_malloc(size) xmalloc(size)
#define uthash_fatal(msg) abort()
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough" /* its hash function falls through without an annotation */
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	void *value;
	size_t len;
	char key[];
};

struct map {
	struct entry *head;
	void (*free_value)(void *);
};

struct map *map_new(void (*free_value)(void *))
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->free_value = free_value;
	return m;
}

static void drop(struct map *m, struct entry *e)
{
	HASH_DEL(m->head, e);
	if (m->free_value && e->value)
		m->free_value(e->value);
	free(e);
}

void map_free(struct map *m)
{
	struct entry *e, *next;

	if (!m)
		return;
	HASH_ITER (hh, m->head, e, next)
		drop(m, e);
	free(m);
}

size_t map_size(const struct map *m)
{
	return HASH_COUNT(m->head);
}

static struct entry *find_key(const struct map *m, const void *key, size_t len)
{
	struct entry *e;

	HASH_FIND(hh, m->head, key, len, e);
	return e;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	struct entry *e = find_key(m, key, len);

	return e ? e->value : NULL;
}

void *map_gets(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

void map_put(struct map *m, const void *key, size_t len, void *value)
{
	struct entry *e = find_key(m, key, len);

	if (e) {
		if (m->free_value && e->value && e->value != value)
			m->free_value(e->value);
		e->value = value;
		return;
	}
	e = xcalloc(1, sizeof(*e) + len + 1);
	memcpy(e->key, key, len);
	e->len = len;
	e->value = value;
	HASH_ADD_KEYPTR(hh, m->head, e->key, e->len, e);
}

void map_puts(struct map *m, const char *key, void *value)
{
	map_put(m, key, strlen(key), value);
}

bool map_remove(struct map *m, const void *key, size_t len)
{
	struct entry *e = find_key(m, key, len);

	if (!e)
		return false;
	drop(m, e);
	return true;
}

bool map_removes(struct map *m, const char *key)
{
	return map_remove(m, key, strlen(key));
}

void map_each(struct map *m, bool (*fn)(void *user, const char *key, size_t len, void *value), void *user)
{
	struct entry *e, *next;

	HASH_ITER (hh, m->head, e, next) {
		if (!fn(user, e->key, e->len, e->value))
			return;
	}
}
