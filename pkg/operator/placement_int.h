/* The objects that make the pod of a PgSync with placement Pod: pure.
 *
 * A Deployment runs the agent, `pgsync-operator --agent NAMESPACE/NAME`: an operator of that one PgSync, which gets
 * Secrets and ConfigMaps as files. A Role lets it read the PgSync, write its status, renew its own Lease and record
 * events. All of them belong to the PgSync (ownerReferences), so they are deleted with it. */
#ifndef PGSYNC_OPERATOR_PLACEMENT_INT_H
#define PGSYNC_OPERATOR_PLACEMENT_INT_H

#include <jansson.h>

#include "json/json.h"

/* The annotation of the Deployment that names the PgSync. */
#define PLACEMENT_NAME "pgsync.io/name"
/* The annotation of the Deployment that holds the hash of the objects. */
#define PLACEMENT_APPLIED "pgsync.io/applied"
/* The labels of all of them. */
#define PLACEMENT_MANAGED_BY "app.kubernetes.io/managed-by"
#define PLACEMENT_MANAGER "pgsync-operator"
#define PLACEMENT_LABELS PLACEMENT_MANAGED_BY "=" PLACEMENT_MANAGER ",app.kubernetes.io/component=worker"
#define PLACEMENT_MOUNTS "/run/pgsync"
/* Beside it, what workers read themselves: nothing else of the pod's files. */
#define PLACEMENT_CREDENTIALS "-credentials"

/* Who owns an object that has a pod's name. */
enum placement_owner {
	PLACEMENT_FOREIGN,
	PLACEMENT_OURS,     /* it has the marks of this PgSync, which controls it: a copy of the marks is not enough */
	PLACEMENT_PREVIOUS, /* the same, but of an earlier PgSync with this name, with which it is being deleted */
};

struct placement_input {
	const json_t *resource; /* without the schema */
	const char *image;
	const char *const *args; /* of the agent, beside those that name the PgSync; NULL at the end */
};

/* The name of all the objects, and of the Lease: at most 63 characters, since that of a PgSync has at most 52. Caller
 * frees. */
char *placement_name(const char *name);
/* What of an object says who owns it, and its uid: for placement_owner. A new reference. */
json_t *placement_marks(const json_t *object);
/* name and uid: of the PgSync. */
enum placement_owner placement_owner(const json_t *object, const char *name, const char *uid);
/* In the order in which they are to be applied; the Deployment is last. The hash is that of all of them without the
 * image. A new reference. */
json_t *placement_objects(const struct placement_input *in, char hash[JSONX_HASH_BYTES]);

#endif
