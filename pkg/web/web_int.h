/* Shared between the files of this package only: the server, its connections, and the listening socket.
 *
 * Everything belongs to the server's thread while that runs, except `stop` and `ended`.
 */
#ifndef PGSYNC_WEB_WEB_INT_H
#define PGSYNC_WEB_WEB_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include <libwebsockets.h>

#include "web/web.h"

enum {
	WEB_CONNECTIONS = 128,             /* one more closes the one that has been idle longest */
	WEB_PEER_CONNECTIONS = 64,         /* the same among those of one address */
	WEB_BODY_BYTES = 16 * 1024 * 1024, /* of a response */
	WEB_CHUNK_BYTES = 8 * 1024,        /* of one write */
	WEB_HEADER_BYTES = 4 * 1024,       /* of a request's headers */
	WEB_TIMEOUT_S = 10,                /* for a client that stops sending its request or reading the response */
	WEB_KEEPALIVE_S = 5,
	WEB_JOIN_MS = 3000, /* how long web_stop waits for the thread */
};

struct web {
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct web_route *routes; /* paths are copies */
	size_t n_routes;
	int port;
	struct web_connection *first, *last; /* by their last activity, the longest ago comes first */
	size_t n_connections;
	struct map *peers; /* address -> how many connections it has */
	pthread_t thread;
	int ended; /* an eventfd that the thread writes last: only then is it joined */
	atomic_bool stop;
	unsigned char out[LWS_PRE + WEB_CHUNK_BYTES]; /* of the server's thread */
};

/* One request on a connection; libwebsockets gives it zeroed. */
struct web_session {
	struct web_response response;
	size_t sent;
	bool close; /* after the response */
};

/* --- web_connections.c: who is connected, and who has to go when there are too many */
/* Takes over an accepted socket. */
void web_connection_new(struct web *web, int fd);
/* Something has come from the client, or gone to it. */
void web_connection_active(struct lws *wsi);
/* libwebsockets is about to free it. Harmless for what is not a connection. */
void web_connection_ended(struct lws *wsi);

/* Opens a listening, non-blocking socket and returns its port. Errors: as web_start. */
int web_listen(const char *listen, int *ret_fd, int *ret_port, struct err *err) WARN_UNUSED;

/* The protocols of the server: HTTP, and the listening socket. */
extern const struct lws_protocols web_protocols[];
#define WEB_PROTOCOL_LISTEN "listen"

#endif
