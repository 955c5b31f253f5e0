/* Reads partitions, and the replica identities of tables and partitions. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

/* Everything below the partitioned tables, at whatever depth, and what the WAL contains of an old row there: the
 * columns of the index that identifies rows, as positions among the partitioned table's. Columns have the same names,
 * but not always the same order. */
static const char sql_parts[] =
	"SELECT root.oid, c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, h.xmin, "
	"pg_relation_filenode(c.oid),"
	" c.relreplident, pg_has_role(c.relowner, 'USAGE'), ic.relname,"
	" (SELECT string_agg((SELECT count(*) FROM pg_attribute b WHERE b.attrelid = root.oid AND b.attnum > 0"
	"    AND NOT b.attisdropped AND b.attnum < p.attnum)::text, ' ')"
	"  FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)"
	"  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum"
	"  JOIN pg_attribute p ON p.attrelid = root.oid AND p.attname = a.attname AND NOT p.attisdropped"
	"  WHERE k.position <= x.indnkeyatts)"
	", has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
	" FROM unnest($1::oid[]) AS root(oid) CROSS JOIN LATERAL pg_partition_tree(root.oid::regclass) t"
	" JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
	" JOIN pg_inherits h ON h.inhrelid = t.relid AND h.inhparent = t.parentrelid"
	" LEFT JOIN pg_index x ON x.indrelid = c.oid AND CASE c.relreplident"
	"  WHEN 'd' THEN x.indisprimary AND x.indimmediate AND x.indisvalid WHEN 'i' THEN x.indisreplident"
	"  ELSE false END"
	" LEFT JOIN pg_class ic ON ic.oid = x.indexrelid"
	" WHERE t.level > 0 ORDER BY root.oid, c.oid";

static char *partitioned_oids(const struct catalog *catalog)
{
	struct strbuf oids;
	bool any = false;

	strbuf_init(&oids, PG_SQL_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < catalog->n; i++) {
		if (catalog->tables[i].kind != 'p')
			continue;
		pg_array_add_number(&oids, catalog->tables[i].oid);
		any = true;
	}
	pg_array_end(&oids);
	if (!any) {
		strbuf_release(&oids);
		return NULL;
	}
	return strbuf_detach(&oids);
}

static int take_identity(struct catalog_part *part, const struct pg_result *r, int row, struct err *err)
{
	free(TAKE_PTR(part->identity_index));
	free(TAKE_PTR(part->identity));
	part->n_identity = 0;
	part->replica_identity = pg_value(r, row, 8)[0];
	if (part->replica_identity == 'i')
		part->identity_index = xstrdup_or_null(pg_value_or_null(r, row, 10));
	if (!catalog_positions(pg_value_or_null(r, row, 11), &part->identity, &part->n_identity))
		return err_set(err, ERR_FATAL, "the server gave \"%s\" as positions of columns",
			       pg_value_or_null(r, row, 11));
	return 0;
}

static int add_part(struct catalog_table *table, const struct pg_result *r, int row, struct err *err)
{
	struct catalog_part *part;

	table->parts = xreallocarray(table->parts, table->n_parts + 1, sizeof(*table->parts));
	part = &table->parts[table->n_parts++];
	*part = (struct catalog_part){
		.oid = (uint32_t)pg_u64(r, row, 1),
		.schema = xstrdup(pg_value(r, row, 2)),
		.name = xstrdup(pg_value(r, row, 3)),
		.kind = pg_value(r, row, 4)[0],
		.persistence = pg_value(r, row, 5)[0],
		.attachment = (uint32_t)pg_u64(r, row, 6),
		.filenode = (uint32_t)pg_u64(r, row, 7),
		.is_owner = pg_bool(r, row, 9),
		.can_select = pg_bool(r, row, 12),
	};
	return take_identity(part, r, row, err);
}

