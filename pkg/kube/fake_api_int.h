/* Test support: an API server that answers from a script, one step for each request, and records what it was asked.
 * Each connection has its own thread, so that one may hang while the next is answered. */
#ifndef PGSYNC_KUBE_FAKE_API_INT_H
#define PGSYNC_KUBE_FAKE_API_INT_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "kube/config_int.h"
#include "kube/kube_int.h"

enum fake_end { FAKE_CLEAN, FAKE_RESET, FAKE_HANG };

struct fake_step {
	int status;
	const char *body;
	const char *headers;   /* lines that end with "\r\n", or NULL */
	const char *stream[8]; /* instead of body: sent piece by piece, chunked */
	enum fake_end end;     /* of a stream; FAKE_RESET without a status: no answer at all. */
};

enum { FAKE_CONNECTIONS = 64, FAKE_PATIENCE_MS = 20 * 1000 };

struct fake_api {
	int fd;
	unsigned port;
	const struct fake_step *steps;
	size_t n_steps, next;
	pthread_t acceptor, connections[FAKE_CONNECTIONS];
	size_t n_connections;
	pthread_mutex_t lock;
	struct strbuf log; /* "METHOD path body\n" for each request; with Authorization when there is one */
	bool running, stopping;
};

struct fake_connection {
	struct fake_api *api;
	int fd;
};

static inline void fake_send(int fd, const char *data, size_t len)
{
	(void)!send(fd, data, len, MSG_NOSIGNAL);
}

static inline void fake_reset(int fd)
{
	struct linger linger = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* Waits until the client goes away or the test ends. */
static inline void fake_hang(struct fake_api *api, int fd)
{
	char c;

	while (!__atomic_load_n(&api->stopping, __ATOMIC_SEQ_CST)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 20) > 0 && recv(fd, &c, 1, 0) <= 0)
			return;
	}
}

static inline void fake_stream(const struct fake_step *step, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(step->stream) && step->stream[i]; i++) {
		_cleanup_free_ char *chunk = xasprintf("%zx\r\n%s\r\n", strlen(step->stream[i]), step->stream[i]);
		/* Long enough that each is a separate read, and that a reset does not overtake the last. */
		struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

		fake_send(fd, chunk, strlen(chunk));
		(void)nanosleep(&pause, NULL);
	}
}

/* Answers one request; false: the connection is over. */
static inline bool fake_answer(struct fake_api *api, const struct fake_step *step, int fd)
{
	_cleanup_free_ char *head = NULL;
	const char *headers = step->headers ? step->headers : "";

	if (step->status == 0) {
		if (step->end == FAKE_HANG)
			fake_hang(api, fd);
		fake_reset(fd);
		return false;
	}
	if (!step->stream[0] && step->body) {
		head = xasprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
				 step->status, headers, strlen(step->body), step->body);
		fake_send(fd, head, strlen(head));
		return true;
	}
	head = xasprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sTransfer-Encoding: chunked\r\n\r\n",
			 step->status, headers);
	fake_send(fd, head, strlen(head));
	fake_stream(step, fd);
	if (step->end == FAKE_CLEAN)
		fake_send(fd, "0\r\n\r\n", 5);
	if (step->end == FAKE_HANG)
		fake_hang(api, fd);
	if (step->end == FAKE_RESET)
		fake_reset(fd);
	return step->end == FAKE_CLEAN;
}

/* Reads one request into sb; false at the end of the connection. */
static inline bool fake_read(struct fake_api *api, int fd, struct strbuf *sb)
{
	size_t want = 0;
	char chunk[4096];

	strbuf_reset(sb);
	while (want == 0 || sb->len < want) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		const char *end, *length;
		uint64_t body = 0;
		ssize_t n;

		if (__atomic_load_n(&api->stopping, __ATOMIC_SEQ_CST))
			return false;
		if (poll(&p, 1, 20) <= 0)
			continue;
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return false;
		strbuf_add(sb, chunk, (size_t)n);
		end = strstr(sb->data, "\r\n\r\n");
		if (!end || want)
			continue;
		length = strcasestr(sb->data, "content-length: ");
		if (length && length < end)
			body = strtoull(length + 16, NULL, 10);
		want = (size_t)(end - sb->data) + 4 + (size_t)body;
	}
	return true;
}

static inline const struct fake_step *fake_take(struct fake_api *api, const struct strbuf *request)
{
	static const struct fake_step HANG = {.end = FAKE_HANG};
	const struct fake_step *step = &HANG;
	const char *authorization = strcasestr(request->data, "\r\nauthorization: ");
	const char *type = strcasestr(request->data, "\r\ncontent-type: ");

	(void)pthread_mutex_lock(&api->lock);
	strbuf_add(&api->log, request->data, strcspn(request->data, "\r") - strlen(" HTTP/1.1"));
	if (authorization)
		strbuf_addf(&api->log, " [%.*s]", (int)strcspn(authorization + 17, "\r"), authorization + 17);
	if (type)
		strbuf_addf(&api->log, " [%.*s]", (int)strcspn(type + 16, "\r"), type + 16);
	strbuf_addf(&api->log, " %s\n", strstr(request->data, "\r\n\r\n") + 4);
	if (api->next < api->n_steps)
		step = &api->steps[api->next++];
	(void)pthread_mutex_unlock(&api->lock);
	return step;
}

