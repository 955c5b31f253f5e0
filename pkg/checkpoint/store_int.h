/* Shared between the files of this package only: the document in the index, and the checkpoint in Redis. */
#ifndef PGSYNC_CHECKPOINT_STORE_INT_H
#define PGSYNC_CHECKPOINT_STORE_INT_H

#include "checkpoint/checkpoint.h"
#include "json/json.h"

/* The time of a save: nothing is decided by it, and two documents that differ in nothing else are the same. */
#define CHECKPOINT_SAVED_KEY "savedMicros"

/* Writes the document in the index if it still has cp's version, and updates that. */
int checkpoint_put_document(struct search *search, const char *key, const json_t *document, struct checkpoint *cp,
			    struct err *err) WARN_UNUSED;

/* --- stamp.c --- */
/* Whether a document of the index only says that the checkpoint is in Redis. */
bool checkpoint_is_stamp(const json_t *document);
/* The checkpoint in Redis, if it is the one that the stamp is of; else one that is `lost`. */
int checkpoint_load_stamped(const struct checkpoint_store *store, const char *key, const json_t *stamp,
			    struct checkpoint *ret, struct err *err) WARN_UNUSED;
/* document: of cp. */
int checkpoint_save_stamped(const struct checkpoint_store *store, const char *key, json_t *document,
			    struct checkpoint *cp, struct err *err) WARN_UNUSED;
int checkpoint_remove_from_redis(const struct checkpoint_store *store, const char *key, struct err *err) WARN_UNUSED;

#endif
