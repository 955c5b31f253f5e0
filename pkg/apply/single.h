/* What one document would be now, for people who look into it.
 *
 * For the thread that owns the connection. */
#ifndef PGSYNC_APPLY_SINGLE_H
#define PGSYNC_APPLY_SINGLE_H

#include <stdint.h>

#include "apply/compile.h"
#include "base/err.h"
#include "postgres/pg.h"

struct apply_single {
	char *text;   /* JSON; NULL: there is no such row. Caller frees */
	uint64_t lsn; /* every commit before this position is in it */
};

/* Compiles the input's only document, and reads it as the stream does, on a connection that is for nothing else.
 * statement_ms: of the document's query. INVALID: the _id does not contain a key (document_split_id), or the document
 * does not compile. */
int apply_read_single(struct pg *pg, const struct compile_input *in, const char *id, int64_t statement_ms,
		      struct apply_single *ret, struct err *err) WARN_UNUSED;

#endif
