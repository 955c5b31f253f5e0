/* The Secrets and ConfigMaps that specs name: each is watched by its name alone, however many resources use it.
 *
 * So the operator's memory does not depend on what else is in the cluster, and a change is seen at once.
 */
#ifndef PGSYNC_OPERATOR_REFS_INT_H
#define PGSYNC_OPERATOR_REFS_INT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/findings.h"
#include "base/mem.h"
#include "kube/kube.h"
#include "spec/spec.h"

struct ref;
struct refs;

/* What one resource holds; zero is empty. */
struct ref_set {
	struct ref **items;
	size_t n, alloc;
};

/* changed: an object that is held was seen for the first time, changed, appeared or went; `ref` is for ref_set_has. */
struct refs *refs_new(struct kube *kube, void (*changed)(void *user, const struct ref *ref), void *user);
/* Every set must have been released. */
void refs_free(struct refs *refs);
CLEANUP(struct refs, refs_free);

/* Makes the set exactly what the spec names, in that namespace. */
void refs_hold(struct refs *refs, struct ref_set *set, const char *namespace, const struct spec *spec);
void refs_release(struct refs *refs, struct ref_set *set);
bool ref_set_has(const struct ref_set *set, const struct ref *ref);

/* Puts what is there into secrets and config_maps, as spec_resolve wants it. Objects that may not be read are findings.
 * last_known: also what was there, when it is gone now. False: one of them has not been looked up yet. */
bool refs_values(const struct ref_set *set, bool last_known, json_t *secrets, json_t *config_maps, struct findings *f);

#endif
