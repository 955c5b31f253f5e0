/* pgsync worker: what the operator starts. Its input comes on descriptor 3, its reports go to descriptor 4; see
 * operator/operator.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "cmd.h"
#include "sync/sync.h"
#include "json/json.h"

enum { INPUT_FD = 3, OUTPUT_FD = 4, INPUT_BYTES = 16 * 1024 * 1024, WRITE_MS = 1000 };

/* One line. What follows it (a stop) stays in the descriptor, so bytes are read one by one until its end. */
static int read_line(struct strbuf *line, struct err *err)
{
	char chunk[1];

	while (strbuf_ok(line)) {
		ssize_t n = read(INPUT_FD, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_INVALID,
				       "descriptor %d ended before a task came: `pgsync worker` is started by the "
				       "operator; use `pgsync run`",
				       INPUT_FD);
		if (chunk[0] == '\n')
			return 0;
		strbuf_addc(line, chunk[0]);
	}
	return err_set(err, ERR_LIMIT, "the task is larger than %d bytes", INPUT_BYTES);
}

/* What the operator has not taken yet. The descriptor does not block: an operator that does not read (frozen, or busy)
 * must not hold up the stream. A line that was begun is finished; of the reports that wait only the newest counts. */
static struct {
	char *line; /* being written */
	size_t from;
	char *report; /* the next one */
	char *last;   /* as handed over last */
} output;

/* True when nothing is left to write. When the operator is gone, so is the reason to write. */
static bool flush_output(void)
{
	for (;;) {
		size_t left = output.line ? strlen(output.line) - output.from : 0;
		ssize_t n;

		if (!left) {
			free(output.line);
			output.line = output.report;
			output.report = NULL;
			output.from = 0;
			if (!output.line)
				return true;
			continue;
		}
		n = write(OUTPUT_FD, output.line + output.from, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		output.from += n > 0 ? (size_t)n : left;
	}
}

static char *to_line(json_t *message_take)
{
	char *text = json_dumps(message_take, JSON_COMPACT);
	char *line = text ? xasprintf("%s\n", text) : xstrdup("\n");

	free(text);
	json_decref(message_take);
	return line;
}

/* A line that must arrive: waits for the operator, as long as it is there. */
static void send_line(json_t *message_take)
{
	struct pollfd fd = {.fd = OUTPUT_FD, .events = POLLOUT};

	while (!flush_output())
		(void)poll(&fd, 1, WRITE_MS);
	output.line = to_line(message_take);
	output.from = 0;
	while (!flush_output())
		(void)poll(&fd, 1, WRITE_MS);
}

static void on_report(void *user, const json_t *report)
{
	json_t *copy = json_deep_copy(report);
	char *line = to_line(json_pack("{s:o}", "report", copy));

	UNUSED(user);
	if (output.last && !strcmp(line, output.last)) {
		free(line);
	} else {
		free(output.report);
		output.report = line;
		free(output.last);
		output.last = xstrdup(line);
	}
	(void)flush_output();
}

/* Events are for people; one that finds no room is dropped. */
static void on_event(void *user, bool warning, const char *reason, const char *action, const char *note)
{
	UNUSED(user);
	if (!flush_output())
		return;
	output.line = to_line(json_pack("{s:{s:b, s:s, s:s, s:o}}", "event", "warning", warning, "reason", reason,
					"action", action, "note", jsonx_text(note)));
	output.from = 0;
	(void)flush_output();
}

/* Trouble with the input is a report like any other: the operator shows it. */
static void report_findings(const struct findings *f)
{
	struct err err;

	if (findings_err(f, &err) < 0)
		send_line(json_pack("{s:{s:s, s:[{s:s,s:s,s:s,s:s}, {s:s,s:s,s:s,s:s}]}}", "report", "phase", "Failed",
				    "conditions", "type", "SchemaAccepted", "status", "False", "reason", err.reason,
				    "message", jsonx_text(err.msg), "type", "Ready", "status", "False", "reason",
				    err.reason, "message", jsonx_text(err.msg)));
}

static int run_task(const char *task, const struct sync_options *options)
{
	struct err err = {0};
	int r;

	if (!strcmp(task, "cleanup")) {
		r = sync_cleanup(options, &err);
		send_line(json_pack("{s:{s:b, s:s, s:o}}", "done", "ok", r == 0, "reason",
				    err.reason ? err.reason : "Failed", "message", jsonx_text(err.msg)));
	} else {
		r = sync_run(options, &err);
	}
	if (r < 0)
		log_error("worker", "task failed", KV_STR("task", task), KV_ERR(&err));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* An input that cannot run can be checked against the database, as long as that is known; and what an earlier one has
 * made can be cleaned up, as long as both sides are. */
static bool can_do(const char *task, const struct input *input, const struct findings *f)
{
	if (!findings_failed(f))
		return true;
	if (!strcmp(task, "cleanup"))
		return spec_can_be_cleaned_up(f);
	return !strcmp(task, "check") && spec_can_be_checked(input->spec, f);
}

static int work(json_t *message)
{
	struct sync_options options = {.supervised = true, .report = on_report, .event = on_event};
	const char *task = jsonx_string(message, "task", "run");
	struct input input = {0};
	struct findings findings;
	struct err err = {0};
	int code = EXIT_BAD_INPUT;

	findings_init(&findings);
	input_decode_take(json_incref(json_object_get(message, "resource")),
			  json_incref(json_object_get(message, "secrets")),
			  json_incref(json_object_get(message, "configMaps")), &input, &findings);
	options.spec = input.spec;
	options.flaws = &findings;
	options.slot_name_given = input.slot_name_given;
	options.stop_fd = stop_fd_open(INPUT_FD, &err);
	(void)fcntl(OUTPUT_FD, F_SETFL, O_NONBLOCK);
	if (!can_do(task, &input, &findings)) {
		report_findings(&findings);
		print_findings(&findings);
	} else if (options.stop_fd < 0) {
		log_error("worker", "cannot start", KV_ERR(&err));
		code = EXIT_FAILED;
	} else {
		code = run_task(task, &options);
	}
	(void)flush_output();
	free(output.line);
	free(output.report);
	free(output.last);
	close_fdp(&options.stop_fd);
	findings_release(&findings);
	input_release(&input);
	return code;
}

int cmd_worker(int argc, char **argv)
{
	_cleanup_(jsonx_decrefp) json_t *message = NULL;
	_cleanup_free_ char *context = NULL;
	struct common_flags flags;
	struct strbuf line;
	struct err err;
	int code = flags_parse(argc, argv, "", &flags);

	if (code >= 0)
		return code;
	strbuf_init(&line, INPUT_BYTES);
	if (read_line(&line, &err) < 0 || jsonx_parse(line.data, line.len, "the task", &message, &err) < 0) {
		(void)fprintf(stderr, "pgsync worker: %s\n", err.msg);
		strbuf_release(&line);
		return EXIT_BAD_INPUT;
	}
	/* The line holds credentials: nothing of it stays behind. */
	explicit_bzero(line.data, line.len);
	strbuf_release(&line);
	context = xasprintf("%s/%s", jsonx_string(message, "resource.metadata.namespace", "default"),
			    jsonx_string(message, "resource.metadata.name", ""));
	code = flags_log(&flags, context);
	return code >= 0 ? code : work(message);
}
