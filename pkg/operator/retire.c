/* The farewell of an operator that is about to be uninstalled.
 *
 * `helm uninstall` takes the operator's permissions away before its pods end, so it can no longer write that it has
 * stopped. This process comes first: it takes the Lease, whereupon the operators stop their workers and write nothing,
 * and writes the statuses that they would have written. It keeps the Lease when it ends: if the operators are not
 * uninstalled after all, one of them goes on when the Lease has expired.
 */
#include "base/log.h"
#include "operator/operator_int.h"

enum { RETIRE_MS = 40 * 1000 };

void retire_begin(struct operator_ *op)
{
	log_info("operator", "has taken the Lease, waiting for the operators to stop",
		 KV_STR("identity", op->identity));
	/* A leader learns of it when it renews the Lease, and a second period is for slow answers. */
	op->retire_ms = clock_now_ms() + 2 * op->options->retry_period_ms;
}

void retire_suspend(struct operator_ *op)
{
	op->retire_ms = 0;
}

/* What is suspended stays as it is, without an operator, too. */
static bool mark_retired(void *user, const char *key, size_t len, void *value)
{
	struct resource *r = value;

	UNUSED(user);
	UNUSED(key);
	UNUSED(len);
	/* Pods outlive the operator. */
	if (r->writer.status && !r->cache.suspend && !r->cache.was_in_pod &&
	    operator_peer(r->op, r->cache.claim) == PEER_NONE)
		r->worker.outcome = OUTCOME_OPERATOR_ENDS;
	return true;
}

void retire_advance(struct operator_ *op)
{
	int64_t now_ms = clock_now_ms();

	if (!op->phase_until_ms)
		op->phase_until_ms = now_ms + RETIRE_MS;
	if (now_ms >= op->phase_until_ms) {
		op->phase = OPERATOR_DONE;
		return;
	}
	if (!op->retire_ms || now_ms < op->retire_ms || !namespaces_are_known(op))
		return;
	log_info("operator", "writing that the operator has stopped", KV_U64("resources", map_size(op->resources)));
	op->leading = true;
	map_each(op->resources, mark_retired, NULL);
	operator_enter_phase(op, OPERATOR_FINAL_STATUS, RETIRE_MS);
}

static bool find_unwritten(void *user, const char *key, size_t len, void *value)
{
	const struct resource *r = value;
	const char **found = user;

	UNUSED(key);
	UNUSED(len);
	if (r->worker.outcome == OUTCOME_OPERATOR_ENDS || r->writer.refused || r->writer.not_before_ms)
		*found = r->key;
	return !*found;
}

int retire_result(const struct operator_ *op, struct err *err)
{
	const char *found = NULL;

	if (!op->leading)
		return err_set(err, ERR_TRANSIENT,
			       "could not take the Lease and list the PgSyncs within %d s; nothing was written",
			       RETIRE_MS / 1000);
	map_each(op->resources, find_unwritten, &found);
	return found ? err_set(err, ERR_TRANSIENT,
			       "the status of PgSync %s (and maybe others) was not written; see the log", found)
		     : 0;
}
