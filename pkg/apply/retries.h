/* Documents that are tried again because the cause of their dead letters may be gone: on their way from the monitor,
 * which finds them (apply/retrier.h), to the applier, one page at a time.
 *
 * They are written as everything else is: the stream adds them to its batch as of the position below which it has read
 * everything, and the applier reads their rows in a snapshot that contains all of that. So no other writer is needed,
 * and a retry that was overtaken by a change loses. A dead letter goes when its document is durable, and not before: a
 * worker that ends in between leaves both.
 *
 * Any thread may use it; the functions say whose they are.
 */
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

/* The monitor's. Nothing is on its way: another page may be offered. */
bool retries_idle(struct retries *r);
void retries_offer_take(struct retries *r, size_t plan, struct dead_letters_retries *page);
/* The stream's. If a page was offered, opens a transaction for it in the batch, as of `lsn`, below which everything was
 * read. */
void retries_add(const struct model *m, struct batch *batch, uint64_t lsn);
/* The applier's: the page that is in its batch, until it is done. */
struct dead_letters_retries *retries_page(struct retries *r);
void retries_done(struct retries *r);

#endif
