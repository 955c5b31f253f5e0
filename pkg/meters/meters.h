/* The engine's metrics: the only place that knows their names. May be used by any thread. */
#ifndef PGSYNC_METERS_METERS_H
#define PGSYNC_METERS_METERS_H

#include <stdint.h>

#include "base/mem.h"

struct metrics;
struct bulk_stats;
struct meters;

/* metrics may be NULL: then nothing is counted. */
struct meters *meters_new(struct metrics *metrics);
void meters_free(struct meters *metrics);
CLEANUP(struct meters, meters_free);

void meters_change(struct meters *metrics, const char *op);
void meters_transaction(struct meters *metrics);
void meters_batch(struct meters *metrics, uint64_t keys, int64_t duration_us);
void meters_visibility_wait(struct meters *metrics, int64_t duration_us);
/* Adds what happened since `last`, and advances `last`. */
void meters_bulk(struct meters *metrics, struct bulk_stats *last, const struct bulk_stats *now);
void meters_nulled(struct meters *metrics, uint64_t n);
void meters_lag(struct meters *metrics, int64_t seconds, uint64_t bytes, uint64_t retained);
void meters_bootstrap(struct meters *metrics, uint64_t rows, double ratio);

#endif
