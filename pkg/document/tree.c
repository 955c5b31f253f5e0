/* From the schema and the catalog to the resolved tree. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { MOST_JOINED = 12, STATEMENT_BYTES = 16 * 1024 }; /* MOST_JOINED: relations of one query, see sql.c */

static const struct catalog_table *find_table(const struct tree *tree, const char *path,
					      const struct catalog_name *name, enum relation_use use,
					      struct diagnostics *d)
{
	const struct catalog_table *table = catalog_find(tree->catalog, name->schema, name->table);

	if (table)
		relation_check(table, use, path, d);
	else
		diagnostics_unknown_table(d, path, name);
	return table;
}

/* --- keys --- */

static int compare_names(const struct catalog_table *table, int a, int b)
{
	return strcmp(table->columns[a].name, table->columns[b].name);
}

/* pgsync's order: by name. */
static void sort_by_name(const struct catalog_table *table, int *columns, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && compare_names(table, columns[j - 1], columns[j]) > 0; j--) {
			int swap = columns[j];

			columns[j] = columns[j - 1];
			columns[j - 1] = swap;
		}
}

static void given_key(struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;
	bool complete = !schema_key_is_invalid(decl, "primary_key");

	for (size_t i = 0; i < decl->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", decl->path, i);
		_cleanup_free_ char *alter =
			pg_statement("ALTER TABLE %I.%I ALTER COLUMN %I SET NOT NULL", node->table->schema,
				     node->table->name, decl->primary_key.items[i]);
		int column = catalog_column(node->table, decl->primary_key.items[i]);

		if (!schema_name_counts(&decl->primary_key, i))
			continue;
		complete = complete && column >= 0;
		if (column < 0)
			diagnostics_unknown_column(d, path, node->table, decl->primary_key.items[i]);
		else if (!node->parent && !catalog_is_view(node->table) && !node->table->columns[column].not_null)
			diagnostics_fail(d, REASON_NO_PRIMARY_KEY, path,
					 "column `%s` may be null, and rows without a key share one document: %s",
					 decl->primary_key.items[i], alter);
		else if (node->table->columns[column].no_order)
			diagnostics_fail(d, REASON_INVALID_SCHEMA, path,
					 "column `%s` has type %s, whose values cannot be sorted; name columns of "
					 "another type",
					 decl->primary_key.items[i], node->table->columns[column].type);
		else
			node->key[node->n_key++] = column;
	}
	if (!node->parent && complete && !catalog_is_view(node->table) &&
	    !catalog_is_unique(node->table, node->key, node->n_key))
		diagnostics_fail(d, REASON_NO_PRIMARY_KEY, decl->path,
				 "%s.%s has no primary key, and no unique index covers the columns of `primary_key`",
				 node->table->schema, node->table->name);
}

static void resolve_key(struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;
	const struct catalog_index *primary = catalog_primary_key(node->table);

	/* A primary key of the table wins over `primary_key`, but a wrong name is still an error. */
	for (size_t i = 0; primary && i < decl->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", decl->path, i);

		if (schema_name_counts(&decl->primary_key, i) &&
		    catalog_column(node->table, decl->primary_key.items[i]) < 0)
			diagnostics_unknown_column(d, path, node->table, decl->primary_key.items[i]);
	}
	if (primary) {
		node->key = xmemdup(primary->columns, primary->n * sizeof(*primary->columns));
		node->n_key = primary->n;
		sort_by_name(node->table, node->key, node->n_key);
		return;
	}
	node->key = xcalloc(decl->primary_key.n, sizeof(*node->key));
	if (decl->primary_key.n)
		given_key(node, d);
	else if (schema_key_is_invalid(decl, "primary_key"))
		d->failed = true;
	else if (catalog_is_view(node->table))
		diagnostics_fail(d, REASON_NO_PRIMARY_KEY, decl->path,
				 "%s.%s is a view: name the columns that make its rows unique in `primary_key`",
				 node->table->schema, node->table->name);
	else
		diagnostics_fail(d, REASON_NO_PRIMARY_KEY, decl->path,
				 "%s.%s has no primary key; add one, or name unique columns in "
				 "`primary_key`",
				 node->table->schema, node->table->name);
}

static void check_root_key(const struct plan_node *root, struct diagnostics *d)
{
	for (size_t i = 0; root->table && i < root->n_key; i++) {
		const struct catalog_column *column = &root->table->columns[root->key[i]];

		if (column->generated)
			diagnostics_fail(
				d, REASON_NOT_SUPPORTED, root->decl->path,
				"column `%s` of the root's key is generated, and its value is not in the WAL; "
				"use a table whose primary key has only plain columns, or fill the column in a "
				"trigger instead of generating it",
				column->name);
	}
}

/* --- joins --- */

static void warn_index(const char *path, const struct catalog_table *table, const int *columns, size_t n,
		       struct diagnostics *d)
{
	_cleanup_free_ char *list = columns_list(table, columns, n);
	_cleanup_free_ char *statement = NULL;
	struct strbuf sb;

