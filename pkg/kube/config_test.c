/* Tests of credentials: kubeconfigs and their merging, a pod's mount, credential plugins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "kube/config_int.h"
#include "kube/kube.h"
#include "json/json.h"

static char dir[] = "/tmp/kube_config_test.XXXXXX";

static void write_file(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fchmod(fileno(file), 0700), 0);
}

/* A kubeconfig with this cluster and user, both in flow style. Caller frees. */
static char *kubeconfig(const char *cluster, const char *user)
{
	return xasprintf("apiVersion: v1\nkind: Config\ncurrent-context: main\n"
			 "clusters: [{name: c, cluster: {server: 'https://kube.test:6443', %s}}]\n"
			 "users: [{name: u, user: {%s}}]\n"
			 "contexts:\n"
			 "- {name: main, context: {cluster: c, user: u, namespace: team}}\n"
			 "- {name: other, context: {cluster: c}}\n",
			 cluster, user);
}

static int parse(const char *cluster, const char *user, struct kube_config **ret, struct err *err)
{
	_cleanup_free_ char *text = kubeconfig(cluster, user);

	return kube_config_parse(text, strlen(text), "/etc/kube", NULL, ret, err);
}

/* The kubeconfig is refused with INVALID, and the message names what is wrong. */
static void assert_refused(const char *cluster, const char *user, const char *says)
{
	struct kube_config *config = NULL;
	struct err err;

	assert_int_equal(parse(cluster, user, &config, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.msg, says))
		fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void test_parse_when_certificates_are_given_as_data_then_decoded(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(parse("certificate-authority-data: Y2E=, certificate-authority: ca.crt",
			       "client-certificate-data: Y2VydA==, client-key-data: a2V5", &config, &err),
			 0);
	assert_string_equal(kube_config_server(config), "https://kube.test:6443");
	assert_string_equal(kube_config_namespace(config), "team");
	assert_string_equal(config->ca_pem, "ca");
	assert_null(config->ca_file);
	assert_string_equal(config->cert_pem, "cert");
	assert_string_equal(config->key_pem, "key");
}

static void test_parse_when_files_are_relative_then_beside_the_kubeconfig(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(parse("certificate-authority: pki/ca.crt, tls-server-name: api",
			       "client-certificate: /abs/c.crt, client-key: c.key, tokenFile: token", &config, &err),
			 0);
	assert_string_equal(config->ca_file, "/etc/kube/pki/ca.crt");
	assert_string_equal(config->cert_file, "/abs/c.crt");
	assert_string_equal(config->key_file, "/etc/kube/c.key");
	assert_string_equal(config->token_file, "/etc/kube/token");
	assert_string_equal(config->tls_server_name, "api");
	assert_true(kube_config_refreshable(config));
}

static void test_parse_when_another_context_is_named_then_taken(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	_cleanup_free_ char *text = kubeconfig("", "token: t");
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_parse(text, strlen(text), NULL, "other", &config, &err), 0);
	assert_null(config->token);
	assert_string_equal(kube_config_namespace(config), "default");
}

static void test_parse_when_context_is_misspelt_then_the_nearest_is_named(void **state)
{
	struct kube_config *config = NULL;
	_cleanup_free_ char *text = kubeconfig("", "token: t");
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_parse(text, strlen(text), NULL, "othr", &config, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "did you mean 'other'"));
}

static void test_parse_when_json_then_read_as_well(void **state)
{
	static const char TEXT[] =
		"{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\",\"context\":{\"cluster\":"
		"\"b\"}}],\"clusters\":[{\"name\":\"b\",\"cluster\":{\"server\":\"http://h:80/\"}}]}";
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_parse(TEXT, sizeof(TEXT) - 1, NULL, NULL, &config, &err), 0);
	assert_string_equal(kube_config_server(config), "http://h:80");
}

static void test_parse_when_something_is_invalid_then_refused_with_its_place(void **state)
{
	UNUSED(state);
	assert_refused("server: ftp://x", "", "server");
	assert_refused("", "token: 12345", "users[u].user.token is an integer, expected a string");
	assert_refused("certificate-authority-data: '***'", "", "certificate-authority-data is not PEM");
	assert_refused("insecure-skip-tls-verify: 'yes'", "", "insecure-skip-tls-verify is a string");
	assert_refused("insecure-skip-tls-verify: true, certificate-authority: x", "", "remove one");
	assert_refused("", "client-certificate: x", "both client-certificate and client-key");
	assert_refused("", "token: a, username: b, password: c", "more than one of");
	assert_refused("", "exec: {command: x, apiVersion: v2}", "apiVersion is 'v2'");
	assert_refused("", "exec: {apiVersion: client.authentication.k8s.io/v1}", "command is missing");
	assert_refused("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [1]}", "args[0]");
	assert_refused("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, env: [{name: 'A=B'}]}",
		       "env[0]");
}

