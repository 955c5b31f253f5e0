/* Secrets and ConfigMaps by name, counted by their users. */
#include "operator/refs_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/map.h"
#include "json/json.h"

enum ref_kind { REF_SECRET, REF_CONFIG_MAP };
enum ref_state { REF_LOADING, REF_ABSENT, REF_DENIED, REF_PRESENT };

struct ref {
	struct refs *refs;
	enum ref_kind kind;
	char *key; /* "kind/namespace/name" in the map */
	char *namespace, *name;
	unsigned users;
	enum ref_state state;
	char *denial;   /* DENIED: the message of the API server */
	json_t *values; /* as last seen: they outlive the object, for cleanups */
	struct kube_reflector *reflector;
};

struct refs {
	struct kube *kube;
	struct map *map;
	void (*changed)(void *user, const struct ref *ref);
	void *user;
};

static const char *const resources[] = {"secrets", "configmaps"};
static const char *const kinds[] = {"Secret", "ConfigMap"};

static void ref_free(void *ptr)
{
	struct ref *ref = ptr;

	kube_reflector_stop(ref->reflector);
	jsonx_decref(ref->values);
	free(ref->denial);
	free(ref->key);
	free(ref->namespace);
	free(ref->name);
	free(ref);
}

struct refs *refs_new(struct kube *kube, void (*changed)(void *user, const struct ref *ref), void *user)
{
	struct refs *refs = xcalloc(1, sizeof(*refs));

	refs->kube = kube;
	refs->map = map_new(ref_free);
	refs->changed = changed;
	refs->user = user;
	return refs;
}

void refs_free(struct refs *refs)
{
	if (!refs)
		return;
	map_free(refs->map);
	free(refs);
}

/* --- events of the watch */

/* The keys of a Secret or ConfigMap as text. Values that are not UTF-8, or contain a NUL, cannot be credentials and are
 * left out: workers read JSON texts without NULs only. */
static json_t *decode_values(const struct ref *ref, const json_t *object)
{
	json_t *values = json_object();
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(object, "data"), key, value) {
		char *decoded;
		size_t len;

		if (ref->kind == REF_CONFIG_MAP) {
			if (json_string_length(value) ==
			    strlen(json_string_value(value) ? json_string_value(value) : ""))
				(void)json_object_set(values, key, value);
			continue;
		}
		decoded = base64_decode(json_string_value(value) ? json_string_value(value) : "", &len);
		if (!decoded)
			continue;
		if (!memchr(decoded, '\0', len))
			(void)json_object_set_new(values, key, json_stringn(decoded, len));
		explicit_bzero(decoded, len);
		free(decoded);
	}
	return values;
}

static void set_state(struct ref *ref, enum ref_state state, json_t *values_take)
{
	bool same = ref->state == state && (!values_take || json_equal(values_take, ref->values));

	if (values_take) {
		jsonx_decref(ref->values);
		ref->values = values_take;
	}
	ref->state = state;
	if (!same)
		ref->refs->changed(ref->refs->user, ref);
}

static void on_changed(void *user, const char *key, json_t *object)
{
	UNUSED(key);
	set_state(user, REF_PRESENT, decode_values(user, object));
}

static void on_deleted(void *user, const char *key)
{
	UNUSED(key);
	set_state(user, REF_ABSENT, NULL);
}

static void on_synced(void *user)
{
	const struct ref *ref = user;

	if (ref->state != REF_PRESENT)
		set_state(user, REF_ABSENT, NULL);
}

static void start_watching(struct ref *ref);

static void on_failed(void *user, const struct err *err)
{
	struct ref *ref = user;
	bool listed = ref->state == REF_ABSENT;

	log_debug("operator", "watching failed, retrying", KV_STR("object", ref->key), KV_ERR(err));
	if (err->kind != ERR_DENIED || ref->state == REF_PRESENT)
		return;
	free(ref->denial);
	ref->denial = xstrdup(err->msg);
	set_state(ref, REF_DENIED, NULL);
	/* A reflector reports only once that its list is complete. A new one does so when reading is allowed again. */
	if (listed) {
		kube_reflector_stop(ref->reflector);
		start_watching(ref);
	}
}

/* --- users */

static void start_watching(struct ref *ref)
{
	static const struct kube_reflector_handlers handlers = {
		.changed = on_changed, .deleted = on_deleted, .synced = on_synced, .failed = on_failed};
	_cleanup_free_ char *path = kube_path("api", "v1", "namespaces", ref->namespace, resources[ref->kind], NULL);
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", ref->name);

	ref->reflector = kube_reflect(ref->refs->kube, path, selector, &handlers, ref);
}

struct holding {
	struct refs *refs;
	struct ref_set *set;
	const char *namespace;
};

static void hold(struct holding *h, enum ref_kind kind, const char *name)
{
	_cleanup_free_ char *key = xasprintf("%s/%s/%s", kinds[kind], h->namespace, name);
	struct ref *ref = map_gets(h->refs->map, key);

	if (!ref) {
		ref = xcalloc(1, sizeof(*ref));
		ref->refs = h->refs;
		ref->kind = kind;
		ref->key = TAKE_PTR(key);
		ref->namespace = xstrdup(h->namespace);
		ref->name = xstrdup(name);
		map_puts(h->refs->map, ref->key, ref);
		start_watching(ref);
	}
	ref->users++;
	ALLOC_GROW(h->set->items, h->set->n + 1, h->set->alloc);
	h->set->items[h->set->n++] = ref;
}

static void hold_secret(void *user, const char *name)
{
	hold(user, REF_SECRET, name);
}

static void hold_config_map(void *user, const char *name)
{
	hold(user, REF_CONFIG_MAP, name);
}

void refs_hold(struct refs *refs, struct ref_set *set, const char *namespace, const struct spec *spec)
{
	struct ref_set old = *set;
	struct holding h = {.refs = refs, .set = set, .namespace = namespace};

	/* Adds the new ones first, so that what is in both sets keeps its watch. */
	*set = (struct ref_set){0};
	spec_references(spec, hold_secret, hold_config_map, &h);
	refs_release(refs, &old);
}

void refs_release(struct refs *refs, struct ref_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct ref *ref = set->items[i];

		if (--ref->users == 0) {
			_cleanup_free_ char *key = xstrdup(ref->key);

			(void)map_removes(refs->map, key);
		}
	}
	free(set->items);
	*set = (struct ref_set){0};
}

bool refs_contain(const struct ref_set *set, const struct ref *ref)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i] == ref)
			return true;
	return false;
}

bool refs_values(const struct ref_set *set, bool last_known, json_t *secrets, json_t *config_maps, struct findings *f)
{
	bool loaded = true;

	for (size_t i = 0; i < set->n; i++) {
		const struct ref *ref = set->items[i];
		bool there = ref->state == REF_PRESENT || (last_known && ref->values);

		if (ref->state == REF_LOADING)
			loaded = false;
		if (ref->state == REF_DENIED && !there)
			findings_add(f, FINDING_ERROR, REASON_CREDENTIALS_NOT_FOUND, NULL,
				     "%s \"%s\" cannot be read: %s", kinds[ref->kind], ref->name, ref->denial);
		if (there)
			(void)json_object_set(ref->kind == REF_SECRET ? secrets : config_maps, ref->name, ref->values);
	}
	return loaded;
}
