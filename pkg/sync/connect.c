/* An engine and its connections. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "http/http.h"
#include "sync/parts_int.h"

int engine_init(struct engine *e, const struct sync_options *options, struct err *err)
{
	const struct spec *spec = options->spec;

	*e = (struct engine){.options = options, .spec = spec, .ca_fd = -1, .end_fd = -1, .cancel_fd = -1};
	report_init(&e->report);
	e->meters = meters_new(options->metrics);
	e->owner = xasprintf("%s/%s", spec->namespace, spec->name);
	e->key = xasprintf("%s/%s", e->owner, spec->source.slot_name);
	if (!spec->source.ca.value)
		return 0;
	e->ca_fd = pg_ca_file(spec->source.ca.value, e->ca_path, err);
	return e->ca_fd < 0 ? -1 : 0;
}

void engine_release(struct engine *e)
{
	close_fdp(&e->ca_fd);
	free(e->owner);
	free(e->key);
	meters_free(e->meters);
	report_release(&e->report);
}

static int new_sink(const struct spec_sink *sink, struct http_target **ret, struct err *err)
{
	static const enum http_auth auths[] = {[SPEC_AUTH_NONE] = HTTP_AUTH_NONE,
					       [SPEC_AUTH_BASIC] = HTTP_AUTH_BASIC,
					       [SPEC_AUTH_API_KEY] = HTTP_AUTH_API_KEY,
					       [SPEC_AUTH_BEARER] = HTTP_AUTH_BEARER};
	struct http_target_options options = {
		.urls = (const char *const *)sink->urls.items,
		.n_urls = sink->urls.n,
		.auth = auths[sink->auth],
		.username = sink->username,
		.password = sink->password,
		.token = sink->auth == SPEC_AUTH_API_KEY ? sink->api_key : sink->token,
		.ca_pem = sink->ca.value,
		.insecure_skip_verify = sink->insecure_skip_verify,
		.user_agent = "pgsync/" PGSYNC_VERSION,
	};

	return http_target_new(&options, ret, err);
}

enum { CONTROL_MS = 10000 };

static int watch(int epoll_fd, int fd, struct err *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? err_errno(err, errno, "epoll_ctl") : 0;
}

int engine_begin(struct engine *e, struct err *err)
{
	e->cp = (struct checkpoint){.seq_no = -1, .primary_term = -1};
	e->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->cancel_fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->end_fd < 0 || e->cancel_fd < 0)
		return err_errno(err, errno, "making descriptors");
	if (watch(e->cancel_fd, e->end_fd, err) < 0 || watch(e->cancel_fd, e->options->stop_fd, err) < 0)
		return -1;
	return 0;
}

void engine_end(struct engine *e)
{
	for (size_t i = 0; i < e->n_plans; i++) {
		document_plan_free(e->plans[i]);
		free(e->physical[i]);
	}
	free(TAKE_PTR(e->plans));
	free(TAKE_PTR(e->physical));
	e->n_plans = 0;
	free(TAKE_PTR(e->begin_sql));
	reread_release(&e->reread);
	catalog_free(TAKE_PTR(e->catalog));
	checkpoint_release(&e->cp);
	e->cp = (struct checkpoint){0};
	pg_close(TAKE_PTR(e->pg));
	search_free(TAKE_PTR(e->search));
	http_target_free(TAKE_PTR(e->sink));
	close_fdp(&e->cancel_fd);
	close_fdp(&e->end_fd);
	e->cancel_fd = e->end_fd = -1;
}

void engine_wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		UNUSED(one); /* the counter is full: it is readable already */
}

void engine_cancel(struct engine *e)
{
	engine_wake(e->end_fd);
}

/* Asked by blocking HTTP calls. */
static bool is_cancelled(void *user)
{
	struct engine *e = user;

	return engine_sleep(e, 0);
}

int engine_pg(struct engine *e, bool replication, const char *purpose, struct pg **ret, struct err *err)
{
	static const enum pg_tls modes[] = {[SPEC_TLS_DISABLE] = PG_TLS_DISABLE,
					    [SPEC_TLS_PREFER] = PG_TLS_PREFER,
					    [SPEC_TLS_REQUIRE] = PG_TLS_REQUIRE,
					    [SPEC_TLS_VERIFY_CA] = PG_TLS_VERIFY_CA,
					    [SPEC_TLS_VERIFY_FULL] = PG_TLS_VERIFY_FULL};
	const struct spec_source *source = &e->spec->source;
	_cleanup_free_ char *application = xasprintf("pgsync %s %s", e->owner, purpose);
	struct pg_params params = {
		.host = source->host,
		.port = (int)source->port,
		.database = source->database,
		.user = source->user,
		.password = source->password,
		.tls = modes[source->tls],
		.ca_file = e->ca_fd >= 0 ? e->ca_path : NULL,
		.application_name = application,
		.cancel_fd = e->cancel_fd,
		/* The thread that answers the server must notice a server that does not: its own queries are small. */
		.query_timeout_ms = strcmp(purpose, "control") ? 0 : CONTROL_MS,
	};

	return pg_connect(&params, replication, ret, err);
}

int engine_search(struct engine *e, struct search **ret, struct err *err)
{
	/* The first call comes before there is another thread. */
	if (!e->sink && new_sink(&e->spec->sink, &e->sink, err) < 0)
		return -1;
	return search_new(e->sink, is_cancelled, e, ret, err);
}

struct checkpoint_index *engine_index(const struct engine *e, size_t plan)
{
	return checkpoint_find(&e->cp, e->plans[plan]->document->index);
}

bool engine_sleep(struct engine *e, int64_t ms)
{
	struct pollfd fd = {.fd = e->cancel_fd, .events = POLLIN};

	return poll(&fd, 1, (int)ms) > 0;
}

int engine_save(struct engine *e, struct err *err)
{
	if (checkpoint_save(e->search, e->key, &e->cp, err) < 0)
		return err_wrap(err, "saving the checkpoint");
	return 0;
}

int engine_server_lsn(struct pg *pg, uint64_t *ret, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;

	if (pg_query(pg, "SELECT pg_current_wal_flush_lsn()", NULL, 0, &result, err) < 0)
		return -1;
	if (!parse_lsn(pg_value(result, 0, 0), ret))
		return err_set(err, ERR_FATAL, "the server's WAL position \"%s\" is no LSN", pg_value(result, 0, 0));
	return 0;
}

void engine_publish(struct engine *e)
{
	json_t *json = report_json(&e->report);

	if (e->options->report)
		e->options->report(e->options->user, json);
	json_decref(json);
}

void engine_event(struct engine *e, bool warning, const char *reason, const char *action, const char *fmt, ...)
{
	_cleanup_free_ char *note = NULL;
	va_list ap;

	if (!e->options->event)
		return;
	va_start(ap, fmt);
	note = xvasprintf(fmt, ap);
	va_end(ap);
	e->options->event(e->options->user, warning, reason, action, note);
}
