/* What is written to the cluster: our finalizer, and the status. */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"
#include "spec/spec.h"

static char *object_path(const struct resource *r, const char *subresource)
{
	return xasprintf("/apis/pgsync.io/v1alpha1/namespaces/%s/pgsyncs/%s%s", r->namespace, r->name, subresource);
}

static void begin(struct resource *r)
{
	r->busy = true;
	r->op->calls++;
}

/* A failed write is repeated with a back-off; the answer of the watch may make that needless. */
static void end(struct resource *r, const char *what, const struct err *err)
{
	int64_t now_ms = clock_now_ms();

	r->busy = false;
	r->call = NULL;
	r->op->calls--;
	if (!err) {
		workqueue_forget(r->op->queue, r->key);
		operator_reconciled(r, "success");
		return;
	}
	if (err->kind == ERR_CONFLICT || err->kind == ERR_NOT_FOUND)
		log_debug("operator", "somebody else was first, retrying", KV_STR("resource", r->key),
			  KV_STR("write", what), KV_ERR(err));
	else
		log_warn("operator", "a write to the API server failed, retrying", KV_STR("resource", r->key),
			 KV_STR("write", what), KV_ERR(err));
	workqueue_add_rate_limited(r->op->queue, r->key, now_ms);
	operator_reconciled(r, "error");
}

void resource_cancel_write(struct resource *r)
{
	if (!r->busy)
		return;
	kube_cancel(TAKE_PTR(r->call));
	r->busy = false;
	r->op->calls--;
	free(TAKE_PTR(r->writing));
	operator_reconciled(r, "requeue");
}

void resource_allow_writes(struct resource *r)
{
	backoff_reset(&r->write_backoff);
	r->write_not_before_ms = 0;
}

/* --- finalizer */

static void finalizer_written(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;
	struct err lost;

	if (!err && r->finalizer && FAILPOINT(FINALIZER_REMOVED, &lost) < 0)
		err = &lost;
	else if (!err && !r->finalizer && FAILPOINT(FINALIZER_ADDED, &lost) < 0)
		err = &lost;
	/* The answer is newer than our cache: what follows may start without waiting for the watch. */
	if (!err && object && r->exists && strcmp(jsonx_string(object, "metadata.uid", ""), r->uid) == 0) {
		(void)resource_update(r, object);
		if (!r->deleting)
			resource_enqueue(r);
	}
	end(r, "finalizers", err);
}

void resource_write_finalizer(struct resource *r, bool there)
{
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_free_ char *path = object_path(r, "");
	_cleanup_json_ json_t *finalizers = json_array();
	_cleanup_json_ json_t *patch = NULL;
	size_t i;
	json_t *item;

	json_array_foreach (jsonx_get(resource, "metadata.finalizers"), i, item)
		if (strcmp(json_string_value(item) ? json_string_value(item) : "", FINALIZER) != 0)
			(void)json_array_append(finalizers, item);
	if (there)
		(void)json_array_append_new(finalizers, json_string(FINALIZER));
	/* A merge patch replaces the whole list, so it must be the list that we know: the version guards it. */
	patch = json_pack("{s:{s:s, s:s, s:O}}", "metadata", "uid", r->uid, "resourceVersion", r->resource_version,
			  "finalizers", finalizers);
	begin(r);
	r->call = kube_request(
		r->op->kube,
		&(struct kube_request){.method = "PATCH", .path = path, .content = KUBE_MERGE_PATCH, .body = patch},
		finalizer_written, r);
}

/* An SQL identifier in quotes. */
static void add_identifier(struct strbuf *sql, const char *name)
{
	strbuf_addc(sql, '"');
	for (; *name; name++) {
		if (*name == '"')
			strbuf_addc(sql, '"');
		strbuf_addc(sql, *name);
	}
	strbuf_addc(sql, '"');
}

char *resource_orphan_sql(const struct resource *r)
{
	_cleanup_json_ json_t *resource = resource_json(r);
	_cleanup_json_ json_t *status = r->status ? json_loads(r->status, 0, NULL) : NULL;
	_cleanup_(findings_release) struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct strbuf sql;

	findings_init(&f);
	spec = spec_decode(resource, &f);
	strbuf_init(&sql, 1024);
	if (spec->delete_slot == SPEC_DELETE)
		strbuf_addf(&sql, "SELECT pg_drop_replication_slot('%s');",
			    jsonx_string(status, "stream.slotName", spec->source.slot_name));
	if (spec->delete_publication == SPEC_DELETE) {
		strbuf_addf(&sql, "%sDROP PUBLICATION IF EXISTS ", sql.len ? " " : "");
		add_identifier(&sql, jsonx_string(status, "stream.publicationName", spec->source.publication_name));
		strbuf_addc(&sql, ';');
	}
	return strbuf_detach(&sql);
}

/* --- status */

