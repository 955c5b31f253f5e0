/* Start and stop of the server: its socket, its threads, and libmicrohttpd between them. */
#include "web/web.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "web/web_int.h"

static void web_free(struct web *web)
{
	if (web->daemon)
		MHD_stop_daemon(web->daemon);
	for (size_t i = 0; i < web->options.n_routes; i++) {
		free((char *)web->options.routes[i].path);
		free((char *)web->options.routes[i].method);
	}
	free((struct web_route *)web->options.routes);
	web_work_free(&web->work);
	close_fdp(&web->listen);
	close_fdp(&web->spare);
	close_fdp(&web->wake);
	close_fdp(&web->ended);
	map_free(web->peers);
	free(web);
}
CLEANUP(struct web, web_free);

static struct web *web_new(const struct web_options *options)
{
	struct web *web = xcalloc(1, sizeof(*web));
	struct web_route *routes = xcalloc(options->n_routes + 1, sizeof(*routes));

	web->listen = -1;
	web->wake = eventfd(0, EFD_CLOEXEC);
	web->ended = eventfd(0, EFD_CLOEXEC);
	web->spare = eventfd(0, EFD_CLOEXEC);
	web->peers = map_new(free);
	for (size_t i = 0; i < options->n_routes; i++) {
		routes[i] = options->routes[i];
		routes[i].path = xstrdup(routes[i].path);
		routes[i].method = xstrdup(routes[i].method ? routes[i].method : MHD_HTTP_METHOD_GET);
	}
	web->options = *options;
	web->options.routes = routes;
	return web;
}

static void log_nothing(void *user, const char *format, va_list args)
{
	UNUSED(user);
	UNUSED(format);
	UNUSED(args);
}

/* libmicrohttpd runs only when called, in our thread, and does not accept connections itself. An evicted connection
 * takes a place until it is closed. */
static int start_daemon(struct web *web, struct err *err)
{
	const unsigned suspends = web->options.workers ? MHD_ALLOW_SUSPEND_RESUME : 0;
	struct MHD_OptionItem options[] = {
		{MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_nothing, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, 2 * WEB_CONNECTIONS, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, WEB_TIMEOUT_S, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, WEB_MEMORY_BYTES, NULL},
		{MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)web_unescape, NULL},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)web_connection_notify, web},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)web_http_completed, web},
		{MHD_OPTION_END, 0, NULL},
	};

	web->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | suspends, 0, NULL, NULL,
				       web_http_request, web, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!web->daemon)
		return err_set(err, ERR_TRANSIENT, "starting the web server: libmicrohttpd does not start");
	return 0;
}

/* How long to wait for events: until the next time limit of a connection. */
static int web_wait_ms(struct web *web)
{
	const int most = web->crowded ? WEB_CROWDED_MS : WEB_TIMEOUT_S * 1000;
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(web->daemon, &ms) != MHD_YES)
		return web->crowded ? most : -1;
	return ms < (unsigned)most ? (int)ms : most;
}

/* A connection that is resumed, the answer, and its end. */
enum { LAST_RUNS = 3 };

static void *serve(void *user)
{
	struct web *web = user;
	const union MHD_DaemonInfo *epoll = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[] = {{.fd = web->wake, .events = POLLIN},
			       {.fd = web->listen, .events = POLLIN},
			       {.fd = epoll->epoll_fd, .events = POLLIN}};

	while (!atomic_load(&web->stop)) {
		eventfd_t wakes;

		if (web->spare < 0)
			web->spare = eventfd(0, EFD_CLOEXEC);
		/* A client that cannot be accepted would end each wait at once. */
		fds[1].fd = web->crowded ? -1 : web->listen;
		if (poll(fds, ARRAY_SIZE(fds), web_wait_ms(web)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			(void)eventfd_read(web->wake, &wakes);
		if (fds[1].revents || web->crowded)
			web_accept(web);
		(void)MHD_run(web->daemon);
	}
	web_work_stop(web);
	/* What workers answered last is sent, unless its client does not read. */
	for (int i = 0; i < LAST_RUNS; i++)
		(void)MHD_run(web->daemon);
	(void)eventfd_write(web->ended, 1);
	return NULL;
}

/* Leaves signals to the threads that wait for them. */
static int start_threads(struct web *web, struct err *err)
{
	sigset_t all, before;
	int rc;

	if (web->wake < 0 || web->ended < 0)
		return err_errno(err, errno, "starting the web server");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	web_work_start(web);
	rc = pthread_create(&web->thread, NULL, serve, web);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? err_errno(err, rc, "starting the web server's thread") : 0;
}

static int open_listen(struct web *web, struct err *err)
{
	if (web->options.listen)
		return web_listen(web->options.listen, &web->listen, &web->port, err);
	web->listen = fcntl(web->options.channel_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return web->listen < 0 ? err_errno(err, errno, "using a channel for connections") : 0;
}

int web_serve(const struct web_options *options, struct web **ret, struct err *err)
{
	_cleanup_(web_freep) struct web *web = web_new(options);

	if (open_listen(web, err) < 0 || start_daemon(web, err) < 0 || start_threads(web, err) < 0)
		return -1;
	*ret = TAKE_PTR(web);
	return 0;
}

int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret, struct err *err)
{
	return web_serve(&(struct web_options){.listen = listen, .routes = routes, .n_routes = n}, ret, err);
}

void web_stop(struct web *web)
{
	struct pollfd ended;
	int rc;

	if (!web)
		return;
	atomic_store(&web->stop, true);
	(void)eventfd_write(web->wake, 1);
	ended = (struct pollfd){.fd = web->ended, .events = POLLIN};
	/* A thread that does not end must not keep the process from ending; its memory is then not freed. */
	do
		rc = poll(&ended, 1, WEB_JOIN_MS);
	while (rc < 0 && errno == EINTR);
	if (rc != 1) {
		log_warn("web", "the web server's thread does not end, skipping it");
		return;
	}
	(void)pthread_join(web->thread, NULL);
	web_free(web);
}

int web_port(const struct web *web)
{
	return web->port;
}
