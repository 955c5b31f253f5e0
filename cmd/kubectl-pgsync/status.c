/* kubectl pgsync status. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "json/json.h"

enum { SCREEN_BYTES = 16 * 1024 * 1024 };

/* The PgSync's events, an array; NULL if they may not be read. In v1, which the role "view" includes, unlike those of
 * events.k8s.io. */
int plugin_events(struct client *client, const json_t *resource, json_t **ret, struct err *err)
{
	_cleanup_free_ char *path =
		kube_path("api", "v1", "namespaces", jsonx_string(resource, "metadata.namespace", ""), "events", NULL);
	_cleanup_free_ char *query = xasprintf("%s?fieldSelector=involvedObject.uid%%3D%s", path,
					       jsonx_string(resource, "metadata.uid", ""));
	_cleanup_json_ json_t *list = NULL;

	*ret = NULL;
	if (client_get(client, query, &list, err) < 0)
		return err->kind == ERR_DENIED ? 0 : -1;
	*ret = json_incref(json_object_get(list, "items"));
	return 0;
}

static void print_text(struct strbuf *text)
{
	(void)fwrite(text->data, 1, text->len, stdout);
	if (!strbuf_ok(text))
		(void)fputs("(the rest is too long)\n", stdout);
	strbuf_release(text);
}

/* ASCII only, so that no program has to guess the encoding. */
static void print_value(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII);

	(void)printf("%s\n", text ? text : "null");
	free(text);
}

static int exit_code(const struct screen_input *in)
{
	struct verdict verdict;
	int code;

	verdict_decide(in, &verdict);
	code = verdict_is_good(verdict.kind) ? EXIT_OK : EXIT_UNHEALTHY;
	verdict_release(&verdict);
	return code;
}

/* The exit code, or negative. */
static int show_one(struct client *client, const struct options *options, struct err *err)
{
	_cleanup_free_ char *path = client_path(client, options->names[0]);
	struct screen_input in;
	_cleanup_json_ json_t *resource = NULL, *events = NULL, *value = NULL;
	struct strbuf text;

	if (client_get(client, path, &resource, err) < 0)
		return -1;
	if (plugin_input(client, resource, &in, err) < 0 || plugin_events(client, resource, &events, err) < 0)
		return -1;
	in.events = events;
	if (strcmp(options->output, "json") == 0) {
		value = screen_json(&in);
		print_value(value);
	} else {
		strbuf_init(&text, SCREEN_BYTES);
		screen_status(&in, &text);
		print_text(&text);
	}
	return exit_code(&in);
}

static void print_list(const struct screen_input *items, size_t n, const struct options *options)
{
	_cleanup_json_ json_t *list = json_array(), *value = NULL;
	struct strbuf text;

	if (strcmp(options->output, "json") == 0) {
		for (size_t i = 0; i < n; i++)
			(void)json_array_append_new(list, screen_json(&items[i]));
		value = json_pack("{s:O}", "items", list);
		print_value(value);
	} else if (!n) {
		(void)fputs(options->all_namespaces ? "No PgSyncs found.\n" : "No PgSyncs found in this namespace.\n",
			    stderr);
	} else {
		strbuf_init(&text, SCREEN_BYTES);
		screen_list(items, n, options->all_namespaces, &text);
		print_text(&text);
	}
}

static int show_all(struct client *client, const struct options *options, struct err *err)
{
	_cleanup_json_ json_t *resources = NULL;
	_cleanup_free_ struct screen_input *items = NULL;
	int code = EXIT_OK;
	size_t n;

	if (client_list(client, options->all_namespaces, &resources, err) < 0)
		return -1;
	n = json_array_size(resources);
	items = xcalloc(n + 1, sizeof(*items));
	for (size_t i = 0; i < n; i++) {
		if (plugin_input(client, json_array_get(resources, i), &items[i], err) < 0)
			return -1;
		code = exit_code(&items[i]) == EXIT_OK ? code : EXIT_UNHEALTHY;
	}
	print_list(items, n, options);
	return code;
}

int plugin_status(const struct command *command, const struct options *options)
{
	struct client client;
	struct err err = {0};
	int code;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	code = options->n_names ? show_one(&client, options, &err) : show_all(&client, options, &err);
	client_close(&client);
	return code < 0 ? plugin_failed(command, &err) : code;
}
