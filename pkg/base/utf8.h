/* UTF-8 validation (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF). */
#ifndef PGSYNC_BASE_UTF8_H
#define PGSYNC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of a sequence that begins with this byte, or 0 if none does. */
size_t utf8_length(char first);
/* The length in bytes of the valid sequence at the start of s, or 0 when there is none within len bytes. */
size_t utf8_sequence(const char *s, size_t len);
/* The code point of a valid sequence of n bytes. */
unsigned utf8_code_point(const char *s, size_t n);
/* Whether terminals act on a character instead of showing it: control characters, and those that change the direction
 * of a text. All of them have four hexadecimal digits. */
bool utf8_acts_on_terminals(unsigned code_point);
/* Puts a question mark in the place of each byte that is not UTF-8, and of each byte of what terminals act on, except
 * for ends of lines. */
void utf8_make_printable(char *text);
/* The longest length <= max at which s can be cut without parting a character; len when all of it fits. Bytes that are
 * not UTF-8 count as characters. */
size_t utf8_prefix(const char *s, size_t len, size_t max);

#endif
