/* Writes to the API server: our finalizer, and the status. */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

enum { SLOW_WRITE_MS = 1000, WRITES_MOST = 64 };

/* subresource: NULL for the object itself. */
static char *object_path(const struct resource *r, const char *subresource)
{
	return kube_path("apis", "pgsync.io", "v1alpha1", "namespaces", r->namespace, "pgsyncs", r->name, subresource,
			 NULL);
}

/* --- how many at once */

bool operator_may_write(const struct operator_ *op)
{
	return op->calls - op->slow_calls < op->options->max_concurrent_reconciles && op->calls < WRITES_MOST;
}

static void on_slow(void *user)
{
	struct resource *r = user;

	r->writer.slow_timer = NULL;
	r->writer.slow = true;
	r->op->slow_calls++;
}

void resource_begin_write(struct resource *r)
{
	r->op->calls++;
	r->writer.slow_timer = kube_timer_start(r->op->kube, clock_now_ms() + SLOW_WRITE_MS, on_slow, r);
}

static void note_end(struct resource *r)
{
	r->op->calls--;
	if (r->writer.slow)
		r->op->slow_calls--;
	r->writer.slow = false;
	kube_timer_cancel(TAKE_PTR(r->writer.slow_timer));
}

static const char *const names[] = {
	[WRITE_FINALIZERS] = "finalizers",   [WRITE_STATUS] = "status",
	[WRITE_ANNOTATIONS] = "annotations", [WRITE_POD] = "pod",
	[WRITE_POD_END] = "end of pod",
};

static void log_write_failure(const struct resource *r, enum write write, const struct err *err)
{
	bool conflict = err->kind == ERR_CONFLICT || err->kind == ERR_NOT_FOUND;
	/* The objects of a pod are several, and some may be those of an earlier PgSync. */
	const char *msg = write == WRITE_POD ? "the pod cannot be made yet, retrying"
			  : conflict         ? "another client has changed the resource, retrying"
					     : "writing to the API server failed, retrying";

	log_at(conflict ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "operator", msg, KV_STR("resource", r->key),
	       KV_STR("write", names[write]), KV_ERR(err));
}

/* A failed write is repeated with a back-off, unless an event of the watch makes it unnecessary. */
void resource_end_write(struct resource *r, enum write write, const struct err *err)
{
	int64_t now_ms = clock_now_ms();

	r->writer.call = NULL;
	note_end(r);
	if (!err) {
		resource_written(r, write);
		workqueue_forget(r->op->queue, r->key);
		operator_reconciled(r, RECONCILE_SUCCESS);
		return;
	}
	log_write_failure(r, write, err);
	resource_write_refused(r, write, err);
	workqueue_add_rate_limited(r->op->queue, r->key, now_ms);
	operator_reconciled(r, RECONCILE_ERROR);
}

void resource_cancel_write(struct resource *r)
{
	if (!r->writer.call)
		return;
	kube_cancel(TAKE_PTR(r->writer.call));
	note_end(r);
	free(TAKE_PTR(r->writer.writing));
	operator_reconciled(r, RECONCILE_REQUEUE);
}

void resource_allow_writes(struct resource *r)
{
	backoff_reset(&r->writer.backoff);
	r->writer.not_before_ms = 0;
}

/* --- finalizer */

static void finalizer_written(struct resource *r, const json_t *object, const struct err *err)
{
	/* The answer is newer than our cache, so do not wait for the watch. */
	if (!err && object && r->cache.presence != PRESENCE_GONE &&
	    strcmp(jsonx_string(object, "metadata.uid", ""), r->cache.uid) == 0) {
		(void)resource_update(r, object);
		if (r->cache.presence != PRESENCE_DELETING)
			resource_enqueue(r);
	}
	resource_end_write(r, WRITE_FINALIZERS, err);
}

/* Two callbacks, because the cache does not show what was written: the watch may have been faster than the answer. */
static void finalizer_added(void *user, const json_t *object, const struct err *err)
{
	struct err lost;

	if (!err && FAILPOINT(FINALIZER_ADDED, &lost) < 0)
		err = &lost;
	finalizer_written(user, object, err);
}

