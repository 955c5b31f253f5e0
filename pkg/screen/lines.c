/* Lines of a log about one PgSync. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "screen/screen.h"

enum { LINE_BYTES = 16 * 1024 * 1024 };

void screen_lines_init(struct screen_lines *lines, const char *resource)
{
	static const char *const forms[SCREEN_LINE_FORMS] = {/* As a worker and an operator write text, and JSON. */
							     " pgsync=%s ", " resource=\"%s\"", "\"pgsync\":\"%s\"",
							     "\"resource\":\"%s\""};

	strbuf_init(&lines->rest, LINE_BYTES);
	for (size_t i = 0; i < SCREEN_LINE_FORMS; i++) {
		const char *mark = strchr(forms[i], '%');

		lines->marks[i] = xasprintf("%.*s%s%s", (int)(mark - forms[i]), forms[i], resource, mark + 2);
	}
}

void screen_lines_release(struct screen_lines *lines)
{
	strbuf_release(&lines->rest);
	for (size_t i = 0; i < SCREEN_LINE_FORMS; i++)
		free(TAKE_PTR(lines->marks[i]));
}

static bool is_about(const struct screen_lines *lines, const char *line, size_t len)
{
	for (size_t i = 0; i < SCREEN_LINE_FORMS; i++)
		if (memmem(line, len, lines->marks[i], strlen(lines->marks[i])))
			return true;
	return false;
}

/* The line gets a blank at its end, so that a field that is its last one ends as the others do. */
static void judge_line(struct screen_lines *lines, struct strbuf *out)
{
	size_t len = lines->rest.len;

	strbuf_addc(&lines->rest, ' ');
	if (strbuf_ok(&lines->rest) && is_about(lines, lines->rest.data, lines->rest.len)) {
		strbuf_add(out, lines->rest.data, len);
		strbuf_addc(out, '\n');
	}
	strbuf_reset(&lines->rest);
}

void screen_lines_feed(struct screen_lines *lines, const char *data, size_t len, struct strbuf *out)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		strbuf_add(&lines->rest, data, n);
		if (!end)
			return;
		judge_line(lines, out);
		data += n + 1;
		len -= n + 1;
	}
}
