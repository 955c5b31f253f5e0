/* One PgSync in the cache: the object, its events, and what it leaves behind. */
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
	restarts_init(&r->worker.restarts, random_seed());
	restarts_init(&r->inputs.restarts, random_seed());
	backoff_init(&r->writer.backoff, WRITE_BACKOFF_MS, WRITE_BACKOFF_CAP_MS, random_seed());
	return r;
}

void resource_free(struct resource *r)
{
	if (!r)
		return;
	refs_release(r->op->refs, &r->inputs.refs);
	kube_cancel(r->namespace_call);
	jsonx_decref(r->shown_indices);
	jsonx_decref(r->worker.report);
	jsonx_decref(r->worker.status);
	free(r->worker.exit_message);
	free(r->inputs.problem);
	free(r->inputs.remark);
	free(r->writer.writing);
	free(r->writer.status);
	free(r->writer.missing);
	free(r->writer.refused);
	free(r->cache.text);
	free(r->cache.schema);
	free(r->cache.finalizers);
	free(r->cache.uid);
	free(r->cache.retry);
	free(r->cache.claim);
	free(r->cache.contender);
	free(r->pod.lease);
	jsonx_decref(r->pod.objects);
	free(r->name);
	free(r->namespace);
	free(r->key);
	free(r);
}

void resource_enqueue(struct resource *r)
{
	metric_add(r->op->metrics.queue_adds, (const char *const[]){"pgsync.io/pgsyncs", NULL}, 1);
	workqueue_add(r->op->queue, r->key, clock_now_ms());
}

static bool enqueue_each(void *user, const char *key, size_t len, void *value)
{
	UNUSED(user);
	UNUSED(key);
	UNUSED(len);
	resource_enqueue(value);
	return true;
}

void resource_enqueue_all(struct operator_ *op)
{
	map_each(op->resources, enqueue_each, NULL);
}

json_t *resource_json(const struct resource *r)
{
	return json_loads(r->cache.text, JSON_ALLOW_NUL, NULL);
}

/* Nothing can be created in a namespace that is being deleted: the event is about the namespace then. */
static json_t *event_object(const struct resource *r)
{
	if (r->cache.namespace_ends)
		return json_pack("{s:s, s:s, s:s}", "apiVersion", "v1", "kind", "Namespace", "name", r->namespace);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync",
			 "namespace", r->namespace, "name", r->name, "uid", r->cache.uid ? r->cache.uid : "",
			 "resourceVersion", r->cache.resource_version);
}

void resource_event(struct resource *r, bool warning, enum reason reason, const char *action, const char *note_fmt, ...)
{
	_cleanup_json_ json_t *regarding = event_object(r);
	_cleanup_free_ char *note = NULL;
	va_list ap;

	va_start(ap, note_fmt);
	note = xvasprintf(note_fmt, ap);
	va_end(ap);
	note[utf8_prefix(note, strlen(note), NOTE_BYTES)] = '\0';
	utf8_make_printable(note);
	log_info("operator", "event", KV_STR("resource", r->key), KV_STR("reason", reason_name(reason)),
		 KV_STR("note", note));
	if (!r->op->leading)
		return;
	console_event(r->op->console, r->namespace, r->name,
		      &(struct console_event){.warning = warning, .reason = reason, .action = action, .note = note});
	if (regarding)
		kube_event(r->op->events, regarding, warning, reason_name(reason), action, "%s", note);
}

/* --- the object */

/* "": it is not there. Caller frees. */
static char *annotation(const json_t *object, const char *name)
{
	_cleanup_json_ json_t *value = jsonx_member(jsonx_get(object, "metadata.annotations"), name);

	return xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

static bool is_annotated(const json_t *object, const char *name, const char *value)
{
	_cleanup_free_ char *found = annotation(object, name);

	return strcmp(found, value) == 0;
}

/* Keeps only what workers and patches need. */
static char *trimmed(const json_t *object, const char *retry)
{
	static const char *const kept[] = {"name", "namespace", "uid", "generation"};
	const json_t *metadata = json_object_get(object, "metadata");
	json_t *spec = json_object_get(object, "spec");
	_cleanup_json_ json_t *out =
		json_pack("{s:s, s:s, s:{}, s:o*}", "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync", "metadata",
			  "spec", json_is_object(spec) ? json_copy(spec) : json_incref(spec));

	(void)json_object_del(json_object_get(out, "spec"), "schema");
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		json_t *value = json_object_get(metadata, kept[i]);

		if (value)
			(void)json_object_set(json_object_get(out, "metadata"), kept[i], value);
	}
	if (*retry)
		(void)json_object_set_new(json_object_get(out, "metadata"), "annotations",
					  json_pack("{s:s}", SPEC_RETRY_DEAD_LETTERS, retry));
	return jsonx_canonical(out);
}

