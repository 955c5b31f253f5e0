/* Decoder of a list answer that never holds the whole list: objects are passed on one by one as the text arrives. */
#ifndef PGSYNC_KUBE_LISTING_INT_H
#define PGSYNC_KUBE_LISTING_INT_H

#include <stddef.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

struct kube_listing;

/* max_item: the most bytes of one object, and of everything around the objects. as_text: as for kube_keep_text; or
 * NULL. */
struct kube_listing *kube_listing_new(size_t max_item, const char *const *as_text);
void kube_listing_free(struct kube_listing *listing);
CLEANUP(struct kube_listing, kube_listing_free);

/* Calls item for each object of "items" that is complete. Errors: FATAL (not the JSON of a list), LIMIT. */
int kube_listing_feed(struct kube_listing *listing, const char *data, size_t len,
		      void (*item)(void *user, json_t *object), void *user, struct err *err) WARN_UNUSED;
/* At the end of the text: what surrounds the objects (kind, metadata; items is empty). The caller's reference.
 * Errors: FATAL when the text is cut short. */
int kube_listing_finish(struct kube_listing *listing, json_t **ret, struct err *err) WARN_UNUSED;

#endif
