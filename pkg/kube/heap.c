/* A binary heap of embedded nodes. */
#include "kube/heap_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

void heap_release(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){0};
}

struct heap_node *heap_top(const struct heap *h)
{
	return h->n ? h->nodes[0] : NULL;
}

bool heap_contains(const struct heap_node *node)
{
	return node->place != 0;
}

static bool earlier(const struct heap_node *a, const struct heap_node *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put_node(struct heap *h, size_t i, struct heap_node *node)
{
	h->nodes[i] = node;
	node->place = i + 1;
}

static void sift_up(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	while (i > 0 && earlier(node, h->nodes[(i - 1) / 2])) {
		put_node(h, i, h->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put_node(h, i, node);
}

static void sift_down(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n && earlier(h->nodes[child + 1], h->nodes[child]))
			child++;
		if (!earlier(h->nodes[child], node))
			break;
		put_node(h, i, h->nodes[child]);
		i = child;
	}
	put_node(h, i, node);
}

void heap_push(struct heap *h, struct heap_node *node, int64_t at_ms)
{
	assert(!heap_contains(node));
	ALLOC_GROW(h->nodes, h->n + 1, h->alloc);
	node->at_ms = at_ms;
	node->order = h->next_order++;
	put_node(h, h->n++, node);
	sift_up(h, h->n - 1);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	struct heap_node *last;
	size_t i = node->place;

	if (i == 0)
		return;
	i--;
	assert(i < h->n && h->nodes[i] == node);
	node->place = 0;
	last = h->nodes[--h->n];
	if (last == node)
		return;
	put_node(h, i, last);
	sift_up(h, i);
	sift_down(h, last->place - 1);
}
