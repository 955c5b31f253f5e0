/* Tests of the document compiler: golden files, one directory of testdata for each case, and the rules on their own.
 *
 * A case is a schema.json, a catalog.json (a catalog in short form, see decode_table; "documents" is spec.documents)
 * and expected.txt: the findings and the plan as document_describe shows it. With PGSYNC_GOLDEN=write the expected
 * files are rewritten; review the diff.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/parse.h"
#include "document/document.h"

enum { FILE_BYTES = 1024 * 1024, PATH_BYTES = 512 };

static const char cases[] = "pkg/document/testdata";

/* --- catalogs made by hand --- */

struct known_type {
	const char *type, *base;
	char category;
};

static const struct known_type known_types[] = {
	{"smallint", "int2", 'N'},
	{"integer", "int4", 'N'},
	{"bigint", "int8", 'N'},
	{"numeric", "numeric", 'N'},
	{"real", "float4", 'N'},
	{"double precision", "float8", 'N'},
	{"oid", "oid", 'N'},
	{"money", "money", 'N'},
	{"text", "text", 'S'},
	{"character varying", "varchar", 'S'},
	{"character", "bpchar", 'S'},
	{"citext", "citext", 'S'},
	{"boolean", "bool", 'B'},
	{"uuid", "uuid", 'U'},
	{"json", "json", 'U'},
	{"jsonb", "jsonb", 'U'},
	{"bytea", "bytea", 'U'},
	{"hstore", "hstore", 'U'},
	{"xml", "xml", 'U'},
	{"date", "date", 'D'},
	{"time without time zone", "time", 'D'},
	{"timestamp without time zone", "timestamp", 'D'},
	{"timestamp with time zone", "timestamptz", 'D'},
	{"interval", "interval", 'T'},
	{"inet", "inet", 'I'},
	{"int4range", "int4range", 'R'},
	{"bit", "bit", 'V'},
	{"mood", "mood", 'E'},
	{"address", "address", 'C'},
	{"isbn", "text", 'S'}, /* a domain */
	{"text[]", "_text", 'A'},
	{"integer[]", "_int4", 'A'},
	{"numeric[]", "_numeric", 'A'},
	{"jsonb[]", "_jsonb", 'A'},
	{"address[]", "_address", 'A'},
};

/* "numeric(10,2) not null". */
static struct catalog_column decode_column(const char *name, const char *text, int attnum)
{
	const char *not_null = strstr(text, " not null");
	size_t len = not_null ? (size_t)(not_null - text) : strlen(text);
	_cleanup_free_ char *type = xstrndup(text, len);
	const char *open = strchr(type, '(');
	const char *close = open ? strchr(open, ')') : NULL;
	_cleanup_free_ char *plain = open ? xasprintf("%.*s%s", (int)(open - type), type, close + 1) : xstrdup(type);
	struct catalog_column column = {
		.name = xstrdup(name), .type = xstrdup(type), .typmod = -1, .not_null = not_null, .attnum = attnum};
	uint64_t precision = 0, scale = 0;

	for (size_t i = 0; i < ARRAY_SIZE(known_types); i++) {
		if (strcmp(plain, known_types[i].type) != 0)
			continue;
		column.base_type = xstrdup(known_types[i].base);
		column.category = known_types[i].category;
		if (strcmp(column.base_type, "_address") == 0)
			column.element_category = 'C';
	}
	if (!column.base_type)
		fail_msg("unknown type \"%s\" in a catalog.json", plain);
	if (open && strncmp(type, "numeric", 7) == 0) {
		const char *comma = strchr(open, ',');
		_cleanup_free_ char *first = xstrndup(open + 1, (size_t)((comma ? comma : close) - open - 1));
		_cleanup_free_ char *second = comma ? xstrndup(comma + 1, (size_t)(close - comma - 1)) : xstrdup("0");

		assert_true(parse_u64(first, strlen(first), &precision));
		assert_true(parse_u64(second, strlen(second), &scale));
		column.typmod = (int32_t)(precision << 16 | scale) + 4;
	}
	return column;
}

static int *decode_positions(const struct catalog_table *table, const json_t *names, size_t *ret_n)
{
	int *columns = xcalloc(json_array_size(names), sizeof(*columns));

	*ret_n = json_array_size(names);
	for (size_t i = 0; i < *ret_n; i++) {
		columns[i] = catalog_column(table, json_string_value(json_array_get(names, i)));
		if (columns[i] < 0)
			fail_msg("no column %s in %s", json_string_value(json_array_get(names, i)), table->name);
	}
	return columns;
}

