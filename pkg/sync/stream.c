/* The stream's thread. */
#include "sync/stream_int.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apply/partition_changes.h"
#include "apply/retries.h"
#include "base/clock.h"
#include "sync/applier_int.h"
#include "sync/wal_reader_int.h"
#include "waits/waits.h"

enum {
	FEEDBACK_MIN_MS = 50,     /* not more often than this, unless the server asks */
	ASK_MS = 10,              /* while a position is waited for: how often the server is asked for its own */
	GATHER_TRANSACTIONS = 16, /* a batch of this many transactions shows that several sessions are writing */
};

struct stream {
	struct stream_options options;
	pthread_t thread;
	bool started;

	/* the thread's own */
	struct wal_reader in;
	struct applier *applier;
	int wake_fd; /* the applier and the monitor have news */
	uint64_t durable, acked;
	bool asked;
	size_t submitted_txns; /* of the last batch */
	int64_t submitted_ms, feedback_ms;
	enum stream_partitions partitions;

	/* shared with the monitor, under the lock */
	pthread_mutex_t lock;
	struct stream_progress progress;
	uint64_t notify_at, confirmed;
	uint32_t trusted_doubts;
	bool live, hold, stop, ended;
	int result; /* once it has ended: an enum stream_end, or negative with err */
	uint64_t truncated;
	struct err err;
};

/* What the monitor wants at this moment. */
struct orders {
	uint64_t confirmed;
	uint32_t trusted_doubts;
	bool live, hold, stop;
};

static struct orders orders(struct stream *s)
{
	struct orders now;

	(void)pthread_mutex_lock(&s->lock);
	now = (struct orders){.confirmed = s->confirmed,
			      .trusted_doubts = s->trusted_doubts,
			      .live = s->live,
			      .hold = s->hold,
			      .stop = s->stop};
	(void)pthread_mutex_unlock(&s->lock);
	return now;
}

/* --- submitting --- */

static bool nothing_pending(struct stream *s)
{
	return !s->in.in_txn && batch_empty(s->in.open) && applier_idle(s->applier);
}

/* When to submit a batch of many small transactions: while many sessions write, a short wait makes it larger. */
static int64_t gather_until_ms(const struct stream *s)
{
	const struct spec *spec = s->options.run->spec;

	return s->submitted_txns < GATHER_TRANSACTIONS ? 0 : s->submitted_ms + spec->sink.bulk_flush_milliseconds;
}

static bool may_submit(const struct stream *s, const struct orders *now)
{
	if (batch_empty(s->in.open) || now->hold || s->in.doubts != now->trusted_doubts)
		return false;
	if (batch_full(s->in.open))
		return true;
	return !s->in.in_txn && clock_now_ms() >= gather_until_ms(s);
}

/* Adds reads that no client's change asked for. Documents may carry any version up to the attempt's start. */
static void add_own_work(struct stream *s)
{
	const struct model *m = s->options.model;

	if (s->in.in_txn || s->in.received < s->options.start_lsn || batch_full(s->in.open))
		return;
	if (s->partitions == STREAM_PARTITIONS_WAITING) {
		partition_changes_add(m, s->in.open, s->in.received);
		s->partitions = STREAM_PARTITIONS_OPEN;
	}
	retries_add(m, s->in.open, s->in.received);
}

static void submit_batch(struct stream *s, const struct orders *now)
{
	size_t txns = s->in.open->n_txns;

	if (!may_submit(s, now) || !applier_submit(s->applier, &s->in.open, now->live))
		return;
	/* The previous batch is done. */
	if (s->partitions == STREAM_PARTITIONS_SUBMITTED)
		s->partitions = STREAM_PARTITIONS_DONE;
	if (s->partitions == STREAM_PARTITIONS_OPEN)
		s->partitions = STREAM_PARTITIONS_SUBMITTED;
	s->submitted_txns = txns;
	s->submitted_ms = clock_now_ms();
	wal_reader_continue(&s->in);
}

/* --- acknowledging --- */

static uint64_t durable(struct stream *s)
{
	uint64_t now = applier_acked(s->applier);

	/* If nothing is pending, irrelevant WAL that was read counts too: an idle database must not make the slot
	 * retain WAL. */
	if (nothing_pending(s) && s->in.received > now)
		now = s->in.received;
	if (now > s->durable)
		s->durable = now;
	return s->durable;
}

static uint64_t acknowledgeable(struct stream *s)
{
	uint64_t now = durable(s), confirmed = orders(s).confirmed;

	return now < confirmed ? now : confirmed;
}

