/* Tests with real processes: shell scripts that the tests write. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "operator/supervisor_int.h"
#include "json/json.h"

enum { PATIENCE_MS = 10000, MANY_BYTES = 300000 };

struct fixture {
	char directory[32];
	char script[64];
	struct supervisor *supervisor;
	struct worker *worker; /* NULL: ended */
	json_t *lines;
	struct worker_exit exit;
	size_t lines_at_exit;
	unsigned silences;
};

static void on_message(void *user, const struct protocol_message *message)
{
	struct fixture *f = user;

	(void)json_array_append(f->lines, message->json);
}

static void on_silent(void *user)
{
	struct fixture *f = user;

	f->silences++;
}

static void on_exited(void *user, const struct worker_exit *exit)
{
	struct fixture *f = user;

	f->exit = *exit;
	f->lines_at_exit = json_array_size(f->lines);
	f->worker = NULL;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(f->directory, sizeof(f->directory), "/tmp/supervisor-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	(void)snprintf(f->script, sizeof(f->script), "%s/worker", f->directory);
	f->lines = json_array();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	supervisor_free(f->supervisor);
	jsonx_decref(f->lines);
	(void)unlink(f->script);
	(void)rmdir(f->directory);
	free(f);
	return 0;
}

static void write_script(const char *path, const char *body)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\n%s\n", body) > 0);
	assert_int_equal(close(fd), 0);
}

static void start(struct fixture *f, const char *body, char *input_take)
{
	const char *const argv[] = {f->script, "worker", NULL};
	struct worker_options options = {.name = "ns/books",
					 .input_take = input_take,
					 .handlers = {.message = on_message, .silent = on_silent, .exited = on_exited},
					 .user = f};
	struct err err;

	write_script(f->script, body);
	if (!f->supervisor)
		f->supervisor = supervisor_new(argv);
	assert_int_equal(supervisor_start(f->supervisor, &options, clock_now_ms(), &f->worker, &err), 0);
}

/* One round of the loop, with the clock moved forward. */
static void turn(struct fixture *f, int64_t ahead_ms)
{
	_cleanup_free_ struct pollfd *fds = NULL;
	size_t n = 0, alloc = 0;

	supervisor_poll_fds(f->supervisor, &fds, &n, &alloc);
	assert_true(poll(fds, n, 50) >= 0 || errno == EINTR);
	supervisor_dispatch(f->supervisor, fds, n, clock_now_ms() + ahead_ms);
}

static void run_until_exit(struct fixture *f)
{
	int64_t end_ms = clock_now_ms() + PATIENCE_MS;

	while (f->worker && clock_now_ms() < end_ms)
		turn(f, 0);
	assert_null(f->worker);
}

static void run_until_lines(struct fixture *f, size_t n)
{
	int64_t end_ms = clock_now_ms() + PATIENCE_MS;

	while (json_array_size(f->lines) < n && clock_now_ms() < end_ms)
		turn(f, 0);
	assert_int_equal(json_array_size(f->lines), n);
}

static const char *text(const struct fixture *f, size_t i, const char *key)
{
	return jsonx_string(json_array_get(f->lines, i), key, "");
}

static void test_start_when_worker_reads_then_it_gets_one_line_and_answers(void **state)
{
	struct fixture *f = *state;

	start(f, "read -r line <&3; echo '{\"got\":' \"$line\" '}' >&4; exit 3", xstrdup("{\"task\":\"run\"}\n"));
	run_until_exit(f);
	assert_int_equal(json_array_size(f->lines), 1);
	assert_string_equal(text(f, 0, "got.task"), "run");
	assert_false(f->exit.signalled);
	assert_int_equal(f->exit.code, 3);
	assert_int_equal(supervisor_count(f->supervisor), 0);
}

