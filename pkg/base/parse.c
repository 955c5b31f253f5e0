/* Numbers and escapes in text. */
#include "base/parse.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 255;
}

static bool parse_digits(const char *s, size_t len, unsigned base, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!len)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)digit_value(s[i]);

		if (digit >= base || digit > max || value > (max - digit) / base)
			return false;
		value = value * base + digit;
	}
	*ret = value;
	return true;
}

bool parse_u64(const char *s, size_t len, uint64_t *ret)
{
	return parse_digits(s, len, 10, UINT64_MAX, ret);
}

bool parse_range(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value;

	if (!parse_digits(s, strlen(s), 10, max, &value) || value < min)
		return false;
	*ret = value;
	return true;
}

bool parse_lsn(const char *s, uint64_t *ret)
{
	const char *slash = strchr(s, '/');
	uint64_t high, low;

	if (!slash || !parse_digits(s, (size_t)(slash - s), 16, UINT32_MAX, &high) ||
	    !parse_digits(slash + 1, strlen(slash + 1), 16, UINT32_MAX, &low))
		return false;
	*ret = high << 32 | low;
	return true;
}

bool parse_duration_ms(const char *s, int64_t *ret)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"", 1000}};
	size_t digits = strspn(s, "0123456789");
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(s + digits, units[i].suffix) != 0)
			continue;
		if (!parse_digits(s, digits, 10, (uint64_t)INT64_MAX / units[i].ms, &value))
			return false;
		*ret = (int64_t)(value * units[i].ms);
		return true;
	}
	return false;
}

char *lsn_format(uint64_t lsn, char buf[LSN_BYTES])
{
	(void)snprintf(buf, LSN_BYTES, LSN_FMT, LSN_ARGS(lsn));
	return buf;
}

char *percent_decode(const char *from, const char *to, size_t *ret_len)
{
	char *decoded = xmalloc((size_t)(to - from) + 1), *out = decoded;

	while (from < to) {
		if (*from == '%' && to - from >= 3 && digit_value(from[1]) < 16 && digit_value(from[2]) < 16) {
			*out++ = (char)(digit_value(from[1]) * 16 + digit_value(from[2]));
			from += 3;
		} else {
			*out++ = *from++;
		}
	}
	*out = '\0';
	*ret_len = (size_t)(out - decoded);
	return decoded;
}