static void add_index(struct catalog_table *table, const json_t *columns, bool unique, bool primary)
{
	struct catalog_index *index;

	if (!columns)
		return;
	table->indexes = xreallocarray(table->indexes, table->n_indexes + 1, sizeof(*table->indexes));
	index = &table->indexes[table->n_indexes++];
	*index = (struct catalog_index){
		.name = xasprintf("%s_%zu", table->name, table->n_indexes),
		.unique = unique,
		.primary = primary,
		.immediate = true,
		.valid = true,
	};
	index->columns = decode_positions(table, columns, &index->n);
}

/* {"name", "schema", "kind", "persistence", "columns": {name: type}, "primary_key": [], "unique": [[]], "reads": [],
 * "indexes":
 * [[]], "foreign_keys": [{"columns": [], "to": "table", "to_schema", "to_columns": []}]} */
static void decode_table(const json_t *value, uint32_t oid, struct catalog_table *table)
{
	const char *name;
	json_t *item;
	size_t i;

	*table = (struct catalog_table){
		.oid = oid,
		.schema = xstrdup(jsonx_string(value, "schema", "public")),
		.name = xstrdup(jsonx_string(value, "name", "")),
		.kind = *jsonx_string(value, "kind", "r"),
		.persistence = *jsonx_string(value, "persistence", "p"),
		.replica_identity = 'd',
		.is_owner = true,
		.can_select = true,
		.row_estimate = -1,
	};
	table->columns = xcalloc(json_object_size(jsonx_get(value, "columns")), sizeof(*table->columns));
	json_object_foreach (jsonx_get(value, "columns"), name, item) {
		table->columns[table->n_columns] =
			decode_column(name, json_string_value(item), (int)table->n_columns + 1);
		table->n_columns++;
	}
	add_index(table, jsonx_get(value, "primary_key"), true, true);
	json_array_foreach (json_object_get(value, "unique"), i, item)
		add_index(table, item, true, false);
	json_array_foreach (json_object_get(value, "indexes"), i, item)
		add_index(table, item, false, false);
}

static void decode_keys(struct catalog *catalog, struct catalog_table *table, const json_t *list)
{
	json_t *item;
	size_t i;

	table->foreign_keys = xcalloc(json_array_size(list), sizeof(*table->foreign_keys));
	json_array_foreach (list, i, item) {
		struct catalog_foreign_key *key = &table->foreign_keys[table->n_foreign_keys++];
		const struct catalog_table *to =
			catalog_find(catalog, jsonx_string(item, "to_schema", "public"), jsonx_string(item, "to", ""));

		assert_non_null(to);
		key->name = xasprintf("%s_fk_%zu", table->name, i + 1);
		key->to = to->oid;
		key->columns = decode_positions(table, json_object_get(item, "columns"), &key->n);
		key->to_columns = decode_positions(to, json_object_get(item, "to_columns"), &key->n);
	}
}

/* "expressions" of a table: {sql: type, or {"problem": text}}. */
static void decode_expressions(struct catalog *catalog, const struct catalog_table *table, const json_t *map)
{
	const char *sql;
	json_t *said;

	json_object_foreach ((json_t *)map, sql, said) {
		struct catalog_expression *e;

		catalog->expressions =
			xreallocarray(catalog->expressions, catalog->n_expressions + 1, sizeof(*catalog->expressions));
		e = &catalog->expressions[catalog->n_expressions++];
		*e = (struct catalog_expression){.relation = table->oid, .sql = xstrdup(sql)};
		if (json_is_string(said))
			e->type = decode_column("", json_string_value(said), 0);
		else
			e->problem = xstrdup(jsonx_string(said, "problem", ""));
	}
}

static void decode_reads(const struct catalog *catalog, struct catalog_table *table, const json_t *list)
{
	json_t *item;
	size_t i;

	table->reads = xcalloc(json_array_size(list), sizeof(*table->reads));
	json_array_foreach (list, i, item) {
		const struct catalog_table *read = catalog_find(catalog, "public", json_string_value(item));

		assert_non_null(read);
		table->reads[table->n_reads++] =
			(struct catalog_reads){.oid = read->oid, .name = xasprintf("public.%s", read->name)};
	}
}

static struct catalog *decode_catalog(const json_t *value)
{
	const json_t *list = json_object_get(value, "tables");
	struct catalog *catalog = xcalloc(1, sizeof(*catalog));

	catalog->tables = xcalloc(json_array_size(list), sizeof(*catalog->tables));
	for (; catalog->n < json_array_size(list); catalog->n++)
		decode_table(json_array_get(list, catalog->n), 16384 + (uint32_t)catalog->n,
			     &catalog->tables[catalog->n]);
	for (size_t i = 0; i < catalog->n; i++) {
		decode_keys(catalog, &catalog->tables[i], json_object_get(json_array_get(list, i), "foreign_keys"));
		decode_reads(catalog, &catalog->tables[i], json_object_get(json_array_get(list, i), "reads"));
	}
	for (size_t i = 0; i < catalog->n; i++)
		decode_expressions(catalog, &catalog->tables[i],
				   json_object_get(json_array_get(list, i), "expressions"));
	return catalog;
}

