/* Tests of YAML streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "json/json.h"

static void assert_yaml(const char *text, const char *json)
{
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *got = NULL;

	if (jsonx_parse_yaml(text, strlen(text), "text", &value, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	got = jsonx_canonical(value);
	assert_string_equal(got, json);
}

static void assert_refused(const char *text, size_t len, const char *message)
{
	struct err err = {0};
	json_t *value = NULL;

	assert_int_equal(jsonx_parse_yaml(text, len, "a.yaml", &value, &err), -1);
	assert_null(value);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.msg, message))
		fail_msg("expected \"%s\" in \"%s\"", message, err.msg);
}

#define ASSERT_REFUSED(text, message) assert_refused(text, sizeof(text) - 1, message)

static void test_yaml_when_a_manifest_then_as_kubectl_sends_it(void **state)
{
	UNUSED(state);
	assert_yaml("# a comment\n"
		    "apiVersion: v1\n"
		    "kind: Secret\n"
		    "metadata: {name: db, labels: {app: 'x', \"n\": \"1\"}}\n"
		    "stringData:\n"
		    "  text: |\n"
		    "    two\n"
		    "    lines\n"
		    "  folded: >-\n"
		    "    one\n"
		    "    line\n"
		    "list:\n"
		    "- a\n"
		    "- b: 1\n"
		    "  c: 2.5\n"
		    "-\n",
		    "[{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"list\":[\"a\",{\"b\":1,\"c\":2.5},null],"
		    "\"metadata\":{\"labels\":{\"app\":\"x\",\"n\":\"1\"},\"name\":\"db\"},"
		    "\"stringData\":{\"folded\":\"one line\",\"text\":\"two\\nlines\\n\"}}]");
}

static void test_yaml_when_many_documents_then_one_entry_each(void **state)
{
	UNUSED(state);
	assert_yaml("", "[]");
	assert_yaml("# only a comment\n", "[]");
	assert_yaml("a: 1\n---\nb: 2\n...\n---\n", "[{\"a\":1},{\"b\":2},null]");
	assert_yaml("--- 1\n--- x\n", "[1,\"x\"]");
}

static void test_yaml_scalars_when_plain_then_types_of_kubernetes(void **state)
{
	UNUSED(state);
	assert_yaml("[true, True, FALSE, yes, No, on, OFF, y, n]",
		    "[[true,true,false,true,false,true,false,true,false]]");
	assert_yaml("[null, Null, NULL, ~, tRUE, nul, None]", "[[null,null,null,null,\"tRUE\",\"nul\",\"None\"]]");
	assert_yaml("[0, -1, +5, 0x1F, 0o17, 017, 0b101, -0x10, 1_000]", "[[0,-1,5,31,15,15,5,-16,1000]]");
	assert_yaml("[9223372036854775807, -9223372036854775808]", "[[9223372036854775807,-9223372036854775808]]");
	assert_yaml("[1.5, .5, -2.25, 1e3, 5432.0, 08, 1.]", "[[1.5,0.5,-2.25,1000,5432,8,1]]");
	assert_yaml("[1.2.3, 1e, 0x, -, +, ., 12:30:45, 0xZ, 09a, 1-2, -.]",
		    "[[\"1.2.3\",\"1e\",\"0x\",\"-\",\"+\",\".\",\"12:30:45\",\"0xZ\",\"09a\",\"1-2\",\"-.\"]]");
	assert_yaml("[2001-12-14, 2001-12-14t21:59:43Z, 1e999]",
		    "[[\"2001-12-14\",\"2001-12-14t21:59:43Z\",\"1e999\"]]");
}

static void test_yaml_scalars_when_quoted_or_tagged_then_what_they_say(void **state)
{
	UNUSED(state);
	assert_yaml("['true', \"5\", '', \"~\", !!str 5, !!str yes]", "[[\"true\",\"5\",\"\",\"~\",\"5\",\"yes\"]]");
	assert_yaml("[!!int \"5\", !!float 1.5, !!bool yes, !!null ~, ! 5, ! [1]]", "[[5,1.5,true,null,\"5\",[1]]]");
	ASSERT_REFUSED("!!int x", "line 1, column 1: a value that does not fit its tag");
	ASSERT_REFUSED("a: !mine x", "line 1, column 4: a tag that is not supported");
	ASSERT_REFUSED("a: !!set {x}", "line 1, column 4: a tag that is not supported");
}

static void test_yaml_keys_when_not_strings_then_as_kubernetes_names_them(void **state)
{
	UNUSED(state);
	assert_yaml("1: a\ntrue: b\n'x': c\n0x10: d\n", "[{\"1\":\"a\",\"16\":\"d\",\"true\":\"b\",\"x\":\"c\"}]");
	assert_yaml("on: push\n", "[{\"true\":\"push\"}]");
	ASSERT_REFUSED("a: 1\n? [b]\n: 2\n", "line 2, column 3: a key must be a string");
	ASSERT_REFUSED("~: 1", "a key must be a string, found null");
	ASSERT_REFUSED("1.5: 1", "a key must be a string, found a number");
}

static void test_yaml_when_a_key_appears_twice_then_refused(void **state)
{
	UNUSED(state);
	ASSERT_REFUSED("a: 1\nb: 2\na: 3\n", "a.yaml: line 3, column 1: the key `a` appears twice");
	ASSERT_REFUSED("1: a\n'1': b\n", "line 2, column 1: the key `1` appears twice");
	ASSERT_REFUSED("x: {a: 1, a: 1}", "line 1, column 11: the key `a` appears twice");
}

static void test_yaml_when_a_merge_key_then_refused_clearly(void **state)
{
	UNUSED(state);
	ASSERT_REFUSED("a: &x {b: 1}\nc:\n  <<: *x\n", "line 3, column 3: merge keys (<<) are not supported");
	assert_yaml("'<<': 1", "[{\"<<\":1}]");
}

static void test_yaml_aliases_when_used_then_copies(void **state)
{
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;
	static const char text[] = "a: &x {k: [1]}\nb: *x\n";

	UNUSED(state);
	assert_yaml("a: &x {k: [1]}\nb: *x\n&y c: *y\n", "[{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":\"c\"}]");
	assert_int_equal(jsonx_parse_yaml(text, strlen(text), "text", &value, &err), 0);
	assert_ptr_not_equal(json_object_get(json_array_get(value, 0), "a"),
			     json_object_get(json_array_get(value, 0), "b"));
	assert_yaml("[&x 1, *x, &x 2, *x]", "[[1,1,2,2]]");
}

static void test_yaml_aliases_when_unknown_or_in_themselves_then_refused(void **state)
{
	UNUSED(state);
	ASSERT_REFUSED("a: *x", "line 1, column 4: alias `x`: no complete anchor");
	ASSERT_REFUSED("a: &x [*x]", "line 1, column 8: alias `x`: no complete anchor");
	ASSERT_REFUSED("- &x 1\n- &x [*x]", "line 2, column 7: alias `x`: no complete anchor");
	/* Anchors are valid only within their document. */
	ASSERT_REFUSED("a: &x 1\n---\nb: *x\n", "line 3, column 4: alias `x`: no complete anchor");
}

