/* Connections of the worker's threads, and their cancellation. */
#include "sessions/connector.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apply/precedence.h"
#include "http/http.h"
#include "sessions/password.h"
#include "sink/target.h"
#include "spec/spec.h"

enum { SHORT_MS = 10000, STANDBY_BYTES = 64 };

static int watch_descriptor(int epoll_fd, int fd, struct err *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? err_errno(err, errno, "epoll_ctl") : 0;
}

int connector_init(struct connector *c, const struct connector_options *options, struct err *err)
{
	*c = (struct connector){.options = *options,
				.precedences = precedences_new(),
				.standby = xcalloc(STANDBY_BYTES, 1),
				.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				.cancel_fd = epoll_create1(EPOLL_CLOEXEC)};
	write_alias_token(c->token);
	if (c->end_fd < 0 || c->cancel_fd < 0)
		return err_errno(err, errno, "creating descriptors");
	if (watch_descriptor(c->cancel_fd, c->end_fd, err) < 0 ||
	    watch_descriptor(c->cancel_fd, options->stop_fd, err) < 0)
		return -1;
	return 0;
}

void connector_release(struct connector *c)
{
	http_target_free(TAKE_PTR(c->target));
	precedences_free(TAKE_PTR(c->precedences));
	free(TAKE_PTR(c->standby));
	close_fdp(&c->cancel_fd);
	close_fdp(&c->end_fd);
	c->cancel_fd = c->end_fd = -1;
}

static unsigned allowed_auth(const struct spec_source *source)
{
	static const unsigned bits[] = {[SPEC_SOURCE_AUTH_SCRAM] = PG_AUTH_SCRAM,
					[SPEC_SOURCE_AUTH_MD5] = PG_AUTH_MD5,
					[SPEC_SOURCE_AUTH_CLEARTEXT] = PG_AUTH_CLEARTEXT};
	unsigned allowed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (source->allowed_auth >> i & 1)
			allowed |= bits[i];
	return allowed;
}

/* What is read on one standby may be older than what another one streams, and only one has the slot. */
static int check_same_standby(const struct connector *c, struct pg *pg, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, "SELECT pg_postmaster_start_time()", NULL, 0, &r, err) < 0)
		return -1;
	if (!*c->standby)
		(void)snprintf(c->standby, STANDBY_BYTES, "%s", pg_value(r, 0, 0));
	if (strcmp(c->standby, pg_value(r, 0, 0)) == 0)
		return 0;
	return err_reason(
		err, ERR_TRANSIENT, REASON_SERVER_IS_STANDBY,
		"connections to the source lead to more than one standby, expected one: set spec.source.host to "
		"the address of a single server");
}

static int connect_pg(const struct connector *c, bool replication, enum connector_limit limit, const char *purpose,
		      struct pg **ret, struct err *err)
{
	static const enum pg_tls modes[] = {[SPEC_TLS_DISABLE] = PG_TLS_DISABLE,
					    [SPEC_TLS_PREFER] = PG_TLS_PREFER,
					    [SPEC_TLS_REQUIRE] = PG_TLS_REQUIRE,
					    [SPEC_TLS_VERIFY_CA] = PG_TLS_VERIFY_CA,
					    [SPEC_TLS_VERIFY_FULL] = PG_TLS_VERIFY_FULL};
	const struct spec_source *source = &c->options.spec->source;
	_cleanup_free_ char *application = xasprintf("pgsync %s %s", c->options.owner, purpose);
	_cleanup_(free_secretp) char *password = NULL;
	struct pg_params params = {
		.host = source->host,
		.port = (int)source->port,
		.database = source->database,
		.user = source->user,
		.password = source->password,
		.allowed_auth = allowed_auth(source),
		.tls = modes[source->tls],
		.ca_file = c->options.ca_path,
		.application_name = application,
		.cancel_fd = c->cancel_fd,
		.query_timeout_ms = limit == CONNECTOR_SHORT ? SHORT_MS : 0,
	};

	if (password_read(source, c->cancel_fd, &password, err) < 0)
		return -1;
	if (password)
		params.password = password;
	if (pg_connect(&params, replication, ret, err) < 0)
		return -1;
	if (!pg_is_standby(*ret) || check_same_standby(c, *ret, err) == 0)
		return 0;
	pg_close(*ret);
	*ret = NULL;
	return -1;
}

int connector_pg(const struct connector *c, enum connector_limit limit, const char *purpose, struct pg **ret,
		 struct err *err)
{
	return connect_pg(c, false, limit, purpose, ret, err);
}

int connector_replication(const struct connector *c, struct pg **ret, struct err *err)
{
	return connect_pg(c, true, CONNECTOR_UNLIMITED, "stream", ret, err);
}

bool connector_is_cancelled(void *user)
{
	const struct connector *c = user;

	return connector_sleep(c, 0);
}

int connector_search(struct connector *c, struct search **ret, struct err *err)
{
	/* The first call happens before other threads exist. */
	if (!c->target && sink_target(&c->options.spec->sink, &c->target, err) < 0)
		return -1;
	return search_new(c->target, connector_is_cancelled, c, ret, err);
}

int connector_source(const struct connector *c, enum connector_limit limit, const char *purpose, struct source *ret,
		     struct err *err)
{
	const struct spec_source *source = &c->options.spec->source;

	*ret = (struct source){
		.owner = c->options.owner,
		.slot = source->slot_name,
		.publication = source->publication_name,
		.user = source->user,
		.database = source->database,
		.verify_identities = source->replica_identity == SPEC_IDENTITY_VERIFY,
		.failover = source->failover,
	};
	if (connector_pg(c, limit, purpose, &ret->pg, err) < 0)
		return -1;
	ret->verify_identities = ret->verify_identities || pg_is_standby(ret->pg);
	return 0;
}

int connector_sink(struct connector *c, struct sink *ret, struct err *err)
{
	const struct spec *spec = c->options.spec;

	*ret = (struct sink){
		.owner = c->options.owner,
		.uid = spec->uid,
		.token = c->token,
		.adopt_existing = spec->sink.adopt_existing_index,
		.stall_on_error = spec->on_error == SPEC_ON_ERROR_STALL,
		.bulk_max_bytes = (size_t)spec->sink.bulk_max_bytes,
		.bulk_concurrency = (unsigned)spec->sink.bulk_concurrency,
	};
	return connector_search(c, &ret->search, err);
}

struct limits connector_limits(const struct connector *c)
{
	const struct spec_limits *given = &c->options.spec->source.limits;

	return (struct limits){.statement_ms = given->statement_seconds * 1000,
			       .snapshot_ms = given->snapshot_seconds * 1000};
}

void connector_wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		UNUSED(one); /* the counter is full, so it is readable already */
}

void connector_cancel(const struct connector *c)
{
	connector_wake(c->end_fd);
}

bool connector_sleep(const struct connector *c, int64_t ms)
{
	struct pollfd fd = {.fd = c->cancel_fd, .events = POLLIN};

	return poll(&fd, 1, (int)ms) > 0;
}
