/* What the server reports about a user's expression: its type, and whether it is immutable. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "postgres/catalog.h"
#include "postgres/pg_int.h"

enum { SQL_BYTES = 64 * 1024 };

/* The server's own words are kept; anything but a fault of the expression is a failure of the load. */
static int note_problem(struct catalog_expression *e, const struct err *said)
{
	/* 08P01: it holds a parameter. */
	if (said->kind != ERR_INVALID && said->kind != ERR_DENIED && strcmp(said->sqlstate, "08P01") != 0)
		return -1;
	e->problem = strstr(said->msg, "generation expression is not immutable")
			     ? xstrdup("is not immutable: its value could change while the row does not, and pgsync "
				       "would not notice; use only immutable functions and operators")
			     : xstrdup(said->msg);
	return 0;
}

static int load_type_name(struct pg *pg, struct catalog_expression *e, struct err *err)
{
	static const char sql[] =
		"WITH RECURSIVE b AS (SELECT typname, typcategory, typtype, typbasetype FROM pg_type WHERE oid = "
		"$1::oid"
		" UNION ALL SELECT t.typname, t.typcategory, t.typtype, t.typbasetype FROM b JOIN pg_type t"
		" ON b.typtype = 'd' AND t.oid = b.typbasetype)"
		" SELECT format_type($1::oid, $2::int), typname, typcategory FROM b WHERE typtype <> 'd'";
	_cleanup_free_ char *oid = xasprintf("%u", e->type.type_oid);
	_cleanup_free_ char *typmod = xasprintf("%d", e->type.typmod);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql, (const char *const[]){oid, typmod}, 2, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) != 1)
		return err_set(err, ERR_TRANSIENT, "the type of an expression no longer exists");
	e->type.type = xstrdup(pg_value(r, 0, 0));
	e->type.base_type = xstrdup(pg_value(r, 0, 1));
	e->type.category = pg_value(r, 0, 2)[0];
	return 0;
}

/* 1: the expression has a problem. */
static int load_type(struct pg *pg, const struct catalog_table *table, struct catalog_expression *e, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct strbuf sql;
	int failed;

	strbuf_init(&sql, SQL_BYTES);
	strbuf_addf(&sql, "SELECT (%s) FROM ", e->sql);
	pg_quote_table(&sql, table->schema, table->name);
	strbuf_adds(&sql, " AS ");
	pg_quote_ident(&sql, table->name);
	strbuf_adds(&sql, " LIMIT 0");
	failed = pg_query(pg, sql.data, NULL, 0, &r, err);
	strbuf_release(&sql);
	if (failed < 0)
		return note_problem(e, err) < 0 ? -1 : 1;
	e->type.type_oid = PQftype(r, 0);
	e->type.typmod = PQfmod(r, 0);
	return load_type_name(pg, e, err);
}

/* Without the privilege nothing can be said of the expression. */
static int check_temporary(struct pg *pg, struct catalog_expression *e, const struct err *said, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (said->kind != ERR_DENIED)
		return note_problem(e, said);
	if (pg_query(pg,
		     "SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)"
		     " WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')",
		     NULL, 0, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) == 0)
		return note_problem(e, said);
	e->problem =
		xasprintf("cannot be checked: expressions are checked on a temporary table; %s", pg_value(r, 0, 0));
	return 0;
}

/* How many literals there are like 'now' and 'tomorrow 12:00', which mean a time when they are read as one. */
static size_t count_moments(const char *sql)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	size_t n = 0;

	for (const char *s = strchr(sql, '\''); s; s = strchr(s, '\'')) {
		s++;
		s += strspn(s, " \t\r\n");
		for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
			size_t len = strlen(words[i]);

			n += strncasecmp(s, words[i], len) == 0 && strcspn(s + len, "' \t\r\n") == 0;
		}
	}
	return n;
}

/* The server reads such a literal when it stores a generated column, here it would be read with each statement: those
 * that are stored as something else are moments. Within the transaction of check_immutable. */
static int check_moments(struct pg *pg, struct catalog_expression *e, struct err *err)
{
	static const char sql[] = "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_class c ON c.oid = "
				  "d.adrelid JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
				  " WHERE c.relnamespace = pg_my_temp_schema() AND a.attname = 'pgsync.expression'";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (count_moments(e->sql) == 0)
		return 0;
	if (pg_query(pg, sql, NULL, 0, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) == 1 && count_moments(pg_value(r, 0, 0)) < count_moments(e->sql))
		e->problem = xstrdup("is not immutable: 'now', 'today', 'tomorrow' and 'yesterday' mean a different "
				     "time whenever they are read, and pgsync would not notice");
	return 0;
}

/* A generated column must be immutable and may only refer to columns of its row, so the server does the check. */
static int check_immutable(struct pg *pg, const struct catalog_table *table, struct catalog_expression *e,
			   struct err *err)
{
	struct err said;
	struct strbuf sql;
	int failed;

	strbuf_init(&sql, SQL_BYTES);
	strbuf_adds(&sql, "BEGIN; SET LOCAL client_min_messages = warning; CREATE TEMPORARY TABLE ");
	pg_quote_ident(&sql, table->name);
	strbuf_adds(&sql, " (LIKE ");
	pg_quote_table(&sql, table->schema, table->name);
	strbuf_adds(&sql, "); ALTER TABLE pg_temp.");
	pg_quote_ident(&sql, table->name);
	strbuf_addf(&sql, " ADD COLUMN \"pgsync.expression\" %s GENERATED ALWAYS AS (%s) STORED", e->type.type, e->sql);
	failed = pg_exec(pg, sql.data, &said);
	strbuf_release(&sql);
	if (failed == 0 && check_moments(pg, e, err) < 0)
		return -1;
	if (pg_exec(pg, "ROLLBACK", err) < 0)
		return -1;
	if (failed == 0)
		return 0;
	*err = said;
	return check_temporary(pg, e, &said, err);
}

static int load_one(struct pg *pg, const struct catalog_table *table, struct catalog_expression *e, struct err *err)
{
	int r = load_type(pg, table, e, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	return check_immutable(pg, table, e, err);
}

int catalog_load_expressions(struct pg *pg, struct catalog *catalog, const struct catalog_expression_name *names,
			     size_t n, struct err *err)
{
	catalog->expressions =
		xreallocarray(catalog->expressions, catalog->n_expressions + n + 1, sizeof(*catalog->expressions));
	for (size_t i = 0; i < n; i++) {
		const struct catalog_table *table = catalog_find(catalog, names[i].table.schema, names[i].table.table);
		struct catalog_expression *e = &catalog->expressions[catalog->n_expressions];

		if (!table || catalog_expression(catalog, table->oid, names[i].sql))
			continue;
		*e = (struct catalog_expression){.relation = table->oid, .sql = xstrdup(names[i].sql)};
		catalog->n_expressions++;
		if (load_one(pg, table, e, err) < 0)
			return err_wrap(err, "checking the expression `%s`", names[i].sql);
	}
	return 0;
}
