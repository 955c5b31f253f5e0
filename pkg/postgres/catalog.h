/* A snapshot of the catalog for some relations: columns, types, keys, foreign keys, indexes, replica identity.
 *
 * Immutable once loaded. The document compiler uses nothing else, so it is pure and tested with handwritten snapshots.
 */
#ifndef PGSYNC_POSTGRES_CATALOG_H
#define PGSYNC_POSTGRES_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct pg;

/* The catalogs, by the OIDs of pg_catalog's tables. */
enum catalog_class {
	CATALOG_TYPE = 1247,
	CATALOG_FUNCTION = 1255,
	CATALOG_RELATION = 1259, /* with sub, one of its columns */
	CATALOG_DEFAULT = 2604,  /* the expression of a virtual column */
	CATALOG_CAST = 2605,
	CATALOG_OPERATOR = 2617,
	CATALOG_RULE = 2618, /* of a view */
	CATALOG_EXTENSION = 3079,
	CATALOG_COLLATION = 3456,
	CATALOG_ENUM = 3501, /* a value of an enum */
	CATALOG_DICTIONARY = 3600,
	CATALOG_CONFIGURATION = 3602,
};

/* A row of the catalog, as pg_depend names it. */
struct catalog_object {
	uint32_t class, oid;
	int sub;
};

/* Anything that affects how values look: types at any depth, enum values, collations, views, functions, operators,
 * casts. */
struct catalog_dependency {
	/* Where it was reached from: a column, a view, or a part of an expression. */
	struct catalog_object from;
	struct catalog_object object;
	char *value; /* a digest of everything relevant in its row; for an enum value, its text */
};

struct catalog_column {
	char *name;
	uint32_t type_oid;
	int32_t typmod;         /* of the base type */
	uint32_t collation_oid; /* 0: none */
	char *type;             /* format_type(): "numeric(10,2)", "character varying(30)", "text[]" */
	char *base_type; /* after domains (of elements too), without modifier, internal name: "numeric", "int8", "_text"
			  */
	char category;   /* pg_type.typcategory of the base type: 'N', 'S', 'D', 'B', 'A', 'E', 'C', 'R', 'U', ... */
	char element_category; /* of an array's elements; 0 for everything else */
	char *collation;       /* quoted, with its schema; NULL: its type has none */
	bool nondeterministic; /* of the collation: different texts may be equal */
	bool no_order;         /* values can be neither sorted nor grouped, such as those of json and point */
	bool unlimited;        /* a value may be as large as Postgres allows: text, bytea, json, an array */
	char *equality_schema; /* the schema of the type's operator `=`, if that is not pg_catalog; else NULL */
	bool not_null;
	bool generated;
	bool is_virtual; /* of generated columns: computed when it is read (Postgres 18) */
	int attnum;
	uint32_t altered; /* the transaction that created or last ALTERed it. Its values changed only if the table was
			     rewritten as well */
};

struct catalog_index {
	char *name;
	bool unique;
	bool primary;
	bool immediate;
	bool partial;    /* has a WHERE clause */
	bool expression; /* has an expression column */
	bool valid;
	int *columns; /* positions in catalog_table.columns (0-based), key columns only, in index order, no expressions
		       */
	size_t n;
};

struct catalog_foreign_key {
	char *name;
	uint32_t to;     /* OID of the referenced table */
	int *columns;    /* 0-based positions in this table */
	int *to_columns; /* 0-based positions in the referenced table, which need not be part of the catalog */
	size_t n;
};

/* A table that a view reads, directly or through other views. */
struct catalog_reads {
	uint32_t oid;
	char *name; /* "schema.table" */
};

/* A relation below a partitioned table, at whatever depth. */
struct catalog_part {
	uint32_t oid;
	char *schema, *name;
	char kind; /* 'p' if it is partitioned itself; it has no rows then */
	char persistence;
	uint32_t attachment; /* changes with DETACH and ATTACH */
	uint32_t filenode;   /* changes with TRUNCATE or a rewrite; 0 if partitioned */
	char replica_identity;
	char *identity_index; /* when 'i' */
	int *identity; /* positions in the partitioned table of the columns of old rows that the WAL contains ('d',
			* 'i') */
	size_t n_identity;
	bool is_owner, can_select;
};

