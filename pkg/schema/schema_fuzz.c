/* Decodes any JSON as a schema. */
#include <stdint.h>
#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_schema(const json_t *value)
{
	struct schema_document **documents = NULL;
	struct findings f;
	size_t n = 0;

	findings_init(&f);
	schema_decode(value, "schema", &documents, &n, &f);
	for (size_t i = 0; i < n; i++)
		schema_document_free(documents[i]);
	free(documents);
	findings_release(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL;
	struct err err;

	if (jsonx_parse((const char *)data, size, "input", &value, &err) < 0)
		return 0;
	decode_schema(value);
	return 0;
}
