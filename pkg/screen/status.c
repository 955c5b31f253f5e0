/* One PgSync on one screen, and several in a table. */
#include <stdlib.h>
#include <string.h>

#include "base/rfc3339.h"
#include "screen/screen.h"
#include "screen/screen_int.h"
#include "json/json.h"

enum { EVENTS_SHOWN = 10, LABEL_WIDTH = 11 };

static void put_labelled(struct strbuf *out, const char *label, const char *text)
{
	if (!text || !*text)
		return;
	strbuf_addf(out, "%s:%*s", label, (int)(LABEL_WIDTH - strlen(label)), "");
	screen_add_line(out, text);
	strbuf_addc(out, '\n');
}

static void put_verdict(const struct screen_input *in, const struct verdict *verdict, struct strbuf *out)
{
	_cleanup_free_ char *name = xasprintf("%s/%s", jsonx_string(in->resource, "metadata.namespace", ""),
					      jsonx_string(in->resource, "metadata.name", ""));
	_cleanup_free_ char *line = xasprintf("%s: %s", verdict_name(verdict->kind), verdict->summary);

	put_labelled(out, "Verdict", line);
	put_labelled(out, "Found", verdict->found);
	put_labelled(out, "To do", verdict->next ? verdict->next : verdict_is_good(verdict->kind) ? NULL : "wait");
	strbuf_addc(out, '\n');
	put_labelled(out, "Name", name);
	put_labelled(out, "Phase", jsonx_string(in->resource, "status.phase", ""));
}

static void put_operator(const struct screen_input *in, struct strbuf *out)
{
	const char *lease = jsonx_string(in->resource, "status.operator.lease", "");
	char age[AMOUNT_BYTES];
	_cleanup_free_ char *renewed = NULL;

	if (in->found == LEASE_READ && *screen_age(in->wall_us, jsonx_string(in->lease, "spec.renewTime", ""), age))
		renewed = xasprintf("Lease %s, renewed %s ago", lease, age);
	put_labelled(out, "Operator", renewed ? renewed : lease);
}

static void put_worker(const struct screen_input *in, struct strbuf *out)
{
	const json_t *worker = jsonx_get(in->resource, "status.worker"), *exit = json_object_get(worker, "lastExit");
	char age[AMOUNT_BYTES];
	_cleanup_free_ char *text = NULL, *ended = NULL;

	if (!worker)
		return;
	text = xasprintf("%s, started %s ago, restarted %lld times", jsonx_string(worker, "identity", ""),
			 screen_age(in->wall_us, jsonx_string(worker, "startTime", ""), age),
			 (long long)jsonx_integer(worker, "restartCount", 0));
	put_labelled(out, "Worker", text);
	if (!exit)
		return;
	ended = xasprintf("%s ago (%s): %s", screen_age(in->wall_us, jsonx_string(exit, "time", ""), age),
			  jsonx_string(exit, "reason", ""), jsonx_string(exit, "message", ""));
	put_labelled(out, "Last exit", ended);
}

static void put_slot(const json_t *resource, struct strbuf *out)
{
	const json_t *stream = jsonx_get(resource, "status.stream");
	const char *slot = jsonx_string(stream, "slotName", "");
	_cleanup_free_ char *text = NULL;

	if (!*slot)
		return;
	text = xasprintf("%s (%s), retains %s of WAL, confirmed up to %s", slot,
			 jsonx_string(stream, "slotState", "state unknown"),
			 jsonx_string(stream, "retainedWAL", "an unknown size"),
			 jsonx_string(stream, "confirmedFlushLSN", "an unknown position"));
	put_labelled(out, "Slot", text);
}

static void put_bootstrap(const json_t *resource, struct strbuf *out)
{
	const json_t *bootstrap = jsonx_get(resource, "status.bootstrap");
	_cleanup_free_ char *text = NULL;

	if (!bootstrap)
		return;
	text = xasprintf("%s, %lld of %lld rows", jsonx_string(bootstrap, "progress", "0%"),
			 (long long)jsonx_integer(bootstrap, "rowsDone", 0),
			 (long long)jsonx_integer(bootstrap, "rowsTotal", 0));
	put_labelled(out, "Bootstrap", text);
}

