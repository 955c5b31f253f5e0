/* Tests of a node's single keys, and of the small functions over nodes and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "schema/schema_int.h"

/* A schema of one document; the text is that of its root, or of the root's only child. */
struct tree {
	struct schema_document **documents;
	size_t n;
	struct findings f;
	const struct schema_node *node;
};

static void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		schema_document_free(t->documents[i]);
	free(t->documents);
	findings_release(&t->f);
}

static void tree_init(struct tree *t, const char *root)
{
	_cleanup_free_ char *text = xasprintf("[{\"index\": \"i\", \"nodes\": %s}]", root);
	_cleanup_json_ json_t *array = NULL;
	struct err err;

	*t = (struct tree){0};
	findings_init(&t->f);
	assert_int_equal(jsonx_parse(text, strlen(text), "test", &array, &err), 0);
	schema_decode(array, "schema", &t->documents, &t->n, &t->f);
	t->node = t->documents[0]->root;
}

static void tree_init_child(struct tree *t, const char *child)
{
	_cleanup_free_ char *root = xasprintf("{\"table\": \"t\", \"children\": [%s]}", child);

	tree_init(t, root);
	t->node = t->node->children[0];
}

#define RELATED "\"relationship\": {\"type\": \"one_to_many\", \"variant\": \"object\"}"

static void expect_errors(const struct tree *t, const char *want)
{
	_cleanup_free_ char *got = findings_join(&t->f, FINDING_ERROR, "\n");

	assert_string_equal(got, want);
}

/* --- keys --- */

static void test_relationship_when_one_of_its_words_then_its_value(void **state)
{
	static const struct {
		const char *type, *variant;
		enum schema_relation_type want_type;
		enum schema_variant want_variant;
	} rows[] = {
		{"one_to_one", "object", SCHEMA_ONE_TO_ONE, SCHEMA_VARIANT_OBJECT},
		{"one_to_one", "scalar", SCHEMA_ONE_TO_ONE, SCHEMA_VARIANT_SCALAR},
		{"one_to_many", "object", SCHEMA_ONE_TO_MANY, SCHEMA_VARIANT_OBJECT},
		{"one_to_many", "scalar", SCHEMA_ONE_TO_MANY, SCHEMA_VARIANT_SCALAR},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(tree_release) struct tree t;
		_cleanup_free_ char *child =
			xasprintf("{\"table\": \"c\", \"relationship\": {\"type\": \"%s\", \"variant\": \"%s\"}}",
				  rows[i].type, rows[i].variant);

		tree_init_child(&t, child);
		expect_errors(&t, "");
		assert_int_equal(t.node->relationship.type, rows[i].want_type);
		assert_int_equal(t.node->relationship.variant, rows[i].want_variant);
	}
}

static void test_relationship_when_another_word_then_refused(void **state)
{
	_cleanup_(tree_release) struct tree t;

	UNUSED(state);
	tree_init_child(&t, "{\"table\": \"c\", \"relationship\": {\"type\": \"many\", \"variant\": 1}}");
	expect_errors(&t, "schema[0].nodes.children[0].relationship.type: must be one of `one_to_one`, `one_to_many`, "
			  "found \"many\"\n"
			  "schema[0].nodes.children[0].relationship.variant: must be one of `object`, `scalar`, found "
			  "1");
	assert_true(schema_key_is_invalid(t.node, "relationship"));
	assert_true(schema_key_is_invalid(t.node, "relationship.type"));
	assert_false(schema_key_is_invalid(t.node, "relationship.foreign_key"));
}

