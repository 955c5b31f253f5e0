/* kubectl pgsync suspend, resume, restart, resync: each changes one field of the spec, as its users do. */
#include <string.h>

#include "base/clock.h"
#include "plugin.h"
#include "json/json.h"

enum { TRIES = 10 };

#define RETRY_DEAD_LETTERS "pgsync.io/retry-dead-letters"

static const struct change {
	const char *command, *field;
	bool counts;   /* the field is a number, which grows by one; otherwise a boolean */
	bool suspends; /* the value of a boolean */
	const char *done, *unchanged;
} changes[] = {
	{"suspend", "suspend", false, true, "suspended", "already suspended"},
	{"resume", "suspend", false, false, "resumed", "not suspended"},
	{"restart", "restartNonce", true, false, "restart requested", NULL},
	{"resync", "resyncNonce", true, false, "resync requested", NULL},
	/* No field of the spec. */
	{"dead-letters", NULL, false, false, "retry of dead letters requested", NULL},
};

static const struct change *find_change(const char *command)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (strcmp(changes[i].command, command) == 0)
			return &changes[i];
	return NULL;
}

/* The new value of the field, or NULL if it has that already. A new reference. */
static json_t *new_value(const struct change *change, const json_t *resource)
{
	const json_t *spec = json_object_get(resource, "spec");

	if (change->counts)
		return json_integer((json_int_t)jsonx_integer(spec, change->field, 0) + 1);
	if (jsonx_boolean(spec, change->field, false) == change->suspends)
		return NULL;
	return json_boolean(change->suspends);
}

/* NULL: nothing is to be changed. A new reference. */
static json_t *new_patch(const struct change *change, const json_t *resource)
{
	_cleanup_json_ json_t *value = NULL;
	json_t *patch = json_pack("{s:{s:s, s:s}}", "metadata", "uid", jsonx_string(resource, "metadata.uid", ""),
				  "resourceVersion", jsonx_string(resource, "metadata.resourceVersion", ""));
	char now[CLOCK_RFC3339_BYTES];

	if (!change->field) {
		/* Any value that is new. */
		(void)json_object_set_new(
			json_object_get(patch, "metadata"), "annotations",
			json_pack("{s:s}", RETRY_DEAD_LETTERS, clock_rfc3339_micro(clock_wall_us(), now)));
		return patch;
	}
	value = new_value(change, resource);
	if (value)
		(void)json_object_set_new(patch, "spec", json_pack("{s:O}", change->field, value));
	else
		jsonx_decref(TAKE_PTR(patch));
	return patch;
}

/* One attempt: nothing else may have changed the PgSync since it was read. 1: nothing is to be done. */
static int try_change(struct client *client, const struct change *change, const char *path, struct err *err)
{
	_cleanup_free_ char *patched = xasprintf("%s?fieldManager=kubectl-pgsync&fieldValidation=Strict", path);
	_cleanup_json_ json_t *resource = NULL, *patch = NULL;
	struct kube_request request = {.method = "PATCH", .path = patched, .content = KUBE_MERGE_PATCH};

	if (client_get(client, path, &resource, err) < 0)
		return -1;
	patch = new_patch(change, resource);
	if (!patch)
		return 1;
	request.body = patch;
	return client_request(client, &request, NULL, err);
}

static int carry_out(struct client *client, const struct change *change, const char *name, struct err *err)
{
	_cleanup_free_ char *path = client_path(client, name);
	int r = -1;

	/* The operator writes the status now and then. */
	for (int i = 0; i < TRIES; i++) {
		r = try_change(client, change, path, err);
		if (r >= 0 || err->kind != ERR_CONFLICT)
			break;
	}
	if (r >= 0)
		(void)printf("pgsync.pgsync.io/%s %s\n", name, r ? change->unchanged : change->done);
	return r < 0 ? -1 : 0;
}

int plugin_change(const struct command *command, const struct options *options)
{
	const struct change *change = find_change(command->name);
	struct client client;
	struct err err = {0};
	int code = EXIT_OK;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	/* As kubectl: the others, even if one fails. */
	for (size_t i = 0; i < options->n_names; i++)
		if (carry_out(&client, change, options->names[i], &err) < 0)
			code = plugin_failed(command, &err);
	client_close(&client);
	return code;
}
