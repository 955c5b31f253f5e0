/* Start and stop of the server: its context and its thread. */
#include "web/web.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/map.h"
#include "web/web_int.h"

static void web_free(struct web *web)
{
	if (web->context)
		lws_context_destroy(web->context);
	for (size_t i = 0; i < web->n_routes; i++)
		free((char *)web->routes[i].path);
	free(web->routes);
	close_fdp(&web->ended);
	map_free(web->peers);
	free(web);
}
CLEANUP(struct web, web_free);

static struct web *web_new(const struct web_route *routes, size_t n)
{
	struct web *web = xcalloc(1, sizeof(*web));

	web->ended = -1;
	web->peers = map_new(free);
	web->n_routes = n;
	web->routes = xmemdup(routes, n * sizeof(*routes));
	for (size_t i = 0; i < n; i++)
		web->routes[i].path = xstrdup(routes[i].path);
	return web;
}

static int create_context(struct web *web, struct err *err)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = web_protocols,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
		.user = web,
		.uid = -1,
		.gid = -1,
		.server_string = "pgsync",
		.timeout_secs = WEB_TIMEOUT_S,
		.keepalive_timeout = WEB_KEEPALIVE_S,
		.count_threads = 1,
		/* Without it, a table for each descriptor that the limits of the process allow. The listening socket
		 * and the pipe that wakes the thread take two places; a connection that is being closed may take one
		 * for a while. */
		.fd_limit_per_thread = 2 * WEB_CONNECTIONS,
		.max_http_header_pool = WEB_CONNECTIONS,
		.max_http_header_data = WEB_HEADER_BYTES,
		.pt_serv_buf_size = WEB_HEADER_BYTES,
	};

	lws_set_log_level(0, NULL);
	web->context = lws_create_context(&info);
	if (!web->context)
		return err_set(err, ERR_TRANSIENT, "starting the web server: libwebsockets refused its context");
	web->vhost = lws_create_vhost(web->context, &info);
	if (!web->vhost)
		return err_set(err, ERR_TRANSIENT, "starting the web server: libwebsockets refused its vhost");
	return 0;
}

static void *serve(void *user)
{
	struct web *web = user;

	while (!atomic_load(&web->stop) && lws_service(web->context, 0) >= 0)
		;
	(void)eventfd_write(web->ended, 1);
	return NULL;
}

/* Signals stay with the threads that wait for them. */
static int start_thread(struct web *web, struct err *err)
{
	sigset_t all, before;
	int rc;

	web->ended = eventfd(0, EFD_CLOEXEC);
	if (web->ended < 0)
		return err_errno(err, errno, "starting the web server");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&web->thread, NULL, serve, web);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? err_errno(err, rc, "starting the web server's thread") : 0;
}

int web_start(const char *listen, const struct web_route *routes, size_t n, struct web **ret, struct err *err)
{
	_cleanup_(web_freep) struct web *web = web_new(routes, n);
	_cleanup_close_ int fd = -1;

	if (web_listen(listen, &fd, &web->port, err) < 0 || create_context(web, err) < 0)
		return -1;
	if (!lws_adopt_descriptor_vhost(web->vhost, LWS_ADOPT_RAW_FILE_DESC, (lws_sock_file_fd_type){.filefd = fd},
					WEB_PROTOCOL_LISTEN, NULL))
		return err_set(err, ERR_TRANSIENT, "starting the web server: libwebsockets refused its socket");
	fd = -1;
	if (start_thread(web, err) < 0)
		return -1;
	*ret = TAKE_PTR(web);
	return 0;
}

void web_stop(struct web *web)
{
	struct pollfd ended;
	int rc;

	if (!web)
		return;
	atomic_store(&web->stop, true);
	lws_cancel_service(web->context);
	ended = (struct pollfd){.fd = web->ended, .events = POLLIN};
	/* A thread that does not end must not keep the process from ending; what it uses stays. */
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
