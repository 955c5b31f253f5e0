/* Reading from descriptors, and writing to them. */
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024 };

int fd_read(int fd, struct strbuf *to)
{
	char chunk[READ_BYTES];
	ssize_t n;
	int errnum;

	do {
		n = read(fd, chunk, sizeof(chunk));
		errnum = n < 0 ? errno : 0;
		if (n > 0)
			strbuf_add(to, chunk, (size_t)n);
	} while ((n > 0 && strbuf_ok(to)) || errnum == EINTR);
	explicit_bzero(chunk, sizeof(chunk));
	errno = errnum;
	return errnum ? -1 : 0;
}

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
