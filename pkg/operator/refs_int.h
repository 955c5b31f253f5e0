/* The Secrets and ConfigMaps that specs refer to, from one watch for each kind and namespace, however many there are.
 *
 * What nothing refers to is dropped as it arrives, so memory does not depend on what else is in a namespace. Of the
 * others only the keys that a spec uses are read: one with very many costs no more than its size. Of a Secret no other
 * key is kept; when a spec begins to use one, the Secret is fetched again. Secrets that hold tokens of ServiceAccounts
 * are never given to a PgSync: they would turn the right to create PgSyncs into the rights of every account of the
 * namespace. Everything belongs to the loop's thread.
 */
#ifndef PGSYNC_OPERATOR_REFS_INT_H
#define PGSYNC_OPERATOR_REFS_INT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/mem.h"
#include "kube/kube.h"
#include "spec/spec.h"

/* What is not parsed of PgSyncs, Secrets and ConfigMaps (kube_keep_text): what may be large, and of which little is
 * used. */
extern const char *const OPERATOR_TEXTS[];

struct ref;
struct ref_hold;
struct refs;

/* The references of one resource; zero is empty. */
struct ref_set {
	struct ref_hold *items;
	size_t n, alloc;
};

/* changed: an object was seen for the first time, changed, appeared or disappeared; `ref` is for refs_contain. */
/* secret_label: "KEY" or "KEY=VALUE"; Secrets without it do not exist for us. NULL: none is needed. */
struct refs *refs_new(struct kube *kube, const char *secret_label, void (*changed)(void *user, const struct ref *ref),
		      void *user);
/* From now on everything is read from files below that directory, secrets/NAME/KEY and config-maps/NAME/KEY, again and
 * again, instead of the API server. NULL: no. */
void refs_mount(struct refs *refs, const char *directory);
/* Every set must have been released. */
void refs_free(struct refs *refs);
CLEANUP(struct refs, refs_free);

/* Makes the set exactly what the spec refers to, in that namespace. */
void refs_hold(struct refs *refs, struct ref_set *set, const char *namespace, const struct spec *spec);
void refs_release(struct refs *refs, struct ref_set *set);
/* Whether the object has the label, "KEY" or "KEY=VALUE". */
bool refs_label_matches(const json_t *object, const char *label);
bool refs_contain(const struct ref_set *set, const struct ref *ref);

/* What refs_values adds to: the values of the keys that the spec may use, as spec_resolve expects them, and the reasons
 * why objects cannot be read. A ConfigMap without its key comes with a few others, for the message. */
struct ref_values {
	json_t *secrets, *config_maps, *denied;
};
/* last_known: includes the last values of objects that are gone. False: an object has not been read yet. */
bool refs_values(const struct ref_set *set, const struct spec *spec, bool last_known, const struct ref_values *to);

#endif
