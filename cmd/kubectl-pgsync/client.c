/* Requests to the API server, one at a time. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "json/json.h"

static const char *const unparsed[] = {"spec.schema", NULL};

int client_open(const struct options *options, struct client *ret, struct err *err)
{
	struct kube_config_options where = {
		.kubeconfig = options->kubeconfig, .context = options->context, .for_user = true};

	*ret = (struct client){0};
	if (kube_config_load(&where, &ret->config, err) < 0 ||
	    kube_new(ret->config, "kubectl-pgsync/" PGSYNC_VERSION, &ret->kube, err) < 0) {
		client_close(ret);
		return -1;
	}
	kube_keep_text(ret->kube, unparsed);
	ret->namespace = options->namespace ? options->namespace : kube_config_namespace(ret->config);
	return 0;
}

void client_close(struct client *client)
{
	kube_free(client->kube);
	kube_config_free(client->config);
	json_decref(client->leases);
	*client = (struct client){0};
}

/* --- requests */

struct answer {
	bool done;
	json_t *object;
	struct err err;
};

static void keep_answer(void *user, const json_t *object, const struct err *err)
{
	struct answer *answer = user;

	answer->done = true;
	if (err)
		answer->err = *err;
	else
		answer->object = json_deep_copy(object);
}

int client_request(struct client *client, const struct kube_request *request, json_t **ret, struct err *err)
{
	struct answer answer = {0};
	struct kube_call *call = kube_request(client->kube, request, keep_answer, &answer);

	while (!answer.done) {
		if (kube_poll(client->kube, NULL, 0, -1, err) < 0) {
			kube_cancel(call);
			return -1;
		}
	}
	if (!answer.object) {
		*err = answer.err;
		return -1;
	}
	if (ret)
		*ret = answer.object;
	else
		json_decref(answer.object);
	return 0;
}

int client_get(struct client *client, const char *path, json_t **ret, struct err *err)
{
	struct kube_request request = {.method = "GET", .path = path};

	return client_request(client, &request, ret, err);
}

char *client_path(const struct client *client, const char *name)
{
	return kube_path("apis", "pgsync.io", "v1alpha1", "namespaces", client->namespace, "pgsyncs", name, NULL);
}

char *client_collection(const struct client *client, bool all_namespaces)
{
	if (all_namespaces)
		return kube_path("apis", "pgsync.io", "v1alpha1", "pgsyncs", NULL);
	return kube_path("apis", "pgsync.io", "v1alpha1", "namespaces", client->namespace, "pgsyncs", NULL);
}

/* --- objects by their keys */

static void free_object(void *object)
{
	json_decref(object);
}

struct map *client_objects(void)
{
	return map_new(free_object);
}

static bool collect_pgsync(void *user, const char *key, size_t len, void *object)
{
	UNUSED(key);
	UNUSED(len);
	(void)json_array_append(user, object);
	return true;
}

static int compare_pgsyncs(const void *a, const void *b)
{
	const json_t *const *one = a, *const *other = b;
	int r = strcmp(jsonx_string(*one, "metadata.namespace", ""), jsonx_string(*other, "metadata.namespace", ""));

	return r ? r : strcmp(jsonx_string(*one, "metadata.name", ""), jsonx_string(*other, "metadata.name", ""));
}

json_t *client_sorted(struct map *objects)
{
	_cleanup_json_ json_t *found = json_array();
	_cleanup_free_ json_t **items = NULL;
	json_t *sorted = json_array();
	size_t n;

	map_each(objects, collect_pgsync, found);
	n = json_array_size(found);
	items = xcalloc(n + 1, sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(found, i);
	qsort(items, n, sizeof(*items), compare_pgsyncs);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append(sorted, items[i]);
	return sorted;
}

char *client_key(const json_t *resource)
{
	return xasprintf("%s/%s", jsonx_string(resource, "metadata.namespace", ""),
			 jsonx_string(resource, "metadata.name", ""));
}

/* --- lists: a reflector reads them in pages, of whatever size */

struct listing {
	bool done;
	struct map *objects;
	struct err err;
};

static void on_list_object(void *user, const char *key, json_t *object)
{
	struct listing *listing = user;

	map_puts(listing->objects, key, json_incref(object));
}

static void on_unlisted(void *user, const char *key)
{
	struct listing *listing = user;

	(void)map_removes(listing->objects, key);
}

static void on_list_end(void *user)
{
	struct listing *listing = user;

	listing->done = true;
}

static void on_list_error(void *user, const struct err *err)
{
	struct listing *listing = user;

	listing->err = *err;
	listing->done = true;
}

int client_list(struct client *client, bool all_namespaces, json_t **ret, struct err *err)
{
	static const struct kube_reflector_handlers handlers = {
		.changed = on_list_object, .deleted = on_unlisted, .synced = on_list_end, .failed = on_list_error};
	_cleanup_free_ char *path = client_collection(client, all_namespaces);
	struct listing listing = {.objects = client_objects()};
	struct kube_reflector *reflector = kube_reflect(client->kube, path, NULL, &handlers, &listing);
	int r = 0;

	while (!listing.done && r == 0)
		r = kube_poll(client->kube, NULL, 0, -1, err);
	kube_reflector_stop(reflector);
	if (r == 0 && listing.err.kind != ERR_NONE) {
		*err = listing.err;
		r = -1;
	}
	if (r == 0)
		*ret = client_sorted(listing.objects);
	map_free(listing.objects);
	return r;
}
