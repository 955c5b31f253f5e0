/* Which hosts are this machine, and which are Services. */
#include "base/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { ADDRESS_BYTES = 64, LOOPBACK_NET = 127, MAPPED_AT = 12, LABEL_BYTES = 63 };

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

/* The host of a URL, with the brackets of an IPv6 address; 0 bytes if there is none. */
static size_t find_host(const char *url, const char **ret)
{
	const char *from = strstr(url, "://"), *at, *end;
	size_t len;

	*ret = url;
	if (!from)
		return 0;
	from += strlen("://");
	len = strcspn(from, "/?#\\");
	at = memrchr(from, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - from);
		from = at + 1;
	}
	*ret = from;
	end = len && from[0] == '[' ? memchr(from, ']', len) : NULL;
	end = memchr(end ? end : from, ':', len - (size_t)((end ? end : from) - from));
	return end ? (size_t)(end - from) : len;
}

bool host_of_url_is_loopback(const char *url)
{
	const char *host;
	size_t len = find_host(url, &host);

	return host_is_loopback(host, len);
}

/* A Service's name is a label of RFC 1035: it begins with a letter. DNS knows no upper and lower case. */
static bool is_service(const char *host, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (len == 0 || len > LABEL_BYTES || host_is_loopback(host, len) || !strchr(letters, host[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr(letters, host[i]) && !strchr("0123456789-", host[i]))
			return false;
	return host[len - 1] != '-';
}

char *host_in_namespace(const char *host, const char *namespace)
{
	return is_service(host, strlen(host)) ? xasprintf("%s.%s.svc", host, namespace) : NULL;
}

char *host_of_url_in_namespace(const char *url, const char *namespace)
{
	const char *host;
	size_t len = find_host(url, &host);

	if (!is_service(host, len))
		return NULL;
	return xasprintf("%.*s.%s.svc%s", (int)(host - url + (ptrdiff_t)len), url, namespace, host + len);
}
