/* Tests of failpoints, which unit tests are built with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"

static void set(const char *entries)
{
	failpoint_reset();
	(void)setenv("PGSYNC_FAILPOINTS", entries, 1);
	(void)unsetenv("PGSYNC_FAILPOINTS_LOG");
}

static void test_failpoint_when_nothing_is_set_then_it_passes(void **state)
{
	struct err err;

	UNUSED(state);
	set("");
	assert_int_equal(FAILPOINT(SLOT_CREATED, &err), 0);
}

static void test_failpoint_when_it_fails_then_the_error_is_transient_and_names_it(void **state)
{
	struct err err;

	UNUSED(state);
	set("slot.created=fail");
	assert_int_equal(FAILPOINT(ALIAS_MOVED, &err), 0);
	assert_int_equal(FAILPOINT(SLOT_CREATED, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_string_equal(err.msg, "failpoint slot.created=fail");
	assert_int_equal(FAILPOINT(SLOT_CREATED, &err), -1);
}

static void test_failpoint_when_a_pass_is_named_then_only_that_one_fails(void **state)
{
	struct err err;

	UNUSED(state);
	set("alias.moved=wait:1;checkpoint.saved=fail@2;");
	assert_int_equal(FAILPOINT(CHECKPOINT_SAVED, &err), 0);
	assert_int_equal(FAILPOINT(CHECKPOINT_SAVED, &err), -1);
	assert_int_equal(FAILPOINT(CHECKPOINT_SAVED, &err), 0);
}

static void test_failpoint_when_it_waits_then_time_passes(void **state)
{
	int64_t begin_ms = clock_now_ms();
	struct err err;

	UNUSED(state);
	set("bulk.sent=wait:30");
	assert_int_equal(FAILPOINT(BULK_SENT, &err), 0);
	assert_true(clock_now_ms() - begin_ms >= 30);
}

/* The wait status of a child that passes alias.moved. */
static int signal_of_child(void)
{
	struct err err;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(FAILPOINT(ALIAS_MOVED, &err) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_failpoint_when_it_kills_then_the_process_is_gone(void **state)
{
	UNUSED(state);
	set("alias.moved=kill");
	assert_int_equal(signal_of_child(), SIGKILL);
	assert_int_equal(signal_of_child(), SIGKILL);
}

static void test_failpoint_when_there_is_a_log_then_one_process_acts_once(void **state)
{
	char path[] = "/tmp/failpoint-test-XXXXXX", text[32] = "";
	int fd = mkstemp(path);

	UNUSED(state);
	assert_true(fd >= 0);
	set("alias.moved=kill");
	(void)setenv("PGSYNC_FAILPOINTS_LOG", path, 1);
	assert_int_equal(signal_of_child(), SIGKILL);
	assert_int_equal(signal_of_child(), 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "alias.moved=kill\n");
	close_fdp(&fd);
	(void)unlink(path);
	failpoint_reset();
}

/* The signal that ends a child with these entries; its output is dropped. */
static int refusal(const char *entries)
{
	struct err err;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		set(entries);
		(void)fclose(stderr);
		_exit(FAILPOINT(ALIAS_MOVED, &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_failpoint_when_an_entry_is_malformed_then_the_process_ends(void **state)
{
	static const char *const entries[] = {"alias.moved",        "alias.moved=",       "alias.moved=stop",
					      "alias.moved=wait:",  "alias.moved=wait:x", "alias.moved=fail@0",
					      "alias.moved=fail@x", "alias.lost=fail",    "alias=fail"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		assert_int_equal(refusal(entries[i]), SIGABRT);
}

static void test_failpoint_names_are_distinct(void **state)
{
	UNUSED(state);
	for (int i = 0; i < FAILPOINT_COUNT; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(failpoint_name((enum failpoint)i), failpoint_name((enum failpoint)k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failpoint_when_nothing_is_set_then_it_passes),
		cmocka_unit_test(test_failpoint_when_it_fails_then_the_error_is_transient_and_names_it),
		cmocka_unit_test(test_failpoint_when_a_pass_is_named_then_only_that_one_fails),
		cmocka_unit_test(test_failpoint_when_it_waits_then_time_passes),
		cmocka_unit_test(test_failpoint_when_it_kills_then_the_process_is_gone),
		cmocka_unit_test(test_failpoint_when_there_is_a_log_then_one_process_acts_once),
		cmocka_unit_test(test_failpoint_when_an_entry_is_malformed_then_the_process_ends),
		cmocka_unit_test(test_failpoint_names_are_distinct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
