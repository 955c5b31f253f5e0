/* Tests of decoding schema.json: what is accepted, and the message for everything that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "schema/schema_int.h"

#define CHILD(relationship)                                                                                  \
	"[{\"index\": \"books\", \"nodes\": {\"table\": \"books\", \"children\": [{\"table\": \"authors\", " \
	"\"relationship\": " relationship "}]}}]"

/* NULL when it is not JSON. */
static json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	return jsonx_parse(text, strlen(text), "test", &value, &err) < 0 ? NULL : value;
}

static void expect(const struct findings *f, enum finding_severity severity, const char *want)
{
	_cleanup_free_ char *got = findings_join(f, severity, "\n");

	assert_string_equal(got, want);
}

static void expect_schema(const char *text, enum finding_severity severity, const char *want)
{
	_cleanup_json_ json_t *array = parse(text);
	struct schema_document **documents = NULL;
	struct findings f;
	size_t n = 0;

	findings_init(&f);
	schema_decode(array, "schema", &documents, &n, &f);
	expect(&f, severity, want);
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	findings_release(&f);
}

static void test_schema_when_it_is_not_documents_then_refused(void **state)
{
	UNUSED(state);
	expect_schema("{\"index\": \"books\"}", FINDING_ERROR,
		      "schema: must be an array of documents, found an object");
	expect_schema("[]", FINDING_ERROR, "schema: must contain 1 to 16 documents, found 0");
	expect_schema("[{\"index\": \"a\", \"nodes\": {}}, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
		      FINDING_ERROR,
		      "schema: must contain 1 to 16 documents, found 17\n"
		      "schema[0].nodes.table: is required\n"
		      "schema[1]: must be an object, found an integer\n"
		      "schema[2]: must be an object, found an integer\n"
		      "schema[3]: must be an object, found an integer\n"
		      "schema[4]: must be an object, found an integer\n"
		      "schema[5]: must be an object, found an integer\n"
		      "schema[6]: must be an object, found an integer\n"
		      "schema[7]: must be an object, found an integer\n"
		      "schema[8]: must be an object, found an integer\n"
		      "schema[9]: must be an object, found an integer\n"
		      "schema[10]: must be an object, found an integer\n"
		      "schema[11]: must be an object, found an integer\n"
		      "schema[12]: must be an object, found an integer\n"
		      "schema[13]: must be an object, found an integer\n"
		      "schema[14]: must be an object, found an integer\n"
		      "schema[15]: must be an object, found an integer");
	expect_schema(
		"[7, {\"index\": \"a\"}, {\"nodes\": [{\"tabel\": \"t\"}]}, {\"index\": \"a\", \"nodes\": {\"table\": "
		"\"t\"}}]",
		FINDING_ERROR,
		"schema[0]: must be an object, found an integer\n"
		"schema[1].nodes: is required\n"
		"schema[2].nodes: must be an object, the root node, found an array (the format of pgsync 1); write its "
		"one element without the brackets\n"
		"schema[2].nodes[0].tabel: unknown field; did you mean `table`?\n"
		"schema[2].index: is required: the name of the index to fill\n"
		"schema[3].index: index \"a\" is also the index of schema[1]; every document needs its own");
}

static char *index_errors(const char *index)
{
	_cleanup_json_ json_t *array = json_pack("[{s:s, s:{s:s}}]", "index", index, "nodes", "table", "t");
	struct schema_document **documents = NULL;
	struct findings f;
	size_t n = 0;
	char *errors;

	findings_init(&f);
	schema_decode(array, "schema", &documents, &n, &f);
	errors = findings_join(&f, FINDING_ERROR, "\n");
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	findings_release(&f);
	return errors;
}

static void expect_index(const char *index, const char *want)
{
	_cleanup_free_ char *text = xasprintf("[{\"index\": \"%s\", \"nodes\": {\"table\": \"t\"}}]", index);

	expect_schema(text, FINDING_ERROR, want);
}

