/* Gates. */
#include "fakes/gate.h"

#include "base/clock.h"

void fake_gate_init(struct fake_gate *gate, pthread_mutex_t *lock)
{
	*gate = (struct fake_gate){.lock = lock};
	(void)pthread_cond_init(&gate->changed, NULL);
}

void fake_gate_release(struct fake_gate *gate)
{
	(void)pthread_cond_destroy(&gate->changed);
}

void fake_gate_pass(struct fake_gate *gate)
{
	gate->held++;
	(void)pthread_cond_broadcast(&gate->changed);
	while (gate->closed)
		(void)pthread_cond_wait(&gate->changed, gate->lock);
	gate->held--;
}

static void set_closed(struct fake_gate *gate, bool closed)
{
	(void)pthread_mutex_lock(gate->lock);
	gate->closed = closed;
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(gate->lock);
}

void fake_gate_close(struct fake_gate *gate)
{
	set_closed(gate, true);
}

void fake_gate_open(struct fake_gate *gate)
{
	set_closed(gate, false);
}

bool fake_gate_holds(struct fake_gate *gate, unsigned n)
{
	int64_t start_ms = clock_now_ms();
	bool holds;

	(void)pthread_mutex_lock(gate->lock);
	while (gate->held < n && fake_wait(&gate->changed, gate->lock, start_ms))
		;
	holds = gate->held >= n;
	(void)pthread_mutex_unlock(gate->lock);
	return holds;
}

bool fake_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t start_ms)
{
	int64_t until_us = clock_wall_us() + (start_ms + FAKE_PATIENCE_MS - clock_now_ms()) * 1000;
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};

	return clock_now_ms() < start_ms + FAKE_PATIENCE_MS && pthread_cond_timedwait(cond, lock, &until) == 0;
}
