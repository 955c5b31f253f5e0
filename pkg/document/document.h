/* The document compiler: the schema's tree + catalog -> SQL that builds documents, the mapping, and for every table the
 * paths from a changed row up to root keys.
 *
 * Pure: the same tree and catalog give the same text (golden files in testdata/). Everything is set-based: a query
 * takes arrays of keys, and joins instead of running a subplan for each row. Postgres' json functions build the
 * documents; nothing here or later changes their bytes. */
#ifndef PGSYNC_DOCUMENT_DOCUMENT_H
#define PGSYNC_DOCUMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/findings.h"
#include "base/mem.h"
#include "base/sections.h"
#include "base/strbuf.h"
#include "postgres/catalog.h"
#include "schema/schema.h"

/* The most columns of a key, of a table or of a join: what Postgres allows (INDEX_MAX_KEYS). */
enum { DOCUMENT_MAX_KEYS = 32 };

/* How rows of one relation at one node of the tree lead to root keys. A relation at several nodes has several paths. */
struct document_path {
	uint32_t relation; /* OID */
	char *description; /* "books > book_authors" */
	/* The names of the columns of the changed row that are needed, from its old and its new version. Each version
	 * is resolved separately; one in which a column is NULL leads nowhere. */
	char **columns;
	size_t n_columns;
	/* direct: the columns' values, in this order, are the root key itself. Otherwise sql yields the root keys (as
	 * text, in key order) of rows that exist in the snapshot: parameters $1..$n_columns are text[] literals, one
	 * for each column, all of equal length. */
	bool direct;
	/* How the row is linked to the root is not known (the relation is a base table of a view): no columns, no sql;
	 * every root may depend on any change of the relation. */
	bool opaque;
	bool is_root;  /* the relation is the tree's root at this node */
	char *routing; /* for the root's path, with routing: the column whose value is added to the key; or NULL */
	char *sql;     /* NULL when direct */
};

/* A relation that the tree reads. */
struct document_table {
	const struct catalog_table *table; /* borrowed from the catalog */
	/* 0-based: the columns whose old values must be in the WAL (replica identity): those of its paths, and the
	 * root's routing column */
	int *link_columns;
	size_t n_link_columns;
	/* The columns that documents contain, or are linked, keyed or sorted by. Those that expressions and conditions
	 * read are not known. */
	int *used_columns;
	size_t n_used_columns;
	bool is_root;
};

/* A view of the tree. The WAL does not contain its rows; they change when a base table does. */
struct document_view {
	const struct catalog_table *view; /* borrowed */
	bool followed;                    /* its base tables are named */
};

/* For document_sql_by_range and document_keys_by_range. */
struct document_query {
	char *text;
	size_t leaf_at; /* where to insert the name of a leaf of a partitioned root; 0: the root is not partitioned */
};

/* A value that a node of the tree reads from a row, and that may fail. */
struct document_probe_value {
	char *name; /* for messages: "column `price`", "its `where`" */
	char *sql;
};

/* Finds the row of a node that makes a document fail. A query is `head`, then the SQL of the values' counts, then
 * `tail`; or `head`, then `keys`, the keys as one text for each row; or `head`, then "count(*) FROM p". Parameters:
 * those of by_key, then the position of the first row of the node to look at, in the order of their keys, and how many.
 */
struct document_probe {
	char *table;       /* "public.books" */
	char *key_columns; /* "id" or "a, b" */
	char *head, *tail, *keys;
	struct document_probe_value *values;
	size_t n_values;
};

struct document_plan {
	const struct schema_document *document; /* borrowed */
	const struct catalog_table *root;       /* borrowed */
	bool root_is_view;                      /* its rows disappear without an event */
	size_t n_keys;                          /* columns of the root key (pgsync's order: sorted by name) */
	char **key_columns;
	enum schema_id_format id_format;
	struct {
		/* Yields n_keys text columns (the root key), then the document as json text; with `routing`, one more
		 * text column, the routing value; with counts_sanitized, one more text column, how many values were
		 * not indexable and became null, or NULL for none. Parameters $1..$n_keys are text[] literals of equal
		 * length. May be prepared (see sql.c), unless computes_views. */
		char *by_key;
		/* The keys of all roots; no parameters. For a root that is a view, only by_range reads all. */
		char *all_keys;
		struct document_query by_range, keys_by_range;
		/* The same documents, but slower: conditions and expressions are evaluated only for rows that are
		 * linked to the roots asked for. (In by_key and by_range, the planner may evaluate them for any row of
		 * the table.) So if this fails, these roots are the cause. */
		char *apart_by_key;
		struct document_query apart_by_range;
	} sql;
	struct document_probe *probes; /* one for each node, parents first */
	size_t n_probes;
	bool counts_sanitized;
	/* Some view is not materialized, so each query pays the cost of its definition again. Send by_key unprepared,
	 * so that it is planned for its keys (a generic plan converts the array of keys for every row of the view that
	 * it filters: 374 s for 2,000 keys over a view of 600,000 rows, instead of 4 s), and with many keys at once. */
	bool computes_views;
	struct {
		bool given;
		bool is_bool;          /* see document_routing */
		const json_t *replace; /* of transform, or NULL; borrowed */
	} routing;
	struct document_table *tables;
	size_t n_tables;
	struct document_path *paths;
	size_t n_paths;
	struct document_view *views; /* ascending by OID: a materialized view comes after those that it reads */
	size_t n_views;
	struct {
		/* The columns that documents are made of, that order their lists, and that link their rows, with types
		 * and collations. A column that was dropped and added again leaves no other trace. */
		json_t *columns;
		/* Everything else that may change without a trace in the WAL, for comparison with its later state:
		 * {"labels": {"OID": "label"}} of enums; {"objects": {"class.OID.sub": digest}} of the types, views,
		 * functions, operators, casts and collations that values depend on; and {"tables": {"OID": {"storage",
		 * "columns": {"number": "altered"}}}}. */
		json_t *catalog;
	} fingerprint;
	json_t *index_body; /* {"settings": ..., "mappings": ...} for the index's creation */
};

