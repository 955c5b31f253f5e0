/* What `pgsync plan` prints of a document: its tree and SQL, and how the server would run it. */
#ifndef PGSYNC_APPLY_EXPLAIN_H
#define PGSYNC_APPLY_EXPLAIN_H

#include "base/err.h"
#include "base/sections.h"
#include "document/document.h"
#include "postgres/pg.h"

/* Appends to out. Changes nothing, whatever functions the documents call. pg: for this alone; after an error, only
 * pg_close is valid. */
int apply_explain(struct pg *pg, const struct document_plan *plan, struct sections *out, struct err *err) WARN_UNUSED;

#endif
