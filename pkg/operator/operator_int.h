/* What the files of this package share: the operator and its resources.
 *
 * Everything belongs to the loop's thread, except struct published, which the web server's threads read.
 */
#ifndef PGSYNC_OPERATOR_OPERATOR_INT_H
#define PGSYNC_OPERATOR_OPERATOR_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/reason.h"
#include "console/console.h"
#include "kube/kube.h"
#include "metrics/metrics.h"
#include "operator/operator.h"
#include "operator/placement_int.h"
#include "operator/reconcile_int.h"
#include "operator/refs_int.h"
#include "operator/restarts_int.h"
#include "operator/supervisor_int.h"
#include "spec/spec.h"
#include "web/web.h"
#include "json/json.h"

#define FINALIZER "pgsync.io/cleanup"
#define FORCE_DELETE "pgsync.io/force-delete"
#define RECONCILE "pgsync.io/reconcile"
#define CONTENDER "pgsync.io/contender"
#define CONTROLLER "pgsync-operator"

/* What the web thread may read. */
struct published {
	_Atomic int64_t tick_ms;  /* when the loop last ran */
	_Atomic unsigned refused; /* PgSyncs of which something cannot be written */
	struct metrics *metrics;
	pthread_mutex_t lock; /* of what follows */
	bool listed;          /* the PgSyncs of a namespace, or of all */
	char *unwatched;      /* the namespaces that are not watched, and why: a line for each */
};

struct operator_metrics {
	struct metric *reconciles, *reconcile_errors, *reconcile_seconds, *active;
	struct metric *queue_depth, *queue_adds;
	struct metric *leader, *requests, *request_seconds;
	struct metric *ready, *suspended, *lag_seconds, *lag_bytes, *retained_bytes, *slot_active, *bootstrap;
	struct metric *documents, *dead_letters, *restarts, *rotations, *workers, *sandbox, *watched, *writes_refused;
};

enum operator_phase {
	OPERATOR_RUNNING,
	OPERATOR_STOPPING,     /* workers are ending */
	OPERATOR_FINAL_STATUS, /* of the resources whose workers have ended */
	OPERATOR_RELEASING,    /* the Lease */
	OPERATOR_DONE,
};

struct operator_ {
	const struct operator_options *options;
	char *identity;       /* unique for this start of the process */
	char *short_identity; /* the same, shorter: prefix of the workers' numbers */
	char *predecessor;    /* prefix of the identities of earlier starts in our pod; NULL: not known */
	char *server;         /* of the API, for metrics */
	struct kube *kube;
	struct kube_events *events;
	struct kube_lease *lease; /* NULL without election */
	char *lease_name;         /* "namespace/name"; NULL without election */
	char *agent_lease;        /* the name of an agent's Lease; NULL: it is no agent */
	struct map *peers;        /* the Leases of other installations and of pods, by that */
	struct pods *pods;        /* pods.c; NULL: PgSyncs have no pods */
	struct watched *watched;  /* namespaces.c */
	size_t n_watched;
	struct workqueue *queue;
	struct map *resources; /* key -> struct resource */
	struct refs *refs;
	struct supervisor *supervisor;
	struct published published;
	struct operator_metrics metrics;
	struct web *web, *health; /* health: only for probes, so that other clients cannot delay them */
	struct console *console;  /* NULL: none */
	struct waiting *waiting;  /* NULL: none */
	bool leading;
	unsigned starts;     /* of workers, for their identities */
	unsigned verifiers;  /* workers that verify inputs */
	uint64_t served;     /* the highest ticket so far that had its turn */
	struct map *tickets; /* namespace -> the last ticket of its PgSyncs that wait for one; NULL: none waits */
	unsigned calls;      /* API writes under way */
	unsigned slow_calls; /* those of them that no longer count against max_concurrent_reconciles */
	int64_t polled_ms;   /* when we last polled the API server and the timers */
	int signal_fd;
	enum operator_phase phase;
	int64_t phase_until_ms; /* when the phase ends at the latest */
	int64_t retire_ms;      /* when the farewells may be written; 0: other operators may still act */
};

/* --- One PgSync. Kept small: objects are text between reconciles. Each part belongs to the file that is named. */

