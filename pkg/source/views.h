/* Materialized views in the tree: the WAL does not contain their rows. A change of a base table makes every root dirty
 * (changes/collector.h), and before documents are read again, the views are refreshed. Nothing here keeps state. */
#ifndef PGSYNC_SOURCE_VIEWS_H
#define PGSYNC_SOURCE_VIEWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "document/document.h"
#include "postgres/pg.h"

/* Whether the plan has materialized views that follow base tables. */
bool views_to_refresh(const struct document_plan *plan);
/* Whether views have to be refreshed before documents are read. live: no bootstrap reads them. */
bool views_must_fill(struct document_plan *const *plans, size_t n, bool live);
/* Whether the view has an index by which REFRESH ... CONCURRENTLY can compare rows. */
bool views_have_unique_index(const struct catalog_table *view);
/* Refreshes the views of the marked plans (NULL: of all), each once. Each refresh is a transaction: a later snapshot
 * contains what the views' definitions yielded at that time. DENIED with the statement to run. */
int views_refresh(struct pg *pg, struct document_plan *const *plans, size_t n, const bool *marked,
		  struct err *err) WARN_UNUSED;

#endif
