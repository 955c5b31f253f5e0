/* The objects that make the pod of a PgSync. */
#include "operator/placement_int.h"

#include "base/mem.h"
#include "spec/spec.h"

enum { AGENT_PORT = 8080, USER = 10001, FILE_MODE = 0440 };

char *placement_name(const char *name)
{
	return xasprintf("pgsync-%s", name);
}

/* --- whose an object is */

static bool has_mark(const json_t *object, const char *map, const char *key, const char *value)
{
	_cleanup_json_ json_t *found = jsonx_member(jsonx_get(object, map), key);

	return json_is_string(found) && strcmp(json_string_value(found), value) == 0;
}

/* The reference to its controller, or NULL. The list may be text, because of kube_keep_text. */
static json_t *controller_of(const json_t *object)
{
	const json_t *owners = jsonx_get(object, "metadata.ownerReferences");
	_cleanup_json_ json_t *list =
		json_is_string(owners) ? json_loads(json_string_value(owners), 0, NULL) : json_incref((json_t *)owners);
	json_t *owner;
	size_t i;

	json_array_foreach (list, i, owner)
		if (json_is_true(json_object_get(owner, "controller")))
			return json_incref(owner);
	return NULL;
}

json_t *placement_marks(const json_t *object)
{
	static const char *const kept[] = {"uid", "labels", "annotations", "ownerReferences"};
	const json_t *metadata = json_object_get(object, "metadata");
	json_t *marks = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (json_object_get(metadata, kept[i]))
			(void)json_object_set(marks, kept[i], json_object_get(metadata, kept[i]));
	return json_pack("{s:o}", "metadata", marks);
}

enum placement_owner placement_owner(const json_t *object, const char *name, const char *uid)
{
	_cleanup_json_ json_t *controller = controller_of(object);

	if (!has_mark(object, "metadata.labels", PLACEMENT_MANAGED_BY, PLACEMENT_MANAGER) ||
	    !has_mark(object, "metadata.annotations", PLACEMENT_NAME, name))
		return PLACEMENT_FOREIGN;
	if (strcmp(jsonx_string(controller, "kind", ""), "PgSync") != 0 ||
	    strcmp(jsonx_string(controller, "name", ""), name) != 0)
		return PLACEMENT_FOREIGN;
	return strcmp(jsonx_string(controller, "uid", ""), uid) == 0 ? PLACEMENT_OURS : PLACEMENT_PREVIOUS;
}

/* --- the objects */

struct maker {
	const struct placement_input *in;
	const struct spec *spec;
	const char *namespace, *name, *uid, *object_name;
	json_t *objects;
};

static json_t *labels(const struct maker *m)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "app.kubernetes.io/name", "pgsync-worker",
			 "app.kubernetes.io/instance", m->object_name, "app.kubernetes.io/component", "worker",
			 "app.kubernetes.io/part-of", "pgsync", PLACEMENT_MANAGED_BY, PLACEMENT_MANAGER);
}

static json_t *metadata(const struct maker *m)
{
	return json_pack("{s:s, s:s, s:o, s:{s:s}, s:[{s:s, s:s, s:s, s:s, s:b}]}", "name", m->object_name, "namespace",
			 m->namespace, "labels", labels(m), "annotations", PLACEMENT_NAME, m->name, "ownerReferences",
			 "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync", "name", m->name, "uid", m->uid,
			 "controller", 1);
}

static json_t *add_owned(struct maker *m, const char *version, const char *kind)
{
	json_t *object = json_pack("{s:s, s:s, s:o}", "apiVersion", version, "kind", kind, "metadata", metadata(m));

	(void)json_array_append_new(m->objects, object);
	return object;
}

static json_t *rule(const char *group, const char *resource, const char *name, json_t *verbs_take)
{
	json_t *r = json_pack("{s:[s], s:[s], s:o}", "apiGroups", group, "resources", resource, "verbs", verbs_take);

	if (name)
		(void)json_object_set_new(r, "resourceNames", json_pack("[s]", name));
	return r;
}

/* An event cannot be limited to an object. The Lease is made here: else the agent could create any. */
static void add_permissions(struct maker *m)
{
	json_t *role = add_owned(m, "rbac.authorization.k8s.io/v1", "Role");
	json_t *binding = add_owned(m, "rbac.authorization.k8s.io/v1", "RoleBinding");

	(void)json_object_set_new(
		role, "rules",
		json_pack("[o, o, o, o]",
			  rule("pgsync.io", "pgsyncs", m->name, json_pack("[s, s, s]", "get", "list", "watch")),
			  rule("pgsync.io", "pgsyncs/status", m->name, json_pack("[s, s]", "get", "patch")),
			  rule("coordination.k8s.io", "leases", m->object_name, json_pack("[s, s]", "get", "update")),
			  rule("events.k8s.io", "events", NULL, json_pack("[s, s]", "create", "patch"))));
	(void)json_object_set_new(binding, "roleRef",
				  json_pack("{s:s, s:s, s:s}", "apiGroup", "rbac.authorization.k8s.io", "kind", "Role",
					    "name", m->object_name));
	(void)json_object_set_new(binding, "subjects",
				  json_pack("[{s:s, s:s, s:s}]", "kind", "ServiceAccount", "name", m->object_name,
					    "namespace", m->namespace));
}

