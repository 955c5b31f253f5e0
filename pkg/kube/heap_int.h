/* A binary heap of embedded nodes, earliest first, first come first served among equals. Timers and delayed keys. */
#ifndef PGSYNC_KUBE_HEAP_INT_H
#define PGSYNC_KUBE_HEAP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t at_ms;
	uint64_t order; /* of insertion */
	size_t place;   /* index + 1 in the heap; 0: not in it */
};

/* All zero is an empty heap. */
struct heap {
	struct heap_node **nodes;
	size_t n, alloc;
	uint64_t next_order;
};

void heap_release(struct heap *h);
/* NULL when empty. */
struct heap_node *heap_top(const struct heap *h);
bool heap_contains(const struct heap_node *node);
/* Not for a node that is in a heap. */
void heap_push(struct heap *h, struct heap_node *node, int64_t at_ms);
/* Nothing happens when the node is not in it. */
void heap_remove(struct heap *h, struct heap_node *node);

#endif