static void test_yaml_aliases_when_they_explode_then_refused(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 100000);
	strbuf_adds(&sb, "a0: &a0 lol\n");
	for (int i = 1; i < 30; i++)
		strbuf_addf(&sb, "a%d: &a%d [*a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1);
	assert_refused(sb.data, sb.len, "the aliases expand to more than");
	/* One long string, referenced many times. */
	strbuf_reset(&sb);
	strbuf_addf(&sb, "- &a %050000d\n", 7);
	strbuf_adds(&sb, "-");
	for (int i = 0; i < 100; i++)
		strbuf_adds(&sb, "\n  - *a");
	assert_refused(sb.data, sb.len, "the aliases expand to more than");
	strbuf_release(&sb);
}

static void add_nested(struct strbuf *sb, const char *text, int levels)
{
	for (int i = 0; i < levels; i++)
		strbuf_addc(sb, '[');
	strbuf_adds(sb, text);
	for (int i = 0; i < levels; i++)
		strbuf_addc(sb, ']');
}

static void test_yaml_when_nested_beyond_96_levels_then_refused(void **state)
{
	struct strbuf sb;
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;

	UNUSED(state);
	strbuf_init(&sb, 10000);
	for (int i = 0; i < 96; i++)
		strbuf_adds(&sb, "- ");
	strbuf_adds(&sb, "x");
	assert_int_equal(jsonx_parse_yaml(sb.data, sb.len, "text", &value, &err), 0);
	strbuf_reset(&sb);
	for (int i = 0; i < 97; i++)
		strbuf_adds(&sb, "- ");
	assert_refused(sb.data, sb.len, "line 1, column 193: nested deeper than 96 levels");
	strbuf_reset(&sb);
	strbuf_adds(&sb, "- &a ");
	add_nested(&sb, "x", 49);
	strbuf_adds(&sb, "\n- ");
	add_nested(&sb, "*a", 49);
	assert_refused(sb.data, sb.len, "line 2, column 52: nested deeper than 96 levels");
	strbuf_release(&sb);
}

static void test_yaml_when_text_is_malformed_then_refused_with_position(void **state)
{
	UNUSED(state);
	ASSERT_REFUSED("a: 1\n b: 2\n", "a.yaml: line 2, column ");
	ASSERT_REFUSED("a: [1, 2\nb: 3\n", "line 2, column ");
	ASSERT_REFUSED("a:\n\t- x\n", "line 2, column 1");
	ASSERT_REFUSED("a: x\nb: \xFF\n", "line 2, column 4");
	ASSERT_REFUSED("a: \"\\0\"", "line 1, column 4: a NUL character");
	ASSERT_REFUSED("a: 1\0b: 2", "line 1, column 5");
	ASSERT_REFUSED("a: 18446744073709551615", "line 1, column 4: an integer beyond 64 bits");
	ASSERT_REFUSED("a: .inf", "line 1, column 4: JSON has neither infinity nor NaN");
}

