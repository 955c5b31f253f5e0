/* For tests: a scripted search engine on its own threads. */
#ifndef PGSYNC_SEARCH_FAKE_ENGINE_INT_H
#define PGSYNC_SEARCH_FAKE_ENGINE_INT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/strbuf.h"

enum { FAKE_CONNECTIONS = 16, FAKE_BYTES = 8 * 1024 * 1024 };

struct fake_engine;
struct fake_connection {
	struct fake_engine *engine;
	pthread_t thread;
	int fd;
};

/* Writes the answer's body and returns its status; 0 closes the connection without an answer. Called one at a time. */
typedef int fake_answer_fn(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer);

struct fake_engine {
	int fd;
	char url[64];
	fake_answer_fn *answer;
	void *user;
	const char *headers; /* more of them, each with its line end; or "" */
	pthread_t thread;
	pthread_mutex_t lock;
	struct fake_connection connections[FAKE_CONNECTIONS];
	unsigned n_connections, n_requests;
};

static inline size_t fake_content_length(const char *head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = strcasestr(head, name);
	uint64_t value = 0;

	at = at ? at + sizeof(name) - 1 : "";
	return parse_u64(at, strspn(at, "0123456789"), &value) ? (size_t)value : 0;
}

/* The request's body, or NULL at the end of the connection. */
static inline char *fake_read(int fd, struct strbuf *sb)
{
	char chunk[65536];
	ssize_t n;

	strbuf_reset(sb);
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		char *end;

		strbuf_add(sb, chunk, (size_t)n);
		end = strstr(sb->data, "\r\n\r\n");
		if (end && sb->len >= (size_t)(end + 4 - sb->data) + fake_content_length(sb->data))
			return end + 4;
	}
	return NULL;
}

static inline void *fake_connection_run(void *user)
{
	struct fake_connection *c = user;
	struct fake_engine *engine = c->engine;
	struct strbuf request, answer, head;
	char *body;

	strbuf_init(&request, FAKE_BYTES);
	strbuf_init(&answer, FAKE_BYTES);
	strbuf_init(&head, 1024);
	while ((body = fake_read(c->fd, &request))) {
		int status;

		strbuf_reset(&answer);
		(void)pthread_mutex_lock(&engine->lock);
		engine->n_requests++;
		body[-1] = '\0';
		status = engine->answer(engine, request.data, body, &answer);
		strbuf_reset(&head);
		strbuf_addf(&head, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
			    status, engine->headers, answer.len);
		(void)pthread_mutex_unlock(&engine->lock);
		if (!status)
			break;
		(void)!send(c->fd, head.data, head.len, MSG_NOSIGNAL | MSG_MORE);
		(void)!send(c->fd, answer.data, strncmp(request.data, "HEAD", 4) ? answer.len : 0, MSG_NOSIGNAL);
	}
	strbuf_release(&request);
	strbuf_release(&answer);
	strbuf_release(&head);
	(void)shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static inline void *fake_engine_run(void *user)
{
	struct fake_engine *engine = user;
	int fd;

	while (engine->n_connections < FAKE_CONNECTIONS && (fd = accept(engine->fd, NULL, NULL)) >= 0) {
		struct fake_connection *c = &engine->connections[engine->n_connections++];

		*c = (struct fake_connection){.engine = engine, .fd = fd};
		(void)pthread_create(&c->thread, NULL, fake_connection_run, c);
	}
	return NULL;
}

static inline void fake_engine_start(struct fake_engine *engine, fake_answer_fn *answer, void *user)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*engine = (struct fake_engine){.answer = answer, .user = user, .headers = ""};
	(void)pthread_mutex_init(&engine->lock, NULL);
	engine->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(engine->fd, (struct sockaddr *)&address, len) < 0 || listen(engine->fd, 16) < 0 ||
	    getsockname(engine->fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	(void)snprintf(engine->url, sizeof(engine->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	(void)pthread_create(&engine->thread, NULL, fake_engine_run, engine);
}

static inline void fake_engine_stop(struct fake_engine *engine)
{
	(void)shutdown(engine->fd, SHUT_RDWR);
	(void)pthread_join(engine->thread, NULL);
	for (unsigned i = 0; i < engine->n_connections; i++) {
		(void)shutdown(engine->connections[i].fd, SHUT_RDWR);
		(void)pthread_join(engine->connections[i].thread, NULL);
		(void)close(engine->connections[i].fd);
	}
	(void)close(engine->fd);
	(void)pthread_mutex_destroy(&engine->lock);
}

#endif