static void put_indices(const json_t *resource, struct strbuf *out)
{
	const json_t *indices = jsonx_get(resource, "status.indices"), *index;
	_cleanup_(screen_table_release) struct screen_table table = {0};
	size_t i;

	if (!json_array_size(indices))
		return;
	screen_table_init(
		&table, false,
		(const char *const[]){"INDEX", "GENERATION", "DOCUMENTS", "HEALTH", "DEAD LETTERS", "DROPPED", NULL});
	json_array_foreach (indices, i, index) {
		screen_cell(&table, "%s", jsonx_string(index, "name", ""));
		screen_cell(&table, "%s", jsonx_string(index, "physicalName", ""));
		screen_cell(&table, "%lld", (long long)jsonx_integer(index, "documentCount", 0));
		screen_cell(&table, "%s", jsonx_string(index, "health", ""));
		screen_cell(&table, "%lld", (long long)jsonx_integer(index, "deadLetters", 0));
		screen_cell(&table, "%lld", (long long)jsonx_integer(index, "droppedDocuments", 0));
	}
	strbuf_adds(out, "\nIndices:\n");
	screen_table_print(&table, 2, out);
}

/* --- findings */

static void put_findings(const json_t *resource, struct strbuf *out)
{
	if (!json_array_size(jsonx_get(resource, "status.findings")))
		return;
	strbuf_adds(out, "\nFindings:\n");
	screen_findings(resource, 2, out);
}

/* --- conditions */

/* What is true of a PgSync that works, except for these. */
static bool is_as_wished(const json_t *condition)
{
	static const enum condition_type unwished[] = {CONDITION_STALLED, CONDITION_DEGRADED, CONDITION_RECONCILING,
						       CONDITION_SUSPENDED};
	const char *type = jsonx_string(condition, "type", ""), *status = jsonx_string(condition, "status", "");

	for (size_t i = 0; i < ARRAY_SIZE(unwished); i++)
		if (strcmp(type, condition_type_name(unwished[i])) == 0)
			return strcmp(status, condition_status_name(STATUS_FALSE)) == 0;
	return strcmp(status, condition_status_name(STATUS_TRUE)) == 0;
}

static void put_details(const struct screen_input *in, const json_t *condition, struct strbuf *out)
{
	const char *words = jsonx_string(condition, "message", "");
	_cleanup_free_ char *remedy = remedy_find(in->reasons, jsonx_string(condition, "reason", ""));

	strbuf_addf(out, "\n  %s: ", jsonx_string(condition, "type", ""));
	screen_add_line(out, words);
	if (remedy) {
		strbuf_adds(out, "\n    to do: ");
		screen_add_line(out, remedy);
	}
}

static void put_conditions(const struct screen_input *in, struct strbuf *out)
{
	const json_t *conditions = jsonx_get(in->resource, "status.conditions"), *condition;
	_cleanup_(screen_table_release) struct screen_table table = {0};
	char age[AMOUNT_BYTES];
	struct strbuf details;
	size_t i;

	if (!json_array_size(conditions))
		return;
	strbuf_init(&details, out->max);
	screen_table_init(&table, false, (const char *const[]){"CONDITION", "STATUS", "REASON", "FOR", NULL});
	json_array_foreach (conditions, i, condition) {
		screen_cell(&table, "%s", jsonx_string(condition, "type", ""));
		screen_cell(&table, "%s", jsonx_string(condition, "status", ""));
		screen_cell(&table, "%s", jsonx_string(condition, "reason", ""));
		screen_cell(&table, "%s",
			    screen_age(in->wall_us, jsonx_string(condition, "lastTransitionTime", ""), age));
		if (!is_as_wished(condition))
			put_details(in, condition, &details);
	}
	strbuf_adds(out, "\nConditions:\n");
	screen_table_print(&table, 2, out);
	if (details.len) {
		strbuf_add(out, details.data, details.len);
		strbuf_addc(out, '\n');
	}
	strbuf_release(&details);
}

/* --- events */

