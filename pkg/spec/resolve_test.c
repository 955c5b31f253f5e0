/* Tests of what a spec refers to: which Secrets and ConfigMaps, what is taken from them, and the findings if they lack
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "spec/samples_int.h"

static void expect(const struct findings *f, enum finding_severity severity, const char *want)
{
	_cleanup_free_ char *got = findings_join(f, severity, "\n");

	assert_string_equal(got, want);
}

static void collect(void *user, const char *name)
{
	strbuf_addf(user, "%s ", name);
}

static void test_references_when_a_secret_is_used_twice_then_named_once(void **state)
{
	struct findings f;
	struct strbuf secrets, maps;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	strbuf_init(&secrets, 1000);
	strbuf_init(&maps, 1000);
	s = decode(everything, &f);
	spec_references(s, collect, collect, &secrets);
	assert_string_equal(secrets.data, "p ca k ");
	spec_free(TAKE_PTR(s));
	s = decode(RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", \"schemaConfigMapRef\": {\"name\": \"trees\"}"), &f);
	assert_string_equal(s->schema_config_map_key, "schema.json");
	spec_references(s, NULL, collect, &maps);
	assert_string_equal(maps.data, "trees ");
	strbuf_release(&secrets);
	strbuf_release(&maps);
	findings_release(&f);
}

static struct spec *resolve(const char *resource, const char *secrets, const char *maps, struct findings *f)
{
	_cleanup_json_ json_t *secret_values = parse(secrets);
	_cleanup_json_ json_t *map_values = parse(maps);
	struct spec *spec = decode(resource, f);

	assert_int_equal(f->n, 0);
	spec_resolve(spec, &(struct spec_objects){.secrets = secret_values, .config_maps = map_values}, f);
	return spec;
}

static void test_resolve_when_secrets_are_there_then_filled_in(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(everything,
		    "{\"p\": {\"password\": \"pw\"}, \"ca\": {\"ca.crt\": \"A\", \"root.pem\": \"B\"}, \"k\": "
		    "{\"apiKey\": \"K\"}}",
		    "{}", &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->source.password, "pw");
	assert_string_equal(s->source.ca.value, "A");
	assert_string_equal(s->sink.ca.value, "B");
	assert_string_equal(s->sink.api_key, "K");
	findings_release(&f);
}

#define PASSWORD_FROM                                                                                     \
	RESOURCE("\"source\": {\"host\": \"h\", \"database\": \"d\", \"user\": \"u\", \"passwordFrom\": " \
		 "{\"secretRef\": {\"name\": \"token\", \"key\": \"now\"}}}, " MINIMAL_SINK ", " MINIMAL_SCHEMA)

static void test_resolve_when_the_password_is_mounted_then_not_looked_for(void **state)
{
	static const struct {
		const char *secrets, *error;
		bool mounted;
	} rows[] = {
		{"{\"token\": {\"now\": \"pw\"}}", "", false},
		{"{}", "spec.source.passwordFrom.secretRef: Secret \"token\" not found", false},
		{"{}", "", true},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_json_ json_t *secrets = parse(rows[i].secrets);
		_cleanup_(spec_freep) struct spec *s = NULL;

		findings_init(&f);
		s = decode(PASSWORD_FROM, &f);
		if (rows[i].mounted)
			spec_mount_password(&s->source, "/run/x");
		spec_resolve(s, &(struct spec_objects){.secrets = secrets}, &f);
		expect(&f, FINDING_ERROR, rows[i].error);
		assert_int_equal(s->source.password != NULL, i == 0);
	}
}

static void test_resolve_when_something_is_missing_then_named_with_what_is_there(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(everything, "{\"p\": {\"user\": \"secret-1\", \"pass\": \"secret-2\"}, \"k\": {}}", "{}", &f);
	expect(&f, FINDING_ERROR,
	       "spec.source.passwordSecretRef: Secret \"p\" has no key \"password\"\n"
	       "spec.source.tls.caSecretRef: Secret \"ca\" not found\n"
	       "spec.sink.authentication.secretRef: Secret \"k\" has no key \"apiKey\"\n"
	       "spec.sink.tls.caSecretRef: Secret \"ca\" not found");
	assert_string_equal(reason_name(f.items[0].reason), "CredentialsNotFound");
	findings_release(&f);
}

static void test_resolve_when_secrets_are_elsewhere_then_only_those_that_are_here_are_checked(void **state)
{
	struct findings f;
	_cleanup_json_ json_t *secrets = parse("{\"k\": {}}");
	_cleanup_json_ json_t *none = json_object();
	const struct spec_objects objects = {.secrets = secrets, .config_maps = none, .secrets_elsewhere = true};
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = decode(everything, &f);
	spec_resolve(s, &objects, &f);
	expect(&f, FINDING_ERROR, "spec.sink.authentication.secretRef: Secret \"k\" has no key \"apiKey\"");
	expect(&f, FINDING_WARNING,
	       "spec.source.passwordSecretRef: Secret \"p\" was not found here and was not checked; it must exist when "
	       "the PgSync runs\n"
	       "spec.source.tls.caSecretRef: Secret \"ca\" was not found here and was not checked; it must exist when "
	       "the PgSync runs\n"
	       "spec.sink.tls.caSecretRef: Secret \"ca\" was not found here and was not checked; it must exist when "
	       "the PgSync runs");
	findings_release(&f);
}

#define CONNECTION(rest)                                                                             \
	RESOURCE("\"source\": {\"connectionSecretRef\": {\"name\": \"app\"}" rest "}, " MINIMAL_SINK \
		 ", " MINIMAL_SCHEMA)

static void test_connection_uri_when_its_password_is_not_escaped_then_taken_as_it_is(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_(spec_freep) struct spec *t = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(CONNECTION(""), "{\"app\": {\"uri\": \"postgresql://u:a/b?c#d@h:6000/d?sslmode=require\"}}", "{}",
		    &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->source.password, "a/b?c#d");
	assert_string_equal(s->source.host, "h");
	assert_int_equal(s->source.port, 6000);
	assert_string_equal(s->source.database, "d");
	t = resolve(CONNECTION(""), "{\"app\": {\"uri\": \"postgresql://u:100%sure%21@h/d?x=a@b\"}}", "{}", &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(t->source.password, "100%sure!");
	assert_string_equal(t->source.database, "d");
	findings_release(&f);
}

static void test_connection_secret_when_it_has_keys_then_they_come_before_its_uri(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(CONNECTION(""),
		    "{\"app\": {\"host\": \"h\", \"port\": \"6000\", \"dbname\": \"d\", \"username\": \"u\", "
		    "\"password\": \"p\", "
		    "\"uri\": \"postgresql://x:y@z:1/w\"}}",
		    "{}", &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->source.host, "h");
	assert_int_equal(s->source.port, 6000);
	assert_string_equal(s->source.database, "d");
	assert_string_equal(s->source.user, "u");
	assert_string_equal(s->source.password, "p");
	findings_release(&f);
}

static void test_connection_secret_when_it_has_a_uri_then_its_parts_are_decoded(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_(spec_freep) struct spec *t = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(CONNECTION(", \"database\": \"mine\""),
		    "{\"app\": {\"uri\": "
		    "\"postgres://us%40er:p%2Fw:x@[::1]:6543/other?application_name=a&sslmode=require\"}}",
		    "{}", &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->source.host, "::1");
	assert_int_equal(s->source.port, 6543);
	assert_string_equal(s->source.database, "mine");
	assert_string_equal(s->source.user, "us@er");
	assert_string_equal(s->source.password, "p/w:x");
	assert_int_equal(s->source.tls, SPEC_TLS_REQUIRE);
	t = resolve(CONNECTION(""), "{\"app\": {\"uri\": \"postgres://u@h/d?sslmode=prefer\"}}", "{}", &f);
	assert_int_equal(f.n, 0);
	assert_int_equal(t->source.tls, SPEC_TLS_PREFER);
	findings_release(&f);
}

static void test_connection_secret_when_it_is_not_a_connection_then_refused_without_its_values(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_(spec_freep) struct spec *t = NULL;
	_cleanup_(spec_freep) struct spec *u = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(CONNECTION(""), "{\"app\": {\"uri\": \"mysql://u:secret@h\", \"port\": \"x\"}}", "{}", &f);
	expect(&f, FINDING_ERROR,
	       "spec.source.connectionSecretRef: Secret \"app\": the uri must be of the form "
	       "postgres://USER:PASSWORD@HOST:PORT/DATABASE\n"
	       "spec.source.connectionSecretRef: Secret \"app\": the port must be between 1 and 65535\n"
	       "spec.source.connectionSecretRef: Secret \"app\" has no key \"host\" (and no \"uri\")\n"
	       "spec.source.connectionSecretRef: Secret \"app\" has no key \"username\" or \"user\" (and no \"uri\")");
	findings_release(&f);
	t = resolve(CONNECTION(""), "{\"app\": {\"uri\": \"postgres://u@h/d?sslmode=verify-full\"}}", "{}", &f);
	expect(&f, FINDING_ERROR,
	       "spec.source.tls: the uri's sslmode verify-full needs `caSecretRef`, the certificate authority to "
	       "verify "
	       "against");
	findings_release(&f);
	u = resolve(CONNECTION(""), "{}", "{}", &f);
	expect(&f, FINDING_ERROR, "spec.source.connectionSecretRef: Secret \"app\" not found");
	findings_release(&f);
}

#define FROM_MAP RESOURCE(MINIMAL_SOURCE ", " MINIMAL_SINK ", \"schemaConfigMapRef\": {\"name\": \"trees\"}")

static void test_config_map_when_it_holds_a_schema_then_decoded_once(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_json_ json_t *none = json_object();

	UNUSED(state);
	findings_init(&f);
	s = resolve(FROM_MAP, "{}",
		    "{\"trees\": {\"schema.json\": \"[{\\\"index\\\": \\\"i\\\", \\\"nodes\\\": {\\\"table\\\": "
		    "\\\"t\\\"}}]\"}}",
		    &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(s->documents[0]->root->path, "configmap/trees/schema.json[0].nodes");
	assert_non_null(s->schema_hash);
	spec_resolve(s, &(struct spec_objects){.secrets = none, .config_maps = none}, &f);
	assert_int_equal(f.n, 0);
	findings_release(&f);
}

static void test_config_map_when_it_holds_none_then_refused(void **state)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *s = NULL;
	_cleanup_(spec_freep) struct spec *t = NULL;
	_cleanup_(spec_freep) struct spec *u = NULL;

	UNUSED(state);
	findings_init(&f);
	s = resolve(FROM_MAP, "{}", "{}", &f);
	expect(&f, FINDING_ERROR, "spec.schemaConfigMapRef: ConfigMap \"trees\" not found");
	findings_release(&f);
	t = resolve(FROM_MAP, "{}", "{\"trees\": {\"a\": \"\"}}", &f);
	expect(&f, FINDING_ERROR,
	       "spec.schemaConfigMapRef: ConfigMap \"trees\" has no key \"schema.json\"; its keys are: a");
	assert_string_equal(reason_name(f.items[0].reason), "InvalidSchema");
	findings_release(&f);
	u = resolve(FROM_MAP, "{}", "{\"trees\": {\"schema.json\": \"[{\\\"index\\\": \\\"i\\\"}]\"}}", &f);
	expect(&f, FINDING_ERROR, "configmap/trees/schema.json[0].nodes: is required");
	findings_release(&f);
}

#define AUTHENTICATION_WITH(type, fields)                                                                       \
	RESOURCE(MINIMAL_SOURCE ", \"sink\": {\"urls\": [\"http://h\"], \"authentication\": {\"type\": \"" type \
				"\"" fields ", \"secretRef\": {\"name\": \"k\"}}}, " MINIMAL_SCHEMA)
#define AUTHENTICATION(type) AUTHENTICATION_WITH(type, "")

static void expect_text(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void test_resolve_when_a_login_then_only_the_values_of_its_type(void **state)
{
	static const char secrets[] =
		"{\"k\": {\"username\": \"u\", \"password\": \"p\", \"apiKey\": \"a\", \"token\": \"t\", "
		"\"accessKeyId\": \"A\", \"secretAccessKey\": \"S\", \"sessionToken\": \"T\"}}";
	static const struct {
		const char *resource;
		enum spec_auth_type type;
		const char *username, *password, *api_key, *token, *errors_without;
	} rows[] = {
		{AUTHENTICATION("Basic"), SPEC_AUTH_BASIC, "u", "p", NULL, NULL,
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"username\"\n"
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"password\""},
		{AUTHENTICATION("APIKey"), SPEC_AUTH_API_KEY, NULL, NULL, "a", NULL,
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"apiKey\""},
		{AUTHENTICATION("Bearer"), SPEC_AUTH_BEARER, NULL, NULL, NULL, "t",
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"token\""},
		{AUTHENTICATION_WITH("AWS", ", \"region\": \"eu-central-1\""), SPEC_AUTH_AWS, "A", "S", NULL, "T",
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"accessKeyId\"\n"
		 "spec.sink.authentication.secretRef: Secret \"k\" has no key \"secretAccessKey\""},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *s = NULL;
		_cleanup_(spec_freep) struct spec *without = NULL;

		findings_init(&f);
		s = resolve(rows[i].resource, secrets, "{}", &f);
		assert_int_equal(f.n, 0);
		assert_int_equal(s->sink.auth, rows[i].type);
		expect_text(s->sink.username, rows[i].username);
		expect_text(s->sink.password, rows[i].password);
		expect_text(s->sink.api_key, rows[i].api_key);
		expect_text(s->sink.token, rows[i].token);
		without = resolve(rows[i].resource, "{\"k\": {\"other\": \"secret\"}}", "{}", &f);
		expect(&f, FINDING_ERROR, rows[i].errors_without);
	}
}

static void test_connection_uri_when_it_has_an_sslmode_then_its_mode_of_tls(void **state)
{
	static const char refused[] =
		"spec.source.connectionSecretRef: the uri's sslmode must be disable, require, verify-ca or verify-full";
	static const struct {
		const char *rest, *sslmode;
		enum spec_tls_mode mode;
		const char *errors;
	} rows[] = {
		{"", "disable", SPEC_TLS_DISABLE, ""},
		{"", "allow", SPEC_TLS_PREFER, ""},
		{"", "prefer", SPEC_TLS_PREFER, ""},
		{"", "require", SPEC_TLS_REQUIRE, ""},
		{"", "verify-ca", SPEC_TLS_VERIFY_CA,
		 "spec.source.tls: the uri's sslmode verify-ca needs `caSecretRef`, the certificate authority to "
		 "verify against"},
		{"", "Require", SPEC_TLS_PREFER, refused},
		{"", "requires", SPEC_TLS_PREFER, refused},
		/* The resource takes precedence. */
		{", \"tls\": {\"mode\": \"Disable\"}", "require", SPEC_TLS_DISABLE, ""},
		{", \"tls\": {\"mode\": \"Require\"}", "nonsense", SPEC_TLS_REQUIRE, ""},
		{", \"tls\": {\"caSecretRef\": {\"name\": \"ca\"}}", "disable", SPEC_TLS_VERIFY_FULL, ""},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_(spec_freep) struct spec *s = NULL;
		_cleanup_free_ char *resource = xasprintf(
			"{\"metadata\": {\"name\": \"b\"}, \"spec\": {\"source\": {\"connectionSecretRef\": {\"name\": "
			"\"app\"}%s}, " MINIMAL_SINK ", " MINIMAL_SCHEMA "}}",
			rows[i].rest);
		_cleanup_free_ char *secrets =
			xasprintf("{\"app\": {\"uri\": \"postgres://u@h/d?sslmode=%s\"}, \"ca\": {\"ca.crt\": \"A\"}}",
				  rows[i].sslmode);

		findings_init(&f);
		s = resolve(resource, secrets, "{}", &f);
		expect(&f, FINDING_ERROR, rows[i].errors);
		assert_int_equal(s->source.tls, rows[i].mode);
	}
}

