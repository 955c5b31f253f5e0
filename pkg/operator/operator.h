/* The controller: PgSync resources in, supervised worker processes and written status out.
 *
 * One thread. The reflector feeds a work queue; reconcile_decide (pure, reconcile_int.h) compares what is desired with
 * what is observed and names actions: add the finalizer, start, stop or restart the worker, run a clean-up, remove the
 * finalizer. Workers are children of this process (`pgsync worker`) and speak the protocol of protocol/protocol.h; the
 * kernel kills them when the operator dies. A second thread serves health and metrics, from what is published for it.
 *
 * What people can rely on:
 * - Of a spec whose schema is wrong, everything is said at once: a worker with task check finds what is wrong with it
 *   in the database too, and changes nothing. (Not while a worker of an earlier spec runs.)
 * - The finalizer pgsync.io/cleanup is there before the first worker starts, and only then: a resource whose spec was
 *   never usable can be deleted at once.
 * - On deletion the worker ends, then a clean-up runs and is repeated until it succeeds. What cannot be cleaned up (the
 *   spec is broken, a Secret is gone) waits, and says so; the annotation pgsync.io/force-delete=true lets it go at
 *   once, with an event SlotOrphaned that holds the SQL for what stays behind.
 * - A worker is restarted when its input changes: the spec (but for suspend and deletionPolicy), a ConfigMap or a
 * Secret that it names. An edit that cannot work, or a Secret that is deleted, never stops a stream that runs: the
 * first makes the resource not Ready and Stalled, the second Degraded with reason CredentialsNotFound.
 * - The annotation pgsync.io/reconcile=disabled leaves everything as it is: nothing is started, stopped or cleaned up.
 * - Leadership decides who writes and starts workers, not who streams: the slot does that. At the renew deadline the
 *   operator stops acting on the cluster, its workers go on; it stops them when it sees another holder of the Lease.
 * - The status is written when it has changed: a condition, phase or name at once, numbers at most each 10 s, positions
 *   in the WAL at most each minute; at rest nothing is written. When the operator itself ends, it says so in Ready.
 */
#ifndef PGSYNC_OPERATOR_OPERATOR_H
#define PGSYNC_OPERATOR_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct operator_options {
	const char *kubeconfig, *context;
	const char *const *namespaces; /* watched ones; none: all */
	size_t n_namespaces;
	bool leader_elect;
	int64_t lease_duration_ms, renew_deadline_ms, retry_period_ms;
	const char *lease_namespace; /* NULL: the operator's own */
	const char *listen;          /* health and metrics, "ADDR:PORT"; NULL: none */
	const char *worker_program;  /* path of `pgsync` */
	unsigned max_concurrent_reconciles;
	const char *log_level, *log_format; /* handed on to workers */
};

struct operator_;

int operator_new(const struct operator_options *options, struct operator_ **ret, struct err *err) WARN_UNUSED;
/* Runs until SIGTERM or SIGINT: then workers are stopped, the Lease is released, and it returns 0. */
int operator_run(struct operator_ *op, struct err *err) WARN_UNUSED;
void operator_free(struct operator_ *op);
CLEANUP(struct operator_, operator_free);

#endif
