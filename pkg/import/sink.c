/* ELASTICSEARCH_*: where the documents go. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "import/import_int.h"

enum { DEFAULT_PORT = 9200, LAST_PORT = 65535, MIN_BULK = 65536, MAX_BULK = 104857600, MAX_CONCURRENCY = 16 };

/* A cloud ID is "name:base64(host$elasticsearch$kibana)", as Elastic Cloud shows it. */
static char *cloud_url(struct import_build *b, const char *cloud_id)
{
	const char *colon = strrchr(cloud_id, ':');
	_cleanup_(free_secretp) char *text = NULL;
	char *dollar, *port;
	size_t len;

	text = base64_decode(colon ? colon + 1 : cloud_id, &len);
	dollar = text && strlen(text) == len && import_is_text(text) ? strchr(text, '$') : NULL;
	if (!dollar || dollar == text || !dollar[1] || dollar[1] == '$') {
		import_invalid(b, "ELASTICSEARCH_CLOUD_ID", "is not a cloud ID: copy it from the deployment's page");
		return NULL;
	}
	*dollar++ = '\0';
	dollar[strcspn(dollar, "$")] = '\0';
	port = strchr(text, ':');
	if (port)
		*port++ = '\0';
	return xasprintf("https://%s.%s:%s", dollar, text, port ? port : "443");
}

static char *plain_url(struct import_build *b)
{
	const char *scheme = import_get(b, "ELASTICSEARCH_SCHEME"), *host = import_get(b, "ELASTICSEARCH_HOST");
	int64_t port = import_number(b, "ELASTICSEARCH_PORT", 1, LAST_PORT, DEFAULT_PORT);

	if (scheme && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
		import_invalid(b, "ELASTICSEARCH_SCHEME", "must be http or https, found \"%.64s\"", scheme);
		scheme = NULL;
	}
	return xasprintf("%s://%s:%lld", scheme ? scheme : "http", host ? host : "localhost", (long long)port);
}

/* --- credentials --- */

/* The credentials that variables give; if several do, the first one is used. */
struct login {
	const char *variable; /* that they come from; NULL: none */
	char *user, *password, *api_key, *token;
	char *region; /* AWS: user, password and token are the access key's */
};

static void login_release(struct login *l)
{
	free_secret(l->user);
	free_secret(l->password);
	free_secret(l->api_key);
	free_secret(l->token);
	free(l->region);
}

/* "user:password", with `between` in place of the colon. */
static bool split_login(struct login *l, const char *text, char between)
{
	const char *at = strchr(text, between);

	if (!at || at == text)
		return false;
	l->user = xstrndup(text, (size_t)(at - text));
	l->password = xstrdup(at + 1);
	return true;
}

static void login_from_api_key(struct import_build *b, struct login *l)
{
	const char *id = import_get(b, "ELASTICSEARCH_API_KEY_ID"), *key = import_get(b, "ELASTICSEARCH_API_KEY");
	_cleanup_(free_secretp) char *pair = id && key ? xasprintf("%s:%s", id, key) : NULL;

	if (id && !key)
		import_ignored(b, "ELASTICSEARCH_API_KEY_ID", "ELASTICSEARCH_API_KEY is not set");
	if (!key)
		return;
	l->variable = "ELASTICSEARCH_API_KEY";
	l->api_key = pair ? base64_encode(pair, strlen(pair)) : xstrdup(key);
}

/* The client library also accepts the value of the header, in base64. */
static void login_from_basic(struct import_build *b, struct login *l)
{
	const char *text = import_get(b, "ELASTICSEARCH_BASIC_AUTH");
	_cleanup_(free_secretp) char *decoded = NULL;
	size_t len;

	if (!text)
		return;
	l->variable = "ELASTICSEARCH_BASIC_AUTH";
	if (split_login(l, text, ':'))
		return;
	decoded = base64_decode(text, &len);
	if (!decoded || strlen(decoded) != len || !split_login(l, decoded, ':'))
		import_invalid(b, l->variable, "must be USER:PASSWORD, or its base64 encoding");
}

