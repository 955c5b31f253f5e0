/* The console's server: who may ask, and the answers. */
#include "console/console.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "console/console_int.h"
#include "json/json.h"

enum { TOKEN_BYTES = 4096, TOKEN_LEAST = 16, HOSTS = 16, API_ROUTES = 3, WORKERS = 2 };

static const char scheme[] = "Bearer ";

/* A route that was added, behind the token. */
struct guarded {
	const struct console *console;
	web_handler *handler;
	void *user;
};

struct console {
	struct web *web;
	struct guarded guarded[CONSOLE_ROUTES];
	char *host_list;
	const char *hosts[HOSTS + 1];      /* point into host_list */
	char token_hash[JSONX_HASH_BYTES]; /* "": none is needed */
	pthread_mutex_t lock;
	struct console_store store; /* under the lock */
};

/* --- options */

static bool is_loopback(const char *listen)
{
	const char *colon = strrchr(listen, ':');

	return colon && colon > listen && host_is_loopback(listen, (size_t)(colon - listen));
}

/* ret gets the hash of the token; "": there is none. */
static int read_token(const char *path, char ret[JSONX_HASH_BYTES], struct err *err)
{
	_cleanup_(free_secretp) char *token = NULL;
	size_t len;

	ret[0] = '\0';
	if (!path)
		return 0;
	if (jsonx_read_file(path, TOKEN_BYTES, &token, &len, err) < 0)
		return err_wrap(err, "reading the console's token");
	token[strcspn(token, "\r\n")] = '\0';
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return err_set(err, ERR_INVALID,
				       "the console's token in %s must be ASCII without blanks, on one line", path);
	if (strlen(token) < TOKEN_LEAST)
		return err_set(err, ERR_INVALID,
			       "the console's token in %s must have %d characters or more, found %zu; "
			       "`openssl rand -hex 32` makes one",
			       path, TOKEN_LEAST, strlen(token));
	(void)jsonx_hash_bytes(token, strlen(token), ret);
	return 0;
}

