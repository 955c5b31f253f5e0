/* Any bytes are refused, or give a value whose canonical form is a fixed point. */
#include <assert.h>
#include <string.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_json_ json_t *again = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *text_again = NULL;
	struct err err;

	if (jsonx_parse((const char *)data, size, "fuzz", &value, &err) < 0)
		return 0;
	text = jsonx_canonical(value);
	if (jsonx_parse(text, strlen(text), "canonical", &again, &err) < 0)
		abort();
	text_again = jsonx_canonical(again);
	assert(json_equal(value, again));
	assert(strcmp(text, text_again) == 0);
	return 0;
}
