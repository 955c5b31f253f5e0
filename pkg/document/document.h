/* The document compiler: node tree + catalog -> SQL that builds documents, the mapping, and for every table the path up
 * from a changed row to root keys.
 *
 * Pure: the same tree and catalog give the same text (golden files in testdata/). Everything is set-based: a query
 * takes arrays of keys and never runs a subplan per row that a join would beat. Documents are built by Postgres' json
 * functions; their bytes are not touched here or later.
 */
#ifndef PGSYNC_DOCUMENT_DOCUMENT_H
#define PGSYNC_DOCUMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "postgres/catalog.h"
#include "schema/schema.h"

/* The most columns of a key, of a table or of a join: what Postgres allows (INDEX_MAX_KEYS). */
enum { DOCUMENT_MAX_KEYS = 32 };

/* How rows of one relation at one node of the tree lead to root keys. A relation at several nodes has several paths.
 */
struct document_path {
	uint32_t relation; /* OID */
	char *description; /* "books > book_authors": for people */
	/* The columns of the changed row that are needed, by name, from its old and its new version (each version
	 * separately; a version in which one of them is NULL leads nowhere). */
	char **columns;
	size_t n_columns;
	/* direct: the columns' values, in this order, are the root key itself. Otherwise sql yields the root keys (as
	 * text, in key order) of rows that exist in the snapshot: parameters $1..$n_columns are text[] literals, one
	 * for each column, all of equal length. */
	bool direct;
	/* What lies between the row and the root is not known (it is a base table of a view): no columns, no sql;
	 * whatever changes in the relation, every root may depend on it. */
	bool opaque;
	bool is_root;  /* the relation is the tree's root at this node */
	char *routing; /* of the root's path, with routing: the column whose value goes along with the key; or NULL */
	char *sql;     /* NULL when direct */
};

/* A relation that the tree reads. */
struct document_table {
	const struct catalog_table *table; /* borrowed from the catalog */
	/* 0-based; whose old values must be in the WAL (replica identity): those of its paths, and the root's routing
	 * column */
	int *link_columns;
	size_t n_link_columns;
	bool is_root;
};

/* A view of the tree. Its rows are in no WAL: what changes them is a change of a base table. */
struct document_view {
	const struct catalog_table *view; /* borrowed */
	bool followed;                    /* its base tables are named */
};

struct document_plan {
	const struct schema_document *document; /* borrowed */
	const struct catalog_table *root;       /* borrowed */
	size_t n_keys;                          /* columns of the root key (pgsync's order: sorted by name) */
	char **key_columns;
	/* Both give: n_keys text columns (the root key), then the document as json text. With `routing`: one more text
	 * column at the end, the routing value. by_key: parameters $1..$n_keys, text[] literals of equal length.
	 * by_range: of a root that is a view, no parameters: all of it. Otherwise $1 and $2, tid literals "(block,0)";
	 * with a partitioned root the (quoted) leaf relation has to be put in at leaf_at. Send by_range unprepared, so
	 * that it is planned for its range; by_key may be prepared (see sql.c). With notes: one more column at the end,
	 * how many values became null because they cannot stand in a document (see enum indexable), as text; NULL for
	 * none. */
	char *sql_by_key;
	char *sql_by_range;
	size_t leaf_at; /* 0: the root is not partitioned */
	/* No parameters: the keys of all roots. Of a root that is a view only sql_by_range reads all. */
	char *all_roots_sql;
	/* A row for which an expression fails takes no other document along: only the root has expressions, which are
	 * evaluated for the rows that are read. (A condition, or what a child holds, may be evaluated for any row of
	 * its table, whatever the plan; and with routing the old place of a document would be left behind.) */
	bool fails_alone;
	/* The keys of the roots that by_range reads, with its parameters. */
	char *keys_by_range;
	size_t keys_leaf_at;
	bool root_is_view; /* its rows disappear without an event of their own */
	bool has_routing, counts_sanitized;
	bool routing_is_bool;          /* see document_routing */
	const json_t *routing_replace; /* of transform, or NULL; borrowed */
	enum schema_id_format id_format;
	struct document_table *tables;
	size_t n_tables;
	struct document_path *paths;
	size_t n_paths;
	struct document_view *views; /* ascending by OID: a materialized view stands after those that it reads */
	size_t n_views;
	/* The columns that documents are made of and that lead to them. One that was dropped and added again leaves no
	 * other trace. */
	json_t *columns_fingerprint;
	/* What else may change without a word in the WAL, to be compared with what it is later: {"labels": {"OID":
	 * "label"}} of enums, and {"tables": {"OID": {"storage", "columns": {"number": "altered"}}}}. */
	json_t *catalog_fingerprint;
	/* Some view is not materialized: whatever its definition costs, each query costs again. So by_key is to be sent
	 * unprepared, for a plan that knows the keys (a generic one converts the array of keys for every row of the
	 * view that it filters: 374 s for 2,000 keys over a view of 600,000 rows, instead of 4 s), and with many keys
	 * at once. */
	bool computes_views;
	json_t *index_body; /* {"settings": ..., "mappings": ...} for the index's creation */
};

