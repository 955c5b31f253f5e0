/* Decisions about the head of a request: which route it takes, and whether it may come from where it does. */
#include <string.h>
#include <strings.h>

#include "base/host.h"
#include "web/web_int.h"

static const char wildcard[] = "{}";

#define NOT_UTF8 '\xff'

/* Whether a path matches; what its wildcards stand for is terminated in place, which changes path. */
static bool match_path(const char *pattern, char *path, const char **captures)
{
	size_t n = 0;

	while (*pattern) {
		size_t plain = strcspn(pattern, "{"), segment;

		if (strncmp(pattern, path, plain) != 0)
			return false;
		pattern += plain;
		path += plain;
		if (!*pattern)
			break;
		segment = strcspn(path, "/");
		if (!segment || n == WEB_CAPTURES)
			return false;
		captures[n++] = path;
		pattern += strlen(wildcard);
		path += segment;
		if (*path != *pattern)
			return false;
		if (*path) {
			*path++ = '\0';
			pattern++;
		}
	}
	return !*path;
}

/* True if the path matches, whose captures the exchange then has. */
static bool takes_path(const struct web_route *route, const char *path, struct web_exchange *e)
{
	if (!strchr(route->path, '{'))
		return strcmp(route->path, path) == 0;
	if (strlen(path) > WEB_PATH_BYTES)
		return false;
	free(e->path);
	e->path = xstrdup(path);
	return match_path(route->path, e->path, e->request.captures);
}

static bool takes_method(const struct web_route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 && strcmp(route->method, MHD_HTTP_METHOD_GET) == 0);
}

const struct web_route *web_find_route(const struct web_options *options, const char *method, const char *path,
				       struct web_exchange *e, struct strbuf *allow)
{
	for (size_t i = 0; i < options->n_routes; i++) {
		const struct web_route *route = &options->routes[i];

		if (!takes_path(route, path, e))
			continue;
		if (takes_method(route, method))
			return route;
		strbuf_addf(allow, "%s%s%s", allow->len ? ", " : "", route->method,
			    strcmp(route->method, MHD_HTTP_METHOD_GET) == 0 ? ", HEAD" : "");
	}
	return NULL;
}

bool web_is_header(const char *name, size_t name_len, const char *value, size_t value_len)
{
	for (size_t i = 0; i < name_len; i++)
		if (name[i] <= ' ' || name[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}", name[i]))
			return false;
	for (size_t i = 0; i < value_len; i++)
		if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
			return false;
	return name_len > 0;
}

size_t web_unescape(void *user, struct MHD_Connection *connection, char *s)
{
	UNUSED(user);
	UNUSED(connection);
	for (char *at = s; (at = strstr(at, "%00")); at++) {
		*at = NOT_UTF8;
		memmove(at + 1, at + strlen("%00"), strlen(at + strlen("%00")) + 1);
	}
	return MHD_http_unescape(s);
}

/* The host of "host:port" or "[v6]:port", without the port; 0: it is neither. */
static size_t host_length(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;
	size_t len = end ? (size_t)(end - host) + 1 : strcspn(host, ":");
	const char *port = host + len;

	if (*port == ':')
		port += 1 + strspn(port + 1, "0123456789");
	return *port ? 0 : len;
}

bool web_host_is_ours(const char *host, const char *const *hosts)
{
	size_t len = host ? host_length(host) : 0;

	if (!len)
		return false;
	if (host_is_loopback(host, len))
		return true;
	for (; hosts && *hosts; hosts++)
		if (strlen(*hosts) == len && strncasecmp(*hosts, host, len) == 0)
			return true;
	return false;
}

bool web_is_same_site(const char *host, const char *origin, const char *fetch_site)
{
	const char *authority = origin ? strstr(origin, "://") : NULL;

	if (fetch_site && strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "none") != 0)
		return false;
	return !origin || (authority && host && strcasecmp(authority + strlen("://"), host) == 0);
}
