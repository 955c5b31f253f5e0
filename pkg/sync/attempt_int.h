/* One attempt: it connects, checks, prepares and follows, from durable state alone, until something fails.
 *
 * It belongs to the control thread, or to the caller of attempt_once. Its other threads get a `const struct model *`
 * and a connector, never the attempt.
 */
#ifndef PGSYNC_SYNC_ATTEMPT_INT_H
#define PGSYNC_SYNC_ATTEMPT_INT_H

#include "apply/model.h"
#include "base/findings.h"
#include "checkpoint/checkpoint.h"
#include "postgres/replication.h"
#include "redis/redis.h"
#include "sessions/connector.h"
#include "sink/sink.h"
#include "source/source.h"
#include "sync/run_int.h"

/* What an attempt leaves to the next one of the same run. */
struct carryover {
	bool follows;         /* not a read-only command: a slot that retains too much may be dropped */
	uint64_t catch_up_to; /* until_caught_up: the server's position at the start; 0: not known yet */
	int walsender_pid;    /* of our last stream */
	bool streamed;        /* an attempt of this run had the slot: do not take it from another worker */
	bool fenced;          /* another worker has taken the slot since we had it */
	bool on_probation;    /* the last attempt failed, and this one has not got past the position where it began */
	uint64_t truncated;   /* a bit for each plan whose root was emptied: its index has to be rebuilt */
};

struct attempt {
	struct run *run;
	struct carryover *past;
	struct connector connector;
	struct source source;      /* source.pg is NULL until it is connected */
	struct sink sink;          /* sink.search is NULL until it is connected */
	struct redis_server redis; /* that the checkpoint may be in */
	struct checkpoint cp;
	struct model model;
};

/* How long the control thread waits for the search engine. */
enum { ATTEMPT_SINK_MS = 10000 };

int attempt_begin(struct attempt *at, struct run *run, struct carryover *past, struct err *err) WARN_UNUSED;
void attempt_end(struct attempt *at);
/* Makes a run of one attempt, for one-time work: calls fn. */
int attempt_once(const struct sync_options *options, int (*fn)(struct attempt *at, void *user, struct err *err),
		 void *user, struct err *err) WARN_UNUSED;
/* Where the checkpoint is loaded from and saved. It borrows from the attempt, once sink.search is connected. */
struct checkpoint_store attempt_store(const struct attempt *at);
/* Makes the checkpoint durable. Nothing else saves it. */
int attempt_save(struct attempt *at, struct err *err) WARN_UNUSED;
/* The checkpoint's entry of the plan's index; NULL: none yet. */
struct checkpoint_index *attempt_index(const struct attempt *at, size_t plan);

/* --- preflight.c --- */
/* Connects to both sides, loads the catalog, compiles the documents and checks everything that can be known without
 * changing anything. Errors go into the conditions and into findings, which already contain those of the spec. It
 * fails only if a side cannot be reached, and still reports what the other side shows. */
int preflight(struct attempt *at, struct findings *findings, struct err *err) WARN_UNUSED;

/* --- go_live.c --- */
/* After a bootstrap: sets the final settings, and moves the aliases. */
int attempt_go_live(struct attempt *at, struct err *err) WARN_UNUSED;
/* Deletes the generations that no alias points to any more. */
int attempt_collect_generations(struct attempt *at, struct err *err) WARN_UNUSED;

/* --- recipes.c --- */
/* As recipe_check; a difference is logged. */
int attempt_check_recipe(struct attempt *at, size_t plan, bool waits, struct err *err) WARN_UNUSED;
/* Whether a difference of some index is known. */
bool attempt_is_outdated(const struct attempt *at);
/* False if something about some index is not known, for instance because the login may not read it. */
bool attempt_knows_recipes(const struct attempt *at);

#endif