/* --- compiling --- */

static json_t *parse_file(const char *name, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/%s", cases, name, file);
	_cleanup_free_ char *text = NULL;
	json_t *value = NULL;
	struct err err;
	size_t len;

	if (jsonx_read_file(path, FILE_BYTES, &text, &len, &err) < 0 || jsonx_parse(text, len, path, &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

static void add_findings(struct strbuf *sb, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		strbuf_addf(sb, "%s %s %s: %s\n", f->items[i].severity == FINDING_ERROR ? "error" : "warning",
			    f->items[i].reason, f->items[i].path, f->items[i].message);
}

static char **table_names(const struct catalog *catalog)
{
	char **names = xcalloc(catalog->n, sizeof(char *));

	for (size_t i = 0; i < catalog->n; i++)
		names[i] = xasprintf("%s.%s", catalog->tables[i].schema, catalog->tables[i].name);
	return names;
}

static struct documents_spec decode_documents(const json_t *fixture)
{
	return (struct documents_spec){
		.meta = *jsonx_string(fixture, "documents.meta", "N") == 'P' ? META_PGSYNC : META_NONE,
		.id_format = *jsonx_string(fixture, "documents.idFormat", "E") == 'P' ? ID_PGSYNC : ID_ESCAPED,
		.mapping =
			*jsonx_string(fixture, "documents.mapping", "G") == 'D' ? MAPPING_DYNAMIC : MAPPING_GENERATED,
	};
}

/* What a person sees of a schema over a catalog. */
static char *compile(const json_t *schema, const json_t *fixture, const struct catalog *catalog)
{
	const struct documents_spec as = decode_documents(fixture);
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
		_cleanup_free_ char *text = plan ? document_describe(plan) : NULL;

		assert_int_equal(plan == NULL, documents[i]->flawed || findings_failed(&own));
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
		if (entry->d_name[0] == '.')
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
	plan = document_compile((*documents)[0], &(struct documents_spec){0}, *catalog, NULL, &f);
	assert_non_null(plan);
	findings_release(&f);
	return plan;
}

static void test_plan_when_bookstore_then_links_and_ways_as_the_contract_says(void **state)
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
	assert_string_equal(plan->all_roots_sql, "SELECT t0.\"id\"::text FROM \"public\".\"books\" t0");
	assert_int_equal(plan->n_ways, 3);
	assert_true(plan->ways[0].is_root && plan->ways[0].direct);
	assert_true(plan->ways[1].direct && !plan->ways[1].is_root);
	assert_null(plan->ways[1].sql);
	assert_string_equal(plan->ways[1].columns[0], "book_id");
	assert_false(plan->ways[2].direct);
	assert_string_equal(plan->ways[2].path, "books > book_authors > authors");
	assert_int_equal(plan->leaf_at, 0);
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
	const struct document_plan plan = {.has_routing = true, .routing_is_bool = is_bool, .routing_replace = map};
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

static void expect_id(enum id_format format, const char *const *values, size_t n, const char *want)
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
	expect_id(ID_PGSYNC, (const char *const[]){"a", "b|c", ""}, 3, "a|b|c|");
	expect_id(ID_ESCAPED, (const char *const[]){"a", "b|c", ""}, 3, "a|b\\|c|");
	expect_id(ID_ESCAPED, (const char *const[]){"a\\", "b"}, 2, "a\\\\|b");
	expect_id(ID_ESCAPED, (const char *const[]){"a|b\\"}, 1, "a|b\\");
}

/* The hashes are what `printf xx...x | sha256sum` prints. */
static void test_id_when_no_engine_takes_it_then_hashed(void **state)
{
	char text[514];

	UNUSED(state);
	memset(text, 'x', sizeof(text));
	text[512] = '\0';
	expect_id(ID_ESCAPED, (const char *const[]){text}, 1, text);
	text[512] = 'x';
	text[513] = '\0';
	expect_id(ID_ESCAPED, (const char *const[]){text}, 1, LONG_ID);
	expect_id(ID_ESCAPED, (const char *const[]){"sha256:x"}, 1, SHORT_ID);
	expect_id(ID_ESCAPED, (const char *const[]){""}, 1, EMPTY_ID);
	expect_id(ID_ESCAPED, (const char *const[]){"", ""}, 2, "|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_when_compiled_then_as_expected),
		cmocka_unit_test(test_plan_when_bookstore_then_links_and_ways_as_the_contract_says),
		cmocka_unit_test(test_relations_when_a_table_is_used_twice_then_named_once),
		cmocka_unit_test(test_id_when_key_has_several_values_then_joined),
		cmocka_unit_test(test_routing_when_the_field_is_made_of_the_column_then_its_text),
		cmocka_unit_test(test_id_when_no_engine_takes_it_then_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
