/* What values depend on besides rows: the objects that types, views, virtual columns and expressions refer to, and
 * whether any catalog row about them has been written since.
 *
 * pg_depend leads from object to object; only built-in ones, which are not altered, are missing. The rest is added
 * here: the parts of types, the rules of views, casts that to_json() and casts to text use, and the columns behind
 * whole-row references. The names in the text of a function's body cannot be followed. */
#include <stdlib.h>
#include <string.h>

#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

enum { FIRST_NORMAL_OID = 16384 }; /* lower OIDs are built-in objects */

/* --- versions --- */

/* Where the watched rows are, and what counts as their version. For an index the relevant columns are compared instead,
 * since its row is also written for other reasons; a table's name is watched in its row type, whose row is not written
 * for anything else. */
static const struct {
	enum catalog_class class;   /* only if an object of this class is watched; RELATION: always */
	const char *version, *from; /* `from` ends with the column that the OIDs are of */
} watched_rows[] = {
	{CATALOG_RELATION, "indexrelid, indrelid, indisvalid, indisready, indislive, indimmediate",
	 "pg_index WHERE indisunique AND indrelid"},
	{CATALOG_RELATION, "attrelid, attnum, xmin", "pg_attribute WHERE attnum > 0 AND attrelid"},
	{CATALOG_RELATION, "t.oid, t.xmin", "pg_type t JOIN pg_class c ON c.reltype = t.oid WHERE c.oid"},
	{CATALOG_TYPE, "oid, xmin", "pg_type WHERE oid"},
	{CATALOG_TYPE, "oid, xmin", "pg_enum WHERE enumtypid"},
	{CATALOG_TYPE, "oid, xmin", "pg_cast WHERE castsource"},
	{CATALOG_RULE, "oid, xmin", "pg_rewrite WHERE oid"},
	{CATALOG_DEFAULT, "oid, xmin", "pg_attrdef WHERE oid"},
	{CATALOG_FUNCTION, "oid, xmin", "pg_proc WHERE oid"},
	{CATALOG_FUNCTION, "aggfnoid::oid, xmin", "pg_aggregate WHERE aggfnoid"},
	{CATALOG_OPERATOR, "oid, xmin", "pg_operator WHERE oid"},
	{CATALOG_COLLATION, "oid, xmin", "pg_collation WHERE oid"},
	{CATALOG_CAST, "oid, xmin", "pg_cast WHERE oid"},
	{CATALOG_CONFIGURATION, "oid, xmin", "pg_ts_config WHERE oid"},
	{CATALOG_CONFIGURATION, "mapcfg, maptokentype, mapseqno, xmin", "pg_ts_config_map WHERE mapcfg"},
	{CATALOG_DICTIONARY, "oid, xmin", "pg_ts_dict WHERE oid"},
	{CATALOG_EXTENSION, "oid, xmin", "pg_extension WHERE oid"},
};

/* As catalog.watched_rows. */
static uint32_t rows_of(enum catalog_class class)
{
	uint32_t rows = 0;

	for (size_t i = 0; i < ARRAY_SIZE(watched_rows); i++)
		if (watched_rows[i].class == class)
			rows |= UINT32_C(1) << i;
	return rows;
}

/* One number for all of them, independent of the order in which they are read. */
static char *versions_sql(uint32_t rows)
{
	const char *all = "";
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_adds(&sb, "SELECT concat_ws(' ', count(*), sum(hashtextextended(row, 0))) FROM (");
	for (size_t i = 0; i < ARRAY_SIZE(watched_rows); i++) {
		if (!(rows >> i & 1))
			continue;
		strbuf_addf(&sb, "%sSELECT concat_ws(' ', %zu, %s) AS row FROM %s = ANY ($1::oid[])", all, i,
			    watched_rows[i].version, watched_rows[i].from);
		all = " UNION ALL ";
	}
	strbuf_adds(&sb, ") v");
	return strbuf_detach(&sb);
}

/* This runs after every batch, so it is prepared and planned once. *ret is NULL if the server returns no value. */
static int read_versions(struct pg *pg, const struct catalog *catalog, char **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *row = NULL;
	uint32_t rows = rows_of(CATALOG_RELATION) | catalog->watched_rows;
	_cleanup_free_ char *name = xasprintf("versions.%x", (unsigned)rows);
	_cleanup_free_ char *sql = versions_sql(rows);
	const char *params[] = {catalog->watched};
	char *versions = NULL;
	int r;

	if (pg_rows_start_prepared(pg, name, sql, params, 1, err) < 0)
		return -1;
	while ((r = pg_rows_next(pg, &row, err)) > 0) {
		free(versions);
		versions = xstrdup_or_null(pg_value_or_null(row, 0, 0));
		pg_result_free(TAKE_PTR(row));
	}
	if (r < 0)
		free(versions);
	else
		*ret = versions;
	return r;
}

