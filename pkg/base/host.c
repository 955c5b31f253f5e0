/* Which hosts are this machine. */
#include "base/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

enum { ADDRESS_BYTES = 64, LOOPBACK_NET = 127, MAPPED_AT = 12 };

static bool is_loopback_address(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == LOOPBACK_NET;
	if (inet_pton(AF_INET6, address, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[MAPPED_AT] == LOOPBACK_NET);
}

bool host_is_loopback(const char *host, size_t len)
{
	static const char name[] = "localhost";
	char address[ADDRESS_BYTES];

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (len == strlen(name) && strncasecmp(host, name, len) == 0) {
		return true;
	}
	if (len >= sizeof(address))
		return false;
	memcpy(address, host, len);
	address[len] = '\0';
	return is_loopback_address(address);
}

bool host_of_url_is_loopback(const char *url)
{
	const char *from = strstr(url, "://"), *at, *end;
	size_t len;

	if (!from)
		return false;
	from += strlen("://");
	len = strcspn(from, "/?#\\");
	at = memrchr(from, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - from);
		from = at + 1;
	}
	end = len && from[0] == '[' ? memchr(from, ']', len) : NULL;
	end = memchr(end ? end : from, ':', len - (size_t)((end ? end : from) - from));
	return host_is_loopback(from, end ? (size_t)(end - from) : len);
}
