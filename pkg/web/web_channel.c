/* A channel: a socket over which another process hands over connections (SCM_RIGHTS), so that no other can connect.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "web/web_int.h"

enum { LOOK_MS = 500, HEAD_BYTES = 16 * 1024, PIECE_BYTES = 4096 };

/* Each message has a descriptor and this byte, since a message without bytes looks like the end. */
static const char filler = 'c';

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int web_channel_open(int *ret_server, int *ret_client, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return err_errno(err, errno, "opening a channel for connections");
	*ret_server = ends[0];
	*ret_client = ends[1];
	return 0;
}

static int send_descriptor(int client_fd, int fd)
{
	union control control = {.bytes = {0}};
	struct iovec bytes = {.iov_base = (char *)&filler, .iov_len = sizeof(filler)};
	struct msghdr message = {.msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(client_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

int web_channel_connect(int client_fd, int *ret_fd, struct err *err)
{
	int ends[2], code;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return err_errno(err, errno, "opening a connection");
	code = send_descriptor(client_fd, ends[0]);
	(void)close(ends[0]);
	if (code) {
		(void)close(ends[1]);
		return err_errno(err, code, "handing over a connection");
	}
	*ret_fd = ends[1];
	return 0;
}

int web_channel_accept(int *server_fd)
{
	union control control;
	char byte;
	struct iovec bytes = {.iov_base = &byte, .iov_len = sizeof(byte)};
	struct msghdr message = {.msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(*server_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	int fd = -1;

	if (n == 0) {
		close_fdp(server_fd);
		*server_fd = -1;
	}
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* --- a request */

static int await(int fd, short events, const struct web_channel_get *get, struct err *err)
{
	struct pollfd at = {.fd = fd, .events = events};

	for (;;) {
		int64_t left_ms = get->end_ms - clock_now_ms();

		if (get->cancelled && get->cancelled(get->user))
			return err_set(err, ERR_CANCELLED, "stopped while waiting for an answer");
		if (left_ms <= 0)
			return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT, "there is no answer");
		if (poll(&at, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) > 0)
			return 0;
	}
}

static int send_all(int fd, const struct web_channel_get *get, const char *text, struct err *err)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			text += n;
			left -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return err_errno(err, errno, "sending a request");
		} else if (await(fd, POLLOUT, get, err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* Up to the end of the connection. */
static int receive_all(int fd, const struct web_channel_get *get, struct strbuf *all, struct err *err)
{
	char piece[PIECE_BYTES];

	for (;;) {
		ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

		if (n == 0)
			return 0;
		if (n > 0)
			strbuf_add(all, piece, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "receiving an answer");
		else if (await(fd, POLLIN, get, err) < 0)
			return -1;
		if (!strbuf_ok(all))
			return err_set(err, ERR_LIMIT, "the answer is too large");
	}
}

/* "HTTP/1.1 200 OK", headers, an empty line, the body. */
static int read_answer(const struct strbuf *all, unsigned *ret_status, struct strbuf *ret_body, struct err *err)
{
	static const char version[] = "HTTP/1.";
	const size_t at = sizeof("HTTP/1.1 ") - 1;
	const char *body = all->len ? strstr(all->data, "\r\n\r\n") : NULL;
	uint64_t status;

	if (!all->len)
		return err_reason(err, ERR_TRANSIENT, REASON_RESET, "the connection ended without an answer");
	if (!body || strncmp(all->data, version, sizeof(version) - 1) != 0 || !parse_u64(all->data + at, 3, &status))
		return err_set(err, ERR_INVALID, "the answer is not HTTP");
	body += sizeof("\r\n\r\n") - 1;
	strbuf_add(ret_body, body, all->len - (size_t)(body - all->data));
	if (!strbuf_ok(ret_body))
		return err_set(err, ERR_LIMIT, "the answer is too large");
	*ret_status = (unsigned)status;
	return 0;
}

int web_channel_get(int fd, const struct web_channel_get *get, unsigned *ret_status, struct strbuf *ret_body,
		    struct err *err)
{
	/* In HTTP/1.0 the end of the connection is the end of the answer. */
	_cleanup_free_ char *request = xasprintf("GET %s HTTP/1.0\r\n\r\n", get->path);
	_cleanup_(strbuf_release) struct strbuf all;

	strbuf_init(&all, HEAD_BYTES + WEB_BODY_BYTES);
	if (send_all(fd, get, request, err) < 0 || receive_all(fd, get, &all, err) < 0)
		return -1;
	return read_answer(&all, ret_status, ret_body, err);
}
