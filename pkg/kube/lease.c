/* Leader election: the pure step of lease_step.c driven by requests and timers.
 *
 * One try is: a PUT straight away when we believe that we hold the Lease, otherwise (or when that failed) a GET, the
 * step, and a POST or PUT. Tries come every retry period, jittered while we do not lead, and at the very moment when
 * the holder's time is over: any delay of a candidate is time without a leader. How long we lead is counted from the
 * moment when the last successful write was *sent*: a process that waits for our Lease to expire saw it later. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "kube/kube_int.h"
#include "kube/lease_int.h"
#include "json/json.h"

struct kube_lease {
	struct kube *kube;
	char *namespace, *name, *identity, *predecessor;
	char *path, *collection;
	struct kube_lease_options options;
	struct lease_state state;
	json_t *object;           /* as last seen; what we write is built on it */
	struct lease_record next; /* being written */
	char *told;               /* the holder that new_leader was last called with; NULL: none yet */
	bool leading;
	bool dead;        /* freed; only its memory is left */
	bool last_failed; /* the connection may be dead: the next request takes another */
	int64_t sent_ms;  /* of the write under way */
	int64_t valid_ms; /* while leading: the renew deadline */
	uint64_t seed;
	struct kube_call *call;
	struct kube_timer *try_timer, *deadline_timer;
	/* Release. */
	bool releasing;
	int64_t release_until_ms;
	void (*released)(void *user, const struct err *err);
	void *released_user;
};

static void try_now(void *user);

/* After each callback of the caller's: it may have ended or released the election. */
static bool is_over(const struct kube_lease *lease)
{
	return lease->dead || lease->releasing;
}

/* --- Telling ---------------------------------------------------------------------------------------------------------
 */
static void stop_leading(struct kube_lease *lease)
{
	if (!lease->leading)
		return;
	lease->leading = false;
	kube_timer_cancel(TAKE_PTR(lease->deadline_timer));
	if (lease->options.stopped_leading)
		lease->options.stopped_leading(lease->options.user);
}

static void on_deadline(void *user)
{
	struct kube_lease *lease = user;

	lease->deadline_timer = NULL;
	stop_leading(lease);
}

/* Compares the renew deadline with the clock: after a process was frozen, its timers fire late. */
static void check_deadline(struct kube_lease *lease)
{
	if (lease->leading && clock_now_ms() >= lease->valid_ms)
		stop_leading(lease);
}

static void report_lease_holder(struct kube_lease *lease)
{
	const char *holder = lease->state.exists ? lease->state.record.holder : "";

	if (lease->told && strcmp(lease->told, holder) == 0)
		return;
	/* No holder before and none now is not a change. */
	if (!lease->told && !holder[0])
		return;
	free(lease->told);
	lease->told = xstrdup(holder);
	if (lease->options.new_leader)
		lease->options.new_leader(lease->options.user, lease->told);
}

/* The server's record. Another living holder ends our leadership before its name is reported. */
static void observe(struct kube_lease *lease, const json_t *object)
{
	const char *holder = lease->state.record.holder;

	lease_see(&lease->state, object, clock_now_ms());
	json_decref(lease->object);
	lease->object = json_deep_copy(object);
	if (*holder && strcmp(holder, lease->identity) != 0)
		stop_leading(lease);
	if (!is_over(lease))
		report_lease_holder(lease);
}

static void observe_absence(struct kube_lease *lease)
{
	lease->state = (struct lease_state){.predecessor = lease->state.predecessor};
	json_decref(lease->object);
	lease->object = NULL;
}

/* --- Requests --------------------------------------------------------------------------------------------------------
 */
static int64_t request_timeout(const struct kube_lease *lease)
{
	int64_t half_ms = lease->options.renew_deadline_ms / 2;
	int64_t timeout_ms = half_ms > 1000 ? half_ms : 1000;
	int64_t left_ms = lease->release_until_ms - clock_now_ms();

	if (lease->releasing && left_ms < timeout_ms)
		return left_ms > 1 ? left_ms : 1;
	return timeout_ms;
}

static void send(struct kube_lease *lease, const char *method, const char *path, const json_t *body, kube_done_fn *done)
{
	struct kube_call_options options = {
		.method = method,
		.path = path,
		.content = KUBE_JSON,
		.body = body,
		.timeout_ms = request_timeout(lease),
		.retries = KUBE_RETRIES,
		.use = KUBE_USE_LEASE,
		.fresh_connection = lease->last_failed,
	};

	lease->sent_ms = clock_now_ms();
	lease->call = kube_start(lease->kube, &options, done, lease);
}

static void write_record(struct kube_lease *lease, const struct lease_record *record, bool create, kube_done_fn *done)
{
	_cleanup_json_ json_t *body =
		lease_record_encode(record, create ? NULL : lease->object, lease->namespace, lease->name);

	send(lease, create ? "POST" : "PUT", create ? lease->collection : lease->path, body, done);
}

/* --- Acquire and renew -----------------------------------------------------------------------------------------------
 */
