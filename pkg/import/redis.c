/* REDIS_*: where the checkpoint is kept. pgsync always needs Redis, as a queue; here there is no queue, so these
 * variables count only if REDIS_CHECKPOINT is true. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "import/import_int.h"
#include "json/json.h"

enum { DEFAULT_PORT = 6379, LAST_PORT = 65535, LAST_DATABASE = 65535 };

struct server {
	char *url;      /* without user and password; NULL, with a finding: it is not valid */
	char *ca_certs; /* path of a file, or NULL */
	char *user, *password;
	const char *user_variable; /* that the user comes from */
};

static void server_release(struct server *s)
{
	free(s->url);
	free(s->ca_certs);
	free_secret(s->user);
	free_secret(s->password);
}

#define VERIFIED "with rediss://, the certificate and its host are always verified"
#define NO_CLIENT_CERTIFICATE "client certificates for Redis are not supported: use a password"

/* Parameters of a URL that a user would miss; others are about redis-py itself. */
static void check_parameters(struct import_build *b, const char *url)
{
	static const char *const parameters[][3] = {
		{"ssl_cert_reqs", "required", VERIFIED},
		{"ssl_check_hostname", "true", VERIFIED},
		{"ssl_certfile", "", NO_CLIENT_CERTIFICATE},
		{"ssl_keyfile", "", NO_CLIENT_CERTIFICATE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		_cleanup_(free_secretp) char *value = import_url_parameter(url, parameters[i][0]);

		if (value && strcasecmp(value, parameters[i][1]) != 0)
			findings_add(b->f, FINDING_WARNING, REASON_IGNORED, "REDIS_URL", "%s is ignored: %s",
				     parameters[i][0], parameters[i][2]);
	}
}

/* What stands in the address itself counts, before its parameters. */
static void set_from_parameter(char **value, const char *url, const char *name)
{
	if (*value && **value)
		return;
	free_secret(*value);
	*value = import_url_parameter(url, name);
}

/* redis[s]://[USER][:PASSWORD@][HOST][:PORT][/DATABASE][?NAME=VALUE&...], as redis-py reads it. */
static void read_url(struct import_build *b, const char *given, struct server *s)
{
	_cleanup_(free_secretp) char *text = xstrdup(given + strspn(given, " \t"));
	_cleanup_free_ char *address = NULL, *database = NULL;
	const char *host, *end;

	text[strcspn(text, " \t\r\n")] = '\0';
	s->user_variable = "REDIS_URL";
	if (strncmp(text, "redis://", strlen("redis://")) != 0 &&
	    strncmp(text, "rediss://", strlen("rediss://")) != 0) {
		import_invalid(b, "REDIS_URL",
			       "must be of the form redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS");
		return;
	}
	address = import_split_login(text, &s->user, &s->password);
	set_from_parameter(&s->user, text, "username");
	set_from_parameter(&s->password, text, "password");
	s->ca_certs = import_url_parameter(text, "ssl_ca_certs");
	database = import_url_parameter(text, "db");
	check_parameters(b, text);
	host = strstr(address, "://") + strlen("://");
	end = host + strcspn(host, "/?#");
	s->url = xasprintf("%.*s%s%.*s%s%s", (int)(host - address), address,
			   host == end || *host == ':' ? "localhost" : "",
			   (int)((database ? end : host + strcspn(host, "?#")) - host), host, database ? "/" : "",
			   database ? database : "");
}

static void read_parts(struct import_build *b, struct server *s)
{
	const char *scheme = import_get(b, "REDIS_SCHEME"), *host = import_get(b, "REDIS_HOST");
	const char *user = import_get(b, "REDIS_USER"), *password = import_get(b, "REDIS_AUTH");
	int64_t port = import_number(b, "REDIS_PORT", 1, LAST_PORT, DEFAULT_PORT);
	int64_t database = import_number(b, "REDIS_DB", 0, LAST_DATABASE, 0);

	s->user_variable = "REDIS_USER";
	s->user = user ? xstrdup(user) : NULL;
	s->password = password ? xstrdup(password) : NULL;
	if (scheme && strcmp(scheme, "redis") != 0 && strcmp(scheme, "rediss") != 0) {
		import_invalid(b, "REDIS_SCHEME", "must be redis, or rediss for TLS, found \"%.64s\"", scheme);
		return;
	}
	s->url = xasprintf("%s://%s:%lld/%lld", scheme ? scheme : "redis", host ? host : "localhost", (long long)port,
			   (long long)database);
}

static void read_server(struct import_build *b, struct server *s)
{
	static const char *const superseded[] = {"REDIS_SCHEME", "REDIS_HOST", "REDIS_PORT",
						 "REDIS_DB",     "REDIS_USER", "REDIS_AUTH"};
	const char *url = import_get(b, "REDIS_URL");

	if (!url) {
		read_parts(b, s);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(superseded); i++)
		if (import_get(b, superseded[i]))
			import_ignored(b, superseded[i], "REDIS_URL is set and takes precedence");
	read_url(b, url, s);
}

/* Without a password, there is no login; so it is in pgsync. */
static void set_login(struct import_build *b, const struct server *s, json_t *redis)
{
	bool has_user = s->user && *s->user, has_password = s->password && *s->password;

	if (has_user && !has_password)
		import_ignored(b, s->user_variable, "there is no password for this user");
	else if (has_user)
		(void)json_object_set_new(redis, "username", jsonx_text(s->user));
	if (has_password)
		(void)json_object_set_new(redis, "passwordSecretRef",
					  json_pack("{s:s, s:s}", "name",
						    import_add_secret(b, "redis", "password", s->password), "key",
						    "password"));
}

json_t *import_build_checkpoint(struct import_build *b)
{
	_cleanup_(server_release) struct server s = {0};
	json_t *redis;

	if (!import_env_bool(b->options->env, "REDIS_CHECKPOINT", false, b->f))
		return NULL;
	read_server(b, &s);
	if (!s.url)
		return NULL;
	redis = json_pack("{s:s}", "url", s.url);
	set_login(b, &s, redis);
	if (s.ca_certs)
		(void)json_object_set_new(
			redis, "tls",
			json_pack("{s:o*}", "caSecretRef", import_add_file(b, "REDIS_URL", s.ca_certs, "redis")));
	return json_pack("{s:s, s:o}", "store", "Redis", "redis", redis);
}
