/* The registry: families, series, and their values. */
#include "metrics/metrics.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "metrics/metrics_int.h"

enum {
	VALUE_BYTES = 512, /* of a label value; the rest is cut off */
	KEY_BYTES = METRICS_LABELS * (VALUE_BYTES + 1),
};

static void series_free(void *value)
{
	struct series *s = value;

	for (size_t i = 0; i < METRICS_LABELS; i++)
		free(s->values[i]);
	free(s->buckets);
	free(s);
}

static void metric_free(struct metric *metric)
{
	map_free(metric->series);
	for (size_t i = 0; i < metric->n_labels; i++)
		free(metric->labels[i]);
	free(metric->bounds);
	free(metric->name);
	free(metric->help);
	free(metric);
}

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	if (pthread_mutex_init(&m->lock, NULL) != 0)
		abort();
	m->last = &m->first;
	return m;
}

void metrics_free(struct metrics *m)
{
	struct metric *next;

	if (!m)
		return;
	for (struct metric *metric = m->first; metric; metric = next) {
		next = metric->next;
		metric_free(metric);
	}
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

void metrics_lock(struct metrics *m)
{
	if (pthread_mutex_lock(&m->lock) != 0)
		abort();
}

void metrics_unlock(struct metrics *m)
{
	if (pthread_mutex_unlock(&m->lock) != 0)
		abort();
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, and no colon in the name of a label. */
static bool is_name(const char *s, bool label)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";
	size_t len = strspn(s, letters);

	return len > 0 && s[len] == '\0' && !(*s >= '0' && *s <= '9') && !(label && strchr(s, ':'));
}

static size_t count_labels(const char *const *labels)
{
	size_t n = 0;

	while (labels && labels[n])
		n++;
	return n;
}

static bool same_labels(const struct metric *metric, const char *const *labels)
{
	if (count_labels(labels) != metric->n_labels)
		return false;
	for (size_t i = 0; i < metric->n_labels; i++)
		if (strcmp(metric->labels[i], labels[i]) != 0)
			return false;
	return true;
}

static struct metric *metric_new(struct metrics *m, enum metric_type type, const char *name, const char *help,
				 const char *const *labels)
{
	struct metric *metric = xcalloc(1, sizeof(*metric));

	assert(is_name(name, false));
	assert(count_labels(labels) <= METRICS_LABELS);
	metric->registry = m;
	metric->type = type;
	metric->name = xstrdup(name);
	metric->help = xstrdup(help);
	metric->series = map_new(series_free);
	for (; labels && labels[metric->n_labels]; metric->n_labels++) {
		assert(is_name(labels[metric->n_labels], true) && strcmp(labels[metric->n_labels], "le") != 0);
		metric->labels[metric->n_labels] = xstrdup(labels[metric->n_labels]);
	}
	return metric;
}

static struct metric *find_metric(const struct metrics *m, const char *name)
{
	for (struct metric *metric = m->first; metric; metric = metric->next)
		if (strcmp(metric->name, name) == 0)
			return metric;
	return NULL;
}

/* The family of this name, created if it does not exist. The lock is held. */
static struct metric *family(struct metrics *m, enum metric_type type, const char *name, const char *help,
			     const char *const *labels)
{
	struct metric *metric = find_metric(m, name);

	if (metric) {
		assert(metric->type == type && same_labels(metric, labels));
		return metric;
	}
	metric = metric_new(m, type, name, help, labels);
	*m->last = metric;
	m->last = &metric->next;
	return metric;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *help, const char *const *labels)
{
	struct metric *metric;

	metrics_lock(m);
	metric = family(m, METRIC_COUNTER, name, help, labels);
	metrics_unlock(m);
	return metric;
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help, const char *const *labels)
{
	struct metric *metric;

	metrics_lock(m);
	metric = family(m, METRIC_GAUGE, name, help, labels);
	metrics_unlock(m);
	return metric;
}

struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *const *labels,
				 const double *bounds, size_t n)
{
	struct metric *metric;

	for (size_t i = 0; i < n; i++)
		assert(isfinite(bounds[i]) && (i == 0 || bounds[i] > bounds[i - 1]));
	metrics_lock(m);
	metric = family(m, METRIC_HISTOGRAM, name, help, labels);
	if (!metric->bounds) {
		metric->bounds = xmemdup(bounds, n * sizeof(*bounds));
		metric->n_bounds = n;
	}
	metrics_unlock(m);
	return metric;
}

