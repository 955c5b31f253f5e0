/* Tests of what a schema.json and pgsync's variables become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "import/import.h"
#include "json/json.h"

#define BOOKS "[{\"database\": \"bookstore\", \"index\": \"books\", \"nodes\": {\"table\": \"books\"}}]"

/* Files that variables may name. */
static int read_file(const char *path, char **ret, struct err *err)
{
	if (strcmp(path, "/ca.pem") != 0)
		return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
	*ret = xstrdup("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
	return 0;
}

static json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "test", &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

/* "NAME=value\n..." as the environment. */
static struct import_env *environment(const char *lines)
{
	struct import_env *env = import_env_new(NULL);
	_cleanup_free_ char *text = xstrdup(lines);

	for (char *line = text; *line;) {
		char *end = line + strcspn(line, "\n");
		char *next = *end ? end + 1 : end;
		char *equals = strchr(line, '=');

		*end = '\0';
		*equals = '\0';
		import_env_override(env, line, equals + 1);
		line = next;
	}
	return env;
}

static void expect(const struct findings *f, enum finding_severity severity, const char *want)
{
	_cleanup_free_ char *got = findings_join(f, severity, "\n");

	assert_string_equal(got, want);
}

/* --- the environment */

static void expect_file(const char *text, const char *name, const char *want)
{
	static char process[] = "FROM=process";
	char *const variables[] = {process, NULL};
	_cleanup_(import_env_freep) struct import_env *env = import_env_new(variables);
	const char *got;
	struct findings f;

	findings_init(&f);
	import_env_add_file(env, text, strlen(text), ".env", &f);
	expect(&f, FINDING_ERROR, "");
	expect(&f, FINDING_WARNING, "");
	got = import_env_get(env, name);
	if (!want)
		assert_null(got);
	else if (!got)
		fail_msg("%s: %s is not set", text, name);
	else
		assert_string_equal(got, want);
	findings_release(&f);
}

static void test_env_file_when_values_are_bare_then_up_to_a_comment(void **state)
{
	UNUSED(state);
	expect_file("PG_HOST=db", "PG_HOST", "db");
	expect_file("\n# a comment\n\nPG_HOST=db\r\nPG_PORT=5432\r\n", "PG_HOST", "db");
	expect_file("export PG_HOST = db # the database", "PG_HOST", "db");
	expect_file("PG_PASSWORD=a#b", "PG_PASSWORD", "a#b");
	expect_file("PG_PASSWORD=#b", "PG_PASSWORD", "#b");
	expect_file("PG_PASSWORD=a b  c\t", "PG_PASSWORD", "a b  c");
	expect_file("PG_PASSWORD=it's \"so\"", "PG_PASSWORD", "it's \"so\"");
	expect_file("PG_PASSWORD=a\\nb", "PG_PASSWORD", "a\\nb");
	expect_file("PG_HOST=", "PG_HOST", NULL);
	expect_file("PG_HOST\nPG_PORT=1", "PG_PORT", "1");
	expect_file("PG_HOST=a\nPG_HOST=b", "PG_HOST", "b");
	expect_file("exported=1", "exported", "1");
}

static void test_env_file_when_values_are_quoted_then_as_they_are(void **state)
{
	UNUSED(state);
	expect_file("A='a # b' # c", "A", "a # b");
	expect_file("A='it\\'s \\n \\\\'", "A", "it's \\n \\");
	expect_file("A=\"a \\\"b\\\" \\\\ \\n\\t\\x\"", "A", "a \"b\" \\ \n\t\\x");
	expect_file("A=\"two\nlines\"\nB=1", "A", "two\nlines");
	expect_file("A=\"two\nlines\"\nB=1", "B", "1");
	expect_file("'A'=1", "A", "1");
}

static void test_env_file_when_values_name_variables_then_replaced(void **state)
{
	UNUSED(state);
	expect_file("A=x\nB=${A}-${A}", "B", "x-x");
	expect_file("B=${FROM}", "B", "process");
	expect_file("FROM=process\nB='${FROM}'", "B", "process");
	expect_file("B=a${NONE}b", "B", "ab");
	expect_file("B=${NONE:-default}", "B", "default");
	expect_file("B=${FROM:-default}", "B", "process");
	expect_file("B=$FROM ${FROM:x} ${", "B", "$FROM ${FROM:x} ${");
}

static void test_env_file_when_the_environment_has_it_too_then_the_environment_wins(void **state)
{
	static char process[] = "PG_PASSWORD=from-environment", other[] = "EDITOR=vi";
	char *const variables[] = {process, other, NULL};
	static const char text[] = "PG_PASSWORD=from-file\nEDITOR=emacs\n";
	_cleanup_(import_env_freep) struct import_env *env = import_env_new(variables);
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	import_env_add_file(env, text, strlen(text), "prod.env", &f);
	assert_string_equal(import_env_get(env, "PG_PASSWORD"), "from-environment");
	expect(&f, FINDING_WARNING, "PG_PASSWORD: the environment's value is used, not that of prod.env");
	findings_release(&f);
}

static void test_env_file_when_lines_are_malformed_then_named_by_number_and_skipped(void **state)
{
	static const char text[] = "PG_HOST=db\n=secret\nA='secret\nB=1";
	_cleanup_(import_env_freep) struct import_env *env = import_env_new(NULL);
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	import_env_add_file(env, text, strlen(text), ".env", &f);
	expect(&f, FINDING_WARNING,
	       ".env: line 2 is skipped: it must be NAME=value, and a quote must be closed\n"
	       ".env: line 3 is skipped: it must be NAME=value, and a quote must be closed");
	assert_string_equal(import_env_get(env, "PG_HOST"), "db");
	assert_string_equal(import_env_get(env, "B"), "1");
	findings_release(&f);
}

static void test_env_file_when_values_grow_without_end_then_refused(void **state)
{
	_cleanup_(import_env_freep) struct import_env *env = import_env_new(NULL);
	struct findings f;
	struct strbuf sb;

	UNUSED(state);
	findings_init(&f);
	strbuf_init(&sb, 65536);
	strbuf_adds(&sb, "A0=0123456789\n");
	for (int i = 1; i <= 20; i++)
		strbuf_addf(&sb, "A%d=${A%d}${A%d}\n", i, i - 1, i - 1);
	import_env_add_file(env, sb.data, sb.len, ".env", &f);
	assert_true(findings_failed(&f));
	assert_string_equal(f.items[0].message, "line 14: the value is longer than 65536 bytes");
	strbuf_release(&sb);
	findings_release(&f);
}

static void test_env_bool_when_any_of_pythons_words_then_read(void **state)
{
	_cleanup_(import_env_freep) struct import_env *env =
		environment("A=True\nB=on\nC=1\nD=FALSE\nE=off\nF=0\nG=maybe\nH=\n");
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	assert_true(import_env_bool(env, "A", false, &f) && import_env_bool(env, "B", false, &f) &&
		    import_env_bool(env, "C", false, &f));
	assert_false(import_env_bool(env, "D", true, &f) || import_env_bool(env, "E", true, &f) ||
		     import_env_bool(env, "F", true, &f));
	assert_true(import_env_bool(env, "H", true, &f) && import_env_bool(env, "NONE", true, &f));
	assert_int_equal(f.n, 0);
	assert_true(import_env_bool(env, "G", true, &f));
	expect(&f, FINDING_ERROR, "G: must be true or false, found \"maybe\"");
	findings_release(&f);
}

static void test_env_check_when_a_variable_means_nothing_then_says_why(void **state)
{
	_cleanup_(import_env_freep) struct import_env *env =
		environment("CHECKPOINT_PATH=/tmp\nPG_HOST=db\nREDIS_HOST=\nPOLLING=true\nPG_PASSWROD=x\n"
			    "REDIS_PORT_6379_TCP=x\nPGHOST=x\n");
	struct findings f;

	UNUSED(state);
	findings_init(&f);
	import_env_check(env, true, &f);
	expect(&f, FINDING_WARNING,
	       "CHECKPOINT_PATH: ignored: there is no file: the checkpoint is kept next to the index, or in Redis if "
	       "REDIS_CHECKPOINT is true\n"
	       "PG_PASSWROD: is not a variable of pgsync; did you mean PG_PASSWORD?");
	findings_release(&f);
	findings_init(&f);
	import_env_check(env, false, &f);
	assert_int_equal(f.n, 3);
	assert_string_equal(f.items[1].path, "POLLING");
	findings_release(&f);
}

static void expect_warnings(const char *variables, const char *want)
{
	_cleanup_(import_env_freep) struct import_env *env = environment(variables);
	struct findings f;

	findings_init(&f);
	import_env_check(env, true, &f);
	expect(&f, FINDING_WARNING, want);
	findings_release(&f);
}

static void test_env_check_when_redis_keeps_no_checkpoint_then_its_variables_mean_nothing(void **state)
{
	UNUSED(state);
	expect_warnings("REDIS_CHECKPOINT=yes\nREDIS_HOST=r\nREDIS_AUTH=p\nREDIS_READ_CHUNK_SIZE=5\n",
			"REDIS_READ_CHUNK_SIZE: ignored: there is no queue: changes that are not in the index yet wait "
			"in the replication slot");
	for (size_t i = 0; i < 2; i++)
		expect_warnings(i ? "REDIS_HOST=r\n" : "REDIS_CHECKPOINT=false\nREDIS_HOST=r\n",
				"REDIS_HOST: ignored: there is no queue: changes that are not in the index yet wait in "
				"the replication slot, and the checkpoint is kept next to the index");
}

/* --- resources */

struct result {
	struct import_result *list;
	size_t n;
	struct findings f;
};

static void result_release(struct result *r)
{
	import_results_free(r->list, r->n);
	findings_release(&r->f);
}

static struct result import(const char *schema, const char *variables, struct import_options options)
{
	_cleanup_json_ json_t *value = parse(schema);
	_cleanup_(import_env_freep) struct import_env *env = environment(variables);
	struct result r = {0};

	options.env = env;
	options.what = "schema.json";
	options.read_file = read_file;
	findings_init(&r.f);
	r.n = import_schema(value, &options, &r.list, &r.f);
	return r;
}

static void expect_at(const json_t *value, const char *path, const char *want)
{
	_cleanup_json_ json_t *wanted = parse(want);
	const json_t *found = *path ? jsonx_get(value, path) : value;
	_cleanup_free_ char *got = found ? jsonx_canonical(found) : xstrdup("nothing");
	_cleanup_free_ char *canonical = jsonx_canonical(wanted);

	assert_string_equal(got, canonical);
}

/* A part of the PgSync, its Secrets and the warnings; NULL: does not matter. */
static void expect_import(const char *variables, const char *path, const char *want, const char *secrets,
			  const char *warnings)
{
	_cleanup_(result_release) struct result r = import(BOOKS, variables, (struct import_options){0});

	expect(&r.f, FINDING_ERROR, "");
	assert_int_equal(r.n, 1);
	expect_at(r.list[0].resource, path, want);
	if (secrets)
		expect_at(r.list[0].secrets, "", secrets);
	expect(&r.f, FINDING_WARNING, warnings ? warnings : "");
}

static void expect_errors(const char *schema, const char *variables, const char *want)
{
	_cleanup_(result_release) struct result r = import(schema, variables, (struct import_options){0});

	expect(&r.f, FINDING_ERROR, want);
	assert_true(findings_failed(&r.f));
}

static void test_import_when_only_a_user_then_pgsyncs_defaults(void **state)
{
	_cleanup_(result_release) struct result r = import(BOOKS, "PG_USER=sync\n", (struct import_options){0});

	UNUSED(state);
	assert_int_equal(r.f.n, 0);
	assert_int_equal(r.n, 1);
	expect_at(
		r.list[0].resource, "",
		"{\"apiVersion\": \"pgsync.io/v1alpha1\", \"kind\": \"PgSync\", \"metadata\": {\"name\": "
		"\"bookstore-books\"}, \"spec\": {\"source\": {\"host\": \"localhost\", \"port\": 5432, \"database\": "
		"\"bookstore\", \"user\": \"sync\", \"tls\": {\"mode\": \"Prefer\"}}, \"sink\": {\"urls\": "
		"[\"http://localhost:9200\"]}, \"schema\": " BOOKS
		", \"documents\": {\"meta\": \"Pgsync\", \"idFormat\": \"Pgsync\", \"mapping\": \"Dynamic\"}}}");
	expect_at(r.list[0].secrets, "", "{}");
}

static void test_import_when_options_then_in_the_resource(void **state)
{
	_cleanup_(result_release) struct result r =
		import(BOOKS, "PG_USER=sync\nPG_PASSWORD=x\nNUM_WORKERS=4\nELASTICSEARCH_RAISE_ON_ERROR=True\n",
		       (struct import_options){.name = "shop", .namespace = "web", .adopt_existing_index = true});

	UNUSED(state);
	assert_int_equal(r.n, 1);
	expect_at(r.list[0].resource, "metadata", "{\"name\": \"shop\", \"namespace\": \"web\"}");
	expect_at(r.list[0].resource, "spec.sink.adoptExistingIndex", "true");
	expect_at(r.list[0].resource, "spec.bootstrap.parallelism", "4");
	expect_at(r.list[0].resource, "spec.onError.policy", "\"Stall\"");
	expect_at(r.list[0].secrets, "", "{\"shop-postgres\": {\"password\": \"x\"}}");
}

static void test_import_of_source_when_variables_then_in_the_spec(void **state)
{
	UNUSED(state);
	expect_import("PG_HOST=db\nPG_PORT=6432\nPG_USER=u\nPG_PASSWORD=p\nPG_SSLMODE=require\nPG_DRIVER=psycopg2\n",
		      "spec.source",
		      "{\"host\": \"db\", \"port\": 6432, \"database\": \"bookstore\", \"user\": \"u\", "
		      "\"passwordSecretRef\": {\"name\": \"bookstore-books-postgres\", \"key\": \"password\"}, "
		      "\"tls\": {\"mode\": \"Require\"}}",
		      "{\"bookstore-books-postgres\": {\"password\": \"p\"}}", NULL);
	expect_import("PG_USER=u\nPG_SSLMODE=verify-full\nPG_SSLROOTCERT=/ca.pem\n", "spec.source.tls",
		      "{\"mode\": \"VerifyFull\", \"caSecretRef\": {\"name\": \"bookstore-books-postgres\", \"key\": "
		      "\"ca.crt\"}}",
		      "{\"bookstore-books-postgres\": {\"ca.crt\": \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END "
		      "CERTIFICATE-----\\n\"}}",
		      NULL);
	expect_import("PG_USER=u\nPG_SSLMODE=require\nPG_SSLROOTCERT=/ca.pem\n", "spec.source.tls.mode", "\"VerifyCA\"",
		      NULL, NULL);
	expect_import("PG_USER=u\nPG_SSLMODE=disable\nPG_SSLROOTCERT=/ca.pem\n", "spec.source.tls",
		      "{\"mode\": \"Disable\"}", NULL,
		      "PG_SSLROOTCERT: ignored: with sslmode disable no certificate is verified");
}

static void test_import_of_source_when_a_url_then_a_secret_and_nothing_else(void **state)
{
	UNUSED(state);
	expect_import("PG_URL=postgresql+psycopg2://u:p%40@db:6432/other?sslmode=require\nPG_HOST=h\nPG_USER=x\n",
		      "spec.source",
		      "{\"connectionSecretRef\": {\"name\": \"bookstore-books-postgres\"}, \"database\": "
		      "\"bookstore\", \"tls\": {\"mode\": \"Require\"}}",
		      "{\"bookstore-books-postgres\": {\"uri\": "
		      "\"postgresql://u:p%40@db:6432/other?sslmode=require\"}}",
		      "PG_HOST: ignored: PG_URL is set and takes precedence\n"
		      "PG_USER: ignored: PG_URL is set and takes precedence");
	expect_import("PG_URL=postgres://u@db\n", "spec.source.tls", "{\"mode\": \"Prefer\"}", NULL, NULL);
	expect_import("PG_URL=postgres://u@db/x?a=b&sslrootcert=%2Fca.pem&sslmode=verify-ca\n", "spec.source.tls",
		      "{\"mode\": \"VerifyCA\", \"caSecretRef\": {\"name\": \"bookstore-books-postgres\", \"key\": "
		      "\"ca.crt\"}}",
		      NULL, NULL);
}

static void test_import_of_sink_when_variables_then_in_the_spec(void **state)
{
	UNUSED(state);
	expect_import("PG_USER=u\nELASTICSEARCH_SCHEME=https\nELASTICSEARCH_HOST=es\nELASTICSEARCH_PORT=443\n"
		      "ELASTICSEARCH_VERIFY_CERTS=false\nELASTICSEARCH_CA_CERTS=/ca.pem\n"
		      "ELASTICSEARCH_MAX_CHUNK_BYTES=1000000\nELASTICSEARCH_THREAD_COUNT=4\nOPENSEARCH=true\n",
		      "spec.sink",
		      "{\"urls\": [\"https://es:443\"], \"tls\": {\"caSecretRef\": {\"name\": "
		      "\"bookstore-books-search\", \"key\": \"ca.crt\"}, \"insecureSkipVerify\": true}, \"bulk\": "
		      "{\"maxBytes\": 1000000, \"concurrency\": 4}}",
		      NULL, NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_URL=https://es:443/prefix/\nELASTICSEARCH_HOST=x\n", "spec.sink",
		      "{\"urls\": [\"https://es:443/prefix\"]}", "{}",
		      "ELASTICSEARCH_HOST: ignored: ELASTICSEARCH_URL is set and takes precedence");
	/* "europe.example.com:9243$abc$def" */
	expect_import("PG_USER=u\nELASTICSEARCH_CLOUD_ID=shop:ZXVyb3BlLmV4YW1wbGUuY29tOjkyNDMkYWJjJGRlZg==\n",
		      "spec.sink.urls", "[\"https://abc.europe.example.com:9243\"]", NULL, NULL);
	/* "europe.example.com$abc" */
	expect_import("PG_USER=u\nELASTICSEARCH_CLOUD_ID=shop:ZXVyb3BlLmV4YW1wbGUuY29tJGFiYw==\n", "spec.sink.urls",
		      "[\"https://abc.europe.example.com:443\"]", NULL, NULL);
}

static void test_import_of_sink_when_numbers_are_out_of_range_then_brought_into_it(void **state)
{
	UNUSED(state);
	expect_import("PG_USER=u\nELASTICSEARCH_MAX_CHUNK_BYTES=1000\nELASTICSEARCH_THREAD_COUNT=100\n",
		      "spec.sink.bulk", "{\"maxBytes\": 65536, \"concurrency\": 16}", NULL,
		      "ELASTICSEARCH_MAX_CHUNK_BYTES: is 1000; 65536 is used, since it must be between 65536 and "
		      "104857600\n"
		      "ELASTICSEARCH_THREAD_COUNT: is 100; 16 is used, since it must be between 1 and 16");
}

#define SEARCH(type) "{\"type\": \"" type "\", \"secretRef\": {\"name\": \"bookstore-books-search\"}}"
#define VALUES(values) "{\"bookstore-books-search\": " values "}"

static void test_import_of_logins_when_one_then_its_type_and_a_secret(void **state)
{
	static const char user[] = VALUES("{\"username\": \"u\", \"password\": \"p:1\"}");

	UNUSED(state);
	expect_import("PG_USER=u\nELASTICSEARCH_USER=u\nELASTICSEARCH_PASSWORD=p:1\n", "spec.sink.authentication",
		      SEARCH("Basic"), user, NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_URL=http://u:p%3A1@es:9200\n", "spec.sink",
		      "{\"urls\": [\"http://es:9200\"], \"authentication\": " SEARCH("Basic") "}", user, NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_HTTP_AUTH=u,p:1\n", "spec.sink.authentication", SEARCH("Basic"), user,
		      NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_BASIC_AUTH=u:p:1\n", "spec.sink.authentication", SEARCH("Basic"), user,
		      NULL);
	/* "u:p:1" */
	expect_import("PG_USER=u\nELASTICSEARCH_BASIC_AUTH=dTpwOjE=\n", "spec.sink.authentication", SEARCH("Basic"),
		      user, NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_BEARER_AUTH=t\n", "spec.sink.authentication", SEARCH("Bearer"),
		      VALUES("{\"token\": \"t\"}"), NULL);
	/* "id:key" */
	expect_import("PG_USER=u\nELASTICSEARCH_API_KEY=key\nELASTICSEARCH_API_KEY_ID=id\n", "spec.sink.authentication",
		      SEARCH("APIKey"), VALUES("{\"apiKey\": \"aWQ6a2V5\"}"), NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_API_KEY=aWQ6a2V5\n", "spec.sink.authentication", SEARCH("APIKey"),
		      VALUES("{\"apiKey\": \"aWQ6a2V5\"}"), NULL);
}

#define AWS "ELASTICSEARCH_AWS_REGION=eu-central-1\nAWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=k\n"
#define AWS_LOGIN \
	"{\"type\": \"AWS\", \"region\": \"eu-central-1\", \"secretRef\": {\"name\": \"bookstore-books-search\"}}"

static void test_import_of_logins_when_hosted_by_aws_then_requests_are_signed(void **state)
{
	static const char key[] = VALUES("{\"accessKeyId\": \"AKIA\", \"secretAccessKey\": \"k\"}");

	UNUSED(state);
	expect_import("PG_USER=u\nELASTICSEARCH_AWS_HOSTED=true\n" AWS, "spec.sink.authentication", AWS_LOGIN, key,
		      NULL);
	expect_import("PG_USER=u\nOPENSEARCH_AWS_HOSTED=true\nAWS_SESSION_TOKEN=t\n" AWS, "spec.sink.authentication",
		      AWS_LOGIN,
		      VALUES("{\"accessKeyId\": \"AKIA\", \"secretAccessKey\": \"k\", \"sessionToken\": \"t\"}"), NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_AWS_HOSTED=false\nELASTICSEARCH_BEARER_AUTH=t\n" AWS,
		      "spec.sink.authentication", SEARCH("Bearer"), VALUES("{\"token\": \"t\"}"), NULL);
	expect_import("PG_USER=u\nELASTICSEARCH_AWS_HOSTED=true\nELASTICSEARCH_BEARER_AUTH=t\n" AWS,
		      "spec.sink.authentication", AWS_LOGIN, key,
		      "ELASTICSEARCH_BEARER_AUTH: ignored: ELASTICSEARCH_AWS_HOSTED is set and takes precedence");
}

static void test_import_of_logins_when_several_or_half_then_says_which_counts(void **state)
{
	UNUSED(state);
	expect_import("PG_USER=u\nELASTICSEARCH_API_KEY=k\nELASTICSEARCH_BEARER_AUTH=t\nELASTICSEARCH_USER=u\n",
		      "spec.sink.authentication", SEARCH("APIKey"), VALUES("{\"apiKey\": \"k\"}"),
		      "ELASTICSEARCH_BEARER_AUTH: ignored: ELASTICSEARCH_API_KEY is set and takes precedence\n"
		      "ELASTICSEARCH_USER: ignored: ELASTICSEARCH_PASSWORD is not set");
	expect_import("PG_USER=u\nELASTICSEARCH_URL=http://u:p@es\nELASTICSEARCH_USER=x\nELASTICSEARCH_PASSWORD=y\n",
		      "spec.sink.urls", "[\"http://es\"]", VALUES("{\"username\": \"u\", \"password\": \"p\"}"),
		      "ELASTICSEARCH_USER: ignored: ELASTICSEARCH_URL is set and takes precedence");
}

#define REDIS(members) "{\"store\": \"Redis\", \"redis\": {" members "}}"
#define REDIS_PASSWORD "\"passwordSecretRef\": {\"name\": \"bookstore-books-redis\", \"key\": \"password\"}"

static void test_import_of_redis_when_it_keeps_the_checkpoint_then_in_the_spec(void **state)
{
	static const char secret[] = "{\"bookstore-books-redis\": {\"password\": \"p@1\"}}";

	UNUSED(state);
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=True\n", "spec.checkpoint",
		      REDIS("\"url\": \"redis://localhost:6379/0\""), "{}", NULL);
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_SCHEME=rediss\nREDIS_HOST=r\nREDIS_PORT=6380\nREDIS_DB=2\n"
		      "REDIS_USER=sync\nREDIS_AUTH=p@1\n",
		      "spec.checkpoint",
		      REDIS("\"url\": \"rediss://r:6380/2\", \"username\": \"sync\", " REDIS_PASSWORD), secret, NULL);
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_USER=sync\n", "spec.checkpoint",
		      REDIS("\"url\": \"redis://localhost:6379/0\""), "{}",
		      "REDIS_USER: ignored: there is no password for this user");
}

