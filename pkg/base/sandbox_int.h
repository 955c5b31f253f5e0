/* Shared between the files of the sandbox only. */
#ifndef PGSYNC_BASE_SANDBOX_INT_H
#define PGSYNC_BASE_SANDBOX_INT_H

#include <stdbool.h>

/* No system call but those that are harmless, for the calling thread and what it starts. The caller has given up
 * privileges (no_new_privs). False: the kernel has no such filters. */
bool sandbox_restrict_calls(void);

#endif