/* A partition that was attached since the catalog was read is left to the next comparison. */
static int take_known_identity(struct catalog_table *table, const struct pg_result *r, int row, struct err *err)
{
	uint32_t oid = (uint32_t)pg_u64(r, row, 1);

	for (size_t i = 0; i < table->n_parts; i++)
		if (table->parts[i].oid == oid)
			return take_identity(&table->parts[i], r, row, err);
	return 0;
}

static int for_each_part(struct pg *pg, struct catalog *catalog,
			 int (*take)(struct catalog_table *, const struct pg_result *, int, struct err *),
			 struct err *err)
{
	_cleanup_free_ char *oids = partitioned_oids(catalog);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (!oids)
		return 0;
	if (pg_query(pg, sql_parts, (const char *const[]){oids}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		const struct catalog_table *table = catalog_find_oid(catalog, (uint32_t)pg_u64(r, i, 0));

		if (table && take((struct catalog_table *)table, r, i, err) < 0)
			return -1;
	}
	return 0;
}

int catalog_load_parts(struct pg *pg, struct catalog *catalog, struct err *err)
{
	return for_each_part(pg, catalog, add_part, err);
}

static const char sql_identities[] = "SELECT c.oid, c.relreplident, i.relname FROM pg_class c"
				     " LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident"
				     " LEFT JOIN pg_class i ON i.oid = x.indexrelid WHERE c.oid = ANY ($1::oid[])";

int catalog_load_identities(struct pg *pg, struct catalog *catalog, struct err *err)
{
	_cleanup_free_ char *oids = catalog_table_oids(catalog);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_identities, (const char *const[]){oids}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		struct catalog_table *table =
			(struct catalog_table *)catalog_find_oid(catalog, (uint32_t)pg_u64(r, i, 0));

		if (!table)
			continue;
		free(TAKE_PTR(table->identity_index));
		table->replica_identity = pg_value(r, i, 1)[0];
		if (table->replica_identity == 'i')
			table->identity_index = xstrdup_or_null(pg_value_or_null(r, i, 2));
	}
	return for_each_part(pg, catalog, take_known_identity, err);
}

bool catalog_part_is_leaf(const struct catalog_part *part)
{
	return part->kind != 'p';
}

bool catalog_part_identifies(const struct catalog_part *part)
{
	return !catalog_part_is_leaf(part) || part->replica_identity == 'f' || part->n_identity;
}

bool catalog_part_covers(const struct catalog_part *part, int column)
{
	for (size_t i = 0; i < part->n_identity; i++)
		if (part->identity[i] == column)
			return true;
	return part->replica_identity == 'f';
}

static const char sql_index[] =
	"SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
	" CROSS JOIN LATERAL (SELECT array_agg(a.attname::text) AS names, bool_and(a.attnotnull AND a.attgenerated = "
	"'') AS"
	"  strict FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)"
	"  JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.position <= x.indnkeyatts) i"
	" WHERE x.indrelid = $1::oid AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL"
	" AND x.indexprs IS NULL AND i.strict AND i.names @> $2::text[] ORDER BY x.indnkeyatts, c.relname LIMIT 1";

int catalog_part_index(struct pg *pg, const struct catalog_table *table, const struct catalog_part *part,
		       const struct catalog_columns *columns, char **ret, struct err *err)
{
	_cleanup_free_ char *oid = xasprintf("%u", part->oid);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct strbuf names;
	int failed;

	strbuf_init(&names, PG_SQL_BYTES);
	pg_array_begin(&names);
	for (size_t i = 0; i < columns->n; i++) {
		const char *name = table->columns[columns->items[i]].name;

		pg_array_add(&names, name, strlen(name));
	}
	pg_array_end(&names);
	failed = pg_query(pg, sql_index, (const char *const[]){oid, names.data}, 2, &r, err);
	strbuf_release(&names);
	if (failed < 0)
		return err_wrap(err, "looking for an index of %s.%s", part->schema, part->name);
	*ret = pg_n_rows(r) ? xstrdup(pg_value(r, 0, 0)) : NULL;
	return 0;
}