static void test_import_of_redis_when_a_url_then_without_its_login(void **state)
{
	static const char secret[] = "{\"bookstore-books-redis\": {\"password\": \"p@1\"}}";

	UNUSED(state);
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL= redis://:p%401@r:6380/3 \nREDIS_HOST=x\n",
		      "spec.checkpoint", REDIS("\"url\": \"redis://r:6380/3\", " REDIS_PASSWORD), secret,
		      "REDIS_HOST: ignored: REDIS_URL is set and takes precedence");
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL=redis://sync:p%401@\n", "spec.checkpoint",
		      REDIS("\"url\": \"redis://localhost\", \"username\": \"sync\", " REDIS_PASSWORD), secret, NULL);
	expect_import("PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL=redis://:6380?db=4&username=sync&password=p%401\n",
		      "spec.checkpoint",
		      REDIS("\"url\": \"redis://localhost:6380/4\", \"username\": \"sync\", " REDIS_PASSWORD), secret,
		      NULL);
	expect_import(
		"PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL=rediss://sync@r/5?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none&"
		"ssl_check_hostname=True&ssl_keyfile=/k&socket_timeout=3\n",
		"spec.checkpoint",
		REDIS("\"url\": \"rediss://r/5\", \"tls\": {\"caSecretRef\": {\"name\": "
		      "\"bookstore-books-redis\", \"key\": \"ca.crt\"}}"),
		NULL,
		"REDIS_URL: ssl_cert_reqs is ignored: with rediss://, the certificate and its host are always "
		"verified\n"
		"REDIS_URL: ssl_keyfile is ignored: client certificates for Redis are not supported: use a "
		"password\n"
		"REDIS_URL: ignored: there is no password for this user");
}

