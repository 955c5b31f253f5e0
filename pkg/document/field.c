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

/* --- finding them: positions are counted from 1 --- */

static struct field *field_at(const struct plan_node *node, const struct map *map, const char *name, size_t len)
{
	size_t at = map ? (size_t)map_get(map, name, len) : 0;

	return at ? &node->fields[at - 1] : NULL;
}

struct field *field_find(const struct plan_node *node, const char *name)
{
	return field_find_part(node, name, strlen(name));
}

struct field *field_find_part(const struct plan_node *node, const char *name, size_t len)
{
	return field_at(node, node->by_name, name, len);
}

struct field *field_find_source(const struct plan_node *node, const char *source)
{
	return field_at(node, node->by_source, source, strlen(source));
}

struct field *field_find_moved(const struct plan_node *node, const char *name)
{
	return field_at(node, node->moved, name, strlen(name));
}

static void index_field(struct plan_node *node, size_t i)
{
	const struct field *field = &node->fields[i];

	if (!field->hidden)
		map_puts(node->by_name, field->name, (void *)(i + 1));
	if (!map_gets(node->by_source, field->source))
		map_puts(node->by_source, field->source, (void *)(i + 1));
}

void fields_index(struct plan_node *node)
{
	map_free(node->by_name);
	map_free(node->by_source);
	node->by_name = map_new(NULL);
	node->by_source = map_new(NULL);
	for (size_t i = 0; i < node->n_fields; i++)
		index_field(node, i);
}

void field_add(struct plan_node *node, struct field field, const char *name)
{
	if (!node->by_name)
		fields_index(node);
	field.name = xstrdup(name);
	field.source = xstrdup(name);
	ALLOC_GROW(node->fields, node->n_fields + 1, node->alloc_fields);
	node->fields[node->n_fields++] = field;
	index_field(node, node->n_fields - 1);
}

void field_hide(struct plan_node *node, struct field *field, bool moved)
{
	(void)map_removes(node->by_name, field->name);
	field->hidden = true;
	if (!moved)
		return;
	field->moved = true;
	if (!node->moved)
		node->moved = map_new(NULL);
	map_puts(node->moved, field->name, (void *)(field - node->fields + 1));
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
		map_free(fields[i].by_name);
	}
	free(fields);
}
