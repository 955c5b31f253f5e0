/* The text of a registry, in Prometheus' exposition format 0.0.4. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "metrics/metrics.h"
#include "metrics/metrics_int.h"

static const char *const type_names[] = {"counter", "gauge", "histogram"};

/* Backslash and line feed are escaped, in label values the quote as well; what is not UTF-8 becomes U+FFFD. */
static void add_escaped(struct strbuf *out, const char *s, bool in_quotes)
{
	size_t left = strlen(s);

	while (left) {
		size_t n = utf8_sequence(s, left);

		if (*s == '\n')
			strbuf_adds(out, "\\n");
		else if (*s == '\\' || (in_quotes && *s == '"'))
			strbuf_addf(out, "\\%c", *s);
		else if (n)
			strbuf_add(out, s, n);
		else
			strbuf_adds(out, "\xEF\xBF\xBD");
		s += n ? n : 1;
		left -= n ? n : 1;
	}
}

/* The shortest of three precisions that preserves the value. */
static void add_number(struct strbuf *out, double value)
{
	char text[32];

	if (isnan(value)) {
		strbuf_adds(out, "NaN");
		return;
	}
	if (isinf(value)) {
		strbuf_adds(out, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	strbuf_adds(out, text);
}

/* name{label="value",...,le="bound"} and the blank; le may be NULL. */
static void add_series_name(struct strbuf *out, const struct metric *metric, const char *suffix, const struct series *s,
			    const double *le)
{
	const char *before = "{";

	strbuf_addf(out, "%s%s", metric->name, suffix);
	for (size_t i = 0; i < metric->n_labels; i++) {
		strbuf_addf(out, "%s%s=\"", before, metric->labels[i]);
		add_escaped(out, s->values[i], true);
		strbuf_addc(out, '"');
		before = ",";
	}
	if (le) {
		strbuf_addf(out, "%sle=\"", before);
		add_number(out, *le);
		strbuf_addc(out, '"');
		before = ",";
	}
	strbuf_adds(out, *before == ',' ? "} " : " ");
}

static void add_histogram(struct strbuf *out, const struct metric *metric, const struct series *s)
{
	const double infinity = INFINITY;
	uint64_t below = 0;

	for (size_t i = 0; i < metric->n_bounds; i++) {
		below += s->buckets[i];
		add_series_name(out, metric, "_bucket", s, &metric->bounds[i]);
		strbuf_addf(out, "%" PRIu64 "\n", below);
	}
	add_series_name(out, metric, "_bucket", s, &infinity);
	strbuf_addf(out, "%" PRIu64 "\n", s->count);
	add_series_name(out, metric, "_sum", s, NULL);
	add_number(out, s->sum);
	strbuf_addc(out, '\n');
	add_series_name(out, metric, "_count", s, NULL);
	strbuf_addf(out, "%" PRIu64 "\n", s->count);
}

struct rendering {
	const struct metric *metric;
	struct strbuf *out;
};

static bool add_metric_series(void *user, const char *key, size_t len, void *value)
{
	const struct rendering *r = user;
	const struct series *s = value;

	UNUSED(key);
	UNUSED(len);
	if (r->metric->type == METRIC_HISTOGRAM) {
		add_histogram(r->out, r->metric, s);
		return true;
	}
	add_series_name(r->out, r->metric, "", s, NULL);
	add_number(r->out, s->value);
	strbuf_addc(r->out, '\n');
	return true;
}

static void add_family(struct strbuf *out, const struct metric *metric)
{
	if (!map_size(metric->series))
		return;
	strbuf_addf(out, "# HELP %s ", metric->name);
	add_escaped(out, metric->help, false);
	strbuf_addf(out, "\n# TYPE %s %s\n", metric->name, type_names[metric->type]);
	map_each(metric->series, add_metric_series, &(struct rendering){.metric = metric, .out = out});
}

void metrics_render(struct metrics *m, struct strbuf *out)
{
	metrics_refresh_process(m);
	metrics_lock(m);
	for (const struct metric *metric = m->first; metric; metric = metric->next)
		add_family(out, metric);
	metrics_unlock(m);
}
