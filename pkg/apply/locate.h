/* Finds the row whose value makes a document fail: in the root's table or below it, by running what the nodes of the
 * tree read from their rows (document_probe), node by node, in halves.
 */
#ifndef PGSYNC_APPLY_LOCATE_H
#define PGSYNC_APPLY_LOCATE_H

#include "document/document.h"
#include "postgres/pg.h"

/* Appends "public.books, id 7, column `price`". 1: found. 0: the document fails for another reason, such as its size.
 * Works in the open transaction, and leaves it usable. */
int locate_row(struct pg *pg, const struct document_plan *plan, const struct document_key *root, struct strbuf *ret,
	       struct err *err) WARN_UNUSED;

#endif
