/* From the node tree and the catalog to the resolved tree, and from that to the plan. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { MOST_JOINED = 12 }; /* relations of one query: see sql.c */

struct compiler {
	struct tree tree;
	const struct document_names *known; /* or NULL */
	struct findings *f;
	bool failed;
};

void compiler_fail(struct compiler *c, const char *reason, const char *path, const char *fmt, ...)
{
	va_list ap;
	_cleanup_free_ char *message = NULL;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(c->f, FINDING_ERROR, reason, path, "%s", message);
	c->failed = true;
}

void compiler_warn(struct compiler *c, const char *path, const char *message)
{
	findings_add(c->f, FINDING_WARNING, "InvalidSchema", path, "%s", message);
}

const struct catalog *compiler_catalog(const struct compiler *c)
{
	return c->tree.catalog;
}

static struct catalog_name name_of(const struct schema_node *node, const struct schema_table_name *name)
{
	return (struct catalog_name){.schema = name->schema ? name->schema : node->schema, .table = name->table};
}

/* The node says which table it means. */
static bool names_table(const struct schema_node *node)
{
	return node->table && !schema_key_is_invalid(node, "table") && !schema_key_is_invalid(node, "schema");
}

static bool names_other(const struct schema_node *node, const struct schema_table_name *name)
{
	return *name->table && (name->schema || !schema_key_is_invalid(node, "schema"));
}

/* --- tables */

/* The known table that is meant: one of the schema with nearly that name, one of that name elsewhere, or one whose
 * whole name is near. */
static const char *near_table(const struct document_names *known, const char *schema, const char *table)
{
	_cleanup_free_ char *name = xasprintf("%s.%s", schema, table);
	_cleanup_free_ const char **tables = xcalloc(known->n, sizeof(*tables));
	size_t n = 0, prefix = strlen(schema) + 1;
	const char *near;

	for (size_t i = 0; i < known->n; i++)
		if (strncmp(known->items[i], name, prefix) == 0)
			tables[n++] = known->items[i] + prefix;
	near = nearest_name(table, tables, n);
	if (near)
		return near - prefix;
	for (size_t i = 0; i < known->n; i++) {
		const char *dot = strchr(known->items[i], '.');

		if (dot && strcmp(dot + 1, table) == 0)
			return known->items[i];
	}
	return n ? NULL : nearest_name(name, known->items, known->n);
}

static void unknown_table(struct compiler *c, const char *path, const char *schema, const char *table)
{
	_cleanup_free_ char *name = xasprintf("%s.%s", schema, table);
	const char *near = c->known ? near_table(c->known, schema, table) : NULL;
	const char *dot = strchr(table, '.');

	/* Written as people write it elsewhere. */
	for (size_t i = 0; dot && c->known && i < c->known->n; i++) {
		if (strcmp(table, c->known->items[i]) == 0) {
			compiler_fail(c, "UnknownTable", path,
				      "table %s does not exist; for the table %s write `schema: %.*s` and `table: %s`",
				      name, table, (int)(dot - table), table, dot + 1);
			return;
		}
	}
	compiler_fail(c, "UnknownTable", path, "table %s does not exist%s%s%s", name, near ? "; did you mean " : "",
		      near ? near : "", near ? "?" : "");
}

static const struct catalog_table *find_table(struct compiler *c, const char *path, const struct catalog_name *name,
					      enum relation_use use)
{
	const struct catalog_table *table = catalog_find(c->tree.catalog, name->schema, name->table);

	if (table)
		c->failed = !relation_check(table, use, path, c->f) || c->failed;
	else
		unknown_table(c, path, name->schema, name->table);
	return table;
}

/* --- keys */

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

