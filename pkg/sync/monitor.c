/* The monitor: a table of tasks with their due times, and the stages of an attempt. */
#include "sync/monitor_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apply/compile.h"
#include "apply/retrier.h"
#include "base/clock.h"
#include "base/log.h"
#include "postgres/locks.h"
#include "recovery/recovery.h"
#include "sessions/watcher.h"
#include "sink/generations.h"
#include "sync/bootstrap_int.h"
#include "sync/health_int.h"
#include "sync/recover_int.h"
#include "sync/stream_int.h"

enum {
	SLOT_MS = 1000,
	INDICES_MS = 10000,
	RECIPES_MS = 10000,
	RECIPES_UNKNOWN_MS = 60000, /* the engine may note each request that it denies */
	CATALOG_MS = 5000,          /* some changes of tables leave no trace in the stream */
	SAVE_MS = 2000, /* a bootstrap's checkpoint; sooner at first, so that a short-lived worker makes progress */
	SAVE_LIVE_MS = 5000, /* the position that the stream may acknowledge */
	SAVE_FIRST_MS = 200,
	HEARTBEAT_MS = 300,
	EXPLAIN_MS = 100,
	EXPLAIN_TRIES = 10,
	COLLECT_MS = 5000, /* searches in flight when an alias moves finish on the old generation */
	COLLECT_AGAIN_MS = 60000,
};

/* Set by advance(), and by nothing else. */
enum stage {
	COPYING,     /* a bootstrap fills generations while the stream flows */
	CATCHING_UP, /* every generation is complete; this stage ends once live_after is durable */
	RETRYING, /* dead letters whose cause may be gone are tried again, so that the aliases do not move to an index
		   * that lacks their documents; one without any document waits here for the cause to go away */
	LIVE,     /* the aliases point to the indices being written */
};

enum task {
	TASK_SLOT,
	TASK_INDICES,
	TASK_CATALOG,
	TASK_SAVE,
	TASK_HEARTBEAT,
	TASK_COLLECT,
	TASK_RETRY,
	TASK_RECIPES,
	TASKS
};

struct monitor {
	struct attempt *attempt;
	int wake_fd; /* stream and bootstrap have news */
	struct stream *stream;
	struct bootstrap *bootstrap; /* only while COPYING */
	struct watcher *watcher;
	struct stream_progress progress;
	struct health health;
	struct retrier retrier;

	enum stage stage;
	struct err refusal; /* while RETRYING: why the aliases do not move; or kind NONE */
	uint64_t start_lsn; /* the server's position when the attempt began */
	uint64_t live_after;
	bool holding;            /* the stream waits until a view is copied */
	bool reading_partitions; /* changed partitions are being read */
	bool must_save;          /* the checkpoint has something new, besides the position */
	size_t next_recipe;      /* the plan whose recipe is compared next */
	bool compared_recipes;   /* every one, once */
	uint64_t confirmed;      /* the stream may acknowledge this */
	bool save_unsure;        /* the last save may have been stored: the next one saves the same */
	int64_t start_ms;
	int64_t due_ms[TASKS]; /* INT64_MAX: when something happens */
};

/* --- what is waited for --- */

/* Changes of before the attempt may be missing in the index. */
static bool is_behind_start(const struct monitor *m)
{
	return m->progress.durable < m->start_lsn;
}

/* The position that is waited for; 0: none. */
static uint64_t awaited_lsn(const struct monitor *m)
{
	const struct attempt *at = m->attempt;

	if (m->stage == CATCHING_UP)
		return m->live_after;
	if (m->reading_partitions || at->past->on_probation || (m->stage == LIVE && is_behind_start(m)))
		return m->start_lsn;
	return at->run->options->until_caught_up && m->stage == LIVE ? at->past->catch_up_to : 0;
}

static bool is_caught_up(const struct monitor *m)
{
	const struct attempt *at = m->attempt;

	return at->run->options->until_caught_up && m->stage == LIVE && !m->reading_partitions && m->compared_recipes &&
	       m->progress.durable >= at->past->catch_up_to;
}

/* --- tasks: each returns when it is due again --- */

static void end_stall(struct monitor *m)
{
	report_condition(&m->attempt->run->report, CONDITION_STALLED, STATUS_FALSE, REASON_PROGRESSING,
			 "no action needed");
}

