/* Tests of single fields: each value of each enum, the ends of each range, and values of the wrong type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spec/samples_int.h"

/* Sets the value at the path, creating the objects on the way to it. */
static void set_at(json_t *object, const char *path, json_t *value_take)
{
	const char *dot;

	for (; (dot = strchr(path, '.')); path = dot + 1) {
		_cleanup_free_ char *key = xstrndup(path, (size_t)(dot - path));
		json_t *next = json_object_get(object, key);

		if (!next) {
			next = json_object();
			assert_int_equal(json_object_set_new(object, key, next), 0);
		}
		object = next;
	}
	assert_int_equal(json_object_set_new(object, path, value_take), 0);
}

/* A minimal resource with this value at the path. */
static struct spec *decode_with(const char *path, json_t *value_take, struct findings *f)
{
	_cleanup_json_ json_t *resource = parse(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA));

	set_at(resource, path, value_take);
	return spec_decode(resource, f);
}

/* The message of the first finding at exactly this path, or NULL. */
static const char *message_at(const struct findings *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->items[i].path, path) == 0)
			return f->items[i].message;
	return NULL;
}

static void expect_message(const char *path, json_t *value_take, const char *want)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	const char *message;

	findings_init(&f);
	spec = decode_with(path, value_take, &f);
	message = message_at(&f, path);
	assert_non_null(message);
	assert_non_null(strstr(message, want));
}

/* --- enums --- */

struct word {
	const char *word;
	int value;
};

static const struct policy {
	const char *path;
	size_t offset;
	int otherwise; /* the default */
	struct word words[6];
} policies[] = {
	{"spec.source.tls.mode",
	 offsetof(struct spec, source.tls),
	 SPEC_TLS_PREFER,
	 {{"Disable", SPEC_TLS_DISABLE},
	  {"Prefer", SPEC_TLS_PREFER},
	  {"Require", SPEC_TLS_REQUIRE},
	  {"VerifyCA", SPEC_TLS_VERIFY_CA},
	  {"VerifyFull", SPEC_TLS_VERIFY_FULL}}},
	{"spec.source.replication.replicaIdentity",
	 offsetof(struct spec, source.replica_identity),
	 SPEC_IDENTITY_MANAGE,
	 {{"Manage", SPEC_IDENTITY_MANAGE}, {"Verify", SPEC_IDENTITY_VERIFY}}},
	{"spec.source.replication.slotLostPolicy",
	 offsetof(struct spec, source.slot_lost),
	 SPEC_SLOT_LOST_RESYNC,
	 {{"Resync", SPEC_SLOT_LOST_RESYNC}, {"Stall", SPEC_SLOT_LOST_STALL}}},
	{"spec.sink.authentication.type",
	 offsetof(struct spec, sink.auth),
	 SPEC_AUTH_NONE,
	 {{"None", SPEC_AUTH_NONE},
	  {"Basic", SPEC_AUTH_BASIC},
	  {"APIKey", SPEC_AUTH_API_KEY},
	  {"Bearer", SPEC_AUTH_BEARER},
	  {"AWS", SPEC_AUTH_AWS}}},
	{"spec.documents.meta",
	 offsetof(struct spec, document_format.meta),
	 SCHEMA_META_NONE,
	 {{"None", SCHEMA_META_NONE}, {"Pgsync", SCHEMA_META_PGSYNC}}},
	{"spec.documents.idFormat",
	 offsetof(struct spec, document_format.id_format),
	 SCHEMA_ID_ESCAPED,
	 {{"Escaped", SCHEMA_ID_ESCAPED}, {"Pgsync", SCHEMA_ID_PGSYNC}}},
	{"spec.documents.mapping",
	 offsetof(struct spec, document_format.mapping),
	 SCHEMA_MAPPING_GENERATED,
	 {{"Generated", SCHEMA_MAPPING_GENERATED}, {"Dynamic", SCHEMA_MAPPING_DYNAMIC}}},
	{"spec.checkpoint.store",
	 offsetof(struct spec, checkpoint_store),
	 SPEC_STORE_SINK,
	 {{"Sink", SPEC_STORE_SINK}, {"Redis", SPEC_STORE_REDIS}}},
	{"spec.bootstrap.policy",
	 offsetof(struct spec, bootstrap),
	 SPEC_BOOTSTRAP_IF_NEEDED,
	 {{"IfNeeded", SPEC_BOOTSTRAP_IF_NEEDED}, {"Never", SPEC_BOOTSTRAP_NEVER}}},
	{"spec.onError.policy",
	 offsetof(struct spec, on_error),
	 SPEC_ON_ERROR_DEAD_LETTER,
	 {{"DeadLetter", SPEC_ON_ERROR_DEAD_LETTER}, {"Stall", SPEC_ON_ERROR_STALL}}},
	{"spec.deletionPolicy.replicationSlot",
	 offsetof(struct spec, delete_slot),
	 SPEC_DELETE,
	 {{"Delete", SPEC_DELETE}, {"Retain", SPEC_RETAIN}}},
	{"spec.deletionPolicy.publication",
	 offsetof(struct spec, delete_publication),
	 SPEC_DELETE,
	 {{"Delete", SPEC_DELETE}, {"Retain", SPEC_RETAIN}}},
	{"spec.deletionPolicy.index",
	 offsetof(struct spec, delete_index),
	 SPEC_RETAIN,
	 {{"Delete", SPEC_DELETE}, {"Retain", SPEC_RETAIN}}},
	{"spec.deletionPolicy.checkpoint",
	 offsetof(struct spec, delete_checkpoint),
	 SPEC_DELETE,
	 {{"Delete", SPEC_DELETE}, {"Retain", SPEC_RETAIN}}},
	{"spec.worker.placement",
	 offsetof(struct spec, placement),
	 SPEC_PLACEMENT_PROCESS,
	 {{"Process", SPEC_PLACEMENT_PROCESS}, {"Pod", SPEC_PLACEMENT_POD}}},
};

