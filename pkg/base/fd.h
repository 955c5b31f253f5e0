/* Writing to descriptors. */
#ifndef PGSYNC_BASE_FD_H
#define PGSYNC_BASE_FD_H

#include <stddef.h>

/* Writes all of it, waiting if the descriptor does not block. -1: errno says why, and a part may have been written. */
int fd_write(int fd, const char *data, size_t len) __attribute__((warn_unused_result));

#endif
