/* What a verdict needs besides the PgSync. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plugin.h"
#include "json/json.h"

/* The object; null if there is none, false if it may not be read. A new reference. */
static int read_lease(struct client *client, const char *name, json_t **ret, struct err *err)
{
	_cleanup_free_ char *namespace = xstrndup(name, strcspn(name, "/"));
	_cleanup_free_ char *path = NULL;
	const char *slash = strchr(name, '/');

	*ret = json_false();
	if (!slash || !*namespace || !slash[1] || strchr(slash + 1, '/'))
		return 0;
	path = kube_path("apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases", slash + 1, NULL);
	if (client_get(client, path, ret, err) == 0)
		return 0;
	if (err->kind == ERR_NOT_FOUND)
		*ret = json_null();
	else if (err->kind != ERR_DENIED)
		return -1;
	return 0;
}

int plugin_input(struct client *client, const json_t *resource, struct screen_input *ret, struct err *err)
{
	const char *name = jsonx_string(resource, "status.operator.lease", "");
	json_t *lease;

	*ret = (struct screen_input){.resource = resource, .reasons = screen_reasons(), .wall_us = clock_wall_us()};
	if (!*name)
		return 0;
	if (!client->leases)
		client->leases = json_object();
	lease = json_object_get(client->leases, name);
	if (!lease) {
		if (read_lease(client, name, &lease, err) < 0)
			return -1;
		(void)json_object_set_new(client->leases, name, lease);
	}
	if (json_is_object(lease)) {
		ret->found = LEASE_READ;
		ret->lease = lease;
	} else if (json_is_null(lease)) {
		ret->found = LEASE_MISSING;
	}
	return 0;
}

void plugin_forget_leases(struct client *client)
{
	jsonx_decref(TAKE_PTR(client->leases));
}
