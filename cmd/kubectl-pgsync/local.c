/* What `pgsync` does on this machine: the plugin reads PgSync, Secrets and ConfigMap with the rights of its user, and
 * becomes that program, which gets them as its standard input. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include "plugin.h"
#include "json/json.h"

enum { MANIFEST_BYTES = 16 * 1024 * 1024, NAMES = 32 };

/* --- the program */

/* The one beside this program, otherwise the one in PATH. Returns only if there is none. */
static int become_pgsync(char *const *arguments, struct err *err)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("pgsync"));
	char *slash;

	path[len > 0 ? len : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		memcpy(slash + 1, "pgsync", sizeof("pgsync"));
		(void)execv(path, arguments);
	}
	(void)execvp("pgsync", arguments);
	return err_errno(err, errno, "starting pgsync, which must be beside kubectl-pgsync or in PATH");
}

int plugin_pass(const struct command *command, char **arguments)
{
	struct err err = {0};

	arguments[-1] = (char *)"pgsync";
	(void)become_pgsync(arguments - 1, &err);
	return plugin_failed(command, &err);
}

/* Makes a text the standard input. */
static int set_input(const struct strbuf *text, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("pgsync", MFD_CLOEXEC);
	size_t done = 0;

	if (!strbuf_ok(text))
		return err_set(err, ERR_LIMIT, "the PgSync with its Secrets has more than %d bytes", MANIFEST_BYTES);
	while (fd >= 0 && done < text->len) {
		ssize_t n = write(fd, text->data + done, text->len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < text->len || lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, STDIN_FILENO) < 0)
		return err_errno(err, errno, "passing the PgSync on to pgsync");
	return 0;
}

/* --- what it needs */

struct references {
	const char *secrets[NAMES]; /* borrowed, each once */
	size_t n;
};

static bool has_ending(const char *text, const char *ending)
{
	size_t len = strlen(text), n = strlen(ending);

	return len >= n && strcmp(text + len - n, ending) == 0;
}

static void note_secret(struct references *refs, const char *name)
{
	for (size_t i = 0; i < refs->n; i++)
		if (strcmp(refs->secrets[i], name) == 0)
			return;
	if (*name && refs->n < NAMES)
		refs->secrets[refs->n++] = name;
}

/* The Secrets that source, sink and checkpoint name; these are at most a few levels deep. */
static void find_references(struct references *refs, json_t *value)
{
	const char *key;
	json_t *item;

	json_object_foreach (value, key, item) {
		if (has_ending(key, "SecretRef"))
			note_secret(refs, jsonx_string(item, "name", ""));
		else if (json_is_object(item))
			find_references(refs, item);
	}
}

static int add_input(struct client *client, const char *kind, const char *name, json_t *to, struct err *err)
{
	bool is_secret = strcmp(kind, "Secret") == 0;
	_cleanup_free_ char *path = kube_path("api", "v1", "namespaces", client->namespace,
					      is_secret ? "secrets" : "configmaps", name, NULL);
	json_t *object = NULL;

	if (client_get(client, path, &object, err) < 0)
		return err_wrap(err, "%s %s", kind, name);
	(void)json_object_set_new(object, "kind", json_string(kind));
	(void)json_array_append_new(to, object);
	return 0;
}

static void parse_schema(json_t *resource)
{
	const char *text = jsonx_string(resource, "spec.schema", NULL);
	json_t *schema;
	struct err ignored;

	if (text && jsonx_parse(text, strlen(text), "spec.schema", &schema, &ignored) == 0)
		(void)json_object_set_new(json_object_get(resource, "spec"), "schema", schema);
}

/* The PgSync and what it refers to. */
static int read_inputs(struct client *client, json_t *resource, json_t *ret, struct err *err)
{
	static const char *const parts[] = {"source", "sink", "checkpoint"};
	const char *config_map = jsonx_string(resource, "spec.schemaConfigMapRef.name", NULL);
	struct references refs = {.n = 0};

	parse_schema(resource);
	(void)json_object_set_new(resource, "kind", json_string("PgSync"));
	(void)json_object_del(resource, "status");
	(void)json_array_append(ret, resource);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		find_references(&refs, json_object_get(json_object_get(resource, "spec"), parts[i]));
	for (size_t i = 0; i < refs.n; i++)
		if (add_input(client, "Secret", refs.secrets[i], ret, err) < 0)
			return -1;
	return config_map ? add_input(client, "ConfigMap", config_map, ret, err) : 0;
}

