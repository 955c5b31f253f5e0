/* Shared between the files of this package only. */
#ifndef PGSYNC_SPEC_SPEC_INT_H
#define PGSYNC_SPEC_SPEC_INT_H

#include "spec/spec.h"

/* By the rules of Kubernetes. A reference that breaks them has a finding, and is not looked up. */
bool spec_is_object_name(const char *name);
bool spec_is_data_key(const char *key);

/* Sets the hash that generations depend on: that of the schema and of `documents`. */
void spec_set_schema_hash(struct spec *spec, const json_t *schema);

/* The rules that need documents and connection: one database for all. Called by spec_decode or, when the schema is in
 * a ConfigMap or the connection in a Secret, by spec_resolve. */
void spec_check_databases(struct spec *spec, struct findings *f);

#endif
