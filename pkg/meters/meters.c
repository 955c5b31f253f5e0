/* The engine's metrics. */
#include "meters/meters.h"

#include <stdlib.h>

#include "metrics/metrics.h"
#include "search/search.h"

struct meters {
	struct metric *changes, *transactions, *documents, *dropped, *rejections, *conflicts, *retries, *bytes, *nulled;
	struct metric *batch_keys, *batch_seconds, *visibility_seconds;
	struct metric *lag_seconds, *lag_bytes, *retained_bytes, *bootstrap_rows, *bootstrap_ratio;
};

struct meters *meters_new(struct metrics *m)
{
	static const char *const op[] = {"op", NULL};
	static const double keys[] = {1, 10, 100, 1000, 10000};
	static const double seconds[] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
	struct meters *x;

	if (!m)
		return NULL;
	x = xcalloc(1, sizeof(*x));
	x->changes = metrics_counter(m, "pgsync_changes_total", "Row changes read from the WAL.", op);
	x->transactions = metrics_counter(m, "pgsync_transactions_total", "Transactions read from the WAL.", NULL);
	x->documents = metrics_counter(m, "pgsync_documents_total", "Documents written or deleted in the index.", op);
	x->dropped = metrics_counter(m, "pgsync_documents_dropped_total", "Documents that an ingest pipeline dropped.",
				     NULL);
	x->rejections = metrics_counter(m, "pgsync_bulk_rejections_total", "Documents that the index rejected.", NULL);
	x->conflicts = metrics_counter(m, "pgsync_bulk_conflicts_total",
				       "Writes of documents that had a newer version already.", NULL);
	x->retries = metrics_counter(m, "pgsync_bulk_retries_total", "Bulk items sent again.", NULL);
	x->bytes = metrics_counter(m, "pgsync_bulk_bytes_total", "Bytes of bulk bodies.", NULL);
	x->nulled = metrics_counter(m, "pgsync_values_nulled_total",
				    "Values written as null because no search engine accepts them.", NULL);
	x->batch_keys =
		metrics_histogram(m, "pgsync_batch_keys", "Dirty keys of a batch.", NULL, keys, ARRAY_SIZE(keys));
	x->batch_seconds =
		metrics_histogram(m, "pgsync_batch_duration_seconds", "From a batch's start to its durability.", NULL,
				  seconds, ARRAY_SIZE(seconds));
	x->visibility_seconds = metrics_histogram(m, "pgsync_visibility_wait_seconds",
						  "Waits for a commit to become visible to other sessions.", NULL,
						  seconds, ARRAY_SIZE(seconds));
	x->lag_seconds = metrics_gauge(m, "pgsync_lag_seconds", "Age of the oldest commit not yet in the index.", NULL);
	x->lag_bytes = metrics_gauge(m, "pgsync_lag_bytes", "WAL not yet acknowledged.", NULL);
	x->retained_bytes = metrics_gauge(m, "pgsync_slot_retained_bytes", "WAL retained for the slot.", NULL);
	x->bootstrap_rows = metrics_gauge(m, "pgsync_rows_bootstrapped", "Root rows copied by the bootstrap.", NULL);
	x->bootstrap_ratio = metrics_gauge(m, "pgsync_bootstrap_progress_ratio", "Share of the bootstrap done.", NULL);
	return x;
}

void meters_free(struct meters *x)
{
	free(x);
}

void meters_change(struct meters *x, const char *op)
{
	if (x)
		metric_add(x->changes, (const char *const[]){op, NULL}, 1);
}

void meters_transaction(struct meters *x)
{
	if (x)
		metric_add(x->transactions, NULL, 1);
}

void meters_batch(struct meters *x, uint64_t keys, int64_t duration_us)
{
	if (!x)
		return;
	metric_observe(x->batch_keys, NULL, (double)keys);
	metric_observe(x->batch_seconds, NULL, (double)duration_us / 1e6);
}

void meters_visibility_wait(struct meters *x, int64_t duration_us)
{
	if (x)
		metric_observe(x->visibility_seconds, NULL, (double)duration_us / 1e6);
}

void meters_bulk(struct meters *x, struct bulk_stats *last, const struct bulk_stats *now)
{
	if (x) {
		metric_add(x->documents, (const char *const[]){"index", NULL}, (double)(now->indexed - last->indexed));
		metric_add(x->documents, (const char *const[]){"delete", NULL}, (double)(now->deleted - last->deleted));
		metric_add(x->dropped, NULL, (double)(now->dropped - last->dropped));
		metric_add(x->conflicts, NULL, (double)(now->conflicts - last->conflicts));
		metric_add(x->rejections, NULL, (double)(now->rejected - last->rejected));
		metric_add(x->retries, NULL, (double)(now->retries - last->retries));
		metric_add(x->bytes, NULL, (double)(now->bytes - last->bytes));
	}
	*last = *now;
}

void meters_nulled(struct meters *x, uint64_t n)
{
	if (x)
		metric_add(x->nulled, NULL, (double)n);
}

void meters_lag(struct meters *x, int64_t seconds, uint64_t bytes, uint64_t retained)
{
	if (!x)
		return;
	metric_set(x->lag_seconds, NULL, (double)seconds);
	metric_set(x->lag_bytes, NULL, (double)bytes);
	metric_set(x->retained_bytes, NULL, (double)retained);
}

void meters_bootstrap(struct meters *x, uint64_t rows, double ratio)
{
	if (!x)
		return;
	metric_set(x->bootstrap_rows, NULL, (double)rows);
	metric_set(x->bootstrap_ratio, NULL, ratio);
}
