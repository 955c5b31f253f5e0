/* One command and its reply: bounds for what a server sends, and what its errors mean. */
#include "redis/redis_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"

enum { REPLY_BYTES = 16 * 1024 * 1024, LINE_BYTES = 64 * 1024, CHUNK_BYTES = 16 * 1024, ITEMS_MAX = 16, WORDS_MAX = 8 };

#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif

/* hiredis allocates an array of whatever length the server announces. NULL ends the parsing with an error. */
static void *create_small_array(const redisReadTask *task, array_size n)
{
	const struct redis *redis = task->privdata;

	return task->parent || (size_t)n > ITEMS_MAX ? NULL : redis->own.createArray(task, n);
}

void redis_reply_free(redisReply *reply)
{
	if (reply)
		freeReplyObject(reply);
}

static int make_reader(struct redis *redis, struct err *err)
{
	redis->reader = redisReaderCreate();
	if (!redis->reader)
		return err_set(err, ERR_FATAL, "hiredis could not create a reader");
	redis->own = redis->functions = *redis->reader->fn;
	redis->reader->privdata = redis;
	redis->functions.createArray = create_small_array;
	redis->reader->fn = &redis->functions;
	return 0;
}

int redis_connect(const struct redis_server *server, const char *host, unsigned port, struct redis **ret,
		  struct err *err)
{
	_cleanup_(redis_closep) struct redis *redis = xcalloc(1, sizeof(*redis));
	struct http_pipe_options options = {.host = host,
					    .port = port,
					    .tls = server->tls,
					    .ca_pem = server->ca_pem,
					    .deadline_ms = clock_now_ms() + REDIS_TIMEOUT_MS,
					    .cancelled = server->cancelled,
					    .user = server->user};

	redis->name = xasprintf("%s://%s:%u", server->tls ? "rediss" : "redis", host, port);
	options.name = redis->name;
	if (make_reader(redis, err) < 0 || http_pipe_open(&options, &redis->pipe, err) < 0)
		return -1;
	*ret = TAKE_PTR(redis);
	return 0;
}

void redis_close(struct redis *redis)
{
	if (!redis)
		return;
	http_pipe_close(redis->pipe);
	if (redis->reader)
		redisReaderFree(redis->reader);
	free(redis->name);
	free(redis);
}

/* --- What goes wrong -------------------------------------------------------------------------------------------------
 */
struct known_error {
	const char *begins; /* with this */
	enum err_kind kind;
	enum reason reason;
	const char *text;
};

static const struct known_error known_errors[] = {
	{"NOAUTH", ERR_DENIED, REASON_AUTH_FAILED, "the server asks for a password, and none is given"},
	{"WRONGPASS", ERR_DENIED, REASON_AUTH_FAILED, "wrong user or password"},
	{"ERR invalid password", ERR_DENIED, REASON_AUTH_FAILED, "wrong password"},
	{"ERR AUTH", ERR_DENIED, REASON_AUTH_FAILED, "a password is given, and the server has none for this user"},
	{"ERR Client sent AUTH", ERR_DENIED, REASON_AUTH_FAILED, "a password is given, and the server has none"},
	{"ERR wrong number of arguments for 'auth'", ERR_DENIED, REASON_AUTH_FAILED,
	 "the server knows no users (Redis before 6): leave the user name out"},
	{"NOPERM", ERR_DENIED, REASON_PRIVILEGE_MISSING,
	 "the user may not run this command on this key: it needs GET, SET, DEL, WATCH, MULTI and EXEC on pgsync:*"},
	{"ERR DB index", ERR_INVALID, REASON_NONE, "the server has no database of this number"},
	{"ERR SELECT", ERR_INVALID, REASON_NONE, "the server has no database but 0"},
	{"MOVED", ERR_INVALID, REASON_NOT_SUPPORTED,
	 "the server is a node of a Redis Cluster, which is not supported: use a single server, or Sentinel"},
	{"READONLY", ERR_TRANSIENT, REASON_NONE, "the server is a replica, which cannot be written to"},
	{"LOADING", ERR_TRANSIENT, REASON_NONE, "the server is loading its data"},
	{"MASTERDOWN", ERR_TRANSIENT, REASON_NONE, "the server is a replica that has lost its master"},
	{"NOREPLICAS", ERR_TRANSIENT, REASON_NONE, "the server has too few replicas to accept writes"},
	{"MISCONF", ERR_TRANSIENT, REASON_NONE, "the server cannot save to its disk, so it accepts no writes"},
	{"OOM", ERR_TRANSIENT, REASON_NONE, "the server's memory is full"},
	{"BUSY", ERR_TRANSIENT, REASON_NONE, "the server is busy with a script"},
	{"CLUSTERDOWN", ERR_TRANSIENT, REASON_NONE, "the cluster is down"},
	{"EXECABORT", ERR_TRANSIENT, REASON_NONE, "the server refused a command of the transaction"},
	{"ERR max number of clients", ERR_TRANSIENT, REASON_NONE, "the server has too many clients"},
};