static void test_order_by_when_words_follow_the_column_then_its_order(void **state)
{
	static const struct {
		const char *text, *column;
		bool descending, nulls_given, nulls_first;
	} rows[] = {
		{"a", "a", false, false, false},
		{"a asc", "a", false, false, false},
		{"a desc", "a", true, false, false},
		{"a DESC", "a", true, false, false},
		{"a nulls first", "a", false, true, true},
		{"a nulls last", "a", false, true, false},
		{"a asc nulls first", "a", false, true, true},
		{"a asc nulls last", "a", false, true, false},
		{"a desc nulls first", "a", true, true, true},
		{"a desc nulls last", "a", true, true, false},
		{"a b desc", "a b", true, false, false},
		{"desc", "desc", false, false, false},
		{"desc desc", "desc", true, false, false},
		{"a descending", "a descending", false, false, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(tree_release) struct tree t;
		_cleanup_free_ char *child =
			xasprintf("{\"table\": \"c\", " RELATED ", \"order_by\": [\"%s\"]}", rows[i].text);

		tree_init_child(&t, child);
		expect_errors(&t, "");
		assert_int_equal(t.node->n_order_by, 1);
		assert_string_equal(t.node->order_by[0].column, rows[i].column);
		assert_int_equal(t.node->order_by[0].descending, rows[i].descending);
		assert_int_equal(t.node->order_by[0].nulls_given, rows[i].nulls_given);
		assert_int_equal(t.node->order_by[0].nulls_first, rows[i].nulls_first);
	}
}

static void test_order_by_when_it_is_not_a_column_then_refused(void **state)
{
	static const char *const rows[] = {"\"\"", "\" a\"", "\"a \"", "\" desc\"", "\"a  desc\"", "1", "null", "[]"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(tree_release) struct tree t;
		_cleanup_free_ char *child =
			xasprintf("{\"table\": \"c\", " RELATED ", \"order_by\": [\"b\", %s]}", rows[i]);

		tree_init_child(&t, child);
		assert_int_equal(t.f.n, 1);
		assert_string_equal(t.f.items[0].path, "schema[0].nodes.children[0].order_by[1]");
		assert_int_equal(t.node->n_order_by, 2);
		assert_string_equal(t.node->order_by[1].column, "");
	}
}

static void test_limit_when_within_its_range_then_taken_and_outside_refused(void **state)
{
	static const struct {
		const char *limit;
		int64_t want;
		bool valid;
	} rows[] = {
		{"1", 1, true},      {"10000", 10000, true}, {"0", 0, false},
		{"10001", 0, false}, {"-1", 0, false},       {"\"1\"", 0, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(tree_release) struct tree t;
		_cleanup_free_ char *child = xasprintf("{\"table\": \"c\", " RELATED ", \"limit\": %s}", rows[i].limit);

		tree_init_child(&t, child);
		assert_int_equal(t.f.n, rows[i].valid ? 0 : 1);
		assert_int_equal(schema_key_is_invalid(t.node, "limit"), !rows[i].valid);
		if (rows[i].valid)
			assert_int_equal(t.node->limit, rows[i].want);
	}
}

/* --- names --- */

static void test_names_when_a_key_that_gives_them_is_invalid_then_not_known(void **state)
{
	static const struct {
		const char *root;
		bool known;
	} rows[] = {
		{"{\"table\": \"t\"}", true},
		{"{\"table\": \"t\", \"columns\": [\"a\", \"doc->b\"]}", true},
		{"{\"table\": \"t\", \"columns\": [\"a\", 1]}", false},
		{"{\"table\": \"t\", \"columns\": [\"a\", \"doc->\"]}", false},
		{"{\"table\": \"t\", \"columns\": 1}", false},
		{"{\"table\": \"t\", \"colums\": [\"a\"]}", false},
		{"{\"table\": \"t\", \"where\": \"(\"}", true},
		{"{\"table\": \"t\", \"primary_key\": 1}", true},
		{"{\"table\": \"t\", \"expressions\": {\"a\": \"1\"}}", true},
		{"{\"table\": \"t\", \"expressions\": {\"a\": \"(\"}}", false},
		{"{\"table\": \"t\", \"transform\": {\"rename\": {\"a\": \"b\"}}}", true},
		{"{\"table\": \"t\", \"transform\": {\"rename\": {\"a\": 1}}}", false},
		{"{\"table\": \"t\", \"transform\": {\"renames\": {}}}", false},
		{"{\"table\": \"t\", \"transform\": {\"move\": [1]}}", false},
		{"{\"table\": \"t\", \"transform\": {\"concat\": [1]}}", false},
		{"{\"table\": \"t\", \"transform\": {\"mapping\": {\"a\": 1}}}", true},
		{"{\"table\": \"t\", \"children\": [{\"table\": \"c\", " RELATED "}]}", true},
		{"{\"table\": \"t\", \"children\": [{\"table\": \"c\", \"label\": 1, " RELATED "}]}", false},
		{"{\"table\": \"t\", \"children\": [{\"table\": \"c\"}]}", true},
		{"{\"table\": \"t\", \"children\": [1]}", false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(tree_release) struct tree t;

		tree_init(&t, rows[i].root);
		assert_int_equal(schema_node_names_are_known(t.node), rows[i].known);
	}
}

static void test_label_when_a_child_has_it_then_found(void **state)
{
	_cleanup_(tree_release) struct tree t;

	UNUSED(state);
	tree_init(&t,
		  "{\"table\": \"t\", \"children\": [{\"table\": \"a\", " RELATED "}, {\"table\": \"b\", \"label\": "
		  "\"c\", " RELATED "}]}");
	assert_true(schema_node_has_label(t.node, "a"));
	assert_true(schema_node_has_label(t.node, "c"));
	assert_false(schema_node_has_label(t.node, "b"));
	assert_false(schema_node_has_label(t.node->children[0], "a"));
}

static void test_field_problem_when_no_document_can_have_it_then_reported(void **state)
{
	static const struct {
		const char *name;
		bool at_top, within; /* whether it is refused there */
	} rows[] = {
		{"title", false, false}, {"a.b", false, false}, {"a.", false, false},
		{"_meta", false, false}, {"_id", true, false},  {"_source", true, false},
		{"", true, true},        {".a", true, true},    {"a..b", true, true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *at_top = schema_field_problem(rows[i].name, true);
		_cleanup_free_ char *within = schema_field_problem(rows[i].name, false);

		assert_int_equal(at_top != NULL, rows[i].at_top);
		assert_int_equal(within != NULL, rows[i].within);
	}
}

static void test_name_when_empty_or_repeated_then_it_does_not_count(void **state)
{
	static char a[] = "a", b[] = "b", none[] = "", again[] = "a";
	char *items[] = {a, none, b, again, none};
	const struct jsonx_strings names = {.items = items, .n = ARRAY_SIZE(items)};
	static const bool want[] = {true, false, true, false, false};

	UNUSED(state);
	for (size_t i = 0; i < names.n; i++)
		assert_int_equal(schema_name_counts(&names, i), want[i]);
}

/* A node with n columns; the last one repeats the first one's name by a rename. */
static char *node_of_columns(size_t n)
{
	struct strbuf sb;

	strbuf_init(&sb, 4 * 1024 * 1024);
	strbuf_adds(&sb, "{\"table\": \"t\", \"columns\": [");
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&sb, "%s\"column%zu\"", i ? ", " : "", i);
	strbuf_addf(&sb, "], \"transform\": {\"rename\": {\"column%zu\": \"column0\"}}}", n - 1);
	return strbuf_detach(&sb);
}

static void test_columns_when_there_are_as_many_as_a_table_has_then_compared_and_more_are_refused(void **state)
{
	_cleanup_free_ char *most = node_of_columns(1600);
	_cleanup_free_ char *too_many = node_of_columns(60000);
	int64_t begin_ms = clock_now_ms();
	struct tree t;

	UNUSED(state);
	tree_init(&t, most);
	expect_errors(&t, "schema[0].nodes.transform.rename.column1599: two fields are named `column0`, this one and "
			  "columns[0]; give one of them another name");
	tree_release(&t);
	tree_init(&t, too_many);
	expect_errors(&t, "schema[0].nodes.columns: must be an array of at most 1600 strings, found 60000");
	tree_release(&t);
	/* It took minutes when each name was compared with all others. */
	assert_true(clock_now_ms() - begin_ms < 5000);
}

static void test_move_when_to_the_root_then_the_path_within_the_document(void **state)
{
	static const struct {
		const char *destination, *path;
		bool to_root;
	} rows[] = {{"a", "a", false}, {"a.b", "a.b", false}, {"$root.a.b", "a.b", true}, {"$root", "$root", false}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *destination = xstrdup(rows[i].destination);
		const struct schema_move move = {.destination = destination};
		bool to_root = !rows[i].to_root;

		assert_string_equal(schema_move_path(&move, &to_root), rows[i].path);
		assert_int_equal(to_root, rows[i].to_root);
	}
}

static void test_column_path_when_malformed_then_says_what_is_wrong(void **state)
{
	static const struct {
		const char *path, *problem;
	} rows[] = {
		{"->a", "a JSON path starts with a column's name, found \"->a\""},
		{"doc->", "a JSON path needs a key after `->`"},
		{"doc->a->>", "a JSON path needs a key after `->>`"},
		{"doc#>a", "a JSON path needs braces after `#>`, as in `doc#>{a,0}`"},
		{"doc#>>{a", "a JSON path needs braces after `#>>`, as in `doc#>>{a,0}`"},
		{"doc#>{a\"b}", "keys between braces must be plain words, without braces, quotes or backslashes"},
		{"doc->>a->b", "`->>` returns text: it must be the last step of a JSON path"},
		{"doc#>>{a}->b", "`#>>` returns text: it must be the last step of a JSON path"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(schema_column_path_release) struct schema_column_path path = {0};
		_cleanup_free_ char *problem = schema_column_path_parse(rows[i].path, &path);

		assert_non_null(problem);
		assert_string_equal(problem, rows[i].problem);
	}
}

static void test_column_path_when_a_part_is_all_digits_then_an_index(void **state)
{
	_cleanup_(schema_column_path_release) struct schema_column_path path = {0};

	UNUSED(state);
	assert_null(schema_column_path_parse("doc->0->a1->1234567890#>{2}", &path));
	assert_string_equal(path.base, "doc");
	assert_int_equal(path.n, 4);
	assert_true(path.steps[0].index);
	assert_false(path.steps[1].index || path.steps[2].index || path.steps[3].index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relationship_when_one_of_its_words_then_its_value),
		cmocka_unit_test(test_relationship_when_another_word_then_refused),
		cmocka_unit_test(test_order_by_when_words_follow_the_column_then_its_order),
		cmocka_unit_test(test_order_by_when_it_is_not_a_column_then_refused),
		cmocka_unit_test(test_limit_when_within_its_range_then_taken_and_outside_refused),
		cmocka_unit_test(test_names_when_a_key_that_gives_them_is_invalid_then_not_known),
		cmocka_unit_test(test_label_when_a_child_has_it_then_found),
		cmocka_unit_test(test_field_problem_when_no_document_can_have_it_then_reported),
		cmocka_unit_test(test_name_when_empty_or_repeated_then_it_does_not_count),
		cmocka_unit_test(test_columns_when_there_are_as_many_as_a_table_has_then_compared_and_more_are_refused),
		cmocka_unit_test(test_move_when_to_the_root_then_the_path_within_the_document),
		cmocka_unit_test(test_column_path_when_malformed_then_says_what_is_wrong),
		cmocka_unit_test(test_column_path_when_a_part_is_all_digits_then_an_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
