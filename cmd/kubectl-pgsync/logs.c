/* kubectl pgsync logs: the lines of the operator's pods that are about one PgSync. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "json/json.h"

enum { LOG_BYTES = 32 * 1024 * 1024, PODS_MAX = 16 };

/* The log of one pod. */
struct pod_log {
	struct kube_stream *stream;
	struct screen_lines lines;
	struct strbuf *kept; /* NULL: lines are printed */
	bool open;
	struct err err;
};

static void on_log_data(void *user, const char *data, size_t len)
{
	struct pod_log *log = user;
	struct strbuf out;

	if (log->kept) {
		screen_lines_feed(&log->lines, data, len, log->kept);
		return;
	}
	strbuf_init(&out, LOG_BYTES);
	screen_lines_feed(&log->lines, data, len, &out);
	(void)fwrite(out.data, 1, out.len, stdout);
	(void)fflush(stdout);
	strbuf_release(&out);
}

static void on_log_end(void *user, const struct err *err)
{
	struct pod_log *log = user;

	log->open = false;
	if (err)
		log->err = *err;
}

/* The container that the chart calls so, or the first one. */
static const char *container_of(const json_t *pod)
{
	const json_t *containers = jsonx_get(pod, "spec.containers"), *container;
	size_t i;

	json_array_foreach (containers, i, container)
		if (strcmp(jsonx_string(container, "name", ""), "operator") == 0)
			return "operator";
	return jsonx_string(json_array_get(containers, 0), "name", "");
}

static char *log_path(const json_t *pod, bool follow)
{
	_cleanup_free_ char *path = kube_path("api", "v1", "namespaces", jsonx_string(pod, "metadata.namespace", ""),
					      "pods", jsonx_string(pod, "metadata.name", ""), "log", NULL);

	return xasprintf("%s?container=%s%s", path, container_of(pod), follow ? "&follow=true" : "");
}

static int wait_for_logs(struct client *client, const struct pod_log *logs, size_t n, struct err *err)
{
	for (;;) {
		bool open = false;

		for (size_t i = 0; i < n; i++)
			open = open || logs[i].open;
		/* Nothing that follows would be seen once a pipe is closed. */
		if (!open || ferror(stdout))
			return 0;
		if (kube_poll(client->kube, NULL, 0, -1, err) < 0)
			return -1;
	}
}

/* Several at the same time only if they go on. */
static int read_logs(struct client *client, const json_t *pods, const char *name, bool follow, struct strbuf *kept,
		     struct err *err)
{
	size_t n = json_array_size(pods) < PODS_MAX ? json_array_size(pods) : PODS_MAX;
	struct pod_log logs[PODS_MAX] = {0};
	size_t failed = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		_cleanup_free_ char *path = log_path(json_array_get(pods, i), follow);

		screen_lines_init(&logs[i].lines, name);
		logs[i].kept = kept;
		logs[i].open = true;
		logs[i].stream = kube_stream(client->kube, path, on_log_data, on_log_end, &logs[i]);
		if (!follow)
			r = wait_for_logs(client, logs, n, err);
	}
	if (r == 0)
		r = wait_for_logs(client, logs, n, err);
	for (size_t i = 0; i < n; i++) {
		if (logs[i].open)
			kube_stream_stop(logs[i].stream);
		screen_lines_release(&logs[i].lines);
		failed += logs[i].err.kind != ERR_NONE;
		if (logs[i].err.kind != ERR_NONE && r == 0)
			*err = logs[i].err;
	}
	/* A pod may be starting, or its node be gone. */
	return r < 0 || (n && failed == n) ? -1 : 0;
}

int plugin_pods(struct client *client, const json_t *resource, json_t **ret, struct err *err)
{
	const char *lease = jsonx_string(resource, "status.operator.lease", "");
	_cleanup_free_ char *namespace = xstrndup(lease, strcspn(lease, "/"));
	_cleanup_free_ char *path = NULL, *query = NULL;
	_cleanup_json_ json_t *list = NULL;

	if (!*namespace)
		return err_set(err, ERR_NOT_FOUND, "no operator has looked at it yet, so there are no logs");
	path = kube_path("api", "v1", "namespaces", namespace, "pods", NULL);
	query = xasprintf("%s?labelSelector=app.kubernetes.io%%2Fpart-of%%3Dpgsync", path);
	if (client_get(client, query, &list, err) < 0)
		return -1;
	if (!json_array_size(json_object_get(list, "items")))
		return err_set(
			err, ERR_NOT_FOUND,
			"namespace \"%s\" has no pod with the label app.kubernetes.io/part-of=pgsync: the operator "
			"runs outside of the cluster, or its pod is gone",
			namespace);
	*ret = json_incref(json_object_get(list, "items"));
	return 0;
}

int plugin_read_logs(struct client *client, const json_t *resource, const json_t *pods, struct strbuf *out,
		     struct err *err)
{
	_cleanup_free_ char *name = client_key(resource);

	return read_logs(client, pods, name, false, out, err);
}

int plugin_logs(const struct command *command, const struct options *options)
{
	struct client client;
	struct err err = {0};
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_json_ json_t *object = NULL, *pods = NULL;
	int r = -1;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	path = client_path(&client, options->names[0]);
	if (client_get(&client, path, &object, &err) == 0 && plugin_pods(&client, object, &pods, &err) == 0) {
		name = client_key(object);
		r = read_logs(&client, pods, name, options->follow, NULL, &err);
	}
	client_close(&client);
	return r < 0 ? plugin_failed(command, &err) : EXIT_OK;
}
