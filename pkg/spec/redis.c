/* The Redis server that checkpoints may be kept in. */
#include "spec/spec_int.h"

#include <string.h>

#include "base/host.h"
#include "base/parse.h"

enum { REDIS_PORT = 6379, DATABASE_MOST = 65535 };

static const char host_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";

/* The length of the HOST that a text begins with; 0: there is none. It may be [an IPv6 address]. */
static size_t redis_host_length(const char *text)
{
	size_t len = *text == '[' ? 1 + strspn(text + 1, "0123456789abcdefABCDEF:.") : strspn(text, host_characters);

	if (*text != '[')
		return len;
	return len > 1 && text[len] == ']' ? len + 1 : 0;
}

/* Reads [:PORT], and returns what follows; NULL: the port is not valid. */
static const char *read_port(const char *text, int64_t *port)
{
	size_t len = *text == ':' ? strspn(text + 1, "0123456789") : 0;
	_cleanup_free_ char *digits = xstrndup(text + (*text == ':'), len);
	uint64_t value;

	if (*text != ':')
		return text;
	if (!parse_range(digits, 1, UINT16_MAX, &value))
		return NULL;
	*port = (int64_t)value;
	return text + 1 + len;
}

void spec_read_redis_url(struct spec_redis *redis)
{
	const char *url = redis->url ? redis->url : "";
	bool tls = strncmp(url, "rediss://", 9) == 0;
	const char *rest = tls ? url + 9 : strncmp(url, "redis://", 8) == 0 ? url + 8 : "";
	size_t host = redis_host_length(rest);
	int64_t port = REDIS_PORT;
	uint64_t database = 0;
	const char *path = host ? read_port(rest + host, &port) : NULL;

	if (!path || (*path && *path != '/') ||
	    (*path && path[1] && !parse_range(path + 1, 0, DATABASE_MOST, &database)))
		return;
	redis->host = xstrndup(rest, host);
	redis->port = port;
	redis->database = (int64_t)database;
	redis->tls = tls;
}

static void check_sentinels(const struct spec_redis *redis, struct findings *f)
{
	for (size_t i = 0; i < redis->sentinels.n; i++) {
		const char *sentinel = redis->sentinels.items[i];
		_cleanup_free_ char *path = xasprintf("spec.checkpoint.redis.sentinels[%zu]", i);
		size_t host = redis_host_length(sentinel);
		int64_t port;
		const char *rest = host ? read_port(sentinel + host, &port) : NULL;

		if (!rest || *rest)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path, "must be HOST or HOST:PORT");
	}
}

void spec_check_redis(const struct spec *spec, struct findings *f)
{
	const struct spec_redis *redis = &spec->redis;
	static const char path[] = "spec.checkpoint.redis.url";

	if (spec->checkpoint_store == SPEC_STORE_REDIS && !redis->url &&
	    !findings_any_about(f, "spec.checkpoint.redis"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.checkpoint.redis",
			     "must be set when `store` is Redis");
	/* It may contain a password. */
	if (redis->url && !redis->host)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path, "%s",
			     strchr(redis->url, '@') ? "must not contain a user or password; use `username` and "
						       "`passwordSecretRef`"
						     : "must be redis://HOST[:PORT][/DATABASE], or rediss:// for TLS");
	if (redis->host && !redis->tls && redis->ca.name)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must begin with rediss:// when `tls.caSecretRef` is set");
	if (redis->username && !redis->password.name)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.checkpoint.redis.passwordSecretRef",
			     "is required when `username` is set");
	check_sentinels(redis, f);
}

static void name_service(char **host, const char *namespace)
{
	char *service = host_in_namespace(*host, namespace);

	if (!service)
		return;
	free(*host);
	*host = service;
}

/* With sentinels, the host is only a name that they know. */
void spec_name_redis_service(struct spec *spec)
{
	struct spec_redis *redis = &spec->redis;

	if (redis->host && !redis->sentinels.n)
		name_service(&redis->host, spec->namespace);
	for (size_t i = 0; i < redis->sentinels.n; i++) {
		char **sentinel = &redis->sentinels.items[i];
		size_t len = redis_host_length(*sentinel);
		_cleanup_free_ char *host = xstrndup(*sentinel, len), *port = xstrdup(*sentinel + len);

		name_service(&host, spec->namespace);
		free(*sentinel);
		*sentinel = xasprintf("%s%s", host, port);
	}
}
