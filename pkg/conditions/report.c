/* What a worker reports. */
#include "conditions/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/utf8.h"
#include "json/json.h"

void report_init(struct report *report)
{
	*report = (struct report){.phase = PHASE_PENDING};
	(void)pthread_mutex_init(&report->lock, NULL);
	for (int i = 0; i < CONDITION_REPORTED_N; i++)
		report_unknown(report, (enum condition_type)i, REASON_STARTING, "the worker has just started");
	report_condition(report, CONDITION_STALLED, STATUS_FALSE, REASON_PROGRESSING, "no action needed");
}

void report_release(struct report *report)
{
	for (size_t i = 0; i < CONDITION_REPORTED_N; i++)
		free(report->conditions[i].message);
	for (size_t i = 0; i < report->n_indices; i++) {
		free(report->indices[i].name);
		free(report->indices[i].fingerprint);
	}
	free(report->indices);
	json_decref(report->findings);
	free(report->retried);
	free(report->stream.slot);
	free(report->stream.publication);
	(void)pthread_mutex_destroy(&report->lock);
}

void report_phase(struct report *report, enum phase phase)
{
	(void)pthread_mutex_lock(&report->lock);
	report->phase = phase;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_condition(struct report *report, enum condition_type type, enum condition_status status, enum reason reason,
		      const char *fmt, ...)
{
	struct condition *c = &report->conditions[type];
	char *message;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	(void)pthread_mutex_lock(&report->lock);
	if (c->status != status || !c->transition_us)
		c->transition_us = clock_wall_us();
	c->status = status;
	c->reason = reason;
	free(c->message);
	c->message = message;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_schema(struct report *report, const struct findings *f)
{
	_cleanup_free_ char *errors = findings_summary(f, FINDING_ERROR, REPORT_MESSAGE_BYTES * 2 / 3);
	_cleanup_free_ char *remarks = findings_summary(f, FINDING_WARNING, REPORT_MESSAGE_BYTES / 3 - 64);
	const char *between = *remarks ? "; " : "";
	struct err err = {0};

	if (findings_err(f, &err) < 0)
		report_condition(report, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, err.reason, "%s%s%s", errors, between,
				 remarks);
	else
		report_condition(report, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, REASON_ACCEPTED,
				 "every table and column was found%s%s", between, remarks);
}

/* --- the list of findings */

enum { FINDING_MESSAGE_BYTES = 2048, FINDING_STATEMENT_BYTES = 4096 };

struct finding_list {
	json_t *items;
	size_t bytes, more;
};

static json_t *finding_text(const char *text)
{
	_cleanup_free_ char *cut = xstrndup(text, utf8_prefix(text, strlen(text), FINDING_MESSAGE_BYTES));

	return jsonx_text(cut);
}

static void list_finding(struct finding_list *list, const char *severity, const struct finding *item)
{
	/* Half a statement must not be run. */
	bool whole = item->statement && strlen(item->statement) <= FINDING_STATEMENT_BYTES;
	json_t *object = json_pack("{s:s, s:s, s:o}", "severity", severity, "reason", reason_name(item->reason),
				   "message", finding_text(item->message));
	size_t bytes;

	if (*item->path)
		(void)json_object_set_new(object, "path", finding_text(item->path));
	if (whole)
		(void)json_object_set_new(object, "statement", jsonx_text(item->statement));
	bytes = json_dumpb(object, NULL, 0, JSON_COMPACT);
	if (json_array_size(list->items) >= REPORT_FINDINGS || list->bytes + bytes > REPORT_FINDINGS_BYTES) {
		list->more++;
		json_decref(object);
		return;
	}
	list->bytes += bytes;
	(void)json_array_append_new(list->items, object);
}

static void list_findings(struct finding_list *list, const char *name, const struct findings *f,
			  enum finding_severity severity)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].severity == severity)
			list_finding(list, name, &f->items[i]);
	list->more += f->dropped[severity];
}

