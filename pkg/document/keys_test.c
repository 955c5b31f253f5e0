/* Tests of how many columns a key may have, wherever a schema can name one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "document/cases_int.h"

enum { COLUMNS = DOCUMENT_MAX_KEYS + 1, TEXT_BYTES = 100000 };

/* ["c1", ..., "cn"] */
static json_t *column_names(size_t n)
{
	json_t *names = json_array();

	for (size_t i = 1; i <= n; i++)
		(void)json_array_append_new(names, json_sprintf("c%zu", i));
	return names;
}

/* With columns c1 to c<COLUMNS>, and the key "id" unless it is a view. */
static json_t *wide_table(const char *name, const char *kind)
{
	json_t *columns = json_pack("{s:s}", "id", "integer not null");
	json_t *table = json_pack("{s:s, s:s, s:o}", "name", name, "kind", kind, "columns", columns);

	for (size_t i = 1; i <= COLUMNS; i++) {
		_cleanup_free_ char *column = xasprintf("c%zu", i);

		(void)json_object_set_new(columns, column, json_string("integer"));
	}
	if (*kind == 'r')
		(void)json_object_set_new(table, "primary_key", json_pack("[s]", "id"));
	return table;
}

static json_t *wide_catalog(void)
{
	json_t *between = wide_table("between", "r");

	(void)json_object_set_new(
		between, "foreign_keys",
		json_pack("[{s:[s], s:s, s:[s]}]", "columns", "id", "to", "upper", "to_columns", "id"));
	return json_pack("{s:[o, o, o, o]}", "tables", wide_table("upper", "r"), wide_table("lower", "r"), between,
			 wide_table("view", "v"));
}

/* Compiles the schema, in which each "#" becomes a list of n columns. Caller frees the errors. */
static char *errors_of(const char *schema_text, size_t n)
{
	_cleanup_json_ json_t *names = column_names(n);
	_cleanup_json_ json_t *fixture = wide_catalog();
	_cleanup_(catalog_freep) struct catalog *catalog = decode_catalog(fixture);
	_cleanup_(document_plan_freep) struct document_plan *plan = NULL;
	_cleanup_(findings_release) struct findings f;
	struct schema_document **documents = NULL;
	_cleanup_json_ json_t *schema = NULL;
	char *list = json_dumps(names, 0);
	size_t n_documents = 0;
	struct strbuf text;

	strbuf_init(&text, TEXT_BYTES);
	for (const char *s = schema_text; *s; s++) {
		if (*s == '#')
			strbuf_adds(&text, list);
		else
			strbuf_addc(&text, *s);
	}
	findings_init(&f);
	schema = json_loads(text.data, 0, NULL);
	assert_non_null(schema);
	schema_decode(schema, "schema", &documents, &n_documents, &f);
	plan = document_compile(documents[0], &(struct schema_document_format){0}, catalog, NULL, &f);
	assert_int_equal(plan == NULL, findings_failed(&f));
	assert_true(!plan || plan->n_keys <= DOCUMENT_MAX_KEYS);
	schema_document_free(documents[0]);
	free(documents);
	free(list);
	strbuf_release(&text);
	return findings_join(&f, FINDING_ERROR, "\n");
}

#define ROOT(rest) "[{\"index\": \"i\", \"nodes\": {" rest "}}]"
#define CHILD(relationship, rest)                                                                        \
	ROOT("\"table\": \"upper\", \"children\": [{\"table\": \"lower\", \"relationship\": {\"type\": " \
	     "\"one_to_many\", \"variant\": \"object\", " relationship "}" rest "}]")
#define FOREIGN_KEY                                                                                                    \
	"schema[0].nodes.children[0].relationship.foreign_key.child: must be a list of 1 to 32 column names, each at " \
	"most 63 bytes long\n"                                                                                         \
	"schema[0].nodes.children[0].relationship.foreign_key.parent: must be a list of 1 to 32 column names, each "   \
	"at most 63 bytes long"
#define JOIN "\"foreign_key\": {\"child\": [\"c1\"], \"parent\": [\"id\"]}"

static void test_compile_when_a_key_has_too_many_columns_then_refused(void **state)
{
	static const struct {
		const char *schema, *error;
	} rows[] = {
		{ROOT("\"table\": \"view\", \"primary_key\": #"),
		 "schema[0].nodes.primary_key: must be an array of at most 32 strings, found 33"},
		{ROOT("\"table\": \"upper\", \"primary_key\": #"),
		 "schema[0].nodes.primary_key: must be an array of at most 32 strings, found 33"},
		{CHILD(JOIN, ", \"primary_key\": #"),
		 "schema[0].nodes.children[0].primary_key: must be an array of at most 32 strings, found 33"},
		{CHILD("\"foreign_key\": {\"child\": #, \"parent\": #}", ""), FOREIGN_KEY},
		{CHILD("\"through_tables\": [\"between\"], \"foreign_key\": {\"child\": #, \"parent\": #}", ""),
		 FOREIGN_KEY},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *refused = errors_of(rows[i].schema, DOCUMENT_MAX_KEYS + 1);
		_cleanup_free_ char *accepted = errors_of(rows[i].schema, DOCUMENT_MAX_KEYS);

		assert_string_equal(refused, rows[i].error);
		assert_string_equal(accepted, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compile_when_a_key_has_too_many_columns_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
