/* The stream: takes the WAL in, hands what it made dirty to the applier, acknowledges what is durable, and keeps time.
 *
 * One thread, never blocked for long: the server must hear from it (wal_sender_timeout), and memory must not grow. So
 * when the batch is full and the applier is busy, it stops reading but goes on answering.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "sync/applier_int.h"
#include "sync/bootstrap_int.h"
#include "sync/situation_int.h"
#include "sync/source_int.h"
#include "sync/stream_int.h"
#include "sync/vitals_int.h"
#include "sync/wal_reader_int.h"

enum {
	FEEDBACK_MIN_MS = 50, /* at most so often, unless the server asks */
	SAVE_MS = 2000,       /* a bootstrap's checkpoint; sooner at first, so that a short life is not for nothing */
	SAVE_FIRST_MS = 200,
	SAVE_LIVE_MS = 30000,     /* the confirmed position, when it moved */
	GATHER_TRANSACTIONS = 16, /* a batch this large says that several sessions are writing */
	NUDGE_MS = 300,
	SWEEP_MS = 5000, /* searches that are under way when an alias moves end on the old generation */
	SWEEP_AGAIN_MS = 60000,
	CATALOG_MS = 5000, /* some changes of tables leave no trace in the stream */
};

/* What partitions that came or went ask for: once everything up to the attempt's start was read, since documents may
 * carry any version up to that. */
enum reread_state { REREAD_NONE, REREAD_WAITING, REREAD_OPEN, REREAD_GIVEN, REREAD_DONE };

struct stream {
	struct attempt *attempt;
	struct wal_reader in;
	struct applier *applier;
	struct bootstrap *bootstrap; /* NULL: every generation is complete */
	int wake_fd;

	uint64_t acked;    /* as last sent */
	size_t given_txns; /* of the last batch handed over */
	int64_t given_ms;

	uint64_t live_after; /* bootstrap done: aliases move once this position is durable; 0: not yet, or live */
	int64_t start_ms;
	int64_t feedback_ms, save_ms, nudge_ms, catalog_ms; /* when last done */
	int64_t sweep_ms;                                   /* when old generations are to go; 0: there are none */
	uint64_t saved_confirmed;
	enum reread_state reread;
	struct vitals vitals;
};

/* --- handing over --- */

static bool nothing_pending(struct stream *s)
{
	return !s->in.in_txn && batch_empty(s->in.open) && applier_idle(s->applier);
}

static bool may_give(const struct stream *s)
{
	int64_t now = clock_now_ms();

	if (batch_empty(s->in.open) || (s->bootstrap && bootstrap_holds(s->bootstrap)))
		return false;
	if (batch_full(s->in.open))
		return true;
	if (s->in.in_txn)
		return false;
	/* At once when it is quiet; while many sessions write, a moment more makes one larger batch of many small ones.
	 */
	return s->given_txns < GATHER_TRANSACTIONS ||
	       now >= s->given_ms + s->attempt->run->spec->sink.bulk_flush_milliseconds;
}

static void add_reread(struct stream *s)
{
	const struct attempt *at = s->attempt;
	uint32_t txn;

	if (s->reread != REREAD_WAITING || s->in.in_txn || s->in.received < s->vitals.start_lsn ||
	    batch_full(s->in.open))
		return;
	batch_note(s->in.open, s->in.received, clock_wall_us());
	txn = batch_current(s->in.open);
	for (uint32_t p = 0; p < at->model.n_plans; p++)
		if (at->model.resync.all[p])
			(void)keyset_add(&s->in.open->keys, at->model.targets.first_all + p, "", 0, txn);
	for (uint32_t i = 0; i < at->model.resync.n_scans; i++)
		(void)keyset_add(&s->in.open->keys, at->model.targets.first_scan + i, "", 0, txn);
	s->reread = REREAD_OPEN;
}

static void hand_over(struct stream *s)
{
	size_t txns = s->in.open->n_txns;

	if (!may_give(s) || !applier_give(s->applier, &s->in.open, s->attempt->cp.phase == CHECKPOINT_LIVE))
		return;
	/* The one before is done. */
	if (s->reread == REREAD_GIVEN)
		s->reread = REREAD_DONE;
	if (s->reread == REREAD_OPEN)
		s->reread = REREAD_GIVEN;
	s->given_txns = txns;
	s->given_ms = clock_now_ms();
	wal_reader_go_on(&s->in);
}

/* --- acknowledging --- */