	if (table->kind == 'v' || table->kind == 'f' || columns_are_indexed(table, columns, n))
		return;
	strbuf_init(&sb, STATEMENT_BYTES);
	/* Not possible for a partitioned table. */
	strbuf_addf(&sb, "CREATE INDEX %sON ", table->kind == 'p' ? "" : "CONCURRENTLY ");
	pg_quote_table(&sb, table->schema, table->name);
	strbuf_adds(&sb, " (");
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&sb, i ? ", " : "");
		pg_quote_ident(&sb, table->columns[columns[i]].name);
	}
	strbuf_addc(&sb, ')');
	statement = strbuf_detach(&sb);
	for (size_t i = 0; i < d->findings->n; i++)
		if (d->findings->items[i].statement && strcmp(d->findings->items[i].statement, statement) == 0)
			return;
	findings_add_statement(d->findings, FINDING_WARNING, REASON_MISSING_INDEX, path, statement,
			       "no index of %s.%s covers (%s), so changes may read the whole table; create one: %s",
			       table->schema, table->name, list, statement);
}

/* An index distinguishes texts that another collation considers equal. */
static bool join_is_unique(const struct join *join)
{
	for (size_t i = 0; i < join->n; i++)
		if (join_is_loose(join, i) && join_collation(join, i, false, false))
			return false;
	return catalog_is_unique(join->lower, join->lower_columns, join->n);
}

/* The upper table of the last join: the through table, or the parent's table. NULL if it is not known. */
static const struct catalog_table *last_upper(const struct plan_node *node)
{
	const struct schema_node *decl = node->decl;

	if (decl->relationship.through || schema_key_is_invalid(decl, "relationship.through_tables"))
		return node->through;
	return node->parent->table;
}

/* Part of the last join is not known: the names in it can be checked, but the join cannot be found. */
static bool last_join_is_invalid(const struct plan_node *node)
{
	const struct schema_node *decl = node->decl;
	const struct catalog_table *upper = last_upper(node);

	return !upper || !node->table || schema_key_is_invalid(decl, "relationship.foreign_key") ||
	       (upper == node->table && schema_key_is_invalid(decl, "relationship.type"));
}

static struct join_request last_join(const struct plan_node *node)
{
	const struct schema_relationship *r = &node->decl->relationship;

	return (struct join_request){
		.upper = last_upper(node),
		.lower = node->table,
		.type = r->type,
		.upper_columns = &r->fk_parent,
		.lower_columns = &r->fk_child,
		.invalid = last_join_is_invalid(node),
		.has_through = node->through,
		.path = node->decl->path,
	};
}

static bool resolve_direct(struct plan_node *node, struct diagnostics *d)
{
	const struct join_request request = last_join(node);

	node->n_joins = 1;
	return join_resolve(&request, &node->joins[0], d);
}

/* foreign_key is that of the last join. If both joins lead to the same table, the other foreign key is that of the
 * first. */
static bool resolve_through(struct plan_node *node, struct diagnostics *d)
{
	const struct join_request last = last_join(node);
	struct join_request first = {
		.upper = node->parent->table,
		.lower = node->through,
		.type = last.type,
		.has_through = true,
		.through_is_lower = true,
		.path = node->decl->path,
	};
	bool ok;

	node->n_joins = 2;
	ok = join_resolve(&last, &node->joins[1], d);
	if (!first.upper || (first.upper == last.lower && !ok))
		return false;
	if (first.upper == last.lower)
		first.other = &node->joins[1];
	return join_resolve(&first, &node->joins[0], d) && ok;
}

static void resolve_joins(struct plan_node *node, struct diagnostics *d)
{
	bool ok = node->through ? resolve_through(node, d) : resolve_direct(node, d);

	d->failed = d->failed || !ok;
	node->unique = ok;
	for (size_t i = 0; ok && i < node->n_joins; i++) {
		const struct join *join = &node->joins[i];

		node->unique = node->unique && join_is_unique(join);
		warn_index(node->decl->path, join->lower, join->lower_columns, join->n, d);
		warn_index(node->decl->path, join->upper, join->upper_columns, join->n, d);
	}
}

/* --- the tree --- */

static void resolve_through_table(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	const struct schema_table_name *through = node->decl->relationship.through;
	const struct catalog_name name = through ? reference_other(node->decl, through) : (struct catalog_name){0};
	_cleanup_free_ char *path = xasprintf("%s.relationship.through_tables[0]", node->decl->path);

	if (through && reference_other_is_given(node->decl, through))
		node->through = find_table(tree, path, &name, RELATION_THROUGH, d);
}

