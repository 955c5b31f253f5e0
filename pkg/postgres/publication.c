/* Publications: exactly the tables and columns wanted, with exactly the options wanted. */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "postgres/locks.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

#define PUBLISHED "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
/* Postgres refuses UPDATE and DELETE where the replica identity has generated columns that are not published. */
#define PUBLISHED_18 PUBLISHED ", publish_generated_columns = stored"

/* What is wrong with one table, and the statements that fix it. */
struct correction {
	uint32_t oid;
	char *sql;
};

/* How a publication differs from what is wanted. */
struct difference {
	char *quoted; /* the publication */
	bool absent;
	bool options;
	bool tables; /* something other than the columns of tables differs */
	bool unfit;  /* something other than surplus columns differs */
	struct correction *items;
	size_t n;
};

static char *quote_name(const char *name)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	pg_quote_ident(&sb, name);
	return strbuf_detach(&sb);
}

static void difference_release(struct difference *d)
{
	free(d->quoted);
	for (size_t i = 0; i < d->n; i++)
		free(d->items[i].sql);
	free(d->items);
}

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

static bool has_lists(struct pg *pg)
{
	return pg_server_version(pg) >= 150000;
}

static void add_column_list(struct pg *pg, struct strbuf *sql, const struct pg_published *published)
{
	if (!published->n_columns || !has_lists(pg))
		return;
	for (size_t i = 0; i < published->n_columns; i++) {
		strbuf_adds(sql, i ? ", " : " (");
		pg_quote_ident(sql, published->table->columns[published->columns[i]].name);
	}
	strbuf_addc(sql, ')');
}

