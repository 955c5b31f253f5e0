/* Lease objects (coordination.k8s.io/v1) as records, and back. */
#ifndef PGSYNC_KUBE_LEASE_INT_H
#define PGSYNC_KUBE_LEASE_INT_H

#include <stdbool.h>

#include <jansson.h>

#include "kube/kube.h"

/* Any object becomes a record, even one written by another program; missing fields are "" or 0. */
void lease_record_decode(const json_t *object, struct lease_record *ret);
/* The object to write; a new reference. `base` is the object that it replaces (its labels and the like stay), or NULL.
 */
json_t *lease_record_encode(const struct lease_record *record, const json_t *base, const char *namespace,
			    const char *name);
/* True if the record was written between the two, so the holder is alive. */
bool lease_record_differs(const struct lease_record *a, const struct lease_record *b);
/* Records what was seen at now_ms; observed_ms changes only if the record differs. */
void lease_observe(struct lease_state *state, const struct lease_record *record, int64_t now_ms);
/* The record that gives the Lease up. */
void lease_released(const struct lease_record *record, int64_t now_wall_us, struct lease_record *ret);

#endif
