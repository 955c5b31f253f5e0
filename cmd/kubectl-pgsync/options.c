/* The command line: options in one table, for parsing, --help and completion. */
#include <getopt.h>
#include <string.h>

#include "base/mem.h"
#include "base/terminal.h"
#include "base/usage.h"
#include "plugin.h"
#include "json/json.h"

enum { LONG = 256, LETTERS_BYTES = 64 };

static const struct option_spec {
	char value; /* what a command's `letters` contain */
	char letter;
	bool always;
	const char *name, *argument, *help;
} specs[] = {
	{'n', 'n', true, "namespace", "NAME", "namespace of the PgSync; default: that of the context"},
	{'A', 'A', false, "all-namespaces", NULL, "the PgSyncs of all namespaces"},
	{'w', 'w', false, "watch", NULL, "go on, with a line for each change"},
	{'f', 'f', false, "follow", NULL, "go on, with new lines as they are written"},
	{'F', 0, false, "file", "FILE", "the archive to write, which must not exist; \"-\": standard output"},
	{'r', 0, false, "retry", NULL, "try the documents of all dead letters again"},
	{'l', 0, false, "local", NULL, "run pgsync plan on this machine, with your rights to read Secrets"},
	{'i', 0, false, "index", "NAME", "the index of the document; required if the PgSync has several"},
	{'o', 'o', false, "output", "FORMAT", "text or json (default text)"},
	{'k', 0, true, "kubeconfig", "FILE", "credentials; default: $KUBECONFIG, otherwise ~/.kube/config"},
	{'c', 0, true, "context", "NAME", "context of the kubeconfig; default: its current context"},
	{'h', 'h', true, "help", NULL, "print this help"},
};

static bool has_option(const struct command *command, const struct option_spec *spec)
{
	return spec->always || (command && strchr(command->letters, spec->value));
}

/* --- help */

static const char PURPOSE[] =
	"Shows how PgSyncs are doing and what to do about it, and suspends, resumes, restarts and rebuilds them. It "
	"needs "
	"only what a user of the cluster may do: to read PgSyncs and events and to change PgSyncs. `plan --local` and "
	"`compare` also read Secrets and ConfigMaps, and run pgsync.";
static const char EXAMPLES[] = "kubectl pgsync status                  every PgSync of the namespace\n"
			       "kubectl pgsync status books -n shop    one of them, on one screen\n"
			       "kubectl pgsync suspend books\n";
static const char ENVIRONMENT[] = "KUBECONFIG          kubeconfig files, separated by colons\n"
				  "HTTPS_PROXY, NO_PROXY\n"
				  "                    how to reach the API server; not for loopback addresses\n";
static const char EXIT_STATUS[] = "0  done\n"
				  "2  an option or an argument is invalid; nothing was done\n"
				  "3  the API server cannot be reached or refuses, or has no such PgSync\n";

static void print_commands(FILE *to)
{
	(void)fputs("\nCommands (\"kubectl pgsync COMMAND --help\" describes each):\n", to);
	for (const struct command *command = plugin_commands; command->name; command++)
		(void)fprintf(to, "  %-12s  %s\n", command->name, command->help);
}

static void print_plugin_help(const struct command *command)
{
	if (command)
		(void)printf("Usage: kubectl pgsync %s %s\n\n", command->name, command->arguments);
	else
		(void)printf("Usage: kubectl pgsync COMMAND [NAME]... [OPTION]...\n\n");
	usage_paragraph(stdout, command ? command->intro : PURPOSE);
	if (!command)
		print_commands(stdout);
	(void)fputs("\nOptions:\n", stdout);
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		if (has_option(command, &specs[i]))
			usage_option(stdout, specs[i].letter, specs[i].name, specs[i].argument, specs[i].help);
	if (!command)
		usage_option(stdout, 0, "version", NULL, "print the version");
	usage_section(stdout, "Examples", command ? command->examples : EXAMPLES);
	usage_section(stdout, "Environment", ENVIRONMENT);
	usage_section(stdout, "Exit status", command && command->exit_status ? command->exit_status : EXIT_STATUS);
}