static void status_written(void *user, const json_t *object, const struct err *err)
{
	struct resource *r = user;
	struct err lost;

	UNUSED(object);
	if (!err && FAILPOINT(STATUS_APPLIED, &lost) < 0)
		err = &lost;
	/* The answer's version is not taken: it would vouch for the finalizers that we know, which may be older. */
	if (!err) {
		free(r->status);
		r->status = TAKE_PTR(r->writing);
		r->last_write_ms = clock_now_ms();
		resource_allow_writes(r);
	} else {
		r->write_not_before_ms = clock_now_ms() + backoff_next_ms(&r->write_backoff);
	}
	free(TAKE_PTR(r->writing));
	end(r, "status", err);
}

/* A worker that was started again after a failure, and has not spoken yet, has not made the failure good. */
static enum situation shown(const struct resource *r, enum situation situation)
{
	bool failed = r->restarts.failures > 0 && r->exit_message && !r->report;

	/* What is wrong already can be said before a check has found the rest. */
	if (r->inputs == INPUTS_FLAWED && !r->report &&
	    (situation == SITUATION_STARTING || situation == SITUATION_RUNNING || situation == SITUATION_RESTARTING))
		return SITUATION_BAD_INPUTS;
	if (failed && situation == SITUATION_DELETING && r->task == PROTOCOL_TASK_CLEANUP)
		return SITUATION_DELETE_RETRY;
	if (failed && (situation == SITUATION_STARTING || situation == SITUATION_RUNNING))
		return SITUATION_BACKOFF;
	return situation;
}

static json_t *compose(struct resource *r, enum situation situation, const json_t *previous)
{
	bool running = r->worker && !worker_stopping(r->worker) &&
		       (r->task == PROTOCOL_TASK_RUN || (r->task == PROTOCOL_TASK_CHECK && r->report));
	struct status_input in = {
		.previous = previous,
		/* A frozen resource's edits are not observed. */
		.generation = r->frozen && running ? r->worker_generation : r->generation,
		.situation = situation,
		.problem_reason = r->problem ? r->problem_reason : REASON_NONE,
		.problem = r->problem,
		.checks = r->task == PROTOCOL_TASK_CHECK && strcmp(r->worker_hash, r->hash) == 0,
		.report = r->report,
		.running = running && situation != SITUATION_BACKOFF,
		.ended = !r->worker,
		.worker_generation = r->worker_generation,
		.suspend = r->suspend,
		.worker = r->worker_status,
		.wall_us = clock_wall_us(),
	};

	switch (situation) {
	case SITUATION_BAD_INPUTS:
		in.reason = r->problem_reason;
		in.message = r->problem;
		break;
	case SITUATION_BACKOFF:
	case SITUATION_REFUSED:
	case SITUATION_DELETE_RETRY:
		in.reason = r->exit_reason;
		in.message = r->exit_message;
		break;
	case SITUATION_DELETE_BLOCKED:
		in.reason = r->problem ? r->problem_reason : r->exit_reason;
		in.message = r->problem ? r->problem : r->exit_message;
		break;
	default:
		break;
	}
	return status_compose(&in);
}

/* What cannot be cleaned up is let go only by a person, who has to be told how. */
static void add_advice(json_t *status)
{
	static const char *const types[] = {"Ready", "Stalled", "Reconciling"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		json_t *condition = (json_t *)status_condition(status, types[i]);
		_cleanup_free_ char *message = NULL;

		if (!condition)
			continue;
		message = xasprintf(
			"cleaning up is not possible: %s; mend it, or annotate the resource with " FORCE_DELETE
			"=true to let it go and leave slot and publication behind",
			jsonx_string(condition, "message", ""));
		(void)json_object_set_new(condition, "message", json_string(message));
	}
}

void resource_write_status(struct resource *r, enum situation decided)
{
	enum situation situation = shown(r, decided);
	_cleanup_json_ json_t *previous = r->status ? json_loads(r->status, 0, NULL) : NULL;
	_cleanup_json_ json_t *status = compose(r, situation, previous);
	_cleanup_json_ json_t *object = NULL;
	_cleanup_free_ char *path = object_path(r, "/status");
	enum status_change change;
	int64_t due_ms, now_ms = clock_now_ms();

	if (situation == SITUATION_DELETE_BLOCKED || situation == SITUATION_DELETE_RETRY)
		add_advice(status);
	meters_resource(r, status);
	change = status_compare(previous, status);
	due_ms = status_due_ms(change, r->last_write_ms);
	if (due_ms < r->write_not_before_ms)
		due_ms = r->write_not_before_ms;
	if (change == STATUS_SAME || now_ms < due_ms) {
		if (change != STATUS_SAME)
			workqueue_add_after(r->op->queue, r->key, now_ms, due_ms - now_ms);
		operator_reconciled(r, change == STATUS_SAME ? "success" : "requeue_after");
		return;
	}
	object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:O}", "apiVersion", "pgsync.io/v1alpha1", "kind", "PgSync",
			   "metadata", "namespace", r->namespace, "name", r->name, "uid", r->uid, "status", status);
	r->writing = jsonx_canonical(status);
	begin(r);
	r->call = kube_apply(r->op->kube, path, object, status_written, r);
}
