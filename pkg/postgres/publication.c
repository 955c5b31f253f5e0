/* Publications: exactly the tables wanted, with exactly the options wanted. */
#include <string.h>

#include "base/failpoint.h"
#include "base/map.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

#define PUBLISHED "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
/* Postgres refuses UPDATE and DELETE where the replica identity has generated columns that are not published. */
#define PUBLISHED_18 PUBLISHED ", publish_generated_columns = stored"

/* What of a publication differs from what is wanted. */
struct difference {
	bool absent;
	bool options;
	struct strbuf drop, add; /* table lists */
};

#define PUBLICATION(more)                                                                                \
	"SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot" more \
	" FROM pg_publication WHERE pubname = $1"
static const char sql_publication[] = PUBLICATION("");
static const char sql_publication_18[] = PUBLICATION(" AND pubgencols = 's'");

static const char sql_schemas_14[] = "SELECT false";
static const char sql_schemas[] = "SELECT EXISTS (SELECT FROM pg_publication_namespace s JOIN pg_publication p"
				  " ON p.oid = s.pnpubid WHERE p.pubname = $1)";

/* Entries with a row filter or a column list count as wrong: they would hide changes. */
#define MEMBERS(plain)                                                                     \
	"SELECT r.prrelid, n.nspname, c.relname, " plain " FROM pg_publication_rel r"      \
	" JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1 ORDER BY r.prrelid"
static const char sql_members_14[] = MEMBERS("true");
static const char sql_members[] = MEMBERS("r.prqual IS NULL AND r.prattrs IS NULL");

static bool is_18(struct pg *pg)
{
	return pg_server_version(pg) >= 180000;
}

static void add_table(struct strbuf *list, const char *schema, const char *table)
{
	if (list->len > 0)
		strbuf_adds(list, ", ");
	pg_quote_table(list, schema, table);
}

static const struct catalog_table *wanted(uint32_t oid, const struct catalog_table *const *tables, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tables[i]->oid == oid)
			return tables[i];
	return NULL;
}

/* An entry that is right stays; a wrong one is dropped, and added again if its table is wanted. */
static bool is_member(const struct pg_result *r, uint32_t oid)
{
	for (int i = 0; i < pg_n_rows(r); i++)
		if ((uint32_t)pg_u64(r, i, 0) == oid && pg_bool(r, i, 3))
			return true;
	return false;
}

