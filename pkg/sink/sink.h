/* What this PgSync owns in the search engine, and how it writes there: the context that every part of the package
 * takes.
 *
 * A sink belongs to one thread, as its connection does. It borrows everything.
 */
#ifndef PGSYNC_SINK_SINK_H
#define PGSYNC_SINK_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "search/search.h"

struct sink {
	struct search *search; /* never one that a bulk writer uses */
	const char *owner;     /* the resource, "namespace/name": every index that is created names it */
	const char *uid;       /* of the resource; or NULL */
	const char *token;     /* of the attempt (write_alias.h) */
	bool adopt_existing;   /* an alias or index of another origin may be replaced */
	bool stall_on_error;   /* a document that fails is an error, not a dead letter */
	size_t bulk_max_bytes;
	unsigned bulk_concurrency;
};

/* Limits of a bulk writer. */
enum {
	/* How long a writer keeps trying when the engine refuses: a snapshot may be open meanwhile, and with it locks
	 * that a migration waits for. Then the attempt ends, and the next one reads again. */
	SINK_RETRY_MS = 20000,
	/* The part of it that a snapshot may stay open for. */
	SINK_HOLD_MS = 3000,
};

/* The limits that a bulk writer of this sink keeps; the callbacks are empty. */
struct bulk_options sink_bulk_options(const struct sink *sink);

#endif
