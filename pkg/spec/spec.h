/* The PgSync resource: policies, credentials and limits around the schema, decoded and validated into structs.
 *
 * Pure: no connection, no file; Secrets and ConfigMaps are arguments. A decoder reports every violation, with its JSON
 * path, what it found and what it expected. Structs own what they point to.
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

/* --- the resource: the default of each enum is its first value, unless its field says otherwise --- */

/* The default is Prefer. */
enum spec_tls_mode { SPEC_TLS_DISABLE, SPEC_TLS_PREFER, SPEC_TLS_REQUIRE, SPEC_TLS_VERIFY_CA, SPEC_TLS_VERIFY_FULL };
enum spec_source_auth { SPEC_SOURCE_AUTH_SCRAM, SPEC_SOURCE_AUTH_MD5, SPEC_SOURCE_AUTH_CLEARTEXT };
enum spec_replica_identity { SPEC_IDENTITY_MANAGE, SPEC_IDENTITY_VERIFY };
enum spec_slot_lost_policy { SPEC_SLOT_LOST_RESYNC, SPEC_SLOT_LOST_STALL };
enum spec_auth_type { SPEC_AUTH_NONE, SPEC_AUTH_BASIC, SPEC_AUTH_API_KEY, SPEC_AUTH_BEARER, SPEC_AUTH_AWS };
enum spec_error_policy { SPEC_ON_ERROR_DEAD_LETTER, SPEC_ON_ERROR_STALL };
enum spec_bootstrap_policy { SPEC_BOOTSTRAP_IF_NEEDED, SPEC_BOOTSTRAP_NEVER };
enum spec_deletion_policy { SPEC_DELETE, SPEC_RETAIN };
enum spec_mode { SPEC_MODE_SYNC, SPEC_MODE_PLAN };
enum spec_placement { SPEC_PLACEMENT_PROCESS, SPEC_PLACEMENT_POD };
enum spec_checkpoint_store { SPEC_STORE_SINK, SPEC_STORE_REDIS };

struct spec_secret_ref {
	char *name; /* NULL: no reference */
	char *key;
	char *value; /* set by spec_resolve; wiped when freed */
};

/* How much of the server a worker may use. */
struct spec_limits {
	int64_t connections;       /* sessions at a time; 0: as many as bootstrap.parallelism needs */
	int64_t statement_seconds; /* default 600 */
	int64_t snapshot_seconds;  /* default 60 */
};
/* The sessions of a worker that are not the bootstrap's: stream, applier, control, and watcher. */
enum { SPEC_OTHER_CONNECTIONS = 4 };

struct spec_source {
	char *host, *database, *user;
	char *password;          /* set by spec_resolve, or NULL */
	int64_t port;            /* default 5432 */
	char *connection_secret; /* connectionSecretRef.name, or NULL */
	struct spec_secret_ref password_ref;
	/* passwordFrom: read again for each connection; at most one of them. */
	struct spec_secret_ref password_mount; /* secretRef: where it is mounted, see spec_mount_password */
	char *password_file;                   /* an absolute path, or NULL */
	struct jsonx_strings password_command; /* a program's absolute path, and its arguments */
	unsigned allowed_auth;                 /* a bit for each enum spec_source_auth; default: SCRAM */
	enum spec_tls_mode tls; /* default: VERIFY_FULL with a CA, else what the Secret's uri says, else PREFER */
	bool tls_given;
	struct spec_secret_ref ca;
	/* Default: pgsync_<namespace>_<name>_<first 8 of uid>, in [a-z0-9_], at most 63 bytes. */
	char *slot_name, *publication_name;
	enum spec_replica_identity replica_identity;
	enum spec_slot_lost_policy slot_lost;
	bool failover;
	int64_t max_retained_wal; /* bytes; 0: no limit */
	struct spec_limits limits;
	struct jsonx_strings search_path; /* schemas for the names in `where` and `expressions` */
};

struct spec_sink {
	struct jsonx_strings urls;
	enum spec_auth_type auth;
	struct spec_secret_ref auth_secret; /* only its name is used */
	char *aws_region;                   /* AWS */
	/* Set by spec_resolve from the keys of auth_secret, or NULL. AWS: the access key's ID, its secret, and the
	 * session token of temporary credentials. */
	char *username, *password, *api_key, *token;
	struct spec_secret_ref ca;
	bool insecure_skip_verify;
	bool adopt_existing_index;
	int64_t bulk_max_bytes;          /* default 1 MiB: more rarely makes an engine faster, but uses memory */
	int64_t bulk_concurrency;        /* default 2 */
	int64_t bulk_flush_milliseconds; /* default 20 */
};

/* A Redis server, spec.checkpoint.redis. */
struct spec_redis {
	char *url;  /* redis[s]://HOST[:PORT][/DATABASE]; NULL: no server is given */
	char *host; /* of the url, as the next three; NULL: it is not valid. With sentinels, the name of the master */
	int64_t port;
	int64_t database;
	bool tls;
	struct jsonx_strings sentinels; /* HOST[:PORT] */
	char *username;
	struct spec_secret_ref password, ca;
};

/* Each new value requests a retry of all dead letters. */
#define SPEC_RETRY_DEAD_LETTERS "pgsync.io/retry-dead-letters"

