/* What a start would change in the database, in words. Nothing is changed. */
#ifndef PGSYNC_SOURCE_PLAN_H
#define PGSYNC_SOURCE_PLAN_H

#include <stddef.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/mem.h"
#include "source/source.h"

/* What a start would do to replica identities and the publication, each with its statement if it has one. Refuses what
 * source_claim_publication refuses. */
int source_plan_changes(const struct source *source, const struct checkpoint *cp, const struct source_tables *tables,
			struct findings *changes, struct err *err) WARN_UNUSED;

#endif
