/* pgsync's own command lines: their options, and the schema and the environment that they name. docs/from-pgsync.md
 * documents them for users. */
#ifndef PGSYNC_CMD_COMPAT_H
#define PGSYNC_CMD_COMPAT_H

#include "cmd.h"
#include "import/import.h"

enum compat_command {
	COMPAT_PGSYNC = 1 << 0,
	COMPAT_BOOTSTRAP = 1 << 1,
	COMPAT_IMPORT = 1 << 2,
	COMPAT_INIT = 1 << 3, /* not pgsync's: it takes the same variables */
};

enum { COMPAT_OVERRIDES = 8 };

struct compat_flags {
	enum compat_command command;
	const char *config, *schema_url, *s3_schema_url;
	const char *env_file, *name, *namespace, *listen, *log_level, *log_format;
	const char *root, *database, *index;
	bool daemon, wal, polling, producer, consumer;
	bool analyze, bootstrap, teardown, no_create, adopt, password, verbose, version, help, variables;
	/* Options that replace a variable. */
	struct {
		const char *variable, *value;
	} overrides[COMPAT_OVERRIDES];
	size_t n_overrides;
};

/* "pgsync", "bootstrap", "import", "init". */
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
/* The two parts of it. The schema is one that was made, or read from c->what. */
void compat_read_environment(const struct compat_flags *flags, struct compat *c, struct findings *f);
void compat_import(const struct compat_flags *flags, const json_t *schema, struct compat *c, struct findings *f);
void compat_release(struct compat *c);
/* Releases what was made of a schema, and keeps the environment. */
void compat_release_schema(struct compat *c);
/* Moves the findings of all inputs to f. */
void compat_gather(struct compat *c, struct findings *f);
/* Adds a text to a comment: one that ends with its line, whatever a name in it contains. */
void compat_add_comment(struct strbuf *sb, const char *text);
/* Prints the findings that are not about ignored variables. */
void compat_print_rest(const struct findings *notices);
/* Prints the Secrets and PgSyncs for kubectl, after a header of comments. Returns the exit code. */
int compat_print_manifest(const char *command, const struct compat *c, const struct strbuf *header);
/* Moves the findings about input i to f, with the names of the schema's file. */
void compat_move(const struct compat *c, size_t i, struct findings *to, struct findings *from);

#endif
