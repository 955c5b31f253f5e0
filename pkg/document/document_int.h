/* The resolved tree: what compile.c builds and sql.c, ways.c, mapping.c and describe.c read. Private to this package.
 */
#ifndef PGSYNC_DOCUMENT_DOCUMENT_INT_H
#define PGSYNC_DOCUMENT_DOCUMENT_INT_H

#include "document/document.h"

/* An equality join between a table nearer to the root (upper) and one below it (lower). Which side declares the foreign
 * key does not matter: a row of the lower table finds its upper rows by lower_columns either way. */
struct hop {
	const struct catalog_table *upper, *lower;
	int *upper_columns, *lower_columns; /* 0-based, n pairs */
	size_t n;
};

/* A node of the tree with everything looked up. */
struct place {
	const struct node *node;
	size_t number; /* 0 is the root; aliases in SQL end with it */
	struct place *parent;
	struct place **children;
	size_t n_children;
	const struct catalog_table *table;
	const struct catalog_table *through; /* or NULL */
	struct hop hops[2];                  /* from the parent's table downwards: one, or two with a through table */
	size_t n_hops;                       /* 0: the root */
	int *key;                            /* primary key: the order of siblings; of the root: its _id */
	size_t n_key;
	int *columns; /* that appear in the document, in order; of a scalar: one */
	size_t n_columns;
	bool scalar, many;
	bool unique;   /* a parent row has at most one row here, by a unique index */
	bool inlined;  /* a plain LEFT JOIN within its parent's query: unique, and so is everything below */
	bool has_sets; /* some child is not inlined, so this place's rows are named as a set (r<number>) */
};

struct tree {
	const struct schema_document *document;
	const struct catalog *catalog;
	struct place **places; /* in preorder */
	size_t n;
	int routing; /* position in the root's table of the column that documents are routed by, or -1 */
};

/* --- links.c --- */
struct link_request {
	const struct catalog_table *upper, *lower;
	enum relation_type type;
	const struct jsonx_strings *upper_columns, *lower_columns; /* foreign_key, or NULL (or empty) */
	const struct hop *other; /* the through table's other hop, whose foreign key is not meant; or NULL */
	const char *path;        /* of the node */
};

/* Finds the join of two tables; false with a finding when there is none, or more than one. */
bool link_resolve(const struct link_request *request, struct hop *ret, struct findings *f);
void hop_release(struct hop *hop);
/* A unique index makes at most one row of the table equal in these columns. */
bool columns_unique(const struct catalog_table *table, const int *columns, size_t n);
/* An index finds rows by these columns. */
bool columns_indexed(const struct catalog_table *table, const int *columns, size_t n);
/* "a, b": names of columns; caller frees. */
char *column_list(const struct catalog_table *table, const int *columns, size_t n);

/* --- sql.c --- */
enum { SQL_BYTES = 4 * 1024 * 1024 };

/* Appends an identifier; never a '%', which by_range keeps for its placeholder. */
void sql_ident(struct strbuf *sb, const char *name);
void sql_table(struct strbuf *sb, const struct catalog_table *table);
/* The type to cast text to so that it equals values of the column: without length or precision. Caller frees. */
char *sql_type(const struct catalog_column *column);
/* Appends `expr` of the column's type as the text that pgoutput would send for it. */
void sql_text(struct strbuf *sb, const struct catalog_column *column, const char *expr);
char *sql_documents(const struct tree *tree, bool by_range);
char *sql_all_roots(const struct tree *tree);

/* --- routing.c --- */
/* The column of the root's table behind the document's field `routing`; -1: there is none, or (false, with a finding)
 * it cannot be used. */
bool routing_resolve(const struct schema_document *document, const struct place *root, int *ret, struct findings *f);

/* --- ways.c --- */
void ways_build(const struct tree *tree, struct document_plan *plan);

/* --- mapping.c --- */
json_t *mapping_body(const struct tree *tree);

#endif
