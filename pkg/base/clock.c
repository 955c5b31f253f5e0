/* Time and back-off. */
#include "base/clock.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

int64_t clock_now_ms(void)
{
	return clock_now_us() / 1000;
}

int64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

static size_t format_seconds(int64_t wall_us, char *buf, size_t size)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	return strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
}

char *clock_rfc3339(int64_t wall_us, char buf[CLOCK_RFC3339_BYTES])
{
	size_t len = format_seconds(wall_us, buf, CLOCK_RFC3339_BYTES);

	(void)snprintf(buf + len, CLOCK_RFC3339_BYTES - len, "Z");
	return buf;
}

char *clock_rfc3339_micro(int64_t wall_us, char buf[CLOCK_RFC3339_BYTES])
{
	size_t len = format_seconds(wall_us, buf, CLOCK_RFC3339_BYTES);

	(void)snprintf(buf + len, CLOCK_RFC3339_BYTES - len, ".%06dZ", (int)(wall_us % 1000000));
	return buf;
}

void backoff_init(struct backoff *b, int64_t base_ms, int64_t cap_ms, uint64_t seed)
{
	*b = (struct backoff){.base_ms = base_ms, .cap_ms = cap_ms, .seed = seed};
}

void backoff_reset(struct backoff *b)
{
	b->attempt = 0;
}

int64_t backoff_next_ms(struct backoff *b)
{
	int64_t ceiling = b->base_ms;
	int64_t floor = b->base_ms / 2;

	for (unsigned i = 0; i < b->attempt && ceiling < b->cap_ms; i++)
		ceiling *= 2;
	if (ceiling > b->cap_ms)
		ceiling = b->cap_ms;
	b->attempt++;
	return floor + (int64_t)(random_next(&b->seed) % (uint64_t)(ceiling - floor + 1));
}

uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state ? *state : 0x9E3779B97F4A7C15U;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545F4914F6CDD1DU;
}

uint64_t random_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)clock_now_us() * 2654435761U + (uint64_t)getpid();
	return seed;
}