/* If earlier attempts failed, this one counts as healthy only once it has got past the position where it began. */
static void end_probation(struct monitor *m)
{
	struct attempt *at = m->attempt;

	if (!at->past->on_probation || is_behind_start(m) || m->stage == CATCHING_UP || m->stage == RETRYING)
		return;
	at->past->on_probation = false;
	end_stall(m);
}

static int check_slot(struct monitor *m, int64_t now, struct err *err)
{
	struct attempt *at = m->attempt;

	m->due_ms[TASK_SLOT] = now + SLOT_MS;
	if (health_check_slot(&m->health, &m->progress, err) < 0)
		return -1;
	end_probation(m);
	report_ready(&at->run->report,
		     &(struct report_readiness){.on_probation = at->past->on_probation,
						.live = m->stage == LIVE,
						.behind = is_behind_start(m),
						.refusal = &m->refusal,
						.lag_target_seconds = at->run->spec->lag_target_seconds});
	return 0;
}

/* MONITOR_AGAIN if it was restored. An index that users fill is theirs to judge. */
static int check_history(struct monitor *m, size_t plan)
{
	struct attempt *at = m->attempt;
	bool learned;

	if (at->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER || plan >= at->model.n_plans)
		return 0;
	if (generation_is_restored(&at->sink, attempt_index(at, plan), &learned))
		return MONITOR_AGAIN;
	if (learned) {
		m->must_save = true;
		m->due_ms[TASK_SAVE] = 0;
	}
	return 0;
}

/* One index at a time. */
static int check_indices(struct monitor *m, int64_t now, struct err *err)
{
	size_t plan = m->health.next_index;
	bool round = health_check_index(&m->health);

	m->due_ms[TASK_INDICES] = round ? clock_now_ms() + INDICES_MS : now;
	if (m->health.index_gone)
		return err_reason(err, ERR_TRANSIENT, REASON_INDEX_GONE,
				  "an index was deleted, or its alias moved, by another client: pgsync rebuilds the "
				  "index, or puts the alias back");
	return check_history(m, plan);
}

/* A plan depends on everything that the compiler looks at, so compile again and compare. */
static int compile_again(struct attempt *at, struct compilation *ret, struct err *err)
{
	const struct spec *spec = at->run->spec;
	const struct compile_input documents = {.documents = spec->documents,
						.n = spec->n_documents,
						.format = &spec->document_format,
						.search_path = &spec->source.search_path,
						.known = at->model.catalog};
	struct findings ignored;
	int r;

	findings_init(&ignored);
	r = compile_documents(&documents, at->source.pg, ret, &ignored, err);
	findings_release(&ignored);
	return r;
}

/* MONITOR_AGAIN if tables or publication differ from what the plans were made from. */
static int compare_catalog(struct monitor *m, struct err *err)
{
	struct attempt *at = m->attempt;
	_cleanup_(compilation_release) struct compilation now = {0};
	bool published;

	if (compile_again(at, &now, err) < 0)
		return -1;
	if (!compilation_confirms(&now, at->model.catalog, at->model.plans))
		return MONITOR_AGAIN;
	if (recovery_note_rewrites(&at->cp, now.catalog) && attempt_save(at, err) < 0)
		return -1;
	/* A partition that no longer exists was written to while its replica identity was insufficient. Once its WAL
	 * has been read this no longer matters, but this attempt would keep reading every root for each change. */
	if (m->progress.has_gaps && !m->progress.pending && m->progress.durable >= m->start_lsn)
		return MONITOR_AGAIN;
	if (source_still_published(&at->source, at->cp.publication_fingerprint, &published, err) < 0)
		return -1;
	return published ? 0 : MONITOR_AGAIN;
}

static int check_catalog(struct monitor *m, int64_t now, struct err *err)
{
	uint32_t doubts = m->progress.doubts;
	int r = compare_catalog(m, err);

	m->due_ms[TASK_CATALOG] = now + CATALOG_MS;
	if (r < 0 && pg_is_lock_conflict(err)) {
		log_info("sync", "could not check the catalog because of a lock, retrying later", KV_ERR(err));
		return 0;
	}
	if (r == 0)
		stream_trust_catalog(m->stream, doubts);
	return r;
}

/* Saves the position first, and lets the stream acknowledge it then: see stream_int.h. It also shows that a server that
 * is behind it has another history. */
