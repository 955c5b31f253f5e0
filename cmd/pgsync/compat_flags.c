/* The options of pgsync, bootstrap and import. */
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/usage.h"
#include "compat.h"

#define ALL (COMPAT_PGSYNC | COMPAT_BOOTSTRAP | COMPAT_IMPORT)
/* What says how to reach Postgres, and names a PgSync. */
#define SOURCE (ALL | COMPAT_INIT)
#define RUNS (COMPAT_PGSYNC | COMPAT_BOOTSTRAP)
#define AT(member) offsetof(struct compat_flags, member)

enum { FIRST_VALUE = 256 };

static const struct option_row {
	const char *name; /* with pgsync's underscores; hyphens are accepted too */
	char letter;
	const char *argument; /* NULL: a switch */
	unsigned commands;
	size_t offset;        /* of a bool, or of the argument's string */
	const char *variable; /* or the variable that the argument replaces */
	const char *help;
} rows[] = {
	{"root", 'r', "TABLE", COMPAT_INIT, AT(root), NULL,
	 "the table whose rows become documents (\"books\", \"shop.books\"); default: list the tables that can be it"},
	{"index", 'i', "NAME", COMPAT_INIT, AT(index), NULL, "the index; default: the name of the table"},
	{"database", 'd', "NAME", COMPAT_INIT, AT(database), NULL, "the database to read; default: that of $PG_URL"},
	{"config", 'c', "FILE", ALL, AT(config), NULL, "the schema.json (\"-\": standard input); default $SCHEMA"},
	{"schema_url", 0, "URL", ALL, AT(schema_url), NULL, "URL to fetch the schema from; default $SCHEMA_URL"},
	{"s3_schema_url", 0, "URL", ALL, AT(s3_schema_url), NULL, "not supported: fetch the file and use --config"},
	{"env_file", 0, "FILE", SOURCE, AT(env_file), NULL,
	 "file with variables; default: .env in the working directory or in its nearest parent"},
	{"host", 'h', "HOST", SOURCE, 0, "PG_HOST", "default $PG_HOST"},
	{"port", 'p', "PORT", SOURCE, 0, "PG_PORT", "default $PG_PORT"},
	{"user", 'u', "USER", SOURCE, 0, "PG_USER", "default $PG_USER"},
	{"password", 0, NULL, SOURCE, AT(password), NULL, "ask for the password; default $PG_PASSWORD"},
	{"sslmode", 0, "MODE", SOURCE, 0, "PG_SSLMODE", "default $PG_SSLMODE"},
	{"sslrootcert", 0, "FILE", SOURCE, 0, "PG_SSLROOTCERT", "default $PG_SSLROOTCERT"},
	{"daemon", 'd', NULL, COMPAT_PGSYNC, AT(daemon), NULL,
	 "follow changes; without it, exit once everything committed before the start is in the index"},
	{"wal", 'w', NULL, COMPAT_PGSYNC, AT(wal), NULL, "the same as --daemon"},
	{"polling", 0, NULL, COMPAT_PGSYNC, AT(polling), NULL, "the same as --daemon"},
	{"bootstrap", 'b', NULL, COMPAT_PGSYNC, AT(bootstrap), NULL, "run bootstrap first"},
	{"analyze", 'a', NULL, COMPAT_PGSYNC, AT(analyze), NULL,
	 "print a CREATE INDEX statement for each missing index"},
	{"num_workers", 'n', "N", COMPAT_PGSYNC, 0, "NUM_WORKERS",
	 "how many threads fill an index; default $NUM_WORKERS"},
	{"producer", 0, NULL, COMPAT_PGSYNC, AT(producer), NULL, "not supported: use one process with --daemon"},
	{"consumer", 0, NULL, COMPAT_PGSYNC, AT(consumer), NULL, "not supported: use one process with --daemon"},
	{"teardown", 't', NULL, COMPAT_BOOTSTRAP, AT(teardown), NULL,
	 "drop the replication slot, the publication and the checkpoint; keep the index"},
	{"no_create", 0, NULL, COMPAT_BOOTSTRAP, AT(no_create), NULL,
	 "(-nc) no effect: existing objects are never created again"},
	{"adopt_existing_index", 0, NULL, ALL, AT(adopt), NULL,
	 "replace an existing index of that name once the new one is complete"},
	{"name", 0, "NAME", SOURCE, AT(name), NULL, "name of the PgSync; default: derived from database and index"},
	{"namespace", 0, "NAME", COMPAT_IMPORT | COMPAT_INIT, AT(namespace), NULL,
	 "namespace of the PgSync and its Secrets"},
	{"variables", 0, NULL, COMPAT_IMPORT, AT(variables), NULL, "print what each variable becomes"},
	{"listen", 0, "ADDR:PORT", COMPAT_PGSYNC, AT(listen), NULL, "serve /status, /metrics and /wait"},
	{"log_level", 0, "LEVEL", RUNS, AT(log_level), NULL, "error, warn, info, debug or trace (default info)"},
	{"log_format", 0, "FORMAT", RUNS, AT(log_format), NULL, "text or json (default text)"},
	{"verbose", 'v', NULL, RUNS, AT(verbose), NULL, "the same as --log-level debug"},
	{"version", 0, NULL, RUNS, AT(version), NULL, "print the version"},
	{"help", 0, NULL, SOURCE, AT(help), NULL, "print this help"},
};

const char *compat_name(enum compat_command command)
{
	return command == COMPAT_PGSYNC      ? "pgsync"
	       : command == COMPAT_BOOTSTRAP ? "bootstrap"
	       : command == COMPAT_INIT      ? "init"
					     : "import";
}

/* With hyphens, as it is usually written. */
static char *spelled(const char *name)
{
	char *text = xstrdup(name);

	for (char *p = text; *p && *p != '='; p++)
		*p = *p == '_' ? '-' : *p;
	return text;
}

