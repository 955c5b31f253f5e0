/* Decodes any JSON as a resource. */
#include <stdint.h>
#include <stdlib.h>

#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *user, const char *name)
{
	UNUSED(user);
	UNUSED(name);
}

static void decode_spec(const json_t *value)
{
	struct findings f;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	findings_init(&f);
	spec = spec_decode(value, &f);
	spec_references(spec, ignore, ignore, NULL);
	spec_resolve(spec,
		     &(struct spec_objects){.secrets = json_object_get(value, "secrets"),
					    .config_maps = json_object_get(value, "configMaps"),
					    .secrets_elsewhere = json_is_true(json_object_get(value, "elsewhere"))},
		     &f);
	findings_release(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL;
	struct err err;

	if (jsonx_parse((const char *)data, size, "input", &value, &err) < 0)
		return 0;
	decode_spec(value);
	return 0;
}
