/* Tests of a plan beyond its queries: names of leaves, rows that fail alone, what it depends on, and suggested names in
 * findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "document/cases_int.h"

static const char tables[] =
	"{\"tables\": ["
	"{\"name\": \"books\", \"columns\": {\"id\": \"integer not null\", \"title\": \"text\", \"price\": \"numeric\","
	" \"mood\": \"mood\"}, \"primary_key\": [\"id\"], \"expressions\": {\"lower(title)\": \"text\", \"id > 1\": "
	"\"boolean\"}},"
	"{\"name\": \"reviews\", \"columns\": {\"id\": \"integer not null\", \"book_id\": \"integer\", \"text\": "
	"\"text\"}, \"primary_key\": [\"id\"], \"foreign_keys\": [{\"columns\": [\"book_id\"], \"to\": \"books\", "
	"\"to_columns\": [\"id\"]}], \"expressions\": {\"lower(text)\": \"text\", \"id > 1\": \"boolean\"}},"
	"{\"name\": \"events\", \"kind\": \"p\", \"columns\": {\"id\": \"integer not null\"}, \"primary_key\": "
	"[\"id\"]},"
	"{\"name\": \"book_view\", \"kind\": \"v\", \"columns\": {\"id\": \"integer\", \"title\": \"text\"}, "
	"\"expressions\": {\"lower(title)\": \"text\"}},"
	"{\"name\": \"book_copy\", \"kind\": \"m\", \"columns\": {\"id\": \"integer\", \"title\": \"text\"}},"
	"{\"name\": \"accounts\", \"schema\": \"shop\", \"columns\": {\"id\": \"integer not null\"}, \"primary_key\": "
	"[\"id\"]}]}";

struct compiled {
	struct catalog *catalog;
	struct schema_document **documents;
	size_t n;
	struct document_plan *plan;
	char *errors;
};

static void compiled_release(struct compiled *c)
{
	document_plan_free(c->plan);
	for (size_t i = 0; i < c->n; i++)
		schema_document_free(c->documents[i]);
	free(c->documents);
	catalog_free(c->catalog);
	free(c->errors);
}

static struct catalog *small_catalog(void)
{
	_cleanup_json_ json_t *fixture = json_loads(tables, 0, NULL);

	assert_non_null(fixture);
	return decode_catalog(fixture);
}

/* Takes the catalog. nodes: the inside of "nodes"; more: after it. */
static struct compiled compile_over(struct catalog *catalog_take, const char *nodes, const char *more)
{
	_cleanup_free_ char *text = xasprintf("[{\"index\": \"i\", \"nodes\": {%s}%s}]", nodes, more);
	_cleanup_json_ json_t *schema = json_loads(text, 0, NULL);
	_cleanup_(findings_release) struct findings f;
	struct compiled c = {.catalog = catalog_take};
	char **names = table_names(c.catalog);
	const struct document_names known = {(const char *const *)names, c.catalog->n};

	assert_non_null(schema);
	findings_init(&f);
	schema_decode(schema, "schema", &c.documents, &c.n, &f);
	c.plan = document_compile(c.documents[0], &(struct schema_document_format){0}, c.catalog, &known, &f);
	c.errors = findings_join(&f, FINDING_ERROR, "\n");
	free_strings(names, c.catalog->n);
	return c;
}

static struct compiled compile_text(const char *nodes, const char *more)
{
	struct compiled c = compile_over(small_catalog(), nodes, more);

	if (!c.plan)
		fail_msg("%s: %s", nodes, c.errors);
	return c;
}

/* --- queries of a range --- */

static void expect_keys_by_range(const char *nodes, const char *leaf, const char *want)
{
	_cleanup_(compiled_release) struct compiled c = compile_text(nodes, "");
	_cleanup_free_ char *got = document_keys_by_range(c.plan, leaf);

	assert_string_equal(got, want);
}

