/* Tests of the document compiler: golden files, one directory of testdata for each case, and individual rules.
 *
 * A case is a schema.json, a catalog.json (a catalog in short form, see decode_table; "documents" is spec.documents)
 * and expected.txt: the findings and the plan as document_describe shows it. With PGSYNC_GOLDEN=write the expected
 * files are rewritten; review the diff. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "document/cases_int.h"

static void add_findings(struct strbuf *sb, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		strbuf_addf(sb, "%s %s %s: %s\n", f->items[i].severity == FINDING_ERROR ? "error" : "warning",
			    reason_name(f->items[i].reason), f->items[i].path, f->items[i].message);
}

static char *plan_text(const struct document_plan *plan)
{
	struct sections out;
	char *text;

	sections_init(&out, FILE_BYTES);
	document_describe(plan, &out);
	text = strbuf_detach(&out.text);
	sections_release(&out);
	return text;
}

/* The findings and plans of a schema over a catalog, as the user sees them. */
static char *compile(const json_t *schema, const json_t *fixture, const struct catalog *catalog)
{
	const struct schema_document_format as = decode_documents(fixture);
	char **names = table_names(catalog);
	const struct document_names known = {(const char *const *)names, catalog->n};
	struct schema_document **documents = NULL;
	struct findings f;
	struct strbuf sb;
	size_t n = 0;

	findings_init(&f);
	strbuf_init(&sb, FILE_BYTES);
	schema_decode(schema, "spec.schema", &documents, &n, &f);
	add_findings(&sb, &f);
	for (size_t i = 0; i < n; i++) {
		struct findings own = {0};
		_cleanup_(document_plan_freep) struct document_plan *plan =
			document_compile(documents[i], &as, catalog, &known, &own);
		_cleanup_free_ char *text = plan ? plan_text(plan) : NULL;

		assert_int_equal(plan == NULL, documents[i]->invalid || findings_failed(&own));
		add_findings(&sb, &own);
		findings_release(&own);
		strbuf_addf(&sb, "%s%s", sb.len && text ? "\n" : "", text ? text : "");
	}
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	free_strings(names, catalog->n);
	findings_release(&f);
	return strbuf_detach(&sb);
}

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) == EOF)
		fail_msg("%s: %s", path, strerror(errno));
}

static void run_case(const char *name)
{
	_cleanup_json_ json_t *schema = parse_file(name, "schema.json");
	_cleanup_json_ json_t *fixture = parse_file(name, "catalog.json");
	_cleanup_(catalog_freep) struct catalog *catalog = decode_catalog(fixture);
	_cleanup_free_ char *got = compile(schema, fixture, catalog);
	_cleanup_free_ char *path = xasprintf("%s/%s/expected.txt", cases, name);
	_cleanup_free_ char *want = NULL;
	const char *mode = getenv("PGSYNC_GOLDEN");
	struct err err;
	size_t len;

	if (mode && strcmp(mode, "write") == 0) {
		write_file(path, got);
		return;
	}
	if (jsonx_read_file(path, FILE_BYTES, &want, &len, &err) < 0)
		fail_msg("%s", err.msg);
	if (strcmp(got, want) != 0)
		fail_msg("%s: the plan is another one:\n%s", name, got);
}

static void test_golden_when_compiled_then_as_expected(void **state)
{
	DIR *dir = opendir(cases);
	struct dirent *entry;
	int n = 0;

	UNUSED(state);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strstr(entry->d_name, "_corpus"))
			continue;
		run_case(entry->d_name);
		n++;
	}
	(void)closedir(dir);
	assert_in_range(n, 10, 1000);
}

/* --- rules --- */

static struct document_plan *compile_case(const char *name, struct catalog **catalog,
					  struct schema_document ***documents, size_t *n)
{
	_cleanup_json_ json_t *schema = parse_file(name, "schema.json");
	_cleanup_json_ json_t *fixture = parse_file(name, "catalog.json");
	struct document_plan *plan;
	struct findings f;

