/* _id of a document. */
#include <string.h>

#include "document/document_int.h"
#include "json/json.h"

#define HASHED "sha256:"

enum { ENGINE_ID_BYTES = 512 };

static bool is_escaped(enum schema_id_format format, size_t n)
{
	return format == SCHEMA_ID_ESCAPED && n > 1;
}

void document_long_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key)
{
	bool escape = is_escaped(format, key->n);

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

/* Engines refuse empty and long ids. A key whose id looks like a hash is hashed too, so that no two keys share an
 * id. */
static bool is_usable(const char *id, size_t len)
{
	return len > 0 && len <= ENGINE_ID_BYTES && strncmp(id, HASHED, strlen(HASHED)) != 0;
}

bool document_id(struct strbuf *sb, enum schema_id_format format, const struct document_key *key)
{
	char hash[JSONX_HASH_BYTES];
	size_t before = sb->len;

	document_long_id(sb, format, key);
	if (is_usable(sb->data + before, sb->len - before))
		return false;
	(void)jsonx_hash_bytes(sb->data + before, sb->len - before, hash);
	strbuf_truncate(sb, before);
	strbuf_adds(sb, hash);
	return true;
}

static size_t count_separators(const char *id)
{
	size_t n = 0;

	for (; *id; id++)
		n += *id == '|';
	return n;
}

bool document_id_says_key(enum schema_id_format format, const char *id, size_t n)
{
	return is_usable(id, strlen(id)) && (is_escaped(format, n) || n == 1 || count_separators(id) == n - 1);
}

bool document_split_id(struct strbuf *sb, enum schema_id_format format, const char *id, size_t n)
{
	bool escaped = is_escaped(format, n);
	size_t values = 1;

	if (!document_id_says_key(format, id, n))
		return false;
	for (; *id; id++) {
		if (*id == '|' && n > 1) {
			strbuf_addc(sb, '\0');
			values++;
			continue;
		}
		if (escaped && *id == '\\' && id[1])
			id++;
		strbuf_addc(sb, *id);
	}
	strbuf_addc(sb, '\0');
	return values == n;
}
