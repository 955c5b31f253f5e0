/* One PgSync as the operator remembers it: the object, its inputs, its events. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/findings.h"
#include "base/log.h"
#include "base/utf8.h"
#include "operator/operator_int.h"
#include "spec/spec.h"

enum { NOTE_BYTES = 1024, WRITE_BACKOFF_MS = 500, WRITE_BACKOFF_CAP_MS = 30 * 1000 };

struct resource *resource_new(struct operator_ *op, const char *key)
{
	struct resource *r = xcalloc(1, sizeof(*r));
	const char *slash = strchr(key, '/');

	r->op = op;
	r->key = xstrdup(key);
	r->namespace = xstrndup(key, slash ? (size_t)(slash - key) : 0);
	r->name = xstrdup(slash ? slash + 1 : key);
	restarts_init(&r->restarts, random_seed());
	backoff_init(&r->write_backoff, WRITE_BACKOFF_MS, WRITE_BACKOFF_CAP_MS, random_seed());
	return r;
}

void resource_free(struct resource *r)
{
	if (!r)
		return;
	refs_release(r->op->refs, &r->refs);
	jsonx_decref(r->report);
	jsonx_decref(r->worker_status);
	free(r->exit_message);
	free(r->problem);
	free(r->writing);
	free(r->status);
	free(r->text);
	free(r->uid);
	free(r->name);
	free(r->namespace);
	free(r->key);
	free(r);
}

void resource_enqueue(struct resource *r)
{
	metric_add(r->op->meters.queue_adds, (const char *const[]){"pgsync.io/pgsyncs", NULL}, 1);
	workqueue_add(r->op->queue, r->key, clock_now_ms());
}

json_t *resource_json(const struct resource *r)
{
	return json_loads(r->text, JSON_ALLOW_NUL, NULL);
}

void resource_event(struct resource *r, bool warning, enum reason reason, const char *action, const char *note_fmt, ...)
{
	_cleanup_json_ json_t *regarding = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s}", "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync", "namespace",
		r->namespace, "name", r->name, "uid", r->uid ? r->uid : "", "resourceVersion", r->resource_version);
	_cleanup_free_ char *note = NULL;
	va_list ap;

	va_start(ap, note_fmt);
	note = xvasprintf(note_fmt, ap);
	va_end(ap);
	note[utf8_prefix(note, strlen(note), NOTE_BYTES)] = '\0';
	log_info("operator", "event", KV_STR("resource", r->key), KV_STR("reason", reason_name(reason)),
		 KV_STR("note", note));
	if (r->op->leading && regarding)
		kube_event(r->op->events, regarding, warning, reason_name(reason), action, "%s", note);
}

/* --- the object */

/* What workers and patches need of it. */
static char *trimmed(const json_t *object)
{
	static const char *const kept[] = {"name", "namespace", "uid", "generation", "finalizers"};
	const json_t *metadata = json_object_get(object, "metadata");
	_cleanup_json_ json_t *out = json_pack("{s:s, s:s, s:{}, s:O*}", "apiVersion", "pgsync.io/v1alpha1", "kind",
					       "PgSync", "metadata", "spec", json_object_get(object, "spec"));

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		json_t *value = json_object_get(metadata, kept[i]);

		if (value)
			(void)json_object_set(json_object_get(out, "metadata"), kept[i], value);
	}
	return jsonx_canonical(out);
}

static bool has_finalizer(const json_t *object)
{
	size_t i;
	json_t *item;

	json_array_foreach (jsonx_get(object, "metadata.finalizers"), i, item)
		if (strcmp(json_string_value(item) ? json_string_value(item) : "", FINALIZER) == 0)
			return true;
	return false;
}

/* Names of annotations hold dots, so no path leads to them. */
static bool annotation_is(const json_t *object, const char *name, const char *expected)
{
	const json_t *value = json_object_get(jsonx_get(object, "metadata.annotations"), name);

	return json_is_string(value) && strcmp(json_string_value(value), expected) == 0;
}

static void replace(char **field, char *take)
{
	free(*field);
	*field = take;
}

static void take_status(struct resource *r, const json_t *object)
{
	const json_t *status = json_object_get(object, "status");

	replace(&r->status, status ? jsonx_canonical(status) : NULL);
	/* Another operator had a worker since: its count is the one that goes on. */
	if (!r->worker &&
	    strcmp(jsonx_string(status, "worker.identity", ""), jsonx_string(r->worker_status, "identity", "")) != 0)
		jsonx_decref(TAKE_PTR(r->worker_status));
}

/* Another object of the same name: nothing of the old one's story holds for it. */
static void begin_anew(struct resource *r, const char *uid, const json_t *object)
{
	replace(&r->uid, xstrdup(uid));
	take_status(r, object);
	r->exit_reason = REASON_NONE;
	replace(&r->exit_message, NULL);
	jsonx_decref(TAKE_PTR(r->worker_status));
	/* The worker of the old one works for nobody, and whatever it still says is about the old one. */
	resource_cancel_write(r);
	resource_stop(r);
	jsonx_decref(TAKE_PTR(r->report));
	r->worker_generation = -1;
	r->cleaned = r->refused = r->farewell = false;
	r->last_write_ms = 0;
	resource_allow_writes(r);
	restarts_reset(&r->restarts);
}

