/* The body of one bulk request. */
#include "search/bulk_body_int.h"

#include <assert.h>

#include "search/bulk_int.h"

void bulk_body_init(struct bulk_body *body, size_t max)
{
	*body = (struct bulk_body){0};
	strbuf_init(&body->data, max);
	strbuf_init(&body->ids, max);
}

void bulk_body_release(struct bulk_body *body)
{
	strbuf_release(&body->data);
	strbuf_release(&body->ids);
	free(body->entries);
	body->entries = NULL;
	body->n = body->alloc = 0;
}

void bulk_body_reset(struct bulk_body *body, size_t keep)
{
	if (body->data.alloc > keep)
		strbuf_release(&body->data);
	strbuf_reset(&body->data);
	strbuf_reset(&body->ids);
	body->n = 0;
}

bool bulk_body_add(struct bulk_body *body, const struct bulk_action *action, uint16_t index, const char *index_name,
		   uint64_t ordinal)
{
	size_t offset = body->data.len;
	size_t id_offset = body->ids.len;

	bulk_encode(&body->data, action, index_name);
	strbuf_add(&body->ids, action->id, action->id_len);
	strbuf_addc(&body->ids, '\0');
	if (action->note)
		strbuf_add(&body->ids, action->note, strlen(action->note) + 1);
	if (!strbuf_ok(&body->data) || !strbuf_ok(&body->ids)) {
		strbuf_truncate(&body->data, offset);
		strbuf_truncate(&body->ids, id_offset);
		body->data.overflow = body->ids.overflow = false;
		return false;
	}
	ALLOC_GROW(body->entries, body->n + 1, body->alloc);
	body->entries[body->n++] = (struct bulk_entry){
		.offset = offset,
		.len = body->data.len - offset,
		.id_offset = id_offset,
		.has_note = action->note != NULL,
		.version = action->version,
		.ordinal = ordinal,
		.index = index,
		.is_delete = !action->document,
	};
	return true;
}

size_t bulk_body_bytes(const struct bulk_body *body, size_t n)
{
	return n ? body->entries[n - 1].offset + body->entries[n - 1].len : 0;
}

size_t bulk_body_prefix(const struct bulk_body *body, size_t bytes)
{
	size_t n = body->n;

	assert(n);
	/* Nearly always the whole body. */
	while (n > 1 && bulk_body_bytes(body, n) > bytes)
		n--;
	return n;
}

const char *bulk_body_id(const struct bulk_body *body, size_t i)
{
	return body->ids.data + body->entries[i].id_offset;
}

const char *bulk_body_note(const struct bulk_body *body, size_t i)
{
	const char *id = bulk_body_id(body, i);

	return body->entries[i].has_note ? id + strlen(id) + 1 : NULL;
}

void bulk_body_make_delete(struct bulk_body *body, size_t i)
{
	static const char index[] = "{\"index\":{", delete[] = "{\"delete\":{";
	enum { INDEX_LEN = sizeof(index) - 1, DELETE_LEN = sizeof(delete) - 1 };
	struct bulk_entry *entry = &body->entries[i];
	char *line = body->data.data + entry->offset;
	const char *end = memchr(line, '\n', entry->len);
	size_t rest;

	assert(end && !memcmp(line, index, INDEX_LEN));
	rest = (size_t)(end - line) - INDEX_LEN;
	/* The removed document line makes room for it. */
	assert(DELETE_LEN + rest + 1 <= entry->len);
	memmove(line + DELETE_LEN, line + INDEX_LEN, rest);
	memcpy(line, delete, DELETE_LEN);
	line[DELETE_LEN + rest] = '\n';
	entry->len = DELETE_LEN + rest + 1;
	entry->is_delete = true;
}

size_t bulk_body_cut(struct bulk_body *body, size_t n)
{
	size_t to = 0, again = 0, len = 0;

	for (size_t i = 0; i < body->n; i++) {
		struct bulk_entry entry = body->entries[i];

		if (i < n && !entry.again)
			continue;
		again += i < n;
		memmove(body->data.data + len, body->data.data + entry.offset, entry.len);
		entry.offset = len;
		entry.again = false;
		len += entry.len;
		body->entries[to++] = entry;
	}
	body->n = to;
	strbuf_truncate(&body->data, len);
	return again;
}