int catalog_load_versions(struct pg *pg, struct catalog *catalog, struct err *err)
{
	free(TAKE_PTR(catalog->versions));
	return read_versions(pg, catalog, &catalog->versions, err);
}

int catalog_is_current(struct pg *pg, const struct catalog *catalog, bool *ret, struct err *err)
{
	_cleanup_free_ char *now = NULL;

	*ret = true;
	if (!catalog->versions)
		return 0;
	if (read_versions(pg, catalog, &now, err) < 0)
		return err_wrap(err, "reading row versions of the catalog");
	*ret = now && strcmp(now, catalog->versions) == 0;
	return 0;
}

/* --- dependencies --- */

/* Types whose text is made from the catalog: the text of a regclass changes with the table's name. */
#define NAMING_TYPES \
	"SELECT oid FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typname ~ '^_?(reg|aclitem)'"

/* One step. A function body that is text has no dependencies recorded; one that is parsed has. */
#define NEXT                                                                                                   \
	"SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_depend d"                                      \
	" WHERE d.classid = reach.class AND d.objid = reach.object AND reach.class <> 'pg_class'::regclass"    \
	"  AND d.deptype <> 'x' AND d.refclassid IN ('pg_type'::regclass, 'pg_class'::regclass,"               \
	"   'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_collation'::regclass, 'pg_ts_config'::regclass," \
	"   'pg_ts_dict'::regclass, 'pg_extension'::regclass)"                                                 \
	" UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, 0 FROM pg_rewrite w"                                 \
	"  WHERE reach.class = 'pg_class'::regclass AND w.ev_class = reach.object AND w.ev_type = '1'"         \
	" UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum FROM pg_rewrite w"                       \
	"  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid"                         \
	"   AND d.refclassid = 'pg_class'::regclass"                                                           \
	"  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum > 0 AND NOT a.attisdropped"             \
	"  WHERE reach.class = 'pg_rewrite'::regclass AND w.oid = reach.object"                                \
	"   AND w.ev_action::text ~ ':varattno 0 '"                                                            \
	" UNION ALL SELECT part.class, part.oid, 0 FROM pg_attribute a CROSS JOIN LATERAL ("                   \
	"   SELECT 'pg_type'::regclass, a.atttypid UNION ALL SELECT 'pg_collation'::regclass, a.attcollation"  \
	"   UNION ALL SELECT 'pg_attrdef'::regclass, v.oid FROM pg_attrdef v"                                  \
	"    WHERE v.adrelid = a.attrelid AND v.adnum = a.attnum AND a.attgenerated = 'v') part(class, oid)"   \
	"  WHERE reach.class = 'pg_class'::regclass AND a.attrelid = reach.object AND a.attnum = reach.sub"    \
	"   AND reach.sub > 0"                                                                                 \
	" UNION ALL SELECT part.class, part.oid, part.sub FROM pg_type t CROSS JOIN LATERAL ("                 \
	"   SELECT 'pg_type'::regclass, t.typelem, 0 UNION ALL SELECT 'pg_type'::regclass, t.typbasetype, 0"   \
	"   UNION ALL SELECT 'pg_type'::regclass, g.rngsubtype, 0 FROM pg_range g"                             \
	"    WHERE g.rngtypid = t.oid"                                                                         \
	"   UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum FROM pg_attribute a"                   \
	"    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped"        \
	"   UNION ALL SELECT 'pg_cast'::regclass, c.oid, 0 FROM pg_cast c"                                     \
	"    WHERE c.castsource = t.oid AND c.casttarget IN ('json'::regtype, 'text'::regtype)"                \
	"  ) part(class, oid, sub) WHERE reach.class = 'pg_type'::regclass AND t.oid = reach.object"

/* Whole rows count, including columns that a later version of Postgres adds, except for these columns, which do not
 * affect values. */
