/* The list of connections. If there are too many, the client with the most loses the one that has been idle longest, so
 * a new client, such as a probe, is always served. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "web/web_int.h"

/* The clients of one address: an IPv4 address in its IPv6 mapping; for an IPv6 address, its network. */
struct peer {
	struct in6_addr address;
	size_t n;
};

struct web_connection {
	struct web *web;
	int fd; /* libmicrohttpd's: valid until it reports that the connection is closed */
	bool evicted;
	bool busy; /* a worker has, or will have, its request: it is not idle */
	struct web_connection *previous, *next;
	struct peer *peer;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

enum { NETWORK_BYTES = 8, MAPPED_AT = 12 };

static struct in6_addr peer_address(const union address *address)
{
	struct in6_addr peer = {0};

	if (address->any.sa_family == AF_INET)
		memcpy(peer.s6_addr + MAPPED_AT, &address->v4.sin_addr, sizeof(address->v4.sin_addr));
	else if (IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
		memcpy(peer.s6_addr + MAPPED_AT, address->v6.sin6_addr.s6_addr + MAPPED_AT, 4);
	else
		memcpy(peer.s6_addr, address->v6.sin6_addr.s6_addr, NETWORK_BYTES);
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

static struct peer *get_peer(struct web *web, const union address *from)
{
	struct in6_addr address = peer_address(from);
	struct peer *peer = map_get(web->peers, &address, sizeof(address));

	if (peer)
		return peer;
	peer = xcalloc(1, sizeof(*peer));
	peer->address = address;
	map_put(web->peers, &address, sizeof(address), peer);
	return peer;
}

static void leave_peer(struct web *web, struct peer *peer)
{
	struct in6_addr address = peer->address;

	peer->n--;
	if (!peer->n)
		(void)map_remove(web->peers, &address, sizeof(address));
}

static bool is_crowded(const struct web *web, const struct peer *peer)
{
	return peer->n >= WEB_PEER_CONNECTIONS || web->n_connections >= WEB_CONNECTIONS;
}

/* The connection to close before another one of this peer is accepted; NULL: all have requests at work. If all peers
 * together have too many, the one with the most loses one. */
static struct web_connection *find_idlest(const struct web *web, const struct peer *peer)
{
	struct web_connection *idlest = NULL;

	for (struct web_connection *c = web->first; c; c = c->next) {
		if (c->busy)
			continue;
		if (peer->n >= WEB_PEER_CONNECTIONS && c->peer == peer)
			return c;
		if (!idlest || c->peer->n > idlest->peer->n)
			idlest = c;
	}
	return peer->n >= WEB_PEER_CONNECTIONS ? NULL : idlest;
}

/* It is neither listed nor counted while libmicrohttpd, which finds its end, closes it. */
static void evict(struct web_connection *c)
{
	c->evicted = true;
	unlink_connection(c);
	leave_peer(c->web, c->peer);
	(void)shutdown(c->fd, SHUT_RDWR);
}

/* --- life */

/* NULL: there is no room for another one of this peer. */
static struct web_connection *new_connection(struct web *web, int fd, const union address *from)
{
	struct peer *peer = get_peer(web, from);
	bool full = is_crowded(web, peer);
	struct web_connection *idlest = full ? find_idlest(web, peer) : NULL;
	struct web_connection *c;

	if (full && !idlest) {
		peer->n++;
		leave_peer(web, peer);
		return NULL;
	}
	peer->n++; /* before another connection of it is evicted, with which it might be freed */
	if (idlest)
		evict(idlest);
	c = xcalloc(1, sizeof(*c));
	*c = (struct web_connection){.web = web, .fd = fd, .peer = peer};
	append_connection(c);
	return c;
}

static void free_connection(struct web_connection *c)
{
	if (!c->evicted) {
		unlink_connection(c);
		leave_peer(c->web, c->peer);
	}
	free(c);
}

static bool lacks_descriptors(int error)
{
	return error == EMFILE || error == ENFILE;
}

/* accept4() says that there is no descriptor before it looks whether a client waits. */
static bool client_waits(int listen)
{
	struct pollfd fds = {.fd = listen, .events = POLLIN};

	return poll(&fds, 1, 0) == 1;
}

/* When the process has no descriptor left, one is kept for clients: probes are answered even then. A client that waits
 * takes the place of the one that has been idle longest, which has had WEB_CROWDED_MS. */
static int accept_client(struct web *web, union address *ret_from, socklen_t *ret_len)
{
	int fd;
	bool waited = web->crowded;

	if (!web->options.listen) {
		ret_from->any.sa_family = AF_UNIX;
		*ret_len = sizeof(ret_from->any.sa_family);
		return web_channel_accept(&web->listen);
	}
	web->crowded = false;
	if (!client_waits(web->listen))
		return -1;
	fd = accept4(web->listen, &ret_from->any, ret_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && lacks_descriptors(errno) && web->spare >= 0) {
		close_fdp(&web->spare);
		web->spare = -1;
		fd = accept4(web->listen, &ret_from->any, ret_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	web->crowded = fd < 0 && lacks_descriptors(errno);
	if (waited && web->crowded && web->first)
		evict(web->first);
	return fd;
}

void web_accept(struct web *web)
{
	const int on = 1;

	for (int i = 0; i < WEB_ACCEPTS; i++) {
		union address from = {0};
		socklen_t len = sizeof(from);
		int fd = accept_client(web, &from, &len);

		if (fd < 0)
			return;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		web->accepted = new_connection(web, fd, &from);
		if (!web->accepted) {
			(void)close(fd);
			continue;
		}
		/* Closes fd unless it takes it over. */
		(void)MHD_add_connection(web->daemon, fd, &from.any, len);
		if (web->accepted)
			free_connection(TAKE_PTR(web->accepted));
	}
}

void web_connection_notify(void *cls, struct MHD_Connection *connection, void **context,
			   enum MHD_ConnectionNotificationCode code)
{
	struct web *web = cls;

	UNUSED(connection);
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = TAKE_PTR(web->accepted);
	else
		free_connection(*context);
}

void web_connection_active(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct web_connection *c = info->socket_context;

	if (c->evicted)
		return;
	c->busy = false;
	unlink_connection(c);
	append_connection(c);
}

void web_connection_busy(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct web_connection *c = info->socket_context;

	c->busy = true;
}
