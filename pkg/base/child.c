/* A program that is run for what it prints. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { STDERR_BYTES = 512, READ_BYTES = 4096 };

struct child {
	const struct child_options *options;
	struct strbuf *answer;
	pid_t pid;
	int pidfd, out, err;
	char complaint[STDERR_BYTES + 1]; /* the end of its standard error */
	size_t complaint_len;
};

static const char *program_of(const struct child *child)
{
	return child->options->argv[0];
}

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

static int spawn(struct child *child, int out, int errors)
{
	const struct child_options *o = child->options;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
	(void)posix_spawnattr_init(&attr);
	set_attributes(&attr);
	r = posix_spawnp(&child->pid, o->argv[0], &actions, &attr, o->argv, o->env ? o->env : environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return r;
}

static int start(struct child *child, struct err *err)
{
	const char *what = child->options->what;
	int out[2], errors[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, errno, "%s %s: pipe", what, program_of(child));
	if (pipe2(errors, O_CLOEXEC) < 0) {
		r = errno;
		(void)close(out[0]);
		(void)close(out[1]);
		return err_errno(err, r, "%s %s: pipe", what, program_of(child));
	}
	child->out = out[0];
	child->err = errors[0];
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
	r = spawn(child, out[1], errors[1]);
	(void)close(out[1]);
	(void)close(errors[1]);
	if (r != 0) {
		child->pid = 0;
		(void)err_errno(err, r, "starting the %s %s", what, program_of(child));
		err->kind = ERR_INVALID;
		return -1;
	}
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		return err_errno(err, errno, "%s %s: pidfd_open", what, program_of(child));
	return 0;
}

static void complain(struct child *child, const char *data, size_t len)
{
	size_t over;

	if (len > STDERR_BYTES) {
		data += len - STDERR_BYTES;
		len = STDERR_BYTES;
	}
	over = child->complaint_len + len > STDERR_BYTES ? child->complaint_len + len - STDERR_BYTES : 0;
	memmove(child->complaint, child->complaint + over, child->complaint_len - over);
	child->complaint_len -= over;
	memcpy(child->complaint + child->complaint_len, data, len);
	child->complaint_len += len;
	child->complaint[child->complaint_len] = '\0';
}

/* Reads what is there; closes the descriptor at its end. */
static void drain_output(struct child *child, int *fd)
{
	char chunk[READ_BYTES];
	ssize_t n;

	while (*fd >= 0 && strbuf_ok(child->answer) && (n = read(*fd, chunk, sizeof(chunk))) != -1) {
		if (n == 0) {
			close_fdp(fd);
			*fd = -1;
		} else if (fd == &child->out) {
			strbuf_add(child->answer, chunk, (size_t)n);
		} else {
			complain(child, chunk, (size_t)n);
		}
	}
	explicit_bzero(chunk, sizeof(chunk));
}

static int wait_end(struct child *child, struct err *err)
{
	const struct child_options *o = child->options;
	int64_t deadline_ms = clock_now_ms() + o->timeout_ms;

	for (;;) {
		struct pollfd fds[] = {{.fd = child->pidfd, .events = POLLIN},
				       {.fd = o->cancel_fd, .events = POLLIN},
				       {.fd = child->out, .events = POLLIN},
				       {.fd = child->err, .events = POLLIN}};
		int64_t left = deadline_ms - clock_now_ms();

		if (left <= 0)
			return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT, "%s %s: did not finish within %d ms",
					  o->what, program_of(child), (int)o->timeout_ms);
		if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
			return err_errno(err, errno, "%s %s: poll", o->what, program_of(child));
		drain_output(child, &child->out);
		drain_output(child, &child->err);
		if (!strbuf_ok(child->answer))
			return err_set(err, ERR_LIMIT, "%s %s: the answer is larger than %zu bytes", o->what,
				       program_of(child), child->answer->max);
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return err_set(err, ERR_CANCELLED, "%s %s: cancelled", o->what, program_of(child));
	}
}

static int reap(struct child *child, struct err *err)
{
	int status = 0;
	pid_t pid = waitpid(child->pid, &status, 0);

	child->pid = 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(err, ERR_DENIED, "%s %s: %s %d: %s", child->options->what, program_of(child),
		       WIFSIGNALED(status) ? "ended by signal" : "exit code",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		       child->complaint_len ? child->complaint : "it wrote nothing to standard error");
}

static void release_child(struct child *child)
{
	if (child->pid > 0) {
		(void)kill(-child->pid, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
	}
	close_fdp(&child->pidfd);
	close_fdp(&child->out);
	close_fdp(&child->err);
}

int child_run(const struct child_options *options, struct strbuf *answer, struct err *err)
{
	_cleanup_(release_child) struct child child = {
		.options = options, .answer = answer, .pidfd = -1, .out = -1, .err = -1};

	if (start(&child, err) < 0 || wait_end(&child, err) < 0)
		return -1;
	return reap(&child, err);
}
