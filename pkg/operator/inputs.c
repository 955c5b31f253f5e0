/* What a worker of a resource is started with: its spec, and the Secrets and ConfigMaps that the spec refers to. */
#include <string.h>

#include "base/findings.h"
#include "operator/operator_int.h"
#include "spec/spec.h"

/* jansson refuses NUL characters unless it is told not to. */
static bool holds_nul(const struct resource *r)
{
	_cleanup_json_ json_t *strict = json_loads(r->cache.text, 0, NULL);

	return !strict;
}

static void record_problem(struct resource *r, const struct findings *f)
{
	_cleanup_free_ char *all = findings_join(f, FINDING_ERROR, "; ");
	struct err err;

	(void)findings_err(f, &err);
	r->inputs.reason = err.reason ? err.reason : REASON_INVALID_SPEC;
	if (!r->inputs.problem || strcmp(r->inputs.problem, all) != 0)
		resource_event(r, true, r->inputs.reason, "Validate", "%s", all);
	resource_replace_text(&r->inputs.problem, TAKE_PTR(all));
}

/* Keeps the keys that the spec refers to: a worker does not need the others, and is not restarted when they change. Two
 * references mean a whole Secret, whose keys have fixed names. */
static void keep_named(json_t *secrets, const struct spec *spec)
{
	const char *whole[] = {spec->source.connection_secret, spec->sink.auth_secret.name};
	const struct spec_secret_ref *keys[] = {&spec->source.password_ref, &spec->source.ca, &spec->sink.ca};
	_cleanup_json_ json_t *all = json_copy(secrets);
	const char *name;
	json_t *held;

	(void)json_object_clear(secrets);
	json_object_foreach (all, name, held) {
		json_t *kept = json_object();

		for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
			if (whole[i] && strcmp(whole[i], name) == 0)
				(void)json_object_update(kept, held);
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			json_t *value = keys[i]->key ? json_object_get(held, keys[i]->key) : NULL;

			if (value && keys[i]->name && strcmp(keys[i]->name, name) == 0)
				(void)json_object_set(kept, keys[i]->key, value);
		}
		(void)json_object_set_new(secrets, name, kept);
	}
}

void resource_values(const struct resource *r, const struct spec *spec, json_t *secrets, json_t *config_maps)
{
	_cleanup_(findings_release) struct findings f;

	findings_init(&f);
	(void)refs_values(&r->inputs.refs, r->cache.presence == PRESENCE_DELETING, secrets, config_maps, &f);
	keep_named(secrets, spec);
}

/* Everything that a running worker depends on, which suspend and deletionPolicy are not part of. */
static void hash_inputs(struct resource *r, const json_t *resource, const json_t *secrets, const json_t *config_maps)
{
	_cleanup_json_ json_t *spec = json_copy(json_object_get(resource, "spec"));
	_cleanup_json_ json_t *visible = NULL;
	_cleanup_json_ json_t *all = NULL;

	(void)json_object_del(spec, "suspend");
	(void)json_object_del(spec, "deletionPolicy");
	visible = json_pack("[s, O, O, s]", r->cache.uid, spec, config_maps, r->cache.retry ? r->cache.retry : "");
	(void)jsonx_hash(visible, r->inputs.spec_hash);
	all = json_pack("[s, O]", r->inputs.spec_hash, secrets);
	(void)jsonx_hash(all, r->inputs.hash);
}

/* What the API server accepted and this program does not know: the CRD is newer than the operator. */
static void record_remark(struct resource *r, const struct findings *f)
{
	_cleanup_free_ char *all = findings_join(f, FINDING_WARNING, "; ");

	if (*all && (!r->inputs.remark || strcmp(r->inputs.remark, all) != 0))
		resource_event(r, true, REASON_UNKNOWN_FIELD, "Validate",
			       "this operator is older than the CRD, and ignores what it does not know: %s", all);
	resource_replace_text(&r->inputs.remark, TAKE_PTR(all));
}

static enum inputs verdict_of(const struct spec *spec, const struct findings *f)
{
	if (!findings_failed(f))
		return INPUTS_VALID;
	return spec_can_be_checked(spec, f) ? INPUTS_CHECKABLE : INPUTS_INVALID;
}

void resource_refresh_inputs(struct resource *r)
{
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_json_ json_t *secrets = json_object();
	_cleanup_json_ json_t *config_maps = json_object();
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	findings_init(&f);
	r->inputs.stale = false;
	r->inputs.hash[0] = '\0';
	spec = spec_decode_admitted(resource, &f);
	if (holds_nul(r))
		findings_add(&f, FINDING_ERROR, REASON_INVALID_SPEC, "spec",
			     "contains a NUL character (\\u0000), which names and texts must not contain; remove it");
	refs_hold(r->op->refs, &r->inputs.refs, r->namespace, spec);
	if (!refs_values(&r->inputs.refs, r->cache.presence == PRESENCE_DELETING, secrets, config_maps, &f)) {
		r->inputs.verdict = INPUTS_LOADING;
		return;
	}
	spec_resolve(spec,
		     &(struct spec_objects){.secrets = secrets,
					    .config_maps = config_maps,
					    .secret_label = r->op->options ? r->op->options->secret_label : NULL},
		     &f);
	r->inputs.verdict = verdict_of(spec, &f);
	record_remark(r, &f);
	if (r->inputs.verdict == INPUTS_VALID) {
		r->inputs.reason = REASON_NONE;
		resource_replace_text(&r->inputs.problem, NULL);
	} else {
		record_problem(r, &f);
	}
	/* Not before the checks: their messages about a missing key name the keys that exist. */
	keep_named(secrets, spec);
	if (r->inputs.verdict != INPUTS_INVALID)
		hash_inputs(r, resource, secrets, config_maps);
}