void say_unknown_column(struct findings *f, const char *path, const struct catalog_table *table, const char *name)
{
	_cleanup_free_ const char **names = xcalloc(table->n_columns, sizeof(*names));
	const char *near;

	for (size_t i = 0; i < table->n_columns; i++)
		names[i] = table->columns[i].name;
	near = nearest_name(name, names, table->n_columns);
	findings_add(f, FINDING_ERROR, "UnknownColumn", path, "column `%s` does not exist in %s.%s%s%s%s", name,
		     table->schema, table->name, near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
}

void unknown_column(struct compiler *c, const char *path, const struct catalog_table *table, const char *name)
{
	say_unknown_column(c->f, path, table, name);
	c->failed = true;
}

static bool key_fits(struct compiler *c, const struct schema_node *decl)
{
	_cleanup_free_ char *path = xasprintf("%s.primary_key", decl->path);

	if (decl->primary_key.n <= DOCUMENT_MAX_KEYS)
		return true;
	compiler_fail(c, "InvalidSchema", path,
		      "names %zu columns, but a key has at most %d; name the fewest columns that make a row unique",
		      decl->primary_key.n, DOCUMENT_MAX_KEYS);
	return false;
}

static void given_key(struct compiler *c, struct plan_node *node)
{
	const struct schema_node *decl = node->decl;
	bool complete = !schema_key_is_invalid(decl, "primary_key");

	for (size_t i = 0; i < decl->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", decl->path, i);
		int column = catalog_column(node->table, decl->primary_key.items[i]);

		if (!schema_name_counts(&decl->primary_key, i))
			continue;
		complete = complete && column >= 0;
		if (column < 0)
			unknown_column(c, path, node->table, decl->primary_key.items[i]);
		else if (!node->parent && !catalog_is_view(node->table) && !node->table->columns[column].not_null)
			compiler_fail(c, "NoPrimaryKey", path,
				      "column `%s` may be null, and rows without a key share one document: ALTER TABLE "
				      "%s.%s ALTER COLUMN %s SET NOT NULL",
				      decl->primary_key.items[i], node->table->schema, node->table->name,
				      decl->primary_key.items[i]);
		else
			node->key[node->n_key++] = column;
	}
	if (!node->parent && complete && !catalog_is_view(node->table) &&
	    !columns_unique(node->table, node->key, node->n_key))
		compiler_fail(c, "NoPrimaryKey", decl->path,
			      "%s.%s has no primary key, and no unique index covers the columns of `primary_key`",
			      node->table->schema, node->table->name);
}

static void resolve_key(struct compiler *c, struct plan_node *node)
{
	const struct schema_node *decl = node->decl;
	const struct catalog_index *primary = catalog_primary_key(node->table);

	if (!key_fits(c, decl))
		return;
	/* Where there is a primary key, it counts; but a name that is wrong is a mistake all the same. */
	for (size_t i = 0; primary && i < decl->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", decl->path, i);

		if (schema_name_counts(&decl->primary_key, i) &&
		    catalog_column(node->table, decl->primary_key.items[i]) < 0)
			unknown_column(c, path, node->table, decl->primary_key.items[i]);
	}
	if (primary) {
		node->key = xmemdup(primary->columns, primary->n * sizeof(*primary->columns));
		node->n_key = primary->n;
		sort_by_name(node->table, node->key, node->n_key);
		return;
	}
	node->key = xcalloc(decl->primary_key.n, sizeof(*node->key));
	if (decl->primary_key.n)
		given_key(c, node);
	else if (schema_key_is_invalid(decl, "primary_key"))
		c->failed = true;
	else if (catalog_is_view(node->table))
		compiler_fail(c, "NoPrimaryKey", decl->path,
			      "%s.%s is a view: name the columns that make its rows unique in `primary_key`",
			      node->table->schema, node->table->name);
	else
		compiler_fail(c, "NoPrimaryKey", decl->path,
			      "%s.%s has no primary key; add one, or name unique columns in "
			      "`primary_key`",
			      node->table->schema, node->table->name);
}

/* --- links */

static void warn_index(struct compiler *c, const char *path, const struct catalog_table *table, const int *columns,
		       size_t n)
{
	_cleanup_free_ char *list = column_list(table, columns, n);
	_cleanup_free_ char *message = NULL;
	struct strbuf sb;

	if (table->kind == 'v' || table->kind == 'f' || columns_indexed(table, columns, n))
		return;
	strbuf_init(&sb, SQL_BYTES);
	/* A partitioned table takes no CONCURRENTLY. */
	strbuf_addf(&sb, "CREATE INDEX %sON ", table->kind == 'p' ? "" : "CONCURRENTLY ");
	pg_quote_table(&sb, table->schema, table->name);
	strbuf_adds(&sb, " (");
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&sb, i ? ", " : "");
		pg_quote_ident(&sb, table->columns[columns[i]].name);
	}
	strbuf_addc(&sb, ')');
	message = xasprintf("no index finds rows of %s.%s by (%s), so that changes may read the whole table; create "
			    "one: %s",
			    table->schema, table->name, list, sb.data);
	strbuf_release(&sb);
	for (size_t i = 0; i < c->f->n; i++)
		if (strcmp(c->f->items[i].reason, "MissingIndex") == 0 && strcmp(c->f->items[i].message, message) == 0)
			return;
	findings_add(c->f, FINDING_WARNING, "MissingIndex", path, "%s", message);
}

