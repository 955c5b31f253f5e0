/* Tests of decoding a PgSync's spec and its schema.json: what is accepted, and every message about what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "schema/samples_int.h"

#define CHILD(relationship)                                                                                  \
	"[{\"index\": \"books\", \"nodes\": {\"table\": \"books\", \"children\": [{\"table\": \"authors\", " \
	"\"relationship\": " relationship "}]}}]"

static void expect(const struct findings *f, enum finding_severity severity, const char *want)
{
	_cleanup_free_ char *got = findings_join(f, severity, "\n");

	assert_string_equal(got, want);
}

/* The errors of a resource, one a line. */
static void expect_errors(const char *text, const char *want)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	findings_init(&f);
	spec = decode(text, &f);
	assert_non_null(spec);
	expect(&f, FINDING_ERROR, want);
	findings_release(&f);
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

/* --- accepted */

static void test_spec_when_minimal_then_defaults(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA), &f);
	assert_int_equal(f.n, 0);
	assert_int_equal(s->source.port, 5432);
	assert_int_equal(s->source.tls, TLS_DISABLE);
	assert_int_equal(s->source.replica_identity, IDENTITY_MANAGE);
	assert_int_equal(s->source.slot_lost, SLOT_LOST_RESYNC);
	assert_int_equal(s->sink.auth, AUTH_NONE);
	assert_int_equal(s->sink.bulk_max_bytes, 8388608);
	assert_int_equal(s->sink.bulk_concurrency, 2);
	assert_int_equal(s->sink.bulk_flush_milliseconds, 20);
	assert_int_equal(s->bootstrap_parallelism, 2);
	assert_int_equal(s->lag_target_seconds, 60);
	assert_int_equal(s->delete_slot, POLICY_DELETE);
	assert_int_equal(s->delete_index, POLICY_RETAIN);
	assert_int_equal(s->delete_checkpoint, POLICY_DELETE);
	assert_int_equal(s->placement, PLACEMENT_PROCESS);
	assert_int_equal(s->n_documents, 1);
	assert_string_equal(s->documents[0]->root->schema, "public");
	assert_string_equal(s->documents[0]->root->label, "books");
	assert_string_equal(s->documents[0]->root->path, "spec.schema[0].nodes");
	findings_release(&f);
}

static void test_spec_when_everything_is_given_then_taken(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	const struct node *child;

	UNUSED(state);
	findings_init(&f);
	s = decode(everything, &f);
	expect(&f, FINDING_ERROR, "");
	assert_int_equal(f.n, 0);
	assert_int_equal(s->source.tls, TLS_VERIFY_FULL);
	assert_string_equal(s->source.ca.key, "ca.crt");
	assert_string_equal(s->source.password_ref.key, "password");
	assert_string_equal(s->source.slot_name, "slot_1");
	assert_string_equal(s->source.publication_name, "Pub");
	assert_true(s->source.failover);
	assert_int_equal(s->sink.urls.n, 2);
	assert_int_equal(s->sink.auth, AUTH_API_KEY);
	assert_string_equal(s->sink.ca.key, "root.pem");
	assert_int_equal(s->sink.bulk_flush_milliseconds, 0);
	assert_int_equal(s->delete_slot, POLICY_RETAIN);
	assert_int_equal(s->delete_index, POLICY_DELETE);
	assert_int_equal(s->resync_nonce, 7);
	assert_int_equal(s->documents[0]->root->columns.n, 3);
	child = s->documents[0]->root->children[0];
	assert_string_equal(child->path, "spec.schema[0].nodes.children[0]");
	assert_ptr_equal(child->parent, s->documents[0]->root);
	assert_int_equal(child->relationship.type, RELATION_ONE_TO_ONE);
	assert_int_equal(child->relationship.variant, VARIANT_SCALAR);
	assert_string_equal(child->relationship.through->schema, "x");
	assert_string_equal(child->relationship.through->table, "y");
	assert_string_equal(child->relationship.fk_child.items[0], "q");
	assert_string_equal(child->relationship.fk_parent.items[0], "w");
	findings_release(&f);
}

