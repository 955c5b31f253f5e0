/* Tests of decoding a PgSync: what is accepted, and the message for everything that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spec/samples_int.h"

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
	assert_int_equal(s->source.tls, SPEC_TLS_PREFER);
	assert_int_equal(s->source.replica_identity, SPEC_IDENTITY_MANAGE);
	assert_int_equal(s->source.slot_lost, SPEC_SLOT_LOST_RESYNC);
	assert_int_equal(s->source.max_retained_wal, 0);
	assert_int_equal(s->source.limits.connections, 0);
	assert_int_equal(s->source.limits.statement_seconds, 600);
	assert_int_equal(s->source.limits.snapshot_seconds, 60);
	assert_int_equal(s->sink.auth, SPEC_AUTH_NONE);
	assert_int_equal(s->sink.bulk_max_bytes, 1048576);
	assert_int_equal(s->sink.bulk_concurrency, 2);
	assert_int_equal(s->sink.bulk_flush_milliseconds, 20);
	assert_int_equal(s->bootstrap_parallelism, 2);
	assert_int_equal(s->lag_target_seconds, 60);
	assert_int_equal(s->delete_slot, SPEC_DELETE);
	assert_int_equal(s->delete_index, SPEC_RETAIN);
	assert_int_equal(s->delete_checkpoint, SPEC_DELETE);
	assert_int_equal(s->placement, SPEC_PLACEMENT_PROCESS);
	assert_int_equal(s->n_documents, 1);
	assert_string_equal(s->documents[0]->root->schema, "public");
	assert_string_equal(s->documents[0]->root->label, "books");
	assert_string_equal(s->documents[0]->root->path, "spec.schema[0].nodes");
	findings_release(&f);
}

static void test_bootstrap_readers_then_what_the_limit_of_connections_leaves(void **state)
{
	static const struct {
		int64_t parallelism, connections, readers;
	} cases[] = {{2, 0, 2}, {16, 0, 16}, {4, 7, 3}, {4, 8, 4}, {4, 64, 4}, {4, 5, 1}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct spec spec = {.bootstrap_parallelism = cases[i].parallelism,
					  .source.limits.connections = cases[i].connections};

		assert_int_equal(spec_bootstrap_readers(&spec), cases[i].readers);
	}
}

static void test_spec_when_everything_is_given_then_taken(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	const struct schema_node *child;

	UNUSED(state);
	findings_init(&f);
	s = decode(everything, &f);
	expect(&f, FINDING_ERROR, "");
	assert_int_equal(f.n, 0);
	assert_int_equal(s->source.tls, SPEC_TLS_VERIFY_FULL);
	assert_string_equal(s->source.ca.key, "ca.crt");
	assert_string_equal(s->source.password_ref.key, "password");
	assert_string_equal(s->source.slot_name, "slot_1");
	assert_string_equal(s->source.publication_name, "Pub");
	assert_true(s->source.failover);
	assert_int_equal(s->source.max_retained_wal, INT64_C(8589934592));
	assert_int_equal(s->source.limits.connections, 6);
	assert_int_equal(s->source.limits.statement_seconds, 30);
	assert_int_equal(s->source.limits.snapshot_seconds, 20);
	assert_int_equal(s->source.search_path.n, 2);
	assert_string_equal(s->source.search_path.items[1], "extensions");
	assert_int_equal(s->sink.urls.n, 2);
	assert_int_equal(s->sink.auth, SPEC_AUTH_API_KEY);
	assert_string_equal(s->sink.ca.key, "root.pem");
	assert_int_equal(s->sink.bulk_flush_milliseconds, 0);
	assert_int_equal(s->delete_slot, SPEC_RETAIN);
	assert_int_equal(s->delete_index, SPEC_DELETE);
	assert_int_equal(s->resync_nonce, 7);
	assert_int_equal(s->documents[0]->root->columns.n, 3);
	child = s->documents[0]->root->children[0];
	assert_string_equal(child->path, "spec.schema[0].nodes.children[0]");
	assert_ptr_equal(child->parent, s->documents[0]->root);
	assert_int_equal(child->relationship.type, SCHEMA_ONE_TO_ONE);
	assert_int_equal(child->relationship.variant, SCHEMA_VARIANT_SCALAR);
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

static void test_spec_when_much_is_invalid_then_every_violation_is_named(void **state)
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
		"`passwordSecretRef`, `passwordFrom`, `connectionSecretRef`, `allowedAuth`, `tls`, `searchPath`, "
		"`replication`, "
		"`limits`\n"
		"spec.source: exactly one of `host` and `connectionSecretRef` must be set, found neither\n"
		"spec.sink.urls[0]: must be http://HOST[:PORT] or https://HOST[:PORT]\n"
		"spec.sink.urls[1]: must not contain a user or password; use `sink.authentication` with a Secret\n"
		"spec.sink.urls[2]: must not contain spaces, a query or a fragment\n"
		"spec.sink.authentication.secretRef: is required: type Basic takes its values from a Secret\n"
		"spec.schema: exactly one of `schema` and `schemaConfigMapRef` must be set, found neither");
}

#define PASSWORD_FROM(from)                                                                                    \
	RESOURCE("\"source\": {\"host\": \"h\", \"database\": \"d\", \"user\": \"u\", \"passwordFrom\": " from \
		 "}, " MINIMAL_SINK ", " MINIMAL_SCHEMA)
#define NOT_PLAIN(at, path)                                                                                          \
	"spec.source.passwordFrom." at ": must be an absolute path without empty parts, `.` and `..`, found \"" path \
	"\""

#define ONE_WAY "spec.source.passwordFrom: exactly one of `secretRef`, `file` and `exec` must be set, found "

static void test_password_from_when_valid_then_a_path_or_a_command(void **state)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *file = NULL, *exec = NULL;

	UNUSED(state);
	findings_init(&f);
	file = decode(PASSWORD_FROM("{\"file\": \"/run/..data/token\"}"), &f);
	exec = decode(PASSWORD_FROM("{\"exec\": {\"command\": [\"/bin/login\", \"-x\"]}}"), &f);
	expect(&f, FINDING_ERROR, "");
	assert_string_equal(file->source.password_file, "/run/..data/token");
	assert_int_equal(exec->source.password_command.n, 2);
}

static void test_password_from_when_invalid_then_every_violation_is_named(void **state)
{
	static const char *const paths[] = {"token", "/run/../etc/passwd", "/run/./token", "/run//token", "/run/", "/"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *text = xasprintf(PASSWORD_FROM("{\"file\": \"%s\"}"), paths[i]);
		_cleanup_free_ char *want = xasprintf(NOT_PLAIN("file", "%s"), paths[i]);

		expect_errors(text, want);
	}
	expect_errors(PASSWORD_FROM("{\"exec\": {\"command\": [\"aws\"]}}"), NOT_PLAIN("exec.command[0]", "aws"));
	expect_errors(PASSWORD_FROM("{}"), ONE_WAY "0");
	expect_errors(PASSWORD_FROM("{\"file\": \"/a\", \"exec\": {\"command\": [\"/b\"]}}"), ONE_WAY "2");
	expect_errors(PASSWORD_FROM("{\"file\": \"/a\", \"secretRef\": {\"name\": \"p\"}}"), ONE_WAY "2");
	expect_errors(PASSWORD_FROM("{\"secretRef\": {\"name\": \"..\", \"key\": \"../token\"}}"),
		      "spec.source.passwordFrom.secretRef.name: must be the name of an object (a-z, 0-9, '-' and '.'), "
		      "found \"..\"\nspec.source.passwordFrom.secretRef.key: must be a key (letters, digits, '-', '_' "
		      "and '.'), found \"../token\"");
	expect_errors(PASSWORD_FROM("{\"file\": \"/a\"}, \"passwordSecretRef\": {\"name\": \"p\"}"),
		      "spec.source.passwordFrom: must not be set together with `passwordSecretRef`");
}

static void note_secret(void *user, const char *name)
{
	assert_string_equal(name, "token");
	++*(size_t *)user;
}

static void test_password_from_when_mounted_then_one_file_and_no_reference(void **state)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_(spec_freep) struct spec *file = NULL;
	size_t names = 0, keys = 0;

	UNUSED(state);
	findings_init(&f);
	s = decode(PASSWORD_FROM("{\"secretRef\": {\"name\": \"token\"}}"), &f);
	file = decode(PASSWORD_FROM("{\"file\": \"/a\"}"), &f);
	expect(&f, FINDING_ERROR, "");
	assert_string_equal(s->source.password_mount.key, "password");
	spec_references(s, note_secret, NULL, &names);
	assert_int_equal(names, 1);
	spec_mount_password(&s->source, "/run/x");
	assert_string_equal(s->source.password_file, "/run/x/password");
	spec_references(s, note_secret, NULL, &names);
	spec_secret_keys(s, "token", note_secret, &keys);
	assert_true(names == 1 && keys == 0);
	spec_mount_password(&file->source, "/run/x");
	assert_string_equal(file->source.password_file, "/a");
}

/* A worker of an operator shares a container with those of others. */
static void test_password_from_when_it_must_not_be_read_here_then_refused(void **state)
{
	static const char *const texts[] = {PASSWORD_FROM("{\"file\": \"/a\"}"),
					    PASSWORD_FROM("{\"secretRef\": {\"name\": \"token\"}}"),
					    PASSWORD_FROM("{\"exec\": {\"command\": [\"/b\"]}}"),
					    RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA)};
	static const char *const where[] = {"spec.source.passwordFrom.file", NULL, "spec.source.passwordFrom.exec",
					    NULL};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *s = NULL;

		findings_init(&f);
		s = decode(texts[i], &f);
		spec_refuse_password_from(&s->source, &f);
		assert_int_equal(findings_failed(&f), where[i] != NULL);
		assert_true(!where[i] || finding_is_about(&f.items[0], where[i]));
	}
}

