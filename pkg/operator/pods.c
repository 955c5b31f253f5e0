/* The pods of PgSyncs with placement Pod: their objects are applied, their Deployments watched, and their agents'
 * Leases say whether they are alive. What is in such a status is what the agent writes, as long as it is alive. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "operator/operator_int.h"

/* RECENT_MS: within this time a pod may start, and what others change about a Deployment is left alone. WAITS_MS: for
 * that long, objects of an earlier PgSync may still be there. */
enum { STARTING_MS = 30 * 1000, RECENT_MS = 5 * 1000, WAITS_MS = 30 * 1000, ARGS = 16 };

/* A Deployment, as it was seen last. */
struct deployment {
	char *resource;        /* the key of the PgSync that it names */
	json_t *marks;         /* metadata: uid, and what says whose it is */
	char *applied, *image; /* "": not known */
	int64_t generation;
};

struct pods_source {
	struct operator_ *op;
	struct kube_reflector *reflector;
	bool known; /* it was listed, or cannot be */
};

struct pods {
	struct map *deployments; /* "namespace/name" -> struct deployment */
	struct pods_source *sources;
	size_t n_sources;
};

static void deployment_free(void *ptr)
{
	struct deployment *d = ptr;

	free(d->resource);
	jsonx_decref(d->marks);
	free(d->applied);
	free(d->image);
	free(d);
}

/* --- the watch */