void report_findings_set(struct report *report, const struct findings *f, const struct findings *changes)
{
	struct finding_list list = {.items = json_array()};

	list_findings(&list, "Error", f, FINDING_ERROR);
	if (changes)
		list_findings(&list, "Change", changes, FINDING_WARNING);
	list_findings(&list, "Warning", f, FINDING_WARNING);
	(void)pthread_mutex_lock(&report->lock);
	json_decref(report->findings);
	report->findings = list.items;
	report->more_findings = list.more;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_planned(struct report *report, size_t changes, size_t warnings)
{
	static const char why[] = "spec.mode is Plan";

	report_condition(report, CONDITION_PLANNED, STATUS_TRUE, REASON_PLANNED,
			 "nothing prevents a start; changes: %zu, warnings: %zu; see status.findings", changes,
			 warnings);
	report_condition(report, CONDITION_READY, STATUS_FALSE, REASON_PLANNED,
			 "spec.mode is Plan: nothing is changed; set it to Sync to start");
	report_condition(report, CONDITION_STALLED, STATUS_FALSE, REASON_PROGRESSING, "no action needed");
	report_condition(report, CONDITION_STREAMING, STATUS_FALSE, REASON_PLANNED, "%s", why);
	report_unknown(report, CONDITION_DEGRADED, REASON_NOT_CHECKED, why);
	report_unknown(report, CONDITION_BOOTSTRAP_COMPLETE, REASON_NOT_CHECKED, why);
	report_phase(report, PHASE_PLANNED);
}

void report_unknown(struct report *report, enum condition_type type, enum reason reason, const char *message)
{
	report_condition(report, type, STATUS_UNKNOWN, reason, "%s", message);
}

enum condition_status report_status(struct report *report, enum condition_type type)
{
	enum condition_status status;

	(void)pthread_mutex_lock(&report->lock);
	status = report->conditions[type].status;
	(void)pthread_mutex_unlock(&report->lock);
	return status;
}

char *report_message(struct report *report, enum condition_type type)
{
	char *message;

	(void)pthread_mutex_lock(&report->lock);
	message = xstrdup(report->conditions[type].message);
	(void)pthread_mutex_unlock(&report->lock);
	return message;
}

void report_stream_set(struct report *report, const struct report_stream *stream)
{
	struct report_stream *to = &report->stream;
	char *slot, *publication;

	(void)pthread_mutex_lock(&report->lock);
	xreplace(&to->slot, stream->slot);
	xreplace(&to->publication, stream->publication);
	slot = to->slot;
	publication = to->publication;
	*to = *stream;
	to->slot = slot;
	to->publication = publication;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_progress(struct report *report, uint64_t acked_lsn, int64_t oldest_us)
{
	(void)pthread_mutex_lock(&report->lock);
	report->acked_lsn = acked_lsn;
	report->oldest_us = oldest_us;
	(void)pthread_mutex_unlock(&report->lock);
}

/* Under the lock. */
static int64_t lag_seconds(const struct report *report)
{
	int64_t age_us = report->oldest_us ? clock_wall_us() - report->oldest_us : 0;

	return age_us > 0 ? age_us / 1000000 : 0;
}

int64_t report_lag_seconds(struct report *report)
{
	int64_t seconds;

	(void)pthread_mutex_lock(&report->lock);
	seconds = lag_seconds(report);
	(void)pthread_mutex_unlock(&report->lock);
	return seconds;
}

void report_bootstrap_set(struct report *report, const struct report_bootstrap *bootstrap)
{
	(void)pthread_mutex_lock(&report->lock);
	report->bootstrap = *bootstrap;
	(void)pthread_mutex_unlock(&report->lock);
}

static struct report_index *find_index(struct report *report, const char *name)
{
	for (size_t i = 0; i < report->n_indices; i++)
		if (!strcmp(report->indices[i].name, name))
			return &report->indices[i];
	report->indices = xreallocarray(report->indices, report->n_indices + 1, sizeof(*report->indices));
	report->indices[report->n_indices] = (struct report_index){.name = xstrdup(name), .documents = -1};
	return &report->indices[report->n_indices++];
}

void report_index_set(struct report *report, const struct report_index *index)
{
	struct report_index *to;

	(void)pthread_mutex_lock(&report->lock);
	to = find_index(report, index->name);
	to->generation = index->generation;
	if (index->documents >= 0)
		to->documents = index->documents;
	if (*index->health)
		memcpy(to->health, index->health, sizeof(to->health));
	(void)pthread_mutex_unlock(&report->lock);
}

void report_nulled_add(struct report *report, const char *name, int64_t n)
{
	(void)pthread_mutex_lock(&report->lock);
	find_index(report, name)->nulled += n;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_dropped_add(struct report *report, const char *name)
{
	(void)pthread_mutex_lock(&report->lock);
	find_index(report, name)->dropped++;
	(void)pthread_mutex_unlock(&report->lock);
}

uint32_t report_dead_letters_revision(struct report *report, const char *name)
{
	uint32_t revision;

	(void)pthread_mutex_lock(&report->lock);
	revision = find_index(report, name)->dead_letters_revision;
	(void)pthread_mutex_unlock(&report->lock);
	return revision;
}

void report_dead_letters_set(struct report *report, const char *name, int64_t n, uint32_t revision)
{
	struct report_index *index;

	(void)pthread_mutex_lock(&report->lock);
	index = find_index(report, name);
	if (index->dead_letters_revision == revision) {
		index->dead_letters = n;
		index->dead_letters_revision++;
	}
	(void)pthread_mutex_unlock(&report->lock);
}

int64_t report_dead_letters(struct report *report, const char *name)
{
	int64_t n = 0;

	(void)pthread_mutex_lock(&report->lock);
	for (size_t i = 0; i < report->n_indices; i++)
		if (!strcmp(report->indices[i].name, name))
			n = report->indices[i].dead_letters;
	(void)pthread_mutex_unlock(&report->lock);
	return n;
}

int64_t report_any_dead_letters(struct report *report, char **ret_name)
{
	int64_t n = 0;

	(void)pthread_mutex_lock(&report->lock);
	for (size_t i = 0; i < report->n_indices && !n; i++) {
		n = report->indices[i].dead_letters;
		if (n)
			*ret_name = xstrdup(report->indices[i].name);
	}
	(void)pthread_mutex_unlock(&report->lock);
	return n;
}

void report_index_fingerprint_set(struct report *report, const char *name, const char *fingerprint)
{
	(void)pthread_mutex_lock(&report->lock);
	xreplace(&find_index(report, name)->fingerprint, fingerprint);
	(void)pthread_mutex_unlock(&report->lock);
}

char *report_index_fingerprint(struct report *report, const char *name)
{
	char *fingerprint = NULL;

	(void)pthread_mutex_lock(&report->lock);
	for (size_t i = 0; i < report->n_indices; i++)
		if (!strcmp(report->indices[i].name, name))
			fingerprint = xstrdup_or_null(report->indices[i].fingerprint);
	(void)pthread_mutex_unlock(&report->lock);
	return fingerprint ? fingerprint : xstrdup("");
}

void report_retried(struct report *report, const char *nonce)
{
	(void)pthread_mutex_lock(&report->lock);
	xreplace(&report->retried, nonce);
	(void)pthread_mutex_unlock(&report->lock);
}

void report_pressure(struct report *report, bool under_pressure, const char *why)
{
	(void)pthread_mutex_lock(&report->lock);
	if (!under_pressure)
		report->pressing--;
	else if (!report->pressing++)
		report->pressure_ms = clock_now_ms();
	if (under_pressure)
		(void)snprintf(report->pressure, sizeof(report->pressure), "%s", why);
	(void)pthread_mutex_unlock(&report->lock);
}

bool report_pressed(struct report *report, int64_t ms, char why[ERR_MSG_BYTES])
{
	bool pressed;

	(void)pthread_mutex_lock(&report->lock);
	pressed = report->pressing && clock_now_ms() - report->pressure_ms >= ms;
	memcpy(why, report->pressure, sizeof(report->pressure));
	(void)pthread_mutex_unlock(&report->lock);
	return pressed;
}

void report_lock(struct report *report, const char *holder)
{
	(void)pthread_mutex_lock(&report->lock);
	(void)snprintf(report->lock_holder, sizeof(report->lock_holder), "%s", holder ? holder : "");
	(void)pthread_mutex_unlock(&report->lock);
}

char *report_lock_holder(struct report *report)
{
	char *holder;

	(void)pthread_mutex_lock(&report->lock);
	holder = xstrdup(report->lock_holder);
	(void)pthread_mutex_unlock(&report->lock);
	return holder;
}

static json_t *conditions_json(const struct report *report)
{
	json_t *list = json_array();
	char time[CLOCK_RFC3339_BYTES];

	for (int i = 0; i < CONDITION_REPORTED_N; i++) {
		const struct condition *c = &report->conditions[i];

		/* Abnormal conditions are present only while they are true, as kstatus and its users expect. */
		if (i == CONDITION_STALLED && c->status != STATUS_TRUE)
			continue;
		if (i == CONDITION_PLANNED && c->status == STATUS_UNKNOWN)
			continue;
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:s, s:s, s:o, s:s}", "type",
						      condition_type_name((enum condition_type)i), "status",
						      condition_status_name(c->status), "reason",
						      reason_name(c->reason), "message", jsonx_text(c->message),
						      "lastTransitionTime", clock_rfc3339(c->transition_us, time)));
	}
	return list;
}