static void test_index_name_when_the_engine_would_refuse_it_then_refused(void **state)
{
	char longest[202];

	UNUSED(state);
	expect_index("bücher.2024_v1-x", "");
	expect_index("Books", "schema[0].index: index name \"Books\" must be lower case");
	expect_index("a/b", "schema[0].index: index name \"a/b\" must not contain '/'");
	expect_index("a b", "schema[0].index: index name \"a b\" must not contain ' '");
	expect_index("a#", "schema[0].index: index name \"a#\" must not contain '#'");
	expect_index("a:b", "schema[0].index: index name \"a:b\" must not contain ':'");
	expect_index("_a", "schema[0].index: index name \"_a\" must not start with '_'");
	expect_index("..", "schema[0].index: index name \"..\" is reserved: a name that begins with '.' "
			   "belongs to the search engine; choose another name");
	expect_index("a\\tb", "schema[0].index: an index name must not contain control characters");
	expect_index("", "schema[0].index: must be 1 to 200 bytes long, found 0");
	memset(longest, 'a', 201);
	longest[201] = '\0';
	expect_index(longest, "schema[0].index: must be 1 to 200 bytes long, found 201");
	longest[200] = '\0';
	expect_index(longest, "");
}

static void test_node_when_keys_are_invalid_then_each_is_named(void **state)
{
	UNUSED(state);
	expect_schema("[{\"index\": \"i\", \"nodes\": {\"tble\": \"t\", \"columns\": [1], \"children\": [{\"table\": "
		      "\"\"}, 3]}}]",
		      FINDING_ERROR,
		      "schema[0].nodes.columns[0]: must be a string, found 1\n"
		      "schema[0].nodes.children[0].table: must not be empty\n"
		      "schema[0].nodes.children[0].relationship: is required: every node but the root needs one with "
		      "`type` and `variant`\n"
		      "schema[0].nodes.children[1]: must be an object, found an integer\n"
		      "schema[0].nodes.tble: unknown field; did you mean `table`?");
}

static void test_relationship_when_it_is_invalid_then_named(void **state)
{
	UNUSED(state);
	expect_schema(
		CHILD("{\"type\": \"one_to_mny\", \"through_tables\": [\"a\", \"b\"]}"), FINDING_ERROR,
		"schema[0].nodes.children[0].relationship.type: must be one of `one_to_one`, `one_to_many`, found "
		"\"one_to_mny\"; did you mean `one_to_many`?\n"
		"schema[0].nodes.children[0].relationship.variant: is required\n"
		"schema[0].nodes.children[0].relationship.through_tables: must name at most one table, found 2; "
		"nest another node for each further table");
	expect_schema(CHILD("{\"type\": \"one_to_one\", \"variant\": \"object\", \"through_tables\": [\"a.\"], "
			    "\"foreign_key\": {\"child\": [\"a\", \"b\"], \"parent\": [\"c\"]}}"),
		      FINDING_ERROR,
		      "schema[0].nodes.children[0].relationship.through_tables[0]: must be a table name or "
		      "\"schema.table\" of at most 127 bytes\n"
		      "schema[0].nodes.children[0].relationship.foreign_key: must name as many `child` columns as "
		      "`parent` columns, found 2 and 1");
	expect_schema(CHILD("{\"type\": \"one_to_one\", \"variant\": \"object\", \"foreign_key\": {\"child\": []}}"),
		      FINDING_ERROR,
		      "schema[0].nodes.children[0].relationship.foreign_key.child: must be a list of 1 to 32 column "
		      "names, each at most 63 bytes long\n"
		      "schema[0].nodes.children[0].relationship.foreign_key.parent: is required");
}

