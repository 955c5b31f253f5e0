/* Any bytes as what a Redis answers to the commands of a login, a GET and a conditional SET: a value or an error,
 * within what redis.h promises. The first byte says how it is asked. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES = 1, ASK_LOGIN = 1, ASK_SET = 2, MOST_BYTES = 64 * 1024 };

static int listener = -1;
static unsigned listener_port;

static void listen_for_redis(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr *any = (const struct sockaddr *)&address;
	socklen_t len = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, any, len) < 0 || listen(listener, 16) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) < 0)
		abort();
	listener_port = ntohs(address.sin_port);
}

/* The answers to all commands at once: they wait in the socket until they are read. */
struct answers {
	const uint8_t *data;
	size_t size;
	int fd; /* of the connection; -1: there is none yet */
};

/* Called between any two waits, so also before the first answer is waited for. */
static bool answer_connections(void *user)
{
	struct answers *answers = user;

	if (answers->fd >= 0)
		return false;
	answers->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (answers->fd >= 0) {
		(void)send(answers->fd, answers->data, answers->size, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)shutdown(answers->fd, SHUT_WR);
	}
	return false;
}

static void check_redis_error(const struct err *err)
{
	if (err->kind == ERR_NONE || err->kind == ERR_FATAL || !err->msg[0])
		abort();
}

static void use_value(struct redis *redis, uint8_t how)
{
	_cleanup_free_ char *value = NULL;
	struct err err = {0};
	size_t len = 0;

	if (redis_get(redis, "k", &value, &len, &err) < 0) {
		check_redis_error(&err);
		return;
	}
	if (value ? len > MOST_BYTES || value[len] : len != 0)
		abort();
	if (how & ASK_SET && redis_set(redis, "k", "v", 1, &err) < 0)
		check_redis_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct answers answers = {data + HEAD_BYTES, size - HEAD_BYTES, -1};
	struct redis_server server = {.cancelled = answer_connections, .user = &answers};
	struct redis *redis = NULL;
	struct err err = {0};

	if (size < HEAD_BYTES || size > MOST_BYTES)
		return 0;
	if (listener < 0)
		listen_for_redis();
	server.host = "127.0.0.1";
	server.port = listener_port;
	server.password = data[0] & ASK_LOGIN ? "p" : NULL;
	server.database = data[0] & ASK_LOGIN ? 1 : 0;
	if (redis_open(&server, &redis, &err) < 0)
		check_redis_error(&err);
	else
		use_value(redis, data[0]);
	redis_close(redis);
	close_fdp(&answers.fd);
	return 0;
}