/* resource.c: the object, as the API server has it. */
struct resource_cache {
	char *uid;        /* NULL: never seen */
	char *text;       /* {"apiVersion", "kind", "metadata" (trimmed), "spec" without "schema"}, canonical */
	char *finalizers; /* metadata.finalizers, as the API server wrote it; NULL: there are none */
	char *schema;     /* spec.schema, as the API server wrote it; NULL: there is none */
	char schema_hash[JSONX_HASH_BYTES]; /* hash of these bytes; "" without them */
	char *retry;     /* the value of the annotation SPEC_RETRY_DEAD_LETTERS; "": it is not there */
	char *claim;     /* the Lease of the operator that wrote the status; "": it names none */
	char *contender; /* the value of the annotation CONTENDER: the Lease of another operator, and when; "": none */
	bool holds_nul;  /* a string of the text contains one */
	char resource_version[64];
	char created[32]; /* RFC 3339, to the second */
	int64_t generation;
	enum presence presence;
	bool namespace_ends; /* the namespace is being deleted; false if that is not known */
	bool finalizer, force_delete, frozen, suspend, plan; /* as in struct desired */
	bool in_pod;                                         /* spec.worker.placement is Pod */
	bool was_in_pod;                                     /* the status is that of a pod */
};

/* inputs.c: what a worker would be started with. verify.c: what a worker says about it. */
struct resource_inputs {
	bool stale; /* the spec, or something that it refers to, has changed since the verdict */
	enum inputs verdict;
	struct worker *verifier;  /* the worker that verifies the inputs; NULL: none */
	bool unwanted;            /* its answer since the last change */
	uint64_t ticket;          /* those that wait for a verifier have the lowest first; 0: not waiting */
	struct restarts restarts; /* number of verifiers that ended without an answer */
	enum reason reason;       /* INVALID, CHECKABLE: reason of the first problem */
	char *problem;            /* all problems; NULL: none */
	char *remark;             /* what is ignored; NULL or "": nothing */
	char hash[JSONX_HASH_BYTES];
	char spec_hash[JSONX_HASH_BYTES]; /* the same without Secrets */
	struct ref_set refs;
};

/* process.c: the worker, or the last one. */
struct resource_worker {
	struct worker *process; /* NULL: none */
	enum protocol_task task;
	enum outcome outcome;
	char hash[JSONX_HASH_BYTES], spec_hash[JSONX_HASH_BYTES]; /* of the inputs that it was started with */
	int64_t generation; /* the newest generation with these inputs; -1: of an object of this name that is gone */
	struct restarts restarts;
	json_t *report;          /* the newest report; of an ended worker only if it refused its inputs */
	json_t *status;          /* status.worker; NULL: as in the last status */
	enum reason exit_reason; /* why the last one ended, or why its cleanup failed */
	char *exit_message;      /* NULL: none has ended yet */
	bool leaves_unreachable; /* it is the last attempt of a cleanup */
	bool silent;             /* it has been silent for a while */
	bool killed;             /* for that */
	bool planning;           /* it was started with spec.mode Plan */
};

/* pods.c: the pod of a worker. */
struct resource_pod {
	char *lease;                 /* of its agent, "namespace/name"; NULL: it was not asked for */
	char hash[JSONX_HASH_BYTES]; /* of the objects that were applied last; "": none yet */
	int64_t generation;          /* of the Deployment, when that was done */
	int64_t before;              /* the generation before that; 0: there was no Deployment */
	int64_t placed_ms;           /* when it changed the Deployment last; 0: not yet */
	bool starting;               /* since then no agent need have been alive */
	bool leaving;                /* the Deployment was deleted, and the agent may be still alive */
	int64_t waits_since_ms;      /* for the end of an earlier PgSync's objects; 0: it does not */
	json_t *objects;             /* being applied; NULL: none */
	size_t next;                 /* of them */
};

/* writes.c: writes to the API server, one at a time. */
enum write { WRITE_FINALIZERS, WRITE_STATUS, WRITE_ANNOTATIONS, WRITE_POD, WRITE_POD_END };

struct resource_writer {
	struct kube_call *call;        /* under way: the key is being processed until it ends; NULL: none */
	struct kube_timer *slow_timer; /* NULL: none is in progress, or it is slow */
	bool contended;                /* it was made known that there is another operator */
	bool slow;                     /* the current write takes so long that it no longer holds up others */
	char *status;                  /* as last written, or as seen while following, canonical; NULL: never */
	char *writing;                 /* the status that is being written */
	int64_t last_ms;               /* when the status was written; 0: not yet */
	/* Delays writes after a failure: workers report several times a second, which is too often to retry. */
	struct backoff backoff;
	int64_t not_before_ms;
	/* refusals.c */
	bool replace;                       /* server-side apply refuses the status: replace it whole */
	char *missing;                      /* its fields that the CRD does not have; NULL: none */
	char *refused;                      /* why the last write was refused; NULL: it was not */
	enum write refused_write;           /* valid if refused is set */
	bool refusal_shown;                 /* in the status */
	char stored_hash[JSONX_HASH_BYTES]; /* the status as the API server stored it; "": not known */
	char seen_hash[JSONX_HASH_BYTES];   /* the status that the watch reported last */
};

