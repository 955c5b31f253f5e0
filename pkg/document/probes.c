/* Queries that find the row which makes a document fail. See document_probe. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { TEXT_BYTES = 16 * 1024 };

/* --- which rows --- */

static void add_probe_key(struct strbuf *sb, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_key; i++) {
		strbuf_adds(sb, i ? ", " : "");
		sql_own(sb, node, node->key[i]);
	}
}

/* p: the keys of the node's rows from one position on. */
static void add_probe_head(struct strbuf *sb, const struct tree *tree, const struct plan_node *node)
{
	size_t n = tree->nodes[0]->n_key;

	sql_rows_above(sb, tree, node);
	strbuf_adds(sb, "p AS MATERIALIZED (\n  SELECT DISTINCT ");
	add_probe_key(sb, node);
	strbuf_adds(sb, "\n  FROM ");
	sql_linked_rows(sb, tree, node);
	strbuf_adds(sb, "\n  ORDER BY ");
	add_probe_key(sb, node);
	strbuf_addf(sb, " OFFSET $%zu::bigint LIMIT $%zu::bigint\n)\nSELECT ", n + 1, n + 2);
}

/* The rows of p, with the node's expressions and condition as columns. */
static void add_tail(struct strbuf *sb, const struct tree *tree, const struct plan_node *node)
{
	_cleanup_free_ char *alias = sql_alias(node);

	strbuf_addf(sb, "\nFROM (SELECT %s.*", alias);
	sql_system_columns(sb, node, alias);
	sql_expression_columns(sb, tree, node);
	if (node->filtered) {
		strbuf_addf(sb, ", (%s) AS ", sql_qualified(tree, node, node->decl->where));
		sql_free_name(sb, node, "where", 1);
	}
	strbuf_adds(sb, " FROM ");
	sql_table(sb, node->table);
	strbuf_addf(sb, " AS %s) t%zu WHERE EXISTS (SELECT FROM p WHERE ", alias, node->number);
	for (size_t i = 0; i < node->n_key; i++) {
		const struct catalog_column *column = &node->table->columns[node->key[i]];

		strbuf_adds(sb, i ? " AND " : "");
		sql_own(sb, node, node->key[i]);
		sql_equals(sb, column, column);
		strbuf_adds(sb, "p.");
		pg_quote_ident(sb, column->name);
	}
	strbuf_addc(sb, ')');
}

/* The keys of the rows of p as one text: "7" or "7, de". */
static char *keys_sql(const struct plan_node *node)
{
	struct strbuf sb;

	strbuf_init(&sb, TEXT_BYTES);
	strbuf_adds(&sb, "concat_ws(', '");
	for (size_t i = 0; i < node->n_key; i++) {
		strbuf_adds(&sb, ", ");
		pg_quote_ident(&sb, node->table->columns[node->key[i]].name);
	}
	strbuf_adds(&sb, ") FROM p");
	return strbuf_detach(&sb);
}

/* --- which values --- */

/* The field is made of the node's own row. */
static bool is_own(const struct plan_node *node, const struct field *field)
{
	if (field->kind != FIELD_CONCAT)
		return field->kind == FIELD_COLUMN || field->kind == FIELD_SYSTEM || field->kind == FIELD_EXPRESSION;
	for (size_t i = 0; i < field->n_parts; i++)
		if (!field->parts[i].literal && !is_own(node, &node->fields[field->parts[i].field]))
			return false;
	return true;
}

static void add_probe_value(struct document_probe *probe, const struct document_probe_value value)
{
	probe->values = xreallocarray(probe->values, probe->n_values + 1, sizeof(*probe->values));
	probe->values[probe->n_values++] = value;
}

static char *field_name(const struct plan_node *node, const struct field *field)
{
	switch (field->kind) {
	case FIELD_COLUMN:
		return xasprintf("column `%s`", node->table->columns[field->column].name);
	case FIELD_EXPRESSION:
		return xasprintf("expression `%s`", field->source);
	default:
		return xasprintf("field `%s`", field->name);
	}
}

static char *where_column(const struct plan_node *node)
{
	struct strbuf sb;

	strbuf_init(&sb, TEXT_BYTES);
	strbuf_addf(&sb, "t%zu.", node->number);
	sql_free_name(&sb, node, "where", 1);
	return strbuf_detach(&sb);
}

/* A row that the condition leaves out is not in the document. */
static char *field_sql(const struct plan_node *node, const struct field *field)
{
	_cleanup_free_ char *where = node->filtered ? where_column(node) : NULL;
	struct strbuf sb;

	strbuf_init(&sb, SQL_BYTES);
	strbuf_adds(&sb, "count(to_json(");
	if (where)
		strbuf_addf(&sb, "CASE WHEN %s THEN ", where);
	sql_field_value(&sb, node, field);
	strbuf_adds(&sb, where ? " END))" : "))");
	return strbuf_detach(&sb);
}

static void add_values(struct document_probe *probe, const struct plan_node *node)
{
	if (node->filtered) {
		_cleanup_free_ char *where = where_column(node);

		add_probe_value(probe, (struct document_probe_value){.name = xstrdup("its `where`"),
								     .sql = xasprintf("count(%s)", where)});
	}
	for (size_t i = 0; i < node->n_fields; i++)
		if (is_own(node, &node->fields[i]))
			add_probe_value(probe, (struct document_probe_value){.name = field_name(node, &node->fields[i]),
									     .sql = field_sql(node, &node->fields[i])});
}

/* --- all of it --- */

static struct document_probe probe_of(const struct tree *tree, const struct plan_node *node)
{
	struct document_probe probe = {.table = xasprintf("%s.%s", node->table->schema, node->table->name),
				       .key_columns = columns_list(node->table, node->key, node->n_key),
				       .keys = keys_sql(node)};
	struct strbuf head, tail;

	strbuf_init(&head, SQL_BYTES);
	strbuf_init(&tail, SQL_BYTES);
	add_probe_head(&head, tree, node);
	add_tail(&tail, tree, node);
	probe.head = strbuf_detach(&head);
	probe.tail = strbuf_detach(&tail);
	add_values(&probe, node);
	return probe;
}

void probes_build(const struct tree *tree, struct document_plan *plan)
{
	plan->probes = xcalloc(tree->n, sizeof(*plan->probes));
	for (size_t i = 0; i < tree->n; i++)
		plan->probes[plan->n_probes++] = probe_of(tree, tree->nodes[i]);
}

void probes_release(struct document_plan *plan)
{
	for (size_t i = 0; i < plan->n_probes; i++) {
		struct document_probe *probe = &plan->probes[i];

		free(probe->table);
		free(probe->key_columns);
		free(probe->head);
		free(probe->tail);
		free(probe->keys);
		for (size_t v = 0; v < probe->n_values; v++) {
			free(probe->values[v].name);
			free(probe->values[v].sql);
		}
		free(probe->values);
	}
	free(plan->probes);
}
