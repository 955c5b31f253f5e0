/* Test that no document takes long to compile, whatever its schema and the tables are: the time must grow with their
 * size, and not with the number of pairs of columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "document/cases_int.h"
#include "fakes/cpu.h"

/* RATIO: to the time of a document with a tenth of the columns. Comparing all pairs takes 100 times as long. */
enum { RATIO = 40, COLUMNS = 1600, NODES = 4, FEW = 10, LABELS = 50 };

/* A table of n columns with a key, and a foreign key to itself. */
static struct catalog *wide_catalog(size_t n)
{
	json_t *columns = json_pack("{s:s, s:s}", "id", "bigint not null", "parent", "bigint");
	_cleanup_json_ json_t *fixture = NULL;

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = xasprintf("column_%zu", i);

		(void)json_object_set_new(columns, name, json_string("mood"));
	}
	fixture = json_pack("{s:[{s:s, s:o, s:[s], s:[[s]], s:[{s:[s], s:s, s:[s]}]}]}", "tables", "name", "t",
			    "columns", columns, "primary_key", "id", "indexes", "parent", "foreign_keys", "columns",
			    "parent", "to", "t", "to_columns", "id");
	assert_non_null(fixture);
	return decode_catalog(fixture);
}

/* Each column has its own type with labels. */
static void add_labels(struct catalog *catalog, size_t n)
{
	const struct catalog_table *table = &catalog->tables[0];

	catalog->dependencies = xcalloc(table->n_columns * n, sizeof(*catalog->dependencies));
	for (size_t c = 0; c < table->n_columns; c++)
		for (size_t i = 0; i < n; i++)
			catalog->dependencies[catalog->n_dependencies++] = (struct catalog_dependency){
				.from = {CATALOG_RELATION, table->oid, table->columns[c].attnum},
				.object = {CATALOG_ENUM, (uint32_t)(20000 + c), (int)i},
				.value = xasprintf("label %zu", i)};
	catalog_sort_dependencies(catalog);
}

/* NODES nodes with these keys, one below the root each. */
static json_t *schema_of(json_t *keys_take)
{
	json_t *children = json_array();

	for (size_t i = 0; i < NODES; i++) {
		json_t *child =
			json_pack("{s:s, s:s+, s:{s:s, s:s, s:{s:[s], s:[s]}}}", "table", "t", "label", "label_",
				  (char[]){(char)('a' + i / 26), (char)('a' + i % 26), '\0'}, "relationship", "type",
				  "one_to_many", "variant", "object", "foreign_key", "child", "parent", "parent", "id");

		assert_non_null(child);
		(void)json_object_update(child, keys_take);
		(void)json_array_append_new(children, child);
	}
	json_decref(keys_take);
	return json_pack("[{s:s, s:{s:s, s:[s], s:o}}]", "index", "i", "nodes", "table", "t", "columns", "id",
			 "children", children);
}

static double seconds_to_compile(json_t *schema_take, size_t columns, size_t labels)
{
	const struct schema_document_format as = {.meta = SCHEMA_META_NONE};
	struct catalog *catalog = wide_catalog(columns);
	struct schema_document **documents = NULL;
	struct document_plan *plan;
	struct findings f;
	double start;
	size_t n = 0;

	add_labels(catalog, labels);
	findings_init(&f);
	schema_decode(schema_take, "schema", &documents, &n, &f);
	assert_int_equal(n, 1);
	start = thread_seconds();
	plan = document_compile(documents[0], &as, catalog, NULL, &f);
	start = thread_seconds() - start;
	document_plan_free(plan);
	schema_document_free(documents[0]);
	free(documents);
	findings_release(&f);
	catalog_free(catalog);
	json_decref(schema_take);
	return start;
}

static json_t *names(const char *prefix, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = xasprintf("%s%zu", prefix, i);

		(void)json_array_append_new(array, json_string(name));
	}
	return array;
}

static json_t *pairs(const char *from, const char *to, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = xasprintf("%s%zu", from, i);
		_cleanup_free_ char *value = xasprintf("%s%zu", to, i);

		(void)json_object_set_new(object, key, json_string(value));
	}
	return object;
}

static json_t *all_columns(size_t n)
{
	UNUSED(n);
	return json_object();
}

static json_t *listed_columns(size_t n)
{
	return json_pack("{s:o}", "columns", names("column_", n));
}

static json_t *unknown_columns(size_t n)
{
	return json_pack("{s:o}", "columns", names("colum_", n));
}

static json_t *renamed(size_t n)
{
	return json_pack("{s:{s:o}}", "transform", "rename", pairs("column_", "r", n < 256 ? n : 256));
}

static json_t *renamed_without_a_field(size_t n)
{
	return json_pack("{s:{s:o}}", "transform", "rename", pairs("colum_", "r", n < 256 ? n : 256));
}

static void expect_quick(const char *what, json_t *(*keys)(size_t), size_t labels)
{
	double few = seconds_to_compile(schema_of(keys(COLUMNS / FEW)), COLUMNS / FEW, labels);
	double many = seconds_to_compile(schema_of(keys(COLUMNS)), COLUMNS, labels);

	print_message("%s: %.3f s, and %.3f s for a tenth of the columns\n", what, many, few);
	if (many > RATIO * few)
		fail_msg("%s: %.0f times as long for 10 times as many columns", what, many / few);
}

static void test_compile_when_the_document_is_the_worst_then_quick(void **state)
{
	UNUSED(state);
	expect_quick("all columns", all_columns, 0);
	expect_quick("all columns, listed", listed_columns, 0);
	expect_quick("columns that are not there", unknown_columns, 0);
	expect_quick("renames", renamed, 0);
	expect_quick("renames of fields that are not there", renamed_without_a_field, 0);
	expect_quick("labels", all_columns, LABELS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compile_when_the_document_is_the_worst_then_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
