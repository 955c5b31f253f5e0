/* Unsettled chunks. */
#include "apply/unsettled.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

struct unsettled {
	pthread_mutex_t lock;
	uint64_t last;
	uint64_t *chunks; /* in no order */
	size_t n, alloc;
};

struct unsettled *unsettled_new(void)
{
	struct unsettled *u = xcalloc(1, sizeof(*u));

	(void)pthread_mutex_init(&u->lock, NULL);
	return u;
}

void unsettled_free(struct unsettled *u)
{
	if (!u)
		return;
	(void)pthread_mutex_destroy(&u->lock);
	free(u->chunks);
	free(u);
}

uint64_t unsettled_begin(struct unsettled *u)
{
	uint64_t chunk;

	(void)pthread_mutex_lock(&u->lock);
	chunk = ++u->last;
	ALLOC_GROW(u->chunks, u->n + 1, u->alloc);
	u->chunks[u->n++] = chunk;
	(void)pthread_mutex_unlock(&u->lock);
	return chunk;
}

void unsettled_end(struct unsettled *u, uint64_t chunk)
{
	(void)pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->n; i++) {
		if (u->chunks[i] != chunk)
			continue;
		u->chunks[i] = u->chunks[--u->n];
		break;
	}
	(void)pthread_mutex_unlock(&u->lock);
}

uint64_t unsettled_last(struct unsettled *u)
{
	uint64_t last;

	(void)pthread_mutex_lock(&u->lock);
	last = u->last;
	(void)pthread_mutex_unlock(&u->lock);
	return last;
}

bool unsettled_any(struct unsettled *u, uint64_t last)
{
	bool any = false;

	(void)pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->n; i++)
		any = any || u->chunks[i] <= last;
	(void)pthread_mutex_unlock(&u->lock);
	return any;
}