static void test_start_when_input_is_larger_than_a_pipe_then_all_of_it_arrives(void **state)
{
	struct fixture *f = *state;
	char *input = xmalloc(MANY_BYTES + 2);

	memset(input, 'x', MANY_BYTES);
	(void)snprintf(input + MANY_BYTES, 2, "\n");
	start(f, "n=$(head -n 1 <&3 | wc -c); echo \"{\\\"bytes\\\": \\\"$n\\\"}\" >&4", input);
	run_until_exit(f);
	assert_string_equal(text(f, 0, "bytes"), "300001");
}

static void test_start_when_program_is_missing_then_it_ends_with_127(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"/nonexistent/pgsync", NULL};

	f->supervisor = supervisor_new(argv);
	start(f, "exit 0", xstrdup("{}\n"));
	run_until_exit(f);
	assert_int_equal(f->exit.code, 127);
}

/* As inherited from a parent with `trap '' CHLD`: the kernel reaps such children, and their exit codes are lost. */
static void test_exit_when_sigchld_was_ignored_at_our_start_then_the_code_is_known(void **state)
{
	struct fixture *f = *state;

	(void)signal(SIGCHLD, SIG_IGN);
	start(f, "exit 3", xstrdup("{}\n"));
	run_until_exit(f);
	(void)signal(SIGCHLD, SIG_DFL);
	assert_false(f->exit.signalled);
	assert_int_equal(f->exit.code, 3);
}

static void test_start_when_running_then_only_the_known_descriptors_are_open(void **state)
{
	struct fixture *f = *state;
	int leaked = open("/dev/null", O_RDONLY); /* as a library might, without O_CLOEXEC */

	assert_true(leaked >= 0);
	/* The shell may keep its script open, at 10 or above; the leak must be below that, or the test proves
	 * nothing. */
	assert_true(leaked < 10 || dup2(leaked, 9) == 9);
	start(f, "for n in 5 6 7 8 9; do [ ! -e /proc/self/fd/$n ] || echo \"{\\\"open\\\": \\\"$n\\\"}\" >&4; done",
	      xstrdup("{}\n"));
	run_until_exit(f);
	(void)close(leaked);
	(void)close(9);
	assert_int_equal(json_array_size(f->lines), 0);
	assert_int_equal(f->exit.code, 0);
}