static void finalizer_removed(void *user, const json_t *object, const struct err *err)
{
	struct err lost;

	if (!err && FAILPOINT(FINALIZER_REMOVED, &lost) < 0)
		err = &lost;
	finalizer_written(user, object, err);
}

void resource_write_finalizer(struct resource *r, bool there)
{
	_cleanup_json_ json_t *present = json_loads(r->cache.finalizers ? r->cache.finalizers : "[]", 0, NULL);
	_cleanup_free_ char *path = object_path(r, NULL);
	_cleanup_json_ json_t *finalizers = json_array();
	_cleanup_json_ json_t *patch = NULL;
	size_t i;
	json_t *item;

	json_array_foreach (present, i, item)
		if (strcmp(json_string_value(item) ? json_string_value(item) : "", FINALIZER) != 0)
			(void)json_array_append(finalizers, item);
	if (there)
		(void)json_array_append_new(finalizers, json_string(FINALIZER));
	/* A merge patch replaces the whole list, so the version ensures that it is still the list that we know. */
	patch = json_pack("{s:{s:s, s:s, s:O}}", "metadata", "uid", r->cache.uid, "resourceVersion",
			  r->cache.resource_version, "finalizers", finalizers);
	resource_begin_write(r);
	r->writer.call = kube_request(
		r->op->kube,
		&(struct kube_request){.method = "PATCH", .path = path, .content = KUBE_MERGE_PATCH, .body = patch},
		there ? finalizer_added : finalizer_removed, r);
}

/* --- two operators */

static void contender_written(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;

	UNUSED(object);
	r->writer.contended = !err;
	resource_end_write(r, WRITE_ANNOTATIONS, err);
}

void resource_contend(struct resource *r)
{
	_cleanup_free_ char *path = object_path(r, NULL);
	_cleanup_free_ char *value = NULL;
	_cleanup_json_ json_t *patch = NULL;
	char now[CLOCK_RFC3339_BYTES];

	if (!r->writer.contended)
		resource_event(
			r, true, REASON_OTHER_OPERATOR, "StandBack",
			"the operator with Lease %s works on this PgSync; another one, with Lease %s, watches it, "
			"too, and does nothing",
			r->cache.claim, r->op->lease_name ? r->op->lease_name : "none");
	/* Without a Lease the other one could not see when we are gone. */
	if (r->writer.contended || !r->op->lease_name) {
		r->writer.contended = true;
		operator_reconciled(r, RECONCILE_SUCCESS);
		return;
	}
	/* The time makes it a change, even if an earlier process has written it. */
	value = xasprintf("%s %s", r->op->lease_name, clock_rfc3339(clock_wall_us(), now));
	patch = json_pack("{s:{s:s, s:{s:s}}}", "metadata", "uid", r->cache.uid, "annotations", CONTENDER, value);
	resource_begin_write(r);
	r->writer.call = kube_request(
		r->op->kube,
		&(struct kube_request){.method = "PATCH", .path = path, .content = KUBE_MERGE_PATCH, .body = patch},
		contender_written, r);
}

/* --- status */

static void status_written(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;
	struct err lost;

	if (!err && FAILPOINT(STATUS_APPLIED, &lost) < 0)
		err = &lost;
	/* The answer's version is not used: a later patch with it could overwrite finalizers that we have not seen. */
	if (!err) {
		_cleanup_json_ json_t *sent = json_loads(r->writer.writing, 0, NULL);

		resource_status_stored(r, sent, json_object_get(object, "status"));
		free(r->writer.status);
		r->writer.status = TAKE_PTR(r->writer.writing);
		r->writer.last_ms = clock_now_ms();
		resource_allow_writes(r);
	} else {
		r->writer.not_before_ms = clock_now_ms() + backoff_next_ms(&r->writer.backoff);
	}
	free(TAKE_PTR(r->writer.writing));
	resource_end_write(r, WRITE_STATUS, err);
}

/* The generation that the status is about: edits of a frozen resource are not observed, nor those that are not verified
 * yet. */
