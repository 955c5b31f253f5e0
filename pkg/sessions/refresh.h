/* Refreshing the materialized views before a bootstrap reads them, on a connection for this alone. */
#ifndef PGSYNC_SESSIONS_REFRESH_H
#define PGSYNC_SESSIONS_REFRESH_H

#include "apply/model.h"
#include "base/err.h"
#include "sessions/connector.h"

struct report;

/* Takes as long as the views do; gives way to sessions that wait for their tables, and begins again. Gets the holder of
 * a lock that is in the way into the report. For the control thread, while no watcher runs. */
int connector_refresh(struct connector *c, const struct model *model, struct report *report,
		      struct err *err) WARN_UNUSED;

#endif