static void resolve_base_tables(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	const struct schema_node *decl = node->decl;

	node->base = xcalloc(decl->n_base_tables, sizeof(*node->base));
	for (size_t i = 0; (!node->table || catalog_is_view(node->table)) && i < decl->n_base_tables; i++) {
		_cleanup_free_ char *path = xasprintf("%s.base_tables[%zu]", decl->path, i);
		const struct catalog_name name = reference_other(decl, &decl->base_tables[i]);
		const struct catalog_table *table = reference_other_is_given(decl, &decl->base_tables[i])
							    ? find_table(tree, path, &name, RELATION_BASE, d)
							    : NULL;

		if (table)
			node->base[node->n_base++] = table;
	}
	if (node->table && !schema_key_is_invalid(decl, "base_tables"))
		relation_check_bases(node, d);
}

static void resolve_relations(const struct tree *tree, struct plan_node *node, struct diagnostics *d)
{
	if (node->parent)
		resolve_through_table(tree, node, d);
	resolve_base_tables(tree, node, d);
	if (node->table)
		resolve_key(node, d);
	if (node->parent)
		resolve_joins(node, d);
}

static struct plan_node *resolve_node(struct tree *tree, const struct schema_node *decl, struct plan_node *parent,
				      struct diagnostics *d)
{
	struct plan_node *node = xcalloc(1, sizeof(*node));
	_cleanup_free_ char *table_path = xasprintf("%s.table", decl->path);

	node->decl = decl;
	node->parent = parent;
	node->number = tree->n;
	node->scalar = parent && decl->relationship.variant == SCHEMA_VARIANT_SCALAR;
	node->many = parent && decl->relationship.type == SCHEMA_ONE_TO_MANY;
	tree->nodes = xreallocarray(tree->nodes, tree->n + 1, sizeof(struct plan_node *));
	tree->nodes[tree->n++] = node;
	if (reference_is_given(decl))
		node->table = find_table(tree, table_path,
					 &(struct catalog_name){.schema = decl->schema, .table = decl->table},
					 RELATION_NODE, d);
	resolve_relations(tree, node, d);
	node->children = xcalloc(decl->n_children, sizeof(struct plan_node *));
	for (size_t i = 0; !node->scalar && i < decl->n_children; i++)
		node->children[node->n_children++] = resolve_node(tree, decl->children[i], node, d);
	if (node->table)
		fields_resolve(tree, node, d);
	return node;
}

/* See sql.c. The first child starts a group. */
static void choose_groups(struct plan_node *node)
{
	size_t joined = MOST_JOINED;

	for (size_t i = 0; i < node->n_children; i++) {
		struct plan_node *child = node->children[i];

		if (joined + child->n_joined > MOST_JOINED) {
			node->n_groups++;
			joined = 1;
		}
		joined += child->n_joined;
		child->group = node->n_groups;
	}
}

/* Bottom-up: a node is inlined only if everything below it is. */
static void choose_inlined(struct tree *tree)
{
	for (size_t i = tree->n; i-- > 0;) {
		struct plan_node *node = tree->nodes[i];
		size_t joined = 1;

		node->n_groups = 0;
		node->has_sets = node->decl->limit || (!node->parent && tree->format->meta == SCHEMA_META_PGSYNC);
		for (size_t j = 0; j < node->n_children; j++) {
			node->has_sets = node->has_sets || !node->children[j]->inlined;
			node->may_sanitize = node->may_sanitize || node->children[j]->may_sanitize;
			joined += node->children[j]->n_joined;
			node->children[j]->group = 0;
		}
		if (joined > MOST_JOINED) {
			choose_groups(node);
			node->has_sets = true;
		}
		for (size_t j = 0; j < node->n_fields; j++)
			node->may_sanitize =
				node->may_sanitize || field_indexable(&node->fields[j]) != INDEXABLE_ALWAYS;
		node->inlined = !tree->apart && node->parent && node->unique && node->n_joins == 1 && !node->many &&
				!node->has_sets;
		node->n_joined = node->inlined ? joined : 1;
	}
}

void tree_resolve(struct tree *tree, struct diagnostics *d)
{
	struct plan_node *root = resolve_node(tree, tree->document->root, NULL, d);

	check_root_key(root, d);
	for (size_t i = 0; i < tree->n; i++)
		naming_check(tree, tree->nodes[i], d);
	tree->routing = routing_resolve(tree->document, root, d);
	transform_move(tree, d);
	fields_add_meta(tree, d);
	fields_check_names(tree, d);
	choose_inlined(tree);
}

void tree_set_apart(struct tree *tree)
{
	tree->apart = true;
	choose_inlined(tree);
}

static void plan_node_free(struct plan_node *node)
{
	join_release(&node->joins[0]);
	join_release(&node->joins[1]);
	free(node->children);
	free(node->base);
	free(node->key);
	fields_release(node->fields, node->n_fields);
	map_free(node->by_name);
	map_free(node->by_source);
	map_free(node->moved);
	free(node->sorts);
	free(node);
}

void tree_release(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		plan_node_free(tree->nodes[i]);
	free(tree->nodes);
	for (size_t i = 0; i < tree->n_moved_fields; i++)
		free(tree->moved_fields[i]);
	free(tree->moved_fields);
}