static void schedule(struct kube_lease *lease)
{
	int64_t period_ms = lease->options.retry_period_ms;
	int64_t now_ms = clock_now_ms();
	/* A leader counts from when it sent the request, as its deadline does: if answers are slow, pauses after them
	 * would use up the time to renew. */
	int64_t from_ms = lease->leading ? lease->sent_ms : now_ms;
	int64_t at_ms = from_ms + period_ms;
	int64_t expires_ms = lease_expires_ms(&lease->state, lease->identity);

	/* Waiting processes spread out, so that they do not all try to take a free Lease at once. */
	if (!lease->leading) {
		if (expires_ms > now_ms && expires_ms < at_ms)
			at_ms = expires_ms;
		at_ms += (int64_t)(random_next(&lease->seed) % (uint64_t)(period_ms / 5 + 1));
	}
	lease->try_timer = kube_timer_start(lease->kube, at_ms, try_now, lease);
}

static void held(struct kube_lease *lease, const json_t *object)
{
	int64_t valid_ms = lease->sent_ms + lease->options.renew_deadline_ms;
	struct err lost;

	if (FAILPOINT(LEASE_RENEWED, &lost) < 0)
		return;
	lease->last_failed = false;
	observe(lease, object);
	/* A response that took so long (the process was frozen) does not count. */
	if (is_over(lease) || clock_now_ms() >= valid_ms || strcmp(lease->state.record.holder, lease->identity) != 0)
		return;
	lease->valid_ms = valid_ms;
	kube_timer_cancel(lease->deadline_timer);
	lease->deadline_timer = kube_timer_start(lease->kube, valid_ms, on_deadline, lease);
	if (lease->leading)
		return;
	lease->leading = true;
	if (lease->options.started_leading)
		lease->options.started_leading(lease->options.user);
}

static bool began(struct kube_lease *lease, const struct err *err)
{
	lease->call = NULL;
	lease->last_failed = err && err_is_transient(err) && err->code < 400;
	check_deadline(lease);
	return !is_over(lease);
}

static void on_written(void *user, const json_t *object, const struct err *err)
{
	struct kube_lease *lease = user;

	if (!began(lease, err))
		return;
	if (object)
		held(lease, object);
	if (!is_over(lease))
		schedule(lease);
}

static void on_read(void *user, const json_t *object, const struct err *err)
{
	struct kube_lease *lease = user;
	enum lease_action action;

	if (!began(lease, err))
		return;
	if (object)
		observe(lease, object);
	else if (err->kind == ERR_NOT_FOUND)
		observe_absence(lease);
	if (is_over(lease))
		return;
	if (!object && err->kind != ERR_NOT_FOUND) {
		schedule(lease);
		return;
	}
	action = lease_step(&lease->state, lease->identity, lease->options.duration_ms, clock_now_ms(), clock_wall_us(),
			    &lease->next);
	if (action == LEASE_WAIT)
		schedule(lease);
	else
		write_record(lease, &lease->next, action == LEASE_CREATE, on_written);
}

static void begin_get(struct kube_lease *lease)
{
	send(lease, "GET", lease->path, NULL, on_read);
}

/* The answer on the fast path. After any failure the slow path follows: the record may have been changed or removed. */
static void on_renewed(void *user, const json_t *object, const struct err *err)
{
	struct kube_lease *lease = user;

	if (!began(lease, err))
		return;
	if (!object) {
		begin_get(lease);
		return;
	}
	held(lease, object);
	if (!is_over(lease))
		schedule(lease);
}

static bool holds_by_the_record(const struct lease_state *state, const char *identity, int64_t now_ms)
{
	return state->exists && strcmp(state->record.holder, identity) == 0 &&
	       state->observed_ms + state->record.duration_seconds * 1000 > now_ms;
}

static void try_now(void *user)
{
	struct kube_lease *lease = user;

	lease->try_timer = NULL;
	check_deadline(lease);
	if (is_over(lease))
		return;
	if (!holds_by_the_record(&lease->state, lease->identity, clock_now_ms())) {
		begin_get(lease);
		return;
	}
	(void)lease_step(&lease->state, lease->identity, lease->options.duration_ms, clock_now_ms(), clock_wall_us(),
			 &lease->next);
	write_record(lease, &lease->next, false, on_renewed);
}

/* --- Release ---------------------------------------------------------------------------------------------------------
 */
static void release_get(void *user);

static void end_release(struct kube_lease *lease, const struct err *err)
{
	void (*released)(void *user, const struct err *err) = lease->released;

	lease->released = NULL;
	if (released)
		released(lease->released_user, err);
}

static void release_again(struct kube_lease *lease, const struct err *err)
{
	int64_t at_ms = clock_now_ms() + 100;

	if (at_ms >= lease->release_until_ms || (err->kind != ERR_CONFLICT && !err_is_transient(err))) {
		end_release(lease, err);
		return;
	}
	lease->try_timer = kube_timer_start(lease->kube, at_ms, release_get, lease);
}

