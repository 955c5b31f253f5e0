/* Publications: exactly the tables and columns wanted, with exactly the options wanted. */
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
	bool tables;             /* not only columns of tables */
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

/* Entries with a row filter count as wrong: they would hide changes. So do those with other columns. */
#define MEMBERS(more)                                                                      \
	"SELECT r.prrelid, n.nspname, c.relname, " more " FROM pg_publication_rel r"       \
	" JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1 ORDER BY r.prrelid"
static const char sql_members_14[] = MEMBERS("true, ''");
static const char sql_members[] = MEMBERS("r.prqual IS NULL, coalesce(r.prattrs::text, '')");

/* Of a row of MEMBERS. */
enum { MEMBER_OID, MEMBER_SCHEMA, MEMBER_NAME, MEMBER_UNFILTERED, MEMBER_COLUMNS };

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

static bool has_lists(struct pg *pg)
{
	return pg_server_version(pg) >= 150000;
}

static void add_with_columns(struct pg *pg, struct strbuf *list, const struct pg_published *published)
{
	const struct catalog_table *table = published->table;

	add_table(list, table->schema, table->name);
	if (!published->n_columns || !has_lists(pg))
		return;
	for (size_t i = 0; i < published->n_columns; i++) {
		strbuf_adds(list, i ? ", " : " (");
		pg_quote_ident(list, table->columns[published->columns[i]].name);
	}
	strbuf_addc(list, ')');
}

static const struct pg_published *wanted(uint32_t oid, const struct pg_published *tables, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tables[i].table->oid == oid)
			return &tables[i];
	return NULL;
}

/* The columns of a member as pg_publication_rel.prattrs shows them: "1 3". */
static bool has_columns(struct pg *pg, const char *prattrs, const struct pg_published *published)
{
	struct strbuf sb;
	bool same;

	strbuf_init(&sb, PG_SQL_BYTES);
	for (size_t i = 0; has_lists(pg) && i < published->n_columns; i++)
		strbuf_addf(&sb, "%s%d", i ? " " : "", published->table->columns[published->columns[i]].attnum);
	same = strcmp(sb.data, prattrs) == 0;
	strbuf_release(&sb);
	return same;
}

static int find_member(const struct pg_result *r, uint32_t oid)
{
	for (int i = 0; i < pg_n_rows(r); i++)
		if ((uint32_t)pg_u64(r, i, MEMBER_OID) == oid)
			return i;
	return -1;
}

/* An entry that is right stays; a wrong one is dropped, and added again if its table is wanted. */
static void compare_member(struct pg *pg, const struct pg_result *r, int row, const struct pg_published *want,
			   struct difference *d)
{
	bool unfiltered = pg_bool(r, row, MEMBER_UNFILTERED);

	if (want && unfiltered && has_columns(pg, pg_value(r, row, MEMBER_COLUMNS), want))
		return;
	add_table(&d->drop, pg_value(r, row, MEMBER_SCHEMA), pg_value(r, row, MEMBER_NAME));
	if (want)
		add_with_columns(pg, &d->add, want);
	d->tables = d->tables || !want || !unfiltered;
}

static int compare_members(struct pg *pg, const char *name, const struct pg_published *tables, size_t n,
			   struct difference *d, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, has_lists(pg) ? sql_members : sql_members_14, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++)
		compare_member(pg, r, i, wanted((uint32_t)pg_u64(r, i, MEMBER_OID), tables, n), d);
	for (size_t i = 0; i < n; i++) {
		uint32_t oid = tables[i].table->oid;

		if (wanted(oid, tables, i) || find_member(r, oid) >= 0)
			continue;
		add_with_columns(pg, &d->add, &tables[i]);
		d->tables = true;
	}
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

static int compare(struct pg *pg, const char *name, const struct pg_published *tables, size_t n, struct difference *d,
		   struct err *err)
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

static int change(struct pg *pg, const char *name, const struct difference *d, struct err *err)
{
	struct strbuf sql, quoted;
	int r = 0;

	strbuf_init(&sql, PG_SQL_BYTES);
	strbuf_init(&quoted, PG_SQL_BYTES);
	pg_quote_ident(&quoted, name);
	write_statements(&sql, quoted.data, d, is_18(pg) ? PUBLISHED_18 : PUBLISHED);
	if (!strbuf_ok(&d->drop) || !strbuf_ok(&d->add))
		sql.overflow = true;
	if (sql.len > 0 || sql.overflow)
		r = run_statements(pg, &sql, err);
	strbuf_release(&sql);
	strbuf_release(&quoted);
	return r;
}

static int ensure(struct pg *pg, const char *name, const struct pg_published *tables, size_t n, bool *ret_only_columns,
		  struct err *err)
{
	struct difference d = {.absent = false};
	bool only_columns;
	int r;

	strbuf_init(&d.drop, PG_SQL_BYTES);
	strbuf_init(&d.add, PG_SQL_BYTES);
	r = compare(pg, name, tables, n, &d, err);
	only_columns = !d.absent && !d.options && !d.tables;
	if (r == 0)
		r = change(pg, name, &d, err);
	/* To publish more columns than needed does no harm. */
	if (r < 0 && only_columns && pg_is_sqlstate(err, "42501"))
		r = 0;
	strbuf_release(&d.drop);
	strbuf_release(&d.add);
	*ret_only_columns = only_columns;
	return r;
}

int pg_publication_ensure(struct pg *pg, const char *name, const struct pg_published *tables, size_t n,
			  bool *ret_only_columns, struct err *err)
{
	if (ensure(pg, name, tables, n, ret_only_columns, err) < 0)
		return err_wrap(err, "publication \"%s\"", name);
	return 0;
}

static int widen(struct pg *pg, const char *name, struct difference *d, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_members, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		if (!*pg_value(r, i, MEMBER_COLUMNS) || !pg_bool(r, i, MEMBER_UNFILTERED))
			continue;
		add_table(&d->drop, pg_value(r, i, MEMBER_SCHEMA), pg_value(r, i, MEMBER_NAME));
		add_table(&d->add, pg_value(r, i, MEMBER_SCHEMA), pg_value(r, i, MEMBER_NAME));
	}
	return change(pg, name, d, err);
}

int pg_publication_widen(struct pg *pg, const char *name, struct err *err)
{
	struct difference d = {.absent = false};
	int r = 0;

	strbuf_init(&d.drop, PG_SQL_BYTES);
	strbuf_init(&d.add, PG_SQL_BYTES);
	if (has_lists(pg))
		r = widen(pg, name, &d, err);
	strbuf_release(&d.drop);
	strbuf_release(&d.add);
	return r < 0 ? err_wrap(err, "publication \"%s\"", name) : 0;
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