static uint64_t durable(struct stream *s)
{
	uint64_t acked = applier_acked(s->applier);

	/* With nothing under way, what was read and is of no interest counts as well: an idle database must not pin
	 * WAL. */
	if (nothing_pending(s) && s->in.received > acked)
		acked = s->in.received;
	return acked > s->acked ? acked : s->acked;
}

static int feedback(struct stream *s, int64_t now, struct err *err)
{
	uint64_t acked = durable(s);
	bool news = acked > s->acked;

	if (!s->in.reply_requested && now < s->feedback_ms + (news ? FEEDBACK_MIN_MS : PG_STREAM_FEEDBACK_MS))
		return 0;
	if (pg_stream_feedback(s->in.wal, s->in.received > acked ? s->in.received : acked, acked, err) < 0)
		return err_wrap(err, "acknowledging");
	s->acked = acked;
	s->attempt->cp.confirmed_lsn = acked > s->attempt->cp.confirmed_lsn ? acked : s->attempt->cp.confirmed_lsn;
	s->feedback_ms = now;
	s->in.reply_requested = false;
	return 0;
}

/* --- going live --- */

static void say_complete(struct attempt *at)
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
	report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_TRUE, "Complete",
			 "%llu rows were copied", (unsigned long long)report.rows_done);
}

static int complete_bootstrap(struct stream *s, struct err *err)
{
	struct attempt *at = s->attempt;

	(void)bootstrap_note(s->bootstrap, at);
	bootstrap_stop(TAKE_PTR(s->bootstrap));
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);

		if (!index->complete)
			index->completion_us = clock_wall_us();
		index->complete = true;
	}
	if (attempt_save(at, err) < 0 || pg_flush_lsn(at->pg, &s->live_after, err) < 0)
		return -1;
	say_complete(at);
	report_phase(&at->run->report, PHASE_CATCHING_UP);
	log_info("sync", "bootstrap complete, catching up", KV_LSN("to", s->live_after));
	return 0;
}

static int check_bootstrap(struct stream *s, struct err *err)
{
	int r = s->bootstrap ? bootstrap_check(s->bootstrap, err) : 0;

	if (r < 0)
		return -1;
	if (r > 0 && complete_bootstrap(s, err) < 0)
		return -1;
	if (!s->live_after || durable(s) < s->live_after || s->reread != REREAD_NONE)
		return 0;
	if (prepare_go_live(s->attempt, err) < 0)
		return -1;
	s->live_after = 0;
	s->sweep_ms = clock_now_ms() + SWEEP_MS;
	vitals_hurry(&s->vitals);
	report_phase(&s->attempt->run->report, PHASE_STREAMING);
	run_event(s->attempt->run, false, "AliasMoved", "Bootstrap", "every index is complete and behind its alias");
	log_info("sync", "live: the aliases point to the new generation");
	return 0;
}

/* An index too many is no reason to end the stream, or to keep it waiting for an engine that does not answer. */
static void sweep(struct stream *s, int64_t now)
{
	struct err err = {0};

	if (!s->sweep_ms || now < s->sweep_ms || !vitals_sink_answered(&s->vitals, now))
		return;
	s->sweep_ms = 0;
	if (prepare_collect_generations(s->attempt, &err) == 0)
		return;
	log_warn("sync", "an old generation stays for now", KV_ERR(&err));
	s->sweep_ms = now + SWEEP_AGAIN_MS;
}

/* Nobody comes after this run to do it. */
static int finish(struct stream *s, struct err *err)
{
	return s->sweep_ms && prepare_collect_generations(s->attempt, err) < 0 ? -1 : STREAM_CAUGHT_UP;
}

/* --- time --- */

static int64_t lag_seconds(struct stream *s)
{
	int64_t oldest = applier_oldest_us(s->applier);
	int64_t age;

	if (!oldest && !batch_empty(s->in.open))
		oldest = s->in.open->txns[0].commit_us;
	if (!oldest)
		return 0;
	age = (clock_wall_us() - oldest) / 1000000;
	return age > 0 ? age : 0;
}

static int look_around(struct stream *s, int64_t now, struct err *err)
{
	const struct progress progress = {
		.durable = durable(s),
		.lag_seconds = lag_seconds(s),
		.pending = !nothing_pending(s),
		.catching_up = s->live_after != 0,
	};

	return vitals_look(&s->vitals, &progress, now, err);
}

