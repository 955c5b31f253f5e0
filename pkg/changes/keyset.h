/* The set of dirty keys: what changed, but not the new values.
 *
 * A key is a target (which root, or which path up) and the bytes of its values. Each remembers the first and the last
 * transaction of its batch that touched it, so that a batch can be cut between transactions. A set belongs to one
 * thread at a time. */
#ifndef PGSYNC_CHANGES_KEYSET_H
#define PGSYNC_CHANGES_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct key {
	uint32_t hash;
	uint32_t target;
	size_t offset; /* into bytes */
	uint32_t len;
	uint32_t first_txn, last_txn;
	bool seen; /* scratch: the applier has written its document */
};

struct keyset {
	struct key *keys;
	size_t n, alloc;
	uint32_t *slots; /* index + 1 into keys; 0: free */
	size_t n_slots;  /* a power of two */
	struct strbuf bytes;
};

void keyset_init(struct keyset *set, size_t max_bytes);
void keyset_release(struct keyset *set);
/* Forgets the keys, keeps the memory. */
void keyset_reset(struct keyset *set);
/* Adds a key, or records another transaction that touched it. False if max_bytes is reached: nothing was added. */
bool keyset_add(struct keyset *set, uint32_t target, const char *data, size_t len, uint32_t txn);
struct key *keyset_find(const struct keyset *set, uint32_t target, const char *data, size_t len);
/* The key was not seen. */
void keyset_unsee(const struct keyset *set, const struct key *key);
const char *keyset_data(const struct keyset *set, const struct key *key);
/* Drops every key whose last transaction is below `txns`, and numbers transactions from there: what remains after a
 * cut. */
void keyset_cut(struct keyset *set, uint32_t txns);

/* The bytes of a key of n values, each with its length before it. */
void key_encode_value(struct strbuf *sb, const char *value, size_t len);
/* Takes the next value off *data; false at the end. */
bool key_decode_value(const char **data, size_t *left, const char **ret, size_t *ret_len);

#endif
