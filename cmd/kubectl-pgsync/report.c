/* kubectl pgsync report: one archive for a bug report, without secrets. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "plugin.h"
#include "json/json.h"

enum { REPORT_BYTES = 128 * 1024 * 1024, STAMP_BYTES = 32 };

struct report_file {
	struct client *client;
	const json_t *resource;
	struct strbuf archive, errors;
	int64_t wall_us;
};

static void add_text(struct report_file *report, const char *name, const struct strbuf *text)
{
	struct strbuf scrubbed;

	strbuf_init(&scrubbed, REPORT_BYTES);
	scrub_text(text->data, text->len, &scrubbed);
	archive_add(&report->archive, name, scrubbed.data, scrubbed.len, report->wall_us);
	strbuf_release(&scrubbed);
}

static void add_value(struct report_file *report, const char *name, const json_t *value)
{
	_cleanup_json_ json_t *scrubbed = scrub_json(value);
	char *text = json_dumps(scrubbed, JSON_INDENT(2) | JSON_ENCODE_ANY);

	archive_add(&report->archive, name, text ? text : "", text ? strlen(text) : 0, report->wall_us);
	free(text);
}

/* What cannot be read is said, and the rest is there all the same. */
static void note_error(struct report_file *report, const char *name, const struct err *err)
{
	strbuf_addf(&report->errors, "%s: %s\n", name, err->msg);
}

/* The schema as it was written, without what only tools need. */
static void add_resource(struct report_file *report)
{
	_cleanup_json_ json_t *copy = json_deep_copy(report->resource), *schema = NULL;
	const char *text = jsonx_string(copy, "spec.schema", NULL);
	json_t *metadata = json_object_get(copy, "metadata");
	struct err ignored;

	if (text && jsonx_parse(text, strlen(text), "spec.schema", &schema, &ignored) == 0)
		(void)json_object_set(json_object_get(copy, "spec"), "schema", schema);
	(void)json_object_del(metadata, "managedFields");
	(void)json_object_del(json_object_get(metadata, "annotations"),
			      "kubectl.kubernetes.io/last-applied-configuration");
	add_value(report, "pgsync.json", copy);
}

static void add_status(struct report_file *report)
{
	_cleanup_json_ json_t *events = NULL;
	struct screen_input in;
	struct strbuf text;
	struct err err;

	if (plugin_input(report->client, report->resource, &in, &err) < 0) {
		note_error(report, "status.txt", &err);
		return;
	}
	if (plugin_events(report->client, report->resource, &events, &err) < 0)
		note_error(report, "events.json", &err);
	in.events = events;
	strbuf_init(&text, REPORT_BYTES);
	screen_status(&in, &text);
	add_text(report, "status.txt", &text);
	strbuf_release(&text);
	if (events)
		add_value(report, "events.json", events);
	if (in.found == LEASE_READ)
		add_value(report, "lease.json", in.lease);
}

/* Of a pod, what tells how it was started and how it is. Its environment may contain secrets. */
static json_t *pod_facts(const json_t *pod)
{
	json_t *containers = json_array(), *container;
	size_t i;

	json_array_foreach (jsonx_get(pod, "spec.containers"), i, container)
		(void)json_array_append_new(containers, json_pack("{s:O*, s:O*, s:O*, s:O*}", "name",
								  json_object_get(container, "name"), "image",
								  json_object_get(container, "image"), "args",
								  json_object_get(container, "args"), "resources",
								  json_object_get(container, "resources")));
	return json_pack("{s:s, s:o, s:O*}", "name", jsonx_string(pod, "metadata.name", ""), "containers", containers,
			 "status", json_object_get(pod, "status"));
}

static void add_pods(struct report_file *report)
{
	_cleanup_json_ json_t *pods = NULL, *facts = json_array();
	struct strbuf log;
	struct err err;
	json_t *pod;
	size_t i;

	if (plugin_pods(report->client, report->resource, &pods, &err) < 0) {
		note_error(report, "pods.json", &err);
		return;
	}
	json_array_foreach (pods, i, pod)
		(void)json_array_append_new(facts, pod_facts(pod));
	add_value(report, "pods.json", facts);
	strbuf_init(&log, REPORT_BYTES / 2);
	if (plugin_read_logs(report->client, report->resource, pods, &log, &err) < 0)
		note_error(report, "log.txt", &err);
	add_text(report, "log.txt", &log);
	strbuf_release(&log);
}

static void add_versions(struct report_file *report)
{
	_cleanup_json_ json_t *server = NULL, *versions = NULL;
	struct err err;

	if (client_get(report->client, "/version", &server, &err) < 0)
		note_error(report, "versions.json", &err);
	versions = json_pack("{s:s, s:O*}", "plugin", PGSYNC_VERSION, "server", server);
	add_value(report, "versions.json", versions);
}

static int write_report(const struct report_file *report, const char *path, struct err *err)
{
	_cleanup_close_ int fd = -1;

	if (!strbuf_ok(&report->archive))
		return err_set(err, ERR_LIMIT, "the report is larger than %d bytes", REPORT_BYTES);
	if (strcmp(path, "-") == 0)
		return fd_write(STDOUT_FILENO, report->archive.data, report->archive.len) == 0
			       ? 0
			       : err_errno(err, errno, "writing to standard output");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write(fd, report->archive.data, report->archive.len) < 0)
		return err_errno(err, errno, "writing %s", path);
	return 0;
}

static char *default_path(const struct report_file *report)
{
	time_t seconds = (time_t)(report->wall_us / 1000000);
	char stamp[STAMP_BYTES];
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	return xasprintf("pgsync-report-%s-%s-%s.tar", jsonx_string(report->resource, "metadata.namespace", ""),
			 jsonx_string(report->resource, "metadata.name", ""), stamp);
}

static int make_report(struct client *client, const json_t *resource, const struct options *options, struct err *err)
{
	struct report_file report = {.client = client, .resource = resource, .wall_us = clock_wall_us()};
	_cleanup_free_ char *path = NULL;
	int r;

	strbuf_init(&report.archive, REPORT_BYTES);
	strbuf_init(&report.errors, REPORT_BYTES);
	add_versions(&report);
	add_resource(&report);
	add_status(&report);
	add_pods(&report);
	if (report.errors.len)
		add_text(&report, "not-read.txt", &report.errors);
	archive_end(&report.archive);
	path = options->file ? xstrdup(options->file) : default_path(&report);
	r = write_report(&report, path, err);
	if (r == 0 && strcmp(path, "-") != 0)
		(void)printf("%s\n", path);
	strbuf_release(&report.archive);
	strbuf_release(&report.errors);
	return r;
}

int plugin_report(const struct command *command, const struct options *options)
{
	struct client client;
	struct err err = {0};
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *resource = NULL;
	int r = -1;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	path = client_path(&client, options->names[0]);
	if (client_get(&client, path, &resource, &err) == 0)
		r = make_report(&client, resource, options, &err);
	client_close(&client);
	return r < 0 ? plugin_failed(command, &err) : EXIT_OK;
}
