/* The fields of a PgSync's `spec`: what each is called, where it goes, and its limits. */
#include "spec/spec_int.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_MOST ((INT64_C(1) << 53) - 1) /* the largest integer that every JSON tool keeps */
enum { AMOUNT_COUNT = 16, AMOUNT_BYTES = 64 };

const char *const spec_tls_words[] = {"Disable", "Prefer", "Require", "VerifyCA", "VerifyFull", NULL};
static const char *const identity_words[] = {"Manage", "Verify", NULL};
static const char *const slot_lost_words[] = {"Resync", "Stall", NULL};
const char *const spec_auth_words[] = {"None", "Basic", "APIKey", "Bearer", "AWS", NULL};
const char *const spec_meta_words[] = {"None", "Pgsync", NULL};
const char *const spec_id_words[] = {"Escaped", "Pgsync", NULL};
const char *const spec_mapping_words[] = {"Generated", "Dynamic", NULL};
static const char *const store_words[] = {"Sink", "Redis", NULL};
static const char *const bootstrap_words[] = {"IfNeeded", "Never", NULL};
static const char *const on_error_words[] = {"DeadLetter", "Stall", NULL};
static const char *const retain_words[] = {"Delete", "Retain", NULL};
static const char *const mode_words[] = {"Sync", "Plan", NULL};
static const char *const placement_words[] = {"Process", "Pod", NULL};

#define STRING_FIELD(key, type_, member, max_)                                                                  \
	{                                                                                                       \
		.name = (key), .type = JSONX_STRING, .offset = offsetof(type_, member), .min = 1, .max = (max_) \
	}
#define REQUIRED_STRING(key, type_, member, max_)                                                                \
	{                                                                                                        \
		.name = (key), .type = JSONX_STRING, .offset = offsetof(type_, member), .flags = JSONX_REQUIRED, \
		.min = 1, .max = (max_)                                                                          \
	}
#define INTEGER_FIELD(key, type_, member, min_, max_)                                                                 \
	{                                                                                                             \
		.name = (key), .type = JSONX_INTEGER, .offset = offsetof(type_, member), .min = (min_), .max = (max_) \
	}
#define BOOLEAN_FIELD(key, type_, member)                                               \
	{                                                                               \
		.name = (key), .type = JSONX_BOOLEAN, .offset = offsetof(type_, member) \
	}
#define ENUM_FIELD(key, type_, member, words_)                                                          \
	{                                                                                               \
		.name = (key), .type = JSONX_ENUM, .offset = offsetof(type_, member), .words = (words_) \
	}
/* A newer API may have more values. For values that it does not know, this program chooses the behavior that can be
 * undone and is the safest. */
#define CAREFUL_FIELD(key, type_, member, words_, careful_)                                              \
	{                                                                                                \
		.name = (key), .type = JSONX_ENUM, .offset = offsetof(type_, member), .words = (words_), \
		.careful = (careful_)                                                                    \
	}
#define OBJECT_FIELD(key, offset_, fields_)                                                   \
	{                                                                                     \
		.name = (key), .type = JSONX_OBJECT, .offset = (offset_), .fields = (fields_) \
	}