void resource_replace_text(char **field, char *take)
{
	free(*field);
	*field = take;
}

/* A value that arrives as text, because of kube_keep_text, whatever its form. Caller frees; NULL: it is not there. */
static char *text_of(const json_t *object, const char *path)
{
	const json_t *value = jsonx_get(object, path);

	if (!value || json_is_string(value))
		return xstrdup_or_null(json_string_value(value));
	return jsonx_canonical(value);
}

static void keep_schema(struct resource_cache *c, const json_t *object)
{
	_cleanup_free_ char *text = text_of(object, "spec.schema");

	if (text && c->schema && strcmp(text, c->schema) == 0)
		return;
	c->schema_hash[0] = '\0';
	if (text)
		(void)jsonx_hash_bytes(text, strlen(text), c->schema_hash);
	resource_replace_text(&c->schema, TAKE_PTR(text));
}

static void take_status(struct resource *r, const json_t *object)
{
	const json_t *status = json_object_get(object, "status");

	resource_status_taken(r, status);
	/* The API server's default, until an operator writes one. */
	if (jsonx_integer(status, "observedGeneration", 0) < 0)
		status = NULL;
	resource_replace_text(&r->writer.status, status ? jsonx_canonical(status) : NULL);
	/* Another operator has had a worker since: continue with its count. */
	if (!r->worker.process &&
	    strcmp(jsonx_string(status, "worker.identity", ""), jsonx_string(r->worker.status, "identity", "")) != 0)
		jsonx_decref(TAKE_PTR(r->worker.status));
}

/* Another object has the name now: nothing known about the old one applies to it. */
static void forget_object(struct resource *r, const char *uid, const json_t *object)
{
	resource_replace_text(&r->cache.uid, xstrdup(uid));
	take_status(r, object);
	r->worker.exit_reason = REASON_NONE;
	resource_replace_text(&r->worker.exit_message, NULL);
	jsonx_decref(TAKE_PTR(r->worker.status));
	/* The worker of the old one is not needed, and its messages are about the old one. */
	resource_cancel_write(r);
	resource_stop(r);
	jsonx_decref(TAKE_PTR(r->worker.report));
	r->worker.generation = -1;
	r->worker.outcome = OUTCOME_NONE;
	r->writer.last_ms = 0;
	r->writer.contended = r->cache.namespace_ends = false;
	resource_allow_writes(r);
	restarts_reset(&r->worker.restarts);
	resource_nothing_to_write(r);
}

/* Whether another process may write the status: its agent. */
static bool has_agent(const struct resource *r)
{
	return r->op->pods && (r->cache.in_pod || r->cache.was_in_pod);
}

/* What was written by us, and what is older than that, is known, and changes nothing. */
static void take_agents_status(struct resource *r, const json_t *object)
{
	take_status(r, object);
	resource_pod_status_seen(r);
}

static bool is_same(const char *known, const char *seen)
{
	return strcmp(known ? known : "", seen) == 0;
}

