/* What reading the catalog shares between its files. */
#ifndef PGSYNC_POSTGRES_CATALOG_INT_H
#define PGSYNC_POSTGRES_CATALOG_INT_H

#include "postgres/catalog.h"

/* "0 2 1" -> {0, 2, 1}; NULL or "" is none. False when it is anything else. */
bool catalog_positions(const char *text, int **ret, size_t *ret_n);

/* Fills in partitions. */
int catalog_load_parts(struct pg *pg, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Fills in how the columns' values compare, and whether their length is limited. params: as below. */
int catalog_load_traits(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Fills in what only views have. params: the OIDs of all tables, as an array literal. */
int catalog_load_views(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err) WARN_UNUSED;

#endif