bool resource_update(struct resource *r, const json_t *object)
{
	const char *uid = jsonx_string(object, "metadata.uid", "");
	int64_t generation = jsonx_integer(object, "metadata.generation", 0);
	bool deleting = jsonx_string(object, "metadata.deletionTimestamp", NULL) != NULL;
	bool finalizer = has_finalizer(object);
	bool force_delete = annotation_is(object, FORCE_DELETE, "true");
	bool frozen = annotation_is(object, RECONCILE, "disabled");
	bool fresh = !r->exists || !r->uid || strcmp(r->uid, uid) != 0;
	bool changed = fresh || r->generation != generation || r->deleting != deleting || r->finalizer != finalizer ||
		       r->force_delete != force_delete || r->frozen != frozen;

	if (!r->uid || strcmp(r->uid, uid) != 0)
		begin_anew(r, uid, object);
	else if (!r->op->leading)
		take_status(r, object);
	/* With a deletion, other values count: see resource_values. */
	if (fresh || r->generation != generation || r->deleting != deleting)
		r->inputs_stale = true;
	replace(&r->text, trimmed(object));
	(void)snprintf(r->resource_version, sizeof(r->resource_version), "%s",
		       jsonx_string(object, "metadata.resourceVersion", ""));
	r->exists = true;
	r->generation = generation;
	r->deleting = deleting;
	r->finalizer = finalizer;
	r->force_delete = force_delete;
	r->frozen = frozen;
	r->suspend = jsonx_boolean(object, "spec.suspend", false);
	return changed;
}

/* --- its inputs */

/* jansson refuses them unless it is told not to. */
static bool holds_nul(const struct resource *r)
{
	_cleanup_json_ json_t *strict = json_loads(r->text, 0, NULL);

	return !strict;
}

static void bad_inputs(struct resource *r, const struct findings *f)
{
	_cleanup_free_ char *all = findings_join(f, FINDING_ERROR, "; ");
	struct err err;

	(void)findings_err(f, &err);
	r->problem_reason = err.reason ? err.reason : REASON_INVALID_SPEC;
	if (!r->problem || strcmp(r->problem, all) != 0)
		resource_event(r, true, r->problem_reason, "Validate", "%s", all);
	replace(&r->problem, TAKE_PTR(all));
}

/* Of each Secret, the keys that the spec names: the others are no business of a worker, nor a reason to restart it. Two
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
	(void)refs_values(&r->refs, r->deleting, secrets, config_maps, &f);
	keep_named(secrets, spec);
}

/* What a worker is started with, by hash: suspend and deletionPolicy mean nothing to one that runs. */
static void hash_inputs(struct resource *r, const json_t *resource, const json_t *secrets, const json_t *config_maps)
{
	_cleanup_json_ json_t *spec = json_copy(json_object_get(resource, "spec"));
	_cleanup_json_ json_t *visible = NULL;
	_cleanup_json_ json_t *all = NULL;

	(void)json_object_del(spec, "suspend");
	(void)json_object_del(spec, "deletionPolicy");
	visible = json_pack("[s, O, O]", r->uid, spec, config_maps);
	(void)jsonx_hash(visible, r->spec_hash);
	all = json_pack("[s, O]", r->spec_hash, secrets);
	(void)jsonx_hash(all, r->hash);
}

static enum inputs judge(const struct spec *spec, const struct findings *f)
{
	if (!findings_failed(f))
		return INPUTS_OK;
	return spec_can_be_checked(spec, f) ? INPUTS_FLAWED : INPUTS_BAD;
}

void resource_refresh_inputs(struct resource *r)
{
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_json_ json_t *secrets = json_object();
	_cleanup_json_ json_t *config_maps = json_object();
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	findings_init(&f);
	r->inputs_stale = false;
	r->hash[0] = '\0';
	spec = spec_decode(resource, &f);
	if (holds_nul(r))
		findings_add(&f, FINDING_ERROR, REASON_INVALID_SPEC, "spec",
			     "holds a NUL character (\\u0000); remove it, no name and no text of ours may have one");
	refs_hold(r->op->refs, &r->refs, r->namespace, spec);
	if (!refs_values(&r->refs, r->deleting, secrets, config_maps, &f)) {
		r->inputs = INPUTS_LOADING;
		return;
	}
	spec_resolve(spec, &(struct spec_objects){.secrets = secrets, .config_maps = config_maps}, &f);
	r->inputs = judge(spec, &f);
	if (r->inputs == INPUTS_OK) {
		r->problem_reason = REASON_NONE;
		replace(&r->problem, NULL);
	} else {
		bad_inputs(r, &f);
	}
	/* Not before the checks: a message about a missing key tells which are there. */
	keep_named(secrets, spec);
	if (r->inputs != INPUTS_BAD)
		hash_inputs(r, resource, secrets, config_maps);
}