static void set_timestamp(json_t *object, const char *key, int64_t wall_us)
{
	char time[CLOCK_RFC3339_BYTES];

	if (wall_us)
		(void)json_object_set_new(object, key, json_string(clock_rfc3339(wall_us, time)));
}

static json_t *bootstrap_json(const struct report_bootstrap *b)
{
	json_t *object = json_object();
	char progress[16];

	/* 100% is shown only when it is done. */
	(void)snprintf(progress, sizeof(progress), "%d%%", b->completion_us ? 100 : (int)(b->ratio * 99.0));
	(void)json_object_set_new(object, "progress", json_string(progress));
	(void)json_object_set_new(object, "rowsDone", json_integer((json_int_t)b->rows_done));
	(void)json_object_set_new(object, "rowsTotal", json_integer((json_int_t)b->rows_total));
	set_timestamp(object, "startTime", b->start_us);
	set_timestamp(object, "completionTime", b->completion_us);
	return object;
}

const char *report_slot_name(enum report_slot slot)
{
	static const char *const names[] = {
		[REPORT_SLOT_UNKNOWN] = NULL,
		[REPORT_SLOT_INACTIVE] = "Inactive",
		[REPORT_SLOT_ACTIVE] = "Active",
		[REPORT_SLOT_LOST] = "Lost",
	};

	return names[slot];
}