static const struct jsonx_field secret_ref_fields[] = {
	REQUIRED_STRING("name", struct spec_secret_ref, name, SPEC_OBJECT_NAME_BYTES),
	STRING_FIELD("key", struct spec_secret_ref, key, SPEC_OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field secret_name_fields[] = {
	REQUIRED_STRING("name", struct spec_secret_ref, name, SPEC_OBJECT_NAME_BYTES),
	{0},
};

/* --- spec.source */

/* The ways to use the password are a set. An invalid set does not allow more than the default. */
static void decode_allowed_auth(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const char *const words[] = {"SCRAM", "MD5", "Cleartext", NULL};
	struct spec_source *source = out;
	const json_t *item;
	size_t i;

	if (!json_is_array(value) || !json_array_size(value) || json_array_size(value) >= ARRAY_SIZE(words)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must be an array of 1 to %zu of `SCRAM`, `MD5`, `Cleartext`", ARRAY_SIZE(words) - 1);
		return;
	}
	json_array_foreach (value, i, item) {
		const char *word = json_string_value(item);
		size_t bit = 0;

		while (words[bit] && (!word || strcmp(words[bit], word) != 0))
			bit++;
		if (words[bit])
			source->allowed_auth |= 1U << bit;
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
				     "must contain `SCRAM`, `MD5`, `Cleartext`, found \"%.100s\"",
				     word ? word : jsonx_type_name(item));
	}
}

static void decode_tls_mode(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct jsonx_field mode[] = {
		CAREFUL_FIELD("mode", struct spec_source, tls, spec_tls_words, SPEC_TLS_VERIFY_FULL), {0}};
	_cleanup_json_ json_t *alone = json_pack("{s:O}", "mode", value);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(strrchr(path, '.') - path));
	struct spec_source *source = out;

	jsonx_decode(alone, mode, source, parent, REASON_INVALID_SPEC, f);
	source->tls_given = true;
}

static const struct jsonx_field source_tls_fields[] = {
	{.name = "mode", .type = JSONX_CUSTOM, .decode = decode_tls_mode},
	OBJECT_FIELD("caSecretRef", offsetof(struct spec_source, ca), secret_ref_fields),
	{0},
};

static const struct jsonx_field replication_fields[] = {
	STRING_FIELD("slotName", struct spec_source, slot_name, SPEC_IDENTIFIER_BYTES),
	STRING_FIELD("publicationName", struct spec_source, publication_name, SPEC_IDENTIFIER_BYTES),
	CAREFUL_FIELD("replicaIdentity", struct spec_source, replica_identity, identity_words, SPEC_IDENTITY_VERIFY),
	CAREFUL_FIELD("slotLostPolicy", struct spec_source, slot_lost, slot_lost_words, SPEC_SLOT_LOST_STALL),
	BOOLEAN_FIELD("failover", struct spec_source, failover),
	INTEGER_FIELD("maxRetainedWAL", struct spec_source, max_retained_wal, 1 << 20, INT64_C(1) << 50),
	{0},
};

/* One session at least has to be left for a bootstrap. */
static const struct jsonx_field limits_fields[] = {
	INTEGER_FIELD("connections", struct spec_limits, connections, SPEC_OTHER_CONNECTIONS + 1, 64),
	INTEGER_FIELD("statementTimeoutSeconds", struct spec_limits, statement_seconds, 1, 86400),
	INTEGER_FIELD("snapshotAgeSeconds", struct spec_limits, snapshot_seconds, 1, 86400),
	{0},
};

static const struct jsonx_field connection_secret_fields[] = {
	REQUIRED_STRING("name", struct spec_source, connection_secret, SPEC_OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field exec_fields[] = {
	{.name = "command",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct spec_source, password_command),
	 .flags = JSONX_REQUIRED | JSONX_FILLED,
	 .min = 1,
	 .max = SPEC_COMMAND,
	 .item_max = SPEC_PATH_BYTES},
	{0},
};

static const struct jsonx_field password_from_fields[] = {
	OBJECT_FIELD("secretRef", offsetof(struct spec_source, password_mount), secret_ref_fields),
	STRING_FIELD("file", struct spec_source, password_file, SPEC_PATH_BYTES),
	OBJECT_FIELD("exec", 0, exec_fields),
	{0},
};

const struct jsonx_field spec_source_fields[] = {
	STRING_FIELD("host", struct spec_source, host, SPEC_OBJECT_NAME_BYTES),
	INTEGER_FIELD("port", struct spec_source, port, 1, 65535),
	STRING_FIELD("database", struct spec_source, database, SPEC_IDENTIFIER_BYTES),
	STRING_FIELD("user", struct spec_source, user, SPEC_IDENTIFIER_BYTES),
	OBJECT_FIELD("passwordSecretRef", offsetof(struct spec_source, password_ref), secret_ref_fields),
	OBJECT_FIELD("passwordFrom", 0, password_from_fields),
	OBJECT_FIELD("connectionSecretRef", 0, connection_secret_fields),
	{.name = "allowedAuth", .type = JSONX_CUSTOM, .decode = decode_allowed_auth},
	OBJECT_FIELD("tls", 0, source_tls_fields),
	{.name = "searchPath",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct spec_source, search_path),
	 .flags = JSONX_FILLED,
	 .min = 1,
	 .max = SPEC_SEARCH_PATH,
	 .item_max = SPEC_IDENTIFIER_BYTES},
	OBJECT_FIELD("replication", 0, replication_fields),
	OBJECT_FIELD("limits", offsetof(struct spec_source, limits), limits_fields),
	{0},
};