static int compare_members(struct pg *pg, const char *name, const struct catalog_table *const *tables, size_t n,
			   struct difference *d, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	const char *sql = pg_server_version(pg) < 150000 ? sql_members_14 : sql_members;

	if (pg_query(pg, sql, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++)
		if (!pg_bool(r, i, 3) || !wanted((uint32_t)pg_u64(r, i, 0), tables, n))
			add_table(&d->drop, pg_value(r, i, 1), pg_value(r, i, 2));
	for (size_t i = 0; i < n; i++)
		if (wanted(tables[i]->oid, tables, i) == NULL && !is_member(r, tables[i]->oid))
			add_table(&d->add, tables[i]->schema, tables[i]->name);
	return 0;
}

static int check_whole_schemas(struct pg *pg, const char *name, bool all_tables, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	bool old = pg_server_version(pg) < 150000;

	if (!all_tables) {
		if (pg_query(pg, old ? sql_schemas_14 : sql_schemas, (const char *const[]){name}, old ? 0 : 1, &r,
			     err) < 0)
			return -1;
		if (!pg_bool(r, 0, 0))
			return 0;
	}
	return err_reason(err, ERR_INVALID, REASON_PUBLICATION_CONFLICT,
			  "it publishes all tables %s, expected a list of tables: drop it, or choose another name",
			  all_tables ? "of the database" : "of a schema");
}

static int compare(struct pg *pg, const char *name, const struct catalog_table *const *tables, size_t n,
		   struct difference *d, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, is_18(pg) ? sql_publication_18 : sql_publication, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	d->absent = pg_n_rows(r) == 0;
	if (!d->absent) {
		if (check_whole_schemas(pg, name, pg_bool(r, 0, 0), err) < 0)
			return -1;
		d->options = !pg_bool(r, 0, 1);
	}
	return compare_members(pg, name, tables, n, d, err);
}

/* All of it in one string, which the server runs as one transaction. */
static void write_statements(struct strbuf *sql, const char *quoted, const struct difference *d, const char *published)
{
	if (d->absent) {
		strbuf_addf(sql, "CREATE PUBLICATION %s", quoted);
		if (d->add.len > 0)
			strbuf_addf(sql, " FOR TABLE %s", d->add.data);
		strbuf_addf(sql, " WITH (%s)", published);
		return;
	}
	if (d->options)
		strbuf_addf(sql, "ALTER PUBLICATION %s SET (%s); ", quoted, published);
	if (d->drop.len > 0)
		strbuf_addf(sql, "ALTER PUBLICATION %s DROP TABLE %s; ", quoted, d->drop.data);
	if (d->add.len > 0)
		strbuf_addf(sql, "ALTER PUBLICATION %s ADD TABLE %s; ", quoted, d->add.data);
}

static int run_statements(struct pg *pg, const struct strbuf *sql, struct err *err)
{
	if (!strbuf_ok(sql))
		return err_set(err, ERR_LIMIT, "its list of tables is longer than %d bytes", PG_SQL_BYTES);
	if (pg_exec(pg, sql->data, err) == 0)
		return FAILPOINT(PUBLICATION_SET, err);
	if (pg_is_sqlstate(err, "42710"))
		err->kind = ERR_CONFLICT; /* created at the same time */
	if (pg_is_sqlstate(err, "42501"))
		return err_wrap(err, "grant what is missing, or run as a superuser: %.500s", sql->data);
	return -1;
}

static int ensure(struct pg *pg, const char *name, const struct catalog_table *const *tables, size_t n, struct err *err)
{
	struct difference d = {.absent = false};
	struct strbuf sql, quoted;
	int r;

	strbuf_init(&d.drop, PG_SQL_BYTES);
	strbuf_init(&d.add, PG_SQL_BYTES);
	strbuf_init(&sql, PG_SQL_BYTES);
	strbuf_init(&quoted, PG_SQL_BYTES);
	pg_quote_ident(&quoted, name);
	r = compare(pg, name, tables, n, &d, err);
	if (r == 0) {
		write_statements(&sql, quoted.data, &d, is_18(pg) ? PUBLISHED_18 : PUBLISHED);
		if (!strbuf_ok(&d.drop) || !strbuf_ok(&d.add))
			sql.overflow = true;
		if (sql.len > 0 || sql.overflow)
			r = run_statements(pg, &sql, err);
	}
	strbuf_release(&sql);
	strbuf_release(&quoted);
	strbuf_release(&d.drop);
	strbuf_release(&d.add);
	return r;
}

int pg_publication_ensure(struct pg *pg, const char *name, const struct catalog_table *const *tables, size_t n,
			  struct err *err)
{
	if (ensure(pg, name, tables, n, err) < 0)
		return err_wrap(err, "publication \"%s\"", name);
	return 0;
}

int pg_publication_fingerprint(struct pg *pg, const char *name, char **ret, struct err *err)
{
	/* The transactions that wrote these rows of the catalog last. */
	static const char sql[] =
		"SELECT p.oid || ':' || hashtextextended(p.xmin || coalesce((SELECT string_agg(' ' || r.prrelid || ':' "
		"|| "
		"r.xmin, '' ORDER BY r.prrelid) FROM pg_publication_rel r WHERE r.prpubid = p.oid), ''), 0)"
		" FROM pg_publication p WHERE p.pubname = $1";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql, (const char *const[]){name}, 1, &r, err) < 0)
		return err_wrap(err, "publication \"%s\"", name);
	*ret = pg_n_rows(r) ? xstrdup(pg_value(r, 0, 0)) : NULL;
	return 0;
}

bool pg_publication_same(const char *fingerprint, const char *other)
{
	size_t oid = strcspn(fingerprint, ":");

	return oid == strcspn(other, ":") && strncmp(fingerprint, other, oid) == 0;
}

int pg_publication_drop(struct pg *pg, const char *name, struct err *err)
{
	struct strbuf quoted;
	int r;

	strbuf_init(&quoted, PG_SQL_BYTES);
	pg_quote_ident(&quoted, name);
	r = pg_execf(pg, err, "DROP PUBLICATION IF EXISTS %s", quoted.data);
	strbuf_release(&quoted);
	return r < 0 ? err_wrap(err, "dropping publication \"%s\"", name) : 0;
}
