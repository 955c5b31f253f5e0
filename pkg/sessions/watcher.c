/* Looks who waits for our sessions, and cancels what they do. */
#include "sessions/watcher.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "apply/precedence.h"
#include "base/clock.h"
#include "base/log.h"

enum { LOOK_MS = 50, AGAIN_MS = 1000, ARRAY_BYTES = 4096 };

struct watcher {
	const struct connector *connector;
	pthread_t thread;
	int end_fd;
	int begun_fd;  /* readable when a transaction begins, if none was open */
	struct pg *pg; /* NULL until it is needed */
};

/* Caller releases. */
static void add_pids(struct strbuf *sb, const int *pids, size_t n)
{
	strbuf_init(sb, ARRAY_BYTES);
	pg_array_begin(sb);
	for (size_t i = 0; i < n; i++)
		pg_array_add_number(sb, pids[i]);
	pg_array_end(sb);
}

/* Which of the processes others wait for, into pids as well. */
static int find_blocking(struct watcher *w, int *pids, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT DISTINCT b.pid FROM pg_locks l, unnest(pg_blocking_pids(l.pid)) AS b(pid)"
				  " WHERE NOT l.granted AND b.pid = ANY ($1::int[])";
	_cleanup_(strbuf_release) struct strbuf array;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	size_t most = *n;

	add_pids(&array, pids, most);
	if (pg_query(w->pg, sql, (const char *const[]){array.data}, 1, &r, err) < 0)
		return -1;
	*n = 0;
	for (int i = 0; i < pg_n_rows(r) && *n < most; i++)
		pids[(*n)++] = (int)pg_u64(r, i, 0);
	return 0;
}

static int cancel(struct watcher *w, const int *pids, size_t n, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf array;

	add_pids(&array, pids, n);
	log_debug("sessions", "others wait for locks of this worker, which gives way", KV_STR("processes", array.data));
	return pg_query(w->pg, "SELECT pg_cancel_backend(s.pid) FROM unnest($1::int[]) AS s(pid)",
			(const char *const[]){array.data}, 1, NULL, err);
}

static int watch_once(struct watcher *w, struct err *err)
{
	struct precedences *all = w->connector->precedences;
	int pids[PRECEDENCE_SESSIONS], asked[PRECEDENCE_SESSIONS];
	size_t n = precedences_open(all, clock_now_ms(), pids), n_asked;
	int r;

	if (n && !w->pg && connector_pg(w->connector, CONNECTOR_SHORT, "watcher", &w->pg, err) < 0)
		return -1;
	if (n && find_blocking(w, pids, &n, err) < 0)
		return -1;
	n_asked = precedences_decide(all, clock_now_ms(), pids, n, asked);
	if (!n_asked)
		return 0;
	r = cancel(w, asked, n_asked, err);
	precedences_cancelled(all);
	return r;
}

/* While no transaction is open, until one begins, unless the last look failed. True: the watcher is to end. */
static bool sleep_watcher(const struct watcher *w, int ms)
{
	bool idle = ms == LOOK_MS && precedences_idle(w->connector->precedences, w->begun_fd);
	struct pollfd fds[] = {{.fd = w->end_fd, .events = POLLIN},
			       {.fd = w->connector->cancel_fd, .events = POLLIN},
			       {.fd = idle ? w->begun_fd : -1, .events = POLLIN}};
	eventfd_t begun;

	(void)poll(fds, ARRAY_SIZE(fds), idle ? -1 : ms);
	if (fds[2].revents)
		(void)eventfd_read(w->begun_fd, &begun);
	return fds[0].revents || fds[1].revents;
}

static void *run_watcher(void *user)
{
	struct watcher *w = user;
	int pause_ms = LOOK_MS;

	while (!sleep_watcher(w, pause_ms)) {
		struct err err = {0};

		pause_ms = LOOK_MS;
		if (watch_once(w, &err) == 0)
			continue;
		if (err.kind != ERR_CANCELLED)
			log_warn("sessions", "cannot see who waits for locks of this worker, retrying", KV_ERR(&err));
		pg_close(TAKE_PTR(w->pg));
		pause_ms = AGAIN_MS;
	}
	return NULL;
}

static void free_watcher(struct watcher *w)
{
	close_fdp(&w->end_fd);
	close_fdp(&w->begun_fd);
	free(w);
}

int watcher_start(const struct connector *connector, struct watcher **ret, struct err *err)
{
	struct watcher *w = xcalloc(1, sizeof(*w));
	int r;

	w->connector = connector;
	w->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->begun_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->end_fd < 0 || w->begun_fd < 0 ? errno : pthread_create(&w->thread, NULL, run_watcher, w);
	if (r) {
		free_watcher(w);
		return err_errno(err, r, "starting the watcher");
	}
	*ret = w;
	return 0;
}

void watcher_stop(struct watcher *w)
{
	if (!w)
		return;
	connector_wake(w->end_fd);
	(void)pthread_join(w->thread, NULL);
	(void)precedences_idle(w->connector->precedences, -1);
	pg_close(w->pg);
	free_watcher(w);
}
