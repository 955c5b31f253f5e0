/* The decision, as a cascade: the first thing that is not as it should be determines the action. */
#include "operator/reconcile_int.h"

#include <string.h>

static struct decision decision(enum action action, enum reconcile_state state)
{
	return (struct decision){.action = action, .state = state};
}

static struct decision later(enum reconcile_state state, int64_t at_ms)
{
	return (struct decision){.state = state, .again_ms = at_ms};
}

/* STOP once; then wait until the worker has ended. */
static struct decision stop(const struct observed *o, enum reconcile_state state)
{
	return decision(o->worker == WORKER_RUNNING ? ACTION_STOP : ACTION_NONE, state);
}

static bool same_inputs(const struct desired *d, const struct observed *o)
{
	return strcmp(d->hash, o->hash) == 0;
}

/* --- states */

static enum reconcile_state invalid(const struct desired *d, const struct observed *o)
{
	bool checking = o->task == PROTOCOL_TASK_CHECK;

	/* A check that has not reported yet has nothing to add. */
	if (o->worker != WORKER_RUNNING || o->task == PROTOCOL_TASK_CLEANUP || (checking && !o->reported))
		return STATE_INVALID;
	return d->credentials_missing && o->newest_spec ? STATE_CREDENTIALS_GONE : STATE_INVALID_RUNNING;
}

static enum reconcile_state failing(unsigned failures)
{
	return failures >= RECONCILE_CRASH_LOOP ? STATE_CRASH_LOOP : STATE_BACKOFF;
}

/* The state while a worker runs. */
static enum reconcile_state running(const struct desired *d, const struct observed *o)
{
	if (o->silent_ms >= PROTOCOL_SILENT_MS)
		return STATE_SILENT;
	if (o->reported)
		return STATE_RUNNING;
	/* Known problems are reported before a check has found the rest. */
	if (d->inputs == INPUTS_CHECKABLE)
		return invalid(d, o);
	/* A worker that was started again after a failure, and has not reported yet, has not repaired anything. */
	return o->failures > 0 ? failing(o->failures) : STATE_STARTING;
}

static enum reconcile_state deleting(const struct observed *o)
{
	bool retrying = o->failures > 0 && o->task == PROTOCOL_TASK_CLEANUP && !o->reported;

	return retrying ? STATE_DELETE_RETRY : STATE_DELETING;
}

/* --- decisions */

static struct decision keep_running(enum action action, const struct desired *d, const struct observed *o)
{
	return (struct decision){
		.action = action, .state = running(d, o), .applied = d->inputs == INPUTS_VALID && same_inputs(d, o)};
}

static struct decision restart(const struct desired *d, const struct observed *o)
{
	bool known = d->inputs == INPUTS_CHECKABLE && !o->reported;

	return stop(o, known ? invalid(d, o) : STATE_RESTARTING);
}

/* Does nothing, but does not report anything false either, such as that data flows when the worker has died. */
static struct decision decide_frozen(const struct desired *d, const struct observed *o)
{
	switch (o->worker) {
	case WORKER_RUNNING:
		return keep_running(ACTION_NONE, d, o);
	case WORKER_STOPPING:
		return decision(ACTION_NONE, STATE_UNKNOWN);
	case WORKER_NONE:
		break;
	}
	return decision(ACTION_NONE, d->suspend ? STATE_SUSPENDED : STATE_FROZEN);
}

/* In a namespace that is being deleted, no Secret can be created any more, and a server that was in it does not come
 * back. In one that stays, a server that is away is waited for as long as it takes. */
static bool is_hopeless(const struct desired *d, const struct observed *o)
{
	return d->namespace_ends && o->task == PROTOCOL_TASK_CLEANUP && same_inputs(d, o) &&
	       o->failures >= RECONCILE_CLEANUPS;
}

static struct decision decide_deletion(const struct desired *d, const struct observed *o)
{
	bool cleaning = o->task == PROTOCOL_TASK_CLEANUP;

