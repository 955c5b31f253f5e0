/* Wiring, the loop, leadership, and the end. */
#include "operator/operator.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

enum {
	TICK_MS = 5000,
	QUEUE_BASE_MS = 5,
	QUEUE_CAP_MS = 30 * 1000,
	STOPPING_MS = 2 * WORKER_GRACE_MS,
	FINAL_STATUS_MS = 2000,
	RELEASING_MS = 3000,
	FINAL_STATUSES_AT_ONCE = 32,
	AWAY_MS = 1000,
	REFUSED_MS = 5000,
	LISTING_MS = 200,
	RETIRE_STEP_MS = 100,
	STEPS = 8, /* actions of one reconcile */
	HOST_BYTES = 256,
};

/* --- reconciling */

static void end_key(struct resource *r, enum reconcile_result result)
{
	workqueue_forget(r->op->queue, r->key);
	operator_reconciled(r, result);
}

static void forget_resource(struct resource *r)
{
	struct operator_ *op = r->op;
	_cleanup_free_ char *key = xstrdup(r->key);

	if (r->inputs.verifier) {
		resource_end_verification(r);
		end_key(r, RECONCILE_REQUEUE);
		return;
	}
	log_info("operator", "the resource is gone", KV_STR("resource", key));
	resource_forget_refusal(r);
	operator_metrics_forget(r);
	end_key(r, RECONCILE_SUCCESS);
	(void)map_removes(op->resources, key);
	/* Another PgSync may take its place. */
	if (op->options->max_pgsyncs)
		resource_enqueue_all(op);
}

static void report_orphans(struct resource *r)
{
	_cleanup_free_ char *sql = resource_orphan_sql(r);

	if (r->worker.outcome != OUTCOME_CLEANED && *sql)
		resource_event(r, true, REASON_SLOT_ORPHANED, "Delete",
			       "deleted without a cleanup; run this in the source database: %s", sql);
}

static enum claim claim_of(const struct resource *r)
{
	if (r->op->options->agent)
		return resource_is_elsewhere(r) ? CLAIM_OTHERS : CLAIM_OURS;
	switch (operator_peer(r->op, r->cache.claim)) {
	case PEER_ALIVE:
		return CLAIM_OTHERS;
	case PEER_UNCLEAR:
		return CLAIM_UNCLEAR;
	case PEER_NONE:
	case PEER_GONE:
		break;
	}
	return CLAIM_OURS;
}

static struct decision decide_resource(struct resource *r)
{
	struct desired desired = {
		.presence = r->cache.presence,
		.claim = claim_of(r),
		.finalizer = r->cache.finalizer || r->op->options->agent,
		.force_delete = r->cache.force_delete,
		.frozen = r->cache.frozen,
		.namespace_ends = r->cache.namespace_ends,
		.over_limit = resource_is_over_limit(r),
		.suspend = r->cache.suspend,
		/* A plan is made here: it takes a moment. */
		.pod = r->op->pods && r->cache.in_pod && r->cache.presence == PRESENCE_ALIVE && !r->cache.suspend &&
		       !r->cache.plan,
		.plan = r->cache.plan,
		.inputs = r->inputs.verdict,
		.credentials_missing = r->inputs.problem && r->inputs.reason == REASON_CREDENTIALS_NOT_FOUND,
		.verify_failures = r->inputs.restarts.failures,
		.hash = r->inputs.verdict >= INPUTS_CHECKABLE ? r->inputs.hash : "",
	};
	struct observed observed = {
		.leading = r->op->leading,
		.worker = !r->worker.process                          ? WORKER_NONE
			  : supervisor_is_stopping(r->worker.process) ? WORKER_STOPPING
								      : WORKER_RUNNING,
		.task = r->worker.task,
		.hash = r->worker.hash,
		.planning = r->worker.planning,
		.newest_spec = r->worker.generation == r->cache.generation,
		.silent_ms = r->worker.process ? supervisor_silence_ms(r->worker.process, clock_now_ms()) : 0,
		.reported = r->worker.report != NULL,
		.outcome = r->worker.outcome,
		.failures = r->worker.restarts.failures,
		.not_before_ms = r->worker.restarts.not_before_ms,
		.now_ms = clock_now_ms(),
	};