/* --- what is mounted */

struct mounting {
	const struct spec *spec;
	const char *name; /* of the Secret */
	json_t *items, *sources;
};

static void add_item(json_t *items, const char *directory, const char *name, const char *key)
{
	(void)json_array_append_new(
		items, json_pack("{s:s, s:o}", "key", key, "path", json_sprintf("%s/%s/%s", directory, name, key)));
}

static void mount_key(void *user, const char *key)
{
	struct mounting *mounting = user;

	add_item(mounting->items, "secrets", mounting->name, key);
}

/* Optional, so that a Secret that is missing is reported by the worker, instead of a pod that does not start. */
static void mount(struct mounting *mounting, const char *kind, const char *name)
{
	(void)json_array_append_new(mounting->sources, json_pack("{s:{s:s, s:b, s:o}}", kind, "name", name, "optional",
								 1, "items", mounting->items));
}

static void mount_secret(void *user, const char *name)
{
	struct mounting *mounting = user;

	mounting->items = json_array();
	mounting->name = name;
	spec_secret_keys(mounting->spec, name, mount_key, mounting);
	mount(mounting, "secret", name);
}

static void mount_config_map(void *user, const char *name)
{
	struct mounting *mounting = user;

	mounting->items = json_array();
	add_item(mounting->items, "config-maps", name, mounting->spec->schema_config_map_key);
	mount(mounting, "configMap", name);
}

/* A volume alone: the worker may read all of it, however the kubelet replaces what is in it. */
static json_t *password_volume(const struct maker *m)
{
	const struct spec_secret_ref *ref = &m->spec->source.password_mount;

	if (!ref->name)
		return NULL;
	return json_pack("{s:s, s:{s:i, s:[{s:{s:s, s:b, s:[{s:s, s:s}]}}]}}", "name", "credentials", "projected",
			 "defaultMode", FILE_MODE, "sources", "secret", "name", ref->name, "optional", 1, "items",
			 "key", ref->key, "path", SPEC_PASSWORD_FILE);
}

static json_t *volumes(const struct maker *m)
{
	struct mounting mounting = {.spec = m->spec, .sources = json_array()};

	spec_references(m->spec, mount_secret, mount_config_map, &mounting);
	return json_pack("[{s:s, s:{s:i, s:o}}, o*]", "name", "references", "projected", "defaultMode", FILE_MODE,
			 "sources", mounting.sources, password_volume(m));
}

/* --- the Deployment */

static json_t *agent_args(const struct maker *m)
{
	json_t *args = json_pack("[s, o, s, s, s]", "--agent", json_sprintf("%s/%s", m->namespace, m->name), "--mounts",
				 PLACEMENT_MOUNTS, "--listen=:8080");

	for (const char *const *arg = m->in->args; *arg; arg++)
		(void)json_array_append_new(args, json_string(*arg));
	return args;
}

static json_t *probe(const char *path, int period, int failures)
{
	return json_pack("{s:{s:s, s:s}, s:i, s:i, s:i}", "httpGet", "path", path, "port", "http", "periodSeconds",
			 period, "failureThreshold", failures, "timeoutSeconds", 3);
}

static json_t *container(const struct maker *m)
{
	json_t *c = json_pack("{s:s, s:s, s:[s], s:o, s:[{s:s, s:{s:{s:s}}}], s:[{s:s, s:i}], s:[{s:s, s:s, s:b}]}",
			      "name", "worker", "image", m->in->image, "command", "pgsync-operator", "args",
			      agent_args(m), "env", "name", "POD_UID", "valueFrom", "fieldRef", "fieldPath",
			      "metadata.uid", "ports", "name", "http", "containerPort", AGENT_PORT, "volumeMounts",
			      "name", "references", "mountPath", PLACEMENT_MOUNTS, "readOnly", 1);
	json_t *resources = jsonx_get(m->in->resource, "spec.worker.resources");

	if (m->spec->source.password_mount.name)
		(void)json_array_append_new(json_object_get(c, "volumeMounts"),
					    json_pack("{s:s, s:s, s:b}", "name", "credentials", "mountPath",
						      PLACEMENT_MOUNTS PLACEMENT_CREDENTIALS, "readOnly", 1));
	(void)json_object_set_new(c, "startupProbe", probe("/livez", 1, 60));
	(void)json_object_set_new(c, "livenessProbe", probe("/livez", 10, 3));
	(void)json_object_set_new(c, "readinessProbe", probe("/readyz", 5, 3));
	(void)json_object_set_new(c, "securityContext",
				  json_pack("{s:b, s:b, s:{s:[s]}}", "allowPrivilegeEscalation", 0,
					    "readOnlyRootFilesystem", 1, "capabilities", "drop", "ALL"));
	if (resources)
		(void)json_object_set(c, "resources", resources);
	return c;
}