bool report_slot_is(const json_t *stream, enum report_slot slot)
{
	return strcmp(jsonx_string(stream, "slotState", ""), report_slot_name(slot) ?: "") == 0;
}

static json_t *stream_json(const struct report *report)
{
	const struct report_stream *s = &report->stream;
	uint64_t confirmed = report->acked_lsn > s->confirmed_lsn ? report->acked_lsn : s->confirmed_lsn;
	int64_t lag = lag_seconds(report);
	json_t *object = json_pack("{s:s*, s:s*, s:s*}", "slotName", s->slot, "publicationName", s->publication,
				   "slotState", report_slot_name(s->slot_state));
	char lsn[LSN_BYTES], text[AMOUNT_BYTES];

	if (s->slot_state == REPORT_SLOT_UNKNOWN)
		return object;
	(void)json_object_set_new(object, "confirmedFlushLSN", json_string(lsn_format(confirmed, lsn)));
	(void)json_object_set_new(object, "lagBytes", json_integer((json_int_t)s->lag_bytes));
	(void)json_object_set_new(object, "lagSeconds", json_integer(lag));
	(void)json_object_set_new(object, "lag", json_string(amount_of_time(lag, text)));
	(void)json_object_set_new(object, "retainedWALBytes", json_integer((json_int_t)s->retained_bytes));
	(void)json_object_set_new(object, "retainedWAL", json_string(amount_of_bytes(s->retained_bytes, text)));
	return object;
}

static json_t *indices_json(const struct report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->n_indices; i++) {
		const struct report_index *index = &report->indices[i];
		json_t *object =
			json_pack("{s:s, s:I}", "name", index->name, "deadLetters", (json_int_t)index->dead_letters);

		if (index->generation) {
			_cleanup_free_ char *concrete =
				xasprintf("%s-g%lld", index->name, (long long)index->generation);

			(void)json_object_set_new(object, "physicalName", json_string(concrete));
		}
		if (index->documents >= 0)
			(void)json_object_set_new(object, "documentCount", json_integer(index->documents));
		if (index->nulled)
			(void)json_object_set_new(object, "nulledValues", json_integer(index->nulled));
		if (index->dropped)
			(void)json_object_set_new(object, "droppedDocuments", json_integer(index->dropped));
		if (*index->health)
			(void)json_object_set_new(object, "health", json_string(index->health));
		(void)json_array_append_new(list, object);
	}
	return list;
}

/* While an index is rebuilt, the numbers from before say nothing about it. */
static struct report_bootstrap current_bootstrap(const struct report *report)
{
	const struct report_bootstrap *last = &report->bootstrap;

	if (report->conditions[CONDITION_BOOTSTRAP_COMPLETE].status != STATUS_FALSE ||
	    (last->known && !last->completion_us))
		return *last;
	return (struct report_bootstrap){.known = true};
}

