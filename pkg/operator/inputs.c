/* The inputs of a resource's worker: its spec, and the Secrets and ConfigMaps that the spec refers to. */
#include <string.h>

#include "base/findings.h"
#include "operator/operator_int.h"
#include "operator/placement_int.h"
#include "spec/spec.h"

void resource_inputs_changed(struct resource *r)
{
	r->inputs.stale = true;
	restarts_reset(&r->inputs.restarts);
}

/* --- the values that the spec refers to */

/* What the worker of a resource gets. */
struct values {
	json_t *resource, *secrets, *config_maps, *denied;
	bool loaded; /* all of them have been read */
};

static void values_release(struct values *v)
{
	jsonx_decref(v->resource);
	jsonx_decref(v->secrets);
	jsonx_decref(v->config_maps);
	jsonx_decref(v->denied);
}

/* The values of what the spec refers to. A resource that is being deleted may be cleaned up with the last known ones:
 * `kubectl delete` of a file or a namespace may delete Secrets first. */
static void values_load(const struct resource *r, const struct spec *spec, struct values *v)
{
	v->secrets = json_object();
	v->config_maps = json_object();
	v->denied = json_array();
	v->loaded = refs_values(&r->inputs.refs, spec, r->cache.presence == PRESENCE_DELETING,
				&(struct ref_values){v->secrets, v->config_maps, v->denied});
}

char *operator_credentials(const struct operator_ *op)
{
	const char *mounts = op->options ? op->options->mounts : NULL;

	return mounts ? xasprintf("%s" PLACEMENT_CREDENTIALS, mounts) : NULL;
}

/* What the agent of a pod leaves to its worker is no input: when it changes, nothing has to be started again. */
static struct spec *decode_references(const struct resource *r, const json_t *resource)
{
	_cleanup_free_ char *credentials = operator_credentials(r->op);
	struct spec *spec = spec_decode_outline(resource);

	if (credentials)
		spec_mount_password(&spec->source, credentials);
	return spec;
}

char *resource_assignment(const struct resource *r, enum protocol_task task)
{
	_cleanup_(values_release) struct values v = {.resource = resource_json(r)};
	_cleanup_(spec_freep) struct spec *spec = decode_references(r, v.resource);

	values_load(r, spec, &v);
	return protocol_encode_assignment(&(struct protocol_assignment){
		.task = task,
		.resource = v.resource,
		.secrets = v.secrets,
		.config_maps = v.config_maps,
		.schema = r->cache.schema,
		.secret_label = r->op->options ? (char *)r->op->options->secret_label : NULL,
		.denied = v.denied,
		.service_names = r->op->options && r->op->options->service_names,
		.clients = task == PROTOCOL_TASK_RUN && r->op->waiting,
		.leave_unreachable = task == PROTOCOL_TASK_CLEANUP && r->worker.leaves_unreachable,
	});
}

/* --- what changes with them */

/* {NAME: {KEY: HASH}}: large values are not copied. */
static json_t *hashes_of(const json_t *objects)
{
	json_t *all = json_object(), *object, *value;
	const char *name, *key;

	json_object_foreach ((json_t *)objects, name, object) {
		json_t *hashes = json_object();
		char hash[JSONX_HASH_BYTES];

		json_object_foreach (object, key, value)
			(void)json_object_set_new(hashes, key,
						  json_string(jsonx_hash_bytes(json_string_value(value),
									       json_string_length(value), hash)));
		(void)json_object_set_new(all, name, hashes);
	}
	return all;
}

/* Everything that a running worker depends on, so not suspend and deletionPolicy. */
static void hash_inputs(struct resource *r, const struct values *v)
{
	_cleanup_json_ json_t *spec = json_copy(json_object_get(v->resource, "spec"));
	_cleanup_json_ json_t *visible = NULL;
	_cleanup_json_ json_t *all = NULL;

	(void)json_object_del(spec, "suspend");
	(void)json_object_del(spec, "deletionPolicy");
	visible = json_pack("[s, O, s, o, s]", r->cache.uid, spec, r->cache.schema_hash, hashes_of(v->config_maps),
			    r->cache.retry ? r->cache.retry : "");
	(void)jsonx_hash(visible, r->inputs.spec_hash);
	all = json_pack("[s, o]", r->inputs.spec_hash, hashes_of(v->secrets));
	(void)jsonx_hash(all, r->inputs.hash);
}

void resource_refresh_inputs(struct resource *r)
{
	_cleanup_(values_release) struct values v = {.resource = resource_json(r)};
	_cleanup_(spec_freep) struct spec *spec = decode_references(r, v.resource);

	r->inputs.stale = false;
	r->inputs.hash[0] = '\0';
	refs_hold(r->op->refs, &r->inputs.refs, r->namespace, spec);
	values_load(r, spec, &v);
	if (!v.loaded) {
		r->inputs.verdict = INPUTS_LOADING;
		return;
	}
	hash_inputs(r, &v);
	resource_verify(r);
}
