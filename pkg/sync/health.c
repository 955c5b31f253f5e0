/* The health of slot, search engine and indices. */
#include "sync/health_int.h"

#include <stdlib.h>
#include <string.h>

#include "recovery/slot.h"
#include "sink/dead_letters.h"
#include "sink/generations.h"

enum { PRESSURE_MS = 1500 };

void health_set_slot_condition(struct run *run, const struct pg_slot *slot)
{
	static const enum condition_status statuses[] = {[RECOVERY_HEALTH_UNKNOWN] = STATUS_UNKNOWN,
							 [RECOVERY_HEALTH_BAD] = STATUS_FALSE,
							 [RECOVERY_HEALTH_GOOD] = STATUS_TRUE};
	struct recovery_slot_health h;

	recovery_slot_health(slot, run->spec->source.slot_name, run->given_up,
			     run->unsaved.kind == ERR_NONE ? NULL : run->unsaved.msg, &h);
	report_condition(&run->report, CONDITION_SLOT_HEALTHY, statuses[h.health], h.reason, "%s", h.message);
}

/* The event is sent and the condition is set once the slot is gone. */
int health_limit_wal(struct attempt *at, const struct pg_slot *slot, struct err *err)
{
	const struct recovery_slot_use use = {.max_retained =
						      at->past->follows ? at->run->spec->source.max_retained_wal : 0,
					      .slot_name_given = at->run->options->slot_name_given,
					      .streamed = at->past->streamed,
					      .walsender_pid = at->past->walsender_pid};

	if (!recovery_gives_slot_up(slot, &use))
		return 0;
	if (pg_slot_drop(at->source.pg, at->source.slot, err) < 0)
		return err_wrap(err, "dropping a slot that retains too much WAL");
	at->run->given_up = slot->retained_bytes;
	health_set_slot_condition(at->run, &(struct pg_slot){.state = PG_SLOT_ABSENT});
	(void)err_reason(err, ERR_TRANSIENT, REASON_SLOT_GIVEN_UP,
			 "replication slot \"%s\" retained %llu bytes of WAL, more than "
			 "spec.source.replication.maxRetainedWAL, and was dropped",
			 at->source.slot, (unsigned long long)slot->retained_bytes);
	run_event(at->run, true, REASON_SLOT_GIVEN_UP, "Stream", "%s", err->msg);
	return -1;
}

/* Brief push-back is normal; it becomes a condition only if it lasts. */
static void set_sink_condition(struct health *h)
{
	struct report *report = &h->attempt->run->report;
	char why[ERR_MSG_BYTES];

	if (report_pressed(report, PRESSURE_MS, why))
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_FALSE, REASON_SINK_UNAVAILABLE,
				 "%s; retrying", why);
	else if (h->sink_err.kind != ERR_NONE)
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_FALSE,
				 h->sink_err.reason ? h->sink_err.reason : REASON_SINK_UNAVAILABLE, "%s",
				 h->sink_err.msg);
	else
		report_condition(report, CONDITION_SINK_REACHABLE, STATUS_TRUE, REASON_CONNECTED,
				 "the search engine answers");
}

int health_check_slot(struct health *h, const struct stream_progress *progress, struct err *err)
{
	struct run *run = h->attempt->run;
	const struct spec_source *source = &run->spec->source;
	struct pg_slot slot;
	struct report_stream report = {.slot = source->slot_name, .publication = source->publication_name};

	if (pg_slot_read(h->attempt->source.pg, source->slot_name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	report.slot_state = slot.state == PG_SLOT_LOST     ? REPORT_SLOT_LOST
			    : slot.state == PG_SLOT_ACTIVE ? REPORT_SLOT_ACTIVE
							   : REPORT_SLOT_INACTIVE;
	report.confirmed_lsn = slot.confirmed_flush_lsn;
	report.retained_bytes = slot.retained_bytes;
	/* If nothing is pending, the WAL up to the end comes from other databases. */
	if (progress->pending && slot.current_lsn > progress->durable)
		report.lag_bytes = slot.current_lsn - progress->durable;
	report_stream_set(&run->report, &report);
	meters_lag(run->metrics, report_lag_seconds(&run->report), report.lag_bytes, report.retained_bytes);
	health_set_slot_condition(run, &slot);
	set_sink_condition(h);
	return health_limit_wal(h->attempt, &slot, err);
}

static void check_index(struct health *h, const struct checkpoint_index *index, const char *concrete, struct err *err)
{
	struct attempt *at = h->attempt;
	struct report_index report = {.name = index->name, .generation = index->generation};
	struct search_stats stats;
	bool ours = false, live = true;

	if (generation_is_ours(&at->sink, concrete, &ours, err) < 0 ||
	    (ours && search_stats(at->sink.search, concrete, &stats, err) < 0))
		return;
	if (ours && at->cp.phase == CHECKPOINT_LIVE &&
	    generation_is_live(&at->sink, index->name, concrete, &live, err) < 0)
		return;
	h->index_gone = h->index_gone || !ours || !live;
	if (!ours)
		return;
	report.documents = stats.documents;
	memcpy(report.health, stats.health, sizeof(report.health));
	report_index_set(&at->run->report, &report);
	(void)!dead_letters_count(&at->sink, &at->run->report, index->name, err);
}

bool health_check_index(struct health *h)
{
	struct attempt *at = h->attempt;
	size_t i = h->next_index;
	struct err err = {0};

	if (i < at->model.n_plans)
		check_index(h, attempt_index(at, i), at->model.concrete[i], &err);
	h->next_index = err.kind == ERR_NONE ? i + 1 : at->model.n_plans;
	if (h->next_index < at->model.n_plans)
		return false;
	h->next_index = 0;
	h->sink_err = err;
	if (err.kind == ERR_NONE)
		dead_letters_set_condition(&at->run->report);
	return true;
}
