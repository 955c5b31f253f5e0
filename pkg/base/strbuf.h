/* A growing byte buffer that cannot be created without its maximum.
 *
 * `data` is always NUL-terminated at `data[len]` and never NULL; embedded NULs are fine. Once an append would cross the
 * maximum nothing is added, `overflow` is set and stays set until strbuf_reset, and appending further does nothing: so
 * a sequence of appends needs one check at its end (strbuf_ok).
 *
 * One for secrets wipes whatever it leaves behind: memory that it has outgrown, what is cut off, and all when it is
 * released. What strbuf_detach returns is then for free_secret.
 */
#ifndef PGSYNC_BASE_STRBUF_H
#define PGSYNC_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct strbuf {
	char *data;
	size_t len;
	size_t alloc;
	size_t max;
	bool overflow;
	bool secret;
};

/* max: the largest `len` that the buffer may reach, in bytes. Allocates nothing yet. */
void strbuf_init(struct strbuf *sb, size_t max);
void strbuf_init_secret(struct strbuf *sb, size_t max);
void strbuf_release(struct strbuf *sb);
/* Empties the buffer and keeps its memory. */
void strbuf_reset(struct strbuf *sb);
bool strbuf_ok(const struct strbuf *sb);
/* Makes room for `extra` more bytes at data + len and returns that place, or NULL when the maximum forbids it. */
char *strbuf_reserve(struct strbuf *sb, size_t extra);

void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_adds(struct strbuf *sb, const char *s);
void strbuf_addc(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
void strbuf_addu(struct strbuf *sb, unsigned long long value);
/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8 are replaced by U+FFFD, and what terminals act
 * on is escaped. */
void strbuf_add_json(struct strbuf *sb, const char *s, size_t len);
void strbuf_truncate(struct strbuf *sb, size_t len);

/* Returns the contents (caller frees) and leaves an empty buffer with the same maximum. */
char *strbuf_detach(struct strbuf *sb);

#endif
