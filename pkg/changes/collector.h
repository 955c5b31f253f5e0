/* From pgoutput messages to dirty keys (pure).
 *
 * Targets of keys, numbered over all documents of the schema:
 *   [0, n_plans)                  a root key of that plan: the values of its columns. With routing, one value more when
 *                                 the root's own row says it: the routing, empty for none (which to the search engine
 *                                 is the same as the empty text). A root that changes its routing is two keys.
 *   [n_plans, + n_paths)          the columns of a path that goes up by SQL
 *   [first_all, + n_plans)        no values: every root (TRUNCATE, the base table of a view, or an old row that the WAL
 *                                 lacks)
 *   [first_rebuild, + n_plans)    no values: the root was truncated, or is as little known; what is gone has to go
 *   [first_retry, + n_plans)      no values: the documents whose dead letters are retried (apply/retries.h)
 *   [first_scan, + n_scans)       no values: the rows of a partition, as if they were inserted
 */
#ifndef PGSYNC_CHANGES_COLLECTOR_H
#define PGSYNC_CHANGES_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "changes/batch.h"
#include "document/document.h"
#include "postgres/pgoutput.h"

/* The plans of a schema with their targets. Immutable while an attempt runs. */
struct targets {
	struct document_plan *const *plans;
	size_t n_plans;
	uint32_t first_path, first_all, first_rebuild, first_retry, first_scan, n;
};

void targets_init(struct targets *targets, struct document_plan *const *plans, size_t n_plans);

/* Assigns numbers to more scans. */
void targets_add_scans(struct targets *targets, size_t n_scans);

enum target_kind { TARGET_ROOT, TARGET_PATH, TARGET_ALL, TARGET_REBUILD, TARGET_RETRY, TARGET_SCAN };

struct target {
	enum target_kind kind;
	size_t plan;                      /* but SCAN */
	size_t scan;                      /* SCAN */
	const struct document_path *path; /* PATH */
};
struct target target_at(const struct targets *targets, uint32_t number);

struct collector;

struct collector *collector_new(const struct targets *targets);
void collector_free(struct collector *collector);
CLEANUP(struct collector, collector_free);

/* Call it when a relation was described: finds which columns of its rows matter. False if its replica identity lacks
 * some of them: its changes are still handled correctly, but each one costs a read of every root.
 *
 * Changes in partitions come under the partitioned table's OID, with the old values that the partition's identity put
 * into the WAL. The server describes each partition before its first change in the session, and again after its
 * identity changed, each time right after its partitioned table: so what a partition lacks is known before one of its
 * changes arrives, whenever it was created or attached. */
bool collector_relation(struct collector *collector, const struct pgoutput_relation *relation);
/* True if the old rows of some described relation lack what is needed. */
bool collector_has_gaps(const struct collector *collector);
/* Adds what an INSERT, UPDATE, DELETE or TRUNCATE makes dirty to the batch's open transaction. LIMIT: a key does not
 * fit. */
int collector_change(struct collector *collector, const struct pgoutput_message *message, struct batch *batch,
		     struct err *err) WARN_UNUSED;

#endif