	desired.pod = desired.pod && !desired.over_limit;
	resource_pod_observe(r, &observed);
	return reconcile_decide(&desired, &observed);
}

/* A refused write is shown in the status before it is tried again; if a worker runs, its state is shown instead. */
static bool show_refusal(struct resource *r)
{
	if (!r->writer.refused || r->writer.refusal_shown || r->worker.process)
		return false;
	r->writer.refusal_shown = true;
	resource_write_status(r, STATE_WRITE_REFUSED);
	/* The answer to this write may be the last event about the resource. */
	workqueue_add_after(r->op->queue, r->key, clock_now_ms(), REFUSED_MS);
	return true;
}

/* True: done; false: decide again. */
static bool act(struct resource *r, struct decision d)
{
	switch (d.action) {
	case ACTION_START:
		resource_start(r, PROTOCOL_TASK_RUN);
		return false;
	case ACTION_START_CHECK:
		resource_start(r, PROTOCOL_TASK_CHECK);
		return false;
	case ACTION_START_CLEANUP:
	case ACTION_START_LAST_CLEANUP:
		r->worker.leaves_unreachable = d.action == ACTION_START_LAST_CLEANUP;
		resource_start(r, PROTOCOL_TASK_CLEANUP);
		return false;
	case ACTION_STOP:
		resource_stop(r);
		return false;
	case ACTION_KILL:
		resource_kill(r);
		return true;
	case ACTION_ADD_FINALIZER:
		if (show_refusal(r))
			return true;
		resource_write_finalizer(r, true);
		return true;
	case ACTION_REMOVE_FINALIZER:
		if (show_refusal(r))
			return true;
		report_orphans(r);
		resource_write_finalizer(r, false);
		return true;
	case ACTION_PLACE:
		if (show_refusal(r))
			return true;
		resource_place(r);
		return true;
	case ACTION_UNPLACE:
		resource_unplace(r);
		return true;
	case ACTION_FORGET:
		forget_resource(r);
		return true;
	case ACTION_NONE:
		break;
	}
	return true;
}

static void reconcile(struct resource *r)
{
	struct decision d = {0};
	int64_t now_ms = clock_now_ms();

	/* The oldest PgSyncs are known only once all have been listed. */
	if (r->op->options->max_pgsyncs && !namespaces_are_known(r->op)) {
		workqueue_add_after(r->op->queue, r->key, now_ms, LISTING_MS);
		end_key(r, RECONCILE_REQUEUE_AFTER);
		return;
	}
	if (r->cache.presence != PRESENCE_GONE && r->inputs.stale && r->op->leading)
		resource_refresh_inputs(r);
	for (int i = 0; i < STEPS; i++) {
		d = decide_resource(r);
		if (act(r, d))
			break;
	}
	if (d.action == ACTION_KILL)
		end_key(r, RECONCILE_SUCCESS); /* its end adds the key to the queue again */
	if (d.action != ACTION_NONE)
		return;
	if (d.state != STATE_UNKNOWN)
		resource_nothing_to_write(r);
	/* A suspension resets the back-off. */
	if (d.state == STATE_SUSPENDED)
		restarts_reset(&r->worker.restarts);
	/* An edit that does not change the inputs needs no restart to be applied. */
	if (d.applied)
		r->worker.generation = r->cache.generation;
	if (status_is_cleanup_failure(d.state))
		namespaces_ask_end(r);
	if (d.again_ms)
		workqueue_add_after(r->op->queue, r->key, now_ms, d.again_ms - now_ms);
	if (d.state == STATE_STANDING_BACK && !r->op->options->agent)
		resource_contend(r);
	else if (d.state == STATE_IN_POD)
		resource_show_pod(r);
	else if (d.state == STATE_STANDING_BACK || d.state == STATE_UNKNOWN ||
		 (r->cache.presence == PRESENCE_DELETING && !r->cache.finalizer))
		end_key(r, RECONCILE_SUCCESS);
	else
		resource_write_status(r, d.state);
}

