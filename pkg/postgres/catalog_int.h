/* What the files that read the catalog share. */
#ifndef PGSYNC_POSTGRES_CATALOG_INT_H
#define PGSYNC_POSTGRES_CATALOG_INT_H

#include "postgres/catalog.h"
#include "postgres/pg.h"

/* Common table expressions typ and base, from rows (start, oid, typmod) in which start = oid: base(start, start_typmod,
 * oid, name, category, typmod, element_category). Domains resolve to their base type, arrays of a domain to the array
 * of that type; the base type's modifier is the one that the domain gives it. WITH RECURSIVE. */
#define CATALOG_BASE_TYPES(rows)                                                                   \
	" typ(start, start_typmod, oid, typmod) AS ("                                              \
	"  SELECT start, typmod, oid, typmod FROM (" rows ") AS r(start, oid, typmod)"             \
	"  UNION SELECT typ.start, typ.start_typmod, CASE WHEN t.typtype = 'd' THEN t.typbasetype" \
	"   WHEN b.typarray <> 0 THEN b.typarray ELSE b.oid END,"                                  \
	"   CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE e.typtypmod END"                       \
	"  FROM typ JOIN pg_type t ON t.oid = typ.oid"                                             \
	"  LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND e.typtype = 'd'"   \
	"  LEFT JOIN pg_type b ON b.oid = e.typbasetype"                                           \
	"  WHERE t.typtype = 'd' OR b.oid IS NOT NULL),"                                           \
	" base AS ("                                                                               \
	"  SELECT typ.start, typ.start_typmod, typ.typmod, t.oid, t.typname AS name,"              \
	"   t.typcategory AS category,"                                                            \
	"   CASE WHEN t.typcategory = 'A' THEN e.typcategory END AS element_category"              \
	"  FROM typ JOIN pg_type t ON t.oid = typ.oid LEFT JOIN pg_type e ON e.oid = t.typelem"    \
	"  WHERE t.typtype <> 'd' AND (t.typcategory <> 'A' OR e.typtype <> 'd'))"

/* "0 2 1" -> {0, 2, 1}; NULL or "" is an empty list. False for anything else. */
bool catalog_positions(const char *text, int **ret, size_t *ret_n);

/* A number in a row, possibly negative; -1 if it is not a number. */
int32_t catalog_int(const struct pg_result *r, int row, int column);

/* The OIDs of its tables, as an array literal. Caller frees. */
char *catalog_table_oids(const struct catalog *catalog);
/* Fills in partitions. */
int catalog_load_parts(struct pg *pg, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Fills in how the columns' values compare, and whether their length is limited. params: as below. */
int catalog_load_traits(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Fills in what only views have. params: the OIDs of all tables, as an array literal. */
int catalog_load_views(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err) WARN_UNUSED;

/* Fills in, or refreshes, the versions of what is watched. */
int catalog_load_versions(struct pg *pg, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Calls fn in one snapshot for all of its queries; inside a transaction of the caller, its own. */
typedef int catalog_load_fn(struct pg *pg, struct catalog *catalog, const void *user, struct err *err);
int catalog_in_snapshot(struct pg *pg, catalog_load_fn *fn, struct catalog *catalog, const void *user,
			struct err *err) WARN_UNUSED;

#endif
