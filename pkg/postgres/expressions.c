/* What the server reports about a user's expression: its type, and whether it is immutable. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "postgres/catalog_int.h"
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
	static const char sql[] = "WITH RECURSIVE" CATALOG_BASE_TYPES(
		"SELECT $1::oid, $1::oid, $2::int") " SELECT format_type($1::oid, $2::int), name, category, typmod, "
						    "element_category FROM base";
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
	e->type.typmod = catalog_int(r, 0, 3);
	e->type.element_category = pg_value(r, 0, 4)[0];
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

static int add_part(const struct catalog_table *table, struct catalog_expression *e, const struct pg_result *r, int row,
		    struct err *err)
{
	const char *name = pg_value_or_null(r, row, 3);

	if (!name) {
		e->objects = xreallocarray(e->objects, e->n_objects + 1, sizeof(*e->objects));
		e->objects[e->n_objects++] = (struct catalog_object){
			(uint32_t)pg_u64(r, row, 0), (uint32_t)pg_u64(r, row, 1), (int)pg_u64(r, row, 2)};
		return 0;
	}
	e->columns = xreallocarray(e->columns, e->n_columns + 1, sizeof(*e->columns));
	e->columns[e->n_columns] = catalog_column(table, name);
	if (e->columns[e->n_columns++] < 0)
		return err_set(err, ERR_TRANSIENT, "table %s.%s was altered while an expression was checked",
			       table->schema, table->name);
	return 0;
}

/* What the expression is made of, as the server has noted it for the generated column: columns of its table, functions,
 * operators, types, collations. Before Postgres 15 it depends as a column, later as an expression. Within the
 * transaction of check_immutable. */
static int load_parts(struct pg *pg, const struct catalog_table *table, struct catalog_expression *e, struct err *err)
{
	static const char sql[] =
		"SELECT DISTINCT d.refclassid, d.refobjid, d.refobjsubid,"
		"  (SELECT a.attname FROM pg_attribute a WHERE d.refclassid = 'pg_class'::regclass"
		"   AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid)"
		" FROM pg_class c JOIN pg_attribute x ON x.attrelid = c.oid AND x.attname = 'pgsync.expression'"
		" JOIN pg_attrdef v ON v.adrelid = x.attrelid AND v.adnum = x.attnum"
		" JOIN pg_depend d ON (d.classid, d.objid, d.objsubid) IN"
		"  (('pg_attrdef'::regclass, v.oid, 0), ('pg_class'::regclass, v.adrelid, v.adnum))"
		" WHERE c.relnamespace = pg_my_temp_schema()"
		"  AND (d.refclassid, d.refobjid, d.refobjsubid) NOT IN (('pg_class'::regclass, v.adrelid, v.adnum),"
		"   ('pg_class'::regclass, v.adrelid, 0)) ORDER BY 1, 2, 3";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, sql, NULL, 0, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++)
		if (add_part(table, e, r, i, err) < 0)
			return -1;
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
	if (failed == 0 && (check_moments(pg, e, err) < 0 || load_parts(pg, table, e, err) < 0))
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

static struct catalog_expression copy(const struct catalog_expression *e)
{
	struct catalog_expression ret = *e;

	ret.sql = xstrdup(e->sql);
	ret.problem = xstrdup_or_null(e->problem);
	ret.type.type = xstrdup_or_null(e->type.type);
	ret.type.base_type = xstrdup_or_null(e->type.base_type);
	ret.columns = e->n_columns ? xmemdup(e->columns, e->n_columns * sizeof(*e->columns)) : NULL;
	ret.objects = e->n_objects ? xmemdup(e->objects, e->n_objects * sizeof(*e->objects)) : NULL;
	return ret;
}

void catalog_copy_expressions(struct catalog *catalog, const struct catalog *from)
{
	catalog->expressions = xcalloc(from->n_expressions + 1, sizeof(*catalog->expressions));
	for (size_t i = 0; i < from->n_expressions; i++)
		catalog->expressions[catalog->n_expressions++] = copy(&from->expressions[i]);
}
