#include <stdio.h>

#include "base/amount.h"
#include "base/mem.h"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

const char *amount_of_bytes(uint64_t bytes, char buf[AMOUNT_BYTES])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	uint64_t tenths = 0;

	for (; bytes >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++) {
		tenths = bytes % 1024 * 10 / 1024;
		bytes /= 1024;
	}
	if (unit && bytes < 10)
		(void)snprintf(buf, AMOUNT_BYTES, "%llu.%llu%s", (unsigned long long)bytes, (unsigned long long)tenths,
			       units[unit]);
	else
		(void)snprintf(buf, AMOUNT_BYTES, "%llu%s", (unsigned long long)bytes, units[unit]);
	return buf;
}

const char *amount_of_time(int64_t seconds, char buf[AMOUNT_BYTES])
{
	long long n = seconds < 0 ? 0 : (long long)seconds;

	if (n < 2 * MINUTE)
		(void)snprintf(buf, AMOUNT_BYTES, "%llds", n);
	else if (n < 2 * HOUR)
		(void)snprintf(buf, AMOUNT_BYTES, "%lldm", n / MINUTE);
	else if (n < 2 * DAY)
		(void)snprintf(buf, AMOUNT_BYTES, "%lldh", n / HOUR);
	else
		(void)snprintf(buf, AMOUNT_BYTES, "%lldd", n / DAY);
	return buf;
}