void report_ready(struct report *report, const struct report_readiness *r)
{
	_cleanup_free_ char *lock = report_lock_holder(report);
	const char *between = *lock ? ": " : "";

	if (r->on_probation)
		return;
	if (report_status(report, CONDITION_SINK_REACHABLE) == STATUS_FALSE) {
		_cleanup_free_ char *why = report_message(report, CONDITION_SINK_REACHABLE);

		report_condition(report, CONDITION_READY, STATUS_FALSE, REASON_SINK_UNREACHABLE, "%s", why);
	} else if (r->refusal->kind != ERR_NONE) {
		report_condition(report, CONDITION_READY, STATUS_FALSE, r->refusal->reason, "%s", r->refusal->msg);
	} else if (report_status(report, CONDITION_STREAMING) != STATUS_TRUE || !r->live) {
		report_condition(report, CONDITION_READY, STATUS_FALSE, REASON_BOOTSTRAPPING,
				 "the index is not complete yet%s%s", between, lock);
	} else if (report_lag_seconds(report) > r->lag_target_seconds) {
		report_condition(report, CONDITION_READY, STATUS_FALSE, REASON_LAG_EXCEEDS_TARGET,
				 "the index is more than %lld seconds behind%s%s", (long long)r->lag_target_seconds,
				 between, lock);
	} else if (r->behind && report_status(report, CONDITION_READY) != STATUS_TRUE) {
		report_condition(report, CONDITION_READY, STATUS_UNKNOWN, REASON_STARTING,
				 "the changes from before the worker started are being written");
	} else {
		report_condition(report, CONDITION_READY, STATUS_TRUE, REASON_STREAMING,
				 "the index follows the tables");
	}
}

/* For Ready, which side is unreachable matters more than why, unless an administrator has to act. */
static enum reason failed_reason(struct report *report, const struct report_failure *failure)
{
	if (failure->spec_invalid || failure->needs_action)
		return failure->reason;
	if (report_status(report, CONDITION_SOURCE_REACHABLE) == STATUS_FALSE)
		return REASON_SOURCE_UNREACHABLE;
	if (report_status(report, CONDITION_SINK_REACHABLE) == STATUS_FALSE)
		return REASON_SINK_UNREACHABLE;
	return failure->reason;
}

/* Between two attempts, what was last reported about copy and slot is out of date, and what was not checked is
 * unknown. */
static void report_interrupted(struct report *report, const char *why)
{
	enum condition_status complete = report_status(report, CONDITION_BOOTSTRAP_COMPLETE);

	if (complete == STATUS_FALSE)
		report_condition(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_INTERRUPTED,
				 "resumes once this is fixed: %s", why);
	else if (complete == STATUS_UNKNOWN)
		report_condition(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_UNKNOWN, REASON_NOT_CHECKED,
				 "is checked once this is fixed: %s", why);
	if (report_status(report, CONDITION_SLOT_HEALTHY) == STATUS_UNKNOWN ||
	    report_status(report, CONDITION_SOURCE_REACHABLE) == STATUS_FALSE)
		report_condition(report, CONDITION_SLOT_HEALTHY, STATUS_UNKNOWN, REASON_NOT_CHECKED,
				 "is checked once this is fixed: %s", why);
}

void report_failed(struct report *report, const struct report_failure *failure)
{
	enum reason reason = failure->reason;
	const char *why = failure->message;

	report_interrupted(report, why);
	report_condition(report, CONDITION_STREAMING, STATUS_FALSE, reason, "%s", why);
	if (failure->planning)
		report_condition(report, CONDITION_PLANNED, STATUS_FALSE, reason, "%s", why);
	report_condition(report, CONDITION_READY, STATUS_FALSE, failed_reason(report, failure), "%s", why);
	if (reason == REASON_SLOT_LOST)
		report_condition(report, CONDITION_SLOT_HEALTHY, STATUS_FALSE, REASON_LOST, "%s", why);
	if (failure->needs_action) {
		report_condition(report, CONDITION_STALLED, STATUS_TRUE, reason, "%s", why);
		report_phase(report, PHASE_FAILED);
	} else {
		report_condition(report, CONDITION_STALLED, STATUS_FALSE, REASON_RETRYING, "retrying");
		report_phase(report, PHASE_PENDING);
	}
}

json_t *report_json(struct report *report)
{
	struct report_bootstrap bootstrap;
	json_t *object;

	(void)pthread_mutex_lock(&report->lock);
	object = json_pack("{s:s, s:o}", "phase", phase_name(report->phase), "conditions", conditions_json(report));
	bootstrap = current_bootstrap(report);
	if (bootstrap.known)
		(void)json_object_set_new(object, "bootstrap", bootstrap_json(&bootstrap));
	if (report->stream.slot)
		(void)json_object_set_new(object, "stream", stream_json(report));
	if (report->n_indices)
		(void)json_object_set_new(object, "indices", indices_json(report));
	/* An empty list replaces an earlier one. */
	if (report->findings)
		(void)json_object_set(object, "findings", report->findings);
	if (report->more_findings)
		(void)json_object_set_new(object, "moreFindings", json_integer((json_int_t)report->more_findings));
	if (report->retried)
		(void)json_object_set_new(object, "retriedDeadLetters", jsonx_text(report->retried));
	(void)pthread_mutex_unlock(&report->lock);
	return object;
}