static const char *event_time(const json_t *event)
{
	static const char *const paths[] = {"series.lastObservedTime", "eventTime", "lastTimestamp",
					    "metadata.creationTimestamp"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *time = jsonx_string(event, paths[i], "");

		if (*time)
			return time;
	}
	return "";
}

static int compare_events(const void *a, const void *b)
{
	const json_t *const *one = a, *const *other = b;
	int64_t one_us = 0, other_us = 0;

	if (!rfc3339_parse(event_time(*one), &one_us) || !rfc3339_parse(event_time(*other), &other_us))
		return strcmp(event_time(*one), event_time(*other));
	return (one_us > other_us) - (one_us < other_us);
}

static void put_event(const struct screen_input *in, const json_t *event, struct screen_table *table)
{
	char age[AMOUNT_BYTES];
	long long count = (long long)jsonx_integer(event, "series.count", 1);

	(void)screen_age(in->wall_us, event_time(event), age);
	if (count > 1)
		screen_cell(table, "%s (x%lld)", age, count);
	else
		screen_cell(table, "%s", age);
	screen_cell(table, "%s", jsonx_string(event, "type", ""));
	screen_cell(table, "%s", jsonx_string(event, "reason", ""));
	screen_cell(table, "%s", jsonx_string(event, "message", ""));
}

static void put_events(const struct screen_input *in, struct strbuf *out)
{
	_cleanup_(screen_table_release) struct screen_table table = {0};
	_cleanup_free_ const json_t **events = NULL;
	size_t n = json_array_size(in->events);

	if (!in->events || !n) {
		strbuf_adds(out, in->events ? "\nEvents: none in the last hour\n" : "\nEvents: not readable for you\n");
		return;
	}
	events = xcalloc(n, sizeof(*events));
	for (size_t i = 0; i < n; i++)
		events[i] = json_array_get(in->events, i);
	qsort(events, n, sizeof(*events), compare_events);
	screen_table_init(&table, false, (const char *const[]){"AGE", "TYPE", "REASON", "NOTE", NULL});
	for (size_t i = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0; i < n; i++)
		put_event(in, events[i], &table);
	strbuf_adds(out, "\nEvents:\n");
	screen_table_print(&table, 2, out);
}

/* --- all of it */

void screen_status(const struct screen_input *in, struct strbuf *out)
{
	_cleanup_(verdict_release) struct verdict verdict = {0};

	verdict_decide(in, &verdict);
	put_verdict(in, &verdict, out);
	put_operator(in, out);
	put_worker(in, out);
	put_slot(in->resource, out);
	put_bootstrap(in->resource, out);
	put_indices(in->resource, out);
	put_findings(in->resource, out);
	put_conditions(in, out);
	put_events(in, out);
}

void screen_list(const struct screen_input *items, size_t n, bool namespaces, struct strbuf *out)
{
	_cleanup_(screen_table_release) struct screen_table table = {0};

	screen_table_init(&table, namespaces, (const char *const[]){"NAME", "VERDICT", "LAG", "SUMMARY", NULL});
	for (size_t i = 0; i < n; i++) {
		_cleanup_(verdict_release) struct verdict verdict = {0};

		verdict_decide(&items[i], &verdict);
		if (namespaces)
			screen_cell(&table, "%s", jsonx_string(items[i].resource, "metadata.namespace", ""));
		screen_cell(&table, "%s", jsonx_string(items[i].resource, "metadata.name", ""));
		screen_cell(&table, "%s", verdict_name(verdict.kind));
		screen_cell(&table, "%s", jsonx_string(items[i].resource, "status.stream.lag", ""));
		screen_cell(&table, "%s", verdict.summary);
	}
	screen_table_print(&table, 0, out);
}

json_t *screen_json(const struct screen_input *in)
{
	_cleanup_(verdict_release) struct verdict verdict = {0};

	verdict_decide(in, &verdict);
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s*, s:s*, s:O*}", "namespace",
			 jsonx_string(in->resource, "metadata.namespace", ""), "name",
			 jsonx_string(in->resource, "metadata.name", ""), "verdict", verdict_name(verdict.kind),
			 "healthy", verdict_is_good(verdict.kind), "summary", verdict.summary, "found", verdict.found,
			 "next", verdict.next, "status", json_object_get(in->resource, "status"));
}
