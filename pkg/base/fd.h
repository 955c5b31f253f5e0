/* Reading from descriptors, and writing to them. */
#ifndef PGSYNC_BASE_FD_H
#define PGSYNC_BASE_FD_H

#include <stddef.h>

#include "base/strbuf.h"

/* Adds what there is up to the end, waiting as read() does. What does not fit ends it, and strbuf_ok() is false. Leaves
 * no copy behind. -1: errno says why. */
int fd_read(int fd, struct strbuf *to) __attribute__((warn_unused_result));

/* Writes all of it, waiting if the descriptor does not block. -1: errno says why, and a part may have been written. */
int fd_write(int fd, const char *data, size_t len) __attribute__((warn_unused_result));

#endif
