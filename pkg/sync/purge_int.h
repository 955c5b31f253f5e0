/* Documents of rows that are gone without an event of their own: those that left a view, those of a truncated table.
 *
 * Everything that the root holds has just been written with one version, and is durable: so whatever is older is gone.
 * This needs no list of keys in memory, and no way back from an _id to a key; a page of hits says place and version. A
 * document that was rejected leaves its older self without a row as well: only its letter stays.
 */
#ifndef PGSYNC_SYNC_PURGE_INT_H
#define PGSYNC_SYNC_PURGE_INT_H

#include "sync/reader_int.h"

/* Deletes the documents of r's plan that are older than r->version, and its dead letters. */
int purge_older(struct reading *r, struct err *err) WARN_UNUSED;

#endif
