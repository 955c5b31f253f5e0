/* pgsync-operator: reads flags and environment, runs the controller, exits. */
#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/egress.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/program.h"
#include "base/sandbox.h"
#include "base/usage.h"
#include "operator/operator.h"

enum { EXIT_USAGE = 2, MAX_RECONCILES = 64, MAX_PGSYNCS = 1000000, MAX_DESCRIPTORS = 65536 };

/* Debian's libcurl links GnuTLS, for protocols that are not used here. If this function returns 1, GnuTLS does not
 * initialize itself at every start (GNUTLS_SKIP_GLOBAL_INIT in its header), which saves 0.8 MiB. */
int _gnutls_global_init_skip(void) __attribute__((visibility("default"), used));
int _gnutls_global_init_skip(void)
{
	return 1;
}

/* Where clouds keep the credentials of machines: link-local addresses, and those of AWS, Google, Azure, Alibaba and
 * Oracle that are not. */
#define DENIED_EGRESS                                                                        \
	"169.254.0.0/16,fe80::/10,fd00:ec2::254,fd20:ce::254,168.63.129.16,100.100.100.200," \
	"192.0.0.192"

struct settings {
	struct operator_options options;
	struct console_options console;
	char **namespaces;
	size_t namespaces_alloc;
	char *worker_program;
	enum log_level level;
	enum log_format format;
};

/* --- values */

static int set_text(const char *value, const char **ret, struct err *err)
{
	if (!*value)
		return err_set(err, ERR_INVALID, "must not be empty");
	*ret = value;
	return 0;
}

static int set_boolean(const char *value, bool *ret, struct err *err)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return err_set(err, ERR_INVALID, "must be true or false, found \"%s\"", value);
	*ret = strcmp(value, "true") == 0;
	return 0;
}

static int set_duration(const char *value, int64_t *ret, struct err *err)
{
	if (!parse_duration_ms(value, ret) || *ret <= 0)
		return err_set(err, ERR_INVALID, "must be a time such as 15s or 500ms, found \"%s\"", value);
	return 0;
}

