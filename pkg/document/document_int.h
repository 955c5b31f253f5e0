/* The resolved tree and what works on it. Private to this package.
 *
 * Sections are in the order of their dependencies: each file uses only what is above it.
 */
#ifndef PGSYNC_DOCUMENT_DOCUMENT_INT_H
#define PGSYNC_DOCUMENT_DOCUMENT_INT_H

#include "base/map.h"
#include "document/document.h"

/* An equality join between a table nearer to the root (upper) and one below it (lower). Which side declares the foreign
 * key does not matter: a row of the lower table finds its upper rows by lower_columns either way. */
struct join {
	const struct catalog_table *upper, *lower;
	int *upper_columns, *lower_columns; /* 0-based, n pairs */
	size_t n;
	/* Values compare by the collation of the columns that a foreign key refers to, as Postgres itself compares
	 * them: those of lower, otherwise (also without a foreign key) those of upper. */
	bool refers_to_lower;
};

enum field_kind {
	FIELD_COLUMN,     /* or a JSON path into one */
	FIELD_SYSTEM,     /* ctid and other system columns */
	FIELD_EXPRESSION, /* an expression: the source's column "x.<number>" */
	FIELD_CHILD,
	FIELD_CONCAT,
	FIELD_OBJECT, /* made of the fields that were moved into it */
	FIELD_MOVED,  /* moved here from a node below */
	FIELD_META,
};

/* A part of a concat: a field, or a literal word. */
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
	size_t n_fields, alloc_fields;
	struct map *by_name;                   /* OBJECT: where they are */
	const struct moved_field *moved_field; /* MOVED */
};

/* A field that `move` takes elsewhere: within its object, or into the root's. */
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

/* A node of the schema with everything looked up. */
struct plan_node {
	const struct schema_node *decl; /* the schema's node */
	size_t number;                  /* 0 is the root; aliases in SQL end with it */
	struct plan_node *parent;
	struct plan_node **children;
	size_t n_children;
	const struct catalog_table *table;
	const struct catalog_table *through; /* or NULL */
	struct join joins[2];                /* from the parent's table downwards: one, or two with a through table */
	size_t n_joins;                      /* 0: the root */
	const struct catalog_table **base;   /* base tables of a view */
	size_t n_base;
	int *key; /* primary key: orders siblings; for the root, makes its _id */
	size_t n_key;
	struct field *fields; /* of the object, in order; for a scalar, the first is its value */
	size_t n_fields, alloc_fields;
	struct map *by_name, *by_source, *moved; /* field.c: where they are among the fields */
	struct sort *sorts;                      /* order_by; the key comes after it */
	size_t n_sorts;
	size_t n_expressions;
	bool filtered; /* has a `where` */
	bool scalar, many;
	bool unique;       /* a parent row has at most one row here, by a unique index */
	bool inlined;      /* a plain LEFT JOIN within its parent's query: unique, and so is everything below */
	bool has_sets;     /* this node's rows are named as a set (r<number>): some child is not inlined, or there is a
			      limit, or there are groups */
	bool may_sanitize; /* a value here or below may be one that is not indexable */
	size_t n_groups;   /* the children are too many for one query and are joined group by group; 0: they are not */
	size_t group;      /* which of the parent's groups joins this node, from 1; 0: the parent's query does */
	size_t n_joined;   /* relations that the query which joins this node gets with it */
};

struct tree {
	const struct schema_document *document;
	const struct catalog *catalog;
	struct plan_node **nodes; /* in preorder */
	size_t n;
	const struct schema_document_format *format;
	int routing; /* position in the root's table of the column that documents are routed by, or -1 */
	struct moved_field **moved_fields;
	size_t n_moved_fields;
	bool apart; /* see tree_set_apart */
};

