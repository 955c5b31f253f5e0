/* The spec of a PgSync resource: decoding tables, defaults, and the rules that hold between fields. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "spec/spec_int.h"

#define INVALID_SPEC "InvalidSpec"

enum {
	OBJECT_NAME_BYTES = 253,
	RESOURCE_NAME_BYTES = 52, /* as the CRD says */
	IDENTIFIER_BYTES = 63,
	URL_BYTES = 2048,
	URL_COUNT = 16,
	UID_BYTES = 8,
	DEFAULT_PORT = 5432,
};

static const char *const tls_words[] = {"Disable", "Prefer", "Require", "VerifyCA", "VerifyFull", NULL};
static const char *const identity_words[] = {"Manage", "Verify", NULL};
static const char *const slot_lost_words[] = {"Resync", "Stall", NULL};
static const char *const auth_words[] = {"None", "Basic", "APIKey", "Bearer", NULL};
static const char *const meta_words[] = {"None", "Pgsync", NULL};
static const char *const id_words[] = {"Escaped", "Pgsync", NULL};
static const char *const mapping_words[] = {"Generated", "Dynamic", NULL};
static const char *const store_words[] = {"Sink", "Redis", NULL};
static const char *const bootstrap_words[] = {"IfNeeded", "Never", NULL};
static const char *const on_error_words[] = {"DeadLetter", "Stall", NULL};
static const char *const retain_words[] = {"Delete", "Retain", NULL};
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
#define OBJECT_FIELD(key, offset_, fields_)                                                   \
	{                                                                                     \
		.name = (key), .type = JSONX_OBJECT, .offset = (offset_), .fields = (fields_) \
	}

