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

/* FETCHES: the most at once, so that many references need few connections. OTHER_KEYS: of a ConfigMap without its key.
 */
enum { FETCHES = 4, FETCH_AGAIN_MS = 1000, OTHER_KEYS = 20, MOUNT_AGAIN_MS = 2000, FILE_BYTES = 4 * 1024 * 1024 };

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

/* A key of a Secret that specs use. */
struct used_key {
	unsigned users;
	bool read; /* data was taken from the object since the key is used */
};

struct ref {
	struct ref_source *source;
	char *key; /* "kind/namespace/name" in the map */
	char *name;
	unsigned users;
	enum ref_state state;
	bool seen;    /* by the running reflector */
	bool late;    /* it was added after the list had begun, which may have skipped it */
	char *denial; /* DENIED: why */
	/* As last seen, for jsonx_member: it outlives the object, for cleanups. Of a Secret, the keys that are used. */
	json_t *data;
	struct map *keys; /* of a Secret: name -> struct used_key */
	struct kube_call *call;
};

/* A reference of a resource, and what it uses of it. */
struct ref_hold {
	struct ref *ref;
	char **keys;
	size_t n, alloc;
};

struct refs {
	struct kube *kube;
	const char *secret_label;
	struct map *map, *sources;
	struct map *wanted; /* refs that are to be fetched */
	unsigned fetches;
	struct kube_timer *timer;
	const char *mounts; /* the directory of the files; NULL: the API server is asked */
	void (*changed)(void *user, const struct ref *ref);
	void *user;
};

const char *const OPERATOR_TEXTS[] = {"spec.schema",
				      "data",
				      "binaryData",
				      "metadata.annotations",
				      "metadata.labels",
				      "metadata.finalizers",
				      "metadata.managedFields",
				      "metadata.ownerReferences",
				      NULL};

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
	jsonx_decref(ref->data);
	map_free(ref->keys);
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

static bool mark_read(void *user, const char *key, size_t len, void *value)
{
	bool *any_new = user;
	struct used_key *used = value;

	UNUSED(key);
	UNUSED(len);
	*any_new |= !used->read;
	used->read = true;
	return true;
}

