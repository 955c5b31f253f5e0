/* How the threads of an attempt connect to both sides, wait, and end.
 *
 * Any thread may use a connector once the thread that made it has opened its first connection to the search engine,
 * which makes the target that all of them share. Each opens its own connections. All waits end when the attempt is
 * cancelled, or when the caller wants to stop.
 */
#ifndef PGSYNC_SESSIONS_CONNECTOR_H
#define PGSYNC_SESSIONS_CONNECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "apply/limits.h"
#include "base/err.h"
#include "postgres/pg.h"
#include "search/search.h"
#include "sink/sink.h"
#include "sink/write_alias.h"
#include "source/source.h"

struct http_target;
struct precedences;
struct spec;

/* All of it is borrowed. */
struct connector_options {
	const struct spec *spec;
	const char *owner;   /* the resource, "namespace/name" */
	const char *ca_path; /* of the source's CA, as libpq reads it; NULL: none */
	int stop_fd;         /* readable: the caller wants to stop */
};

struct connector {
	struct connector_options options;
	struct http_target *target;          /* the search engine */
	char token[WRITE_ALIAS_TOKEN_BYTES]; /* names the aliases that the attempt writes under */
	struct precedences *precedences;     /* of the sessions that read documents */
	char *standby;                       /* when it was started, as it says; "": not connected to one yet */
	int end_fd;                          /* an eventfd: readable once the attempt is to end */
	int cancel_fd;                       /* an epoll of end_fd and stop_fd: readable when either is */
};

/* Creates the descriptors. Call connector_release even if it failed. */
int connector_init(struct connector *c, const struct connector_options *options, struct err *err) WARN_UNUSED;
void connector_release(struct connector *c);

enum connector_limit {
	CONNECTOR_UNLIMITED, /* queries may take any time */
	CONNECTOR_SHORT,     /* for small queries of a thread with other work: queries time out, so a silent server is
			      * noticed */
};

/* purpose: for application_name. */
int connector_pg(const struct connector *c, enum connector_limit limit, const char *purpose, struct pg **ret,
		 struct err *err) WARN_UNUSED;
/* A walsender. */
int connector_replication(const struct connector *c, struct pg **ret, struct err *err) WARN_UNUSED;
int connector_search(struct connector *c, struct search **ret, struct err *err) WARN_UNUSED;
/* The contexts of a thread, with a connection that the caller closes (ret->pg, ret->search). */
int connector_source(const struct connector *c, enum connector_limit limit, const char *purpose, struct source *ret,
		     struct err *err) WARN_UNUSED;
int connector_sink(struct connector *c, struct sink *ret, struct err *err) WARN_UNUSED;

/* What reading documents may cost. */
struct limits connector_limits(const struct connector *c);

/* Blocking calls to other servers ask this, to end early. user: the connector. */
bool connector_is_cancelled(void *user);

/* Ends every wait of the attempt. */
void connector_cancel(const struct connector *c);
/* Waits; true when the attempt is to end. */
bool connector_sleep(const struct connector *c, int64_t ms);
/* Makes an eventfd readable. */
void connector_wake(int fd);

#endif
