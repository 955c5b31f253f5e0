/* Fuzzes the pgoutput decoder: an input is a sequence of messages, each after its length in two bytes, for one decoder.
 */
#include <stdint.h>

#include "base/cursor.h"
#include "postgres/pgoutput.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what the message points to, so that the sanitizer sees a slice that is too long. */
static unsigned touch(const char *data, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (unsigned char)data[i];
	return sum;
}

static unsigned touch_row(const struct pgoutput_value *row, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; row && i < n; i++)
		if (row[i].kind == PGOUTPUT_TEXT)
			sum += touch(row[i].data, row[i].len);
	return sum;
}

static unsigned touch_relation(const struct pgoutput_relation *r)
{
	unsigned sum = touch(r->schema, strlen(r->schema)) + touch(r->name, strlen(r->name));

	for (size_t i = 0; i < r->n; i++)
		sum += touch(r->columns[i].name, strlen(r->columns[i].name));
	return sum;
}

static unsigned touch_message(const struct pgoutput_message *m)
{
	unsigned sum = 0;

	if (m->relation) {
		sum += touch_relation(m->relation);
		sum += touch_row(m->old_row, m->relation->n);
		sum += touch_row(m->new_row, m->relation->n);
	}
	for (size_t i = 0; i < m->n_truncated; i++)
		sum += touch_relation(m->truncated[i]);
	if (m->prefix)
		sum += touch(m->prefix, strlen(m->prefix)) + touch(m->content, m->content_len);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgoutput *decoder = pgoutput_new();
	volatile unsigned sum = 0;
	struct cursor r;
	uint16_t len;
	const char *bytes;

	cursor_init(&r, data, size);
	while (cursor_u16(&r, &len) && cursor_bytes(&r, len, &bytes)) {
		struct pgoutput_message m;
		struct err err;
		char *exact = len ? xmemdup(bytes, len) : NULL;

		if (pgoutput_decode(decoder, exact, len, &m, &err) == 0)
			sum += touch_message(&m);
		free(exact);
	}
	UNUSED(sum);
	pgoutput_free(decoder);
	return 0;
}
