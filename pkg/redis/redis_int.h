/* Shared between the files of this package only: commands and replies of one connection. */
#ifndef PGSYNC_REDIS_REDIS_INT_H
#define PGSYNC_REDIS_REDIS_INT_H

#include <hiredis/hiredis.h>

#include "http/http.h"
#include "redis/redis.h"

struct redis {
	struct http_pipe *pipe;
	redisReader *reader;
	redisReplyObjectFunctions own, functions; /* hiredis', and the reader's */
	char *name;                               /* redis://host:port, for messages */
};

/* A connection without a login. */
int redis_connect(const struct redis_server *server, const char *host, unsigned port, struct redis **ret,
		  struct err *err) WARN_UNUSED;
/* A command. */
struct redis_words {
	const char *const *items;
	const size_t *lengths; /* NULL: they are strings */
	size_t n;
};

/* Sends a command, and waits for its reply. expected: REDIS_REPLY_*; for STRING and ARRAY, the reply may also be NIL.
 * The caller frees the reply. */
int redis_command(struct redis *redis, const struct redis_words *words, int expected, redisReply **ret,
		  struct err *err) WARN_UNUSED;

void redis_reply_free(redisReply *reply);
CLEANUP(redisReply, redis_reply_free);
#define _cleanup_reply_ _cleanup_(redis_reply_freep)

/* --- sentinel.c --- */
/* A connection to the master that the sentinels name; without a login. */
int redis_connect_master(const struct redis_server *server, struct redis **ret, struct err *err) WARN_UNUSED;

#endif
