/* Time and back-off. Pure code takes `now_ms` as an argument; only loops ask a clock. */
#ifndef PGSYNC_BASE_CLOCK_H
#define PGSYNC_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds since boot, counting suspension (CLOCK_BOOTTIME): for deadlines and leases. */
int64_t clock_now_ms(void);
int64_t clock_now_us(void);
/* Microseconds since 1970 UTC: for display. */
int64_t clock_wall_us(void);

enum { CLOCK_RFC3339_BYTES = 32 };
/* "2006-01-02T15:04:05Z", and with six fractional digits. Returns buf. */
char *clock_rfc3339(int64_t wall_us, char buf[CLOCK_RFC3339_BYTES]);
char *clock_rfc3339_micro(int64_t wall_us, char buf[CLOCK_RFC3339_BYTES]);

/* Exponential back-off with full jitter: the n-th delay is random in [base/2, min(cap, base * 2^n)]. */
struct backoff {
	int64_t base_ms;
	int64_t cap_ms;
	unsigned attempt;
	uint64_t seed; /* state of the generator; any value */
};

void backoff_init(struct backoff *b, int64_t base_ms, int64_t cap_ms, uint64_t seed);
void backoff_reset(struct backoff *b);
int64_t backoff_next_ms(struct backoff *b);

/* A small pseudo-random generator (xorshift64*) for jitter; not for secrets. */
uint64_t random_next(uint64_t *state);
/* A seed that differs between processes and calls. */
uint64_t random_seed(void);

#endif
