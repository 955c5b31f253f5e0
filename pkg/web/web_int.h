/* Shared between the files of this package only: the server, its connections, and the listening socket.
 *
 * Everything belongs to the server's thread while that runs, except `stop`, `wake` and `ended`.
 */
#ifndef PGSYNC_WEB_WEB_INT_H
#define PGSYNC_WEB_WEB_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include "web/web.h"

enum {
	WEB_CONNECTIONS = 128,             /* one more closes the one that has been idle longest */
	WEB_PEER_CONNECTIONS = 64,         /* the same among those of one address */
	WEB_ACCEPTS = 64,                  /* at once, before others are served again */
	WEB_BODY_BYTES = 16 * 1024 * 1024, /* of a response */
	WEB_QUERY_BYTES = 4 * 1024,
	WEB_MEMORY_BYTES = 16 * 1024, /* of a connection: its request's head, and what libmicrohttpd keeps of it */
	WEB_TIMEOUT_S = 10,           /* time limit for a client that stops sending its request or reading the
				       * response */
	WEB_CROWDED_MS = 100,         /* how long clients wait when there is no descriptor for them */
	WEB_JOIN_MS = 3000,           /* how long web_stop waits for the thread */
};

struct web {
	struct MHD_Daemon *daemon;
	struct web_route *routes; /* paths are copies */
	size_t n_routes;
	int listen, port;
	struct web_connection *first, *last; /* by last activity, the oldest first */
	size_t n_connections;
	struct web_connection *accepted; /* the one that libmicrohttpd is about to take over */
	struct map *peers;               /* address -> how many connections it has */
	pthread_t thread;
	int spare;    /* a descriptor that is given up when the process has no other for a client; -1: it is in use */
	bool crowded; /* a client waits, and there is no descriptor for it */
	int wake;     /* an eventfd: there is something to do besides connections */
	int ended;    /* an eventfd that the thread writes last: only then is it joined */
	atomic_bool stop;
};

/* --- web_connections.c: the list of connections, and which one to close if there are too many */
/* Accepts waiting clients, WEB_ACCEPTS at most. */
void web_accept(struct web *web);
/* Call it when the client has sent a request, or the answer has been sent. */
void web_connection_active(struct MHD_Connection *connection);
/* MHD_NotifyConnectionCallback; cls is the server. */
void web_connection_notify(void *cls, struct MHD_Connection *connection, void **context,
			   enum MHD_ConnectionNotificationCode code);

/* --- web_http.c */
/* MHD_AccessHandlerCallback and MHD_RequestCompletedCallback; cls is the server. */
enum MHD_Result web_http_request(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *upload, size_t *upload_len, void **context);
void web_http_completed(void *cls, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode code);

/* Opens a listening, non-blocking socket and returns its port. Errors: as web_start. */
int web_listen(const char *listen, int *ret_fd, int *ret_port, struct err *err) WARN_UNUSED;

#endif
