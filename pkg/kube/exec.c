/* Credential plugins (client.authentication.k8s.io): a program is started without a shell, and answers on its standard
 * output with an ExecCredential. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/rfc3339.h"
#include "base/strbuf.h"
#include "kube/config_int.h"
#include "kube/kube.h"
#include "json/json.h"

enum { STDERR_BYTES = 512, READ_BYTES = 4096 };

/* A running plugin. */
struct plugin {
	pid_t pid;
	int pidfd, out, err;
	struct strbuf answer;
	char complaint[STDERR_BYTES + 1]; /* the end of its standard error */
	size_t complaint_len;
};

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

/* Its own process group, so that a time-out also ends what the plugin started; no signal blocked or ignored,
 * whatever this process does with signals. */
static void set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setpgroup(attr, 0);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn(const struct kube_config *config, const char *info, int out, int errors, pid_t *ret)
{
	_cleanup_(strings_release) struct strings args = {0}, env = {0};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	build_args(config, &args);
	build_env(config, info, &env);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
	(void)posix_spawnattr_init(&attr);
	set_attributes(&attr);
	r = posix_spawnp(ret, args.items[0], &actions, &attr, args.items, env.items);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return r;
}

static int start_plugin(struct plugin *plugin, const struct kube_config *config, const char *info, struct err *err)
{
	const char *command = jsonx_string(config->exec, "command", "");
	int out[2], errors[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, errno, "credential plugin %s: pipe", command);
	if (pipe2(errors, O_CLOEXEC) < 0) {
		r = errno;
		(void)close(out[0]);
		(void)close(out[1]);
		return err_errno(err, r, "credential plugin %s: pipe", command);
	}
	plugin->out = out[0];
	plugin->err = errors[0];
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
	r = spawn(config, info, out[1], errors[1], &plugin->pid);
	(void)close(out[1]);
	(void)close(errors[1]);
	if (r != 0) {
		plugin->pid = 0;
		(void)err_errno(err, r, "starting the credential plugin %s", command);
		err->kind = ERR_INVALID;
		return -1;
	}
	plugin->pidfd = pidfd_open(plugin->pid, 0);
	if (plugin->pidfd < 0)
		return err_errno(err, errno, "credential plugin %s: pidfd_open", command);
	return 0;
}

static void complain(struct plugin *plugin, const char *data, size_t len)
{
	size_t over;

	if (len > STDERR_BYTES) {
		data += len - STDERR_BYTES;
		len = STDERR_BYTES;
	}
	over = plugin->complaint_len + len > STDERR_BYTES ? plugin->complaint_len + len - STDERR_BYTES : 0;
	memmove(plugin->complaint, plugin->complaint + over, plugin->complaint_len - over);
	plugin->complaint_len -= over;
	memcpy(plugin->complaint + plugin->complaint_len, data, len);
	plugin->complaint_len += len;
	plugin->complaint[plugin->complaint_len] = '\0';
}

/* Reads what is there; closes the descriptor at its end. */
static void drain_output(struct plugin *plugin, int *fd)
{
	char chunk[READ_BYTES];
	ssize_t n;

	while (*fd >= 0 && (n = read(*fd, chunk, sizeof(chunk))) != -1) {
		if (n == 0) {
			close_fdp(fd);
			*fd = -1;
		} else if (fd == &plugin->out) {
			strbuf_add(&plugin->answer, chunk, (size_t)n);
		} else {
			complain(plugin, chunk, (size_t)n);
		}
	}
	explicit_bzero(chunk, sizeof(chunk));
}

/* Returns true when it has ended in time. */
static bool wait_end(struct plugin *plugin, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = plugin->pidfd, .events = POLLIN},
				       {.fd = plugin->out, .events = POLLIN},
				       {.fd = plugin->err, .events = POLLIN}};
		int64_t left = deadline_ms - clock_now_ms();

		if (left <= 0)
			return false;
		if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
			return false;
		drain_output(plugin, &plugin->out);
		drain_output(plugin, &plugin->err);
		if (fds[0].revents)
			return true;
	}
}

static void plugin_release(struct plugin *plugin)
{
	if (plugin->pid > 0) {
		(void)kill(-plugin->pid, SIGKILL);
		(void)waitpid(plugin->pid, NULL, 0);
	}
	close_fdp(&plugin->pidfd);
	close_fdp(&plugin->out);
	close_fdp(&plugin->err);
	strbuf_release(&plugin->answer);
}

static int reap_plugin(struct plugin *plugin, const char *command, const char *hint, struct err *err)
{
	int status = 0;
	pid_t pid = waitpid(plugin->pid, &status, 0);

	plugin->pid = 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(err, ERR_DENIED, "credential plugin %s: %s %d: %s%s%s", command,
		       WIFSIGNALED(status) ? "ended by signal" : "exit code",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		       plugin->complaint_len ? plugin->complaint : "it wrote nothing to standard error",
		       hint ? "; " : "", hint ? hint : "");
}

int kube_exec_credential(struct kube_config *config, int64_t timeout_ms, struct err *err)
{
	const char *command = jsonx_string(config->exec, "command", "");
	const char *version = jsonx_string(config->exec, "apiVersion", "");
	_cleanup_free_ char *info = exec_info(config, version);
	_cleanup_(plugin_release) struct plugin plugin = {.pidfd = -1, .out = -1, .err = -1};

	strbuf_init_secret(&plugin.answer, CONFIG_FILE_BYTES);
	if (start_plugin(&plugin, config, info, err) < 0)
		return -1;
	if (!wait_end(&plugin, clock_now_ms() + timeout_ms))
		return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT,
				  "credential plugin %s: did not finish within %d ms", command, (int)timeout_ms);
	if (reap_plugin(&plugin, command, jsonx_string(config->exec, "installHint", NULL), err) < 0)
		return -1;
	if (!strbuf_ok(&plugin.answer))
		return err_set(err, ERR_LIMIT, "credential plugin %s: the answer is larger than %d bytes", command,
			       CONFIG_FILE_BYTES);
	if (kube_exec_answer(config, version, plugin.answer.data, plugin.answer.len, err) < 0)
		return err_wrap(err, "%s", command);
	return 0;
}
