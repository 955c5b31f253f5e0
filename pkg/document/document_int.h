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

enum field_kind {
	FIELD_COLUMN,     /* also of a JSON path into it */
	FIELD_SYSTEM,     /* ctid and its kin */
	FIELD_EXPRESSION, /* the source's column "x.<number>" */
	FIELD_CHILD,
	FIELD_CONCAT,
	FIELD_OBJECT,  /* made of what was moved into it */
	FIELD_CARRIED, /* moved here from a place below */
	FIELD_META,
};

/* A part of a concat: a field, or a word. */
struct part {
	size_t field; /* when literal is NULL */
	const char *literal;
};

/* A key of an object in the document, and where its value comes from. */
struct field {
	enum field_kind kind;
	char *name;   /* in the document */
	char *source; /* before rename */
	bool hidden;  /* not in the document itself: moved, or overwritten by a concat */
	bool moved;
	int column;                        /* COLUMN: position in the table */
	struct schema_column_path path;    /* COLUMN: the path into it; n is 0 without one */
	bool into_json;                    /* COLUMN with a path: the column is json, not jsonb */
	size_t number;                     /* EXPRESSION */
	const struct catalog_column *type; /* of COLUMN without path, EXPRESSION; NULL: known by the kind */
	struct place *child;               /* CHILD */
	const json_t *replace;             /* {search: replacement}, or NULL */
	struct part *parts;                /* CONCAT */
	size_t n_parts;
	const char *delimiter; /* CONCAT */
	struct field *fields;  /* OBJECT */
	size_t n_fields;
	const struct carry *carry; /* CARRIED */
};

/* A field that is moved elsewhere: within its object, or up to the root's. */
struct carry {
	size_t number;
	const struct place *place, *target;
	size_t field; /* of place */
};

/* A column or expression that orders the elements of a list. */
struct sort {
	int column;        /* or -1 */
	size_t expression; /* when column is -1 */
	const struct schema_ordering *how;
};

/* A node of the tree with everything looked up. */
struct place {
	const struct schema_node *node;
	size_t number; /* 0 is the root; aliases in SQL end with it */
	struct place *parent;
	struct place **children;
	size_t n_children;
	const struct catalog_table *table;
	const struct catalog_table *through; /* or NULL */
	struct hop hops[2];                  /* from the parent's table downwards: one, or two with a through table */
	size_t n_hops;                       /* 0: the root */
	const struct catalog_table **base;   /* base tables of a view */
	size_t n_base;
	int *key; /* primary key: the order of siblings; of the root: its _id */
	size_t n_key;
	struct field *fields; /* of the object, in order; of a scalar: the first is its value */
	size_t n_fields;
	struct sort *sorts; /* order_by; the key comes after it */
	size_t n_sorts;
	size_t n_expressions;
	bool filtered; /* has a `where` */
	bool scalar, many;
	bool unique;     /* a parent row has at most one row here, by a unique index */
	bool inlined;    /* a plain LEFT JOIN within its parent's query: unique, and so is everything below */
	bool has_sets;   /* this place's rows are named as a set (r<number>): some child is not inlined, or there is a
			    limit, or there are groups */
	size_t n_groups; /* the children are too many for one query; they are joined group by group. 0: they are not */
	size_t group;    /* which of the parent's groups joins this place, from 1; 0: the parent's query does */
	size_t n_joined; /* relations that the query which joins this place gets with it */
	bool has_notes;  /* a value here or below may be one that cannot stand in a document */
};

struct tree {
	const struct schema_document *document;
	const struct catalog *catalog;
	struct place **places; /* in preorder */
	size_t n;
	const struct schema_document_format *as;
	int routing; /* position in the root's table of the column that documents are routed by, or -1 */
	struct carry **carries;
	size_t n_carries;
};

/* --- fields.c --- */
struct compiler;
void PRINTF_LIKE(4, 5) compiler_fail(struct compiler *c, const char *reason, const char *path, const char *fmt, ...);
void compiler_warn(struct compiler *c, const char *path, const char *message);
void unknown_column(struct compiler *c, const char *path, const struct catalog_table *table, const char *name);
/* The same, for who fails by itself. */
void say_unknown_column(struct findings *f, const char *path, const struct catalog_table *table, const char *name);
const struct catalog *compiler_catalog(const struct compiler *c);
/* Finds the place's fields as the node names them; its children are resolved already. */
void fields_resolve(struct compiler *c, struct place *place);
/* Which fields the place has is not all known, as its node is not well-formed. */
bool fields_unsure(const struct place *place);
/* The place's visible field of that name, the last one if several are; or NULL. */
struct field *find_field(const struct place *place, const char *name);
/* The node names it among its columns (or paths) or expressions. */
bool field_is_listed(const struct schema_node *node, const char *name);
/* "; did you mean `title`?", or nothing: the field of the place that is meant by the name. Caller frees. */
char *did_you_mean(const struct place *place, const char *name);
/* Moves fields, when all places are resolved. */
void fields_move(struct compiler *c, struct tree *tree);
/* Complains of names that search engines refuse. */
void fields_check_names(struct compiler *c, const struct tree *tree);
void fields_release(struct field *fields, size_t n);
/* Which values of a field can stand in a document; the others become NULL. Search engines refuse infinite dates, NaN
 * and infinite numbers; Postgres takes nothing out of a json value that holds the character \u0000 (jsonb has none).
 */