	findings_init(&f);
	*catalog = decode_catalog(fixture);
	schema_decode(schema, "spec.schema", documents, n, &f);
	plan = document_compile((*documents)[0], &(struct schema_document_format){0}, *catalog, NULL, &f);
	assert_non_null(plan);
	findings_release(&f);
	return plan;
}

static void test_plan_when_bookstore_then_links_and_paths_as_the_contract_says(void **state)
{
	_cleanup_(catalog_freep) struct catalog *catalog = NULL;
	struct schema_document **documents = NULL;
	size_t n = 0;
	_cleanup_(document_plan_freep) struct document_plan *plan = compile_case("bookstore", &catalog, &documents, &n);

	UNUSED(state);
	assert_int_equal(plan->n_keys, 1);
	assert_string_equal(plan->key_columns[0], "id");
	assert_ptr_equal(plan->root, catalog_find(catalog, "public", "books"));
	assert_int_equal(plan->n_tables, 3);
	assert_true(plan->tables[0].is_root);
	assert_false(plan->tables[1].is_root);
	assert_string_equal(plan->sql.all_keys, "SELECT t0.\"id\"::text FROM \"public\".\"books\" t0");
	assert_int_equal(plan->n_paths, 3);
	assert_true(plan->paths[0].is_root && plan->paths[0].direct);
	assert_true(plan->paths[1].direct && !plan->paths[1].is_root);
	assert_null(plan->paths[1].sql);
	assert_string_equal(plan->paths[1].columns[0], "book_id");
	assert_false(plan->paths[2].direct);
	assert_string_equal(plan->paths[2].description, "books > book_authors > authors");
	assert_int_equal(plan->sql.by_range.leaf_at, 0);
	document_plan_free(TAKE_PTR(plan));
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
}

static void test_relations_when_a_table_is_used_twice_then_named_once(void **state)
{
	_cleanup_json_ json_t *schema = parse_file("same_table_twice", "schema.json");
	_cleanup_free_ struct catalog_name *names = NULL;
	struct schema_document **documents = NULL;
	struct findings f;
	struct strbuf sb;
	size_t n = 0, n_names;

	UNUSED(state);
	findings_init(&f);
	strbuf_init(&sb, 1000);
	schema_decode(schema, "spec.schema", &documents, &n, &f);
	names = document_relations(documents[0], &n_names);
	for (size_t i = 0; i < n_names; i++)
		strbuf_addf(&sb, "%s.%s ", names[i].schema, names[i].table);
	assert_string_equal(sb.data, "public.matches public.players ");
	strbuf_release(&sb);
	schema_document_free(documents[0]);
	free(documents);
	findings_release(&f);
}

#define LONG_ID "sha256:35ade0090e64e74d6ad04204009c23a4e34b82bdf0f4f317fbcc5f26f9b10241"
#define SHORT_ID "sha256:fe8eb9ab9836bcf963c044b6f84eb71c089db399876f45e72a6c21b488da26c4"
#define EMPTY_ID "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void expect_routing(bool is_bool, const char *replace, const char *value, const char *want)
{
	_cleanup_json_ json_t *map = replace ? json_loads(replace, 0, NULL) : NULL;
	const struct document_plan plan = {.routing = {.given = true, .is_bool = is_bool, .replace = map}};
	struct strbuf sb;

	strbuf_init(&sb, 100);
	document_routing(&sb, &plan, value, strlen(value));
	assert_string_equal(sb.data, want);
	strbuf_release(&sb);
}

static void test_routing_when_the_field_is_made_of_the_column_then_its_text(void **state)
{
	UNUSED(state);
	expect_routing(false, NULL, "ab-c", "ab-c");
	expect_routing(true, NULL, "t", "true");
	expect_routing(true, NULL, "f", "false");
	expect_routing(true, NULL, "", "");
	expect_routing(false, "{\"-\": \"\", \"b\": \"bb\"}", "a-b-bc", "abbbbc");
}