static char *annotation_of(const json_t *object, const char *name)
{
	_cleanup_json_ json_t *value = jsonx_member(jsonx_get(object, "metadata.annotations"), name);

	return xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

static void enqueue_key(struct operator_ *op, const char *key)
{
	struct resource *r = map_gets(op->resources, key);

	if (r)
		resource_enqueue(r);
}

static void take_deployment(struct operator_ *op, const char *key, const json_t *object)
{
	struct deployment *d = xcalloc(1, sizeof(*d));
	_cleanup_free_ char *name = annotation_of(object, PLACEMENT_NAME);
	const json_t *container = json_array_get(jsonx_get(object, "spec.template.spec.containers"), 0);

	d->resource = xasprintf("%.*s/%s", (int)strcspn(key, "/"), key, name);
	d->marks = placement_marks(object);
	d->applied = annotation_of(object, PLACEMENT_APPLIED);
	d->image = xstrdup(jsonx_string(container, "image", ""));
	d->generation = jsonx_integer(object, "metadata.generation", 0);
	map_puts(op->pods->deployments, key, d);
}

static void on_deployment(void *user, const char *key, json_t *object)
{
	struct pods_source *source = user;
	struct deployment *before = map_gets(source->op->pods->deployments, key);
	int64_t generation = before ? before->generation : 0;

	take_deployment(source->op, key, object);
	/* Its status changes more often, and does not matter. */
	before = map_gets(source->op->pods->deployments, key);
	if (before->generation != generation)
		enqueue_key(source->op, before->resource);
}

static void on_deployment_deleted(void *user, const char *key)
{
	struct pods_source *source = user;
	struct deployment *d = map_gets(source->op->pods->deployments, key);
	_cleanup_free_ char *resource = d ? xstrdup(d->resource) : NULL;

	(void)map_removes(source->op->pods->deployments, key);
	if (resource)
		enqueue_key(source->op, resource);
}

static void now_known(struct pods_source *source)
{
	if (source->known)
		return;
	source->known = true;
	resource_enqueue_all(source->op);
}

static void on_deployments(void *user)
{
	now_known(user);
}

static void on_deployments_failed(void *user, const struct err *err)
{
	struct pods_source *source = user;

	log_warn("operator", "watching the Deployments of workers failed, retrying", KV_ERR(err));
	/* PgSyncs without a pod do not wait for it. */
	if (err->kind == ERR_DENIED)
		now_known(source);
}

static void watch_deployments(struct operator_ *op, struct pods_source *source, const char *namespace)
{
	static const struct kube_reflector_handlers handlers = {.changed = on_deployment,
								.deleted = on_deployment_deleted,
								.synced = on_deployments,
								.failed = on_deployments_failed};
	_cleanup_free_ char *path =
		namespace ? kube_path("apis", "apps", "v1", "namespaces", namespace, "deployments", NULL)
			  : kube_path("apis", "apps", "v1", "deployments", NULL);

	source->op = op;
	source->reflector = kube_reflect(op->kube, path, PLACEMENT_LABELS, &handlers, source);
}

void pods_watch(struct operator_ *op)
{
	const struct operator_options *o = op->options;
	struct pods *pods;

	if (!o->worker_image || o->agent || o->retire)
		return;
	pods = op->pods = xcalloc(1, sizeof(*pods));
	pods->deployments = map_new(deployment_free);
	pods->n_sources = o->n_namespaces ? o->n_namespaces : 1;
	pods->sources = xcalloc(pods->n_sources, sizeof(*pods->sources));
	for (size_t i = 0; i < pods->n_sources; i++)
		watch_deployments(op, &pods->sources[i], o->n_namespaces ? o->namespaces[i] : NULL);
}

void pods_release(struct operator_ *op)
{
	if (!op->pods)
		return;
	for (size_t i = 0; i < op->pods->n_sources; i++)
		kube_reflector_stop(op->pods->sources[i].reflector);
	map_free(op->pods->deployments);
	free(op->pods->sources);
	free(TAKE_PTR(op->pods));
}

static bool pods_are_known(const struct pods *pods)
{
	for (size_t i = 0; i < pods->n_sources; i++)
		if (!pods->sources[i].known)
			return false;
	return true;
}

/* --- what is desired */

static char *deployment_key(const struct resource *r)
{
	_cleanup_free_ char *name = placement_name(r->name);

	return xasprintf("%s/%s", r->namespace, name);
}

/* NULL: there is none. One that is not the PgSync's does not exist for it. */
static struct deployment *deployment_of(const struct resource *r)
{
	_cleanup_free_ char *key = deployment_key(r);
	struct deployment *d = map_gets(r->op->pods->deployments, key);

	return d && placement_owner(d->marks, r->name, r->cache.uid) == PLACEMENT_OURS ? d : NULL;
}

/* An agent's Lease expires sooner than an operator's: it tells for each PgSync alone whether it is alive. */
static json_t *make_objects(const struct resource *r, const char *image, char hash[JSONX_HASH_BYTES])
{
	const struct operator_options *o = r->op->options;
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_free_ char *denied = xasprintf("--deny-egress=%s", *o->deny_egress ? o->deny_egress : "none");
	_cleanup_free_ char *label = xasprintf("--secret-label=%s", o->secret_label ? o->secret_label : "");
	_cleanup_free_ char *level = xasprintf("--log-level=%s", o->log_level);
	_cleanup_free_ char *format = xasprintf("--log-format=%s", o->log_format);
	_cleanup_free_ char *sandbox = xasprintf("--worker-sandbox=%s", o->worker_sandbox);
	const char *args[ARGS] = {"--leader-elect-lease-duration=10s",
				  "--leader-elect-renew-deadline=7s",
				  "--leader-elect-retry-period=2s",
				  level,
				  format,
				  denied,
				  sandbox};
	size_t n = 7;

	if (o->service_names)
		args[n++] = "--service-names";
	if (o->secret_label)
		args[n++] = label;
	return placement_objects(&(struct placement_input){.resource = resource, .image = image, .args = args}, hash);
}

/* A Lease that something else has made says nothing about the pod. That of an earlier PgSync with this name is its
 * agent's, which may still be alive. */
static enum peer_state peer_of_pod(const struct resource *r)
{
	enum peer_state state = operator_peer(r->op, r->pod.lease);
	const json_t *marks = operator_peer_marks(r->op, r->pod.lease);

	if (state == PEER_ALIVE && placement_owner(marks, r->name, r->cache.uid) == PLACEMENT_FOREIGN)
		return PEER_GONE;
	return state;
}

static enum pod_state state_of_peer(enum peer_state peer)
{
	switch (peer) {
	case PEER_ALIVE:
		return POD_ALIVE;
	case PEER_UNCLEAR:
		return POD_UNCLEAR;
	case PEER_NONE:
	case PEER_GONE:
		break;
	}
	return POD_SILENT;
}

/* Whether the Deployment is what was applied, and that is what the spec asks for. */
static bool is_current(const struct resource *r, const struct deployment *d)
{
	char hash[JSONX_HASH_BYTES];

	if (!d || !r->cache.in_pod)
		return false;
	jsonx_decref(make_objects(r, "", hash));
	if (strcmp(hash, r->pod.hash) != 0)
		return false;
	return d->generation <= r->pod.generation || clock_now_ms() - r->pod.placed_ms < RECENT_MS;
}

void resource_pod_observe(struct resource *r, struct observed *observed)
{
	const struct deployment *d;

	if (!r->op->pods)
		return;
	if (!pods_are_known(r->op->pods)) {
		observed->pod = POD_UNCLEAR;
		return;
	}
	d = deployment_of(r);
	if (!d && !r->cache.in_pod && !r->cache.was_in_pod && !r->pod.leaving)
		return;
	if (!r->pod.lease)
		r->pod.lease = deployment_key(r);
	observed->pod = state_of_peer(peer_of_pod(r));
	if (observed->pod == POD_SILENT) {
		r->pod.leaving = false;
		if (!d)
			observed->pod = POD_NONE;
	}
	observed->pod_exists = d != NULL;
	observed->pod_current = is_current(r, d);
	/* The agent of the pod before a change is still alive for a moment. */
	if (observed->pod == POD_ALIVE && !r->pod.before)
		r->pod.starting = false;
	observed->pod_is_new = r->pod.starting && clock_now_ms() - r->pod.placed_ms < STARTING_MS;
}

/* --- applying */

static char *path_of(const json_t *object)
{
	static const struct {
		const char *kind, *group, *version, *resource;
	} kinds[] = {
		{"ServiceAccount", NULL, "v1", "serviceaccounts"},
		{"Lease", "coordination.k8s.io", "v1", "leases"},
		{"Role", "rbac.authorization.k8s.io", "v1", "roles"},
		{"RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings"},
		{"Deployment", "apps", "v1", "deployments"},
	};
	const char *kind = jsonx_string(object, "kind", ""), *name = jsonx_string(object, "metadata.name", "");
	const char *namespace = jsonx_string(object, "metadata.namespace", "");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kind, kinds[i].kind) != 0)
			continue;
		if (!kinds[i].group)
			return kube_path("api", kinds[i].version, "namespaces", namespace, kinds[i].resource, name,
					 NULL);
		return kube_path("apis", kinds[i].group, kinds[i].version, "namespaces", namespace, kinds[i].resource,
				 name, NULL);
	}
	return NULL;
}

