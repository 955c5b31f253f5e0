/* Verifies the inputs of a worker, in a short-lived worker: a schema may take a second, and the loop has other
 * resources to serve. */
#include <string.h>

#include "base/log.h"
#include "operator/operator_int.h"

/* The most verifiers at once. After a start of the operator all resources are verified, and each verifier is a
 * process. */
enum { VERIFIERS = 4 };

/* --- their answers */

static void record_problem(struct resource *r, const struct protocol_verdict *verdict)
{
	r->inputs.reason = verdict->reason ? verdict->reason : REASON_INVALID_SPEC;
	if (!r->inputs.problem || strcmp(r->inputs.problem, verdict->problem) != 0)
		resource_event(r, true, r->inputs.reason, "Validate", "%s", verdict->problem);
	resource_replace_text(&r->inputs.problem, xstrdup(verdict->problem));
}

/* Fields that the API server accepted but this program does not know: the CRD is newer than the operator. */
static void record_remark(struct resource *r, const char *remark)
{
	if (*remark && (!r->inputs.remark || strcmp(r->inputs.remark, remark) != 0))
		resource_event(r, true, REASON_UNKNOWN_FIELD, "Validate",
			       "this operator is older than the CRD, and ignores what it does not know: %s", remark);
	resource_replace_text(&r->inputs.remark, xstrdup(remark));
}

static void take_verdict(struct resource *r, const struct protocol_verdict *verdict)
{
	static const enum inputs inputs[] = {
		[PROTOCOL_USABLE_NO] = INPUTS_INVALID,
		[PROTOCOL_USABLE_CHECK] = INPUTS_CHECKABLE,
		[PROTOCOL_USABLE_RUN] = INPUTS_VALID,
	};

	restarts_reset(&r->inputs.restarts);
	r->inputs.verdict = inputs[verdict->usable];
	record_remark(r, verdict->remark);
	if (r->inputs.verdict == INPUTS_VALID) {
		r->inputs.reason = REASON_NONE;
		resource_replace_text(&r->inputs.problem, NULL);
	} else {
		record_problem(r, verdict);
	}
}

static void on_verdict_message(void *user, const struct protocol_message *message)
{
	struct resource *r = user;

	if (message->kind != PROTOCOL_VERDICT || r->inputs.unwanted || r->inputs.stale)
		return;
	take_verdict(r, &message->verdict);
	resource_enqueue(r);
}

/* --- their end */

static void failed(struct resource *r, const char *why)
{
	r->inputs.stale = true;
	restarts_failed(&r->inputs.restarts, 0, clock_now_ms());
	r->worker.exit_reason = REASON_WORKER_NOT_STARTED;
	resource_replace_text(&r->worker.exit_message, xasprintf("cannot verify the spec: %s", why));
	log_error("operator", "cannot verify a resource, retrying", KV_STR("resource", r->key), KV_STR("error", why));
}

static void on_verifier_exited(void *user, const struct worker_exit *exit)
{
	struct resource *r = user;
	_cleanup_free_ char *how = xasprintf("the worker that verifies it ended with %s %d; see its log",
					     exit->signalled ? "signal" : "exit code", exit->code);

	r->inputs.verifier = NULL;
	r->op->verifiers--;
	if (r->inputs.verdict == INPUTS_UNVERIFIED && !r->inputs.unwanted && !r->inputs.stale)
		failed(r, how);
	resource_enqueue(r);
}

static void on_verifier_silent(void *user)
{
	struct resource *r = user;

	supervisor_kill(r->inputs.verifier);
}

/* --- starting and stopping */

void resource_end_verification(struct resource *r)
{
	if (!r->inputs.verifier || r->inputs.unwanted)
		return;
	r->inputs.unwanted = true;
	r->inputs.stale = true;
	supervisor_stop(r->inputs.verifier, clock_now_ms());
	supervisor_kill(r->inputs.verifier);
}

static bool find_first(void *user, const char *key, size_t len, void *value)
{
	struct resource **first = user, *r = value;

	UNUSED(key);
	UNUSED(len);
	if (r->inputs.ticket && (!*first || r->inputs.ticket < (*first)->inputs.ticket))
		*first = r;
	return true;
}

void operator_verify_waiting(struct operator_ *op)
{
	for (unsigned free = op->verifiers < VERIFIERS ? VERIFIERS - op->verifiers : 0; free && op->tickets; free--) {
		struct resource *first = NULL;

		map_each(op->resources, find_first, &first);
		if (!first) {
			map_free(TAKE_PTR(op->tickets));
			return;
		}
		op->served = first->inputs.ticket;
		first->inputs.ticket = 0;
		resource_enqueue(first);
	}
}

/* Each namespace has tickets one after another, beginning with those that are served now: so namespaces take turns,
 * however many PgSyncs of one of them wait. */
static uint64_t next_ticket(struct operator_ *op, const char *namespace)
{
	uintptr_t last, ticket;

	if (!op->tickets)
		op->tickets = map_new(NULL);
	last = (uintptr_t)map_gets(op->tickets, namespace);
	ticket = (last > op->served ? last : op->served) + 1;
	map_puts(op->tickets, namespace, (void *)ticket);
	return ticket;
}

/* Whether a verifier may be started now. A resource that has to wait is still stale, so it comes back here. */
static bool may_start(struct resource *r, int64_t now_ms)
{
	struct operator_ *op = r->op;
	int64_t wait_ms = r->inputs.restarts.not_before_ms - now_ms;

	if (wait_ms > 0) {
		workqueue_add_after(op->queue, r->key, now_ms, wait_ms);
		return false;
	}
	if (r->inputs.verifier)
		return false;
	if (op->verifiers < VERIFIERS)
		return true;
	if (!r->inputs.ticket)
		r->inputs.ticket = next_ticket(op, r->namespace);
	return false;
}

void resource_verify(struct resource *r)
{
	static const struct protocol_verdict nul = {
		.reason = REASON_INVALID_SPEC,
		.problem =
			"spec: contains a NUL character (\\u0000), which names and texts must not contain; remove it",
		.remark = ""};
	static const struct protocol_verdict no_pods = {
		.reason = REASON_NOT_SUPPORTED,
		.problem = "spec.worker.placement: Pod is not possible here, because the operator runs without "
			   "--worker-image (worker.pods.enabled of the chart); use Process",
		.remark = ""};
	struct operator_ *op = r->op;
	int64_t now_ms = clock_now_ms();
	struct worker_options options = {
		.name = r->key,
		.handlers = {.message = on_verdict_message, .silent = on_verifier_silent, .exited = on_verifier_exited},
		.user = r};
	struct err err;

	r->inputs.verdict = INPUTS_UNVERIFIED;
	resource_end_verification(r);
	r->inputs.stale = true;
	if (!may_start(r, now_ms))
		return;
	r->inputs.stale = r->inputs.unwanted = false;
	r->inputs.ticket = 0;
	if (r->cache.in_pod && !r->op->pods && !r->op->options->agent && r->cache.presence != PRESENCE_DELETING) {
		take_verdict(r, &no_pods);
		return;
	}
	if (r->cache.holds_nul) { /* workers get JSON without NULs */
		take_verdict(r, &nul);
		return;
	}
	options.input_take = resource_assignment(r, PROTOCOL_TASK_VERIFY);
	if (supervisor_start(op->supervisor, &options, now_ms, &r->inputs.verifier, &err) == 0) {
		op->verifiers++;
		return;
	}
	failed(r, err.msg);
	workqueue_add_after(op->queue, r->key, now_ms, r->inputs.restarts.not_before_ms - now_ms);
}
