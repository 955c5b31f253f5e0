/* From the schema and the catalog to the resolved tree, and from that to the plan. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

/* --- the plan --- */

static void set_key(struct document_plan *plan, const struct plan_node *root)
{
	plan->n_keys = root->n_key;
	plan->key_columns = xcalloc(root->n_key, sizeof(char *));
	for (size_t i = 0; i < root->n_key; i++)
		plan->key_columns[i] = xstrdup(root->table->columns[root->key[i]].name);
}

static struct document_plan *make_plan(struct tree *tree)
{
	struct document_plan *plan = xcalloc(1, sizeof(*plan));
	const struct plan_node *root = tree->nodes[0];

	plan->document = tree->document;
	plan->root = root->table;
	plan->root_is_view = catalog_is_view(root->table);
	set_key(plan, root);
	plan->id_format = tree->format->id_format;
	plan->sql.by_key = sql_documents(tree, false).text;
	plan->sql.by_range = sql_documents(tree, true);
	plan->sql.all_keys = sql_keys(tree, false).text;
	plan->sql.keys_by_range = sql_keys(tree, true);
	plan->counts_sanitized = root->may_sanitize;
	routing_describe(tree, plan);
	plan->views = document_views(tree->document, tree->catalog, &plan->n_views);
	for (size_t i = 0; i < plan->n_views; i++)
		plan->computes_views = plan->computes_views || plan->views[i].view->kind == 'v';
	paths_build(tree, plan);
	plan->index_body = mapping_body(tree);
	dependencies_record(tree, plan);
	tree_set_apart(tree);
	plan->sql.apart_by_key = sql_documents(tree, false).text;
	plan->sql.apart_by_range = sql_documents(tree, true);
	probes_build(tree, plan);
	return plan;
}

struct document_plan *document_compile(const struct schema_document *document,
				       const struct schema_document_format *format, const struct catalog *catalog,
				       const struct document_names *known, struct findings *f)
{
	struct diagnostics d = {.findings = f, .known = known, .failed = document->invalid};
	struct tree tree = {.document = document, .catalog = catalog, .format = format};
	struct document_plan *plan = NULL;

	if (!document->root)
		return NULL;
	tree_resolve(&tree, &d);
	if (!d.failed)
		plan = make_plan(&tree);
	tree_release(&tree);
	if (plan && (!plan->sql.by_key || !plan->sql.by_range.text || !plan->sql.apart_by_key ||
		     !plan->sql.apart_by_range.text)) {
		diagnostics_fail(&d, REASON_INVALID_SCHEMA, document->path,
				 "its query would be longer than %d bytes; use fewer tables or columns", SQL_BYTES);
		document_plan_free(TAKE_PTR(plan));
	}
	return plan;
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
	free(plan->sql.by_key);
	free(plan->sql.all_keys);
	free(plan->sql.by_range.text);
	free(plan->sql.keys_by_range.text);
	free(plan->sql.apart_by_key);
	free(plan->sql.apart_by_range.text);
	probes_release(plan);
	free(plan->views);
	for (size_t i = 0; i < plan->n_tables; i++) {
		free(plan->tables[i].link_columns);
		free(plan->tables[i].used_columns);
	}
	free(plan->tables);
	for (size_t i = 0; i < plan->n_paths; i++)
		path_release(&plan->paths[i]);
	free(plan->paths);
	json_decref(plan->index_body);
	json_decref(plan->fingerprint.columns);
	json_decref(plan->fingerprint.catalog);
	free(plan);
}

/* --- queries of a range --- */

static char *with_leaf(const struct document_plan *plan, const struct document_query *query, const char *leaf)
{
	struct strbuf sb;

	if (!query->leaf_at)
		return xstrdup(query->text);
	strbuf_init(&sb, SQL_BYTES);
	strbuf_add(&sb, query->text, query->leaf_at);
	if (leaf)
		strbuf_adds(&sb, leaf);
	else
		sql_table(&sb, plan->root);
	strbuf_adds(&sb, query->text + query->leaf_at);
	return strbuf_detach(&sb);
}

char *document_sql_by_range(const struct document_plan *plan, const char *leaf)
{
	return with_leaf(plan, &plan->sql.by_range, leaf);
}

char *document_apart_by_range(const struct document_plan *plan, const char *leaf)
{
	return with_leaf(plan, &plan->sql.apart_by_range, leaf);
}

char *document_keys_by_range(const struct document_plan *plan, const char *leaf)
{
	return with_leaf(plan, &plan->sql.keys_by_range, leaf);
}