/* --- diagnostics.c: what is wrong with a document --- */
struct diagnostics {
	struct findings *findings;
	const struct document_names *known; /* all tables of the database, for "did you mean"; or NULL */
	bool failed;                        /* there is no plan: an error was found here, or by the schema's decoder */
	size_t hints;                       /* how often a similar name was looked for */
};

/* Whether another similar name may be looked for. */
bool diagnostics_may_hint(struct diagnostics *d);

void PRINTF_LIKE(4, 5)
	diagnostics_fail(struct diagnostics *d, enum reason reason, const char *path, const char *fmt, ...);
void PRINTF_LIKE(4, 5)
	diagnostics_warn(struct diagnostics *d, enum reason reason, const char *path, const char *fmt, ...);
void diagnostics_unknown_table(struct diagnostics *d, const char *path, const struct catalog_name *name);
void diagnostics_unknown_column(struct diagnostics *d, const char *path, const struct catalog_table *table,
				const char *name);

/* --- references.c: the relations and expressions that a schema names --- */
/* The node names its table, and the name is valid. */
bool reference_is_given(const struct schema_node *node);
/* The node names another table (a through or a base table), and the name is valid. */
bool reference_other_is_given(const struct schema_node *node, const struct schema_table_name *name);
/* The other table's whole name: its schema is the node's unless given. */
struct catalog_name reference_other(const struct schema_node *node, const struct schema_table_name *name);

/* --- columns.c: sets of columns of one table, by 0-based positions --- */
/* An index finds rows by these columns. */
bool columns_are_indexed(const struct catalog_table *table, const int *columns, size_t n);
/* Both sets have the same columns, in any order. */
bool columns_are_equal(const int *a, size_t n, const int *b, size_t m);
/* "a, b": their names; caller frees. */
char *columns_list(const struct catalog_table *table, const int *columns, size_t n);

/* --- relations.c --- */
enum relation_use { RELATION_NODE, RELATION_THROUGH, RELATION_BASE };
/* Fails if the relation is of a kind that cannot be used like this. */
void relation_check(const struct catalog_table *table, enum relation_use use, const char *path, struct diagnostics *d);
/* Warns of base tables that a view lacks, or that a table does not need. */
void relation_check_bases(const struct plan_node *node, struct diagnostics *d);

/* --- joins.c --- */
struct join_request {
	const struct catalog_table *upper, *lower; /* NULL if not known: then `invalid` is set */
	enum schema_relation_type type;
	const struct jsonx_strings *upper_columns, *lower_columns; /* the schema's foreign_key, or NULL (or empty) */
	bool invalid; /* parts of the relationship are not known: check the names, but do not look for the join */
	const struct join *other; /* the through table's other join, whose foreign key is not meant; or NULL */
	bool has_through, through_is_lower; /* one of the tables is a through table: which */
	const char *path;                   /* of the node */
};

/* Finds the join of two tables; false, having failed, when there is none, or more than one. */
bool join_resolve(const struct join_request *request, struct join *ret, struct diagnostics *d);
void join_release(struct join *join);
/* The collation that this side of the i-th pair has to be compared by, if it is the other column's; otherwise NULL.
 * index_on_upper: the rows of the upper table are looked up, not those of the lower one. */
const char *join_collation(const struct join *join, size_t i, bool of_upper, bool index_on_upper);
/* Equal values of the i-th pair may differ as text. */
bool join_is_loose(const struct join *join, size_t i);

/* --- field.c --- */
/* Which values of a field are indexable; the others become NULL. Search engines refuse infinite dates, NaN and infinite
 * numbers; Postgres extracts nothing from a json value that contains the character \u0000 (jsonb cannot). */
