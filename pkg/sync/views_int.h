/* Materialized views in the tree: their rows are in no WAL. A change of a base table makes every root dirty
 * (collect_int.h), and before documents are read again, the views are refreshed.
 */
#ifndef PGSYNC_SYNC_VIEWS_INT_H
#define PGSYNC_SYNC_VIEWS_INT_H

#include "sync/attempt_int.h"

/* Whether the plan has materialized views that follow base tables. */
bool views_to_refresh(const struct document_plan *plan);
/* Refreshes those of the plans that are marked (NULL: of all), each once. In a transaction of their own: a snapshot
 * that is taken later holds what the views' definitions gave by then. DENIED with the statement to run. */
int views_refresh(const struct model *m, struct pg *pg, const bool *plans, struct err *err) WARN_UNUSED;

#endif