struct catalog_table {
	uint32_t oid;
	char *schema, *name;
	char kind;             /* pg_class.relkind: 'r', 'p', 'v', 'm', 'f' */
	char persistence;      /* 'p', 'u', 't' */
	char replica_identity; /* 'd', 'n', 'f', 'i'. Partitions have their own */
	char *identity_index;  /* name when replica_identity is 'i' */
	bool row_security;     /* policies would hide rows from the current role */
	bool is_owner;         /* the current role may ALTER it */
	bool can_select;       /* the whole table */
	bool is_inherited;     /* other tables inherit from it (INHERITS), and their rows are read along with its own */
	double row_estimate;   /* pg_class.reltuples; -1 when never analysed */
	uint32_t filenode;
	uint64_t storage; /* changes with a rewrite (of any partition, if partitioned) or TRUNCATE; of the same snapshot
			     as the columns; 0 for a view */
	struct catalog_column *columns;
	size_t n_columns;
	struct catalog_index *indexes;
	size_t n_indexes;
	struct catalog_foreign_key *foreign_keys;
	size_t n_foreign_keys;
	struct catalog_part *parts; /* of a partitioned table, by OID */
	size_t n_parts;
	uint32_t partition_of; /* the topmost partitioned table above it; 0: it is not a partition */
	/* Of a view or materialized view. Tables that its functions read are not known. */
	char *definition; /* changes with its definition and with that of any view that it reads */
	struct catalog_reads *reads;
	size_t n_reads;
	bool populated;   /* a materialized view that is populated */
	bool can_refresh; /* the current role may REFRESH it */
};

/* An SQL expression over the columns of one table. */
struct catalog_expression {
	uint32_t relation;
	char *sql;                  /* as the user wrote it */
	char *qualified;            /* the same with every name qualified, so that no search path changes its meaning;
				     * NULL if there is a problem */
	char *problem;              /* why it cannot be used: not valid, or not immutable; NULL if it can */
	struct catalog_column type; /* of its value; without a name */
	int *columns;               /* the columns of its table that it reads: 0-based positions */
	size_t n_columns;
	struct catalog_object *objects; /* the objects that it names, without built-in ones: functions, operators,
					 * types... */
	size_t n_objects;
};

struct catalog {
	struct catalog_table *tables;
	size_t n;
	struct catalog_expression *expressions;
	size_t n_expressions;
	struct catalog_dependency *dependencies; /* sorted by `from` */
	size_t n_dependencies;
	char *watched;         /* OIDs of tables and objects, as an array literal */
	uint32_t watched_rows; /* private: a bit for each kind of row that is watched */
	char *versions;        /* a digest of the row versions (xmin) of all that is watched; NULL: nothing is */
};

struct catalog_name {
	const char *schema;
	const char *table;
};

struct catalog_expression_name {
	struct catalog_name table;
	const char *sql;
};

/* Loads the relations named (those that do not exist are absent, and the caller reports them) in one snapshot. */
int catalog_load(struct pg *pg, const struct catalog_name *names, size_t n, struct catalog **ret,
		 struct err *err) WARN_UNUSED;
/* The same for all tables of the database, without partitions, and without those of the system and of extensions. LIMIT
 * if there are more than CATALOG_MOST. */
enum { CATALOG_MOST = 5000 };
int catalog_load_all(struct pg *pg, struct catalog **ret, struct err *err) WARN_UNUSED;
/* Adds what the server reports about expressions over tables of the catalog. Their names are looked up on search_path,
 * a list as SET takes it. To check that an expression is immutable, it is made a generated column of a temporary table,
 * which is rolled back. */
struct catalog_expression_list {
	const struct catalog_expression_name *items;
	size_t n;
	const char *search_path;
};
int catalog_load_expressions(struct pg *pg, struct catalog *catalog, const struct catalog_expression_list *list,
			     struct err *err) WARN_UNUSED;
/* Instead, copies the expressions of another catalog over the same tables. */
void catalog_copy_expressions(struct catalog *catalog, const struct catalog *from);
/* The last step: adds what columns, views and expressions depend on, and watches all of it. TRANSIENT if anything was
 * altered since catalog_load. */
