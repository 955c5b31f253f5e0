/* Secrets and ConfigMaps by name, counted by their users, from one watch for each kind and namespace. */
#include "operator/refs_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "json/json.h"

enum ref_kind { REF_SECRET, REF_CONFIG_MAP };
enum ref_state { REF_LOADING, REF_ABSENT, REF_DENIED, REF_PRESENT };

/* FETCHES: the most at once, so that many references need few connections. */
enum { FETCHES = 4, FETCH_AGAIN_MS = 1000 };

#define TOKEN_TYPE "kubernetes.io/service-account-token"

/* The Secrets or the ConfigMaps of a namespace: one watch. Objects that nothing refers to are not kept. */
struct ref_source {
	struct refs *refs;
	enum ref_kind kind;
	char *key; /* "kind/namespace" in the map */
	char *namespace;
	unsigned users; /* struct ref */
	bool listed;
	struct kube_reflector *reflector;
};

struct ref {
	struct ref_source *source;
	char *key; /* "kind/namespace/name" in the map */
	char *name;
	unsigned users;
	enum ref_state state;
	bool seen;      /* by the running reflector */
	bool late;      /* it was added after the list had begun, which may have skipped it */
	char *denial;   /* DENIED: why */
	json_t *values; /* as last seen: these outlive the object, for cleanups */
	struct kube_call *call;
};

struct refs {
	struct kube *kube;
	const char *secret_label;
	struct map *map, *sources;
	struct map *wanted; /* refs that are to be fetched */
	unsigned fetches;
	struct kube_timer *timer;
	void (*changed)(void *user, const struct ref *ref);
	void *user;
};

static const char *const resources[] = {"secrets", "configmaps"};
static const char *const kinds[] = {"Secret", "ConfigMap"};

static void end_fetch(struct ref *ref)
{
	struct refs *refs = ref->source->refs;

	(void)map_removes(refs->wanted, ref->key);
	if (!ref->call)
		return;
	kube_cancel(TAKE_PTR(ref->call));
	refs->fetches--;
}

static void source_free(void *ptr)
{
	struct ref_source *source = ptr;

	kube_reflector_stop(source->reflector);
	free(source->key);
	free(source->namespace);
	free(source);
}

static void ref_free(void *ptr)
{
	struct ref *ref = ptr;

	end_fetch(ref);
	if (--ref->source->users == 0) {
		_cleanup_free_ char *key = xstrdup(ref->source->key);

		(void)map_removes(ref->source->refs->sources, key);
	}
	jsonx_decref(ref->values);
	free(ref->denial);
	free(ref->key);
	free(ref->name);
	free(ref);
}

struct refs *refs_new(struct kube *kube, const char *secret_label, void (*changed)(void *user, const struct ref *ref),
		      void *user)
{
	struct refs *refs = xcalloc(1, sizeof(*refs));

	refs->kube = kube;
	refs->secret_label = secret_label;
	refs->map = map_new(ref_free);
	refs->sources = map_new(source_free);
	refs->wanted = map_new(NULL);
	refs->changed = changed;
	refs->user = user;
	return refs;
}

void refs_free(struct refs *refs)
{
	if (!refs)
		return;
	kube_timer_cancel(refs->timer);
	map_free(refs->map);
	map_free(refs->sources);
	map_free(refs->wanted);
	free(refs);
}

/* --- the state of an object */

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

		if (ref->source->kind == REF_CONFIG_MAP) {
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
		free_secret(decoded);
	}
	return values;
}

static void set_state(struct ref *ref, enum ref_state state, json_t *values_take)
{
	struct refs *refs = ref->source->refs;
	bool same = ref->state == state && (!values_take || json_equal(values_take, ref->values));

	if (values_take) {
		jsonx_decref(ref->values);
		ref->values = values_take;
	}
	ref->state = state;
	if (!same)
		refs->changed(refs->user, ref);
}

static void deny(struct ref *ref, const char *why)
{
	free(ref->denial);
	ref->denial = xstrdup(why);
	set_state(ref, REF_DENIED, NULL);
}

