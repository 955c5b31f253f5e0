/* Shared between the files of this package only. */
#ifndef PGSYNC_SCHEMA_SCHEMA_INT_H
#define PGSYNC_SCHEMA_SCHEMA_INT_H

#include "schema/schema.h"

/* The word after the last dot of a JSON path. */
const char *path_last(const char *path);

/* A decoder for keys whose capability this version does not have: one finding that names the key. Empty objects, empty
 * arrays, empty strings and false ask for nothing and pass. */
void refuse_key(const json_t *value, void *out, const char *path, struct findings *f);

/* What can only be said once documents and connection are both known: one database for all, unique index names. Called
 * by spec_decode or, when the schema is in a ConfigMap or the connection in a Secret, by spec_resolve. */
void spec_check_databases(struct spec *spec, struct findings *f);

#endif
