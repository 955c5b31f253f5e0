/* Shared between the files of this package only: the decoders of a document's parts. Lowest first: a file calls only
 * what is above its own part. */
#ifndef PGSYNC_SCHEMA_SCHEMA_INT_H
#define PGSYNC_SCHEMA_SCHEMA_INT_H

#include "schema/schema.h"

/* Bounds of the CRD, too. */
enum {
	SCHEMA_NODES = 256, /* of a document; the CRD cannot count them */
	SCHEMA_CHILDREN = 64,
	SCHEMA_BASE_TABLES = 64,
	SCHEMA_KEY_COLUMNS = 32,
	SCHEMA_NAME_BYTES = 63,
	SCHEMA_TABLE_NAME_BYTES = 127, /* with its schema */
};

/* --- invalid.c --- */

/* If a key of the object is misspelled, marks the key that was probably meant as invalid. The prefix is where the
 * object is in the node: "relationship." */
void schema_note_meant(struct schema_node *node, const json_t *object, const struct jsonx_field *fields,
		       const char *prefix);
/* Records which keys of the node, and of the nodes below it, have errors. */
void schema_note_invalid_keys(struct schema_node *node, const struct findings *f);
/* schema_key_is_invalid for a node that is still being decoded, when not all of its invalid keys are recorded yet. */
bool schema_key_is_unsure(const struct schema_node *node, const char *key, const struct findings *f);

/* --- relationship.c --- */

/* "table" or "schema.table". False with a finding: then the name is empty. */
bool schema_table_name_decode(const json_t *value, struct schema_table_name *ret, const char *path, struct findings *f);
void schema_table_name_release(struct schema_table_name *name);
extern const struct jsonx_field schema_relationship_fields[]; /* of struct schema_relationship */
void schema_relationship_release(struct schema_relationship *relationship);

/* --- transform.c --- */

extern const struct jsonx_field schema_transform_fields[]; /* of struct schema_transform */
void schema_transform_release(struct schema_transform *transform);

/* --- names.c --- */

/* Collects the names of a node, whose children must be decoded. Before that it has none. */
void schema_collect_sets(struct schema_node *node);
void schema_sets_free(struct schema_sets *sets);
/* Checks the names that the node's fields get. Its sets must be collected. */
void schema_check_names(const struct schema_node *node, struct findings *f);
/* False, with a finding, if the document's `routing` does not name a field that comes from a column. */
bool schema_check_routing(const struct schema_document *document, struct findings *f);

/* --- node.c --- */

/* Decodes a node and those below it; never NULL. parent: NULL for the root. */
struct schema_node *schema_node_decode(const json_t *value, const char *path, struct schema_node *parent,
				       struct findings *f);
void schema_node_free(struct schema_node *node);

#endif