static void test_import_of_redis_when_it_keeps_no_checkpoint_then_nothing(void **state)
{
	_cleanup_(result_release) struct result r = import(
		BOOKS, "PG_USER=u\nREDIS_CHECKPOINT=0\nREDIS_URL=nonsense\nREDIS_PORT=x\n", (struct import_options){0});

	UNUSED(state);
	assert_int_equal(r.f.n, 0);
	assert_null(jsonx_get(r.list[0].resource, "spec.checkpoint"));
	expect_at(r.list[0].secrets, "", "{}");
}

static void test_import_of_redis_when_invalid_then_refused_without_values(void **state)
{
	UNUSED(state);
	expect_errors(
		BOOKS,
		"PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_SCHEME=unix\nREDIS_PORT=tcp://10.0.0.1:6379\nREDIS_DB=one\n",
		"REDIS_PORT: must be a number from 1 to 65535; Kubernetes sets this value for a Service of this "
		"name: set enableServiceLinks: false in the pod, or rename the Service\n"
		"REDIS_DB: must be a number from 0 to 65535\n"
		"REDIS_SCHEME: must be redis, or rediss for TLS, found \"unix\"");
	expect_errors(BOOKS, "PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL=unix://u:secret@/run/redis.sock\n",
		      "REDIS_URL: must be of the form redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS");
	expect_errors(BOOKS, "PG_USER=u\nREDIS_CHECKPOINT=maybe\n",
		      "REDIS_CHECKPOINT: must be true or false, found \"maybe\"");
	expect_errors(BOOKS, "PG_USER=u\nREDIS_CHECKPOINT=1\nREDIS_URL=rediss://r?ssl_ca_certs=/none\n",
		      "REDIS_URL: /none: no such file");
}

