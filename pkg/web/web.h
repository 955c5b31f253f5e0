/* A small HTTP server (libwebsockets) in a thread of its own: health, metrics, JSON.
 *
 * Handlers run in the server's thread and must only touch what is published for other threads. Requests with a body,
 * unknown paths and other methods than GET and HEAD are answered 405 or 404. A client that is slow, silent or one of
 * too many (128) takes nothing from the others: responses are written as clients read them, and who does not go on for
 * 10 seconds is dropped. Speaks HTTP/1.0 and 1.1. libwebsockets' own logging is turned off, for the whole process.
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

/* query: what follows the '?', percent-decoded, "" when nothing does. The response's body is empty and capped; when the
 * handler overflows it, the client is answered 500. */
typedef void web_handler(void *user, const char *query, struct web_response *response);

struct web_route {
	const char *path; /* exact */
	web_handler *handler;
	void *user;
};

/* listen: "ADDRESS:PORT", "[::1]:PORT" or ":PORT" (all addresses); port 0 takes a free one. routes: n, copied.
 * ADDRESS is numeric. Errors: INVALID (listen is malformed, or no address of this machine), CONFLICT (the address is in
 * use), DENIED (a privileged port), TRANSIENT. */
int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret,
	      struct err *err) WARN_UNUSED;
/* Stops the thread and waits for it. */
void web_stop(struct web *web);
CLEANUP(struct web, web_stop);
/* The port that is listened on. */
int web_port(const struct web *web);

#endif
