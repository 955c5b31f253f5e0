/* A plan as readable text. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

static void add_indented(struct strbuf *sb, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		strbuf_adds(sb, "    ");
		strbuf_add(sb, text, len);
		strbuf_addc(sb, '\n');
		text += len + (text[len] == '\n');
	}
}

static void describe_node(struct strbuf *sb, const struct schema_node *node, size_t depth)
{
	const struct schema_relationship *r = &node->relationship;

	strbuf_addf(sb, "%*s%s.%s", (int)(depth * 2 + 2), "", node->schema, node->table);
	if (strcmp(node->label, node->table) != 0)
		strbuf_addf(sb, " \"%s\"", node->label);
	if (node->parent)
		strbuf_addf(sb, " (%s, %s", r->type == SCHEMA_ONE_TO_MANY ? "one_to_many" : "one_to_one",
			    r->variant == SCHEMA_VARIANT_SCALAR ? "scalar" : "object");
	if (node->parent && r->through)
		strbuf_addf(sb, ", through %s.%s", r->through->schema ? r->through->schema : node->schema,
			    r->through->table);
	strbuf_adds(sb, node->parent ? ")\n" : "\n");
	for (size_t i = 0; r->variant != SCHEMA_VARIANT_SCALAR && i < node->n_children; i++)
		describe_node(sb, node->children[i], depth + 1);
}

static void describe_column_names(struct strbuf *sb, char *const *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strbuf_addf(sb, "%s%s", i ? ", " : "", columns[i]);
}

static void describe_tables(struct sections *out, const struct document_plan *plan)
{
	sections_begin(out, SECTION_TEXT, "Old values needed in the WAL");
	for (size_t i = 0; i < plan->n_tables; i++) {
		const struct document_table *table = &plan->tables[i];
		_cleanup_free_ char *columns = columns_list(table->table, table->link_columns, table->n_link_columns);

		if (table->n_link_columns)
			strbuf_addf(&out->text, "  %s.%s: %s\n", table->table->schema, table->table->name, columns);
	}
}

static void add_paths(struct sections *out, const struct document_plan *plan)
{
	struct strbuf *sb = &out->text;

	sections_begin(out, SECTION_TEXT, "How a change finds its documents");
	for (size_t i = 0; i < plan->n_paths; i++) {
		const struct document_path *path = &plan->paths[i];

		if (path->opaque) {
			strbuf_addf(sb, "  %s: every document is read again\n", path->description);
			continue;
		}
		strbuf_addf(sb, "  %s: by (", path->description);
		describe_column_names(sb, path->columns, path->n_columns);
		strbuf_adds(sb, path->direct ? "), the document's key\n" : ")\n");
		if (path->sql)
			add_indented(sb, path->sql);
	}
}

void document_describe(const struct document_plan *plan, struct sections *out)
{
	_cleanup_json_ json_t *body = json_incref(plan->index_body);
	_cleanup_free_ char *title = xasprintf("Index %s", plan->document->index);
	char *mapping = json_dumps(body, JSON_INDENT(2));
	struct strbuf *sb = &out->text;

	sections_begin_bare(out, SECTION_TEXT, title);
	strbuf_addf(sb, "Index %s, one document for each row of %s.%s, _id of (", plan->document->index,
		    plan->root->schema, plan->root->name);
	describe_column_names(sb, plan->key_columns, plan->n_keys);
	strbuf_adds(sb, ")\n");
	sections_begin(out, SECTION_TEXT, "Tree");
	describe_node(sb, plan->document->root, 0);
	describe_tables(out, plan);
	add_paths(out, plan);
	sections_begin(out, SECTION_SQL, "Documents by key");
	add_indented(sb, plan->sql.by_key);
	sections_begin(out, SECTION_SQL, plan->root_is_view ? "All documents" : "Documents by range of blocks");
	add_indented(sb, plan->sql.by_range.text);
	sections_begin(out, SECTION_JSON, "Index body");
	add_indented(sb, mapping);
	free(mapping);
}

/* Describes what a change of a row affects. */
static char *describe_changes(const struct document_plan *plan)
{
	struct sections out;
	char *text;

	sections_init(&out, 2 * SQL_BYTES);
	describe_tables(&out, plan);
	add_paths(&out, plan);
	text = strbuf_detach(&out.text);
	sections_release(&out);
	return text;
}

bool document_plans_equal(const struct document_plan *a, const struct document_plan *b)
{
	_cleanup_free_ char *one = describe_changes(a);
	_cleanup_free_ char *other = describe_changes(b);

	return strcmp(one, other) == 0 && strcmp(a->sql.by_key, b->sql.by_key) == 0 &&
	       strcmp(a->sql.by_range.text, b->sql.by_range.text) == 0 &&
	       strcmp(a->sql.all_keys, b->sql.all_keys) == 0 &&
	       strcmp(a->sql.keys_by_range.text, b->sql.keys_by_range.text) == 0 &&
	       json_equal(a->index_body, b->index_body) && json_equal(a->fingerprint.columns, b->fingerprint.columns);
}