static int save_progress(struct stream *s, int64_t now, struct err *err)
{
	struct attempt *at = s->attempt;
	int64_t interval = (now - s->start_ms) / 4;

	interval = interval < SAVE_FIRST_MS ? SAVE_FIRST_MS : interval > SAVE_MS ? SAVE_MS : interval;
	if (s->bootstrap && now >= s->save_ms + interval) {
		s->save_ms = now;
		return bootstrap_note(s->bootstrap, at) ? attempt_save(at, err) : 0;
	}
	/* So that a server which is behind it is known to be another history. */
	if (!s->bootstrap && now >= s->save_ms + SAVE_LIVE_MS &&
	    at->cp.confirmed_lsn > s->saved_confirmed + (1 << 20)) {
		s->save_ms = now;
		s->saved_confirmed = at->cp.confirmed_lsn;
		return attempt_save(at, err);
	}
	return 0;
}

/* The server says how far it is only when there is WAL to read: when somebody waits for a position, a message of ours
 * makes some. */
static int nudge(struct stream *s, int64_t now, uint64_t position, struct err *err)
{
	if (!position || durable(s) >= position || !nothing_pending(s) || now < s->nudge_ms + NUDGE_MS)
		return 0;
	s->nudge_ms = now;
	return pg_query(s->attempt->pg, "SELECT pg_logical_emit_message(false, 'pgsync', '')", NULL, 0, NULL, err);
}

/* STREAM_AGAIN when the tables (or the publication) are not what the plans were made from. A relation in the WAL
 * differs from the catalog that the plans were made from: either it is old WAL, or the tables changed. */
static int check_catalog(struct stream *s, struct err *err)
{
	struct attempt *at = s->attempt;
	bool published;
	_cleanup_(catalog_freep) struct catalog *now = NULL;
	_cleanup_free_ struct catalog_name *names = xcalloc(at->model.catalog->n, sizeof(*names));

	s->in.catalog_in_doubt = false;
	for (size_t i = 0; i < at->model.catalog->n; i++)
		names[i] = (struct catalog_name){.schema = at->model.catalog->tables[i].schema,
						 .table = at->model.catalog->tables[i].name};
	if (catalog_load(at->pg, names, at->model.catalog->n, &now, err) < 0)
		return -1;
	if (!catalog_equal(now, at->model.catalog))
		return STREAM_AGAIN;
	if (situation_see_storage(at, now) && attempt_save(at, err) < 0)
		return -1;
	/* A partition that is gone by now was written to while its identity was not enough. With its WAL behind us,
	 * nobody speaks of it any more; but this session would go on reading every root for each change. */
	if (collector_has_gaps(s->in.collector) && nothing_pending(s) && durable(s) >= s->vitals.start_lsn)
		return STREAM_AGAIN;
	if (source_still_published(at, &published, err) < 0)
		return -1;
	return published ? 0 : STREAM_AGAIN;
}

/* --- the loop --- */

static int check_applier(struct stream *s, struct err *err)
{
	int r = applier_check(s->applier, &s->attempt->past->truncated, err);

	/* Threads of this attempt may still fill the old generation. Nothing was acknowledged: if the process ends
	 * here, the truncation comes again. */
	return r > 0 ? STREAM_AGAIN : r;
}

static int check_reread(struct stream *s, int64_t now, struct err *err)
{
	if (s->reread == REREAD_WAITING)
		return nudge(s, now, s->vitals.start_lsn, err);
	if (s->reread != REREAD_DONE && (s->reread != REREAD_GIVEN || !applier_idle(s->applier)))
		return 0;
	s->reread = REREAD_NONE;
	return prepare_resync_done(s->attempt, err);
}

static int work(struct stream *s, struct err *err)
{
	struct attempt *at = s->attempt;
	int64_t now = clock_now_ms();
	int r = check_applier(s, err);

	if (r)
		return r;
	if (s->in.catalog_in_doubt || now >= s->catalog_ms + CATALOG_MS) {
		s->catalog_ms = now;
		r = check_catalog(s, err);
		if (r)
			return r;
	}
	add_reread(s);
	hand_over(s);
	if (check_reread(s, now, err) < 0)
		return -1;
	if (check_bootstrap(s, err) < 0 || feedback(s, now, err) < 0 || look_around(s, now, err) < 0 ||
	    save_progress(s, now, err) < 0 || nudge(s, now, s->live_after, err) < 0 ||
	    nudge(s, now, at->past->on_probation ? s->vitals.start_lsn : 0, err) < 0)
		return -1;
	if (s->vitals.index_gone)
		return err_reason(err, ERR_TRANSIENT, "IndexGone",
				  "somebody deleted an index, or moved its alias: it is built anew, or the alias put "
				  "back");
	sweep(s, now);
	if (!at->run->options->until_caught_up || at->cp.phase != CHECKPOINT_LIVE)
		return 0;
	if (durable(s) >= at->past->catch_up_to && s->reread == REREAD_NONE)
		return finish(s, err);
	return nudge(s, now, at->past->catch_up_to, err);
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		UNUSED(count);
}