/* Compiles one document. Findings name every unknown table and column (with the nearest name), missing primary keys
 * (NoPrimaryKey), missing or ambiguous foreign keys (NoForeignKey, AmbiguousForeignKey, with the candidates),
 * unsupported constructs (NotSupported), and as warnings missing indexes on link columns (MissingIndex, with the CREATE
 * INDEX CONCURRENTLY statement). Returns NULL when there is an error among them. Of a document that is flawed, what can
 * be checked is checked, and NULL returned. The catalog knows every expression of document_expressions. known: all
 * table names, for "did you mean"; may be NULL. */
struct document_names {
	const char *const *items; /* "schema.table" */
	size_t n;
};
struct document_plan *document_compile(const struct schema_document *document, const struct schema_document_format *as,
				       const struct catalog *catalog, const struct document_names *known,
				       struct findings *f);
void document_plan_free(struct document_plan *plan);
CLEANUP(struct document_plan, document_plan_free);

/* The relations that a document's tree names (tables, through tables, base tables), for catalog_load. *ret_n entries,
 * pointing into document; caller frees the array. */
struct catalog_name *document_relations(const struct schema_document *document, size_t *ret_n);

/* The views of the catalog that a document's tree names, each once, as document_plan.views; caller frees the array. */
struct document_view *document_views(const struct schema_document *document, const struct catalog *catalog,
				     size_t *ret_n);

/* The expressions and conditions that a document's tree holds, for catalog_load_expressions; as document_relations. */
struct catalog_expression_name *document_expressions(const struct schema_document *document, size_t *ret_n);

/* _id of a root key: the values joined by "|", as pgsync does; ESCAPED puts a backslash before "|" and "\" in the
 * values of a key with several columns, so that no two keys share an id. An empty id, or one of more than 512 bytes,
 * which engines refuse, becomes "sha256:<hex>" of its bytes (and so does a key that looks like that). Appends to sb;
 * true when it was hashed: then the document is to carry the id in its field DOCUMENT_KEY_FIELD. */
#define DOCUMENT_KEY_FIELD "_key"
struct document_key {
	const char *const *values;
	const size_t *lens;
	size_t n;
};
bool document_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key);
/* Appends the text to route by, which is that of the field in the document, from what the column's output is: a bool's
 * is true or false, and `replace` is done. Nothing for an empty one: then the engine routes by _id. */
void document_routing(struct strbuf *sb, const struct document_plan *plan, const char *value, size_t len);

/* Appends the same before it is hashed. */
void document_long_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key);

/* A person's view: tree, SQL, paths, mapping, identities to set. Caller frees. */
char *document_describe(const struct document_plan *plan);

#endif