static inline void *fake_serve(void *user)
{
	struct fake_connection *connection = user;
	struct strbuf request;

	strbuf_init(&request, 1024 * 1024);
	while (fake_read(connection->api, connection->fd, &request)) {
		if (!fake_answer(connection->api, fake_take(connection->api, &request), connection->fd))
			break;
	}
	strbuf_release(&request);
	(void)close(connection->fd);
	free(connection);
	return NULL;
}

static inline void *fake_accept(void *user)
{
	struct fake_api *api = user;

	while (!__atomic_load_n(&api->stopping, __ATOMIC_SEQ_CST)) {
		struct pollfd p = {.fd = api->fd, .events = POLLIN};
		struct fake_connection *connection;
		int fd;

		if (poll(&p, 1, 20) <= 0 || api->n_connections == FAKE_CONNECTIONS)
			continue;
		fd = accept4(api->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		/* Small pieces go out at once. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		connection = xcalloc(1, sizeof(*connection));
		connection->api = api;
		connection->fd = fd;
		if (pthread_create(&api->connections[api->n_connections], NULL, fake_serve, connection) != 0)
			abort();
		api->n_connections++;
	}
	return NULL;
}

/* Binds a free port; fake_run answers on it. */
static inline void fake_bind(struct fake_api *api)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*api = (struct fake_api){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (bind(api->fd, (struct sockaddr *)&address, len) < 0 ||
	    getsockname(api->fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	api->port = ntohs(address.sin_port);
	(void)pthread_mutex_init(&api->lock, NULL);
	strbuf_init(&api->log, 1024 * 1024);
}

static inline void fake_run(struct fake_api *api, const struct fake_step *steps, size_t n)
{
	api->steps = steps;
	api->n_steps = n;
	api->running = true;
	if (listen(api->fd, 32) < 0 || pthread_create(&api->acceptor, NULL, fake_accept, api) != 0)
		abort();
}

static inline void fake_stop(struct fake_api *api)
{
	__atomic_store_n(&api->stopping, true, __ATOMIC_SEQ_CST);
	if (api->running)
		(void)pthread_join(api->acceptor, NULL);
	for (size_t i = 0; i < api->n_connections; i++)
		(void)pthread_join(api->connections[i], NULL);
	(void)close(api->fd);
	strbuf_release(&api->log);
	(void)pthread_mutex_destroy(&api->lock);
}

/* How many requests have come whose line contains text. */
static inline size_t fake_count(struct fake_api *api, const char *text)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&api->lock);
	for (const char *p = api->log.data; (p = strstr(p, text)); p++)
		count++;
	(void)pthread_mutex_unlock(&api->lock);
	return count;
}

/* How many steps of the script were taken. */
static inline size_t fake_taken(struct fake_api *api)
{
	size_t taken;

	(void)pthread_mutex_lock(&api->lock);
	taken = api->next;
	(void)pthread_mutex_unlock(&api->lock);
	return taken;
}

/* A client of it. more: further lines of the user in the kubeconfig's flow style, or "". */
static inline struct kube *fake_client(const struct fake_api *api, const char *user)
{
	_cleanup_free_ char *text =
		xasprintf("current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
			  "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:%u'}}]\n"
			  "users: [{name: a, user: {%s}}]\n",
			  api->port, user);
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct kube *kube = NULL;
	struct err err;

	if (kube_config_parse(text, strlen(text), NULL, NULL, &config, &err) < 0 ||
	    kube_new(config, "test", &kube, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	kube->tuning.backoff_base_ms = 20;
	kube->tuning.backoff_cap_ms = 100;
	kube->tuning.very_short_ms = 2;
	kube->tuning.retry_ms = 10;
	kube->tuning.refresh_ms = 1;
	kube->tuning.event_retry_ms = 20;
	return kube;
}

/* Polls until the condition holds, within reason. */
#define FAKE_UNTIL(kube, condition)                                                 \
	do {                                                                        \
		int64_t until_ms_ = clock_now_ms() + FAKE_PATIENCE_MS;              \
		struct err err_;                                                    \
                                                                                    \
		while (!(condition) && clock_now_ms() < until_ms_)                  \
			assert_int_equal(kube_poll((kube), NULL, 0, 10, &err_), 0); \
		assert_true(condition);                                             \
	} while (0)
/* Polls for some time. */
#define FAKE_FOR(kube, ms)                                                          \
	do {                                                                        \
		int64_t until_ms_ = clock_now_ms() + (ms);                          \
		struct err err_;                                                    \
                                                                                    \
		while (clock_now_ms() < until_ms_)                                  \
			assert_int_equal(kube_poll((kube), NULL, 0, 10, &err_), 0); \
	} while (0)

#endif
