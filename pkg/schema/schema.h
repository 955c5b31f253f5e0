/* What a person writes: the spec of a PgSync, with pgsync's schema.json inside, decoded and validated into structs.
 *
 * Pure: no connection, no file. Every violation is reported at once with its JSON path, what was found and what was
 * expected. Whether tables and columns exist is not known here; the document compiler checks that against the catalog.
 */
#ifndef PGSYNC_SCHEMA_SCHEMA_H
#define PGSYNC_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "base/mem.h"
#include "json/json.h"

/* --- schema.json: the tree
 * ------------------------------------------------------------------------------------------------ */
enum relation_type { RELATION_ONE_TO_ONE, RELATION_ONE_TO_MANY };
enum relation_variant { VARIANT_OBJECT, VARIANT_SCALAR };

struct table_name {
	char *schema; /* NULL: that of the node */
	char *table;
};

struct relationship {
	enum relation_type type;
	enum relation_variant variant;
	struct table_name *through; /* NULL, or one */
	struct jsonx_strings fk_child,
		fk_parent; /* foreign_key: both empty, or of equal length. With a through table: of the last hop */
};

/* Joins fields of the object, and literal words, into one text field. Empty, zero and false parts are left out. */
struct concat {
	char *path;
	struct jsonx_strings columns; /* names of fields (after rename), or literals */
	char *destination, *delimiter;
};

/* Takes a field out of its object and puts it elsewhere. */
struct move {
	char *path;
	char *column;
	char *destination; /* "a.b" within the object, "$root.a.b" within the document */
};

/* What happens to the fields of an object, in this order: replace, rename, concat, move. */
struct transform {
	json_t *replace; /* {field: {search: replacement}}, or NULL */
	json_t *rename;  /* {field: new name}, or NULL */
	struct concat *concats;
	size_t n_concats;
	struct move *moves;
	size_t n_moves;
	json_t *mapping; /* {field: mapping}, or NULL */
};

struct ordering {
	char *column;
	bool descending;
	bool nulls_given, nulls_first;
};

struct expression {
	char *name;
	char *sql;
};

/* Of a node that is not well-formed, what is well-formed stands here, so that it can be checked further: SQL is one
 * expression each, `concat` and `move` are whole, and in a list of names an empty one keeps the place of a wrong one.
 */
struct node {
	char *path; /* "spec.schema[0].nodes.children[1]" */
	char *table;
	char *schema;                     /* "public" unless given */
	char *label;                      /* the table's name unless given; NULL: given, but not well */
	struct jsonx_strings columns;     /* names and JSON paths; empty: all */
	struct jsonx_strings primary_key; /* for relations without one */
	struct table_name *base_tables;   /* of a view */
	size_t n_base_tables;
	struct transform transform;
	char *where; /* an SQL condition over the table's columns, or NULL */
	struct ordering *order_by;
	size_t n_order_by;
	int64_t limit; /* of elements; 0: none */
	struct expression *expressions;
	size_t n_expressions;
	bool nested;
	struct relationship relationship; /* of children */
	struct node *parent;              /* NULL: the root */
	struct node **children;
	size_t n_children;
	struct jsonx_strings flaws; /* see node_is_flawed */
};

/* Whether what stands at `key` of the node ("columns", "relationship.type") is not all that was meant there: something
 * is wrong with it, or with a part of it. What follows from it is not worth a finding of its own. */
bool node_is_flawed(const struct node *node, const char *key);
/* Whether a child of the node has this label: then it takes the place of a column of that name. */
bool node_has_label(const struct node *node, const char *name);
/* Whether the schema says well which fields the node has, but for what only its table knows. */
bool node_names_are_known(const struct node *node);

struct schema_document {
	char *path; /* "spec.schema[0]" */
	char *index;
	char *database; /* or NULL */
	struct node *root;
	json_t *setting, *mapping; /* NULL when absent */
	char *pipeline, *routing;  /* NULL when absent */
	bool routing_flawed;       /* no column's field has its name */
	bool flawed;               /* something is wrong with it or below it; then root may be NULL */
};

/* A column of a json or jsonb column: "doc->a->0->>b", "doc#>{a,0}". */
struct column_step {
	const char *op; /* "->", "->>", "#>", "#>>" */
	char *part;     /* without braces */
	bool index;     /* of an array: all digits */
};

struct column_path {
	char *base;
	struct column_step *steps;
	size_t n;
	char *label; /* pgsync's: "doc_a_0_b" */
};

/* The i-th name of a list is one, and the first of its kind: pgsync builds jsonb, in which a column that is named twice
 * appears once. */
bool name_counts(const struct jsonx_strings *names, size_t i);
/* Why no document can have a field of this name (caller frees), or NULL. at_top: it would be one of the document
 * itself, not of an object within. */
char *schema_field_problem(const char *name, bool at_top);
/* The path that a move leads to, within the document or within the object. */
const char *move_path(const struct move *move, bool *ret_to_root);

