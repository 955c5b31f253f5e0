/* Where credentials come from: $KUBECONFIG, the pod's mount, ~/.kube/config; and reading them again. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "kube/config_int.h"
#include "kube/kube.h"
#include "json/json.h"

static const char SERVICE_ACCOUNT_DIR[] = "/var/run/secrets/kubernetes.io/serviceaccount";

enum { SOURCES_MAX = 16, EXPIRY_LEEWAY_US = 10 * 1000000 };

static const size_t STRINGS[] = {
	offsetof(struct kube_config, server),    offsetof(struct kube_config, namespace),
	offsetof(struct kube_config, context),   offsetof(struct kube_config, tls_server_name),
	offsetof(struct kube_config, ca_pem),    offsetof(struct kube_config, ca_file),
	offsetof(struct kube_config, cert_pem),  offsetof(struct kube_config, key_pem),
	offsetof(struct kube_config, cert_file), offsetof(struct kube_config, key_file),
	offsetof(struct kube_config, token),     offsetof(struct kube_config, token_file),
	offsetof(struct kube_config, username),  offsetof(struct kube_config, password),
};

static char **string_at(const struct kube_config *config, size_t i)
{
	return (char **)((char *)config + STRINGS[i]);
}

void kube_config_free(struct kube_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(STRINGS); i++)
		free_secret(*string_at(config, i));
	json_decref(config->exec);
	json_decref(config->exec_cluster);
	free(config);
}

struct kube_config *kube_config_copy(const struct kube_config *config)
{
	struct kube_config *copy = xmemdup(config, sizeof(*config));

	for (size_t i = 0; i < ARRAY_SIZE(STRINGS); i++)
		*string_at(copy, i) = xstrdup_or_null(*string_at(config, i));
	json_incref(copy->exec);
	json_incref(copy->exec_cluster);
	return copy;
}

const char *kube_config_server(const struct kube_config *config)
{
	return config->server;
}

const char *kube_config_namespace(const struct kube_config *config)
{
	return config->namespace ? config->namespace : "default";
}

/* As jsonx_read_file; every problem with a configuration file is INVALID, because only the user can fix it. */
static int read_config_file(const char *path, const char *what, char **ret, struct err *err)
{
	char *text;
	size_t len;

	if (jsonx_read_file(path, CONFIG_FILE_BYTES, &text, &len, err) < 0) {
		err->kind = ERR_INVALID;
		return err_wrap(err, "%s", what);
	}
	if (strlen(text) != len) {
		free_secret(text);
		return err_set(err, ERR_INVALID, "%s: %s contains a NUL", what, path);
	}
	*ret = text;
	return 0;
}

static void trim(char *s)
{
	size_t len = strlen(s), start = strspn(s, " \t\r\n");

	while (len > start && strchr(" \t\r\n", s[len - 1]))
		len--;
	memmove(s, s + start, len - start);
	s[len - start] = '\0';
}

/* The namespace of the pod that we are in, if we are in one. */
static char *pod_namespace(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/namespace", dir);
	struct err ignored;
	char *text = NULL;

	if (read_config_file(path, "the pod's namespace", &text, &ignored) < 0)
		return NULL;
	trim(text);
	if (text[0])
		return text;
	free(text);
	return NULL;
}

int kube_config_in_cluster(const char *host, const char *port, const char *dir, struct kube_config **ret,
			   struct err *err)
{
	_cleanup_(kube_config_freep) struct kube_config *config = xcalloc(1, sizeof(*config));
	bool bare_ipv6 = strchr(host, ':') && host[0] != '[';
	char *token = NULL;

