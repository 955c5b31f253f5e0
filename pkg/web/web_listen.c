/* The listening socket.
 *
 * It is opened here and not by libmicrohttpd, so that an address in use can be told apart from other errors, the port
 * of ":0" is known at once, and no descriptor ever lacks close-on-exec. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "web/web_int.h"

enum { ADDRESS_BYTES = 64, BACKLOG = 4096 };

struct endpoint {
	char address[ADDRESS_BYTES]; /* "" for all */
	uint64_t port;
};

static bool split_listen(const char *listen, struct endpoint *ret)
{
	const char *colon = strrchr(listen, ':');
	size_t len = colon ? (size_t)(colon - listen) : 0;

	if (!colon || !parse_range(colon + 1, 0, 65535, &ret->port))
		return false;
	if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
		if (!memchr(listen, ':', len))
			return false;
	} else if (memchr(listen, ':', len)) {
		return false;
	}
	if (len >= ADDRESS_BYTES)
		return false;
	memcpy(ret->address, listen, len);
	ret->address[len] = '\0';
	return true;
}

static int bind_failed(const char *listen, int errnum, struct err *err)
{
	(void)err_errno(err, errnum, "listening on \"%s\"", listen);
	if (errnum == EADDRINUSE)
		err->kind = ERR_CONFLICT;
	else if (errnum == EADDRNOTAVAIL)
		err->kind = ERR_INVALID;
	else if (errnum == EACCES || errnum == EPERM)
		err->kind = ERR_DENIED;
	return -1;
}

/* Returns 0, or an errno value. */
static int bind_socket(int fd, const struct sockaddr *address, socklen_t len, int v6_only)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return errno;
	if (address->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) < 0)
		return errno;
	return bind(fd, address, len) < 0 || listen(fd, BACKLOG) < 0 ? errno : 0;
}

/* Returns 0, or an errno value. */
static int open_socket(const struct sockaddr *address, socklen_t len, bool v6_only, int *ret)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int errnum = fd < 0 ? errno : bind_socket(fd, address, len, v6_only);

	if (errnum)
		close_fdp(&fd);
	else
		*ret = fd;
	return errnum;
}

/* All addresses of both families; of IPv4 alone if the kernel does not support IPv6. Returns 0, or an errno value. */
static int open_any(uint16_t port, int *ret)
{
	const struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
	const struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int errnum = open_socket((const struct sockaddr *)&any6, sizeof(any6), false, ret);

	if (errnum != EAFNOSUPPORT && errnum != EADDRNOTAVAIL)
		return errnum;
	return open_socket((const struct sockaddr *)&any4, sizeof(any4), false, ret);
}

static int port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len) < 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

int web_listen(const char *listen, int *ret_fd, int *ret_port, struct err *err)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct endpoint endpoint;
	char port[8];
	int fd = -1;
	int errnum;

	if (!split_listen(listen, &endpoint))
		return err_set(
			err, ERR_INVALID,
			"listen address \"%s\": expected ADDRESS:PORT, [ADDRESS]:PORT or :PORT with a port up to "
			"65535",
			listen);
	(void)snprintf(port, sizeof(port), "%u", (unsigned)endpoint.port);
	if (!*endpoint.address) {
		errnum = open_any((uint16_t)endpoint.port, &fd);
	} else {
		if (getaddrinfo(endpoint.address, port, &hints, &found) != 0)
			return err_set(err, ERR_INVALID, "listen address \"%s\": \"%s\" is not an IP address", listen,
				       endpoint.address);
		errnum = open_socket(found->ai_addr, found->ai_addrlen, true, &fd);
		freeaddrinfo(found);
	}
	if (errnum)
		return bind_failed(listen, errnum, err);
	*ret_fd = fd;
	*ret_port = port_of(fd);
	return 0;
}
