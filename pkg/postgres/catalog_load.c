/* Reads the catalog: one query for each kind of object, whatever the number of tables. Reads only what every role may
 * read. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/parse.h"
#include "postgres/catalog.h"
#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

enum { PARAM_BYTES = 4 * 1024 * 1024 };

static const char sql_tables[] =
	"SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident,"
	" i.relname, row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE'),"
	" has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),"
	" CASE WHEN l.n IS NULL THEN c.reltuples ELSE l.rows END::float8, pg_relation_filenode(c.oid),"
	" CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END,"
	" c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid),"
	" CASE WHEN l.n IS NULL THEN c.relfilenode::bigint ELSE l.storage END"
	" FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS want(schema, name, position)"
	" JOIN pg_namespace n ON n.nspname = want.schema"
	" JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = want.name"
	"  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
	" LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident"
	" LEFT JOIN pg_class i ON i.oid = x.indexrelid"
	" LEFT JOIN LATERAL ("
	"  SELECT count(*) AS n,"
	"   hashtextextended(string_agg(p.relfilenode::text, ' ' ORDER BY p.oid), 0) & 9223372036854775807 AS storage,"
	"   CASE WHEN bool_and(p.reltuples < 0) THEN -1 ELSE sum(greatest(p.reltuples, 0)) END AS "
	"rows"
	"  FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid"
	"  WHERE c.relkind = 'p' AND t.isleaf HAVING count(*) > 0) l ON true"
	" ORDER BY want.position";

#define COLUMN_TYPES CATALOG_BASE_TYPES("SELECT DISTINCT atttypid, atttypid, atttypmod FROM col")

static const char sql_columns[] =
	"WITH RECURSIVE col AS ("
	"  SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull, attgenerated, attcollation, xmin"
	"  FROM pg_attribute"
	"  WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped)," COLUMN_TYPES
	" SELECT col.attrelid, col.attname, col.attnum, col.atttypid, base.typmod,"
	"  format_type(col.atttypid, col.atttypmod), base.name, base.category, col.attnotnull, col.attgenerated <> '',"
	"  base.element_category, col.xmin::text, col.attgenerated = 'v', col.attcollation,"
	/* The operator of the default B-tree operator class: extensions may install types and operators in any
	 * schema. */
	"  (SELECT n.nspname FROM pg_opclass k JOIN pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'"
	"   JOIN pg_amop a ON a.amopfamily = k.opcfamily AND a.amopstrategy = 3"
	"    AND a.amoplefttype = base.oid AND a.amoprighttype = base.oid"
	"   JOIN pg_operator o ON o.oid = a.amopopr AND o.oprname = '='"
	"   JOIN pg_namespace n ON n.oid = o.oprnamespace AND n.nspname <> 'pg_catalog'"
	"   WHERE k.opcintype = base.oid AND k.opcdefault)"
	" FROM col JOIN base ON base.start = col.atttypid AND base.start_typmod = col.atttypmod"
	" ORDER BY col.attrelid, col.attnum";

/* The 0-based positions, among the columns that are left, of an array of attribute numbers; expressions are left out.
 */
#define POSITIONS(relation, list, keys)                                                                      \
	"(SELECT string_agg((SELECT count(*) FROM pg_attribute a WHERE a.attrelid = " relation               \
	"  AND a.attnum > 0 AND NOT a.attisdropped AND a.attnum < k.attnum)::text, ' ' ORDER BY k.position)" \
	" FROM unnest(" list "::int2[]) WITH ORDINALITY AS k(attnum, position)"                              \
	" WHERE k.attnum > 0 AND k.position <= " keys ")"
#define INDEX_POSITIONS POSITIONS("x.indrelid", "x.indkey", "x.indnkeyatts")
#define FROM_POSITIONS POSITIONS("f.conrelid", "f.conkey", "32000")
#define TO_POSITIONS POSITIONS("f.confrelid", "f.confkey", "32000")

