/* Worker processes: starts them, writes their input, reads their messages, stops and reaps them.
 *
 * Belongs to one thread, which must outlive the workers: the kernel kills them when the thread that started them ends.
 * Nothing here blocks: the caller waits for the descriptors and the deadline, and then dispatches.
 */
#ifndef PGSYNC_OPERATOR_SUPERVISOR_INT_H
#define PGSYNC_OPERATOR_SUPERVISOR_INT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "protocol/protocol.h"

enum {
	WORKER_GRACE_MS = 3000, /* time from SIGTERM to SIGKILL */
};

struct worker_exit {
	bool signalled;
	int code; /* the exit code, or the signal */
	int64_t uptime_ms;
};

struct worker_handlers {
	/* Called for each message, of any kind, including PROTOCOL_UNKNOWN. Borrowed. */
	void (*message)(void *user, const struct protocol_message *message);
	/* Called when a worker has been silent for PROTOCOL_SILENT_MS. */
	void (*silent)(void *user);
	/* Called when a worker has ended, after all its messages; then the worker is freed. */
	void (*exited)(void *user, const struct worker_exit *exit);
};

struct supervisor;
struct worker;

/* argv: what to execute, NULL-terminated, copied; argv[0] is a path. */
struct supervisor *supervisor_new(const char *const *argv);
/* Kills and reaps remaining workers, without calling handlers. */
void supervisor_free(struct supervisor *s);
CLEANUP(struct supervisor, supervisor_free);
size_t supervisor_count(const struct supervisor *s);

struct worker_options {
	const char *name; /* for logs */
	char *input_take; /* a line, as encoded; ownership is taken, and it is wiped once it is written */
	int clients_fd;   /* what becomes PROTOCOL_CLIENTS_FD; 0: nothing. Borrowed during the call */
	struct worker_handlers handlers;
	void *user;
};
/* Starts a worker and writes its input to PROTOCOL_INPUT_FD. Errors: TRANSIENT (no process, no descriptors). */
int supervisor_start(struct supervisor *s, const struct worker_options *options, int64_t now_ms, struct worker **ret,
		     struct err *err) WARN_UNUSED;
/* Sends SIGTERM, and SIGKILL after the grace period. May be repeated. */
void supervisor_stop(struct worker *w, int64_t now_ms);
bool supervisor_is_stopping(const struct worker *w);
int supervisor_pid(const struct worker *w);
/* How long the worker has been silent. Time during which this process was frozen does not count. */
int64_t supervisor_silence_ms(const struct worker *w, int64_t now_ms);
/* Sends SIGKILL, which does not count as stopping. */
void supervisor_kill(struct worker *w);

/* Appends the descriptors to wait for to an array (ALLOC_GROW). */
void supervisor_poll_fds(struct supervisor *s, struct pollfd **fds, size_t *n, size_t *alloc);
/* When supervisor_dispatch must be called even without an event; -1: never. */
int64_t supervisor_next_ms(const struct supervisor *s);
/* Handles the events of the descriptors, and deadlines; runs handlers. */
void supervisor_dispatch(struct supervisor *s, const struct pollfd *fds, size_t n, int64_t now_ms);

#endif
