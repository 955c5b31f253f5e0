/* Metrics, under the names that dashboards of other operators use, and the pages of the web thread. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sandbox.h"
#include "conditions/report.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

enum { STUCK_MS = 30 * 1000, CODE_BYTES = 8, HEALTH_ROUTES = 2, INDICES = 16, INDEX_NAME_BYTES = 255 };

/* As controller-runtime names them. */
static const char *const results[] = {
	[RECONCILE_SUCCESS] = "success",
	[RECONCILE_ERROR] = "error",
	[RECONCILE_REQUEUE] = "requeue",
	[RECONCILE_REQUEUE_AFTER] = "requeue_after",
};
static const char *const of_controller[] = {"controller", NULL};
static const char *const of_resource[] = {"namespace", "name", NULL};
static const char *const queue_name[] = {"pgsync.io/pgsyncs", NULL};
static const char *const controller_name[] = {"pgsync", NULL};
static const char *const lease_name[] = {CONTROLLER, NULL};

static void observe_request(void *user, const char *method, long status, int64_t duration_us)
{
	struct operator_ *op = user;
	char code[CODE_BYTES];

	(void)snprintf(code, sizeof(code), "%ld", status);
	metric_add(op->metrics.requests, (const char *const[]){status ? code : "<error>", method, op->server, NULL}, 1);
	metric_observe(op->metrics.request_seconds, (const char *const[]){method, NULL}, (double)duration_us / 1e6);
}

