/* Addresses that this process does not connect to. */
#include "base/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

enum { RULES_MAX = 256, TEXT_BYTES = 64 };

/* As IPv6: an IPv4 address is ::ffff:a.b.c.d. */
struct rule {
	struct in6_addr address;
	unsigned bits;
	uint16_t port; /* 0: all */
};

static struct rule rules[RULES_MAX];
static size_t n_rules;
static bool no_unix;

static void map_ipv4(const struct in_addr *from, struct in6_addr *to)
{
	*to = (struct in6_addr){.s6_addr = {[10] = 0xFF, [11] = 0xFF}};
	memcpy(&to->s6_addr[12], from, sizeof(*from));
}

static bool read_address(const char *text, struct rule *rule, unsigned *ret_most)
{
	struct in_addr ipv4;

	*ret_most = 128;
	if (inet_pton(AF_INET6, text, &rule->address) == 1)
		return true;
	if (inet_pton(AF_INET, text, &ipv4) != 1)
		return false;
	map_ipv4(&ipv4, &rule->address);
	*ret_most = 32;
	return true;
}

/* Splits "A/BITS", "A:PORT" and "[A]:PORT", where A may have colons. Changes the text. */
static void split_entry(char *text, char **ret_address, char **ret_bits, char **ret_port)
{
	char *slash = strchr(text, '/'), *bracket = strchr(text, ']'), *colon = strrchr(text, ':');

	*ret_address = text;
	*ret_bits = *ret_port = NULL;
	if (slash) {
		*slash = '\0';
		*ret_bits = slash + 1;
	} else if (text[0] == '[' && bracket && bracket[1] == ':') {
		*bracket = '\0';
		*ret_address = text + 1;
		*ret_port = bracket + 2;
	} else if (colon && strchr(text, ':') == colon) {
		*colon = '\0';
		*ret_port = colon + 1;
	}
}

static bool read_rule(const char *item, size_t len, struct rule *rule)
{
	char text[TEXT_BYTES], *address, *bits, *port;
	unsigned most;
	uint64_t n;

	if (len >= sizeof(text))
		return false;
	memcpy(text, item, len);
	text[len] = '\0';
	split_entry(text, &address, &bits, &port);
	*rule = (struct rule){0};
	if (!read_address(address, rule, &most))
		return false;
	n = most;
	if (bits && !parse_range(bits, 0, most, &n))
		return false;
	rule->bits = (unsigned)n + 128 - most;
	n = 0;
	if (port && !parse_range(port, 1, 65535, &n))
		return false;
	rule->port = (uint16_t)n;
	return true;
}

static int read_list(const char *list, struct rule *to, size_t *n, struct err *err)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		if (*n == RULES_MAX)
			return err_set(err, ERR_INVALID, "must have at most %d entries", RULES_MAX);
		if (!read_rule(list, len, &to[*n]))
			return err_set(
				err, ERR_INVALID,
				"must consist of networks such as 10.0.0.0/8 or fe80::/10, and addresses such as "
				"10.0.0.1:443, found \"%.*s\"",
				(int)(len < 100 ? len : 100), list);
		(*n)++;
		list += len + (list[len] == ',');
	}
	return 0;
}

int egress_deny(const char *list, struct err *err)
{
	size_t n = n_rules;

	if (read_list(list, rules, &n, err) < 0)
		return -1;
	n_rules = n;
	return 0;
}

int egress_check(const char *list, struct err *err)
{
	struct rule read[RULES_MAX];
	size_t n = 0;

	return read_list(list, read, &n, err);
}

void egress_deny_unix(void)
{
	no_unix = true;
}

bool egress_unix_is_denied(void)
{
	return no_unix;
}

static bool matches(const struct rule *rule, const struct in6_addr *address, uint16_t port)
{
	unsigned whole = rule->bits / 8, rest = rule->bits % 8;
	unsigned char mask = (unsigned char)(0xFF << (8 - rest));

	if ((rule->port && rule->port != port) || memcmp(&rule->address, address, whole) != 0)
		return false;
	return !rest || ((rule->address.s6_addr[whole] ^ address->s6_addr[whole]) & mask) == 0;
}

/* Connecting to the "any" address means connecting to this machine, and 64:ff9b::/96 leads to IPv4 where there is NAT64
 * (RFC 6052). */
static void normalize(struct in6_addr *address)
{
	const struct in6_addr nat64 = {.s6_addr = {0x00, 0x64, 0xFF, 0x9B}};
	const struct in_addr loopback = {.s_addr = htonl(INADDR_LOOPBACK)};
	const struct in6_addr any_ipv4 = {.s6_addr = {[10] = 0xFF, [11] = 0xFF}};

	if (memcmp(address, &nat64, 12) == 0)
		memcpy(address, &any_ipv4, 12);
	if (memcmp(address, &any_ipv4, sizeof(*address)) == 0)
		map_ipv4(&loopback, address);
	else if (IN6_IS_ADDR_UNSPECIFIED(address))
		*address = in6addr_loopback;
}

bool egress_is_denied(const struct sockaddr *address)
{
	struct in6_addr to;
	uint16_t port;

	if (address->sa_family == AF_UNIX)
		return no_unix;
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		map_ipv4(&in->sin_addr, &to);
		port = ntohs(in->sin_port);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		to = in6->sin6_addr;
		port = ntohs(in6->sin6_port);
	} else {
		return n_rules > 0;
	}
	normalize(&to);
	for (size_t i = 0; i < n_rules; i++)
		if (matches(&rules[i], &to, port))
			return true;
	return false;
}
