/* Fuzz target: an assignment that decodes is the same after encoding and decoding again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/protocol.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(protocol_assignment_release) struct protocol_assignment first = {0}, second = {0};
	_cleanup_free_ char *line = NULL;
	struct err err;

	if (protocol_decode_assignment((const char *)data, size, &first, &err) < 0)
		return 0;
	line = protocol_encode_assignment(&first);
	if (protocol_decode_assignment(line, strlen(line) - 1, &second, &err) < 0 || first.task != second.task ||
	    !json_equal(first.resource, second.resource) || !json_equal(first.secrets, second.secrets) ||
	    !json_equal(first.config_maps, second.config_maps) ||
	    strcmp(first.schema ? first.schema : "", second.schema ? second.schema : "") != 0 ||
	    (first.denied && !json_equal(first.denied, second.denied)))
		abort();
	return 0;
}
