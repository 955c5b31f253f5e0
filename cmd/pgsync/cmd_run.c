/* pgsync run: the worker without Kubernetes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd.h"
#include "conditions/conditions.h"
#include "metrics/metrics.h"
#include "sync/sync.h"
#include "web/web.h"
#include "json/json.h"

struct run {
	pthread_mutex_t lock;
	char *status; /* as /status shows it */
	struct metrics *metrics;
	struct cmd_console *console; /* or NULL */
	bool terminal, bar_done;
	char phase[32];
	char reason[64];
	int64_t printed_ms;
};

/* --- what users see --- */

static void draw_bar(struct run *run, const json_t *report)
{
	enum { WIDTH = 40 };
	const char *progress = jsonx_string(report, "bootstrap.progress", NULL);
	int64_t done = jsonx_integer(report, "bootstrap.rowsDone", 0);
	int64_t total = jsonx_integer(report, "bootstrap.rowsTotal", 0);
	bool complete = jsonx_get(report, "bootstrap.completionTime") != NULL;
	int filled = complete ? WIDTH : total ? (int)(done * WIDTH / total) : 0;

	if (!run->terminal || !progress || run->bar_done)
		return;
	/* Not through the guard, which would escape the return to the beginning of the line. */
	(void)dprintf(STDERR_FILENO, "\r[%.*s%.*s] %4s %lld rows%s", filled, "########################################",
		      WIDTH - filled, "........................................", progress, (long long)done,
		      complete ? "\n" : " ");
	run->bar_done = complete;
}

static void print_progress(struct run *run, const json_t *report, int64_t now)
{
	const char *phase = jsonx_string(report, "phase", "");
	int64_t done = jsonx_integer(report, "bootstrap.rowsDone", 0);
	bool changed = strcmp(phase, run->phase) != 0;

	(void)snprintf(run->phase, sizeof(run->phase), "%s", phase);
	if (changed)
		log_info("run", "phase", KV_STR("phase", phase), KV_I64("rows", done),
			 KV_STR("lag", jsonx_string(report, "stream.lag", "")));
	else if (!run->terminal && !strcmp(phase, phase_name(PHASE_BOOTSTRAPPING)) && now >= run->printed_ms + 2000)
		log_info("run", "bootstrap", KV_STR("progress", jsonx_string(report, "bootstrap.progress", "")),
			 KV_I64("rows", done));
	else
		return;
	run->printed_ms = now;
}

static void on_report(void *user, const json_t *report)
{
	struct run *run = user;
	char *text = json_dumps(report, JSON_INDENT(2));
	bool news;

	(void)pthread_mutex_lock(&run->lock);
	news = text && (!run->status || strcmp(text, run->status) != 0);
	free(run->status);
	run->status = text;
	(void)pthread_mutex_unlock(&run->lock);
	if (!news)
		return;
	cmd_console_report(run->console, report);
	draw_bar(run, report);
	print_progress(run, report, clock_now_ms());
}

static void note_event(void *user, bool warning, enum reason reason, const char *action, const char *note)
{
	const struct run *run = user;

	cmd_console_event(run->console, warning, reason, action, note);
}

/* --- /status, /metrics and /wait --- */

enum { WAITS = 32 }; /* at once; 64 more wait for their turn */

static void serve_status(void *user, const struct web_request *request, struct web_response *response)
{
	struct run *run = user;

	UNUSED(request);
	response->content_type = "application/json";
	(void)pthread_mutex_lock(&run->lock);
	strbuf_adds(&response->body, run->status ? run->status : "{}");
	(void)pthread_mutex_unlock(&run->lock);
	strbuf_addc(&response->body, '\n');
}

static void serve_metrics(void *user, const struct web_request *request, struct web_response *response)
{
	struct run *run = user;

	UNUSED(request);
	response->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_render(run->metrics, &response->body);
}

