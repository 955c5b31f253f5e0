/* What the server reports about a user's expression: its type, whether it is immutable, and its text with qualified
 * names. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "postgres/catalog_int.h"
#include "postgres/pg_int.h"

/* CHECK_S: the server computes what is constant in an expression when it reads it. */
enum { SQL_BYTES = 1024 * 1024, CHECK_S = 3 };

/* Shared by the checks of one expression. */
struct check {
	struct pg *pg;
	const struct catalog_table *table;
	const char *search_path;
	struct catalog_expression *e;
};

/* Keeps the server's text. An error that the expression did not cause makes the load fail. */
static int note_problem(const struct check *c, const struct err *said)
{
	if (pg_is_sqlstate(said, "57014")) {
		c->e->problem =
			xasprintf("takes longer than %d s to read: the server computes the constant parts of an "
				  "expression each time it reads it, such as repeat('x', 1000000000); write "
				  "their value instead, or something smaller",
				  CHECK_S);
		return 0;
	}
	if (pg_is_sqlstate(said, "25006")) {
		c->e->problem =
			xstrdup("cannot be checked on a standby, where expressions have no temporary table to be "
				"checked on: make it a generated column or a view, or set spec.source.host to "
				"the primary");
		return 0;
	}
	/* 08P01: the expression contains a parameter. */
	if (said->kind != ERR_INVALID && said->kind != ERR_DENIED && strcmp(said->sqlstate, "08P01") != 0)
		return -1;
	if (strstr(said->msg, "generation expression is not immutable"))
		c->e->problem = xstrdup("is not immutable: its value could change while the row does not, and pgsync "
					"would not notice; use only immutable functions and operators");
	else if (pg_is_unknown_name(said))
		c->e->problem = xasprintf("%s; names are looked up on spec.source.searchPath, which is %s: qualify the "
					  "name, or add its schema there",
					  said->msg, c->search_path);
	else
		c->e->problem = xstrdup(said->msg);
	return 0;
}

static int load_type_name(const struct check *c, struct err *err)
{
	struct catalog_expression *e = c->e;
	static const char sql[] = "WITH RECURSIVE" CATALOG_BASE_TYPES(
		"SELECT $1::oid, $1::oid, $2::int") " SELECT format_type($1::oid, $2::int), name, category, typmod, "
						    "element_category FROM base";
	_cleanup_free_ char *oid = xasprintf("%u", e->type.type_oid);
	_cleanup_free_ char *typmod = xasprintf("%d", e->type.typmod);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(c->pg, sql, (const char *const[]){oid, typmod}, 2, &r, err) < 0)
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

/* The text below is combined with what the schema's author wrote, so it must not depend on a search path. */
static void begin_on_path(struct strbuf *sql, const struct check *c)
{
	strbuf_addf(sql,
		    "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = '%ds'; "
		    "SET LOCAL search_path = %s, pg_temp",
		    CHECK_S, c->search_path);
}

/* 1: the expression has a problem. */
static int load_type(const struct check *c, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_(strbuf_release) struct strbuf sql, begin;
	struct err said = {0};
	int failed;

	strbuf_init(&begin, SQL_BYTES);
	strbuf_init(&sql, SQL_BYTES);
	begin_on_path(&begin, c);
	strbuf_addf(&sql, "SELECT (%s) FROM ", c->e->sql);
	pg_quote_table(&sql, c->table->schema, c->table->name);
	strbuf_adds(&sql, " AS ");
	pg_quote_ident(&sql, c->table->name);
	strbuf_adds(&sql, " LIMIT 0");
	if (pg_exec(c->pg, begin.data, err) < 0)
		return -1;
	failed = pg_query(c->pg, sql.data, NULL, 0, &r, &said);
	if (pg_exec(c->pg, "ROLLBACK", err) < 0)
		return -1;
	if (failed < 0) {
		*err = said;
		return note_problem(c, &said) < 0 ? -1 : 1;
	}
	c->e->type.type_oid = PQftype(r, 0);
	c->e->type.typmod = PQfmod(r, 0);
	return load_type_name(c, err);
}

/* Without the privilege, nothing is known about the expression. */
static int check_temporary(const struct check *c, const struct err *said, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (said->kind != ERR_DENIED)
		return note_problem(c, said);
	if (pg_query(c->pg,
		     "SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)"
		     " WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')",
		     NULL, 0, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) == 0)
		return note_problem(c, said);
	c->e->problem =
		xasprintf("cannot be checked: expressions are checked on a temporary table; %s", pg_value(r, 0, 0));
	return 0;
}

/* Counts literals like 'now' and 'tomorrow 12:00', which become the current time when they are read as a time. */
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

/* The server evaluates such a literal once, when it stores a generated column; here it would be evaluated by each
 * statement. So a literal that is stored as something else depends on the time. */
static void check_moments(struct catalog_expression *e)
{
	if (count_moments(e->qualified) < count_moments(e->sql))
		e->problem = xstrdup("is not immutable: 'now', 'today', 'tomorrow' and 'yesterday' mean a different "
				     "time whenever they are read, and pgsync would not notice");
}

static void add_check_column(struct strbuf *sql, const struct check *c, const char *name, const char *expression)
{
	strbuf_adds(sql, "; ALTER TABLE pg_temp.");
	pg_quote_ident(sql, c->table->name);
	strbuf_addf(sql, " ADD COLUMN \"pgsync.%s\" %s GENERATED ALWAYS AS (%s) STORED", name, c->e->type.type,
		    expression);
}

