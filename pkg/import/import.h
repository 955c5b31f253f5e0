/* What people run pgsync with, as resources: a schema.json and environment variables become PgSyncs and Secrets.
 *
 * Pure: the environment, the text of a .env file and a way to read the few files that variables name are arguments.
 * Everything that is wrong is a finding, whose path is the variable or the place in schema.json; so is every variable
 * of pgsync that has no meaning here (a warning with reason IMPORT_IGNORED, and why). Values never stand in a message:
 * they may be passwords. docs/from-pgsync.md is for people.
 */
#ifndef PGSYNC_IMPORT_IMPORT_H
#define PGSYNC_IMPORT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/mem.h"

struct strbuf;

#define IMPORT_IGNORED "Ignored"
#define IMPORT_INVALID "InvalidSetting"

/* --- variables
 * --------------------------------------------------------------------------------------------------------- */
struct import_env;

/* From "NAME=value" strings, NULL at the end, as environ has them. */
struct import_env *import_env_new(char *const *variables);
void import_env_free(struct import_env *env);
CLEANUP(struct import_env, import_env_free);
/* Adds what a .env file says: NAME=value lines with `export`, comments, quotes, and ${NAME} or ${NAME:-default} in
 * values. What the environment says comes first, as in pgsync. text has a NUL behind its len bytes; path names the file
 * in findings. */
void import_env_add_file(struct import_env *env, const char *text, size_t len, const char *path, struct findings *f);
/* An option of the command line: replaces whatever is there. */
void import_env_override(struct import_env *env, const char *name, const char *value);
/* NULL when the variable is not set, or empty. Borrowed. */
const char *import_env_get(const struct import_env *env, const char *name);
/* A boolean as pgsync reads them ("true", "on", "yes", "1", ...), `otherwise` when it is not set or is none; then with
 * a finding, unless f is NULL. */
bool import_env_bool(const struct import_env *env, const char *name, bool otherwise, struct findings *f);

/* Warnings for every variable of pgsync that is set and means nothing here, and for names that are nearly one.
 * command_line: for pgsync's own commands; else for a resource, to which more of them mean nothing. */
void import_env_check(const struct import_env *env, bool command_line, struct findings *f);

/* What becomes of each variable, as a table in Markdown: docs/from-pgsync.md has it. */
void import_describe(struct strbuf *out);

/* --- resources
 * --------------------------------------------------------------------------------------------------------- */
struct import_options {
	const struct import_env *env;
	const char *what;      /* names the schema in findings: "schema.json" */
	const char *name;      /* of the PgSync; NULL: from database and index */
	const char *namespace; /* or NULL */
	bool adopt_existing_index;
	bool for_cluster; /* the result is to run somewhere else than here */
	/* Reads a file that a variable names (a certificate authority); caller frees *ret. */
	int (*read_file)(const char *path, char **ret, struct err *err);
};

/* One PgSync. */
struct import_result {
	json_t *resource;
	json_t *secrets;   /* {"name": {"key": "value"}}: what it refers to */
	size_t *positions; /* its document spec.schema[i] is document positions[i] of the schema */
	size_t n_positions;
};

/* One PgSync for each database of the schema, in the order in which they are first named. $NAME and ${NAME} in the
 * top-level strings of a document are replaced by variables. Returns their number. With errors among the findings
 * nothing is ready to run: what is there serves to find what else is wrong. */
size_t import_schema(const json_t *schema, const struct import_options *options, struct import_result **ret,
		     struct findings *f);
void import_results_free(struct import_result *list, size_t n);

/* The Secrets as objects, then the PgSync: an array for jsonx_add_yaml. */
json_t *import_manifest(const struct import_result *imported);

/* A message or path about the PgSync as one about the schema: "spec.schema[0].nodes" becomes "schema.json[2].nodes".
 * Caller frees. */
char *import_place(const struct import_result *imported, const char *what, const char *text);

#endif
