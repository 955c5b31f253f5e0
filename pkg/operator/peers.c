/* Operators of other installations that a PgSync names: whether one is alive is what its Lease says.
 *
 * A Lease is asked for when a PgSync that names it is processed, and again and again while its holder is alive and a
 * PgSync names it. With one installation nothing is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "operator/operator_int.h"

enum { AGAIN_MS = 15 * 1000, FAILED_MS = 1000, LATER_MS = 100 };

struct peer {
	struct operator_ *op;
	char *lease; /* "namespace/name" */
	struct lease_state seen;
	json_t *marks; /* of the Lease; NULL: it was not seen yet */
	enum peer_state state, told;
	int64_t asked_ms;
	struct kube_call *call;
	struct kube_timer *timer;
};

static void peer_free(void *ptr)
{
	struct peer *peer = ptr;

	kube_cancel(peer->call);
	kube_timer_cancel(peer->timer);
	jsonx_decref(peer->marks);
	free(peer->lease);
	free(peer);
}

struct map *peers_new(void)
{
	return map_new(peer_free);
}

/* --- who names it */

static bool names(const char *named, const char *lease)
{
	size_t len = strlen(lease);

	return named && strncmp(named, lease, len) == 0 && (!named[len] || named[len] == ' ');
}

struct search {
	const char *lease;
	bool enqueue, found;
};

static bool search_each(void *user, const char *key, size_t len, void *value)
{
	struct search *s = user;
	struct resource *r = value;

	UNUSED(key);
	UNUSED(len);
	if (!names(r->cache.claim, s->lease) && !names(r->cache.contender, s->lease) && !names(r->pod.lease, s->lease))
		return true;
	s->found = true;
	if (s->enqueue)
		resource_enqueue(r);
	return s->enqueue;
}

static bool is_named(const struct peer *peer)
{
	struct search s = {.lease = peer->lease};

	map_each(peer->op->resources, search_each, &s);
	return s.found;
}

static void settle(struct peer *peer, enum peer_state state)
{
	struct search s = {.lease = peer->lease, .enqueue = true};

	if (peer->state == state)
		return;
	if (peer->told != state)
		log_info("operator", state == PEER_ALIVE ? "another operator is active" : "another operator is gone",
			 KV_STR("lease", peer->lease));
	peer->state = peer->told = state;
	map_each(peer->op->resources, search_each, &s);
}

/* --- asking */

static void ask(struct peer *peer);

static void on_time(void *user)
{
	struct peer *peer = user;
	_cleanup_free_ char *lease = NULL;

	peer->timer = NULL;
	if (is_named(peer)) {
		ask(peer);
		return;
	}
	lease = xstrdup(peer->lease);
	(void)map_removes(peer->op->peers, lease);
}

static void ask_later(struct peer *peer, int64_t at_ms)
{
	peer->timer = kube_timer_start(peer->op->kube, at_ms, on_time, peer);
}

/* How long what was seen counts as news: of a Lease that expires soon, the time of its last renewal is to be known. */
static int64_t again_after_ms(const struct lease_state *seen)
{
	int64_t half_ms = seen->record.duration_seconds * 1000 / 2;

	return half_ms < AGAIN_MS / 2 ? half_ms : AGAIN_MS;
}

static void on_seen(void *user, const json_t *object, const struct err *err)
{
	struct peer *peer = user;
	int64_t now_ms = clock_now_ms(), expires_ms = 0, again_ms;

	peer->call = NULL;
	/* One that may not be read is treated as if it did not exist: else its PgSyncs might wait for ever. */
	if (!object && err->kind != ERR_NOT_FOUND && err->kind != ERR_DENIED) {
		ask_later(peer, now_ms + FAILED_MS);
		return;
	}
	if (object) {
		jsonx_decref(peer->marks);
		peer->marks = placement_marks(object);
		lease_see(&peer->seen, object, now_ms);
		expires_ms = lease_expires_ms(&peer->seen, "");
	}
	if (expires_ms <= now_ms) {
		settle(peer, PEER_GONE);
		return;
	}
	again_ms = now_ms + again_after_ms(&peer->seen);
	ask_later(peer, expires_ms < again_ms ? expires_ms + LATER_MS : again_ms);
	settle(peer, PEER_ALIVE);
}

static void ask(struct peer *peer)
{
	size_t len = strcspn(peer->lease, "/");
	_cleanup_free_ char *namespace = xstrndup(peer->lease, len);
	const char *name = peer->lease[len] ? peer->lease + len + 1 : "";
	_cleanup_free_ char *path =
		kube_path("apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases", name, NULL);

	peer->asked_ms = clock_now_ms();
	peer->call = kube_request(peer->op->kube, &(struct kube_request){.method = "GET", .path = path}, on_seen, peer);
}

static struct peer *peer_new(struct operator_ *op, const char *lease)
{
	struct peer *peer = xcalloc(1, sizeof(*peer));

	peer->op = op;
	peer->lease = xstrdup(lease);
	map_puts(op->peers, lease, peer);
	ask(peer);
	return peer;
}

/* Of what is named, "": nothing, or ourselves. Caller frees. */
static char *lease_of(const struct operator_ *op, const char *named)
{
	char *lease = xstrndup(named ? named : "", named ? strcspn(named, " ") : 0);

	if (op->lease_name && strcmp(lease, op->lease_name) == 0)
		*lease = '\0';
	return lease;
}

static void ask_again(struct peer *peer)
{
	if (peer->state != PEER_GONE || peer->call)
		return;
	peer->state = PEER_UNCLEAR;
	ask(peer);
}

void peers_named(struct operator_ *op, const char *named)
{
	_cleanup_free_ char *lease = lease_of(op, named);
	struct peer *peer = *lease ? map_gets(op->peers, lease) : NULL;

	if (peer)
		ask_again(peer);
}

enum peer_state operator_peer(struct operator_ *op, const char *named)
{
	_cleanup_free_ char *lease = lease_of(op, named);
	struct peer *peer;

	if (!*lease)
		return PEER_NONE;
	peer = map_gets(op->peers, lease);
	if (!peer)
		peer = peer_new(op, lease);
	if (clock_now_ms() - peer->asked_ms >= AGAIN_MS)
		ask_again(peer);
	return peer->state;
}

const json_t *operator_peer_marks(const struct operator_ *op, const char *lease)
{
	const struct peer *peer = map_gets(op->peers, lease);

	return peer ? peer->marks : NULL;
}
