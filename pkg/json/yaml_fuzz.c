/* Any bytes are refused, or give values that are JSON within the limits of JSON, and that are the same after being
 * written as YAML and read again. */
#include <assert.h>
#include <string.h>

#include "base/strbuf.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const json_t *documents)
{
	enum { MOST = 16 * 1024 * 1024 };
	_cleanup_json_ json_t *again = NULL;
	struct strbuf sb;
	struct err err;

	strbuf_init(&sb, MOST);
	jsonx_add_yaml(&sb, documents);
	/* Quotes and indentation may make it too large to be read again. */
	if (jsonx_parse_yaml(sb.data, sb.len, "written", &again, &err) < 0)
		assert(err.kind == ERR_LIMIT);
	else
		assert(json_equal(documents, again));
	strbuf_release(&sb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *documents = NULL;
	struct err err;
	size_t i;
	json_t *document;

	if (jsonx_parse_yaml((const char *)data, size, "fuzz", &documents, &err) < 0)
		return 0;
	json_array_foreach (documents, i, document) {
		_cleanup_free_ char *text = jsonx_canonical(document);
		_cleanup_json_ json_t *again = NULL;

		if (jsonx_parse(text, strlen(text), "canonical", &again, &err) < 0)
			abort();
		assert(json_equal(document, again));
	}
	write_and_read(documents);
	return 0;
}