static void test_start_then_the_environment_has_only_what_workers_need(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("PGPASSWORD", "secret", 1), 0);
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
	assert_int_equal(setenv("NO_PROXY", "localhost", 1), 0);
	start(f,
	      "read -r line <&3\nprintf '{\"env\":\"%s\"}\\n' \"$(env | grep -cE '^(PGPASSWORD|AWS)') $NO_PROXY\" >&4",
	      xstrdup("{}\n"));
	assert_int_equal(unsetenv("PGPASSWORD"), 0);
	assert_int_equal(unsetenv("AWS_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(unsetenv("NO_PROXY"), 0);
	run_until_exit(f);
	assert_int_equal(json_array_size(f->lines), 1);
	assert_string_equal(jsonx_string(json_array_get(f->lines, 0), "env", ""), "0 localhost");
}

static void test_lines_when_split_joined_or_broken_then_each_whole_one_counts(void **state)
{
	struct fixture *f = *state;

	start(f,
	      "printf '{\"n\": \"1\"' >&4; sleep 0.1; printf '}\\n{\"n\": \"2\"}\\nnot json\\n\\n{\"n\": "
	      "\"3\"}\\n{\"n\": "
	      "\"unfinished\"' >&4",
	      xstrdup("{}\n"));
	run_until_exit(f);
	assert_int_equal(json_array_size(f->lines), 3);
	assert_string_equal(text(f, 0, "n"), "1");
	assert_string_equal(text(f, 1, "n"), "2");
	assert_string_equal(text(f, 2, "n"), "3");
}

static void test_lines_when_one_is_too_long_then_it_is_dropped_and_the_next_counts(void **state)
{
	struct fixture *f = *state;

	start(f, "head -c 1100000 /dev/zero | tr '\\0' x >&4; printf '\\n{\"n\": \"after\"}\\n' >&4", xstrdup("{}\n"));
	run_until_exit(f);
	assert_int_equal(json_array_size(f->lines), 1);
	assert_string_equal(text(f, 0, "n"), "after");
}

static void test_exit_when_last_words_are_still_in_the_pipe_then_they_come_first(void **state)
{
	struct fixture *f = *state;

	start(f, "i=0; while [ $i -lt 500 ]; do echo \"{\\\"n\\\": \\\"$i\\\"}\"; i=$((i+1)); done >&4; exit 1",
	      xstrdup("{}\n"));
	/* Nothing is read before it has ended. */
	for (int i = 0; i < 100 && waitid(P_PID, (id_t)supervisor_pid(f->worker), &(siginfo_t){0},
					  WEXITED | WNOWAIT | WNOHANG) == 0;
	     i++)
		(void)poll(NULL, 0, 10);
	run_until_exit(f);
	assert_int_equal(f->lines_at_exit, 500);
	assert_string_equal(text(f, 499, "n"), "499");
}

static void test_stop_when_worker_obeys_then_it_ends_by_its_own_code(void **state)
{
	struct fixture *f = *state;

	start(f, "trap 'exit 0' TERM; echo '{}' >&4; while :; do sleep 0.05; done", xstrdup("{}\n"));
	run_until_lines(f, 1);
	supervisor_stop(f->worker, clock_now_ms());
	assert_true(supervisor_is_stopping(f->worker));
	run_until_exit(f);
	assert_false(f->exit.signalled);
	assert_int_equal(f->exit.code, 0);
}

static void test_stop_when_worker_does_not_obey_then_it_is_killed_after_the_grace_period(void **state)
{
	struct fixture *f = *state;
	int64_t now_ms;

	start(f, "trap '' TERM; echo '{}' >&4; while :; do sleep 0.05; done", xstrdup("{}\n"));
	run_until_lines(f, 1);
	now_ms = clock_now_ms();
	supervisor_stop(f->worker, now_ms);
	assert_int_equal(supervisor_next_ms(f->supervisor), now_ms + WORKER_GRACE_MS);
	for (int i = 0; i < 5; i++)
		turn(f, 0);
	assert_non_null(f->worker);
	turn(f, WORKER_GRACE_MS);
	run_until_exit(f);
	assert_true(f->exit.signalled);
	assert_int_equal(f->exit.code, SIGKILL);
}

static void test_stop_when_worker_is_frozen_then_it_still_ends(void **state)
{
	struct fixture *f = *state;

	start(f, "trap 'exit 0' TERM; echo '{}' >&4; while :; do sleep 0.05; done", xstrdup("{}\n"));
	run_until_lines(f, 1);
	assert_int_equal(kill(supervisor_pid(f->worker), SIGSTOP), 0);
	supervisor_stop(f->worker, clock_now_ms());
	run_until_exit(f);
	assert_int_equal(f->exit.code, 0);
}

static void test_silence_when_two_heartbeats_are_missing_then_reported_once(void **state)
{
	struct fixture *f = *state;
	int64_t begin_ms = clock_now_ms();

	start(f, "echo '{}' >&4; exec sleep 20", xstrdup("{}\n"));
	run_until_lines(f, 1);
	assert_in_range(supervisor_next_ms(f->supervisor), begin_ms + PROTOCOL_SILENT_MS,
			clock_now_ms() + PROTOCOL_SILENT_MS);
	turn(f, PROTOCOL_SILENT_MS / 2);
	assert_int_equal(f->silences, 0);
	turn(f, PROTOCOL_SILENT_MS);
	turn(f, PROTOCOL_SILENT_MS + 1000);
	assert_int_equal(f->silences, 1);
	assert_int_equal(supervisor_next_ms(f->supervisor), -1);
	assert_true(supervisor_silence_ms(f->worker, clock_now_ms() + PROTOCOL_SILENT_MS) >= PROTOCOL_SILENT_MS);
}

static void test_silence_when_we_were_frozen_ourselves_then_it_does_not_count(void **state)
{
	struct fixture *f = *state;
	int64_t frozen_ms = (int64_t)10 * PROTOCOL_SILENT_MS;

	start(f, "echo '{}' >&4; exec sleep 20", xstrdup("{}\n"));
	run_until_lines(f, 1);
	turn(f, frozen_ms);
	assert_int_equal(f->silences, 0);
	assert_true(supervisor_silence_ms(f->worker, clock_now_ms() + frozen_ms) < 1000);
}

static void test_free_when_a_worker_runs_then_it_is_killed_and_reaped(void **state)
{
	struct fixture *f = *state;
	int pid;

	start(f, "trap '' TERM; echo '{}' >&4; while :; do sleep 0.05; done", xstrdup("{}\n"));
	run_until_lines(f, 1);
	pid = supervisor_pid(f->worker);
	supervisor_free(f->supervisor);
	f->supervisor = NULL;
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* The operator dies without any chance to react: kill -9. */
static void test_start_when_the_parent_dies_then_the_worker_does(void **state)
{
	struct fixture *f = *state;
	int64_t end_ms = clock_now_ms() + PATIENCE_MS;
	int pids[2];
	pid_t parent, worker = 0;

	assert_int_equal(pipe(pids), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		start(f, "trap '' TERM; while :; do sleep 0.05; done", xstrdup("{}\n"));
		worker = supervisor_pid(f->worker);
		if (write(pids[1], &worker, sizeof(worker)) != (ssize_t)sizeof(worker))
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(pids[0], &worker, sizeof(worker)), sizeof(worker));
	assert_int_equal(kill(worker, 0), 0);
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	/* The process that inherits the orphan may be slow to reap it: a zombie has ended too. */
	for (bool gone = false; !gone;) {
		_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)worker);
		_cleanup_fclose_ FILE *stat_file = fopen(path, "re");
		char line[512] = "";

		gone = !stat_file || !fgets(line, sizeof(line), stat_file) || strstr(line, ") Z ");
		assert_true(gone || clock_now_ms() < end_ms);
		(void)poll(NULL, 0, 10);
	}
	(void)close(pids[0]);
	(void)close(pids[1]);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_start_when_worker_reads_then_it_gets_one_line_and_answers),
		WITH_FIXTURE(test_start_when_input_is_larger_than_a_pipe_then_all_of_it_arrives),
		WITH_FIXTURE(test_start_when_program_is_missing_then_it_ends_with_127),
		WITH_FIXTURE(test_exit_when_sigchld_was_ignored_at_our_start_then_the_code_is_known),
		WITH_FIXTURE(test_start_when_running_then_only_the_known_descriptors_are_open),
		WITH_FIXTURE(test_start_then_the_environment_has_only_what_workers_need),
		WITH_FIXTURE(test_start_when_the_parent_dies_then_the_worker_does),
		WITH_FIXTURE(test_lines_when_split_joined_or_broken_then_each_whole_one_counts),
		WITH_FIXTURE(test_lines_when_one_is_too_long_then_it_is_dropped_and_the_next_counts),
		WITH_FIXTURE(test_exit_when_last_words_are_still_in_the_pipe_then_they_come_first),
		WITH_FIXTURE(test_stop_when_worker_obeys_then_it_ends_by_its_own_code),
		WITH_FIXTURE(test_stop_when_worker_does_not_obey_then_it_is_killed_after_the_grace_period),
		WITH_FIXTURE(test_stop_when_worker_is_frozen_then_it_still_ends),
		WITH_FIXTURE(test_silence_when_two_heartbeats_are_missing_then_reported_once),
		WITH_FIXTURE(test_silence_when_we_were_frozen_ourselves_then_it_does_not_count),
		WITH_FIXTURE(test_free_when_a_worker_runs_then_it_is_killed_and_reaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