static void test_import_when_variables_are_invalid_then_all_at_once_and_without_values(void **state)
{
	UNUSED(state);
	expect_errors(BOOKS,
		      "PG_PORT=many\nPG_SSLMODE=maybe\nPG_DRIVER=pymysql\nELASTICSEARCH_PORT=tcp://10.0.0.1:9200\n"
		      "ELASTICSEARCH_SCHEME=ftp\nELASTICSEARCH_VERIFY_CERTS=perhaps\nELASTICSEARCH_CA_CERTS=/none\n"
		      "ELASTICSEARCH_HTTP_AUTH=secret\n",
		      "PG_DRIVER: is pymysql: only Postgres is supported, not MySQL or MariaDB\n"
		      "PG_USER: is required: the role to connect as (or set PG_URL instead)\n"
		      "PG_PORT: must be a number from 1 to 65535\n"
		      "PG_SSLMODE: sslmode must be disable, allow, prefer, require, verify-ca or verify-full, found "
		      "\"maybe\"\n"
		      "ELASTICSEARCH_PORT: must be a number from 1 to 65535; Kubernetes sets this value for a Service "
		      "of this name: set enableServiceLinks: false in the pod, or rename the Service\n"
		      "ELASTICSEARCH_SCHEME: must be http or https, found \"ftp\"\n"
		      "ELASTICSEARCH_HTTP_AUTH: must be USER,PASSWORD\n"
		      "ELASTICSEARCH_CA_CERTS: /none: no such file\n"
		      "ELASTICSEARCH_VERIFY_CERTS: must be true or false, found \"perhaps\"");
	expect_errors(BOOKS,
		      "PG_URL=mysql://u:secret@db/x\nELASTICSEARCH_URL=u:secret@es\nELASTICSEARCH_BASIC_AUTH=secret\n",
		      "PG_URL: must be of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE\n"
		      "ELASTICSEARCH_URL: must be http://HOST:PORT or https://HOST:PORT\n"
		      "ELASTICSEARCH_BASIC_AUTH: must be USER:PASSWORD, or its base64 encoding");
	expect_errors(BOOKS, "PG_USER=u\nOPENSEARCH_AWS_HOSTED=true\nAWS_ACCESS_KEY_ID=secret\n",
		      "ELASTICSEARCH_AWS_REGION: must be set: the region of the domain, such as eu-central-1\n"
		      "OPENSEARCH_AWS_HOSTED: needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: the credentials of a "
		      "profile or of a machine are not read");
	expect_errors(BOOKS, "PG_USER=u\nPG_SSLMODE=verify-ca\nELASTICSEARCH_CLOUD_ID=shop:c2VjcmV0\n",
		      "PG_SSLROOTCERT: sslmode verify-ca needs sslrootcert: the file with the certificate authority to "
		      "verify against\n"
		      "ELASTICSEARCH_CLOUD_ID: is not a cloud ID: copy it from the deployment's page");
}

