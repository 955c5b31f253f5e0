/* From the text of kubeconfigs to one context's settings: pure, reads no files. */
#include <assert.h>
#include <stdlib.h>

#include "base/findings.h"
#include "kube/config_int.h"
#include "kube/kube.h"
#include "json/json.h"

/* An entry of "contexts", "clusters" or "users": the fields beside its name. */
struct entry {
	const json_t *value;
	const char *dir;
	char where[160]; /* for messages: "users[alice].user" */
};

int kube_config_parse_doc(const char *text, size_t len, const char *what, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *docs = NULL;
	json_t *doc;

	if (jsonx_parse_yaml(text, len, what, &docs, err) < 0)
		return -1;
	doc = json_array_get(docs, 0);
	if (!doc || json_is_null(doc)) {
		*ret = json_object();
		return 0;
	}
	if (!json_is_object(doc))
		return err_set(err, ERR_INVALID, "%s: %s, expected a kubeconfig with clusters, users and contexts",
			       what, jsonx_type_name(doc));
	*ret = json_incref(doc);
	return 0;
}

/* A copy of the string at key, NULL when it is absent or empty. */
static int copy_setting(const struct entry *entry, const char *key, char **ret, struct err *err)
{
	const json_t *value = json_object_get(entry->value, key);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return err_set(err, ERR_INVALID, "kubeconfig: %s.%s is %s, expected a string: quote it", entry->where,
			       key, jsonx_type_name(value));
	if (strlen(json_string_value(value)) != json_string_length(value))
		return err_set(err, ERR_INVALID, "kubeconfig: %s.%s contains a NUL", entry->where, key);
	free(*ret);
	*ret = json_string_length(value) ? xstrdup(json_string_value(value)) : NULL;
	return 0;
}

static char *absolute(const char *dir, const char *path)
{
	return dir && path[0] != '/' ? xasprintf("%s/%s", dir, path) : xstrdup(path);
}

static int take_path(const struct entry *entry, const char *key, char **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL;

	if (copy_setting(entry, key, &path, err) < 0)
		return -1;
	if (path)
		*ret = absolute(entry->dir, path);
	return 0;
}

/* PEM text, base64 in the kubeconfig. */
static int take_data(const struct entry *entry, const char *key, char **ret, struct err *err)
{
	char *encoded = NULL;
	size_t len;

	if (copy_setting(entry, key, &encoded, err) < 0)
		return -1;
	if (!encoded)
		return 0;
	*ret = base64_decode(encoded, &len);
	free_secret(encoded);
	if (!*ret || strlen(*ret) != len)
		return err_set(err, ERR_INVALID, "kubeconfig: %s.%s is not PEM text in base64", entry->where, key);
	return 0;
}

static int take_flag(const struct entry *entry, const char *key, bool *ret, struct err *err)
{
	const json_t *value = json_object_get(entry->value, key);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_boolean(value))
		return err_set(err, ERR_INVALID, "kubeconfig: %s.%s is %s, expected true or false", entry->where, key,
			       jsonx_type_name(value));
	*ret = json_is_true(value);
	return 0;
}

/* Settings that change the identity or the server must not be ignored silently. */
static int refuse_setting(const struct entry *entry, const char *key, const char *advice, struct err *err)
{
	const json_t *value = json_object_get(entry->value, key);

	if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
		return 0;
	return err_set(err, ERR_INVALID, "kubeconfig: %s.%s is not supported: %s", entry->where, key, advice);
}