static void test_node_when_a_key_has_no_meaning_there_then_refused(void **state)
{
	UNUSED(state);
	expect_schema(
		"[{\"index\": \"i\", \"plugins\": [\"Hero\"], \"mappings\": {\"a\": 1}, \"nodes\": {\"table\": \"t\", "
		"\"columns\": [\"doc->a\", \"doc->>a->b\", \"->x\", \"doc#>a\", \"doc->\"], "
		"\"transform\": {\"rename\": {\"a\": 1, \"doc\": {\"x\": \"y\"}}, \"replace\": {\"a\": \"b\", "
		"\"c\": {\"\": \"x\"}}, \"concat\": {\"columns\": [\"a\"]}, \"move\": [1], \"mapping\": {\"a\": "
		"\"b\"}, "
		"\"renam\": {}}, \"where\": \"x > (1\", \"order_by\": [\"x\", \" desc\"], \"limit\": 3, "
		"\"expressions\": {\"e\": \"1; DROP\", \"f\": 1}, \"nested\": true}}]",
		FINDING_ERROR,
		"schema[0].nodes.transform.rename.a: must be a new name of 1 to 255 bytes, found an integer\n"
		"schema[0].nodes.transform.rename.doc: keys within the JSON column `doc` cannot be renamed; select "
		"them as JSON paths (\"doc->key\") and rename these\n"
		"schema[0].nodes.transform.replace.a: must be an object of {\"search\": \"replacement\"}, found a "
		"string\n"
		"schema[0].nodes.transform.replace.c[\"\"]: must map a text to search for to a text of at most 8192 "
		"bytes\n"
		"schema[0].nodes.transform.concat.destination: is required\n"
		"schema[0].nodes.transform.move[0]: must be an object, found an integer\n"
		"schema[0].nodes.transform.mapping.a: must be a mapping like {\"type\": \"keyword\"}, found a string\n"
		"schema[0].nodes.transform.renam: unknown field; did you mean `rename`?\n"
		"schema[0].nodes.order_by[1]: must be like \"column\", \"column desc\" or \"column asc nulls last\", "
		"without other spaces and at most 127 bytes long, found \" desc\"\n"
		"schema[0].nodes.expressions.e: must be one SQL expression: it contains a semicolon\n"
		"schema[0].nodes.expressions.f: must be an SQL expression of 1 to 8192 bytes, under a name of 1 to 255 "
		"bytes\n"
		"schema[0].nodes.columns[1]: `->>` returns text: it must be the last step of a JSON path\n"
		"schema[0].nodes.columns[2]: a JSON path starts with a column's name, found \"->x\"\n"
		"schema[0].nodes.columns[3]: a JSON path needs braces after `#>`, as in `doc#>{a,0}`\n"
		"schema[0].nodes.columns[4]: a JSON path needs a key after `->`\n"
		"schema[0].nodes.where: must be one SQL expression: an opening parenthesis is not closed\n"
		"schema[0].nodes.limit: is only for one_to_many children: it limits the list in the parent's document\n"
		"schema[0].nodes.order_by: is only for children: the documents of an index have no order\n"
		"schema[0].nodes.nested: is only for children of the variant `object`: it makes them nested documents\n"
		"schema[0].plugins: `plugins` are Python code, which this program does not run; use `transform`, "
		"`expressions` or an ingest `pipeline` of the search engine instead");
}

/* A name that a rename or a move takes away is no longer a field. */
static void test_names_when_no_engine_accepts_them_then_refused(void **state)
{
	UNUSED(state);
	expect_schema(
		"[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"columns\": [\"_id\", \"_source\", \"_tier\", "
		"\"a\", \"b\"], "
		"\"expressions\": {\"x..y\": \"1\", \"z.\": \"2\"}, \"transform\": {\"rename\": {\"_source\": "
		"\"source\", \"a\": "
		"\"n\", \"b\": \"n\", \"z.\": \"_routing\", \"label\": \"_ignored\"}, \"concat\": {\"columns\": "
		"[\"n\"], "
		"\"destination\": \"_version\"}, \"move\": [{\"column\": \"_tier\", \"destination\": \"a..b\"}, "
		"{\"column\": "
		"\"_ignored\", \"destination\": \"_index.b\"}, {\"column\": \"n\", \"destination\": \"$root.\"}]}, "
		"\"children\": "
		"[{\"table\": \"c\", \"label\": \"label\", \"columns\": [\"_id\", \".c\"], \"transform\": {\"move\": "
		"{\"column\": "
		"\"_id\", \"destination\": \"$root._id\"}}, \"relationship\": {\"type\": \"one_to_many\", \"variant\": "
		"\"object\"}}, {\"table\": \"_seq_no\", \"relationship\": {\"type\": \"one_to_many\", \"variant\": "
		"\"object\"}}]}}]",
		FINDING_ERROR,
		"schema[0].nodes.children[0].columns[1]: search engines reject the field name `.c`: a part between its "
		"dots is empty; give it another name\n"
		"schema[0].nodes.children[0].transform.move.destination: a document cannot have a field `_id`: search "
		"engines reserve that name\n"
		"schema[0].nodes.columns[0]: a document cannot have a field `_id`: search engines reserve that name; "
		"give it another name\n"
		"schema[0].nodes.expressions[\"x..y\"]: search engines reject the field name `x..y`: a part between "
		"its dots is empty; give it another name\n"
		"schema[0].nodes.children[1].label: a document cannot have a field `_seq_no`: search engines reserve "
		"that name; give it another name\n"
		"schema[0].nodes.transform.rename.b: two fields are named `n`, this one and columns[3]; give one of "
		"them another name\n"
		"schema[0].nodes.transform.rename[\"z.\"]: a document cannot have a field `_routing`: search engines "
		"reserve that name; give it another name\n"
		"schema[0].nodes.transform.concat.destination: a document cannot have a field `_version`: search "
		"engines reserve that name; give it another name\n"
		"schema[0].nodes.transform.move[0].destination: \"a..b\" is not a path to a field: it must be \"a.b\" "
		"or \"$root.a.b\"\n"
		"schema[0].nodes.transform.move[1].destination: a document cannot have a field `_index`: search "
		"engines reserve that name\n"
		"schema[0].nodes.transform.move[2].destination: \"$root.\" is not a path to a field: it must be "
		"\"a.b\" or \"$root.a.b\"");
}