static int confirm(struct monitor *m, bool must_save, struct err *err)
{
	struct attempt *at = m->attempt;

	if (!m->save_unsure && m->progress.durable > at->cp.confirmed_lsn) {
		at->cp.confirmed_lsn = m->progress.durable;
		at->cp.landmark = m->progress.landmark;
	}
	if (!must_save && at->cp.confirmed_lsn <= m->confirmed)
		return 0;
	if (attempt_save(at, err) < 0)
		return -1;
	m->save_unsure = m->must_save = false;
	at->run->unsaved = (struct err){0};
	m->confirmed = at->cp.confirmed_lsn;
	stream_confirm(m->stream, m->confirmed);
	return 0;
}

static int save(struct monitor *m, int64_t now, struct err *err)
{
	int64_t interval = (now - m->start_ms) / 4, longest = m->bootstrap ? SAVE_MS : SAVE_LIVE_MS;

	interval = interval < SAVE_FIRST_MS ? SAVE_FIRST_MS : interval > longest ? longest : interval;
	m->due_ms[TASK_SAVE] = now + interval;
	if (confirm(m, (m->bootstrap && bootstrap_note(m->bootstrap, m->attempt)) || m->must_save, err) == 0)
		return 0;
	/* The stream goes on without an acknowledgement while the search engine is away. */
	if (m->bootstrap || err->kind != ERR_TRANSIENT)
		return -1;
	log_info("sync", "could not save the position, retrying later", KV_ERR(err));
	if (m->save_unsure)
		m->attempt->run->unsaved = *err;
	m->save_unsure = true;
	m->due_ms[TASK_SAVE] = clock_now_ms() + interval;
	return 0;
}

/* The server reports its position only when it has WAL to send. If we wait for a position, a logical message creates
 * some. */
static int send_heartbeat(struct monitor *m, int64_t now, struct err *err)
{
	uint64_t lsn = awaited_lsn(m);

	stream_notify_at(m->stream, lsn);
	m->due_ms[TASK_HEARTBEAT] = lsn ? now + HEARTBEAT_MS : INT64_MAX;
	/* A standby writes no WAL. It says how far it has come when the stream asks. */
	if (!lsn || m->progress.durable >= lsn || m->progress.pending || pg_is_standby(m->attempt->source.pg))
		return 0;
	return pg_query(m->attempt->source.pg, "SELECT pg_logical_emit_message(false, 'pgsync', '')", NULL, 0, NULL,
			err);
}

/* A surplus index is not a reason to end the stream. */
static int collect_generations(struct monitor *m, int64_t now, struct err *err)
{
	struct err why = {0};

	UNUSED(err);
	m->due_ms[TASK_COLLECT] = INT64_MAX;
	if (attempt_collect_generations(m->attempt, &why) == 0)
		return 0;
	log_warn("sync", "could not delete an old generation, retrying later", KV_ERR(&why));
	m->due_ms[TASK_COLLECT] = now + COLLECT_AGAIN_MS;
	return 0;
}

/* --- going live --- */

/* A later round tries again: the rows, the mapping, the settings or a pipeline may be corrected meanwhile. Or its
 * recipe changes, and another generation takes its place. */
static int wait_for_documents(struct monitor *m, const struct err *refusal)
{
	struct attempt *at = m->attempt;

	if (m->refusal.kind == ERR_NONE)
		log_error("sync", "the alias does not move, waiting for documents that the index accepts",
			  KV_ERR(refusal));
	m->refusal = *refusal;
	at->past->on_probation = false;
	report_condition(&at->run->report, CONDITION_STALLED, STATUS_TRUE, refusal->reason, "%s", refusal->msg);
	report_phase(&at->run->report, PHASE_FAILED);
	m->due_ms[TASK_SLOT] = 0;
	return 0;
}

static void end_refusal(struct monitor *m)
{
	if (m->refusal.kind != ERR_NONE)
		end_stall(m);
	m->refusal = (struct err){0};
}