static void expect_id(enum schema_id_format format, const char *const *values, size_t n, const char *want)
{
	size_t lens[3];
	const struct document_key key = {values, lens, n};
	struct strbuf sb;

	for (size_t i = 0; i < n; i++)
		lens[i] = strlen(values[i]);
	strbuf_init(&sb, 100000);
	strbuf_adds(&sb, "id=");
	assert_int_equal(document_id(&sb, format, &key), strncmp(want, "sha256:", 7) == 0);
	assert_string_equal(sb.data + 3, want);
	strbuf_release(&sb);
}

static void test_id_when_key_has_several_values_then_joined(void **state)
{
	UNUSED(state);
	expect_id(SCHEMA_ID_PGSYNC, (const char *const[]){"a", "b|c", ""}, 3, "a|b|c|");
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){"a", "b|c", ""}, 3, "a|b\\|c|");
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){"a\\", "b"}, 2, "a\\\\|b");
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){"a|b\\"}, 1, "a|b\\");
}

/* The hashes are what `printf xx...x | sha256sum` prints. */
static void test_id_when_no_engine_accepts_it_then_hashed(void **state)
{
	char text[514];

	UNUSED(state);
	memset(text, 'x', sizeof(text));
	text[512] = '\0';
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){text}, 1, text);
	text[512] = 'x';
	text[513] = '\0';
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){text}, 1, LONG_ID);
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){"sha256:x"}, 1, SHORT_ID);
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){""}, 1, EMPTY_ID);
	expect_id(SCHEMA_ID_ESCAPED, (const char *const[]){"", ""}, 2, "|");
}

static void test_split_id_then_the_key_unless_several_keys_have_it(void **state)
{
	static const struct {
		enum schema_id_format format;
		const char *id;
		size_t n;
		const char *values; /* joined by "/"; NULL: not known */
	} ids[] = {
		{SCHEMA_ID_ESCAPED, "a|b\\", 1, "a|b\\"},   {SCHEMA_ID_ESCAPED, "a|b\\|c|", 3, "a/b|c/"},
		{SCHEMA_ID_ESCAPED, "a\\\\|b", 2, "a\\/b"}, {SCHEMA_ID_ESCAPED, "|", 2, "/"},
		{SCHEMA_ID_ESCAPED, "a|b", 3, NULL},        {SCHEMA_ID_ESCAPED, "sha256:0123", 1, NULL},
		{SCHEMA_ID_PGSYNC, "a|b\\", 2, "a/b\\"},    {SCHEMA_ID_PGSYNC, "a|b|c", 2, NULL},
		{SCHEMA_ID_PGSYNC, "a|b|c", 1, "a|b|c"},    {SCHEMA_ID_PGSYNC, "", 1, NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct strbuf sb;
		bool known;

		strbuf_init(&sb, 1000);
		known = document_split_id(&sb, ids[i].format, ids[i].id, ids[i].n);
		assert_int_equal(known, ids[i].values != NULL);
		for (size_t at = 0; known && at + 1 < sb.len; at++)
			if (!sb.data[at])
				sb.data[at] = '/';
		if (known)
			assert_string_equal(sb.data, ids[i].values);
		strbuf_release(&sb);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_when_compiled_then_as_expected),
		cmocka_unit_test(test_plan_when_bookstore_then_links_and_paths_as_the_contract_says),
		cmocka_unit_test(test_relations_when_a_table_is_used_twice_then_named_once),
		cmocka_unit_test(test_id_when_key_has_several_values_then_joined),
		cmocka_unit_test(test_routing_when_the_field_is_made_of_the_column_then_its_text),
		cmocka_unit_test(test_id_when_no_engine_accepts_it_then_hashed),
		cmocka_unit_test(test_split_id_then_the_key_unless_several_keys_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
