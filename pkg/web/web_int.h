/* What the files of this package share. */
#ifndef PGSYNC_WEB_WEB_INT_H
#define PGSYNC_WEB_WEB_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include <libwebsockets.h>

#include "web/web.h"

enum {
	WEB_CONNECTIONS = 128,             /* what is beyond is closed at once */
	WEB_BODY_BYTES = 16 * 1024 * 1024, /* of a response */
	WEB_CHUNK_BYTES = 8 * 1024,        /* of one write */
	WEB_HEADER_BYTES = 4 * 1024,       /* of a request's headers */
	WEB_TIMEOUT_S = 10,                /* for a client that does not go on with its request or its reading */
	WEB_KEEPALIVE_S = 75,              /* longer than the interval of a usual scrape */
};

struct web {
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct web_route *routes; /* paths are copies */
	size_t n_routes;
	int port;
	pthread_t thread;
	atomic_bool stop;
	unsigned char out[LWS_PRE + WEB_CHUNK_BYTES]; /* of the server's thread */
};

/* One request on a connection; libwebsockets gives it zeroed. */
struct web_session {
	struct web_response response;
	size_t sent;
	bool close; /* after the response */
};

/* Opens a listening, non-blocking socket and says its port. Errors as web_start. */
int web_listen(const char *listen, int *ret_fd, int *ret_port, struct err *err) WARN_UNUSED;

/* The protocols of the server: HTTP, and the listening socket. */
extern const struct lws_protocols web_protocols[];
#define WEB_PROTOCOL_LISTEN "listen"

#endif
