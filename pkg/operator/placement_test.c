/* Tests of the objects of a pod: a golden file, names, and what the hash depends on. With PGSYNC_GOLDEN=write the
 * golden file is written instead of compared. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "operator/placement_int.h"

enum { FILE_BYTES = 1024 * 1024 };

static const char directory[] = "pkg/operator/testdata/placement";
static const char *const args[] = {"--log-level=info", NULL};

static char *read_text(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	char *text = NULL;
	struct err err;
	size_t len;

	if (jsonx_read_file(path, FILE_BYTES, &text, &len, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}

static json_t *read_resource(void)
{
	_cleanup_free_ char *text = read_text("resource.json");
	json_t *resource = json_loads(text, 0, NULL);

	assert_non_null(resource);
	return resource;
}

static void test_objects_when_everything_is_set_then_as_the_golden_file(void **state)
{
	_cleanup_json_ json_t *resource = read_resource();
	char hash[JSONX_HASH_BYTES];
	_cleanup_json_ json_t *objects = placement_objects(
		&(struct placement_input){.resource = resource, .image = "pgsync-operator:1", .args = args}, hash);
	_cleanup_free_ char *text = json_dumps(objects, JSON_INDENT(2));
	_cleanup_free_ char *got = xasprintf("%s\n", text);
	_cleanup_free_ char *want = NULL;
	const char *mode = getenv("PGSYNC_GOLDEN");

	UNUSED(state);
	if (mode && strcmp(mode, "write") == 0) {
		_cleanup_free_ char *path = xasprintf("%s/objects.json", directory);
		_cleanup_fclose_ FILE *file = fopen(path, "we");

		if (!file || fputs(got, file) == EOF)
			fail_msg("%s: %s", path, strerror(errno));
		return;
	}
	want = read_text("objects.json");
	if (strcmp(got, want) != 0)
		fail_msg("the objects are others:\n%s", got);
}

static json_t *pod_of(const json_t *objects)
{
	return jsonx_get(json_array_get(objects, json_array_size(objects) - 1), "spec.template.spec");
}

/* Nothing of the PgSync is a path in the pod. */
static void test_objects_when_the_password_is_mounted_then_alone_in_a_fixed_directory(void **state)
{
	_cleanup_json_ json_t *resource = read_resource();
	_cleanup_json_ json_t *objects = NULL;
	_cleanup_json_ json_t *volume = json_pack(
		"{s:s, s:{s:i, s:[{s:{s:s, s:b, s:[{s:s, s:s}]}}]}}", "name", "credentials", "projected", "defaultMode",
		0440, "sources", "secret", "name", "rds", "optional", 1, "items", "key", "now", "path", "password");
	_cleanup_json_ json_t *mount = json_pack("{s:s, s:s, s:b}", "name", "credentials", "mountPath",
						 "/run/pgsync-credentials", "readOnly", 1);
	_cleanup_free_ char *others = NULL;
	char hash[JSONX_HASH_BYTES];
	json_t *source = jsonx_get(resource, "spec.source"), *pod;

	UNUSED(state);
	(void)json_object_del(source, "passwordSecretRef");
	(void)json_object_set_new(source, "passwordFrom",
				  json_pack("{s:{s:s, s:s}}", "secretRef", "name", "rds", "key", "now"));
	objects = placement_objects(
		&(struct placement_input){.resource = resource, .image = "pgsync-operator:1", .args = args}, hash);
	pod = pod_of(objects);
	assert_true(json_equal(json_array_get(json_object_get(pod, "volumes"), 1), volume));
	assert_true(json_equal(
		json_array_get(jsonx_get(json_array_get(json_object_get(pod, "containers"), 0), "volumeMounts"), 1),
		mount));
	others = json_dumps(json_array_get(json_object_get(pod, "volumes"), 0), 0);
	assert_null(strstr(others, "rds"));
}

static void hash_of(const json_t *resource, const char *image, char hash[JSONX_HASH_BYTES])
{
	jsonx_decref(
		placement_objects(&(struct placement_input){.resource = resource, .image = image, .args = args}, hash));
}

static void test_hash_when_only_the_image_differs_then_the_same(void **state)
{
	_cleanup_json_ json_t *resource = read_resource();
	char a[JSONX_HASH_BYTES], b[JSONX_HASH_BYTES];

	UNUSED(state);
	hash_of(resource, "pgsync-operator:1", a);
	hash_of(resource, "pgsync-operator:2", b);
	assert_string_equal(a, b);
	/* What the worker reads by itself needs no other pod. */
	(void)json_object_set_new(jsonx_get(resource, "spec.source"), "database", json_string("other"));
	hash_of(resource, "pgsync-operator:1", b);
	assert_string_equal(a, b);
	(void)json_object_set_new(jsonx_get(resource, "spec"), "restartNonce", json_integer(3));
	hash_of(resource, "pgsync-operator:1", b);
	assert_string_not_equal(a, b);
}

static void test_owner_then_the_controller_decides_and_marks_alone_are_not_enough(void **state)
{
	static const struct {
		const char *kind, *name, *uid; /* of the controller; NULL: there is none */
		const char *manager, *annotation;
		enum placement_owner expected;
	} rows[] = {
		{"PgSync", "books", "1", "pgsync-operator", "books", PLACEMENT_OURS},
		{"PgSync", "books", "0", "pgsync-operator", "books", PLACEMENT_PREVIOUS},
		{"PgSync", "other", "0", "pgsync-operator", "books", PLACEMENT_FOREIGN},
		{"Deployment", "books", "0", "pgsync-operator", "books", PLACEMENT_FOREIGN},
		{NULL, NULL, NULL, "pgsync-operator", "books", PLACEMENT_FOREIGN},
		{"PgSync", "books", "1", "other", "books", PLACEMENT_FOREIGN},
		{"PgSync", "books", "1", "pgsync-operator", "other", PLACEMENT_FOREIGN},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *object =
			json_pack("{s:{s:{s:s}, s:{s:s}}}", "metadata", "labels", "app.kubernetes.io/managed-by",
				  rows[i].manager, "annotations", PLACEMENT_NAME, rows[i].annotation);

		if (rows[i].kind)
			(void)json_object_set_new(json_object_get(object, "metadata"), "ownerReferences",
						  json_pack("[{s:s, s:s, s:s, s:b}]", "kind", rows[i].kind, "name",
							    rows[i].name, "uid", rows[i].uid, "controller", 1));
		if (placement_owner(object, "books", "1") != rows[i].expected)
			fail_msg("row %zu: %d", i, placement_owner(object, "books", "1"));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_when_everything_is_set_then_as_the_golden_file),
		cmocka_unit_test(test_objects_when_the_password_is_mounted_then_alone_in_a_fixed_directory),
		cmocka_unit_test(test_hash_when_only_the_image_differs_then_the_same),
		cmocka_unit_test(test_owner_then_the_controller_decides_and_marks_alone_are_not_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
