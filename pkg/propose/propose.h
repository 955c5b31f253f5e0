/* Proposing a document for the rows of a table, from what a database declares: foreign keys, unique indexes, types of
 * columns, and how many rows there are.
 *
 * Pure: the same catalog gives the same proposal. It is a start for people to edit, so it prefers what is seldom wrong:
 * - A foreign key of the table becomes an object inside it, and a foreign key to the table a list, or an object if its
 *   columns are unique. A table that only connects two others is a through table. Lists are proposed below the root and
 *   below its lists; objects of objects, too. No table comes back below itself, except as the one row that a row of it
 *   refers to.
 * - Columns that only link rows are left out, because the object or list says the same. So are bytes, types that no
 *   document can contain, and columns that look like passwords.
 * - What cannot be followed, or would make a document very large, is left out, with a note. */
#ifndef PGSYNC_PROPOSE_PROPOSE_H
#define PGSYNC_PROPOSE_PROPOSE_H

#include <stddef.h>

#include <jansson.h>

#include "base/mem.h"
#include "postgres/catalog.h"

enum {
	PROPOSE_NODES = 30,        /* that a document has at most */
	PROPOSE_DEPTH = 3,         /* of objects below the root; of lists one less */
	PROPOSE_MANY_ITEMS = 100,  /* on average: a remark */
	PROPOSE_MOST_ITEMS = 1000, /* on average: the list is left out */
};

struct propose_document {
	json_t *nodes;    /* the root node, as in schema[].nodes */
	json_t *tables;   /* ["books", ...] that it reads, the root first, as people write them */
	json_t *rows;     /* {"books": 5000, ...} about; null for a table that was never analysed */
	json_t *left_out; /* ["events: about 5,000 rows for each of books", ...] */
	json_t *hints;    /* ["price: ...", ...] about the mapping, and sizes */
};

void propose_release(struct propose_document *document);

/* NULL, or why no document can be made of the rows of this table. Caller frees. */
char *propose_obstacle(const struct catalog_table *table);
/* The document of a table without an obstacle. The catalog has all tables of the database. */
void propose_document(const struct catalog *catalog, const struct catalog_table *root, struct propose_document *ret);

/* A table that may be a root. */
struct propose_root {
	const struct catalog_table *table; /* borrowed */
	json_t *tables;                    /* as in struct propose_document */
};
/* Those without an obstacle that do more than connect others; the largest documents first, then the most rows. Caller
 * frees with propose_roots_free. */
size_t propose_roots(const struct catalog *catalog, struct propose_root **ret);
void propose_roots_free(struct propose_root *roots, size_t n);

/* "books"; "shop.books" for a schema other than public. Caller frees. */
char *propose_name(const struct catalog_table *table);
/* The table that is written so, or in full; NULL if there is none. */
const struct catalog_table *propose_find(const struct catalog *catalog, const char *name);

#endif