static void look_next(struct resource *r);

/* The answer is newer than what was watched. */
static void note_placed(struct resource *r, const json_t *deployment)
{
	_cleanup_free_ char *key = deployment_key(r);
	int64_t generation = jsonx_integer(deployment, "metadata.generation", 0);

	if (r->pod.before != generation) {
		r->pod.placed_ms = clock_now_ms();
		r->pod.starting = true;
	}
	r->pod.generation = generation;
	r->pod.waits_since_ms = 0;
	take_deployment(r->op, key, deployment);
	log_info("operator", "the worker has a pod", KV_STR("resource", r->key), KV_STR("deployment", key));
}

static void end_place(struct resource *r, const struct err *err)
{
	jsonx_decref(TAKE_PTR(r->pod.objects));
	if (err)
		r->pod.hash[0] = '\0';
	resource_enqueue(r);
	resource_end_write(r, WRITE_POD, err);
}

static void on_applied(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;

	r->writer.call = NULL;
	if (!err && ++r->pod.next < json_array_size(r->pod.objects)) {
		look_next(r);
		return;
	}
	if (!err)
		note_placed(r, object);
	end_place(r, err);
}

/* Fails if it is there by now. */
static void create_next(struct resource *r, const json_t *object)
{
	_cleanup_free_ char *path = path_of(object);
	_cleanup_free_ char *all = xasprintf("%.*s?fieldManager=" CONTROLLER, (int)(strrchr(path, '/') - path), path);

	r->writer.call = kube_request(
		r->op->kube, &(struct kube_request){.method = "POST", .path = all, .body = object}, on_applied, r);
}

static void apply_next(struct resource *r)
{
	const json_t *object = json_array_get(r->pod.objects, r->pod.next);
	_cleanup_free_ char *path = path_of(object);

	r->writer.call = kube_apply(r->op->kube, path, object, on_applied, r);
}

/* It is deleted with its PgSync, which usually takes a moment. */
static int await_previous(struct resource *r, const char *kind, const char *name, struct err *err)
{
	int64_t now_ms = clock_now_ms();

	if (!r->pod.waits_since_ms)
		r->pod.waits_since_ms = now_ms;
	if (now_ms - r->pod.waits_since_ms < WAITS_MS)
		return err_set(err, ERR_CONFLICT, "%s \"%s\" belongs to an earlier PgSync, with which it is deleted",
			       kind, name);
	return err_set(err, ERR_INVALID,
		       "%s \"%s\" belongs to an earlier PgSync of this name, and is still there: delete it, or the "
		       "finalizer that keeps it",
		       kind, name);
}

