/* From pgsync's options and environment to what can be run. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "compat.h"
#include "http/http.h"
#include "json/json.h"

enum {
	ENV_FILE_BYTES = 1024 * 1024,
	CERTIFICATE_BYTES = 1024 * 1024,
	SCHEMA_FILE_BYTES = 16 * 1024 * 1024,
	FETCH_MS = 60000,
	PASSWORD_BYTES = 1024,
};

static int read_certificate(const char *path, char **ret, struct err *err)
{
	size_t len;

	return jsonx_read_file(path, CERTIFICATE_BYTES, ret, &len, err);
}

static void add_err(struct findings *f, const char *path, const struct err *err)
{
	findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, path, "%s", err->msg);
}

/* --- variables --- */

/* As pgsync: the .env of the working directory, or of the nearest directory above that has one. Caller frees. */
static char *find_env_file(void)
{
	_cleanup_free_ char *directory = getcwd(NULL, 0);

	while (directory) {
		_cleanup_free_ char *path = xasprintf("%s/.env", strcmp(directory, "/") ? directory : "");
		char *slash = strrchr(directory, '/');

		if (access(path, F_OK) == 0)
			return TAKE_PTR(path);
		if (!slash || !directory[1])
			break;
		slash[slash == directory] = '\0';
	}
	return NULL;
}

static void read_env_file(struct import_env *env, const char *given, struct findings *f)
{
	_cleanup_free_ char *path = given ? xstrdup(given) : find_env_file();
	char *text = NULL;
	struct err err;
	size_t len;

	if (!path)
		return;
	if (jsonx_read_file(path, ENV_FILE_BYTES, &text, &len, &err) < 0)
		add_err(f, given ? "--env-file" : NULL, &err);
	else
		import_env_add_file(env, text, len, path, f);
	free_secret(text);
}

/* Without echo, from the terminal; where there is none, from standard input. */
static void ask_password(struct import_env *env, struct findings *f)
{
	_cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	int from = tty >= 0 ? tty : STDIN_FILENO;
	struct termios before, silent;
	bool echoes = tcgetattr(from, &before) == 0;
	char password[PASSWORD_BYTES];
	size_t n = 0;

	if (echoes) {
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(from, TCSAFLUSH, &silent);
	}
	if (tty >= 0)
		(void)dprintf(tty, "Password: ");
	while (n < sizeof(password) - 1 && read(from, password + n, 1) == 1 && password[n] != '\n')
		n++;
	password[n] = '\0';
	if (echoes)
		(void)tcsetattr(from, TCSAFLUSH, &before);
	if (tty >= 0)
		(void)dprintf(tty, "\n");
	if (n)
		import_env_override(env, "PG_PASSWORD", password);
	else
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, "--password", "no password was given");
	explicit_bzero(password, sizeof(password));
}

void compat_read_environment(const struct compat_flags *flags, struct compat *c, struct findings *f)
{
	c->env = import_env_new(environ);
	read_env_file(c->env, flags->env_file, f);
	for (size_t i = 0; i < flags->n_overrides; i++)
		import_env_override(c->env, flags->overrides[i].variable, flags->overrides[i].value);
	if (flags->password)
		ask_password(c->env, f);
}

/* --- the schema --- */

/* "https://host/path" -> the target and the path. */
static int fetch(const char *url, struct http_response *ret, struct err *err)
{
	const char *host = strstr(url, "://");
	const char *path = host ? host + 3 + strcspn(host + 3, "/?#") : url;
	_cleanup_free_ char *server = xstrndup(url, (size_t)(path - url));
	_cleanup_free_ char *full = xasprintf("%s%.*s", *path == '/' ? "" : "/", (int)strcspn(path, "#"), path);
	const struct http_target_options options = {
		.urls = (const char *const[]){server}, .n_urls = 1, .user_agent = "pgsync/" PGSYNC_VERSION};
	const struct http_request request = {
		.method = "GET", .path = full, .timeout_ms = FETCH_MS, .max_response = SCHEMA_FILE_BYTES};
	_cleanup_(http_target_freep) struct http_target *target = NULL;
	_cleanup_(http_freep) struct http *http = NULL;

	if (http_target_new(&options, &target, err) < 0 || http_new(&http, err) < 0)
		return -1;
	return http_do(http, target, &request, ret, err);
}

static int fetch_schema(const char *url, json_t **ret, struct err *err)
{
	struct http_response response = {0};
	int r;

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "must begin with http:// or https://");
	r = fetch(url, &response, err);
	if (r == 0 && response.status >= 300 && response.status < 400)
		r = err_set(err, ERR_INVALID, "answered %ld: redirects are not followed; use the final URL",
			    response.status);
	else if (r == 0 && response.status != 200)
		r = err_set(err, ERR_INVALID, "answered %ld, expected 200 and a schema.json", response.status);
	if (r == 0)
		r = jsonx_parse(response.body.data, response.body.len, "the answer", ret, err);
	http_response_release(&response);
	return r;
}

static int read_schema(const char *path, json_t **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (jsonx_read_file(path, SCHEMA_FILE_BYTES, &text, &len, err) < 0)
		return -1;
	return jsonx_parse(text, len, path, ret, err);
}

/* Where the schema is: the options take precedence, then the variables in pgsync's order. */
struct place {
	const char *given_by; /* NULL: not specified */
	const char *path, *url;
};

