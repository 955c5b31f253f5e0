/* Sentinel: which server is the master. */
#include "redis/redis_int.h"

#include <string.h>

#include "base/parse.h"

enum { SENTINEL_PORT = 26379, ADDRESS_BYTES = 256 };

/* HOST[:PORT], where HOST may be an IPv6 address in brackets. */
static char *split_address(const char *address, unsigned *port)
{
	size_t host = *address == '[' ? strcspn(address, "]") : strcspn(address, ":");
	uint64_t number = SENTINEL_PORT;

	host += address[host] == ']';
	if (address[host] == ':' && !parse_range(address + host + 1, 1, UINT16_MAX, &number))
		number = SENTINEL_PORT;
	*port = (unsigned)number;
	return xstrndup(address, host);
}

/* What a sentinel says is the host becomes a part of a URL. */
static bool is_address(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING && reply->len && reply->len < ADDRESS_BYTES &&
	       strspn(reply->str, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:") == reply->len;
}

static int connect_named(const struct redis_server *server, struct redis *sentinel, const redisReply *reply,
			 struct redis **ret, struct err *err)
{
	_cleanup_free_ char *host = NULL;
	uint64_t port;

	if (reply->type == REDIS_REPLY_NIL)
		return err_set(err, ERR_TRANSIENT, "%s: this sentinel knows no master \"%s\"", sentinel->name,
			       server->host);
	if (reply->elements != 2 || !is_address(reply->element[0]) || !is_address(reply->element[1]) ||
	    !parse_range(reply->element[1]->str, 1, UINT16_MAX, &port))
		return err_set(err, ERR_INVALID, "%s: the answer is not one that a sentinel gives", sentinel->name);
	host = strchr(reply->element[0]->str, ':') ? xasprintf("[%s]", reply->element[0]->str)
						   : xstrdup(reply->element[0]->str);
	return redis_connect(server, host, (unsigned)port, ret, err);
}

static int ask_sentinel(const struct redis_server *server, const char *address, struct redis **ret, struct err *err)
{
	const char *const items[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", server->host};
	const struct redis_words words = {.items = items, .n = ARRAY_SIZE(items)};
	_cleanup_(redis_closep) struct redis *sentinel = NULL;
	_cleanup_reply_ redisReply *reply = NULL;
	_cleanup_free_ char *host = NULL;
	unsigned port;

	host = split_address(address, &port);
	if (redis_connect(server, host, port, &sentinel, err) < 0 ||
	    redis_command(sentinel, &words, REDIS_REPLY_ARRAY, &reply, err) < 0)
		return -1;
	return connect_named(server, sentinel, reply, ret, err);
}

/* A sentinel may name a master that has just failed: another one may know better. A replica that it names by mistake
 * refuses writes. */
int redis_connect_master(const struct redis_server *server, struct redis **ret, struct err *err)
{
	int r = -1;

	for (size_t i = 0; r < 0 && i < server->n_sentinels; i++) {
		r = ask_sentinel(server, server->sentinels[i], ret, err);
		if (r < 0 && err->kind == ERR_CANCELLED)
			return -1;
	}
	return r;
}
