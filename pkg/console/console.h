/* The console of an operator, or of a worker without one: pages in a browser that show every PgSync, live, and the JSON
 * that they are made from. It only reads, unless routes are added that do more.
 *
 * One thread says what each PgSync is like; the thread of a web server serves the last word about each.
 * A console locks itself. Every function but console_check and console_start accepts NULL, and then does nothing.
 *
 * What is served is composed from statuses, events and schemas. Nothing else of a spec, and so no secret, gets here. At
 * an address that others reach, a token is required, in the header Authorization. It is no cookie: cookies do not
 * distinguish ports, so that every other server of the host would get it, and browsers send them without being asked
 * to. */
#ifndef PGSYNC_CONSOLE_CONSOLE_H
#define PGSYNC_CONSOLE_CONSOLE_H

#include <stdbool.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/reason.h"
#include "web/web.h"

struct console;

enum { CONSOLE_ROUTES = 10 };

struct console_options {
	bool of_worker;         /* there is no operator: the console of `pgsync run` */
	const char *listen;     /* as web_options.listen */
	const char *token_file; /* NULL: no token; then only this machine may reach it */
	const char *hosts;      /* "NAME,...": by which browsers reach it, besides loopback; or NULL */
	/* What else may be asked, with the token: the page "look" is served if there is something, and asks for it. The
	 * handlers may wait; two at a time. CONSOLE_ROUTES at most. Copied. */
	const struct web_route *routes;
	size_t n_routes;
};

/* Errors: INVALID (without a token, an address that is not loopback; a token that is too short or not text; too many
 * names), and those of reading the file. */
int console_check(const struct console_options *options, struct err *err) WARN_UNUSED;
int console_start(const struct console_options *options, struct console **ret, struct err *err) WARN_UNUSED;
void console_stop(struct console *console);
CLEANUP(struct console, console_stop);
int console_port(const struct console *console);

/* Whether this operator acts. One that does not knows no PgSync. A worker always does. */
void console_set_leading(struct console *console, bool leading);

struct console_pgsync {
	const char *namespace, *name;
	const char *created;    /* RFC 3339 */
	const char *schema;     /* JSON, or NULL: it is in a ConfigMap */
	const json_t *resource; /* as the API has it; only its status, and what a verdict needs, are kept */
};
void console_show(struct console *console, const struct console_pgsync *pgsync);

struct console_event {
	bool warning;
	enum reason reason;
	const char *action, *note;
};
/* The last of them are kept, with the time. */
void console_event(struct console *console, const char *namespace, const char *name, const struct console_event *event);

void console_forget(struct console *console, const char *namespace, const char *name);
void console_forget_all(struct console *console);

#endif
