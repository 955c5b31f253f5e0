/* Applies a batch of dirty keys: each target's keys are resolved to root keys, which become
 * documents or deletes. While a generation is being filled, the deletes are held back: the caller adds them once all
 * chunks are settled that were begun before the last snapshot was taken (apply/unsettled.h). The first snapshot is the
 * caller's; when the engine is late, it ends, and others follow (apply/snapshot.h).
 *
 * Belongs to the applier thread.
 */
#ifndef PGSYNC_APPLY_APPLY_H
#define PGSYNC_APPLY_APPLY_H

#include "apply/build.h"
#include "apply/resolve.h"
#include "apply/scan.h"

struct apply {
	const struct model *model;
	struct builder builder;
	struct resolver resolver;
	struct scanner scanner;
	bool never_bootstrap;  /* nothing would fill a new index; the caller sets it */
	bool live;             /* no generation is being filled; the caller sets it */
	uint64_t *purge_below; /* for each plan whose index may contain documents of rows that are gone: the version
				* that all other documents were just written with; 0 for other plans */
	struct keyset held;    /* root keys whose deletes are held back, each with its plan as the target */
	uint64_t held_version; /* of the batch that they are from */
	uint64_t retried;      /* the version of documents that were tried again; 0: none was */
	uint64_t rebuild;      /* a bit for each plan whose root was truncated: its index has to be rebuilt */
};

/* Everything is borrowed. */
void apply_init(struct apply *a, const struct model *model, struct snapshot *snapshot, struct bulk *bulk,
		struct dead_letters *dead);
/* Also accepts a struct that is all zeros. */
void apply_release(struct apply *a);

/* Which targets the first n transactions touched; caller frees. */
bool *apply_touched(const struct model *model, const struct batch *batch, size_t n_txns);
/* Writes the documents that the first n transactions made dirty. All of them are visible in the snapshot that is
 * open. */
int apply_batch(struct apply *a, const struct batch *batch, size_t n_txns, struct err *err) WARN_UNUSED;
/* True if deletes are held back. */
bool apply_holds(const struct apply *a);
/* Adds the deletes that were held back. */
int apply_held(struct apply *a, struct err *err) WARN_UNUSED;
/* Call it once everything written is durable: adds deletes for documents whose rows are gone, and for dead letters
 * whose documents were successfully tried again. 1: there may be something to flush. */
int apply_finish(struct apply *a, struct err *err) WARN_UNUSED;

#endif