bool refs_label_matches(const json_t *object, const char *label)
{
	size_t len = strcspn(label, "=");
	_cleanup_free_ char *key = xstrndup(label, len);
	const char *value = json_string_value(json_object_get(jsonx_get(object, "metadata.labels"), key));

	return value && (!label[len] || strcmp(value, label + len + 1) == 0);
}

static void take_ref_object(struct ref *ref, const json_t *object)
{
	const char *label = ref->source->refs->secret_label;
	bool secret = ref->source->kind == REF_SECRET;

	/* Checks the label here, since a fetched object has not been filtered. */
	if (secret && label && !refs_label_matches(object, label))
		set_state(ref, REF_ABSENT, NULL);
	else if (secret && strcmp(jsonx_string(object, "type", ""), TOKEN_TYPE) == 0)
		deny(ref, "it holds the token of a ServiceAccount (type " TOKEN_TYPE "), which no PgSync gets");
	else
		set_state(ref, REF_PRESENT, decode_values(ref, object));
}

/* --- fetching an object that the list may have skipped */

static void fetch_wanted(struct refs *refs);

static void on_time_to_fetch(void *user)
{
	struct refs *refs = user;

	refs->timer = NULL;
	fetch_wanted(refs);
}

static void on_fetched(void *user, const json_t *object, const struct err *err)
{
	struct ref *ref = user;
	struct refs *refs = ref->source->refs;

	ref->call = NULL;
	refs->fetches--;
	if (object) {
		take_ref_object(ref, object);
	} else if (err->kind == ERR_NOT_FOUND) {
		set_state(ref, REF_ABSENT, NULL);
	} else if (err->kind == ERR_DENIED) {
		deny(ref, err->msg);
	} else {
		log_debug("operator", "reading failed, retrying", KV_STR("object", ref->key), KV_ERR(err));
		map_puts(refs->wanted, ref->key, ref);
		if (!refs->timer)
			refs->timer =
				kube_timer_start(refs->kube, clock_now_ms() + FETCH_AGAIN_MS, on_time_to_fetch, refs);
		return;
	}
	fetch_wanted(refs);
}

static bool take_first(void *user, const char *key, size_t len, void *value)
{
	struct ref **first = user;

	UNUSED(key);
	UNUSED(len);
	*first = value;
	return false;
}

static void fetch_wanted(struct refs *refs)
{
	while (refs->fetches < FETCHES && map_size(refs->wanted) && !refs->timer) {
		_cleanup_free_ char *path = NULL;
		struct ref *ref = NULL;

		map_each(refs->wanted, take_first, &ref);
		(void)map_removes(refs->wanted, ref->key);
		path = kube_path("api", "v1", "namespaces", ref->source->namespace, resources[ref->source->kind],
				 ref->name, NULL);
		refs->fetches++;
		ref->call = kube_request(refs->kube, &(struct kube_request){.method = "GET", .path = path}, on_fetched,
					 ref);
	}
}

static void want(struct ref *ref)
{
	struct refs *refs = ref->source->refs;

	if (!ref->call)
		map_puts(refs->wanted, ref->key, ref);
	fetch_wanted(refs);
}

/* --- events of the watch */

/* NULL: nothing refers to it. key: "namespace/name". */
static struct ref *find_ref(const struct ref_source *source, const char *key)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", kinds[source->kind], key);

	return map_gets(source->refs->map, full);
}

static void on_object_changed(void *user, const char *key, json_t *object)
{
	struct ref *ref = find_ref(user, key);

	if (!ref)
		return;
	end_fetch(ref);
	ref->seen = true;
	take_ref_object(ref, object);
}

static void on_object_deleted(void *user, const char *key)
{
	struct ref *ref = find_ref(user, key);

	if (!ref)
		return;
	end_fetch(ref);
	set_state(ref, REF_ABSENT, NULL);
}

static bool settle_ref(void *user, const char *key, size_t len, void *value)
{
	struct ref *ref = value;

	UNUSED(key);
	UNUSED(len);
	if (ref->source != user || ref->seen)
		return true;
	if (ref->late)
		want(ref);
	else
		set_state(ref, REF_ABSENT, NULL);
	return true;
}

