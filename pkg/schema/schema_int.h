/* Shared between the files of this package only. */
#ifndef PGSYNC_SCHEMA_SCHEMA_INT_H
#define PGSYNC_SCHEMA_SCHEMA_INT_H

#include "schema/schema.h"

/* The word after the last dot of a JSON path. */
const char *path_last(const char *path);

/* While a node is decoded: whether something was found wrong with `key`, or with a part of it. */
bool node_is_unsure(const struct node *node, const char *key, const struct findings *f);

/* By the rules of Kubernetes. What is none has a finding, and is not looked for. */
bool is_object_name(const char *name);
bool is_data_key(const char *key);

#define INVALID_SCHEMA "InvalidSchema"

/* Of struct transform. */
extern const struct jsonx_field transform_fields[];
void transform_release(struct transform *transform);

/* Says which names of the node's fields cannot be; its children are decoded. */
void names_check(const struct node *node, struct findings *f);

/* False, with a finding: no column's field is named as the document's `routing`. */
bool names_check_routing(const struct schema_document *document, struct findings *f);

/* Notes that generations depend on the schema and on `documents`. */
void spec_set_schema_hash(struct spec *spec, const json_t *schema);

/* What can only be said once documents and connection are both known: one database for all, unique index names. Called
 * by spec_decode or, when the schema is in a ConfigMap or the connection in a Secret, by spec_resolve. */
void spec_check_databases(struct spec *spec, struct findings *f);

#endif
