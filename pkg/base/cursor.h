/* A bounded byte cursor over bytes from outside.
 *
 * Every read returns whether it succeeded; a failed one consumes nothing and writes nothing. Nothing is copied: slices
 * and strings point into the input, which must outlive them.
 */
#ifndef PGSYNC_BASE_CURSOR_H
#define PGSYNC_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cursor {
	const char *data;
	size_t len;
	size_t pos;
};

void cursor_init(struct cursor *c, const void *data, size_t len);
size_t cursor_left(const struct cursor *c);

/* Integers are big-endian. */
bool cursor_u8(struct cursor *c, uint8_t *ret) WARN_UNUSED;
bool cursor_u16(struct cursor *c, uint16_t *ret) WARN_UNUSED;
bool cursor_u32(struct cursor *c, uint32_t *ret) WARN_UNUSED;
bool cursor_u64(struct cursor *c, uint64_t *ret) WARN_UNUSED;
bool cursor_bytes(struct cursor *c, size_t len, const char **ret) WARN_UNUSED;
/* A NUL-terminated string; the NUL is consumed. */
bool cursor_cstring(struct cursor *c, const char **ret) WARN_UNUSED;

#endif
