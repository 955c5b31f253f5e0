/* From dirty keys up to the root keys whose documents they are part of. Nothing is written here.
 *
 * There may be many roots (a row that a million documents share): a cursor pages through them, so that memory never
 * holds all of them. If the transaction ends in between (snapshot.h), the server keeps the rest of the keys, and no
 * lock. A resolver belongs to one thread, as its connection does.
 */
#ifndef PGSYNC_APPLY_RESOLVE_H
#define PGSYNC_APPLY_RESOLVE_H

#include "apply/model.h"
#include "apply/page.h"

/* What a thread resolves keys with, in the transaction that is open on its connection. */
struct resolver {
	const struct model *model; /* borrowed */
	struct snapshot *snapshot; /* borrowed */
	struct page_params params;
	struct keyset roots; /* a page of them at a time */
	struct strbuf key;   /* one of them */
};

void resolver_init(struct resolver *r, const struct model *model, struct snapshot *snapshot);
/* Also accepts a resolver that is all zeros. */
void resolver_release(struct resolver *r);

/* Where the root keys of one plan go. */
struct resolve {
	struct resolver *with;
	size_t plan;
	/* Takes a page of them, which is gone when it returns. It may use the connection, and end the transaction and
	 * begin another one: the cursor stays open. */
	int (*found)(void *user, const struct page *roots, struct err *err);
	void *user;
};

/* The roots of the page's keys, which are keys of the path. If `found` fails because of a value, that counts as the
 * page's failure. An old key whose value makes the path's query fail has no roots. 1: a key that is not old made the
 * query fail, so every root may depend on it. */
int resolve_path(const struct resolve *r, const struct document_path *path, const struct page *page,
		 struct err *err) WARN_UNUSED;
/* Every root of the plan. */
int resolve_all(const struct resolve *r, struct err *err) WARN_UNUSED;

#endif
