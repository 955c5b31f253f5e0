/* The monitor: everything slow in a running attempt, apart from the stream.
 *
 * It runs in the control thread, which owns the attempt with its control connections and its checkpoint: slot and
 * index statistics, catalog checks, saves of the checkpoint, going live, deleting old generations. A slow search
 * engine or server delays the monitor, never the stream. */
#ifndef PGSYNC_SYNC_MONITOR_INT_H
#define PGSYNC_SYNC_MONITOR_INT_H

#include "sync/attempt_int.h"

enum monitor_end {
	MONITOR_RUNNING = 0,
	MONITOR_STOPPED,   /* as the caller of sync_run wanted */
	MONITOR_CAUGHT_UP, /* with until_caught_up */
	MONITOR_AGAIN,     /* an attempt with a new plan is needed */
	MONITOR_PLANNED,   /* spec.mode is Plan: everything was checked, and nothing was begun */
};

/* Starts the stream, fills generations that are not complete, and watches. Returns one of the above, negative when
 * something failed. Takes the connection. */
int monitor_run_take(struct attempt *at, struct pg *replication, struct err *err) WARN_UNUSED;

#endif
