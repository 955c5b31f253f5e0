/* Single fields, and finding them in a node. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum indexable field_indexable(const struct field *field)
{
	static const char *const dates[] = {"date", "timestamp", "timestamptz"};
	static const char *const numbers[] = {"numeric", "float4", "float8"};

	if (field->into_json)
		return INDEXABLE_WITHOUT_NUL;
	if (!field->type || field->path.n)
		return INDEXABLE_ALWAYS;
	for (size_t i = 0; i < ARRAY_SIZE(dates); i++) {
		if (strcmp(field->type->base_type, dates[i]) == 0)
			return INDEXABLE_FINITE_DATE;
		if (strcmp(field->type->base_type, numbers[i]) == 0)
			return INDEXABLE_FINITE_NUMBER;
	}
	return INDEXABLE_ALWAYS;
}

bool fields_are_unsure(const struct plan_node *node)
{
	return !node->table || !schema_node_names_are_known(node->decl);
}

struct field *field_find(const struct plan_node *node, const char *name)
{
	for (size_t i = node->n_fields; i-- > 0;)
		if (!node->fields[i].hidden && strcmp(node->fields[i].name, name) == 0)
			return &node->fields[i];
	return NULL;
}

char *field_hint(const struct plan_node *node, const char *name)
{
	_cleanup_free_ const char **names = xcalloc(node->n_fields, sizeof(*names));
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < node->n_fields; i++)
		if (!node->fields[i].hidden)
			names[n++] = node->fields[i].name;
	near = nearest_name(name, names, n);
	return near ? xasprintf("; did you mean `%s`?", near) : xstrdup("");
}

/* The schema's decoder has checked the names that the schema gives; those of the table are checked here. */
bool field_comes_from_table(const struct plan_node *node, const struct field *field)
{
	if (field->kind != FIELD_COLUMN)
		return field->kind == FIELD_SYSTEM;
	return !schema_node_lists(node->decl, field->source);
}

/* If the schema alone shows the duplicate, its decoder has reported it and marked the node as invalid. */
void field_report_duplicate(const struct plan_node *node, const struct field *field, struct diagnostics *d)
{
	if (field_comes_from_table(node, field) || !node->decl->invalid_keys.n)
		diagnostics_fail(d, REASON_INVALID_SCHEMA, node->decl->path,
				 "two fields are named `%s`, one of them a column of %s.%s; rename one of them",
				 field->name, node->table->schema, node->table->name);
}

void fields_release(struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(fields[i].name);
		free(fields[i].source);
		schema_column_path_release(&fields[i].path);
		free(fields[i].parts);
		fields_release(fields[i].fields, fields[i].n_fields);
	}
	free(fields);
}