/* After a freeze (SIGSTOP, a suspended machine) another leader may have taken over: timers and answers come first. */
static bool up_to_date(const struct operator_ *op)
{
	return clock_now_ms() - op->polled_ms < AWAY_MS;
}

static void run_queue(struct operator_ *op)
{
	operator_verify_waiting(op);
	while (operator_may_write(op) && up_to_date(op)) {
		_cleanup_free_ char *key = workqueue_get(op->queue, clock_now_ms());
		struct resource *r = key ? map_gets(op->resources, key) : NULL;
		int64_t start_us = clock_now_us();

		if (!key)
			return;
		if (!r) {
			workqueue_forget(op->queue, key);
			workqueue_done(op->queue, key, clock_now_ms());
			continue;
		}
		reconcile(r);
		metric_observe(op->metrics.reconcile_seconds, (const char *const[]){"pgsync", NULL},
			       (double)(clock_now_us() - start_us) / 1e6);
	}
}

/* --- news from the API server */

void operator_resource_changed(struct operator_ *op, const char *key, const json_t *object)
{
	struct resource *r = map_gets(op->resources, key);

	if (!r) {
		r = resource_new(op, key);
		map_puts(op->resources, key, r);
	}
	if (resource_update(r, object))
		resource_enqueue(r);
}

void operator_resource_deleted(struct operator_ *op, const char *key)
{
	struct resource *r = map_gets(op->resources, key);

	if (!r)
		return;
	r->cache.presence = PRESENCE_GONE;
	resource_enqueue(r);
}

static bool mark_if_held(void *user, const char *key, size_t len, void *value)
{
	struct resource *r = value;

	UNUSED(key);
	UNUSED(len);
	if (refs_contain(&r->inputs.refs, user)) {
		resource_inputs_changed(r);
		resource_enqueue(r);
	}
	return true;
}

static void on_ref_changed(void *user, const struct ref *ref)
{
	struct operator_ *op = user;

	map_each(op->resources, mark_if_held, (void *)ref);
}

/* --- leadership */

static bool stop_each(void *user, const char *key, size_t len, void *value)
{
	UNUSED(user);
	UNUSED(key);
	UNUSED(len);
	resource_stop(value);
	resource_end_verification(value);
	return true;
}

static bool cancel_each(void *user, const char *key, size_t len, void *value)
{
	UNUSED(user);
	UNUSED(key);
	UNUSED(len);
	resource_cancel_write(value);
	return true;
}

static void start_leading(struct operator_ *op)
{
	log_info("operator", "leading", KV_STR("identity", op->identity));
	op->leading = true;
	console_set_leading(op->console, true);
	resource_enqueue_all(op);
}

static void on_started_leading(void *user)
{
	struct operator_ *op = user;

	if (op->options->retire)
		retire_begin(op);
	else
		start_leading(op);
}

static void on_stopped_leading(void *user)
{
	struct operator_ *op = user;

	op->leading = false;
	retire_suspend(op);
	/* These writes were decided on while no other operator could write, and may be waiting for a Retry-After. */
	map_each(op->resources, cancel_each, NULL);
	operator_metrics_forget_all(op);
	log_warn("operator", "lost the Lease; workers continue until another leader is seen, retrying",
		 KV_U64("workers", supervisor_count(op->supervisor)));
}

static void on_new_leader(void *user, const char *identity)
{
	struct operator_ *op = user;

	if (!*identity || strcmp(identity, op->identity) == 0)
		return;
	log_info("operator", "another operator leads", KV_STR("leader", identity),
		 KV_U64("workers", supervisor_count(op->supervisor)));
	map_each(op->resources, stop_each, NULL);
}

