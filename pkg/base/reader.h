/* A bounded reader over bytes from outside.
 *
 * Every get says whether it succeeded; on failure nothing is consumed and nothing is written. Nothing is copied: slices
 * and strings point into the input, which must outlive them.
 */
#ifndef PGSYNC_BASE_READER_H
#define PGSYNC_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct reader {
	const char *data;
	size_t len;
	size_t pos;
};

void reader_init(struct reader *r, const void *data, size_t len);
size_t reader_left(const struct reader *r);

/* Integers are big-endian. */
bool reader_u8(struct reader *r, uint8_t *ret) WARN_UNUSED;
bool reader_u16(struct reader *r, uint16_t *ret) WARN_UNUSED;
bool reader_u32(struct reader *r, uint32_t *ret) WARN_UNUSED;
bool reader_u64(struct reader *r, uint64_t *ret) WARN_UNUSED;
bool reader_bytes(struct reader *r, size_t len, const char **ret) WARN_UNUSED;
/* A NUL-terminated string; the NUL is consumed. */
bool reader_cstring(struct reader *r, const char **ret) WARN_UNUSED;

#endif
