/* What lives as long as one call of sync_run (or of attempt_once): the options and the report.
 *
 * Any thread may use a run: its options do not change, the report and the metrics lock themselves, and the caller's
 * callbacks are called one at a time.
 */
#ifndef PGSYNC_SYNC_RUN_INT_H
#define PGSYNC_SYNC_RUN_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "conditions/report.h"
#include "meters/meters.h"
#include "recovery/landmarks.h"
#include "sync/sync.h"

struct run {
	const struct sync_options *options;
	const struct spec *spec;
	struct report report;
	struct meters *metrics;
	char *owner; /* the resource, "namespace/name": everything that is created names it */
	char *key;   /* of the checkpoint */
	int ca_fd;   /* the source's CA, as libpq reads it */
	char ca_path[32];
	pthread_mutex_t callbacks;
	/* Everything that was read from the server and may be in an index was committed before this position; 0: not
	 * known yet. Not kept up to date while a bootstrap reads. */
	_Atomic uint64_t horizon;
	struct landmarks landmarks; /* the stream thread's while it runs, otherwise the control thread's */
	struct err unsaved; /* why the position was not saved, more than once; NONE: it was. The control thread's */
	uint64_t given_up;  /* bytes that the slot retained when it was given up; 0: it was not. The control thread's */
};

int run_init(struct run *run, const struct sync_options *options, struct err *err) WARN_UNUSED;
void run_release(struct run *run);
/* Hands the report to the caller. */
void run_publish(struct run *run);
void run_event(struct run *run, bool warning, enum reason reason, const char *action, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

#endif