static void test_password_from_when_replaced_then_the_other_is_forgotten(void **state)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = decode(PASSWORD_FROM("{\"file\": \"/a\"}"), &f);
	spec_replace_password_from(&s->source, NULL, NULL, &f);
	assert_string_equal(s->source.password_file, "/a");
	spec_replace_password_from(&s->source, NULL, "/bin/login", &f);
	assert_null(s->source.password_file);
	assert_string_equal(s->source.password_command.items[0], "/bin/login");
	spec_replace_password_from(&s->source, "/b", NULL, &f);
	assert_int_equal(s->source.password_command.n, 0);
	assert_false(findings_failed(&f));
	spec_replace_password_from(&s->source, "b", NULL, &f);
	assert_true(findings_failed(&f));
}

static void test_spec_when_admitted_then_what_is_unknown_is_a_remark(void **state)
{
	static const char text[] = RESOURCE(
		"\"source\": {\"host\": \"db\", \"database\": \"shop\", \"user\": \"sync\", \"later\": 1, "
		"\"tls\": {\"mode\": \"Pinned\"}, \"replication\": {\"slotLostPolicy\": \"Ask\"}}, " MINIMAL_SINK
		", " MINIMAL_SCHEMA ", \"paused\": false, \"deletionPolicy\": {\"replicationSlot\": \"Archive\"}");
	_cleanup_json_ json_t *resource = json_loads(text, 0, NULL);
	_cleanup_(findings_release) struct findings strict;
	_cleanup_(findings_release) struct findings admitted;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&strict);
	findings_init(&admitted);
	assert_non_null(resource);
	spec_free(spec_decode(resource, &strict));
	assert_true(findings_failed(&strict));
	s = spec_decode_admitted(resource, &admitted);
	assert_false(findings_failed(&admitted));
	assert_int_equal(admitted.n, strict.n);
	assert_int_equal(admitted.n, 5);
	/* The safest behavior, and one that can be undone. */
	assert_int_equal(s->source.tls, SPEC_TLS_VERIFY_FULL);
	assert_int_equal(s->source.slot_lost, SPEC_SLOT_LOST_STALL);
	assert_int_equal(s->delete_slot, SPEC_RETAIN);
}

