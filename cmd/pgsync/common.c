/* Flags, findings and signals: what the sub-commands share. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/terminal.h"
#include "base/usage.h"
#include "cmd.h"

/* Above every letter: what getopt returns for a long option. */
enum { LONG = 256 };

static const struct option_row {
	char value;  /* what getopt returns, and `allowed` contains */
	char letter; /* or 0 */
	bool always;
	const char *name, *argument, *help;
} rows[] = {
	{'f', 'f', false, "file", "FILE",
	 "YAML with a PgSync, and the Secrets and ConfigMaps that it refers to (\"-\": standard input)"},
	{'u', 0, false, "until-caught-up", NULL, "exit once everything committed before the start is in the index"},
	{'l', 0, false, "listen", "ADDR:PORT", "serve /status, /metrics and /wait"},
	{'c', 0, false, "console-listen", "ADDR:PORT",
	 "serve the console, pages that show the PgSync: 127.0.0.1:8082; an address that others reach needs "
	 "--console-token-file"},
	{'t', 0, false, "console-token-file", "FILE",
	 "the file that holds what visitors of the console have to enter, at least 16 characters"},
	{'n', 0, false, "console-host", "NAME,...",
	 "names by which browsers reach the console, besides those of this machine; requests for others are refused"},
	{'x', 0, false, "console-actions", NULL,
	 "let visitors of the console retry and discard dead letters; default: it only reads"},
	{'F', 0, false, "password-file", "FILE",
	 "the file that holds the password of Postgres, read for each connection; default: $PGSYNC_PASSWORD_FILE"},
	{'P', 0, false, "password-command", "PROGRAM",
	 "the program that prints the password of Postgres, run for each connection; default: "
	 "$PGSYNC_PASSWORD_COMMAND"},
	{'i', 0, false, "index", "NAME", "only the dead letters of this index; default: of all of the PgSync's"},
	{'I', 0, false, "index", "NAME", "the index of the document; required if the PgSync has several"},
	{'a', 0, false, "all", NULL, "every dead letter, instead of the IDs of documents"},
	{'p', 'o', false, "output", "FORMAT", "text or json (default text)"},
	{'d', 0, false, "deny-egress", "LIST", "networks and addresses that are not connected to, separated by commas"},
	{'s', 0, false, "sandbox", "MODE",
	 "on or off: whether to give up rights that a worker does not need (default on)"},
	{'C', 0, false, "credentials", "DIRECTORY",
	 "where a pod has the password that spec.source.passwordFrom.secretRef names; default: it is in the task"},
	{'v', 0, true, "log-level", "LEVEL", "error, warn, info, debug or trace (default info)"},
	{'o', 0, true, "log-format", "FORMAT", "text or json (default text)"},
	{'h', 0, true, "help", NULL, "print this help"},
};

static bool is_allowed(const struct option_row *row, const char *allowed)
{
	return row->always || strchr(allowed, row->value);
}

static void print_help(const char *command, const char *allowed)
{
	help_begin(command, stdout);
	(void)fputs("\nOptions:\n", stdout);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_allowed(&rows[i], allowed))
			usage_option(stdout, rows[i].letter, rows[i].name, rows[i].argument, rows[i].help);
	help_end(command, stdout);
}

static int print_help_hint(const char *command)
{
	(void)fprintf(stderr, "See pgsync %s --help.\n", command);
	return EXIT_BAD_INPUT;
}

static void set_flag(struct common_flags *flags, int value)
{
	if (value == 'f')
		flags->file = optarg;
	else if (value == 'u')
		flags->until_caught_up = true;
	else if (value == 'l')
		flags->listen = optarg;
	else if (value == 'c')
		flags->console.listen = optarg;
	else if (value == 't')
		flags->console.token_file = optarg;
	else if (value == 'n')
		flags->console.hosts = optarg;
	else if (value == 'x')
		flags->console_actions = true;
	else if (value == 'i' || value == 'I')
		flags->index = optarg;
	else if (value == 'a')
		flags->all = true;
	else if (value == 'p')
		flags->output = optarg;
	else if (value == 'F')
		flags->password_file = optarg;
	else if (value == 'P')
		flags->password_command = optarg;
	else if (value == 'd')
		flags->deny_egress = optarg;
	else if (value == 's')
		flags->sandbox = optarg;
	else if (value == 'C')
		flags->credentials = optarg;
	else if (value == 'v')
		flags->log_level = optarg;
	else
		flags->log_format = optarg;
}

