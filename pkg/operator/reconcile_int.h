/* What to do next for one resource, and what to tell the user about it: a pure decision over what is desired and what
 * is observed. */
#ifndef PGSYNC_OPERATOR_RECONCILE_INT_H
#define PGSYNC_OPERATOR_RECONCILE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/protocol.h"

enum inputs {
	INPUTS_LOADING,    /* a Secret or ConfigMap that the spec names has not been read yet */
	INPUTS_UNVERIFIED, /* all inputs have been read, but a worker has not verified them yet */
	INPUTS_INVALID,    /* the spec is invalid, or something that it names is missing */
	INPUTS_CHECKABLE,  /* invalid too, but a worker can check it against the database, and clean up */
	INPUTS_VALID,
};

/* Whether the object exists in the API server. */
enum presence {
	PRESENCE_GONE,
	PRESENCE_ALIVE,
	PRESENCE_DELETING, /* deletionTimestamp is set */
};

/* Which operator is responsible, if there are several installations. */
enum claim {
	CLAIM_OURS,
	CLAIM_UNCLEAR, /* whether another one is alive is being found out */
	CLAIM_OTHERS,  /* another one is alive, and came first */
};

/* From the resource. */
struct desired {
	enum presence presence;
	enum claim claim;
	bool finalizer;      /* ours is set */
	bool force_delete;   /* annotation pgsync.io/force-delete=true */
	bool frozen;         /* annotation pgsync.io/reconcile=disabled */
	bool namespace_ends; /* its namespace is being deleted */
	bool over_limit;     /* as many older PgSyncs exist as the operator may have */
	bool suspend;
	bool pod;  /* its worker is to run in a pod */
	bool plan; /* spec.mode is Plan: the worker checks, and changes nothing */
	enum inputs inputs;
	unsigned verify_failures; /* UNVERIFIED: number of attempts in a row without an answer */
	bool credentials_missing; /* INVALID, because a Secret or one of its keys cannot be read */
	const char *hash;         /* hash of everything that a worker is started with; "" unless VALID or CHECKABLE */
};

enum worker_state { WORKER_NONE, WORKER_RUNNING, WORKER_STOPPING };

/* The pod of a worker, with the agent that runs there. */
enum pod_state {
	POD_NONE,    /* there is none, and no agent of one is alive */
	POD_UNCLEAR, /* whether there is one is being found out */
	POD_SILENT,  /* there is one, but its agent is not alive */
	POD_ALIVE,   /* its agent is alive */
};

/* How the newest worker ended. */
enum outcome {
	OUTCOME_NONE,           /* it runs, or there was none, or it was stopped */
	OUTCOME_FAILED,         /* it is to be started again */
	OUTCOME_REFUSED,        /* it ended because its input is wrong */
	OUTCOME_CLEANED,        /* its cleanup has succeeded; known before it ends */
	OUTCOME_CLEANUP_FAILED, /* its cleanup has failed, and it has reported why; known before it ends */
	OUTCOME_OPERATOR_ENDS,  /* it was stopped because the operator ends, which its status has not reported yet */
};

/* From the operator's own processes. */
struct observed {
	bool leading; /* we may act on the cluster and start workers */
	enum worker_state worker;
	enum protocol_task task; /* of the worker, or of the last one */
	const char *hash;        /* with which it was started; "" when there was none */
	bool planning;           /* it was started with spec.mode Plan */
	bool newest_spec;        /* it was started for the newest generation, or has the same inputs */
	int64_t silent_ms;       /* how long a running worker has been silent */
	bool reported;           /* there is a report: of the worker, or of the last one if that was refused */
	enum outcome outcome;
	unsigned failures;     /* failures in a row of workers with these inputs and this task */
	int64_t not_before_ms; /* back-off: no start before this time */
	enum pod_state pod;
	bool pod_exists;  /* its Deployment does */
	bool pod_current; /* the Deployment is what was applied, and that is what is desired */
	bool pod_is_new;  /* it was applied a moment ago: its agent need not be alive yet */
	int64_t now_ms;
};

