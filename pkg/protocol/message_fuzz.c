/* Fuzz target: blocks of any size give the same lines, and a message that decodes is the same after encoding and
 * decoding again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/protocol.h"
#include "json/json.h"

enum { MAX_LINE = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *encode(const struct protocol_message *m)
{
	switch (m->kind) {
	case PROTOCOL_REPORT:
		return protocol_encode_report(m->report);
	case PROTOCOL_EVENT:
		return protocol_encode_event(&m->event);
	case PROTOCOL_DONE:
		return protocol_encode_done(&m->done);
	case PROTOCOL_VERDICT:
		return protocol_encode_verdict(&m->verdict);
	case PROTOCOL_SANDBOX:
		return protocol_encode_sandbox(m->sandbox);
	case PROTOCOL_HEARTBEAT:
		return protocol_encode_heartbeat();
	case PROTOCOL_UNKNOWN:
		break;
	}
	return NULL;
}

static void check_line(const struct strbuf *line)
{
	_cleanup_(protocol_message_release) struct protocol_message first = {0}, second = {0};
	_cleanup_free_ char *once = NULL, *twice = NULL;
	struct err err;

	if (protocol_decode_message(line->data, line->len, &first, &err) < 0)
		return;
	once = encode(&first);
	if (!once)
		return;
	if (protocol_decode_message(once, strlen(once) - 1, &second, &err) < 0 || first.kind != second.kind)
		abort();
	twice = encode(&second);
	if (strcmp(once, twice) != 0)
		abort();
}

/* A running hash of the lines. */
static uint64_t feed(const char *data, size_t size, size_t block, bool check)
{
	struct protocol_reader reader;
	uint64_t hash = 0;

	protocol_reader_init(&reader, MAX_LINE);
	for (size_t at = 0; at < size; at += block) {
		const char *part = data + at;
		size_t len = size - at < block ? size - at : block;

		while (len > 0) {
			enum protocol_read taken = protocol_reader_next(&reader, &part, &len);

			if (taken == PROTOCOL_READ_MORE)
				continue;
			hash = (hash ^ (uint64_t)taken) * 0x100000001B3U;
			for (size_t i = 0; taken == PROTOCOL_READ_LINE && i < reader.line.len; i++)
				hash = (hash ^ (unsigned char)reader.line.data[i]) * 0x100000001B3U;
			if (check && taken == PROTOCOL_READ_LINE)
				check_line(&reader.line);
		}
	}
	protocol_reader_release(&reader);
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *data = (const char *)bytes;
	size_t block = size ? (size_t)bytes[size - 1] % 16 + 1 : 1;

	if (feed(data, size, size + 1, true) != feed(data, size, block, false))
		abort();
	return 0;
}
