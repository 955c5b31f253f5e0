/* Credential plugins (client.authentication.k8s.io): a program is started without a shell, and answers on its standard
 * output with an ExecCredential. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/child.h"
#include "base/rfc3339.h"
#include "base/strbuf.h"
#include "kube/config_int.h"
#include "kube/kube.h"
#include "json/json.h"

static int answer_failed(const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "credential plugin: its answer has %s", what);
}

static char *dup_or_null(const char *s)
{
	return s && s[0] ? xstrdup(s) : NULL;
}

static void replace_secret(char **to, const char *s)
{
	char *copy = dup_or_null(s);

	free_secret(*to);
	*to = copy;
}

int kube_exec_answer(struct kube_config *config, const char *api_version, const char *text, size_t len, struct err *err)
{
	_cleanup_json_ json_t *doc = NULL;
	const char *token, *cert, *key, *expires, *version;
	int64_t expires_us = 0;

	if (jsonx_parse(text, len, "the credential plugin's answer", &doc, err) < 0)
		return -1;
	version = jsonx_string(doc, "apiVersion", "");
	if (strcmp(jsonx_string(doc, "kind", ""), "ExecCredential") != 0)
		return answer_failed("no kind ExecCredential", err);
	if (strcmp(version, api_version) != 0)
		return err_set(err, ERR_INVALID,
			       "credential plugin: the answer has apiVersion '%s', but the kubeconfig asks for '%s'",
			       version, api_version);
	token = jsonx_string(doc, "status.token", "");
	cert = jsonx_string(doc, "status.clientCertificateData", "");
	key = jsonx_string(doc, "status.clientKeyData", "");
	expires = jsonx_string(doc, "status.expirationTimestamp", "");
	if (!token[0] && !cert[0])
		return answer_failed("neither a token nor a certificate", err);
	if (!cert[0] != !key[0])
		return answer_failed("a certificate without its key, or a key without its certificate", err);
	if (expires[0] && !rfc3339_parse(expires, &expires_us))
		return answer_failed("an expirationTimestamp that is not an RFC 3339 time", err);
	replace_secret(&config->token, token);
	if (cert[0]) {
		replace_secret(&config->cert_pem, cert);
		replace_secret(&config->key_pem, key);
	}
	config->expires_us = expires_us;
	return 0;
}

/* A plugin gets the certificate authority as data, even if the kubeconfig names a file. */
static void add_authority(json_t *cluster, const char *ca_file)
{
	_cleanup_free_ char *pem = NULL, *encoded = NULL;
	struct err ignored; /* requests will report the problem */
	size_t len;

	if (!ca_file || jsonx_read_file(ca_file, CONFIG_FILE_BYTES, &pem, &len, &ignored) < 0)
		return;
	encoded = base64_encode(pem, len);
	(void)json_object_set_new(cluster, "certificate-authority-data", json_string(encoded));
}

/* KUBERNETES_EXEC_INFO: what is passed to the plugin. */
static char *exec_info(const struct kube_config *config, const char *api_version)
{
	_cleanup_json_ json_t *info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", api_version, "kind",
						"ExecCredential", "spec", "interactive", 0);

	if (config->exec_cluster) {
		add_authority(config->exec_cluster, config->ca_file);
		(void)json_object_set(json_object_get(info, "spec"), "cluster", config->exec_cluster);
	}
	return json_dumps(info, JSON_COMPACT);
}

struct strings {
	char **items;
	size_t n, alloc;
};

static void strings_add_take(struct strings *s, char *item)
{
	ALLOC_GROW(s->items, s->n + 1, s->alloc);
	s->items[s->n++] = item;
}

static void strings_release(struct strings *s)
{
	free_strings(s->items, s->n);
}

static bool is_set_again(const char *variable, const json_t *env)
{
	size_t len = strcspn(variable, "="), at;
	const json_t *item;

	if (len == strlen("KUBERNETES_EXEC_INFO") && strncmp(variable, "KUBERNETES_EXEC_INFO", len) == 0)
		return true;
	json_array_foreach (env, at, item) {
		const char *name = jsonx_string(item, "name", "");

		if (strlen(name) == len && strncmp(variable, name, len) == 0)
			return true;
	}
	return false;
}

/* Our environment, then the kubeconfig's variables, then KUBERNETES_EXEC_INFO. */
static void build_env(const struct kube_config *config, const char *info, struct strings *ret)
{
	const json_t *env = json_object_get(config->exec, "env"), *item;
	size_t at;

	for (char **variable = environ; *variable; variable++) {
		if (!is_set_again(*variable, env))
			strings_add_take(ret, xstrdup(*variable));
	}
	json_array_foreach (env, at, item)
		strings_add_take(ret,
				 xasprintf("%s=%s", jsonx_string(item, "name", ""), jsonx_string(item, "value", "")));
	strings_add_take(ret, xasprintf("KUBERNETES_EXEC_INFO=%s", info));
	strings_add_take(ret, NULL);
}

static void build_args(const struct kube_config *config, struct strings *ret)
{
	const json_t *item;
	size_t at;

	strings_add_take(ret, xstrdup(jsonx_string(config->exec, "command", "")));
	json_array_foreach (json_object_get(config->exec, "args"), at, item)
		strings_add_take(ret, xstrdup(json_string_value(item)));
	strings_add_take(ret, NULL);
}

int kube_exec_credential(struct kube_config *config, int64_t timeout_ms, struct err *err)
{
	const char *command = jsonx_string(config->exec, "command", "");
	const char *version = jsonx_string(config->exec, "apiVersion", "");
	const char *hint = jsonx_string(config->exec, "installHint", NULL);
	_cleanup_free_ char *info = exec_info(config, version);
	_cleanup_(strings_release) struct strings args = {0}, env = {0};
	_cleanup_(strbuf_release) struct strbuf answer;

	build_args(config, &args);
	build_env(config, info, &env);
	strbuf_init_secret(&answer, CONFIG_FILE_BYTES);
	if (child_run(&(struct child_options){.what = "credential plugin",
					      .argv = args.items,
					      .env = env.items,
					      .timeout_ms = timeout_ms,
					      .cancel_fd = -1},
		      &answer, err) < 0) {
		if (err->kind == ERR_DENIED && hint)
			err_append(err, "; %s", hint);
		return -1;
	}
	if (kube_exec_answer(config, version, answer.data, answer.len, err) < 0)
		return err_wrap(err, "%s", command);
	return 0;
}