static void test_range_when_the_root_is_partitioned_then_of_the_leaf(void **state)
{
	_cleanup_(compiled_release) struct compiled c = compile_text("\"table\": \"events\"", "");
	_cleanup_free_ char *of_leaf = document_sql_by_range(c.plan, "\"public\".\"events_1\"");
	_cleanup_free_ char *of_root = document_sql_by_range(c.plan, NULL);

	UNUSED(state);
	assert_non_null(strstr(of_leaf, "FROM \"public\".\"events_1\" t0"));
	assert_null(strstr(of_leaf, "\"events\""));
	assert_non_null(strstr(of_root, "FROM \"public\".\"events\" t0"));
	expect_keys_by_range("\"table\": \"events\"", "\"public\".\"events_1\"",
			     "SELECT t0.\"id\"::text FROM \"public\".\"events_1\" t0 WHERE t0.ctid >= $1::tid AND "
			     "t0.ctid < $2::tid");
}

static void test_range_when_the_root_is_not_partitioned_then_of_the_root(void **state)
{
	static const char sql[] = "SELECT t0.\"id\"::text FROM \"public\".\"books\" t0 WHERE t0.ctid >= $1::tid AND "
				  "t0.ctid < $2::tid";

	UNUSED(state);
	expect_keys_by_range("\"table\": \"books\"", "\"public\".\"books\"", sql);
	expect_keys_by_range("\"table\": \"books\"", NULL, sql);
}

/* --- traits --- */

#define LOWER_TEXT ", \"expressions\": {\"low\": \"lower(text)\"}"
#define WHERE ", \"where\": \"id > 1\""
#define BOOKS "\"table\": \"books\""
#define REVIEWS(rest)                                                                                           \
	", \"children\": [{\"table\": \"reviews\", \"relationship\": {\"type\": \"one_to_many\", \"variant\": " \
	"\"object\"}" rest "}]"
#define VIEW(name) "\"table\": \"" name "\", \"primary_key\": [\"id\"]"

/* What may fail is evaluated after the links: the condition on the tables between comes first, in a CASE. */
static void test_plan_when_set_apart_then_a_condition_waits_for_the_link(void **state)
{
	static const char where[] =
		"WHERE CASE WHEN (\"reviews\".\"book_id\") IN (SELECT \"id\" FROM r0) THEN (id > 1) END";
	static const char of_root[] = "WHERE CASE WHEN \"books\".\"id\" = ANY($1::text[]::integer[]) THEN (id > 1) END";
	_cleanup_(compiled_release) struct compiled c = compile_text(BOOKS WHERE REVIEWS(WHERE), "");

	UNUSED(state);
	assert_null(strstr(c.plan->sql.by_key, "CASE WHEN (\"reviews\""));
	assert_non_null(strstr(c.plan->sql.apart_by_key, where));
	assert_non_null(strstr(c.plan->sql.apart_by_key, of_root));
	assert_non_null(strstr(c.plan->sql.apart_by_range.text, where));
}

static void test_plan_when_a_value_may_fail_then_its_node_has_a_probe_for_it(void **state)
{
	_cleanup_(compiled_release) struct compiled c = compile_text(
		BOOKS ", \"columns\": [\"title\"]" REVIEWS(WHERE ", \"columns\": [\"text\"]" LOWER_TEXT), "");

	UNUSED(state);
	assert_int_equal(c.plan->n_probes, 2);
	assert_string_equal(c.plan->probes[0].table, "public.books");
	assert_string_equal(c.plan->probes[0].key_columns, "id");
	assert_int_equal(c.plan->probes[0].n_values, 1);
	assert_string_equal(c.plan->probes[0].values[0].name, "column `title`");
	assert_string_equal(c.plan->probes[1].table, "public.reviews");
	assert_int_equal(c.plan->probes[1].n_values, 3);
	assert_string_equal(c.plan->probes[1].values[0].name, "its `where`");
	assert_string_equal(c.plan->probes[1].values[1].name, "column `text`");
	assert_string_equal(c.plan->probes[1].values[2].name, "expression `low`");
}

