/* Writing to descriptors. */
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int fd_write(int fd, const char *data, size_t len)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};

	while (len) {
		ssize_t n = write(fd, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			(void)poll(&out, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return -1;
		}
	}
	return 0;
}
