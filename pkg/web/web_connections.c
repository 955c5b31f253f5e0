/* Who is connected. When there are too many connections, the client with the most loses the one that has been idle
 * longest: a newcomer, such as a probe, is always served. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/map.h"
#include "web/web_int.h"

/* Those who share an address: an IPv4 address as IPv6 maps it; of an IPv6 address, its network. */
struct peer {
	struct in6_addr address;
	size_t n;
};

struct web_connection {
	struct web *web;
	struct lws *wsi;
	struct web_connection *previous, *next;
	struct peer *peer;
};

enum { NETWORK_BYTES = 8, MAPPED_AT = 12 };

static struct in6_addr address_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	socklen_t len = sizeof(address);
	struct in6_addr peer = {0};

	if (getpeername(fd, &address.any, &len) < 0)
		return peer;
	if (address.any.sa_family == AF_INET)
		memcpy(peer.s6_addr + MAPPED_AT, &address.v4.sin_addr, sizeof(address.v4.sin_addr));
	else if (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr))
		memcpy(peer.s6_addr + MAPPED_AT, address.v6.sin6_addr.s6_addr + MAPPED_AT, 4);
	else
		memcpy(peer.s6_addr, address.v6.sin6_addr.s6_addr, NETWORK_BYTES);
	return peer;
}

/* --- the list, by activity */

static void unlink_connection(struct web_connection *c)
{
	struct web *web = c->web;

	*(c->previous ? &c->previous->next : &web->first) = c->next;
	*(c->next ? &c->next->previous : &web->last) = c->previous;
	c->previous = c->next = NULL;
	web->n_connections--;
}

static void append_connection(struct web_connection *c)
{
	struct web *web = c->web;

	c->previous = web->last;
	*(web->last ? &web->last->next : &web->first) = c;
	web->last = c;
	web->n_connections++;
}

/* --- too many */

static struct peer *get_peer(struct web *web, int fd)
{
	struct in6_addr address = address_of(fd);
	struct peer *peer = map_get(web->peers, &address, sizeof(address));

	if (peer)
		return peer;
	peer = xcalloc(1, sizeof(*peer));
	peer->address = address;
	map_put(web->peers, &address, sizeof(address), peer);
	return peer;
}

static void put_peer(struct web *web, struct peer *peer)
{
	struct in6_addr address = peer->address;

	if (!peer->n)
		(void)map_remove(web->peers, &address, sizeof(address));
}

/* The one to close before another of this peer is accepted; NULL: there is room. If all peers together have too many,
 * the one with the most loses one. */
static struct web_connection *find_idlest(const struct web *web, const struct peer *peer)
{
	struct web_connection *idlest = NULL;

	if (peer->n < WEB_PEER_CONNECTIONS && web->n_connections < WEB_CONNECTIONS)
		return NULL;
	for (struct web_connection *c = web->first; c; c = c->next) {
		if (peer->n >= WEB_PEER_CONNECTIONS && c->peer == peer)
			return c;
		if (!idlest || c->peer->n > idlest->peer->n)
			idlest = c;
	}
	return idlest;
}

static void evict(struct web_connection *c)
{
	struct lws *wsi = c->wsi;

	/* It is neither waited for nor counted while libwebsockets closes it. */
	web_connection_ended(wsi);
	lws_set_timeout(wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_SYNC);
}

/* --- life */

void web_connection_new(struct web *web, int fd)
{
	struct peer *peer = get_peer(web, fd);
	struct web_connection *idlest = find_idlest(web, peer);
	struct web_connection *c;
	struct lws *wsi;

	peer->n++; /* before another of it is evicted, with which it might end */
	if (idlest)
		evict(idlest);
	/* Closes fd when it refuses it. */
	wsi = lws_adopt_socket_vhost(web->vhost, fd);
	if (!wsi) {
		peer->n--;
		put_peer(web, peer);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->web = web;
	c->wsi = wsi;
	c->peer = peer;
	append_connection(c);
	lws_set_opaque_user_data(wsi, c);
}

void web_connection_active(struct lws *wsi)
{
	struct web_connection *c = lws_get_opaque_user_data(wsi);

	if (!c)
		return;
	unlink_connection(c);
	append_connection(c);
}

void web_connection_ended(struct lws *wsi)
{
	struct web_connection *c = lws_get_opaque_user_data(wsi);

	if (!c)
		return;
	lws_set_opaque_user_data(wsi, NULL);
	unlink_connection(c);
	c->peer->n--;
	put_peer(c->web, c->peer);
	free(c);
}
