/* What `pgsync plan` prints of a document: its tree and SQL, and how the server would run it. */
#ifndef PGSYNC_APPLY_EXPLAIN_H
#define PGSYNC_APPLY_EXPLAIN_H

#include "base/err.h"
#include "base/strbuf.h"
#include "document/document.h"
#include "postgres/pg.h"

/* Appends to out. Changes nothing but the session, which is for this alone. */
int apply_explain(struct pg *pg, const struct document_plan *plan, struct strbuf *out, struct err *err) WARN_UNUSED;

#endif