/* Waits for WAL, the applier, or the next thing to do. 1: stop. */
static int wait_some(struct stream *s, struct err *err)
{
	struct pollfd fds[] = {
		{.fd = s->attempt->connector.cancel_fd, .events = POLLIN},
		{.fd = s->wake_fd, .events = POLLIN},
		{.fd = pg_stream_fd(s->in.wal), .events = POLLIN},
	};
	bool waiting = !batch_empty(s->in.open) && !s->in.in_txn;
	/* The end of a bootstrap wakes this thread. */
	bool ending = s->attempt->run->options->until_caught_up && !s->bootstrap;
	int timeout = waiting || s->live_after || ending ? 5 : PG_STREAM_FEEDBACK_MS;
	bool full = batch_full(s->in.open);

	if (poll(fds, full ? 2 : 3, timeout) < 0 && errno != EINTR)
		return err_errno(err, errno, "poll");
	if (fds[1].revents)
		drain(s->wake_fd);
	return fds[0].revents ? 1 : 0;
}

static int loop(struct stream *s, struct err *err)
{
	for (;;) {
		int r = wal_reader_read(&s->in, err);
		bool more = r == 0;

		if (r < 0)
			return -1;
		r = work(s, err);
		if (r)
			return r;
		/* A full batch that was just handed over leaves what libpq has already read: no descriptor tells of
		 * that. */
		more = more && !batch_full(s->in.open);
		if (more) {
			if (connector_sleep(&s->attempt->connector, 0))
				return 0;
			continue;
		}
		r = wait_some(s, err);
		if (r)
			return r < 0 ? -1 : 0;
	}
}

static void say_begin(struct stream *s)
{
	struct attempt *at = s->attempt;
	bool complete = true;

	for (size_t i = 0; i < at->model.n_plans; i++)
		complete = complete && attempt_index(at, i)->complete;
	if (complete)
		say_complete(at);
	else
		report_condition(&at->run->report, CONDITION_BOOTSTRAP_COMPLETE, STATUS_FALSE, "InProgress",
				 "the tables are being copied");
	report_phase(&at->run->report, !complete      ? PHASE_BOOTSTRAPPING
				       : s->bootstrap ? PHASE_CATCHING_UP
						      : PHASE_STREAMING);
}

static int open_stream(struct stream *s, struct pg *replication, struct err *err)
{
	struct attempt *at = s->attempt;
	int pid = pg_backend_pid(replication);

	if (wal_reader_open_take(&s->in, at, replication, err) < 0)
		return -1;
	at->past->streamed = true;
	at->past->walsender_pid = pid;
	report_condition(&at->run->report, CONDITION_STREAMING, STATUS_TRUE, "Streaming", "the walsender sends");
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return err_errno(err, errno, "eventfd");
	/* What a writer of an earlier attempt met is not said of this one's. */
	report_pressure(&at->run->report, false, NULL);
	/* This thread answers the server: an engine that hangs must not keep it from that. */
	search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
	s->start_ms = clock_now_ms();
	if (pg_flush_lsn(at->pg, &s->vitals.start_lsn, err) < 0)
		return -1;
	s->reread = at->model.resync.pending ? REREAD_WAITING : REREAD_NONE;
	s->saved_confirmed = at->cp.confirmed_lsn;
	if (applier_start(&at->model, &at->connector, s->wake_fd, &s->applier, err) < 0 ||
	    bootstrap_start(at, s->wake_fd, &s->bootstrap, err) < 0)
		return -1;
	say_begin(s);
	/* What an earlier attempt had no time for. */
	if (at->cp.phase == CHECKPOINT_LIVE)
		s->sweep_ms = clock_now_ms() + SWEEP_MS;
	return 0;
}

static void close_stream(struct stream *s)
{
	struct err ignored;

	/* What is durable by now need not be sent again. */
	if (s->applier && s->in.wal && s->attempt->connector.cancel_fd >= 0)
		(void)!pg_stream_feedback(s->in.wal, durable(s), durable(s), &ignored);
	bootstrap_stop(s->bootstrap);
	applier_stop(s->applier);
	wal_reader_close(&s->in);
	close_fdp(&s->wake_fd);
}

int stream_run_take(struct attempt *at, struct pg *replication, struct err *err)
{
	struct stream s = {.attempt = at, .wake_fd = -1, .vitals = {.attempt = at}};
	int r = open_stream(&s, replication, err);

	if (r == 0)
		r = loop(&s, err);
	close_stream(&s);
	return r;
}
