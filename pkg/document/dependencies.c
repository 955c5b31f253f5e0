/* What a plan was made from, beyond its own text: compared with what a later catalog says. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

struct record {
	const struct catalog *catalog;
	json_t *columns, *catalog_record;
	struct map *reached; /* from where it was done */
};

static json_t *object_at(json_t *in, const char *key)
{
	json_t *object = json_object_get(in, key);

	if (object)
		return object;
	object = json_object();
	(void)json_object_set_new(in, key, object);
	return object;
}

/* --- objects --- */

/* What can be reached from a column, a view or an object. */
static void add_reached(const struct record *r, struct catalog_object from)
{
	size_t n;
	const struct catalog_dependency *d = catalog_dependencies_of(r->catalog, &from, &n);

	if (map_get(r->reached, &from, sizeof(from)))
		return;
	map_put(r->reached, &from, sizeof(from), r->catalog_record);
	for (; n > 0; n--, d++) {
		bool label = d->object.class == CATALOG_ENUM;
		char key[64];

		if (label)
			(void)snprintf(key, sizeof(key), "%u", d->object.oid);
		else
			(void)snprintf(key, sizeof(key), "%u.%u.%d", d->object.class, d->object.oid, d->object.sub);
		(void)json_object_set_new(object_at(r->catalog_record, label ? "labels" : "objects"), key,
					  d->value ? jsonx_text(d->value) : json_null());
	}
}

/* --- columns --- */

static void add_rewrite(const struct record *r, const struct catalog_table *table, const struct catalog_column *column)
{
	json_t *entry;
	char key[16];

	(void)snprintf(key, sizeof(key), "%u", table->oid);
	entry = object_at(object_at(r->catalog_record, "tables"), key);
	(void)json_object_set_new(entry, "storage", json_integer((json_int_t)table->storage));
	(void)snprintf(key, sizeof(key), "%d", column->attnum);
	(void)json_object_set_new(object_at(entry, "columns"), key, json_integer((json_int_t)column->altered));
}

static void record_column(const struct record *r, const struct catalog_table *table, int position)
{
	const struct catalog_column *column = &table->columns[position];

	(void)json_array_append_new(r->columns, json_pack("[I, i, I, i, I]", (json_int_t)table->oid, column->attnum,
							  (json_int_t)column->type_oid, (int)column->typmod,
							  (json_int_t)column->collation_oid));
	add_rewrite(r, table, column);
	add_reached(r, (struct catalog_object){CATALOG_RELATION, table->oid, column->attnum});
}

/* A column that gives the document a name, or that an expression names, is identified by its name: if another column
 * has that name now, that counts as a change. */
static void add_named_column(const struct record *r, const struct catalog_table *table, int position)
{
	(void)json_array_append_new(r->columns, jsonx_text(table->columns[position].name));
	record_column(r, table, position);
}

static void record_expression(const struct record *r, const struct plan_node *node, const char *sql)
{
	const struct catalog_expression *e = catalog_expression(r->catalog, node->table->oid, sql);

	for (size_t i = 0; e && i < e->n_columns; i++)
		if (e->columns[i] >= 0 && (size_t)e->columns[i] < node->table->n_columns)
			add_named_column(r, node->table, e->columns[i]);
	for (size_t i = 0; e && i < e->n_objects; i++)
		add_reached(r, e->objects[i]);
	if (e)
		add_reached(r, (struct catalog_object){CATALOG_TYPE, e->type.type_oid, 0});
}

/* --- nodes --- */

static void record_expressions(const struct record *r, const struct plan_node *node)
{
	for (size_t i = 0; i < node->decl->n_expressions; i++)
		record_expression(r, node, node->decl->expressions[i].sql);
	if (node->decl->where)
		record_expression(r, node, node->decl->where);
}

static void record_joins(const struct record *r, const struct plan_node *node)
{
	for (size_t j = 0; j < node->n_joins; j++) {
		const struct join *join = &node->joins[j];

		for (size_t i = 0; i < join->n; i++) {
			record_column(r, join->upper, join->upper_columns[i]);
			record_column(r, join->lower, join->lower_columns[i]);
		}
	}
}

static void record_node(const struct record *r, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_COLUMN)
			add_named_column(r, node->table, node->fields[i].column);
	for (size_t i = 0; i < node->n_key; i++)
		record_column(r, node->table, node->key[i]);
	for (size_t i = 0; i < node->n_sorts; i++)
		if (node->sorts[i].column >= 0)
			record_column(r, node->table, node->sorts[i].column);
	record_joins(r, node);
	record_expressions(r, node);
	if (catalog_is_view(node->table))
		add_reached(r, (struct catalog_object){CATALOG_RELATION, node->table->oid, 0});
}

void dependencies_record(const struct tree *tree, struct document_plan *plan)
{
	const struct record r = {.catalog = tree->catalog,
				 .columns = json_array(),
				 .catalog_record = json_object(),
				 .reached = map_new(NULL)};

	for (size_t i = 0; i < tree->n; i++)
		record_node(&r, tree->nodes[i]);
	plan->fingerprint.columns = r.columns;
	plan->fingerprint.catalog = r.catalog_record;
	map_free(r.reached);
}

/* --- all plans of a schema --- */

char *document_plans_fingerprint(struct document_plan *const *plans, size_t n, const char *schema_hash)
{
	_cleanup_json_ json_t *parts = json_array();
	char hash[JSONX_HASH_BYTES];

	(void)json_array_append_new(parts, json_string(schema_hash));
	for (size_t i = 0; i < n; i++) {
		(void)json_array_append(parts, plans[i]->index_body);
		(void)json_array_append(parts, plans[i]->fingerprint.columns);
		for (size_t v = 0; v < plans[i]->n_views; v++)
			(void)json_array_append_new(parts, json_string(plans[i]->views[v].view->definition));
	}
	return xstrdup(jsonx_hash(parts, hash));
}

json_t *document_plans_catalog(struct document_plan *const *plans, size_t n)
{
	json_t *all = json_object();

	for (size_t i = 0; i < n; i++)
		(void)json_object_update_recursive(all, plans[i]->fingerprint.catalog);
	return all;
}
