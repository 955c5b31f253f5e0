/* The decision, as a cascade: the first thing that is not as it should be names the action. */
#include "operator/reconcile_int.h"

#include <string.h>

static struct decision decision(enum action action, enum situation situation)
{
	return (struct decision){.action = action, .situation = situation};
}

static struct decision later(enum situation situation, int64_t at_ms)
{
	return (struct decision){.situation = situation, .again_ms = at_ms};
}

/* STOP once; then wait for the end. */
static struct decision stop(const struct observed *o, enum situation situation)
{
	return decision(o->worker == WORKER_RUNNING ? ACTION_STOP : ACTION_NONE, situation);
}

static bool same_inputs(const struct desired *d, const struct observed *o)
{
	return strcmp(d->hash, o->hash) == 0;
}

/* Nothing is done, but nothing false is said either, as that data flows when the worker has died. */
static enum situation frozen(const struct desired *d, const struct observed *o)
{
	switch (o->worker) {
	case WORKER_RUNNING:
		return SITUATION_RUNNING;
	case WORKER_STOPPING:
		return SITUATION_UNKNOWN;
	case WORKER_NONE:
		break;
	}
	return d->suspend ? SITUATION_SUSPENDED : SITUATION_FROZEN;
}

static struct decision decide_deletion(const struct desired *d, const struct observed *o)
{
	bool cleaning = o->task == PROTOCOL_TASK_CLEANUP;

	if (o->worker != WORKER_NONE && (!cleaning || d->force_delete || !d->finalizer))
		return stop(o, SITUATION_DELETING);
	if (!d->finalizer || o->worker != WORKER_NONE)
		return decision(ACTION_NONE, SITUATION_DELETING);
	if (d->force_delete || o->cleaned)
		return decision(ACTION_REMOVE_FINALIZER, SITUATION_DELETING);
	if (d->inputs == INPUTS_LOADING)
		return decision(ACTION_NONE, SITUATION_DELETING);
	if (d->inputs == INPUTS_BAD)
		return decision(ACTION_NONE, SITUATION_DELETE_BLOCKED);
	/* What kept a worker from running says nothing about a clean-up, so only its own refusals and back-off count.
	 */
	if (cleaning && o->refused && same_inputs(d, o))
		return decision(ACTION_NONE, SITUATION_DELETE_BLOCKED);
	if (cleaning && same_inputs(d, o) && o->now_ms < o->not_before_ms)
		return later(SITUATION_DELETE_RETRY, o->not_before_ms);
	return decision(ACTION_START_CLEANUP, SITUATION_DELETING);
}

struct decision reconcile_decide(const struct desired *d, const struct observed *o)
{
	if (!d->exists)
		return o->worker == WORKER_NONE ? decision(ACTION_FORGET, SITUATION_UNKNOWN)
						: stop(o, SITUATION_UNKNOWN);
	/* Workers go on: they are stopped when another leader is seen, not when we cannot see one. */
	if (!o->leading)
		return decision(ACTION_NONE, SITUATION_UNKNOWN);
	if (d->frozen && !(d->deleting && d->force_delete))
		return decision(ACTION_NONE, frozen(d, o));
	if (d->deleting)
		return decide_deletion(d, o);
	if (d->suspend)
		return o->worker == WORKER_NONE ? decision(ACTION_NONE, SITUATION_SUSPENDED)
						: stop(o, SITUATION_SUSPENDED);
	/* A bad edit, or a Secret that has gone, never stops a stream that runs. */
	if (d->inputs == INPUTS_LOADING)
		return decision(ACTION_NONE, o->worker == WORKER_RUNNING ? SITUATION_RUNNING : SITUATION_LOADING);
	if (d->inputs == INPUTS_BAD && o->task == PROTOCOL_TASK_CHECK && o->worker != WORKER_NONE)
		return stop(o, SITUATION_BAD_INPUTS);
	if (d->inputs == INPUTS_BAD ||
	    (d->inputs == INPUTS_FLAWED && o->worker != WORKER_NONE && o->task != PROTOCOL_TASK_CHECK))
		return decision(ACTION_NONE, SITUATION_BAD_INPUTS);
	/* Before the first side effect. A resource that never had a usable spec never gets it, and so goes at once. */
	if (!d->finalizer && d->inputs == INPUTS_OK)
		return decision(ACTION_ADD_FINALIZER,
				o->worker == WORKER_RUNNING ? SITUATION_RUNNING : SITUATION_STARTING);
	if (o->worker != WORKER_NONE) {
		if (o->worker == WORKER_RUNNING && same_inputs(d, o))
			return decision(ACTION_NONE, SITUATION_RUNNING);
		return stop(o, SITUATION_RESTARTING);
	}
	if (same_inputs(d, o) && o->refused)
		return decision(ACTION_NONE, SITUATION_REFUSED);
	if (same_inputs(d, o) && o->now_ms < o->not_before_ms)
		return later(SITUATION_BACKOFF, o->not_before_ms);
	return decision(d->inputs == INPUTS_OK ? ACTION_START : ACTION_START_CHECK, SITUATION_STARTING);
}