static void expect_slot(const char *metadata, const char *want)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"metadata\": {%s}, \"spec\": {" MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA "}}", metadata);
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	findings_init(&f);
	s = decode(text, &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->source.slot_name, want);
	assert_string_equal(s->source.publication_name, want);
	assert_true(strlen(want) <= 63);
	findings_release(&f);
}

static void test_slot_name_when_not_given_then_derived_and_cut_before_the_uid(void **state)
{
	UNUSED(state);
	expect_slot("\"name\": \"my.books\", \"namespace\": \"shop-1\", \"uid\": \"0A1b2c3d-4e5f\"",
		    "pgsync_shop_1_my_books_0a1b2c3d");
	expect_slot("\"name\": \"a-name-that-is-so-long-that-it-does-not-fit-any-more\", \"namespace\": "
		    "\"a-namespace-of-some-length\", \"uid\": \"12345678-9\"",
		    "pgsync_a_namespace_of_some_length_a_name_that_is_so_lo_12345678");
}

static void test_slot_name_when_there_is_no_uid_then_names_that_sanitise_alike_differ(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *a = NULL;
	_cleanup_(spec_freep) struct spec *b = NULL;

	UNUSED(state);
	findings_init(&f);
	a = decode("{\"metadata\": {\"name\": \"a.b\"}, \"spec\": {}}", &f);
	b = decode("{\"metadata\": {\"name\": \"a-b\"}, \"spec\": {}}", &f);
	assert_int_equal(strncmp(a->source.slot_name, "pgsync_default_a_b_", 19), 0);
	assert_int_equal(strlen(a->source.slot_name), 27);
	assert_string_not_equal(a->source.slot_name, b->source.slot_name);
	findings_release(&f);
}

static void test_schema_hash_when_only_other_fields_differ_then_equal(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *a = NULL;
	_cleanup_(spec_freep) struct spec *b = NULL;
	_cleanup_(spec_freep) struct spec *c = NULL;

	UNUSED(state);
	findings_init(&f);
	a = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA), &f);
	b = decode(RESOURCE(MINIMAL_SOURCE ", \"suspend\": true, " MINIMAL_SINK
					   ", \"schema\": [{\"nodes\": {\"table\": \"books\"}, \"index\": \"books\"}]"),
		   &f);
	c = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK
					   ", \"schema\": [{\"nodes\": {\"table\": \"book\"}, \"index\": \"books\"}]"),
		   &f);
	assert_string_equal(a->schema_hash, b->schema_hash);
	assert_string_not_equal(a->schema_hash, c->schema_hash);
	findings_release(&f);
}

/* --- refused */

static void test_spec_when_much_is_wrong_then_every_violation_is_named(void **state)
{
	UNUSED(state);
	expect_errors(
		"{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": \"Books\"}, \"spec\": {"
		"\"source\": {\"port\": 70000, \"tls\": {\"mode\": \"VerifyFul\"}, \"pasword\": 1}, "
		"\"sink\": {\"urls\": [\"opensearch:9200\", \"http://u:p@h\", \"http://h/?q\"], "
		"\"authentication\": {\"type\": \"Basic\"}}}}",
		"kind: must be PgSync, found \"Pod\"\n"
		"apiVersion: must be pgsync.io/v1alpha1, found \"v1\"\n"
		"metadata.name: must be a name of a-z, 0-9, '-' and '.', found \"Books\"\n"
		"spec.source.port: must be an integer between 1 and 65535, found 70000\n"
		"spec.source.tls.mode: must be one of `Disable`, `Prefer`, `Require`, `VerifyCA`, `VerifyFull`, found "
		"\"VerifyFul\"; did you mean `VerifyFull`?\n"
		"spec.source.pasword: unknown field; the fields here are `host`, `port`, `database`, `user`, "
		"`passwordSecretRef`, `connectionSecretRef`, `tls`, `replication`\n"
		"spec.source: exactly one of `host` and `connectionSecretRef` must be set, found neither\n"
		"spec.sink.urls[0]: must be http://HOST[:PORT] or https://HOST[:PORT]\n"
		"spec.sink.urls[1]: may not hold a user or password; use `sink.authentication` with a Secret\n"
		"spec.sink.urls[2]: may not hold blanks, a query or a fragment\n"
		"spec.sink.authentication.secretRef: is required: type Basic takes its values from a Secret\n"
		"spec.schema: exactly one of `schema` and `schemaConfigMapRef` must be set, found neither");
}