/* Drops the table from the publication if it is a member (row), and adds it in the wanted form if it is wanted. */
static void add_correction(struct pg *pg, struct difference *d, const struct pg_result *members, int row,
			   const struct pg_published *want)
{
	struct correction correction = {.oid = want ? want->table->oid : (uint32_t)pg_u64(members, row, MEMBER_OID)};
	struct strbuf sql;

	strbuf_init(&sql, PG_SQL_BYTES);
	if (row >= 0) {
		strbuf_addf(&sql, "ALTER PUBLICATION %s DROP TABLE ", d->quoted);
		pg_quote_table(&sql, pg_value(members, row, MEMBER_SCHEMA), pg_value(members, row, MEMBER_NAME));
	}
	if (want) {
		strbuf_addf(&sql, "%sALTER PUBLICATION %s ADD TABLE ", row >= 0 ? "; " : "", d->quoted);
		pg_quote_table(&sql, want->table->schema, want->table->name);
		add_column_list(pg, &sql, want);
	}
	correction.sql = strbuf_detach(&sql);
	d->items = xreallocarray(d->items, d->n + 1, sizeof(*d->items));
	d->items[d->n++] = correction;
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

/* A correct entry stays; a wrong one is dropped, and added again if its table is wanted. */
static void compare_member(struct pg *pg, const struct pg_result *r, int row, const struct pg_published *want,
			   struct difference *d)
{
	bool unfiltered = pg_bool(r, row, MEMBER_UNFILTERED);

	if (want && unfiltered && has_columns(pg, pg_value(r, row, MEMBER_COLUMNS), want))
		return;
	add_correction(pg, d, r, row, want);
	d->tables = d->tables || !want || !unfiltered;
	d->unfit = d->unfit || !want || !unfiltered || *pg_value(r, row, MEMBER_COLUMNS);
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
		add_correction(pg, d, r, -1, &tables[i]);
		d->tables = d->unfit = true;
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

/* Only a table that has such columns needs them to be published. */
static bool has_stored_columns(const struct pg_publication *p)
{
	for (size_t i = 0; i < p->n_tables; i++)
		for (size_t j = 0; j < p->tables[i].table->n_columns; j++)
			if (p->tables[i].table->columns[j].generated && !p->tables[i].table->columns[j].is_virtual)
				return true;
	return false;
}

static int compare_publication(struct pg *pg, const struct pg_publication *p, struct difference *d, struct err *err)
{
	const char *name = p->name;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	const char *sql = is_18(pg) && has_stored_columns(p) ? sql_publication_18 : sql_publication;

	if (pg_query(pg, sql, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	d->absent = pg_n_rows(r) == 0;
	if (!d->absent) {
		if (check_whole_schemas(pg, name, pg_bool(r, 0, 0), err) < 0)
			return -1;
		d->options = !pg_bool(r, 0, 1);
	}
	return compare_members(pg, name, p->tables, p->n_tables, d, err);
}

/* All remaining statements, for an administrator who has to run them. */
static int explain(const struct difference *d, const char *sql, size_t done, struct err *err)
{
	if (pg_is_sqlstate(err, "42710"))
		err->kind = ERR_CONFLICT; /* created at the same time */
	if (!pg_is_sqlstate(err, "42501"))
		return -1;
	(void)err_wrap(err, "grant what is missing, or run as a superuser: %.500s", sql);
	for (size_t i = done; i < d->n; i++)
		if (d->items[i].sql != sql)
			err_append(err, "; %.200s", d->items[i].sql);
	return -1;
}

static int run_change(struct pg *pg, const struct difference *d, const char *sql, struct err *err)
{
	return pg_exec(pg, sql, err) < 0 ? explain(d, sql, 0, err) : 0;
}

static char *comment_sql(const char *quoted, const char *comment)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_addf(&sb, "COMMENT ON PUBLICATION %s IS ", quoted);
	pg_quote_literal(&sb, comment);
	return strbuf_detach(&sb);
}

/* One string is one transaction, so a publication of ours always has its comment. */
static int create(struct pg *pg, const struct difference *d, const char *comment, struct err *err)
{
	_cleanup_free_ char *mark = comment_sql(d->quoted, comment);
	_cleanup_free_ char *sql =
		xasprintf("CREATE PUBLICATION %s WITH (%s); %s", d->quoted, is_18(pg) ? PUBLISHED_18 : PUBLISHED, mark);

	return run_change(pg, d, sql, err);
}

static int change_options(struct pg *pg, const struct difference *d, const char *comment, struct err *err)
{
	_cleanup_free_ char *sql =
		xasprintf("ALTER PUBLICATION %s SET (%s)", d->quoted, is_18(pg) ? PUBLISHED_18 : PUBLISHED);

	if (d->absent)
		return create(pg, d, comment, err);
	return d->options ? run_change(pg, d, sql, err) : 0;
}

/* One table per transaction: these statements wait for locks, and must not hold another one meanwhile. If an attempt is
 * interrupted in between, the next one finds that the publication lacks tables. */
static int change(struct pg *pg, const struct difference *d, const char *comment, struct err *err)
{
	if (change_options(pg, d, comment, err) < 0)
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		const struct pg_locking statement = {d->items[i].sql, d->items[i].oid, PG_LOCK_TO_PUBLISH};

		if (pg_exec_locking(pg, &statement, err) < 0)
			return explain(d, statement.sql, i, err);
	}
	return d->absent || d->options || d->n ? FAILPOINT(PUBLICATION_SET, err) : 0;
}

static bool is_only_columns(const struct difference *d)
{
	return !d->absent && !d->options && !d->tables;
}

static bool fits(const struct difference *d)
{
	return !d->absent && !d->options && !d->unfit;
}

static char *statements(struct pg *pg, const struct difference *d)
{
	struct strbuf sql;

	strbuf_init(&sql, PG_SQL_BYTES);
	if (d->absent || d->options)
		strbuf_addf(&sql, "%s PUBLICATION %s %s (%s)", d->absent ? "CREATE" : "ALTER", d->quoted,
			    d->absent ? "WITH" : "SET", is_18(pg) ? PUBLISHED_18 : PUBLISHED);
	for (size_t i = 0; i < d->n; i++)
		strbuf_addf(&sql, "%s%s", sql.len ? "; " : "", d->items[i].sql);
	return strbuf_detach(&sql);
}

int pg_publication_fits(struct pg *pg, const struct pg_publication *publication, char **ret_sql, struct err *err)
{
	_cleanup_(difference_release) struct difference d = {.quoted = quote_name(publication->name)};

	*ret_sql = NULL;
	if (compare_publication(pg, publication, &d, err) < 0)
		return err_wrap(err, "publication \"%s\"", publication->name);
	if (!fits(&d))
		*ret_sql = statements(pg, &d);
	return 0;
}

static int ensure(struct pg *pg, const struct pg_publication *publication, struct difference *d, struct err *err)
{
	if (compare_publication(pg, publication, d, err) < 0)
		return -1;
	if (change(pg, d, publication->comment, err) == 0)
		return 0;
	return fits(d) && pg_is_sqlstate(err, "42501") ? 0 : -1;
}

int pg_publication_ensure(struct pg *pg, const struct pg_publication *publication, bool *ret_only_columns,
			  struct err *err)
{
	_cleanup_(difference_release) struct difference d = {.quoted = quote_name(publication->name)};

	if (ensure(pg, publication, &d, err) < 0)
		return err_wrap(err, "publication \"%s\"", publication->name);
	*ret_only_columns = is_only_columns(&d);
	return 0;
}

static int widen(struct pg *pg, const char *name, struct difference *d, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql_members, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++) {
		const struct catalog_table table = {.oid = (uint32_t)pg_u64(r, i, MEMBER_OID),
						    .schema = (char *)pg_value(r, i, MEMBER_SCHEMA),
						    .name = (char *)pg_value(r, i, MEMBER_NAME)};

		if (*pg_value(r, i, MEMBER_COLUMNS) && pg_bool(r, i, MEMBER_UNFILTERED))
			add_correction(pg, d, r, i, &(struct pg_published){.table = &table});
	}
	return change(pg, d, NULL, err);
}

int pg_publication_widen(struct pg *pg, const char *name, struct err *err)
{
	_cleanup_(difference_release) struct difference d = {.quoted = quote_name(name)};

	if (has_lists(pg) && widen(pg, name, &d, err) < 0)
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

int pg_publication_comment(struct pg *pg, const char *name, bool *ret_exists, char **ret, struct err *err)
{
	static const char sql[] =
		"SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = $1";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql, (const char *const[]){name}, 1, &r, err) < 0)
		return err_wrap(err, "publication \"%s\"", name);
	*ret_exists = pg_n_rows(r) == 1;
	*ret = *ret_exists ? xstrdup_or_null(pg_value_or_null(r, 0, 0)) : NULL;
	return 0;
}

int pg_publication_set_comment(struct pg *pg, const char *name, const char *comment, struct err *err)
{
	_cleanup_free_ char *quoted = quote_name(name);
	_cleanup_free_ char *sql = comment_sql(quoted, comment);

	return pg_exec(pg, sql, err) < 0 ? err_wrap(err, "publication \"%s\"", name) : 0;
}

int pg_publication_drop(struct pg *pg, const char *name, struct err *err)
{
	_cleanup_free_ char *quoted = quote_name(name);

	if (pg_execf(pg, err, "DROP PUBLICATION IF EXISTS %s", quoted) < 0)
		return err_wrap(err, "dropping publication \"%s\"", name);
	return FAILPOINT(PUBLICATION_DROPPED, err);
}
