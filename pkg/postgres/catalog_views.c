/* Reads what is specific to views: their definitions, and which tables they read. */
#include <string.h>

#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

/* Each view with itself and all relations below it, through other views. The tables that a function reads are not
 * known. */
#define READS                                                                                   \
	"WITH RECURSIVE reads(view, oid) AS ("                                                  \
	"  SELECT oid, oid FROM pg_class WHERE oid = ANY ($1::oid[]) AND relkind IN ('v', 'm')" \
	"  UNION SELECT reads.view, d.refobjid FROM reads JOIN pg_class v ON v.oid = reads.oid" \
	"  AND v.relkind IN ('v', 'm') JOIN pg_rewrite w ON w.ev_class = v.oid"                 \
	"  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid"          \
	"  AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid) "

static const char sql_views[] =
	READS "SELECT reads.view, md5(string_agg(pg_get_viewdef(c.oid), ';' ORDER BY c.oid)), v.relispopulated,"
	      " pg_has_role(v.relowner, 'USAGE') OR CASE WHEN current_setting('server_version_num')::int >= 170000"
	      "  THEN has_table_privilege(v.oid, 'MAINTAIN') ELSE false END"
	      " FROM reads JOIN pg_class v ON v.oid = reads.view JOIN pg_class c ON c.oid = reads.oid"
	      " AND c.relkind IN ('v', 'm') GROUP BY reads.view, v.oid, v.relispopulated, v.relowner";

static const char sql_reads[] =
	READS "SELECT reads.view, reads.oid, n.nspname, c.relname FROM reads JOIN pg_class c ON c.oid = reads.oid"
	      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f')"
	      " ORDER BY reads.view, n.nspname, c.relname";

static struct catalog_table *view_of(struct catalog *catalog, const struct pg_result *r, int row)
{
	return (struct catalog_table *)catalog_find_oid(catalog, (uint32_t)pg_u64(r, row, 0));
}

static int load_definitions(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_views, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *view = view_of(catalog, r, i);

		if (!view)
			continue;
		view->definition = xstrdup_or_null(pg_value_or_null(r, i, 1));
		view->populated = pg_bool(r, i, 2);
		view->can_refresh = pg_bool(r, i, 3);
	}
	return 0;
}

static int load_reads(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_reads, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *view = view_of(catalog, r, i);

		if (!view)
			continue;
		view->reads = xreallocarray(view->reads, view->n_reads + 1, sizeof(*view->reads));
		view->reads[view->n_reads++] = (struct catalog_reads){
			.oid = (uint32_t)pg_u64(r, i, 1),
			.name = xasprintf("%s.%s", pg_value(r, i, 2), pg_value(r, i, 3)),
		};
	}
	return 0;
}

int catalog_load_views(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	bool any = false;

	for (size_t i = 0; i < catalog->n; i++)
		any = any || catalog_is_view(&catalog->tables[i]);
	if (!any)
		return 0;
	return load_definitions(pg, params, catalog, err) < 0 || load_reads(pg, params, catalog, err) < 0 ? -1 : 0;
}
