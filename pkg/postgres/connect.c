/* Making and ending connections. */
#include "postgres/pg_int.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/egress.h"
#include "base/fd.h"

/* A path that never exists: keeps libpq from reading password files and certificates in a home directory. */
static const char no_file[] = "/nonexistent/pgsync";

int pg_ca_file(const char *pem, char path[32], struct err *err)
{
	int fd;

	if (!strstr(pem, "-----BEGIN CERTIFICATE-----"))
		return err_reason(err, ERR_INVALID, REASON_TLS,
				  "the CA is not PEM: found no \"BEGIN CERTIFICATE\" line");
	fd = memfd_create("pgsync-ca", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot create a memory file for the CA");
	if (fd_write(fd, pem, strlen(pem)) < 0) {
		(void)err_errno(err, errno, "cannot write the CA into a memory file");
		(void)close(fd);
		return -1;
	}
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* --- Parameters ----------------------------------------------------------------------------------------------------
 */
enum { OPTIONS_MAX = 32, ENDPOINTS_BYTES = 64 * 1024 };

struct options {
	const char *keys[OPTIONS_MAX + 1];
	const char *values[OPTIONS_MAX + 1];
	size_t n;
};

static void set_option(struct options *o, const char *key, const char *value)
{
	if (!value || o->n == OPTIONS_MAX)
		return;
	o->keys[o->n] = key;
	o->values[o->n++] = value;
}

/* With "prefer", libpq would read what follows the server's refusal of TLS before we see it. */
static const char *tls_word(enum pg_tls tls)
{
	static const char *const words[] = {
		[PG_TLS_DISABLE] = "disable",     [PG_TLS_PREFER] = "require",          [PG_TLS_REQUIRE] = "require",
		[PG_TLS_VERIFY_CA] = "verify-ca", [PG_TLS_VERIFY_FULL] = "verify-full",
	};

	return words[tls];
}

static PGconn *start_connect(const struct pg_params *p, const char *addresses, bool replication)
{
	_cleanup_free_ char *settings = pg_session_options(replication);
	struct options o = {.n = 0};
	char port[8];

	(void)snprintf(port, sizeof(port), "%d", p->port);
	set_option(&o, "host", p->host);
	set_option(&o, "hostaddr", addresses);
	set_option(&o, "port", port);
	set_option(&o, "dbname", p->database);
	set_option(&o, "user", p->user);
	set_option(&o, "password", p->password);
	set_option(&o, "passfile", no_file);
	set_option(&o, "application_name", p->application_name);
	set_option(&o, "sslmode", tls_word(p->tls));
	/* With sslmode=require libpq would verify against a root.crt in the home directory. */
	set_option(&o, "sslrootcert", p->tls >= PG_TLS_VERIFY_CA && p->ca_file ? p->ca_file : no_file);
	set_option(&o, "sslcert", no_file);
	set_option(&o, "ssl_min_protocol_version", "TLSv1.2");
	set_option(&o, "gssencmode", "disable");
	set_option(&o, "client_encoding", "UTF8");
	set_option(&o, "options", settings);
	set_option(&o, "target_session_attrs", "any");
	set_option(&o, "keepalives", "1");
	set_option(&o, "keepalives_idle", "10");
	set_option(&o, "keepalives_interval", "5");
	set_option(&o, "keepalives_count", "3");
	set_option(&o, "tcp_user_timeout", "30000");
	if (replication)
		set_option(&o, "replication", "database");
	return PQconnectStartParams(o.keys, o.values, 0);
}

/* --- Opening -------------------------------------------------------------------------------------------------------
 */
static void ignore_notice(void *arg, const struct pg_result *result)
{
	UNUSED(arg);
	UNUSED(result);
}

static void free_prepared(void *value)
{
	struct pg_prepared *p = value;

	free(p->sql);
	free(p);
}

/* What libpq gets: each address with its host name, which is needed to verify the certificate. */
struct endpoints {
	struct strbuf hosts, addresses;
};

static void endpoints_release(struct endpoints *e)
{
	strbuf_release(&e->hosts);
	strbuf_release(&e->addresses);
}

static bool address_is_denied(const char *address, int port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char service[8];
	bool denied;

	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(address, service, &hints, &found) != 0)
		return true;
	denied = egress_is_denied(found->ai_addr);
	freeaddrinfo(found);
	return denied;
}

static int refuse_host(const char *host, int port, struct err *err)
{
	return err_reason(err, ERR_DENIED, REASON_EGRESS_DENIED,
			  "Postgres at %s:%d: the address of this host is one that workers may not connect to", host,
			  port);
}

/* addresses: comma separated, of one host. */
static int add_endpoints(struct endpoints *e, const char *host, char *addresses, int port, struct err *err)
{
	char *rest = addresses;

	for (char *address; (address = strsep(&rest, ","));) {
		const char *separator = e->addresses.len ? "," : "";

		if (address_is_denied(address, port))
			return refuse_host(host, port, err);
		strbuf_addf(&e->hosts, "%s%s", separator, host);
		strbuf_addf(&e->addresses, "%s%s", separator, address);
	}
	return 0;
}

static bool is_socket(const char *host)
{
	return host[0] == '/' || host[0] == '@';
}

/* host: one, or several with commas. A host that cannot be resolved is skipped if another one can. */
static int find_endpoints(const struct pg_params *params, int64_t deadline_ms, struct endpoints *e, struct err *err)
{
	_cleanup_free_ char *hosts = xstrdup(params->host);
	char *rest = hosts;

	for (char *host; (host = strsep(&rest, ","));) {
		_cleanup_free_ char *addresses = NULL;

		if (pg_resolve(host, params->cancel_fd, deadline_ms, &addresses, err) < 0) {
			if (err->kind == ERR_CANCELLED)
				return -1;
			continue;
		}
		if (add_endpoints(e, host, addresses, params->port, err) < 0)
			return -1;
	}
	if (!e->addresses.len)
		return -1;
	return strbuf_ok(&e->hosts) && strbuf_ok(&e->addresses)
		       ? 0
		       : err_set(err, ERR_LIMIT, "the hosts of Postgres have too many addresses");
}

static int open_once(struct pg *pg, const struct pg_params *params, int64_t deadline_ms, struct err *err)
{
	_cleanup_(endpoints_release) struct endpoints e;
	struct pg_params resolved = *params;
	bool here = is_socket(params->host);

	strbuf_init(&e.hosts, ENDPOINTS_BYTES);
	strbuf_init(&e.addresses, ENDPOINTS_BYTES);
	if (here && egress_unix_is_denied())
		return refuse_host(params->host, params->port, err);
	if (!here && find_endpoints(params, deadline_ms, &e, err) < 0)
		return -1;
	if (!here)
		resolved.host = e.hosts.data;
	pg->conn = start_connect(&resolved, here ? NULL : e.addresses.data, pg->replication);
	if (!pg->conn)
		return err_set(err, ERR_FATAL, "out of memory for a connection");
	(void)PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	(void)PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
	if (pg_handshake(pg->conn, params, deadline_ms, err) < 0)
		return -1;
	(void)PQsetErrorVerbosity(pg->conn, PQERRORS_DEFAULT);
	if (PQsetnonblocking(pg->conn, 1) != 0)
		return pg_err_conn(pg->conn, err);
	return 0;
}

/* True if the server has no TLS, or does not admit us with it. */
static bool may_do_without_tls(const struct pg_params *params, const struct err *err)
{
	return params->tls == PG_TLS_PREFER && (err->reason == REASON_TLS || pg_is_sqlstate(err, "28000"));
}

static int open_connection(struct pg *pg, const struct pg_params *params, int64_t deadline_ms, struct err *err)
{
	struct pg_params plain = *params;
	struct err second = {0};

	if (open_once(pg, params, deadline_ms, err) == 0)
		return 0;
	if (!may_do_without_tls(params, err))
		return -1;
	PQfinish(TAKE_PTR(pg->conn));
	plain.tls = PG_TLS_DISABLE;
	if (open_once(pg, &plain, deadline_ms, &second) == 0)
		return 0;
	if (err->reason == REASON_TLS)
		*err = second;
	return -1;
}

/* Settings that the server may not know cannot be in the options, or it would refuse the connection. */
static int set_rest(struct pg *pg, int64_t deadline_ms, struct err *err)
{
	_cleanup_free_ char *sql = pg_session_statement();
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	int64_t timeout_ms = pg->query_timeout_ms;
	int failed, n;

	pg->query_timeout_ms = deadline_ms > clock_now_ms() ? deadline_ms - clock_now_ms() : 1;
	failed = pg_query(pg, sql, NULL, 0, &r, err);
	pg->query_timeout_ms = timeout_ms;
	if (failed < 0)
		return err_wrap(err, "setting up a session");
	n = pg_n_rows(r);
	if (n > 0 && strcmp(pg_value(r, n - 1, 0), "pg_catalog") != 0)
		return pg_err_pooler("the session lacks the settings that it was started with", err);
	return 0;
}

/* A server that requires TLS only reports that it has no rule for the other connections. */
static void suggest_tls(const struct pg_params *params, struct err *err)
{
	if (params->tls == PG_TLS_DISABLE && pg_is_sqlstate(err, "28000"))
		err_append(err, "; TLS is disabled for this connection, and the server may require it");
}

int pg_connect(const struct pg_params *params, bool replication, struct pg **ret, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = xcalloc(1, sizeof(*pg));
	int64_t timeout_ms = params->connect_timeout_ms > 0 ? params->connect_timeout_ms : PG_CONNECT_TIMEOUT_MS;
	int64_t deadline_ms = clock_now_ms() + timeout_ms;

	if (params->tls >= PG_TLS_VERIFY_CA && !params->ca_file)
		return err_reason(err, ERR_DENIED, REASON_TLS,
				  "verifying the certificate of Postgres at %s:%d needs a CA", params->host,
				  params->port);
	pg->cancel_fd = params->cancel_fd;
	pg->query_timeout_ms = params->query_timeout_ms;
	pg->replication = replication;
	pg->prepared = map_new(free_prepared);
	if (open_connection(pg, params, deadline_ms, err) < 0 || set_rest(pg, deadline_ms, err) < 0) {
		if (err->kind == ERR_TRANSIENT && err->reason == REASON_TIMEOUT)
			return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT,
					  "Postgres at %s:%d did not answer within %lld ms", params->host, params->port,
					  (long long)timeout_ms);
		suggest_tls(params, err);
		return -1;
	}
	*ret = TAKE_PTR(pg);
	return 0;
}

void pg_close(struct pg *pg)
{
	if (!pg)
		return;
	PQfinish(pg->conn);
	map_free(pg->prepared);
	free(pg);
}

bool pg_tls_pending(PGconn *conn)
{
	SSL *ssl = PQsslStruct(conn, "OpenSSL");

	return ssl && SSL_pending(ssl) > 0;
}