static bool join_is_unique(const struct join *join)
{
	return columns_unique(join->lower, join->lower_columns, join->n);
}

/* What it joins to: a through table, or the parent's own. NULL: not known. */
static const struct catalog_table *last_upper(const struct plan_node *node)
{
	const struct schema_node *decl = node->decl;

	if (decl->relationship.through || schema_key_is_invalid(decl, "relationship.through_tables"))
		return node->through;
	return node->parent->table;
}

/* What the last join joins is not all known: what it names can be checked, but nothing follows from the rest. */
static bool last_join_flawed(const struct plan_node *node)
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
		.flawed = last_join_flawed(node),
		.has_through = node->through,
		.path = node->decl->path,
	};
}

static bool resolve_direct(struct compiler *c, struct plan_node *node)
{
	const struct join_request request = last_join(node);

	node->n_joins = 1;
	return join_resolve(&request, &node->joins[0], c->f);
}

/* foreign_key means the last join; if both joins go to one table, what it does not name is the first. */
static bool resolve_through(struct compiler *c, struct plan_node *node)
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
	ok = join_resolve(&last, &node->joins[1], c->f);
	if (!first.upper || (first.upper == last.lower && !ok))
		return false;
	if (first.upper == last.lower)
		first.other = &node->joins[1];
	return join_resolve(&first, &node->joins[0], c->f) && ok;
}

static void resolve_links(struct compiler *c, struct plan_node *node)
{
	bool ok = node->through ? resolve_through(c, node) : resolve_direct(c, node);

	c->failed = c->failed || !ok;
	node->unique = ok;
	for (size_t i = 0; ok && i < node->n_joins; i++) {
		const struct join *join = &node->joins[i];

		node->unique = node->unique && join_is_unique(join);
		warn_index(c, node->decl->path, join->lower, join->lower_columns, join->n);
		warn_index(c, node->decl->path, join->upper, join->upper_columns, join->n);
	}
}

/* --- the tree */

static void resolve_through_table(struct compiler *c, struct plan_node *node)
{
	const struct schema_table_name *through = node->decl->relationship.through;
	const struct catalog_name name = through ? name_of(node->decl, through) : (struct catalog_name){0};
	_cleanup_free_ char *path = xasprintf("%s.relationship.through_tables[0]", node->decl->path);

	if (through && names_other(node->decl, through))
		node->through = find_table(c, path, &name, RELATION_THROUGH);
}

static void resolve_base_tables(struct compiler *c, struct plan_node *node)
{
	const struct schema_node *decl = node->decl;

	node->base = xcalloc(decl->n_base_tables, sizeof(*node->base));
	for (size_t i = 0; (!node->table || catalog_is_view(node->table)) && i < decl->n_base_tables; i++) {
		_cleanup_free_ char *path = xasprintf("%s.base_tables[%zu]", decl->path, i);
		const struct catalog_name name = name_of(decl, &decl->base_tables[i]);
		const struct catalog_table *table =
			names_other(decl, &decl->base_tables[i]) ? find_table(c, path, &name, RELATION_BASE) : NULL;

		if (table)
			node->base[node->n_base++] = table;
	}
	if (node->table && !schema_key_is_invalid(decl, "base_tables"))
		relation_check_bases(node, c->f);
}

static void resolve_relations(struct compiler *c, struct plan_node *node)
{
	if (node->parent)
		resolve_through_table(c, node);
	resolve_base_tables(c, node);
	if (node->table)
		resolve_key(c, node);
	if (node->parent)
		resolve_links(c, node);
}