enum indexable { INDEXABLE_ALWAYS, INDEXABLE_FINITE_DATE, INDEXABLE_FINITE_NUMBER, INDEXABLE_WITHOUT_NUL };
enum indexable field_indexable(const struct field *field);
/* The node's visible field of that name, the last one if there are several; or NULL. */
struct field *field_find(const struct plan_node *node, const char *name);
/* The same for a name of len bytes. */
struct field *field_find_part(const struct plan_node *node, const char *name, size_t len);
/* The first field of that name before renames, visible or not; the one of that name that was moved; or NULL. */
struct field *field_find_source(const struct plan_node *node, const char *source);
struct field *field_find_moved(const struct plan_node *node, const char *name);
/* Appends a field; name and source, both copied, are the same. */
void field_add(struct plan_node *node, struct field field, const char *name);
/* Takes a field out of sight: it is moved, or another has its name. */
void field_hide(struct plan_node *node, struct field *field, bool moved);
/* After names have changed. */
void fields_index(struct plan_node *node);
/* The field is one of the table's columns that the schema does not list, so its name has not been checked yet. */
bool field_comes_from_table(const struct plan_node *node, const struct field *field);
/* "; did you mean `title`?" or "": the node's field with the nearest name. Caller frees. */
char *field_hint(const struct plan_node *node, const char *name);
/* Fails because another field has the field's name, unless the schema's decoder has said so. */
void field_report_duplicate(const struct plan_node *node, const struct field *field, struct diagnostics *d);
/* Some fields of the node are not known, because the schema's node is invalid. */
bool fields_are_unsure(const struct plan_node *node);
void fields_release(struct field *fields, size_t n);

/* --- transform.c --- */
/* replace, rename and concat, once the node has its fields. */
void transform_apply(struct plan_node *node, struct diagnostics *d);
/* move, once all nodes are resolved. */
void transform_move(struct tree *tree, struct diagnostics *d);

/* --- fields.c --- */
/* Finds the node's fields as the schema names them, and transforms them; the node's children are resolved already. */
void fields_resolve(const struct tree *tree, struct plan_node *node, struct diagnostics *d);
/* Adds `_meta` to the root, if the document has it. */
void fields_add_meta(const struct tree *tree, struct diagnostics *d);
/* Fails for names that search engines refuse. */
void fields_check_names(const struct tree *tree, struct diagnostics *d);

/* --- naming.c --- */
/* Fails for values of the node whose text is the name of a table, a function, a role... */
void naming_check(const struct tree *tree, const struct plan_node *node, struct diagnostics *d);

/* --- routing.c --- */
/* The column of the root's table behind the document's field `routing`; -1: there is none, or, having failed, it cannot
 * be used. */
int routing_resolve(const struct schema_document *document, const struct plan_node *root, struct diagnostics *d);
/* Sets what document_routing needs. */
void routing_describe(const struct tree *tree, struct document_plan *plan);

/* --- tree.c --- */
/* Looks everything up; with an error, d->failed. tree->document has a root. */
void tree_resolve(struct tree *tree, struct diagnostics *d);
/* From here on, the tree's queries evaluate conditions and expressions only for rows that are linked to the roots asked
 * for (document_plan.sql.apart_by_key): nothing is inlined, and conditions wait for the links. */
void tree_set_apart(struct tree *tree);
void tree_release(struct tree *tree);

/* --- sql_names.c --- */
enum { SQL_BYTES = 4 * 1024 * 1024 };

void sql_table(struct strbuf *sb, const struct catalog_table *table);
/* The type to cast text to so that it equals values of the column: without length or precision. Caller frees. */
char *sql_type(const struct catalog_column *column);
/* Appends `expr` of the column's type as the text that pgoutput would send for it. */
void sql_text(struct strbuf *sb, const struct catalog_column *column, const char *expr);
/* The text of a valid expression of the node that means the same on any search path. */
const char *sql_qualified(const struct tree *tree, const struct plan_node *node, const char *sql);
/* Appends the operator that compares values of these columns, with blanks around it. Sessions look operators up in
 * pg_catalog alone, so those of other types are qualified. */
