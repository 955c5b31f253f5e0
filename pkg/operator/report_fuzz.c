/* Any line as what a worker sends, any JSON after it as the status that was stored before: a status that has each
 * condition once, with all that the API server requires of it. The first byte is the state of the resource. */
#include <stdlib.h>
#include <string.h>

#include "operator/status_int.h"
#include "protocol/protocol.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GENERATION = 3, WALL_US = 1000000 };

static void check_conditions(const json_t *status)
{
	static const char *const required[] = {"type", "status", "reason", "message", "lastTransitionTime"};
	const json_t *condition, *other;
	size_t i, j;

	json_array_foreach (json_object_get(status, "conditions"), i, condition) {
		for (size_t k = 0; k < ARRAY_SIZE(required); k++)
			if (!json_is_string(json_object_get(condition, required[k])))
				abort();
		json_array_foreach (json_object_get(status, "conditions"), j, other)
			if (i != j && json_equal(json_object_get(condition, "type"), json_object_get(other, "type")))
				abort();
	}
	if (!json_is_array(json_object_get(status, "conditions")) || !json_is_string(json_object_get(status, "phase")))
		abort();
}

/* The same input gives the same status, and a status that follows from itself is no change. */
static void check_repeats(const struct status_input *in, const json_t *status)
{
	struct status_input again = *in;
	_cleanup_json_ json_t *same = status_compose(in);
	_cleanup_json_ json_t *next = NULL;

	if (status_compare(status, same) != STATUS_SAME)
		abort();
	again.previous = status;
	next = status_compose(&again);
	check_conditions(next);
	(void)status_compare(status, next);
	free(status_missing(status, next));
}

static void compose(enum reconcile_state state, const json_t *report, const json_t *previous)
{
	const struct status_input in = {.previous = previous,
					.generation = GENERATION,
					.state = state,
					.report = report,
					.checked = state == STATE_INVALID_RUNNING,
					.wall_us = WALL_US};
	_cleanup_json_ json_t *status = status_compose(&in);
	_cleanup_free_ char *text = jsonx_canonical(status);

	if (!text)
		abort();
	check_conditions(status);
	check_repeats(&in, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(protocol_message_release) struct protocol_message message = {0};
	_cleanup_json_ json_t *previous = NULL;
	const char *text = (const char *)data + 1, *end;
	struct err err;
	size_t len;

	if (!size)
		return 0;
	end = memchr(text, '\n', size - 1);
	len = end ? (size_t)(end - text) : size - 1;
	if (protocol_decode_message(text, len, &message, &err) < 0 || message.kind != PROTOCOL_REPORT)
		return 0;
	if (end && jsonx_parse(end + 1, size - len - 2, "the status", &previous, &err) < 0)
		return 0;
	compose((enum reconcile_state)(data[0] % RECONCILE_STATES), message.report, previous);
	return 0;
}