static struct plan_node *resolve_node(struct compiler *c, const struct schema_node *decl, struct plan_node *parent)
{
	struct plan_node *node = xcalloc(1, sizeof(*node));
	_cleanup_free_ char *table_path = xasprintf("%s.table", decl->path);

	node->decl = decl;
	node->parent = parent;
	node->number = c->tree.n;
	node->scalar = parent && decl->relationship.variant == SCHEMA_VARIANT_SCALAR;
	node->many = parent && decl->relationship.type == SCHEMA_ONE_TO_MANY;
	c->tree.nodes = xreallocarray(c->tree.nodes, c->tree.n + 1, sizeof(struct plan_node *));
	c->tree.nodes[c->tree.n++] = node;
	if (names_table(decl))
		node->table =
			find_table(c, table_path, &(struct catalog_name){.schema = decl->schema, .table = decl->table},
				   RELATION_NODE);
	resolve_relations(c, node);
	node->children = xcalloc(decl->n_children, sizeof(struct plan_node *));
	for (size_t i = 0; !node->scalar && i < decl->n_children; i++)
		node->children[node->n_children++] = resolve_node(c, decl->children[i], node);
	if (node->table)
		fields_resolve(c, node);
	return node;
}

/* See sql.c. The first child begins a group. */
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

/* From the leaves up. */
static void choose_inlined(struct tree *tree)
{
	for (size_t i = tree->n; i-- > 0;) {
		struct plan_node *node = tree->nodes[i];
		size_t joined = 1;

		node->has_sets = node->decl->limit || (!node->parent && tree->as->meta == SCHEMA_META_PGSYNC);
		for (size_t j = 0; j < node->n_children; j++) {
			node->has_sets = node->has_sets || !node->children[j]->inlined;
			node->may_sanitize = node->may_sanitize || node->children[j]->may_sanitize;
			joined += node->children[j]->n_joined;
		}
		if (joined > MOST_JOINED) {
			choose_groups(node);
			node->has_sets = true;
		}
		for (size_t j = 0; j < node->n_fields; j++)
			node->may_sanitize =
				node->may_sanitize || field_indexable(&node->fields[j]) != INDEXABLE_ALWAYS;
		node->inlined = node->parent && node->unique && node->n_joins == 1 && !node->many && !node->has_sets;
		node->n_joined = node->inlined ? joined : 1;
	}
}

static void add_meta_field(struct compiler *c)
{
	struct plan_node *root = c->tree.nodes[0];

	if (c->tree.as->meta != SCHEMA_META_PGSYNC)
		return;
	if (find_field(root, "_meta"))
		compiler_fail(
			c, "InvalidSchema", root->decl->path,
			"two fields are named `_meta`: with spec.documents.meta Pgsync give the other one another "
			"name by transform.rename");
	root->fields = xreallocarray(root->fields, root->n_fields + 1, sizeof(*root->fields));
	root->fields[root->n_fields++] =
		(struct field){.kind = FIELD_META, .name = xstrdup("_meta"), .source = xstrdup("_meta")};
}

static void check_root_key(struct compiler *c, const struct plan_node *root)
{
	for (size_t i = 0; root->table && i < root->n_key; i++) {
		const struct catalog_column *column = &root->table->columns[root->key[i]];

		if (column->generated)
			compiler_fail(c, "NotSupported", root->decl->path,
				      "column `%s` of the root's key is generated: its value is not in the WAL",
				      column->name);
	}
}

static void plan_node_free(struct plan_node *node)
{
	join_release(&node->joins[0]);
	join_release(&node->joins[1]);
	free(node->children);
	free(node->base);
	free(node->key);
	fields_release(node->fields, node->n_fields);
	free(node->sorts);
	free(node);
}

static void tree_release(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		plan_node_free(tree->nodes[i]);
	free(tree->nodes);
	for (size_t i = 0; i < tree->n_moved_fields; i++)
		free(tree->moved_fields[i]);
	free(tree->moved_fields);
}

static json_t *object_at(json_t *in, const char *key)
{
	json_t *object = json_object_get(in, key);

	if (object)
		return object;
	object = json_object();
	(void)json_object_set_new(in, key, object);
	return object;
}