static void test_import_when_something_is_invalid_then_the_schema_is_there_to_be_checked(void **state)
{
	_cleanup_(result_release) struct result r = import(
		"[{\"index\": \"a\", \"nodes\": {\"table\": \"t\"}}, 5, {\"database\": \"d\", \"index\": \"b\"}]",
		"PG_URL=x\nELASTICSEARCH_CLOUD_ID=y\n", (struct import_options){.for_cluster = true});

	UNUSED(state);
	expect(&r.f, FINDING_ERROR,
	       "schema.json[0]: `database` is required: the database to read, as a string\n"
	       "schema.json[1]: must be an object, found an integer\n"
	       "PG_URL: must be of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE\n"
	       "ELASTICSEARCH_CLOUD_ID: is not a cloud ID: copy it from the deployment's page");
	assert_int_equal(r.n, 2);
	expect_at(r.list[0].resource, "spec.schema", "[{\"index\": \"a\", \"nodes\": {\"table\": \"t\"}}]");
	assert_int_equal(r.list[1].positions[0], 2);
}

static void test_import_when_the_schema_is_not_a_list_of_documents_then_says_what_is_expected(void **state)
{
	UNUSED(state);
	expect_errors("{\"database\": \"x\"}", "PG_USER=u\n",
		      "schema.json: must be an array of documents, [{\"database\": ..., \"index\": ..., \"nodes\": "
		      "{...}}], found an object");
	expect_errors("[]", "PG_USER=u\n",
		      "schema.json: must be an array of documents, [{\"database\": ..., \"index\": ..., \"nodes\": "
		      "{...}}], found an empty one");
	expect_errors("[1, {\"index\": \"a\"}, {\"database\": 3}]", "PG_USER=u\n",
		      "schema.json[0]: must be an object, found an integer\n"
		      "schema.json[1]: `database` is required: the database to read, as a string");
}

