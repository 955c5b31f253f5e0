/* One attempt: it connects, checks, prepares and follows, from durable state alone, until something fails.
 *
 * It belongs to the control thread. Its other threads get a `const struct model *` and a connector, never the attempt.
 */
#ifndef PGSYNC_SYNC_ATTEMPT_INT_H
#define PGSYNC_SYNC_ATTEMPT_INT_H

#include "apply/model.h"
#include "base/findings.h"
#include "checkpoint/checkpoint.h"
#include "postgres/replication.h"
#include "sink/sink.h"
#include "source/source.h"
#include "sync/connector_int.h"
#include "sync/run_int.h"

/* What an attempt leaves to the next one of the same run. */
struct carryover {
	uint64_t catch_up_to; /* until_caught_up: the server's position at the start; 0: not known yet */
	int walsender_pid;    /* of our last stream */
	bool streamed;        /* an attempt of this run held the slot: do not take it from another worker */
	bool fenced;          /* another worker was seen to hold the slot after us */
	bool on_probation;    /* the last attempt failed, and this one is not past where it began */
	uint64_t truncated;   /* a bit for each plan whose root was emptied: its index has to be rebuilt */
};

struct attempt {
	struct run *run;
	struct carryover *past;
	struct connector connector;
	struct source source; /* source.pg is NULL until it is connected */
	struct sink sink;     /* sink.search is NULL until it is connected */
	struct checkpoint cp;
	struct model model;
};

/* How long the control thread waits for the search engine. */
enum { ATTEMPT_SINK_MS = 10000 };

int attempt_begin(struct attempt *at, struct run *run, struct carryover *past, struct err *err) WARN_UNUSED;
void attempt_end(struct attempt *at);
/* A run of one attempt, for what is done once: calls fn. */
int attempt_once(const struct sync_options *options, int (*fn)(struct attempt *at, void *user, struct err *err),
		 void *user, struct err *err) WARN_UNUSED;
/* Makes the checkpoint durable. Nothing else saves it. */
int attempt_save(struct attempt *at, struct err *err) WARN_UNUSED;
/* The checkpoint's entry of the plan's index; NULL: none yet. */
struct checkpoint_index *attempt_index(const struct attempt *at, size_t plan);

/* --- preflight.c --- */
/* Connects to both sides, loads the catalog, compiles the documents and checks everything that can be known without
 * changing anything. What is wrong goes into findings, which hold what was wrong with the spec before, and the
 * conditions; fails only when a side cannot be reached, and then says what the other one shows all the same. */
int preflight(struct attempt *at, struct findings *findings, struct err *err) WARN_UNUSED;

/* --- go_live.c --- */
/* After a bootstrap: settings as they should be, aliases moved. */
int attempt_go_live(struct attempt *at, struct err *err) WARN_UNUSED;
/* Deletes the generations that no alias points to any more. */
int attempt_collect_generations(struct attempt *at, struct err *err) WARN_UNUSED;

#endif
