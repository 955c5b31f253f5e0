/* The language of schema.json: documents and their trees of nodes, decoded and validated into structs.
 *
 * Pure: no connection, no file, no credentials. A decoder reports every violation, with its JSON path, what it found
 * and what it expected. Whether tables and columns exist is not known here; the document compiler checks that against
 * the catalog. Structs own what they point to.
 */
#ifndef PGSYNC_SCHEMA_SCHEMA_H
#define PGSYNC_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "json/json.h"

/* --- the tree --- */

enum schema_relation_type { SCHEMA_ONE_TO_ONE, SCHEMA_ONE_TO_MANY };
enum schema_variant { SCHEMA_VARIANT_OBJECT, SCHEMA_VARIANT_SCALAR };

struct schema_table_name {
	char *schema; /* NULL: the same as the node's */
	char *table;
};

struct schema_relationship {
	enum schema_relation_type type;
	enum schema_variant variant;
	struct schema_table_name *through; /* NULL, or one */
	/* foreign_key: both empty, or both of the same length. With a through table, of the join to this node. */
	struct jsonx_strings fk_child, fk_parent;
};

/* Joins fields of the object, and literal words, into one text field. Empty, zero and false parts are left out. */
struct schema_concat {
	char *path;
	struct jsonx_strings columns; /* names of fields (after rename), or literals */
	char *destination, *delimiter;
};

/* Moves a field out of its object. */
struct schema_move {
	char *path;
	char *column;
	char *destination; /* "a.b" within the object, "$root.a.b" within the document */
};

/* What happens to the fields of an object, in this order: replace, rename, concat, move. */
struct schema_transform {
	json_t *replace; /* {field: {search: replacement}}, or NULL */
	json_t *rename;  /* {field: new name}, or NULL */
	struct schema_concat *concats;
	size_t n_concats;
	struct schema_move *moves;
	size_t n_moves;
	json_t *mapping; /* {field: mapping}, or NULL */
};

struct schema_ordering {
	char *column;
	bool descending;
	bool nulls_given, nulls_first;
};

struct schema_expression {
	char *name;
	char *sql;
};

/* An invalid node contains its valid parts, so that they can be checked further: each SQL text is one expression, and
 * each `concat` and `move` is complete. In a list of names, an empty string takes the place of an invalid one. */
struct schema_node {
	char *path; /* "spec.schema[0].nodes.children[1]" */
	char *table;
	char *schema;                          /* "public" if not given */
	char *label;                           /* the table's name if not given; NULL: given, but invalid */
	struct jsonx_strings columns;          /* names and JSON paths; empty: all */
	struct jsonx_strings primary_key;      /* for relations without one */
	struct schema_table_name *base_tables; /* of a view */
	size_t n_base_tables;
	struct schema_transform transform;
	char *where; /* an SQL condition over the table's columns, or NULL */
	struct schema_ordering *order_by;
	size_t n_order_by;
	int64_t limit; /* of elements; 0: none */
	struct schema_expression *expressions;
	size_t n_expressions;
	bool nested;
	struct schema_relationship relationship; /* of children */
	struct schema_node *parent;              /* NULL: the root; not owned */
	struct schema_node **children;
	size_t n_children;
	struct jsonx_strings invalid_keys; /* see schema_key_is_invalid */
	struct schema_sets *sets;          /* names.c: the names above, for lookups */
};

struct schema_document {
	char *path; /* "spec.schema[0]" */
	char *index;
	char *database; /* or NULL */
	struct schema_node *root;
	json_t *setting, *mapping; /* or NULL */
	char *pipeline, *routing;  /* or NULL */
	bool routing_invalid;      /* `routing` does not name a field that comes from a column */
	bool invalid;              /* the document, or something in it; then root may be NULL */
};

/* Limits of a schema, wherever it comes from: a PgSync, a ConfigMap or a file. The CRD has the same limits. */
enum { SCHEMA_BYTES = 1536 * 1024 /* without blanks */ };

/* Decodes a schema.json array: the value of spec.schema, or the contents of a file. path: where the array is. Writes
 * *ret (the caller frees the array and its documents) unless there is no array with elements, or it is too large. An
 * invalid document is among them too. The time that this takes is linear in the size of the array. */
void schema_decode(const json_t *array, const char *path, struct schema_document ***ret, size_t *ret_n,
		   struct findings *f);
void schema_document_free(struct schema_document *document);

/* Whether the value of a key of the node ("columns", "relationship.type"), or a part of it, is invalid. Then it is not
 * what the user meant, and its consequences do not need findings. */
bool schema_key_is_invalid(const struct schema_node *node, const char *key);
/* Whether a child of the node has this label: then it replaces a column of that name. */
bool schema_node_has_label(const struct schema_node *node, const char *name);
/* Whether `columns` or `expressions` name a field: a column, the label of a JSON path, an expression. */
bool schema_node_lists(const struct schema_node *node, const char *name);
/* Whether the i-th of `columns` counts: it is not empty and not a repetition. pgsync builds jsonb, in which a column
 * that is named twice appears once. */
bool schema_column_counts(const struct schema_node *node, size_t i);
/* Whether the schema determines the names of the node's fields, apart from those that come from its table. */
bool schema_node_names_are_known(const struct schema_node *node);

/* Options of documents that are not in schema.json. */
enum schema_meta { SCHEMA_META_NONE, SCHEMA_META_PGSYNC };
enum schema_id_format { SCHEMA_ID_ESCAPED, SCHEMA_ID_PGSYNC };
enum schema_mapping_mode { SCHEMA_MAPPING_GENERATED, SCHEMA_MAPPING_DYNAMIC };

struct schema_document_format {
	enum schema_meta meta; /* PGSYNC: with pgsync's `_meta`, the keys of all rows that a document consists of */
	enum schema_id_format id_format; /* how a key of several columns becomes an _id */
	enum schema_mapping_mode mapping;
};

/* --- names of fields --- */

/* The same as schema_column_counts for a short list, such as a key. */
bool schema_name_counts(const struct jsonx_strings *names, size_t i);
/* Why a document cannot have a field of this name (caller frees), or NULL. at_top: at the top level of the document,
 * not in an object within it. */
char *schema_field_problem(const char *name, bool at_top);
/* The path that a move leads to, within the document or within the object. Borrowed. */
const char *schema_move_path(const struct schema_move *move, bool *ret_to_root);

/* --- columns that are JSON paths --- */

/* A path into a json or jsonb column: "doc->a->0->>b", "doc#>{a,0}". */
struct schema_path_step {
	const char *op; /* "->", "->>", "#>", "#>>" */
	char *part;     /* without braces */
	bool index;     /* of an array: all digits */
};

struct schema_column_path {
	char *base;
	struct schema_path_step *steps;
	size_t n;
	char *label; /* pgsync's: "doc_a_0_b" */
};

/* Whether a column is written as a path. */
bool schema_column_is_path(const char *column);
/* NULL, or what is wrong with the path (caller frees). Release *ret in both cases. */
char *schema_column_path_parse(const char *column, struct schema_column_path *ret);
void schema_column_path_release(struct schema_column_path *path);

/* --- SQL --- */

/* Why a text is not a single SQL expression (unbalanced parentheses or quotes, a semicolon, a comment), or NULL. Does
 * not tell whether Postgres accepts it. */
const char *schema_sql_problem(const char *sql);

#endif
