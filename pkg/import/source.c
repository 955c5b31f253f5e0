/* PG_*: where the rows come from. */
#include <string.h>

#include "import/import_int.h"

enum { DEFAULT_PORT = 5432, LAST_PORT = 65535 };

/* From libpq's values. With a root certificate, `require` verifies against it. */
static const char *tls_mode(const char *sslmode, bool has_root)
{
	static const char *const modes[][2] = {
		{"disable", "Disable"}, {"allow", "Prefer"},       {"prefer", "Prefer"},
		{"require", "Require"}, {"verify-ca", "VerifyCA"}, {"verify-full", "VerifyFull"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(sslmode, modes[i][0]))
			return has_root && !strcmp(sslmode, "require") ? "VerifyCA" : modes[i][1];
	return NULL;
}

/* The settings of TLS, and the variables they come from. */
struct tls_settings {
	const char *mode_variable, *root_variable;
	const char *sslmode, *root; /* or NULL */
};

/* Without sslmode: prefer, libpq's default. */
static json_t *build_source_tls(struct import_build *b, const struct tls_settings *s)
{
	const char *sslmode = s->sslmode ? s->sslmode : "prefer";
	const char *mode = tls_mode(sslmode, s->root != NULL);
	json_t *tls;

	if (!mode) {
		import_invalid(
			b, s->mode_variable,
			"sslmode must be disable, allow, prefer, require, verify-ca or verify-full, found \"%.64s\"",
			sslmode);
		return NULL;
	}
	tls = json_pack("{s:s}", "mode", mode);
	if (strncmp(mode, "Verify", 6) == 0) {
		if (s->root)
			(void)json_object_set_new(tls, "caSecretRef",
						  import_add_file(b, s->root_variable, s->root, "postgres"));
		else
			import_invalid(
				b, s->root_variable,
				"sslmode %s needs sslrootcert: the file with the certificate authority to verify "
				"against",
				sslmode);
	} else if (s->root) {
		import_ignored(b, s->root_variable, "with sslmode %s no certificate is verified", sslmode);
	}
	return tls;
}

/* The whole URL, "postgresql+psycopg2://user:password@host/..." without the driver, becomes a secret. */
static json_t *build_source_from_url(struct import_build *b, const char *url, const char *database)
{
	static const char *const superseded[] = {"PG_HOST",     "PG_PORT",    "PG_USER",
						 "PG_PASSWORD", "PG_SSLMODE", "PG_SSLROOTCERT"};
	_cleanup_(free_secretp) char *uri = NULL;
	_cleanup_free_ char *sslmode = import_url_parameter(url, "sslmode");
	_cleanup_free_ char *root = import_url_parameter(url, "sslrootcert");
	const struct tls_settings tls = {"PG_URL", "PG_URL", sslmode, root};
	const char *rest = strstr(url, "://");
	size_t scheme = strcspn(url, "+:");
	json_t *source;

	for (size_t i = 0; i < ARRAY_SIZE(superseded); i++)
		if (import_get(b, superseded[i]))
			import_ignored(b, superseded[i], "PG_URL is set and takes precedence");
	if (!rest ||
	    !((scheme == 10 && !strncmp(url, "postgresql", 10)) || (scheme == 8 && !strncmp(url, "postgres", 8)))) {
		import_invalid(b, "PG_URL", "must be of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE");
		return NULL;
	}
	uri = xasprintf("postgresql%s", rest);
	source = json_pack("{s:{s:s}, s:s}", "connectionSecretRef", "name",
			   import_add_secret(b, "postgres", "uri", uri), "database", database);
	(void)json_object_set_new(source, "tls", build_source_tls(b, &tls));
	return source;
}

static void check_driver(struct import_build *b)
{
	const char *driver = import_get(b, "PG_DRIVER");
	static const char *const mysql[] = {"pymysql", "mysqldb", "mariadbconnector"};

	for (size_t i = 0; driver && i < ARRAY_SIZE(mysql); i++)
		if (!strcmp(driver, mysql[i]))
			import_invalid(b, "PG_DRIVER", "is %s: only Postgres is supported, not MySQL or MariaDB",
				       driver);
}

json_t *import_build_source(struct import_build *b, const char *database)
{
	const char *host = import_get(b, "PG_HOST"), *user = import_get(b, "PG_USER"),
		   *password = import_get(b, "PG_PASSWORD");
	const char *url = import_get(b, "PG_URL");
	const struct tls_settings tls = {"PG_SSLMODE", "PG_SSLROOTCERT", import_get(b, "PG_SSLMODE"),
					 import_get(b, "PG_SSLROOTCERT")};
	json_t *source;

	check_driver(b);
	if (url)
		return build_source_from_url(b, url, database);
	if (!user)
		import_invalid(b, "PG_USER", "is required: the role to connect as (or set PG_URL instead)");
	source = json_pack("{s:s, s:I, s:s, s:s*}", "host", host ? host : "localhost", "port",
			   (json_int_t)import_number(b, "PG_PORT", 1, LAST_PORT, DEFAULT_PORT), "database", database,
			   "user", user);
	if (password)
		(void)json_object_set_new(source, "passwordSecretRef",
					  json_pack("{s:s, s:s}", "name",
						    import_add_secret(b, "postgres", "password", password), "key",
						    "password"));
	(void)json_object_set_new(source, "tls", build_source_tls(b, &tls));
	return source;
}