static const char sql_indexes[] =
	"SELECT x.indrelid, c.relname, x.indisunique, x.indisprimary, x.indimmediate, x.indpred IS NOT NULL,"
	" x.indexprs IS NOT NULL, x.indisvalid AND x.indisready AND x.indislive, " INDEX_POSITIONS
	" FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = ANY ($1::oid[])"
	" ORDER BY x.indrelid, NOT x.indisprimary, c.relname";

/* A key that references a partitioned table has one more constraint for each partition: only the first one counts. A
 * temporal key (Postgres 18) does not say which rows are equal. */
static const char sql_foreign_keys[] =
	"SELECT f.conrelid, f.conname, f.confrelid, " FROM_POSITIONS ", " TO_POSITIONS
	" FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = ANY ($1::oid[])"
	" AND to_jsonb(f) ->> 'conperiod' IS DISTINCT FROM 'true'"
	" AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = f.conparentid AND p.conrelid = f.conrelid)"
	" ORDER BY f.conrelid, f.conname";

static const char sql_all[] =
	"SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	" WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema$)'"
	" AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
	"  AND d.deptype = 'e') ORDER BY 1, 2";

static const char sql_list[] =
	"SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	" WHERE (n.nspname = ANY ($1::text[]) OR n.nspname !~ '^(pg_|information_schema$)')"
	" AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY n.nspname = ANY ($1::text[]) DESC, 1 LIMIT 10000";

static char *column_text(const struct pg_result *r, int row, int column)
{
	return xstrdup_or_null(pg_value_or_null(r, row, column));
}

static char char_of(const struct pg_result *r, int row, int column)
{
	return pg_value(r, row, column)[0];
}

static double double_of(const struct pg_result *r, int row, int column)
{
	const char *value = pg_value_or_null(r, row, column);

	return value ? strtod(value, NULL) : -1;
}

int32_t catalog_int(const struct pg_result *r, int row, int column)
{
	const char *value = pg_value(r, row, column);
	uint64_t u = 0;
	bool negative = value[0] == '-';

	if (!parse_u64(value + negative, strlen(value + negative), &u) || u > INT32_MAX)
		return -1;
	return negative ? -(int32_t)u : (int32_t)u;
}

static struct catalog_table *table_of(struct catalog *catalog, const struct pg_result *r, int row)
{
	return (struct catalog_table *)catalog_find_oid(catalog, (uint32_t)pg_u64(r, row, 0));
}

static int load_tables(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_tables, params, 2, &r, err) < 0)
		return -1;
	catalog->tables = xcalloc((size_t)pg_n_rows(r) + 1, sizeof(*catalog->tables));
	for (int i = 0; i < pg_n_rows(r); i++) {
		uint32_t oid = (uint32_t)pg_u64(r, i, 0);

		/* A table may be requested twice, and an index may briefly be flagged twice. */
		if (catalog_find_oid(catalog, oid))
			continue;
		catalog->tables[catalog->n++] = (struct catalog_table){
			.oid = oid,
			.schema = column_text(r, i, 1),
			.name = column_text(r, i, 2),
			.kind = char_of(r, i, 3),
			.persistence = char_of(r, i, 4),
			.replica_identity = char_of(r, i, 5),
			.identity_index = char_of(r, i, 5) == 'i' ? column_text(r, i, 6) : NULL,
			.row_security = pg_bool(r, i, 7),
			.is_owner = pg_bool(r, i, 8),
			.can_select = pg_bool(r, i, 9),
			.row_estimate = double_of(r, i, 10),
			.filenode = (uint32_t)pg_u64(r, i, 11),
			.partition_of = (uint32_t)pg_u64(r, i, 12),
			.is_inherited = pg_bool(r, i, 13),
			.storage = pg_u64(r, i, 14),
		};
	}
	return 0;
}