static int go_live(struct monitor *m, struct err *err)
{
	struct attempt *at = m->attempt;

	if (attempt_go_live(at, err) < 0)
		return err->reason == REASON_EVERY_DOCUMENT_REJECTED && !at->run->options->until_caught_up
			       ? wait_for_documents(m, err)
			       : -1;
	m->stage = LIVE;
	end_refusal(m);
	stream_set_live(m->stream);
	report_phase(&at->run->report, PHASE_STREAMING);
	run_event(at->run, false, REASON_ALIAS_MOVED, "Bootstrap", "every index is complete and has its alias");
	log_info("sync", "live: the aliases point to the new generation");
	m->due_ms[TASK_COLLECT] = clock_now_ms() + COLLECT_MS;
	m->due_ms[TASK_SLOT] = m->due_ms[TASK_INDICES] = m->due_ms[TASK_HEARTBEAT] = m->due_ms[TASK_RECIPES] = 0;
	m->compared_recipes = false;
	return 0;
}

/* Other tasks report problems with it. */
static int retry_dead_letters(struct monitor *m, int64_t now, struct err *err)
{
	bool may_write = m->stage >= RETRYING && m->progress.durable >= m->start_lsn;
	struct err why = {0};
	int64_t pause;
	int r = retrier_round(&m->retrier, may_write, &pause, &why);

	if (r > 0)
		stream_wake(m->stream);
	m->due_ms[TASK_RETRY] = now + pause;
	return m->stage == RETRYING && (r < 0 || retrier_is_settled(&m->retrier)) ? go_live(m, err) : 0;
}

/* --- recipes --- */

/* One index at a time, so that a slow engine holds up no other task; those report what is wrong with it. True: the
 * round is complete. */
static bool compare_next_recipe(struct monitor *m, bool *ret_save)
{
	struct attempt *at = m->attempt;
	struct err ignored = {0};
	int r = attempt_check_recipe(at, m->next_recipe, m->refusal.kind != ERR_NONE, &ignored);

	*ret_save = r > 0;
	m->next_recipe = r < 0 ? 0 : (m->next_recipe + 1) % at->model.n_plans;
	return m->next_recipe == 0;
}

/* An index that is being filled goes live first. An index that users fill is theirs to judge. */
static int check_recipes(struct monitor *m, int64_t now, struct err *err)
{
	struct attempt *at = m->attempt;
	bool must_save = false;

	m->due_ms[TASK_RECIPES] = now;
	if (at->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER) {
		m->due_ms[TASK_RECIPES] = INT64_MAX;
		m->compared_recipes = true;
		return 0;
	}
	if (compare_next_recipe(m, &must_save)) {
		m->due_ms[TASK_RECIPES] =
			clock_now_ms() + (attempt_knows_recipes(at) ? RECIPES_MS : RECIPES_UNKNOWN_MS);
		m->compared_recipes = true;
	}
	if (must_save && attempt_save(at, err) < 0)
		return -1;
	return (m->stage == LIVE || m->refusal.kind != ERR_NONE) && attempt_is_outdated(at) ? MONITOR_AGAIN : 0;
}

static int (*const tasks[TASKS])(struct monitor *m, int64_t now, struct err *err) = {
	[TASK_SLOT] = check_slot,          [TASK_INDICES] = check_indices,
	[TASK_CATALOG] = check_catalog,    [TASK_SAVE] = save,
	[TASK_HEARTBEAT] = send_heartbeat, [TASK_COLLECT] = collect_generations,
	[TASK_RETRY] = retry_dead_letters, [TASK_RECIPES] = check_recipes,
};

/* --- stages --- */

static void report_copied(struct attempt *at)
{
	struct report_bootstrap report = {.known = true, .ratio = 1};

	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);

		report.rows_done += checkpoint_rows(index);
		report.start_us =
			!report.start_us || index->start_us < report.start_us ? index->start_us : report.start_us;
		if (index->completion_us > report.completion_us)
			report.completion_us = index->completion_us;
	}
	report.rows_total = report.rows_done;
	report_bootstrap_set(&at->run->report, &report);
	report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, REASON_COMPLETE,
			 "%llu rows were copied", (unsigned long long)report.rows_done);
}

