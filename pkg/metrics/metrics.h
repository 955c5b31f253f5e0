/* Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).
 *
 * A registry may be used from any thread. Families are registered once, with their label names; a series is created at
 * its first use and lives until metrics_remove. Metric handles are never freed before their registry. Use that
 * contradicts a family's registration (type, labels, bounds) is a programming error (assert).
 */
#ifndef PGSYNC_METRICS_METRICS_H
#define PGSYNC_METRICS_METRICS_H

#include <stddef.h>

#include "base/mem.h"
#include "base/strbuf.h"

struct metrics;
struct metric;

enum { METRICS_LABELS = 4 };
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
CLEANUP(struct metrics, metrics_free);

/* labels: NULL-terminated names, at most METRICS_LABELS, or NULL. Asking for a name again gives the same family. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *help, const char *const *labels);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help, const char *const *labels);
/* bounds: n ascending upper bounds. */
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *const *labels,
				 const double *bounds, size_t n);

/* values: one for each label name, NULL-terminated, or NULL if the family has none. Only the first 512 bytes of each
 * count. */
/* Counters only grow; metric_set is for gauges, and for counters that mirror a total counted elsewhere. */
void metric_add(struct metric *metric, const char *const *values, double by);
void metric_set(struct metric *metric, const char *const *values, double to);
void metric_observe(struct metric *metric, const char *const *values, double value);
/* The value, or the number of observations of a histogram; 0 if the series does not exist. */
double metric_get(struct metric *metric, const char *const *values);
/* Removes each series, in all families, that has all of these labels with these values (a resource is gone). labels and
 * values: as many of each, NULL-terminated; a value that is NULL stands for any. */
void metrics_remove(struct metrics *m, const char *const *labels, const char *const *values);

/* Adds process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds, process_start_time_seconds at render
 * time. */
void metrics_enable_process(struct metrics *m);

/* Appends the whole registry: families in order of registration, series in order of first use; families without series
 * are left out. The text is complete only if strbuf_ok(out). Content type: METRICS_CONTENT_TYPE. */
void metrics_render(struct metrics *m, struct strbuf *out);

#endif
