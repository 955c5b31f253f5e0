/* Puts the values that a spec refers to into the spec. */
#include "spec/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "spec/spec_int.h"

enum { KEY_LIST_BYTES = 1024, URI_BYTES = 8192 };

/* "a, b, c": the keys of an object, never their values. */
static char *key_list(const json_t *object)
{
	struct strbuf sb;
	const char *key;
	json_t *value;

	strbuf_init(&sb, KEY_LIST_BYTES);
	json_object_foreach ((json_t *)object, key, value)
		strbuf_addf(&sb, "%s%s", sb.len ? ", " : "", key);
	if (sb.len == 0)
		strbuf_adds(&sb, "none");
	return strbuf_detach(&sb);
}

/* A reference to an object. */
struct reference {
	const char *kind; /* "Secret" */
	const char *name;
	const char *path;   /* of the field */
	enum reason reason; /* reason of the finding if the object is missing */
};

struct resolver {
	const struct spec_objects *objects;
	struct findings *f;
};

/* The object of that name among `objects`, or NULL with a finding. label: what it must have; or NULL. */
static const json_t *find_object(const json_t *objects, const struct reference *r, const char *label,
				 struct findings *f)
{
	const json_t *object = json_object_get(objects, r->name);

	if (!spec_is_object_name(r->name))
		return NULL;
	if (!json_is_object(object)) {
		findings_add(f, FINDING_ERROR, r->reason, r->path, "%s \"%s\" not found%s%s%s", r->kind, r->name,
			     label ? " with the label " : "", label ? label : "",
			     label ? ", which this operator requires" : "");
		return NULL;
	}
	return object;
}

static const json_t *find_secret(const struct resolver *resolver, const struct reference *r)
{
	const struct spec_objects *objects = resolver->objects;

	if (!objects->secrets_elsewhere || !spec_is_object_name(r->name) || json_object_get(objects->secrets, r->name))
		return find_object(objects->secrets, r, objects->secret_label, resolver->f);
	findings_add(resolver->f, FINDING_WARNING, r->reason, r->path,
		     "Secret \"%s\" was not found here and was not checked; it must exist when the PgSync runs",
		     r->name);
	return NULL;
}

