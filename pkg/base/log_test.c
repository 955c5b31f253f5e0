/* Lines that are written by several threads and processes at once, to a pipe whose reader is slow. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum {
	PROCESSES = 3,
	THREADS = 2,
	LINES = 8, /* of each thread */
	LONG_BYTES = 150 * 1000,
	SHORT_BYTES = 100,
	TOO_LONG_BYTES = 17 * 1024 * 1024,
	READ_BYTES = 4096,
};

static char *text_of(char letter, size_t len)
{
	char *text = xmalloc(len + 1);

	memset(text, letter, len);
	text[len] = '\0';
	return text;
}

static size_t bytes_of(int line)
{
	return line % 2 ? SHORT_BYTES : LONG_BYTES;
}

static void *log_lines(void *user)
{
	char letter = *(const char *)user;

	for (int i = 0; i < LINES; i++) {
		_cleanup_free_ char *text = text_of(letter, bytes_of(i));

		log_info("test", "line", KV_STR("text", text), KV_STR("end", "here"));
	}
	return NULL;
}

static void __attribute__((noreturn)) log_from_threads(int number)
{
	pthread_t threads[THREADS];
	char letters[THREADS];

	for (int i = 0; i < THREADS; i++) {
		letters[i] = (char)('a' + number * THREADS + i);
		if (pthread_create(&threads[i], NULL, log_lines, &letters[i]) != 0)
			_exit(1);
	}
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	_exit(0);
}

/* Starts a child whose standard error is the pipe. */
static pid_t started(int out, void (*run)(int number), int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(out, STDERR_FILENO) < 0)
			_exit(1);
		run(number);
		_exit(0);
	}
	return pid;
}

/* Reads to the end, in small pieces and with pauses, so that the pipe is full most of the time. */
static void read_slowly(int in, struct strbuf *all)
{
	ssize_t n;

	do {
		char *to = strbuf_reserve(all, READ_BYTES);

		assert_non_null(to);
		n = read(in, to, READ_BYTES);
		if (n > 0)
			all->len += (size_t)n;
		all->data[all->len] = '\0';
		if (all->len % (16 * READ_BYTES) < READ_BYTES)
			(void)poll(NULL, 0, 1);
	} while (n > 0);
}

/* A whole line of one letter; counts it. */
static void check_line(const char *line, size_t len, size_t counts[PROCESSES * THREADS])
{
	static const char before[] = "\"message\":\"line\",\"text\":\"", after[] = "\",\"end\":\"here\"}";
	const char *text = memmem(line, len, before, strlen(before));
	size_t run = 0;
	char letter;

	assert_non_null(text);
	assert_memory_equal(line, "{\"time\":", 8);
	text += strlen(before);
	letter = *text;
	while (text[run] == letter)
		run++;
	assert_true(run == SHORT_BYTES || run == LONG_BYTES);
	assert_int_equal(line + len - (text + run), strlen(after));
	assert_memory_equal(text + run, after, strlen(after));
	assert_true(letter >= 'a' && letter < 'a' + PROCESSES * THREADS);
	counts[letter - 'a']++;
}

static void test_log_when_threads_and_processes_share_a_full_pipe_then_every_line_is_whole(void **state)
{
	size_t counts[PROCESSES * THREADS] = {0};
	pid_t pids[PROCESSES];
	struct strbuf all;
	int ends[2], status;

	UNUSED(state);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, NULL);
	strbuf_init(&all, (size_t)2 * PROCESSES * THREADS * LINES * LONG_BYTES);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = started(ends[1], log_from_threads, i);
	close_fdp(&ends[1]);
	read_slowly(ends[0], &all);
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (const char *line = all.data, *end; (end = strchr(line, '\n')); line = end + 1)
		check_line(line, (size_t)(end - line), counts);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		assert_int_equal(counts[i], LINES);
	close_fdp(&ends[0]);
	strbuf_release(&all);
}