/* Ignoring these would silently use another identity or another route. */
static void test_parse_when_a_setting_is_not_supported_then_refused(void **state)
{
	UNUSED(state);
	assert_refused("proxy-url: 'http://p:3128'", "", "proxy-url is not supported");
	assert_refused("", "token: a, as: root", "as is not supported");
	assert_refused("", "auth-provider: {name: gcp}", "auth-provider is not supported");
}

static void test_load_when_kubeconfig_is_a_list_then_merged_and_the_first_wins(void **state)
{
	struct kube_config_options options = {0};
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	_cleanup_free_ char *list = xasprintf("%s/missing:%s/one::%s/two", dir, dir, dir);
	_cleanup_free_ char *ca = xasprintf("%s/ca.pem", dir);
	struct err err;

	UNUSED(state);
	write_file("one", "current-context: x\nusers: [{name: u, user: {token: first}}]\n");
	write_file("two", "current-context: y\nusers: [{name: u, user: {token: second}}]\n"
			  "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
			  "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.pem}}]\n");
	assert_int_equal(setenv("KUBECONFIG", list, 1), 0);
	assert_int_equal(kube_config_load(&options, &config, &err), 0);
	assert_string_equal(config->token, "first");
	assert_string_equal(config->ca_file, ca);
	assert_int_equal(unsetenv("KUBECONFIG"), 0);
}

static void test_load_when_a_named_file_is_missing_then_invalid_with_its_path(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/nowhere", dir);
	struct kube_config_options options = {.kubeconfig = path};
	struct kube_config *config = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_load(&options, &config, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, path));
}

static void test_load_when_there_is_nothing_then_says_where_it_looked(void **state)
{
	struct kube_config_options options = {0};
	struct kube_config *config = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_int_equal(unsetenv("KUBERNETES_SERVICE_HOST"), 0);
	assert_int_equal(kube_config_load(&options, &config, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "--kubeconfig"));
	assert_non_null(strstr(err.msg, "/.kube/config"));
}

static void test_load_when_home_has_a_kubeconfig_then_read_with_its_certificate_files(void **state)
{
	_cleanup_free_ char *sub = xasprintf("%s/.kube", dir);
	_cleanup_free_ char *text = kubeconfig("", "client-certificate: c.crt, client-key: c.key");
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct kube_config_options options = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(sub, 0700), 0);
	write_file(".kube/config", text);
	write_file(".kube/c.crt", "CERT 1");
	write_file(".kube/c.key", "KEY 1");
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_int_equal(kube_config_load(&options, &config, &err), 0);
	assert_string_equal(config->cert_pem, "CERT 1");
	write_file(".kube/c.crt", "CERT 2");
	write_file(".kube/c.key", "KEY 2");
	assert_int_equal(kube_config_refresh(config, 1000, &err), 0);
	assert_string_equal(config->cert_pem, "CERT 2");
	assert_string_equal(config->key_pem, "KEY 2");
}

/* A pod's environment and both files: what is taken, for the operator and for a user's program. */
static void test_load_when_for_a_user_then_in_the_order_of_kubectl(void **state)
{
	static const char POD[] = "https://10.0.0.1:443";
	static const struct {
		bool for_user, list, home;
		const char *server;
	} ROWS[] = {{true, true, true, "https://list"},  {true, false, true, "https://home"},
		    {true, false, false, POD},           {true, true, false, "https://list"},
		    {false, true, true, "https://list"}, {false, false, true, POD}};
	_cleanup_free_ char *sub = xasprintf("%s/.kube", dir), *home = xasprintf("%s/.kube/config", dir);
	_cleanup_free_ char *list = xasprintf("%s/list", dir);

	UNUSED(state);
	(void)mkdir(sub, 0700);
	write_file("list", "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
			   "clusters: [{name: c, cluster: {server: 'https://list'}}]\n");
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_int_equal(setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1), 0);
	assert_int_equal(setenv("KUBERNETES_SERVICE_PORT", "443", 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		struct kube_config_options options = {.for_user = ROWS[i].for_user};
		_cleanup_(kube_config_freep) struct kube_config *config = NULL;
		struct err err;

		(void)unlink(home);
		if (ROWS[i].home)
			write_file(".kube/config", "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
						   "clusters: [{name: c, cluster: {server: 'https://home'}}]\n");
		assert_int_equal(setenv("KUBECONFIG", ROWS[i].list ? list : "", 1), 0);
		/* No account is mounted here, unless the test runs in a pod. */
		if (kube_config_load(&options, &config, &err) < 0) {
			assert_ptr_equal(ROWS[i].server, POD);
			assert_non_null(strstr(err.msg, "service account token"));
		} else {
			assert_string_equal(kube_config_server(config), ROWS[i].server);
		}
	}
	assert_int_equal(unsetenv("KUBERNETES_SERVICE_HOST"), 0);
	assert_int_equal(unsetenv("KUBERNETES_SERVICE_PORT"), 0);
	assert_int_equal(unsetenv("KUBECONFIG"), 0);
}

