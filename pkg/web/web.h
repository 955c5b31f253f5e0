/* A small HTTP server (libwebsockets) in a thread of its own: health, metrics, JSON.
 *
 * Handlers run in the server's thread and must only touch what is published for other threads. Requests with a body,
 * unknown paths and other methods than GET and HEAD are answered 405 or 404.
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

typedef void web_handler(void *user, const char *query, struct web_response *response);

struct web_route {
	const char *path; /* exact */
	web_handler *handler;
	void *user;
};

/* listen: "ADDRESS:PORT", "[::1]:PORT" or ":PORT" (all addresses); port 0 takes a free one. routes: n, copied.
 * Errors: INVALID (listen is malformed), CONFLICT (the address is in use), TRANSIENT. */
int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret,
	      struct err *err) WARN_UNUSED;
/* Stops the thread and waits for it. */
void web_stop(struct web *web);
CLEANUP(struct web, web_stop);
/* The port that is listened on. */
int web_port(const struct web *web);

#endif
