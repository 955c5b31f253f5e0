/* Waiting for a position, with one condition variable for all: there are few waits, and each is short. */
#include "waits/waits.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

/* On the stack of the thread that waits. */
struct wait {
	uint64_t lsn;
	struct wait *next;
};

struct waits {
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct wait *first;
	uint64_t reached, streams;
	int wake_fd;
	bool closed;
};

struct waits *waits_new(void)
{
	struct waits *w = xcalloc(1, sizeof(*w));
	pthread_condattr_t attributes;

	w->wake_fd = -1;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->news, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return w;
}

void waits_free(struct waits *w)
{
	if (!w)
		return;
	(void)pthread_cond_destroy(&w->news);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct timespec deadline_in(int64_t ms)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

static void forget_wait(struct waits *w, const struct wait *self)
{
	struct wait **at = &w->first;

	while (*at != self)
		at = &(*at)->next;
	*at = self->next;
}

enum waits_end waits_wait(struct waits *w, uint64_t lsn, int64_t timeout_ms, uint64_t *ret_reached)
{
	const struct timespec deadline = deadline_in(timeout_ms);
	struct wait self = {.lsn = lsn};
	enum waits_end end;

	(void)pthread_mutex_lock(&w->lock);
	self.next = w->first;
	w->first = &self;
	if (w->wake_fd >= 0 && w->reached < lsn)
		(void)eventfd_write(w->wake_fd, 1);
	while (w->reached < lsn && !w->closed && pthread_cond_timedwait(&w->news, &w->lock, &deadline) == 0)
		;
	forget_wait(w, &self);
	end = w->reached >= lsn ? WAITS_REACHED : w->closed ? WAITS_CLOSED : WAITS_TIMEOUT;
	*ret_reached = w->reached;
	(void)pthread_mutex_unlock(&w->lock);
	return end;
}

uint64_t waits_stream(struct waits *w)
{
	uint64_t streams;

	(void)pthread_mutex_lock(&w->lock);
	streams = w->streams;
	(void)pthread_mutex_unlock(&w->lock);
	return streams;
}

bool waits_closed(struct waits *w)
{
	bool closed;

	(void)pthread_mutex_lock(&w->lock);
	closed = w->closed;
	(void)pthread_mutex_unlock(&w->lock);
	return closed;
}

void waits_close(struct waits *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->closed = true;
	(void)pthread_cond_broadcast(&w->news);
	(void)pthread_mutex_unlock(&w->lock);
}

void waits_attach(struct waits *w, int wake_fd)
{
	(void)pthread_mutex_lock(&w->lock);
	w->wake_fd = wake_fd;
	w->streams += wake_fd >= 0;
	/* The next stream, or a new generation, may be behind. */
	w->reached = 0;
	(void)pthread_mutex_unlock(&w->lock);
}

uint64_t waits_wanted(struct waits *w)
{
	uint64_t wanted = 0;

	(void)pthread_mutex_lock(&w->lock);
	for (const struct wait *each = w->first; each; each = each->next)
		if (each->lsn > wanted)
			wanted = each->lsn;
	(void)pthread_mutex_unlock(&w->lock);
	return wanted;
}

void waits_reached(struct waits *w, uint64_t lsn)
{
	(void)pthread_mutex_lock(&w->lock);
	if (lsn != w->reached && w->first)
		(void)pthread_cond_broadcast(&w->news);
	w->reached = lsn;
	(void)pthread_mutex_unlock(&w->lock);
}
