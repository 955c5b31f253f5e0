/* The last 15 minutes of a PgSync: a ring with one sample for each step. */
#include "console/console_int.h"

#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "screen/screen.h"
#include "json/json.h"

enum { UNKNOWN = -1, RATE_STEPS = 2 }; /* rates are those of the last 10 seconds */

struct console_sample console_history_sample(const json_t *resource)
{
	const json_t *status = json_object_get(resource, "status");
	const char *lsn = jsonx_string(status, "stream.confirmedFlushLSN", "");
	int64_t lag = jsonx_integer(status, "stream.lagSeconds", UNKNOWN);
	int64_t rows = jsonx_integer(status, "bootstrap.rowsDone", UNKNOWN);
	struct console_sample sample = {.lag_s = (int32_t)(lag > INT32_MAX ? INT32_MAX : lag),
					.wal_bytes = jsonx_integer(status, "stream.retainedWALBytes", UNKNOWN)};

	if (rows >= 0 && !screen_condition_is(resource, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE)) {
		sample.counts = CONSOLE_COUNTS_ROWS;
		sample.counter = (uint64_t)rows;
	} else if (parse_lsn(lsn, &sample.counter)) {
		sample.counts = CONSOLE_COUNTS_WAL;
	}
	return sample;
}

static int64_t step_of(int64_t now_ms)
{
	return now_ms / CONSOLE_STEP_MS;
}

static int64_t oldest_step(const struct console_history *h)
{
	return h->newest - (int64_t)h->n + 1;
}

/* What was known at a step, which is no older than the oldest: until the next sample, the last one. */
static const struct console_sample *sample_at(const struct console_history *h, int64_t step)
{
	return &h->samples[(step > h->newest ? h->newest : step) % CONSOLE_STEPS];
}

static void append_sample(struct console_history *h, const struct console_sample *sample)
{
	h->samples[++h->newest % CONSOLE_STEPS] = *sample;
	h->n += h->n < CONSOLE_STEPS;
}

void console_history_add(struct console_history *h, int64_t now_ms, const struct console_sample *sample)
{
	struct console_sample last;
	int64_t step = step_of(now_ms);

	if (h->n == 0) {
		h->newest = step - 1;
		append_sample(h, sample);
		return;
	}
	last = *sample_at(h, h->newest);
	for (int i = 0; i < CONSOLE_STEPS && h->newest < step; i++)
		append_sample(h, &last);
	if (h->newest < step) { /* the ring has only the last sample; move it to the present */
		for (size_t i = 0; i < CONSOLE_STEPS; i++)
			h->samples[i] = last;
		h->newest = step;
	}
	h->samples[h->newest % CONSOLE_STEPS] = *sample;
}

/* Change a second, or UNKNOWN. */
static int64_t rate_at(const struct console_history *h, int64_t step)
{
	int64_t from = step - RATE_STEPS < oldest_step(h) ? oldest_step(h) : step - RATE_STEPS;
	const struct console_sample *first = sample_at(h, from), *last = sample_at(h, step);

	if (from == step || last->counts == CONSOLE_COUNTS_NOTHING || first->counts != last->counts ||
	    last->counter < first->counter)
		return UNKNOWN;
	return (int64_t)((last->counter - first->counter) * 1000 / (uint64_t)((step - from) * CONSOLE_STEP_MS));
}

static int64_t lag_at(const struct console_history *h, int64_t step)
{
	return sample_at(h, step)->lag_s;
}

static int64_t wal_at(const struct console_history *h, int64_t step)
{
	return sample_at(h, step)->wal_bytes;
}

void console_history_json(const struct console_history *h, int64_t now_ms, struct strbuf *ret)
{
	static const struct {
		const char *name;
		int64_t (*value)(const struct console_history *h, int64_t step);
	} series[] = {{"lagSeconds", lag_at}, {"rate", rate_at}, {"retainedWALBytes", wal_at}};
	int64_t last = h && h->n && step_of(now_ms) < h->newest ? h->newest : step_of(now_ms);
	int64_t first = last - CONSOLE_STEPS + 1;

	if (h && h->n && first < oldest_step(h))
		first = oldest_step(h);
	strbuf_addf(ret, "{\"stepSeconds\":%d", CONSOLE_STEP_MS / 1000);
	for (size_t i = 0; i < ARRAY_SIZE(series); i++) {
		strbuf_addf(ret, ",\"%s\":[", series[i].name);
		for (int64_t step = first; h && h->n && step <= last; step++) {
			int64_t value = series[i].value(h, step);

			strbuf_adds(ret, step > first ? "," : "");
			if (value < 0)
				strbuf_adds(ret, "null");
			else
				strbuf_addf(ret, "%" PRId64, value);
		}
		strbuf_addc(ret, ']');
	}
	strbuf_adds(ret, "}");
}
