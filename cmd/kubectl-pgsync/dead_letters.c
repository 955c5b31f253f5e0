/* kubectl pgsync dead-letters: how many documents the search engine refused, and another attempt. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "json/json.h"

enum { TABLE_BYTES = 16 * 1024 * 1024 };

/* The PgSyncs that were asked for: an array. A new reference. */
static int read_chosen(struct client *client, const struct options *options, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *chosen = json_array();

	if (!options->n_names)
		return client_list(client, options->all_namespaces, ret, err);
	for (size_t i = 0; i < options->n_names; i++) {
		_cleanup_free_ char *path = client_path(client, options->names[i]);
		json_t *resource = NULL;

		if (client_get(client, path, &resource, err) < 0)
			return -1;
		(void)json_array_append_new(chosen, resource);
	}
	*ret = TAKE_PTR(chosen);
	return 0;
}

int plugin_dead_letters(const struct command *command, const struct options *options)
{
	struct client client;
	struct err err = {0};
	_cleanup_json_ json_t *chosen = NULL;
	struct strbuf text;
	long long n = -1;

	if (options->retry)
		return plugin_change(command, options);
	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	if (read_chosen(&client, options, &chosen, &err) == 0) {
		strbuf_init(&text, TABLE_BYTES);
		n = screen_dead_letters(chosen, options->all_namespaces, &text);
		(void)fwrite(text.data, 1, text.len, stdout);
		strbuf_release(&text);
	}
	client_close(&client);
	return n < 0 ? plugin_failed(command, &err) : n ? EXIT_UNHEALTHY : EXIT_OK;
}