static int not_there(const struct config_source *sources, size_t n, const char *list, const char *name, struct err *err)
{
	const char *names[32];
	const char *near;
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		const json_t *item;
		size_t at;

		json_array_foreach (json_object_get(sources[i].doc, list), at, item) {
			const char *other = jsonx_string(item, "name", NULL);

			if (other && known < ARRAY_SIZE(names))
				names[known++] = other;
		}
	}
	near = nearest_name(name, names, known);
	return err_set(err, ERR_INVALID, "kubeconfig: no '%s' among its %s%s%s%s", name, list,
		       near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Finds the entry of this name in the first source that has it. Its content is under the list's name in the singular.
 */
static int find_entry(const struct config_source *sources, size_t n, const char *list, const char *name,
		      struct entry *ret, struct err *err)
{
	_cleanup_free_ char *kind = xstrndup(list, strlen(list) - 1);

	for (size_t i = 0; i < n; i++) {
		const json_t *items = json_object_get(sources[i].doc, list), *item;
		size_t at;

		if (items && !json_is_null(items) && !json_is_array(items))
			return err_set(err, ERR_INVALID, "kubeconfig: %s is %s, expected a list", list,
				       jsonx_type_name(items));
		json_array_foreach (items, at, item) {
			const char *other = jsonx_string(item, "name", NULL);

			if (!other || strcmp(other, name) != 0)
				continue;
			*ret = (struct entry){.value = json_object_get(item, kind), .dir = sources[i].dir};
			(void)snprintf(ret->where, sizeof(ret->where), "%s[%s].%s", list, name, kind);
			if (ret->value && !json_is_null(ret->value) && !json_is_object(ret->value))
				return err_set(err, ERR_INVALID, "kubeconfig: %s is %s, expected an object", ret->where,
					       jsonx_type_name(ret->value));
			return 0;
		}
	}
	return not_there(sources, n, list, name, err);
}

static int resolve_cluster(struct kube_config *config, const struct entry *cluster, struct err *err)
{
	size_t len;

	if (copy_setting(cluster, "server", &config->server, err) < 0 ||
	    copy_setting(cluster, "tls-server-name", &config->tls_server_name, err) < 0 ||
	    take_data(cluster, "certificate-authority-data", &config->ca_pem, err) < 0 ||
	    take_path(cluster, "certificate-authority", &config->ca_file, err) < 0 ||
	    take_flag(cluster, "insecure-skip-tls-verify", &config->insecure_skip_verify, err) < 0 ||
	    refuse_setting(cluster, "proxy-url", "set HTTPS_PROXY in the environment instead", err) < 0)
		return -1;
	if (!config->server ||
	    (strncmp(config->server, "https://", 8) != 0 && strncmp(config->server, "http://", 7) != 0))
		return err_set(err, ERR_INVALID, "kubeconfig: %s.server is '%s', expected https://HOST:PORT",
			       cluster->where, config->server ? config->server : "");
	len = strlen(config->server);
	while (len > 0 && config->server[len - 1] == '/')
		config->server[--len] = '\0';
	if (config->insecure_skip_verify && (config->ca_pem || config->ca_file))
		return err_set(err, ERR_INVALID,
			       "kubeconfig: %s has insecure-skip-tls-verify and a certificate authority: remove one",
			       cluster->where);
	return 0;
}

/* What is passed to a plugin with provideClusterInfo (client.authentication.k8s.io, type Cluster). */
static json_t *cluster_info(const struct entry *cluster)
{
	static const char *const KEYS[] = {"server", "tls-server-name", "insecure-skip-tls-verify",
					   "certificate-authority-data"};
	const json_t *extensions = json_object_get(cluster->value, "extensions"), *extension;
	json_t *info = json_object();
	size_t at;

	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++) {
		json_t *value = json_object_get(cluster->value, KEYS[i]);

		if (value)
			(void)json_object_set(info, KEYS[i], value);
	}
	json_array_foreach (extensions, at, extension) {
		if (strcmp(jsonx_string(extension, "name", ""), "client.authentication.k8s.io/exec") == 0)
			(void)json_object_set(info, "config", json_object_get(extension, "extension"));
	}
	return info;
}

static int check_exec_lists(const struct entry *exec, struct err *err)
{
	const json_t *args = json_object_get(exec->value, "args"), *env = json_object_get(exec->value, "env"), *item;
	size_t at;

	if ((args && !json_is_null(args) && !json_is_array(args)) || (env && !json_is_null(env) && !json_is_array(env)))
		return err_set(err, ERR_INVALID, "kubeconfig: %s.args and .env must be lists", exec->where);
	json_array_foreach (args, at, item) {
		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "kubeconfig: %s.args[%zu] is %s, expected a string: quote it",
				       exec->where, at, jsonx_type_name(item));
	}
	json_array_foreach (env, at, item) {
		const char *name = jsonx_string(item, "name", "");

		if (!name[0] || strchr(name, '=') || !jsonx_string(item, "value", NULL))
			return err_set(err, ERR_INVALID,
				       "kubeconfig: %s.env[%zu] needs a name and a value, both strings", exec->where,
				       at);
	}
	return 0;
}

static int resolve_exec(struct kube_config *config, const struct entry *user, const struct entry *cluster,
			struct err *err)
{
	const json_t *value = json_object_get(user->value, "exec");
	struct entry exec = {.value = value, .dir = user->dir};
	_cleanup_free_ char *command = NULL, *version = NULL, *mode = NULL, *resolved = NULL;

	if (!value || json_is_null(value))
		return 0;
	(void)snprintf(exec.where, sizeof(exec.where), "%.150s.exec", user->where);
	if (copy_setting(&exec, "command", &command, err) < 0 || copy_setting(&exec, "apiVersion", &version, err) < 0 ||
	    copy_setting(&exec, "interactiveMode", &mode, err) < 0 || check_exec_lists(&exec, err) < 0)
		return -1;
	if (!command)
		return err_set(err, ERR_INVALID, "kubeconfig: %s.command is missing", exec.where);
	if (!version || (strcmp(version, "client.authentication.k8s.io/v1") != 0 &&
			 strcmp(version, "client.authentication.k8s.io/v1beta1") != 0))
		return err_set(err, ERR_INVALID,
			       "kubeconfig: %s.apiVersion is '%s', expected client.authentication.k8s.io/v1 or v1beta1",
			       exec.where, version ? version : "");
	if (mode && strcmp(mode, "Always") == 0)
		return err_set(err, ERR_INVALID,
			       "kubeconfig: %s.interactiveMode is Always, but the plugin cannot ask a user here",
			       exec.where);
	/* A bare name is looked up in PATH. */
	resolved = strchr(command, '/') ? absolute(user->dir, command) : xstrdup(command);
	config->exec = json_deep_copy(value);
	(void)json_object_set_new(config->exec, "command", json_string(resolved));
	if (jsonx_boolean(value, "provideClusterInfo", false))
		config->exec_cluster = cluster_info(cluster);
	return 0;
}

