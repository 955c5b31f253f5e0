/* The status of a resource, composed from what the worker reports and what the operator knows: pure.
 *
 * What a worker says of source, sink and stream is only true while it runs. So without one, these conditions become
 * Unknown and the lag is left out, while facts that outlive it (the bootstrap, the slot's name, the indices) stay.
 */
#ifndef PGSYNC_OPERATOR_STATUS_INT_H
#define PGSYNC_OPERATOR_STATUS_INT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/reason.h"
#include "operator/reconcile_int.h"

struct status_input {
	const json_t *previous; /* the status as it was written last, or NULL: for times, and for facts that outlive a
				   worker */
	int64_t generation;     /* of the resource */
	enum situation situation;
	enum reason reason;  /* of the situation, where it has its own (BAD_INPUTS, BACKOFF, DELETE_…), or NONE */
	const char *message; /* the same, or NULL */
	enum reason problem_reason; /* what is wrong with the inputs, or NONE */
	const char *problem;        /* the same, or NULL */
	bool checks;                /* the report is about these inputs: of a worker that looks for more */
	const json_t *report;       /* the newest of the worker that runs, or of one that gave up; or NULL */
	bool running;               /* a worker with task run or check is alive, and may go on */
	bool ended;                 /* no worker process is left */
	int64_t worker_generation;  /* the generation that it was started for */
	bool suspend;
	const json_t *worker; /* status.worker, or NULL: as before */
	int64_t wall_us;
};

/* A new reference. */
json_t *status_compose(const struct status_input *in);

enum status_change {
	STATUS_SAME,
	STATUS_COUNTERS, /* positions and sizes, which move all the time under load */
	STATUS_NUMBERS,  /* lag, progress, counts, wording */
	STATUS_TURN,     /* a condition, the phase, a name: what somebody may be waiting for */
};
/* old may be NULL. */
enum status_change status_compare(const json_t *old, const json_t *new);

/* When a change may be written, given when the last write was (0: never): a turn at once, the rest rate-limited. */
int64_t status_due_ms(enum status_change change, int64_t last_write_ms);

/* The condition of that type in a status or report, or NULL. Borrowed. */
const json_t *status_condition(const json_t *status, const char *type);
bool status_condition_is(const json_t *status, const char *type, const char *expected);

#endif
