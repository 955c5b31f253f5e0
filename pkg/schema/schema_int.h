/* Shared between the files of this package only. */
#ifndef PGSYNC_SCHEMA_SCHEMA_INT_H
#define PGSYNC_SCHEMA_SCHEMA_INT_H

#include "schema/schema.h"

#define INVALID_SCHEMA "InvalidSchema"

/* While a node is decoded: whether something was found wrong with `key`, or with a part of it. */
bool schema_node_is_unsure(const struct schema_node *node, const char *key, const struct findings *f);

/* Of struct schema_transform. */
extern const struct jsonx_field schema_transform_fields[];
void schema_transform_release(struct schema_transform *transform);

/* Reports which names of the node's fields are impossible; its children are decoded already. */
void schema_check_names(const struct schema_node *node, struct findings *f);

/* False, with a finding: no column's field is named as the document's `routing`. */
bool schema_check_routing(const struct schema_document *document, struct findings *f);

#endif
