/* pgsync worker: what the operator starts. See protocol/protocol.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/egress.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "cmd.h"
#include "protocol/protocol.h"
#include "sync/sync.h"
#include "json/json.h"

/* VERDICT_BYTES: the limit for each text of a verdict, which is that of a condition. */
enum { WRITE_MS = 1000, VERDICT_BYTES = 32000 };

/* Lines that the operator has not read yet. The descriptor does not block: an operator that does not read (frozen, or
 * busy) must not hold up the stream. A line that was begun is finished; of the waiting reports only the newest is sent.
 */
struct output {
	pthread_mutex_t lock;
	int64_t sent_ms; /* when the last line was begun */
	char *line;      /* being written */
	size_t pos;
	char *report; /* the next line */
	char *last;   /* the previous report, so that it is not repeated */
};

static void output_release(struct output *o)
{
	free(o->line);
	free(o->report);
	free(o->last);
	(void)pthread_mutex_destroy(&o->lock);
}

/* True when nothing is left to write. Errors count as written: without an operator there is no reason to write. */
static bool flush_output(struct output *o)
{
	for (;;) {
		size_t left = o->line ? strlen(o->line) - o->pos : 0;
		ssize_t n;

		if (!left) {
			free(o->line);
			o->line = TAKE_PTR(o->report);
			o->pos = 0;
			if (!o->line)
				return true;
			o->sent_ms = clock_now_ms();
			continue;
		}
		n = write(PROTOCOL_OUTPUT_FD, o->line + o->pos, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		o->pos += n > 0 ? (size_t)n : left;
	}
}

/* A line that must arrive: waits for the operator, as long as there is one. */
static void send_line(struct output *o, char *line_take)
{
	struct pollfd fd = {.fd = PROTOCOL_OUTPUT_FD, .events = POLLOUT};

	while (!flush_output(o))
		(void)poll(&fd, 1, WRITE_MS);
	o->line = line_take;
	while (!flush_output(o))
		(void)poll(&fd, 1, WRITE_MS);
}

/* Reports that this process is alive, unless another message has shown that recently. */
static void send_alive(struct output *o)
{
	if (!flush_output(o) || clock_now_ms() - o->sent_ms < PROTOCOL_HEARTBEAT_MS)
		return;
	o->report = protocol_encode_heartbeat();
	(void)flush_output(o);
}

/* Called five times a second, whatever the servers do. */
static void send_report(void *user, const json_t *report)
{
	struct output *o = user;
	_cleanup_free_ char *line = protocol_encode_report(report);

	(void)pthread_mutex_lock(&o->lock);
	if (!o->last || strcmp(line, o->last) != 0) {
		free(o->report);
		free(o->last);
		o->last = xstrdup(line);
		o->report = TAKE_PTR(line);
	}
	send_alive(o);
	(void)pthread_mutex_unlock(&o->lock);
}

/* An event is dropped when the operator is not reading. */
static void send_event(void *user, bool warning, enum reason reason, const char *action, const char *note)
{
	struct output *o = user;

	(void)pthread_mutex_lock(&o->lock);
	if (flush_output(o)) {
		o->line = protocol_encode_event(
			&(struct protocol_event){.warning = warning, .reason = reason, .action = action, .note = note});
		(void)flush_output(o);
	}
	(void)pthread_mutex_unlock(&o->lock);
}

static json_t *failed_condition(const char *type, const struct err *err)
{
	return json_pack("{s:s, s:s, s:s, s:o}", "type", type, "status", "False", "reason", reason_name(err->reason),
			 "message", jsonx_text(err->msg));
}

/* Invalid input is reported like any other problem, and so becomes part of the status. */
static void report_findings(struct output *o, const struct findings *f)
{
	_cleanup_json_ json_t *report = NULL;
	struct err err;

	if (findings_err(f, &err) >= 0)
		return;
	report = json_pack("{s:s, s:[o, o]}", "phase", "Failed", "conditions", failed_condition("SchemaAccepted", &err),
			   failed_condition("Ready", &err));
	send_line(o, protocol_encode_report(report));
}

/* A cleanup waits for servers and reports nothing meanwhile, so another thread reports that the process is alive. */
struct pulse {
	struct output *output;
	int end_fd;
	pthread_t thread;
};

static void *beat(void *user)
{
	const struct pulse *p = user;
	struct pollfd end = {.fd = p->end_fd, .events = POLLIN};

	while (poll(&end, 1, PROTOCOL_HEARTBEAT_MS / 3) <= 0) {
		(void)pthread_mutex_lock(&p->output->lock);
		send_alive(p->output);
		(void)pthread_mutex_unlock(&p->output->lock);
	}
	return NULL;
}

static int start_pulse(struct pulse *p, struct output *output, struct err *err)
{
	int rc;

	*p = (struct pulse){.output = output, .end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	rc = p->end_fd < 0 ? errno : pthread_create(&p->thread, NULL, beat, p);
	if (rc == 0)
		return 0;
	close_fdp(&p->end_fd);
	return err_errno(err, rc, "starting the thread for heartbeats");
}

static void end_pulse(struct pulse *p)
{
	uint64_t one = 1;

	if (write(p->end_fd, &one, sizeof(one)) < 0)
		UNUSED(one); /* the counter is full: it is readable already */
	(void)pthread_join(p->thread, NULL);
	close_fdp(&p->end_fd);
}

static int clean_up(const struct sync_options *options, struct err *err)
{
	struct pulse pulse;
	int r;

	if (start_pulse(&pulse, options->user, err) < 0)
		return -1;
	r = sync_cleanup(options, err);
	end_pulse(&pulse);
	send_line(options->user,
		  protocol_encode_done(&(struct protocol_result){
			  .ok = r == 0, .reason = err->reason ? err->reason : REASON_FAILED, .message = err->msg}));
	return r;
}

static enum protocol_exit run_task(enum protocol_task task, const struct sync_options *options)
{
	struct err err = {0};
	int r = task == PROTOCOL_TASK_CLEANUP ? clean_up(options, &err) : sync_run(options, &err);

	if (r < 0)
		log_error("worker", "task failed", KV_STR("task", protocol_task_name(task)), KV_ERR(&err));
	return r < 0 ? PROTOCOL_EXIT_FAILED : PROTOCOL_EXIT_OK;
}

/* Reports what is wrong with the resource, since the operator does not parse schemas. Decoding the largest takes a
 * second, and this process may get little CPU time. */
static enum protocol_exit verify(struct protocol_assignment *assignment, const char *credentials)
{
	struct output output = {.lock = PTHREAD_MUTEX_INITIALIZER};
	_cleanup_(findings_release) struct findings findings;
	_cleanup_(input_release) struct input input = {0};
	_cleanup_free_ char *problem = NULL, *remark = NULL;
	struct protocol_verdict verdict = {.usable = PROTOCOL_USABLE_RUN};
	struct pulse pulse;
	struct err err = {0};

	findings_init(&findings);
	if (start_pulse(&pulse, &output, &err) < 0) {
		log_error("worker", "cannot start", KV_ERR(&err));
		return PROTOCOL_EXIT_FAILED;
	}
	input_decode_take(assignment, credentials, &input, &findings);
	end_pulse(&pulse);
	if (findings_err(&findings, &err) < 0)
		verdict.usable =
			spec_can_be_checked(input.spec, &findings) ? PROTOCOL_USABLE_CHECK : PROTOCOL_USABLE_NO;
	verdict.reason = err.reason;
	problem = findings_summary(&findings, FINDING_ERROR, VERDICT_BYTES);
	remark = findings_summary(&findings, FINDING_WARNING, VERDICT_BYTES);
	verdict.problem = problem;
	verdict.remark = remark;
	send_line(&output, protocol_encode_verdict(&verdict));
	output_release(&output);
	return PROTOCOL_EXIT_OK;
}

/* A check needs the database's address; a cleanup needs both sides, since an earlier version of the spec created what
 * has to be removed. */
static bool can_do(enum protocol_task task, const struct input *input, const struct findings *f)
{
	if (!findings_failed(f))
		return true;
	if (task == PROTOCOL_TASK_CLEANUP)
		return spec_can_be_cleaned_up(f);
	return task == PROTOCOL_TASK_CHECK && spec_can_be_checked(input->spec, f);
}

/* At once; 64 more wait for their turn. */
enum { WAITS = 16 };

static int serve_clients(struct cmd_wait *wait, struct web **ret, struct err *err)
{
	const struct web_route route = {.path = "/wait", .handler = cmd_wait_serve, .user = wait};
	const struct web_options options = {
		.channel_fd = PROTOCOL_CLIENTS_FD, .routes = &route, .n_routes = 1, .workers = WAITS};

	return web_serve(&options, ret, err);
}

/* Runs with a web server for the clients that the operator hands over. */
static enum protocol_exit run_for_clients(struct sync_options *options)
{
	_cleanup_(cmd_wait_freep) struct cmd_wait *wait = cmd_wait_new(options->spec);
	enum protocol_exit code = PROTOCOL_EXIT_FAILED;
	struct web *web = NULL;
	struct err err = {0};

	options->waits = cmd_wait_waits(wait);
	if (serve_clients(wait, &web, &err) < 0)
		log_error("worker", "cannot serve clients", KV_ERR(&err));
	else
		code = run_task(PROTOCOL_TASK_RUN, options);
	waits_close(options->waits);
	web_stop(web);
	return code;
}

static enum protocol_exit run_assignment(const struct protocol_assignment *assignment, const struct input *input,
					 const struct findings *findings, unsigned sandbox)
{
	enum protocol_task task = assignment->task;
	struct output output = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct sync_options options = {
		.spec = input->spec,
		.spec_findings = findings,
		.slot_name_given = input->slot_name_given,
		.supervised = true,
		.leave_unreachable = assignment->leave_unreachable,
		.report = send_report,
		.event = send_event,
		.user = &output,
	};
	enum protocol_exit code = PROTOCOL_EXIT_BAD_INPUT;
	struct err err = {0};

	options.stop_fd = stop_fd_open(PROTOCOL_INPUT_FD, &err);
	(void)fcntl(PROTOCOL_OUTPUT_FD, F_SETFL, O_NONBLOCK);
	send_line(&output, protocol_encode_sandbox(sandbox));
	if (!can_do(task, input, findings)) {
		report_findings(&output, findings);
		cmd_print_findings(findings);
	} else if (options.stop_fd < 0) {
		log_error("worker", "cannot start", KV_ERR(&err));
		code = PROTOCOL_EXIT_FAILED;
	} else if (assignment->clients) {
		code = run_for_clients(&options);
	} else {
		code = run_task(task, &options);
	}
	(void)flush_output(&output);
	output_release(&output);
	close_fdp(&options.stop_fd);
	return code;
}

/* Test builds write reached failpoints to a file, and sanitizers inspect their own process. */
#ifdef PGSYNC_FAILPOINTS
enum { SANDBOX = SANDBOX_PRIVILEGES | SANDBOX_MEMORY | SANDBOX_LIMITS };
#else
enum { SANDBOX = SANDBOX_PRIVILEGES | SANDBOX_MEMORY | SANDBOX_LIMITS | SANDBOX_FILES | SANDBOX_CALLS };
#endif

/* Logs the restrictions in force; a kernel may lack some of them. */
static void log_sandbox(unsigned parts)
{
	struct strbuf names;

	strbuf_init(&names, 100);
	for (int i = 0; i < SANDBOX_PARTS; i++)
		if (parts & (1U << i))
			strbuf_addf(&names, "%s%s", names.len ? "," : "",
				    sandbox_part_name((enum sandbox_part)(1U << i)));
	if (parts == SANDBOX)
		log_debug("worker", "sandbox", KV_STR("parts", names.data));
	else
		log_warn("worker", "the sandbox is incomplete", KV_STR("parts", names.data));
	strbuf_release(&names);
}

int cmd_worker(int argc, char **argv)
{
	struct protocol_assignment assignment;
	_cleanup_free_ char *context = NULL;
	struct input input = {0};
	struct findings findings;
	struct common_flags flags;
	struct err err;
	int code = flags_parse(argc, argv, "dsC", &flags);
	unsigned parts;

	if (code >= 0)
		return code;
	parts = flags.sandbox && !strcmp(flags.sandbox, "off") ? 0 : sandbox_enter(SANDBOX, flags.credentials);
	/* A resource must not reach services that are meant for this machine alone. */
	egress_deny_unix();
	if (flags.deny_egress && egress_deny(flags.deny_egress, &err) < 0) {
		(void)fprintf(stderr, "pgsync worker: --deny-egress: %s\n", err.msg);
		return PROTOCOL_EXIT_BAD_INPUT;
	}
	if (protocol_read_assignment(PROTOCOL_INPUT_FD, &assignment, &err) < 0) {
		(void)fprintf(stderr, "pgsync worker: %s\n", err.msg);
		return PROTOCOL_EXIT_BAD_INPUT;
	}
	context = xasprintf("%s/%s", jsonx_string(assignment.resource, "metadata.namespace", "default"),
			    jsonx_string(assignment.resource, "metadata.name", ""));
	code = flags_log(&flags, context);
	if (code < 0)
		log_sandbox(parts);
	if (code < 0 && assignment.task == PROTOCOL_TASK_VERIFY) {
		code = verify(&assignment, flags.credentials);
	} else if (code < 0) {
		findings_init(&findings);
		input_decode_take(&assignment, flags.credentials, &input, &findings);
		code = run_assignment(&assignment, &input, &findings, parts);
		findings_release(&findings);
		input_release(&input);
	}
	protocol_assignment_release(&assignment);
	return code;
}
