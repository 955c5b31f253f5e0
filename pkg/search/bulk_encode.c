/* Lines of a bulk request, written by hand: an action costs a few memory copies, and documents are not changed. */
#include <assert.h>

#include "search/bulk_int.h"

/* Room for the fixed text of an action line, its numbers and line ends. */
enum { LINE_BYTES = 128, ESCAPED = 6 };

static size_t length(const char *text)
{
	return text ? strlen(text) : 0;
}

size_t bulk_encoded_max(const struct bulk_action *action, const char *index)
{
	size_t text = action->id_len + length(action->routing) + length(action->pipeline) + length(index);

	return LINE_BYTES + ESCAPED * text + action->document_len;
}

static bool needs_no_escape(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c > 0x7E || c == '"' || c == '\\')
			return false;
	}
	return true;
}

static void add_string(struct strbuf *sb, const char *s, size_t len)
{
	if (!needs_no_escape(s, len)) {
		strbuf_add_json(sb, s, len);
		return;
	}
	strbuf_addc(sb, '"');
	strbuf_add(sb, s, len);
	strbuf_addc(sb, '"');
}

/* A line break ends a document in a bulk body. Raw ones occur only between tokens, where a space means the same. */
static void blank(char *at, char *end, char c)
{
	while ((at = memchr(at, c, (size_t)(end - at))))
		*at++ = ' ';
}

static void encode_document(struct strbuf *sb, const char *document, size_t len)
{
	size_t from = sb->len;

	strbuf_add(sb, document, len);
	if (!strbuf_ok(sb))
		return;
	blank(sb->data + from, sb->data + sb->len, '\n');
	blank(sb->data + from, sb->data + sb->len, '\r');
	strbuf_addc(sb, '\n');
}

#define ADD_LITERAL(sb, text) strbuf_add(sb, text, sizeof(text) - 1)

void bulk_encode(struct strbuf *sb, const struct bulk_action *action, const char *index)
{
	if (action->document)
		ADD_LITERAL(sb, "{\"index\":{");
	else
		ADD_LITERAL(sb, "{\"delete\":{");
	if (index) {
		ADD_LITERAL(sb, "\"_index\":");
		add_string(sb, index, strlen(index));
		strbuf_addc(sb, ',');
	}
	ADD_LITERAL(sb, "\"_id\":");
	add_string(sb, action->id, action->id_len);
	ADD_LITERAL(sb, ",\"version\":");
	strbuf_addu(sb, action->version);
	ADD_LITERAL(sb, ",\"version_type\":\"external_gte\"");
	if (action->routing) {
		ADD_LITERAL(sb, ",\"routing\":");
		add_string(sb, action->routing, strlen(action->routing));
	}
	if (action->document && action->pipeline) {
		ADD_LITERAL(sb, ",\"pipeline\":");
		add_string(sb, action->pipeline, strlen(action->pipeline));
	}
	ADD_LITERAL(sb, "}}\n");
	if (action->document)
		encode_document(sb, action->document, action->document_len);
}