static int catch_up(struct monitor *m, struct err *err)
{
	struct attempt *at = m->attempt;

	(void)bootstrap_note(m->bootstrap, at);
	bootstrap_stop(TAKE_PTR(m->bootstrap));
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);

		if (!index->complete)
			index->completion_us = clock_wall_us();
		index->complete = true;
	}
	if (attempt_save(at, err) < 0 || pg_flush_lsn(at->source.pg, &m->live_after, err) < 0 ||
	    pg_horizon_raise(at->source.pg, &at->run->horizon, err) < 0)
		return -1;
	m->stage = CATCHING_UP;
	report_copied(at);
	report_phase(&at->run->report, PHASE_CATCHING_UP);
	log_info("sync", "bootstrap complete, catching up", KV_LSN("to", m->live_after));
	m->due_ms[TASK_HEARTBEAT] = 0;
	return 0;
}

static int advance_copy(struct monitor *m, struct err *err)
{
	int r = bootstrap_check(m->bootstrap, err);

	if (r < 0)
		return -1;
	if (m->holding && !bootstrap_holds(m->bootstrap)) {
		m->holding = false;
		stream_end_hold(m->stream);
	}
	if (r == BOOTSTRAP_OUTDATED)
		return MONITOR_AGAIN;
	return r == BOOTSTRAP_DONE ? catch_up(m, err) : 0;
}

/* Moves from stage to stage, as far as possible. */
static int advance(struct monitor *m, struct err *err)
{
	if (m->reading_partitions && m->progress.partitions == STREAM_PARTITIONS_DONE) {
		m->reading_partitions = false;
		if (recover_adopt_partitions(m->attempt, err) < 0)
			return -1;
	}
	if (m->stage == COPYING) {
		int r = advance_copy(m, err);

		if (r)
			return r;
	}
	if (m->stage == CATCHING_UP && !m->reading_partitions && m->progress.durable >= m->live_after) {
		m->stage = RETRYING;
		m->due_ms[TASK_RETRY] = 0;
	}
	return 0;
}

/* --- the loop --- */

/* The server ends the stream of a slot a moment before it marks the slot as invalid, or drops it. */
static int explain_stream_end(struct attempt *at, struct err *err)
{
	(void)source_explain_end(&at->source, err);
	for (int i = 0; i < EXPLAIN_TRIES && err->reason == REASON_SLOT_TAKEN; i++) {
		if (connector_sleep(&at->connector, EXPLAIN_MS))
			break;
		(void)source_explain_end(&at->source, err);
	}
	return -1;
}

/* Takes the stream's progress, and updates the tasks accordingly. */
static int take_progress(struct monitor *m, struct err *err)
{
	static const enum monitor_end ends[] = {
		[STREAM_RUNNING] = MONITOR_RUNNING, [STREAM_STOPPED] = MONITOR_STOPPED, [STREAM_AGAIN] = MONITOR_AGAIN};
	struct attempt *at = m->attempt;
	uint32_t doubts = m->progress.doubts;
	int r = stream_check(m->stream, &at->past->truncated, err);

	if (r < 0)
		return explain_stream_end(at, err);
	m->progress = stream_progress(m->stream);
	if (m->progress.doubts != doubts)
		m->due_ms[TASK_CATALOG] = 0;
	if (m->progress.asked && !m->save_unsure && m->progress.durable > m->confirmed)
		m->due_ms[TASK_SAVE] = 0;
	return ends[r];
}

static int run_due_tasks(struct monitor *m, struct err *err)
{
	for (size_t i = 0; i < TASKS; i++) {
		int64_t now = clock_now_ms();
		int r = now >= m->due_ms[i] ? tasks[i](m, now, err) : 0;

		if (r)
			return r;
	}
	return 0;
}

static int monitor_wait_ms(const struct monitor *m)
{
	int64_t first = INT64_MAX, now = clock_now_ms();

	for (size_t i = 0; i < TASKS; i++)
		first = m->due_ms[i] < first ? m->due_ms[i] : first;
	return first > now ? (int)(first - now) : 0;
}

/* Waits for news or the next task. True: the caller of sync_run wants to stop. */
static bool wait_for_task(struct monitor *m)
{
	struct pollfd fds[] = {
		{.fd = m->attempt->connector.cancel_fd, .events = POLLIN},
		{.fd = m->wake_fd, .events = POLLIN},
	};
	uint64_t count;

	(void)poll(fds, 2, monitor_wait_ms(m));
	if (fds[1].revents && read(m->wake_fd, &count, sizeof(count)) < 0)
		UNUSED(count);
	return fds[0].revents;
}