/* One namespace, or several separated by commas, as in the environment. */
static int add_namespaces(struct settings *s, const char *value, struct err *err)
{
	struct operator_options *o = &s->options;

	while (*value) {
		size_t len = strcspn(value, ",");

		if (strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") < len || len == 0 || len > 63)
			return err_set(err, ERR_INVALID, "must be a namespace, found \"%.*s\"", (int)len, value);
		for (size_t i = 0; i < o->n_namespaces; i++)
			if (strncmp(s->namespaces[i], value, len) == 0 && !s->namespaces[i][len])
				return err_set(err, ERR_INVALID, "namespace \"%.*s\" is listed twice", (int)len, value);
		ALLOC_GROW(s->namespaces, o->n_namespaces + 1, s->namespaces_alloc);
		s->namespaces[o->n_namespaces++] = xstrndup(value, len);
		o->namespaces = (const char *const *)s->namespaces;
		value += len + (value[len] == ',');
	}
	return 0;
}

static int set_agent(struct settings *s, const char *value, struct err *err)
{
	const char *slash = strchr(value, '/');

	if (!slash || slash == value || !slash[1] || strchr(slash + 1, '/'))
		return err_set(err, ERR_INVALID, "must be NAMESPACE/NAME, found \"%s\"", value);
	s->options.agent = value;
	return 0;
}

static int set_placement(const char *value, struct err *err)
{
	if (strcmp(value, "Pod") == 0)
		return err_set(err, ERR_INVALID, "Pod is not supported by this version; use Process");
	if (strcmp(value, "Process") != 0)
		return err_set(err, ERR_INVALID, "must be Process, found \"%s\"", value);
	return 0;
}

static int set_count(const char *value, unsigned most, unsigned *ret, struct err *err)
{
	uint64_t n;

	if (!parse_range(value, 1, most, &n))
		return err_set(err, ERR_INVALID, "must be a number from 1 to %u, found \"%s\"", most, value);
	*ret = (unsigned)n;
	return 0;
}

/* "KEY" or "KEY=VALUE", as labels are written. */
static int set_label(const char *value, const char **ret, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./";
	size_t key = strspn(value, letters), rest = value[key] == '=' ? 1 + strspn(value + key + 1, letters) : 0;

	if (!key || value[key + rest])
		return err_set(err, ERR_INVALID, "must be a label, KEY or KEY=VALUE, found \"%s\"", value);
	*ret = value;
	return 0;
}

/* --- flags */

enum flag {
	FLAG_KUBECONFIG,
	FLAG_CONTEXT,
	FLAG_NAMESPACE,
	FLAG_ELECT,
	FLAG_DURATION,
	FLAG_DEADLINE,
	FLAG_PERIOD,
	FLAG_LEASE_NAMESPACE,
	FLAG_RETIRE,
	FLAG_LISTEN,
	FLAG_HEALTH_LISTEN,
	FLAG_CONSOLE,
	FLAG_CONSOLE_TOKEN,
	FLAG_CONSOLE_HOST,
	FLAG_WAIT,
	FLAG_PLACEMENT,
	FLAG_IMAGE,
	FLAG_AGENT,
	FLAG_MOUNTS,
	FLAG_PROGRAM,
	FLAG_SANDBOX,
	FLAG_EGRESS,
	FLAG_RECONCILES,
	FLAG_MAX_PGSYNCS,
	FLAG_SECRET_LABEL,
	FLAG_SERVICE_NAMES,
	FLAG_LEVEL,
	FLAG_FORMAT,
	FLAGS,
	FLAG_HELP,
	FLAG_VERSION,
};

static const struct {
	const char *name, *value;
	const char *help; /* NULL: not shown in --help, as this version supports at most one value */
} flags[FLAGS] = {
	[FLAG_KUBECONFIG] = {"kubeconfig", "FILE",
			     "credentials; default: $KUBECONFIG, then the pod's service account, then ~/.kube/config"},
	[FLAG_CONTEXT] = {"context", "NAME", "context of the kubeconfig; default: its current context"},
	[FLAG_NAMESPACE] = {"namespace", "NAME", "namespace to watch; may be repeated; default: all namespaces"},
	[FLAG_ELECT] = {"leader-elect", "[=BOOL]", "act only while holding the Lease (default true)"},
	[FLAG_DURATION] = {"leader-elect-lease-duration", "TIME",
			   "how long other replicas wait before taking over a Lease that is not renewed (default 15s)"},
	[FLAG_DEADLINE] = {"leader-elect-renew-deadline", "TIME",
			   "how long a leader that cannot renew the Lease keeps acting (default 10s)"},
	[FLAG_PERIOD] = {"leader-elect-retry-period", "TIME",
			 "pause between attempts to acquire or renew the Lease (default 2s)"},
	[FLAG_LEASE_NAMESPACE] = {"leader-elect-namespace", "NAME",
				  "namespace of the Lease; default: the operator's namespace"},
	[FLAG_RETIRE] = {"retire", "[=BOOL]",
			 "take the Lease from the running operator, which then stops its workers; write into each "
			 "PgSync that the operator has stopped; and exit. For an uninstallation (default false)"},
	[FLAG_LISTEN] = {"listen", "ADDR:PORT",
			 "serve /livez, /readyz and /metrics (default :8080); \"none\" serves nothing"},
	[FLAG_HEALTH_LISTEN] = {"health-listen", "ADDR:PORT",
				"serve /livez and /readyz here too, for probes, which other clients cannot delay then; "
				"default: do not"},
	[FLAG_CONSOLE] = {"console-listen", "ADDR:PORT",
			  "serve the console, pages that show every PgSync: 127.0.0.1:8082; an address that others "
			  "reach needs --console-token-file; default: do not"},
	[FLAG_CONSOLE_TOKEN] =
		{"console-token-file", "FILE",
		 "the file that holds what visitors of the console have to enter, at least 16 characters"},
	[FLAG_CONSOLE_HOST] = {"console-host", "NAME,...",
			       "names by which browsers reach the console, besides those of this machine; requests for "
			       "others are refused"},
	[FLAG_WAIT] = {"wait-listen", "ADDR:PORT",
		       "serve /NAMESPACE/NAME/wait, which tells an application once searches find what it wrote to "
		       "Postgres; default: do not"},
	[FLAG_PLACEMENT] = {"worker-placement", "Process", NULL},
	[FLAG_IMAGE] = {"worker-image", "IMAGE",
			"let PgSyncs have placement Pod: each is a Deployment with this image, that of the operator "
			"(default: they are refused)"},
	[FLAG_AGENT] = {"agent", "NAMESPACE/NAME",
			"work on this PgSync alone, if its placement is Pod; its Lease is beside it. The operator "
			"starts pods with this option"},
	[FLAG_MOUNTS] = {"mounts", "DIRECTORY",
			 "with --agent: read Secrets and ConfigMaps here, secrets/NAME/KEY and config-maps/NAME/KEY"},
	[FLAG_PROGRAM] = {"worker-program", "FILE",
			  "worker program; default: pgsync in the directory of pgsync-operator"},
	[FLAG_SANDBOX] =
		{"worker-sandbox", "MODE",
		 "on or off: whether workers give up rights that they do not need (default on); off is for debugging"},
	[FLAG_EGRESS] = {"deny-egress", "LIST",
			 "networks and addresses that workers do not connect to, separated by commas; the API server's "
			 "addresses are added (default: where clouds keep credentials of machines, see the man page); "
			 "\"none\" leaves that alone"},
	[FLAG_RECONCILES] = {"max-concurrent-reconciles", "N",
			     "concurrent writes to the API server, at most 64 (default 4)"},
	[FLAG_MAX_PGSYNCS] = {"max-pgsyncs", "N",
			      "how many PgSyncs may have workers, the oldest first; default: any number"},
	[FLAG_SECRET_LABEL] = {"secret-label", "KEY[=VALUE]",
			       "read only Secrets with this label; default: every Secret that a PgSync names"},
	[FLAG_SERVICE_NAMES] = {"service-names", "[=BOOL]",
				"a host without a dot names a Service in the PgSync's namespace: postgres is "
				"postgres.NAMESPACE.svc. For an operator that runs in the cluster; the chart sets it "
				"(default false)"},
	[FLAG_LEVEL] = {"log-level", "LEVEL", "error, warn, info, debug or trace (default info)"},
	[FLAG_FORMAT] = {"log-format", "FORMAT", "text or json (default text)"},
};

static int apply_flag(struct settings *s, enum flag flag, const char *value, struct err *err)
{
	struct operator_options *o = &s->options;

	switch (flag) {
	case FLAG_KUBECONFIG:
		return set_text(value, &o->kubeconfig, err);
	case FLAG_CONTEXT:
		return set_text(value, &o->context, err);
	case FLAG_NAMESPACE:
		return add_namespaces(s, value, err);
	case FLAG_ELECT:
		return set_boolean(value, &o->leader_elect, err);
	case FLAG_DURATION:
		return set_duration(value, &o->lease_duration_ms, err);
	case FLAG_DEADLINE:
		return set_duration(value, &o->renew_deadline_ms, err);
	case FLAG_PERIOD:
		return set_duration(value, &o->retry_period_ms, err);
	case FLAG_LEASE_NAMESPACE:
		return set_text(value, &o->lease_namespace, err);
	case FLAG_RETIRE:
		return set_boolean(value, &o->retire, err);
	case FLAG_LISTEN:
		o->listen = value;
		return 0;
	case FLAG_HEALTH_LISTEN:
		o->health_listen = value;
		return 0;
	case FLAG_CONSOLE:
		return set_text(value, &s->console.listen, err);
	case FLAG_CONSOLE_TOKEN:
		return set_text(value, &s->console.token_file, err);
	case FLAG_CONSOLE_HOST:
		return set_text(value, &s->console.hosts, err);
	case FLAG_WAIT:
		return set_text(value, &o->wait_listen, err);
	case FLAG_PLACEMENT:
		return set_placement(value, err);
	case FLAG_IMAGE:
		return set_text(value, &o->worker_image, err);
	case FLAG_AGENT:
		return set_agent(s, value, err);
	case FLAG_MOUNTS:
		return set_text(value, &o->mounts, err);
	case FLAG_PROGRAM:
		return set_text(value, &o->worker_program, err);
	case FLAG_SANDBOX:
		o->worker_sandbox = value;
		if (!strcmp(value, "on") || !strcmp(value, "off"))
			return 0;
		return err_set(err, ERR_INVALID, "expected on or off");
	case FLAG_EGRESS:
		o->deny_egress = strcmp(value, "none") == 0 ? "" : value;
		return egress_check(o->deny_egress, err);
	case FLAG_RECONCILES:
		return set_count(value, MAX_RECONCILES, &o->max_concurrent_reconciles, err);
	case FLAG_MAX_PGSYNCS:
		return set_count(value, MAX_PGSYNCS, &o->max_pgsyncs, err);
	case FLAG_SECRET_LABEL:
		return set_label(value, &o->secret_label, err);
	case FLAG_SERVICE_NAMES:
		return set_boolean(value, &o->service_names, err);
	case FLAG_LEVEL:
		o->log_level = value;
		return log_level_parse(value, &s->level) ? 0 : err_set(err, ERR_INVALID, "unknown level \"%s\"", value);
	case FLAG_FORMAT:
		o->log_format = value;
		return log_format_parse(value, &s->format) ? 0
							   : err_set(err, ERR_INVALID, "unknown format \"%s\"", value);
	default:
		return err_set(err, ERR_FATAL, "no such flag");
	}
}

static void usage(FILE *out)
{
	(void)fputs("Usage: pgsync-operator [OPTION]...\n\n", out);
	usage_paragraph(out,
			"Watches PgSync resources in Kubernetes and runs a worker process, pgsync worker, for each. "
			"SIGTERM or SIGINT stops the workers, releases the Lease and ends the operator.");
	(void)fputs("\nOptions:\n", out);
	for (int i = 0; i < FLAGS; i++)
		if (flags[i].help)
			usage_option(out, 0, flags[i].name, flags[i].value, flags[i].help);
	usage_option(out, 0, "version", NULL, "print the version");
	usage_option(out, 0, "help", NULL, "print this help");
	usage_section(out, "Examples",
		      "pgsync-operator                             in a pod, or with your kubeconfig\n"
		      "pgsync-operator --namespace shop --namespace blog\n"
		      "pgsync-operator --leader-elect=false --log-level debug\n");
	usage_section(out, "Environment",
		      "PGSYNC_OPERATOR_*   each option, in capitals with underscores: --log-level is\n"
		      "                    PGSYNC_OPERATOR_LOG_LEVEL; options win. Namespaces in\n"
		      "                    PGSYNC_OPERATOR_NAMESPACE are separated by commas.\n"
		      "POD_UID             the pod's UID: a restarted container takes over the\n"
		      "                    Lease of the one before it at once\n"
		      "KUBECONFIG          kubeconfig files, separated by colons\n"
		      "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT\n"
		      "                    the API server, set by Kubernetes in every pod\n"
		      "http_proxy, HTTPS_PROXY, NO_PROXY\n"
		      "                    how to reach the servers; ignored for loopback addresses\n");
	usage_section(out, "Exit status",
		      "0  stopped by a signal\n"
		      "1  failed; see the log\n"
		      "2  an option, a variable or the worker program is invalid; nothing was done\n");
}

static int apply_environment(struct settings *s, struct err *err)
{
	for (int i = 0; i < FLAGS; i++) {
		_cleanup_free_ char *name = xasprintf("PGSYNC_OPERATOR_%s", flags[i].name);
		const char *value;

		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		value = getenv(name);
		if (value && *value && apply_flag(s, (enum flag)i, value, err) < 0)
			return err_wrap(err, "%s", name);
	}
	return 0;
}

static void forget_namespaces(struct settings *s)
{
	free_strings(s->namespaces, s->options.n_namespaces);
	s->namespaces = NULL;
	s->namespaces_alloc = s->options.n_namespaces = 0;
	s->options.namespaces = NULL;
}

static bool is_boolean(enum flag flag)
{
	return flag == FLAG_ELECT || flag == FLAG_RETIRE || flag == FLAG_SERVICE_NAMES;
}

/* 1: help or version was printed. */
static int read_flags(struct settings *s, int argc, char **argv, struct err *err)
{
	struct option options[FLAGS + 3] = {
		[FLAGS] = {"help", no_argument, NULL, FLAG_HELP},
		[FLAGS + 1] = {"version", no_argument, NULL, FLAG_VERSION},
	};
	bool namespaces_given = false;
	int flag;

	for (int i = 0; i < FLAGS; i++)
		options[i] = (struct option){flags[i].name,
					     is_boolean((enum flag)i) ? optional_argument : required_argument, NULL, i};
	while ((flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (flag == FLAG_HELP || flag == FLAG_VERSION) {
			if (flag == FLAG_HELP)
				usage(stdout);
			else
				(void)puts("pgsync-operator " PGSYNC_VERSION);
			return 1;
		}
		if (flag < 0 || flag >= FLAGS)
			return err_set(err, ERR_INVALID, "see --help");
		/* Flags replace the environment's values instead of adding to them. */
		if (flag == FLAG_NAMESPACE && !namespaces_given) {
			forget_namespaces(s);
			namespaces_given = true;
		}
		if (apply_flag(s, (enum flag)flag, optarg ? optarg : "true", err) < 0)
			return err_wrap(err, "--%s", flags[flag].name);
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "unexpected argument \"%s\", see --help", argv[optind]);
	return 0;
}

/* `pgsync`, in the directory of this executable. */
static int find_worker(struct settings *s, struct err *err)
{
	if (!s->options.worker_program) {
		s->options.worker_program = s->worker_program = program_beside("pgsync");
		if (!s->worker_program)
			return err_set(err, ERR_FATAL, "finding the path of this executable; set --worker-program");
	}
	if (access(s->options.worker_program, X_OK) != 0)
		return err_set(err, ERR_INVALID,
			       "the worker program %s is missing or not executable; set --worker-program",
			       s->options.worker_program);
	return 0;
}

/* An agent watches the namespace of its PgSync. */
static int prepare_agent(struct settings *s, struct err *err)
{
	struct operator_options *o = &s->options;
	_cleanup_free_ char *namespace = NULL;

	if (!o->agent != !o->mounts)
		return err_set(err, ERR_INVALID, "--agent and --mounts belong together");
	if (!o->agent)
		return 0;
	if (o->retire || o->n_namespaces || o->worker_image || !o->leader_elect)
		return err_set(err, ERR_INVALID,
			       "--agent excludes --retire, --namespace, --worker-image and --leader-elect=false");
	namespace = xstrndup(o->agent, strcspn(o->agent, "/"));
	return add_namespaces(s, namespace, err);
}

static int prepare_console(struct settings *s, struct err *err)
{
	if (!s->console.listen || strcmp(s->console.listen, "none") == 0 || s->options.retire)
		return 0;
	s->options.console = &s->console;
	return console_check(&s->console, err);
}

/* Watches and workers need descriptors, and the soft limit is often 1,024 for the sake of programs that use select. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max > MAX_DESCRIPTORS ? MAX_DESCRIPTORS : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_operator(const struct settings *s, struct err *err)
{
	_cleanup_(operator_freep) struct operator_ *op = NULL;

	log_info("operator", "starting", KV_STR("version", PGSYNC_VERSION),
		 KV_STR("worker", s->options.worker_program));
	if (operator_new(&s->options, &op, err) < 0)
		return -1;
	return operator_run(op, err);
}

int main(int argc, char **argv)
{
	struct settings s = {
		.options = {.leader_elect = true,
			    .lease_duration_ms = 15000,
			    .renew_deadline_ms = 10000,
			    .retry_period_ms = 2000,
			    .listen = ":8080",
			    .max_concurrent_reconciles = 4,
			    .deny_egress = DENIED_EGRESS,
			    .worker_sandbox = "on",
			    .log_level = "info",
			    .log_format = "text"},
		.level = LOG_LEVEL_INFO,
		.format = LOG_FORMAT_TEXT,
	};
	int code = EXIT_SUCCESS;
	struct err err;
	int r;

	/* Memory contains credentials, so there must be no core files. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	(void)sandbox_enter(SANDBOX_PRIVILEGES | SANDBOX_MEMORY, NULL);
	raise_descriptors();
	s.options.pod_uid = getenv("POD_UID");
	if (s.options.pod_uid && !*s.options.pod_uid)
		s.options.pod_uid = NULL;
	r = apply_environment(&s, &err);
	if (r == 0)
		r = read_flags(&s, argc, argv, &err);
	if (r == 0)
		r = find_worker(&s, &err);
	if (r == 0)
		r = prepare_agent(&s, &err);
	if (r == 0)
		r = prepare_console(&s, &err);
	if (r == 0 && s.options.retire && !s.options.leader_elect)
		r = err_set(&err, ERR_INVALID, "--retire needs --leader-elect: the Lease is what stops the operator");
	if (r < 0) {
		(void)fprintf(stderr, "pgsync-operator: %s\n", err.msg);
		code = EXIT_USAGE;
	} else if (r == 0) {
		if (strcmp(s.options.listen, "none") == 0)
			s.options.listen = NULL;
		if (s.options.health_listen && strcmp(s.options.health_listen, "none") == 0)
			s.options.health_listen = NULL;
		log_setup(s.level, s.format, NULL);
		if (run_operator(&s, &err) < 0) {
			log_error("operator", "stopped by an error", KV_ERR(&err));
			code = EXIT_FAILURE;
		}
	}
	forget_namespaces(&s);
	free(s.worker_program);
	return code;
}
