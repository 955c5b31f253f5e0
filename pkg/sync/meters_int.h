/* The engine's metrics: one place that knows their names. Any thread. */
#ifndef PGSYNC_SYNC_METERS_INT_H
#define PGSYNC_SYNC_METERS_INT_H

#include <stdint.h>

#include "base/mem.h"

struct metrics;
struct bulk_stats;
struct meters;

/* metrics may be NULL: then nothing is counted. */
struct meters *meters_new(struct metrics *metrics);
void meters_free(struct meters *meters);
CLEANUP(struct meters, meters_free);

void meters_change(struct meters *meters, const char *op);
void meters_transaction(struct meters *meters);
void meters_batch(struct meters *meters, uint64_t keys, int64_t duration_us);
void meters_visibility_wait(struct meters *meters, int64_t duration_us);
/* Adds what happened since `last`, and moves `last` on. */
void meters_bulk(struct meters *meters, struct bulk_stats *last, const struct bulk_stats *now);
void meters_nulled(struct meters *meters, uint64_t n);
void meters_lag(struct meters *meters, int64_t seconds, uint64_t bytes, uint64_t retained);
void meters_bootstrap(struct meters *meters, uint64_t rows, double ratio);

#endif
