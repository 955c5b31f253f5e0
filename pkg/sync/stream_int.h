/* The stream: a thread that reads the WAL, submits what it made dirty to the applier, and acknowledges what is durable.
 *
 * It acknowledges nothing that the checkpoint does not confirm. A search engine that is restored to an older state has
 * an older checkpoint, too, and the slot is then ahead of it; otherwise changes would be missing without a trace.
 *
 * Nothing in it may block, since the server must hear from it (wal_sender_timeout): no request to the search engine
 * and no query. When the batch is full and the applier is busy, it stops reading but keeps answering. Everything slow
 * is the monitor's work; the functions below are for the control thread, which the monitor runs in.
 */
#ifndef PGSYNC_SYNC_STREAM_INT_H
#define PGSYNC_SYNC_STREAM_INT_H

#include "apply/model.h"
#include "sessions/connector.h"
#include "sync/run_int.h"

/* Reading what changed partitions require. It begins once everything up to the attempt's start has been read, since
 * documents may carry any version up to that. */
enum stream_partitions {
	STREAM_PARTITIONS_NONE,
	STREAM_PARTITIONS_WAITING,   /* waits for everything up to the start; set when the stream starts */
	STREAM_PARTITIONS_OPEN,      /* it is in the open batch */
	STREAM_PARTITIONS_SUBMITTED, /* the applier has it */
	STREAM_PARTITIONS_DONE,      /* it is durable */
};

struct stream_options {
	const struct model *model;
	struct run *run;
	struct connector *connector;
	int monitor_fd;     /* an eventfd: written to whenever there is news for the monitor */
	uint64_t start_lsn; /* the server's position when the attempt began */
	uint64_t confirmed; /* the checkpoint's: nothing above is acknowledged before stream_confirm */
	bool live;          /* no generation is being filled */
	bool hold;          /* submit nothing yet */
};

/* How far the stream has got. */
struct stream_progress {
	uint64_t durable;                    /* everything below is in the index */
	struct checkpoint_landmark landmark; /* the newest transaction that was read */
	int64_t oldest_us; /* commit time of the oldest transaction that is not in the index yet; 0: none */
	bool asked;        /* the server wants an answer, and more is durable than may be acknowledged */
	bool pending;      /* something was read that is not in the index yet */
	bool has_gaps;     /* a replica identity lacks columns, so every change of its table reads every root */
	uint32_t doubts;   /* counts relations that differ from the catalog; the stream submits nothing until
			    * stream_trust */
	enum stream_partitions partitions;
};

enum stream_end {
	STREAM_RUNNING = 0,
	STREAM_STOPPED, /* as the caller of sync_run wanted */
	STREAM_AGAIN,   /* an attempt with a new plan is needed */
};

struct stream;

/* Takes the connection. */
int stream_start_take(const struct stream_options *options, struct pg *replication, struct stream **ret,
		      struct err *err) WARN_UNUSED;
/* Acknowledges what is durable and confirmed, and waits for the threads. */
void stream_stop(struct stream *s);
CLEANUP(struct stream, stream_stop);

/* Whether and how the stream has ended: an enum stream_end, or negative when it failed. *ret_truncated: a bit for each
 * plan whose root was emptied, with STREAM_AGAIN. */
int stream_check(struct stream *s, uint64_t *ret_truncated, struct err *err) WARN_UNUSED;
struct stream_progress stream_progress(struct stream *s);
/* Wakes the monitor once everything below this position is durable; 0: cancels that. */
void stream_notify_at(struct stream *s, uint64_t lsn);
/* The catalog was compared when there were this many doubts, and still equals that of the plans. */
void stream_trust_catalog(struct stream *s, uint32_t doubts);
/* The checkpoint confirms everything below: it may be acknowledged once it is durable. */
void stream_confirm(struct stream *s, uint64_t lsn);
/* There is something in model.retries. */
void stream_wake(struct stream *s);
void stream_set_live(struct stream *s);
/* The applier may write: no bootstrap of a view is under way. */
void stream_end_hold(struct stream *s);

#endif
