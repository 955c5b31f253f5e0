/* How the values of a column compare, and how large they may be. */
#include <stdlib.h>

#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

/* A type compares if a B-tree supports it, or a binary-compatible type. A domain compares as its base type; an array or
 * a composite if all parts of it do. Enums and ranges always do. A type that is stored out of line by itself (text,
 * bytea, json, arrays; not numeric) may be of any size, unless its length is limited. */
static const char sql_traits[] =
	"WITH RECURSIVE typ(relation, number, oid) AS ("
	"  SELECT attrelid, attnum, atttypid FROM pg_attribute"
	"  WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped"
	"  UNION SELECT typ.relation, typ.number, part.oid"
	"  FROM typ JOIN pg_type t ON t.oid = typ.oid CROSS JOIN LATERAL ("
	"   SELECT t.typbasetype WHERE t.typtype = 'd'"
	"   UNION ALL SELECT t.typelem WHERE t.typcategory = 'A' AND t.typelem <> 0"
	"   UNION ALL SELECT a.atttypid FROM pg_attribute a"
	"    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) part(oid)),"
	" compares AS ("
	"  SELECT typ.relation, typ.number,"
	"   bool_and(t.typtype IN ('e', 'r', 'm') OR EXISTS ("
	"    SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod WHERE m.amname = 'btree' AND o.opcdefault"
	"    AND (o.opcintype = t.oid OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = t.oid"
	"     AND k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i')))) AS ordering"
	"  FROM typ JOIN pg_type t ON t.oid = typ.oid"
	"  WHERE t.typtype NOT IN ('d', 'c') AND NOT (t.typcategory = 'A' AND t.typelem <> 0)"
	"  GROUP BY typ.relation, typ.number)"
	" SELECT a.attrelid, a.attnum, NOT c.ordering,"
	"  CASE WHEN l.oid IS NOT NULL THEN format('%I.%I', n.nspname, l.collname) END, NOT l.collisdeterministic,"
	"  a.attlen = -1 AND t.typstorage IN ('x', 'e') AND a.atttypmod NOT BETWEEN 0 AND 1048576"
	" FROM pg_attribute a JOIN compares c ON c.relation = a.attrelid AND c.number = a.attnum"
	" JOIN pg_type t ON t.oid = a.atttypid"
	" LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace";

static struct catalog_column *column_of(const struct catalog *catalog, const struct pg_result *r, int row)
{
	const struct catalog_table *table = catalog_find_oid(catalog, (uint32_t)pg_u64(r, row, 0));

	for (size_t i = 0; table && i < table->n_columns; i++)
		if (table->columns[i].attnum == (int)pg_u64(r, row, 1))
			return &table->columns[i];
	return NULL;
}

int catalog_load_traits(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_traits, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_column *column = column_of(catalog, r, i);

		if (!column)
			continue;
		column->no_order = pg_bool(r, i, 2);
		column->collation = xstrdup_or_null(pg_value_or_null(r, i, 3));
		column->nondeterministic = pg_bool(r, i, 4);
		column->unlimited = pg_bool(r, i, 5);
	}
	return 0;
}