static int64_t observed_generation(const struct resource *r)
{
	bool runs = r->worker.process && !supervisor_is_stopping(r->worker.process);
	bool checks = r->worker.task == PROTOCOL_TASK_CHECK && r->worker.report;
	bool observes = runs && (r->worker.task == PROTOCOL_TASK_RUN || checks);

	bool ahead = r->cache.frozen || r->inputs.verdict == INPUTS_UNVERIFIED;

	return ahead && observes ? r->worker.generation : r->cache.generation;
}

/* The Lease of the operator that is responsible. An agent leaves it as it is. */
static const char *lease_to_show(const struct resource *r)
{
	const struct operator_options *o = r->op->options;

	if (o && o->agent)
		return r->cache.claim && *r->cache.claim ? r->cache.claim : NULL;
	/* After an uninstallation the PgSync is anybody's. */
	return o && o->retire ? NULL : r->op->lease_name;
}

static json_t *compose_status(const struct resource *r, enum reconcile_state state, const json_t *previous)
{
	bool contended = operator_peer(r->op, r->cache.contender) == PEER_ALIVE;
	struct status_input in = {
		.previous = previous,
		.generation = observed_generation(r),
		.state = state,
		.invalid = {.reason = r->inputs.problem ? r->inputs.reason : REASON_NONE, .message = r->inputs.problem},
		.exit = {.reason = r->worker.exit_reason, .message = r->worker.exit_message},
		.refused = {.reason = REASON_WRITE_REFUSED, .message = r->writer.refused},
		.report = r->worker.report,
		.checked = r->worker.task == PROTOCOL_TASK_CHECK && strcmp(r->worker.hash, r->inputs.hash) == 0,
		.suspend = r->cache.suspend,
		.worker = r->worker.status,
		.lease = lease_to_show(r),
		.contender = contended ? r->cache.contender : NULL,
		.wall_us = clock_wall_us(),
	};

	return status_compose(&in);
}

static void send_status(struct resource *r, json_t *status)
{
	_cleanup_json_ json_t *object = NULL;
	_cleanup_free_ char *path = object_path(r, "status");
	_cleanup_free_ char *replacement = xasprintf("%s?fieldManager=" CONTROLLER, path);

	if (r->writer.replace) {
		object = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:O}]", "op", "test", "path", "/metadata/uid", "value",
				   r->cache.uid, "op", "add", "path", "/status", "value", status);
		r->writer.call = kube_request(
			r->op->kube,
			&(struct kube_request){
				.method = "PATCH", .path = replacement, .content = KUBE_JSON_PATCH, .body = object},
			status_written, r);
		return;
	}
	object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:O}", "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync",
			   "metadata", "namespace", r->namespace, "name", r->name, "uid", r->cache.uid, "status",
			   status);
	r->writer.call = kube_apply(r->op->kube, path, object, status_written, r);
}

void resource_write_status(struct resource *r, enum reconcile_state state)
{
	_cleanup_json_ json_t *previous = r->writer.status ? json_loads(r->writer.status, 0, NULL) : NULL;
	_cleanup_json_ json_t *status = compose_status(r, state, previous);
	enum status_change change;
	int64_t due_ms, now_ms = clock_now_ms(), restore_ms = resource_status_restore_ms(r);

	operator_metrics_resource(r, status);
	change = restore_ms && now_ms >= restore_ms ? STATUS_TURN : status_compare(previous, status);
	/* Other changes may have to wait longer. */
	if (change != STATUS_TURN && restore_ms)
		workqueue_add_after(r->op->queue, r->key, now_ms, restore_ms - now_ms);
	due_ms = status_due_ms(change, r->writer.last_ms);
	if (due_ms < r->writer.not_before_ms)
		due_ms = r->writer.not_before_ms;
	if (change == STATUS_SAME || now_ms < due_ms) {
		if (change != STATUS_SAME)
			workqueue_add_after(r->op->queue, r->key, now_ms, due_ms - now_ms);
		operator_reconciled(r, change == STATUS_SAME ? RECONCILE_SUCCESS : RECONCILE_REQUEUE_AFTER);
		return;
	}
	r->writer.writing = jsonx_canonical(status);
	resource_begin_write(r);
	send_status(r, status);
}