static int check_user(const struct kube_config *config, const struct entry *user, struct err *err)
{
	bool token = config->token || config->token_file, basic = config->username || config->password;

	if (!(config->cert_pem || config->cert_file) != !(config->key_pem || config->key_file))
		return err_set(err, ERR_INVALID,
			       "kubeconfig: %s needs both client-certificate and client-key, or neither", user->where);
	if (token + basic + (config->exec != NULL) > 1)
		return err_set(err, ERR_INVALID,
			       "kubeconfig: %s has more than one of token, username and exec: keep one", user->where);
	return 0;
}

static int resolve_user(struct kube_config *config, const struct entry *user, const struct entry *cluster,
			struct err *err)
{
	static const char *const IMPERSONATION[] = {"as", "as-uid", "as-groups", "as-user-extra"};

	if (take_data(user, "client-certificate-data", &config->cert_pem, err) < 0 ||
	    take_path(user, "client-certificate", &config->cert_file, err) < 0 ||
	    take_data(user, "client-key-data", &config->key_pem, err) < 0 ||
	    take_path(user, "client-key", &config->key_file, err) < 0 ||
	    copy_setting(user, "token", &config->token, err) < 0 ||
	    take_path(user, "tokenFile", &config->token_file, err) < 0 ||
	    copy_setting(user, "username", &config->username, err) < 0 ||
	    copy_setting(user, "password", &config->password, err) < 0 ||
	    resolve_exec(config, user, cluster, err) < 0 ||
	    refuse_setting(user, "auth-provider", "use an exec plugin", err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(IMPERSONATION); i++) {
		if (refuse_setting(user, IMPERSONATION[i], "use credentials of that user", err) < 0)
			return -1;
	}
	return check_user(config, user, err);
}

/* Data in the kubeconfig wins over a file that it names. */
static void prefer_data(struct kube_config *config)
{
	if (config->ca_pem) {
		free(config->ca_file);
		config->ca_file = NULL;
	}
	if (config->cert_pem) {
		free(config->cert_file);
		config->cert_file = NULL;
	}
	if (config->key_pem) {
		free(config->key_file);
		config->key_file = NULL;
	}
}

static int choose_context(const struct config_source *sources, size_t n, const char *wanted, char **ret,
			  struct err *err)
{
	for (size_t i = 0; i < n && !wanted; i++) {
		wanted = jsonx_string(sources[i].doc, "current-context", NULL);
		if (wanted && !wanted[0])
			wanted = NULL;
	}
	if (!wanted)
		return err_set(err, ERR_INVALID, "kubeconfig: no current-context: name one with --context");
	*ret = xstrdup(wanted);
	return 0;
}

int kube_config_resolve(const struct config_source *sources, size_t n, const char *context, struct kube_config **ret,
			struct err *err)
{
	_cleanup_(kube_config_freep) struct kube_config *config = xcalloc(1, sizeof(*config));
	_cleanup_free_ char *cluster_name = NULL, *user_name = NULL;
	struct entry entry = {0}, cluster = {0}, user = {.where = "users"};

	if (choose_context(sources, n, context, &config->context, err) < 0 ||
	    find_entry(sources, n, "contexts", config->context, &entry, err) < 0 ||
	    copy_setting(&entry, "cluster", &cluster_name, err) < 0 ||
	    copy_setting(&entry, "user", &user_name, err) < 0 ||
	    copy_setting(&entry, "namespace", &config->namespace, err) < 0)
		return -1;
	if (!cluster_name)
		return err_set(err, ERR_INVALID, "kubeconfig: %s.cluster is missing", entry.where);
	if (find_entry(sources, n, "clusters", cluster_name, &cluster, err) < 0 ||
	    resolve_cluster(config, &cluster, err) < 0)
		return -1;
	/* Without a user we are anonymous. */
	if (user_name && (find_entry(sources, n, "users", user_name, &user, err) < 0 ||
			  resolve_user(config, &user, &cluster, err) < 0))
		return -1;
	prefer_data(config);
	*ret = TAKE_PTR(config);
	return 0;
}

int kube_config_parse(const char *text, size_t len, const char *dir, const char *context, struct kube_config **ret,
		      struct err *err)
{
	_cleanup_json_ json_t *doc = NULL;
	struct config_source source = {.dir = dir};

	if (kube_config_parse_doc(text, len, "kubeconfig", &doc, err) < 0)
		return -1;
	source.doc = doc;
	return kube_config_resolve(&source, 1, context, ret, err);
}
