/* Base64. */
#include "base/base64.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

static int sextet_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

char *base64_decode(const char *text, size_t *ret_len)
{
	size_t len = 0, padding = 0, digits = 0;
	char *out = xmalloc(strlen(text) / 4 * 3 + 4);
	uint32_t group = 0;

	for (const char *p = text; *p; p++) {
		int value = sextet_value(*p);

		if (*p == '\n' || *p == '\r')
			continue;
		if (*p == '=')
			padding++;
		else if (value < 0 || padding > 0)
			goto bad;
		group = group << 6 | (uint32_t)(value < 0 ? 0 : value);
		if (++digits % 4 != 0)
			continue;
		out[len++] = (char)(group >> 16);
		out[len++] = (char)(group >> 8);
		out[len++] = (char)group;
	}
	if (digits % 4 != 0 || padding > 2)
		goto bad;
	len -= padding;
	out[len] = '\0';
	*ret_len = len;
	return out;
bad:
	out[len] = '\0';
	free_secret(out);
	return NULL;
}

char *base64_encode(const char *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = xmalloc((len + 2) / 3 * 4 + 1), *to = out;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)(unsigned char)data[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)(unsigned char)data[i + 1] << 8;
		if (i + 2 < len)
			group |= (unsigned char)data[i + 2];
		*to++ = digits[group >> 18];
		*to++ = digits[group >> 12 & 63];
		*to++ = i + 1 < len ? digits[group >> 6 & 63] : '=';
		*to++ = i + 2 < len ? digits[group & 63] : '=';
	}
	*to = '\0';
	return out;
}