static void test_spec_when_admitted_then_other_mistakes_are_errors(void **state)
{
	_cleanup_json_ json_t *resource =
		json_loads(RESOURCE(MINIMAL_SOURCE
				    ", " MINIMAL_SINK
				    ", \"schema\": [{\"index\": \"books\", \"nods\": {}}], \"lagTargetSeconds\": 0"),
			   0, NULL);
	_cleanup_(findings_release) struct findings f;
	_cleanup_free_ char *errors = NULL;

	UNUSED(state);
	findings_init(&f);
	assert_non_null(resource);
	spec_free(spec_decode_admitted(resource, &f));
	errors = findings_join(&f, FINDING_ERROR, "\n");
	assert_non_null(strstr(errors, "spec.schema[0].nods: unknown field"));
	assert_non_null(strstr(errors, "spec.lagTargetSeconds: "));
}

static void test_spec_when_placement_is_pod_then_accepted(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = decode(
		RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA ", \"worker\": {\"placement\": \"Pod\"}"),
		&f);
	assert_int_equal(s->placement, SPEC_PLACEMENT_POD);
	assert_int_equal(f.n, 0);
	findings_release(&f);
}

#define WITH_REDIS(redis)                                                                                             \
	RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA ", \"checkpoint\": {\"store\": \"Redis\"" redis \
				"}")