static void test_spec_when_capability_is_missing_then_not_supported(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = decode(RESOURCE(MINIMAL_SOURCE
			    ", " MINIMAL_SINK ", " MINIMAL_SCHEMA
			    ", \"checkpoint\": {\"store\": \"Redis\", \"redis\": {\"url\": \"redis://r\"}}, "
			    "\"worker\": {\"placement\": \"Pod\"}"),
		   &f);
	expect(&f, FINDING_ERROR,
	       "spec.worker.placement: Pod is not supported by this version; use Process\n"
	       "spec.checkpoint.store: Redis is not supported by this version; use Sink");
	assert_string_equal(f.items[0].reason, "NotSupported");
	assert_string_equal(f.items[1].reason, "NotSupported");
	findings_release(&f);
}

static void test_spec_when_references_are_not_names_then_refused(void **state)
{
	UNUSED(state);
	expect_errors(
		RESOURCE("\"source\": {\"host\": \"h\", \"database\": \"d\", \"user\": \"u\", \"passwordSecretRef\": "
			 "{\"name\": \"../p\", \"key\": \"a/b\"}, \"tls\": {\"mode\": \"VerifyCA\"}, "
			 "\"replication\": {\"slotName\": \"Slot-1\"}}, "
			 "\"sink\": {\"urls\": [], \"authentication\": {\"secretRef\": {\"name\": "
			 "\"x\"}}}, " MINIMAL_SCHEMA),
		"spec.source.passwordSecretRef.name: must be the name of an object (a-z, 0-9, '-' and '.'), "
		"found \"../p\"\n"
		"spec.source.passwordSecretRef.key: must be a key (letters, digits, '-', '_' and '.'), found "
		"\"a/b\"\n"
		"spec.source.tls: mode VerifyCA needs `caSecretRef`, the certificate authority to verify against\n"
		"spec.source.replication.slotName: must consist of a-z, 0-9 and _, found \"Slot-1\"\n"
		"spec.sink.urls: must hold 1 to 16 URLs, found 0\n"
		"spec.sink.authentication.type: must be Basic, APIKey or Bearer when `secretRef` is set");
}

static void test_sink_when_a_port_is_none_then_refused(void **state)
{
	UNUSED(state);
	expect_errors(RESOURCE(MINIMAL_SOURCE ", \"sink\": {\"urls\": [\"http://a:99999\", \"http://a:12x/p\", "
					      "\"http://[::1]:9200\", \"http://a\"]}, " MINIMAL_SCHEMA),
		      "spec.sink.urls[0]: the port must be between 1 and 65535, one for each URL\n"
		      "spec.sink.urls[1]: the port must be between 1 and 65535, one for each URL");
}

static void test_name_when_it_is_longer_than_the_resource_allows_then_refused(void **state)
{
	static const char resource[] = "{\"metadata\": {\"name\": \"%s\"}, \"spec\": {" MINIMAL_SOURCE ", " MINIMAL_SINK
				       ", " MINIMAL_SCHEMA "}}";
	static const char name[] = "a-name-of-fifty-two-characters-and-not-one-more-0052";
	_cleanup_free_ char *good = xasprintf(resource, name);
	_cleanup_free_ char *longer = xasprintf("%s-", name);
	_cleanup_free_ char *bad = NULL;

	UNUSED(state);
	longer[strlen(longer) - 1] = '3';
	bad = xasprintf(resource, longer);
	expect_errors(good, "");
	expect_errors(
		bad, "metadata.name: must be at most 52 characters, found 53: names of slots and other things are made "
		     "from it");
}

