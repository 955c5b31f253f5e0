/* UTF-8 validation, and cutting. */
#include "base/utf8.h"

#include <string.h>

static bool is_continuation(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

/* The second byte narrows what the first allows: this excludes overlong forms, surrogates and everything above
 * U+10FFFF. */
static bool second_byte_ok(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xE0:
		return second >= 0xA0;
	case 0xED:
		return second <= 0x9F;
	case 0xF0:
		return second >= 0x90;
	case 0xF4:
		return second <= 0x8F;
	default:
		return true;
	}
}

size_t utf8_length(char first)
{
	unsigned char c = (unsigned char)first;

	if (c < 0x80)
		return 1;
	if (c >= 0xC2 && c <= 0xDF)
		return 2;
	if ((c & 0xF0) == 0xE0)
		return 3;
	return c >= 0xF0 && c <= 0xF4 ? 4 : 0;
}

size_t utf8_sequence(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = len ? utf8_length(*s) : 0;

	if (n < 2)
		return n;
	if (len < n || !second_byte_ok(u[0], u[1]))
		return 0;
	for (size_t i = 1; i < n; i++)
		if (!is_continuation(u[i]))
			return 0;
	return n;
}

unsigned utf8_code_point(const char *s, size_t n)
{
	unsigned c = n == 1 ? (unsigned char)*s : (unsigned char)*s & (0xFFU >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3FU);
	return c;
}

bool utf8_acts_on_terminals(unsigned c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || (c >= 0x200E && c <= 0x200F) ||
	       (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void utf8_make_printable(char *text)
{
	for (size_t left = strlen(text); left;) {
		size_t n = utf8_sequence(text, left);
		bool printable = n && (*text == '\n' || !utf8_acts_on_terminals(utf8_code_point(text, n)));

		n = n ? n : 1;
		if (!printable)
			memset(text, '?', n);
		text += n;
		left -= n;
	}
}

size_t utf8_prefix(const char *s, size_t len, size_t max)
{
	size_t start = max;

	if (len <= max)
		return len;
	/* Back to the first byte of the character at max. A sequence has at most four bytes. */
	while (start > 0 && max - start < 3 && is_continuation((unsigned char)s[start]))
		start--;
	return start + utf8_sequence(s + start, len - start) > max ? start : max;
}