static void login_from_list(struct import_build *b, struct login *l)
{
	const char *text = import_get(b, "ELASTICSEARCH_HTTP_AUTH");

	if (!text)
		return;
	l->variable = "ELASTICSEARCH_HTTP_AUTH";
	if (!split_login(l, text, ',') && !split_login(l, text, ':'))
		import_invalid(b, l->variable, "must be USER,PASSWORD");
}

static void login_from_bearer(struct import_build *b, struct login *l)
{
	const char *token = import_get(b, "ELASTICSEARCH_BEARER_AUTH");

	if (!token)
		return;
	l->variable = "ELASTICSEARCH_BEARER_AUTH";
	l->token = xstrdup(token);
}

static void login_from_user(struct import_build *b, struct login *l)
{
	const char *user = import_get(b, "ELASTICSEARCH_USER"), *password = import_get(b, "ELASTICSEARCH_PASSWORD");

	if (user && !password)
		import_ignored(b, "ELASTICSEARCH_USER", "ELASTICSEARCH_PASSWORD is not set");
	if (!user && password)
		import_ignored(b, "ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_USER is not set");
	if (!user || !password)
		return;
	l->variable = "ELASTICSEARCH_USER";
	l->user = xstrdup(user);
	l->password = xstrdup(password);
}

/* Of the ways in which AWS' library finds credentials, only the variables are read. */
static void login_from_aws(struct import_build *b, struct login *l)
{
	static const char *const switches[] = {"ELASTICSEARCH_AWS_HOSTED", "OPENSEARCH_AWS_HOSTED"};
	const char *id = import_get(b, "AWS_ACCESS_KEY_ID"), *secret = import_get(b, "AWS_SECRET_ACCESS_KEY");
	const char *region = import_get(b, "ELASTICSEARCH_AWS_REGION"), *session = import_get(b, "AWS_SESSION_TOKEN");

	for (size_t i = 0; i < ARRAY_SIZE(switches) && !l->variable; i++)
		if (import_get(b, switches[i]) && import_env_bool(b->options->env, switches[i], false, b->f))
			l->variable = switches[i];
	if (!l->variable)
		return;
	if (!region)
		import_invalid(b, "ELASTICSEARCH_AWS_REGION",
			       "must be set: the region of the domain, such as eu-central-1");
	if (!id || !secret)
		import_invalid(
			b, l->variable,
			"needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: the credentials of a profile or of a "
			"machine are not read");
	l->region = xstrdup(region ? region : "");
	l->user = xstrdup(id ? id : "");
	l->password = xstrdup(secret ? secret : "");
	l->token = xstrdup_or_null(session);
}

/* login: of the URL, which takes precedence. */
static void find_login(struct import_build *b, struct login *login)
{
	static void (*const sources[])(struct import_build *, struct login *) = {login_from_aws,    login_from_api_key,
										 login_from_bearer, login_from_basic,
										 login_from_list,   login_from_user};

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		_cleanup_(login_release) struct login found = {0};
		struct login unused = {0};

		sources[i](b, &found);
		if (!found.variable)
			continue;
		if (login->variable) {
			import_ignored(b, found.variable, "%s is set and takes precedence", login->variable);
			continue;
		}
		*login = found;
		found = unused;
	}
}

static json_t *build_authentication(struct import_build *b, const struct login *l)
{
	const char *type, *name;

	if (l->region) {
		(void)import_add_secret(b, "search", "accessKeyId", l->user);
		if (l->token)
			(void)import_add_secret(b, "search", "sessionToken", l->token);
		name = import_add_secret(b, "search", "secretAccessKey", l->password);
		return json_pack("{s:s, s:s, s:{s:s}}", "type", "AWS", "region", l->region, "secretRef", "name", name);
	}
	if (l->api_key) {
		type = "APIKey";
		name = import_add_secret(b, "search", "apiKey", l->api_key);
	} else if (l->token) {
		type = "Bearer";
		name = import_add_secret(b, "search", "token", l->token);
	} else if (l->user) {
		type = "Basic";
		(void)import_add_secret(b, "search", "username", l->user);
		name = import_add_secret(b, "search", "password", l->password ? l->password : "");
	} else {
		return NULL;
	}
	return json_pack("{s:s, s:{s:s}}", "type", type, "secretRef", "name", name);
}

