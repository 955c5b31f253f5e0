/* What is looked at now and then while the stream runs, and what is said of it: slot and lag, the sink, the indices. */
#include "sync/vitals_int.h"

#include <string.h>

#include "base/clock.h"
#include "sink/dead_letters.h"
#include "sink/generations.h"

enum {
	SLOT_MS = 1000,
	INDICES_MS = 10000,
	REPORT_MS = 200,
	PRESSURE_MS = 1500,
};

void vitals_say_slot(struct attempt *at, const struct pg_slot *slot)
{
	if (slot->state == PG_SLOT_ABSENT)
		report_unknown(&at->run->report, CONDITION_SLOT_HEALTHY, "NotChecked", "there is no replication slot");
	else if (slot->state == PG_SLOT_LOST)
		report_condition(&at->run->report, CONDITION_SLOT_HEALTHY, STATUS_FALSE, "Lost",
				 "the server dropped WAL that slot \"%s\" needed", at->run->spec->source.slot_name);
	else if (!strcmp(slot->wal_status, "unreserved"))
		report_condition(&at->run->report, CONDITION_SLOT_HEALTHY, STATUS_FALSE, "WalStatusUnreserved",
				 "the slot is about to be lost: it retains %llu bytes of WAL, more than "
				 "max_slot_wal_keep_size allows",
				 (unsigned long long)slot->retained_bytes);
	else
		report_condition(&at->run->report, CONDITION_SLOT_HEALTHY, STATUS_TRUE, "Reserved",
				 "the server keeps the WAL that the slot needs");
}

/* A refusal or two is everyday life; one that lasts is a condition. */
static void say_sink(struct vitals *v)
{
	struct report *report = &v->attempt->run->report;
	char why[256];

	if (report_pressed(report, PRESSURE_MS, why))
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_FALSE, "SinkUnavailable", "%s; trying again",
				 why);
	else if (v->sink_err.kind != ERR_NONE)
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_FALSE,
				 v->sink_err.reason ? v->sink_err.reason : "SinkUnavailable", "%s", v->sink_err.msg);
	else
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_TRUE, "Connected",
				 "the search engine answers");
}

/* After attempts that ended the same way, this one has only shown that it is another when it is past where it began. */
static bool is_unproven(struct vitals *v, const struct progress *progress)
{
	struct attempt *at = v->attempt;

	if (!at->past->on_probation)
		return false;
	if (progress->durable < v->start_lsn || progress->catching_up)
		return true;
	at->past->on_probation = false;
	report_condition(&at->run->report, CONDITION_STALLED, STATUS_FALSE, "Progressing", "nothing needs a person");
	return false;
}

static void say_ready(struct vitals *v, const struct progress *progress)
{
	struct attempt *at = v->attempt;
	struct report *report = &at->run->report;

	if (is_unproven(v, progress))
		return;
	if (report_status(report, CONDITION_SINK_REACHABLE) == STATUS_FALSE)
		report_condition(report, CONDITION_READY, STATUS_FALSE, "SinkUnreachable", "%s",
				 report->conditions[CONDITION_SINK_REACHABLE].message);
	else if (report_status(report, CONDITION_STREAMING) != STATUS_TRUE || at->cp.phase != CHECKPOINT_LIVE)
		report_condition(report, CONDITION_READY, STATUS_FALSE, "Bootstrapping",
				 "the index is not complete yet");
	else if (progress->lag_seconds > at->run->spec->lag_target_seconds)
		report_condition(report, CONDITION_READY, STATUS_FALSE, "LagExceedsTarget",
				 "the index is more than %lld seconds behind",
				 (long long)at->run->spec->lag_target_seconds);
	else
		report_condition(report, CONDITION_READY, STATUS_TRUE, "Streaming", "the index follows the tables");
}

static int look_at_slot(struct vitals *v, const struct progress *progress, struct err *err)
{
	struct attempt *at = v->attempt;
	struct pg_slot slot;
	struct report_stream report = {.slot = at->run->spec->source.slot_name,
				       .publication = at->run->spec->source.publication_name};

	if (pg_slot_read(at->pg, at->run->spec->source.slot_name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	report.slot_state = slot.state == PG_SLOT_LOST ? "Lost" : slot.state == PG_SLOT_ACTIVE ? "Active" : "Inactive";
	report.confirmed_lsn = slot.confirmed_flush_lsn;
	report.retained_bytes = slot.retained_bytes;
	report.lag_seconds = progress->lag_seconds;
	/* With nothing under way the distance to the server's end is other databases' business. */
	if (progress->pending && slot.current_lsn > progress->durable)
		report.lag_bytes = slot.current_lsn - progress->durable;
	report_stream_set(&at->run->report, &report);
	sync_metrics_lag(at->run->metrics, report.lag_seconds, report.lag_bytes, report.retained_bytes);
	vitals_say_slot(at, &slot);
	say_sink(v);
	say_ready(v, progress);
	return 0;
}

static void look_at_index(struct vitals *v, const struct checkpoint_index *index, const char *concrete)
{
	struct attempt *at = v->attempt;
	struct report_index report = {.name = index->name, .generation = index->generation};
	struct search_stats stats;
	bool ours = false, live = true;

	if (generation_is_ours(&at->sink, concrete, &ours, &v->sink_err) < 0 ||
	    (ours && search_stats(at->sink.search, concrete, &stats, &v->sink_err) < 0))
		return;
	if (ours && at->cp.phase == CHECKPOINT_LIVE &&
	    generation_is_live(&at->sink, index->name, concrete, &live, &v->sink_err) < 0)
		return;
	v->index_gone = v->index_gone || !ours || !live;
	if (!ours)
		return;
	report.documents = stats.documents;
	memcpy(report.health, stats.health, sizeof(report.health));
	report_index_set(&at->run->report, &report);
	(void)!dead_letters_count(&at->sink, &at->run->report, index->name, &v->sink_err);
}

/* Counts for people, and a sign of life of the engine when there is nothing to write. A failure is a condition, no end
 * of the attempt: the applier decides about that. */
static void look_at_indices(struct vitals *v)
{
	struct attempt *at = v->attempt;

	v->sink_err = (struct err){0};
	for (size_t i = 0; i < at->model.n_plans && v->sink_err.kind == ERR_NONE; i++)
		look_at_index(v, attempt_index(at, i), at->model.concrete[i]);
	if (v->sink_err.kind == ERR_NONE)
		dead_letters_set_condition(&at->run->report);
	/* Asking may have taken as long as a time-out: the pause counts from here. */
	v->indices_ms = clock_now_ms();
}

int vitals_look(struct vitals *v, const struct progress *progress, int64_t now, struct err *err)
{
	if (now >= v->slot_ms + SLOT_MS) {
		v->slot_ms = now;
		if (look_at_slot(v, progress, err) < 0)
			return -1;
	}
	if (now >= v->indices_ms + INDICES_MS)
		look_at_indices(v);
	if (now >= v->report_ms + REPORT_MS) {
		v->report_ms = now;
		run_publish(v->attempt->run);
	}
	return 0;
}

bool vitals_sink_answered(const struct vitals *v, int64_t now)
{
	return v->sink_err.kind == ERR_NONE && now < v->indices_ms + SLOT_MS;
}

void vitals_hurry(struct vitals *v)
{
	v->slot_ms = 0;
	v->indices_ms = 0;
}