int catalog_load_dependencies(struct pg *pg, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Reads the replica identities again after they were set, so that this catalog equals the one that is loaded next. */
int catalog_load_identities(struct pg *pg, struct catalog *catalog, struct err *err) WARN_UNUSED;
/* Whether no watched row has been written since the catalog was loaded, not even with the same values. If so,
 * everything that was read until now, in transactions that are over, was read with this catalog. */
int catalog_is_current(struct pg *pg, const struct catalog *catalog, bool *ret, struct err *err) WARN_UNUSED;
/* All table names of the database, "schema.table", for "did you mean"; those in the schemas of `names` come first.
 * Caller frees with free_strings. */
int catalog_list(struct pg *pg, const struct catalog_name *names, size_t n, char ***ret, size_t *ret_n,
		 struct err *err) WARN_UNUSED;
void catalog_free(struct catalog *catalog);
CLEANUP(struct catalog, catalog_free);

/* NULL when absent. */
const struct catalog_table *catalog_find(const struct catalog *catalog, const char *schema, const char *table);
const struct catalog_table *catalog_find_oid(const struct catalog *catalog, uint32_t oid);
/* NULL when it was not loaded. */
const struct catalog_expression *catalog_expression(const struct catalog *catalog, uint32_t relation, const char *sql);
bool catalog_same_object(const struct catalog_object *a, const struct catalog_object *b);
/* The dependencies that were reached from an object, *ret_n of them. */
const struct catalog_dependency *catalog_dependencies_of(const struct catalog *catalog,
							 const struct catalog_object *from, size_t *ret_n);
/* For what adds dependencies. */
void catalog_sort_dependencies(struct catalog *catalog);
/* 0-based position, or -1. */
int catalog_column(const struct catalog_table *table, const char *name);
/* True for a view or a materialized view: the WAL does not contain its rows. */
bool catalog_is_view(const struct catalog_table *table);
/* The primary key, or NULL. */
const struct catalog_index *catalog_primary_key(const struct catalog_table *table);
/* It has every row of the table, by columns alone: it is valid, not partial, and without expressions. */
bool catalog_index_is_plain(const struct catalog_index *index);
/* A unique index makes at most one row of the table equal in these columns. */
bool catalog_is_unique(const struct catalog_table *table, const int *columns, size_t n);

/* Whether the WAL contains column i of a deleted or changed row, given the table's replica identity (for a partitioned
 * table: that of each partition). Never a generated column, which pgoutput does not publish. */
bool catalog_identity_covers(const struct catalog_table *table, int column);
/* Whether it contains the old values of all n columns, and identifies the row. */
bool catalog_identity_covers_all(const struct catalog_table *table, const int *columns, size_t n);
/* False if the WAL contains nothing about a deleted row. Postgres refuses UPDATE and DELETE then, once the table is
 * published. */
bool catalog_identity_exists(const struct catalog_table *table);
/* The index whose columns the WAL contains for old rows; NULL: it contains whole rows, or nothing. */
const struct catalog_index *catalog_identity(const struct catalog_table *table);
/* An existing index that REPLICA IDENTITY USING INDEX may name (unique, immediate, valid, not partial, no expressions,
 * all columns NOT NULL) and that covers the n columns; NULL if there is none (only FULL covers them then). */
const struct catalog_index *catalog_identity_index(const struct catalog_table *table, const int *columns, size_t n);

/* True if the partition has rows itself, so is not partitioned. */
bool catalog_part_is_leaf(const struct catalog_part *part);
/* As catalog_identity_exists. */
bool catalog_part_identifies(const struct catalog_part *part);
/* True if the WAL contains this column of the partitioned table for an old row in this partition. */
bool catalog_part_covers(const struct catalog_part *part, int column);
/* An index of the partition that REPLICA IDENTITY USING INDEX may name and that covers these columns of its partitioned
 * table; *ret is NULL if there is none; otherwise the caller frees it. */
struct catalog_columns {
	const int *items;
	size_t n;
};
int catalog_part_index(struct pg *pg, const struct catalog_table *table, const struct catalog_part *part,
		       const struct catalog_columns *columns, char **ret, struct err *err) WARN_UNUSED;

/* True if both have the same tables with the same columns, primary keys, replica identities, partitions and view
 * definitions, and the same versions of everything watched. */
bool catalog_equal(const struct catalog *a, const struct catalog *b);

#endif