static int refer_to_help(const struct command *command)
{
	(void)fprintf(stderr, "See kubectl pgsync %s%s--help.\n", command ? command->name : "", command ? " " : "");
	return EXIT_BAD_USAGE;
}

/* --- parsing */

static const struct command *find_command(const char *name)
{
	for (const struct command *command = plugin_commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

/* The command is the first argument; kubectl puts nothing before it. */
static const struct command *command_of(int argc, char **argv)
{
	return argc > 1 && argv[1][0] != '-' ? find_command(argv[1]) : NULL;
}

static void list_options(const struct command *command, struct option *options, char *letters)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		if (!has_option(command, &specs[i]))
			continue;
		*options++ = (struct option){specs[i].name, specs[i].argument != NULL, NULL, LONG + specs[i].value};
		if (!specs[i].letter)
			continue;
		*letters++ = specs[i].letter;
		if (specs[i].argument)
			*letters++ = ':';
	}
	if (!command)
		*options++ = (struct option){"version", no_argument, NULL, LONG + 'V'};
	*letters = '\0';
}

static void set_plugin_option(struct options *options, int value)
{
	if (value == 'n')
		options->namespace = optarg;
	else if (value == 'A')
		options->all_namespaces = true;
	else if (value == 'w')
		options->watch = true;
	else if (value == 'f')
		options->follow = true;
	else if (value == 'F')
		options->file = optarg;
	else if (value == 'r')
		options->retry = true;
	else if (value == 'l')
		options->local = true;
	else if (value == 'i')
		options->index = optarg;
	else if (value == 'o')
		options->output = optarg;
	else if (value == 'k')
		options->kubeconfig = optarg;
	else if (value == 'c')
		options->context = optarg;
}

static const char *bare_name(const char *word)
{
	static const char *const kinds[] = {"pgsync/", "pgsyncs/", "pgs/", "pgsyncs.pgsync.io/", "pgsync.pgsync.io/"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strncmp(word, kinds[i], strlen(kinds[i])) == 0)
			return word + strlen(kinds[i]);
	return word;
}

static bool takes_id(const struct command *command)
{
	return strchr(command->letters, '#') != NULL;
}

/* -1: all is well. */
static int check_command_line(const struct command *command, struct options *options)
{
	const char *wrong = NULL;

	if (takes_id(command) && options->n_names > command->least)
		options->id = options->names[--options->n_names];
	for (size_t i = 0; i < options->n_names; i++) {
		options->names[i] = (char *)bare_name(options->names[i]);
		if (!*options->names[i] || strchr(options->names[i], '/'))
			wrong = "a PgSync is named NAME or pgsync/NAME";
	}
	if (takes_id(command) && (!options->id || !*options->id))
		wrong = "the name of a PgSync and the ID of a document are required";
	else if (options->n_names < command->least)
		wrong = "the name of a PgSync is required";
	else if (options->n_names > command->most)
		wrong = "too many arguments";
	else if (options->retry && !options->n_names)
		wrong = "--retry needs the name of a PgSync";
	else if (options->n_names && options->all_namespaces)
		wrong = "a name and --all-namespaces exclude each other";
	else if (strcmp(options->output, "text") != 0 && strcmp(options->output, "json") != 0)
		wrong = "--output must be text or json";
	else if (options->namespace && !*options->namespace)
		wrong = "--namespace must not be empty";
	if (!wrong)
		return -1;
	(void)fprintf(stderr, "kubectl pgsync %s: %s\n", command->name, wrong);
	return refer_to_help(command);
}

static int no_command(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-')
		(void)fprintf(stderr, "kubectl pgsync: unknown command \"%s\"\n", argv[1]);
	else
		(void)fputs("Usage: kubectl pgsync COMMAND [NAME]... [OPTION]...\n", stderr);
	print_commands(stderr);
	return refer_to_help(NULL);
}

