/* The language of schema.json: documents and their trees of nodes, decoded and validated into structs.
 *
 * Pure: no connection, no file. Every violation is reported at once with its JSON path, what was found and what was
 * expected. Whether tables and columns exist is not known here; the document compiler checks that against the catalog.
 */
#ifndef PGSYNC_SCHEMA_SCHEMA_H
#define PGSYNC_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "json/json.h"

enum schema_relation_type { SCHEMA_ONE_TO_ONE, SCHEMA_ONE_TO_MANY };
enum schema_variant { SCHEMA_VARIANT_OBJECT, SCHEMA_VARIANT_SCALAR };

struct schema_table_name {
	char *schema; /* NULL: that of the node */
	char *table;
};

struct schema_relationship {
	enum schema_relation_type type;
	enum schema_variant variant;
	struct schema_table_name *through; /* NULL, or one */
	struct jsonx_strings fk_child,
		fk_parent; /* foreign_key: both empty, or of equal length. With a through table: of the last hop */
};

/* Joins fields of the object, and literal words, into one text field. Empty, zero and false parts are left out. */
struct schema_concat {
	char *path;
	struct jsonx_strings columns; /* names of fields (after rename), or literals */
	char *destination, *delimiter;
};

/* Takes a field out of its object and puts it elsewhere. */
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

/* Of a node that is not well-formed, what is well-formed stands here, so that it can be checked further: SQL is one
 * expression each, `concat` and `move` are whole, and in a list of names an empty one keeps the place of a wrong one.
 */
struct schema_node {
	char *path; /* "spec.schema[0].nodes.children[1]" */
	char *table;
	char *schema;                          /* "public" unless given */
	char *label;                           /* the table's name unless given; NULL: given, but not well */
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
	struct schema_node *parent;              /* NULL: the root */
	struct schema_node **children;
	size_t n_children;
	struct jsonx_strings invalid_keys; /* see schema_node_is_invalid */
};

/* Whether what stands at `key` of the node ("columns", "relationship.type") is not all that was meant there: something
 * is wrong with it, or with a part of it. What follows from it is not worth a finding of its own. */
bool schema_node_is_invalid(const struct schema_node *node, const char *key);
/* Whether a child of the node has this label: then it takes the place of a column of that name. */
bool schema_node_has_label(const struct schema_node *node, const char *name);
/* Whether the schema says well which fields the node has, but for what only its table knows. */
bool schema_node_names_are_known(const struct schema_node *node);

struct schema_document {
	char *path; /* "spec.schema[0]" */
	char *index;
	char *database; /* or NULL */
	struct schema_node *root;
	json_t *setting, *mapping; /* NULL when absent */
	char *pipeline, *routing;  /* NULL when absent */
	bool routing_invalid;      /* no column's field has its name */
	bool invalid;              /* something is wrong with it or below it; then root may be NULL */
};

/* A column of a json or jsonb column: "doc->a->0->>b", "doc#>{a,0}". */
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

/* The i-th name of a list is one, and the first of its kind: pgsync builds jsonb, in which a column that is named twice
 * appears once. */
bool schema_name_counts(const struct jsonx_strings *names, size_t i);
/* Why no document can have a field of this name (caller frees), or NULL. at_top: it would be one of the document
 * itself, not of an object within. */
char *schema_field_problem(const char *name, bool at_top);
/* The path that a move leads to, within the document or within the object. */
const char *schema_move_path(const struct schema_move *move, bool *ret_to_root);

/* Whether a column is written as a path. */
bool schema_column_is_path(const char *column);
/* NULL, or what is wrong with the path (caller frees); *ret is to be released either way. */
char *schema_column_path_parse(const char *column, struct schema_column_path *ret);
void schema_column_path_release(struct schema_column_path *path);

/* What keeps a text from being one SQL expression of its own (unbalanced parentheses or quotes, a semicolon, a
 * comment), or NULL. Not whether Postgres accepts it. */
const char *schema_sql_problem(const char *sql);

enum schema_meta { SCHEMA_META_NONE, SCHEMA_META_PGSYNC };
enum schema_id_format { SCHEMA_ID_ESCAPED, SCHEMA_ID_PGSYNC };
enum schema_mapping_mode { SCHEMA_MAPPING_GENERATED, SCHEMA_MAPPING_DYNAMIC };

/* How documents look beyond what schema.json says. */
struct schema_document_format {
	enum schema_meta meta; /* PGSYNC: with pgsync's `_meta`, the keys of all rows that a document is made of */
	enum schema_id_format id_format; /* how a key of several columns becomes an _id */
	enum schema_mapping_mode mapping;
};

/* Decodes a schema.json array: the value of spec.schema, or the contents of a file. `path` is where it is, for the
 * paths of findings. */
void schema_decode(const json_t *array, const char *path, struct schema_document ***ret, size_t *ret_n,
		   struct findings *f);
void schema_document_free(struct schema_document *document);

#endif
