/* A text, and where its sections begin. */
#include "base/sections.h"

#include <stdlib.h>

#include "base/mem.h"

void sections_init(struct sections *s, size_t max)
{
	*s = (struct sections){0};
	strbuf_init(&s->text, max);
}

void sections_release(struct sections *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].title);
	free(s->items);
	strbuf_release(&s->text);
	*s = (struct sections){0};
}

void sections_begin_bare(struct sections *s, enum section_kind kind, const char *title)
{
	ALLOC_GROW(s->items, s->n + 1, s->alloc);
	s->items[s->n++] =
		(struct section){.kind = kind, .title = xstrdup(title), .start = s->text.len, .body = s->text.len};
}

void sections_begin(struct sections *s, enum section_kind kind, const char *title)
{
	sections_begin_bare(s, kind, title);
	strbuf_addf(&s->text, "\n%s:\n", title);
	s->items[s->n - 1].body = s->text.len;
}

const char *sections_body(const struct sections *s, size_t i, size_t *len)
{
	size_t end = i + 1 < s->n ? s->items[i + 1].start : s->text.len;

	*len = end - s->items[i].body;
	return *len ? s->text.data + s->items[i].body : "";
}

const char *sections_kind_name(enum section_kind kind)
{
	static const char *const names[] = {[SECTION_TEXT] = "text", [SECTION_SQL] = "sql", [SECTION_JSON] = "json"};

	return names[kind];
}
