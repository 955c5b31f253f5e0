/* What to do about a reason: the rows of docs/conditions.md, which is part of the program. */
#include <string.h>

#include "base/embed.h"
#include "base/mem.h"
#include "screen/screen.h"

enum { REMEDY_BYTES = 8192 };

EMBED_FILE(conditions_md, "docs/conditions.md");

const char *screen_reasons(void)
{
	return conditions_md;
}

/* The tables of reasons begin here; those before it are about conditions, whose names may be the same. */
static const char BEGIN[] = "\n## Reasons\n";

/* Whether the first cell of a row, "`One`, `Another`", has the word. */
static bool names_word(const char *cell, size_t len, const char *word)
{
	_cleanup_free_ char *quoted = xasprintf("`%s`", word);

	return memmem(cell, len, quoted, strlen(quoted)) != NULL;
}

/* Without backticks, and of a link its text alone. */
static char *without_markup(const char *text, size_t len)
{
	struct strbuf out;

	strbuf_init(&out, REMEDY_BYTES);
	for (size_t i = 0; i < len; i++) {
		const char *close;

		if (text[i] == '`' || text[i] == '[')
			continue;
		if (text[i] == ']' && i + 1 < len && text[i + 1] == '(' &&
		    (close = memchr(text + i, ')', len - i)) != NULL) {
			i = (size_t)(close - text);
			continue;
		}
		strbuf_addc(&out, text[i]);
	}
	return strbuf_detach(&out);
}

char *remedy_find(const char *page, const char *word)
{
	const char *line = strstr(page, BEGIN);

	while (line && *line && *word) {
		const char *end = strchrnul(line, '\n');
		const char *cell = line + 2, *bar;

		if (strncmp(line, "| `", 3) == 0 && (bar = memmem(cell, (size_t)(end - cell), " | ", 3)) != NULL &&
		    end - bar > 5 && names_word(cell, (size_t)(bar - cell), word))
			return without_markup(bar + 3, (size_t)(end - bar) - 5);
		line = *end ? end + 1 : end;
	}
	return NULL;
}