bool resource_update(struct resource *r, const json_t *object)
{
	struct resource_cache *c = &r->cache;
	const char *uid = jsonx_string(object, "metadata.uid", "");
	int64_t generation = jsonx_integer(object, "metadata.generation", 0);
	bool is_deleting = jsonx_string(object, "metadata.deletionTimestamp", NULL) != NULL;
	enum presence presence = is_deleting ? PRESENCE_DELETING : PRESENCE_ALIVE;
	_cleanup_free_ char *finalizers = text_of(object, "metadata.finalizers");
	bool finalizer = finalizers && strstr(finalizers, "\"" FINALIZER "\"");
	bool force_delete = is_annotated(object, FORCE_DELETE, "true");
	bool frozen = is_annotated(object, RECONCILE, "disabled");
	bool another = !c->uid || strcmp(c->uid, uid) != 0;
	/* With a deletion, other values count: see resource_values. */
	_cleanup_free_ char *retry = annotation(object, SPEC_RETRY_DEAD_LETTERS);
	bool retries = !is_same(c->retry, retry);
	const char *claim = jsonx_string(object, "status.operator.lease", "");
	_cleanup_free_ char *contender = annotation(object, CONTENDER);
	bool in_pod = strcmp(jsonx_string(object, "spec.worker.placement", ""), "Pod") == 0;
	bool others = !is_same(c->claim, claim) || !is_same(c->contender, contender);
	bool stale = another || c->generation != generation || c->presence != presence || retries;
	bool changed =
		stale || others || c->finalizer != finalizer || c->force_delete != force_delete || c->frozen != frozen;

	if (another)
		forget_object(r, uid, object);
	else if (!r->op->leading)
		take_status(r, object);
	else if (has_agent(r))
		take_agents_status(r, object);
	else
		resource_status_seen(r, json_object_get(object, "status"));
	if (stale)
		resource_inputs_changed(r);
	resource_replace_text(&c->text, trimmed(object, retry));
	c->holds_nul = jsonx_holds_nul(c->text);
	keep_schema(c, object);
	resource_replace_text(&c->finalizers, TAKE_PTR(finalizers));
	(void)snprintf(c->resource_version, sizeof(c->resource_version), "%s",
		       jsonx_string(object, "metadata.resourceVersion", ""));
	resource_replace_text(&c->retry, TAKE_PTR(retry));
	resource_replace_text(&c->claim, xstrdup(claim));
	resource_replace_text(&c->contender, TAKE_PTR(contender));
	if (others) {
		peers_named(r->op, c->claim);
		peers_named(r->op, c->contender);
	}
	(void)snprintf(c->created, sizeof(c->created), "%s", jsonx_string(object, "metadata.creationTimestamp", ""));
	c->presence = presence;
	c->generation = generation;
	c->finalizer = finalizer;
	c->force_delete = force_delete;
	c->frozen = frozen;
	c->suspend = jsonx_boolean(object, "spec.suspend", false);
	c->in_pod = in_pod;
	c->was_in_pod = strcmp(jsonx_string(object, "status.worker.placement", ""), "Pod") == 0;
	/* Careful with a word that is not known, as the worker is. */
	c->plan = strcmp(jsonx_string(object, "spec.mode", "Sync"), "Sync") != 0;
	return changed;
}

/* --- its end */

/* A quoted SQL identifier or literal. */
static void add_quoted(struct strbuf *sql, char quote, const char *name)
{
	strbuf_addc(sql, quote);
	for (; *name; name++) {
		if (*name == quote)
			strbuf_addc(sql, quote);
		strbuf_addc(sql, *name);
	}
	strbuf_addc(sql, quote);
}

char *resource_orphan_sql(const struct resource *r)
{
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_json_ json_t *status = r->writer.status ? json_loads(r->writer.status, 0, NULL) : NULL;
	_cleanup_(spec_freep) struct spec *spec = spec_decode_outline(resource);
	struct strbuf sql;

	strbuf_init(&sql, 1024);
	if (spec->delete_slot == SPEC_DELETE) {
		strbuf_adds(&sql, "SELECT pg_drop_replication_slot(");
		add_quoted(&sql, '\'', jsonx_string(status, "stream.slotName", spec->source.slot_name));
		strbuf_adds(&sql, ");");
	}
	if (spec->delete_publication == SPEC_DELETE) {
		strbuf_addf(&sql, "%sDROP PUBLICATION IF EXISTS ", sql.len ? " " : "");
		add_quoted(&sql, '"', jsonx_string(status, "stream.publicationName", spec->source.publication_name));
		strbuf_addc(&sql, ';');
	}
	return strbuf_detach(&sql);
}
