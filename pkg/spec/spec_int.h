/* Shared between the files of this package only: the fields of the spec, and the rules between them. Lowest first: a
 * file calls only what is above its own part. */
#ifndef PGSYNC_SPEC_SPEC_INT_H
#define PGSYNC_SPEC_SPEC_INT_H

#include "spec/spec.h"

enum {
	SPEC_OBJECT_NAME_BYTES = 253, /* of Kubernetes */
	SPEC_IDENTIFIER_BYTES = 63,   /* of Postgres */
	SPEC_SEARCH_PATH = 64,
	SPEC_URL_BYTES = 2048,
	SPEC_PATH_BYTES = 1024,
	SPEC_REGION_BYTES = 64,
	SPEC_COMMAND = 32,
	SPEC_DEFAULT_PORT = 5432,
};

/* --- reference.c: names and keys of Secrets and ConfigMaps, which also become parts of paths --- */

bool spec_is_object_name(const char *name);
bool spec_is_data_key(const char *key);

/* --- fields.c --- */

extern const struct jsonx_field spec_fields[];        /* of struct spec */
extern const struct jsonx_field spec_source_fields[]; /* of struct spec_source */
extern const struct jsonx_field spec_pod_template_fields[];

/* The names of an enum's values, in its order. */
extern const char *const spec_tls_words[], *const spec_auth_words[];
extern const char *const spec_meta_words[], *const spec_id_words[], *const spec_mapping_words[];

/* --- check.c --- */

/* Checks the rules between fields. body: the value of `spec`. */
void spec_check(const struct spec *spec, const json_t *body, struct findings *f);
/* A slot reads one database, so every document must be in the source's. If the source does not name a database, sets
 * that of the documents. Needs documents and connection: called by spec_decode or, when the schema is in a ConfigMap or
 * the connection in a Secret, by spec_resolve. */
void spec_check_databases(struct spec *spec, struct findings *f);

/* --- spec.c --- */

/* Sets the hash that generations depend on: that of the schema and of `documents`. */
void spec_set_schema_hash(struct spec *spec, const json_t *schema);

/* --- password.c --- */

void spec_check_password_from(const struct spec_source *source, const json_t *given, struct findings *f);

/* --- uri.c --- */

/* What a Secret contains about a connection, in keys or in a URI; NULL for absent parts. */
struct spec_connection {
	char *host, *port, *database, *user, *password, *sslmode;
};

/* Parses postgres://[user[:password]@]host[:port][/database][?sslmode=...]. False if the URI has another form, or
 * several hosts. Release *ret in both cases; it must be zeroed before. */
bool spec_connection_parse(const char *uri, struct spec_connection *ret) WARN_UNUSED;
void spec_connection_release(struct spec_connection *connection);

/* --- redis.c --- */
enum { SPEC_SENTINELS = 16 };
void spec_read_redis_url(struct spec_redis *redis);
void spec_check_redis(const struct spec *spec, struct findings *f);
void spec_name_redis_service(struct spec *spec);

#endif
