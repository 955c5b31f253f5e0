/* A PgSync: metadata, defaults, and the derived names. */
#include "spec/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"
#include "spec/spec_int.h"

enum { RESOURCE_NAME_BYTES = 52 /* as the CRD says */, UID_BYTES = 8, NONCE_BYTES = 256 };

void spec_set_schema_hash(struct spec *spec, const json_t *schema)
{
	const struct schema_document_format *as = &spec->document_format;
	_cleanup_json_ json_t *parts = json_pack("[O, s, s, s]", schema, spec_meta_words[as->meta],
						 spec_id_words[as->id_format], spec_mapping_words[as->mapping]);
	char hash[JSONX_HASH_BYTES];

	/* Names in expressions may have another meaning on another search path. */
	for (size_t i = 0; i < spec->source.search_path.n; i++)
		(void)json_array_append_new(parts, json_string(spec->source.search_path.items[i]));
	free(spec->schema_hash);
	spec->schema_hash = xstrdup(jsonx_hash(parts, hash));
}

static void append_sanitized(struct strbuf *sb, const char *s, size_t max)
{
	for (size_t i = 0; s[i] && i < max; i++) {
		char c = s[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		strbuf_addc(sb, (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
	}
}

/* Truncating and sanitizing can make names equal; the last part keeps them apart. It comes from the uid or, without one
 * (outside Kubernetes), from a hash of namespace and name. */
static char *derived_name(const struct spec *spec)
{
	_cleanup_json_ json_t *key = json_pack("[s, s]", spec->namespace, spec->name);
	char hash[JSONX_HASH_BYTES];
	struct strbuf sb;

	strbuf_init(&sb, 1024);
	strbuf_adds(&sb, "pgsync_");
	append_sanitized(&sb, spec->namespace, SPEC_OBJECT_NAME_BYTES);
	strbuf_addc(&sb, '_');
	append_sanitized(&sb, spec->name, SPEC_OBJECT_NAME_BYTES);
	if (sb.len > SPEC_IDENTIFIER_BYTES - UID_BYTES - 1)
		strbuf_truncate(&sb, SPEC_IDENTIFIER_BYTES - UID_BYTES - 1);
	strbuf_addc(&sb, '_');
	append_sanitized(&sb, spec->uid ? spec->uid : strchr(jsonx_hash(key, hash), ':') + 1, UID_BYTES);
	return strbuf_detach(&sb);
}

static void decode_metadata(struct spec *spec, const json_t *resource, struct findings *f)
{
	const char *kind = jsonx_string(resource, "kind", "PgSync");
	const char *version = jsonx_string(resource, "apiVersion", "pgsync.io/v1alpha1");
	const char *name = jsonx_string(resource, "metadata.name", "");
	const json_t *nonce;

	if (strcmp(kind, "PgSync") != 0)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "kind", "must be PgSync, found \"%s\"", kind);
	if (strcmp(version, "pgsync.io/v1alpha1") != 0)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "apiVersion",
			     "must be pgsync.io/v1alpha1, found \"%s\"", version);
	if (!spec_is_object_name(name))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "metadata.name",
			     "must be a name of a-z, 0-9, '-' and '.', found \"%s\"", name);
	else if (strlen(name) > RESOURCE_NAME_BYTES)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "metadata.name",
			     "must be at most %d characters, found %zu: names such as the slot's are derived from it",
			     RESOURCE_NAME_BYTES, strlen(name));
	spec->name = xstrdup(name);
	spec->namespace = xstrdup(jsonx_string(resource, "metadata.namespace", "default"));
	spec->uid = xstrdup_or_null(jsonx_string(resource, "metadata.uid", NULL));
	/* Its name contains a dot. */
	nonce = json_object_get(jsonx_get(resource, "metadata.annotations"), SPEC_RETRY_DEAD_LETTERS);
	if (json_string_length(nonce))
		spec->retry_dead_letters =
			xstrndup(json_string_value(nonce),
				 utf8_prefix(json_string_value(nonce), json_string_length(nonce), NONCE_BYTES));
	if (spec->uid && !*spec->uid) {
		free(spec->uid);
		spec->uid = NULL;
	}
}

static void set_number_defaults(struct spec *spec)
{
	spec->source.tls = SPEC_TLS_PREFER;
	spec->source.limits.statement_seconds = 600;
	spec->source.limits.snapshot_seconds = 60;
	spec->sink.bulk_max_bytes = 1024 * 1024;
	spec->sink.bulk_concurrency = 2;
	spec->sink.bulk_flush_milliseconds = 20;
	spec->bootstrap_parallelism = 2;
	spec->lag_target_seconds = 60;
	spec->delete_index = SPEC_RETAIN;
}

