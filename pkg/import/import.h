/* pgsync's own configuration as resources: a schema.json and environment variables become PgSyncs and Secrets.
 *
 * Pure: the environment, the text of a .env file, and a function that reads the few files that variables name are
 * arguments. Everything that is wrong is a finding, whose path is the variable or the place in schema.json; so is every
 * variable of pgsync that has no effect here (a warning with reason REASON_IGNORED, and why). Values never appear in a
 * message, since they may be passwords. docs/from-pgsync.md is the manual for users.
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

/* --- variables --- */

struct import_env;

/* variables: "NAME=value" strings and a NULL, like environ. */
struct import_env *import_env_new(char *const *variables);
void import_env_free(struct import_env *env);
CLEANUP(struct import_env, import_env_free);
/* Adds the variables of a .env file: NAME=value lines with `export`, comments, quotes, and ${NAME} or ${NAME:-default}
 * in values. Variables that are set already take precedence, as in pgsync. text has a NUL after its len bytes; path
 * names the file in findings. */
void import_env_add_file(struct import_env *env, const char *text, size_t len, const char *path, struct findings *f);
/* Sets a variable to the value of a command-line option, which takes precedence over everything. */
void import_env_override(struct import_env *env, const char *name, const char *value);
/* NULL if the variable is not set, or empty. Borrowed. */
const char *import_env_get(const struct import_env *env, const char *name);
/* A boolean, in the spellings that pgsync accepts ("true", "on", "yes", "1", ...). Returns `otherwise` if the variable
 * is not set, or is not a boolean; that is a finding, unless f is NULL. */
bool import_env_bool(const struct import_env *env, const char *name, bool otherwise, struct findings *f);

/* Warns about every variable of pgsync that is set and has no effect here, and about names that are nearly those of
 * such a variable. command_line: the variables are for pgsync's own commands, not for a resource, where fewer have an
 * effect. */
void import_env_check(const struct import_env *env, bool command_line, struct findings *f);

/* What each variable becomes, as the Markdown table in docs/from-pgsync.md. */
void import_describe(struct strbuf *out);

/* --- resources --- */

struct import_options {
	const struct import_env *env;
	const char *what;      /* names the schema in findings: "schema.json" */
	const char *name;      /* of the PgSync; NULL: derived from database and index */
	const char *namespace; /* or NULL */
	bool adopt_existing_index;
	bool plain_documents; /* with the defaults of a PgSync, instead of pgsync's _meta, ids and mapping */
	bool for_cluster;     /* the resources will not run on this machine */
	/* Reads a file that a variable names (a certificate authority). The caller frees *ret. */
	int (*read_file)(const char *path, char **ret, struct err *err);
};

/* One PgSync. */
struct import_result {
	json_t *resource;
	json_t *secrets;   /* that it refers to: {"name": {"key": "value"}} */
	size_t *positions; /* its document spec.schema[i] is document positions[i] of the schema */
	size_t n_positions;
};

/* One PgSync for each database of the schema, in the order in which the databases first appear. Replaces $NAME and
 * ${NAME} in the top-level strings of a document by variables. Returns the number of PgSyncs; the caller frees them
 * with import_results_free. If there are errors among the findings, use the resources only to find further errors. */
size_t import_schema(const json_t *schema, const struct import_options *options, struct import_result **ret,
		     struct findings *f);
void import_results_free(struct import_result *list, size_t n);

/* The Secrets as objects, then the PgSync: an array for jsonx_add_yaml. */
json_t *import_manifest(const struct import_result *result);

/* Turns a message or path about the PgSync into one about the schema: "spec.schema[0].nodes" becomes
 * "schema.json[2].nodes". Caller frees. */
char *import_place(const struct import_result *result, const char *what, const char *text);

#endif
