/* Workers as child processes: two pipes, a pidfd for the end, signals with a grace period. */
#include "operator/supervisor_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "protocol/protocol.h"

enum {
	SPARE_FD = 10, /* from here on the child keeps its ends of the pipes until dup2 gives them their numbers */
	READ_BYTES = 16384,
	AWAY_MS = 6000, /* time between two rounds: the caller normally waits less than that */
};

struct worker {
	struct worker *next;
	struct supervisor *supervisor;
	char *name;
	struct worker_handlers handlers;
	void *user;
	pid_t pid;
	int pidfd, input_fd, output_fd;
	char *input; /* [input_pos, input_len) is left to write; NULL: everything was written */
	size_t input_len, input_pos;
	struct protocol_reader reader;
	bool stopping;
	int64_t started_ms;
	int64_t heard_ms; /* when it last wrote something */
	bool silent;      /* reported to the caller */
	int64_t kill_ms;  /* when to kill it; 0: it was not asked to stop, or was killed already */
};

struct supervisor {
	char **argv;
	size_t argc;
	char **env;
	size_t n_env;
	struct worker *workers;
	int64_t dispatched_ms; /* the last time; 0: never */
};

/* The variables of our environment that workers get: proxies, CAs, the resolver, and the output of test builds. Not the
 * variables of libpq, which would fill in what a resource leaves out. */
static const char *const inherited[] = {
	"http_proxy",        "https_proxy",           "HTTPS_PROXY",  "all_proxy",     "ALL_PROXY",    "no_proxy",
	"NO_PROXY",          "SSL_CERT_FILE",         "SSL_CERT_DIR", "LOCALDOMAIN",   "RES_OPTIONS",  "TZ",
#ifdef PGSYNC_FAILPOINTS
	"PGSYNC_FAILPOINTS", "PGSYNC_FAILPOINTS_LOG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
	"GCOV_PREFIX",       "GCOV_PREFIX_STRIP",
#endif
};

static void take_environment(struct supervisor *s)
{
	s->env = xcalloc(ARRAY_SIZE(inherited) + 1, sizeof(*s->env));
	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++) {
		const char *value = getenv(inherited[i]);

		if (value)
			s->env[s->n_env++] = xasprintf("%s=%s", inherited[i], value);
	}
}

struct supervisor *supervisor_new(const char *const *argv)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));

	/* We may have been started with SIGCHLD ignored, and then the exit codes of children would be lost. */
	(void)signal(SIGCHLD, SIG_DFL);
	while (argv[s->argc])
		s->argc++;
	s->argv = xcalloc(s->argc + 1, sizeof(*s->argv));
	for (size_t i = 0; i < s->argc; i++)
		s->argv[i] = xstrdup(argv[i]);
	take_environment(s);
	return s;
}

size_t supervisor_count(const struct supervisor *s)
{
	size_t n = 0;

	for (const struct worker *w = s->workers; w; w = w->next)
		n++;
	return n;
}

static void wipe_input(struct worker *w)
{
	free_secret(TAKE_PTR(w->input));
}

static void worker_release(struct worker *w)
{
	wipe_input(w);
	protocol_reader_release(&w->reader);
	close_fdp(&w->pidfd);
	close_fdp(&w->input_fd);
	close_fdp(&w->output_fd);
	free(w->name);
	free(w);
}

void supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	while (s->workers) {
		struct worker *w = s->workers;

		s->workers = w->next;
		(void)pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
		while (waitid(P_PIDFD, (id_t)w->pidfd, &(siginfo_t){0}, WEXITED) < 0 && errno == EINTR)
			;
		worker_release(w);
	}
	free_strings(s->argv, s->argc);
	free_strings(s->env, s->n_env);
	free(s);
}

/* --- starting */

struct pipes {
	int input[2], output[2]; /* as pipe2 fills them */
	int clients_fd;          /* 0: none */
};

