/* What reading the catalog shares between its files. */
#ifndef PGSYNC_POSTGRES_CATALOG_INT_H
#define PGSYNC_POSTGRES_CATALOG_INT_H

#include <libpq-fe.h>

#include "postgres/catalog.h"

/* "0 2 1" -> {0, 2, 1}; NULL or "" is none. False when it is anything else. */
bool catalog_positions(const char *text, int **ret, size_t *ret_n);

#endif