/* --- spec.sink --- */

static char *find_url(struct import_build *b, struct login *login)
{
	static const char *const superseded[] = {"ELASTICSEARCH_SCHEME", "ELASTICSEARCH_HOST", "ELASTICSEARCH_PORT"};
	const char *url = import_get(b, "ELASTICSEARCH_URL"), *cloud_id = import_get(b, "ELASTICSEARCH_CLOUD_ID");
	const char *first = url ? "ELASTICSEARCH_URL" : "ELASTICSEARCH_CLOUD_ID";

	if (!url && !cloud_id)
		return plain_url(b);
	for (size_t i = 0; i < ARRAY_SIZE(superseded); i++)
		if (import_get(b, superseded[i]))
			import_ignored(b, superseded[i], "%s is set and takes precedence", first);
	if (!url)
		return cloud_url(b, cloud_id);
	if (cloud_id)
		import_ignored(b, "ELASTICSEARCH_CLOUD_ID", "%s is set and takes precedence", first);
	while (*url == ' ')
		url++;
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
		import_invalid(b, "ELASTICSEARCH_URL", "must be http://HOST:PORT or https://HOST:PORT");
		return NULL;
	}
	url = import_split_login(url, &login->user, &login->password);
	login->variable = login->user ? first : NULL;
	return (char *)url;
}

static json_t *build_sink_tls(struct import_build *b)
{
	const char *ca = import_get(b, "ELASTICSEARCH_CA_CERTS");
	json_t *tls = json_object();

	if (ca)
		(void)json_object_set_new(tls, "caSecretRef",
					  import_add_file(b, "ELASTICSEARCH_CA_CERTS", ca, "search"));
	if (!import_env_bool(b->options->env, "ELASTICSEARCH_VERIFY_CERTS", true, b->f))
		(void)json_object_set_new(tls, "insecureSkipVerify", json_true());
	return tls;
}

static json_t *build_bulk(struct import_build *b)
{
	json_t *bulk = json_object();

	if (import_get(b, "ELASTICSEARCH_MAX_CHUNK_BYTES"))
		(void)json_object_set_new(
			bulk, "maxBytes",
			json_integer(import_number(b, "ELASTICSEARCH_MAX_CHUNK_BYTES", MIN_BULK, MAX_BULK, MAX_BULK)));
	if (import_get(b, "ELASTICSEARCH_THREAD_COUNT"))
		(void)json_object_set_new(
			bulk, "concurrency",
			json_integer(import_number(b, "ELASTICSEARCH_THREAD_COUNT", 1, MAX_CONCURRENCY, 2)));
	return bulk;
}

/* Omits an empty section. */
static void set_section(json_t *sink, const char *key, json_t *section)
{
	if (section && json_object_size(section))
		(void)json_object_set(sink, key, section);
	json_decref(section);
}

json_t *import_build_sink(struct import_build *b)
{
	_cleanup_(login_release) struct login login = {0};
	_cleanup_free_ char *url = find_url(b, &login);
	json_t *sink = json_pack("{s:[s]}", "urls", url ? url : "http://localhost:9200");

	find_login(b, &login);
	set_section(sink, "authentication", build_authentication(b, &login));
	set_section(sink, "tls", build_sink_tls(b));
	if (b->options->adopt_existing_index)
		(void)json_object_set_new(sink, "adoptExistingIndex", json_true());
	set_section(sink, "bulk", build_bulk(b));
	return sink;
}
