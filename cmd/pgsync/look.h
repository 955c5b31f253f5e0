/* What the console of pgsync run and pgsync compare say about documents. Values are borrowed, and results are new
 * references. Everything but look_document is pure. */
#ifndef PGSYNC_CMD_LOOK_H
#define PGSYNC_CMD_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "base/err.h"

enum {
	LOOK_TIMEOUT_MS = 10000, /* for each answer of the search engine */
	LOOK_DIFFERENCES = 50,   /* that are listed; more are only counted */
	LOOK_FIELDS = 4,         /* of a document in a list */
	LOOK_FIELD_BYTES = 100,  /* of each of them, and of what differs */
};

/* How two documents differ; either may be NULL: absent. {"equal": BOOL, "differences": [{"path", "index", "postgres"},
 * ...], "more": N}. A side that lacks what the other one has is left out. */
json_t *look_compare(const json_t *index, const json_t *postgres);
/* The search for what was typed. */
json_t *look_query(const char *typed, size_t from, size_t size);
/* A hit in a list of results: its first fields that are no objects or lists, cut. */
json_t *look_hit(const json_t *hit);
/* The status of an answer about an error. */
unsigned look_status(const struct err *err);

/* --- one document beside what its row gives now */

struct sync_options;
struct search;

/* All of it is borrowed. */
struct look_subject {
	const struct sync_options *options;
	struct search *search;
	size_t document; /* the number of the index's document in the spec */
	const char *id;
};

/* *ret: {"id", "index": the document, "version", "generation", "postgres": what it would be now, "position",
 * "pipeline": whether there is one, "comparison"}. What is absent on a side is left out. If Postgres does not answer,
 * "error" stands in place of what would come from there, and *unread is why. */
int look_document(const struct look_subject *s, json_t **ret, struct err *unread, struct err *err) WARN_UNUSED;
/* Whether the sides of such a comparison are equal. */
bool look_is_equal(const json_t *found);
/* Prints it for people. */
void look_print(const json_t *found, const char *index, FILE *to);

#endif
