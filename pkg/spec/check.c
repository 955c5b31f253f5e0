/* The rules between fields. */
#include "spec/spec_int.h"

#include <string.h>

#include "base/parse.h"

enum { URL_COUNT = 16 };

/* Names and keys of Secrets and ConfigMaps, by the rules of Kubernetes: they also become parts of paths. */
static void check_reference(const char *name, const char *key, const char *path, struct findings *f)
{
	_cleanup_free_ char *name_path = xasprintf("%s.name", path);
	_cleanup_free_ char *key_path = xasprintf("%s.key", path);

	if (name && !spec_is_object_name(name))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, name_path,
			     "must be the name of an object (a-z, 0-9, '-' and '.'), found \"%s\"", name);
	if (key && !spec_is_data_key(key))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, key_path,
			     "must be a key (letters, digits, '-', '_' and '.'), found \"%s\"", key);
}

static void check_references(const struct spec *spec, struct findings *f)
{
	const struct spec_source *source = &spec->source;
	const struct spec_sink *sink = &spec->sink;

	check_reference(source->password_ref.name, source->password_ref.key, "spec.source.passwordSecretRef", f);
	check_reference(source->password_mount.name, source->password_mount.key, "spec.source.passwordFrom.secretRef",
			f);
	check_reference(source->connection_secret, NULL, "spec.source.connectionSecretRef", f);
	check_reference(source->ca.name, source->ca.key, "spec.source.tls.caSecretRef", f);
	check_reference(sink->auth_secret.name, NULL, "spec.sink.authentication.secretRef", f);
	check_reference(sink->ca.name, sink->ca.key, "spec.sink.tls.caSecretRef", f);
	check_reference(spec->redis.password.name, spec->redis.password.key, "spec.checkpoint.redis.passwordSecretRef",
			f);
	check_reference(spec->redis.ca.name, spec->redis.ca.key, "spec.checkpoint.redis.tls.caSecretRef", f);
	check_reference(spec->schema_config_map, spec->schema_config_map_key, "spec.schemaConfigMapRef", f);
}

static void check_source(const struct spec_source *source, const json_t *given, struct findings *f)
{
	static const char slot_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	/* An invalid or misspelled one counts too. */
	bool host = source->host || json_object_get(given, "host") || jsonx_is_meant(given, spec_source_fields, "host");
	bool secret = source->connection_secret || json_object_get(given, "connectionSecretRef") ||
		      jsonx_is_meant(given, spec_source_fields, "connectionSecretRef");

	if (!json_is_object(given))
		return;
	if (source->host && source->connection_secret)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source",
			     "exactly one of `host` and `connectionSecretRef` must be set, found both");
	if (!host && !secret)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source",
			     "exactly one of `host` and `connectionSecretRef` must be set, found neither");
	if (host && !secret && !source->user && !json_object_get(given, "user") &&
	    !jsonx_is_meant(given, spec_source_fields, "user"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.user", "is required");
	if (source->tls_given && source->tls >= SPEC_TLS_VERIFY_CA && !source->ca.name &&
	    !findings_any_about(f, "spec.source.tls"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.tls",
			     "mode %s needs `caSecretRef`, the certificate authority to verify against",
			     spec_tls_words[source->tls]);
	if (source->slot_name && source->slot_name[strspn(source->slot_name, slot_characters)])
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.replication.slotName",
			     "must consist of a-z, 0-9 and _, found \"%s\"", source->slot_name);
}

/* rest: HOST[:PORT][/PATH], where HOST may be [an IPv6 address]. */
static bool has_valid_port(const char *rest)
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
	if (!rest || !*rest || *rest == '/' || *rest == ':' || strlen(url) > SPEC_URL_BYTES) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must be http://HOST[:PORT] or https://HOST[:PORT]");
		return;
	}
	if (!strchr(rest, '@') && !has_valid_port(rest))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "the port must be between 1 and 65535, one for each URL");
	if (strchr(rest, '@'))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must not contain a user or password; use `sink.authentication` with a Secret");
	else if (strpbrk(rest, "?# \t\r\n"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must not contain spaces, a query or a fragment");
}

static void check_region(const struct spec_sink *sink, struct findings *f)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *region = sink->aws_region;

	if (sink->auth == SPEC_AUTH_AWS && !region)
		findings_add(
			f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.authentication.region",
			"is required for type AWS: the region of the search engine's domain, such as eu-central-1");
	else if (sink->auth != SPEC_AUTH_AWS && region)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.authentication.region",
			     "is for type AWS only");
	else if (region && (!*region || region[strspn(region, letters)]))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.authentication.region",
			     "must be a region of AWS, such as eu-central-1");
}

static void check_sink(const struct spec_sink *sink, struct findings *f)
{
	if (sink->urls.items && (sink->urls.n < 1 || sink->urls.n > URL_COUNT))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.urls",
			     "must contain 1 to %d URLs, found %zu", URL_COUNT, sink->urls.n);
	for (size_t i = 0; sink->urls.items && i < sink->urls.n && i < URL_COUNT; i++) {
		_cleanup_free_ char *path = xasprintf("spec.sink.urls[%zu]", i);

		if (*sink->urls.items[i])
			check_url(sink->urls.items[i], path, f);
	}
	/* Invalid types and keys in it have their own findings. */
	if (findings_any_about(f, "spec.sink.authentication"))
		return;
	if (sink->auth != SPEC_AUTH_NONE && !sink->auth_secret.name)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.authentication.secretRef",
			     "is required: type %s takes its values from a Secret", spec_auth_words[sink->auth]);
	if (sink->auth == SPEC_AUTH_NONE && sink->auth_secret.name)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.authentication.type",
			     "must be Basic, APIKey, Bearer or AWS when `secretRef` is set");
	check_region(sink, f);
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
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.schema",
			     "exactly one of `schema` and `schemaConfigMapRef` must be set, found %s",
			     here ? "both" : "neither");
}

void spec_check_databases(struct spec *spec, struct findings *f)
{
	for (size_t i = 0; i < spec->n_documents; i++) {
		const struct schema_document *document = spec->documents[i];
		_cleanup_free_ char *path = xasprintf("%s.database", document->path);

		if (!document->database)
			continue;
		if (!spec->source.database)
			spec->source.database = xstrdup(document->database);
		if (strcmp(document->database, spec->source.database) != 0)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "must be \"%s\", the database of the source and of every document, found \"%s\"; "
				     "another database needs its own PgSync",
				     spec->source.database, document->database);
	}
	/* If a Secret was not found, that has its own finding. */
	if (!spec->source.database && spec->source.host)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.database", "is required");
}

void spec_check(const struct spec *spec, const json_t *body, struct findings *f)
{
	check_references(spec, f);
	check_source(&spec->source, json_object_get(body, "source"), f);
	spec_check_password_from(&spec->source, json_object_get(body, "source"), f);
	check_sink(&spec->sink, f);
	check_schema_given(body, f);
	spec_check_redis(spec, f);
}

bool spec_can_be_checked(const struct spec *spec, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (finding_is_about(&f->items[i], "spec.source") &&
		    !finding_path_is_within(f->items[i].path, "spec.source.replication"))
			return false;
	return spec->documents;
}

bool spec_can_be_cleaned_up(const struct findings *f)
{
	return !findings_any_about(f, "spec.source") && !findings_any_about(f, "spec.sink");
}