static int refused(const struct redis *redis, const char *command, const redisReply *reply, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(known_errors); i++) {
		const struct known_error *known = &known_errors[i];

		if (reply->str && strncmp(reply->str, known->begins, strlen(known->begins)) == 0)
			return err_reason(err, known->kind, known->reason, "%s: %s: %s", redis->name, command,
					  known->text);
	}
	return err_set(err, ERR_TRANSIENT, "%s: %s: the server answered with an error; its own log may say why",
		       redis->name, command);
}

static int not_redis(const struct redis *redis, const char *command, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s: %s: the answer is not one that Redis gives", redis->name, command);
}

/* --- Sending and receiving -------------------------------------------------------------------------------------------
 */
/* What has arrived of a reply. */
struct arrived {
	bool is_value; /* it begins with "$" */
	bool has_line;
	size_t total;
};

/* Only a value, "$LENGTH\r\n...", may be long: hiredis looks for the end of a line from its beginning, again with every
 * chunk. */
static size_t reply_limit(struct arrived *a, const char *chunk, size_t n)
{
	if (a->total == 0)
		a->is_value = chunk[0] == '$';
	a->has_line = a->has_line || memchr(chunk, '\n', n);
	a->total += n;
	return a->is_value && a->has_line ? REPLY_BYTES : LINE_BYTES;
}

static int read_reply(struct redis *redis, const char *command, redisReply **ret, struct err *err)
{
	char chunk[CHUNK_BYTES];
	void *reply = NULL;
	struct arrived arrived = {.total = 0};

	for (;;) {
		size_t n, limit;

		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
			return not_redis(redis, command, err);
		if (reply)
			break;
		if (http_pipe_recv(redis->pipe, chunk, sizeof(chunk), &n, err) < 0)
			return -1;
		limit = reply_limit(&arrived, chunk, n);
		if (arrived.total > limit)
			return err_set(err, ERR_LIMIT, "%s: %s: the answer is larger than %zu bytes", redis->name,
				       command, limit);
		if (redisReaderFeed(redis->reader, chunk, n) != REDIS_OK)
			return not_redis(redis, command, err);
	}
	*ret = reply;
	return 0;
}

static int send_command(struct redis *redis, const struct redis_words *words, struct err *err)
{
	const char *argv[WORDS_MAX];
	char *text = NULL;
	int len, r;

	for (size_t i = 0; i < words->n; i++)
		argv[i] = words->items[i];
	len = redisFormatCommandArgv(&text, (int)words->n, argv, words->lengths);
	if (len < 0)
		return err_set(err, ERR_FATAL, "hiredis could not format a command");
	r = http_pipe_send(redis->pipe, text, (size_t)len, err);
	/* It may be a login. */
	explicit_bzero(text, (size_t)len);
	redisFreeCommand(text);
	return r;
}

static bool may_be_nil(int expected)
{
	return expected == REDIS_REPLY_STRING || expected == REDIS_REPLY_ARRAY;
}

int redis_command(struct redis *redis, const struct redis_words *words, int expected, redisReply **ret, struct err *err)
{
	_cleanup_reply_ redisReply *reply = NULL;

	if (send_command(redis, words, err) < 0 || read_reply(redis, words->items[0], &reply, err) < 0)
		return -1;
	if (reply->type == REDIS_REPLY_ERROR)
		return refused(redis, words->items[0], reply, err);
	if (reply->type != expected && !(reply->type == REDIS_REPLY_NIL && may_be_nil(expected)))
		return not_redis(redis, words->items[0], err);
	*ret = TAKE_PTR(reply);
	return 0;
}
