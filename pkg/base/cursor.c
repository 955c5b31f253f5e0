/* A bounded byte cursor over bytes from outside. */
#include "base/cursor.h"

#include <string.h>

void cursor_init(struct cursor *c, const void *data, size_t len)
{
	*c = (struct cursor){.data = data, .len = len};
}

size_t cursor_left(const struct cursor *c)
{
	return c->len - c->pos;
}

/* Reads an unsigned big-endian integer of `size` bytes. */
static bool read_integer(struct cursor *c, size_t size, uint64_t *ret)
{
	uint64_t value = 0;

	if (cursor_left(c) < size)
		return false;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | (unsigned char)c->data[c->pos + i];
	c->pos += size;
	*ret = value;
	return true;
}

bool cursor_u8(struct cursor *c, uint8_t *ret)
{
	uint64_t value;

	if (!read_integer(c, 1, &value))
		return false;
	*ret = (uint8_t)value;
	return true;
}

bool cursor_u16(struct cursor *c, uint16_t *ret)
{
	uint64_t value;

	if (!read_integer(c, 2, &value))
		return false;
	*ret = (uint16_t)value;
	return true;
}

bool cursor_u32(struct cursor *c, uint32_t *ret)
{
	uint64_t value;

	if (!read_integer(c, 4, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

bool cursor_u64(struct cursor *c, uint64_t *ret)
{
	return read_integer(c, 8, ret);
}

bool cursor_bytes(struct cursor *c, size_t len, const char **ret)
{
	if (cursor_left(c) < len)
		return false;
	*ret = c->data + c->pos;
	c->pos += len;
	return true;
}

bool cursor_cstring(struct cursor *c, const char **ret)
{
	const char *start = c->data + c->pos;
	const char *end = cursor_left(c) ? memchr(start, '\0', cursor_left(c)) : NULL;

	if (!end)
		return false;
	*ret = start;
	c->pos += (size_t)(end - start) + 1;
	return true;
}