static size_t number_of_hosts(const char *list)
{
	size_t n = list ? 1 : 0;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

int console_check(const struct console_options *options, struct err *err)
{
	char hash[JSONX_HASH_BYTES];

	if (!options->token_file && !is_loopback(options->listen))
		return err_set(
			err, ERR_INVALID,
			"others can reach \"%s\", so the console needs --console-token-file; or let it listen on "
			"127.0.0.1",
			options->listen);
	if (number_of_hosts(options->hosts) > HOSTS)
		return err_set(err, ERR_INVALID, "the console may have at most %d host names, found %zu", HOSTS,
			       number_of_hosts(options->hosts));
	return read_token(options->token_file, hash, err);
}

/* --- who may ask */

/* Takes as long wherever the two differ. */
static bool is_same_hash(const char a[JSONX_HASH_BYTES], const char b[JSONX_HASH_BYTES])
{
	unsigned differences = 0;

	for (size_t i = 0; i < JSONX_HASH_BYTES; i++)
		differences |= (unsigned char)a[i] ^ (unsigned char)b[i];
	return differences == 0;
}

static bool shows_the_token(const struct console *console, const struct web_request *request)
{
	const char *given = web_header(request, "Authorization");
	char hash[JSONX_HASH_BYTES] = "";

	if (!*console->token_hash)
		return true;
	if (!given || strncmp(given, scheme, strlen(scheme)) != 0)
		return false;
	given += strlen(scheme);
	(void)jsonx_hash_bytes(given, strlen(given), hash);
	return is_same_hash(hash, console->token_hash);
}

/* --- answers */

static void answer_json_message(struct web_response *response, unsigned status, const char *text)
{
	response->status = status;
	response->content_type = "application/json";
	strbuf_adds(&response->body, "{\"message\":");
	strbuf_add_json(&response->body, text, strlen(text));
	strbuf_adds(&response->body, "}\n");
}

static void answer_json_refusal(const char *text, struct web_response *response)
{
	answer_json_message(response, response->status, text);
}

/* False: the response says why not. */
static bool admit_visitor(const struct console *console, const struct web_request *request,
			  struct web_response *response)
{
	if (shows_the_token(console, request))
		return true;
	web_add_header(response, "WWW-Authenticate", "Bearer");
	answer_json_message(response, 401, "this console needs its token, as Authorization: Bearer TOKEN");
	return false;
}

/* Adds the ETag; true if the client has this version. */
static bool has_version(const struct web_request *request, struct web_response *response, const char *version)
{
	const char *known = web_header(request, "If-None-Match");
	_cleanup_free_ char *etag = xasprintf("\"%s\"", version);

	web_add_header(response, "ETag", etag);
	response->content_type = "application/json";
	if (!known || strcmp(known, etag) != 0)
		return false;
	response->status = 304;
	return true;
}

static void serve_list(void *user, const struct web_request *request, struct web_response *response)
{
	struct console *console = user;

	if (!admit_visitor(console, request, response))
		return;
	(void)pthread_mutex_lock(&console->lock);
	{
		_cleanup_free_ char *cursor = console_store_cursor(&console->store);

		if (!has_version(request, response, cursor))
			console_store_list(&console->store, web_argument(request, "since"), &response->body);
	}
	(void)pthread_mutex_unlock(&console->lock);
}

static void serve_one(void *user, const struct web_request *request, struct web_response *response)
{
	struct console *console = user;
	const struct console_entry *entry;

	if (!admit_visitor(console, request, response))
		return;
	(void)pthread_mutex_lock(&console->lock);
	entry = console_store_find(&console->store, request->captures[0], request->captures[1]);
	if (entry) {
		_cleanup_free_ char *version = xasprintf("%016llx-%llu", (unsigned long long)console->store.instance,
							 (unsigned long long)entry->detail);

		if (!has_version(request, response, version))
			console_entry_json(&console->store, entry, &response->body);
	} else {
		answer_json_message(response, 404, "there is no such PgSync");
	}
	(void)pthread_mutex_unlock(&console->lock);
}

static void serve_history(void *user, const struct web_request *request, struct web_response *response)
{
	struct console *console = user;
	const struct console_entry *entry;

	if (!admit_visitor(console, request, response))
		return;
	(void)pthread_mutex_lock(&console->lock);
	entry = console_store_find(&console->store, request->captures[0], request->captures[1]);
	if (entry) {
		response->content_type = "application/json";
		console_history_json(entry->history, clock_now_ms(), &response->body);
	} else {
		answer_json_message(response, 404, "there is no such PgSync");
	}
	(void)pthread_mutex_unlock(&console->lock);
}

/* --- start and stop */

static void keep_hosts(struct console *console, const char *hosts)
{
	char *rest = console->host_list = xstrdup_or_null(hosts);

	for (size_t n = 0; rest && n < HOSTS; n++)
		console->hosts[n] = strsep(&rest, ",");
}

static void serve_guarded(void *user, const struct web_request *request, struct web_response *response)
{
	const struct guarded *guarded = user;

	if (admit_visitor(guarded->console, request, response))
		guarded->handler(guarded->user, request, response);
}

/* Every route; returns how many. What does not wait is answered by the server's thread. */
static size_t make_routes(struct console *console, const struct console_options *options, struct web_route *ret)
{
	size_t n = API_ROUTES + CONSOLE_FILES;

	ret[0] = (struct web_route){.path = "/api/pgsyncs", .handler = serve_list, .user = console};
	ret[1] = (struct web_route){.path = "/api/pgsyncs/{}/{}", .handler = serve_one, .user = console};
	ret[2] = (struct web_route){.path = "/api/pgsyncs/{}/{}/history", .handler = serve_history, .user = console};
	console_file_routes(ret + API_ROUTES);
	if (options->n_routes) {
		console_look_routes(ret + n);
		n += CONSOLE_LOOK_FILES;
	}
	for (size_t i = 0; i < n; i++)
		ret[i].in_server_thread = true;
	for (size_t i = 0; i < options->n_routes && i < CONSOLE_ROUTES; i++) {
		const struct web_route *route = &options->routes[i];

		console->guarded[i] = (struct guarded){console, route->handler, route->user};
		ret[n] = *route;
		ret[n].handler = serve_guarded;
		ret[n++].user = &console->guarded[i];
	}
	return n;
}

int console_start(const struct console_options *options, struct console **ret, struct err *err)
{
	_cleanup_(console_stopp) struct console *console = xcalloc(1, sizeof(*console));
	struct web_route routes[API_ROUTES + CONSOLE_FILES + CONSOLE_LOOK_FILES + CONSOLE_ROUTES];

	(void)pthread_mutex_init(&console->lock, NULL);
	console_store_init(&console->store, options);
	keep_hosts(console, options->hosts);
	if (console_check(options, err) < 0 || read_token(options->token_file, console->token_hash, err) < 0)
		return -1;
	if (web_serve(&(struct web_options){.listen = options->listen,
					    .routes = routes,
					    .n_routes = make_routes(console, options, routes),
					    .workers = options->n_routes ? WORKERS : 0,
					    .refusal = answer_json_refusal,
					    .headers = web_page_headers,
					    .for_browsers = true,
					    .hosts = console->hosts},
		      &console->web, err) < 0)
		return -1;
	*ret = TAKE_PTR(console);
	return 0;
}

void console_stop(struct console *console)
{
	if (!console)
		return;
	web_stop(console->web);
	console_store_release(&console->store);
	(void)pthread_mutex_destroy(&console->lock);
	free(console->host_list);
	free(console);
}

int console_port(const struct console *console)
{
	return web_port(console->web);
}

/* --- news */

void console_set_leading(struct console *console, bool leading)
{
	if (!console)
		return;
	(void)pthread_mutex_lock(&console->lock);
	console_store_lead(&console->store, leading);
	(void)pthread_mutex_unlock(&console->lock);
}

void console_show(struct console *console, const struct console_pgsync *pgsync)
{
	if (!console)
		return;
	(void)pthread_mutex_lock(&console->lock);
	console_store_show(&console->store, pgsync, clock_now_ms());
	(void)pthread_mutex_unlock(&console->lock);
}

void console_event(struct console *console, const char *namespace, const char *name, const struct console_event *event)
{
	if (!console)
		return;
	(void)pthread_mutex_lock(&console->lock);
	console_store_event(&console->store, namespace, name, event, clock_wall_us());
	(void)pthread_mutex_unlock(&console->lock);
}

void console_forget(struct console *console, const char *namespace, const char *name)
{
	if (!console)
		return;
	(void)pthread_mutex_lock(&console->lock);
	console_store_forget(&console->store, namespace, name);
	(void)pthread_mutex_unlock(&console->lock);
}

void console_forget_all(struct console *console)
{
	if (!console)
		return;
	(void)pthread_mutex_lock(&console->lock);
	console_store_forget_all(&console->store);
	(void)pthread_mutex_unlock(&console->lock);
}
