/* What the parts of an attempt share.
 *
 * An engine lives as long as sync_run; what stands below "attempt" is made and dropped with each attempt and does not
 * change while its threads run, except the checkpoint and the connections, which belong to the thread of sync_run.
 */
#ifndef PGSYNC_SYNC_ENGINE_INT_H
#define PGSYNC_SYNC_ENGINE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/findings.h"
#include "checkpoint/checkpoint.h"
#include "document/document.h"
#include "postgres/catalog.h"
#include "postgres/pg.h"
#include "postgres/replication.h"
#include "search/search.h"
#include "sync/collect_int.h"
#include "sync/meters_int.h"
#include "sync/report_int.h"
#include "sync/sync.h"

struct http_target;

/* What is to be read again because partitions came or went (parts_int.h). */
struct reread_scan {
	const struct catalog_table *table; /* partitioned */
	const struct catalog_part *part;
};

struct reread {
	bool pending;
	bool *all; /* for each plan: every root */
	struct reread_scan *scans;
	size_t n_scans;
};

struct engine {
	const struct sync_options *options;
	const struct spec *spec;
	struct report report;
	struct meters *meters;
	char *owner; /* the resource, "namespace/name": what it makes says so */
	char *key;   /* of the checkpoint */
	int ca_fd;   /* the source's CA, as libpq reads it */
	char ca_path[32];
	uint64_t catch_up_to; /* until_caught_up: the server's position at the start; 0: not known yet */
	int walsender_pid;    /* of our last stream */
	bool superseded;      /* another worker was seen to hold the slot after us */
	uint64_t
		truncated; /* a bit for each plan whose index the next attempt is to begin anew: its root was emptied */
	bool unproven;     /* the last attempt failed, and this one is not past where it began */
	bool streamed;     /* an attempt of this run held the slot: do not take it from somebody else */

	/* attempt */
	int end_fd;    /* an eventfd: readable once the attempt is to end */
	int cancel_fd; /* an epoll of end_fd and the caller's stop_fd: readable when either is */
	struct http_target *sink;
	struct search *search;
	struct pg *pg;
	struct catalog *catalog;
	struct document_plan **plans; /* one for each document of the schema */
	size_t n_plans;
	struct targets targets;
	char *begin_sql; /* opens the snapshot that documents are read in */
	char **physical; /* for each plan, the index being written */
	struct reread reread;
	struct checkpoint cp;
};

/* How long a thread that has other things to do waits for the search engine. */
enum { ENGINE_SINK_MS = 10000 };

/* --- connect.c --- */
int engine_init(struct engine *e, const struct sync_options *options, struct err *err) WARN_UNUSED;
void engine_release(struct engine *e);
/* Makes what an attempt starts from; engine_end drops it. */
int engine_begin(struct engine *e, struct err *err) WARN_UNUSED;
void engine_end(struct engine *e);
/* Makes an eventfd readable. Any thread. */
void engine_wake(int fd);
/* Ends every wait of the attempt's threads. Any thread. */
void engine_cancel(struct engine *e);
/* New connections with the attempt's cancellation; for any thread of it. purpose: for application_name. */
int engine_pg(struct engine *e, bool replication, const char *purpose, struct pg **ret, struct err *err) WARN_UNUSED;
int engine_search(struct engine *e, struct search **ret, struct err *err) WARN_UNUSED;
/* Makes the checkpoint durable. */
int engine_save(struct engine *e, struct err *err) WARN_UNUSED;
/* What the checkpoint says of the plan's index; NULL: nothing yet. */
struct checkpoint_index *engine_index(const struct engine *e, size_t plan);
/* Waits; true when the attempt is to end. */
bool engine_sleep(struct engine *e, int64_t ms);
/* The server's position, as far as it is flushed. */
int engine_server_lsn(struct pg *pg, uint64_t *ret, struct err *err) WARN_UNUSED;

/* --- preflight.c --- */
/* Connects to both sides, loads the catalog, compiles the documents and checks everything that can be known without
 * changing anything. What is wrong goes into findings, which hold what was wrong with the spec before, and the
 * conditions; fails only when a side cannot be reached, and then says what the other one shows all the same. */
int preflight(struct engine *e, struct findings *findings, struct err *err) WARN_UNUSED;
/* The distinct tables of all plans; caller frees the array. */
const struct catalog_table **preflight_tables(const struct engine *e, size_t *ret_n);

/* --- prepare.c --- */
/* Brings replica identities, publication, slot, checkpoint and indices to where the stream can start: resumes what is
 * there, or begins a new generation. *ret is the connection for the stream. */
int prepare(struct engine *e, struct pg **ret, struct err *err) WARN_UNUSED;
/* What e->reread asks for is durable. */
int prepare_reread_done(struct engine *e, struct err *err) WARN_UNUSED;
/* After a bootstrap: settings as they should be, aliases moved. */
int prepare_go_live(struct engine *e, struct err *err) WARN_UNUSED;
/* Deletes the generations that no alias leads to any more. */
int prepare_sweep(struct engine *e, struct err *err) WARN_UNUSED;

/* --- stream.c --- */
enum { STREAM_CAUGHT_UP = 1, STREAM_AGAIN = 2 };
/* Runs until stopped (0), caught up (STREAM_CAUGHT_UP), an attempt with a new plan is needed (STREAM_AGAIN), or failed.
 * Takes the connection. */
int stream_run_take(struct engine *e, struct pg *replication, struct err *err) WARN_UNUSED;

/* --- report of the engine --- */
void engine_publish(struct engine *e);
void engine_event(struct engine *e, bool warning, const char *reason, const char *action, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

#endif
