#include "base/usage.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { COLUMNS = 80, TEXT_COLUMN = 30 };

/* Words of text from column `at` on; lines after the first one begin at `indent`. */
static void wrap(FILE *to, const char *text, size_t at, size_t indent)
{
	bool begun = false;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (begun && at + 1 + len > COLUMNS) {
			(void)fprintf(to, "\n%*s", (int)indent, "");
			at = indent;
		} else if (begun) {
			(void)fputc(' ', to);
			at++;
		}
		(void)fwrite(text, 1, len, to);
		begun = true;
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	(void)fputc('\n', to);
}

void usage_option(FILE *to, char letter, const char *name, const char *argument, const char *text)
{
	const char *space = argument && *argument != '[' ? " " : "";
	_cleanup_free_ char *start =
		letter ? xasprintf("  -%c, --%s%s%s", letter, name, space, argument ? argument : "")
		       : xasprintf("      --%s%s%s", name, space, argument ? argument : "");

	if (strlen(start) + 2 > TEXT_COLUMN)
		(void)fprintf(to, "%s\n%*s", start, TEXT_COLUMN, "");
	else
		(void)fprintf(to, "%-*s", TEXT_COLUMN, start);
	wrap(to, text, TEXT_COLUMN, TEXT_COLUMN);
}

void usage_paragraph(FILE *to, const char *text)
{
	wrap(to, text, 0, 0);
}

void usage_section(FILE *to, const char *heading, const char *text)
{
	(void)fprintf(to, "\n%s:\n", heading);
	while (*text) {
		size_t len = strcspn(text, "\n");

		(void)fprintf(to, "%s%.*s\n", len ? "  " : "", (int)len, text);
		text += len + (text[len] == '\n');
	}
}
