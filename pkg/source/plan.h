/* What a start would change in the database, in words. Nothing is changed. */
#ifndef PGSYNC_SOURCE_PLAN_H
#define PGSYNC_SOURCE_PLAN_H

#include <stddef.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/mem.h"
#include "document/document.h"
#include "source/source.h"

/* The statements that set replica identities, for people. */
int source_plan_identities(const struct source *source, const struct source_tables *tables, struct strbuf *out,
			   struct err *err) WARN_UNUSED;
/* What a start would create and set, each with its statement if it has one; the plans are of its documents. */
int source_plan_changes(const struct source *source, const struct source_tables *tables,
			struct document_plan *const *plans, size_t n_plans, struct findings *changes,
			struct err *err) WARN_UNUSED;

#endif