/* For getopt_long, which returns the letter of a short option. */
static void fill_options(const char *allowed, struct option *options, char *letters)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!is_allowed(&rows[i], allowed))
			continue;
		*options++ = (struct option){rows[i].name, rows[i].argument != NULL, NULL, LONG + rows[i].value};
		if (rows[i].letter) {
			*letters++ = rows[i].letter;
			*letters++ = ':';
		}
	}
	*letters = '\0';
}

static int value_of(int c)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (c == rows[i].letter)
			return rows[i].value;
	return c - LONG;
}

int flags_parse(int argc, char **argv, const char *allowed, struct common_flags *ret)
{
	struct option options[ARRAY_SIZE(rows) + 1] = {0};
	char letters[2 * ARRAY_SIZE(rows) + 1];
	int c;

	fill_options(allowed, options, letters);
	*ret = (struct common_flags){.log_level = "info", .log_format = "text", .output = "text"};
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (c == LONG + 'h') {
			print_help(argv[0], allowed);
			return EXIT_OK;
		}
		if (c == '?')
			return print_help_hint(argv[0]);
		set_flag(ret, value_of(c));
	}
	ret->words = argv + optind;
	ret->n_words = (size_t)(argc - optind);
	if (optind < argc && !strchr(allowed, '*')) {
		(void)fprintf(stderr, "pgsync %s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
		return print_help_hint(argv[0]);
	}
	if (strchr(allowed, 'f') && !ret->file) {
		(void)fprintf(stderr, "pgsync %s: -f FILE is required: a YAML file with a PgSync\n", argv[0]);
		return print_help_hint(argv[0]);
	}
	return -1;
}

int flags_refuse(const char *command, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "pgsync %s: ", command);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return print_help_hint(command);
}

int flags_check_output(const char *command, const struct common_flags *flags)
{
	if (!strcmp(flags->output, "text") || !strcmp(flags->output, "json"))
		return -1;
	return flags_refuse(command, "--output must be text or json, found \"%s\"", flags->output);
}

int flags_log(const struct common_flags *flags, const char *context)
{
	enum log_level level;
	enum log_format format;

	if (!log_level_parse(flags->log_level, &level)) {
		(void)fprintf(stderr, "pgsync: --log-level must be error, warn, info, debug or trace, found \"%s\"\n",
			      flags->log_level);
		return EXIT_BAD_INPUT;
	}
	if (!log_format_parse(flags->log_format, &format)) {
		(void)fprintf(stderr, "pgsync: --log-format must be text or json, found \"%s\"\n", flags->log_format);
		return EXIT_BAD_INPUT;
	}
	log_setup(level, format, context);
	return -1;
}

void cmd_print_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

	for (const char *at = text; at && *at; at++) {
		if (*at == 0x7f)
			(void)fputs("\\u007f", stdout);
		else
			(void)fputc(*at, stdout);
	}
	(void)fputc('\n', stdout);
	free(text);
}

bool cmd_find_index(const struct spec *spec, const char *name, size_t *ret)
{
	for (size_t i = 0; i < spec->n_documents; i++) {
		if (strcmp(spec->documents[i]->index, name) != 0)
			continue;
		*ret = i;
		return true;
	}
	return false;
}

void cmd_print_findings(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		(void)fprintf(stderr, "%s: ", item->severity == FINDING_ERROR ? "error" : "warning");
		terminal_print(stderr, item->path);
		(void)fputs(*item->path ? ": " : "", stderr);
		terminal_print(stderr, item->message);
		(void)fprintf(stderr, " (%s)\n", reason_name(item->reason));
	}
}

static int watch_signals(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* One for the whole process, regardless of the number of databases. */
static int open_signal_fd(void)
{
	static int signal_fd = -1;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (signal_fd < 0)
		signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return signal_fd;
}

int stop_fd_open(int also, struct err *err)
{
	int signal_fd = open_signal_fd();
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (signal_fd < 0 || epoll_fd < 0 || watch_signals(epoll_fd, signal_fd) < 0 ||
	    (also >= 0 && watch_signals(epoll_fd, also) < 0)) {
		(void)err_errno(err, errno, "watching for signals");
		close_fdp(&epoll_fd);
		return -1;
	}
	return epoll_fd;
}

bool cmd_is_stopped(void *stop_fd)
{
	struct pollfd fd = {.fd = *(const int *)stop_fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}