void compat_usage(enum compat_command command, FILE *to)
{
	help_begin(compat_name(command), to);
	if (command == COMPAT_PGSYNC)
		help_commands(to);
	(void)fprintf(to, "\n%s:\n",
		      command == COMPAT_PGSYNC ? "Options without a command, as in pgsync 7" : "Options");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *name = spelled(rows[i].name);

		if (rows[i].commands & command)
			usage_option(to, rows[i].letter, name, rows[i].argument, rows[i].help);
	}
	help_end(compat_name(command), to);
}

/* In place: hyphens become underscores, and "-nc", which getopt would read as two letters, becomes its long form. */
static void spell_as_rows(enum compat_command command, int argc, char **argv)
{
	static char no_create[] = "--no_create";

	for (int i = 1; i < argc; i++) {
		if (command == COMPAT_BOOTSTRAP && !strcmp(argv[i], "-nc"))
			argv[i] = no_create;
		for (char *p = strncmp(argv[i], "--", 2) ? NULL : argv[i] + 2; p && *p && *p != '='; p++)
			*p = *p == '-' ? '_' : *p;
	}
}

/* For getopt_long: the rows of a command, each with its number as value. */
struct table {
	struct option longs[ARRAY_SIZE(rows) + 1];
	char shorts[2 + 2 * ARRAY_SIZE(rows)];
};

static void fill_table(enum compat_command command, struct table *t)
{
	size_t n = 0, at = 0;

	*t = (struct table){0};
	t->shorts[at++] = ':';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct option_row *row = &rows[i];

		if (!(row->commands & command))
			continue;
		t->longs[n++] = (struct option){row->name, row->argument ? required_argument : no_argument, NULL,
						FIRST_VALUE + (int)i};
		if (row->letter)
			t->shorts[at++] = row->letter;
		if (row->letter && row->argument)
			t->shorts[at++] = ':';
	}
}

static const struct option_row *find_row(enum compat_command command, int value)
{
	if (value >= FIRST_VALUE)
		return &rows[value - FIRST_VALUE];
	for (size_t i = 0; value && i < ARRAY_SIZE(rows); i++)
		if (rows[i].letter == value && (rows[i].commands & command))
			return &rows[i];
	return NULL;
}

static void take_option(struct compat_flags *flags, const struct option_row *row, const char *argument)
{
	if (row->variable && flags->n_overrides < COMPAT_OVERRIDES) {
		flags->overrides[flags->n_overrides].variable = row->variable;
		flags->overrides[flags->n_overrides++].value = argument;
	} else if (row->argument) {
		*(const char **)((char *)flags + row->offset) = argument;
	} else {
		*(bool *)((char *)flags + row->offset) = true;
	}
}

static void add_usage_error(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_usage_error(struct findings *f, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(f, FINDING_ERROR, REASON_USAGE, NULL, "%s", text);
}

static void report_unknown_option(enum compat_command command, const char *word, struct findings *f)
{
	_cleanup_free_ char *shown = spelled(word);
	_cleanup_free_ char *name = NULL;
	const char *names[ARRAY_SIZE(rows)];
	const char *nearest;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].commands & command)
			names[n++] = rows[i].name;
	nearest = strncmp(word, "--", 2) ? NULL : nearest_name(word + 2, names, n);
	name = nearest ? spelled(nearest) : NULL;
	add_usage_error(f, "unknown option %s%s%s%s", shown, name ? "; did you mean --" : "", name ? name : "",
			name ? "?" : "");
}

static void parse_all(struct compat_flags *flags, int argc, char **argv, struct findings *f)
{
	struct table t;
	int c;

	fill_table(flags->command, &t);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		bool wrong = c == '?' || c == ':';
		const struct option_row *row = find_row(flags->command, wrong ? optopt : c);
		_cleanup_free_ char *name = row ? spelled(row->name) : NULL;

		if (row && !wrong)
			take_option(flags, row, optarg);
		else if (row && c == ':')
			add_usage_error(f, "option --%s needs a value: %s", name, row->argument);
		else if (row)
			add_usage_error(f, "option --%s takes no value", name);
		else if (optopt)
			add_usage_error(f, "unknown option -%c", optopt);
		else
			report_unknown_option(flags->command, argv[optind - 1], f);
	}
	for (int i = optind; i < argc; i++)
		add_usage_error(f, "unexpected argument \"%s\"", argv[i]);
}

static void check_modes(const struct compat_flags *flags, struct findings *f)
{
	int modes = flags->daemon + flags->wal + flags->polling;

	if (modes > 1)
		add_usage_error(
			f,
			"--daemon, --wal and --polling are mutually exclusive: use one (all of them follow the WAL)");
	if (flags->analyze && modes)
		add_usage_error(f,
				"--analyze exits once it has checked the indexes: use it without --daemon, --wal and "
				"--polling");
	if (flags->producer || flags->consumer)
		add_usage_error(
			f,
			"--%s starts one of two processes with a queue between them, which pgsync no longer has: "
			"run one process with --daemon instead",
			flags->producer ? "producer" : "consumer");
	if (flags->config && flags->schema_url)
		add_usage_error(f, "--config and --schema-url are mutually exclusive: use one");
	if (flags->s3_schema_url)
		add_usage_error(f, "--s3-schema-url is not supported: aws s3 cp %s - | %s --config -",
				flags->s3_schema_url, compat_name(flags->command));
}

void compat_parse(enum compat_command command, int argc, char **argv, struct compat_flags *ret, struct findings *f)
{
	*ret = (struct compat_flags){.command = command};
	spell_as_rows(command, argc, argv);
	parse_all(ret, argc, argv, f);
	check_modes(ret, f);
}
