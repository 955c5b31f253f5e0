/* A child applies restrictions and tries what it may no longer do: it exits with the number of the first check that
 * fails. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sandbox.h"

enum { NOT_SUPPORTED = 77 };

static int in_child(int (*work)(const char *file), const char *file)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(work(file));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int give_up_files(const char *file)
{
	static char program[] = "/bin/true";
	char *const argv[] = {program, NULL};
	_cleanup_free_ char *other = xasprintf("%s.new", file);

	if (!(sandbox_enter(SANDBOX_FILES, NULL) & SANDBOX_FILES))
		return NOT_SUPPORTED;
	if (open("/etc/hosts", O_RDONLY | O_CLOEXEC) < 0 && errno != ENOENT)
		return 1;
	if (open(file, O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 2;
	if (open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES)
		return 3;
	if (open("/etc/pgsync-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES)
		return 4;
	(void)execv(argv[0], argv);
	return errno == EACCES ? 0 : 5;
}

static void test_files_then_only_those_of_the_system_are_read_and_none_is_written_or_run(void **state)
{
	char file[] = "/tmp/sandbox-XXXXXX";
	_cleanup_close_ int fd = mkostemp(file, O_CLOEXEC);
	int code;

	UNUSED(state);
	assert_true(fd >= 0);
	code = in_child(give_up_files, file);
	(void)unlink(file);
	if (code == NOT_SUPPORTED)
		skip();
	assert_int_equal(code, 0);
}

/* As the kubelet replaces a file of a volume: in another directory of it. */
static int read_one_directory(const char *directory)
{
	_cleanup_free_ char *file = xasprintf("%s/password", directory);
	_cleanup_free_ char *other = xasprintf("%s-other", directory);
	_cleanup_free_ char *newer = xasprintf("%s/newer", directory);
	_cleanup_free_ char *newer_file = xasprintf("%s/password", newer);

	if (!(sandbox_enter(SANDBOX_FILES, directory) & SANDBOX_FILES))
		return NOT_SUPPORTED;
	if (open(file, O_RDONLY | O_CLOEXEC) < 0)
		return 1;
	if (open(other, O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 2;
	if (open(file, O_WRONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 3;
	return open(newer_file, O_RDONLY | O_CLOEXEC) < 0 ? 4 : 0;
}

static void write_file(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s%s", directory, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
}

static void test_files_when_one_directory_may_be_read_then_no_other(void **state)
{
	static const char *const files[] = {"/newer/password", "/password", "-other"};
	char directory[] = "/tmp/sandbox-XXXXXX";
	_cleanup_free_ char *newer = NULL;
	int code;

	UNUSED(state);
	assert_non_null(mkdtemp(directory));
	newer = xasprintf("%s/newer", directory);
	assert_int_equal(mkdir(newer, 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		write_file(directory, files[i]);
	code = in_child(read_one_directory, directory);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s%s", directory, files[i]);

		(void)unlink(path);
	}
	(void)rmdir(newer);
	(void)rmdir(directory);
	if (code == NOT_SUPPORTED)
		skip();
	assert_int_equal(code, 0);
}

static bool is_refused(long result)
{
	return result < 0 && errno == EPERM;
}

/* Each would reach another process, or start one. */
static int try_other_processes(void)
{
	static char program[] = "/bin/true";
	char *const argv[] = {program, NULL};
	struct rlimit limit = {0};
	pid_t parent = getppid();

	if (!is_refused(execv(argv[0], argv)) || !is_refused(fork()) || !is_refused(syscall(SYS_clone, SIGCHLD, 0)))
		return 1;
	if (!is_refused(kill(parent, 0)) || !is_refused(kill(0, 0)) || !is_refused(kill(-1, 0)) ||
	    !is_refused(syscall(SYS_tgkill, parent, parent, 0)) || !is_refused(syscall(SYS_tkill, parent, 0)) ||
	    !is_refused(syscall(SYS_pidfd_open, parent, 0)))
		return 2;
	if (!is_refused(ptrace(PTRACE_ATTACH, parent, NULL, NULL)) ||
	    !is_refused(prlimit(parent, RLIMIT_AS, &limit, NULL)))
		return 3;
	return is_refused(fcntl(STDERR_FILENO, F_SETOWN, parent)) ? 0 : 4;
}

static int try_the_kernel(void)
{
	static const int calls[] = {SYS_bpf,     SYS_io_uring_setup, SYS_unshare, SYS_userfaultfd, SYS_perf_event_open,
				    SYS_add_key, SYS_mount,          SYS_setns,   SYS_splice,      SYS_ftruncate};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (!is_refused(syscall(calls[i], 0, 0, 0, 0, 0)))
			return 1;
	if (fd < 0 || !is_refused(listen(fd, 1)) || !is_refused(accept4(fd, NULL, NULL, SOCK_CLOEXEC)))
		return 2;
	if (!is_refused(socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)))
		return 3;
	/* A call of the future, and one of another machine's table. */
	if (syscall(451) >= 0 || errno != ENOSYS || syscall(0x40000000 | SYS_getpid) >= 0 || errno != ENOSYS)
		return 4;
	return 0;
}

static void *do_nothing(void *user)
{
	return user;
}

/* What a worker does all the time. */
static int try_what_is_needed(void)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found = NULL;
	struct rlimit limit;
	pthread_t thread;
	int pair[2];

	if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 1;
	if (getaddrinfo("localhost", "80", &hints, &found) != 0)
		return 2;
	freeaddrinfo(found);
	if (kill(getpid(), 0) < 0 || raise(0) != 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 3;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0
		       ? 4
		       : 0;
}

static int give_up_calls(const char *file)
{
	int (*const tries[])(void) = {try_what_is_needed, try_other_processes, try_the_kernel, try_what_is_needed};

	UNUSED(file);
	if (!(sandbox_enter(SANDBOX_CALLS, NULL) & SANDBOX_CALLS))
		return NOT_SUPPORTED;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		int code = tries[i]();

		if (code)
			return (int)(i + 1) * 10 + code;
	}
	return 0;
}

static void test_calls_then_no_other_process_is_reached_and_what_is_needed_works(void **state)
{
	int code = in_child(give_up_calls, NULL);

	UNUSED(state);
	if (code == NOT_SUPPORTED)
		skip();
	assert_int_equal(code, 0);
}

static int give_up_the_rest(const char *file)
{
	struct rlimit limit;

	UNUSED(file);
	if (sandbox_enter(SANDBOX_PRIVILEGES | SANDBOX_MEMORY | SANDBOX_LIMITS, NULL) !=
	    (SANDBOX_PRIVILEGES | SANDBOX_MEMORY | SANDBOX_LIMITS))
		return 1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 3;
	return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max > 512 ? 4 : 0;
}

static void test_privileges_memory_and_limits_then_in_force(void **state)
{
	UNUSED(state);
	assert_int_equal(in_child(give_up_the_rest, NULL), 0);
}

static void test_nothing_when_nothing_is_asked_for(void **state)
{
	UNUSED(state);
	assert_int_equal(sandbox_enter(0, NULL), 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

static void test_names_then_one_for_each_part(void **state)
{
	UNUSED(state);
	for (int i = 0; i < SANDBOX_PARTS; i++)
		assert_true(*sandbox_part_name((enum sandbox_part)(1U << i)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_then_only_those_of_the_system_are_read_and_none_is_written_or_run),
		cmocka_unit_test(test_files_when_one_directory_may_be_read_then_no_other),
		cmocka_unit_test(test_calls_then_no_other_process_is_reached_and_what_is_needed_works),
		cmocka_unit_test(test_privileges_memory_and_limits_then_in_force),
		cmocka_unit_test(test_nothing_when_nothing_is_asked_for),
		cmocka_unit_test(test_names_then_one_for_each_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
