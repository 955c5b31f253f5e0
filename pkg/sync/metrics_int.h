/* The engine's metrics: the only place that knows their names. May be used by any thread. */
#ifndef PGSYNC_SYNC_METRICS_INT_H
#define PGSYNC_SYNC_METRICS_INT_H

#include <stdint.h>

#include "base/mem.h"

struct metrics;
struct bulk_stats;
struct sync_metrics;

/* metrics may be NULL: then nothing is counted. */
struct sync_metrics *sync_metrics_new(struct metrics *metrics);
void sync_metrics_free(struct sync_metrics *metrics);
CLEANUP(struct sync_metrics, sync_metrics_free);

void sync_metrics_change(struct sync_metrics *metrics, const char *op);
void sync_metrics_transaction(struct sync_metrics *metrics);
void sync_metrics_batch(struct sync_metrics *metrics, uint64_t keys, int64_t duration_us);
void sync_metrics_visibility_wait(struct sync_metrics *metrics, int64_t duration_us);
/* Adds what happened since `last`, and advances `last`. */
void sync_metrics_bulk(struct sync_metrics *metrics, struct bulk_stats *last, const struct bulk_stats *now);
void sync_metrics_nulled(struct sync_metrics *metrics, uint64_t n);
void sync_metrics_lag(struct sync_metrics *metrics, int64_t seconds, uint64_t bytes, uint64_t retained);
void sync_metrics_bootstrap(struct sync_metrics *metrics, uint64_t rows, double ratio);

#endif
