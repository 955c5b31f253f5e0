/* Memory that dies together. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 64 * 1024 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

static void free_blocks(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_release(struct arena *a)
{
	free_blocks(a->head);
	arena_init(a);
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head;

	/* A block of unusual size belonged to one big thing: keeping it would make a peak permanent. */
	if (keep && keep->size != BLOCK_BYTES) {
		arena_release(a);
		return;
	}
	if (keep) {
		free_blocks(keep->next);
		keep->next = NULL;
		keep->used = 0;
	}
	a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_block *b = a->head;
	void *ptr;

	if (!b || b->size - b->used < need) {
		size_t block = need > BLOCK_BYTES ? need : BLOCK_BYTES;

		b = xmalloc(sizeof(*b) + block);
		*b = (struct arena_block){.next = a->head, .size = block};
		a->head = b;
	}
	ptr = b->data + b->used;
	b->used += need;
	a->used += need;
	return memset(ptr, 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	memcpy(copy, s, len);
	return copy;
}
