/* How urgent the difference between two statuses is. */
#include <string.h>

#include "base/mem.h"
#include "operator/status_int.h"
#include "json/json.h"

/* LAG_SECONDS: what a reader would take for trouble, and waits to see gone. */
enum { NUMBERS_MS = 10 * 1000, COUNTERS_MS = 60 * 1000, LAG_SECONDS = 5 };

static bool same_at(const json_t *a, const json_t *b, const char *path)
{
	const json_t *x = jsonx_get(a, path), *y = jsonx_get(b, path);

	return x == y || (x && y && json_equal(x, y));
}

static bool conditions_turned(const json_t *old, const json_t *new)
{
	for (int type = 0; type < CONDITION_N; type++) {
		const json_t *before = status_condition(old, (enum condition_type)type);
		const json_t *after = status_condition(new, (enum condition_type)type);

		if (!same_at(before, after, "status") || !same_at(before, after, "reason") ||
		    !same_at(before, after, "observedGeneration") || !before != !after)
			return true;
	}
	return false;
}

static bool indices_turned(const json_t *old, const json_t *new)
{
	const json_t *before = json_object_get(old, "indices"), *after = json_object_get(new, "indices");

	if (json_array_size(before) != json_array_size(after))
		return true;
	for (size_t i = 0; i < json_array_size(after); i++) {
		const json_t *a = json_array_get(before, i), *b = json_array_get(after, i);

		if (!same_at(a, b, "name") || !same_at(a, b, "physicalName") || !same_at(a, b, "health"))
			return true;
	}
	return false;
}

/* Beside Ready=True, a lag that no longer exists is false. */
static bool has_caught_up(const json_t *old, const json_t *new)
{
	return jsonx_integer(old, "stream.lagSeconds", 0) >= LAG_SECONDS &&
	       jsonx_integer(new, "stream.lagSeconds", LAG_SECONDS) == 0;
}

/* Equal except for the fields that change all the time. */
static bool same_but_counters(const json_t *old, const json_t *new)
{
	static const char *const counters[] = {"confirmedFlushLSN", "lagBytes", "retainedWALBytes", "retainedWAL"};
	_cleanup_json_ json_t *a = json_deep_copy(old);
	_cleanup_json_ json_t *b = json_deep_copy(new);

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		(void)json_object_del(json_object_get(a, "stream"), counters[i]);
		(void)json_object_del(json_object_get(b, "stream"), counters[i]);
	}
	return json_equal(a, b);
}

enum status_change status_compare(const json_t *old, const json_t *new)
{
	static const char *const names[] = {"observedGeneration",
					    "phase",
					    "worker",
					    "operator",
					    "stream.slotName",
					    "stream.publicationName",
					    "stream.slotState",
					    "bootstrap.completionTime",
					    "retriedDeadLetters"};

	if (!old)
		return STATUS_TURN;
	if (json_equal(old, new))
		return STATUS_SAME;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!same_at(old, new, names[i]))
			return STATUS_TURN;
	if (conditions_turned(old, new) || indices_turned(old, new) || has_caught_up(old, new))
		return STATUS_TURN;
	return same_but_counters(old, new) ? STATUS_COUNTERS : STATUS_NUMBERS;
}

int64_t status_due_ms(enum status_change change, int64_t last_write_ms)
{
	if (change == STATUS_TURN || last_write_ms == 0)
		return 0;
	return last_write_ms + (change == STATUS_NUMBERS ? NUMBERS_MS : COUNTERS_MS);
}
