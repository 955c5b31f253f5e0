/* Test that the decoder enforces every limit of the CRD: an API server does not check ConfigMaps and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spec/samples_int.h"

#define CRD "deploy/crds/pgsyncs.pgsync.io.yaml"

enum { CRD_BYTES = 1024 * 1024, LEVELS = 64 };

/* A place in the CRD's schema: the schemas above it, and what leads from each to the next (NULL: the items). */
struct place {
	const json_t *schemas[LEVELS];
	const char *keys[LEVELS];
	size_t depth;
};

static json_t *text_of(size_t len)
{
	_cleanup_free_ char *text = xcalloc(len + 1, 1);

	memset(text, 'a', len);
	return json_string(text);
}

/* A value that the schema accepts, apart from its rules in CEL. */
static json_t *accepted(const json_t *schema)
{
	const char *type = jsonx_string(schema, "type", json_object_get(schema, "items") ? "array" : "string");
	const json_t *word = json_array_get(json_object_get(schema, "enum"), 0);
	json_t *value, *name;
	size_t i;

	if (word)
		return json_incref((json_t *)word);
	if (strcmp(type, "string") == 0)
		return text_of((size_t)jsonx_integer(schema, "minLength", 1));
	if (strcmp(type, "integer") == 0)
		return json_integer(jsonx_integer(schema, "minimum", 0));
	if (strcmp(type, "boolean") == 0)
		return json_false();
	if (strcmp(type, "array") == 0)
		return json_pack("[o]", accepted(json_object_get(schema, "items")));
	value = json_object();
	json_array_foreach (json_object_get(schema, "required"), i, name) {
		const char *key = json_string_value(name);

		(void)json_object_set_new(value, key,
					  accepted(json_object_get(json_object_get(schema, "properties"), key)));
	}
	return value;
}

/* The path of the place, as findings name it. */
static char *path_of(const struct place *at)
{
	char *path = xstrdup("spec");

	for (size_t i = 0; i < at->depth; i++) {
		char *longer = at->keys[i] ? jsonx_path(path, at->keys[i]) : xasprintf("%s[0]", path);

		free(path);
		path = longer;
	}
	return path;
}

/* Errors about the place, or about the list that it is an item of. */
static size_t errors_at(const struct place *at, json_t *value_take)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_json_ json_t *resource = NULL;
	bool item = at->depth && !at->keys[at->depth - 1];
	_cleanup_free_ char *path = path_of(at);
	struct findings f;
	size_t n = 0;

	if (item)
		*strrchr(path, '[') = '\0';

	for (size_t i = at->depth; i-- > 0;) {
		json_t *outer = at->keys[i] ? accepted(at->schemas[i]) : json_array();

		if (at->keys[i])
			(void)json_object_set_new(outer, at->keys[i], value_take);
		else
			(void)json_array_append_new(outer, value_take);
		value_take = outer;
	}
	resource = json_pack("{s:{s:s}, s:o}", "metadata", "name", "books", "spec", value_take);
	findings_init(&f);
	spec = spec_decode(resource, &f);
	for (size_t i = 0; i < f.n; i++)
		n += f.items[i].severity == FINDING_ERROR && finding_path_is_within(f.items[i].path, path);
	findings_release(&f);
	return n;
}

static bool is_refused(const struct place *at, const char *bound, json_t *value_take)
{
	_cleanup_free_ char *path = path_of(at);
	bool refused = errors_at(at, value_take) > 0;

	if (!refused)
		print_error("%s: the decoder does not have the CRD's %s\n", path, bound);
	return refused;
}

static json_t *many_items(const json_t *schema, int64_t n)
{
	json_t *array = json_array();

	for (int64_t i = 0; i < n; i++)
		(void)json_array_append_new(array, accepted(json_object_get(schema, "items")));
	return array;
}

static json_t *many_properties(const json_t *schema, int64_t n)
{
	json_t *object = json_object();

	for (int64_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = xasprintf("key%d", (int)i);

		(void)json_object_set_new(object, key, accepted(json_object_get(schema, "additionalProperties")));
	}
	return object;
}

struct tally {
	size_t refused, accepted;
};

/* A value that is just beyond a bound. */
static json_t *beyond(const json_t *schema, const char *name, int64_t bound)
{
	if (strcmp(name, "maxLength") == 0)
		return text_of((size_t)bound + 1);
	if (strcmp(name, "minLength") == 0)
		return text_of((size_t)bound - 1);
	if (strcmp(name, "maxItems") == 0)
		return many_items(schema, bound + 1);
	if (strcmp(name, "minItems") == 0)
		return many_items(schema, bound - 1);
	if (strcmp(name, "maxProperties") == 0)
		return many_properties(schema, bound + 1);
	if (strcmp(name, "maximum") == 0)
		return json_integer(bound + 1);
	if (strcmp(name, "minimum") == 0)
		return json_integer(bound - 1);
	return json_string("another word");
}

static void check_bounds(const struct place *at, const json_t *schema, struct tally *tally)
{
	static const char *const names[] = {"maxLength",     "minLength", "maxItems", "minItems",
					    "maxProperties", "maximum",   "minimum",  "enum"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int64_t bound = jsonx_integer(schema, names[i], 0);

		if (!json_object_get(schema, names[i]))
			continue;
		if (is_refused(at, names[i], beyond(schema, names[i], bound)))
			tally->refused++;
		else
			tally->accepted++;
	}
}

static void walk(struct place *at, const json_t *schema, struct tally *tally)
{
	const json_t *items = json_object_get(schema, "items");
	json_t *property;
	const char *key;

	assert_true(at->depth < LEVELS);
	if (at->depth)
		check_bounds(at, schema, tally);
	at->schemas[at->depth] = schema;
	json_object_foreach (json_object_get(schema, "properties"), key, property) {
		at->keys[at->depth++] = key;
		walk(at, property, tally);
		at->depth--;
	}
	if (items) {
		at->keys[at->depth++] = NULL;
		walk(at, items, tally);
		at->depth--;
	}
}

static void test_spec_when_beyond_a_bound_of_the_crd_then_refused(void **state)
{
	_cleanup_json_ json_t *documents = NULL;
	_cleanup_free_ char *text = NULL;
	struct tally tally = {0};
	struct place at = {0};
	struct err err;
	size_t len;

	UNUSED(state);
	if (jsonx_read_file(CRD, CRD_BYTES, &text, &len, &err) < 0 ||
	    jsonx_parse_yaml(text, len, CRD, &documents, &err) < 0)
		fail_msg("%s", err.msg);
	walk(&at,
	     jsonx_get(json_array_get(jsonx_get(json_array_get(documents, 0), "spec.versions"), 0),
		       "schema.openAPIV3Schema.properties.spec"),
	     &tally);
	assert_int_equal(tally.accepted, 0);
	assert_true(tally.refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_when_beyond_a_bound_of_the_crd_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