struct resource {
	struct operator_ *op;
	char *key, *namespace, *name;
	struct resource_cache cache;
	struct resource_inputs inputs;
	struct resource_worker worker;
	struct resource_writer writer;
	struct resource_pod pod;
	json_t *shown_indices;            /* metrics.c: the keys are the indices that have series; NULL: none */
	struct kube_call *namespace_call; /* namespaces.c; NULL: none is under way */
};

/* Replaces the value of a field, and frees the old one. */
void resource_replace_text(char **field, char *take);

/* --- operator.c: news from the API server */
void operator_resource_changed(struct operator_ *op, const char *key, const json_t *object);
void operator_resource_deleted(struct operator_ *op, const char *key);

/* --- egress.c */
/* What workers do not connect to: the list that was given, and the API server, "HOST[:PORT][/PATH]". A name is resolved
 * here, which may take a while. Caller frees. */
char *operator_denied_egress(const char *given, const char *server);

/* --- operator.c */
void operator_enter_phase(struct operator_ *op, enum operator_phase phase, int64_t limit_ms);

/* --- retire.c: says that the operator has stopped, for one that is about to be uninstalled */
/* The Lease is ours: the other operators stop. */
void retire_begin(struct operator_ *op);
/* Another operator has taken the Lease. */
void retire_suspend(struct operator_ *op);
/* Begins the farewells once nothing contradicts them. */
void retire_advance(struct operator_ *op);
/* Whether every PgSync has its farewell. */
int retire_result(const struct operator_ *op, struct err *err) WARN_UNUSED;

/* --- namespaces.c: each namespace is watched separately; one that is forbidden or gone does not stop the others */
void namespaces_watch(struct operator_ *op);
void namespaces_release(struct operator_ *op);
/* True if every namespace has been listed, or cannot be. */
bool namespaces_are_known(const struct operator_ *op);
/* Finds out whether the resource's namespace is being deleted; if so, the key is processed. */
void namespaces_ask_end(struct resource *r);

/* --- peers.c: operators of other installations */
enum peer_state {
	PEER_UNCLEAR, /* its Lease is being asked for */
	PEER_NONE,    /* it is no other operator */
	PEER_ALIVE,
	PEER_GONE,
};
struct map *peers_new(void);
/* What is known of the operator whose Lease is named, "namespace/name" and perhaps a blank and more. The PgSyncs that
 * name it are processed when that changes. */
enum peer_state operator_peer(struct operator_ *op, const char *named);
/* Of the Lease of one that is alive, by its name: what says who owns it (placement_marks). */
const json_t *operator_peer_marks(const struct operator_ *op, const char *lease);
/* A PgSync has begun to name it: what was gone may have come back. */
void peers_named(struct operator_ *op, const char *named);

/* --- pods.c: the pods of PgSyncs with placement Pod */
void pods_watch(struct operator_ *op);
void pods_release(struct operator_ *op);
/* What is known about the resource's pod. */
void resource_pod_observe(struct resource *r, struct observed *observed);
/* Applies the objects that make its pod, or deletes the Deployment; the key is processed again after that. */
void resource_place(struct resource *r);
void resource_unplace(struct resource *r);
/* Another process, such as its agent, has written the status. */
void resource_pod_status_seen(struct resource *r);
/* Publishes the status that the agent has written. */
void resource_show_pod(struct resource *r);

/* Whether the resource is for this process to work on: in an agent, one that is in the agent's pod. */
bool resource_is_elsewhere(const struct resource *r);

/* --- resource.c */
struct resource *resource_new(struct operator_ *op, const char *key);
void resource_free(struct resource *r);
/* Adopts the object from the API server; true if something that we act on has changed. */
bool resource_update(struct resource *r, const json_t *object);
/* Records an event. Returns nothing, since the caller could not handle a failure. */
void resource_event(struct resource *r, bool warning, enum reason reason, const char *action, const char *note_fmt, ...)
	PRINTF_LIKE(5, 6);
void resource_enqueue(struct resource *r);
void resource_enqueue_all(struct operator_ *op);
json_t *resource_json(const struct resource *r); /* a new reference */
/* The SQL to drop what a forced deletion leaves behind; caller frees. */
char *resource_orphan_sql(const struct resource *r);

/* --- limit.c */
/* Whether --max-pgsyncs leaves no place for the resource: the oldest ones have precedence. If two are equally old the
 * uid decides, so that every operator decides the same way. */