static void test_in_cluster_when_mounted_then_token_file_and_brackets_for_ipv6(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	_cleanup_free_ char *token = xasprintf("%s/token", dir);
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_in_cluster("10.0.0.1", "443", dir, &config, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	write_file("token", "\n");
	assert_int_equal(kube_config_in_cluster("10.0.0.1", "443", dir, &config, &err), -1);
	assert_non_null(strstr(err.msg, "is empty"));
	write_file("token", "abc\n");
	write_file("namespace", "pods\n");
	assert_int_equal(kube_config_in_cluster("fd00::1", "443", dir, &config, &err), 0);
	assert_string_equal(kube_config_server(config), "https://[fd00::1]:443");
	assert_string_equal(kube_config_namespace(config), "pods");
	assert_string_equal(config->token_file, token);
	assert_null(config->token);
}

/* A config whose plugin is the script `plugin` in the test's directory. */
static struct kube_config *with_plugin(const char *script, const char *more)
{
	_cleanup_free_ char *user = xasprintf("exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, "
					      "args: [one, 'two words'], env: [{name: GREETING, value: hello}], %s}",
					      more);
	_cleanup_free_ char *text = kubeconfig("certificate-authority: token", user);
	struct kube_config *config = NULL;
	struct err err;

	write_file("plugin", script);
	write_file("token", "ca");
	assert_int_equal(kube_config_parse(text, strlen(text), dir, NULL, &config, &err), 0);
	return config;
}

#define ANSWER "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":"

static void test_exec_when_plugin_answers_then_its_token_until_it_expires(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config =
		with_plugin("#!/bin/sh\n"
			    "echo '" ANSWER "{\"token\":\"'\"$1-$2-$GREETING\"'\","
			    "\"expirationTimestamp\":\"2026-01-02T03:04:05Z\"}}'\n",
			    "interactiveMode: Never");
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_refresh(config, 5000, &err), 0);
	assert_string_equal(config->token, "one-two words-hello");
	assert_int_equal(config->expires_us, 1767323045000000);
	assert_false(kube_config_expired(config, 1767323045000000 - 11 * 1000000));
	assert_true(kube_config_expired(config, 1767323045000000 - 9 * 1000000));
}

/* The plugin returns what it was passed, as its token. */
static void test_exec_when_plugin_wants_the_cluster_then_it_gets_it(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config =
		with_plugin("#!/bin/sh\nt=$(printf %s \"$KUBERNETES_EXEC_INFO\" | tr '\"' \"'\")\necho '" ANSWER
			    "{\"token\":\"'\"$t\"'\"}}'\n",
			    "provideClusterInfo: true");
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_refresh(config, 5000, &err), 0);
	assert_non_null(strstr(config->token, "'kind':'ExecCredential'"));
	assert_non_null(strstr(config->token, "'interactive':false"));
	assert_non_null(strstr(config->token, "'server':'https://kube.test:6443'"));
	assert_non_null(strstr(config->token, "'certificate-authority-data':'Y2E='"));
}

static void test_exec_when_plugin_fails_then_denied_with_its_output(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config =
		with_plugin("#!/bin/sh\necho 'please log in' >&2\nexit 3\n", "installHint: install it");
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_refresh(config, 5000, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.msg, "exit code 3"));
	assert_non_null(strstr(err.msg, "please log in"));
	assert_non_null(strstr(err.msg, "install it"));
}