static void add_to_catalog_fingerprint(json_t *catalog_fingerprint, const struct catalog_table *table,
				       const struct catalog_column *column)
{
	json_t *entry;
	char key[16];

	(void)snprintf(key, sizeof(key), "%u", table->oid);
	entry = object_at(object_at(catalog_fingerprint, "tables"), key);
	(void)json_object_set_new(entry, "storage", json_integer((json_int_t)table->storage));
	(void)snprintf(key, sizeof(key), "%d", column->attnum);
	(void)json_object_set_new(object_at(entry, "columns"), key, json_integer((json_int_t)column->altered));
	for (size_t i = 0; i < column->n_labels; i++) {
		(void)snprintf(key, sizeof(key), "%u", column->labels[i].oid);
		(void)json_object_set_new(object_at(catalog_fingerprint, "labels"), key,
					  jsonx_text(column->labels[i].label));
	}
}

/* A column that documents are made of, or that leads to one. */
static void add_made(struct document_plan *plan, const struct catalog_table *table, int position)
{
	const struct catalog_column *column = &table->columns[position];
	json_t *made = json_pack("[I, i, I, i]", (json_int_t)table->oid, column->attnum, (json_int_t)column->type_oid,
				 (int)column->typmod);

	if (column->type_made_of)
		(void)json_array_append_new(made, json_integer((json_int_t)column->type_made_of));
	(void)json_array_append_new(plan->columns_fingerprint, made);
	add_to_catalog_fingerprint(plan->catalog_fingerprint, table, column);
}

static void take_fingerprints(const struct tree *tree, struct document_plan *plan)
{
	plan->columns_fingerprint = json_array();
	plan->catalog_fingerprint = json_object();
	for (size_t i = 0; i < tree->n; i++) {
		const struct plan_node *node = tree->nodes[i];

		for (size_t j = 0; j < node->n_fields; j++)
			if (node->fields[j].kind == FIELD_COLUMN)
				add_made(plan, node->table, node->fields[j].column);
		for (size_t j = 0; j < node->n_key; j++)
			add_made(plan, node->table, node->key[j]);
		for (size_t h = 0; h < node->n_joins; h++) {
			const struct join *join = &node->joins[h];

			for (size_t j = 0; j < join->n; j++) {
				add_made(plan, join->upper, join->upper_columns[j]);
				add_made(plan, join->lower, join->lower_columns[j]);
			}
		}
	}
}

static bool fails_alone(const struct tree *tree)
{
	const struct plan_node *root = tree->nodes[0];

	if (!root->n_expressions || root->filtered || catalog_is_view(root->table) || tree->routing >= 0)
		return false;
	for (size_t i = 1; i < tree->n; i++)
		if (tree->nodes[i]->filtered || tree->nodes[i]->n_expressions)
			return false;
	return true;
}

static struct document_plan *make_plan(const struct tree *tree)
{
	struct document_plan *plan = xcalloc(1, sizeof(*plan));
	const struct plan_node *root = tree->nodes[0];

	plan->document = tree->document;
	plan->root = root->table;
	plan->n_keys = root->n_key;
	plan->key_columns = xcalloc(root->n_key, sizeof(char *));
	for (size_t i = 0; i < root->n_key; i++)
		plan->key_columns[i] = xstrdup(root->table->columns[root->key[i]].name);
	plan->has_routing = tree->routing >= 0;
	routing_describe(tree, plan);
	plan->counts_sanitized = root->may_sanitize;
	plan->id_format = tree->as->id_format;
	plan->sql_by_key = sql_documents(tree, false, NULL);
	plan->sql_by_range = sql_documents(tree, true, &plan->leaf_at);
	plan->all_roots_sql = sql_keys(tree, false, NULL);
	plan->keys_by_range = sql_keys(tree, true, &plan->keys_leaf_at);
	plan->fails_alone = fails_alone(tree);
	plan->root_is_view = catalog_is_view(root->table);
	plan->views = document_views(tree->document, tree->catalog, &plan->n_views);
	for (size_t i = 0; i < plan->n_views; i++)
		plan->computes_views = plan->computes_views || plan->views[i].view->kind == 'v';
	paths_build(tree, plan);
	plan->index_body = mapping_body(tree);
	take_fingerprints(tree, plan);
	return plan;
}

