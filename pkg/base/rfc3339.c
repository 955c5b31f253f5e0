/* RFC 3339 times, as API servers and exec plugins write them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/rfc3339.h"

/* Reads exactly `digits` digits and the character `after` (0: none); moves *p past them. */
static bool read_digits(const char **p, size_t digits, char after, int *ret)
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
	if (!read_digits(&p, 2, ':', &hours) || !read_digits(&p, 2, 0, &minutes) || *p)
		return false;
	*ret = sign * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

bool rfc3339_parse(const char *text, int64_t *ret_us)
{
	const char *p = text;
	struct tm tm = {0};
	int64_t fraction_us = 0, unit = 100000, offset;

	if (!read_digits(&p, 4, '-', &tm.tm_year) || !read_digits(&p, 2, '-', &tm.tm_mon) ||
	    !read_digits(&p, 2, 'T', &tm.tm_mday) || !read_digits(&p, 2, ':', &tm.tm_hour) ||
	    !read_digits(&p, 2, ':', &tm.tm_min) || !read_digits(&p, 2, 0, &tm.tm_sec))
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