static int load_columns(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	size_t alloc = 0;

	if (pg_query(pg, sql_columns, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *t = table_of(catalog, r, i);

		if (!t)
			continue;
		if (t->n_columns == 0)
			alloc = 0; /* rows come table by table */
		ALLOC_GROW(t->columns, t->n_columns + 1, alloc);
		t->columns[t->n_columns++] = (struct catalog_column){
			.name = column_text(r, i, 1),
			.attnum = catalog_int(r, i, 2),
			.type_oid = (uint32_t)pg_u64(r, i, 3),
			.typmod = catalog_int(r, i, 4),
			.type = column_text(r, i, 5),
			.base_type = column_text(r, i, 6),
			.category = char_of(r, i, 7),
			.not_null = pg_bool(r, i, 8),
			.generated = pg_bool(r, i, 9),
			.is_virtual = pg_bool(r, i, 12),
			.collation_oid = (uint32_t)pg_u64(r, i, 13),
			.altered = (uint32_t)pg_u64(r, i, 11),
			.element_category = pg_is_null(r, i, 10) ? '\0' : char_of(r, i, 10),
			.equality_schema = column_text(r, i, 14),
		};
	}
	return 0;
}

static bool in_table(const struct catalog_table *t, const int *positions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((size_t)positions[i] >= t->n_columns)
			return false;
	return true;
}

static int shape_changed(struct err *err, const struct catalog_table *t)
{
	return err_set(err, ERR_TRANSIENT, "table %s.%s was altered while its catalog entries were read", t->schema,
		       t->name);
}

static int load_indexes(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	size_t alloc = 0;

	if (pg_query(pg, sql_indexes, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *t = table_of(catalog, r, i);
		struct catalog_index *index;

		if (!t)
			continue;
		if (t->n_indexes == 0)
			alloc = 0;
		ALLOC_GROW(t->indexes, t->n_indexes + 1, alloc);
		index = &t->indexes[t->n_indexes++];
		*index = (struct catalog_index){
			.name = column_text(r, i, 1),
			.unique = pg_bool(r, i, 2),
			.primary = pg_bool(r, i, 3),
			.immediate = pg_bool(r, i, 4),
			.partial = pg_bool(r, i, 5),
			.expression = pg_bool(r, i, 6),
			.valid = pg_bool(r, i, 7),
		};
		if (!catalog_positions(pg_value_or_null(r, i, 8), &index->columns, &index->n) ||
		    !in_table(t, index->columns, index->n))
			return shape_changed(err, t);
	}
	return 0;
}

static int load_foreign_keys(struct pg *pg, const char *const *params, struct catalog *catalog, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	size_t alloc = 0;

	if (pg_query(pg, sql_foreign_keys, params, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *t = table_of(catalog, r, i);
		struct catalog_foreign_key *key;
		size_t n_to = 0;

		if (!t)
			continue;
		if (t->n_foreign_keys == 0)
			alloc = 0;
		ALLOC_GROW(t->foreign_keys, t->n_foreign_keys + 1, alloc);
		key = &t->foreign_keys[t->n_foreign_keys++];
		*key = (struct catalog_foreign_key){
			.name = column_text(r, i, 1),
			.to = (uint32_t)pg_u64(r, i, 2),
		};
		if (!catalog_positions(pg_value_or_null(r, i, 3), &key->columns, &key->n) ||
		    !catalog_positions(pg_value_or_null(r, i, 4), &key->to_columns, &n_to) || key->n != n_to ||
		    !in_table(t, key->columns, key->n))
			return shape_changed(err, t);
	}
	return 0;
}

char *catalog_table_oids(const struct catalog *catalog)
{
	struct strbuf oids;

	strbuf_init(&oids, PARAM_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < catalog->n; i++)
		pg_array_add_number(&oids, catalog->tables[i].oid);
	pg_array_end(&oids);
	return strbuf_detach(&oids);
}

static int load_all(struct pg *pg, struct catalog *catalog, const void *names, struct err *err)
{
	const char *params[1];

	if (load_tables(pg, (const char *const *)names, catalog, err) < 0)
		return -1;
	params[0] = catalog->watched = catalog_table_oids(catalog);
	if (load_columns(pg, params, catalog, err) < 0 || catalog_load_traits(pg, params, catalog, err) < 0 ||
	    load_indexes(pg, params, catalog, err) < 0 || load_foreign_keys(pg, params, catalog, err) < 0 ||
	    catalog_load_parts(pg, catalog, err) < 0 || catalog_load_views(pg, params, catalog, err) < 0)
		return -1;
	return catalog_load_versions(pg, catalog, err);
}

static void add_name_arrays(struct strbuf *schemas, struct strbuf *tables, const struct catalog_name *names, size_t n)
{
	strbuf_init(schemas, PARAM_BYTES);
	strbuf_init(tables, PARAM_BYTES);
	pg_array_begin(schemas);
	pg_array_begin(tables);
	for (size_t i = 0; i < n; i++) {
		pg_array_add(schemas, names[i].schema, strlen(names[i].schema));
		pg_array_add(tables, names[i].table, strlen(names[i].table));
	}
	pg_array_end(schemas);
	pg_array_end(tables);
}

int catalog_in_snapshot(struct pg *pg, catalog_load_fn *fn, struct catalog *catalog, const void *user, struct err *err)
{
	bool own = PQtransactionStatus(pg->conn) == PQTRANS_IDLE;
	struct err ignored;

	if (own && pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) < 0)
		return -1;
	if (fn(pg, catalog, user, err) < 0) {
		if (own && pg_exec(pg, "ROLLBACK", &ignored) < 0)
			pg->dead = true;
		return -1;
	}
	return own ? pg_exec(pg, "COMMIT", err) : 0;
}

int catalog_load(struct pg *pg, const struct catalog_name *names, size_t n, struct catalog **ret, struct err *err)
{
	_cleanup_(catalog_freep) struct catalog *catalog = xcalloc(1, sizeof(*catalog));
	struct strbuf schemas, tables;
	int r;

	add_name_arrays(&schemas, &tables, names, n);
	if (strbuf_ok(&schemas) && strbuf_ok(&tables))
		r = catalog_in_snapshot(pg, load_all, catalog, (const char *const[]){schemas.data, tables.data}, err);
	else
		r = err_set(err, ERR_LIMIT, "the names of %zu tables are longer than %d bytes", n, PARAM_BYTES);
	strbuf_release(&schemas);
	strbuf_release(&tables);
	if (r < 0)
		return err_wrap(err, "reading the catalog");
	*ret = TAKE_PTR(catalog);
	return 0;
}

int catalog_load_all(struct pg *pg, struct catalog **ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;
	_cleanup_free_ struct catalog_name *names = NULL;
	int n;

	if (pg_query(pg, sql_all, NULL, 0, &result, err) < 0)
		return err_wrap(err, "listing tables");
	n = pg_n_rows(result);
	if (n > CATALOG_MOST)
		return err_set(err, ERR_LIMIT, "the database has %d tables, more than %d", n, CATALOG_MOST);
	names = xcalloc((size_t)n + 1, sizeof(*names));
	for (int i = 0; i < n; i++)
		names[i] = (struct catalog_name){pg_value(result, i, 0), pg_value(result, i, 1)};
	return catalog_load(pg, names, (size_t)n, ret, err);
}

int catalog_list(struct pg *pg, const struct catalog_name *names, size_t n, char ***ret, size_t *ret_n, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;
	struct strbuf schemas, tables;
	int r;

	add_name_arrays(&schemas, &tables, names, n);
	r = pg_query(pg, sql_list, (const char *const[]){schemas.data}, 1, &result, err);
	strbuf_release(&schemas);
	strbuf_release(&tables);
	if (r < 0)
		return err_wrap(err, "listing tables");
	*ret_n = (size_t)pg_n_rows(result);
	*ret = xcalloc(*ret_n + 1, sizeof(**ret));
	for (size_t i = 0; i < *ret_n; i++)
		(*ret)[i] = column_text(result, (int)i, 0);
	return 0;
}