static void init_controller(struct operator_ *op, struct metrics *m)
{
	static const char *const with_result[] = {"controller", "result", NULL};
	static const char *const of_name[] = {"name", NULL};
	static const char *const of_request[] = {"code", "method", "host", NULL};
	static const char *const of_method[] = {"method", NULL};
	static const double seconds[] = {.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
	struct operator_metrics *k = &op->metrics;
	struct metric *most = metrics_gauge(m, "controller_runtime_max_concurrent_reconciles",
					    "Maximum number of concurrent reconciles.", of_controller);

	k->reconciles = metrics_counter(m, "controller_runtime_reconcile_total", "Reconciles by result.", with_result);
	k->reconcile_errors = metrics_counter(m, "controller_runtime_reconcile_errors_total", "Reconciles that failed.",
					      of_controller);
	k->reconcile_seconds = metrics_histogram(m, "controller_runtime_reconcile_time_seconds",
						 "Time per reconcile, without waiting for the API server.",
						 of_controller, seconds, ARRAY_SIZE(seconds));
	k->active = metrics_gauge(m, "controller_runtime_active_workers", "Reconciles in progress.", of_controller);
	k->queue_depth = metrics_gauge(m, "workqueue_depth", "Keys that are ready to be reconciled.", of_name);
	k->queue_adds = metrics_counter(m, "workqueue_adds_total", "Keys added to the queue.", of_name);
	k->leader = metrics_gauge(m, "leader_election_master_status", "1 if this process is the leader.", of_name);
	k->requests = metrics_counter(m, "rest_client_requests_total", "Requests to the API server.", of_request);
	k->request_seconds =
		metrics_histogram(m, "rest_client_request_duration_seconds", "Time of requests to the API server.",
				  of_method, seconds, ARRAY_SIZE(seconds));
	metric_set(most, controller_name, op->options->max_concurrent_reconciles);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		metric_add(k->reconciles, (const char *const[]){controller_name[0], results[i], NULL}, 0);
	metric_add(k->reconcile_errors, controller_name, 0);
	metric_add(k->queue_adds, queue_name, 0);
	kube_on_request(op->kube, observe_request, op);
}

static void init_resources(struct operator_ *op, struct metrics *m)
{
	static const char *const of_restart[] = {"namespace", "name", "reason", NULL};
	static const char *const of_index[] = {"namespace", "name", "index", NULL};
	static const char *const of_part[] = {"namespace", "name", "part", NULL};
	static const char *const of_version[] = {"version", NULL};
	static const char *const of_namespace[] = {"namespace", NULL};
	struct operator_metrics *k = &op->metrics;

	k->ready =
		metrics_gauge(m, "pgsync_ready", "1 if the index is complete and within the lag target.", of_resource);
	k->suspended = metrics_gauge(m, "pgsync_suspended", "1 if spec.suspend is true.", of_resource);
	k->lag_seconds =
		metrics_gauge(m, "pgsync_lag_seconds", "Age of the oldest change not yet in the index.", of_resource);
	k->lag_bytes = metrics_gauge(m, "pgsync_lag_bytes", "Bytes of WAL that are not confirmed yet.", of_resource);
	k->retained_bytes = metrics_gauge(m, "pgsync_slot_retained_bytes",
					  "Bytes of WAL that the server retains for the slot.", of_resource);
	k->slot_active = metrics_gauge(m, "pgsync_slot_active", "1 if the worker streams from the slot.", of_resource);
	k->bootstrap = metrics_gauge(m, "pgsync_bootstrap_progress_ratio",
				     "Completed share of the bootstrap, from 0 to 1.", of_resource);
	k->documents = metrics_gauge(m, "pgsync_index_documents", "Documents in an index.", of_index);
	k->dead_letters =
		metrics_gauge(m, "pgsync_index_dead_letters", "Documents that were rejected by the index.", of_index);
	k->restarts = metrics_counter(m, "pgsync_worker_restarts_total",
				      "Worker exits that the operator did not ask for.", of_restart);
	k->rotations = metrics_counter(m, "pgsync_secret_rotations_total",
				       "Worker restarts because of changed Secrets.", of_resource);
	k->workers = metrics_gauge(m, "pgsync_workers", "Worker processes.", NULL);
	k->sandbox = metrics_gauge(
		m, "pgsync_worker_sandbox",
		"1: a part of the sandbox is in force in the worker; 0: the kernel lacks it, or it is off.", of_part);
	k->writes_refused = metrics_gauge(m, "pgsync_writes_refused",
					  "1: a status, finalizer or pod cannot be written.", of_resource);
	k->watched = metrics_gauge(m, "pgsync_namespace_watched",
				   "1: the PgSyncs of the namespace (\"*\": of all namespaces) are being watched.",
				   of_namespace);
	metric_set(metrics_gauge(m, "pgsync_info", "The version of the operator.", of_version),
		   (const char *const[]){PGSYNC_VERSION, NULL}, 1);
}

void operator_metrics_init(struct operator_ *op)
{
	struct metrics *m = op->published.metrics = metrics_new();

	metrics_enable_process(m);
	init_controller(op, m);
	init_resources(op, m);
}

/* --- resources */

static void set_from(struct metric *metric, const struct resource *r, const json_t *status, const char *path,
		     double scale)
{
	const json_t *value = jsonx_get(status, path);
	const char *const who[] = {r->namespace, r->name, NULL};

	/* A value that is no longer known, such as the lag of a suspended resource, becomes NaN. */
	if (json_is_number(value))
		metric_set(metric, who, json_number_value(value) * scale);
	else if (json_object_get(status, "stream"))
		metric_set(metric, who, (double)NAN);
}

static void set_sandbox(struct resource *r, const json_t *names)
{
	if (!json_is_array(names))
		return;
	for (int i = 0; i < SANDBOX_PARTS; i++) {
		const char *name = sandbox_part_name((enum sandbox_part)(1U << i));

		metric_set(r->op->metrics.sandbox, (const char *const[]){r->namespace, r->name, name, NULL},
			   jsonx_contains(names, name));
	}
}

static void set_index(const struct resource *r, const char *name, const json_t *index)
{
	const char *const which[] = {r->namespace, r->name, name, NULL};

	metric_set(r->op->metrics.documents, which, (double)jsonx_integer(index, "documentCount", 0));
	metric_set(r->op->metrics.dead_letters, which, (double)jsonx_integer(index, "deadLetters", 0));
}

/* A worker chooses these names: they have series only while it reports them, and at most as many as a schema may have.
 * Nothing else that it reports becomes a label. */
static void set_indices(struct resource *r, const json_t *indices)
{
	static const char *const of_index[] = {"namespace", "name", "index", NULL};
	json_t *shown = json_object(), *index, *value;
	const char *name;
	size_t i;

	json_array_foreach (indices, i, index) {
		name = jsonx_string(index, "name", "");
		if (json_object_size(shown) == INDICES || strlen(name) > INDEX_NAME_BYTES)
			continue;
		(void)json_object_set_new(shown, name, json_true());
		set_index(r, name, index);
	}
	json_object_foreach (r->shown_indices, name, value)
		if (!json_object_get(shown, name))
			metrics_remove(r->op->published.metrics, of_index,
				       (const char *const[]){r->namespace, r->name, name, NULL});
	jsonx_decref(r->shown_indices);
	r->shown_indices = shown;
}

static void show_in_console(const struct resource *r, const json_t *status)
{
	_cleanup_json_ json_t *resource = r->op->console ? resource_json(r) : NULL;

	if (!resource)
		return;
	(void)json_object_set(resource, "status", (json_t *)status);
	/* That it is there counts. */
	if (r->cache.presence == PRESENCE_DELETING)
		(void)json_object_set_new(json_object_get(resource, "metadata"), "deletionTimestamp", json_string(""));
	console_show(r->op->console, &(struct console_pgsync){.namespace = r->namespace,
							      .name = r->name,
							      .created = r->cache.created,
							      .schema = r->cache.schema,
							      .resource = resource});
}

void operator_metrics_resource(struct resource *r, const json_t *status)
{
	const char *const who[] = {r->namespace, r->name, NULL};
	const struct operator_metrics *k = &r->op->metrics;
	double total = json_number_value(jsonx_get(status, "bootstrap.rowsTotal"));

	/* A plan is not to become ready. */
	metric_set(k->ready, who,
		   status_condition_is(status, CONDITION_PLANNED, STATUS_TRUE)
			   ? (double)NAN
			   : (double)status_condition_is(status, CONDITION_READY, STATUS_TRUE));
	metric_set(k->suspended, who, status_condition_is(status, CONDITION_SUSPENDED, STATUS_TRUE));
	set_from(k->lag_seconds, r, status, "stream.lagSeconds", 1);
	set_from(k->lag_bytes, r, status, "stream.lagBytes", 1);
	set_from(k->retained_bytes, r, status, "stream.retainedWALBytes", 1);
	metric_set(k->slot_active, who, report_slot_is(jsonx_get(status, "stream"), REPORT_SLOT_ACTIVE));
	if (status_condition_is(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE))
		metric_set(k->bootstrap, who, 1);
	else if (total > 0)
		set_from(k->bootstrap, r, status, "bootstrap.rowsDone", 1 / total);
	metric_set(k->writes_refused, who, r->writer.refused != NULL);
	set_sandbox(r, jsonx_get(status, "worker.sandbox"));
	set_indices(r, json_object_get(status, "indices"));
	show_in_console(r, status);
}

void operator_metrics_forget(struct resource *r)
{
	metrics_remove(r->op->published.metrics, of_resource, (const char *const[]){r->namespace, r->name, NULL});
	console_forget(r->op->console, r->namespace, r->name);
}

void operator_metrics_forget_all(struct operator_ *op)
{
	metrics_remove(op->published.metrics, of_resource, (const char *const[]){NULL, NULL, NULL});
	console_forget_all(op->console);
	console_set_leading(op->console, false);
}

void operator_metrics_tick(struct operator_ *op)
{
	const struct operator_metrics *k = &op->metrics;

	metric_set(k->queue_depth, queue_name, (double)workqueue_depth(op->queue));
	metric_set(k->active, controller_name, op->calls);
	metric_set(k->leader, lease_name, op->leading);
	metric_set(k->workers, NULL, (double)(supervisor_count(op->supervisor) - op->verifiers));
	atomic_store(&op->published.tick_ms, clock_now_ms());
}

void operator_reconciled(struct resource *r, enum reconcile_result result)
{
	const struct operator_metrics *k = &r->op->metrics;

	metric_add(k->reconciles, (const char *const[]){controller_name[0], results[result], NULL}, 1);
	if (result == RECONCILE_ERROR)
		metric_add(k->reconcile_errors, controller_name, 1);
	workqueue_done(r->op->queue, r->key, clock_now_ms());
}

/* --- pages: in the web thread, so they use only published values */

static void serve_livez(void *user, const struct web_request *request, struct web_response *response)
{
	struct published *p = user;
	int64_t silent_ms = clock_now_ms() - atomic_load(&p->tick_ms);

	UNUSED(request);
	/* The same loop renews the Lease and reconciles: liveness must fail when it hangs. */
	if (silent_ms > STUCK_MS) {
		response->status = 500;
		strbuf_addf(&response->body, "the main loop has not run for %lld ms\n", (long long)silent_ms);
		return;
	}
	strbuf_adds(&response->body, "ok\n");
}

/* Refused writes do not make it unready: that would block the upgrade that may fix them. */
static void serve_readyz(void *user, const struct web_request *request, struct web_response *response)
{
	struct published *p = user;
	unsigned refused = p->refused;

	UNUSED(request);
	(void)pthread_mutex_lock(&p->lock);
	if (!p->listed)
		response->status = 503;
	strbuf_adds(&response->body, p->listed ? "ok\n" : "the PgSyncs have not been listed yet\n");
	strbuf_adds(&response->body, p->unwatched ? p->unwatched : "");
	if (refused)
		strbuf_addf(
			&response->body,
			"what belongs to %u PgSync%s cannot be written; the events WriteRefused, or the log, say why\n",
			refused, refused == 1 ? "" : "s");
	(void)pthread_mutex_unlock(&p->lock);
}

static void serve_operator_metrics(void *user, const struct web_request *request, struct web_response *response)
{
	struct published *p = user;

	UNUSED(request);
	response->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_render(p->metrics, &response->body);
}

int operator_listen(struct operator_ *op, struct err *err)
{
	const struct web_route routes[] = {
		{.path = "/livez", .handler = serve_livez, .user = &op->published},
		{.path = "/readyz", .handler = serve_readyz, .user = &op->published},
		{.path = "/metrics", .handler = serve_operator_metrics, .user = &op->published},
	};

	if (op->options->health_listen &&
	    web_start(op->options->health_listen, routes, HEALTH_ROUTES, &op->health, err) < 0)
		return -1;
	if (op->options->console && console_start(op->options->console, &op->console, err) < 0)
		return err_wrap(err, "starting the console");
	if (op->options->wait_listen && waiting_start(op->options->wait_listen, &op->waiting, err) < 0)
		return -1;
	if (!op->options->listen)
		return 0;
	return web_start(op->options->listen, routes, ARRAY_SIZE(routes), &op->web, err);
}