#define WITH_URL(url) WITH_REDIS(", \"redis\": {\"url\": \"" url "\"}")

static void test_spec_when_redis_is_given_then_its_url_is_read(void **state)
{
	static const struct {
		const char *resource, *host;
		int64_t port, database;
		bool tls;
	} cases[] = {
		{WITH_URL("redis://r"), "r", 6379, 0, false},
		{WITH_URL("redis://r/"), "r", 6379, 0, false},
		{WITH_URL("redis://10.0.0.1:6380/15"), "10.0.0.1", 6380, 15, false},
		{WITH_URL("rediss://[::1]:6381/0"), "[::1]", 6381, 0, true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(spec_freep) struct spec *s = NULL;
		struct findings f;

		findings_init(&f);
		s = decode(cases[i].resource, &f);
		assert_false(findings_failed(&f));
		assert_string_equal(s->redis.host, cases[i].host);
		assert_int_equal(s->redis.port, cases[i].port);
		assert_int_equal(s->redis.database, cases[i].database);
		assert_int_equal(s->redis.tls, cases[i].tls);
		findings_release(&f);
	}
}

static void test_spec_when_redis_is_not_valid_then_the_message_says_what_is(void **state)
{
	static const char form[] =
		"spec.checkpoint.redis.url: must be redis://HOST[:PORT][/DATABASE], or rediss:// for TLS";

	UNUSED(state);
	expect_errors(WITH_REDIS(""), "spec.checkpoint.redis: must be set when `store` is Redis");
	expect_errors(WITH_URL("http://r"), form);
	expect_errors(WITH_URL("redis://"), form);
	expect_errors(WITH_URL("redis://:6379"), form);
	expect_errors(WITH_URL("redis://r:0"), form);
	expect_errors(WITH_URL("redis://r:65536"), form);
	expect_errors(WITH_URL("redis://r:"), form);
	expect_errors(WITH_URL("redis://r:1x"), form);
	expect_errors(WITH_URL("redis://r/x"), form);
	expect_errors(WITH_URL("redis://r/65536"), form);
	expect_errors(WITH_URL("redis://r?db=1"), form);
	expect_errors(WITH_URL("redis://[::1"), form);
	expect_errors(WITH_URL("redis://a b"), form);
	expect_errors(WITH_URL("redis://u:geheim@r"),
		      "spec.checkpoint.redis.url: must not contain a user or password; use "
		      "`username` and `passwordSecretRef`");
	expect_errors(WITH_REDIS(", \"redis\": {\"url\": \"redis://r\", \"username\": \"u\", \"sentinels\": [\"s:x\"], "
				 "\"tls\": {\"caSecretRef\": {\"name\": \"ca\"}}}"),
		      "spec.checkpoint.redis.url: must begin with rediss:// when `tls.caSecretRef` is set\n"
		      "spec.checkpoint.redis.passwordSecretRef: is required when `username` is set\n"
		      "spec.checkpoint.redis.sentinels[0]: must be HOST or HOST:PORT");
}

static void test_spec_when_redis_is_a_service_then_it_is_looked_up_in_the_namespace(void **state)
{
	_cleanup_(spec_freep) struct spec *alone = NULL, *watched = NULL;
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	alone = decode(WITH_URL("redis://cache"), &f);
	spec_name_services(alone);
	assert_string_equal(alone->redis.host, "cache.shop.svc");
	watched = decode(WITH_REDIS(", \"redis\": {\"url\": \"redis://mymaster\", \"sentinels\": [\"sentinel:26380\", "
				    "\"s.example\"]}"),
			 &f);
	spec_name_services(watched);
	assert_string_equal(watched->redis.host, "mymaster");
	assert_string_equal(watched->redis.sentinels.items[0], "sentinel.shop.svc:26380");
	assert_string_equal(watched->redis.sentinels.items[1], "s.example");
	assert_false(findings_failed(&f));
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
		"spec.sink.urls: must contain 1 to 16 URLs, found 0\n"
		"spec.sink.authentication.type: must be Basic, APIKey, Bearer or AWS when `secretRef` is set");
}

