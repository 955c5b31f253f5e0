/* Any bytes: refused, or values that are JSON within the limits of JSON. */
#include <assert.h>
#include <string.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	return 0;
}
