/* Pages of keys: as many keys as one query takes, the query's parameters, and tasks on a page that survive values which
 * make them fail.
 *
 * Everything belongs to the thread whose connection is used. */
#ifndef PGSYNC_APPLY_PAGE_H
#define PGSYNC_APPLY_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "apply/snapshot.h"
#include "changes/keyset.h"
#include "document/document.h"

/* Keys of one target. */
struct page {
	const struct keyset *set;
	const struct key *const *keys;
	size_t n;
	bool old; /* none of them was touched after the generation was begun */
};

/* The most keys of one page of the plan. */
size_t page_most(const struct document_plan *plan);

/* The keys as parameters of a query: an array for each of their columns. */
struct page_params {
	struct strbuf arrays[DOCUMENT_MAX_KEYS];
	const char *values[DOCUMENT_MAX_KEYS];
};

void page_params_init(struct page_params *params);
void page_params_release(struct page_params *params);
/* Uses the first n columns of each key. LIMIT: they are too large. */
int page_params_set(struct page_params *params, const struct page *page, size_t n, struct err *err) WARN_UNUSED;

/* A task on a page, within the open transaction, that a value may make fail, or that may take too long. */
struct page_task {
	struct snapshot *snapshot; /* the task may go on in the next one */
	const char *savepoint;     /* nested tasks need different names */
	int (*run)(void *user, const struct page *page, struct err *err);
	/* Called if the page's only key fails; but not if it is old and fails because of a value. If it takes too long,
	 * that is an error (limits_exceeded_by). */
	int (*failed_alone)(void *user, const struct page *page, const struct err *why, struct err *err);
	/* Called if the transaction has to end, because the engine is late or others wait for its locks (snapshot.h),
	 * once the task was undone. 1: run it again, on what is left in *page. 0: it failed. NULL: it failed. */
	int (*interrupted)(void *user, struct page *page, struct err *err);
	void *user;
};

/* Runs the task in a savepoint. 1: it failed, possibly because of a value or because it took too long, and was undone;
 * *err says why. */
int page_try(const struct page_task *task, const struct page *page, struct err *err) WARN_UNUSED;
/* The same, but if it fails because of a value, the page is halved until the key with that value is alone. An old key
 * is then skipped: its values are from before the generation was begun, and may be of a type that the column no longer
 * has. Then no such row exists, and the bootstrap reads what it became. A page that takes too long is halved too. */
int page_halve(const struct page_task *task, const struct page *page, struct err *err) WARN_UNUSED;

#endif
