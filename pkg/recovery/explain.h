/* What a decision means, in words (pure): why a start is refused, and for a plan, what a start would do. */
#ifndef PGSYNC_RECOVERY_EXPLAIN_H
#define PGSYNC_RECOVERY_EXPLAIN_H

#include "base/err.h"
#include "base/findings.h"
#include "recovery/recovery.h"

/* How people know slot and documents. */
struct recovery_names {
	const char *slot, *database;
	const char *slot_user; /* who streams from it, for RECOVERY_SLOT_UNKNOWN; or NULL */
};

/* Of a plan: the document's path in the schema, and the table whose rows become documents. */
struct recovery_document {
	const char *path, *schema, *table;
};

/* Fills *err from a decision to refuse, and returns -1. */
int recovery_refuse(const struct recovery_input *in, const struct recovery_decision *d,
		    const struct recovery_names *names, struct err *err);
/* Why this plan is in decision.rebuild; NULL: not known. */
const char *recovery_why_rebuilt(const struct recovery_input *in, size_t plan);
/* Adds what a start would do to slot and indices; documents: one for each plan. */
void recovery_describe(const struct recovery_input *in, const struct recovery_decision *d,
		       const struct recovery_names *names, const struct recovery_document *documents,
		       struct findings *changes);

#endif