struct spec {
	char *namespace, *name, *uid; /* of the resource; uid may be NULL */
	char *retry_dead_letters;     /* the value of its annotation SPEC_RETRY_DEAD_LETTERS; or NULL */
	struct spec_source source;
	struct spec_sink sink;
	struct schema_document **documents; /* NULL until they are known: see schema_config_map */
	size_t n_documents;
	char *schema_config_map, *schema_config_map_key; /* schemaConfigMapRef, or NULL */
	struct schema_document_format document_format;
	char *schema_hash; /* of the schema, `documents` and the search path, on which generations depend; NULL without
			      documents */
	enum spec_checkpoint_store checkpoint_store;
	struct spec_redis redis;
	enum spec_bootstrap_policy bootstrap;
	int64_t bootstrap_parallelism; /* default 2 */
	enum spec_error_policy on_error;
	int64_t lag_target_seconds; /* default 60 */
	enum spec_mode mode;        /* Plan: everything is checked, and nothing is changed */
	bool suspend;
	int64_t resync_nonce, restart_nonce;
	/* What the deletion of the resource does to each; the default is to delete all but the index. */
	enum spec_deletion_policy delete_slot, delete_publication, delete_index, delete_checkpoint;
	enum spec_placement placement;
};

/* Decodes a resource, {"metadata": ..., "spec": ...}. Reasons of findings: InvalidSpec, InvalidSchema, and NotSupported
 * for a known field whose capability this version does not have. Always returns a spec, so that messages can name the
 * resource. */
struct spec *spec_decode(const json_t *resource, struct findings *f);
/* The same for a resource that the API server has accepted. Unknown fields and enum values then come from a newer CRD,
 * as during an upgrade or after a roll-back: they are warnings, not errors. */
struct spec *spec_decode_admitted(const json_t *resource, struct findings *f);
/* The same without the schema, and without findings: names, policies and references, at a cost that does not grow with
 * the schema. */
struct spec *spec_decode_outline(const json_t *resource);
/* How many sessions read chunks of a bootstrap: bootstrap.parallelism, or as many as source.limits.connections leaves.
 */
int64_t spec_bootstrap_readers(const struct spec *spec);
/* The key of its checkpoint: "namespace/name/slot"; caller frees. */
char *spec_checkpoint_key(const struct spec *spec);
void spec_free(struct spec *spec);
CLEANUP(struct spec, spec_free);

/* --- what it refers to --- */

/* Calls secret and config_map (either may be NULL) with the name of each Secret and ConfigMap that the spec refers to,
 * once. Skips names that no object can have. */
void spec_references(const struct spec *spec, void (*secret)(void *user, const char *name),
		     void (*config_map)(void *user, const char *name), void *user);

/* Calls key with each key that the spec may use of that Secret. */
void spec_secret_keys(const struct spec *spec, const char *name, void (*key)(void *user, const char *key), void *user);

/* The objects that a spec may refer to. */
struct spec_objects {
	const json_t *secrets;     /* {"name": {"key": "value", ...}}, decoded from base64 */
	const json_t *config_maps; /* the same */
	const char *secret_label;  /* label that Secrets must have to be included; NULL: none */
	bool secrets_elsewhere;    /* a missing Secret is only a warning */
};

/* Sets the values that come from references. Reason of findings: CredentialsNotFound (InvalidSchema for a ConfigMap),
 * with the name or key that is missing. The keys of a Secret are not listed: only users who may read it may see them. A
 * connectionSecretRef may have the keys host, port, dbname, username or user, password, and uri; the fields of the spec
 * itself take precedence. */
void spec_resolve(struct spec *spec, const struct spec_objects *objects, struct findings *f);

/* Where passwordFrom.secretRef is mounted, it is a file with this name. */
#define SPEC_PASSWORD_FILE "password"
/* With passwordFrom.secretRef, the password is read from that file in this directory, and the Secret is no reference
 * of the spec any more. Otherwise, it is resolved as passwordSecretRef is. */
void spec_mount_password(struct spec_source *source, const char *directory);
/* Adds an error if the password is to be read where this process must not: an operator's worker reads no file of the
 * container that it shares with others, and runs no program. Call it before spec_mount_password. */
void spec_refuse_password_from(const struct spec_source *source, struct findings *f);
/* Has the password read from this file or program instead of what the spec says; NULL: not given. */
void spec_replace_password_from(struct spec_source *source, const char *file, const char *program, struct findings *f);

/* A host that can be a Service becomes the Service of that name in the resource's namespace: the worker that connects
 * is in another namespace. Call it after spec_resolve. */
void spec_name_services(struct spec *spec);

/* Adds a warning for each side whose connection others on the network could read or impersonate. Call it after
 * spec_resolve. */
void spec_warn_about_transport(const struct spec *spec, struct findings *f);

/* --- what can be done with an invalid spec --- */

/* Whether a worker can check the spec further: it has documents, and its source can be reached (slot and publication
 * may be invalid). f: the findings about it. */
bool spec_can_be_checked(const struct spec *spec, const struct findings *f);
/* Whether a worker can clean up what an earlier version of the spec created: source and sink are both valid. */
bool spec_can_be_cleaned_up(const struct findings *f);

#endif