/* Server-side apply takes over what it finds: nothing that is not the PgSync's may be found. */
static int check_whose(struct resource *r, const json_t *found, struct err *err)
{
	const json_t *object = json_array_get(r->pod.objects, r->pod.next);
	const char *kind = jsonx_string(object, "kind", ""), *name = jsonx_string(object, "metadata.name", "");

	switch (placement_owner(found, r->name, r->cache.uid)) {
	case PLACEMENT_OURS:
		return 0;
	case PLACEMENT_PREVIOUS:
		return await_previous(r, kind, name, err);
	case PLACEMENT_FOREIGN:
		break;
	}
	return err_set(err, ERR_INVALID,
		       "%s \"%s\" exists and does not belong to this PgSync: delete or rename it, or give the PgSync "
		       "another name",
		       kind, name);
}

/* What is there is applied with its uid, so that what has come in its place meanwhile is not changed. A Deployment is
 * always applied: the fields that a POST sets are not removed by a later apply. What has come in its place has another
 * selector, which cannot be changed, so the API server refuses it. */
static void on_looked(void *user, const json_t *found, const struct err *err)
{
	struct resource *r = user;
	json_t *object = json_array_get(r->pod.objects, r->pod.next);
	bool last = r->pod.next + 1 == json_array_size(r->pod.objects);
	struct err problem;

	r->writer.call = NULL;
	if (err && err->kind != ERR_NOT_FOUND) {
		end_place(r, err);
		return;
	}
	if (!err && check_whose(r, found, &problem) < 0) {
		end_place(r, &problem);
		return;
	}
	if (!err)
		(void)json_object_set_new(json_object_get(object, "metadata"), "uid",
					  json_string(jsonx_string(found, "metadata.uid", "")));
	if (err && !last)
		create_next(r, object);
	else
		apply_next(r);
}

static void look_next(struct resource *r)
{
	_cleanup_free_ char *path = path_of(json_array_get(r->pod.objects, r->pod.next));

	r->writer.call = kube_request(r->op->kube, &(struct kube_request){.method = "GET", .path = path}, on_looked, r);
}

void resource_place(struct resource *r)
{
	const struct deployment *d = deployment_of(r);
	char hash[JSONX_HASH_BYTES];
	json_t *objects = make_objects(r, r->op->options->worker_image, hash);

	/* Another image alone, as after an upgrade of the operator, does not restart a pod. */
	if (d && *d->image && strcmp(d->applied, hash) == 0) {
		json_decref(objects);
		objects = make_objects(r, d->image, hash);
	}
	jsonx_decref(r->pod.objects);
	r->pod.objects = objects;
	r->pod.next = 0;
	r->pod.before = d ? d->generation : 0;
	memcpy(r->pod.hash, hash, sizeof(r->pod.hash));
	resource_begin_write(r);
	look_next(r);
}

static void on_unplaced(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;
	_cleanup_free_ char *key = deployment_key(r);

	UNUSED(object);
	if (err && err->kind == ERR_NOT_FOUND)
		err = NULL;
	if (!err) {
		(void)map_removes(r->op->pods->deployments, key);
		log_info("operator", "the worker's pod is deleted", KV_STR("resource", r->key));
	}
	resource_enqueue(r);
	resource_end_write(r, WRITE_POD_END, err);
}

void resource_unplace(struct resource *r)
{
	_cleanup_free_ char *name = placement_name(r->name);
	_cleanup_free_ char *path =
		kube_path("apis", "apps", "v1", "namespaces", r->namespace, "deployments", name, NULL);
	const struct deployment *d = deployment_of(r);
	_cleanup_json_ json_t *body =
		json_pack("{s:s, s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "DeleteOptions", "propagationPolicy",
			  "Background", "preconditions", "uid", d ? jsonx_string(d->marks, "metadata.uid", "") : "");

	r->pod.leaving = true;
	r->pod.hash[0] = '\0';
	resource_begin_write(r);
	r->writer.call = kube_request(
		r->op->kube, &(struct kube_request){.method = "DELETE", .path = path, .body = body}, on_unplaced, r);
}

/* --- its agent */

void resource_pod_status_seen(struct resource *r)
{
	if (r->pod.lease)
		peers_named(r->op, r->pod.lease);
	resource_enqueue(r);
}

void resource_show_pod(struct resource *r)
{
	_cleanup_json_ json_t *status = r->writer.status ? json_loads(r->writer.status, 0, NULL) : NULL;

	operator_metrics_resource(r, status);
	workqueue_forget(r->op->queue, r->key);
	operator_reconciled(r, RECONCILE_SUCCESS);
}

bool resource_is_elsewhere(const struct resource *r)
{
	const struct resource_cache *c = &r->cache;

	if (c->frozen && c->presence != PRESENCE_DELETING)
		return false;
	return !c->in_pod || c->suspend || c->presence == PRESENCE_DELETING;
}