int options_parse(int argc, char **argv, const struct command **ret_command, struct options *ret)
{
	const struct command *command = command_of(argc, argv);
	struct option options[ARRAY_SIZE(specs) + 2] = {0};
	char letters[LETTERS_BYTES];
	int c;

	if (command && !command->letters)
		return plugin_pass(command, argv + 1);
	list_options(command, options, letters);
	*ret = (struct options){.output = "text"};
	/* getopt's own messages begin with this. */
	argv[0] = (char *)"kubectl pgsync";
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (c == '?')
			return refer_to_help(command);
		if (c == LONG + 'V') {
			(void)puts("kubectl-pgsync " PGSYNC_VERSION);
			return EXIT_OK;
		}
		if (c == 'h' || c == LONG + 'h') {
			print_plugin_help(command);
			return EXIT_OK;
		}
		set_plugin_option(ret, c >= LONG ? c - LONG : c);
	}
	if (!command)
		return no_command(argc, argv);
	ret->names = argv + optind + 1;
	ret->n_names = (size_t)(argc - optind - 1);
	*ret_command = command;
	return check_command_line(command, ret);
}

/* --- completion, as kubectl asks for it: candidates, one on each line, and its directive */

static const char NO_FILES[] = ":4";

static void complete_commands(const char *word)
{
	for (const struct command *command = plugin_commands; command->name; command++)
		if (strncmp(command->name, word, strlen(word)) == 0)
			(void)printf("%s\t%s\n", command->name, command->help);
}

static void complete_options(const struct command *command, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		_cleanup_free_ char *option = xasprintf("--%s", specs[i].name);

		if (has_option(command, &specs[i]) && strncmp(option, word, strlen(word)) == 0)
			(void)printf("%s\t%s\n", option, specs[i].help);
	}
}

static void complete_names(const struct options *options, const char *word)
{
	_cleanup_json_ json_t *list = NULL;
	struct client client;
	struct err err;
	json_t *item;
	size_t i;

	if (client_open(options, &client, &err) < 0)
		return;
	if (client_list(&client, false, &list, &err) == 0) {
		json_array_foreach (list, i, item) {
			const char *name = jsonx_string(item, "metadata.name", "");

			if (strncmp(name, word, strlen(word)) == 0)
				(void)printf("%s\n", name);
		}
	}
	client_close(&client);
}

/* Whether the word before is an option that takes the next word as its value. */
static bool wants_value(const struct command *command, const char *before)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		if (!specs[i].argument || !has_option(command, &specs[i]) || before[0] != '-')
			continue;
		if ((before[1] == specs[i].letter && specs[i].letter && !before[2]) ||
		    (before[1] == '-' && strcmp(before + 2, specs[i].name) == 0))
			return true;
	}
	return false;
}

int options_complete(int argc, char **argv)
{
	const struct command *command = argc > 2 ? command_of(argc, argv) : NULL;
	const char *word = argc > 1 ? argv[argc - 1] : "";
	struct option options[ARRAY_SIZE(specs) + 2] = {0};
	char letters[LETTERS_BYTES];
	struct options given = {.output = "text"};
	int c;

	if (argc <= 2 && word[0] != '-') {
		complete_commands(word);
	} else if (command && !command->letters) {
		/* Its options are those of another program. */
	} else if (word[0] == '-') {
		complete_options(command, word);
	} else if (command && !wants_value(command, argv[argc - 2])) {
		list_options(command, options, letters);
		opterr = 0;
		while ((c = getopt_long(argc - 1, argv, letters, options, NULL)) != -1)
			set_plugin_option(&given, c >= LONG ? c - LONG : c);
		/* IDs are not completed. The last argument is the word, and the first one that is no option the
		 * command. */
		if (!takes_id(command) || argc - optind <= 2)
			complete_names(&given, word);
	}
	(void)puts(NO_FILES);
	return EXIT_OK;
}