/* Gives the worker its descriptors, from standard input on. */
static bool arrange_descriptors(const struct pipes *p)
{
	const int from[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), p->input[0], p->output[1], p->clients_fd};
	static const int to[] = {STDIN_FILENO, PROTOCOL_INPUT_FD, PROTOCOL_OUTPUT_FD, PROTOCOL_CLIENTS_FD};
	const size_t n = p->clients_fd ? ARRAY_SIZE(from) : ARRAY_SIZE(from) - 1;
	int spare[ARRAY_SIZE(from)];

	for (size_t i = 0; i < n; i++)
		spare[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SPARE_FD);
	for (size_t i = 0; i < n; i++)
		if (spare[i] < 0 || dup2(spare[i], to[i]) < 0)
			return false;
	/* Libraries may have opened descriptors without O_CLOEXEC, which workers must not inherit. */
	(void)close_range((unsigned)to[n - 1] + 1, ~0U, 0);
	return true;
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void __attribute__((noreturn)) become_worker(const struct supervisor *s, const struct pipes *p, pid_t parent)
{
	sigset_t none;

	/* The parent may have died before prctl took effect, and then no signal would come. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(127);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (arrange_descriptors(p))
		(void)execve(s->argv[0], s->argv, s->env);
	_exit(127);
}

static void pipes_release(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		close_fdp(&p->input[i]);
		close_fdp(&p->output[i]);
	}
}

static int pipes_open(struct pipes *p, struct err *err)
{
	if (pipe2(p->input, O_CLOEXEC) != 0 || pipe2(p->output, O_CLOEXEC) != 0)
		return err_errno(err, errno, "creating a worker's pipes");
	if (fcntl(p->input[1], F_SETFL, O_NONBLOCK) != 0 || fcntl(p->output[0], F_SETFL, O_NONBLOCK) != 0)
		return err_errno(err, errno, "creating a worker's pipes");
	return 0;
}

static int spawn_worker(struct supervisor *s, struct pipes *p, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int pidfd;

	if (pid < 0)
		return err_errno(err, errno, "starting a worker");
	if (pid == 0)
		become_worker(s, p, parent);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int code = errno;

		(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return err_errno(err, code, "watching a worker");
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

/* Writes as much of the input as the pipe accepts. */
static void write_input(struct worker *w)
{
	while (w->input) {
		ssize_t n = write(w->input_fd, w->input + w->input_pos, w->input_len - w->input_pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			w->input_pos += (size_t)n;
		/* A worker that ended before it read everything is reported by its pidfd. */
		if (n < 0 || w->input_pos == w->input_len)
			wipe_input(w);
	}
}

int supervisor_start(struct supervisor *s, const struct worker_options *options, int64_t now_ms, struct worker **ret,
		     struct err *err)
{
	_cleanup_(pipes_release) struct pipes p = {{-1, -1}, {-1, -1}, options->clients_fd};
	struct worker *w = xcalloc(1, sizeof(*w));

	w->supervisor = s;
	w->name = xstrdup(options->name);
	w->handlers = options->handlers;
	w->user = options->user;
	w->input = options->input_take;
	w->input_len = strlen(w->input);
	w->pidfd = w->input_fd = w->output_fd = -1;
	w->started_ms = w->heard_ms = now_ms;
	protocol_reader_init(&w->reader, PROTOCOL_MESSAGE_BYTES);
	if (pipes_open(&p, err) < 0 || spawn_worker(s, &p, &w->pid, &w->pidfd, err) < 0) {
		worker_release(w);
		return -1;
	}
	w->input_fd = p.input[1];
	w->output_fd = p.output[0];
	p.input[1] = p.output[0] = -1;
	w->next = s->workers;
	s->workers = w;
	write_input(w);
	*ret = w;
	return 0;
}

/* --- ending */

void supervisor_stop(struct worker *w, int64_t now_ms)
{
	if (w->stopping)
		return;
	w->stopping = true;
	w->kill_ms = now_ms + WORKER_GRACE_MS;
	/* A stopped process (SIGSTOP) handles SIGTERM only after it continues. */
	(void)pidfd_send_signal(w->pidfd, SIGTERM, NULL, 0);
	(void)pidfd_send_signal(w->pidfd, SIGCONT, NULL, 0);
}

void supervisor_kill(struct worker *w)
{
	w->kill_ms = 0;
	(void)pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
}

bool supervisor_is_stopping(const struct worker *w)
{
	return w->stopping;
}

int supervisor_pid(const struct worker *w)
{
	return w->pid;
}

int64_t supervisor_silence_ms(const struct worker *w, int64_t now_ms)
{
	return now_ms - w->heard_ms;
}

/* --- listening */

static void take_line(struct worker *w)
{
	const struct strbuf *line = &w->reader.line;
	_cleanup_(protocol_message_release) struct protocol_message message = {0};
	struct err err;

	if (line->len == 0)
		return;
	if (protocol_decode_message(line->data, line->len, &message, &err) < 0)
		log_warn("supervisor", "a worker sent an invalid line, skipping it", KV_STR("worker", w->name),
			 KV_ERR(&err));
	else
		w->handlers.message(w->user, &message);
}

static void take_bytes(struct worker *w, const char *data, size_t len)
{
	while (len) {
		enum protocol_read taken = protocol_reader_next(&w->reader, &data, &len);

		if (taken == PROTOCOL_READ_LINE)
			take_line(w);
		else if (taken == PROTOCOL_READ_TOO_LONG)
			log_warn("supervisor", "a worker sent a line that is too long, skipping it",
				 KV_STR("worker", w->name), KV_U64("max", PROTOCOL_MESSAGE_BYTES));
	}
}

/* Reads at most `rounds` buffers: a worker that writes a lot must not keep the others waiting. */
static void read_output(struct worker *w, unsigned rounds, int64_t now_ms)
{
	char data[READ_BYTES];

	while (w->output_fd >= 0 && rounds--) {
		ssize_t n = read(w->output_fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_fdp(&w->output_fd);
			w->output_fd = -1;
			return;
		}
		w->heard_ms = now_ms;
		w->silent = false;
		take_bytes(w, data, (size_t)n);
	}
}

static void unlink_worker(struct worker *w)
{
	struct worker **p = &w->supervisor->workers;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
}

static void reap_worker(struct worker *w, int64_t now_ms)
{
	siginfo_t info = {0};
	struct worker_exit exit = {.uptime_ms = now_ms - w->started_ms};

	while (waitid(P_PIDFD, (id_t)w->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	exit.signalled = info.si_code != CLD_EXITED;
	exit.code = info.si_status;
	/* Its last lines come before its end. A pipe holds 64 KiB, and has no writer any more. */
	read_output(w, 64, now_ms);
	unlink_worker(w);
	w->handlers.exited(w->user, &exit);
	worker_release(w);
}

void supervisor_poll_fds(struct supervisor *s, struct pollfd **fds, size_t *n, size_t *alloc)
{
	for (struct worker *w = s->workers; w; w = w->next) {
		ALLOC_GROW(*fds, *n + 3, *alloc);
		(*fds)[(*n)++] = (struct pollfd){.fd = w->pidfd, .events = POLLIN};
		if (w->output_fd >= 0)
			(*fds)[(*n)++] = (struct pollfd){.fd = w->output_fd, .events = POLLIN};
		if (w->input)
			(*fds)[(*n)++] = (struct pollfd){.fd = w->input_fd, .events = POLLOUT};
	}
}

int64_t supervisor_next_ms(const struct supervisor *s)
{
	int64_t next = -1;

	for (const struct worker *w = s->workers; w; w = w->next) {
		int64_t at_ms = w->kill_ms ? w->kill_ms : w->heard_ms + PROTOCOL_SILENT_MS;

		if ((w->kill_ms || !(w->silent || w->stopping)) && (next < 0 || at_ms < next))
			next = at_ms;
	}
	return next;
}

static struct worker *find_by_fd(const struct supervisor *s, int fd)
{
	for (struct worker *w = s->workers; w; w = w->next)
		if (fd == w->pidfd || fd == w->output_fd || fd == w->input_fd)
			return w;
	return NULL;
}

/* Workers of a process that was frozen may have been frozen with it. */
static void forgive_silence(struct supervisor *s, int64_t now_ms)
{
	int64_t away_ms = s->dispatched_ms ? now_ms - s->dispatched_ms : 0;

	s->dispatched_ms = now_ms;
	if (away_ms < AWAY_MS)
		return;
	for (struct worker *w = s->workers; w; w = w->next)
		w->heard_ms = now_ms;
}

static void end_late(struct supervisor *s, int64_t now_ms)
{
	for (struct worker *w = s->workers; w; w = w->next) {
		if (!w->kill_ms || now_ms < w->kill_ms)
			continue;
		log_warn("supervisor", "a worker did not stop in time, killing it", KV_STR("worker", w->name),
			 KV_I64("pid", w->pid));
		supervisor_kill(w);
	}
}

static void report_silence(struct supervisor *s, int64_t now_ms)
{
	for (struct worker *w = s->workers; w; w = w->next) {
		if (w->silent || w->stopping || supervisor_silence_ms(w, now_ms) < PROTOCOL_SILENT_MS)
			continue;
		w->silent = true;
		log_warn("supervisor", "a worker does not respond, it will be killed, retrying",
			 KV_STR("worker", w->name), KV_I64("pid", w->pid));
		if (w->handlers.silent)
			w->handlers.silent(w->user);
	}
}

void supervisor_dispatch(struct supervisor *s, const struct pollfd *fds, size_t n, int64_t now_ms)
{
	forgive_silence(s, now_ms);
	/* Input and output first: a worker's last lines may be in the same round as its end. */
	for (size_t i = 0; i < n; i++) {
		struct worker *w = fds[i].revents ? find_by_fd(s, fds[i].fd) : NULL;

		if (w && fds[i].fd == w->input_fd)
			write_input(w);
		else if (w && fds[i].fd == w->output_fd)
			read_output(w, 4, now_ms);
	}
	for (size_t i = 0; i < n; i++) {
		struct worker *w = fds[i].revents ? find_by_fd(s, fds[i].fd) : NULL;

		if (w && fds[i].fd == w->pidfd)
			reap_worker(w, now_ms);
	}
	end_late(s, now_ms);
	report_silence(s, now_ms);
}
