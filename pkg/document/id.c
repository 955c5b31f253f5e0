/* _id of a document. */
#include <string.h>

#include "document/document_int.h"
#include "json/json.h"

#define HASHED "sha256:"

enum { ENGINE_ID_BYTES = 512, KEY_BYTES = 16 * 1024 * 1024 };

void document_long_id(struct strbuf *sb, enum id_format format, const struct document_key *key)
{
	bool escape = format == ID_ESCAPED && key->n > 1;

	for (size_t i = 0; i < key->n; i++) {
		if (i)
			strbuf_addc(sb, '|');
		if (!escape) {
			strbuf_add(sb, key->values[i], key->lens[i]);
			continue;
		}
		for (size_t j = 0; j < key->lens[i]; j++) {
			if (strchr("|\\", key->values[i][j]))
				strbuf_addc(sb, '\\');
			strbuf_addc(sb, key->values[i][j]);
		}
	}
}

bool document_id(struct strbuf *sb, enum id_format format, const struct document_key *key)
{
	_cleanup_json_ json_t *text = NULL;
	char hash[JSONX_HASH_BYTES];
	size_t before = sb->len;
	const char *id;

	document_long_id(sb, format, key);
	id = sb->data + before;
	if (sb->len - before <= ENGINE_ID_BYTES && strncmp(id, HASHED, strlen(HASHED)) != 0)
		return false;
	text = json_stringn(id, sb->len - before);
	if (!text)
		text = jsonx_text(id);
	strbuf_truncate(sb, before);
	strbuf_adds(sb, jsonx_hash(text, hash));
	return true;
}