static const struct {
	const char *class, *rows, *without;
} digests[] = {
	{"pg_type", "pg_type",
	 "typname,typnamespace,typowner,typacl,typdefault,typdefaultbin,typnotnull,typarray,typisdefined,typinput,"
	 "typoutput,"
	 "typreceive,typsend,typmodin,typmodout,typanalyze,typsubscript,typstorage,typispreferred"},
	{"pg_proc", "(SELECT * FROM pg_proc LEFT JOIN pg_aggregate ON aggfnoid = oid)",
	 "proname,pronamespace,proowner,procost,prorows,prosupport,proleakproof,provolatile,proparallel,proacl,"
	 "proargnames,"
	 "aggtransspace,aggmtransspace"},
	{"pg_operator", "(SELECT oid, oprcode::oid FROM pg_operator)", ""},
	{"pg_collation", "pg_collation", "collname,collnamespace,collowner"},
	{"pg_cast", "pg_cast", ""},
	{"pg_attrdef", "pg_attrdef", ""},
	{"pg_rewrite", "(SELECT oid, pg_get_viewdef(ev_class) FROM pg_rewrite)", ""},
	{"pg_ts_config",
	 "(SELECT c.*, (SELECT jsonb_agg(to_jsonb(m.*) ORDER BY maptokentype, mapseqno) FROM pg_ts_config_map m"
	 " WHERE m.mapcfg = c.oid) AS map FROM pg_ts_config c)",
	 "cfgname,cfgnamespace,cfgowner"},
	{"pg_ts_dict", "pg_ts_dict", "dictname,dictnamespace,dictowner"},
	{"pg_extension", "(SELECT oid, extversion FROM pg_extension)", ""},
	/* Columns. */
	{"pg_class", "(SELECT attrelid AS oid, * FROM pg_attribute WHERE attnum = reach.sub)",
	 "attstattarget,attlen,attcacheoff,attndims,attbyval,attalign,attstorage,attcompression,attnotnull,atthasdef,"
	 "atthasmissing,attidentity,attgenerated,attislocal,attinhcount,attacl,attoptions,attfdwoptions,attmissingval"},
};

static const char reach[] =
	"WITH RECURSIVE naming(oid) AS MATERIALIZED (" NAMING_TYPES "),"
	" reach(number, class, object, sub) AS ("
	"  SELECT number, class, object, sub"
	"  FROM unnest($1::oid[], $2::oid[], $3::int[]) WITH ORDINALITY AS r(class, object, sub, number)"
	"  UNION SELECT reach.number, next.class, next.object, next.sub FROM reach CROSS JOIN LATERAL (" NEXT ")"
	"   AS next(class, object, sub)"
	"  WHERE next.object >= 16384 OR (next.class = 'pg_type'::regclass AND next.object IN (SELECT oid FROM "
	"naming)))";
static const char labels[] = " SELECT number, 'pg_enum'::regclass::oid, e.oid, 0, e.enumlabel"
			     " FROM reach JOIN pg_enum e ON class = 'pg_type'::regclass AND e.enumtypid = object";

static char *dependencies_sql(void)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_addf(&sb, "%s SELECT number, class, object, sub, CASE class", reach);
	for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
		strbuf_addf(&sb,
			    " WHEN '%s'::regclass THEN (SELECT md5((to_jsonb(x.*) - '{%s}'::text[])::text) FROM %s x"
			    " WHERE x.oid = reach.object)",
			    digests[i].class, digests[i].without, digests[i].rows);
	strbuf_addf(&sb, " END FROM reach UNION ALL%s ORDER BY 1, 2, 3, 4", labels);
	return strbuf_detach(&sb);
}

/* Where the search starts. */
struct roots {
	struct catalog_object *items;
	size_t n, alloc;
	struct map *known;
};

static void add_root(struct roots *roots, const struct catalog_object *object)
{
	if (map_get(roots->known, object, sizeof(*object)))
		return;
	map_put(roots->known, object, sizeof(*object), roots);
	ALLOC_GROW(roots->items, roots->n + 1, roots->alloc);
	roots->items[roots->n++] = *object;
}

static void add_table_roots(struct roots *roots, const struct catalog_table *table)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		const struct catalog_column *column = &table->columns[i];
		const struct catalog_object object = {CATALOG_RELATION, table->oid, column->attnum};

		if (column->type_oid >= FIRST_NORMAL_OID || column->collation_oid >= FIRST_NORMAL_OID ||
		    column->is_virtual)
			add_root(roots, &object);
	}
	if (catalog_is_view(table))
		add_root(roots, &(struct catalog_object){CATALOG_RELATION, table->oid, 0});
}