/* Compiles one document. Findings name every unknown table and column (with the nearest name), missing primary keys
 * (NoPrimaryKey), missing or ambiguous foreign keys (NoForeignKey, AmbiguousForeignKey, with the candidates), keys of
 * too many columns, unsupported constructs (NotSupported), and as warnings missing indexes on link columns
 * (MissingIndex, with the CREATE INDEX CONCURRENTLY statement). Returns NULL when there is an error among them. As much
 * of an invalid document as possible is still checked. The catalog contains every expression of document_expressions.
 * known: all table names, for "did you mean"; may be NULL. */
struct document_names {
	const char *const *items; /* "schema.table" */
	size_t n;
};
struct document_plan *document_compile(const struct schema_document *document,
				       const struct schema_document_format *format, const struct catalog *catalog,
				       const struct document_names *known, struct findings *f);
void document_plan_free(struct document_plan *plan);
/* Whether two plans of one document, compiled from two states of the catalog, do the same. */
bool document_plans_equal(const struct document_plan *a, const struct document_plan *b);
CLEANUP(struct document_plan, document_plan_free);

/* What indices are built from: the hash of the schema as written, the columns that the plans refer to, and the
 * definitions of views. Caller frees. */
char *document_plans_fingerprint(struct document_plan *const *plans, size_t n, const char *schema_hash);
/* fingerprint.catalog of all plans. */
json_t *document_plans_catalog(struct document_plan *const *plans, size_t n);

/* The query of the documents of a range of blocks, with the same columns as by_key. Of a root that is a view: all
 * documents, without parameters. Otherwise parameters $1 and $2 are tid literals "(block,0)". leaf: the quoted name of
 * the leaf of a partitioned root to read from, since each leaf has its own ctids; NULL (for EXPLAIN): the root's name.
 * Send it unprepared, so that it is planned for its range. Caller frees. */
char *document_sql_by_range(const struct document_plan *plan, const char *leaf);
/* The same for apart_by_range. Caller frees. */
char *document_apart_by_range(const struct document_plan *plan, const char *leaf);
/* The same for the root keys alone. Caller frees. */
char *document_keys_by_range(const struct document_plan *plan, const char *leaf);

/* The relations that a document's tree names (tables, through tables, base tables), for catalog_load. *ret_n entries,
 * pointing into document; caller frees the array. */
struct catalog_name *document_relations(const struct schema_document *document, size_t *ret_n);

/* The views of the catalog that a document's tree names, each once, as document_plan.views; caller frees the array. */
struct document_view *document_views(const struct schema_document *document, const struct catalog *catalog,
				     size_t *ret_n);

/* The expressions and conditions of a document's tree, for catalog_load_expressions; as document_relations. */
struct catalog_expression_name *document_expressions(const struct schema_document *document, size_t *ret_n);

/* _id of a root key: the values joined by "|", as pgsync does; ESCAPED puts a backslash before "|" and "\" in the
 * values of a key with several columns, so that no two keys share an id. An id that engines refuse, an empty one or one
 * of more than 512 bytes, becomes "sha256:<hex>" of its bytes (and so does a key that looks like that). Appends to sb;
 * true when it was hashed: then the document has to carry the id in its field DOCUMENT_KEY_FIELD. */
#define DOCUMENT_KEY_FIELD "_key"
struct document_key {
	const char *const *values;
	const size_t *lens;
	size_t n;
};
bool document_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key);
/* Appends the same before it is hashed. */
void document_long_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key);

/* Whether an _id contains the n values of its key: it was not hashed, and no other key has it. */
bool document_id_says_key(enum schema_id_format format, const char *id, size_t n);
/* The key of an _id: appends its n values, each with a NUL. False if the _id does not contain it. */
bool document_split_id(struct strbuf *sb, enum schema_id_format format, const char *id, size_t n);

/* Appends the text to route by, which is that of the field in the document, made from the column's output: "true" or
 * "false" for a bool, and with `replace` applied. Appends nothing for an empty value: then the engine routes by _id. */
void document_routing(struct strbuf *sb, const struct document_plan *plan, const char *value, size_t len);

/* Appends a readable description: tree, SQL, paths, mapping, identities to set. */
void document_describe(const struct document_plan *plan, struct sections *out);

#endif
