/* What the files of this package share: cells in columns, ages, and reading a resource. */
#ifndef PGSYNC_SCREEN_SCREEN_INT_H
#define PGSYNC_SCREEN_SCREEN_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/amount.h"
#include "base/mem.h"
#include "base/reason.h"
#include "base/strbuf.h"
#include "conditions/conditions.h"

/* --- columns */

struct screen_table {
	size_t n_columns;
	char **cells;
	size_t n, alloc;
};

/* Begins with the row of names, which end with NULL; with a column for namespaces before them, if there is one. */
void screen_table_init(struct screen_table *table, bool namespaces, const char *const *names);
void screen_table_release(struct screen_table *table);
/* Adds the next cell, row by row. Ends of lines and tabs in it become blanks; an empty one is shown as "-". */
void screen_cell(struct screen_table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prints the rows, each column as wide as its widest cell. */
void screen_table_print(const struct screen_table *table, size_t indent, struct strbuf *out);
/* The text with blanks for ends of lines and tabs. */
void screen_add_line(struct strbuf *out, const char *text);

/* --- times */

/* "5s", "12m", "3h", "4d": the time since then; "" if it is not a time. */
const char *screen_age(int64_t wall_us, const char *rfc3339, char buf[AMOUNT_BYTES]);

/* --- a resource */

/* Its findings, and how many more there are. Returns whether none is an error. */
bool screen_findings(const json_t *resource, size_t indent, struct strbuf *out);
const json_t *screen_condition(const json_t *resource, enum condition_type type);
/* The condition's reason; REASON_NONE if it is not known. */
enum reason screen_reason(const json_t *condition);

#endif
