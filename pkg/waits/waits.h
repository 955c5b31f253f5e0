/* Waiting until a position of the WAL is in the index: threads wait, and the stream tells them how far the index is.
 *
 * All functions may be called by any thread. Functions of the stream do not wait.
 */
#ifndef PGSYNC_WAITS_WAITS_H
#define PGSYNC_WAITS_WAITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct waits;

struct waits *waits_new(void);
void waits_free(struct waits *waits);
CLEANUP(struct waits, waits_free);

/* --- threads that wait */

enum waits_end {
	WAITS_REACHED,
	WAITS_TIMEOUT,
	WAITS_CLOSED, /* there will be no more streams */
};

/* Waits until everything that was committed before `lsn` is in the index that searches see. *ret_reached: the position
 * up to which that was known at the end; 0: not known yet. */
enum waits_end waits_wait(struct waits *waits, uint64_t lsn, int64_t timeout_ms, uint64_t *ret_reached);
/* Counts streams. Positions that two of them told cannot be compared: the server may have been restored in between. */
uint64_t waits_stream(struct waits *waits);
/* Ends all waits, now and later. */
void waits_close(struct waits *waits);
bool waits_closed(struct waits *waits);

/* --- the stream */

/* A stream begins, with an eventfd that becomes readable when a wait begins for what is not reached yet; -1: it has
 * ended. In any case the position is no longer known. */
void waits_attach(struct waits *waits, int wake_fd);
/* The highest position that is waited for; 0: none. */
uint64_t waits_wanted(struct waits *waits);
/* Everything below is in the index. After a restart the position may be lower than before. */
void waits_reached(struct waits *waits, uint64_t lsn);

#endif