static void test_region_then_for_aws_alone_and_a_plain_word(void **state)
{
#define LOGIN(fields)                                                                                     \
	RESOURCE(MINIMAL_SOURCE                                                                           \
		 ", \"sink\": {\"urls\": [\"http://a\"], \"authentication\": {\"secretRef\": {\"name\": " \
		 "\"x\"}, " fields "}}, " MINIMAL_SCHEMA)
	UNUSED(state);
	expect_errors(LOGIN("\"type\": \"AWS\", \"region\": \"eu-central-1\""), "");
	expect_errors(LOGIN("\"type\": \"AWS\""),
		      "spec.sink.authentication.region: is required for type AWS: the region of the search engine's "
		      "domain, such as eu-central-1");
	expect_errors(LOGIN("\"type\": \"Bearer\", \"region\": \"eu-central-1\""),
		      "spec.sink.authentication.region: is for type AWS only");
	expect_errors(LOGIN("\"type\": \"AWS\", \"region\": \"eu/x\""),
		      "spec.sink.authentication.region: must be a region of AWS, such as eu-central-1");
}

static void test_sink_when_a_port_is_invalid_then_refused(void **state)
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
		bad,
		"metadata.name: must be at most 52 characters, found 53: names such as the slot's are derived from it");
}

static void test_databases_when_they_differ_then_refused(void **state)
{
	UNUSED(state);
	expect_errors(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", \"schema\": [{\"database\": \"other\", \"nodes\": "
					      "{\"table\": \"t\"}}]"),
		      "spec.schema[0].database: must be \"bookstore\", the database of the source and of every "
		      "document, found \"other\"; another database needs its own PgSync");
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
	assert_int_equal(a->document_format.meta, SCHEMA_META_NONE);
	assert_int_equal(a->document_format.id_format, SCHEMA_ID_ESCAPED);
	assert_int_equal(a->document_format.mapping, SCHEMA_MAPPING_GENERATED);
	assert_int_equal(b->document_format.meta, SCHEMA_META_PGSYNC);
	assert_int_equal(b->document_format.id_format, SCHEMA_ID_PGSYNC);
	assert_int_equal(b->document_format.mapping, SCHEMA_MAPPING_DYNAMIC);
	assert_string_not_equal(a->schema_hash, b->schema_hash);
	findings_release(&f);
}

static void test_spec_when_something_is_invalid_then_says_what_can_still_be_done(void **state)
{
	static const struct {
		const char *path;
		bool can_be_checked, can_be_cleaned_up;
	} rows[] = {
		{"spec.lagTargetSeconds", true, true},
		{"spec.schema[0].nodes.columns[0]", true, true},
		{"spec.sink.urls[0]", true, false},
		{"spec.sink", true, false},
		{"spec.source.host", false, false},
		{"spec.source", false, false},
		{"spec.source.replication.slotName", true, false},
		{"spec.source.replication", true, false},
		{"spec.sourceless", true, true},
		{"spec", false, false},
		{"metadata.name", true, true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *spec = NULL;

		findings_init(&f);
		spec = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", " MINIMAL_SCHEMA), &f);
		findings_add(&f, FINDING_WARNING, REASON_INVALID_SPEC, "spec.source", "is odd");
		assert_true(spec_can_be_checked(spec, &f) && spec_can_be_cleaned_up(&f));
		findings_add(&f, FINDING_ERROR, REASON_INVALID_SPEC, rows[i].path, "is invalid");
		assert_int_equal(spec_can_be_checked(spec, &f), rows[i].can_be_checked);
		assert_int_equal(spec_can_be_cleaned_up(&f), rows[i].can_be_cleaned_up);
	}
}

static void test_spec_when_it_has_no_documents_then_it_cannot_be_checked(void **state)
{
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	UNUSED(state);
	findings_init(&f);
	spec = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK), &f);
	assert_false(spec_can_be_checked(spec, &f));
	assert_true(spec_can_be_cleaned_up(&f));
}

#define DATABASES(database, documents)                                                       \
	RESOURCE("\"source\": {\"host\": \"h\", \"user\": \"u\"" database "}, " MINIMAL_SINK \
		 ", \"schema\": [" documents "]")
#define OF(database, index) "{\"database\": \"" database "\", \"index\": \"" index "\", \"nodes\": {\"table\": \"t\"}}"

