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
	return node->table && !schema_node_is_invalid(node, "table") && !schema_node_is_invalid(node, "schema");
}

static bool names_other(const struct schema_node *node, const struct schema_table_name *name)
{
	return *name->table && (name->schema || !schema_node_is_invalid(node, "schema"));
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

static void given_key(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;
	bool complete = !schema_node_is_invalid(node, "primary_key");

	for (size_t i = 0; i < node->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", node->path, i);
		int column = catalog_column(place->table, node->primary_key.items[i]);

		if (!schema_name_counts(&node->primary_key, i))
			continue;
		complete = complete && column >= 0;
		if (column < 0)
			unknown_column(c, path, place->table, node->primary_key.items[i]);
		else if (!place->parent && !catalog_is_view(place->table) && !place->table->columns[column].not_null)
			compiler_fail(c, "NoPrimaryKey", path,
				      "column `%s` may be null, and rows without a key share one document: ALTER TABLE "
				      "%s.%s ALTER COLUMN %s SET NOT NULL",
				      node->primary_key.items[i], place->table->schema, place->table->name,
				      node->primary_key.items[i]);
		else
			place->key[place->n_key++] = column;
	}
	if (!place->parent && complete && !catalog_is_view(place->table) &&
	    !columns_unique(place->table, place->key, place->n_key))
		compiler_fail(c, "NoPrimaryKey", node->path,
			      "%s.%s has no primary key, and no unique index covers the columns of `primary_key`",
			      place->table->schema, place->table->name);
}

static void resolve_key(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;
	const struct catalog_index *primary = catalog_primary_key(place->table);

	/* Where there is a primary key, it counts; but a name that is wrong is a mistake all the same. */
	for (size_t i = 0; primary && i < node->primary_key.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.primary_key[%zu]", node->path, i);

		if (schema_name_counts(&node->primary_key, i) &&
		    catalog_column(place->table, node->primary_key.items[i]) < 0)
			unknown_column(c, path, place->table, node->primary_key.items[i]);
	}
	if (primary) {
		place->key = xmemdup(primary->columns, primary->n * sizeof(*primary->columns));
		place->n_key = primary->n;
		sort_by_name(place->table, place->key, place->n_key);
		return;
	}
	place->key = xcalloc(node->primary_key.n, sizeof(*place->key));
	if (node->primary_key.n)
		given_key(c, place);
	else if (schema_node_is_invalid(node, "primary_key"))
		c->failed = true;
	else if (catalog_is_view(place->table))
		compiler_fail(c, "NoPrimaryKey", node->path,
			      "%s.%s is a view: name the columns that make its rows unique in `primary_key`",
			      place->table->schema, place->table->name);
	else
		compiler_fail(c, "NoPrimaryKey", node->path,
			      "%s.%s has no primary key; add one, or name unique columns in "
			      "`primary_key`",
			      place->table->schema, place->table->name);
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

static bool hop_unique(const struct hop *hop)
{
	return columns_unique(hop->lower, hop->lower_columns, hop->n);
}

/* What joins it to the hop above: a through table, or the parent's own. NULL: not known. */
static const struct catalog_table *last_upper(const struct place *place)
{
	const struct schema_node *node = place->node;

	if (node->relationship.through || schema_node_is_invalid(node, "relationship.through_tables"))
		return place->through;
	return place->parent->table;
}

/* What joins the last hop is not all known: what it names can be checked, but nothing follows from the rest. */
static bool last_hop_flawed(const struct place *place)
{
	const struct schema_node *node = place->node;
	const struct catalog_table *upper = last_upper(place);

	return !upper || !place->table || schema_node_is_invalid(node, "relationship.foreign_key") ||
	       (upper == place->table && schema_node_is_invalid(node, "relationship.type"));
}

static struct link_request last_hop(const struct place *place)
{
	const struct schema_relationship *r = &place->node->relationship;

	return (struct link_request){
		.upper = last_upper(place),
		.lower = place->table,
		.type = r->type,
		.upper_columns = &r->fk_parent,
		.lower_columns = &r->fk_child,
		.flawed = last_hop_flawed(place),
		.has_through = place->through,
		.path = place->node->path,
	};
}

static bool resolve_direct(struct compiler *c, struct place *place)
{
	const struct link_request request = last_hop(place);

	place->n_hops = 1;
	return link_resolve(&request, &place->hops[0], c->f);
}

/* foreign_key means the last hop; if both hops go to one table, what it does not name is the first. */
static bool resolve_through(struct compiler *c, struct place *place)
{
	const struct link_request last = last_hop(place);
	struct link_request first = {
		.upper = place->parent->table,
		.lower = place->through,
		.type = last.type,
		.has_through = true,
		.through_is_lower = true,
		.path = place->node->path,
	};
	bool ok;

	place->n_hops = 2;
	ok = link_resolve(&last, &place->hops[1], c->f);
	if (!first.upper || (first.upper == last.lower && !ok))
		return false;
	if (first.upper == last.lower)
		first.other = &place->hops[1];
	return link_resolve(&first, &place->hops[0], c->f) && ok;
}

static void resolve_links(struct compiler *c, struct place *place)
{
	bool ok = place->through ? resolve_through(c, place) : resolve_direct(c, place);

	c->failed = c->failed || !ok;
	place->unique = ok;
	for (size_t i = 0; ok && i < place->n_hops; i++) {
		const struct hop *hop = &place->hops[i];

		place->unique = place->unique && hop_unique(hop);
		warn_index(c, place->node->path, hop->lower, hop->lower_columns, hop->n);
		warn_index(c, place->node->path, hop->upper, hop->upper_columns, hop->n);
	}
}

/* --- the tree */

static void resolve_through_table(struct compiler *c, struct place *place)
{
	const struct schema_table_name *through = place->node->relationship.through;
	const struct catalog_name name = through ? name_of(place->node, through) : (struct catalog_name){0};
	_cleanup_free_ char *path = xasprintf("%s.relationship.through_tables[0]", place->node->path);

	if (through && names_other(place->node, through))
		place->through = find_table(c, path, &name, RELATION_THROUGH);
}

static void resolve_base_tables(struct compiler *c, struct place *place)
{
	const struct schema_node *node = place->node;

	place->base = xcalloc(node->n_base_tables, sizeof(*place->base));
	for (size_t i = 0; (!place->table || catalog_is_view(place->table)) && i < node->n_base_tables; i++) {
		_cleanup_free_ char *path = xasprintf("%s.base_tables[%zu]", node->path, i);
		const struct catalog_name name = name_of(node, &node->base_tables[i]);
		const struct catalog_table *table =
			names_other(node, &node->base_tables[i]) ? find_table(c, path, &name, RELATION_BASE) : NULL;

		if (table)
			place->base[place->n_base++] = table;
	}
	if (place->table && !schema_node_is_invalid(node, "base_tables"))
		relation_check_bases(place, c->f);
}

static void resolve_relations(struct compiler *c, struct place *place)
{
	if (place->parent)
		resolve_through_table(c, place);
	resolve_base_tables(c, place);
	if (place->table)
		resolve_key(c, place);
	if (place->parent)
		resolve_links(c, place);
}

static struct place *resolve_place(struct compiler *c, const struct schema_node *node, struct place *parent)
{
	struct place *place = xcalloc(1, sizeof(*place));
	_cleanup_free_ char *table_path = xasprintf("%s.table", node->path);

	place->node = node;
	place->parent = parent;
	place->number = c->tree.n;
	place->scalar = parent && node->relationship.variant == SCHEMA_VARIANT_SCALAR;
	place->many = parent && node->relationship.type == SCHEMA_ONE_TO_MANY;
	c->tree.places = xreallocarray(c->tree.places, c->tree.n + 1, sizeof(struct place *));
	c->tree.places[c->tree.n++] = place;
	if (names_table(node))
		place->table =
			find_table(c, table_path, &(struct catalog_name){.schema = node->schema, .table = node->table},
				   RELATION_NODE);
	resolve_relations(c, place);
	place->children = xcalloc(node->n_children, sizeof(struct place *));
	for (size_t i = 0; !place->scalar && i < node->n_children; i++)
		place->children[place->n_children++] = resolve_place(c, node->children[i], place);
	if (place->table)
		fields_resolve(c, place);
	return place;
}

/* See sql.c. The first child begins a group. */
static void choose_groups(struct place *place)
{
	size_t joined = MOST_JOINED;

	for (size_t i = 0; i < place->n_children; i++) {
		struct place *child = place->children[i];

		if (joined + child->n_joined > MOST_JOINED) {
			place->n_groups++;
			joined = 1;
		}
		joined += child->n_joined;
		child->group = place->n_groups;
	}
}

/* From the leaves up. */
static void choose_inlined(struct tree *tree)
{
	for (size_t i = tree->n; i-- > 0;) {
		struct place *place = tree->places[i];
		size_t joined = 1;

		place->has_sets = place->node->limit || (!place->parent && tree->as->meta == SCHEMA_META_PGSYNC);
		for (size_t j = 0; j < place->n_children; j++) {
			place->has_sets = place->has_sets || !place->children[j]->inlined;
			place->has_notes = place->has_notes || place->children[j]->has_notes;
			joined += place->children[j]->n_joined;
		}
		if (joined > MOST_JOINED) {
			choose_groups(place);
			place->has_sets = true;
		}
		for (size_t j = 0; j < place->n_fields; j++)
			place->has_notes = place->has_notes || field_taken(&place->fields[j]) != TAKEN_ALWAYS;
		place->inlined =
			place->parent && place->unique && place->n_hops == 1 && !place->many && !place->has_sets;
		place->n_joined = place->inlined ? joined : 1;
	}
}

static void add_meta_field(struct compiler *c)
{
	struct place *root = c->tree.places[0];

	if (c->tree.as->meta != SCHEMA_META_PGSYNC)
		return;
	if (find_field(root, "_meta"))
		compiler_fail(
			c, "InvalidSchema", root->node->path,
			"two fields are named `_meta`: with spec.documents.meta Pgsync give the other one another "
			"name by transform.rename");
	root->fields = xreallocarray(root->fields, root->n_fields + 1, sizeof(*root->fields));
	root->fields[root->n_fields++] =
		(struct field){.kind = FIELD_META, .name = xstrdup("_meta"), .source = xstrdup("_meta")};
}

static void check_root_key(struct compiler *c, const struct place *root)
{
	for (size_t i = 0; root->table && i < root->n_key; i++) {
		const struct catalog_column *column = &root->table->columns[root->key[i]];

		if (column->generated)
			compiler_fail(c, "NotSupported", root->node->path,
				      "column `%s` of the root's key is generated: its value is not in the WAL",
				      column->name);
	}
}

static void place_free(struct place *place)
{
	hop_release(&place->hops[0]);
	hop_release(&place->hops[1]);
	free(place->children);
	free(place->base);
	free(place->key);
	fields_release(place->fields, place->n_fields);
	free(place->sorts);
	free(place);
}

static void tree_release(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		place_free(tree->places[i]);
	free(tree->places);
	for (size_t i = 0; i < tree->n_carries; i++)
		free(tree->carries[i]);
	free(tree->carries);
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

static void note_seen(json_t *seen, const struct catalog_table *table, const struct catalog_column *column)
{
	json_t *entry;
	char key[16];

	(void)snprintf(key, sizeof(key), "%u", table->oid);
	entry = object_at(object_at(seen, "tables"), key);
	(void)json_object_set_new(entry, "storage", json_integer((json_int_t)table->storage));
	(void)snprintf(key, sizeof(key), "%d", column->attnum);
	(void)json_object_set_new(object_at(entry, "columns"), key, json_integer((json_int_t)column->altered));
	for (size_t i = 0; i < column->n_labels; i++) {
		(void)snprintf(key, sizeof(key), "%u", column->labels[i].oid);
		(void)json_object_set_new(object_at(seen, "labels"), key, jsonx_text(column->labels[i].label));
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
	(void)json_array_append_new(plan->made_of, made);
	note_seen(plan->seen, table, column);
}

static void note_made_of(const struct tree *tree, struct document_plan *plan)
{
	plan->made_of = json_array();
	plan->seen = json_object();
	for (size_t i = 0; i < tree->n; i++) {
		const struct place *place = tree->places[i];

		for (size_t j = 0; j < place->n_fields; j++)
			if (place->fields[j].kind == FIELD_COLUMN)
				add_made(plan, place->table, place->fields[j].column);
		for (size_t j = 0; j < place->n_key; j++)
			add_made(plan, place->table, place->key[j]);
		for (size_t h = 0; h < place->n_hops; h++) {
			const struct hop *hop = &place->hops[h];

			for (size_t j = 0; j < hop->n; j++) {
				add_made(plan, hop->upper, hop->upper_columns[j]);
				add_made(plan, hop->lower, hop->lower_columns[j]);
			}
		}
	}
}

static bool fails_alone(const struct tree *tree)
{
	const struct place *root = tree->places[0];

	if (!root->n_expressions || root->filtered || catalog_is_view(root->table) || tree->routing >= 0)
		return false;
	for (size_t i = 1; i < tree->n; i++)
		if (tree->places[i]->filtered || tree->places[i]->n_expressions)
			return false;
	return true;
}

static struct document_plan *make_plan(const struct tree *tree)
{
	struct document_plan *plan = xcalloc(1, sizeof(*plan));
	const struct place *root = tree->places[0];

	plan->document = tree->document;
	plan->root = root->table;
	plan->n_keys = root->n_key;
	plan->key_columns = xcalloc(root->n_key, sizeof(char *));
	for (size_t i = 0; i < root->n_key; i++)
		plan->key_columns[i] = xstrdup(root->table->columns[root->key[i]].name);
	plan->has_routing = tree->routing >= 0;
	routing_describe(tree, plan);
	plan->has_notes = root->has_notes;
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
	ways_build(tree, plan);
	plan->index_body = mapping_body(tree);
	note_made_of(tree, plan);
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
	struct place *root = document->root ? resolve_place(&c, document->root, NULL) : NULL;

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

static void way_release(struct document_way *way)
{
	free(way->path);
	free_strings(way->columns, way->n_columns);
	free(way->sql);
	free(way->routing);
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
	for (size_t i = 0; i < plan->n_ways; i++)
		way_release(&plan->ways[i]);
	free(plan->ways);
	json_decref(plan->index_body);
	json_decref(plan->made_of);
	json_decref(plan->seen);
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