static void set_default(char **field, const char *value)
{
	if (!*field)
		*field = xstrdup(value);
}

/* The defaults that depend on what was given. */
static void set_derived_defaults(struct spec *spec)
{
	if (!spec->source.connection_secret && !spec->source.port)
		spec->source.port = SPEC_DEFAULT_PORT;
	if (spec->source.password_ref.name)
		set_default(&spec->source.password_ref.key, "password");
	if (spec->source.password_mount.name)
		set_default(&spec->source.password_mount.key, "password");
	if (spec->source.ca.name)
		set_default(&spec->source.ca.key, "ca.crt");
	if (spec->source.ca.name && !spec->source.tls_given)
		spec->source.tls = SPEC_TLS_VERIFY_FULL;
	if (spec->sink.ca.name)
		set_default(&spec->sink.ca.key, "ca.crt");
	if (spec->redis.password.name)
		set_default(&spec->redis.password.key, "password");
	if (spec->redis.ca.name)
		set_default(&spec->redis.ca.key, "ca.crt");
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
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec", "must be an object, found %s",
			     body ? jsonx_type_name(body) : "nothing");
		set_derived_defaults(spec);
		return spec;
	}
	jsonx_decode(body, spec_fields, spec, "spec", REASON_INVALID_SPEC, f);
	if (spec->documents)
		spec_set_schema_hash(spec, json_object_get(body, "schema"));
	set_derived_defaults(spec);
	spec_read_redis_url(&spec->redis);
	spec_check(spec, body, f);
	if (!spec->source.connection_secret && !spec->schema_config_map)
		spec_check_databases(spec, f);
	return spec;
}

struct spec *spec_decode_admitted(const json_t *resource, struct findings *f)
{
	struct findings found;
	struct spec *spec;

	findings_init(&found);
	spec = spec_decode(resource, &found);
	for (size_t i = 0; i < found.n; i++)
		if (found.items[i].unknown && found.items[i].reason == REASON_INVALID_SPEC)
			found.items[i].severity = FINDING_WARNING;
	findings_move(f, &found);
	return spec;
}

struct spec *spec_decode_outline(const json_t *resource)
{
	_cleanup_json_ json_t *outline = json_is_object(resource) ? json_copy((json_t *)resource) : json_object();
	json_t *body = json_object_get(resource, "spec");
	_cleanup_(findings_release) struct findings ignored;

	findings_init(&ignored);
	if (json_is_object(body)) {
		body = json_copy(body);
		(void)json_object_del(body, "schema");
		(void)json_object_set_new(outline, "spec", body);
	}
	return spec_decode_admitted(outline, &ignored);
}

static void secret_ref_release(struct spec_secret_ref *ref)
{
	free(ref->name);
	free(ref->key);
	free_secret(ref->value);
}

int64_t spec_bootstrap_readers(const struct spec *spec)
{
	int64_t left = spec->source.limits.connections - SPEC_OTHER_CONNECTIONS;

	return left > 0 && left < spec->bootstrap_parallelism ? left : spec->bootstrap_parallelism;
}

char *spec_checkpoint_key(const struct spec *spec)
{
	return xasprintf("%s/%s/%s", spec->namespace, spec->name, spec->source.slot_name);
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	free(spec->namespace);
	free(spec->name);
	free(spec->uid);
	free(spec->retry_dead_letters);
	free(spec->source.host);
	free(spec->source.database);
	jsonx_strings_release(&spec->source.search_path);
	free(spec->source.user);
	free_secret(spec->source.password);
	free(spec->source.connection_secret);
	secret_ref_release(&spec->source.password_ref);
	secret_ref_release(&spec->source.password_mount);
	free(spec->source.password_file);
	jsonx_strings_release(&spec->source.password_command);
	secret_ref_release(&spec->source.ca);
	free(spec->source.slot_name);
	free(spec->source.publication_name);
	jsonx_strings_release(&spec->sink.urls);
	secret_ref_release(&spec->sink.auth_secret);
	free_secret(spec->sink.username);
	free_secret(spec->sink.password);
	free(spec->sink.aws_region);
	free_secret(spec->sink.api_key);
	free_secret(spec->sink.token);
	secret_ref_release(&spec->sink.ca);
	free(spec->redis.url);
	free(spec->redis.host);
	free(spec->redis.username);
	jsonx_strings_release(&spec->redis.sentinels);
	secret_ref_release(&spec->redis.password);
	secret_ref_release(&spec->redis.ca);
	for (size_t i = 0; i < spec->n_documents; i++)
		schema_document_free(spec->documents[i]);
	free(spec->documents);
	free(spec->schema_config_map);
	free(spec->schema_config_map_key);
	free(spec->schema_hash);
	free(spec);
}
