/* Documents that are tried again because the cause of their dead letters may be gone: on their way from the monitor,
 * which finds them (apply/retrier.h), to the applier, one page at a time.
 *
 * They are written like everything else: the stream adds them to its batch as of the position below which it has read
 * everything, and the applier reads their rows in a snapshot that contains all of that. So no second writer is needed,
 * and a retry that was overtaken by a change loses. A dead letter is deleted only once its document is durable: a
 * worker that ends in between leaves both.
 *
 * Any thread may use it; each function names the thread that calls it. */
#ifndef PGSYNC_APPLY_RETRIES_H
#define PGSYNC_APPLY_RETRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "apply/model.h"
#include "changes/batch.h"
#include "sink/dead_letters.h"

struct retries;

struct retries *retries_new(void);
void retries_free(struct retries *r);

/* For the monitor. True if nothing is on its way, so that another page may be offered. */
bool retries_idle(struct retries *r);
void retries_offer_take(struct retries *r, size_t plan, struct dead_letters_retries *page);
/* For the stream. If a page was offered, opens a transaction for it in the batch, as of `lsn`, below which everything
 * was read. */
void retries_add(const struct model *m, struct batch *batch, uint64_t lsn);
/* For the applier: the page that is in its batch, until it is done. */
struct dead_letters_retries *retries_page(struct retries *r);
void retries_done(struct retries *r);

#endif
