/* What the console of pgsync run says about documents: pure. Values are borrowed, and results are new references. */
#ifndef PGSYNC_CMD_LOOK_H
#define PGSYNC_CMD_LOOK_H

#include <stdbool.h>

#include <jansson.h>

#include "base/err.h"

enum {
	LOOK_DIFFERENCES = 50,  /* that are listed; more are only counted */
	LOOK_FIELDS = 4,        /* of a document in a list */
	LOOK_FIELD_BYTES = 100, /* of each of them, and of what differs */
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

#endif