/* True if a position is waited for that may contain none of our changes, so that no commit will tell. */
static bool awaits_position(const struct stream *s)
{
	struct waits *waits = s->options.run->options->waits;

	return waits && !s->in.in_txn && waits_wanted(waits) > s->in.received;
}

static int64_t feedback_due_ms(const struct stream *s, bool news, bool asks)
{
	return s->feedback_ms + (asks ? ASK_MS : news ? FEEDBACK_MIN_MS : PG_STREAM_FEEDBACK_MS);
}

static int feedback(struct stream *s, struct err *err)
{
	int64_t now = clock_now_ms();
	uint64_t acked = acknowledgeable(s);
	bool asks = awaits_position(s);

	s->asked = (s->asked || s->in.reply_requested) && acked < durable(s);
	if (!s->in.reply_requested && now < feedback_due_ms(s, acked > s->acked, asks))
		return 0;
	if (pg_stream_feedback(s->in.wal, s->in.received > acked ? s->in.received : acked, acked, asks, err) < 0)
		return err_wrap(err, "acknowledging");
	s->acked = acked;
	s->feedback_ms = now;
	s->in.reply_requested = false;
	return 0;
}

/* --- telling the monitor --- */

static int64_t oldest_us(struct stream *s)
{
	int64_t oldest = applier_oldest_us(s->applier);

	return !oldest && !batch_empty(s->in.open) ? s->in.open->txns[0].commit_us : oldest;
}

static void publish_position(struct stream *s, bool live)
{
	struct waits *waits = s->options.run->options->waits;
	const struct stream_progress progress = {
		.durable = durable(s),
		.landmark = s->in.landmarks->newest,
		.oldest_us = oldest_us(s),
		.asked = s->asked,
		.pending = !nothing_pending(s),
		.has_gaps = collector_has_gaps(s->in.collector),
		.doubts = s->in.doubts,
		.partitions = s->partitions,
	};
	bool news;

	/* Until a generation is live, searches see an older one. */
	if (waits && live)
		waits_reached(waits, progress.durable);
	report_progress(&s->options.run->report, s->acked, progress.oldest_us);
	(void)pthread_mutex_lock(&s->lock);
	news = progress.doubts != s->progress.doubts || progress.partitions != s->progress.partitions ||
	       (progress.asked && !s->progress.asked) || (s->notify_at && progress.durable >= s->notify_at);
	if (progress.durable >= s->notify_at)
		s->notify_at = 0;
	s->progress = progress;
	(void)pthread_mutex_unlock(&s->lock);
	if (news)
		connector_wake(s->options.monitor_fd);
}

/* --- the loop --- */

static void drain_eventfd(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		UNUSED(count);
}

/* The next time that something is due. */
static int stream_wait_ms(struct stream *s)
{
	int64_t now = clock_now_ms();
	int64_t until = feedback_due_ms(s, s->acked < acknowledgeable(s), awaits_position(s));

	if (!batch_empty(s->in.open) && !s->in.in_txn && gather_until_ms(s) > now && gather_until_ms(s) < until)
		until = gather_until_ms(s);
	return until > now ? (int)(until - now) : 0;
}

/* Waits for WAL, the applier, the monitor, or the next thing to do. 1: the caller of sync_run wants to stop. */
static int wait_for_news(struct stream *s, struct err *err)
{
	struct pollfd fds[] = {
		{.fd = s->options.connector->cancel_fd, .events = POLLIN},
		{.fd = s->wake_fd, .events = POLLIN},
		{.fd = pg_stream_fd(s->in.wal), .events = POLLIN},
	};
	bool full = batch_full(s->in.open);

	if (poll(fds, full ? 2 : 3, stream_wait_ms(s)) < 0 && errno != EINTR)
		return err_errno(err, errno, "poll");
	if (fds[1].revents)
		drain_eventfd(s->wake_fd);
	return fds[0].revents ? 1 : 0;
}

/* Everything except reading. Anything but STREAM_RUNNING ends the stream. */
static int work(struct stream *s, struct err *err)
{
	const struct orders now = orders(s);
	int r = applier_check(s->applier, &s->truncated, err);

	if (r < 0)
		return -1;
	/* Threads of this attempt may still be filling the old generation. Nothing was acknowledged, so if the process
	 * ends here, the truncation arrives again. */
	if (r > 0)
		return STREAM_AGAIN;
	if (now.stop)
		return STREAM_STOPPED;
	add_own_work(s);
	submit_batch(s, &now);
	if (s->partitions == STREAM_PARTITIONS_SUBMITTED && applier_idle(s->applier))
		s->partitions = STREAM_PARTITIONS_DONE;
	if (feedback(s, err) < 0)
		return -1;
	publish_position(s, now.live);
	return STREAM_RUNNING;
}

