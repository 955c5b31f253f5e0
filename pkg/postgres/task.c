/* Calls that can only block (name resolution, cancel requests), run in their own threads. */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "postgres/pg_int.h"

void pg_task_unref(struct pg_task *task)
{
	if (!task || atomic_fetch_sub(&task->refs, 1) != 1)
		return;
	if (task->done_fd >= 0)
		(void)close(task->done_fd);
	task->release(task);
}

static void *task_main(void *arg)
{
	struct pg_task *task = arg;

	task->run(task);
	atomic_store(&task->done, true);
	(void)eventfd_write(task->done_fd, 1);
	pg_task_unref(task);
	return NULL;
}

int pg_task_start_take(struct pg_task *task, struct err *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	atomic_init(&task->refs, 1);
	task->done_fd = eventfd(0, EFD_CLOEXEC);
	if (task->done_fd < 0) {
		(void)err_errno(err, errno, "cannot create an event descriptor");
		pg_task_unref(task);
		return -1;
	}
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_store(&task->refs, 2);
	r = pthread_create(&thread, &attr, task_main, task);
	(void)pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	atomic_store(&task->refs, 1);
	(void)err_errno(err, r, "cannot start a thread");
	pg_task_unref(task);
	return -1;
}

int pg_task_wait(const struct pg_task *task, int cancel_fd, int64_t deadline_ms, struct err *err)
{
	if (pg_wait_fd(task->done_fd, POLLIN, cancel_fd, deadline_ms, err) < 0)
		return -1;
	/* The descriptor shows that the call has ended; this load makes what its thread wrote visible to ours. */
	if (!atomic_load(&task->done))
		return err_set(err, ERR_FATAL, "a task ended without a result");
	return 0;
}

/* --- PQcancel ------------------------------------------------------------------------------------------------------
 */
struct cancel_task {
	struct pg_task task; /* first */
	PGcancel *cancel;
	bool sent;
	char message[256];
};

static void cancel_run(struct pg_task *task)
{
	struct cancel_task *c = (struct cancel_task *)task;

	c->sent = PQcancel(c->cancel, c->message, sizeof(c->message)) == 1;
}

static void cancel_release(struct pg_task *task)
{
	struct cancel_task *c = (struct cancel_task *)task;

	PQfreeCancel(c->cancel);
	free(c);
}

int pg_cancel(struct pg *pg, int64_t deadline_ms, struct err *err)
{
	_cleanup_(pg_task_unrefp) struct pg_task *task = NULL;
	struct cancel_task *c = xcalloc(1, sizeof(*c));

	c->task = (struct pg_task){.run = cancel_run, .release = cancel_release, .done_fd = -1};
	c->cancel = PQgetCancel(pg->conn);
	if (!c->cancel) {
		free(c);
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE,
				  "the connection to Postgres is closed");
	}
	if (pg_task_start_take(&c->task, err) < 0)
		return -1;
	task = &c->task;
	if (pg_task_wait(task, -1, deadline_ms, err) < 0)
		return err_wrap(err, "sending a cancel request");
	if (!c->sent)
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE, "sending a cancel request: %s",
				  c->message);
	return 0;
}

/* --- getaddrinfo ---------------------------------------------------------------------------------------------------
 */
enum { ADDRESSES_MAX = 8, ADDRESS_BYTES = 64 };

struct resolve_task {
	struct pg_task task; /* first */
	char *host;
	int code; /* EAI_* */
	int errnum;
	struct strbuf addresses;
};

static void list_addresses(struct strbuf *sb, const struct addrinfo *list)
{
	char text[ADDRESS_BYTES];
	int n = 0;

	for (const struct addrinfo *a = list; a && n < ADDRESSES_MAX; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		if (n++ > 0)
			strbuf_addc(sb, ',');
		strbuf_adds(sb, text);
	}
}

static int lookup(const char *host, int flags, struct strbuf *addresses)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	struct addrinfo *list = NULL;
	int code = getaddrinfo(host, NULL, &hints, &list);

	if (code != 0)
		return code;
	list_addresses(addresses, list);
	freeaddrinfo(list);
	return addresses->len > 0 ? 0 : EAI_NONAME;
}

static void resolve_run(struct pg_task *task)
{
	struct resolve_task *t = (struct resolve_task *)task;

	t->code = lookup(t->host, AI_ADDRCONFIG, &t->addresses);
	t->errnum = errno;
}

static void resolve_release(struct pg_task *task)
{
	struct resolve_task *t = (struct resolve_task *)task;

	strbuf_release(&t->addresses);
	free(t->host);
	free(t);
}

int pg_resolve(const char *host, int cancel_fd, int64_t deadline_ms, char **ret, struct err *err)
{
	_cleanup_(pg_task_unrefp) struct pg_task *task = NULL;
	struct resolve_task *t = xcalloc(1, sizeof(*t));

	t->task = (struct pg_task){.run = resolve_run, .release = resolve_release, .done_fd = -1};
	t->host = xstrdup(host);
	strbuf_init(&t->addresses, (size_t)ADDRESSES_MAX * ADDRESS_BYTES);
	if (lookup(host, AI_NUMERICHOST, &t->addresses) == 0) {
		*ret = strbuf_detach(&t->addresses);
		resolve_release(&t->task);
		return 0;
	}
	if (pg_task_start_take(&t->task, err) < 0)
		return -1;
	task = &t->task;
	if (pg_task_wait(task, cancel_fd, deadline_ms, err) < 0) {
		if (err->kind == ERR_CANCELLED)
			return -1;
		return err_reason(err, ERR_TRANSIENT, REASON_DNS, "host \"%s\" cannot be resolved: no answer in time",
				  host);
	}
	if (t->code != 0)
		return err_reason(err, ERR_TRANSIENT, REASON_DNS, "host \"%s\" cannot be resolved: %s", host,
				  t->code == EAI_SYSTEM ? strerrordesc_np(t->errnum) : gai_strerror(t->code));
	*ret = strbuf_detach(&t->addresses);
	return 0;
}