static const char *find_secret_value(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* key: as in the message, with its quotes. Does not list the other keys of a Secret: users who may only create PgSyncs
 * must not see them. */
static void add_missing_key(const json_t *object, const struct reference *r, const char *key, struct findings *f)
{
	_cleanup_free_ char *keys = strcmp(r->kind, "Secret") == 0 ? NULL : key_list(object);

	findings_add(f, FINDING_ERROR, r->reason, r->path, "%s \"%s\" has no key %s%s%s", r->kind, r->name, key,
		     keys ? "; its keys are: " : "", keys ? keys : "");
}

/* The value of a required key, or NULL with a finding. */
static const char *require_value(const json_t *object, const struct reference *r, const char *key, struct findings *f)
{
	const char *value = find_secret_value(object, key);
	_cleanup_free_ char *quoted = xasprintf("\"%s\"", key);

	if (!value && spec_is_data_key(key))
		add_missing_key(object, r, quoted, f);
	return value;
}

static void set_secret(char **field, const char *value)
{
	free_secret(*field);
	*field = xstrdup(value);
}

/* --- keys of Secrets --- */

static void resolve_ref(const struct resolver *resolver, struct spec_secret_ref *ref, const char *path)
{
	const struct reference r = {"Secret", ref->name, path, REASON_CREDENTIALS_NOT_FOUND};
	const json_t *secret = ref->name ? find_secret(resolver, &r) : NULL;
	const char *value = secret ? require_value(secret, &r, ref->key, resolver->f) : NULL;

	if (value)
		set_secret(&ref->value, value);
}

static void resolve_password(const struct resolver *resolver, struct spec_source *source, struct spec_secret_ref *ref,
			     const char *path)
{
	resolve_ref(resolver, ref, path);
	if (!ref->value)
		return;
	free_secret(source->password);
	source->password = TAKE_PTR(ref->value);
}

static void resolve_auth_key(const json_t *secret, const struct reference *r, const char *key, char **field,
			     struct findings *f)
{
	const char *value = require_value(secret, r, key, f);

	if (value)
		set_secret(field, value);
}

static void resolve_auth(const struct resolver *resolver, struct spec_sink *sink)
{
	const struct reference r = {"Secret", sink->auth_secret.name, "spec.sink.authentication.secretRef",
				    REASON_CREDENTIALS_NOT_FOUND};
	struct findings *f = resolver->f;
	const json_t *secret;
	const char *token;

	if (sink->auth == SPEC_AUTH_NONE || !r.name)
		return;
	secret = find_secret(resolver, &r);
	if (!secret)
		return;
	switch (sink->auth) {
	case SPEC_AUTH_NONE:
		break;
	case SPEC_AUTH_BASIC:
		resolve_auth_key(secret, &r, "username", &sink->username, f);
		resolve_auth_key(secret, &r, "password", &sink->password, f);
		break;
	case SPEC_AUTH_API_KEY:
		resolve_auth_key(secret, &r, "apiKey", &sink->api_key, f);
		break;
	case SPEC_AUTH_BEARER:
		resolve_auth_key(secret, &r, "token", &sink->token, f);
		break;
	case SPEC_AUTH_AWS:
		resolve_auth_key(secret, &r, "accessKeyId", &sink->username, f);
		resolve_auth_key(secret, &r, "secretAccessKey", &sink->password, f);
		token = find_secret_value(secret, "sessionToken");
		if (token && *token)
			set_secret(&sink->token, token);
		break;
	}
}

/* --- connectionSecretRef --- */

static void copy_value(char **field, const json_t *secret, const char *key, const char *other)
{
	const char *value = find_secret_value(secret, key);

	if (!value && other)
		value = find_secret_value(secret, other);
	if (value && !*field)
		*field = xstrdup(value);
}

/* Sets a field that does not have a value yet. */
static void set_if_absent(char **field, char **value)
{
	if (!*field)
		*field = TAKE_PTR(*value);
}

static void apply_sslmode(struct spec_source *source, const char *mode, struct findings *f)
{
	static const struct {
		const char *word;
		enum spec_tls_mode mode;
	} modes[] = {
		{"disable", SPEC_TLS_DISABLE}, {"allow", SPEC_TLS_PREFER},        {"prefer", SPEC_TLS_PREFER},
		{"require", SPEC_TLS_REQUIRE}, {"verify-ca", SPEC_TLS_VERIFY_CA}, {"verify-full", SPEC_TLS_VERIFY_FULL},
	};

	if (!mode || source->tls_given || source->ca.name)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(mode, modes[i].word) != 0)
			continue;
		source->tls = modes[i].mode;
		if (source->tls >= SPEC_TLS_VERIFY_CA)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.tls",
				     "the uri's sslmode %s needs `caSecretRef`, the certificate authority to verify "
				     "against",
				     mode);
		return;
	}
	findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.source.connectionSecretRef",
		     "the uri's sslmode must be disable, require, verify-ca or verify-full");
}

static struct reference connection_reference(const struct spec_source *source)
{
	return (struct reference){"Secret", source->connection_secret, "spec.source.connectionSecretRef",
				  REASON_CREDENTIALS_NOT_FOUND};
}

static void apply_connection(struct spec_source *source, struct spec_connection *c, const json_t *secret,
			     struct findings *f)
{
	const struct reference r = connection_reference(source);
	uint64_t port = SPEC_DEFAULT_PORT;

	if (c->port && !parse_range(c->port, 1, 65535, &port))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, r.path,
			     "Secret \"%s\": the port must be between 1 and 65535", r.name);
	if (!source->port)
		source->port = (int64_t)port;
	set_if_absent(&source->host, &c->host);
	set_if_absent(&source->database, &c->database);
	set_if_absent(&source->user, &c->user);
	if (c->password) {
		free_secret(source->password);
		source->password = TAKE_PTR(c->password);
	}
	apply_sslmode(source, c->sslmode, f);
	if (!source->host)
		add_missing_key(secret, &r, "\"host\" (and no \"uri\")", f);
	if (!source->user)
		add_missing_key(secret, &r, "\"username\" or \"user\" (and no \"uri\")", f);
}