/* --- writing */

static void assert_written(const char *json, const char *yaml)
{
	struct err err = {0};
	_cleanup_json_ json_t *value = NULL;
	_cleanup_json_ json_t *again = NULL;
	struct strbuf sb;

	if (jsonx_parse(json, strlen(json), "text", &value, &err) < 0)
		fail_msg("%s: %s", json, err.msg);
	strbuf_init(&sb, 1 << 16);
	jsonx_add_yaml(&sb, value);
	assert_string_equal(sb.data, yaml);
	if (jsonx_parse_yaml(sb.data, sb.len, "written", &again, &err) < 0)
		fail_msg("%s: %s", sb.data, err.msg);
	assert_true(json_equal(value, again));
	strbuf_release(&sb);
}

static void test_yaml_written_when_a_manifest_then_in_block_style_and_in_order(void **state)
{
	UNUSED(state);
	assert_written("[{\"kind\": \"Secret\", \"metadata\": {\"name\": \"db\"}, \"stringData\": {\"ca.crt\": "
		       "\"-----BEGIN CERTIFICATE-----\\nMIIB/+=\\n\"}},"
		       " {\"list\": [\"a\", [1, 2.5], {\"b\": {}, \"c\": [], \"d\": null}], \"on\": true}]",
		       "kind: Secret\n"
		       "metadata:\n"
		       "  name: db\n"
		       "stringData:\n"
		       "  ca.crt: |\n"
		       "    -----BEGIN CERTIFICATE-----\n"
		       "    MIIB/+=\n"
		       "---\n"
		       "list:\n"
		       "- a\n"
		       "- - 1\n"
		       "  - 2.5\n"
		       "- b: {}\n"
		       "  c: []\n"
		       "  d: null\n"
		       "\"on\": true\n");
}

static void test_yaml_written_when_a_string_may_be_read_as_something_else_then_quoted(void **state)
{
	UNUSED(state);
	assert_written(
		"[[\"yes\", \"NULL\", \"1\", \"1e3\", \"0x1F\", \"12:30:45\", \"2001-01-01\", \"~\", \"\", \" a\"]]",
		"- \"yes\"\n- \"NULL\"\n- \"1\"\n- \"1e3\"\n- \"0x1F\"\n- \"12:30:45\"\n- \"2001-01-01\"\n"
		"- \"~\"\n- \"\"\n- \" a\"\n");
	assert_written(
		"[[\"http://a:1\", \"a: b\", \"#x\", \"*a\", \"a # b\", \"- a\", \"{a}\", \"it's\", \"\\\"\\\\\"]]",
		"- \"http://a:1\"\n- \"a: b\"\n- \"#x\"\n- \"*a\"\n- \"a # b\"\n- \"- a\"\n- \"{a}\"\n"
		"- \"it's\"\n- \"\\\"\\\\\"\n");
	assert_written("[[\"a\\nb\", \"a \\nb\\n\", \"a\\n\\n\", \"\\t\\u0001\\u007f\\u0085\\u2028\\ufeff\", "
		       "\"\\u00e9\\ud83d\\ude00\"]]",
		       "- \"a\\nb\"\n- \"a \\nb\\n\"\n- \"a\\n\\n\"\n- \"\\t\\x01\\x7F\\N\\L\\uFEFF\"\n"
		       "- \"\xC3\xA9\\U0001F600\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_when_a_manifest_then_as_kubectl_sends_it),
		cmocka_unit_test(test_yaml_when_many_documents_then_one_entry_each),
		cmocka_unit_test(test_yaml_scalars_when_plain_then_types_of_kubernetes),
		cmocka_unit_test(test_yaml_scalars_when_quoted_or_tagged_then_what_they_say),
		cmocka_unit_test(test_yaml_keys_when_not_strings_then_as_kubernetes_names_them),
		cmocka_unit_test(test_yaml_when_a_key_appears_twice_then_refused),
		cmocka_unit_test(test_yaml_when_a_merge_key_then_refused_clearly),
		cmocka_unit_test(test_yaml_aliases_when_used_then_copies),
		cmocka_unit_test(test_yaml_aliases_when_unknown_or_in_themselves_then_refused),
		cmocka_unit_test(test_yaml_aliases_when_they_explode_then_refused),
		cmocka_unit_test(test_yaml_when_nested_beyond_96_levels_then_refused),
		cmocka_unit_test(test_yaml_when_text_is_malformed_then_refused_with_position),
		cmocka_unit_test(test_yaml_written_when_a_manifest_then_in_block_style_and_in_order),
		cmocka_unit_test(test_yaml_written_when_a_string_may_be_read_as_something_else_then_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
