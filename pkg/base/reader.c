/* A bounded reader over bytes from outside. */
#include "base/reader.h"

#include <string.h>

void reader_init(struct reader *r, const void *data, size_t len)
{
	*r = (struct reader){.data = data, .len = len};
}

size_t reader_left(const struct reader *r)
{
	return r->len - r->pos;
}

/* Reads an unsigned big-endian integer of `size` bytes. */
static bool read_integer(struct reader *r, size_t size, uint64_t *ret)
{
	uint64_t value = 0;

	if (reader_left(r) < size)
		return false;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | (unsigned char)r->data[r->pos + i];
	r->pos += size;
	*ret = value;
	return true;
}

bool reader_u8(struct reader *r, uint8_t *ret)
{
	uint64_t value;

	if (!read_integer(r, 1, &value))
		return false;
	*ret = (uint8_t)value;
	return true;
}

bool reader_u16(struct reader *r, uint16_t *ret)
{
	uint64_t value;

	if (!read_integer(r, 2, &value))
		return false;
	*ret = (uint16_t)value;
	return true;
}

bool reader_u32(struct reader *r, uint32_t *ret)
{
	uint64_t value;

	if (!read_integer(r, 4, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

bool reader_u64(struct reader *r, uint64_t *ret)
{
	return read_integer(r, 8, ret);
}

bool reader_bytes(struct reader *r, size_t len, const char **ret)
{
	if (reader_left(r) < len)
		return false;
	*ret = r->data + r->pos;
	r->pos += len;
	return true;
}

bool reader_cstring(struct reader *r, const char **ret)
{
	const char *start = r->data + r->pos;
	const char *end = reader_left(r) ? memchr(start, '\0', reader_left(r)) : NULL;

	if (!end)
		return false;
	*ret = start;
	r->pos += (size_t)(end - start) + 1;
	return true;
}