static const struct jsonx_field secret_ref_fields[] = {
	REQUIRED_STRING("name", struct spec_secret_ref, name, OBJECT_NAME_BYTES),
	STRING_FIELD("key", struct spec_secret_ref, key, OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field secret_name_fields[] = {
	REQUIRED_STRING("name", struct spec_secret_ref, name, OBJECT_NAME_BYTES),
	{0},
};

/* --- spec.source */

static void decode_tls_mode(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct jsonx_field mode[] = {ENUM_FIELD("mode", struct spec_source, tls, tls_words), {0}};
	_cleanup_json_ json_t *alone = json_pack("{s:O}", "mode", value);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(strrchr(path, '.') - path));
	struct spec_source *source = out;

	jsonx_decode(alone, mode, source, parent, INVALID_SPEC, f);
	source->tls_given = true;
}

static const struct jsonx_field source_tls_fields[] = {
	{.name = "mode", .type = JSONX_CUSTOM, .decode = decode_tls_mode},
	OBJECT_FIELD("caSecretRef", offsetof(struct spec_source, ca), secret_ref_fields),
	{0},
};

static const struct jsonx_field replication_fields[] = {
	STRING_FIELD("slotName", struct spec_source, slot_name, IDENTIFIER_BYTES),
	STRING_FIELD("publicationName", struct spec_source, publication_name, IDENTIFIER_BYTES),
	ENUM_FIELD("replicaIdentity", struct spec_source, replica_identity, identity_words),
	ENUM_FIELD("slotLostPolicy", struct spec_source, slot_lost, slot_lost_words),
	BOOLEAN_FIELD("failover", struct spec_source, failover),
	{0},
};

static const struct jsonx_field connection_secret_fields[] = {
	REQUIRED_STRING("name", struct spec_source, connection_secret, OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field source_fields[] = {
	STRING_FIELD("host", struct spec_source, host, OBJECT_NAME_BYTES),
	INTEGER_FIELD("port", struct spec_source, port, 1, 65535),
	STRING_FIELD("database", struct spec_source, database, IDENTIFIER_BYTES),
	STRING_FIELD("user", struct spec_source, user, IDENTIFIER_BYTES),
	OBJECT_FIELD("passwordSecretRef", offsetof(struct spec_source, password_ref), secret_ref_fields),
	OBJECT_FIELD("connectionSecretRef", 0, connection_secret_fields),
	OBJECT_FIELD("tls", 0, source_tls_fields),
	OBJECT_FIELD("replication", 0, replication_fields),
	{0},
};

/* --- spec.sink */

static const struct jsonx_field authentication_fields[] = {
	ENUM_FIELD("type", struct spec_sink, auth, auth_words),
	OBJECT_FIELD("secretRef", offsetof(struct spec_sink, auth_secret), secret_name_fields),
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

static void expect_object(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!json_is_object(value))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, path, "must be an object, found %s",
			     jsonx_type_name(value));
}

static const struct jsonx_field config_map_fields[] = {
	REQUIRED_STRING("name", struct spec, schema_config_map, OBJECT_NAME_BYTES),
	STRING_FIELD("key", struct spec, schema_config_map_key, OBJECT_NAME_BYTES),
	{0},
};

static const struct jsonx_field documents_fields[] = {
	ENUM_FIELD("meta", struct schema_document_format, meta, meta_words),
	ENUM_FIELD("idFormat", struct schema_document_format, id_format, id_words),
	ENUM_FIELD("mapping", struct schema_document_format, mapping, mapping_words),
	{0},
};

static const struct jsonx_field checkpoint_fields[] = {
	ENUM_FIELD("store", struct spec, checkpoint_store, store_words),
	{.name = "redis", .type = JSONX_CUSTOM, .decode = expect_object},
	{0},
};

static const struct jsonx_field bootstrap_fields[] = {
	ENUM_FIELD("policy", struct spec, bootstrap, bootstrap_words),
	INTEGER_FIELD("parallelism", struct spec, bootstrap_parallelism, 1, 16),
	{0},
};

static const struct jsonx_field on_error_fields[] = {
	ENUM_FIELD("policy", struct spec, on_error, on_error_words),
	{0},
};

static const struct jsonx_field deletion_fields[] = {
	ENUM_FIELD("replicationSlot", struct spec, delete_slot, retain_words),
	ENUM_FIELD("publication", struct spec, delete_publication, retain_words),
	ENUM_FIELD("index", struct spec, delete_index, retain_words),
	ENUM_FIELD("checkpoint", struct spec, delete_checkpoint, retain_words),
	{0},
};

static const struct jsonx_field worker_fields[] = {
	ENUM_FIELD("placement", struct spec, placement, placement_words),
	{.name = "resources", .type = JSONX_CUSTOM, .decode = expect_object},
	{0},
};

static const struct jsonx_field spec_fields[] = {
	{.name = "source",
	 .type = JSONX_OBJECT,
	 .offset = offsetof(struct spec, source),
	 .flags = JSONX_REQUIRED,
	 .fields = source_fields},
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
	BOOLEAN_FIELD("suspend", struct spec, suspend),
	INTEGER_FIELD("resyncNonce", struct spec, resync_nonce, 0, INT64_MAX),
	INTEGER_FIELD("restartNonce", struct spec, restart_nonce, 0, INT64_MAX),
	OBJECT_FIELD("deletionPolicy", 0, deletion_fields),
	OBJECT_FIELD("worker", 0, worker_fields),
	{0},
};

/* --- rules between fields */

static void set_default(char **field, const char *value)
{
	if (!*field)
		*field = xstrdup(value);
}

bool spec_is_object_name(const char *name)
{
	size_t len = strlen(name);

	return len && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len && !strchr("-.", name[0]) &&
	       !strchr("-.", name[len - 1]);
}

bool spec_is_data_key(const char *key)
{
	size_t len = strlen(key);

	return len && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") == len;
}

/* Names and keys of Secrets and ConfigMaps, by the rules of Kubernetes: they also become parts of paths. */
static void check_reference(const char *name, const char *key, const char *path, struct findings *f)
{
	_cleanup_free_ char *name_path = xasprintf("%s.name", path);
	_cleanup_free_ char *key_path = xasprintf("%s.key", path);

	if (name && !spec_is_object_name(name))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, name_path,
			     "must be the name of an object (a-z, 0-9, '-' and '.'), found \"%s\"", name);
	if (key && !spec_is_data_key(key))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, key_path,
			     "must be a key (letters, digits, '-', '_' and '.'), found \"%s\"", key);
}

static void check_references(const struct spec *spec, struct findings *f)
{
	const struct spec_source *source = &spec->source;
	const struct spec_sink *sink = &spec->sink;

	check_reference(source->password_ref.name, source->password_ref.key, "spec.source.passwordSecretRef", f);
	check_reference(source->connection_secret, NULL, "spec.source.connectionSecretRef", f);
	check_reference(source->ca.name, source->ca.key, "spec.source.tls.caSecretRef", f);
	check_reference(sink->auth_secret.name, NULL, "spec.sink.authentication.secretRef", f);
	check_reference(sink->ca.name, sink->ca.key, "spec.sink.tls.caSecretRef", f);
	check_reference(spec->schema_config_map, spec->schema_config_map_key, "spec.schemaConfigMapRef", f);
}