/* --- how credentials travel --- */

static void test_transport_then_whatever_others_could_read_or_answer_is_a_warning(void **state)
{
	static const struct {
		const char *host, *mode, *auth, *url, *warned;
	} rows[] = {
		{"127.0.0.1", "Disable", "Basic", "http://localhost:9200", ""},
		{"localhost", "Prefer", "Basic", "http://[::1]:9200/x", ""},
		{"::1", "Disable", "Basic", "http://127.0.0.1", ""},
		{"/run/postgresql", "Disable", "None", "http://es:9200", ""},
		{"db", "Disable", "None", "http://es:9200", "spec.source.tls.mode: Disable: rows travel without TLS"},
		{"127.0.0.1.evil.example", "Disable", "None", "http://es", "spec.source.tls.mode: Disable"},
		{"localhost.example", "Prefer", "None", "http://es", "spec.source.tls.mode: Prefer"},
		{"db", "Require", "None", "http://es", "any certificate is accepted"},
		{"db", "VerifyCA", "None", "http://es", "host name is not checked"},
		{"db", "VerifyFull", "Bearer", "http://localhost.example:9200", "spec.sink.urls[0]: the credentials"},
		{"db", "VerifyFull", "Basic", "https://es", ""},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(findings_release) struct findings f;
		_cleanup_free_ char *text = NULL, *got = NULL;
		_cleanup_(spec_freep) struct spec *s = NULL;

		findings_init(&f);
		text = xasprintf(
			"{\"metadata\": {\"name\": \"b\"}, \"spec\": {\"source\": {\"host\": \"%s\", \"user\": \"u\", "
			"\"tls\": {\"mode\": \"%s\", \"caSecretRef\": {\"name\": \"c\"}}}, \"sink\": {\"urls\": "
			"[\"%s\"], "
			"\"authentication\": {\"type\": \"%s\"}}}}",
			rows[i].host, rows[i].mode, rows[i].url, rows[i].auth);
		s = decode(text, &f);
		findings_release(&f);
		findings_init(&f);
		spec_warn_about_transport(s, &f);
		got = findings_join(&f, FINDING_WARNING, "\n");
		if (*rows[i].warned ? !strstr(got, rows[i].warned) : *got)
			fail_msg("%s, %s, %s: \"%s\"", rows[i].host, rows[i].mode, rows[i].url, got);
	}
}