/* The series of these values; NULL when there is none and create is false. The lock is held. */
static struct series *find_series(struct metric *metric, const char *const *values, bool create)
{
	char key[KEY_BYTES];
	size_t len = 0;
	struct series *s;

	assert(count_labels(values) == metric->n_labels);
	for (size_t i = 0; i < metric->n_labels; i++) {
		size_t n = strnlen(values[i], VALUE_BYTES);

		memcpy(key + len, values[i], n);
		key[len + n] = '\0';
		len += n + 1;
	}
	s = map_get(metric->series, key, len);
	if (s || !create)
		return s;
	s = xcalloc(1, sizeof(*s));
	for (size_t i = 0; i < metric->n_labels; i++)
		s->values[i] = xstrndup(values[i], strnlen(values[i], VALUE_BYTES));
	if (metric->type == METRIC_HISTOGRAM)
		s->buckets = xcalloc(metric->n_bounds, sizeof(*s->buckets));
	map_put(metric->series, key, len, s);
	return s;
}

void metric_add(struct metric *metric, const char *const *values, double by)
{
	assert(metric->type == METRIC_GAUGE || (metric->type == METRIC_COUNTER && by >= 0));
	metrics_lock(metric->registry);
	find_series(metric, values, true)->value += by;
	metrics_unlock(metric->registry);
}

void metric_set(struct metric *metric, const char *const *values, double to)
{
	assert(metric->type != METRIC_HISTOGRAM);
	metrics_lock(metric->registry);
	find_series(metric, values, true)->value = to;
	metrics_unlock(metric->registry);
}

void metric_observe(struct metric *metric, const char *const *values, double value)
{
	struct series *s;
	size_t i = 0;

	assert(metric->type == METRIC_HISTOGRAM && !isnan(value));
	while (i < metric->n_bounds && value > metric->bounds[i])
		i++;
	metrics_lock(metric->registry);
	s = find_series(metric, values, true);
	if (i < metric->n_bounds)
		s->buckets[i]++;
	s->count++;
	s->sum += value;
	metrics_unlock(metric->registry);
}

double metric_get(struct metric *metric, const char *const *values)
{
	const struct series *s;
	double value = 0;

	metrics_lock(metric->registry);
	s = find_series(metric, values, false);
	if (s)
		value = metric->type == METRIC_HISTOGRAM ? (double)s->count : s->value;
	metrics_unlock(metric->registry);
	return value;
}

struct removal {
	struct metric *metric;
	const char *const *labels, *const *values;
};

static bool has_value(const struct metric *metric, const struct series *s, const char *label, const char *value)
{
	for (size_t i = 0; i < metric->n_labels; i++)
		if (strcmp(metric->labels[i], label) == 0)
			return !value || strncmp(s->values[i], value, VALUE_BYTES) == 0;
	return false;
}

static bool remove_series(void *user, const char *key, size_t len, void *value)
{
	const struct removal *r = user;

	for (size_t i = 0; r->labels[i]; i++)
		if (!has_value(r->metric, value, r->labels[i], r->values[i]))
			return true;
	(void)map_remove(r->metric->series, key, len);
	return true;
}

void metrics_remove(struct metrics *m, const char *const *labels, const char *const *values)
{
	metrics_lock(m);
	for (struct metric *metric = m->first; metric; metric = metric->next)
		map_each(metric->series, remove_series,
			 &(struct removal){.metric = metric, .labels = labels, .values = values});
	metrics_unlock(m);
}
