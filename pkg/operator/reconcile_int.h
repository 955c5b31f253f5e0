/* What to do next for one resource: a pure decision over what is wanted and what there is. */
#ifndef PGSYNC_OPERATOR_RECONCILE_INT_H
#define PGSYNC_OPERATOR_RECONCILE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/protocol.h"

enum inputs {
	INPUTS_LOADING, /* a Secret or ConfigMap that the spec names has not been seen yet */
	INPUTS_BAD,     /* the spec is wrong, or something that it names is missing */
	INPUTS_FLAWED,  /* wrong too, but a worker can look at the database, where more may be wrong, and clean up */
	INPUTS_OK,
};

/* From the resource. */
struct desired {
	bool exists;
	bool deleting;     /* deletionTimestamp is set */
	bool finalizer;    /* ours is there */
	bool force_delete; /* annotation pgsync.io/force-delete=true */
	bool frozen;       /* annotation pgsync.io/reconcile=disabled */
	bool suspend;
	enum inputs inputs;
	const char *hash; /* of all that a worker is started with; "" unless INPUTS_OK or INPUTS_FLAWED */
};

enum worker_state { WORKER_NONE, WORKER_RUNNING, WORKER_STOPPING };

/* Of our own processes. */
struct observed {
	bool leading; /* we may act on the cluster and start workers */
	enum worker_state worker;
	enum protocol_task task; /* of the worker, or of the last one */
	const char *hash;        /* with which it was started; "" when there was none */
	bool refused;            /* the last worker ended with "the input is wrong" */
	bool cleaned;            /* a clean-up has succeeded */
	int64_t not_before_ms;   /* back-off: no start before this time */
	int64_t now_ms;
};

enum action {
	ACTION_NONE,
	ACTION_ADD_FINALIZER,
	ACTION_REMOVE_FINALIZER,
	ACTION_START,         /* a worker with task run */
	ACTION_START_CHECK,   /* with task check */
	ACTION_START_CLEANUP, /* a worker with task cleanup */
	ACTION_STOP,
	ACTION_FORGET, /* the resource is gone, and nothing of ours is left */
};

/* What a person is told that we are doing. */
enum situation {
	SITUATION_UNKNOWN, /* not ours to say */
	SITUATION_LOADING,
	SITUATION_BAD_INPUTS, /* a worker of an earlier spec may still be running */
	SITUATION_STARTING,   /* before or just after a start */
	SITUATION_RUNNING,
	SITUATION_RESTARTING,
	SITUATION_BACKOFF,
	SITUATION_REFUSED,
	SITUATION_SUSPENDED,
	SITUATION_FROZEN, /* no worker, and an annotation says not to start one */
	SITUATION_DELETING,
	SITUATION_DELETE_RETRY,
	SITUATION_DELETE_BLOCKED, /* nothing can be cleaned up before a person acts */
	SITUATION_STOPPED,        /* the operator itself is ending */
};

struct decision {
	enum action action;
	enum situation situation;
	int64_t again_ms; /* decide again at this time; 0: when something changes */
};

/* One step; after an action that ends at once, decide again. */
struct decision reconcile_decide(const struct desired *desired, const struct observed *observed);

#endif
