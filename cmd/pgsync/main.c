/* pgsync: the worker and the people's tool. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "keep the indices of a PgSync in step, without Kubernetes"},
	{"validate", cmd_validate, "check a PgSync without connecting"},
	{"plan", cmd_plan, "connect, print findings, SQL and mapping; change nothing"},
	{"import", cmd_import, "print pgsync's schema.json and environment as a PgSync and its Secrets"},
	{"bootstrap", cmd_bootstrap, "pgsync's: check a schema.json, and make what is missing"},
	{"worker", cmd_worker, "what the operator starts"},
};

/* Known, and not there yet: said plainly rather than as an unknown word. */
static const char *const later[] = {"verify", "resync"};

static void usage(FILE *to)
{
	(void)fputs("usage: pgsync COMMAND [OPTIONS]\n"
		    "       pgsync --config schema.json [OPTIONS]    as the pgsync of Python, see --help\n\n",
		    to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
	(void)fputs("\noptions:\n"
		    "  -f, --file FILE       YAML with a PgSync, and the Secrets and ConfigMaps that it names (\"-\": "
		    "standard input)\n"
		    "  --until-caught-up     run: exit 0 once everything committed before the start is in the index\n"
		    "  --listen ADDR:PORT    run: serve /status and /metrics\n"
		    "  --log-level LEVEL     error, warn, info, debug, trace\n"
		    "  --log-format FORMAT   text, json\n"
		    "  --version, --help\n",
		    to);
}

int main(int argc, char **argv)
{
	/* The binary has a second name, which pgsync's users know. */
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

	/* Passwords are in this memory. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	/* Several threads that each hold a body or two: as many heaps would only keep what the others could use. */
	(void)mallopt(M_ARENA_MAX, 2);
	if (!strcmp(name, "bootstrap"))
		return cmd_bootstrap(argc, argv);
	if (argc < 2 && (getenv("SCHEMA") || getenv("SCHEMA_URL")))
		return cmd_compat(argc, argv);
	if (argc < 2) {
		usage(stderr);
		return EXIT_BAD_INPUT;
	}
	if (!strcmp(argv[1], "--version")) {
		(void)printf("pgsync %s\n", PGSYNC_VERSION);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--help")) {
		usage(stdout);
		(void)fputs("\n", stdout);
		return cmd_compat(argc, argv);
	}
	if (argv[1][0] == '-')
		return cmd_compat(argc, argv);
	/* import has options, and a text on them, of its own. */
	if (argc == 3 && !strcmp(argv[2], "--help") && strcmp(argv[1], "import") != 0) {
		usage(stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
		if (!strcmp(argv[1], later[i])) {
			(void)fprintf(stderr, "pgsync %s is not supported in version %s\n", argv[1], PGSYNC_VERSION);
			return EXIT_BAD_INPUT;
		}
	}
	(void)fprintf(stderr, "pgsync: unknown command \"%s\"\n\n", argv[1]);
	usage(stderr);
	return EXIT_BAD_INPUT;
}
