/* pgsync: the worker, and the command-line tool. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "base/terminal.h"
#include "cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "keep the indices of a PgSync in sync, without Kubernetes"},
	{"validate", cmd_validate, "check a PgSync without connecting"},
	{"plan", cmd_plan, "connect, print errors, SQL and mapping; change nothing"},
	{"init", cmd_init, "propose a PgSync from the foreign keys of a database"},
	{"import", cmd_import, "convert a schema.json of pgsync 7 to a PgSync and its Secrets"},
	{"dead-letters", cmd_dead_letters, "list, show, retry or discard documents that failed"},
	{"compare", cmd_compare, "compare a document of an index with what Postgres has now"},
	{"bootstrap", cmd_bootstrap, "check a schema.json, create publication, slot and index"},
	{"worker", cmd_worker, "used by pgsync-operator"},
};

/* Planned commands: a clear answer instead of "unknown command". */
static const char *const later[] = {"verify", "resync"};

void help_commands(FILE *to)
{
	(void)fputs("\nCommands (\"pgsync COMMAND --help\" describes each):\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(to, "  %-12s  %s\n", commands[i].name, commands[i].help);
}

static int print_usage_hint(void)
{
	help_begin("pgsync", stderr);
	help_commands(stderr);
	(void)fputs("\nSee pgsync --help.\n", stderr);
	return EXIT_BAD_INPUT;
}

int main(int argc, char **argv)
{
	/* pgsync's users know the binary by a second name. */
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

	terminal_guard();
	/* Passwords are in this memory. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	(void)sandbox_enter(SANDBOX_PRIVILEGES | SANDBOX_MEMORY, NULL);
	/* Several threads hold a body or two each: a heap per thread would only keep memory that the others could
	 * use. */
	(void)mallopt(M_ARENA_MAX, 2);
	if (!strcmp(name, "bootstrap"))
		return cmd_bootstrap(argc, argv);
	if (argc < 2 && (getenv("SCHEMA") || getenv("SCHEMA_URL")))
		return cmd_compat(argc, argv);
	if (argc < 2)
		return print_usage_hint();
	if (argv[1][0] == '-')
		return cmd_compat(argc, argv);
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
	return print_usage_hint();
}
