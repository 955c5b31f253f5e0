/* Names in a status: types of conditions, their statuses, and phases. One list for worker, operator and tests. Pure.
 *
 * Reasons are in base/reason.h; docs/conditions.md says what to do about each of them. */
#ifndef PGSYNC_CONDITIONS_CONDITIONS_H
#define PGSYNC_CONDITIONS_CONDITIONS_H

enum condition_type {
	CONDITION_READY,
	CONDITION_STALLED,
	CONDITION_DEGRADED,
	CONDITION_SOURCE_REACHABLE,
	CONDITION_SINK_REACHABLE,
	CONDITION_SCHEMA_ACCEPTED,
	CONDITION_BOOTSTRAP_COMPLETE,
	CONDITION_STREAMING,
	CONDITION_SLOT_HEALTHY,
	CONDITION_PLANNED,    /* present only with spec.mode Plan */
	CONDITION_REPORTED_N, /* a worker reports those above; the operator adds those below */
	CONDITION_RECONCILING = CONDITION_REPORTED_N,
	CONDITION_SUSPENDED,
	CONDITION_N,
};

enum condition_status { STATUS_UNKNOWN, STATUS_FALSE, STATUS_TRUE };

/* A summary of the conditions for users. A worker reports PENDING to FAILED. */
enum phase {
	PHASE_PENDING,
	PHASE_BOOTSTRAPPING,
	PHASE_CATCHING_UP,
	PHASE_STREAMING,
	PHASE_PLANNED, /* with spec.mode Plan: everything was checked */
	PHASE_FAILED,
	PHASE_SUSPENDED,
	PHASE_DELETING,
	PHASE_N,
};

/* Spelled as in the API. */
const char *condition_type_name(enum condition_type type);
const char *condition_status_name(enum condition_status status);
const char *phase_name(enum phase phase);

#endif
