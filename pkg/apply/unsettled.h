/* The unsettled chunks of a bootstrap: begun, but not all of their writes are answered. Deletes wait for them.
 *
 * A row that is deleted after a chunk has read it may still be on its way into the index. Its version makes that write
 * lose against the delete, but only as long as the engine remembers the delete, which is not guaranteed: it forgets
 * when a shard is reopened or moved, or after index.gc_deletes. So the applier sends deletes only once all chunks that
 * were begun before it read are settled (apply.h); later chunks do not see the row. Then nothing older than a delete
 * can arrive after it:
 *
 *   a chunk's write      is answered by then (what an ingest pipeline drops is deleted at once, and once more then)
 *   the applier's own    is answered, because it writes one batch after the other
 *   one that was lost    ends the attempt before the delete is sent (search.h); the next attempt refuses what arrives
 *                        late (sink/write_alias.h), and gets the delete from the stream again
 *   an earlier attempt's is refused in the same way
 *
 * Any thread may use it. */
#ifndef PGSYNC_APPLY_UNSETTLED_H
#define PGSYNC_APPLY_UNSETTLED_H

#include <stdbool.h>
#include <stdint.h>

struct unsettled;

struct unsettled *unsettled_new(void);
void unsettled_free(struct unsettled *u);

/* Call it before anything of the chunk is read. Returns its number: one more than that of the previous chunk. */
uint64_t unsettled_begin(struct unsettled *u);
/* Call it once everything that the chunk wrote is answered. */
void unsettled_end(struct unsettled *u, uint64_t chunk);
/* The number of the last chunk that was begun; 0: none. */
uint64_t unsettled_last(struct unsettled *u);
/* True if any chunk up to this one is unsettled. */
bool unsettled_any(struct unsettled *u, uint64_t last);

#endif