static void on_release_written(void *user, const json_t *object, const struct err *err)
{
	struct kube_lease *lease = user;

	lease->call = NULL;
	lease->last_failed = !object;
	if (object)
		end_release(lease, NULL);
	else
		release_again(lease, err);
}

static void on_release_read(void *user, const json_t *object, const struct err *err)
{
	struct kube_lease *lease = user;
	struct lease_record record, released;

	lease->call = NULL;
	lease->last_failed = !object;
	if (!object && err->kind != ERR_NOT_FOUND) {
		release_again(lease, err);
		return;
	}
	if (object)
		lease_record_decode(object, &record);
	if (!object || strcmp(record.holder, lease->identity) != 0) {
		end_release(lease, NULL);
		return;
	}
	json_decref(lease->object);
	lease->object = json_deep_copy(object);
	lease_released(&record, clock_wall_us(), &released);
	write_record(lease, &released, false, on_release_written);
}

static void release_get(void *user)
{
	struct kube_lease *lease = user;

	lease->try_timer = NULL;
	send(lease, "GET", lease->path, NULL, on_release_read);
}

static void release_nothing(void *user)
{
	struct kube_lease *lease = user;

	lease->try_timer = NULL;
	end_release(lease, NULL);
}

void kube_lease_release(struct kube_lease *lease, void (*done)(void *user, const struct err *err), void *user)
{
	/* A write may be under way and still succeed, so ask the server whether we hold the Lease, unless we never
	 * tried to. */
	bool wrote = lease->call || (lease->state.exists && strcmp(lease->state.record.holder, lease->identity) == 0);

	assert(!lease->releasing);
	lease->releasing = true;
	lease->leading = false;
	lease->released = done;
	lease->released_user = user;
	lease->release_until_ms = clock_now_ms() + lease->options.renew_deadline_ms;
	kube_cancel(TAKE_PTR(lease->call));
	kube_timer_cancel(TAKE_PTR(lease->try_timer));
	kube_timer_cancel(TAKE_PTR(lease->deadline_timer));
	lease->try_timer = kube_timer_start(lease->kube, 0, wrote ? release_get : release_nothing, lease);
}

/* --- Life ------------------------------------------------------------------------------------------------------------
 */
static int check_options(const struct kube_lease_options *options, struct err *err)
{
	if (options->retry_period_ms <= 0 || options->renew_deadline_ms * 10 <= options->retry_period_ms * 12 ||
	    options->duration_ms <= options->renew_deadline_ms)
		return err_set(
			err, ERR_INVALID,
			"leader election: lease duration %lld ms, renew deadline %lld ms, retry period %lld ms: each "
			"must be longer than the next, the renew deadline more than 1.2 times the retry period",
			(long long)options->duration_ms, (long long)options->renew_deadline_ms,
			(long long)options->retry_period_ms);
	if (!options->identity || !options->identity[0] ||
	    strlen(options->identity) >= sizeof(((struct lease_record *)0)->holder))
		return err_set(err, ERR_INVALID, "leader election: the identity must have 1 to %zu bytes",
			       sizeof(((struct lease_record *)0)->holder) - 1);
	if (!options->namespace || !options->namespace[0] || !options->name || !options->name[0])
		return err_set(err, ERR_INVALID, "leader election: the Lease needs a namespace and a name");
	return 0;
}

int kube_lease_start(struct kube *kube, const struct kube_lease_options *options, struct kube_lease **ret,
		     struct err *err)
{
	struct kube_lease *lease;

	if (check_options(options, err) < 0)
		return -1;
	lease = xcalloc(1, sizeof(*lease));
	lease->kube = kube;
	lease->options = *options;
	lease->namespace = xstrdup(options->namespace);
	lease->name = xstrdup(options->name);
	lease->identity = xstrdup(options->identity);
	lease->state.predecessor = lease->predecessor = xstrdup_or_null(options->predecessor);
	lease->options.namespace = lease->namespace;
	lease->options.name = lease->name;
	lease->options.identity = lease->identity;
	lease->collection =
		kube_path("apis", "coordination.k8s.io", "v1", "namespaces", options->namespace, "leases", NULL);
	lease->path = kube_path("apis", "coordination.k8s.io", "v1", "namespaces", options->namespace, "leases",
				options->name, NULL);
	lease->seed = random_seed();
	lease->try_timer = kube_timer_start(kube, 0, try_now, lease);
	*ret = lease;
	return 0;
}

static void free_lease(void *ptr)
{
	struct kube_lease *lease = ptr;

	json_decref(lease->object);
	free(lease->namespace);
	free(lease->name);
	free(lease->identity);
	free(lease->predecessor);
	free(lease->path);
	free(lease->collection);
	free(lease->told);
	free(lease);
}

void kube_lease_free(struct kube_lease *lease)
{
	if (!lease || lease->dead)
		return;
	lease->dead = true;
	lease->leading = false;
	kube_cancel(TAKE_PTR(lease->call));
	kube_timer_cancel(TAKE_PTR(lease->try_timer));
	kube_timer_cancel(TAKE_PTR(lease->deadline_timer));
	kube_free_later(lease->kube, lease, free_lease);
}
