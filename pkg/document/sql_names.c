/* Names, types and orders in SQL. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

enum { ALIAS_BYTES = 1024 };

void sql_table(struct strbuf *sb, const struct catalog_table *table)
{
	pg_quote_table(sb, table->schema, table->name);
}

char *sql_type(const struct catalog_column *column)
{
	const char *open = strchr(column->type, '('), *close = strchr(column->type, ')');

	/* character and bit without a length are of length one. */
	if (strcmp(column->base_type, "bpchar") == 0 && strncmp(column->type, "character", 9) == 0)
		return xstrdup("pg_catalog.bpchar");
	if (!open || !close || strchr(column->type, '"') || strcmp(column->base_type, "bit") == 0)
		return xstrdup(column->type);
	return xasprintf("%.*s%s", (int)(open - column->type), column->type, close + 1);
}

/* For these types a cast to text differs from the output function; concat() uses the latter. */
static bool cast_differs(const struct catalog_column *column)
{
	static const char *const types[] = {"bool", "bpchar", "char", "inet"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(column->base_type, types[i]) == 0)
			return true;
	return false;
}

void sql_text(struct strbuf *sb, const struct catalog_column *column, const char *expr)
{
	if (cast_differs(column))
		strbuf_addf(sb, "concat(%s)", expr);
	else
		strbuf_addf(sb, "%s::text", expr);
}

static void add_collation(struct strbuf *sb, const char *collation)
{
	if (collation)
		strbuf_addf(sb, " COLLATE %s", collation);
}

void sql_collate(struct strbuf *sb, const struct join *join, size_t i, bool of_upper)
{
	add_collation(sb, join_collation(join, i, of_upper, false));
}

void sql_collate_up(struct strbuf *sb, const struct join *join, size_t i, bool of_upper)
{
	add_collation(sb, join_collation(join, i, of_upper, true));
}

const char *sql_qualified(const struct tree *tree, const struct plan_node *node, const char *sql)
{
	return catalog_expression(tree->catalog, node->table->oid, sql)->qualified;
}

void sql_equals(struct strbuf *sb, const struct catalog_column *a, const struct catalog_column *b)
{
	/* Values of two types are equal if pg_catalog has an operator for them. */
	if (!a->equality_schema || !b->equality_schema || strcmp(a->base_type, b->base_type) != 0) {
		strbuf_adds(sb, " = ");
		return;
	}
	strbuf_adds(sb, " OPERATOR(");
	pg_quote_ident(sb, a->equality_schema);
	strbuf_adds(sb, ".=) ");
}

void sql_join_equals(struct strbuf *sb, const struct join *join, size_t i)
{
	sql_equals(sb, &join->lower->columns[join->lower_columns[i]], &join->upper->columns[join->upper_columns[i]]);
}

void sql_own(struct strbuf *sb, const struct plan_node *node, int column)
{
	strbuf_addf(sb, "t%zu.", node->number);
	pg_quote_ident(sb, node->table->columns[column].name);
}

void sql_free_name(struct strbuf *sb, const struct plan_node *node, const char *prefix, size_t number)
{
	_cleanup_free_ char *name = xasprintf("%s.%zu", prefix, number);

	while (catalog_column(node->table, name) >= 0) {
		char *longer = xasprintf("%s.", name);

		free(name);
		name = longer;
	}
	pg_quote_ident(sb, name);
}

char *sql_alias(const struct plan_node *node)
{
	struct strbuf quoted;

	strbuf_init(&quoted, ALIAS_BYTES);
	pg_quote_ident(&quoted, node->table->name);
	return strbuf_detach(&quoted);
}

void sql_system_columns(struct strbuf *sb, const struct plan_node *node, const char *alias)
{
	for (size_t i = 0; i < node->n_fields; i++)
		if (node->fields[i].kind == FIELD_SYSTEM)
			strbuf_addf(sb, ", %s.%s", alias, node->fields[i].source);
}

void sql_expression_columns(struct strbuf *sb, const struct tree *tree, const struct plan_node *node)
{
	for (size_t i = 0; i < node->n_expressions; i++) {
		strbuf_addf(sb, ", (%s) AS ", sql_qualified(tree, node, node->decl->expressions[i].sql));
		sql_free_name(sb, node, "x", i + 1);
	}
}

void sql_order(struct strbuf *sb, const struct plan_node *node)
{
	const char *comma = "";

	for (size_t i = 0; i < node->n_sorts; i++, comma = ", ") {
		const struct sort *sort = &node->sorts[i];

		strbuf_adds(sb, comma);
		if (sort->column >= 0) {
			sql_own(sb, node, sort->column);
		} else {
			strbuf_addf(sb, "t%zu.", node->number);
			sql_free_name(sb, node, "x", sort->expression);
		}
		strbuf_adds(sb, sort->how->descending ? " DESC" : "");
		if (sort->how->nulls_given)
			strbuf_adds(sb, sort->how->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	for (size_t i = 0; i < node->n_key; i++, comma = ", ") {
		strbuf_adds(sb, comma);
		sql_own(sb, node, node->key[i]);
	}
}