bool resource_is_over_limit(const struct resource *r);

/* --- inputs.c */
/* Reads what the spec refers to, and has it verified. Nothing here parses a schema, and a large one costs no more than
 * copying its text: all resources share the loop. */
void resource_refresh_inputs(struct resource *r);
/* Where workers read passwords themselves; NULL if they do not. Caller frees. */
char *operator_credentials(const struct operator_ *op);
/* The line that a worker starts with; caller frees, and wipes. */
char *resource_assignment(const struct resource *r, enum protocol_task task);
/* The inputs may have changed. */
void resource_inputs_changed(struct resource *r);

/* --- verify.c: a short-lived worker verifies the inputs; a few at a time, over all resources */
void resource_verify(struct resource *r);
/* Ends a verification that is in progress; the end of its worker adds the key to the queue again. */
void resource_end_verification(struct resource *r);
/* Adds the keys that have waited longest to the queue, as far as there are places. */
void operator_verify_waiting(struct operator_ *op);

/* --- waiting.c: GET /NAMESPACE/NAME/wait, which the worker of this PgSync answers. Functions that take a struct
 * waiting lock it, and accept NULL: then there are no waits. */
int waiting_start(const char *listen, struct waiting **ret, struct err *err) WARN_UNUSED;
/* Ends all waits. */
void waiting_stop(struct waiting *waiting);
int waiting_port(const struct waiting *waiting);
/* Opens a channel to the worker of a PgSync that is about to start; the caller closes *ret_server_fd. 0: none.
 */
int waiting_open(struct waiting *waiting, const char *key, int *ret_server_fd, struct err *err) WARN_UNUSED;
void waiting_close(struct waiting *waiting, const char *key);

/* --- process.c */
void resource_start(struct resource *r, enum protocol_task task);
void resource_stop(struct resource *r);
/* Kills a worker that does not respond; that counts as its failure. */
void resource_kill(struct resource *r);

/* --- writes.c: when a write ends, the key is processed again */
/* Around each write. err: NULL, or why it failed. */
void resource_begin_write(struct resource *r);
void resource_end_write(struct resource *r, enum write write, const struct err *err);
void resource_write_finalizer(struct resource *r, bool there);
/* Lets the operator that is responsible know that there are two. */
void resource_contend(struct resource *r);
/* Composes the status; writes it if it has changed and is due. */
void resource_write_status(struct resource *r, enum reconcile_state state);
/* Cancels a write in progress as if it had not begun, and with it the processing of the key. */
void resource_cancel_write(struct resource *r);
/* Whether another write may begin. One that takes longer than a second no longer counts, up to a total limit, so that a
 * namespace whose writes hang does not delay the others any longer. */
bool operator_may_write(const struct operator_ *op);
/* Failures of earlier writes do not delay the next one. */
void resource_allow_writes(struct resource *r);

/* --- refusals.c */
/* Records a write that failed. */
void resource_write_refused(struct resource *r, enum write write, const struct err *err);
/* Call it if nothing is refused any more, or the resource is gone. */
void resource_forget_refusal(struct resource *r);
/* Call it when a write has succeeded. */
void resource_written(struct resource *r, enum write write);
/* Call it when finalizers and pod are as they are to be: a refusal to change them no longer matters. */
void resource_nothing_to_write(struct resource *r);
/* Compares a status with how the API server stored it; stored may be NULL. */
void resource_status_stored(struct resource *r, const json_t *sent, const json_t *stored);
/* The status of an object that is new to us, or of another leader; NULL: none. */
void resource_status_taken(struct resource *r, const json_t *status);
/* The status that the watch reports; NULL: none. */
void resource_status_seen(struct resource *r, const json_t *status);
/* When to write the status again because another client has changed it; 0: it is unchanged. */
int64_t resource_status_restore_ms(const struct resource *r);

/* --- metrics.c */
void operator_metrics_init(struct operator_ *op);
void operator_metrics_resource(struct resource *r, const json_t *status);
void operator_metrics_forget(struct resource *r);
/* Only the leader knows how the PgSyncs are. */
void operator_metrics_forget_all(struct operator_ *op);
void operator_metrics_tick(struct operator_ *op);
enum reconcile_result { RECONCILE_SUCCESS, RECONCILE_ERROR, RECONCILE_REQUEUE, RECONCILE_REQUEUE_AFTER };
/* Call it when the processing of a key is over. */
void operator_reconciled(struct resource *r, enum reconcile_result result);
/* Serves health, metrics and the console. */
int operator_listen(struct operator_ *op, struct err *err) WARN_UNUSED;

#endif
