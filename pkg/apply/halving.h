/* Retry by halving: does something for all items of a range except those that make it fail, and reports those. It keeps
 * no state between calls. */
#ifndef PGSYNC_APPLY_HALVING_H
#define PGSYNC_APPLY_HALVING_H

#include <stdint.h>

#include "base/err.h"

struct halving {
	/* Does it for the items from `from` up to, but not including, `to`; the range may be empty. 1: it failed,
	 * possibly because of one of them, and was undone; *err says why. Negative: it failed for another reason. */
	int (*attempt)(void *user, uint64_t from, uint64_t to, struct err *err);
	/* The item fails on its own; why: the error of its attempt. */
	int (*failed_alone)(void *user, uint64_t item, const struct err *why, struct err *err);
	void *user;
};

/* Items are attempted in their order. A range that fails is attempted again in halves, until one item is alone. If the
 * task then fails without any item as well, the item is not the cause; this, or any other error, ends it at once. The
 * depth of the recursion is the number of bits of to - from. */
int halving_run(const struct halving *h, uint64_t from, uint64_t to, struct err *err) WARN_UNUSED;

#endif
