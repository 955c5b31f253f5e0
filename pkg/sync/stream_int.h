/* The stream of an attempt. */
#ifndef PGSYNC_SYNC_STREAM_INT_H
#define PGSYNC_SYNC_STREAM_INT_H

#include "sync/attempt_int.h"

enum { STREAM_CAUGHT_UP = 1, STREAM_AGAIN = 2 };
/* Runs until stopped (0), caught up (STREAM_CAUGHT_UP), an attempt with a new plan is needed (STREAM_AGAIN), or failed.
 * Takes the connection. */
int stream_run_take(struct attempt *at, struct pg *replication, struct err *err) WARN_UNUSED;

#endif