static void test_import_when_variables_in_a_document_then_replaced_at_its_top(void **state)
{
	static const char schema[] =
		"[{\"database\": \"$DB\", \"index\": \"${PREFIX}_books\", \"routing\": \"$$x $NONE ${NONE} ${DB $\", "
		"\"pipeline\": \"${EMPTY}x\", \"nodes\": {\"table\": \"$DB\"}}]";
	_cleanup_(result_release) struct result r =
		import(schema, "PG_USER=u\nDB=bookstore\nPREFIX=prod\nEMPTY=\n", (struct import_options){0});

	UNUSED(state);
	assert_int_equal(r.n, 1);
	expect(&r.f, FINDING_WARNING,
	       "schema.json[0].routing: the variable NONE is not set; its name stays in the text\n"
	       "schema.json[0].routing: the variable NONE is not set; its name stays in the text");
	expect_at(r.list[0].resource, "spec.schema",
		  "[{\"database\": \"bookstore\", \"index\": \"prod_books\", \"routing\": \"$x $NONE ${NONE} ${DB $\", "
		  "\"pipeline\": \"x\", \"nodes\": {\"table\": \"$DB\"}}]");
	expect_at(r.list[0].resource, "metadata.name", "\"bookstore-prod-books\"");
}

static void test_import_when_several_databases_then_one_pgsync_each(void **state)
{
	static const char schema[] =
		"[{\"database\": \"a\", \"index\": \"x\", \"nodes\": {}}, {\"database\": \"B_1\", \"nodes\": {}},"
		" {\"database\": \"a\", \"index\": \"y\", \"nodes\": {}}]";
	_cleanup_(result_release) struct result r =
		import(schema, "PG_USER=u\nPG_PASSWORD=p\nPG_SSLMODE=disable\nPG_SSLROOTCERT=/x\n",
		       (struct import_options){0});
	_cleanup_free_ char *first = NULL;
	_cleanup_free_ char *second = NULL;

	UNUSED(state);
	assert_int_equal(r.n, 2);
	expect_at(r.list[0].resource, "metadata.name", "\"a-x\"");
	expect_at(r.list[0].resource, "spec.schema",
		  "[{\"database\": \"a\", \"index\": \"x\", \"nodes\": {}}, {\"database\": \"a\", \"index\": \"y\", "
		  "\"nodes\": {}}]");
	expect_at(r.list[1].resource, "metadata.name", "\"b-1-b-1\"");
	expect_at(r.list[1].resource, "spec.source.database", "\"B_1\"");
	expect_at(r.list[1].secrets, "", "{\"b-1-b-1-postgres\": {\"password\": \"p\"}}");
	/* Reported once, although it applies to both. */
	assert_int_equal(r.f.n, 1);
	first = import_place(&r.list[0], "schema.json", "label is also the label of spec.schema[1].nodes.children[0]");
	assert_string_equal(first, "label is also the label of schema.json[2].nodes.children[0]");
	second = import_place(&r.list[1], "schema.json", "spec.schema[0].index, spec.schema[7], spec.source");
	assert_string_equal(second, "schema.json[1].index, spec.schema[7], spec.source");
}

