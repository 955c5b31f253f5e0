/* Watches each namespace separately: one that is forbidden or gone does not stop the others. */
#include <stdlib.h>

#include "base/log.h"
#include "operator/operator_int.h"

struct watched {
	struct operator_ *op;
	const char *namespace; /* NULL: all namespaces */
	struct kube_reflector *reflector;
	bool listed;
	char *problem; /* why it is not watched now; NULL: it is, or the first list is in progress */
};

static const char *label(const struct watched *w)
{
	return w->namespace ? w->namespace : "*";
}

static void add_problem(struct strbuf *text, const struct watched *w)
{
	if (!w->problem)
		return;
	if (w->namespace)
		strbuf_addf(text, "namespace \"%s\" is not watched: %s\n", w->namespace, w->problem);
	else
		strbuf_addf(text, "the namespaces are not watched: %s\n", w->problem);
}

/* For /readyz and /metrics. The operator is ready once it has the PgSyncs of one namespace: a replica that is not ready
 * blocks an upgrade, and no other replica would see more. */
static void publish_namespaces(struct operator_ *op)
{
	struct published *p = &op->published;
	struct strbuf text;
	bool listed = false;

	strbuf_init(&text, op->n_watched * 2 * ERR_MSG_BYTES);
	for (size_t i = 0; i < op->n_watched; i++) {
		const struct watched *w = &op->watched[i];

		listed = listed || w->listed;
		add_problem(&text, w);
		metric_set(op->metrics.watched, (const char *const[]){label(w), NULL}, w->listed && !w->problem);
	}
	(void)pthread_mutex_lock(&p->lock);
	free(p->unwatched);
	p->unwatched = strbuf_detach(&text);
	p->listed = listed;
	(void)pthread_mutex_unlock(&p->lock);
}

/* --- handlers */

static void on_resource_changed(void *user, const char *key, json_t *object)
{
	const struct watched *w = user;

	operator_resource_changed(w->op, key, object);
}

static void on_resource_deleted(void *user, const char *key)
{
	const struct watched *w = user;

	operator_resource_deleted(w->op, key);
}

static void on_listed(void *user)
{
	struct watched *w = user;

	log_info("operator", "PgSyncs listed", KV_STR("namespace", label(w)),
		 KV_U64("resources", map_size(w->op->resources)));
	w->listed = true;
	publish_namespaces(w->op);
}

bool namespaces_are_known(const struct operator_ *op)
{
	for (size_t i = 0; i < op->n_watched; i++)
		if (!op->watched[i].listed && !op->watched[i].problem)
			return false;
	return true;
}

static void on_resource_failed(void *user, const struct err *err)
{
	struct watched *w = user;

	log_warn("operator", "watching the PgSyncs of a namespace failed, retrying", KV_STR("namespace", label(w)),
		 KV_ERR(err));
	resource_replace_text(&w->problem, xstrdup(err->msg));
	publish_namespaces(w->op);
}

static void on_recovered(void *user)
{
	struct watched *w = user;

	log_info("operator", "the PgSyncs of the namespace are watched again", KV_STR("namespace", label(w)));
	resource_replace_text(&w->problem, NULL);
	publish_namespaces(w->op);
}

/* --- namespaces that are being deleted */

static void on_namespace(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;

	r->namespace_call = NULL;
	/* Without permission to read it, or an answer, the cleanup goes on as before. */
	if (err || !jsonx_string(object, "metadata.deletionTimestamp", NULL))
		return;
	r->cache.namespace_ends = true;
	resource_enqueue(r);
}

void namespaces_ask_end(struct resource *r)
{
	_cleanup_free_ char *path = NULL;

	if (r->cache.namespace_ends || r->namespace_call)
		return;
	path = kube_path("api", "v1", "namespaces", r->namespace, NULL);
	r->namespace_call =
		kube_request(r->op->kube, &(struct kube_request){.method = "GET", .path = path}, on_namespace, r);
}

/* --- start and end */

static void watch_namespace(struct operator_ *op, struct watched *w, const char *namespace)
{
	static const struct kube_reflector_handlers handlers = {.changed = on_resource_changed,
								.deleted = on_resource_deleted,
								.synced = on_listed,
								.failed = on_resource_failed,
								.recovered = on_recovered};
	_cleanup_free_ char *path =
		namespace ? kube_path("apis", "pgsync.io", "v1alpha1", "namespaces", namespace, "pgsyncs", NULL)
			  : kube_path("apis", "pgsync.io", "v1alpha1", "pgsyncs", NULL);

	w->op = op;
	w->namespace = namespace;
	if (op->options->agent)
		w->reflector = kube_reflect_one(op->kube, path, strchr(op->options->agent, '/') + 1, &handlers, w);
	else
		w->reflector = kube_reflect(op->kube, path, NULL, &handlers, w);
}

void namespaces_watch(struct operator_ *op)
{
	const struct operator_options *o = op->options;

	(void)pthread_mutex_init(&op->published.lock, NULL);
	op->n_watched = o->n_namespaces ? o->n_namespaces : 1;
	op->watched = xcalloc(op->n_watched, sizeof(*op->watched));
	for (size_t i = 0; i < op->n_watched; i++)
		watch_namespace(op, &op->watched[i], o->n_namespaces ? o->namespaces[i] : NULL);
	publish_namespaces(op);
}

void namespaces_release(struct operator_ *op)
{
	if (!op->watched)
		return;
	for (size_t i = 0; i < op->n_watched; i++) {
		kube_reflector_stop(op->watched[i].reflector);
		free(op->watched[i].problem);
	}
	free(op->watched);
	free(op->published.unwatched);
	(void)pthread_mutex_destroy(&op->published.lock);
}
