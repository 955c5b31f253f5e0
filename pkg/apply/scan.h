/* Reads the rows of a partition that was attached, as if they had just been inserted. A scanner belongs to one thread,
 * as its connection does. */
#ifndef PGSYNC_APPLY_SCAN_H
#define PGSYNC_APPLY_SCAN_H

#include "apply/model.h"
#include "changes/batch.h"
#include "postgres/pg.h"

/* What a thread scans partitions with, in the transaction that is open on its connection. */
struct scanner {
	const struct model *model; /* borrowed */
	struct pg *pg;             /* borrowed */
	struct collector *collector;
	struct batch rows; /* what a page of rows makes dirty */
};

void scanner_init(struct scanner *s, const struct model *model, struct pg *pg);
/* Also accepts a scanner that is all zeros. */
void scanner_release(struct scanner *s);

/* Takes what a page of rows makes dirty: a batch of one transaction, newer than everything. It may use the connection,
 * as struct resolve's `found`. */
typedef int scan_fn(void *user, const struct batch *rows, struct err *err);

int scan_partition(struct scanner *s, const struct partition_scan *scan, scan_fn *found, void *user,
		   struct err *err) WARN_UNUSED;

#endif
