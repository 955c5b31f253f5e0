/* The status of a resource, composed from what its worker reports and what the operator knows: pure.
 *
 * The table at the top of status.c says what each reconcile state means for the status. What a worker reports about
 * source, sink and stream is only true while it runs: without a worker these conditions become Unknown and the lag is
 * left out, while what outlives it (the bootstrap, the slot's name, the indices) stays. */
#ifndef PGSYNC_OPERATOR_STATUS_INT_H
#define PGSYNC_OPERATOR_STATUS_INT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/reason.h"
#include "conditions/conditions.h"
#include "operator/reconcile_int.h"

/* Why something is wrong; zero: it is not. */
struct status_cause {
	enum reason reason;
	const char *message;
};

struct status_input {
	const json_t
		*previous;  /* the status that was last written, or NULL: for times, and for what outlives a worker */
	int64_t generation; /* of the resource, as far as it is observed */
	enum reconcile_state state;
	struct status_cause invalid; /* what is wrong with the inputs */
	struct status_cause exit;    /* how the last worker ended, or why its cleanup failed */
	struct status_cause refused; /* why something could not be written */
	const json_t *report;        /* the newest report of the worker, or of the last one if that refused its inputs;
				      * or NULL */
	bool checked;                /* the report is that of a check of these inputs, which found everything */
	bool suspend;
	const json_t *worker;  /* status.worker, or NULL: as before */
	const char *lease;     /* our own, "namespace/name"; NULL: none */
	const char *contender; /* that of another operator which stands back, up to a blank; NULL: none */
	int64_t wall_us;
};

/* The resource is being deleted, and a cleanup has failed or is impossible. */
bool status_is_cleanup_failure(enum reconcile_state state);

/* A new reference. */
json_t *status_compose(const struct status_input *in);

enum status_change {
	STATUS_SAME,
	STATUS_COUNTERS, /* positions and sizes, which change constantly under load */
	STATUS_NUMBERS,  /* lag, progress, counts, wording */
	STATUS_TURN,     /* a condition, the phase, a name: what a client may be waiting for */
};
/* old may be NULL. */
enum status_change status_compare(const json_t *old, const json_t *new);

/* The fields of `sent` that are not in `stored`, "status.a.b, status.c"; NULL: none. Caller frees. */
char *status_missing(const json_t *sent, const json_t *stored);

/* When a change may be written, given the time of the last write (0: never): transitions at once, the rest
 * rate-limited. */
int64_t status_due_ms(enum status_change change, int64_t last_write_ms);

/* The condition of that type in a status or report, or NULL. Borrowed. */
const json_t *status_condition(const json_t *status, enum condition_type type);
bool status_condition_is(const json_t *status, enum condition_type type, enum condition_status expected);

#endif
