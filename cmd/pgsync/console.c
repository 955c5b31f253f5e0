/* The console of pgsync run: the pages of the operator's console, for the one PgSync that runs. */
#include "console/console.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd.h"
#include "json/json.h"

struct cmd_console {
	struct console *console;
	struct cmd_look *look;
	const struct spec *spec; /* borrowed */
	char *schema;            /* JSON, or NULL */
	char started[CLOCK_RFC3339_BYTES];
	json_t *resource; /* what a verdict needs, without its status */
};

/* The schema as it was written, in the PgSync or in a ConfigMap. */
static char *schema_text(const struct input *input)
{
	const json_t *schema = jsonx_get(input->resource, "spec.schema"), *map;

	if (schema)
		return jsonx_canonical(schema);
	if (!input->spec->schema_config_map)
		return NULL;
	map = json_object_get(input->config_maps, input->spec->schema_config_map);
	return xstrdup_or_null(jsonx_string(map, input->spec->schema_config_map_key, NULL));
}

int cmd_console_start(const struct common_flags *flags, const struct input *input, const struct sync_options *run,
		      struct cmd_console **ret, struct err *err)
{
	_cleanup_(cmd_console_stopp) struct cmd_console *c = NULL;
	struct console_options given = flags->console;
	struct web_route routes[CONSOLE_ROUTES];

	if (!given.listen)
		return 0;
	c = xcalloc(1, sizeof(*c));
	c->spec = input->spec;
	c->schema = schema_text(input);
	(void)clock_rfc3339(clock_wall_us(), c->started);
	c->resource = json_pack("{s:{}, s:{s:O*}}", "metadata", "spec", "lagTargetSeconds",
				jsonx_get(input->resource, "spec.lagTargetSeconds"));
	given.of_worker = true;
	if (cmd_look_new(run, flags->console_actions, &c->look, err) < 0)
		return -1;
	given.n_routes = cmd_look_routes(c->look, routes);
	given.routes = routes;
	if (console_start(&given, &c->console, err) < 0)
		return -1;
	log_info("run", "console", KV_I64("port", console_port(c->console)));
	*ret = TAKE_PTR(c);
	return 0;
}

void cmd_console_stop(struct cmd_console *c)
{
	if (!c)
		return;
	if (c->look)
		cmd_look_end(c->look);
	console_stop(c->console);
	cmd_look_free(c->look);
	json_decref(c->resource);
	free(c->schema);
	free(c);
}

void cmd_console_report(struct cmd_console *c, const json_t *report)
{
	_cleanup_json_ json_t *resource = NULL, *status = NULL;

	if (!c)
		return;
	resource = json_copy(c->resource);
	status = json_copy((json_t *)report);
	(void)json_object_set_new(status, "observedGeneration", json_integer(0));
	(void)json_object_set(resource, "status", status);
	console_show(c->console, &(struct console_pgsync){.namespace = c->spec->namespace,
							  .name = c->spec->name,
							  .created = c->started,
							  .schema = c->schema,
							  .resource = resource});
}

void cmd_console_event(struct cmd_console *c, bool warning, enum reason reason, const char *action, const char *note)
{
	if (c)
		console_event(
			c->console, c->spec->namespace, c->spec->name,
			&(struct console_event){.warning = warning, .reason = reason, .action = action, .note = note});
}