/* --- the end */

void operator_enter_phase(struct operator_ *op, enum operator_phase phase, int64_t limit_ms)
{
	op->phase = phase;
	op->phase_until_ms = clock_now_ms() + limit_ms;
}

static void on_released(void *user, const struct err *err)
{
	struct operator_ *op = user;

	if (err)
		log_warn("operator", "releasing the Lease failed, skipping", KV_ERR(err));
	op->phase = OPERATOR_DONE;
}

/* Otherwise, the status of a stopped operator's resources would still report that data flows. */
static bool write_final_status(void *user, const char *key, size_t len, void *value)
{
	struct operator_ *op = user;
	struct resource *r = value;

	UNUSED(key);
	UNUSED(len);
	if (r->worker.outcome != OUTCOME_OPERATOR_ENDS || r->writer.call || r->cache.presence == PRESENCE_GONE)
		return true;
	r->worker.outcome = OUTCOME_NONE;
	r->writer.last_ms = 0;
	resource_allow_writes(r);
	resource_write_status(r, op->options->agent ? STATE_POD_STOPPED : STATE_STOPPED);
	return op->calls < FINAL_STATUSES_AT_ONCE;
}

static void release_lease(struct operator_ *op)
{
	operator_enter_phase(op, OPERATOR_RELEASING, RELEASING_MS);
	/* Those who would take it are to end, and begin again only if they do not. */
	if (op->lease && !op->options->retire)
		kube_lease_release(op->lease, on_released, op);
	else
		op->phase = OPERATOR_DONE;
}

static void begin_end(struct operator_ *op)
{
	log_info("operator", "stopping", KV_U64("workers", supervisor_count(op->supervisor)));
	operator_enter_phase(op, OPERATOR_STOPPING, STOPPING_MS);
	map_each(op->resources, stop_each, NULL);
}

static void advance_end(struct operator_ *op)
{
	bool late = clock_now_ms() >= op->phase_until_ms;

	if (op->phase == OPERATOR_STOPPING && (supervisor_count(op->supervisor) == 0 || late))
		operator_enter_phase(op, OPERATOR_FINAL_STATUS, op->leading ? FINAL_STATUS_MS : 0);
	if (op->phase == OPERATOR_FINAL_STATUS) {
		if (op->leading && op->calls < FINAL_STATUSES_AT_ONCE)
			map_each(op->resources, write_final_status, op);
		if (op->calls == 0 || clock_now_ms() >= op->phase_until_ms)
			release_lease(op);
	} else if (op->phase == OPERATOR_RELEASING && late) {
		op->phase = OPERATOR_DONE;
	}
}