static int value_of(const struct spec *spec, const struct policy *policy)
{
	int value;

	memcpy(&value, (const char *)spec + policy->offset, sizeof(value));
	return value;
}

static void test_policy_when_one_of_its_words_then_its_value(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		for (const struct word *w = policies[i].words; w->word; w++) {
			_cleanup_(findings_release) struct findings f;
			_cleanup_(spec_freep) struct spec *spec = NULL;
			const char *message;

			findings_init(&f);
			spec = decode_with(policies[i].path, json_string(w->word), &f);
			message = message_at(&f, policies[i].path);
			assert_true(!message || !strstr(message, "must be one of"));
			assert_int_equal(value_of(spec, &policies[i]), w->value);
		}
	}
}

static void test_policy_when_not_given_then_the_default(void **state)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	UNUSED(state);
	findings_init(&f);
	spec = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA), &f);
	assert_int_equal(f.n, 0);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		assert_int_equal(value_of(spec, &policies[i]), policies[i].otherwise);
}

static void test_policy_when_another_word_or_type_then_every_word_is_named(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		for (const struct word *w = policies[i].words; w->word; w++) {
			_cleanup_free_ char *quoted = xasprintf("`%s`", w->word);

			expect_message(policies[i].path, json_string("no-word"), quoted);
		}
		expect_message(policies[i].path, json_string("no-word"), "must be one of");
		expect_message(policies[i].path, json_string(""), "must be one of");
		expect_message(policies[i].path, json_integer(1), "must be one of");
		expect_message(policies[i].path, json_true(), "must be one of");
		expect_message(policies[i].path, json_object(), "must be one of");
	}
}

/* --- numbers --- */

static const struct range {
	const char *path;
	size_t offset;
	int64_t min, max;
} ranges[] = {
	{"spec.source.port", offsetof(struct spec, source.port), 1, 65535},
	{"spec.source.limits.connections", offsetof(struct spec, source.limits.connections), 5, 64},
	{"spec.source.limits.statementTimeoutSeconds", offsetof(struct spec, source.limits.statement_seconds), 1,
	 86400},
	{"spec.source.limits.snapshotAgeSeconds", offsetof(struct spec, source.limits.snapshot_seconds), 1, 86400},
	{"spec.sink.bulk.maxBytes", offsetof(struct spec, sink.bulk_max_bytes), 65536, 104857600},
	{"spec.sink.bulk.concurrency", offsetof(struct spec, sink.bulk_concurrency), 1, 16},
	{"spec.sink.bulk.flushMilliseconds", offsetof(struct spec, sink.bulk_flush_milliseconds), 0, 10000},
	{"spec.bootstrap.parallelism", offsetof(struct spec, bootstrap_parallelism), 1, 16},
	{"spec.lagTargetSeconds", offsetof(struct spec, lag_target_seconds), 1, 86400},
	{"spec.resyncNonce", offsetof(struct spec, resync_nonce), 0, (INT64_C(1) << 53) - 1},
	{"spec.restartNonce", offsetof(struct spec, restart_nonce), 0, (INT64_C(1) << 53) - 1},
};

static void expect_number(const struct range *range, int64_t number)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	int64_t value;

	findings_init(&f);
	spec = decode_with(range->path, json_integer(number), &f);
	assert_int_equal(f.n, 0);
	memcpy(&value, (const char *)spec + range->offset, sizeof(value));
	assert_int_equal(value, number);
}

static void test_number_when_within_its_range_then_taken_and_outside_refused(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		expect_number(&ranges[i], ranges[i].min);
		expect_number(&ranges[i], ranges[i].max);
		expect_message(ranges[i].path, json_integer(ranges[i].min - 1), "must be an integer");
		if (ranges[i].max < INT64_MAX)
			expect_message(ranges[i].path, json_integer(ranges[i].max + 1), "must be an integer");
		expect_message(ranges[i].path, json_string("1"), "must be an integer");
		expect_message(ranges[i].path, json_real(1.5), "must be an integer");
	}
}