/* Becomes pgsync with these arguments, with what the PgSync needs as standard input. Returns only after an error. */
static int run_here(struct client *client, json_t *resource, char *const *arguments, struct err *err)
{
	_cleanup_json_ json_t *documents = json_array();
	struct strbuf text;

	if (read_inputs(client, resource, documents, err) < 0)
		return -1;
	strbuf_init_secret(&text, MANIFEST_BYTES);
	jsonx_add_yaml(&text, documents);
	if (set_input(&text, err) == 0)
		(void)become_pgsync(arguments, err);
	strbuf_release(&text);
	return -1;
}

/* --- compare */

int plugin_compare(const struct command *command, const struct options *options)
{
	const char *const before[] = {"pgsync", "compare", "-f", "-", "-o", options->output};
	const char *arguments[ARRAY_SIZE(before) + 5] = {0};
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *resource = NULL;
	struct client client;
	struct err err = {0};
	size_t n = ARRAY_SIZE(before);

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	memcpy(arguments, before, sizeof(before));
	if (options->index) {
		arguments[n++] = "--index";
		arguments[n++] = options->index;
	}
	arguments[n++] = "--";
	arguments[n] = options->id;
	path = client_path(&client, options->names[0]);
	if (client_get(&client, path, &resource, &err) == 0)
		(void)run_here(&client, resource, (char *const *)arguments, &err);
	client_close(&client);
	return plugin_failed(command, &err);
}

/* --- plan */

static void print_finding(const json_t *finding)
{
	const char *path = jsonx_string(finding, "path", ""), *statement = jsonx_string(finding, "statement", NULL);

	(void)printf("%s: %s%s%s\n", jsonx_string(finding, "severity", ""), path, *path ? ": " : "",
		     jsonx_string(finding, "message", ""));
	if (statement)
		(void)printf("    %s;\n", statement);
}

/* Whether the operator's findings are about the spec as it is. */
static bool was_checked(const json_t *resource)
{
	return jsonx_integer(resource, "status.observedGeneration", -1) ==
	       jsonx_integer(resource, "metadata.generation", 0);
}

/* What the operator found. */
static int show_findings(const struct options *options, const json_t *resource)
{
	const json_t *findings = jsonx_get(resource, "status.findings");
	bool plans = strcmp(jsonx_string(resource, "spec.mode", "Sync"), "Plan") == 0, failed = false;
	long long more = jsonx_integer(resource, "status.moreFindings", 0);

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		print_finding(finding);
		failed = failed || strcmp(jsonx_string(finding, "severity", ""), "Error") == 0;
	}
	if (more > 0)
		(void)printf("%lld more did not fit into the status.\n", more);
	if (!was_checked(resource))
		(void)printf("The operator has not checked the current spec yet.\n");
	else if (!json_array_size(findings) && plans)
		(void)printf("The operator found nothing that is wrong, or that a start would change.\n");
	if (!plans)
		(void)printf("%s is not in mode Plan, so what a start would change is not listed.\n",
			     options->names[0]);
	(void)printf("SQL, mapping and query plans: kubectl pgsync plan %s --local\n", options->names[0]);
	return failed || !was_checked(resource) ? EXIT_UNHEALTHY : EXIT_OK;
}

int plugin_plan(const struct command *command, const struct options *options)
{
	static char *const arguments[] = {(char *)"pgsync", (char *)"plan", (char *)"-f", (char *)"-", NULL};
	struct client client;
	struct err err = {0};
	_cleanup_json_ json_t *resource = NULL;
	_cleanup_free_ char *path = NULL;
	int code = -1;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	path = client_path(&client, options->names[0]);
	if (client_get(&client, path, &resource, &err) == 0)
		code = options->local ? run_here(&client, resource, arguments, &err) : show_findings(options, resource);
	client_close(&client);
	return code < 0 ? plugin_failed(command, &err) : code;
}
