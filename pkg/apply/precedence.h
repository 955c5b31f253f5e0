/* Precedence: what others want to do with the tables comes before what we read.
 *
 * A transaction that reads documents holds ACCESS SHARE locks, and a migration that waits for one of them holds up
 * every later statement of the application. So a watcher (sessions/watcher.h) looks whether others wait for one of
 * our sessions. If that lasts longer than the session's patience, its transaction has to end: the statement that is
 * running is cancelled, and waits for the search engine end as if the engine were late. What was read is read again, in
 * smaller parts where that is possible.
 *
 * So that a stream of migrations cannot keep a piece of work from ever being done, the patience doubles each time that
 * the same work had to give way.
 *
 * All functions lock; a session's own functions are for its thread. */
#ifndef PGSYNC_APPLY_PRECEDENCE_H
#define PGSYNC_APPLY_PRECEDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum {
	PRECEDENCE_PATIENCE_MS = 50, /* of work that has not given way yet */
	PRECEDENCE_AGAIN_MS = 500,   /* a session that was asked and goes on is asked again */
	PRECEDENCE_SESSIONS = 32,    /* of one attempt */
};

/* How long others may wait for work that has already given way so many times. */
int64_t precedence_patience_ms(unsigned times);

/* The sessions of one attempt. */
struct precedences;
struct precedences *precedences_new(void);
void precedences_free(struct precedences *all);

/* One of them. */
struct precedence {
	struct precedences *all; /* NULL: this session is not watched */
	int pid;                 /* of its server process */
	unsigned times;          /* how often its work gave way since it last got on */
	unsigned repeated;       /* how often all of it has to be done again because of that */
	bool open;               /* in a transaction */
	bool asked;              /* to end it */
	bool cancelling;         /* a cancel request is under way */
	int64_t begin_ms, waiting_ms,
		asked_ms; /* since when it is open, others wait (0: none does); the last request */
};

/* Adds the session, unless there are too many. */
void precedence_init(struct precedence *p, struct precedences *all, int pid);
/* Also accepts a struct that is all zeros. */
void precedence_release(struct precedence *p);
/* A transaction begins. */
void precedence_begin(struct precedence *p);
/* It has ended, or nothing but a ROLLBACK follows. A cancel request that is under way has reached the server, which
 * ignores it between two statements: it cannot hit what follows. */
void precedence_end(struct precedence *p);
/* Whether the open transaction has to end; no cancel request is under way. */
bool precedence_asked(struct precedence *p);
/* After it gave way: all of the work is begun again. */
void precedence_repeat(struct precedence *p);
/* A part of the work is done: the next part is as patient as the first one was. */
void precedence_got_on(struct precedence *p);
/* All of it is done. */
void precedence_done(struct precedence *p);

/* For the watcher: whether no session is in a transaction. Then this eventfd becomes readable when one begins; -1: none
 * does. */
bool precedences_idle(struct precedences *all, int wake_fd);
/* The server processes whose transactions have been open for longer than a moment. Returns how many.
 */
size_t precedences_open(struct precedences *all, int64_t now_ms, int pids[PRECEDENCE_SESSIONS]);
/* The first n processes keep others waiting at the moment. Decides which of them have to end their transactions now,
 * and returns how many; the caller cancels their statements, and then calls precedences_cancelled. */
size_t precedences_decide(struct precedences *all, int64_t now_ms, const int *blocking, size_t n,
			  int pids[PRECEDENCE_SESSIONS]);
void precedences_cancelled(struct precedences *all);

#endif
