/* A PgSync in one line, and what has to be done about it. */
#include <string.h>

#include "base/utf8.h"
#include "console/console_int.h"
#include "screen/screen.h"
#include "json/json.h"

/* A number of each index, added up. NULL if none of them has it. */
static json_t *sum_of_indices(const json_t *status, const char *key)
{
	json_int_t sum = 0;
	bool known = false;
	size_t i;
	json_t *index;

	json_array_foreach (json_object_get(status, "indices"), i, index) {
		const json_t *value = json_object_get(index, key);

		if (!json_is_integer(value))
			continue;
		known = true;
		sum += json_integer_value(value);
	}
	return known ? json_integer(sum) : NULL;
}

static json_t *index_names(const json_t *status)
{
	json_t *names = json_array(), *index;
	size_t i;

	json_array_foreach (json_object_get(status, "indices"), i, index)
		(void)json_array_append(names, json_object_get(index, "name"));
	return names;
}

/* Types, statuses and reasons: the messages would make the list long. */
static json_t *short_conditions(const json_t *status)
{
	json_t *all = json_array(), *condition;
	size_t i;

	json_array_foreach (json_object_get(status, "conditions"), i, condition)
		(void)json_array_append_new(all,
					    json_pack("{s:O*, s:O*, s:O*}", "type", json_object_get(condition, "type"),
						      "status", json_object_get(condition, "status"), "reason",
						      json_object_get(condition, "reason")));
	return all;
}

static void add_cut(json_t *line, const char *key, const char *text)
{
	if (text)
		(void)json_object_set_new(line, key,
					  json_stringn(text, utf8_prefix(text, strlen(text), CONSOLE_MESSAGE_BYTES)));
}

/* The same words as those of `kubectl pgsync status`. Who composes statuses holds the Lease. */
static void add_verdict(json_t *line, const json_t *resource)
{
	struct screen_input in = {
		.resource = resource, .found = LEASE_NOT_READ, .reasons = screen_reasons(), .wall_us = clock_wall_us()};
	struct verdict verdict;

	verdict_decide(&in, &verdict);
	(void)json_object_set_new(line, "verdict", json_string(verdict_name(verdict.kind)));
	add_cut(line, "sentence", verdict.summary);
	add_cut(line, "found", verdict.found);
	add_cut(line, "next", verdict.next);
	verdict_release(&verdict);
}

static void add_copies(json_t *line, const json_t *status)
{
	static const char *const paths[] = {"phase",
					    "stream.lagSeconds",
					    "stream.lagBytes",
					    "stream.retainedWALBytes",
					    "stream.confirmedFlushLSN",
					    "stream.slotState",
					    "bootstrap.progress",
					    "bootstrap.rowsDone",
					    "bootstrap.rowsTotal",
					    "worker.restartCount"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *dot = strchr(paths[i], '.');

		(void)json_object_set(line, dot ? dot + 1 : paths[i], jsonx_get(status, paths[i]));
	}
}

char *console_summary(const struct console_pgsync *pgsync)
{
	const json_t *status = json_object_get(pgsync->resource, "status");
	_cleanup_json_ json_t *line =
		json_pack("{s:s, s:s, s:s, s:b, s:o*, s:o*, s:o, s:o}", "namespace", pgsync->namespace, "name",
			  pgsync->name, "created", pgsync->created, "bootstrapComplete",
			  screen_condition_is(pgsync->resource, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE), "documents",
			  sum_of_indices(status, "documentCount"), "deadLetters", sum_of_indices(status, "deadLetters"),
			  "indices", index_names(status), "conditions", short_conditions(status));

	add_verdict(line, pgsync->resource);
	add_copies(line, status);
	return jsonx_canonical(line);
}