static void test_plan_when_the_root_is_a_view_then_reported_and_whether_it_is_computed(void **state)
{
	_cleanup_(compiled_release) struct compiled table = compile_text(BOOKS, "");
	_cleanup_(compiled_release) struct compiled view = compile_text(VIEW("book_view"), "");
	_cleanup_(compiled_release) struct compiled copy = compile_text(VIEW("book_copy"), "");

	UNUSED(state);
	assert_false(table.plan->root_is_view || table.plan->computes_views);
	assert_true(view.plan->root_is_view && view.plan->computes_views);
	assert_true(copy.plan->root_is_view && !copy.plan->computes_views);
	assert_int_equal(view.plan->n_views, 1);
	assert_false(view.plan->views[0].followed);
}

static void test_plan_when_a_value_may_not_be_indexable_then_counted(void **state)
{
	_cleanup_(compiled_release) struct compiled text = compile_text(BOOKS ", \"columns\": [\"title\"]", "");
	_cleanup_(compiled_release) struct compiled number = compile_text(BOOKS ", \"columns\": [\"price\"]", "");

	UNUSED(state);
	assert_false(text.plan->counts_sanitized);
	assert_true(number.plan->counts_sanitized);
}

/* --- fingerprints --- */

/* Whether the plans of two schemas with one document each are, taken together, the same. */
static bool same_together(struct document_plan *a, struct document_plan *b)
{
	_cleanup_free_ char *is_a = document_plans_fingerprint(&a, 1, "hash");
	_cleanup_free_ char *is_b = document_plans_fingerprint(&b, 1, "hash");
	_cleanup_free_ char *other = document_plans_fingerprint(&b, 1, "another hash");

	assert_string_not_equal(is_b, other);
	return strcmp(is_a, is_b) == 0;
}

/* Whether the change to column `title` of books shows in the fingerprints of a plan with these columns. */
static void expect_fingerprints(const char *columns, void (*change)(struct catalog_table *), bool in_columns,
				bool in_catalog)
{
	_cleanup_free_ char *nodes = xasprintf(BOOKS ", \"columns\": [%s]", columns);
	_cleanup_(compiled_release) struct compiled before = compile_text(nodes, "");
	struct catalog *catalog = small_catalog();
	_cleanup_(compiled_release) struct compiled after = {0};

	change(&catalog->tables[0]);
	after = compile_over(catalog, nodes, "");
	assert_int_equal(!json_equal(before.plan->fingerprint.columns, after.plan->fingerprint.columns), in_columns);
	assert_int_equal(!json_equal(before.plan->fingerprint.catalog, after.plan->fingerprint.catalog), in_catalog);
	assert_int_equal(!same_together(before.plan, after.plan), in_columns);
}

static void change_nothing(struct catalog_table *books)
{
	UNUSED(books);
}

static void change_type(struct catalog_table *books)
{
	books->columns[1].type_oid = 1043;
}

static void add_again(struct catalog_table *books)
{
	books->columns[1].attnum = 9;
}

static void alter(struct catalog_table *books)
{
	books->columns[1].altered = 777;
}

static void change_collation(struct catalog_table *books)
{
	books->columns[1].collation_oid = 950;
}

static void rewrite(struct catalog_table *books)
{
	books->storage = 888;
}

static void test_fingerprint_when_a_column_of_the_plan_changes_then_differs(void **state)
{
	UNUSED(state);
	expect_fingerprints("\"title\"", change_nothing, false, false);
	expect_fingerprints("\"title\"", change_type, true, false);
	expect_fingerprints("\"title\"", change_collation, true, false);
	expect_fingerprints("\"title\"", add_again, true, true);
	expect_fingerprints("\"title\"", alter, false, true);
	expect_fingerprints("\"title\"", rewrite, false, true);
	expect_fingerprints("\"price\"", change_type, false, false);
	expect_fingerprints("\"price\"", alter, false, false);
	/* Also if the value stays the same: the table has other values now. */
	expect_fingerprints("\"price\"", rewrite, false, true);
}

/* A plan over books, of whose column `title` the catalog says that it depends on these objects; takes the catalog. */
static struct compiled compile_depending(struct catalog *catalog_take, const char *columns, const char *value)
{
	_cleanup_free_ char *nodes = xasprintf(BOOKS ", \"columns\": [%s]", columns);
	const struct catalog_object from = {CATALOG_RELATION, catalog_take->tables[0].oid, 2};

