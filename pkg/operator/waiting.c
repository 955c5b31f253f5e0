/* Waits for positions of the WAL. A client's request is passed on to the worker of its PgSync, over a connection that
 * only this process can open: the worker knows how far its indices are, and refreshes them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "operator/operator_int.h"

/* ANSWER_MS: a worker ends a wait after a minute. The waits of one PgSync leave room for those of others. */
enum { WAITS = 64, WAITS_OF_ONE = 16, ANSWER_MS = 65 * 1000, ANSWER_BYTES = 4096, PATH_BYTES = 16384 };

struct channel {
	int fd;     /* the client's end; -1: the worker has ended, but waits are not answered yet */
	unsigned n; /* waits */
};

struct waiting {
	struct web *web;
	atomic_bool stopping;
	pthread_mutex_t lock;
	struct map *channels; /* key of a PgSync -> struct channel */
};

static void free_channel(void *user)
{
	struct channel *channel = user;

	close_fdp(&channel->fd);
	free(channel);
}

/* --- the workers */

int waiting_open(struct waiting *w, const char *key, int *ret_server_fd, struct err *err)
{
	struct channel *channel;
	int fd;

	*ret_server_fd = 0;
	if (!w)
		return 0;
	if (web_channel_open(ret_server_fd, &fd, err) < 0)
		return -1;
	(void)pthread_mutex_lock(&w->lock);
	channel = map_gets(w->channels, key);
	if (!channel) {
		channel = xcalloc(1, sizeof(*channel));
		channel->fd = -1;
		map_puts(w->channels, key, channel);
	}
	close_fdp(&channel->fd);
	channel->fd = fd;
	(void)pthread_mutex_unlock(&w->lock);
	return 0;
}

/* Call it with the lock. */
static void forget_unused(struct waiting *w, const char *key, struct channel *channel)
{
	if (channel->fd < 0 && !channel->n)
		(void)map_removes(w->channels, key);
}

void waiting_close(struct waiting *w, const char *key)
{
	struct channel *channel;

	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	channel = map_gets(w->channels, key);
	if (channel) {
		close_fdp(&channel->fd);
		channel->fd = -1;
		forget_unused(w, key, channel);
	}
	(void)pthread_mutex_unlock(&w->lock);
}

/* --- the clients, in threads of their own */

static int connect_worker(struct waiting *w, const char *key, int *ret_fd, struct err *err)
{
	struct channel *channel;
	int r = -1;

	(void)pthread_mutex_lock(&w->lock);
	channel = map_gets(w->channels, key);
	if (!channel || channel->fd < 0)
		(void)err_set(
			err, ERR_TRANSIENT,
			"no worker of this PgSync runs here: it is suspended, has just failed, does not exist, or "
			"another operator is the leader");
	else if (channel->n >= WAITS_OF_ONE)
		(void)err_set(err, ERR_TRANSIENT, "%d clients wait for this PgSync already", WAITS_OF_ONE);
	else
		r = web_channel_connect(channel->fd, ret_fd, err);
	if (r == 0)
		channel->n++;
	(void)pthread_mutex_unlock(&w->lock);
	return r;
}

static void leave_worker(struct waiting *w, const char *key)
{
	struct channel *channel;

	(void)pthread_mutex_lock(&w->lock);
	channel = map_gets(w->channels, key);
	channel->n--;
	forget_unused(w, key, channel);
	(void)pthread_mutex_unlock(&w->lock);
}

static bool waits_are_ending(void *user)
{
	const struct waiting *w = user;

	return atomic_load(&w->stopping);
}

static void pass_argument(struct strbuf *path, const char *name, const char *value)
{
	if (!value)
		return;
	strbuf_addf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', name);
	http_escape(path, value);
}

struct answer {
	unsigned status;
	struct strbuf body;
};

static int pass_on(struct waiting *w, const char *key, const struct web_request *request, struct answer *ret,
		   struct err *err)
{
	struct web_channel_get get = {.end_ms = clock_now_ms() + ANSWER_MS, .cancelled = waits_are_ending, .user = w};
	_cleanup_(strbuf_release) struct strbuf path;
	_cleanup_close_ int fd = -1;
	int r;

	strbuf_init(&path, PATH_BYTES);
	strbuf_adds(&path, "/wait");
	pass_argument(&path, "lsn", web_argument(request, "lsn"));
	pass_argument(&path, "timeout", web_argument(request, "timeout"));
	if (connect_worker(w, key, &fd, err) < 0)
		return -1;
	get.path = path.data;
	r = web_channel_get(fd, &get, &ret->status, &ret->body, err);
	leave_worker(w, key);
	return r < 0 ? err_set(err, ERR_TRANSIENT,
			       waits_are_ending(w) ? "the operator is stopping" : "the worker has ended")
		     : 0;
}

static void answer_unanswered(struct web_response *response, const char *error)
{
	_cleanup_json_ json_t *body = json_pack("{s:o}", "error", jsonx_text(error));
	_cleanup_free_ char *text = json_dumps(body, JSON_COMPACT);

	response->status = 503;
	strbuf_adds(&response->body, text);
	strbuf_addc(&response->body, '\n');
}

/* What a worker says is passed on only if it is what a worker says. */
static bool is_sound(const struct answer *answer)
{
	_cleanup_json_ json_t *body = json_loadb(answer->body.data, answer->body.len, 0, NULL);

	return json_is_object(body) &&
	       (answer->status == 200 || answer->status == 400 || answer->status == 503 || answer->status == 504);
}

static void serve_wait(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", request->captures[0], request->captures[1]);
	struct answer answer = {0};
	struct err err = {0};

	strbuf_init(&answer.body, ANSWER_BYTES);
	response->content_type = "application/json";
	if (pass_on(user, key, request, &answer, &err) < 0) {
		answer_unanswered(response, err.msg);
	} else if (!is_sound(&answer)) {
		answer_unanswered(response, "the worker's answer makes no sense");
	} else {
		response->status = answer.status;
		strbuf_add(&response->body, answer.body.data, answer.body.len);
	}
	strbuf_release(&answer.body);
}

/* --- start and end */

int waiting_start(const char *listen, struct waiting **ret, struct err *err)
{
	struct waiting *w = xcalloc(1, sizeof(*w));
	const struct web_route route = {.path = "/{}/{}/wait", .handler = serve_wait, .user = w};
	const struct web_options options = {.listen = listen, .routes = &route, .n_routes = 1, .workers = WAITS};

	(void)pthread_mutex_init(&w->lock, NULL);
	w->channels = map_new(free_channel);
	if (web_serve(&options, &w->web, err) < 0) {
		waiting_stop(w);
		return -1;
	}
	*ret = w;
	return 0;
}

void waiting_stop(struct waiting *w)
{
	if (!w)
		return;
	atomic_store(&w->stopping, true);
	web_stop(w->web);
	map_free(w->channels);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

int waiting_port(const struct waiting *w)
{
	return web_port(w->web);
}
