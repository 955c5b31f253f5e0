/* A small HTTP server (libmicrohttpd) in its own thread: health, metrics, JSON.
 *
 * Handlers run in the server's thread and may only use data that is published for other threads. Requests with a body,
 * unknown paths and other methods than GET and HEAD are answered 405 or 404, and the connection of a request with a
 * body is closed. Slow, silent or too many clients do not affect the others: responses are written as clients read
 * them, a client that makes no progress for 10 seconds is dropped, and so is the client that has been idle longest when
 * there are more than 128, or more than 64 of one address (an IPv6 network of 64 bits counts as one). Supports HTTP/1.0
 * and 1.1.
 */
#ifndef PGSYNC_WEB_WEB_H
#define PGSYNC_WEB_WEB_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

struct web;

struct web_response {
	unsigned status;          /* 200 unless the handler says otherwise */
	const char *content_type; /* "text/plain; charset=utf-8" unless the handler says otherwise */
	struct strbuf body;       /* at most 16 MiB */
};

/* query: the text after the '?', percent-decoded, or "". The response's body is empty and capped; if the handler
 * overflows it, the client gets a 500. */
typedef void web_handler(void *user, const char *query, struct web_response *response);

struct web_route {
	const char *path; /* exact */
	web_handler *handler;
	void *user;
};

/* listen: "ADDRESS:PORT", "[::1]:PORT" or ":PORT" (all addresses); port 0 takes a free one. routes: n, copied.
 * ADDRESS is numeric. Errors: INVALID (listen is malformed, or not an address of this machine), CONFLICT (the address
 * is in use), DENIED (a privileged port), TRANSIENT. */
int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret,
	      struct err *err) WARN_UNUSED;
/* Stops the thread and waits for it, three seconds at most. */
void web_stop(struct web *web);
CLEANUP(struct web, web_stop);
/* The port that the server listens on. */
int web_port(const struct web *web);

#endif
