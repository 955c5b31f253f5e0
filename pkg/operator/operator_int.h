/* What the files of this package share: the operator and its resources. */
#ifndef PGSYNC_OPERATOR_OPERATOR_INT_H
#define PGSYNC_OPERATOR_OPERATOR_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/reason.h"
#include "kube/kube.h"
#include "metrics/metrics.h"
#include "operator/operator.h"
#include "operator/reconcile_int.h"
#include "operator/refs_int.h"
#include "operator/supervisor_int.h"
#include "spec/spec.h"
#include "web/web.h"
#include "json/json.h"

#define FINALIZER "pgsync.io/cleanup"
#define FORCE_DELETE "pgsync.io/force-delete"
#define RECONCILE "pgsync.io/reconcile"
#define CONTROLLER "pgsync-operator"

/* What the web thread may read. */
struct published {
	_Atomic int64_t tick_ms; /* when the loop last came round */
	atomic_bool synced;
	struct metrics *metrics;
};

struct meters {
	struct metric *reconciles, *reconcile_errors, *reconcile_seconds, *active;
	struct metric *queue_depth, *queue_adds;
	struct metric *leader, *requests, *request_seconds;
	struct metric *ready, *suspended, *lag_seconds, *lag_bytes, *retained_bytes, *slot_active, *bootstrap;
	struct metric *documents, *dead_letters, *restarts, *rotations, *workers;
};

enum phase {
	PHASE_RUNNING,
	PHASE_STOPPING,  /* workers are ending */
	PHASE_FAREWELL,  /* their resources are being told */
	PHASE_RELEASING, /* the Lease is being given up */
	PHASE_DONE,
};

struct operator_ {
	const struct operator_options *options;
	char *identity;       /* unique for this start of the process */
	char *short_identity; /* the same for people's eyes: workers are numbered after it */
	char *server;         /* of the API, for metrics */
	struct kube *kube;
	struct kube_events *events;
	struct kube_lease *lease; /* NULL without election */
	struct kube_reflector **reflectors;
	size_t n_reflectors, n_synced;
	struct workqueue *queue;
	struct map *resources; /* key -> struct resource */
	struct refs *refs;
	struct supervisor *supervisor;
	struct published published;
	struct meters meters;
	struct web *web;
	bool leading;
	unsigned starts;   /* of workers, for their identities */
	unsigned calls;    /* API writes under way */
	int64_t polled_ms; /* when we last looked at what the API server and the clock say */
	int signal_fd;
	enum phase phase;
	int64_t phase_until_ms; /* when the phase is over even if it is not */
};

/* One PgSync. Kept small: objects are text between reconciles. */
struct resource {
	struct operator_ *op;
	char *key, *namespace, *name, *uid;
	char *text;   /* {"apiVersion", "kind", "metadata" (trimmed), "spec"}, canonical */
	char *status; /* as it was written last, canonical; NULL: never */
	char resource_version[64];
	int64_t generation;
	bool exists, deleting, finalizer, force_delete, frozen, suspend;

	bool inputs_stale; /* the spec, or something that it refers to, has changed */
	enum inputs inputs;
	char hash[JSONX_HASH_BYTES];      /* of all that a worker is started with */
	char spec_hash[JSONX_HASH_BYTES]; /* the same without Secrets */
	enum reason problem_reason;       /* BAD, FLAWED */
	char *problem;                    /* NULL: none */
	struct ref_set refs;

	struct worker *worker; /* NULL: none */
	enum protocol_task task;
	char worker_hash[JSONX_HASH_BYTES], worker_spec_hash[JSONX_HASH_BYTES];
	int64_t worker_generation; /* the one that it was started for; -1: of an object of this name that is gone */
	bool asked_to_stop, refused;
	bool done, cleaned; /* the clean-up has said how it ended; it has succeeded */
	struct restarts restarts;
	json_t *report;          /* the newest of the worker that runs, or of one that gave up */
	json_t *worker_status;   /* status.worker; NULL: as in the last status */
	enum reason exit_reason; /* why the last worker ended, or why the clean-up failed */
	char *exit_message;      /* NULL: neither */
	bool farewell;           /* its worker ended because we end; its status is to say so */

	bool busy;              /* an API write is under way: its key is being processed */
	struct kube_call *call; /* that write */
	char *writing;          /* the status under way */
	int64_t last_write_ms;
	/* After a status could not be written: workers report ten times a second, which is no reason to try as often.
	 */
	struct backoff write_backoff;
	int64_t write_not_before_ms;
	struct decision last;
};

/* --- resource.c: the cache's side */
struct resource *resource_new(struct operator_ *op, const char *key);
void resource_free(struct resource *r);
/* Takes over what the API server says of it; true when something that we act upon has changed. */
bool resource_update(struct resource *r, const json_t *object);
/* Looks at the spec and what it refers to. */
void resource_refresh_inputs(struct resource *r);
/* Without a result, since nothing is to be done about it. */
void resource_event(struct resource *r, bool warning, enum reason reason, const char *action, const char *note_fmt, ...)
	PRINTF_LIKE(5, 6);
void resource_enqueue(struct resource *r);
json_t *resource_json(const struct resource *r); /* a new reference */
/* What the references of its spec hold, for a worker. A resource that is being deleted may be cleaned up with what was
 * there last: `kubectl delete` of a file or a namespace takes Secrets away first. */
void resource_values(const struct resource *r, const struct spec *spec, json_t *secrets, json_t *config_maps);

/* --- process.c: its worker */
void resource_start(struct resource *r, enum protocol_task task);
void resource_stop(struct resource *r);

/* --- writes.c: what is written to the cluster; each sets `busy`, and the key is done when it ends */
void resource_write_finalizer(struct resource *r, bool there);
/* Composes the status; writes it when it has changed and its time has come. */
void resource_write_status(struct resource *r, enum situation decided);
/* Ends a write that is under way as if it had not been begun, and with it the processing of the key. */
void resource_cancel_write(struct resource *r);
/* Failures of earlier writes do not hold up the next one. */
void resource_allow_writes(struct resource *r);
/* The statement that a person runs to drop what a forced deletion leaves behind; caller frees. */
char *resource_orphan_sql(const struct resource *r);

/* --- meters.c */
/* The reconcile of a key is over: result is "success", "error", "requeue" or "requeue_after". */
void operator_reconciled(struct resource *r, const char *result);
void meters_init(struct operator_ *op);
void meters_resource(struct resource *r, const json_t *status);
void meters_forget(struct resource *r);
void meters_tick(struct operator_ *op);
int meters_listen(struct operator_ *op, struct err *err) WARN_UNUSED;

#endif