/* Reads back a column of the temporary table: its text, and the functions and operators that it calls. */
static int read_check_column(const struct check *c, const char *name, char **ret_text, char **ret_calls,
			     struct err *err)
{
	static const char sql[] =
		"SELECT pg_get_expr(d.adbin, d.adrelid), (SELECT string_agg(m.m[1], ' ' ORDER BY m.position) FROM "
		"regexp_matches(d.adbin::text, '(:(?:opno|funcid) [0-9]+|:opnos \\([^)]*\\))', 'g') WITH ORDINALITY "
		"AS m(m, position)) FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_attribute a"
		" ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
		" WHERE c.relnamespace = pg_my_temp_schema() AND a.attname = 'pgsync.' || $1";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(c->pg, sql, (const char *const[]){name}, 1, &r, err) < 0)
		return -1;
	if (pg_n_rows(r) != 1)
		return err_set(err, ERR_FATAL, "a generated column was not found after it was made");
	*ret_text = xstrdup(pg_value(r, 0, 0));
	*ret_calls = xstrdup(pg_value(r, 0, 1));
	return 0;
}

/* The server's text of an expression has qualified names, except for the operators behind CASE x WHEN, NULLIF, IS
 * DISTINCT FROM and comparisons of rows. So check that it calls the same functions when it is parsed again without the
 * search path. */
static int qualify(const struct check *c, struct err *err)
{
	_cleanup_free_ char *calls = NULL, *again = NULL, *text = NULL;
	_cleanup_(strbuf_release) struct strbuf sql;
	struct catalog_expression *e = c->e;

	if (read_check_column(c, "expression", &e->qualified, &calls, err) < 0)
		return -1;
	strbuf_init(&sql, SQL_BYTES);
	strbuf_addf(&sql, "SAVEPOINT qualified; SET LOCAL statement_timeout = '%ds'", CHECK_S);
	add_check_column(&sql, c, "qualified", e->qualified);
	strbuf_adds(&sql, "; SET LOCAL statement_timeout = 0");
	if (pg_exec(c->pg, sql.data, err) < 0) {
		if (note_problem(c, err) < 0)
			return -1;
		return pg_exec(c->pg, "ROLLBACK TO qualified", err);
	}
	if (read_check_column(c, "qualified", &text, &again, err) < 0)
		return -1;
	if (strcmp(calls, again) != 0)
		e->problem = xstrdup("compares values of a type that is not built in by CASE x WHEN, NULLIF, IS "
				     "DISTINCT FROM, or as rows: write the comparison with =, or cast the values to a "
				     "built-in type");
	return 0;
}

static int add_reference(const struct catalog_table *table, struct catalog_expression *e, const struct pg_result *r,
			 int row, struct err *err)
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

/* Reads what the expression depends on, as the server has recorded it for the generated column: columns of its table,
 * functions, operators, types, collations. Before Postgres 15 it depends as a column, later as an expression. Within
 * the transaction of check_immutable. */
static int load_parts(const struct check *c, struct err *err)
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

	if (pg_query(c->pg, sql, NULL, 0, &r, err) < 0)
		return -1;
	for (int i = 0; i < pg_n_rows(r); i++)
		if (add_reference(c->table, c->e, r, i, err) < 0)
			return -1;
	return 0;
}

/* A generated column must be immutable and may only refer to columns of its row, so the server does the check. */
static int check_immutable(const struct check *c, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf sql;
	struct err said = {0};
	int failed;

	strbuf_init(&sql, SQL_BYTES);
	begin_on_path(&sql, c);
	strbuf_adds(&sql, "; CREATE TEMPORARY TABLE ");
	pg_quote_ident(&sql, c->table->name);
	strbuf_adds(&sql, " (LIKE ");
	pg_quote_table(&sql, c->table->schema, c->table->name);
	strbuf_addc(&sql, ')');
	add_check_column(&sql, c, "expression", c->e->sql);
	strbuf_adds(&sql, "; SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 0");
	failed = pg_exec(c->pg, sql.data, &said);
	if (failed == 0 && (load_parts(c, err) < 0 || qualify(c, err) < 0))
		return -1;
	if (pg_exec(c->pg, "ROLLBACK", err) < 0)
		return -1;
	if (failed == 0) {
		if (!c->e->problem)
			check_moments(c->e);
		return 0;
	}
	*err = said;
	return check_temporary(c, &said, err);
}

static int load_one(const struct check *c, struct err *err)
{
	int r = load_type(c, err);

	if (r == 0)
		r = check_immutable(c, err);
	return r < 0 ? -1 : 0;
}

int catalog_load_expressions(struct pg *pg, struct catalog *catalog, const struct catalog_expression_list *list,
			     struct err *err)
{
	catalog->expressions = xreallocarray(catalog->expressions, catalog->n_expressions + list->n + 1,
					     sizeof(*catalog->expressions));
	for (size_t i = 0; i < list->n; i++) {
		const struct catalog_expression_name *name = &list->items[i];
		const struct catalog_table *table = catalog_find(catalog, name->table.schema, name->table.table);
		struct catalog_expression *e = &catalog->expressions[catalog->n_expressions];
		const struct check check = {pg, table, list->search_path, e};

		if (!table || catalog_expression(catalog, table->oid, name->sql))
			continue;
		*e = (struct catalog_expression){.relation = table->oid, .sql = xstrdup(name->sql)};
		catalog->n_expressions++;
		if (load_one(&check, err) < 0)
			return err_wrap(err, "checking the expression `%s`", name->sql);
	}
	return 0;
}

static struct catalog_expression copy_expression(const struct catalog_expression *e)
{
	struct catalog_expression ret = *e;

	ret.sql = xstrdup(e->sql);
	ret.qualified = xstrdup_or_null(e->qualified);
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
		catalog->expressions[catalog->n_expressions++] = copy_expression(&from->expressions[i]);
}
