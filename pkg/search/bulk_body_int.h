/* The body of one bulk request: its bytes, and the position of each action. */
#ifndef PGSYNC_SEARCH_BULK_BODY_INT_H
#define PGSYNC_SEARCH_BULK_BODY_INT_H

#include "base/strbuf.h"
#include "search/search.h"

struct bulk_entry {
	size_t offset, len; /* in data */
	size_t id_offset;   /* in ids */
	bool has_note;      /* it follows the id */
	uint64_t version;
	uint64_t ordinal; /* how many actions were added to the writer before this one */
	uint16_t index;   /* the writer's number for the index */
	bool is_delete;
	bool again; /* set after an answer: it stays in the body */
};

struct bulk_body {
	struct strbuf data;
	struct strbuf ids; /* as given, followed by their notes, each with a NUL */
	struct bulk_entry *entries;
	size_t n, alloc;
};

/* max: the largest size of data. */
void bulk_body_init(struct bulk_body *body, size_t max);
void bulk_body_release(struct bulk_body *body);
/* Empties it. Frees memory beyond `keep` bytes, which a large document may have left. */
void bulk_body_reset(struct bulk_body *body, size_t keep);
/* index_name: NULL when the request's path names the index. False when it does not fit below max. */
bool bulk_body_add(struct bulk_body *body, const struct bulk_action *action, uint16_t index, const char *index_name,
		   uint64_t ordinal);
/* How many actions from the start fit into `bytes`; at least one. */
size_t bulk_body_prefix(const struct bulk_body *body, size_t bytes);
size_t bulk_body_bytes(const struct bulk_body *body, size_t n);
const char *bulk_body_id(const struct bulk_body *body, size_t i);
/* Or NULL. */
const char *bulk_body_note(const struct bulk_body *body, size_t i);
/* Turns an action that writes a document into its deletion, with the same version. */
void bulk_body_make_delete(struct bulk_body *body, size_t i);
/* Cuts out those of the first n that are not to be sent again; returns how many are. */
size_t bulk_body_cut(struct bulk_body *body, size_t n);

#endif