static void log_too_long(int number)
{
	_cleanup_free_ char *text = text_of('x', TOO_LONG_BYTES);

	UNUSED(number);
	log_info("test", "too long", KV_STR("text", text));
}

static void test_log_when_a_line_is_longer_than_the_limit_then_it_says_so_and_ends(void **state)
{
	struct strbuf all;
	int ends[2];
	pid_t pid;

	UNUSED(state);
	strbuf_init(&all, LONG_BYTES);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = started(ends[1], log_too_long, 0);
	close_fdp(&ends[1]);
	read_slowly(ends[0], &all);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_non_null(strstr(all.data, "\"message\":\"too long\",\"fields\":\"left out, larger than 16 MiB\"}\n"));
	close_fdp(&ends[0]);
	strbuf_release(&all);
}

/* Fills the pipe in the middle of a line, and stays there. */
static void log_long(int number)
{
	_cleanup_free_ char *text = text_of('y', LONG_BYTES);

	UNUSED(number);
	log_info("test", "long", KV_STR("text", text));
}

static void log_short(int number)
{
	UNUSED(number);
	log_info("test", "short");
}

static void test_log_when_a_process_is_stopped_within_a_line_then_others_go_on(void **state)
{
	struct strbuf all;
	int ends[2];
	pid_t stopped, other;
	int64_t begin_ms = clock_now_ms();

	UNUSED(state);
	strbuf_init(&all, (size_t)4 * LONG_BYTES);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	stopped = started(ends[1], log_long, 0);
	while (poll(&(struct pollfd){.fd = ends[1], .events = POLLOUT}, 1, 0) > 0)
		(void)poll(NULL, 0, 1);
	assert_int_equal(kill(stopped, SIGSTOP), 0);
	assert_int_equal(waitpid(stopped, NULL, WUNTRACED), stopped);
	other = started(ends[1], log_short, 0);
	close_fdp(&ends[1]);
	while (!memmem(all.data, all.len, "\"short\"", 7)) {
		char *to = strbuf_reserve(&all, READ_BYTES);
		ssize_t n = read(ends[0], to, READ_BYTES);

		assert_true(n > 0);
		all.len += (size_t)n;
	}
	assert_true(clock_now_ms() - begin_ms < 10 * 1000);
	assert_int_equal(waitpid(other, NULL, 0), other);
	(void)kill(stopped, SIGKILL);
	assert_int_equal(waitpid(stopped, NULL, 0), stopped);
	close_fdp(&ends[0]);
	strbuf_release(&all);
}

/* A worker that was taken over, say. */
static void hold_lock(int number)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	UNUSED(number);
	assert_int_equal(fcntl(STDERR_FILENO, F_SETLK, &lock), 0);
	(void)raise(SIGSTOP);
}

enum { PATIENT_LINES = 60, PATIENCE_S = 30 };

static void log_patiently(int number)
{
	UNUSED(number);
	(void)alarm(PATIENCE_S);
	for (int i = 0; i < PATIENT_LINES; i++)
		log_info("test", "line", KV_I64("number", i));
}

/* One wait is a second: a wait for each line would end with the alarm. */
static void test_log_when_a_process_keeps_the_lock_then_others_wait_once(void **state)
{
	int ends[2], status;
	pid_t holder, other;

	UNUSED(state);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	holder = started(ends[1], hold_lock, 0);
	assert_int_equal(waitpid(holder, &status, WUNTRACED), holder);
	assert_true(WIFSTOPPED(status));
	other = started(ends[1], log_patiently, 0);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_true(WIFEXITED(status));
	(void)kill(holder, SIGKILL);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	close_fdp(&ends[0]);
	close_fdp(&ends[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_when_threads_and_processes_share_a_full_pipe_then_every_line_is_whole),
		cmocka_unit_test(test_log_when_a_line_is_longer_than_the_limit_then_it_says_so_and_ends),
		cmocka_unit_test(test_log_when_a_process_is_stopped_within_a_line_then_others_go_on),
		cmocka_unit_test(test_log_when_a_process_keeps_the_lock_then_others_wait_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