static int start_web(struct run *run, const char *listen, struct cmd_wait *wait, struct web **ret, struct err *err)
{
	const struct web_route routes[] = {
		{.path = "/status", .handler = serve_status, .user = run, .in_server_thread = true},
		{.path = "/metrics", .handler = serve_metrics, .user = run, .in_server_thread = true},
		{.path = "/wait", .handler = cmd_wait_serve, .user = wait},
	};
	const struct web_options options = {
		.listen = listen, .routes = routes, .n_routes = ARRAY_SIZE(routes), .workers = WAITS};

	if (!listen)
		return 0;
	if (web_serve(&options, ret, err) < 0)
		return -1;
	log_info("run", "listening", KV_I64("port", web_port(*ret)));
	return 0;
}

/* --- the command --- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* What the command line says about the password counts more than the environment, and that more than the file. */
static void replace_password_from(const struct common_flags *flags, struct spec *spec, struct findings *f)
{
	bool given = flags->password_file || flags->password_command;
	const char *file = flags->password_file, *program = flags->password_command;

	if (!given) {
		file = variable("PGSYNC_PASSWORD_FILE");
		program = variable("PGSYNC_PASSWORD_COMMAND");
	}
	if (file && program)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING,
			     given ? "--password-file" : "PGSYNC_PASSWORD_FILE",
			     "the password can be read from a file or from a program, not from both");
	spec_replace_password_from(&spec->source, file, program, f);
}

int cmd_run_input(const struct common_flags *flags, const struct input *input, struct err *err)
{
	struct run run = {.terminal = isatty(STDERR_FILENO) == 1};
	_cleanup_(cmd_wait_freep) struct cmd_wait *wait = cmd_wait_new(input->spec);
	struct web *web = NULL;
	struct sync_options options = {
		.spec = input->spec,
		.slot_name_given = input->slot_name_given,
		.until_caught_up = flags->until_caught_up,
		.waits = flags->listen ? cmd_wait_waits(wait) : NULL,
		.report = on_report,
		.event = note_event,
		.user = &run,
	};
	int r = -1;

	(void)pthread_mutex_init(&run.lock, NULL);
	run.metrics = metrics_new();
	metrics_enable_process(run.metrics);
	options.metrics = run.metrics;
	options.stop_fd = stop_fd_open(-1, err);
	if (options.stop_fd >= 0 && start_web(&run, flags->listen, wait, &web, err) == 0 &&
	    cmd_console_start(flags, input, &options, &run.console, err) == 0)
		r = sync_run(&options, err);
	waits_close(cmd_wait_waits(wait));
	web_stop(web);
	cmd_console_stop(run.console);
	close_fdp(&options.stop_fd);
	metrics_free(run.metrics);
	free(run.status);
	(void)pthread_mutex_destroy(&run.lock);
	return r;
}

int cmd_run(int argc, char **argv)
{
	_cleanup_free_ char *context = NULL;
	struct input input = {0};
	struct common_flags flags;
	struct findings findings;
	struct err err = {0};
	int code = flags_parse(argc, argv, "fulctnxFP", &flags);
	bool read;

	if (code >= 0)
		return code;
	findings_init(&findings);
	code = EXIT_BAD_INPUT;
	read = (!flags.console.listen || console_check(&flags.console, &err) == 0) &&
	       input_read(flags.file, false, &input, &findings, &err) == 0;
	if (read)
		replace_password_from(&flags, input.spec, &findings);
	if (!read) {
		(void)fprintf(stderr, "pgsync run: %s\n", err.msg);
	} else if (findings_failed(&findings)) {
		cmd_print_findings(&findings);
	} else {
		context = xasprintf("%s/%s", input.spec->namespace, input.spec->name);
		code = flags_log(&flags, context);
		if (code < 0 && cmd_run_input(&flags, &input, &err) < 0) {
			(void)fprintf(stderr, "pgsync run: %s\n", err.msg);
			code = EXIT_FAILED;
		}
		if (code < 0)
			code = EXIT_OK;
	}
	findings_release(&findings);
	input_release(&input);
	return code;
}