	if (o->worker != WORKER_NONE && (!cleaning || d->force_delete || !d->finalizer))
		return stop(o, deleting(o));
	if (!d->finalizer || o->worker != WORKER_NONE)
		return decision(ACTION_NONE, deleting(o));
	if (d->force_delete || o->outcome == OUTCOME_CLEANED)
		return decision(ACTION_REMOVE_FINALIZER, STATE_DELETING);
	if (d->inputs == INPUTS_LOADING || d->inputs == INPUTS_UNVERIFIED)
		return decision(ACTION_NONE, deleting(o));
	if (d->inputs == INPUTS_INVALID && d->namespace_ends && d->credentials_missing)
		return decision(ACTION_REMOVE_FINALIZER, STATE_DELETING);
	if (d->inputs == INPUTS_INVALID)
		return decision(ACTION_NONE, STATE_DELETE_INVALID);
	/* A cleanup may work where a run did not, so only its own refusals and back-off count. */
	if (cleaning && o->outcome == OUTCOME_REFUSED && same_inputs(d, o))
		return decision(ACTION_NONE,
				d->inputs == INPUTS_CHECKABLE ? STATE_DELETE_INVALID : STATE_DELETE_REFUSED);
	if (cleaning && same_inputs(d, o) && o->now_ms < o->not_before_ms)
		return later(STATE_DELETE_RETRY, o->not_before_ms);
	return decision(is_hopeless(d, o) ? ACTION_START_LAST_CLEANUP : ACTION_START_CLEANUP, STATE_DELETING);
}

static struct decision decide_suspension(const struct observed *o)
{
	return o->worker == WORKER_NONE ? decision(ACTION_NONE, STATE_SUSPENDED) : stop(o, STATE_SUSPENDING);
}

/* Its worker only checks: nothing is lost when it is stopped. */
static bool is_checking(const struct observed *o)
{
	return o->worker != WORKER_NONE && (o->task == PROTOCOL_TASK_CHECK || o->planning);
}

/* The inputs cannot start a run. But an invalid edit, or a Secret that is gone, never stops a running stream. */
static struct decision decide_invalid(const struct desired *d, const struct observed *o)
{
	return is_checking(o) ? stop(o, invalid(d, o)) : decision(ACTION_NONE, invalid(d, o));
}

/* A verification takes milliseconds, unless it fails, so until then report nothing about the resource. */
static struct decision decide_unverified(const struct desired *d, const struct observed *o)
{
	if (o->worker == WORKER_RUNNING)
		return keep_running(ACTION_NONE, d, o);
	return decision(ACTION_NONE, d->verify_failures ? failing(d->verify_failures) : STATE_UNKNOWN);
}

static struct decision decide_start(const struct desired *d, const struct observed *o)
{
	if (same_inputs(d, o) && o->outcome == OUTCOME_REFUSED)
		return decision(ACTION_NONE, STATE_REFUSED);
	if (same_inputs(d, o) && o->now_ms < o->not_before_ms)
		return later(failing(o->failures), o->not_before_ms);
	return decision(d->inputs == INPUTS_VALID ? ACTION_START : ACTION_START_CHECK, STATE_STARTING);
}

/* --- pods. A PgSync has either a worker here or a pod: one of them ends before the other begins. */

static enum reconcile_state leaving(const struct desired *d)
{
	if (d->presence == PRESENCE_DELETING)
		return STATE_DELETING;
	if (d->over_limit)
		return STATE_OVER_LIMIT;
	return d->suspend ? STATE_SUSPENDING : STATE_RESTARTING;
}