static void on_synced(void *user)
{
	struct ref_source *source = user;

	source->listed = true;
	map_each(source->refs->map, settle_ref, source);
}

static void start_watching(struct ref_source *source);

struct denial {
	const struct ref_source *source;
	const char *why;
};

static bool deny_each(void *user, const char *key, size_t len, void *value)
{
	const struct denial *denial = user;
	struct ref *ref = value;

	UNUSED(key);
	UNUSED(len);
	if (ref->source == denial->source && ref->state != REF_PRESENT)
		deny(ref, denial->why);
	return true;
}

static void on_object_failed(void *user, const struct err *err)
{
	struct ref_source *source = user;
	struct denial denial = {source, err->msg};

	log_debug("operator", "watching failed, retrying", KV_STR("objects", source->key), KV_ERR(err));
	if (err->kind != ERR_DENIED)
		return;
	map_each(source->refs->map, deny_each, &denial);
	/* A reflector reports only once that its list is complete. A new one does so when reading is allowed again. */
	if (source->listed) {
		kube_reflector_stop(source->reflector);
		start_watching(source);
	}
}

static bool forget_seen(void *user, const char *key, size_t len, void *value)
{
	struct ref *ref = value;

	UNUSED(key);
	UNUSED(len);
	if (ref->source == user)
		ref->seen = ref->late = false;
	return true;
}

static void start_watching(struct ref_source *source)
{
	static const struct kube_reflector_handlers handlers = {.changed = on_object_changed,
								.deleted = on_object_deleted,
								.synced = on_synced,
								.failed = on_object_failed};
	struct refs *refs = source->refs;
	_cleanup_free_ char *path =
		kube_path("api", "v1", "namespaces", source->namespace, resources[source->kind], NULL);

	source->listed = false;
	map_each(refs->map, forget_seen, source);
	source->reflector = kube_reflect(refs->kube, path, source->kind == REF_SECRET ? refs->secret_label : NULL,
					 &handlers, source);
}

/* --- users */

static struct ref_source *source_of(struct refs *refs, enum ref_kind kind, const char *namespace)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", kinds[kind], namespace);
	struct ref_source *source = map_gets(refs->sources, key);

	if (source)
		return source;
	source = xcalloc(1, sizeof(*source));
	source->refs = refs;
	source->kind = kind;
	source->key = TAKE_PTR(key);
	source->namespace = xstrdup(namespace);
	map_puts(refs->sources, source->key, source);
	return source;
}

static struct ref *ref_new(struct refs *refs, enum ref_kind kind, const char *namespace, const char *name)
{
	struct ref *ref = xcalloc(1, sizeof(*ref));

	ref->source = source_of(refs, kind, namespace);
	ref->source->users++;
	ref->key = xasprintf("%s/%s/%s", kinds[kind], namespace, name);
	ref->name = xstrdup(name);
	ref->late = ref->source->reflector != NULL;
	map_puts(refs->map, ref->key, ref);
	if (!ref->source->reflector)
		start_watching(ref->source);
	else if (ref->source->listed)
		want(ref);
	return ref;
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

	if (!ref)
		ref = ref_new(h->refs, kind, h->namespace, name);
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

bool refs_values(const struct ref_set *set, bool last_known, json_t *secrets, json_t *config_maps, json_t *denied)
{
	bool loaded = true;

	for (size_t i = 0; i < set->n; i++) {
		const struct ref *ref = set->items[i];
		bool there = ref->state == REF_PRESENT || (last_known && ref->values);

		if (ref->state == REF_LOADING)
			loaded = false;
		if (ref->state == REF_DENIED && !there)
			(void)json_array_append_new(denied,
						    json_sprintf("%s \"%s\" cannot be read: %s",
								 kinds[ref->source->kind], ref->name, ref->denial));
		if (there)
			(void)json_object_set(ref->source->kind == REF_SECRET ? secrets : config_maps, ref->name,
					      ref->values);
	}
	return loaded;
}