static void test_databases_when_the_source_names_none_then_that_of_the_documents(void **state)
{
	static const struct {
		const char *resource, *database, *errors;
	} rows[] = {
		{DATABASES("", OF("a", "i")), "a", ""},
		{DATABASES("", OF("a", "i") ", " OF("a", "j")), "a", ""},
		{DATABASES(", \"database\": \"a\"", OF("a", "i")), "a", ""},
		{DATABASES("", OF("a", "i") ", " OF("b", "j")), "a",
		 "spec.schema[1].database: must be \"a\", the database of the source and of every document, found "
		 "\"b\"; "
		 "another database needs its own PgSync"},
		{DATABASES("", "{\"index\": \"i\", \"nodes\": {\"table\": \"t\"}}"), NULL,
		 "spec.source.database: is required"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *spec = NULL;

		findings_init(&f);
		spec = decode(rows[i].resource, &f);
		expect(&f, FINDING_ERROR, rows[i].errors);
		if (rows[i].database)
			assert_string_equal(spec->source.database, rows[i].database);
		else
			assert_null(spec->source.database);
	}
}

static void count_name(void *user, const char *name)
{
	UNUSED(name);
	++*(size_t *)user;
}

static void test_outline_when_the_schema_is_large_or_wrong_then_the_rest_is_there(void **state)
{
	_cleanup_json_ json_t *resource = parse(everything);
	_cleanup_json_ json_t *unchanged = json_deep_copy(resource);
	_cleanup_(spec_freep) struct spec *s = spec_decode_outline(resource);
	_cleanup_(spec_freep) struct spec *none = spec_decode_outline(NULL);
	size_t n = 0;

	UNUSED(state);
	assert_string_equal(s->source.slot_name, "slot_1");
	assert_int_equal(s->delete_slot, SPEC_RETAIN);
	spec_references(s, count_name, NULL, &n);
	assert_int_equal(n, 3);
	assert_null(s->documents);
	assert_true(json_equal(resource, unchanged));
	assert_string_equal(none->name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outline_when_the_schema_is_large_or_wrong_then_the_rest_is_there),
		cmocka_unit_test(test_spec_when_minimal_then_defaults),
		cmocka_unit_test(test_bootstrap_readers_then_what_the_limit_of_connections_leaves),
		cmocka_unit_test(test_spec_when_everything_is_given_then_taken),
		cmocka_unit_test(test_slot_name_when_not_given_then_derived_and_cut_before_the_uid),
		cmocka_unit_test(test_slot_name_when_there_is_no_uid_then_names_that_sanitise_alike_differ),
		cmocka_unit_test(test_schema_hash_when_only_other_fields_differ_then_equal),
		cmocka_unit_test(test_spec_when_much_is_invalid_then_every_violation_is_named),
		cmocka_unit_test(test_password_from_when_valid_then_a_path_or_a_command),
		cmocka_unit_test(test_password_from_when_invalid_then_every_violation_is_named),
		cmocka_unit_test(test_password_from_when_mounted_then_one_file_and_no_reference),
		cmocka_unit_test(test_password_from_when_it_must_not_be_read_here_then_refused),
		cmocka_unit_test(test_password_from_when_replaced_then_the_other_is_forgotten),
		cmocka_unit_test(test_spec_when_admitted_then_what_is_unknown_is_a_remark),
		cmocka_unit_test(test_spec_when_admitted_then_other_mistakes_are_errors),
		cmocka_unit_test(test_spec_when_placement_is_pod_then_accepted),
		cmocka_unit_test(test_spec_when_redis_is_given_then_its_url_is_read),
		cmocka_unit_test(test_spec_when_redis_is_not_valid_then_the_message_says_what_is),
		cmocka_unit_test(test_spec_when_redis_is_a_service_then_it_is_looked_up_in_the_namespace),
		cmocka_unit_test(test_spec_when_references_are_not_names_then_refused),
		cmocka_unit_test(test_region_then_for_aws_alone_and_a_plain_word),
		cmocka_unit_test(test_sink_when_a_port_is_invalid_then_refused),
		cmocka_unit_test(test_name_when_it_is_longer_than_the_resource_allows_then_refused),
		cmocka_unit_test(test_databases_when_they_differ_then_refused),
		cmocka_unit_test(test_documents_when_given_then_another_hash),
		cmocka_unit_test(test_spec_when_something_is_invalid_then_says_what_can_still_be_done),
		cmocka_unit_test(test_spec_when_it_has_no_documents_then_it_cannot_be_checked),
		cmocka_unit_test(test_databases_when_the_source_names_none_then_that_of_the_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
