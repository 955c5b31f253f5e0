/* Workers: threads that call handlers which may wait, and the exchanges that wait for one of them. Their connections
 * are suspended, so that the server's thread goes on with the others. */
#include <sys/eventfd.h>

#include "base/log.h"
#include "web/web_int.h"

static struct web_exchange *take(struct web_work *work)
{
	struct web_exchange *e;

	(void)pthread_mutex_lock(&work->lock);
	work->n_idle++;
	while (!work->first && !work->stop)
		(void)pthread_cond_wait(&work->more, &work->lock);
	work->n_idle--;
	e = work->stop ? NULL : work->first;
	if (e) {
		work->first = e->next;
		if (!work->first)
			work->last = &work->first;
		work->n_waiting--;
	}
	(void)pthread_mutex_unlock(&work->lock);
	return e;
}

static void *serve_exchanges(void *user)
{
	struct web *web = user;
	struct web_exchange *e;
	unsigned self;

	(void)pthread_mutex_lock(&web->work.lock);
	self = web->work.n_numbered++;
	(void)pthread_mutex_unlock(&web->work.lock);
	while ((e = take(&web->work))) {
		struct MHD_Connection *connection = e->request.connection;

		web_http_handle(e, self);
		/* From here on it belongs to the server's thread. */
		MHD_resume_connection(connection);
		/* libmicrohttpd's own signal is lost when it comes while the server's thread is in MHD_run. */
		(void)eventfd_write(web->wake, 1);
	}
	return NULL;
}

void web_work_start(struct web *web)
{
	struct web_work *work = &web->work;

	if (!web->options.workers)
		return;
	(void)pthread_mutex_init(&work->lock, NULL);
	(void)pthread_cond_init(&work->more, NULL);
	work->last = &work->first;
	work->threads = xcalloc(web->options.workers, sizeof(*work->threads));
}

/* Starts one more thread if those that are idle are too few for n exchanges; one that was started before may not be
 * idle yet. False if there is no thread at all. */
static bool add_thread(struct web *web, size_t n)
{
	struct web_work *work = &web->work;
	struct err err;
	int rc;

	if (n <= work->n_idle || work->n_threads == web->options.workers)
		return true;
	rc = pthread_create(&work->threads[work->n_threads], NULL, serve_exchanges, web);
	if (rc == 0) {
		work->n_threads++;
	} else {
		(void)err_errno(&err, rc, "starting a thread of the web server, %u are running", work->n_threads);
		log_warn("web", err.msg);
	}
	return work->n_threads > 0;
}

void web_work_stop(struct web *web)
{
	struct web_work *work = &web->work;

	if (!work->threads)
		return;
	(void)pthread_mutex_lock(&work->lock);
	work->stop = true;
	(void)pthread_cond_broadcast(&work->more);
	(void)pthread_mutex_unlock(&work->lock);
	for (unsigned i = 0; i < work->n_threads; i++)
		(void)pthread_join(work->threads[i], NULL);
	work->n_threads = 0;
	/* libmicrohttpd does not stop while a connection is suspended. */
	for (struct web_exchange *e = work->first, *next; e; e = next) {
		next = e->next;
		MHD_resume_connection(e->request.connection);
	}
	work->first = NULL;
}

void web_work_free(struct web_work *work)
{
	if (!work->threads)
		return;
	(void)pthread_mutex_destroy(&work->lock);
	(void)pthread_cond_destroy(&work->more);
	free(work->threads);
}

bool web_work_submit(struct web *web, struct web_exchange *e)
{
	struct web_work *work = &web->work;
	bool room;

	(void)pthread_mutex_lock(&work->lock);
	room = work->n_waiting < WEB_WAITING && add_thread(web, work->n_waiting + 1);
	if (room) {
		web_connection_busy(e->request.connection);
		MHD_suspend_connection(e->request.connection);
		*work->last = e;
		work->last = &e->next;
		work->n_waiting++;
		(void)pthread_cond_signal(&work->more);
	}
	(void)pthread_mutex_unlock(&work->lock);
	return room;
}