static void test_node_when_all_keys_are_given_then_taken(void **state)
{
	_cleanup_json_ json_t *array =
		parse("[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"base_tables\": [\"b\", \"s.b\"], \"where\": "
		      "\"a = ')'\", "
		      "\"expressions\": {\"e\": \"lower(a)\"}, \"transform\": {\"rename\": {\"a\": \"b\"}, "
		      "\"concat\": [{\"columns\": [\"a\", \"-\"], \"destination\": \"c\"}, {\"columns\": [], "
		      "\"destination\": \"d\", \"delimiter\": \", \"}], \"move\": {\"column\": \"a\", \"destination\": "
		      "\"$root.x\"}}, \"children\": [{\"table\": \"c\", \"nested\": true, \"limit\": 3, \"order_by\": "
		      "[\"x\", \"a b DESC\", \"y asc nulls last\"], \"relationship\": {\"type\": \"one_to_many\", "
		      "\"variant\": \"object\"}}]}}]");
	struct schema_document **documents = NULL;
	const struct schema_node *root, *child;
	struct findings f;
	size_t n = 0;

	UNUSED(state);
	findings_init(&f);
	schema_decode(array, "schema", &documents, &n, &f);
	assert_int_equal(f.n, 0);
	root = documents[0]->root;
	child = root->children[0];
	assert_int_equal(root->n_base_tables, 2);
	assert_null(root->base_tables[0].schema);
	assert_string_equal(root->base_tables[0].table, "b");
	assert_string_equal(root->base_tables[1].schema, "s");
	assert_string_equal(root->base_tables[1].table, "b");
	assert_string_equal(root->expressions[0].sql, "lower(a)");
	assert_int_equal(root->transform.n_concats, 2);
	assert_null(root->transform.concats[0].delimiter);
	assert_string_equal(root->transform.concats[1].delimiter, ", ");
	assert_string_equal(root->transform.moves[0].destination, "$root.x");
	assert_true(child->nested);
	assert_int_equal(child->limit, 3);
	assert_int_equal(child->n_order_by, 3);
	assert_string_equal(child->order_by[1].column, "a b");
	assert_true(child->order_by[1].descending && !child->order_by[1].nulls_given);
	assert_true(child->order_by[2].nulls_given && !child->order_by[2].nulls_first);
	schema_document_free(documents[0]);
	free(documents);
	findings_release(&f);
}

static void expect_path(const char *column, const char *label, size_t n)
{
	_cleanup_(schema_column_path_release) struct schema_column_path path = {0};

	assert_true(schema_column_is_path(column));
	assert_null(schema_column_path_parse(column, &path));
	assert_string_equal(path.label, label);
	assert_int_equal(path.n, n);
}

/* The labels are those that pgsync's documentation shows. */
static void test_path_when_parsed_then_pgsyncs_label(void **state)
{
	UNUSED(state);
	expect_path("doc->x->0->y", "doc_x_0_y", 3);
	expect_path("doc#>{a,b,c}->4", "doc_a,b,c_4", 2);
	expect_path("doc->>firstname", "doc_firstname", 1);
	expect_path("doc->a#>>{b,1}", "doc_a_b,1", 2);
	assert_false(schema_column_is_path("a-b>c"));
}

