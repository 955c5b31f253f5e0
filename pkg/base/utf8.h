/* UTF-8 validation (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF). */
#ifndef PGSYNC_BASE_UTF8_H
#define PGSYNC_BASE_UTF8_H

#include <stddef.h>

/* The length in bytes of the valid sequence at the start of s, or 0 when there is none within len bytes. */
size_t utf8_sequence(const char *s, size_t len);
/* The longest length <= max at which s can be cut without parting a character; len when all of it fits. Bytes that are
 * not UTF-8 count as characters. */
size_t utf8_prefix(const char *s, size_t len, size_t max);

#endif
