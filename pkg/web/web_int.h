/* Shared between the files of this package only: the server, its connections, its workers, and the listening socket.
 *
 * Everything belongs to the server's thread while that runs, except `stop`, `wake`, `ended` and `work`. An exchange
 * belongs to a worker from the moment it is submitted until it is answered; libmicrohttpd leaves its connection alone
 * meanwhile.
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
	WEB_JOIN_MS = 3000,           /* how long web_stop waits for the threads */
	WEB_WAITING = 64,             /* requests that wait for a worker */
	WEB_ARGUMENTS = 32,
	WEB_PATH_BYTES = 1024, /* of a path in which something is captured */
};

/* A request and its answer. */
struct web_exchange {
	struct web *web;
	const struct web_route *route;
	struct web_request request;
	struct web_response response;
	char *path; /* what is captured, each with a NUL behind it */
	struct web_argument arguments[WEB_ARGUMENTS];
	struct strbuf texts; /* names and values of the arguments */
	struct strbuf body;
	bool close; /* the connection, after the answer */
	atomic_bool answered;
	struct web_exchange *next; /* of those that wait for a worker */
};

/* The threads that call handlers, and the exchanges that wait for them. The server's thread starts them, each when it
 * is needed for the first time, and ends them. */
struct web_work {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct web_exchange *first, **last;
	size_t n_waiting, n_idle; /* exchanges that no thread took; threads that have none */
	bool stop;
	pthread_t *threads;
	unsigned n_threads, n_numbered;
};

struct web {
	struct MHD_Daemon *daemon;
	struct web_options options; /* routes, and their paths and methods, are copies */
	struct web_work work;
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
/* Call it when the client has sent a request, or when it is answered. */
void web_connection_active(struct MHD_Connection *connection);
/* Call it when a worker gets the request: until the answer, the connection is not closed for others. */
void web_connection_busy(struct MHD_Connection *connection);
/* MHD_NotifyConnectionCallback; cls is the server. */
void web_connection_notify(void *cls, struct MHD_Connection *connection, void **context,
			   enum MHD_ConnectionNotificationCode code);

/* --- web_http.c */
/* MHD_AccessHandlerCallback and MHD_RequestCompletedCallback; cls is the server. */
enum MHD_Result web_http_request(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *upload, size_t *upload_len, void **context);
void web_http_completed(void *cls, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode code);

/* --- web_route.c: decisions about requests, pure */
/* The route of a request, and what its path captures in e; NULL if there is none: then
 * allow lists the methods that the path has, or is empty. */
const struct web_route *web_find_route(const struct web_options *options, const char *method, const char *path,
				       struct web_exchange *e, struct strbuf *allow);
/* Whether a header is what RFC 9110 allows: a token, and text without control characters. */
bool web_is_header(const char *name, size_t name_len, const char *value, size_t value_len);
/* UnescapeCallback of libmicrohttpd: decodes %XX in place. %00, which would end a path, becomes a byte that no text in
 * UTF-8 has, and is refused with it. */
size_t web_unescape(void *user, struct MHD_Connection *connection, char *s);
/* Whether a Host header (NULL: absent) names this machine or one of hosts. */
bool web_host_is_ours(const char *host, const char *const *hosts);
/* Whether a write may come from a page that sends these headers (each may be NULL). */
bool web_is_same_site(const char *host, const char *origin, const char *fetch_site);

/* --- web_work.c */
void web_work_start(struct web *web);
/* Ends the threads; those that still wait are given back unanswered. */
void web_work_stop(struct web *web);
void web_work_free(struct web_work *work);
/* Hands a suspended exchange over to a worker. False: too many wait. */
bool web_work_submit(struct web *web, struct web_exchange *e);
/* Calls the handler (web_http.c). */
void web_http_handle(struct web_exchange *e, unsigned worker);

/* Opens a listening, non-blocking socket and returns its port. Errors: as web_start. */
int web_listen(const char *listen, int *ret_fd, int *ret_port, struct err *err) WARN_UNUSED;

/* --- web_channel.c */
/* The next connection, which the caller closes; -1: none. If the client is gone, closes the channel and sets it to -1.
 */
int web_channel_accept(int *server_fd);

#endif
