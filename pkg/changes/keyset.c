/* The set of dirty keys: open addressing over an array in insertion order. */
#include "changes/keyset.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_SLOTS = 256 };

void keyset_init(struct keyset *set, size_t max_bytes)
{
	*set = (struct keyset){0};
	strbuf_init(&set->bytes, max_bytes);
}

void keyset_release(struct keyset *set)
{
	size_t max = set->bytes.max;

	free(set->keys);
	free(set->slots);
	strbuf_release(&set->bytes);
	keyset_init(set, max);
}

void keyset_reset(struct keyset *set)
{
	set->n = 0;
	strbuf_reset(&set->bytes);
	if (set->n_slots)
		memset(set->slots, 0, set->n_slots * sizeof(*set->slots));
}

/* FNV-1a with a final mix: keys are short, and differ in their last bytes. */
static uint32_t hash_key(uint32_t target, const char *data, size_t len)
{
	uint64_t h = 0xCBF29CE484222325U ^ target;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * 0x100000001B3U;
	h ^= h >> 32;
	return (uint32_t)(h * 0x9E3779B1U >> 7);
}

static void place(struct keyset *set, uint32_t index)
{
	size_t at = set->keys[index].hash & (set->n_slots - 1);

	while (set->slots[at])
		at = (at + 1) & (set->n_slots - 1);
	set->slots[at] = index + 1;
}

static void rebuild(struct keyset *set, size_t n_slots)
{
	if (n_slots != set->n_slots) {
		free(set->slots);
		set->slots = xcalloc(n_slots, sizeof(*set->slots));
		set->n_slots = n_slots;
	} else {
		memset(set->slots, 0, n_slots * sizeof(*set->slots));
	}
	for (size_t i = 0; i < set->n; i++)
		place(set, (uint32_t)i);
}

static struct key *find_hashed(const struct keyset *set, uint32_t hash, uint32_t target, const char *data, size_t len)
{
	if (!set->n_slots)
		return NULL;
	for (size_t at = hash & (set->n_slots - 1); set->slots[at]; at = (at + 1) & (set->n_slots - 1)) {
		struct key *key = &set->keys[set->slots[at] - 1];

		if (key->hash == hash && key->target == target && key->len == len &&
		    (!len || !memcmp(set->bytes.data + key->offset, data, len)))
			return key;
	}
	return NULL;
}

struct key *keyset_find(const struct keyset *set, uint32_t target, const char *data, size_t len)
{
	return find_hashed(set, hash_key(target, data, len), target, data, len);
}

bool keyset_add(struct keyset *set, uint32_t target, const char *data, size_t len, uint32_t txn)
{
	uint32_t hash = hash_key(target, data, len);
	struct key *key = find_hashed(set, hash, target, data, len);
	size_t offset = set->bytes.len;

	if (key) {
		key->last_txn = txn;
		return true;
	}
	strbuf_add(&set->bytes, data, len);
	if (!strbuf_ok(&set->bytes)) {
		set->bytes.overflow = false;
		return false;
	}
	ALLOC_GROW(set->keys, set->n + 1, set->alloc);
	set->keys[set->n] = (struct key){.hash = hash,
					 .target = target,
					 .offset = offset,
					 .len = (uint32_t)len,
					 .first_txn = txn,
					 .last_txn = txn};
	set->n++;
	if (set->n * 2 > set->n_slots)
		rebuild(set, set->n_slots ? set->n_slots * 2 : FIRST_SLOTS);
	else
		place(set, (uint32_t)(set->n - 1));
	return true;
}

void keyset_unsee(const struct keyset *set, const struct key *key)
{
	set->keys[key - set->keys].seen = false;
}

const char *keyset_data(const struct keyset *set, const struct key *key)
{
	return set->bytes.data + key->offset;
}

void keyset_cut(struct keyset *set, uint32_t txns)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct key key = set->keys[i];

		if (key.last_txn < txns)
			continue;
		key.first_txn = key.first_txn > txns ? key.first_txn - txns : 0;
		key.last_txn -= txns;
		key.seen = false;
		set->keys[kept++] = key;
	}
	set->n = kept;
	if (set->n_slots)
		rebuild(set, set->n_slots);
}

void key_encode_value(struct strbuf *sb, const char *value, size_t len)
{
	uint32_t n = (uint32_t)len;

	assert(len <= UINT32_MAX);
	strbuf_add(sb, &n, sizeof(n));
	strbuf_add(sb, value, len);
}

bool key_decode_value(const char **data, size_t *left, const char **ret, size_t *ret_len)
{
	uint32_t n;

	if (*left < sizeof(n))
		return false;
	memcpy(&n, *data, sizeof(n));
	assert(*left - sizeof(n) >= n);
	*ret = *data + sizeof(n);
	*ret_len = n;
	*data += sizeof(n) + n;
	*left -= sizeof(n) + n;
	return true;
}
