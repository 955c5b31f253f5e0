/* The documents of a root that is a view: all of them at once, since a view has no ranges. */
#ifndef PGSYNC_APPLY_VIEW_H
#define PGSYNC_APPLY_VIEW_H

#include "apply/build.h"

/* Builds them in the open transaction. That is one reading of the view, whatever its definition; if a value makes it
 * fail, they are built again by their keys, and those that fail become dead letters. Adds to *rows how many they are.
 */
int view_build(const struct build *b, uint64_t *rows, struct err *err) WARN_UNUSED;

#endif
