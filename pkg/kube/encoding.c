/* Base64 and RFC 3339 times, as kubeconfigs and exec plugins write them. */
#include <stdlib.h>

#include "base/parse.h"
#include "kube/config_int.h"

static int base64_value(char c)
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
		int value = base64_value(*p);

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

/* Reads exactly `digits` digits and the character `after` (0: none); moves *p behind them. */
static bool number(const char **p, size_t digits, char after, int *ret)
{
	uint64_t value;

	if (strnlen(*p, digits) < digits || !parse_u64(*p, digits, &value))
		return false;
	*p += digits;
	if (after && *(*p)++ != after)
		return false;
	*ret = (int)value;
	return true;
}

/* "Z" or "+hh:mm", in seconds. */
static bool zone(const char *p, int64_t *ret)
{
	int hours, minutes, sign = *p == '-' ? -1 : 1;

	*ret = 0;
	if (*p == 'Z' || *p == 'z')
		return p[1] == '\0';
	if (*p != '+' && *p != '-')
		return false;
	p++;
	if (!number(&p, 2, ':', &hours) || !number(&p, 2, 0, &minutes) || *p)
		return false;
	*ret = sign * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

bool rfc3339_parse(const char *text, int64_t *ret_us)
{
	const char *p = text;
	struct tm tm = {0};
	int64_t fraction_us = 0, unit = 100000, offset;

	if (!number(&p, 4, '-', &tm.tm_year) || !number(&p, 2, '-', &tm.tm_mon) || !number(&p, 2, 'T', &tm.tm_mday) ||
	    !number(&p, 2, ':', &tm.tm_hour) || !number(&p, 2, ':', &tm.tm_min) || !number(&p, 2, 0, &tm.tm_sec))
		return false;
	if (*p == '.') {
		p++;
		for (; *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction_us += (*p - '0') * unit;
	}
	if (!zone(p, &offset) || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_us = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction_us;
	return true;
}