static int loop(struct stream *s, struct err *err)
{
	for (;;) {
		int r = wal_reader_read(&s->in, err);
		/* After a full batch was submitted, libpq may hold data that it has already read; no descriptor becomes
		 * readable for that. */
		bool more = r == 0;

		if (r < 0)
			return -1;
		if (s->in.landmarks->missed)
			return STREAM_AGAIN;
		r = work(s, err);
		if (r != STREAM_RUNNING)
			return r;
		if (more && !batch_full(s->in.open))
			r = connector_sleep(s->options.connector, 0);
		else
			r = wait_for_news(s, err);
		if (r)
			return r < 0 ? -1 : STREAM_STOPPED;
	}
}

static void *run_stream(void *user)
{
	struct stream *s = user;
	struct err err = {0}, ignored;
	int r = loop(s, &err);

	s->in.landmarks->undecodable = err.reason == REASON_PUBLICATION_MISSING;
	/* Acknowledges what may be by now, so that it is not streamed again. */
	(void)!pg_stream_feedback(s->in.wal, durable(s), acknowledgeable(s), false, &ignored);
	(void)pthread_mutex_lock(&s->lock);
	s->ended = true;
	s->result = r;
	s->err = err;
	(void)pthread_mutex_unlock(&s->lock);
	connector_wake(s->options.monitor_fd);
	return NULL;
}

/* --- for the monitor --- */

int stream_start_take(const struct stream_options *options, struct pg *replication, struct stream **ret,
		      struct err *err)
{
	_cleanup_(stream_stopp) struct stream *s = xcalloc(1, sizeof(*s));
	int r;

	s->options = *options;
	s->confirmed = options->confirmed;
	s->live = options->live;
	s->hold = options->hold;
	s->partitions = options->model->partition_changes.pending ? STREAM_PARTITIONS_WAITING : STREAM_PARTITIONS_NONE;
	s->progress.partitions = s->partitions;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = wal_reader_open_take(&s->in, options->model, options->run, replication, err);
	if (r < 0)
		return -1;
	if (s->wake_fd < 0)
		return err_errno(err, errno, "eventfd");
	if (applier_start(options->model, options->run, options->connector, s->wake_fd, &s->applier, err) < 0)
		return -1;
	if (options->run->options->waits)
		waits_attach(options->run->options->waits, s->wake_fd);
	r = pthread_create(&s->thread, NULL, run_stream, s);
	if (r)
		return err_errno(err, r, "starting the stream");
	s->started = true;
	*ret = TAKE_PTR(s);
	return 0;
}

void stream_stop(struct stream *s)
{
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = true;
	(void)pthread_mutex_unlock(&s->lock);
	if (s->started) {
		connector_wake(s->wake_fd);
		(void)pthread_join(s->thread, NULL);
	}
	if (s->options.run->options->waits)
		waits_attach(s->options.run->options->waits, -1);
	applier_stop(s->applier);
	wal_reader_close(&s->in);
	close_fdp(&s->wake_fd);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

int stream_check(struct stream *s, uint64_t *ret_truncated, struct err *err)
{
	int r = STREAM_RUNNING;

	(void)pthread_mutex_lock(&s->lock);
	if (s->ended) {
		r = s->result;
		*err = s->err;
		*ret_truncated = s->truncated;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

struct stream_progress stream_progress(struct stream *s)
{
	struct stream_progress progress;

	(void)pthread_mutex_lock(&s->lock);
	progress = s->progress;
	(void)pthread_mutex_unlock(&s->lock);
	return progress;
}

void stream_notify_at(struct stream *s, uint64_t lsn)
{
	(void)pthread_mutex_lock(&s->lock);
	s->notify_at = lsn;
	(void)pthread_mutex_unlock(&s->lock);
}

void stream_trust_catalog(struct stream *s, uint32_t doubts)
{
	(void)pthread_mutex_lock(&s->lock);
	s->trusted_doubts = doubts;
	(void)pthread_mutex_unlock(&s->lock);
	connector_wake(s->wake_fd);
}

void stream_confirm(struct stream *s, uint64_t lsn)
{
	(void)pthread_mutex_lock(&s->lock);
	s->confirmed = lsn;
	(void)pthread_mutex_unlock(&s->lock);
	connector_wake(s->wake_fd);
}

void stream_wake(struct stream *s)
{
	connector_wake(s->wake_fd);
}

void stream_set_live(struct stream *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->live = true;
	(void)pthread_mutex_unlock(&s->lock);
}

void stream_end_hold(struct stream *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->hold = false;
	(void)pthread_mutex_unlock(&s->lock);
	connector_wake(s->wake_fd);
}
