/* The controller: PgSync resources in, supervised worker processes and written status out.
 *
 * One thread. The reflector feeds a work queue; reconcile_decide (pure, reconcile_int.h) compares what is desired with
 * what is observed and names actions: add the finalizer, start, stop or restart the worker, run a clean-up, remove the
 * finalizer, write status, record events. Workers are children of this process (`pgsync worker`), get their resource
 * and credentials as one JSON line on descriptor 3, answer with JSON lines on descriptor 4, and end when descriptor 3
 * reaches its end or the parent dies.
 *
 * The lines of a worker, one JSON object each:
 *   to it    {"task": "run" | "cleanup", "identity": "...", "resource": {metadata, spec}, "secrets": {name: {key:
 * value}}, "configMaps": {...}} then {"command": "stop"} from it  {"report": {"phase", "conditions", "bootstrap",
 * "stream", "indices"}}   a fragment of the resource's status; conditions without times
 *            {"event": {"warning": bool, "reason", "action", "note"}}
 *            {"done": {"ok": bool, "reason", "message"}}                             the end of a cleanup
 * Exit codes of a worker: 0 stopped as asked or done; 1 failed, start again with a back-off; 2 the input is wrong, do
 * not start again until it changes.
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
