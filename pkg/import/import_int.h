/* Shared between the files of this package only: variables, and the parts that a PgSync is built from. Lowest first: a
 * file calls only what is above its own part. */
#ifndef PGSYNC_IMPORT_IMPORT_INT_H
#define PGSYNC_IMPORT_IMPORT_INT_H

#include "base/map.h"
#include "import/import.h"

/* --- env.c --- */

struct import_env {
	struct map *values; /* by name */
};

/* A map of values; wipes each that it frees. */
struct map *import_values_new(void);
/* As import_env_get, but returns an empty value too. */
const char *import_env_value(const struct import_env *env, const char *name);
/* Calls fn for each variable that is set, in the order in which they were added. */
void import_env_each(const struct import_env *env, void (*fn)(void *user, const char *name, const char *value),
		     void *user);

/* --- settings.c --- */

/* Whether pgsync has a variable of this name. */
bool import_setting_known(const char *name);

/* --- substitute.c --- */

enum { IMPORT_TEXT_BYTES = 1 << 20 };
/* Replaces $NAME, ${NAME} and $$. Leaves any other $ as it is, and, with a warning, a variable that is not set. NULL if
 * the result is too long. Caller frees. */
char *import_substitute(const char *text, const struct import_env *env, const char *path, struct findings *f);

/* --- build.c --- */

/* What a PgSync is built from. */
struct import_build {
	const struct import_options *options;
	const char *name;
	json_t *secrets; /* as in struct import_result */
	struct findings *f;
};

/* import_env_get of its environment. */
const char *import_get(const struct import_build *b, const char *variable);
/* A whole number. One outside [min, max] becomes the nearest bound, with a warning. Returns `otherwise` if the variable
 * is not set, or, with a finding, if it is not a number. */
int64_t import_number(struct import_build *b, const char *variable, int64_t min, int64_t max, int64_t otherwise);
/* Puts a value into the Secret "<name>-<part>" of this PgSync. Returns the Secret's name, borrowed from b->secrets. */
const char *import_add_secret(struct import_build *b, const char *part, const char *key, const char *value);
/* Puts the certificate authority in a file that a variable names into that Secret. Returns a new reference to
 * {"name": ..., "key": ...}, or NULL with a finding if the file cannot be read. */
json_t *import_add_file(struct import_build *b, const char *variable, const char *path, const char *part);
/* Adds a finding about a variable. */
void import_invalid(struct import_build *b, const char *variable, const char *fmt, ...) PRINTF_LIKE(3, 4);
void import_ignored(struct import_build *b, const char *variable, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Whether it is UTF-8, as strings of JSON must be. */
bool import_is_text(const char *s);

/* A URL without its user and password, which must not be in a resource; these are left alone if it has none. The caller
 * frees all three, the latter two as secrets. */
char *import_split_login(const char *url, char **ret_user, char **ret_password);
/* The value of a parameter of a URL, or NULL. The caller frees it, as a secret if it may be one. */
char *import_url_parameter(const char *url, const char *name);

/* --- source.c, sink.c, redis.c --- */

/* spec.source, spec.sink and spec.checkpoint (NULL: it is not needed). Add what they refer to to b->secrets. New
 * references. */
json_t *import_build_source(struct import_build *b, const char *database);
json_t *import_build_sink(struct import_build *b);
json_t *import_build_checkpoint(struct import_build *b);

#endif
