/* A small HTTP server (libmicrohttpd) in its own thread: health, metrics, JSON, pages.
 *
 * Handlers run in the server's thread, where they must not wait and may only use data that is published for other
 * threads; or, unless they answer `in_server_thread`, in `workers` threads of their own, where they may wait. A POST,
 * PUT or PATCH may have a body of max_body bytes, whose length must be announced; requests with another body, unknown
 * paths and methods that a path does not have are refused, and the connection of a refused request with a body is
 * closed. Slow, silent or too many clients do not affect the others: responses are written as clients read them, and a
 * client that makes no progress for 10 seconds is dropped. There are at most 128 connections, 64 of one address (an
 * IPv6 network of 64 bits counts as one). One more takes the place of the one that has been idle longest, of its
 * address or of the address that has the most; it is refused if all have requests that workers are to answer. Supports
 * HTTP/1.0 and 1.1.
 */
#ifndef PGSYNC_WEB_WEB_H
#define PGSYNC_WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/embed.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

struct web;
struct MHD_Connection;

enum { WEB_CAPTURES = 2, WEB_HEADERS = 4 };

struct web_argument {
	const char *name, *value; /* value: NULL if there is no "=" */
};

/* Valid while the handler runs. Path, names and values are percent-decoded UTF-8. */
struct web_request {
	const char *method, *path;
	const char *captures[WEB_CAPTURES]; /* what each "{}" of the route's path matched */
	const struct web_argument *arguments;
	size_t n_arguments;
	const char *body;
	size_t body_len;
	unsigned worker; /* which of the workers calls the handler, from 0; 0 in the server's thread */
	struct MHD_Connection *connection; /* private */
};

/* The value of an argument of the query: "" if it has none, NULL if it is absent. */
const char *web_argument(const struct web_request *request, const char *name);
/* The value of a header, or NULL. */
const char *web_header(const struct web_request *request, const char *name);

struct web_response {
	unsigned status;           /* 200 unless the handler says otherwise */
	const char *content_type;  /* "text/plain; charset=utf-8" unless the handler says otherwise */
	const char *cache_control; /* "no-store" unless the handler says otherwise */
	struct strbuf body;        /* at most 16 MiB */
	struct {
		const char *name;
		char *value;
	} headers[WEB_HEADERS];
	size_t n_headers;
};

/* Adds a header to an answer, WEB_HEADERS at most; name is a constant. */
void web_add_header(struct web_response *response, const char *name, const char *value);

/* The response's body is empty and capped; if the handler overflows it, the client gets a 500. */
typedef void web_handler(void *user, const struct web_request *request, struct web_response *response);

struct web_route {
	const char *path; /* "/books/{}": each "{}" matches one segment that is not empty */
	web_handler *handler;
	void *user;
	const char *method;    /* NULL: GET; HEAD is served where GET is. POST, PUT and PATCH may have a body */
	bool in_server_thread; /* it does not wait, so it runs in the server's thread even if there are workers */
};

struct web_options {
	/* "ADDRESS:PORT", "[::1]:PORT" or ":PORT" (all addresses); port 0 takes a free one. ADDRESS is numeric. NULL:
	 * connections come over a channel. */
	const char *listen;
	int channel_fd;                 /* without `listen`: the server's end of the channel; duplicated */
	const struct web_route *routes; /* copied */
	size_t n_routes;
	unsigned workers; /* most threads, each started when needed, that call the handlers; 0: the server's own. When
			     64 requests wait: 503 */
	size_t max_body;  /* of a request; 0: none may have one */
	/* The body of an answer that the server gives itself (404, 405, 413, ...), whose status and text are set; NULL:
	 * the text. */
	void (*refusal)(const char *text, struct web_response *response);
	const char *const *headers; /* of every answer: name, value, ..., NULL. Borrowed */
	/* Pages in a browser use this server: a Host that is neither loopback nor one of `hosts` is refused (421), and
	 * so are writes that another site's page sends (403). */
	bool for_browsers;
	const char *const *hosts; /* without ports; NULL-terminated, or NULL. Borrowed */
};

/* web_options.headers for pages: no script, style or request but the server's own, and no page in another one's frame.
 */
extern const char *const web_page_headers[];

/* A file that is part of the program. */
struct web_file {
	const char *url, *data, *end, *type;
};

#define WEB_HTML "text/html; charset=utf-8"
#define WEB_CSS "text/css; charset=utf-8"
#define WEB_JS "text/javascript; charset=utf-8"
#define WEB_SVG "image/svg+xml"

/* A list of files is a macro that applies X to each: name, path of the URL, path in the tree, type. These are for
 * everything that has pages. */
#define WEB_SHARED_FILES(X)                                         \
	X(page_js, "/page.js", "pkg/web/files/page.js", WEB_JS)     \
	X(page_css, "/page.css", "pkg/web/files/page.css", WEB_CSS) \
	X(pico_css, "/pico.css", "pkg/web/files/pico.min.css", WEB_CSS)
/* What such a list is applied to: a declaration for each file, and the items of an array. */
#define WEB_EMBED(name, url, path, type) EMBED_FILE(name, path);
#define WEB_FILE(name, url, path, type) {url, name, name##_end, type},

/* A route for each file, with an ETag. The files stay where they are as long as the server runs. */
void web_file_routes(const struct web_file *files, size_t n, struct web_route *ret_routes);

/* Errors: INVALID (listen is malformed, or not an address of this machine), CONFLICT (the address is in use), DENIED (a
 * privileged port), TRANSIENT. */
int web_serve(const struct web_options *options, struct web **ret, struct err *err) WARN_UNUSED;
/* The same without workers, for requests without bodies. */
int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret,
	      struct err *err) WARN_UNUSED;
/* Stops the threads and waits for them, three seconds at most: handlers that wait must end before. Requests that wait
 * for a worker are not answered. */
void web_stop(struct web *web);
CLEANUP(struct web, web_stop);
/* A channel replaces the listening socket when the server's only client is the process that started it: no other can
 * connect. Both ends are non-blocking, and closed at exec; the caller closes them. Errors: TRANSIENT. */
int web_channel_open(int *ret_server, int *ret_client, struct err *err) WARN_UNUSED;
/* Connects to the server over the client's end; any thread may. The caller closes the connection. Errors: TRANSIENT (no
 * descriptors, the server is gone, or has not accepted earlier connections yet). */
int web_channel_connect(int client_fd, int *ret_fd, struct err *err) WARN_UNUSED;
struct web_channel_get {
	const char *path;              /* with its query, escaped */
	int64_t end_ms;                /* by clock_now_ms */
	bool (*cancelled)(void *user); /* asked at least twice a second; true ends the wait. NULL: nothing does */
	void *user;
};
/* Sends one request over a connection, and waits for the answer; its body, which is text, is added to ret_body, up to
 * the limit of that. Errors: TRANSIENT (the server has ended), TRANSIENT/Timeout, LIMIT, INVALID (it is no answer),
 * CANCELLED. */
int web_channel_get(int fd, const struct web_channel_get *get, unsigned *ret_status, struct strbuf *ret_body,
		    struct err *err) WARN_UNUSED;
/* The port that the server listens on; 0 with a channel. */
int web_port(const struct web *web);

#endif
