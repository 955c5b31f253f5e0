/* Recovery: from the current state to where the stream can start. Every attempt begins with it.
 *
 * It looks at checkpoint, slot, server, publication, catalog and indices, asks recovery_decide what to do, and does
 * it. Each step is durable before the next one relies on it, and may be repeated after a crash. For the thread that
 * owns the attempt.
 */
#ifndef PGSYNC_SYNC_RECOVER_INT_H
#define PGSYNC_SYNC_RECOVER_INT_H

#include "sync/attempt_int.h"

/* Brings replica identities, publication, slot, checkpoint, indices and model to where the stream can start: resumes,
 * or begins new generations. *ret is the connection for the stream. */
int recover_run(struct attempt *at, struct pg **ret, struct err *err) WARN_UNUSED;
/* Decides in the same way, and changes nothing: adds what recover_run would do to `changes`, and to the findings, as an
 * error, why it would refuse. */
int recover_plan(struct attempt *at, struct findings *findings, struct findings *changes, struct err *err) WARN_UNUSED;
/* Records the current partitions in the checkpoint. Call it once everything that model.partition_changes asks for is
 * durable. */
int recover_adopt_partitions(struct attempt *at, struct err *err) WARN_UNUSED;

#endif
