/* The controller: turns PgSync resources into supervised worker processes, and writes their status.
 *
 * Almost everything runs in one thread. The reflector feeds a work queue; reconcile_decide (pure, reconcile_int.h)
 * compares what is desired with what is observed and returns an action (add the finalizer, start, stop or restart the
 * worker, clean up, remove the finalizer) and a state, from which status.c composes the status. Workers are children of
 * this process (`pgsync worker`) and speak the protocol of protocol/protocol.h; the kernel kills them when the operator
 * dies. Other threads serve health, metrics and the console, from values that
 * are published for them, and pass waits for positions of the WAL on to workers.
 *
 * Guarantees:
 * - If the schema is invalid, all its errors are reported together: a worker with task check also finds the errors that
 *   only the database shows, and changes nothing. (But not while a worker of an earlier spec runs.)
 * - The finalizer pgsync.io/cleanup is added before the first worker starts, and not earlier: a resource whose spec was
 *   never valid can be deleted at once.
 * - After a deletion the worker stops; then a cleanup runs and is repeated until it succeeds. If it cannot succeed (the
 *   spec is invalid, a Secret is gone), the resource remains and its status says why. The annotation
 *   pgsync.io/force-delete=true deletes it without a cleanup; an event SlotOrphaned contains the SQL to remove what is
 * left.
 * - A worker is restarted when its input changes: the spec (except suspend and deletionPolicy), the annotation
 *   pgsync.io/retry-dead-letters, or a ConfigMap or a Secret that the spec refers to. An invalid edit or a deleted
 *   Secret never stops a running stream: the former makes the resource Stalled and not Ready, the latter Degraded with
 *   reason CredentialsNotFound.
 * - The annotation pgsync.io/reconcile=disabled leaves everything as it is: nothing is started, stopped or cleaned up.
 * - Leadership decides who writes and starts workers, not who streams: the slot does that. When the operator cannot
 *   renew its Lease it stops acting on the cluster, and its workers continue; it stops them when it sees another
 *   leader.
 * - The status is written when it has changed: a condition, a phase or a name at once, numbers at most every 10 s, WAL
 *   positions at most every minute. While nothing happens, nothing is written. When the operator ends, Ready says so;
 *   before it is uninstalled, another process (options.retire) does, since the operator's permissions go first. */
#ifndef PGSYNC_OPERATOR_OPERATOR_H
#define PGSYNC_OPERATOR_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "console/console.h"

struct operator_options {
	const char *kubeconfig, *context;
	const char *const *namespaces; /* to watch; none: all */
	size_t n_namespaces;
	const char *deny_egress; /* of workers, as for egress_deny; the API server's address is added */
	bool leader_elect;
	bool service_names; /* a host without a dot names a Service in the PgSync's namespace */
	bool retire;        /* not an operator, but its farewell: retire.c */
	/* The operator of one PgSync, "namespace/name", in the pod of its worker: agent.c; NULL: of all. */
	const char *agent;
	const char *mounts;       /* an agent's Secrets and ConfigMaps, as files */
	const char *worker_image; /* of the pods of PgSyncs with placement Pod; NULL: there are none */
	int64_t lease_duration_ms, renew_deadline_ms, retry_period_ms;
	const char *lease_namespace;           /* NULL: the operator's own */
	const char *listen;                    /* health and metrics, "ADDR:PORT"; NULL: none */
	const char *health_listen;             /* health alone, for probes; NULL: none */
	const struct console_options *console; /* NULL: none */
	const char *wait_listen;               /* waits for positions of the WAL; NULL: none */
	const char *worker_program;            /* path of `pgsync` */
	const char *worker_sandbox;            /* "on" or "off" */
	const char *secret_label;              /* "KEY" or "KEY=VALUE" that Secrets must have; NULL: none */
	const char *pod_uid;                   /* of the pod that we run in; NULL: not known */
	unsigned max_concurrent_reconciles;
	unsigned max_pgsyncs;               /* that may have workers; 0: any number */
	const char *log_level, *log_format; /* passed to workers */
};

struct operator_;

int operator_new(const struct operator_options *options, struct operator_ **ret, struct err *err) WARN_UNUSED;
/* Runs until SIGTERM or SIGINT; then stops the workers, releases the Lease, and returns 0. */
int operator_run(struct operator_ *op, struct err *err) WARN_UNUSED;
void operator_free(struct operator_ *op);
CLEANUP(struct operator_, operator_free);

#endif