	config->server = xasprintf(bare_ipv6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	config->token_file = xasprintf("%s/token", dir);
	config->ca_file = xasprintf("%s/ca.crt", dir);
	config->namespace = pod_namespace(dir);
	/* The token is read again for each use; report a missing one now. */
	if (read_config_file(config->token_file, "the pod's service account token", &token, err) < 0)
		return -1;
	trim(token);
	if (!token[0]) {
		free_secret(token);
		return err_set(err, ERR_INVALID, "the pod's service account token: %s is empty", config->token_file);
	}
	free_secret(token);
	*ret = TAKE_PTR(config);
	return 0;
}

/* The directory of a path, without a slash at its end; caller frees. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

struct sources {
	struct config_source items[SOURCES_MAX];
	char *dirs[SOURCES_MAX];
	size_t n;
};

static void sources_release(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++) {
		json_decref(s->items[i].doc);
		free(s->dirs[i]);
	}
}

/* Reads one kubeconfig; a missing one is fine unless it must exist. */
static int add_source(struct sources *s, const char *path, bool must_exist, struct err *err)
{
	_cleanup_free_ char *what = xasprintf("kubeconfig %s", path);
	json_t *doc = NULL;
	char *text = NULL;
	int r;

	if (s->n == SOURCES_MAX)
		return err_set(err, ERR_INVALID, "$KUBECONFIG names more than %d files", SOURCES_MAX);
	if (!must_exist && access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (read_config_file(path, "kubeconfig", &text, err) < 0)
		return -1;
	r = kube_config_parse_doc(text, strlen(text), what, &doc, err);
	free_secret(text);
	if (r < 0) {
		err->kind = ERR_INVALID;
		return -1;
	}
	s->dirs[s->n] = directory_of(path);
	s->items[s->n] = (struct config_source){.doc = doc, .dir = s->dirs[s->n]};
	s->n++;
	return 0;
}

/* The files of $KUBECONFIG; those that do not exist are left out. */
static int add_list(struct sources *s, const char *list, struct err *err)
{
	for (const char *start = list; *start;) {
		size_t len = strcspn(start, ":");
		_cleanup_free_ char *path = xstrndup(start, len);

		if (len > 0 && add_source(s, path, false, err) < 0)
			return -1;
		start += len;
		if (*start)
			start++;
	}
	return 0;
}

static char *home_kubeconfig(void)
{
	const char *home = getenv("HOME");
	const struct passwd *user = home && home[0] ? NULL : getpwuid(getuid());

	if (user)
		home = user->pw_dir;
	return home && home[0] ? xasprintf("%s/.kube/config", home) : NULL;
}

static int find_config(const struct kube_config_options *options, struct kube_config **ret, struct err *err)
{
	const char *list = getenv("KUBECONFIG"), *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	_cleanup_(sources_release) struct sources sources = {.n = 0};
	_cleanup_free_ char *home = NULL;

	if (options->kubeconfig && options->kubeconfig[0]) {
		if (add_source(&sources, options->kubeconfig, true, err) < 0)
			return -1;
		return kube_config_resolve(sources.items, sources.n, options->context, ret, err);
	}
	home = home_kubeconfig();
	if (list && add_list(&sources, list, err) < 0)
		return -1;
	if (options->for_user && !(list && list[0]) && home && add_source(&sources, home, false, err) < 0)
		return -1;
	if (sources.n == 0 && host && host[0] && port && port[0])
		return kube_config_in_cluster(host, port, SERVICE_ACCOUNT_DIR, ret, err);
	if (!options->for_user && sources.n == 0 && home && add_source(&sources, home, false, err) < 0)
		return -1;
	if (sources.n > 0)
		return kube_config_resolve(sources.items, sources.n, options->context, ret, err);
	return err_set(err, ERR_INVALID,
		       "no Kubernetes credentials: looked for $KUBECONFIG (%s), a pod's service account, and %s; "
		       "name a file with --kubeconfig",
		       list && list[0] ? list : "not set", home ? home : "~/.kube/config");
}

int kube_config_load(const struct kube_config_options *options, struct kube_config **ret, struct err *err)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;

	if (find_config(options, &config, err) < 0)
		return -1;
	if (!config->namespace && !options->for_user)
		config->namespace = pod_namespace(SERVICE_ACCOUNT_DIR);
	if (kube_config_refresh(config, CONFIG_EXEC_LOAD_MS, err) < 0)
		return -1;
	*ret = TAKE_PTR(config);
	return 0;
}

bool kube_config_refreshable(const struct kube_config *config)
{
	return config->exec || config->cert_file || config->key_file;
}

bool kube_config_expired(const struct kube_config *config, int64_t wall_us)
{
	return config->expires_us && wall_us >= config->expires_us - EXPIRY_LEEWAY_US;
}

int kube_config_refresh(struct kube_config *config, int64_t exec_timeout_ms, struct err *err)
{
	char *cert = NULL, *key = NULL;

	if (config->cert_file && read_config_file(config->cert_file, "client-certificate", &cert, err) < 0)
		return -1;
	if (config->key_file && read_config_file(config->key_file, "client-key", &key, err) < 0) {
		free(cert);
		return -1;
	}
	if (cert) {
		free_secret(config->cert_pem);
		config->cert_pem = cert;
	}
	if (key) {
		free_secret(config->key_pem);
		config->key_pem = key;
	}
	return config->exec ? kube_exec_credential(config, exec_timeout_ms, err) : 0;
}
