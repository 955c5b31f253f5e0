/* The configuration that comes from a kubeconfig's context, a pod's service account, or an exec plugin. */
#ifndef PGSYNC_KUBE_CONFIG_INT_H
#define PGSYNC_KUBE_CONFIG_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"

struct kube_config {
	/* All strings are owned; kube_config_copy and _free find them in a table. */
	char *server, *namespace, *context;
	char *tls_server_name;
	char *ca_pem, *ca_file;
	char *cert_pem, *key_pem;   /* as given, read from the files, or from the exec plugin */
	char *cert_file, *key_file; /* read again when the server refuses us */
	char *token, *token_file;
	char *username, *password;
	bool insecure_skip_verify;
	json_t *exec;         /* the plugin as the kubeconfig has it, its command resolved; or NULL */
	json_t *exec_cluster; /* cluster information for the plugin (provideClusterInfo), or NULL */
	int64_t expires_us;   /* wall clock: when the plugin's credentials expire; 0: never */
};

enum {
	CONFIG_FILE_BYTES = 1024 * 1024,
	CONFIG_EXEC_LOAD_MS = 30000,
	/* A loop waits for it: well below a Lease's renew deadline. */
	CONFIG_EXEC_REFRESH_MS = 5000,
};

/* One file of the list that $KUBECONFIG names. */
struct config_source {
	json_t *doc;
	const char *dir; /* relative paths in it resolve against this; NULL: the working directory */
};

/* The first source that has something wins, by the names of contexts, clusters and users. context: NULL for the
 * current one. */
int kube_config_resolve(const struct config_source *sources, size_t n, const char *context, struct kube_config **ret,
			struct err *err) WARN_UNUSED;
/* The first document of a kubeconfig, which must be a mapping (an empty file is an empty one). */
int kube_config_parse_doc(const char *text, size_t len, const char *what, json_t **ret, struct err *err) WARN_UNUSED;

/* The credentials that a pod has in dir. host and port as in KUBERNETES_SERVICE_HOST and _PORT. */
int kube_config_in_cluster(const char *host, const char *port, const char *dir, struct kube_config **ret,
			   struct err *err) WARN_UNUSED;

struct kube_config *kube_config_copy(const struct kube_config *config);

/* Whether asking again may give other credentials: certificate files and exec plugins can. */
bool kube_config_refreshable(const struct kube_config *config);
/* The exec plugin's credentials have expired, or are about to. */
bool kube_config_expired(const struct kube_config *config, int64_t wall_us);
/* Reads the certificate files and runs the exec plugin, at most for exec_timeout_ms. On failure, the previous
 * credentials stay. */
int kube_config_refresh(struct kube_config *config, int64_t exec_timeout_ms, struct err *err) WARN_UNUSED;

/* Runs the plugin config->exec and adopts its ExecCredential. Errors: DENIED (it failed, with the end of what it wrote
 * to standard error), TRANSIENT (it timed out), INVALID (its answer). */
int kube_exec_credential(struct kube_config *config, int64_t timeout_ms, struct err *err) WARN_UNUSED;
/* Pure part: takes the credentials from the output of a plugin for api_version. */
int kube_exec_answer(struct kube_config *config, const char *api_version, const char *text, size_t len,
		     struct err *err) WARN_UNUSED;

#endif