	catalog_take->dependencies = xcalloc(2, sizeof(*catalog_take->dependencies));
	catalog_take->n_dependencies = 2;
	catalog_take->dependencies[0] =
		(struct catalog_dependency){.from = from, .object = {CATALOG_TYPE, 20000, 0}, .value = xstrdup(value)};
	catalog_take->dependencies[1] =
		(struct catalog_dependency){.from = from, .object = {CATALOG_ENUM, 20001, 0}, .value = xstrdup("new")};
	return compile_over(catalog_take, nodes, "");
}

static void test_fingerprint_when_a_column_depends_on_objects_then_only_plans_that_read_it_have_them(void **state)
{
	_cleanup_(compiled_release) struct compiled with = compile_depending(small_catalog(), "\"title\"", "digest");
	_cleanup_(compiled_release) struct compiled other = compile_depending(small_catalog(), "\"title\"", "another");
	_cleanup_(compiled_release) struct compiled without = compile_depending(small_catalog(), "\"price\"", "digest");
	const json_t *seen = with.plan->fingerprint.catalog;

	UNUSED(state);
	assert_string_equal(json_string_value(json_object_get(json_object_get(seen, "objects"), "1247.20000.0")),
			    "digest");
	assert_string_equal(json_string_value(json_object_get(json_object_get(seen, "labels"), "20001")), "new");
	assert_false(json_equal(seen, other.plan->fingerprint.catalog));
	assert_null(json_object_get(without.plan->fingerprint.catalog, "objects"));
	assert_null(json_object_get(without.plan->fingerprint.catalog, "labels"));
	/* The plans do the same, whatever the type looks like inside. */
	assert_true(document_plans_equal(with.plan, other.plan));
	assert_false(document_plans_equal(with.plan, without.plan));
}

/* --- unknown tables --- */

static void test_unknown_table_when_a_name_is_near_then_named(void **state)
{
	static const struct {
		const char *nodes, *error;
	} rows[] = {
		{"\"table\": \"boks\"",
		 "schema[0].nodes.table: table public.boks does not exist; did you mean public.books?"},
		{"\"table\": \"accounts\"",
		 "schema[0].nodes.table: table public.accounts does not exist; did you mean shop.accounts?"},
		{"\"table\": \"acounts\", \"schema\": \"shop\"",
		 "schema[0].nodes.table: table shop.acounts does not exist; did you mean shop.accounts?"},
		{"\"table\": \"accounts\", \"schema\": \"shp\"",
		 "schema[0].nodes.table: table shp.accounts does not exist; did you mean shop.accounts?"},
		{"\"table\": \"shop.accounts\"",
		 "schema[0].nodes.table: table public.shop.accounts does not exist; for the table shop.accounts write "
		 "`schema: shop` and `table: accounts`"},
		{"\"table\": \"zebras\"", "schema[0].nodes.table: table public.zebras does not exist"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(compiled_release) struct compiled c = compile_over(small_catalog(), rows[i].nodes, "");

		assert_null(c.plan);
		assert_string_equal(c.errors, rows[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range_when_the_root_is_partitioned_then_of_the_leaf),
		cmocka_unit_test(test_range_when_the_root_is_not_partitioned_then_of_the_root),
		cmocka_unit_test(test_plan_when_set_apart_then_a_condition_waits_for_the_link),
		cmocka_unit_test(test_plan_when_a_value_may_fail_then_its_node_has_a_probe_for_it),
		cmocka_unit_test(test_plan_when_the_root_is_a_view_then_reported_and_whether_it_is_computed),
		cmocka_unit_test(test_plan_when_a_value_may_not_be_indexable_then_counted),
		cmocka_unit_test(test_fingerprint_when_a_column_of_the_plan_changes_then_differs),
		cmocka_unit_test(
			test_fingerprint_when_a_column_depends_on_objects_then_only_plans_that_read_it_have_them),
		cmocka_unit_test(test_unknown_table_when_a_name_is_near_then_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
