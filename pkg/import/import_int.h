/* Shared between the files of this package only. */
#ifndef PGSYNC_IMPORT_IMPORT_INT_H
#define PGSYNC_IMPORT_IMPORT_INT_H

#include "import/import.h"

/* Calls fn for each variable that is set, in the order in which they came. */
void import_env_each(const struct import_env *env, void (*fn)(void *user, const char *name, const char *value),
		     void *user);

/* As import_env_get, but empty values count. */
const char *import_env_value(const struct import_env *env, const char *name);

/* Whether pgsync knows a variable of this name. */
bool import_setting_known(const char *name);

/* What a PgSync is being made from. */
struct import_build {
	const struct import_options *options;
	const char *name;
	json_t *secrets; /* as in struct import_result */
	struct findings *f;
};

/* spec.source and spec.sink. Both add to b->secrets what they refer to. New references. */
json_t *import_build_source(struct import_build *b, const char *database);
json_t *import_build_sink(struct import_build *b);

/* import_env_get of its environment. */
const char *import_get(const struct import_build *b, const char *variable);
/* A value for a Secret of this PgSync, "<name>-<part>"; returns the Secret's name (borrowed, from b->secrets). */
const char *import_add_secret(struct import_build *b, const char *part, const char *key, const char *value);
/* A certificate authority in a file that a variable names, as a key of that Secret; NULL with a finding when it cannot
 * be read. A new reference to {"name": ..., "key": ...}. */
json_t *import_add_file(struct import_build *b, const char *variable, const char *path, const char *part);
/* A finding about a variable. */
void import_invalid(struct import_build *b, const char *variable, const char *fmt, ...) PRINTF_LIKE(3, 4);
void import_ignored(struct import_build *b, const char *variable, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A whole number, brought into [min, max] with a warning when it lies outside; `otherwise` when the variable is not
 * set, or, with a finding, no number. */
int64_t import_number(struct import_build *b, const char *variable, int64_t min, int64_t max, int64_t otherwise);

/* Whether it is UTF-8, which strings of JSON must be. */
bool import_is_text(const char *s);

#endif
