/* Logging in, and what is done with values. */
#include "redis/redis_int.h"

#include <string.h>

#define RUN(redis, expected, ret, err, ...)                                                                          \
	redis_command((redis),                                                                                       \
		      &(const struct redis_words){.items = (const char *const[]){__VA_ARGS__},                       \
						  .n = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)}, \
		      (expected), (ret), (err))

static int log_in(struct redis *redis, const struct redis_server *server, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;

	if (!server->password)
		return 0;
	return server->username
		       ? RUN(redis, REDIS_REPLY_STATUS, &reply, err, "AUTH", server->username, server->password)
		       : RUN(redis, REDIS_REPLY_STATUS, &reply, err, "AUTH", server->password);
}

static int select_database(struct redis *redis, const struct redis_server *server, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;
	_cleanup_free_ char *number = xasprintf("%u", server->database);

	return server->database ? RUN(redis, REDIS_REPLY_STATUS, &reply, err, "SELECT", number) : 0;
}

int redis_open(const struct redis_server *server, struct redis **ret, struct err *err)
{
	_cleanup_(redis_closep) struct redis *redis = NULL;
	int r = server->n_sentinels ? redis_connect_master(server, &redis, err)
				    : redis_connect(server, server->host, server->port, &redis, err);

	if (r < 0 || log_in(redis, server, err) < 0 || select_database(redis, server, err) < 0)
		return -1;
	*ret = TAKE_PTR(redis);
	return 0;
}

int redis_get(struct redis *redis, const char *key, char **ret, size_t *ret_len, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;

	if (RUN(redis, REDIS_REPLY_STRING, &reply, err, "GET", key) < 0)
		return -1;
	*ret = reply->type == REDIS_REPLY_NIL ? NULL : xstrndup(reply->str, reply->len);
	*ret_len = *ret ? reply->len : 0;
	return 0;
}

int redis_watch(struct redis *redis, const char *key, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;

	return RUN(redis, REDIS_REPLY_STATUS, &reply, err, "WATCH", key);
}

int redis_set(struct redis *redis, const char *key, const char *value, size_t len, struct err *err)
{
	const char *const items[] = {"SET", key, value};
	const size_t lengths[] = {3, strlen(key), len};
	const struct redis_words words = {.items = items, .lengths = lengths, .n = ARRAY_SIZE(items)};
	_cleanup_reply_ redisReply *begun = NULL, *queued = NULL, *done = NULL;

	if (RUN(redis, REDIS_REPLY_STATUS, &begun, err, "MULTI") < 0 ||
	    redis_command(redis, &words, REDIS_REPLY_STATUS, &queued, err) < 0 ||
	    RUN(redis, REDIS_REPLY_ARRAY, &done, err, "EXEC") < 0)
		return -1;
	if (done->type == REDIS_REPLY_NIL)
		return err_set(err, ERR_CONFLICT, "%s: another process has changed the key", redis->name);
	if (done->elements != 1 || done->element[0]->type != REDIS_REPLY_STATUS)
		return err_set(err, ERR_TRANSIENT, "%s: the server did not store the value", redis->name);
	return 0;
}

int redis_delete(struct redis *redis, const char *key, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;

	return RUN(redis, REDIS_REPLY_INTEGER, &reply, err, "DEL", key);
}