enum taken { TAKEN_ALWAYS, TAKEN_FINITE_DATE, TAKEN_FINITE_NUMBER, TAKEN_WITHOUT_NUL };
enum taken field_taken(const struct field *field);

/* --- values.c --- */
/* Appends what a row of the place becomes, as the query of the place itself sees it. */
void sql_place_value(struct strbuf *sb, const struct place *place);
/* Appends the LATERAL rows that sql_place_value refers to, those of inlined places below first. */
void sql_object_rows(struct strbuf *sb, const struct place *place);
/* Appends how many values of the place and of those below are left out because no engine takes them: an integer. For
 * places that have notes. */
void sql_notes(struct strbuf *sb, const struct place *place);
/* Appends what the child's group, which joins it, yields to the queries above: columns of the parent's rows. */
void sql_group_columns(struct strbuf *sb, const struct tree *tree, const struct place *child);
/* The carry passes the place's own query on its way to its target. */
bool carried_through(const struct carry *carry, const struct place *place);
/* Appends the carried value in the query of `at`: the carry's place, or one above it. */
void sql_carried(struct strbuf *sb, const struct carry *carry, const struct place *at);
/* The same for a column of the place's json set: one value for each parent's row. */
void sql_carried_set(struct strbuf *sb, const struct carry *carry, const struct place *place);
/* Appends order_by and key. */
void sql_order(struct strbuf *sb, const struct place *place);
/* Appends t<number>."name". */
void sql_own(struct strbuf *sb, const struct place *place, int column);
/* Appends a name like "x.1" that no column of the place's table has. */
void sql_free_name(struct strbuf *sb, const struct place *place, const char *prefix, size_t number);

/* --- links.c --- */
struct link_request {
	const struct catalog_table *upper, *lower; /* NULL, if flawed: not known */
	enum schema_relation_type type;
	const struct jsonx_strings *upper_columns, *lower_columns; /* foreign_key, or NULL (or empty) */
	bool flawed; /* the relationship is not all known: what it names is checked, and the join not found */
	const struct hop *other;            /* the through table's other hop, whose foreign key is not meant; or NULL */
	bool has_through, through_is_lower; /* one of the tables is a through table: which */
	const char *path;                   /* of the node */
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

void sql_table(struct strbuf *sb, const struct catalog_table *table);
/* The type to cast text to so that it equals values of the column: without length or precision. Caller frees. */
char *sql_type(const struct catalog_column *column);
/* Appends `expr` of the column's type as the text that pgoutput would send for it. */
void sql_text(struct strbuf *sb, const struct catalog_column *column, const char *expr);
/* ret_leaf_at: see document_plan.leaf_at; may be NULL. NULL when the text would be longer than SQL_BYTES. */
char *sql_documents(const struct tree *tree, bool by_range, size_t *ret_leaf_at);
char *sql_keys(const struct tree *tree, bool by_range, size_t *ret_leaf_at);

/* --- relations.c --- */
enum relation_use { RELATION_NODE, RELATION_THROUGH, RELATION_BASE };
/* False, with a finding: the relation is of a kind that cannot stand there. */
bool relation_check(const struct catalog_table *table, enum relation_use use, const char *path, struct findings *f);
/* Warns of base tables that a view lacks, or that nobody needs. */
void relation_check_bases(const struct place *place, struct findings *f);

/* --- routing.c --- */
/* The column of the root's table behind the document's field `routing`; -1: there is none, or (false, with a finding)
 * it cannot be used. */
bool routing_resolve(const struct schema_document *document, const struct place *root, int *ret, struct findings *f);
/* Says in the plan how document_routing makes its text. */
void routing_describe(const struct tree *tree, struct document_plan *plan);

/* --- ways.c --- */
void ways_build(const struct tree *tree, struct document_plan *plan);

/* --- mapping.c --- */
json_t *mapping_body(const struct tree *tree);

#endif