enum action {
	ACTION_NONE,
	ACTION_ADD_FINALIZER,
	ACTION_REMOVE_FINALIZER,
	ACTION_START,              /* a worker with task run */
	ACTION_START_CHECK,        /* with task check */
	ACTION_START_CLEANUP,      /* with task cleanup */
	ACTION_START_LAST_CLEANUP, /* the same, and it leaves behind what cannot be reached */
	ACTION_STOP,
	ACTION_KILL,    /* it does not respond; another one is started afterwards */
	ACTION_PLACE,   /* make its pod, or change it */
	ACTION_UNPLACE, /* delete its pod */
	ACTION_FORGET,  /* the resource is gone, and we have nothing left of it */
};

/* What the user is told. status.c has the table of what each state means for the status. */
enum reconcile_state {
	STATE_UNKNOWN,          /* not for us to report */
	STATE_LOADING,          /* the inputs are being read */
	STATE_INVALID,          /* the inputs are invalid, and no worker runs that could report more */
	STATE_INVALID_RUNNING,  /* the newest inputs are invalid; the worker continues with the earlier ones */
	STATE_CREDENTIALS_GONE, /* the worker continues with the newest spec, but its credentials are gone by now */
	STATE_STARTING,         /* there is a worker, or will be, and it has not reported yet */
	STATE_RUNNING,          /* the worker has reported */
	STATE_SILENT,           /* the worker does not respond */
	STATE_RESTARTING,       /* the worker is ending, because its inputs have changed */
	STATE_BACKOFF,          /* the worker failed, and the next one has not reported yet */
	STATE_CRASH_LOOP,       /* the same, several times in a row */
	STATE_REFUSED,          /* the worker does not accept its inputs */
	STATE_SUSPENDING,       /* suspended, and the worker is ending */
	STATE_SUSPENDED,
	STATE_FROZEN,        /* no worker runs, and an annotation forbids starting one */
	STATE_OVER_LIMIT,    /* no worker runs, because the operator has as many PgSyncs as it may have */
	STATE_STANDING_BACK, /* another operator is responsible, which reports everything else */
	STATE_IN_POD,        /* the agent in its pod reports everything */
	STATE_POD_STARTING,  /* its pod has not reported yet */
	STATE_POD_LOST,      /* its pod is not heard of */
	STATE_DELETING,
	STATE_DELETE_RETRY,   /* the cleanup failed, and is repeated */
	STATE_DELETE_INVALID, /* the cleanup is impossible until the user corrects the inputs */
	STATE_DELETE_REFUSED, /* the cleanup does not accept its inputs */
	STATE_WRITE_REFUSED,  /* what has to come first cannot be written; reconcile_decide does not return this */
	STATE_STOPPED,        /* the operator is ending; reconcile_decide does not return this */
	STATE_POD_STOPPED,    /* the same, in a pod of the worker */
	RECONCILE_STATES,
};

/* Workers that fail this many times in a row are in a crash loop. */
enum { RECONCILE_CRASH_LOOP = 3 };
/* After so many cleanups that failed, one of a namespace that is being deleted leaves behind what cannot be reached. */
enum { RECONCILE_CLEANUPS = 3 };
/* A worker that has been silent for this long is killed. This is twice the time after which the user is told, since a
 * restart costs more than waiting for a busy machine. */
enum { RECONCILE_KILL_MS = 2 * PROTOCOL_SILENT_MS };
/* A pod that is not heard of is looked at again after this time. */
enum { RECONCILE_POD_MS = 10 * 1000 };

struct decision {
	enum action action;
	enum reconcile_state state; /* final, unless the action is followed by another decision at once */
	bool applied;               /* a worker runs with the newest inputs */
	int64_t again_ms;           /* decide again at this time; 0: when something changes */
};

/* One step; after an action that completes at once, decide again. */
struct decision reconcile_decide(const struct desired *desired, const struct observed *observed);

#endif