/* --- spec.sink */

static const struct jsonx_field authentication_fields[] = {
	ENUM_FIELD("type", struct spec_sink, auth, spec_auth_words),
	OBJECT_FIELD("secretRef", offsetof(struct spec_sink, auth_secret), secret_name_fields),
	STRING_FIELD("region", struct spec_sink, aws_region, SPEC_REGION_BYTES),
	{0},
};

static const struct jsonx_field sink_tls_fields[] = {
	OBJECT_FIELD("caSecretRef", offsetof(struct spec_sink, ca), secret_ref_fields),
	BOOLEAN_FIELD("insecureSkipVerify", struct spec_sink, insecure_skip_verify),
	{0},
};

static const struct jsonx_field bulk_fields[] = {
	INTEGER_FIELD("maxBytes", struct spec_sink, bulk_max_bytes, 65536, 104857600),
	INTEGER_FIELD("concurrency", struct spec_sink, bulk_concurrency, 1, 16),
	INTEGER_FIELD("flushMilliseconds", struct spec_sink, bulk_flush_milliseconds, 0, 10000),
	{0},
};

static const struct jsonx_field sink_fields[] = {
	{.name = "urls",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct spec_sink, urls),
	 .flags = JSONX_REQUIRED,
	 .min = 1},
	OBJECT_FIELD("authentication", 0, authentication_fields),
	OBJECT_FIELD("tls", 0, sink_tls_fields),
	BOOLEAN_FIELD("adoptExistingIndex", struct spec_sink, adopt_existing_index),
	OBJECT_FIELD("bulk", 0, bulk_fields),
	{0},
};

/* --- spec */

static void decode_schema(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct spec *spec = out;

	schema_decode(value, path, &spec->documents, &spec->n_documents, f);
}

static const struct jsonx_field redis_tls_fields[] = {
	OBJECT_FIELD("caSecretRef", offsetof(struct spec_redis, ca), secret_ref_fields),
	{0},
};

static const struct jsonx_field redis_fields[] = {
	REQUIRED_STRING("url", struct spec_redis, url, SPEC_URL_BYTES),
	{.name = "sentinels",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct spec_redis, sentinels),
	 .flags = JSONX_FILLED,
	 .min = 1,
	 .max = SPEC_SENTINELS,
	 .item_max = SPEC_OBJECT_NAME_BYTES},
	STRING_FIELD("username", struct spec_redis, username, SPEC_OBJECT_NAME_BYTES),
	OBJECT_FIELD("passwordSecretRef", offsetof(struct spec_redis, password), secret_ref_fields),
	OBJECT_FIELD("tls", 0, redis_tls_fields),
	{0},
};

/* For the operator, which copies it into a pod. */
static void check_amounts(const json_t *value, void *out, const char *path, struct findings *f)
{
	bool good = json_is_object(value) && json_object_size(value) <= AMOUNT_COUNT;
	const char *key;
	json_t *amount;

	UNUSED(out);
	json_object_foreach ((json_t *)value, key, amount)
		good = good && (json_is_integer(amount) ||
				(json_is_string(amount) && json_string_length(amount) <= AMOUNT_BYTES));
	if (!good)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must be an object of at most %d amounts: numbers, or texts of at most %d bytes",
			     AMOUNT_COUNT, AMOUNT_BYTES);
}

