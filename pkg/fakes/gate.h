/* For tests: a gate that holds its callers while it is closed.
 *
 * A gate belongs to a lock. A fake's callback, which has that lock, passes the gate; the test closes the gate, waits
 * until it holds a caller, and opens it.
 */
#ifndef PGSYNC_FAKES_GATE_H
#define PGSYNC_FAKES_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* How long a test waits for an expected event before it fails. */
enum { FAKE_PATIENCE_MS = 30000 };

struct fake_gate {
	pthread_mutex_t *lock;
	pthread_cond_t changed;
	bool closed;
	unsigned held;
};

/* The lock is borrowed. */
void fake_gate_init(struct fake_gate *gate, pthread_mutex_t *lock);
void fake_gate_release(struct fake_gate *gate);
/* With the lock held. */
void fake_gate_pass(struct fake_gate *gate);

/* --- for the test --- */
void fake_gate_close(struct fake_gate *gate);
void fake_gate_open(struct fake_gate *gate);
/* True once at least n callers are held; false after FAKE_PATIENCE_MS. */
bool fake_gate_holds(struct fake_gate *gate, unsigned n);

/* Like pthread_cond_wait, until FAKE_PATIENCE_MS after `start_ms` (clock_now_ms): false once that time is over. */
bool fake_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t start_ms);

#endif
