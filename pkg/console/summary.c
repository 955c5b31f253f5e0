/* A PgSync in one line, and what has to be done about it. */
#include <string.h>

#include "base/utf8.h"
#include "conditions/conditions.h"
#include "console/console_int.h"
#include "json/json.h"

static const char *const verdict_names[CONSOLE_VERDICTS] = {
	[CONSOLE_NEEDS_YOU] = "needsYou", [CONSOLE_NOT_READY] = "notReady",  [CONSOLE_DEGRADED] = "degraded",
	[CONSOLE_WORKING] = "working",    [CONSOLE_SUSPENDED] = "suspended", [CONSOLE_READY] = "ready",
};

const char *console_verdict_name(enum console_verdict verdict)
{
	return verdict_names[verdict];
}

static const json_t *condition_of(const json_t *status, enum condition_type type)
{
	size_t i;
	json_t *condition;

	json_array_foreach (json_object_get(status, "conditions"), i, condition)
		if (strcmp(jsonx_string(condition, "type", ""), condition_type_name(type)) == 0)
			return condition;
	return NULL;
}

static bool is(const json_t *status, enum condition_type type, enum condition_status expected)
{
	return strcmp(jsonx_string(condition_of(status, type), "status", ""), condition_status_name(expected)) == 0;
}

static bool is_in(const json_t *status, enum phase phase)
{
	return strcmp(jsonx_string(status, "phase", ""), phase_name(phase)) == 0;
}

enum console_verdict console_judge(const json_t *status)
{
	if (is(status, CONDITION_STALLED, STATUS_TRUE) || is_in(status, PHASE_FAILED))
		return CONSOLE_NEEDS_YOU;
	if (is_in(status, PHASE_DELETING))
		return CONSOLE_WORKING;
	if (is_in(status, PHASE_SUSPENDED))
		return CONSOLE_SUSPENDED;
	if (is(status, CONDITION_READY, STATUS_TRUE))
		return is(status, CONDITION_DEGRADED, STATUS_TRUE) ? CONSOLE_DEGRADED : CONSOLE_READY;
	if (is_in(status, PHASE_BOOTSTRAPPING) || is_in(status, PHASE_CATCHING_UP) ||
	    !is(status, CONDITION_READY, STATUS_FALSE))
		return CONSOLE_WORKING;
	return CONSOLE_NOT_READY;
}

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

/* What is wrong is said by Stalled, if it is there, or by Degraded if nothing but that is wrong. */
static const json_t *telling_condition(const json_t *status, enum console_verdict verdict)
{
	const json_t *stalled = condition_of(status, CONDITION_STALLED);

	if (verdict == CONSOLE_NEEDS_YOU && stalled)
		return stalled;
	return condition_of(status, verdict == CONSOLE_DEGRADED ? CONDITION_DEGRADED : CONDITION_READY);
}

static void add_why(json_t *line, const json_t *condition)
{
	const char *text = jsonx_string(condition, "message", "");

	(void)json_object_set(line, "reason", json_object_get(condition, "reason"));
	(void)json_object_set(line, "since", json_object_get(condition, "lastTransitionTime"));
	(void)json_object_set_new(line, "message",
				  json_stringn(text, utf8_prefix(text, strlen(text), CONSOLE_MESSAGE_BYTES)));
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
	const json_t *status = pgsync->status;
	enum console_verdict verdict = console_judge(status);
	_cleanup_json_ json_t *line =
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:o*, s:o*, s:o, s:o}", "namespace", pgsync->namespace, "name",
			  pgsync->name, "created", pgsync->created, "verdict", console_verdict_name(verdict),
			  "bootstrapComplete", is(status, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE), "documents",
			  sum_of_indices(status, "documentCount"), "deadLetters", sum_of_indices(status, "deadLetters"),
			  "indices", index_names(status), "conditions", short_conditions(status));

	add_why(line, telling_condition(status, verdict));
	add_copies(line, status);
	return jsonx_canonical(line);
}
