/* What the files of this package share. */
#ifndef PGSYNC_METRICS_METRICS_INT_H
#define PGSYNC_METRICS_METRICS_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "metrics/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct series {
	char *values[METRICS_LABELS]; /* one for each of the family's labels */
	double value;                 /* COUNTER, GAUGE */
	double sum;                   /* HISTOGRAM, as are the next */
	uint64_t count;
	uint64_t *buckets; /* for each bound, the observations up to it and above the previous one */
};

struct metric {
	struct metrics *registry;
	struct metric *next;
	enum metric_type type;
	char *name;
	char *help;
	char *labels[METRICS_LABELS];
	size_t n_labels;
	double *bounds;
	size_t n_bounds;
	struct map *series; /* label values, each with its NUL -> struct series */
};

struct metrics {
	pthread_mutex_t lock;
	struct metric *first; /* in the order of registration */
	struct metric **last;
	bool with_process;
	double start_time;
};

void metrics_lock(struct metrics *m);
void metrics_unlock(struct metrics *m);

/* Brings the metrics of the process up to date. The lock must not be held. */
void metrics_refresh_process(struct metrics *m);

#endif
