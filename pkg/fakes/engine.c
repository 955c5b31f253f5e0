/* The search engine: as much of HTTP as the client needs. */
#include "fakes/engine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/parse.h"

enum { FAKE_BYTES = 8 * 1024 * 1024 };

static size_t content_length(const char *head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = strcasestr(head, name);
	uint64_t value = 0;

	at = at ? at + sizeof(name) - 1 : "";
	return parse_u64(at, strspn(at, "0123456789"), &value) ? (size_t)value : 0;
}

/* The request's body, or NULL at the end of the connection. */
static char *read_request(int fd, struct strbuf *sb)
{
	char chunk[65536];
	ssize_t n;

	strbuf_reset(sb);
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		char *end;

		strbuf_add(sb, chunk, (size_t)n);
		end = strstr(sb->data, "\r\n\r\n");
		if (end && sb->len >= (size_t)(end + 4 - sb->data) + content_length(sb->data))
			return end + 4;
	}
	return NULL;
}

static void *run_connection(void *user)
{
	struct fake_connection *c = user;
	struct fake_engine *engine = c->engine;
	struct strbuf request, answer, head;
	char *body;

	strbuf_init(&request, FAKE_BYTES);
	strbuf_init(&answer, FAKE_BYTES);
	strbuf_init(&head, 1024);
	while ((body = read_request(c->fd, &request))) {
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

static void *run_engine(void *user)
{
	struct fake_engine *engine = user;
	int fd;

	while (engine->n_connections < FAKE_CONNECTIONS && (fd = accept(engine->fd, NULL, NULL)) >= 0) {
		struct fake_connection *c = &engine->connections[engine->n_connections++];

		*c = (struct fake_connection){.engine = engine, .fd = fd};
		(void)pthread_create(&c->thread, NULL, run_connection, c);
	}
	return NULL;
}

void fake_engine_start(struct fake_engine *engine, fake_answer_fn *answer, void *user)
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
	(void)pthread_create(&engine->thread, NULL, run_engine, engine);
}

void fake_engine_stop(struct fake_engine *engine)
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
