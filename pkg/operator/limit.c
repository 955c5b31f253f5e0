/* --max-pgsyncs: which PgSyncs are within the limit. */
#include <string.h>

#include "operator/operator_int.h"

struct rank {
	const struct resource *of;
	size_t older;
};

static bool is_older_resource(const struct resource *a, const struct resource *b)
{
	int order = strcmp(a->cache.created, b->cache.created);

	return order ? order < 0 : strcmp(a->cache.uid ? a->cache.uid : "", b->cache.uid ? b->cache.uid : "") < 0;
}

static bool count_older(void *user, const char *key, size_t len, void *value)
{
	const struct resource *other = value;
	struct rank *rank = user;

	UNUSED(key);
	UNUSED(len);
	rank->older += other->cache.presence != PRESENCE_GONE && is_older_resource(other, rank->of);
	return true;
}

bool resource_is_over_limit(const struct resource *r)
{
	struct rank rank = {.of = r};

	if (!r->op->options->max_pgsyncs)
		return false;
	map_each(r->op->resources, count_older, &rank);
	return rank.older >= r->op->options->max_pgsyncs;
}
