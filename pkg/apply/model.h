/* What an attempt works with: the documents as compiled against the catalog, and the indices that they go to.
 *
 * Built by preflight and recovery; const once the attempt's threads run, so they share it without a lock.
 */
#ifndef PGSYNC_APPLY_MODEL_H
#define PGSYNC_APPLY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "changes/collector.h"
#include "document/document.h"
#include "postgres/catalog.h"
#include "source/source.h"

/* A partition that was added: its rows are read as if they had just been inserted. */
struct partition_scan {
	const struct catalog_table *table; /* partitioned */
	const struct catalog_part *part;
};

/* What has to be read because partitions were added or removed (apply/partition_changes.h). */
struct partition_changes {
	bool pending;
	bool *all; /* for each plan: read every root */
	struct partition_scan *scans;
	size_t n_scans;
};

struct unsettled;
struct retries;

struct model {
	struct catalog *catalog;
	struct document_plan **plans; /* one for each document of the schema */
	size_t n_plans;
	struct source_tables tables; /* that the plans read */
	struct targets targets;
	char *snapshot_sql; /* see snapshot.h */
	char **concrete;    /* for each plan, the index being written */
	uint64_t *filled;   /* for each plan, the LSN up to which the index holds every commit once it is filled: the
			     * version of what a bootstrap writes */
	struct partition_changes partition_changes;
	struct unsettled *unsettled; /* chunks that deletes wait for; locks itself */
	struct retries *retries;     /* documents to try again; locks itself */
};

struct compilation;

/* A model of the documents, all of which compiled; takes them out of the compilation. */
void model_init_take(struct model *m, struct compilation *c);
void model_release(struct model *m);

#endif
