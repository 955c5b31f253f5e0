/* Cells in columns, and ages, as kubectl prints them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/rfc3339.h"
#include "base/utf8.h"
#include "screen/screen_int.h"
#include "json/json.h"

enum { GAP = 3 };

void screen_table_init(struct screen_table *table, bool namespaces, const char *const *names)
{
	*table = (struct screen_table){.n_columns = namespaces};
	while (names[table->n_columns - namespaces])
		table->n_columns++;
	if (namespaces)
		screen_cell(table, "NAMESPACE");
	for (; *names; names++)
		screen_cell(table, "%s", *names);
}

void screen_table_release(struct screen_table *table)
{
	free_strings(table->cells, table->n);
	*table = (struct screen_table){0};
}

void screen_add_line(struct strbuf *out, const char *text)
{
	for (; *text; text++)
		strbuf_addc(out, *text == '\n' || *text == '\t' || *text == '\r' ? ' ' : *text);
}

void screen_cell(struct screen_table *table, const char *fmt, ...)
{
	va_list ap;
	char *cell;

	va_start(ap, fmt);
	cell = xvasprintf(fmt, ap);
	va_end(ap);
	if (!*cell) {
		free(cell);
		cell = xstrdup("-");
	}
	ALLOC_GROW(table->cells, table->n + 1, table->alloc);
	table->cells[table->n++] = cell;
}

/* In characters. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (size_t left = strlen(text), n; left; text += n, left -= n, width++) {
		n = utf8_sequence(text, left);
		n = n ? n : 1;
	}
	return width;
}

static size_t column_width(const struct screen_table *table, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < table->n; i += table->n_columns) {
		size_t cell = text_width(table->cells[i]);

		width = cell > width ? cell : width;
	}
	return width;
}

void screen_table_print(const struct screen_table *table, size_t indent, struct strbuf *out)
{
	for (size_t i = 0; i < table->n; i++) {
		size_t column = i % table->n_columns;
		bool last = column + 1 == table->n_columns;

		if (column == 0)
			strbuf_addf(out, "%*s", (int)indent, "");
		screen_add_line(out, table->cells[i]);
		if (last)
			strbuf_addc(out, '\n');
		else
			strbuf_addf(out, "%*s", (int)(column_width(table, column) - text_width(table->cells[i]) + GAP),
				    "");
	}
}

const char *screen_age(int64_t wall_us, const char *rfc3339, char buf[AMOUNT_BYTES])
{
	int64_t then_us;

	buf[0] = '\0';
	return rfc3339_parse(rfc3339, &then_us) ? amount_of_time((wall_us - then_us) / 1000000, buf) : buf;
}