static const struct jsonx_field config_map_fields[] = {
	REQUIRED_STRING("name", struct spec, schema_config_map, SPEC_OBJECT_NAME_BYTES),
	STRING_FIELD("key", struct spec, schema_config_map_key, SPEC_OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field documents_fields[] = {
	ENUM_FIELD("meta", struct schema_document_format, meta, spec_meta_words),
	ENUM_FIELD("idFormat", struct schema_document_format, id_format, spec_id_words),
	ENUM_FIELD("mapping", struct schema_document_format, mapping, spec_mapping_words),
	{0},
};

static const struct jsonx_field checkpoint_fields[] = {
	ENUM_FIELD("store", struct spec, checkpoint_store, store_words),
	OBJECT_FIELD("redis", offsetof(struct spec, redis), redis_fields),
	{0},
};

static const struct jsonx_field bootstrap_fields[] = {
	CAREFUL_FIELD("policy", struct spec, bootstrap, bootstrap_words, SPEC_BOOTSTRAP_NEVER),
	INTEGER_FIELD("parallelism", struct spec, bootstrap_parallelism, 1, 16),
	{0},
};

static const struct jsonx_field on_error_fields[] = {
	CAREFUL_FIELD("policy", struct spec, on_error, on_error_words, SPEC_ON_ERROR_STALL),
	{0},
};

static const struct jsonx_field deletion_fields[] = {
	CAREFUL_FIELD("replicationSlot", struct spec, delete_slot, retain_words, SPEC_RETAIN),
	CAREFUL_FIELD("publication", struct spec, delete_publication, retain_words, SPEC_RETAIN),
	CAREFUL_FIELD("index", struct spec, delete_index, retain_words, SPEC_RETAIN),
	CAREFUL_FIELD("checkpoint", struct spec, delete_checkpoint, retain_words, SPEC_RETAIN),
	{0},
};

static const struct jsonx_field resources_fields[] = {
	{.name = "limits", .type = JSONX_CUSTOM, .decode = check_amounts},
	{.name = "requests", .type = JSONX_CUSTOM, .decode = check_amounts},
	{0},
};

static const struct jsonx_field worker_fields[] = {
	ENUM_FIELD("placement", struct spec, placement, placement_words),
	OBJECT_FIELD("resources", 0, resources_fields),
	OBJECT_FIELD("podTemplate", 0, spec_pod_template_fields),
	{0},
};

const struct jsonx_field spec_fields[] = {
	{.name = "source",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct spec, source),
	 .flags = JSONX_REQUIRED,
	 .fields = spec_source_fields},
	{.name = "sink",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct spec, sink),
	 .flags = JSONX_REQUIRED,
	 .fields = sink_fields},
	{.name = "schema", .type = JSONX_CUSTOM, .decode = decode_schema},
	OBJECT_FIELD("schemaConfigMapRef", 0, config_map_fields),
	OBJECT_FIELD("documents", offsetof(struct spec, document_format), documents_fields),
	OBJECT_FIELD("checkpoint", 0, checkpoint_fields),
	OBJECT_FIELD("bootstrap", 0, bootstrap_fields),
	OBJECT_FIELD("onError", 0, on_error_fields),
	INTEGER_FIELD("lagTargetSeconds", struct spec, lag_target_seconds, 1, 86400),
	CAREFUL_FIELD("mode", struct spec, mode, mode_words, SPEC_MODE_PLAN),
	BOOLEAN_FIELD("suspend", struct spec, suspend),
	INTEGER_FIELD("resyncNonce", struct spec, resync_nonce, 0, NONCE_MOST),
	INTEGER_FIELD("restartNonce", struct spec, restart_nonce, 0, NONCE_MOST),
	OBJECT_FIELD("deletionPolicy", 0, deletion_fields),
	OBJECT_FIELD("worker", 0, worker_fields),
	{0},
};