static struct place choose(const struct compat_flags *flags, const struct compat *c)
{
	const struct place places[] = {
		{"--config", flags->config, NULL},
		{"--schema-url", NULL, flags->schema_url},
		{"SCHEMA", import_env_get(c->env, "SCHEMA"), NULL},
		{"SCHEMA_URL", NULL, import_env_get(c->env, "SCHEMA_URL")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (places[i].path || places[i].url)
			return places[i];
	return (struct place){0};
}

/* The schema's name in messages. A URL may contain a password or a signature, so only the last part of its path is
 * shown. */
static char *name_of(const struct place *place)
{
	const char *start, *end;

	if (place->path)
		return xstrdup(strcmp(place->path, "-") ? place->path : "standard input");
	end = start = place->url + strcspn(place->url, "?#");
	while (start > place->url && start[-1] != '/')
		start--;
	return start < end ? xstrndup(start, (size_t)(end - start)) : xstrdup("the schema");
}

static void add_no_schema(const struct compat_flags *flags, const struct compat *c, struct findings *f)
{
	if (import_env_get(c->env, "S3_SCHEMA_URL"))
		findings_add(f, FINDING_ERROR, REASON_USAGE, "S3_SCHEMA_URL",
			     "S3 is not supported: run aws s3 cp \"$S3_SCHEMA_URL\" - | %s --config -",
			     compat_name(flags->command));
	else
		findings_add(f, FINDING_ERROR, REASON_USAGE, NULL,
			     "no schema given: use --config FILE (or the variable SCHEMA), or --schema-url URL (or "
			     "SCHEMA_URL)");
}

static json_t *load_schema(const struct compat_flags *flags, struct compat *c, struct findings *f)
{
	struct place place = choose(flags, c);
	json_t *schema = NULL;
	struct err err;

	if (!place.given_by) {
		add_no_schema(flags, c, f);
		return NULL;
	}
	c->what = name_of(&place);
	if ((place.path ? read_schema(place.path, &schema, &err) : fetch_schema(place.url, &schema, &err)) < 0)
		add_err(f, place.given_by, &err);
	return schema;
}

/* --- both --- */

void compat_move(const struct compat *c, size_t i, struct findings *to, struct findings *from)
{
	for (size_t k = 0; k < from->n; k++) {
		const struct finding *item = &from->items[k];
		_cleanup_free_ char *path = import_place(&c->list[i], c->what, item->path);
		_cleanup_free_ char *message = import_place(&c->list[i], c->what, item->message);

		findings_add_statement(to, item->severity, item->reason, path, item->statement, "%s", message);
	}
	findings_release(from);
	findings_init(from);
}

static void decode_all(struct compat *c)
{
	c->inputs = xcalloc(c->n + 1, sizeof(*c->inputs));
	c->found = xcalloc(c->n + 1, sizeof(*c->found));
	c->contexts = xcalloc(c->n + 1, sizeof(*c->contexts));
	for (size_t i = 0; i < c->n; i++) {
		findings_init(&c->found[i]);
		input_decode_take(&(struct protocol_assignment){.resource = json_incref(c->list[i].resource),
								.secrets = json_incref(c->list[i].secrets)},
				  NULL, &c->inputs[i], &c->found[i]);
		c->contexts[i] = xasprintf("%s/%s", c->inputs[i].spec->namespace, c->inputs[i].spec->name);
	}
}

/* True if the finding is about a part of the resource that comes from variables and options. */
static bool is_about_settings(const struct finding *item)
{
	static const char schema[] = "spec.schema[";

	return strncmp(item->path, "metadata.", strlen("metadata.")) == 0 ||
	       (strncmp(item->path, "spec.", strlen("spec.")) == 0 && strncmp(item->path, schema, strlen(schema)) != 0);
}

/* Errors in variables and options leave gaps in the inputs, and have their own findings. */
void compat_gather(struct compat *c, struct findings *f)
{
	bool holes = findings_failed(f);

	for (size_t i = 0; i < c->n; i++) {
		struct findings kept;

		findings_init(&kept);
		for (size_t k = 0; k < c->found[i].n; k++) {
			const struct finding *item = &c->found[i].items[k];

			if (!holes || !is_about_settings(item))
				findings_add_copy(&kept, item);
		}
		compat_move(c, i, f, &kept);
		findings_release(&kept);
	}
}

void compat_import(const struct compat_flags *flags, const json_t *schema, struct compat *c, struct findings *f)
{
	const struct import_options options = {
		.env = c->env,
		.what = c->what,
		.name = flags->name,
		.namespace = flags->namespace,
		.adopt_existing_index = flags->adopt,
		.plain_documents = flags->command == COMPAT_INIT,
		.for_cluster = flags->command == COMPAT_IMPORT || flags->command == COMPAT_INIT,
		.read_file = read_certificate,
	};

	c->n = import_schema(schema, &options, &c->list, f);
	decode_all(c);
}

void compat_load(const struct compat_flags *flags, struct compat *ret, struct findings *f)
{
	_cleanup_json_ json_t *schema = NULL;

	*ret = (struct compat){0};
	compat_read_environment(flags, ret, f);
	schema = load_schema(flags, ret, f);
	if (schema)
		compat_import(flags, schema, ret, f);
}

void compat_release_schema(struct compat *c)
{
	for (size_t i = 0; c->inputs && i < c->n; i++)
		input_release(&c->inputs[i]);
	free(c->inputs);
	for (size_t i = 0; c->found && i < c->n; i++)
		findings_release(&c->found[i]);
	free(c->found);
	free_strings(c->contexts, c->contexts ? c->n : 0);
	import_results_free(c->list, c->n);
	free(c->what);
	*c = (struct compat){.env = c->env};
}

void compat_release(struct compat *c)
{
	compat_release_schema(c);
	import_env_free(TAKE_PTR(c->env));
}
