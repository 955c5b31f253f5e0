/* One document as its rows give it now, on a connection for this alone: for people who look into it.
 *
 * For any thread that may use the connector. */
#ifndef PGSYNC_SESSIONS_SINGLE_H
#define PGSYNC_SESSIONS_SINGLE_H

#include <stddef.h>

#include "apply/single.h"
#include "base/err.h"
#include "sessions/connector.h"

/* document: its number in the spec. Within the source's limits, and 10 s. Errors as for apply_read_single; CONFLICT:
 * another session waits for a table that is read. */
int connector_read_single(const struct connector *c, size_t document, const char *id, struct apply_single *ret,
			  struct err *err) WARN_UNUSED;

#endif