static void expect_name(const char *schema, const char *want)
{
	_cleanup_(result_release) struct result r = import(schema, "PG_USER=u\n", (struct import_options){0});

	assert_int_equal(r.n, 1);
	assert_string_equal(jsonx_string(r.list[0].resource, "metadata.name", ""), want);
}

static void test_import_of_names_when_kubernetes_would_refuse_them_then_others(void **state)
{
	UNUSED(state);
	expect_name("[{\"database\": \"My Shop\", \"index\": \"a_b.c\"}]", "my-shop-a-b-c");
	/* Two bytes of UTF-8. */
	expect_name("[{\"database\": \"\xC3\xA9t\", \"index\": \"i\"}]", "x-t-i");
	expect_name("[{\"database\": \"_a\", \"index\": \"b_\"}]", "xa-bx");
	expect_name("[{\"database\": \"aaaaaaaaaaaaaaaaaaaaaaaaa\", \"index\": \"bbbbbbbbbbbbbbbbbbbbbbbbbb\"}]",
		    "aaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbb");
	/* The eight digits are of `printf '["%s","%s"]' aaa... bbb... | sha256sum`. */
	expect_name("[{\"database\": \"aaaaaaaaaaaaaaaaaaaaaaaaa\", \"index\": \"bbbbbbbbbbbbbbbbbbbbbbbbbbb\"}]",
		    "aaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbb-b3bd0520");
}

