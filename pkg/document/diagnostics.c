/* Findings about a document, each with its path, what was found and what to do. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum { MOST_HINTS = 50 };

void diagnostics_fail(struct diagnostics *d, enum reason reason, const char *path, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(d->findings, FINDING_ERROR, reason, path, "%s", message);
	d->failed = true;
}

void diagnostics_warn(struct diagnostics *d, enum reason reason, const char *path, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(d->findings, FINDING_WARNING, reason, path, "%s", message);
}

/* Comparing every name with every other takes its time. */
bool diagnostics_may_hint(struct diagnostics *d)
{
	return d->hints < MOST_HINTS && ++d->hints;
}

/* --- tables --- */

/* The known table that was probably meant: one in the same schema with a similar name, one of that name in another
 * schema, or one whose full name is similar. */
static const char *near_table(const struct document_names *known, const struct catalog_name *name)
{
	_cleanup_free_ char *whole = xasprintf("%s.%s", name->schema, name->table);
	_cleanup_free_ const char **tables = xcalloc(known->n, sizeof(*tables));
	size_t n = 0, prefix = strlen(name->schema) + 1;
	const char *near;

	for (size_t i = 0; i < known->n; i++)
		if (strncmp(known->items[i], whole, prefix) == 0)
			tables[n++] = known->items[i] + prefix;
	near = nearest_name(name->table, tables, n);
	if (near)
		return near - prefix;
	for (size_t i = 0; i < known->n; i++) {
		const char *dot = strchr(known->items[i], '.');

		if (dot && strcmp(dot + 1, name->table) == 0)
			return known->items[i];
	}
	return n ? NULL : nearest_name(whole, known->items, known->n);
}

/* `table: schema.table`, as other tools write it. */
static bool is_whole_name(const struct document_names *known, const char *table)
{
	for (size_t i = 0; known && strchr(table, '.') && i < known->n; i++)
		if (strcmp(table, known->items[i]) == 0)
			return true;
	return false;
}

void diagnostics_unknown_table(struct diagnostics *d, const char *path, const struct catalog_name *name)
{
	const char *near = d->known && diagnostics_may_hint(d) ? near_table(d->known, name) : NULL;
	const char *dot = strchr(name->table, '.');

	if (is_whole_name(d->known, name->table))
		diagnostics_fail(d, REASON_UNKNOWN_TABLE, path,
				 "table %s.%s does not exist; for the table %s write `schema: %.*s` and `table: %s`",
				 name->schema, name->table, name->table, (int)(dot - name->table), name->table,
				 dot + 1);
	else
		diagnostics_fail(d, REASON_UNKNOWN_TABLE, path, "table %s.%s does not exist%s%s%s", name->schema,
				 name->table, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* --- columns --- */

static const char *near_column(const struct catalog_table *table, const char *name)
{
	_cleanup_free_ const char **names = xcalloc(table->n_columns, sizeof(*names));

	for (size_t i = 0; i < table->n_columns; i++)
		names[i] = table->columns[i].name;
	return nearest_name(name, names, table->n_columns);
}

void diagnostics_unknown_column(struct diagnostics *d, const char *path, const struct catalog_table *table,
				const char *name)
{
	const char *near = diagnostics_may_hint(d) ? near_column(table, name) : NULL;

	diagnostics_fail(d, REASON_UNKNOWN_COLUMN, path, "column `%s` does not exist in %s.%s%s%s%s", name,
			 table->schema, table->name, near ? "; did you mean `" : "", near ? near : "",
			 near ? "`?" : "");
}