static void resolve_connection(const struct resolver *resolver, struct spec_source *source)
{
	const struct reference r = connection_reference(source);
	struct findings *f = resolver->f;
	_cleanup_(spec_connection_release) struct spec_connection c = {0};
	_cleanup_(spec_connection_release) struct spec_connection from_uri = {0};
	const json_t *secret;
	const char *uri;

	if (!r.name)
		return;
	secret = find_secret(resolver, &r);
	if (!secret)
		return;
	copy_value(&c.host, secret, "host", NULL);
	copy_value(&c.port, secret, "port", NULL);
	copy_value(&c.database, secret, "dbname", NULL);
	copy_value(&c.user, secret, "username", "user");
	copy_value(&c.password, secret, "password", NULL);
	uri = find_secret_value(secret, "uri");
	if (uri && (strlen(uri) > URI_BYTES || !spec_connection_parse(uri, &from_uri))) {
		if (!c.host)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, r.path,
				     "Secret \"%s\": the uri must be of the form "
				     "postgres://USER:PASSWORD@HOST:PORT/DATABASE",
				     r.name);
	} else if (uri) {
		/* Never combine the host of the keys with the port of the uri. */
		if (!c.host)
			set_if_absent(&c.port, &from_uri.port);
		set_if_absent(&c.host, &from_uri.host);
		set_if_absent(&c.database, &from_uri.database);
		set_if_absent(&c.user, &from_uri.user);
		set_if_absent(&c.password, &from_uri.password);
		set_if_absent(&c.sslmode, &from_uri.sslmode);
	}
	apply_connection(source, &c, secret, f);
}

/* --- schemaConfigMapRef --- */

static void resolve_schema(const struct resolver *resolver, struct spec *spec)
{
	const struct reference r = {"ConfigMap", spec->schema_config_map, "spec.schemaConfigMapRef",
				    REASON_INVALID_SCHEMA};
	_cleanup_json_ json_t *schema = NULL;
	_cleanup_free_ char *where = NULL;
	const json_t *config_map;
	const char *text;
	struct findings *f = resolver->f;
	struct err err;

	if (!r.name || spec->documents)
		return;
	config_map = find_object(resolver->objects->config_maps, &r, NULL, f);
	text = config_map ? require_value(config_map, &r, spec->schema_config_map_key, f) : NULL;
	if (!text)
		return;
	where = xasprintf("configmap/%s/%s", r.name, spec->schema_config_map_key);
	if (jsonx_parse(text, strlen(text), where, &schema, &err) < 0) {
		findings_add(f, FINDING_ERROR, r.reason, r.path, "%s", err.msg);
		return;
	}
	schema_decode(schema, where, &spec->documents, &spec->n_documents, f);
	spec_set_schema_hash(spec, schema);
}

static void replace_host(char **field, char *take)
{
	if (!take)
		return;
	free(*field);
	*field = take;
}

void spec_name_services(struct spec *spec)
{
	struct jsonx_strings *urls = &spec->sink.urls;

	if (spec->source.host)
		replace_host(&spec->source.host, host_in_namespace(spec->source.host, spec->namespace));
	for (size_t i = 0; i < urls->n; i++)
		replace_host(&urls->items[i], host_of_url_in_namespace(urls->items[i], spec->namespace));
	spec_name_redis_service(spec);
}

void spec_resolve(struct spec *spec, const struct spec_objects *objects, struct findings *f)
{
	const struct resolver resolver = {objects, f};

	resolve_connection(&resolver, &spec->source);
	resolve_password(&resolver, &spec->source, &spec->source.password_ref, "spec.source.passwordSecretRef");
	if (!spec->source.password_file)
		resolve_password(&resolver, &spec->source, &spec->source.password_mount,
				 "spec.source.passwordFrom.secretRef");
	resolve_ref(&resolver, &spec->source.ca, "spec.source.tls.caSecretRef");
	resolve_auth(&resolver, &spec->sink);
	resolve_ref(&resolver, &spec->sink.ca, "spec.sink.tls.caSecretRef");
	resolve_ref(&resolver, &spec->redis.password, "spec.checkpoint.redis.passwordSecretRef");
	resolve_ref(&resolver, &spec->redis.ca, "spec.checkpoint.redis.tls.caSecretRef");
	resolve_schema(&resolver, spec);
	if (spec->source.connection_secret || spec->schema_config_map)
		spec_check_databases(spec, f);
}