static void test_import_when_names_would_collide_then_refused(void **state)
{
	_cleanup_(result_release) struct result named = import("[{\"database\": \"a\"}, {\"database\": \"b\"}]",
							       "PG_USER=u\n", (struct import_options){.name = "x"});

	UNUSED(state);
	expect(&named.f, FINDING_ERROR,
	       "--name: names one PgSync, but schema.json has 2 databases, each of which becomes one");
	expect_errors(
		"[{\"database\": \"a-b\", \"index\": \"c\"}, {\"database\": \"a\", \"index\": \"b_c\"}]", "PG_USER=u\n",
		"schema.json: two databases would become PgSyncs named a-b-c: put each into its own file, and use "
		"--name");
}

static void test_import_when_two_databases_share_an_index_then_refused(void **state)
{
	UNUSED(state);
	expect_errors("[{\"database\": \"a\", \"index\": \"same\"}, {\"database\": \"same\"}, {\"database\": \"a\", "
		      "\"index\": \"other\"}]",
		      "PG_USER=u\n",
		      "schema.json[1].index: index \"same\" is also the index of schema.json[0], a document of another "
		      "database; every document needs its own");
}

static void test_import_when_for_a_cluster_then_localhost_is_pointed_out(void **state)
{
	_cleanup_(result_release) struct result r =
		import(BOOKS, "PG_USER=u\nREDIS_CHECKPOINT=1\n", (struct import_options){.for_cluster = true});

	UNUSED(state);
	expect(&r.f, FINDING_WARNING,
	       "spec.source.host: localhost means this machine, but in a cluster it means the operator's own pod; use "
	       "the server's name within the cluster\n"
	       "spec.sink.urls[0]: http://localhost:9200 means this machine, but in a cluster it means the operator's "
	       "own pod; use the server's name within the cluster\n"
	       "spec.checkpoint.redis.url: redis://localhost:6379/0 means this machine, but in a cluster it means the "
	       "operator's own pod; use the server's name within the cluster");
}

static void test_manifest_when_secrets_then_before_the_pgsync(void **state)
{
	_cleanup_(result_release) struct result r =
		import(BOOKS, "PG_USER=u\nPG_PASSWORD=p\n", (struct import_options){.namespace = "web"});
	_cleanup_json_ json_t *manifest = NULL;

	UNUSED(state);
	assert_int_equal(r.n, 1);
	manifest = import_manifest(&r.list[0]);
	assert_int_equal(json_array_size(manifest), 2);
	expect_at(
		json_array_get(manifest, 0), "",
		"{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"bookstore-books-postgres\", "
		"\"namespace\": \"web\"}, \"stringData\": {\"password\": \"p\"}}");
	assert_ptr_equal(json_array_get(manifest, 1), r.list[0].resource);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_env_file_when_values_are_bare_then_up_to_a_comment),
		cmocka_unit_test(test_env_file_when_values_are_quoted_then_as_they_are),
		cmocka_unit_test(test_env_file_when_values_name_variables_then_replaced),
		cmocka_unit_test(test_env_file_when_the_environment_has_it_too_then_the_environment_wins),
		cmocka_unit_test(test_env_file_when_lines_are_malformed_then_named_by_number_and_skipped),
		cmocka_unit_test(test_env_file_when_values_grow_without_end_then_refused),
		cmocka_unit_test(test_env_bool_when_any_of_pythons_words_then_read),
		cmocka_unit_test(test_env_check_when_a_variable_means_nothing_then_says_why),
		cmocka_unit_test(test_env_check_when_redis_keeps_no_checkpoint_then_its_variables_mean_nothing),
		cmocka_unit_test(test_import_when_only_a_user_then_pgsyncs_defaults),
		cmocka_unit_test(test_import_when_options_then_in_the_resource),
		cmocka_unit_test(test_import_of_source_when_variables_then_in_the_spec),
		cmocka_unit_test(test_import_of_source_when_a_url_then_a_secret_and_nothing_else),
		cmocka_unit_test(test_import_of_sink_when_variables_then_in_the_spec),
		cmocka_unit_test(test_import_of_sink_when_numbers_are_out_of_range_then_brought_into_it),
		cmocka_unit_test(test_import_of_logins_when_one_then_its_type_and_a_secret),
		cmocka_unit_test(test_import_of_logins_when_hosted_by_aws_then_requests_are_signed),
		cmocka_unit_test(test_import_of_logins_when_several_or_half_then_says_which_counts),
		cmocka_unit_test(test_import_of_redis_when_it_keeps_the_checkpoint_then_in_the_spec),
		cmocka_unit_test(test_import_of_redis_when_a_url_then_without_its_login),
		cmocka_unit_test(test_import_of_redis_when_it_keeps_no_checkpoint_then_nothing),
		cmocka_unit_test(test_import_of_redis_when_invalid_then_refused_without_values),
		cmocka_unit_test(test_import_when_variables_are_invalid_then_all_at_once_and_without_values),
		cmocka_unit_test(test_import_when_something_is_invalid_then_the_schema_is_there_to_be_checked),
		cmocka_unit_test(test_import_when_the_schema_is_not_a_list_of_documents_then_says_what_is_expected),
		cmocka_unit_test(test_import_when_variables_in_a_document_then_replaced_at_its_top),
		cmocka_unit_test(test_import_when_several_databases_then_one_pgsync_each),
		cmocka_unit_test(test_import_when_two_databases_share_an_index_then_refused),
		cmocka_unit_test(test_import_of_names_when_kubernetes_would_refuse_them_then_others),
		cmocka_unit_test(test_import_when_names_would_collide_then_refused),
		cmocka_unit_test(test_import_when_for_a_cluster_then_localhost_is_pointed_out),
		cmocka_unit_test(test_manifest_when_secrets_then_before_the_pgsync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
