/* A text in sections: one piece for a terminal, which is printed as it is, and titled parts for a page. For one thread.
 */
#ifndef PGSYNC_BASE_SECTIONS_H
#define PGSYNC_BASE_SECTIONS_H

#include <stddef.h>

#include "base/strbuf.h"

enum section_kind { SECTION_TEXT, SECTION_SQL, SECTION_JSON };

struct section {
	enum section_kind kind;
	char *title;
	size_t start; /* in the text: its heading, or its body if no heading was printed */
	size_t body;
};

/* Append to the text; what was appended since a section began belongs to it. */
struct sections {
	struct strbuf text;
	struct section *items;
	size_t n;
	size_t alloc;
};

/* max: bytes of the text. */
void sections_init(struct sections *s, size_t max);
void sections_release(struct sections *s);
/* Begins a section: appends an empty line and the title with a colon. */
void sections_begin(struct sections *s, enum section_kind kind, const char *title);
/* The same, for one whose body begins without a heading. */
void sections_begin_bare(struct sections *s, enum section_kind kind, const char *title);
/* The body of section i: lines of the text, without the heading. Borrowed, of len bytes. */
const char *sections_body(const struct sections *s, size_t i, size_t *len);
const char *sections_kind_name(enum section_kind kind);

#endif
