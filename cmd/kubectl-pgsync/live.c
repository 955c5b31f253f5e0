/* kubectl pgsync lag and top: PgSyncs as they change. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/terminal.h"
#include "plugin.h"
#include "json/json.h"

enum { TICK_MS = 1000, LEASES_MS = 3000, VIEW_BYTES = 16 * 1024 * 1024 };

/* What this program itself tells the terminal; it does not pass through the guard. */
static const char BEGIN_SCREEN[] = "\033[?1049h\033[?25l\033[?7l", CLEAR_SCREEN[] = "\033[H\033[J",
		  END_SCREEN[] = "\033[?7h\033[?25h\033[?1049l";

static volatile sig_atomic_t interrupted;

struct view {
	struct client *client;
	const struct options *options;
	struct map *objects; /* by "namespace/name" */
	bool synced, dirty;
	struct err failure; /* of the list or watch, until it works again */
	json_t *lines;      /* by key: what lag printed last */
	int64_t leases_ms;  /* when Leases were read */
	bool fullscreen;
};

/* --- what the API server reports */

static void on_view_changed(void *user, const char *key, json_t *object)
{
	struct view *view = user;

	map_puts(view->objects, key, json_incref(object));
	view->dirty = true;
}

static void on_view_deleted(void *user, const char *key)
{
	struct view *view = user;

	(void)map_removes(view->objects, key);
	(void)json_object_del(view->lines, key);
	view->dirty = true;
}

static void on_view_synced(void *user)
{
	struct view *view = user;

	view->synced = view->dirty = true;
}

static void on_view_failed(void *user, const struct err *err)
{
	struct view *view = user;

	view->failure = *err;
	view->dirty = true;
}

static void on_view_recovered(void *user)
{
	struct view *view = user;

	view->failure.kind = ERR_NONE;
	view->dirty = true;
}

/* --- showing it */

/* Prints the line if it is new. */
static void print_lag_line(struct view *view, const struct screen_input *in)
{
	_cleanup_free_ char *key = client_key(in->resource);
	const char *before = json_string_value(json_object_get(view->lines, key));
	struct strbuf line;

	strbuf_init(&line, VIEW_BYTES);
	screen_lag(in, view->options->all_namespaces, &line);
	if (!before || strcmp(before, line.data) != 0) {
		(void)fputs(line.data, stdout);
		(void)json_object_set_new(view->lines, key, jsonx_text(line.data));
	}
	strbuf_release(&line);
}

static void print_lag(struct view *view, const struct screen_input *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print_lag_line(view, &items[i]);
	(void)fflush(stdout);
}

static void draw_top(struct view *view, const struct screen_input *items, size_t n)
{
	struct strbuf text;

	strbuf_init(&text, VIEW_BYTES);
	screen_top(items, n, view->options->all_namespaces, &text);
	if (view->fullscreen)
		(void)!fd_write(STDOUT_FILENO, CLEAR_SCREEN, strlen(CLEAR_SCREEN));
	(void)fwrite(text.data, 1, text.len, stdout);
	strbuf_release(&text);
	if (view->failure.kind != ERR_NONE) {
		(void)fputs("\nThis may be old: ", stdout);
		terminal_print(stdout, view->failure.msg);
		(void)fputc('\n', stdout);
	}
	(void)fflush(stdout);
}

typedef void show_fn(struct view *view, const struct screen_input *items, size_t n);

/* Reads the Leases again now and then, and shows everything. */
static int update_view(struct view *view, show_fn *show, struct err *err)
{
	_cleanup_json_ json_t *objects = client_sorted(view->objects);
	_cleanup_free_ struct screen_input *items = NULL;
	int64_t now_ms = clock_now_ms();
	size_t n;

	if (now_ms - view->leases_ms >= LEASES_MS) {
		plugin_forget_leases(view->client);
		view->leases_ms = now_ms;
	}
	n = json_array_size(objects);
	items = xcalloc(n + 1, sizeof(*items));
	for (size_t i = 0; i < n; i++)
		if (plugin_input(view->client, json_array_get(objects, i), &items[i], err) < 0)
			return -1;
	view->dirty = false;
	show(view, items, n);
	return 0;
}

/* Until it is interrupted; or once, without `lasting`. */
static int run_view(struct view *view, show_fn *show, bool lasting, struct err *err)
{
	int r = 0;

	/* Nothing that follows would be seen once a pipe is closed. */
	while (!interrupted && !ferror(stdout) && r == 0) {
		r = kube_poll(view->client->kube, NULL, 0, TICK_MS, err);
		if (r == 0 && !view->synced && view->failure.kind != ERR_NONE) {
			*err = view->failure;
			return -1;
		}
		if (r < 0 || !view->synced || (!view->dirty && clock_now_ms() - view->leases_ms < LEASES_MS))
			continue;
		r = update_view(view, show, err);
		/* What cannot be read now may be later. */
		if (r < 0 && lasting && view->leases_ms) {
			view->failure = *err;
			r = 0;
		}
		if (!lasting)
			break;
	}
	return r;
}

static int open_view(const struct command *command, const struct options *options, show_fn *show, bool lasting,
		     bool fullscreen)
{
	static const struct kube_reflector_handlers handlers = {.changed = on_view_changed,
								.deleted = on_view_deleted,
								.synced = on_view_synced,
								.failed = on_view_failed,
								.recovered = on_view_recovered};
	struct client client;
	struct err err = {0};
	struct view view = {.client = &client, .options = options, .fullscreen = fullscreen};
	struct kube_reflector *reflector;
	_cleanup_free_ char *path = NULL;
	int r;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	view.objects = client_objects();
	view.lines = json_object();
	path = client_collection(&client, options->all_namespaces);
	reflector = kube_reflect(client.kube, path, NULL, &handlers, &view);
	r = run_view(&view, show, lasting, &err);
	kube_reflector_stop(reflector);
	map_free(view.objects);
	json_decref(view.lines);
	client_close(&client);
	return r < 0 ? plugin_failed(command, &err) : EXIT_OK;
}

static void on_interrupt(int signal)
{
	UNUSED(signal);
	interrupted = 1;
}

/* So that the terminal is left as it was. */
static void catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
}

int plugin_lag(const struct command *command, const struct options *options)
{
	struct strbuf header;

	strbuf_init(&header, VIEW_BYTES);
	screen_lag_header(options->all_namespaces, &header);
	(void)fputs(header.data, stdout);
	strbuf_release(&header);
	return open_view(command, options, print_lag, options->watch, false);
}

int plugin_top(const struct command *command, const struct options *options)
{
	bool terminal = isatty(STDOUT_FILENO);
	int code;

	if (!terminal)
		return open_view(command, options, draw_top, false, false);
	catch_interrupts();
	(void)!fd_write(STDOUT_FILENO, BEGIN_SCREEN, strlen(BEGIN_SCREEN));
	code = open_view(command, options, draw_top, true, true);
	(void)fflush(stdout);
	(void)!fd_write(STDOUT_FILENO, END_SCREEN, strlen(END_SCREEN));
	return code;
}