static void test_databases_when_they_differ_then_refused(void **state)
{
	UNUSED(state);
	expect_errors(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", \"schema\": [{\"database\": \"other\", \"nodes\": "
					      "{\"table\": \"t\"}}]"),
		      "spec.schema[0].database: must be \"bookstore\", the database of the source and of every "
		      "document, found \"other\"; another database needs a PgSync of its own");
}

static void test_schema_when_it_is_not_documents_then_refused(void **state)
{
	UNUSED(state);
	expect_schema("{\"index\": \"books\"}", FINDING_ERROR,
		      "schema: must be an array of documents, found an object");
	expect_schema("[]", FINDING_ERROR, "schema: must hold 1 to 16 documents, found 0");
	expect_schema("[{\"index\": \"a\", \"nodes\": {}}, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
		      FINDING_ERROR,
		      "schema: must hold 1 to 16 documents, found 17\n"
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
		"schema[2].nodes: must be an object, the root node, found an array (the format of pgsync 1); "
		"write its one element without the brackets\n"
		"schema[2].nodes[0].tabel: unknown field; did you mean `table`?\n"
		"schema[2].index: is required: the name of the index to fill\n"
		"schema[3].index: index \"a\" is also that of schema[1]; every document needs an index of its own");
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
	expect_index("a/b", "schema[0].index: index name \"a/b\" may not hold '/'");
	expect_index("a b", "schema[0].index: index name \"a b\" may not hold ' '");
	expect_index("a#", "schema[0].index: index name \"a#\" may not hold '#'");
	expect_index("a:b", "schema[0].index: index name \"a:b\" may not hold ':'");
	expect_index("_a", "schema[0].index: index name \"_a\" may not start with '_'");
	expect_index("..", "schema[0].index: index name may not be \"..\"");
	expect_index("a\\tb", "schema[0].index: an index name may not hold control characters");
	expect_index("", "schema[0].index: must be 1 to 200 bytes long, found 0");
	memset(longest, 'a', 201);
	longest[201] = '\0';
	expect_index(longest, "schema[0].index: must be 1 to 200 bytes long, found 201");
	longest[200] = '\0';
	expect_index(longest, "");
}

static void test_node_when_keys_are_wrong_then_each_is_named(void **state)
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

static void test_relationship_when_it_is_wrong_then_named(void **state)
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
		      "\"schema.table\"\n"
		      "schema[0].nodes.children[0].relationship.foreign_key: must name as many `child` columns as "
		      "`parent` columns, found 2 and 1");
	expect_schema(CHILD("{\"type\": \"one_to_one\", \"variant\": \"object\", \"foreign_key\": {\"child\": []}}"),
		      FINDING_ERROR,
		      "schema[0].nodes.children[0].relationship.foreign_key.child: must be a list of column names\n"
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
		"them as "
		"JSON paths (\"doc->key\") and rename these\n"
		"schema[0].nodes.transform.replace.a: must be an object of {\"search\": \"replacement\"}, found a "
		"string\n"
		"schema[0].nodes.transform.replace.c[\"\"]: must map a text to search for to a text of at most 8192 "
		"bytes\n"
		"schema[0].nodes.transform.concat.destination: is required\n"
		"schema[0].nodes.transform.move[0]: must be an object, found an integer\n"
		"schema[0].nodes.transform.mapping.a: must be a mapping like {\"type\": \"keyword\"}, found a "
		"string\n"
		"schema[0].nodes.transform.renam: unknown field; did you mean `rename`?\n"
		"schema[0].nodes.order_by[1]: must be like \"column\", \"column desc\" or \"column asc nulls last\", "
		"without other blanks, found \" desc\"\n"
		"schema[0].nodes.expressions.e: must be one SQL expression: it holds a semicolon\n"
		"schema[0].nodes.expressions.f: must be an SQL expression of 1 to 8192 bytes, under a name of 1 to 255 "
		"bytes\n"
		"schema[0].nodes.columns[1]: `->>` gives text: it must be the last step of a JSON path\n"
		"schema[0].nodes.columns[2]: a JSON path starts with a column's name, found \"->x\"\n"
		"schema[0].nodes.columns[3]: a JSON path needs braces after `#>`, as in `doc#>{a,0}`\n"
		"schema[0].nodes.columns[4]: a JSON path needs a key after `->`\n"
		"schema[0].nodes.where: must be one SQL expression: an opening parenthesis is not closed\n"
		"schema[0].nodes.limit: is for one_to_many children: it bounds the list in the parent's document\n"
		"schema[0].nodes.order_by: is for children: the documents of an index have no order\n"
		"schema[0].nodes.nested: is for children of the variant `object`: it makes them nested documents\n"
		"schema[0].plugins: `plugins` are Python code of pgsync and do not run here; use `transform`, "
		"`expressions` or an ingest `pipeline` of the search engine instead");
}