static void check_source(struct spec_source *source, const json_t *given, struct findings *f)
{
	static const char slot_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	/* Wrong, and so not there. */
	bool host = source->host || json_object_get(given, "host") || jsonx_is_meant(given, source_fields, "host");
	bool secret = source->connection_secret || json_object_get(given, "connectionSecretRef") ||
		      jsonx_is_meant(given, source_fields, "connectionSecretRef");

	if (!json_is_object(given))
		return;
	if (source->host && source->connection_secret)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source",
			     "exactly one of `host` and `connectionSecretRef` must be set, found both");
	if (!host && !secret)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source",
			     "exactly one of `host` and `connectionSecretRef` must be set, found neither");
	if (host && !secret && !source->user && !json_object_get(given, "user") &&
	    !jsonx_is_meant(given, source_fields, "user"))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source.user", "is required");
	if (source->tls_given && source->tls >= SPEC_TLS_VERIFY_CA && !source->ca.name &&
	    !findings_concern(f, "spec.source.tls"))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source.tls",
			     "mode %s needs `caSecretRef`, the certificate authority to verify against",
			     tls_words[source->tls]);
	if (!source->tls_given && source->ca.name)
		source->tls = SPEC_TLS_VERIFY_FULL;
	if (source->slot_name && source->slot_name[strspn(source->slot_name, slot_characters)])
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source.replication.slotName",
			     "must consist of a-z, 0-9 and _, found \"%s\"", source->slot_name);
}

/* rest: HOST[:PORT][/PATH], where HOST may be [an IPv6 address]. */
static bool has_good_port(const char *rest)
{
	size_t host = *rest == '[' ? strcspn(rest, "]") : strcspn(rest, ":/");
	_cleanup_free_ char *port = NULL;
	uint64_t ignored;

	host += rest[host] == ']';
	if (rest[host] != ':')
		return true;
	port = xstrndup(rest + host + 1, strcspn(rest + host + 1, "/"));
	return parse_range(port, 1, 65535, &ignored);
}

static void check_url(const char *url, const char *path, struct findings *f)
{
	const char *rest;

	if (strncmp(url, "http://", 7) == 0)
		rest = url + 7;
	else if (strncmp(url, "https://", 8) == 0)
		rest = url + 8;
	else
		rest = NULL;
	if (!rest || !*rest || *rest == '/' || *rest == ':' || strlen(url) > URL_BYTES) {
		findings_add(f, FINDING_ERROR, INVALID_SPEC, path, "must be http://HOST[:PORT] or https://HOST[:PORT]");
		return;
	}
	if (!strchr(rest, '@') && !has_good_port(rest))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, path,
			     "the port must be between 1 and 65535, one for each URL");
	if (strchr(rest, '@'))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, path,
			     "may not hold a user or password; use `sink.authentication` with a Secret");
	else if (strpbrk(rest, "?# \t\r\n"))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, path, "may not hold blanks, a query or a fragment");
}

static void check_sink(const struct spec_sink *sink, struct findings *f)
{
	if (sink->urls.items && (sink->urls.n < 1 || sink->urls.n > URL_COUNT))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.sink.urls", "must hold 1 to %d URLs, found %zu",
			     URL_COUNT, sink->urls.n);
	for (size_t i = 0; sink->urls.items && i < sink->urls.n && i < URL_COUNT; i++) {
		_cleanup_free_ char *path = xasprintf("spec.sink.urls[%zu]", i);

		if (*sink->urls.items[i])
			check_url(sink->urls.items[i], path, f);
	}
	/* Wrong types and keys in there have findings of their own. */
	if (findings_concern(f, "spec.sink.authentication"))
		return;
	if (sink->auth != SPEC_AUTH_NONE && !sink->auth_secret.name)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.sink.authentication.secretRef",
			     "is required: type %s takes its values from a Secret", auth_words[sink->auth]);
	if (sink->auth == SPEC_AUTH_NONE && sink->auth_secret.name)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.sink.authentication.type",
			     "must be Basic, APIKey or Bearer when `secretRef` is set");
}