void sql_equals(struct strbuf *sb, const struct catalog_column *a, const struct catalog_column *b);
/* The same for the i-th pair of the join. */
void sql_join_equals(struct strbuf *sb, const struct join *join, size_t i);
/* Appends order_by and key. */
void sql_order(struct strbuf *sb, const struct plan_node *node);
/* Appends " COLLATE ..." for this side of the join's i-th pair, if it needs one; on the way up, to upper rows. */
void sql_collate(struct strbuf *sb, const struct join *join, size_t i, bool of_upper);
void sql_collate_up(struct strbuf *sb, const struct join *join, size_t i, bool of_upper);
/* The table's name, quoted and without schema: what it is called where the SQL of the schema is evaluated. Caller
 * frees. */
char *sql_alias(const struct plan_node *node);
/* Appends ", alias.ctid" and the like, if they are fields of the node. */
void sql_system_columns(struct strbuf *sb, const struct plan_node *node, const char *alias);
/* Appends ", (expression) AS "x.1"" for each expression of the node. */
void sql_expression_columns(struct strbuf *sb, const struct tree *tree, const struct plan_node *node);
/* Appends t<number>."name". */
void sql_own(struct strbuf *sb, const struct plan_node *node, int column);
/* Appends a name like "x.1" that no column of the node's table has. */
void sql_free_name(struct strbuf *sb, const struct plan_node *node, const char *prefix, size_t number);

/* --- values.c: the SQL of a field's value --- */
/* Appends the value of a field that is made of the node's own row. */
void sql_field_value(struct strbuf *sb, const struct plan_node *node, const struct field *field);
/* Appends the JSON value of a row of the node, as the node's own query sees it. */
void sql_node_value(struct strbuf *sb, const struct plan_node *node);
/* Appends the LATERAL rows that sql_node_value refers to, those of inlined nodes below first. */
void sql_object_rows(struct strbuf *sb, const struct plan_node *node);
/* Appends how many values of the node and of those below are sanitized: an integer. For nodes that may_sanitize. */
void sql_sanitized_count(struct strbuf *sb, const struct plan_node *node);
/* Appends the columns that the child's group adds to the parent's rows, for the queries above. */
void sql_group_columns(struct strbuf *sb, const struct tree *tree, const struct plan_node *child);
/* The moved field passes through the node's own query on the way to its target. */
bool sql_moved_field_passes(const struct moved_field *moved_field, const struct plan_node *node);
/* Appends the moved value in the query of `at`: the moved field's node, or one above it. */
void sql_moved_field(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *at);
/* The same for a column of the node's json set: one value for each row of the parent. */
void sql_moved_field_set(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *node);

/* --- sql.c: the queries --- */
/* The documents of keys, or of a range. text is NULL when it would be longer than SQL_BYTES. Caller frees text. */
struct document_query sql_documents(const struct tree *tree, bool by_range);
/* The keys of all roots, or of those of a range; also of those that the root's `where` excludes: the document of a root
 * that is now excluded has to be deleted. Caller frees text. */
struct document_query sql_keys(const struct tree *tree, bool by_range);

/* Appends "WITH ..., " or "WITH ": the rows of the nodes above this one, by key, of a tree set apart. */
void sql_rows_above(struct strbuf *sb, const struct tree *tree, const struct plan_node *node);
/* Appends the tables of the node's rows, as t<number>, without its condition and expressions, and the condition that
 * links them to those above. */
void sql_linked_rows(struct strbuf *sb, const struct tree *tree, const struct plan_node *node);

/* --- probes.c --- */
/* Sets the plan's probes, of a tree set apart. */
void probes_build(const struct tree *tree, struct document_plan *plan);
void probes_release(struct document_plan *plan);

/* --- paths.c --- */
/* Sets the plan's paths and tables. */
void paths_build(const struct tree *tree, struct document_plan *plan);

/* --- dependencies.c --- */
/* Sets the plan's fingerprint. */
void dependencies_record(const struct tree *tree, struct document_plan *plan);

/* --- mapping.c --- */
json_t *mapping_body(const struct tree *tree);

#endif
