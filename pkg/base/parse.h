/* Numbers and escapes in text. A number is a whole string: no sign, no blanks, no locale, no overflow. */
#ifndef PGSYNC_BASE_PARSE_H
#define PGSYNC_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

bool parse_u64(const char *s, size_t len, uint64_t *ret) WARN_UNUSED;
/* As parse_u64, and within [min, max]. */
bool parse_range(const char *s, uint64_t min, uint64_t max, uint64_t *ret) WARN_UNUSED;
/* A log sequence number, "16/B374D848". */
bool parse_lsn(const char *s, uint64_t *ret) WARN_UNUSED;
/* "15s", "500ms", "2m", "1h" or plain seconds, in milliseconds. */
bool parse_duration_ms(const char *s, int64_t *ret) WARN_UNUSED;

/* Decodes %XX in [from, to); any other % stays as it is, as in Python's urllib. Caller frees (free_secret, if it may be
 * one). *ret_len: its length, since %00 is a NUL. */
char *percent_decode(const char *from, const char *to, size_t *ret_len);

/* For printf: an LSN as Postgres writes it. */
#define LSN_FMT "%X/%X"
#define LSN_ARGS(lsn) (unsigned)((lsn) >> 32), (unsigned)(lsn)
enum { LSN_BYTES = 18 };
/* Writes LSN_FMT into buf and returns it. */
char *lsn_format(uint64_t lsn, char buf[LSN_BYTES]);

#endif
