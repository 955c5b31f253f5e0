/* Retries dead letters: finds those whose cause may be gone, and submits them to be tried again.
 *
 * A dead letter contains the fingerprint that its index had when its document was tried (sink/index_fingerprint.h).
 * While there are dead letters, each round compares it with the index's current fingerprint. If they differ, a pass
 * goes through all dead letters, page by page; a document that fails again gets the new fingerprint, and is left alone.
 * So there is one retry for each change, and consecutive passes wait longer and longer. Changes of rows need no pass:
 * the stream contains them. Users may also request a pass, by a command (sink/requests.h) or an annotation: then it
 * begins at once.
 *
 * For the control thread. */
#ifndef PGSYNC_APPLY_RETRIER_H
#define PGSYNC_APPLY_RETRIER_H

#include "apply/model.h"
#include "conditions/report.h"
#include "sink/dead_letter_pages.h"
#include "sink/requests.h"
#include "sink/sink.h"

struct retrier_index;

/* Everything is borrowed. */
struct retrier_options {
	const struct model *model;
	const struct sink *sink;
	struct report *report;
	const char *key;   /* of the checkpoint */
	const char *nonce; /* the annotation's value; or NULL */
};

struct retrier {
	struct retrier_options in;
	struct retrier_index *indices; /* one for each plan */
	size_t plan;                   /* whose turn it is */
	bool passing;                  /* through the dead letters of this plan */
	struct dead_letter_pages pages;
	bool asked;               /* requests are being carried out: */
	struct requests requests; /* these, */
	bool nonce_open;          /* and those of the annotation's value, unless that was done before */
};

void retrier_init(struct retrier *r, const struct retrier_options *options);
/* Also accepts a struct that is all zeros. */
void retrier_release(struct retrier *r);

enum { RETRIER_ROUND_MS = 5000, RETRIER_PAGE_MS = 200 };

/* One round: a check, or one page of a pass. live: documents may be tried again now. Sets *ret_pause, the time to the
 * next round. 1: something was submitted, so wake the stream. An error concerns only this round. */
int retrier_round(struct retrier *r, bool live, int64_t *ret_pause, struct err *err) WARN_UNUSED;
/* True if nothing is on its way, and every index with dead letters has had a pass: all whose cause was gone by then
 * have been tried. */
bool retrier_is_settled(const struct retrier *r);

#endif
