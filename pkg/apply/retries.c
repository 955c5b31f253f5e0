/* Documents to try again, from thread to thread. */
#include "apply/retries.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct retries {
	pthread_mutex_t lock;
	enum { IDLE, OFFERED, ACCEPTED } state;
	size_t plan;
	struct dead_letters_retries page; /* belongs to the thread whose turn it is */
};

struct retries *retries_new(void)
{
	struct retries *r = xcalloc(1, sizeof(*r));

	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

void retries_free(struct retries *r)
{
	if (!r)
		return;
	dead_letters_retries_release(&r->page);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

bool retries_idle(struct retries *r)
{
	bool idle;

	(void)pthread_mutex_lock(&r->lock);
	idle = r->state == IDLE;
	(void)pthread_mutex_unlock(&r->lock);
	return idle;
}

void retries_offer_take(struct retries *r, size_t plan, struct dead_letters_retries *page)
{
	(void)pthread_mutex_lock(&r->lock);
	dead_letters_retries_release(&r->page);
	r->page = *page;
	r->plan = plan;
	r->state = OFFERED;
	(void)pthread_mutex_unlock(&r->lock);
	*page = (struct dead_letters_retries){0};
}

static bool accept_page(struct retries *r, size_t *ret_plan)
{
	bool offered;

	(void)pthread_mutex_lock(&r->lock);
	offered = r->state == OFFERED;
	if (offered) {
		r->state = ACCEPTED;
		*ret_plan = r->plan;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return offered;
}

void retries_add(const struct model *m, struct batch *batch, uint64_t lsn)
{
	size_t plan;

	if (!accept_page(m->retries, &plan))
		return;
	batch_begin_artificial(batch, lsn, clock_wall_us());
	(void)keyset_add(&batch->keys, m->targets.first_retry + (uint32_t)plan, "", 0, batch_current(batch));
}

struct dead_letters_retries *retries_page(struct retries *r)
{
	return &r->page;
}

void retries_done(struct retries *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->state = IDLE;
	(void)pthread_mutex_unlock(&r->lock);
}