/* What a rename or a move takes away is no field any more. */
static void test_names_when_no_engine_takes_them_then_refused(void **state)
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
		"schema[0].nodes.children[0].columns[1]: search engines take no field `.c`: a word between its dots is "
		"empty; give it another name\n"
		"schema[0].nodes.children[0].transform.move.destination: no document can have a field `_id`: search "
		"engines have one of their own\n"
		"schema[0].nodes.columns[0]: no document can have a field `_id`: search engines have one of their own; "
		"give it another name\n"
		"schema[0].nodes.expressions[\"x..y\"]: search engines take no field `x..y`: a word between its dots "
		"is "
		"empty; "
		"give it another name\n"
		"schema[0].nodes.children[1].label: no document can have a field `_seq_no`: search engines have one of "
		"their own; give it another name\n"
		"schema[0].nodes.transform.rename.b: two fields are named `n`, this one and that of columns[3]; give "
		"one of them another name\n"
		"schema[0].nodes.transform.rename[\"z.\"]: no document can have a field `_routing`: search engines "
		"have one of "
		"their own; give it another name\n"
		"schema[0].nodes.transform.concat.destination: no document can have a field `_version`: search engines "
		"have one of their own; give it another name\n"
		"schema[0].nodes.transform.move[0].destination: \"a..b\" is no path to a field: it must be \"a.b\" or "
		"\"$root.a.b\"\n"
		"schema[0].nodes.transform.move[1].destination: no document can have a field `_index`: search engines "
		"have one of their own\n"
		"schema[0].nodes.transform.move[2].destination: \"$root.\" is no path to a field: it must be \"a.b\" "
		"or "
		"\"$root.a.b\"");
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
	const struct node *root, *child;
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
	_cleanup_(column_path_release) struct column_path path = {0};

	assert_true(column_is_path(column));
	assert_null(column_path_parse(column, &path));
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
	assert_false(column_is_path("a-b>c"));
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
		assert_null(sql_fragment_problem(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(sql_fragment_problem(bad[i]));
}

static void test_documents_when_given_then_another_hash(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *a = NULL;
	_cleanup_(spec_freep) struct spec *b = NULL;

	UNUSED(state);
	findings_init(&f);
	a = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA), &f);
	b = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA
					   ", \"documents\": {\"meta\": \"Pgsync\", \"idFormat\": \"Pgsync\", "
					   "\"mapping\": \"Dynamic\"}"),
		   &f);
	assert_int_equal(f.n, 0);
	assert_int_equal(a->documents_as.meta, META_NONE);
	assert_int_equal(a->documents_as.id_format, ID_ESCAPED);
	assert_int_equal(a->documents_as.mapping, MAPPING_GENERATED);
	assert_int_equal(b->documents_as.meta, META_PGSYNC);
	assert_int_equal(b->documents_as.id_format, ID_PGSYNC);
	assert_int_equal(b->documents_as.mapping, MAPPING_DYNAMIC);
	assert_string_not_equal(a->schema_hash, b->schema_hash);
	findings_release(&f);
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
		"schema[0].nodes.transform.rename.doc_a: two fields are named `title`, this one and that of "
		"columns[0]; give "
		"one of them another name\n"
		"schema[0].nodes.transform.rename.doc_a: two fields are named `title`, this one and that of "
		"columns[0]; give "
		"one of them another name\n"
		"schema[0].nodes.expressions.isbn: two fields are named `isbn`, this one and that of columns[1]; give "
		"one of "
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
		      "schema[0].nodes.transform.move[1].destination: \"$root.low.x\" is no path to a new field: "
		      "another field is "
		      "there, or in the way\n"
		      "schema[0].routing: field \"low\" is made by `expressions`; route by a column's value as it is "
		      "(it may be "
		      "renamed), so that a changed row says where its old document is\n"
		      "schema[1].routing: field \"doc_a\" is made by `a JSON path`; route by a column's value as it is "
		      "(it may be "
		      "renamed), so that a changed row says where its old document is");
	/* What a name is routed by is known of the table only when its columns are not listed. */
	expect_schema("[{\"index\": \"i\", \"routing\": \"titel\", \"nodes\": {\"table\": \"t\"}}]", FINDING_ERROR, "");
}