/* The API server checks their contents. */
static void add_template(const struct maker *m, json_t *pod)
{
	static const char *const fields[] = {"nodeSelector", "tolerations", "priorityClassName",
					     "topologySpreadConstraints", "imagePullSecrets"};
	const json_t *template = jsonx_get(m->in->resource, "spec.worker.podTemplate");
	json_t *constraint;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		json_t *value = json_object_get(template, fields[i]);

		if (value)
			(void)json_object_set_new(pod, fields[i], json_deep_copy(value));
	}
	/* What is spread is the pods of all PgSyncs of the namespace: each has one. */
	json_array_foreach (json_object_get(pod, "topologySpreadConstraints"), i, constraint)
		(void)json_object_set_new(constraint, "labelSelector",
					  json_pack("{s:{s:s, s:s}}", "matchLabels", "app.kubernetes.io/component",
						    "worker", "app.kubernetes.io/part-of", "pgsync"));
}

static json_t *pod_spec(const struct maker *m)
{
	json_t *pod = json_pack("{s:s, s:b, s:i, s:{s:b, s:i, s:i, s:i, s:{s:s}}, s:[o], s:o}", "serviceAccountName",
				m->object_name, "enableServiceLinks", 0, "terminationGracePeriodSeconds", 30,
				"securityContext", "runAsNonRoot", 1, "runAsUser", USER, "runAsGroup", USER, "fsGroup",
				USER, "seccompProfile", "type", "RuntimeDefault", "containers", container(m), "volumes",
				volumes(m));

	add_template(m, pod);
	return pod;
}

/* Recreate: the slot has one reader. */
static void add_deployment(struct maker *m)
{
	json_t *deployment = add_owned(m, "apps/v1", "Deployment");
	json_int_t nonce = jsonx_integer(m->in->resource, "spec.restartNonce", 0);

	(void)json_object_set_new(
		deployment, "spec",
		json_pack("{s:i, s:i, s:{s:s}, s:{s:{s:s, s:s}}, s:{s:{s:o, s:{s:s, s:o}}, s:o}}", "replicas", 1,
			  "revisionHistoryLimit", 1, "strategy", "type", "Recreate", "selector", "matchLabels",
			  "app.kubernetes.io/name", "pgsync-worker", "app.kubernetes.io/instance", m->object_name,
			  "template", "metadata", "labels", labels(m), "annotations",
			  "kubectl.kubernetes.io/default-container", "worker", "pgsync.io/restart-nonce",
			  json_sprintf("%lld", (long long)nonce), "spec", pod_spec(m)));
}

json_t *placement_objects(const struct placement_input *in, char hash[JSONX_HASH_BYTES])
{
	_cleanup_(spec_freep) struct spec *spec = spec_decode_outline(in->resource);
	_cleanup_free_ char *object_name = placement_name(jsonx_string(in->resource, "metadata.name", ""));
	struct placement_input without = *in;
	struct maker m = {.in = &without,
			  .spec = spec,
			  .namespace = jsonx_string(in->resource, "metadata.namespace", ""),
			  .name = jsonx_string(in->resource, "metadata.name", ""),
			  .uid = jsonx_string(in->resource, "metadata.uid", ""),
			  .object_name = object_name,
			  .objects = json_array()};
	json_t *deployment, *first;

	spec_mount_password(&spec->source, PLACEMENT_MOUNTS PLACEMENT_CREDENTIALS);
	without.image = "";
	(void)add_owned(&m, "v1", "ServiceAccount");
	(void)add_owned(&m, "coordination.k8s.io/v1", "Lease");
	add_permissions(&m);
	add_deployment(&m);
	(void)jsonx_hash(m.objects, hash);
	deployment = json_array_get(m.objects, json_array_size(m.objects) - 1);
	(void)json_object_set_new(jsonx_get(deployment, "metadata.annotations"), PLACEMENT_APPLIED, json_string(hash));
	first = json_array_get(jsonx_get(deployment, "spec.template.spec.containers"), 0);
	(void)json_object_set_new(first, "image", json_string(in->image));
	return m.objects;
}
