/* Worker processes: started, fed, listened to, stopped, reaped.
 *
 * Belongs to one thread, which must also be the one that lives longest: the kernel ends the workers when the thread
 * that started them ends. Nothing here blocks: the caller waits for the descriptors and the deadline, and then
 * dispatches.
 */
#ifndef PGSYNC_OPERATOR_SUPERVISOR_INT_H
#define PGSYNC_OPERATOR_SUPERVISOR_INT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "protocol/protocol.h"

enum {
	WORKER_GRACE_MS = 3000,         /* from SIGTERM to SIGKILL */
	WORKER_HEALTHY_MS = 600 * 1000, /* after this long the back-off starts anew */
	WORKER_BACKOFF_MS = 1000,
	WORKER_BACKOFF_CAP_MS = 300 * 1000,
};

struct worker_exit {
	bool signalled;
	int code; /* the exit code, or the signal */
	int64_t uptime_ms;
};

struct worker_handlers {
	/* Borrowed; of any kind, also unknown. */
	void (*message)(void *user, const struct protocol_message *message);
	/* After all its messages; the worker is gone after this. */
	void (*exited)(void *user, const struct worker_exit *exit);
};

struct supervisor;
struct worker;

/* argv: what to execute, NULL-terminated, copied; argv[0] is a path. */
struct supervisor *supervisor_new(const char *const *argv);
/* Kills and reaps what is left, without calling handlers. */
void supervisor_free(struct supervisor *s);
CLEANUP(struct supervisor, supervisor_free);
size_t supervisor_count(const struct supervisor *s);

struct worker_options {
	const char *name; /* for logs */
	char *input_take; /* a line, as encoded; ownership is taken, and it is wiped once it is written */
	struct worker_handlers handlers;
	void *user;
};
/* Starts a worker and writes its input to PROTOCOL_INPUT_FD. Errors: TRANSIENT (no process, no descriptors). */
int worker_start(struct supervisor *s, const struct worker_options *options, int64_t now_ms, struct worker **ret,
		 struct err *err) WARN_UNUSED;
/* Asks it to end, and insists after the grace period. May be repeated. */
void worker_stop(struct worker *w, int64_t now_ms);
bool worker_stopping(const struct worker *w);
int worker_pid(const struct worker *w);
/* Ends it now. */
void worker_kill(struct worker *w);

/* Appends what to wait for to an array (ALLOC_GROW). */
void supervisor_poll_fds(struct supervisor *s, struct pollfd **fds, size_t *n, size_t *alloc);
/* When supervisor_dispatch must be called even without an event; -1: never. */
int64_t supervisor_next_ms(const struct supervisor *s);
/* Acts on what poll said of the descriptors, and on deadlines; runs handlers. */
void supervisor_dispatch(struct supervisor *s, const struct pollfd *fds, size_t n, int64_t now_ms);

/* --- When to start again: pure */
struct restarts {
	struct backoff backoff;
	unsigned failures;     /* in a row */
	int64_t not_before_ms; /* 0: at once */
};
void restarts_init(struct restarts *r, uint64_t seed);
/* A worker ended although nobody asked it to. */
void restarts_failed(struct restarts *r, int64_t uptime_ms, int64_t now_ms);
void restarts_reset(struct restarts *r);

#endif
