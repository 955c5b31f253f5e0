/* The sub-commands of pgsync, and what they share: flags, exit codes, help, the input file, and the end by a signal.
 *
 * Everything is for the main thread, except where it says otherwise.
 */
#ifndef PGSYNC_CMD_CMD_H
#define PGSYNC_CMD_CMD_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/err.h"
#include "base/findings.h"
#include "console/console.h"
#include "protocol/protocol.h"
#include "spec/spec.h"
#include "waits/waits.h"
#include "web/web.h"

/* Exit codes of every sub-command; those of a worker have a meaning for the operator. */
enum {
	EXIT_OK = PROTOCOL_EXIT_OK,
	EXIT_FAILED = PROTOCOL_EXIT_FAILED,
	EXIT_BAD_INPUT = PROTOCOL_EXIT_BAD_INPUT,
};

struct common_flags {
	const char *file; /* -f */
	const char *listen;
	struct console_options console; /* listen: NULL if there is none */
	bool console_actions;
	const char *password_file, *password_command;
	const char *deny_egress;
	const char *sandbox;
	const char *credentials;
	const char *log_level, *log_format;
	bool until_caught_up;
	const char *index, *output;
	bool all;
	char **words; /* arguments that are not options */
	size_t n_words;
};

int cmd_run(int argc, char **argv);
int cmd_worker(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_dead_letters(int argc, char **argv);
int cmd_compare(int argc, char **argv);
/* The original pgsync's commands: bootstrap, and what it does without a command. */
int cmd_bootstrap(int argc, char **argv);
int cmd_compat(int argc, char **argv);

/* The text of --help before and after the options of a command ("run", ...; "pgsync": without a command). */
void help_begin(const char *name, FILE *to);
void help_end(const char *name, FILE *to);
/* The commands, one per line. */
void help_commands(FILE *to);

/* Parses the flags of a command, argv[0]: those that `allowed` names ("f" file, "u" until-caught-up, "l" listen, "c",
 * "t", "n" and "x" those of the console, "i" and "I" index, "a" all, "p" output, "F" and "P" the password's, "*"
 * arguments that are not options), those of the log, and --help. Returns -1 to continue, or the exit code after
 * printing: EXIT_OK for --help, EXIT_BAD_INPUT for an error. */
int flags_parse(int argc, char **argv, const char *allowed, struct common_flags *ret);
/* For a command line that is invalid: prints why, and returns EXIT_BAD_INPUT. */
int flags_refuse(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Checks --output. Returns -1 to continue, or the exit code after printing. */
int flags_check_output(const char *command, const struct common_flags *flags);
/* Sets logging up; context may be NULL. */
int flags_log(const struct common_flags *flags, const char *context);

/* A PgSync with what it refers to. */
struct input {
	json_t *resource, *secrets, *config_maps;
	struct spec *spec;
	bool slot_name_given;
};
void input_release(struct input *input);
/* Decodes and resolves; every problem is a finding. Takes over the objects of the assignment. credentials: the
 * directory where passwordFrom.secretRef is mounted, or NULL. */
void input_decode_take(struct protocol_assignment *assignment, const char *credentials, struct input *ret,
		       struct findings *f);
/* Runs the worker for an input until it is stopped, or caught up if the flags say so. */
int cmd_run_input(const struct common_flags *flags, const struct input *input, struct err *err) WARN_UNUSED;
/* GET /wait?lsn=16/B374D848&timeout=5s, for a worker of this spec (borrowed), which tells the waits: 200 once
 * searches find everything that was committed before this position, 504 if that takes too long, 400, 503; a JSON object
 * in any case. The time-out covers the refresh, too. The handler is for threads that may wait, any number of them. */
struct cmd_wait *cmd_wait_new(const struct spec *spec);
void cmd_wait_free(struct cmd_wait *wait);
CLEANUP(struct cmd_wait, cmd_wait_free);
struct waits *cmd_wait_waits(struct cmd_wait *wait);
void cmd_wait_serve(void *user, const struct web_request *request, struct web_response *response);
/* What a console looks into for a worker with these options (their spec is borrowed). The handlers of its routes are
 * for threads that may wait; cmd_look_end ends their waits. */
struct sync_options;
struct cmd_look;
int cmd_look_new(const struct sync_options *run, bool actions, struct cmd_look **ret, struct err *err) WARN_UNUSED;
void cmd_look_end(const struct cmd_look *look);
void cmd_look_free(struct cmd_look *look);
CLEANUP(struct cmd_look, cmd_look_free);
size_t cmd_look_routes(struct cmd_look *look, struct web_route ret[CONSOLE_ROUTES]);
/* The console of pgsync run, which borrows input and spec; *ret stays NULL if the flags name no address. The others
 * accept NULL, and any thread may call them. */
struct cmd_console;
int cmd_console_start(const struct common_flags *flags, const struct input *input, const struct sync_options *run,
		      struct cmd_console **ret, struct err *err) WARN_UNUSED;
void cmd_console_stop(struct cmd_console *c);
CLEANUP(struct cmd_console, cmd_console_stop);
/* What sync_options.report and sync_options.event are told. */
void cmd_console_report(struct cmd_console *c, const json_t *report);
void cmd_console_event(struct cmd_console *c, bool warning, enum reason reason, const char *action, const char *note);
/* Reads a YAML file that contains one PgSync, and optionally the Secrets and ConfigMaps that it names.
 * secrets_elsewhere: a Secret that is not in the file is a warning. */
int input_read(const char *path, bool secrets_elsewhere, struct input *ret, struct findings *f,
	       struct err *err) WARN_UNUSED;

/* Prints a value as ASCII only, so that terminals do not interpret it. */
void cmd_print_json(const json_t *value);
/* The number of an index's document in the spec. */
bool cmd_find_index(const struct spec *spec, const char *name, size_t *ret);
/* Prints findings to standard error, one a line. */
void cmd_print_findings(const struct findings *f);

/* A descriptor that is readable once SIGTERM or SIGINT has come (and any byte or the end on `also`, when that is not
 * negative). */
int stop_fd_open(int also, struct err *err) WARN_UNUSED;
/* Whether such a descriptor, a const int *, is readable: what a search asks to know whether to go on. */
bool cmd_is_stopped(void *stop_fd);

#endif
