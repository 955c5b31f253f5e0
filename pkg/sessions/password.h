/* The password of a source whose spec says where to read it (spec.source.passwordFrom): a file, or the output of a
 * program. It is read again for each connection, so a token that is replaced before it expires (RDS, Cloud SQL, Azure)
 * needs no restart.
 *
 * Any thread may call this. Neither errors nor logs contain what was read.
 */
#ifndef PGSYNC_SESSIONS_PASSWORD_H
#define PGSYNC_SESSIONS_PASSWORD_H

#include "base/err.h"
#include "spec/spec.h"

enum { PASSWORD_BYTES = 16 * 1024, PASSWORD_PROGRAM_MS = 30 * 1000 };

/* *ret: for free_secret; NULL if the spec does not say where to read it. Line breaks at its end are left out.
 * cancel_fd: readable when waiting for the program is to end; -1: never. Errors: DENIED/CredentialsNotFound (there is
 * none: the message names file or program, and why), TRANSIENT/Timeout and CANCELLED of the program. */
int password_read(const struct spec_source *source, int cancel_fd, char **ret, struct err *err) WARN_UNUSED;

#endif