/* What its agent does not do. False: everything is done here, as for a PgSync without a pod. */
static bool decide_pod(const struct desired *d, const struct observed *o, struct decision *ret)
{
	bool alive = o->pod == POD_ALIVE, frozen = d->frozen && !(d->presence == PRESENCE_DELETING && d->force_delete);
	bool process = d->pod && o->worker != WORKER_NONE;

	if (o->pod == POD_NONE || (o->pod != POD_UNCLEAR && ((frozen && !alive) || (!frozen && process))))
		return false;
	if (o->pod == POD_UNCLEAR)
		*ret = decision(ACTION_NONE, STATE_UNKNOWN);
	else if (!frozen && !d->pod)
		*ret = decision(o->pod_exists ? ACTION_UNPLACE : ACTION_NONE, leaving(d));
	else if (!frozen && d->inputs == INPUTS_VALID && d->finalizer && !o->pod_current)
		*ret = decision(ACTION_PLACE, alive ? STATE_IN_POD : STATE_POD_STARTING);
	else if (alive)
		*ret = decision(ACTION_NONE, STATE_IN_POD);
	else
		*ret = later(o->pod_is_new ? STATE_POD_STARTING : STATE_POD_LOST, o->now_ms + RECONCILE_POD_MS);
	return true;
}

static struct decision decide(const struct desired *d, const struct observed *o)
{
	bool alive = o->worker == WORKER_RUNNING;
	struct decision of_pod;

	if (d->presence == PRESENCE_GONE)
		return o->worker == WORKER_NONE ? decision(ACTION_FORGET, STATE_UNKNOWN) : stop(o, STATE_UNKNOWN);
	/* Workers continue: they are stopped when another leader is seen, not when none can be seen. */
	if (!o->leading)
		return decision(ACTION_NONE, STATE_UNKNOWN);
	if (d->claim == CLAIM_UNCLEAR)
		return decision(ACTION_NONE, STATE_UNKNOWN);
	if (d->claim == CLAIM_OTHERS)
		return stop(o, STATE_STANDING_BACK);
	if (decide_pod(d, o, &of_pod))
		return of_pod;
	if (d->frozen && !(d->presence == PRESENCE_DELETING && d->force_delete))
		return decide_frozen(d, o);
	if (alive && o->silent_ms >= RECONCILE_KILL_MS)
		return decision(ACTION_KILL, STATE_SILENT);
	if (d->presence == PRESENCE_DELETING)
		return decide_deletion(d, o);
	if (d->suspend)
		return decide_suspension(o);
	if (d->over_limit)
		return o->worker == WORKER_NONE ? decision(ACTION_NONE, STATE_OVER_LIMIT) : stop(o, STATE_OVER_LIMIT);
	/* Whatever else is in the new spec: a plan changes nothing. */
	if (d->plan && o->worker != WORKER_NONE && !is_checking(o))
		return stop(o, STATE_RESTARTING);
	if (d->inputs == INPUTS_LOADING)
		return alive ? keep_running(ACTION_NONE, d, o) : decision(ACTION_NONE, STATE_LOADING);
	if (d->inputs == INPUTS_UNVERIFIED)
		return decide_unverified(d, o);
	if (d->inputs == INPUTS_INVALID ||
	    (d->inputs == INPUTS_CHECKABLE && o->worker != WORKER_NONE && o->task != PROTOCOL_TASK_CHECK))
		return decide_invalid(d, o);
	/* Before the first side effect. A resource that never had a usable spec, or was only planned, never gets the
	 * finalizer, so it can be deleted at once. */
	if (!d->finalizer && d->inputs == INPUTS_VALID && !d->plan)
		return alive ? keep_running(ACTION_ADD_FINALIZER, d, o)
			     : decision(ACTION_ADD_FINALIZER, STATE_STARTING);
	if (d->pod && d->inputs == INPUTS_VALID)
		return o->worker == WORKER_NONE ? decision(ACTION_PLACE, STATE_POD_STARTING)
						: stop(o, STATE_RESTARTING);
	if (o->worker == WORKER_NONE)
		return decide_start(d, o);
	return alive && same_inputs(d, o) ? keep_running(ACTION_NONE, d, o) : restart(d, o);
}

struct decision reconcile_decide(const struct desired *d, const struct observed *o)
{
	struct decision next = decide(d, o);
	bool silent = o->worker == WORKER_RUNNING && o->silent_ms >= PROTOCOL_SILENT_MS;

	if (silent && next.action == ACTION_NONE && !next.again_ms && o->silent_ms < RECONCILE_KILL_MS)
		next.again_ms = o->now_ms + RECONCILE_KILL_MS - o->silent_ms;
	return next;
}