static void set_state(struct ref *ref, enum ref_state state, json_t *data)
{
	struct refs *refs = ref->source->refs;
	bool any_new = false, same;

	if (data)
		map_each(ref->keys, mark_read, &any_new);
	same = ref->state == state && !any_new && (!data || json_equal(data, ref->data));

	if (data) {
		jsonx_decref(ref->data);
		ref->data = json_incref(data);
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
	_cleanup_json_ json_t *found = jsonx_member(jsonx_get(object, "metadata.labels"), key);
	const char *value = json_string_value(found);

	return value && (!label[len] || strcmp(value, label + len + 1) == 0);
}

struct picking {
	const json_t *from;
	json_t *to;
};

static bool pick_key(void *user, const char *key, size_t len, void *value)
{
	struct picking *picking = user;
	_cleanup_free_ char *name = xstrndup(key, len);

	UNUSED(value);
	/* Nothing is set without a value. */
	(void)json_object_set_new(picking->to, name, jsonx_member(picking->from, name));
	return true;
}

/* What is kept of an object's data. A new reference. */
static json_t *data_to_keep(const struct ref *ref, const json_t *object)
{
	json_t *data = json_object_get(object, "data");
	struct picking picking = {data, json_object()};

	if (ref->source->kind == REF_SECRET) {
		map_each(ref->keys, pick_key, &picking);
	} else if (data) {
		json_decref(picking.to);
		return json_incref(data);
	}
	return picking.to;
}

static void take_ref_object(struct ref *ref, const json_t *object)
{
	const char *label = ref->source->refs->secret_label;
	_cleanup_json_ json_t *data = data_to_keep(ref, object);
	bool secret = ref->source->kind == REF_SECRET;

	/* Checks the label here, since a fetched object has not been filtered. */
	if (secret && label && !refs_label_matches(object, label))
		set_state(ref, REF_ABSENT, NULL);
	else if (secret && strcmp(jsonx_string(object, "type", ""), TOKEN_TYPE) == 0)
		deny(ref, "it holds the token of a ServiceAccount (type " TOKEN_TYPE "), which no PgSync gets");
	else
		set_state(ref, REF_PRESENT, data);
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

	if (refs->mounts)
		return;
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

/* --- files */

/* A name that cannot leave its directory. */
static bool is_file_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

struct reading_files {
	const struct ref *ref;
	json_t *data;
};

/* As the API server has it: Secrets in base64. */
static void read_key_file(const struct reading_files *reading, const char *key)
{
	static const char *const directories[] = {"secrets", "config-maps"};
	const struct ref *ref = reading->ref;
	_cleanup_free_ char *path =
		xasprintf("%s/%s/%s/%s", ref->source->refs->mounts, directories[ref->source->kind], ref->name, key);
	_cleanup_(free_secretp) char *text = NULL;
	_cleanup_(free_secretp) char *encoded = NULL;
	struct err err;
	size_t len;

	if (!is_file_name(ref->name) || !is_file_name(key) || jsonx_read_file(path, FILE_BYTES, &text, &len, &err) < 0)
		return;
	if (ref->source->kind == REF_SECRET)
		encoded = base64_encode(text, len);
	(void)json_object_set_new(reading->data, key, encoded ? json_string(encoded) : json_stringn(text, len));
}

static bool read_used_key(void *user, const char *key, size_t len, void *value)
{
	_cleanup_free_ char *name = xstrndup(key, len);

	UNUSED(value);
	read_key_file(user, name);
	return true;
}

static bool read_mounted(void *user, const char *key, size_t len, void *value)
{
	struct ref *ref = value;
	struct reading_files reading = {ref, json_object()};
	_cleanup_json_ json_t *data = reading.data;

	UNUSED(user);
	UNUSED(key);
	UNUSED(len);
	map_each(ref->keys, read_used_key, &reading);
	if (json_object_size(data))
		set_state(ref, REF_PRESENT, data);
	else
		set_state(ref, REF_ABSENT, NULL);
	return true;
}

static void on_time_to_read(void *user)
{
	struct refs *refs = user;

	refs->timer = kube_timer_start(refs->kube, clock_now_ms() + MOUNT_AGAIN_MS, on_time_to_read, refs);
	map_each(refs->map, read_mounted, refs);
}

void refs_mount(struct refs *refs, const char *directory)
{
	refs->mounts = directory;
	if (directory)
		on_time_to_read(refs);
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
	ref->keys = map_new(free);
	ref->late = ref->source->reflector != NULL;
	map_puts(refs->map, ref->key, ref);
	if (refs->mounts)
		return ref;
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
	const struct spec *spec;
};

static void use_key(void *user, const char *key)
{
	struct ref_hold *hold = user;
	struct used_key *used = map_gets(hold->ref->keys, key);

	if (!used) {
		used = xcalloc(1, sizeof(*used));
		map_puts(hold->ref->keys, key, used);
		/* Its value was not kept when the object was seen. */
		if (hold->ref->state == REF_PRESENT)
			want(hold->ref);
	}
	used->users++;
	ALLOC_GROW(hold->keys, hold->n + 1, hold->alloc);
	hold->keys[hold->n++] = xstrdup(key);
}

static void stop_using_key(struct ref *ref, const char *key)
{
	struct used_key *used = map_gets(ref->keys, key);

	if (--used->users)
		return;
	(void)map_removes(ref->keys, key);
	(void)json_object_del(ref->data, key);
}

static void hold(struct holding *h, enum ref_kind kind, const char *name)
{
	struct ref_hold *hold;
	_cleanup_free_ char *key = xasprintf("%s/%s/%s", kinds[kind], h->namespace, name);
	struct ref *ref = map_gets(h->refs->map, key);

	if (!ref)
		ref = ref_new(h->refs, kind, h->namespace, name);
	ref->users++;
	ALLOC_GROW(h->set->items, h->set->n + 1, h->set->alloc);
	hold = &h->set->items[h->set->n++];
	*hold = (struct ref_hold){.ref = ref};
	if (kind == REF_SECRET)
		spec_secret_keys(h->spec, name, use_key, hold);
	else if (h->refs->mounts)
		use_key(hold, h->spec->schema_config_map_key);
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
	struct holding h = {.refs = refs, .set = set, .namespace = namespace, .spec = spec};

	/* Adds the new ones first, so that what is in both sets keeps its watch and its values. */
	*set = (struct ref_set){0};
	spec_references(spec, hold_secret, hold_config_map, &h);
	refs_release(refs, &old);
	if (refs->mounts)
		map_each(refs->map, read_mounted, refs);
}

void refs_release(struct refs *refs, struct ref_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct ref_hold *hold = &set->items[i];
		struct ref *ref = hold->ref;

		for (size_t k = 0; k < hold->n; k++)
			stop_using_key(ref, hold->keys[k]);
		free_strings(hold->keys, hold->n);
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
		if (set->items[i].ref == ref)
			return true;
	return false;
}

/* --- values */

/* As text: workers read JSON without NULs, and what contains one, or is not UTF-8, is no credential. Or NULL. */
static json_t *value_of_key(enum ref_kind kind, const json_t *value)
{
	const char *text = json_string_value(value);
	_cleanup_(free_secretp) char *decoded = NULL;
	size_t len;

	if (!text || strlen(text) != json_string_length(value))
		return NULL;
	if (kind == REF_CONFIG_MAP)
		return json_incref((json_t *)value);
	decoded = base64_decode(text, &len);
	return decoded && !memchr(decoded, '\0', len) ? json_stringn(decoded, len) : NULL;
}

struct reading {
	const struct ref *ref;
	json_t *values;
	bool complete;
};

static void read_key_of_ref(void *user, const char *key)
{
	struct reading *reading = user;
	const struct used_key *used = map_gets(reading->ref->keys, key);
	_cleanup_json_ json_t *value = jsonx_member(reading->ref->data, key);

	if (reading->ref->state == REF_PRESENT && used && !used->read)
		reading->complete = false;

	/* Nothing is set without a value. */
	(void)json_object_set_new(reading->values, key, value_of_key(reading->ref->source->kind, value));
}

static bool add_other_key(void *user, const char *key, size_t len)
{
	json_t *values = user;
	_cleanup_free_ char *copy = xstrndup(key, len);

	(void)json_object_set_new(values, copy, json_string(""));
	return json_object_size(values) < OTHER_KEYS;
}

/* Sets *loaded to false if a key that the spec uses has not been read yet. */
static json_t *read_values(const struct ref *ref, const struct spec *spec, bool *loaded)
{
	struct reading reading = {ref, json_object(), true};

	if (ref->source->kind == REF_SECRET) {
		spec_secret_keys(spec, ref->name, read_key_of_ref, &reading);
		*loaded = *loaded && reading.complete;
		return reading.values;
	}
	read_key_of_ref(&reading, spec->schema_config_map_key);
	if (json_object_size(reading.values) == 0)
		jsonx_each_key(ref->data, add_other_key, reading.values);
	return reading.values;
}

bool refs_values(const struct ref_set *set, const struct spec *spec, bool last_known, const struct ref_values *to)
{
	bool loaded = true;

	for (size_t i = 0; i < set->n; i++) {
		const struct ref *ref = set->items[i].ref;
		bool there = ref->state == REF_PRESENT || (last_known && ref->data);

		if (ref->state == REF_LOADING)
			loaded = false;
		if (ref->state == REF_DENIED && !there)
			(void)json_array_append_new(to->denied,
						    json_sprintf("%s \"%s\" cannot be read: %s",
								 kinds[ref->source->kind], ref->name, ref->denial));
		if (there)
			(void)json_object_set_new(ref->source->kind == REF_SECRET ? to->secrets : to->config_maps,
						  ref->name, read_values(ref, spec, &loaded));
	}
	return loaded;
}