/* Whether a column is written as a path. */
bool column_is_path(const char *column);
/* NULL, or what is wrong with the path (caller frees); *ret is to be released either way. */
char *column_path_parse(const char *column, struct column_path *ret);
void column_path_release(struct column_path *path);

/* What keeps a text from being one SQL expression of its own (unbalanced parentheses or quotes, a semicolon, a
 * comment), or NULL. Not whether Postgres accepts it. */
const char *sql_fragment_problem(const char *sql);

/* --- the spec
 * ------------------------------------------------------------------------------------------------------------ */
struct secret_ref {
	char *name; /* NULL: no reference */
	char *key;
	char *value; /* after spec_resolve; zeroed when freed */
};

enum tls_mode { TLS_DISABLE, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };
enum replica_identity_policy { IDENTITY_MANAGE, IDENTITY_VERIFY };
enum slot_lost_policy { SLOT_LOST_RESYNC, SLOT_LOST_STALL };
enum auth_type { AUTH_NONE, AUTH_BASIC, AUTH_API_KEY, AUTH_BEARER };
enum error_policy { ON_ERROR_DEAD_LETTER, ON_ERROR_STALL };
enum bootstrap_policy { BOOTSTRAP_IF_NEEDED, BOOTSTRAP_NEVER };
enum retain_policy { POLICY_DELETE, POLICY_RETAIN };
enum placement { PLACEMENT_PROCESS, PLACEMENT_POD };
enum checkpoint_store { STORE_SINK, STORE_REDIS };
enum documents_meta { META_NONE, META_PGSYNC };
enum id_format { ID_ESCAPED, ID_PGSYNC };
enum mapping_mode { MAPPING_GENERATED, MAPPING_DYNAMIC };

/* How documents look beyond what schema.json says. */
struct documents_spec {
	enum documents_meta meta; /* PGSYNC: with pgsync's `_meta`, the keys of all rows that a document is made of */
	enum id_format id_format; /* how a key of several columns becomes an _id */
	enum mapping_mode mapping;
};

struct source_spec {
	char *host, *database, *user;
	char *password;          /* after spec_resolve, or NULL */
	int64_t port;            /* 5432 */
	char *connection_secret; /* connectionSecretRef.name, or NULL */
	struct secret_ref password_ref;
	enum tls_mode tls; /* not given: VERIFY_FULL with a CA, else DISABLE (or what the secret's uri says) */
	bool tls_given;
	struct secret_ref ca;
	/* Derived when not given: pgsync_<namespace>_<name>_<first 8 of uid>, of [a-z0-9_], at most 63 bytes. */
	char *slot_name, *publication_name;
	enum replica_identity_policy replica_identity;
	enum slot_lost_policy slot_lost;
	bool failover;
};

struct sink_spec {
	struct jsonx_strings urls;
	enum auth_type auth;
	struct secret_ref auth_secret; /* name only; the values below come from its keys */
	char *username, *password, *api_key, *token;
	struct secret_ref ca;
	bool insecure_skip_verify;
	bool adopt_existing_index;
	int64_t bulk_max_bytes;          /* 8 MiB */
	int64_t bulk_concurrency;        /* 2 */
	int64_t bulk_flush_milliseconds; /* 20 */
};

struct spec {
	char *namespace, *name, *uid; /* of the resource; for slot names and ownership */
	struct source_spec source;
	struct sink_spec sink;
	struct schema_document **documents;
	size_t n_documents;
	char *schema_config_map, *schema_config_map_key; /* schemaConfigMapRef, or NULL */
	struct documents_spec documents_as;
	char *schema_hash; /* of the schema and `documents`: what a generation is built from */
	enum checkpoint_store checkpoint_store;
	enum bootstrap_policy bootstrap;
	int64_t bootstrap_parallelism; /* 2 */
	enum error_policy on_error;
	int64_t lag_target_seconds; /* 60 */
	bool suspend;
	int64_t resync_nonce, restart_nonce;
	enum retain_policy delete_slot, delete_publication, delete_index,
		delete_checkpoint; /* DELETE, DELETE, RETAIN, DELETE */
	enum placement placement;
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

/* Whether nothing is wrong with a part of the spec ("spec.source") and with what it refers to: then it can be used, to
 * look at it, although something else may be wrong. */
bool spec_part_is_sound(const struct findings *f, const char *part);
/* Whether a spec that is wrong can be checked further: it has documents, and says how to reach the source (whatever it
 * says of slot and publication). */
bool spec_can_be_checked(const struct spec *spec, const struct findings *f);
/* Whether what an earlier form of it has made can be cleaned up: both sides are known. */
bool spec_can_be_cleaned_up(const struct findings *f);

/* Decodes one schema.json array (the value of spec.schema, or of a file) below `path`; used by spec_decode and
 * spec_resolve. */
void schema_decode(const json_t *array, const char *path, struct schema_document ***ret, size_t *ret_n,
		   struct findings *f);
void schema_document_free(struct schema_document *document);

#endif
