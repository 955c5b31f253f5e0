/* Runs a program and takes what it prints: how credentials are asked for.
 *
 * It is started without a shell, with its standard input empty, in its own process group, and with no signal blocked or
 * ignored, whatever this process does with signals. Descriptors of this process that are close-on-exec do not reach it.
 * Any thread may call this.
 */
#ifndef PGSYNC_BASE_CHILD_H
#define PGSYNC_BASE_CHILD_H

#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

struct child_options {
	const char *what;  /* for errors: "credential plugin" */
	char *const *argv; /* ends with NULL; argv[0] is a path, or a name that PATH has */
	char *const *env;  /* ends with NULL; or NULL: that of this process */
	int64_t timeout_ms;
	int cancel_fd; /* readable: give up; -1: never */
};

/* Waits until the program ends, and adds its standard output to `answer`. What does not fit there is an error, after
 * which the program and what it has started are killed, as after a time-out. Errors: INVALID (it cannot be started),
 * TRANSIENT/Timeout, CANCELLED, LIMIT, DENIED (it failed, with the end of what it wrote to standard error). */
int child_run(const struct child_options *options, struct strbuf *answer, struct err *err) WARN_UNUSED;

#endif