static void read_signals(struct operator_ *op)
{
	struct signalfd_siginfo info;

	while (read(op->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		log_info("operator", "signal", KV_STR("name", strsignal((int)info.ssi_signo)));
		if (op->phase == OPERATOR_RUNNING)
			begin_end(op);
	}
}

/* --- the loop */

static int timeout_ms(const struct operator_ *op)
{
	int64_t now_ms = clock_now_ms(), next_ms = now_ms + TICK_MS;
	int64_t queue_ms = operator_may_write(op) ? workqueue_next_ms(op->queue) : -1;
	int64_t kill_ms = supervisor_next_ms(op->supervisor);

	if (queue_ms >= 0 && queue_ms < next_ms && op->phase == OPERATOR_RUNNING)
		next_ms = queue_ms;
	if (op->options->retire && op->phase == OPERATOR_RUNNING)
		next_ms = now_ms + RETIRE_STEP_MS;
	if (kill_ms >= 0 && kill_ms < next_ms)
		next_ms = kill_ms;
	if (op->phase != OPERATOR_RUNNING && op->phase_until_ms < next_ms)
		next_ms = op->phase_until_ms;
	return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

struct waiting {
	struct pollfd *fds;
	struct curl_waitfd *curl_fds;
	size_t n, alloc, curl_alloc;
};

static void waiting_release(struct waiting *w)
{
	free(w->fds);
	free(w->curl_fds);
}

/* Waits for libcurl's descriptors and ours together. */
static int wait_once(struct operator_ *op, struct waiting *w, struct err *err)
{
	w->n = 0;
	supervisor_poll_fds(op->supervisor, &w->fds, &w->n, &w->alloc);
	ALLOC_GROW(w->fds, w->n + 1, w->alloc);
	w->fds[w->n++] = (struct pollfd){.fd = op->signal_fd, .events = POLLIN};
	ALLOC_GROW(w->curl_fds, w->n, w->curl_alloc);
	for (size_t i = 0; i < w->n; i++)
		w->curl_fds[i] = (struct curl_waitfd){.fd = w->fds[i].fd,
						      .events = w->fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT
											   : CURL_WAIT_POLLIN};
	if (kube_poll(op->kube, w->curl_fds, (unsigned)w->n, timeout_ms(op), err) < 0)
		return err_wrap(err, "waiting for the API server");
	op->polled_ms = clock_now_ms();
	/* libcurl does not report hang-ups, such as the end of a worker, so poll again without waiting. */
	while (poll(w->fds, w->n, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int operator_run(struct operator_ *op, struct err *err)
{
	_cleanup_(waiting_release) struct waiting w = {0};

	if (!op->lease)
		start_leading(op);
	while (op->phase != OPERATOR_DONE) {
		operator_metrics_tick(op);
		if (op->phase == OPERATOR_RUNNING && op->options->retire)
			retire_advance(op);
		else if (op->phase == OPERATOR_RUNNING)
			run_queue(op);
		if (wait_once(op, &w, err) < 0)
			return -1;
		read_signals(op);
		supervisor_dispatch(op->supervisor, w.fds, w.n, clock_now_ms());
		if (op->phase != OPERATOR_RUNNING)
			advance_end(op);
	}
	log_info("operator", "stopped");
	return op->options->retire ? retire_result(op, err) : 0;
}

/* --- wiring */

static int catch_signals(struct operator_ *op, struct err *err)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	/* Call it before the web thread starts, which inherits it. */
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(err, errno, "blocking signals");
	op->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return op->signal_fd < 0 ? err_errno(err, errno, "signalfd") : 0;
}

static int start_election(struct operator_ *op, const struct kube_config *config, struct err *err)
{
	const struct operator_options *o = op->options;
	struct kube_lease_options options = {
		.namespace = o->agent             ? o->namespaces[0]
			     : o->lease_namespace ? o->lease_namespace
						  : kube_config_namespace(config),
		.name = o->agent ? op->agent_lease : CONTROLLER,
		.identity = op->identity,
		/* Even a living operator has to give it up. */
		.predecessor = o->retire ? "" : op->predecessor,
		.duration_ms = o->lease_duration_ms,
		.renew_deadline_ms = o->renew_deadline_ms,
		.retry_period_ms = o->retry_period_ms,
		.started_leading = on_started_leading,
		.stopped_leading = on_stopped_leading,
		.new_leader = on_new_leader,
		.user = op,
	};

	if (!o->leader_elect)
		return 0;
	op->lease_name = xasprintf("%s/%s", options.namespace, options.name);
	return kube_lease_start(op->kube, &options, &op->lease, err);
}

static void name_ourselves(struct operator_ *op, char host[HOST_BYTES])
{
	uint64_t unique = random_seed();
	_cleanup_free_ char *without_uid = NULL;

	if (gethostname(host, HOST_BYTES) != 0)
		(void)snprintf(host, HOST_BYTES, "unknown");
	host[HOST_BYTES - 1] = '\0';
	without_uid = xasprintf("%s_", host);
	/* A container is started only after the one before it has ended. */
	if (op->options->pod_uid)
		op->predecessor = xasprintf("%s_%s_", host, op->options->pod_uid);
	op->identity =
		xasprintf("%s%016llx", op->predecessor ? op->predecessor : without_uid, (unsigned long long)unique);
	op->short_identity = xasprintf("%s/%04x", host, (unsigned)(unique & 0xffff));
}

/* One place is kept free for other resources. */
static unsigned writes_of_a_namespace(const struct operator_options *options)
{
	return options->max_concurrent_reconciles > 1 ? options->max_concurrent_reconciles - 1 : 1;
}

static void free_resource(void *ptr)
{
	resource_free(ptr);
}

static void start_supervisor(struct operator_ *op)
{
	_cleanup_free_ char *denied = operator_denied_egress(op->options->deny_egress, op->server);
	_cleanup_free_ char *credentials = operator_credentials(op);
	const char *const argv[] = {op->options->worker_program,
				    "worker",
				    "--log-level",
				    op->options->log_level,
				    "--log-format",
				    op->options->log_format,
				    "--deny-egress",
				    denied,
				    "--sandbox",
				    op->options->worker_sandbox,
				    credentials ? "--credentials" : NULL,
				    credentials,
				    NULL};

	op->supervisor = supervisor_new(argv);
}

int operator_new(const struct operator_options *options, struct operator_ **ret, struct err *err)
{
	_cleanup_(operator_freep) struct operator_ *op = xcalloc(1, sizeof(*op));
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct kube_config_options where = {.kubeconfig = options->kubeconfig, .context = options->context};
	char host[HOST_BYTES];
	_cleanup_free_ char *instance = NULL;
	const char *server;

	op->options = options;
	op->signal_fd = -1;
	name_ourselves(op, host);
	instance = xasprintf("%s-%s", CONTROLLER, host);
	if (kube_config_load(&where, &config, err) < 0 ||
	    kube_new(config, "pgsync-operator/" PGSYNC_VERSION " (linux)", &op->kube, err) < 0 ||
	    catch_signals(op, err) < 0)
		return -1;
	server = strstr(kube_config_server(config), "://");
	op->server = xstrdup(server ? server + 3 : kube_config_server(config));
	op->resources = map_new(free_resource);
	kube_keep_text(op->kube, OPERATOR_TEXTS);
	op->peers = peers_new();
	op->queue = workqueue_new(QUEUE_BASE_MS, QUEUE_CAP_MS, writes_of_a_namespace(options));
	op->refs = refs_new(op->kube, options->secret_label, on_ref_changed, op);
	if (options->agent)
		op->agent_lease = placement_name(strchr(options->agent, '/') + 1);
	start_supervisor(op);
	op->events = kube_events_new(op->kube, CONTROLLER, instance);
	operator_metrics_init(op);
	operator_metrics_tick(op);
	refs_mount(op->refs, options->mounts);
	namespaces_watch(op);
	pods_watch(op);
	if (start_election(op, config, err) < 0 || operator_listen(op, err) < 0)
		return -1;
	*ret = TAKE_PTR(op);
	return 0;
}

void operator_free(struct operator_ *op)
{
	if (!op)
		return;
	web_stop(op->web);
	web_stop(op->health);
	console_stop(op->console);
	waiting_stop(op->waiting);
	supervisor_free(op->supervisor);
	namespaces_release(op);
	pods_release(op);
	map_free(op->resources);
	map_free(op->tickets);
	map_free(op->peers);
	refs_free(op->refs);
	kube_lease_free(op->lease);
	kube_events_free(op->events);
	kube_free(op->kube);
	workqueue_free(op->queue);
	metrics_free(op->published.metrics);
	close_fdp(&op->signal_fd);
	free(op->server);
	free(op->identity);
	free(op->predecessor);
	free(op->short_identity);
	free(op->lease_name);
	free(op->agent_lease);
	free(op);
}
