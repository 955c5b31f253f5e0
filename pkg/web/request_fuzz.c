/* Any bytes as requests, over a connection of a running server: answers or an end, handlers are called for GET and HEAD
 * alone, and the next client is served. The first byte says in pieces of how many bytes they come. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "web/web_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECES = 64, TIMEOUT_S = 8, ANSWER_BYTES = 1 << 20 };

static struct web *web;

static void echo(void *user, const struct web_request *request, struct web_response *response)
{
	UNUSED(user);
	if (request->n_arguments > WEB_ARGUMENTS || strlen(request->body) != request->body_len)
		abort();
	for (size_t i = 0; i < request->n_arguments; i++)
		strbuf_addf(&response->body, "%s%s", request->arguments[i].name, request->arguments[i].value ?: "");
	strbuf_adds(&response->body, request->captures[0] ?: "");
}

static void start(void)
{
	const struct web_route routes[] = {{.path = "/a", .handler = echo},
					   {.path = "/b c", .handler = echo},
					   {.path = "/{}/c/{}", .handler = echo}};
	struct err err;
	sigset_t alarms;

	/* libFuzzer's alarm would end calls with EINTR; what hangs is found by TIMEOUT_S. */
	if (sigemptyset(&alarms) < 0 || sigaddset(&alarms, SIGALRM) < 0 ||
	    pthread_sigmask(SIG_BLOCK, &alarms, NULL) != 0)
		abort();
	if (web_start("127.0.0.1:0", routes, ARRAY_SIZE(routes), &web, &err) < 0)
		abort();
}

static int connected(void)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
					    .sin_port = htons((uint16_t)web_port(web)),
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		abort();
	return fd;
}

static void put(int fd, const char *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece)
		if (send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL) < 0)
			return;
}

/* What there is (flags: MSG_DONTWAIT), or all until it closes. */
static void read_answers(int fd, int flags, struct strbuf *answers)
{
	char chunk[4096];
	ssize_t n;

	strbuf_init(answers, ANSWER_BYTES);
	while ((n = recv(fd, chunk, sizeof(chunk), flags)) > 0)
		strbuf_add(answers, chunk, (size_t)n);
	if (n < 0 && !flags && (errno == EAGAIN || errno == EWOULDBLOCK))
		abort();
	if (answers->len && strncmp(answers->data, "HTTP/1.", strlen("HTTP/1.")) != 0)
		abort();
}

static void check_next_client(void)
{
	static const char request[] = "GET /a?next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	_cleanup_close_ int fd = connected();
	struct strbuf answers;

	put(fd, request, strlen(request), strlen(request));
	read_answers(fd, 0, &answers);
	if (strncmp(answers.data, "HTTP/1.1 200 ", 13) != 0 || !strstr(answers.data, "\r\n\r\nnext"))
		abort();
	strbuf_release(&answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = -1;
	struct strbuf answers;

	if (!size)
		return 0;
	if (!web)
		start();
	fd = connected();
	put(fd, (const char *)data + 1, size - 1, data[0] % PIECES ? data[0] % PIECES : size);
	/* The server has one thread: what it has to say about the input it has said before that. */
	check_next_client();
	read_answers(fd, MSG_DONTWAIT, &answers);
	strbuf_release(&answers);
	return 0;
}
