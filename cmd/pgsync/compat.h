/* pgsync's own command lines: their options, and the schema and the environment that they name. docs/from-pgsync.md
 * documents them for users. */
#ifndef PGSYNC_CMD_COMPAT_H
#define PGSYNC_CMD_COMPAT_H

#include "cmd.h"
#include "import/import.h"

enum compat_command { COMPAT_PGSYNC = 1 << 0, COMPAT_BOOTSTRAP = 1 << 1, COMPAT_IMPORT = 1 << 2 };

enum { COMPAT_OVERRIDES = 8 };

struct compat_flags {
	enum compat_command command;
	const char *config, *schema_url, *s3_schema_url;
	const char *env_file, *name, *namespace, *listen, *log_level, *log_format;
	bool daemon, wal, polling, producer, consumer;
	bool analyze, bootstrap, teardown, no_create, adopt, password, verbose, version, help, variables;
	/* Options that replace a variable. */
	struct {
		const char *variable, *value;
	} overrides[COMPAT_OVERRIDES];
	size_t n_overrides;
};

/* "pgsync", "bootstrap", "import". */
const char *compat_name(enum compat_command command);
/* Everything that is wrong is a finding. */
void compat_parse(enum compat_command command, int argc, char **argv, struct compat_flags *ret, struct findings *f);
void compat_usage(enum compat_command command, FILE *to);

/* What the options and the environment name, read and checked. */
struct compat {
	struct import_env *env;
	char *what; /* the schema's file or URL */
	struct import_result *list;
	struct input *inputs;   /* one for each of list */
	struct findings *found; /* what is wrong with it */
	char **contexts;        /* its name in the log */
	size_t n;
};

/* Reads environment, .env file and schema. Every error is a finding, in f or in an input; then do not run. */
void compat_load(const struct compat_flags *flags, struct compat *ret, struct findings *f);
void compat_release(struct compat *c);
/* Moves the findings of all inputs to f. */
void compat_gather(struct compat *c, struct findings *f);
/* Moves the findings about input i to f, with the names of the schema's file. */
void compat_move(const struct compat *c, size_t i, struct findings *to, struct findings *from);

#endif
