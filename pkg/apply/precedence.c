/* Who gives way, and when. */
#include "apply/precedence.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/ints.h"

enum { MOST_DOUBLINGS = 20 };

struct precedences {
	pthread_mutex_t lock; /* for all below, and for the sessions */
	pthread_cond_t cancelled;
	struct precedence *items[PRECEDENCE_SESSIONS];
	size_t n;
	int wake_fd; /* of the watcher, which sleeps until a transaction begins; -1: it does not */
};

int64_t precedence_patience_ms(unsigned times)
{
	return (int64_t)PRECEDENCE_PATIENCE_MS << (times < MOST_DOUBLINGS ? times : MOST_DOUBLINGS);
}

struct precedences *precedences_new(void)
{
	struct precedences *all = xcalloc(1, sizeof(*all));

	all->wake_fd = -1;
	(void)pthread_mutex_init(&all->lock, NULL);
	(void)pthread_cond_init(&all->cancelled, NULL);
	return all;
}

void precedences_free(struct precedences *all)
{
	if (!all)
		return;
	(void)pthread_mutex_destroy(&all->lock);
	(void)pthread_cond_destroy(&all->cancelled);
	free(all);
}

/* --- a session --- */

void precedence_init(struct precedence *p, struct precedences *all, int pid)
{
	*p = (struct precedence){.pid = pid};
	(void)pthread_mutex_lock(&all->lock);
	if (all->n < PRECEDENCE_SESSIONS) {
		p->all = all;
		all->items[all->n++] = p;
	}
	(void)pthread_mutex_unlock(&all->lock);
}

static void await_cancel(const struct precedence *p)
{
	while (p->cancelling)
		(void)pthread_cond_wait(&p->all->cancelled, &p->all->lock);
}

static void close_one(struct precedence *p)
{
	await_cancel(p);
	if (p->open && p->asked)
		p->times++;
	p->open = p->asked = false;
}

void precedence_release(struct precedence *p)
{
	struct precedences *all = p->all;
	size_t n = 0;

	if (!all)
		return;
	(void)pthread_mutex_lock(&all->lock);
	close_one(p);
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i] != p)
			all->items[n++] = all->items[i];
	all->n = n;
	(void)pthread_mutex_unlock(&all->lock);
	p->all = NULL;
}

void precedence_begin(struct precedence *p)
{
	if (!p->all)
		return;
	(void)pthread_mutex_lock(&p->all->lock);
	p->open = true;
	p->asked = false;
	p->waiting_ms = 0;
	p->begin_ms = clock_now_ms();
	if (p->all->wake_fd >= 0)
		(void)eventfd_write(p->all->wake_fd, 1);
	p->all->wake_fd = -1;
	(void)pthread_mutex_unlock(&p->all->lock);
}

void precedence_end(struct precedence *p)
{
	if (!p->all)
		return;
	(void)pthread_mutex_lock(&p->all->lock);
	close_one(p);
	(void)pthread_mutex_unlock(&p->all->lock);
}

bool precedence_asked(struct precedence *p)
{
	bool asked;

	if (!p->all)
		return false;
	(void)pthread_mutex_lock(&p->all->lock);
	await_cancel(p);
	asked = p->open && p->asked;
	(void)pthread_mutex_unlock(&p->all->lock);
	return asked;
}

static void set_times(struct precedence *p, unsigned repeated)
{
	if (!p->all)
		return;
	(void)pthread_mutex_lock(&p->all->lock);
	p->times = p->repeated = repeated;
	(void)pthread_mutex_unlock(&p->all->lock);
}

void precedence_repeat(struct precedence *p)
{
	set_times(p, p->repeated + 1);
}

void precedence_got_on(struct precedence *p)
{
	set_times(p, p->repeated);
}

void precedence_done(struct precedence *p)
{
	set_times(p, 0);
}

/* --- the watcher --- */

bool precedences_idle(struct precedences *all, int wake_fd)
{
	bool idle = true;

	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < all->n; i++)
		idle = idle && !all->items[i]->open;
	all->wake_fd = idle ? wake_fd : -1;
	(void)pthread_mutex_unlock(&all->lock);
	return idle;
}

size_t precedences_open(struct precedences *all, int64_t now_ms, int pids[PRECEDENCE_SESSIONS])
{
	size_t n = 0;

	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i]->open && now_ms - all->items[i]->begin_ms >= PRECEDENCE_PATIENCE_MS)
			pids[n++] = all->items[i]->pid;
	(void)pthread_mutex_unlock(&all->lock);
	return n;
}

static bool must_end(struct precedence *p, int64_t now_ms, bool blocks)
{
	if (!p->open || !blocks) {
		p->waiting_ms = 0;
		return false;
	}
	if (!p->waiting_ms)
		p->waiting_ms = now_ms;
	if (now_ms - p->waiting_ms < precedence_patience_ms(p->times))
		return false;
	return !p->asked || now_ms - p->asked_ms >= PRECEDENCE_AGAIN_MS;
}

size_t precedences_decide(struct precedences *all, int64_t now_ms, const int *blocking, size_t n,
			  int pids[PRECEDENCE_SESSIONS])
{
	size_t asked = 0;

	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < all->n; i++) {
		struct precedence *p = all->items[i];

		if (!must_end(p, now_ms, ints_contain(blocking, n, p->pid)))
			continue;
		p->asked = p->cancelling = true;
		p->asked_ms = now_ms;
		pids[asked++] = p->pid;
	}
	(void)pthread_mutex_unlock(&all->lock);
	return asked;
}

void precedences_cancelled(struct precedences *all)
{
	(void)pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < all->n; i++)
		all->items[i]->cancelling = false;
	(void)pthread_cond_broadcast(&all->cancelled);
	(void)pthread_mutex_unlock(&all->lock);
}
