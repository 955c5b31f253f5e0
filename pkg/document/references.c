/* The relations and expressions that a schema names. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

/* --- relations --- */

struct catalog_name reference_other(const struct schema_node *node, const struct schema_table_name *name)
{
	return (struct catalog_name){.schema = name->schema ? name->schema : node->schema, .table = name->table};
}

bool reference_is_given(const struct schema_node *node)
{
	return node->table && !schema_key_is_invalid(node, "table") && !schema_key_is_invalid(node, "schema");
}

bool reference_other_is_given(const struct schema_node *node, const struct schema_table_name *name)
{
	return *name->table && (name->schema || !schema_key_is_invalid(node, "schema"));
}

static void list_name(struct catalog_name **names, size_t *n, struct catalog_name name)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp((*names)[i].schema, name.schema) == 0 && strcmp((*names)[i].table, name.table) == 0)
			return;
	*names = xreallocarray(*names, *n + 1, sizeof(**names));
	(*names)[(*n)++] = name;
}

static void add_names(struct catalog_name **names, size_t *n, const struct schema_node *node)
{
	if (reference_is_given(node))
		list_name(names, n, (struct catalog_name){.schema = node->schema, .table = node->table});
	if (node->relationship.through && reference_other_is_given(node, node->relationship.through))
		list_name(names, n, reference_other(node, node->relationship.through));
	for (size_t i = 0; i < node->n_base_tables; i++)
		if (reference_other_is_given(node, &node->base_tables[i]))
			list_name(names, n, reference_other(node, &node->base_tables[i]));
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

/* --- expressions --- */

static void list_expression(struct catalog_expression_name **list, size_t *n, const struct schema_node *node,
			    const char *sql)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] =
		(struct catalog_expression_name){.table = {.schema = node->schema, .table = node->table}, .sql = sql};
}

static void list_expressions(struct catalog_expression_name **list, size_t *n, const struct schema_node *node)
{
	if (node->where && reference_is_given(node))
		list_expression(list, n, node, node->where);
	for (size_t i = 0; reference_is_given(node) && i < node->n_expressions; i++)
		list_expression(list, n, node, node->expressions[i].sql);
	for (size_t i = 0; i < node->n_children; i++)
		list_expressions(list, n, node->children[i]);
}

struct catalog_expression_name *document_expressions(const struct schema_document *document, size_t *ret_n)
{
	struct catalog_expression_name *list = NULL;

	*ret_n = 0;
	if (document->root)
		list_expressions(&list, ret_n, document->root);
	return list;
}

/* --- views --- */

static int by_oid(const void *a, const void *b)
{
	const struct document_view *x = a, *y = b;

	return x->view->oid < y->view->oid ? -1 : x->view->oid > y->view->oid;
}

/* Several nodes may read the same view; its base tables are followed if one of them names them. */
static void add_view(struct document_view **views, size_t *n, const struct catalog_table *view, bool followed)
{
	size_t i = 0;

	while (i < *n && (*views)[i].view != view)
		i++;
	if (i == *n) {
		*views = xreallocarray(*views, *n + 1, sizeof(**views));
		(*views)[(*n)++] = (struct document_view){.view = view};
	}
	(*views)[i].followed = (*views)[i].followed || followed;
}

static void list_views(struct document_view **views, size_t *n, const struct schema_node *node,
		       const struct catalog *catalog)
{
	const struct catalog_table *table = node->table ? catalog_find(catalog, node->schema, node->table) : NULL;

	if (table && catalog_is_view(table))
		add_view(views, n, table, node->n_base_tables);
	for (size_t i = 0; i < node->n_children; i++)
		list_views(views, n, node->children[i], catalog);
}

struct document_view *document_views(const struct schema_document *document, const struct catalog *catalog,
				     size_t *ret_n)
{
	struct document_view *views = NULL;

	*ret_n = 0;
	if (document->root)
		list_views(&views, ret_n, document->root, catalog);
	if (*ret_n)
		qsort(views, *ret_n, sizeof(*views), by_oid);
	return views;
}