static bool is_given(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	return (value && !json_is_null(value)) || jsonx_is_meant(body, spec_fields, name);
}

static void check_schema_given(const json_t *body, struct findings *f)
{
	bool here = is_given(body, "schema"), there = is_given(body, "schemaConfigMapRef");

	if (here == there)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.schema",
			     "exactly one of `schema` and `schemaConfigMapRef` must be set, found %s",
			     here ? "both" : "neither");
}

void spec_set_schema_hash(struct spec *spec, const json_t *schema)
{
	const struct schema_document_format *as = &spec->document_format;
	_cleanup_json_ json_t *parts = json_pack("[O, s, s, s]", schema, meta_words[as->meta], id_words[as->id_format],
						 mapping_words[as->mapping]);
	char hash[JSONX_HASH_BYTES];

	free(spec->schema_hash);
	spec->schema_hash = xstrdup(jsonx_hash(parts, hash));
}

static void check_not_built(const struct spec *spec, struct findings *f)
{
	if (spec->placement == SPEC_PLACEMENT_POD)
		findings_add(f, FINDING_ERROR, "NotSupported", "spec.worker.placement",
			     "Pod is not supported by this version; use Process");
	if (spec->checkpoint_store == SPEC_STORE_REDIS)
		findings_add(f, FINDING_ERROR, "NotSupported", "spec.checkpoint.store",
			     "Redis is not supported by this version; use Sink");
}

/* A slot serves one database, so all documents must be of the one that the source names; a source that names none takes
 * the documents'. */
void spec_check_databases(struct spec *spec, struct findings *f)
{
	for (size_t i = 0; i < spec->n_documents; i++) {
		const struct schema_document *document = spec->documents[i];
		_cleanup_free_ char *path = xasprintf("%s.database", document->path);

		if (!document->database)
			continue;
		set_default(&spec->source.database, document->database);
		if (strcmp(document->database, spec->source.database) != 0)
			findings_add(f, FINDING_ERROR, "InvalidSchema", path,
				     "must be \"%s\", the database of the source and of every document, found \"%s\"; "
				     "another database needs a PgSync of its own",
				     spec->source.database, document->database);
	}
	/* A Secret that was not found has its own finding. */
	if (!spec->source.database && spec->source.host)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec.source.database", "is required");
}

/* --- names */

static void add_sanitised(struct strbuf *sb, const char *s, size_t max)
{
	for (size_t i = 0; s[i] && i < max; i++) {
		char c = s[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		strbuf_addc(sb, (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
	}
}

/* The last part keeps names apart that cutting or sanitising makes equal: of the uid, or without one (outside
 * Kubernetes) of a hash over namespace and name. */
static char *derived_name(const struct spec *spec)
{
	_cleanup_json_ json_t *key = json_pack("[s, s]", spec->namespace, spec->name);
	char hash[JSONX_HASH_BYTES];
	struct strbuf sb;

	strbuf_init(&sb, 1024);
	strbuf_adds(&sb, "pgsync_");
	add_sanitised(&sb, spec->namespace, OBJECT_NAME_BYTES);
	strbuf_addc(&sb, '_');
	add_sanitised(&sb, spec->name, OBJECT_NAME_BYTES);
	if (sb.len > IDENTIFIER_BYTES - UID_BYTES - 1)
		strbuf_truncate(&sb, IDENTIFIER_BYTES - UID_BYTES - 1);
	strbuf_addc(&sb, '_');
	add_sanitised(&sb, spec->uid ? spec->uid : strchr(jsonx_hash(key, hash), ':') + 1, UID_BYTES);
	return strbuf_detach(&sb);
}

static void decode_metadata(struct spec *spec, const json_t *resource, struct findings *f)
{
	const char *kind = jsonx_string(resource, "kind", "PgSync");
	const char *version = jsonx_string(resource, "apiVersion", "pgsync.io/v1alpha1");
	const char *name = jsonx_string(resource, "metadata.name", "");

	if (strcmp(kind, "PgSync") != 0)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "kind", "must be PgSync, found \"%s\"", kind);
	if (strcmp(version, "pgsync.io/v1alpha1") != 0)
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "apiVersion", "must be pgsync.io/v1alpha1, found \"%s\"",
			     version);
	if (!spec_is_object_name(name))
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "metadata.name",
			     "must be a name of a-z, 0-9, '-' and '.', found \"%s\"", name);
	else if (strlen(name) > RESOURCE_NAME_BYTES)
		findings_add(
			f, FINDING_ERROR, INVALID_SPEC, "metadata.name",
			"must be at most %d characters, found %zu: names of slots and other things are made from it",
			RESOURCE_NAME_BYTES, strlen(name));
	spec->name = xstrdup(name);
	spec->namespace = xstrdup(jsonx_string(resource, "metadata.namespace", "default"));
	spec->uid = xstrdup_or_null(jsonx_string(resource, "metadata.uid", NULL));
	if (spec->uid && !*spec->uid) {
		free(spec->uid);
		spec->uid = NULL;
	}
}

