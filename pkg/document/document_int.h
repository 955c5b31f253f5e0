/* The resolved tree: what compile.c builds and sql.c, paths.c, mapping.c and describe.c read. Private to this package.
 */
#ifndef PGSYNC_DOCUMENT_DOCUMENT_INT_H
#define PGSYNC_DOCUMENT_DOCUMENT_INT_H

#include "document/document.h"

/* An equality join between a table nearer to the root (upper) and one below it (lower). Which side declares the foreign
 * key does not matter: a row of the lower table finds its upper rows by lower_columns either way. */
struct join {
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
	FIELD_OBJECT, /* made of what was moved into it */
	FIELD_MOVED,  /* moved here from a node below */
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
	struct plan_node *child;           /* CHILD */
	const json_t *replace;             /* {search: replacement}, or NULL */
	struct part *parts;                /* CONCAT */
	size_t n_parts;
	const char *delimiter; /* CONCAT */
	struct field *fields;  /* OBJECT */
	size_t n_fields;
	const struct moved_field *moved_field; /* MOVED */
};

/* A field that is moved elsewhere: within its object, or up to the root's. */
struct moved_field {
	size_t number;
	const struct plan_node *node, *target;
	size_t field; /* of node */
};

/* A column or expression that orders the elements of a list. */
struct sort {
	int column;        /* or -1 */
	size_t expression; /* when column is -1 */
	const struct schema_ordering *how;
};

/* A node of the tree with everything looked up. */
struct plan_node {
	const struct schema_node *decl;
	size_t number; /* 0 is the root; aliases in SQL end with it */
	struct plan_node *parent;
	struct plan_node **children;
	size_t n_children;
	const struct catalog_table *table;
	const struct catalog_table *through; /* or NULL */
	struct join joins[2];                /* from the parent's table downwards: one, or two with a through table */
	size_t n_joins;                      /* 0: the root */
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
	bool has_sets;   /* this node's rows are named as a set (r<number>): some child is not inlined, or there is a
			    limit, or there are groups */
	size_t n_groups; /* the children are too many for one query; they are joined group by group. 0: they are not */
	size_t group;    /* which of the parent's groups joins this node, from 1; 0: the parent's query does */
	size_t n_joined; /* relations that the query which joins this node gets with it */
	bool may_sanitize; /* a value here or below may be one that cannot stand in a document */
};

struct tree {
	const struct schema_document *document;
	const struct catalog *catalog;
	struct plan_node **nodes; /* in preorder */
	size_t n;
	const struct schema_document_format *as;
	int routing; /* position in the root's table of the column that documents are routed by, or -1 */
	struct moved_field **moved_fields;
	size_t n_moved_fields;
};

/* --- fields.c --- */
struct compiler;
void PRINTF_LIKE(4, 5) compiler_fail(struct compiler *c, const char *reason, const char *path, const char *fmt, ...);
void compiler_warn(struct compiler *c, const char *path, const char *message);
void unknown_column(struct compiler *c, const char *path, const struct catalog_table *table, const char *name);
/* The same, for who fails by itself. */
void say_unknown_column(struct findings *f, const char *path, const struct catalog_table *table, const char *name);
const struct catalog *compiler_catalog(const struct compiler *c);
/* Finds the node's fields as the node names them; its children are resolved already. */
void fields_resolve(struct compiler *c, struct plan_node *node);
/* Which fields the node has is not all known, as its node is not well-formed. */
bool fields_unsure(const struct plan_node *node);
/* The node's visible field of that name, the last one if several are; or NULL. */
struct field *find_field(const struct plan_node *node, const char *name);
/* The node names it among its columns (or paths) or expressions. */
bool field_is_listed(const struct schema_node *decl, const char *name);
/* "; did you mean `title`?", or nothing: the field of the node that is meant by the name. Caller frees. */
char *did_you_mean(const struct plan_node *node, const char *name);
/* Moves fields, when all nodes are resolved. */
void fields_move(struct compiler *c, struct tree *tree);
/* Complains of names that search engines refuse. */
void fields_check_names(struct compiler *c, const struct tree *tree);
void fields_release(struct field *fields, size_t n);
/* Which values of a field can stand in a document; the others become NULL. Search engines refuse infinite dates, NaN
 * and infinite numbers; Postgres takes nothing out of a json value that holds the character \u0000 (jsonb has none).
 */
enum indexable { INDEXABLE_ALWAYS, INDEXABLE_FINITE_DATE, INDEXABLE_FINITE_NUMBER, INDEXABLE_WITHOUT_NUL };
enum indexable field_indexable(const struct field *field);

/* --- values.c --- */
/* Appends what a row of the node becomes, as the query of the node itself sees it. */
void sql_node_value(struct strbuf *sb, const struct plan_node *node);
/* Appends the LATERAL rows that sql_node_value refers to, those of inlined nodes below first. */
void sql_object_rows(struct strbuf *sb, const struct plan_node *node);
/* Appends how many values of the node and of those below are left out because no engine takes them: an integer. For
 * nodes that may be sanitized. */
void sql_sanitized_count(struct strbuf *sb, const struct plan_node *node);
/* Appends what the child's group, which joins it, yields to the queries above: columns of the parent's rows. */
void sql_group_columns(struct strbuf *sb, const struct tree *tree, const struct plan_node *child);
/* The moved field passes the node's own query on its way to its target. */
bool moved_field_passes(const struct moved_field *moved_field, const struct plan_node *node);
/* Appends the moved value in the query of `at`: the moved field's node, or one above it. */
void sql_moved_field(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *at);
/* The same for a column of the node's json set: one value for each parent's row. */
void sql_moved_field_set(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *node);
/* Appends order_by and key. */
void sql_order(struct strbuf *sb, const struct plan_node *node);
/* Appends t<number>."name". */
void sql_own(struct strbuf *sb, const struct plan_node *node, int column);
/* Appends a name like "x.1" that no column of the node's table has. */
void sql_free_name(struct strbuf *sb, const struct plan_node *node, const char *prefix, size_t number);

/* --- links.c --- */
struct join_request {
	const struct catalog_table *upper, *lower; /* NULL, if flawed: not known */
	enum schema_relation_type type;
	const struct jsonx_strings *upper_columns, *lower_columns; /* foreign_key, or NULL (or empty) */
	bool flawed; /* the relationship is not all known: what it names is checked, and the join not found */
	const struct join *other; /* the through table's other join, whose foreign key is not meant; or NULL */
	bool has_through, through_is_lower; /* one of the tables is a through table: which */
	const char *path;                   /* of the node */
};

/* Finds the join of two tables; false with a finding when there is none, or more than one. */
bool join_resolve(const struct join_request *request, struct join *ret, struct findings *f);
void join_release(struct join *join);
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
void relation_check_bases(const struct plan_node *node, struct findings *f);

/* --- routing.c --- */
/* The column of the root's table behind the document's field `routing`; -1: there is none, or (false, with a finding)
 * it cannot be used. */
bool routing_resolve(const struct schema_document *document, const struct plan_node *root, int *ret,
		     struct findings *f);
/* Says in the plan how document_routing makes its text. */
void routing_describe(const struct tree *tree, struct document_plan *plan);

/* --- paths.c --- */
void paths_build(const struct tree *tree, struct document_plan *plan);

/* --- mapping.c --- */
json_t *mapping_body(const struct tree *tree);

#endif