static void add_expression_roots(struct roots *roots, const struct catalog_expression *e)
{
	const struct catalog_object type = {CATALOG_TYPE, e->type.type_oid, 0};

	for (size_t i = 0; i < e->n_objects; i++)
		add_root(roots, &e->objects[i]);
	if (type.oid >= FIRST_NORMAL_OID)
		add_root(roots, &type);
}

static struct roots find_roots(const struct catalog *catalog)
{
	struct roots roots = {.known = map_new(NULL)};

	for (size_t i = 0; i < catalog->n; i++)
		add_table_roots(&roots, &catalog->tables[i]);
	for (size_t i = 0; i < catalog->n_expressions; i++)
		add_expression_roots(&roots, &catalog->expressions[i]);
	return roots;
}

static void add_dependencies(struct catalog *catalog, const struct roots *roots, const struct pg_result *r)
{
	catalog->dependencies = xcalloc((size_t)pg_n_rows(r) + 1, sizeof(*catalog->dependencies));
	for (int i = 0; i < pg_n_rows(r); i++) {
		uint64_t number = pg_u64(r, i, 0);

		if (number < 1 || number > roots->n)
			continue;
		catalog->dependencies[catalog->n_dependencies++] = (struct catalog_dependency){
			.from = roots->items[number - 1],
			.object = {(uint32_t)pg_u64(r, i, 1), (uint32_t)pg_u64(r, i, 2), (int)pg_u64(r, i, 3)},
			.value = xstrdup_or_null(pg_value_or_null(r, i, 4)),
		};
	}
	catalog_sort_dependencies(catalog);
}

static int query_dependencies(struct pg *pg, struct catalog *catalog, const struct roots *roots, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_free_ char *sql = dependencies_sql();
	struct strbuf params[3];
	int failed;

	for (size_t p = 0; p < ARRAY_SIZE(params); p++) {
		strbuf_init(&params[p], PG_SQL_BYTES);
		pg_array_begin(&params[p]);
	}
	for (size_t i = 0; i < roots->n; i++) {
		pg_array_add_number(&params[0], roots->items[i].class);
		pg_array_add_number(&params[1], roots->items[i].oid);
		pg_array_add_number(&params[2], roots->items[i].sub);
	}
	for (size_t p = 0; p < ARRAY_SIZE(params); p++)
		pg_array_end(&params[p]);
	failed = pg_query(pg, sql, (const char *const[]){params[0].data, params[1].data, params[2].data}, 3, &r, err);
	for (size_t p = 0; p < ARRAY_SIZE(params); p++)
		strbuf_release(&params[p]);
	if (failed < 0)
		return -1;
	add_dependencies(catalog, roots, r);
	return 0;
}

static void watch_object(struct catalog *catalog, const struct catalog_object *object, struct strbuf *oids)
{
	if (object->class == CATALOG_ENUM)
		return;
	pg_array_add_number(oids, object->oid);
	catalog->watched_rows |= rows_of(object->class);
}

/* The tables, and every object that was reached. */
static void watch_all(struct catalog *catalog)
{
	struct strbuf oids;

	strbuf_init(&oids, PG_SQL_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < catalog->n; i++)
		pg_array_add_number(&oids, catalog->tables[i].oid);
	for (size_t i = 0; i < catalog->n_dependencies; i++)
		watch_object(catalog, &catalog->dependencies[i].object, &oids);
	pg_array_end(&oids);
	free(catalog->watched);
	catalog->watched = strbuf_detach(&oids);
}

static int load_from(struct pg *pg, struct catalog *catalog, const struct roots *roots, struct err *err)
{
	bool current;

	if (catalog_is_current(pg, catalog, &current, err) < 0)
		return -1;
	if (!current)
		return err_set(err, ERR_TRANSIENT, "tables were altered while their catalog entries were read");
	if (!roots->n)
		return 0;
	if (query_dependencies(pg, catalog, roots, err) < 0)
		return -1;
	watch_all(catalog);
	return catalog_load_versions(pg, catalog, err);
}

static int load_dependencies(struct pg *pg, struct catalog *catalog, const void *user, struct err *err)
{
	struct roots roots = find_roots(catalog);
	int r = load_from(pg, catalog, &roots, err);

	UNUSED(user);
	free(roots.items);
	map_free(roots.known);
	return r;
}

int catalog_load_dependencies(struct pg *pg, struct catalog *catalog, struct err *err)
{
	if (catalog_in_snapshot(pg, load_dependencies, catalog, NULL, err) < 0)
		return err_wrap(err, "reading what the documents depend on");
	return 0;
}
