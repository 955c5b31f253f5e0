/* What `pgsync` does on this machine: the plugin reads PgSync, Secrets and ConfigMap with the rights of its user, and
 * becomes that program, which gets them as its standard input. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/program.h"
#include "plugin.h"
#include "spec/spec.h"
#include "json/json.h"

enum { MANIFEST_BYTES = 16 * 1024 * 1024, FINDINGS_BYTES = 16 * 1024 * 1024 };

/* --- the program */

/* The one beside this program, which was installed with it: another one in PATH may be anything, such as pgsync 7, and
 * would get passwords. Returns only if it cannot be started. */
static void become_pgsync(char *const *arguments, struct err *err)
{
	_cleanup_free_ char *path = program_beside("pgsync");

	if (path)
		(void)execv(path, arguments);
	(void)err_errno(err, errno, "starting %s, which belongs beside kubectl-pgsync", path ? path : "pgsync");
}

int plugin_pass(const struct command *command, char **arguments)
{
	struct err err = {0};

	arguments[-1] = (char *)"pgsync";
	become_pgsync(arguments - 1, &err);
	(void)plugin_failed(command, &err);
	return EXIT_NO_PROGRAM;
}

/* Makes a text the standard input. */
static int set_input(const struct strbuf *text, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("pgsync", MFD_CLOEXEC);

	if (!strbuf_ok(text))
		return err_set(err, ERR_LIMIT, "the PgSync with its Secrets has more than %d bytes", MANIFEST_BYTES);
	if (fd < 0 || fd_write(fd, text->data, text->len) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    dup2(fd, STDIN_FILENO) < 0)
		return err_errno(err, errno, "passing the PgSync on to pgsync");
	return 0;
}

/* --- what it needs */

struct inputs {
	struct client *client;
	json_t *objects;
	struct err *err;
	int r; /* negative after the first that cannot be read */
};

static void add_input(struct inputs *in, const char *kind, const char *plural, const char *name)
{
	_cleanup_free_ char *path = kube_path("api", "v1", "namespaces", in->client->namespace, plural, name, NULL);
	json_t *object = NULL;

	if (in->r < 0)
		return;
	in->r = client_get(in->client, path, &object, in->err);
	if (in->r < 0) {
		(void)err_wrap(in->err, "%s %s", kind, name);
		return;
	}
	(void)json_object_set_new(object, "kind", json_string(kind));
	(void)json_array_append_new(in->objects, object);
}

static void add_secret(void *user, const char *name)
{
	add_input(user, "Secret", "secrets", name);
}

static void add_config_map(void *user, const char *name)
{
	add_input(user, "ConfigMap", "configmaps", name);
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
	_cleanup_(spec_freep) struct spec *spec = spec_decode_outline(resource);
	struct inputs in = {.client = client, .objects = ret, .err = err};

	if (jsonx_get(resource, "spec.source.passwordFrom.file") ||
	    jsonx_get(resource, "spec.source.passwordFrom.exec"))
		return err_set(err, ERR_INVALID,
			       "spec.source.passwordFrom: the password is read where the worker runs, never on this "
			       "machine");
	parse_schema(resource);
	(void)json_object_set_new(resource, "kind", json_string("PgSync"));
	(void)json_object_del(resource, "status");
	(void)json_array_append(ret, resource);
	spec_references(spec, add_secret, add_config_map, &in);
	return in.r;
}

/* Becomes pgsync with these arguments, with what the PgSync needs as standard input. Returns only if it cannot:
 * EXIT_NO_PROGRAM, or -1. */
static int run_here(struct client *client, json_t *resource, const char *const *arguments, struct err *err)
{
	_cleanup_json_ json_t *documents = json_array();
	struct strbuf text;
	int r;

	if (read_inputs(client, resource, documents, err) < 0)
		return -1;
	strbuf_init_secret(&text, MANIFEST_BYTES);
	jsonx_add_yaml(&text, documents);
	r = set_input(&text, err);
	strbuf_release(&text);
	if (r < 0)
		return -1;
	become_pgsync((char *const *)arguments, err);
	return EXIT_NO_PROGRAM;
}

/* --- the commands */

static int show_findings(const json_t *resource)
{
	struct strbuf text;
	bool good;

	strbuf_init(&text, FINDINGS_BYTES);
	good = screen_plan(resource, &text);
	(void)fwrite(text.data, 1, text.len, stdout);
	(void)printf("SQL, mapping and query plans: kubectl pgsync plan %s --local\n",
		     jsonx_string(resource, "metadata.name", ""));
	strbuf_release(&text);
	return good ? EXIT_OK : EXIT_UNHEALTHY;
}

/* Runs pgsync with these arguments; NULL: shows what the operator found. */
static int examine_here(const struct command *command, const struct options *options, const char *const *arguments)
{
	struct client client;
	struct err err = {0};
	_cleanup_json_ json_t *resource = NULL;
	_cleanup_free_ char *path = NULL;
	int code = -1;

	if (client_open(options, &client, &err) < 0)
		return plugin_failed(command, &err);
	path = client_path(&client, options->names[0]);
	if (client_get(&client, path, &resource, &err) == 0)
		code = arguments ? run_here(&client, resource, arguments, &err) : show_findings(resource);
	client_close(&client);
	if (err.kind != ERR_NONE)
		(void)plugin_failed(command, &err);
	return code < 0 ? EXIT_NO_ANSWER : code;
}

int plugin_compare(const struct command *command, const struct options *options)
{
	const char *arguments[] = {"pgsync", "compare", "-f", "-", "-o", options->output, "--", options->id, NULL};
	const char *of_index[] = {"pgsync",  "compare",      "-f", "-",         "-o", options->output,
				  "--index", options->index, "--", options->id, NULL};

	return examine_here(command, options, options->index ? of_index : arguments);
}

int plugin_plan(const struct command *command, const struct options *options)
{
	static const char *const arguments[] = {"pgsync", "plan", "-f", "-", NULL};

	return examine_here(command, options, options->local ? arguments : NULL);
}