static void test_fragment_when_it_is_one_expression_then_no_problem(void **state)
{
	static const char *const good[] = {
		"a = 1",        "a = ';--/*('",       "\"odd;(name\" > 0",
		"E'\\'(' || b", "$x$;)$x$ || $$(($$", "a IN (1, 2) AND (b)",
		"a$1 = 1",      "E'a'\n'\\'(' = b",   "'a'\n'(' = b",
	};
	static const char *const bad[] = {
		"",
		"  ",
		"a)",
		"(a",
		"a; b",
		"a -- b",
		"a /* b",
		"'a",
		"\"a",
		"$x$ a $y$",
		"a) OR (b",
		"'a\\' || ';'x'",
		"$1",
		"a = $2",
		"E'a' \n '\\'' || (b",
		"E'a'\n'\\''; DROP TABLE t --'",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(schema_sql_problem(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(schema_sql_problem(bad[i]));
}

static void test_names_when_the_schema_alone_shows_that_two_fields_share_one_then_refused(void **state)
{
	UNUSED(state);
	expect_schema(
		"[{\"index\": \"i\", \"routing\": \"titel\", \"nodes\": {\"table\": \"t\", \"columns\": [\"title\", "
		"\"isbn\", "
		"\"doc->a\", \"doc_a\", \"title\", \"c\"], \"expressions\": {\"isbn\": \"1\", \"c\": \"2\"}, "
		"\"transform\": "
		"{\"rename\": {\"doc_a\": \"title\"}}, \"children\": [{\"table\": \"c\", \"relationship\": {\"type\": "
		"\"one_to_one\", \"variant\": \"object\"}}]}}]",
		FINDING_ERROR,
		"schema[0].nodes.transform.rename.doc_a: two fields are named `title`, this one and columns[0]; give "
		"one of them another name\n"
		"schema[0].nodes.transform.rename.doc_a: two fields are named `title`, this one and columns[0]; give "
		"one of them another name\n"
		"schema[0].nodes.expressions.isbn: two fields are named `isbn`, this one and columns[1]; give one of "
		"them another name\n"
		"schema[0].routing: \"titel\" is not one of the root's columns in the document; did you mean `title`?");
	expect_schema("[{\"index\": \"i\", \"routing\": \"low\", \"nodes\": {\"table\": \"t\", \"columns\": "
		      "[\"title\", \"isbn\", \"doc->a\"], "
		      "\"expressions\": {\"low\": \"lower(title)\"}, \"transform\": {\"move\": [{\"column\": \"isbn\", "
		      "\"destination\": "
		      "\"title\"}, {\"column\": \"title\", \"destination\": \"$root.low.x\"}, {\"column\": \"doc_a\", "
		      "\"destination\": "
		      "\"isbn.x\"}]}}}, {\"index\": \"j\", \"routing\": \"doc_a\", \"nodes\": {\"table\": \"t\", "
		      "\"columns\": [\"doc->a\"]}}]",
		      FINDING_ERROR,
		      "schema[0].nodes.transform.move[1].destination: \"$root.low.x\" cannot be the path of a new "
		      "field: another field has that path, or is in its way\n"
		      "schema[0].routing: field \"low\" is the result of `expressions`; route by an unchanged column "
		      "value (renaming is fine), so that a changed row shows where its old document is\n"
		      "schema[1].routing: field \"doc_a\" is the result of a JSON path; route by an unchanged column "
		      "value (renaming is fine), so that a changed row shows where its old document is");
	/* Whether a name that the schema does not list can be used for routing depends on the table. */
	expect_schema("[{\"index\": \"i\", \"routing\": \"titel\", \"nodes\": {\"table\": \"t\"}}]", FINDING_ERROR, "");
}

static void test_labels_when_two_children_share_one_then_refused(void **state)
{
	UNUSED(state);
	expect_schema("[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"children\": ["
		      "{\"table\": \"a\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": \"object\"}}, "
		      "{\"table\": \"b\", \"label\": \"a\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": "
		      "\"object\"}}]}}]",
		      FINDING_ERROR,
		      "schema[0].nodes.children[1].label: \"a\" is also the label of schema[0].nodes.children[0]; give "
		      "one of them another `label`");
}

static void test_scalar_when_it_has_children_then_warned(void **state)
{
	UNUSED(state);
	expect_schema(
		"[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"relationship\": {\"type\": \"one_to_one\", "
		"\"variant\": \"object\"}, \"children\": [{\"table\": \"a\", \"children\": [{\"table\": \"b\", "
		"\"relationship\": {\"type\": \"one_to_one\", \"variant\": \"object\"}}], \"relationship\": {\"type\": "
		"\"one_to_one\", \"variant\": \"scalar\"}}]}}]",
		FINDING_WARNING,
		"schema[0].nodes.children[0].relationship: a scalar node is one column's value: its children do not "
		"appear in the document\n"
		"schema[0].nodes.relationship: has no effect on the root");
}

/* Nodes nested n deep below the root. */
static char *nested(size_t n)
{
	struct strbuf sb;

	strbuf_init(&sb, 1024 * 1024);
	strbuf_adds(&sb, "[{\"index\": \"i\", \"nodes\": {\"table\": \"t\"");
	for (size_t i = 0; i < n; i++)
		strbuf_adds(&sb, ", \"children\": [{\"table\": \"t\", \"relationship\": {\"type\": \"one_to_many\", "
				 "\"variant\": \"object\"}");
	for (size_t i = 0; i < n; i++)
		strbuf_adds(&sb, "}]");
	strbuf_adds(&sb, "}}]");
	return strbuf_detach(&sb);
}

/* A root and n nodes below it, each with at most `most` children. */
static char *tree_of(size_t n, size_t most)
{
	_cleanup_json_ json_t *schema =
		json_pack("[{s:s, s:{s:s, s:[]}}]", "index", "i", "nodes", "table", "t", "children");
	_cleanup_free_ json_t **nodes = xcalloc(n + 1, sizeof(*nodes));

	nodes[0] = json_object_get(json_array_get(schema, 0), "nodes");
	for (size_t i = 1; i <= n; i++) {
		_cleanup_free_ char *label = xasprintf("l%zu", i);

		nodes[i] = json_pack("{s:s, s:s, s:{s:s, s:s}, s:[]}", "table", "t", "label", label, "relationship",
				     "type", "one_to_many", "variant", "object", "children");
		(void)json_array_append_new(json_object_get(nodes[(i - 1) / most], "children"), nodes[i]);
	}
	return json_dumps(schema, 0);
}

static void test_index_name_when_it_is_reserved_then_refused(void **state)
{
	static const char *const refused[] = {".kibana",        ".opendistro_security", "pgsync-checkpoints",
					      "x-dead-letters", "-dead-letters",        "books-g1",
					      "books-g20240101"};
	static const char *const accepted[] = {"pgsync-checkpoints2",
					       "dead-letters",
					       "x-dead-letters2",
					       "books-g",
					       "books-g1a",
					       "g1",
					       "1",
					       "books1",
					       "log-2024",
					       "100%",
					       "a.b"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_free_ char *got = index_errors(refused[i]);

		if (!strstr(got, "is reserved: "))
			fail_msg("\"%s\" is not refused as reserved: %s", refused[i], got);
	}
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
		expect_index(accepted[i], "");
}

static void test_schema_when_it_is_too_long_then_refused(void **state)
{
	_cleanup_free_ char *filler = xcalloc(SCHEMA_BYTES + 1, 1);
	_cleanup_free_ char *text = NULL;

	UNUSED(state);
	memset(filler, 'x', SCHEMA_BYTES);
	text = xasprintf("[{\"index\": \"i\", \"mapping\": {\"x\": \"%s\"}, \"nodes\": {\"table\": \"t\"}}]", filler);
	expect_schema(text, FINDING_ERROR, "schema: must be at most 1572864 bytes long without blanks, found 1572920");
}

static void test_tree_when_it_is_too_large_then_refused(void **state)
{
	_cleanup_json_ json_t *deep = NULL;
	_cleanup_free_ char *text = nested(32);
	_cleanup_free_ char *many = tree_of(256, 64);
	_cleanup_free_ char *enough = tree_of(255, 64);
	_cleanup_free_ char *wide = tree_of(65, 65);
	struct schema_document **documents = NULL;
	struct findings f;
	size_t n = 0;

	UNUSED(state);
	expect_schema(enough, FINDING_ERROR, "");
	expect_schema(many, FINDING_ERROR, "schema[0].nodes: must have at most 256 nodes, found 257");
	expect_schema(wide, FINDING_ERROR, "schema[0].nodes.children: must contain at most 64 nodes, found 65");
	/* Deeper than texts may be nested, but not than a ConfigMap of the API server. */
	deep = json_loads(text, 0, NULL);
	findings_init(&f);
	schema_decode(deep, "schema", &documents, &n, &f);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.items[0].message, "the tree is deeper than 32 levels");
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	findings_release(&f);
}

static void test_node_when_it_is_invalid_then_the_rest_of_it_is_there(void **state)
{
	_cleanup_json_ json_t *array = parse(
		"[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"columns\": [\"a\", 1, \"b\"], \"order_bi\": [], "
		"\"where\": \"1; 2\", \"expressions\": {\"x\": \"(\", \"y\": \"1\"}, \"transform\": {\"concat\": "
		"[{\"columns\": [\"a\"]}, {\"columns\": [\"a\"], \"destination\": \"d\"}]}, \"children\": "
		"[{\"table\": \"u\", \"primary_key\": [\"k\"], \"relationship\": {\"type\": \"many\", \"variant\": "
		"\"scalar\", \"foreign_key\": {\"child\": [\"c\"], \"parent\": [1, \"p\"]}}}]}}]");
	struct schema_document **documents = NULL;
	const struct schema_node *root, *child;
	struct findings f;
	size_t n = 0;

	UNUSED(state);
	findings_init(&f);
	schema_decode(array, "spec.schema", &documents, &n, &f);
	assert_true(documents[0]->invalid);
	root = documents[0]->root;
	assert_int_equal(root->columns.n, 3);
	assert_string_equal(root->columns.items[1], "");
	assert_string_equal(root->columns.items[2], "b");
	assert_null(root->where);
	assert_int_equal(root->n_expressions, 1);
	assert_string_equal(root->expressions[0].name, "y");
	assert_int_equal(root->transform.n_concats, 1);
	assert_string_equal(root->transform.concats[0].destination, "d");
	assert_true(schema_key_is_invalid(root, "columns"));
	assert_true(schema_key_is_invalid(root, "where"));
	assert_true(schema_key_is_invalid(root, "order_by")); /* an unknown key may be a misspelling of it */
	assert_true(schema_key_is_invalid(root, "expressions.x"));
	assert_false(schema_key_is_invalid(root, "expressions.y"));
	assert_false(schema_key_is_invalid(root, "table"));
	assert_false(schema_key_is_invalid(root, "primary_key"));
	child = root->children[0];
	assert_false(schema_key_is_invalid(child, "primary_key"));
	assert_false(schema_key_is_invalid(child, "relationship.variant"));
	assert_true(schema_key_is_invalid(child, "relationship.type"));
	assert_true(schema_key_is_invalid(child, "relationship.foreign_key"));
	assert_string_equal(child->relationship.fk_child.items[0], "c");
	assert_string_equal(child->relationship.fk_parent.items[1], "p");
	assert_false(findings_any_about(&f, "spec.source"));
	assert_true(findings_any_about(&f, "spec.schema"));
	schema_document_free(documents[0]);
	free(documents);
	findings_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema_when_it_is_not_documents_then_refused),
		cmocka_unit_test(test_index_name_when_the_engine_would_refuse_it_then_refused),
		cmocka_unit_test(test_node_when_keys_are_invalid_then_each_is_named),
		cmocka_unit_test(test_relationship_when_it_is_invalid_then_named),
		cmocka_unit_test(test_node_when_a_key_has_no_meaning_there_then_refused),
		cmocka_unit_test(test_node_when_it_is_invalid_then_the_rest_of_it_is_there),
		cmocka_unit_test(test_names_when_no_engine_accepts_them_then_refused),
		cmocka_unit_test(test_node_when_all_keys_are_given_then_taken),
		cmocka_unit_test(test_path_when_parsed_then_pgsyncs_label),
		cmocka_unit_test(test_fragment_when_it_is_one_expression_then_no_problem),
		cmocka_unit_test(test_names_when_the_schema_alone_shows_that_two_fields_share_one_then_refused),
		cmocka_unit_test(test_labels_when_two_children_share_one_then_refused),
		cmocka_unit_test(test_scalar_when_it_has_children_then_warned),
		cmocka_unit_test(test_index_name_when_it_is_reserved_then_refused),
		cmocka_unit_test(test_schema_when_it_is_too_long_then_refused),
		cmocka_unit_test(test_tree_when_it_is_too_large_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
