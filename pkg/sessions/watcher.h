/* The watcher: a thread with a session of the worker that looks whether others wait for locks of its other sessions,
 * and ends transactions that hold them (apply/precedence.h). While no transaction lasts longer than a moment, it asks
 * the server nothing; while none is open, it sleeps.
 *
 * For the control thread. */
#ifndef PGSYNC_SESSIONS_WATCHER_H
#define PGSYNC_SESSIONS_WATCHER_H

#include "sessions/connector.h"

struct watcher;

/* Watches the sessions of connector->precedences. */
int watcher_start(const struct connector *connector, struct watcher **ret, struct err *err) WARN_UNUSED;
void watcher_stop(struct watcher *w);
CLEANUP(struct watcher, watcher_stop);

#endif
