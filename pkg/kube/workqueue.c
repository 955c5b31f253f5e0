/* The work queue: a key is in a line, dirty, or being processed, as in client-go's util/workqueue. Each namespace has
 * its own line, and the lines take turns. */
#include "kube/kube.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "kube/heap_int.h"

/* A namespace: the part of a key before its slash. */
struct group {
	struct group *next; /* in the line of groups whose turn may come */
	struct item *head, *tail;
	bool waiting; /* for its turn */
	unsigned processing;
	size_t items; /* of any state */
	char name[];
};

struct item {
	struct heap_node delay; /* first: a node of the heap is an item */
	struct group *group;
	struct item *next; /* in the line of ready keys */
	int64_t ready_ms;  /* when it joined the line */
	unsigned failures;
	bool dirty;      /* to be processed: it is in the line, or it changed while being processed */
	bool processing; /* between get and done */
	char key[];
};

struct workqueue {
	int64_t base_ms, cap_ms;
	unsigned group_limit;
	struct map *items, *groups;
	struct group *head, *tail; /* with ready keys, and below the limit */
	size_t depth;
	struct heap delayed;
};

struct workqueue *workqueue_new(int64_t base_ms, int64_t cap_ms, unsigned group_limit)
{
	struct workqueue *queue = xcalloc(1, sizeof(*queue));

	assert(base_ms > 0 && cap_ms >= base_ms);
	queue->base_ms = base_ms;
	queue->cap_ms = cap_ms;
	queue->group_limit = group_limit;
	queue->items = map_new(free);
	queue->groups = map_new(free);
	return queue;
}

void workqueue_free(struct workqueue *queue)
{
	if (!queue)
		return;
	map_free(queue->items);
	map_free(queue->groups);
	heap_release(&queue->delayed);
	free(queue);
}

static struct group *group_of(struct workqueue *queue, const char *key)
{
	size_t len = strcspn(key, "/");
	struct group *group = map_get(queue->groups, key, len);

	if (group)
		return group;
	group = xcalloc(1, sizeof(*group) + len + 1);
	memcpy(group->name, key, len);
	map_put(queue->groups, key, len, group);
	return group;
}

/* Puts the group at the end of the line of groups, if its turn may come. */
static void line_up(struct workqueue *queue, struct group *group)
{
	if (group->waiting || !group->head || group->processing >= queue->group_limit)
		return;
	group->waiting = true;
	group->next = NULL;
	*(queue->tail ? &queue->tail->next : &queue->head) = group;
	queue->tail = group;
}

static struct group *next_group(struct workqueue *queue)
{
	struct group *group = queue->head;

	queue->head = group->next;
	if (!queue->head)
		queue->tail = NULL;
	group->waiting = false;
	return group;
}

static struct item *item_of(struct workqueue *queue, const char *key)
{
	struct item *item = map_gets(queue->items, key);
	size_t len = strlen(key);

	if (item)
		return item;
	item = xcalloc(1, sizeof(*item) + len + 1);
	memcpy(item->key, key, len);
	item->group = group_of(queue, key);
	item->group->items++;
	map_puts(queue->items, item->key, item);
	return item;
}

/* Keys come and go, so a key without state is dropped. */
static void drop_if_idle(struct workqueue *queue, struct item *item)
{
	struct group *group = item->group;

	if (item->dirty || item->processing || item->failures > 0 || heap_contains(&item->delay))
		return;
	map_removes(queue->items, item->key);
	/* A group without items is not in the line. */
	if (--group->items == 0)
		(void)map_remove(queue->groups, group->name, strlen(group->name));
}

static void join_line(struct workqueue *queue, struct item *item, int64_t now_ms)
{
	struct group *group = item->group;

	item->next = NULL;
	item->ready_ms = now_ms;
	*(group->tail ? &group->tail->next : &group->head) = item;
	group->tail = item;
	queue->depth++;
	line_up(queue, group);
}

static void mark_dirty(struct workqueue *queue, struct item *item, int64_t now_ms)
{
	if (item->dirty)
		return;
	item->dirty = true;
	if (!item->processing)
		join_line(queue, item, now_ms);
}

void workqueue_add(struct workqueue *queue, const char *key, int64_t now_ms)
{
	mark_dirty(queue, item_of(queue, key), now_ms);
}

static void add_after(struct workqueue *queue, struct item *item, int64_t now_ms, int64_t delay_ms)
{
	int64_t at_ms = now_ms + delay_ms;

	if (delay_ms <= 0) {
		mark_dirty(queue, item, now_ms);
		return;
	}
	if (heap_contains(&item->delay)) {
		if (item->delay.at_ms <= at_ms)
			return;
		heap_remove(&queue->delayed, &item->delay);
	}
	heap_push(&queue->delayed, &item->delay, at_ms);
}

void workqueue_add_after(struct workqueue *queue, const char *key, int64_t now_ms, int64_t delay_ms)
{
	add_after(queue, item_of(queue, key), now_ms, delay_ms);
}

void workqueue_add_rate_limited(struct workqueue *queue, const char *key, int64_t now_ms)
{
	struct item *item = item_of(queue, key);
	int64_t delay_ms = queue->base_ms;

	for (unsigned i = 0; i < item->failures && delay_ms < queue->cap_ms; i++)
		delay_ms *= 2;
	if (delay_ms > queue->cap_ms)
		delay_ms = queue->cap_ms;
	item->failures++;
	add_after(queue, item, now_ms, delay_ms);
}

void workqueue_forget(struct workqueue *queue, const char *key)
{
	struct item *item = map_gets(queue->items, key);

	if (!item)
		return;
	item->failures = 0;
	drop_if_idle(queue, item);
}

static void take_due(struct workqueue *queue, int64_t now_ms)
{
	struct heap_node *node;

	while ((node = heap_top(&queue->delayed)) && node->at_ms <= now_ms) {
		struct item *item = (struct item *)node;

		heap_remove(&queue->delayed, node);
		mark_dirty(queue, item, item->delay.at_ms);
	}
}

char *workqueue_get(struct workqueue *queue, int64_t now_ms)
{
	struct group *group;
	struct item *item;

	take_due(queue, now_ms);
	if (!queue->head)
		return NULL;
	group = next_group(queue);
	item = group->head;
	group->head = item->next;
	if (!group->head)
		group->tail = NULL;
	group->processing++;
	line_up(queue, group);
	queue->depth--;
	item->dirty = false;
	item->processing = true;
	return xstrdup(item->key);
}

void workqueue_done(struct workqueue *queue, const char *key, int64_t now_ms)
{
	struct item *item = map_gets(queue->items, key);

	if (!item || !item->processing)
		return;
	item->processing = false;
	item->group->processing--;
	if (item->dirty)
		join_line(queue, item, now_ms);
	else
		line_up(queue, item->group);
	drop_if_idle(queue, item);
}

int64_t workqueue_next_ms(const struct workqueue *queue)
{
	const struct heap_node *delayed = heap_top(&queue->delayed);

	if (queue->head)
		return queue->head->head->ready_ms;
	return delayed ? delayed->at_ms : -1;
}

size_t workqueue_depth(const struct workqueue *queue)
{
	return queue->depth;
}
