/* Test that no schema takes long to decode, within the bounds or beyond them: the time must grow with the size of the
 * text, and not with the number of pairs of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/cpu.h"
#include "schema/schema.h"

/* RATIO: to the time that the same text takes to parse, on the same machine. Comparing all pairs takes more. */
enum { RATIO = 80, SCHEMA_ROOM = 600 * 1000, CHILDREN = 63, NODES = 250 };

/* An array of n texts that begin with the prefix and differ. */
static json_t *texts(const char *prefix, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *text = xasprintf("%s%zu", prefix, i);

		(void)json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *unknown_keys(const char *prefix, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = xasprintf("%s%zu", prefix, i);

		(void)json_object_set_new(object, key, json_integer(1));
	}
	return object;
}

static json_t *renames(const char *from, const char *to, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = xasprintf("%s%zu", from, i);
		_cleanup_free_ char *name = xasprintf("%s%zu", to, i);

		(void)json_object_set_new(object, key, json_string(name));
	}
	return object;
}

static json_t *moves(const char *column, const char *destination, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *from = xasprintf("%s%zu", column, i);
		_cleanup_free_ char *to = xasprintf("%s%zu", destination, i);

		(void)json_array_append_new(array, json_pack("{s:s, s:s}", "column", from, "destination", to));
	}
	return array;
}

/* As many nodes with these keys as there is room for, in a tree. */
static json_t *schema_of(json_t *keys_take)
{
	size_t n = SCHEMA_ROOM / (json_dumpb(keys_take, NULL, 0, JSON_COMPACT) + 150);
	json_t *root = json_pack("{s:s, s:[]}", "table", "t", "children");
	json_t *schema = json_pack("[{s:s, s:s, s:o}]", "index", "i", "routing", "none", "nodes", root);
	json_t *parent = root;

	for (size_t i = 0; i < (n ? n : 1) && i < NODES; i++) {
		_cleanup_free_ char *label = xasprintf("label%zu", i);
		json_t *node = json_pack("{s:s, s:s, s:{s:s, s:s}, s:[]}", "table", "t", "label", label, "relationship",
					 "type", "one_to_many", "variant", "object", "children");

		(void)json_object_update_missing(node, keys_take);
		(void)json_array_append_new(json_object_get(parent, "children"), node);
		if (json_array_size(json_object_get(parent, "children")) == CHILDREN)
			parent = node;
	}
	json_decref(keys_take);
	return schema;
}

static double seconds_to_parse(const json_t *schema)
{
	_cleanup_free_ char *text = json_dumps(schema, 0);
	double start = thread_seconds();

	json_decref(json_loads(text, 0, NULL));
	return thread_seconds() - start;
}

static double seconds_to_decode(const json_t *schema)
{
	struct schema_document **documents = NULL;
	double start = thread_seconds();
	struct findings f;
	size_t n = 0;

	findings_init(&f);
	schema_decode(schema, "schema", &documents, &n, &f);
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	findings_release(&f);
	return thread_seconds() - start;
}

static void expect_quick(const char *what, json_t *schema_take)
{
	double parse = seconds_to_parse(schema_take), decode = seconds_to_decode(schema_take);

	json_decref(schema_take);
	print_message("%s: %.0f times the time to parse it, %.3f s\n", what, decode / parse, decode);
	if (decode > RATIO * parse)
		fail_msg("%s: decoding takes %.0f times as long as parsing", what, decode / parse);
}

static void test_decode_when_the_schema_is_the_worst_then_quick(void **state)
{
	UNUSED(state);
	expect_quick("60,000 columns of one node", schema_of(json_pack("{s:o}", "columns", texts("column", 60000))));
	expect_quick("columns that are renamed and moved",
		     schema_of(json_pack("{s:o, s:{s:o, s:o}}", "columns", texts("c", 1600), "transform", "rename",
					 renames("c", "r", 256), "move", moves("c", "d", 256))));
	expect_quick("an error in each column of many nodes",
		     schema_of(json_pack("{s:o}", "columns", texts("->", 160))));
	expect_quick("unknown keys of one node", schema_of(unknown_keys("relationships", 40000)));
	expect_quick("unknown keys of each node", schema_of(unknown_keys("relationships", 200)));
	expect_quick("unknown keys of transform",
		     schema_of(json_pack("{s:o}", "transform", unknown_keys("renames", 200))));
	expect_quick("renames without a name",
		     schema_of(json_pack("{s:{s:o}}", "transform", "rename", unknown_keys("c", 256))));
	expect_quick("expressions of the same names as columns",
		     schema_of(json_pack("{s:o, s:o}", "columns", texts("c", 1600), "expressions",
					 renames("c", "1+", 256))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_when_the_schema_is_the_worst_then_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
