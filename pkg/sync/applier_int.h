/* The applier: one thread that turns batches of dirty keys into documents, one batch at a time.
 *
 * The stream thread submits batches and gets empty ones back; everything else here belongs to the applier.
 */
#ifndef PGSYNC_SYNC_APPLIER_INT_H
#define PGSYNC_SYNC_APPLIER_INT_H

#include "apply/model.h"
#include "changes/batch.h"
#include "sessions/connector.h"
#include "sync/run_int.h"

struct applier;

/* wake_fd: an eventfd that is written to whenever the applier's state changed. */
int applier_start(const struct model *model, struct run *run, struct connector *connector, int wake_fd,
		  struct applier **ret, struct err *err) WARN_UNUSED;
/* Cancels the attempt if the applier is still working, and waits for the thread. */
void applier_stop(struct applier *a);
CLEANUP(struct applier, applier_stop);

/* True if the applier has nothing to do: everything submitted is durable. */
bool applier_idle(struct applier *a);
/* Submits a batch if the applier is idle: returns true, and *batch is an empty one. live: no generation is being filled
 * from here on. */
bool applier_submit(struct applier *a, struct batch **batch, bool live);
/* The LSN below which everything that was submitted is durable; 0: nothing yet. */
uint64_t applier_acked(struct applier *a);
/* Commit time of the oldest transaction not yet durable, 0: none. */
int64_t applier_oldest_us(struct applier *a);
/* Negative: the applier has failed with *err. 1: a new attempt is needed, because root tables were truncated (the plans
 * whose bits are set in *ret_plans have to be rebuilt), or because the catalog differs from that of the plans. */
int applier_check(struct applier *a, uint64_t *ret_plans, struct err *err) WARN_UNUSED;

#endif