struct document_plan *document_compile(const struct schema_document *document, const struct schema_document_format *as,
				       const struct catalog *catalog, const struct document_names *known,
				       struct findings *f)
{
	struct compiler c = {
		.tree = {.document = document, .catalog = catalog, .as = as},
		.known = known,
		.f = f,
		.failed = document->invalid,
	};
	struct document_plan *plan = NULL;
	struct plan_node *root = document->root ? resolve_node(&c, document->root, NULL) : NULL;

	if (!root)
		return NULL;
	check_root_key(&c, root);
	c.failed = !routing_resolve(document, root, &c.tree.routing, f) || c.failed;
	fields_move(&c, &c.tree);
	add_meta_field(&c);
	fields_check_names(&c, &c.tree);
	choose_inlined(&c.tree);
	if (!c.failed)
		plan = make_plan(&c.tree);
	tree_release(&c.tree);
	if (plan && (!plan->sql_by_key || !plan->sql_by_range)) {
		compiler_fail(&c, "InvalidSchema", document->path, "its query would be longer than %d bytes",
			      SQL_BYTES);
		document_plan_free(TAKE_PTR(plan));
	}
	return plan;
}

static void table_release(struct document_table *table)
{
	free(table->link_columns);
}

static void path_release(struct document_path *path)
{
	free(path->description);
	free_strings(path->columns, path->n_columns);
	free(path->sql);
	free(path->routing);
}

void document_plan_free(struct document_plan *plan)
{
	if (!plan)
		return;
	free_strings(plan->key_columns, plan->n_keys);
	free(plan->sql_by_key);
	free(plan->sql_by_range);
	free(plan->all_roots_sql);
	free(plan->keys_by_range);
	free(plan->views);
	for (size_t i = 0; i < plan->n_tables; i++)
		table_release(&plan->tables[i]);
	free(plan->tables);
	for (size_t i = 0; i < plan->n_paths; i++)
		path_release(&plan->paths[i]);
	free(plan->paths);
	json_decref(plan->index_body);
	json_decref(plan->columns_fingerprint);
	json_decref(plan->catalog_fingerprint);
	free(plan);
}

/* --- names */

static void add_name(struct catalog_name **names, size_t *n, struct catalog_name name)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp((*names)[i].schema, name.schema) == 0 && strcmp((*names)[i].table, name.table) == 0)
			return;
	*names = xreallocarray(*names, *n + 1, sizeof(**names));
	(*names)[(*n)++] = name;
}

static void add_names(struct catalog_name **names, size_t *n, const struct schema_node *node)
{
	if (names_table(node))
		add_name(names, n, (struct catalog_name){.schema = node->schema, .table = node->table});
	if (node->relationship.through && names_other(node, node->relationship.through))
		add_name(names, n, name_of(node, node->relationship.through));
	for (size_t i = 0; i < node->n_base_tables; i++)
		if (names_other(node, &node->base_tables[i]))
			add_name(names, n, name_of(node, &node->base_tables[i]));
	for (size_t i = 0; i < node->n_children; i++)
		add_names(names, n, node->children[i]);
}

struct catalog_name *document_relations(const struct schema_document *document, size_t *ret_n)
{
	struct catalog_name *names = NULL;

	*ret_n = 0;
	if (document->root)
		add_names(&names, ret_n, document->root);
	return names;
}

/* --- expressions */

static void add_expression(struct catalog_expression_name **list, size_t *n, const struct schema_node *node,
			   const char *sql)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] =
		(struct catalog_expression_name){.table = {.schema = node->schema, .table = node->table}, .sql = sql};
}

static void add_expressions(struct catalog_expression_name **list, size_t *n, const struct schema_node *node)
{
	if (node->where && names_table(node))
		add_expression(list, n, node, node->where);
	for (size_t i = 0; names_table(node) && i < node->n_expressions; i++)
		add_expression(list, n, node, node->expressions[i].sql);
	for (size_t i = 0; i < node->n_children; i++)
		add_expressions(list, n, node->children[i]);
}

struct catalog_expression_name *document_expressions(const struct schema_document *document, size_t *ret_n)
{
	struct catalog_expression_name *list = NULL;

	*ret_n = 0;
	if (document->root)
		add_expressions(&list, ret_n, document->root);
	return list;
}