static void set_number_defaults(struct spec *spec)
{
	spec->sink.bulk_max_bytes = 8 * 1024 * 1024;
	spec->sink.bulk_concurrency = 2;
	spec->sink.bulk_flush_milliseconds = 20;
	spec->bootstrap_parallelism = 2;
	spec->lag_target_seconds = 60;
	spec->delete_index = SPEC_RETAIN;
}

static void set_text_defaults(struct spec *spec)
{
	if (!spec->source.connection_secret && !spec->source.port)
		spec->source.port = DEFAULT_PORT;
	if (spec->source.password_ref.name)
		set_default(&spec->source.password_ref.key, "password");
	if (spec->source.ca.name)
		set_default(&spec->source.ca.key, "ca.crt");
	if (spec->sink.ca.name)
		set_default(&spec->sink.ca.key, "ca.crt");
	if (spec->schema_config_map)
		set_default(&spec->schema_config_map_key, "schema.json");
	if (!spec->source.slot_name)
		spec->source.slot_name = derived_name(spec);
	if (!spec->source.publication_name)
		spec->source.publication_name = derived_name(spec);
}

struct spec *spec_decode(const json_t *resource, struct findings *f)
{
	struct spec *spec = xcalloc(1, sizeof(*spec));
	const json_t *body = json_object_get(resource, "spec");

	set_number_defaults(spec);
	decode_metadata(spec, resource, f);
	if (!json_is_object(body)) {
		findings_add(f, FINDING_ERROR, INVALID_SPEC, "spec", "must be an object, found %s",
			     body ? jsonx_type_name(body) : "nothing");
		set_text_defaults(spec);
		return spec;
	}
	jsonx_decode(body, spec_fields, spec, "spec", INVALID_SPEC, f);
	if (spec->documents)
		spec_set_schema_hash(spec, json_object_get(body, "schema"));
	set_text_defaults(spec);
	check_references(spec, f);
	check_source(&spec->source, json_object_get(body, "source"), f);
	check_sink(&spec->sink, f);
	check_schema_given(body, f);
	check_not_built(spec, f);
	if (!spec->source.connection_secret && !spec->schema_config_map)
		spec_check_databases(spec, f);
	return spec;
}

bool spec_can_be_checked(const struct spec *spec, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (finding_concerns(&f->items[i], "spec.source") &&
		    !path_is_within(f->items[i].path, "spec.source.replication"))
			return false;
	return spec->documents;
}

bool spec_can_be_cleaned_up(const struct findings *f)
{
	return !findings_concern(f, "spec.source") && !findings_concern(f, "spec.sink");
}

static void secret_ref_release(struct spec_secret_ref *ref)
{
	free(ref->name);
	free(ref->key);
	free_secret(ref->value);
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	free(spec->namespace);
	free(spec->name);
	free(spec->uid);
	free(spec->source.host);
	free(spec->source.database);
	free(spec->source.user);
	free_secret(spec->source.password);
	free(spec->source.connection_secret);
	secret_ref_release(&spec->source.password_ref);
	secret_ref_release(&spec->source.ca);
	free(spec->source.slot_name);
	free(spec->source.publication_name);
	jsonx_strings_release(&spec->sink.urls);
	secret_ref_release(&spec->sink.auth_secret);
	free_secret(spec->sink.username);
	free_secret(spec->sink.password);
	free_secret(spec->sink.api_key);
	free_secret(spec->sink.token);
	secret_ref_release(&spec->sink.ca);
	for (size_t i = 0; i < spec->n_documents; i++)
		schema_document_free(spec->documents[i]);
	free(spec->documents);
	free(spec->schema_config_map);
	free(spec->schema_config_map_key);
	free(spec->schema_hash);
	free(spec);
}
