/* Sets of integers as arrays, such as columns of a table. */
#ifndef PGSYNC_BASE_INTS_H
#define PGSYNC_BASE_INTS_H

#include <stdbool.h>
#include <stddef.h>

static inline bool ints_contain(const int *items, size_t n, int item)
{
	for (size_t i = 0; i < n; i++)
		if (items[i] == item)
			return true;
	return false;
}

#endif
