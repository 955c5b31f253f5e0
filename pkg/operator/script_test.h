/* Shell scripts in the place of workers, for tests. The test has a struct fixture with the script's path, a turn() of
 * the loop, and PATIENCE_MS. */
#ifndef PGSYNC_OPERATOR_SCRIPT_TEST_H
#define PGSYNC_OPERATOR_SCRIPT_TEST_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN_UNTIL(f, condition)                                  \
	do {                                                     \
		int64_t end_ms_ = clock_now_ms() + PATIENCE_MS;  \
		while (!(condition) && clock_now_ms() < end_ms_) \
			turn(f);                                 \
		assert_true(condition);                          \
	} while (0)

/* A script that has read its assignment into $line. */
static inline void script_write(const char *path, const char *first, const char *body)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\nread -r line <&3\n%s\n%s\n", first, body) > 0);
	assert_int_equal(close(fd), 0);
}

#endif
