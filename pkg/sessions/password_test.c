/* Tests of passwords that are read for each connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sessions/password.h"

static char directory[] = "/tmp/pgsync-password-XXXXXX";

static char *in_directory(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void write_file(const char *path, const char *text, size_t len, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_int_equal(fd_write(fd, text, len), 0);
}

static void expect_password(const struct spec_source *source, const char *want)
{
	_cleanup_(free_secretp) char *password = NULL;
	struct err err = {0};

	if (password_read(source, -1, &password, &err) < 0)
		fail_msg("%s", err.msg);
	if (want)
		assert_string_equal(password, want);
	else
		assert_null(password);
}

static struct err expect_failure(const struct spec_source *source, int cancel_fd, const char *word)
{
	char *password = NULL;
	struct err err = {0};

	assert_int_equal(password_read(source, cancel_fd, &password, &err), -1);
	assert_null(password);
	if (!strstr(err.msg, word))
		fail_msg("\"%s\" is not in: %s", word, err.msg);
	assert_null(strstr(err.msg, "s3cret"));
	return err;
}

static void test_password_when_the_spec_does_not_say_where_then_none(void **state)
{
	UNUSED(state);
	expect_password(&(struct spec_source){0}, NULL);
}

static void test_password_when_its_file_changes_then_the_new_one(void **state)
{
	_cleanup_free_ char *path = in_directory("token");
	const struct spec_source source = {.password_file = path};

	UNUSED(state);
	write_file(path, "s3cret one\r\n\n", 13, 0600);
	expect_password(&source, "s3cret one");
	write_file(path, "two", 3, 0600);
	expect_password(&source, "two");
}

static void test_password_when_its_file_holds_none_then_denied(void **state)
{
	_cleanup_free_ char *path = in_directory("bad");
	_cleanup_free_ char *large = xcalloc(1, PASSWORD_BYTES + 1);
	const struct spec_source source = {.password_file = path};
	struct err err;

	UNUSED(state);
	(void)unlink(path);
	err = expect_failure(&source, -1, "No such file");
	assert_int_equal(err.reason, REASON_CREDENTIALS_NOT_FOUND);
	assert_int_equal(err.kind, ERR_DENIED);
	write_file(path, "\n", 1, 0600);
	(void)expect_failure(&source, -1, "empty");
	write_file(path, "s3cret\0x", 8, 0600);
	(void)expect_failure(&source, -1, "NUL");
	memset(large, 'x', PASSWORD_BYTES + 1);
	write_file(path, large, PASSWORD_BYTES, 0600);
	large[PASSWORD_BYTES] = '\0';
	expect_password(&source, large);
	large[PASSWORD_BYTES] = 'x';
	write_file(path, large, PASSWORD_BYTES + 1, 0600);
	(void)expect_failure(&source, -1, "larger than");
}

/* A FIFO that has no writer would block. */
static void test_password_when_its_file_is_not_one_then_denied(void **state)
{
	_cleanup_free_ char *path = in_directory("fifo");
	const struct spec_source fifo = {.password_file = path}, place = {.password_file = directory};

	UNUSED(state);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)expect_failure(&fifo, -1, "regular file");
	(void)expect_failure(&place, -1, "regular file");
}

static struct spec_source program(char *path, const char *script)
{
	static char *command[2];

	write_file(path, script, strlen(script), 0700);
	command[0] = path;
	command[1] = (char *)"argument";
	return (struct spec_source){.password_command = {.items = command, .n = 2}};
}

static void test_password_when_a_program_prints_it_then_run_each_time(void **state)
{
	_cleanup_free_ char *path = in_directory("program");
	struct spec_source source =
		program(path, "#!/bin/sh\necho x >> \"$0.count\"\necho \"$1-$(wc -l < \"$0.count\")\"\n");

	UNUSED(state);
	expect_password(&source, "argument-1");
	expect_password(&source, "argument-2");
}

static void test_password_when_its_program_fails_then_denied_without_what_it_printed(void **state)
{
	_cleanup_free_ char *path = in_directory("failing");
	struct spec_source source = program(path, "#!/bin/sh\necho s3cret\necho no login >&2\nexit 3\n");
	struct err err = expect_failure(&source, -1, "exit code 3: no login");

	UNUSED(state);
	assert_int_equal(err.reason, REASON_CREDENTIALS_NOT_FOUND);
	source = program(path, "#!/bin/sh\nwhile :; do echo s3crets3crets3cret; done\n");
	(void)expect_failure(&source, -1, "larger than");
	assert_int_equal(unlink(path), 0);
	(void)expect_failure(&source, -1, "No such file");
}

static void test_password_when_cancelled_then_its_program_ends(void **state)
{
	_cleanup_free_ char *path = in_directory("slow");
	struct spec_source source = program(path, "#!/bin/sh\nsleep 60\n");
	_cleanup_close_ int cancel_fd = eventfd(1, EFD_CLOEXEC);
	int64_t start_ms = clock_now_ms();
	struct err err = expect_failure(&source, cancel_fd, "cancelled");

	UNUSED(state);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_true(clock_now_ms() - start_ms < 10000);
}

static int make_directory(void **state)
{
	UNUSED(state);
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"token", "bad", "fifo", "program", "program.count", "failing", "slow"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = in_directory(names[i]);

		(void)unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_password_when_the_spec_does_not_say_where_then_none),
		cmocka_unit_test(test_password_when_its_file_changes_then_the_new_one),
		cmocka_unit_test(test_password_when_its_file_holds_none_then_denied),
		cmocka_unit_test(test_password_when_its_file_is_not_one_then_denied),
		cmocka_unit_test(test_password_when_a_program_prints_it_then_run_each_time),
		cmocka_unit_test(test_password_when_its_program_fails_then_denied_without_what_it_printed),
		cmocka_unit_test(test_password_when_cancelled_then_its_program_ends),
	};

	return cmocka_run_group_tests_name("sessions/password", tests, make_directory, remove_directory);
}