/* Its child keeps the pipe open: both must end soon. */
static void test_exec_when_plugin_hangs_then_killed_at_the_deadline(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config =
		with_plugin("#!/bin/sh\nsleep 60 & wait\n", "interactiveMode: IfAvailable");
	int64_t start_ms = clock_now_ms();
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_config_refresh(config, 300, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_true(clock_now_ms() - start_ms < 5000);
}

static void test_exec_when_plugin_does_not_exist_then_invalid(void **state)
{
	_cleanup_(kube_config_freep) struct kube_config *config = with_plugin("", "interactiveMode: Never");
	struct err err;

	UNUSED(state);
	(void)json_object_set_new(config->exec, "command", json_string("/nonexistent/plugin"));
	assert_int_equal(kube_config_refresh(config, 1000, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "/nonexistent/plugin"));
}

static void test_answer_when_incomplete_then_refused_and_the_old_token_stays(void **state)
{
	static const char *const BAD[] = {
		"",
		"{}",
		"{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/"
		"v1beta1\",\"status\":{\"token\":\"t\"}}",
		ANSWER "{}}",
		ANSWER "{\"clientCertificateData\":\"c\"}}",
		ANSWER "{\"token\":\"t\",\"clientKeyData\":\"k\"}}",
		ANSWER "{\"token\":\"t\",\"expirationTimestamp\":\"tomorrow\"}}",
	};
	struct kube_config config = {.token = xstrdup("old")};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		assert_int_equal(
			kube_exec_answer(&config, "client.authentication.k8s.io/v1", BAD[i], strlen(BAD[i]), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(config.token, "old");
	}
	free_secret(config.token);
}

static void test_base64_when_decoded_then_rfc4648_vectors(void **state)
{
	static const char *const PAIRS[][2] = {{"", ""},
					       {"Zg==", "f"},
					       {"Zm8=", "fo"},
					       {"Zm9v", "foo"},
					       {"Zm9vYg==", "foob"},
					       {"Zm9vYmE=", "fooba"},
					       {"Zm9v\nYmFy\r\n", "foobar"}};
	static const char *const BAD[] = {"Zg", "Zg=", "Z===", "Zg==Zg==", "Zm9v!", "=", "Zm 9v"};
	size_t len;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(PAIRS); i++) {
		_cleanup_free_ char *text = base64_decode(PAIRS[i][0], &len);

		assert_non_null(text);
		assert_string_equal(text, PAIRS[i][1]);
		assert_int_equal(len, strlen(PAIRS[i][1]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++)
		assert_null(base64_decode(BAD[i], &len));
}

static int make_dir(void **state)
{
	UNUSED(state);
	(void)unsetenv("KUBECONFIG");
	(void)snprintf(dir, sizeof(dir), "/tmp/kube_config_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const NAMES[] = {"one",          "two",         "token",       "namespace", "plugin", "list",
					    ".kube/config", ".kube/c.crt", ".kube/c.key", ".kube",     ""};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(NAMES); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, NAMES[i]);

		(void)remove(path);
	}
	return 0;
}

#define test_in_dir(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_when_certificates_are_given_as_data_then_decoded),
		cmocka_unit_test(test_parse_when_files_are_relative_then_beside_the_kubeconfig),
		cmocka_unit_test(test_parse_when_another_context_is_named_then_taken),
		cmocka_unit_test(test_parse_when_context_is_misspelt_then_the_nearest_is_named),
		cmocka_unit_test(test_parse_when_json_then_read_as_well),
		cmocka_unit_test(test_parse_when_something_is_invalid_then_refused_with_its_place),
		cmocka_unit_test(test_parse_when_a_setting_is_not_supported_then_refused),
		test_in_dir(test_load_when_kubeconfig_is_a_list_then_merged_and_the_first_wins),
		test_in_dir(test_load_when_a_named_file_is_missing_then_invalid_with_its_path),
		test_in_dir(test_load_when_there_is_nothing_then_says_where_it_looked),
		test_in_dir(test_load_when_home_has_a_kubeconfig_then_read_with_its_certificate_files),
		test_in_dir(test_load_when_for_a_user_then_in_the_order_of_kubectl),
		test_in_dir(test_in_cluster_when_mounted_then_token_file_and_brackets_for_ipv6),
		test_in_dir(test_exec_when_plugin_answers_then_its_token_until_it_expires),
		test_in_dir(test_exec_when_plugin_wants_the_cluster_then_it_gets_it),
		test_in_dir(test_exec_when_plugin_fails_then_denied_with_its_output),
		test_in_dir(test_exec_when_plugin_hangs_then_killed_at_the_deadline),
		test_in_dir(test_exec_when_plugin_does_not_exist_then_invalid),
		cmocka_unit_test(test_answer_when_incomplete_then_refused_and_the_old_token_stays),
		cmocka_unit_test(test_base64_when_decoded_then_rfc4648_vectors),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