static void test_secret_when_a_label_is_required_then_the_message_names_it(void **state)
{
	_cleanup_json_ json_t *none = json_object();
	const struct spec_objects objects = {.secrets = none, .config_maps = none, .secret_label = "pgsync.io/use=yes"};
	_cleanup_json_ json_t *resource = parse(
		RESOURCE("\"source\": {\"host\": \"h\", \"database\": \"d\", \"user\": \"u\", \"passwordSecretRef\": "
			 "{\"name\": \"p\"}}, " MINIMAL_SINK ", " MINIMAL_SCHEMA));
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	spec = spec_decode(resource, &f);
	spec_resolve(spec, &objects, &f);
	expect(&f, FINDING_ERROR,
	       "spec.source.passwordSecretRef: Secret \"p\" not found with the label pgsync.io/use=yes, which this "
	       "operator "
	       "requires");
	findings_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transport_then_whatever_others_could_read_or_answer_is_a_warning),
		cmocka_unit_test(test_secret_when_a_label_is_required_then_the_message_names_it),
		cmocka_unit_test(test_references_when_a_secret_is_used_twice_then_named_once),
		cmocka_unit_test(test_resolve_when_secrets_are_there_then_filled_in),
		cmocka_unit_test(test_resolve_when_the_password_is_mounted_then_not_looked_for),
		cmocka_unit_test(test_resolve_when_something_is_missing_then_named_with_what_is_there),
		cmocka_unit_test(test_resolve_when_secrets_are_elsewhere_then_only_those_that_are_here_are_checked),
		cmocka_unit_test(test_connection_uri_when_its_password_is_not_escaped_then_taken_as_it_is),
		cmocka_unit_test(test_connection_secret_when_it_has_keys_then_they_come_before_its_uri),
		cmocka_unit_test(test_connection_secret_when_it_has_a_uri_then_its_parts_are_decoded),
		cmocka_unit_test(test_connection_secret_when_it_is_not_a_connection_then_refused_without_its_values),
		cmocka_unit_test(test_config_map_when_it_holds_a_schema_then_decoded_once),
		cmocka_unit_test(test_config_map_when_it_holds_none_then_refused),
		cmocka_unit_test(test_resolve_when_a_login_then_only_the_values_of_its_type),
		cmocka_unit_test(test_connection_uri_when_it_has_an_sslmode_then_its_mode_of_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
