/* The documents of a root that is a view: all of them at once, since a view has no ranges. */
#ifndef PGSYNC_APPLY_VIEW_H
#define PGSYNC_APPLY_VIEW_H

#include "apply/build.h"

/* Builds them in the open transaction, without a limit for its statements. The view is read once, whatever its
 * definition. If a value makes that fail, or the engine is late, the documents are built again by their keys, and those
 * that fail because of a value become dead letters. Adds their number to *rows. */
int view_build(const struct build *b, uint64_t *rows, struct err *err) WARN_UNUSED;

#endif