/* --- sets --- */

static void test_allowed_auth_then_a_set_and_what_is_unknown_is_refused(void **state)
{
	static const struct {
		const char *given;
		unsigned set;
	} rows[] = {
		{"[\"SCRAM\"]", 1U << SPEC_SOURCE_AUTH_SCRAM},
		{"[\"Cleartext\", \"MD5\"]", 1U << SPEC_SOURCE_AUTH_CLEARTEXT | 1U << SPEC_SOURCE_AUTH_MD5},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *spec = NULL;

		findings_init(&f);
		spec = decode_with("spec.source.allowedAuth", parse(rows[i].given), &f);
		assert_int_equal(f.n, 0);
		assert_int_equal(spec->source.allowed_auth, rows[i].set);
	}
	expect_message("spec.source.allowedAuth", parse("[\"scram\"]"), "found \"scram\"");
	expect_message("spec.source.allowedAuth", parse("[\"SCRAM\", 1]"), "must contain");
	expect_message("spec.source.allowedAuth", parse("[]"), "must be an array");
	expect_message("spec.source.allowedAuth", json_string("SCRAM"), "must be an array");
}

/* --- booleans and texts --- */

static void test_boolean_when_true_then_set_and_another_type_refused(void **state)
{
	static const struct {
		const char *path;
		size_t offset;
	} rows[] = {
		{"spec.suspend", offsetof(struct spec, suspend)},
		{"spec.source.replication.failover", offsetof(struct spec, source.failover)},
		{"spec.sink.tls.insecureSkipVerify", offsetof(struct spec, sink.insecure_skip_verify)},
		{"spec.sink.adoptExistingIndex", offsetof(struct spec, sink.adopt_existing_index)},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *spec = NULL;

		findings_init(&f);
		spec = decode_with(rows[i].path, json_true(), &f);
		assert_int_equal(f.n, 0);
		assert_true(*((const char *)spec + rows[i].offset));
		expect_message(rows[i].path, json_string("true"), "must be");
		expect_message(rows[i].path, json_integer(1), "must be");
	}
}

static json_t *text_of(size_t len)
{
	_cleanup_free_ char *text = xmalloc(len + 1);

	memset(text, 'a', len);
	text[len] = '\0';
	return json_string(text);
}

static void test_text_when_empty_or_too_long_then_refused(void **state)
{
	static const struct {
		const char *path;
		size_t max;
	} rows[] = {
		{"spec.source.host", 253},
		{"spec.source.database", 63},
		{"spec.source.user", 63},
		{"spec.source.replication.slotName", 63},
		{"spec.source.replication.publicationName", 63},
		{"spec.source.passwordSecretRef.name", 253},
		{"spec.source.tls.caSecretRef.key", 253},
		{"spec.sink.tls.caSecretRef.name", 253},
		{"spec.sink.authentication.secretRef.name", 253},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *spec = NULL;

		findings_init(&f);
		spec = decode_with(rows[i].path, text_of(rows[i].max), &f);
		assert_null(message_at(&f, rows[i].path));
		expect_message(rows[i].path, text_of(rows[i].max + 1), "must be");
		expect_message(rows[i].path, json_string(""), "must not be empty");
		expect_message(rows[i].path, json_integer(1), "must be a string");
	}
}

static void test_object_when_it_has_an_unknown_field_or_is_not_an_object_then_refused(void **state)
{
	static const char *const paths[] = {
		"spec.source",         "spec.source.tls", "spec.source.replication",  "spec.source.passwordSecretRef",
		"spec.sink",           "spec.sink.tls",   "spec.sink.authentication", "spec.sink.bulk",
		"spec.documents",      "spec.checkpoint", "spec.bootstrap",           "spec.onError",
		"spec.deletionPolicy", "spec.worker",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *unknown = xasprintf("%s.nonsenseOfALongName", paths[i]);

		expect_message(unknown, json_true(), "unknown field");
		expect_message(paths[i], json_string("x"), "must be an object");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed_auth_then_a_set_and_what_is_unknown_is_refused),
		cmocka_unit_test(test_policy_when_one_of_its_words_then_its_value),
		cmocka_unit_test(test_policy_when_not_given_then_the_default),
		cmocka_unit_test(test_policy_when_another_word_or_type_then_every_word_is_named),
		cmocka_unit_test(test_number_when_within_its_range_then_taken_and_outside_refused),
		cmocka_unit_test(test_boolean_when_true_then_set_and_another_type_refused),
		cmocka_unit_test(test_text_when_empty_or_too_long_then_refused),
		cmocka_unit_test(test_object_when_it_has_an_unknown_field_or_is_not_an_object_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
