/* Views in the tree: what has to happen around the reading of documents because a view's rows are in no WAL.
 *
 * A change of a base table makes every root dirty (collect_int.h). Before documents are read again, materialized views
 * are refreshed; after it, what is left of an older version in the index of a root that is a view belongs to rows that
 * the view does not hold any more.
 */
#ifndef PGSYNC_SYNC_VIEWS_INT_H
#define PGSYNC_SYNC_VIEWS_INT_H

#include "sync/reader_int.h"

/* Whether the plan has materialized views that follow base tables. */
bool views_to_refresh(const struct document_plan *plan);
/* Refreshes those of the plans that are marked (NULL: of all), each once. In a transaction of their own: a snapshot
 * that is taken later holds what the views' definitions gave by then. DENIED with the statement to run. */
int views_refresh(struct engine *e, struct pg *pg, const bool *plans, struct err *err) WARN_UNUSED;

/* Deletes the documents of r's plan that are older than r->version, and its dead letters.
 *
 * Everything that the view held has just been written with that version, and is durable: so the rest is gone. This
 * needs no list of keys in memory, and no way back from an _id to a key; a page of hits says place and version. A
 * document that was rejected leaves its older self without a row as well: only its letter stays. */
int views_sweep(struct reading *r, struct err *err) WARN_UNUSED;

#endif
