/* The PgSync resource: its policies, credentials and limits around the schema, decoded and validated into structs.
 *
 * Pure: no connection, no file; Secrets and ConfigMaps are arguments. Every violation is reported at once with its JSON
 * path, what was found and what was expected.
 */
#ifndef PGSYNC_SPEC_SPEC_H
#define PGSYNC_SPEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "base/mem.h"
#include "schema/schema.h"
#include "json/json.h"

struct spec_secret_ref {
	char *name; /* NULL: no reference */
	char *key;
	char *value; /* after spec_resolve; zeroed when freed */
};

enum spec_tls_mode { SPEC_TLS_DISABLE, SPEC_TLS_PREFER, SPEC_TLS_REQUIRE, SPEC_TLS_VERIFY_CA, SPEC_TLS_VERIFY_FULL };
enum spec_replica_identity { SPEC_IDENTITY_MANAGE, SPEC_IDENTITY_VERIFY };
enum spec_slot_lost_policy { SPEC_SLOT_LOST_RESYNC, SPEC_SLOT_LOST_STALL };
enum spec_auth_type { SPEC_AUTH_NONE, SPEC_AUTH_BASIC, SPEC_AUTH_API_KEY, SPEC_AUTH_BEARER };
enum spec_error_policy { SPEC_ON_ERROR_DEAD_LETTER, SPEC_ON_ERROR_STALL };
enum spec_bootstrap_policy { SPEC_BOOTSTRAP_IF_NEEDED, SPEC_BOOTSTRAP_NEVER };
enum spec_deletion_policy { SPEC_DELETE, SPEC_RETAIN };
enum spec_placement { SPEC_PLACEMENT_PROCESS, SPEC_PLACEMENT_POD };
enum spec_checkpoint_store { SPEC_STORE_SINK, SPEC_STORE_REDIS };

struct spec_source {
	char *host, *database, *user;
	char *password;          /* after spec_resolve, or NULL */
	int64_t port;            /* 5432 */
	char *connection_secret; /* connectionSecretRef.name, or NULL */
	struct spec_secret_ref password_ref;
	enum spec_tls_mode tls; /* not given: VERIFY_FULL with a CA, else DISABLE (or what the secret's uri says) */
	bool tls_given;
	struct spec_secret_ref ca;
	/* Derived when not given: pgsync_<namespace>_<name>_<first 8 of uid>, of [a-z0-9_], at most 63 bytes. */
	char *slot_name, *publication_name;
	enum spec_replica_identity replica_identity;
	enum spec_slot_lost_policy slot_lost;
	bool failover;
};

struct spec_sink {
	struct jsonx_strings urls;
	enum spec_auth_type auth;
	struct spec_secret_ref auth_secret; /* name only; the values below come from its keys */
	char *username, *password, *api_key, *token;
	struct spec_secret_ref ca;
	bool insecure_skip_verify;
	bool adopt_existing_index;
	int64_t bulk_max_bytes;          /* 8 MiB */
	int64_t bulk_concurrency;        /* 2 */
	int64_t bulk_flush_milliseconds; /* 20 */
};

struct spec {
	char *namespace, *name, *uid; /* of the resource; for slot names and ownership */
	struct spec_source source;
	struct spec_sink sink;
	struct schema_document **documents;
	size_t n_documents;
	char *schema_config_map, *schema_config_map_key; /* schemaConfigMapRef, or NULL */
	struct schema_document_format document_format;
	char *schema_hash; /* of the schema and `documents`: what a generation is built from */
	enum spec_checkpoint_store checkpoint_store;
	enum spec_bootstrap_policy bootstrap;
	int64_t bootstrap_parallelism; /* 2 */
	enum spec_error_policy on_error;
	int64_t lag_target_seconds; /* 60 */
	bool suspend;
	int64_t resync_nonce, restart_nonce;
	enum spec_deletion_policy delete_slot, delete_publication, delete_index,
		delete_checkpoint; /* DELETE, DELETE, RETAIN, DELETE */
	enum spec_placement placement;
};

/* Decodes a resource ({"metadata": ..., "spec": ...}). Reasons used: InvalidSpec, InvalidSchema, NotSupported (a known
 * field whose capability this version does not have: placement Pod, checkpoint store Redis). Returns a spec even when
 * there are findings, for messages. */
struct spec *spec_decode(const json_t *resource, struct findings *f);
void spec_free(struct spec *spec);
CLEANUP(struct spec, spec_free);

/* The Secrets and ConfigMaps that the spec refers to, by name, each once. What is no object's name is left out. */
void spec_references(const struct spec *spec, void (*secret)(void *user, const char *name),
		     void (*config_map)(void *user, const char *name), void *user);

/* What a spec may refer to. */
struct spec_objects {
	const json_t *secrets;     /* {"name": {"key": "value", ...}}, already decoded from base64 */
	const json_t *config_maps; /* alike */
	bool secrets_elsewhere;    /* a Secret that is not among them is a warning */
};

/* Fills in what the references hold. Findings: CredentialsNotFound with the name and key that is missing, and the keys
 * that are there (InvalidSchema for a ConfigMap). connectionSecretRef: host, port, dbname, username or user, password,
 * or uri; what the spec itself gives comes first. */
void spec_resolve(struct spec *spec, const struct spec_objects *objects, struct findings *f);

/* Whether a spec that is wrong can be checked further: it has documents, and says how to reach the source (whatever it
 * says of slot and publication). */
bool spec_can_be_checked(const struct spec *spec, const struct findings *f);
/* Whether what an earlier form of it has made can be cleaned up: both sides are known. */
bool spec_can_be_cleaned_up(const struct findings *f);

#endif