/* No later run would delete what this one leaves behind. */
static int finish_purge(struct monitor *m, struct err *err)
{
	if (confirm(m, false, err) < 0)
		return -1;
	if (m->due_ms[TASK_COLLECT] != INT64_MAX && attempt_collect_generations(m->attempt, err) < 0)
		return -1;
	return MONITOR_CAUGHT_UP;
}

static int watch_catalog(struct monitor *m, struct err *err)
{
	for (;;) {
		int r = take_progress(m, err);

		if (r == MONITOR_RUNNING)
			r = advance(m, err);
		if (r == MONITOR_RUNNING)
			r = run_due_tasks(m, err);
		if (r != MONITOR_RUNNING)
			return r;
		if (is_caught_up(m))
			return finish_purge(m, err);
		if (wait_for_task(m))
			return MONITOR_STOPPED;
	}
}

/* --- beginning --- */

static void report_begin(struct monitor *m)
{
	struct attempt *at = m->attempt;
	struct report *report = &at->run->report;
	bool complete = true;

	report_condition(report, CONDITION_STREAMING, STATUS_TRUE, REASON_STREAMING, "streaming from the slot");
	for (size_t i = 0; i < at->model.n_plans; i++)
		complete = complete && attempt_index(at, i)->complete;
	if (m->bootstrap)
		bootstrap_report(m->bootstrap, at);
	if (complete)
		report_copied(at);
	else
		report_condition(report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, REASON_IN_PROGRESS,
				 "the tables are being copied");
	report_phase(report, !complete             ? PHASE_BOOTSTRAPPING
			     : m->stage == COPYING ? PHASE_CATCHING_UP
						   : PHASE_STREAMING);
}

static int start_stream_take(struct monitor *m, struct pg *replication, struct err *err)
{
	struct attempt *at = m->attempt;
	struct carryover *past = at->past;
	const struct stream_options options = {
		.model = &at->model,
		.run = at->run,
		.connector = &at->connector,
		.monitor_fd = m->wake_fd,
		.start_lsn = m->start_lsn,
		.confirmed = m->confirmed,
		.live = m->stage == LIVE,
		.hold = m->stage == COPYING,
	};

	past->walsender_pid = pg_backend_pid(replication);
	if (stream_start_take(&options, replication, &m->stream, err) < 0)
		return -1;
	past->streamed = true;
	return 0;
}

static int begin_take(struct monitor *m, struct pg *replication_take, struct err *err)
{
	struct attempt *at = m->attempt;
	_cleanup_(pg_closep) struct pg *replication = replication_take;

	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake_fd < 0)
		return err_errno(err, errno, "eventfd");
	search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
	if (pg_flush_lsn(at->source.pg, &m->start_lsn, err) < 0)
		return -1;
	m->start_ms = clock_now_ms();
	m->stage = at->cp.phase == CHECKPOINT_LIVE ? LIVE : COPYING;
	m->reading_partitions = at->model.partition_changes.pending;
	m->confirmed = at->cp.confirmed_lsn;
	/* Does what an earlier attempt had no time for. */
	m->due_ms[TASK_COLLECT] = m->stage == LIVE ? m->start_ms + COLLECT_MS : INT64_MAX;
	if (watcher_start(&at->connector, &m->watcher, err) < 0 ||
	    start_stream_take(m, TAKE_PTR(replication), err) < 0 ||
	    bootstrap_start(at, m->wake_fd, &m->bootstrap, err) < 0)
		return -1;
	m->holding = m->bootstrap && bootstrap_holds(m->bootstrap);
	if (!m->holding)
		stream_end_hold(m->stream);
	report_begin(m);
	return 0;
}

int monitor_run_take(struct attempt *at, struct pg *replication, struct err *err)
{
	struct monitor m = {.attempt = at, .wake_fd = -1, .health = {.attempt = at}};
	const struct retrier_options retrier = {.model = &at->model,
						.sink = &at->sink,
						.report = &at->run->report,
						.key = at->run->key,
						.nonce = at->run->spec->retry_dead_letters};
	int r;

	retrier_init(&m.retrier, &retrier);
	r = begin_take(&m, replication, err);
	if (r == 0)
		r = watch_catalog(&m, err);
	bootstrap_stop(m.bootstrap);
	stream_stop(m.stream);
	watcher_stop(m.watcher);
	retrier_release(&m.retrier);
	close_fdp(&m.wake_fd);
	return r;
}
