/* A child gives up parts and tries what it may not do any more: it exits with the number of the first thing that went
 * otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

	if (!(sandbox_enter(SANDBOX_FILES) & SANDBOX_FILES))
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

static int give_up_the_rest(const char *file)
{
	struct rlimit limit;

	UNUSED(file);
	if (sandbox_enter(SANDBOX_PRIVILEGES | SANDBOX_MEMORY | SANDBOX_LIMITS) !=
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
	assert_int_equal(sandbox_enter(0), 0);
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
		cmocka_unit_test(test_privileges_memory_and_limits_then_in_force),
		cmocka_unit_test(test_nothing_when_nothing_is_asked_for),
		cmocka_unit_test(test_names_then_one_for_each_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