static void test_labels_when_two_children_share_one_then_refused(void **state)
{
	UNUSED(state);
	expect_schema(
		"[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"children\": ["
		"{\"table\": \"a\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": \"object\"}}, "
		"{\"table\": \"b\", \"label\": \"a\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": "
		"\"object\"}}]}}]",
		FINDING_ERROR,
		"schema[0].nodes.children[1].label: \"a\" is also that of schema[0].nodes.children[0]; give one of "
		"them another `label`");
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

/* Of n nodes beside each other. */
static char *wide(size_t n)
{
	struct strbuf sb;

	strbuf_init(&sb, 1024 * 1024);
	strbuf_adds(&sb, "[{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"children\": [");
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&sb,
			    "%s{\"table\": \"t\", \"label\": \"l%zu\", \"relationship\": {\"type\": \"one_to_many\", "
			    "\"variant\": \"object\"}}",
			    i ? ", " : "", i);
	strbuf_adds(&sb, "]}}]");
	return strbuf_detach(&sb);
}

static void test_tree_when_it_is_too_large_then_refused(void **state)
{
	_cleanup_json_ json_t *deep = NULL;
	_cleanup_free_ char *text = nested(32);
	_cleanup_free_ char *many = wide(256);
	_cleanup_free_ char *enough = wide(255);
	struct schema_document **documents = NULL;
	struct findings f;
	size_t n = 0;

	UNUSED(state);
	expect_schema(enough, FINDING_ERROR, "");
	expect_schema(many, FINDING_ERROR, "schema[0].nodes: must have at most 256 nodes, found 257");
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

static void test_node_when_it_is_flawed_then_the_rest_of_it_is_there(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	const struct node *root, *child;

	UNUSED(state);
	findings_init(&f);
	s = decode(RESOURCE(MINIMAL_SOURCE
			    ", " MINIMAL_SINK
			    ", \"schema\": [{\"index\": \"i\", \"nodes\": {\"table\": \"t\", \"columns\": "
			    "[\"a\", 1, \"b\"], \"order_bi\": [], \"where\": \"1; 2\", \"expressions\": "
			    "{\"x\": \"(\", \"y\": \"1\"}, \"transform\": {\"concat\": [{\"columns\": "
			    "[\"a\"]}, {\"columns\": [\"a\"], \"destination\": \"d\"}]}, \"children\": "
			    "[{\"table\": \"u\", \"primary_key\": [\"k\"], \"relationship\": {\"type\": "
			    "\"many\", \"variant\": \"scalar\", \"foreign_key\": {\"child\": [\"c\"], "
			    "\"parent\": [1, \"p\"]}}}]}}]"),
		   &f);
	assert_true(s->documents[0]->flawed);
	root = s->documents[0]->root;
	assert_int_equal(root->columns.n, 3);
	assert_string_equal(root->columns.items[1], "");
	assert_string_equal(root->columns.items[2], "b");
	assert_null(root->where);
	assert_int_equal(root->n_expressions, 1);
	assert_string_equal(root->expressions[0].name, "y");
	assert_int_equal(root->transform.n_concats, 1);
	assert_string_equal(root->transform.concats[0].destination, "d");
	assert_true(node_is_flawed(root, "columns"));
	assert_true(node_is_flawed(root, "where"));
	assert_true(node_is_flawed(root, "order_by")); /* what is unknown may be meant to be it */
	assert_true(node_is_flawed(root, "expressions.x"));
	assert_false(node_is_flawed(root, "expressions.y"));
	assert_false(node_is_flawed(root, "table"));
	assert_false(node_is_flawed(root, "primary_key"));
	child = root->children[0];
	assert_false(node_is_flawed(child, "primary_key"));
	assert_false(node_is_flawed(child, "relationship.variant"));
	assert_true(node_is_flawed(child, "relationship.type"));
	assert_true(node_is_flawed(child, "relationship.foreign_key"));
	assert_string_equal(child->relationship.fk_child.items[0], "c");
	assert_string_equal(child->relationship.fk_parent.items[1], "p");
	assert_true(spec_part_is_sound(&f, "spec.source"));
	assert_true(spec_part_is_sound(&f, "spec.sink"));
	assert_false(spec_part_is_sound(&f, "spec.schema"));
	findings_release(&f);
}

static void test_spec_when_a_part_is_wrong_then_that_part_is_not_sound(void **state)
{
	static const struct {
		const char *path;
		bool source_is_sound;
	} rows[] = {
		{"spec.sink.urls[0]", true},
		{"spec.sources", true},
		{"spec.source", false},
		{"spec.source.tls.caSecretRef", false},
		{"spec", false},
		{"", false},
		{"configmap/a/b[0].nodes", true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;

		findings_init(&f);
		findings_add(&f, FINDING_WARNING, "InvalidSpec", "spec.source", "is odd");
		assert_true(spec_part_is_sound(&f, "spec.source"));
		findings_add(&f, FINDING_ERROR, "InvalidSpec", rows[i].path, "is wrong");
		assert_int_equal(spec_part_is_sound(&f, "spec.source"), rows[i].source_is_sound);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_when_minimal_then_defaults),
		cmocka_unit_test(test_spec_when_everything_is_given_then_taken),
		cmocka_unit_test(test_slot_name_when_not_given_then_derived_and_cut_before_the_uid),
		cmocka_unit_test(test_slot_name_when_there_is_no_uid_then_names_that_sanitise_alike_differ),
		cmocka_unit_test(test_schema_hash_when_only_other_fields_differ_then_equal),
		cmocka_unit_test(test_spec_when_much_is_wrong_then_every_violation_is_named),
		cmocka_unit_test(test_spec_when_capability_is_missing_then_not_supported),
		cmocka_unit_test(test_spec_when_references_are_not_names_then_refused),
		cmocka_unit_test(test_sink_when_a_port_is_none_then_refused),
		cmocka_unit_test(test_name_when_it_is_longer_than_the_resource_allows_then_refused),
		cmocka_unit_test(test_databases_when_they_differ_then_refused),
		cmocka_unit_test(test_schema_when_it_is_not_documents_then_refused),
		cmocka_unit_test(test_index_name_when_the_engine_would_refuse_it_then_refused),
		cmocka_unit_test(test_node_when_keys_are_wrong_then_each_is_named),
		cmocka_unit_test(test_relationship_when_it_is_wrong_then_named),
		cmocka_unit_test(test_node_when_a_key_has_no_meaning_there_then_refused),
		cmocka_unit_test(test_node_when_it_is_flawed_then_the_rest_of_it_is_there),
		cmocka_unit_test(test_spec_when_a_part_is_wrong_then_that_part_is_not_sound),
		cmocka_unit_test(test_names_when_no_engine_takes_them_then_refused),
		cmocka_unit_test(test_node_when_all_keys_are_given_then_taken),
		cmocka_unit_test(test_path_when_parsed_then_pgsyncs_label),
		cmocka_unit_test(test_fragment_when_it_is_one_expression_then_no_problem),
		cmocka_unit_test(test_documents_when_given_then_another_hash),
		cmocka_unit_test(test_names_when_the_schema_alone_shows_that_two_fields_share_one_then_refused),
		cmocka_unit_test(test_labels_when_two_children_share_one_then_refused),
		cmocka_unit_test(test_scalar_when_it_has_children_then_warned),
		cmocka_unit_test(test_tree_when_it_is_too_large_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
