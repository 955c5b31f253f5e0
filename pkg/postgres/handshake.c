/* The handshake: libpq does it, but sees only what pg_auth_feed has let through.
 *
 * libpq before version 16 answers any request of the server, in clear text if asked to. With TLS, each record is
 * inspected before libpq reads it: it reads one at a time. Without TLS, libpq's socket is one end of a pair until we
 * are admitted, and bytes are passed on: there is no other way to know how much it reads. */
#include "postgres/pg_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { RECORD_BYTES = 16 * 1024 + 2048, STEP_BYTES = 4096, AGAIN = 1 };

struct handshake {
	PGconn *conn;
	const struct pg_params *params;
	struct pg_auth_watch watch;
	ino_t socket;    /* libpq's socket, to notice when it opens another one */
	int server, end; /* while bytes are passed on: the connection, and our end of the pair; or -1 */
	SSL *ssl;
};

/* libpq says "certificate verify failed" and frees its SSL object; our own reference keeps the reason. */
static void hold_ssl(PGconn *conn, SSL **held)
{
	SSL *ssl = PQsslStruct(conn, "OpenSSL");

	if (!ssl || ssl == *held)
		return;
	SSL_free(*held);
	*held = SSL_up_ref(ssl) == 1 ? ssl : NULL;
}

static int connect_err(const struct pg_params *params, PGconn *conn, SSL *ssl, struct err *err)
{
	const struct pg_connect_failure failure = {
		.message = PQerrorMessage(conn),
		.params = params,
		.verify = ssl ? SSL_get_verify_result(ssl) : 0,
		.needs_password = PQconnectionNeedsPassword(conn),
	};

	return pg_err_connect(&failure, err);
}

/* --- libpq's socket ------------------------------------------------------------------------------------------------
 */
static int feed(struct handshake *h, const char *data, size_t len, struct err *err)
{
	if (pg_auth_feed(&h->watch, data, len, err) < 0)
		return err_wrap(err, "cannot connect to Postgres at %s:%d as \"%s\"", h->params->host, h->params->port,
				h->params->user);
	return 0;
}

static ino_t find_socket(const struct handshake *h)
{
	struct stat found;

	return fstat(PQsocket(h->conn), &found) == 0 ? found.st_ino : 0;
}

static void close_ends(struct handshake *h)
{
	close_fdp(&h->server);
	close_fdp(&h->end);
	h->server = h->end = -1;
}

/* libpq tries one address after the other: forget what the previous server has sent. */
static void notice_new_socket(struct handshake *h)
{
	ino_t now = find_socket(h);

	if (now == h->socket)
		return;
	close_ends(h);
	h->socket = now;
	h->watch = (struct pg_auth_watch){.allowed = h->watch.allowed};
}

/* --- With TLS ------------------------------------------------------------------------------------------------------
 */
/* 0: what libpq reads next may pass. AGAIN: there is nothing yet. */
static int watch_record(struct handshake *h, SSL *ssl, struct err *err)
{
	char record[RECORD_BYTES];
	int n, why;

	/* Lets libpq read the rest of a record that was let through. */
	if (SSL_pending(ssl) > 0)
		return 0;
	ERR_clear_error();
	n = SSL_peek(ssl, record, sizeof(record));
	why = SSL_get_error(ssl, n);
	ERR_clear_error();
	if (n > 0)
		return feed(h, record, (size_t)n, err);
	/* libpq gets the same error, and reports it. */
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? AGAIN : 0;
}

/* --- Without TLS ---------------------------------------------------------------------------------------------------
 */
static int begin_passing(struct handshake *h, struct err *err)
{
	int fd = PQsocket(h->conn);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_errno(err, errno, "cannot create a pair of sockets");
	h->end = pair[1];
	/* Not F_DUPFD_CLOEXEC: ThreadSanitizer would no longer see that the bytes received are those sent before. */
	h->server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (h->server < 0 || dup3(fd, h->server, O_CLOEXEC) < 0 || dup3(pair[0], fd, O_CLOEXEC) < 0) {
		(void)close(pair[0]);
		return err_errno(err, errno, "cannot replace a socket");
	}
	(void)close(pair[0]);
	h->socket = find_socket(h);
	return 0;
}

/* From the server to libpq. AGAIN: there is nothing yet. */
static int pass_in(struct handshake *h, struct err *err)
{
	char data[STEP_BYTES];
	ssize_t n = recv(h->server, data, sizeof(data), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return AGAIN;
	if (n <= 0) {
		(void)shutdown(h->end, SHUT_WR);
		return 0;
	}
	if (feed(h, data, (size_t)n, err) < 0)
		return -1;
	if (send(h->end, data, (size_t)n, MSG_NOSIGNAL) != n)
		return err_errno(err, errno, "cannot pass on what the server sent");
	return 0;
}

/* Passes libpq's answer to the server. */
static int pass_out(struct handshake *h, struct err *err)
{
	char data[STEP_BYTES];
	bool sent = true;
	ssize_t n;

	while (sent && (n = recv(h->end, data, sizeof(data), 0)) > 0)
		sent = send(h->server, data, (size_t)n, MSG_NOSIGNAL) == n;
	explicit_bzero(data, sizeof(data));
	if (!sent)
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE,
				  "the connection to Postgres was closed during the handshake");
	return 0;
}

/* Gives libpq the real connection. */
static int end_passing(struct handshake *h, struct err *err)
{
	int left = 0;

	if (ioctl(PQsocket(h->conn), FIONREAD, &left) < 0 || left > 0)
		return err_set(err, ERR_FATAL, "libpq has left %d bytes of the handshake unread", left);
	if (dup3(h->server, PQsocket(h->conn), O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot put back a socket");
	close_ends(h);
	return 0;
}

/* --- Both ----------------------------------------------------------------------------------------------------------
 */
static bool awaits_answer(const struct handshake *h)
{
	return PQstatus(h->conn) == CONNECTION_AWAITING_RESPONSE || PQstatus(h->conn) == CONNECTION_AUTH_OK;
}

/* Lets libpq see what has arrived, if that is allowed. AGAIN: nothing has arrived. */
static int admit(struct handshake *h, struct err *err)
{
	SSL *ssl = PQsslStruct(h->conn, "OpenSSL");

	if (!awaits_answer(h))
		return 0;
	if (ssl)
		return watch_record(h, ssl, err);
	if (h->end < 0 && begin_passing(h, err) < 0)
		return -1;
	return pass_in(h, err);
}

static int step(struct handshake *h, PostgresPollingStatusType *status, struct err *err)
{
	int r = admit(h, err);

	if (r != 0)
		return r == AGAIN ? 0 : -1;
	*status = PQconnectPoll(h->conn);
	hold_ssl(h->conn, &h->ssl);
	notice_new_socket(h);
	if (h->end < 0)
		return 0;
	if (pass_out(h, err) < 0)
		return -1;
	return *status == PGRES_POLLING_OK ? end_passing(h, err) : 0;
}

static int drive(struct handshake *h, int64_t deadline_ms, struct err *err)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (PQstatus(h->conn) == CONNECTION_BAD)
		status = PGRES_POLLING_FAILED;
	while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
		short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		int fd = h->end < 0 ? PQsocket(h->conn) : h->server;

		if (pg_wait_fd(fd, events, h->params->cancel_fd, deadline_ms, err) < 0 || step(h, &status, err) < 0)
			return -1;
	}
	return status == PGRES_POLLING_OK ? 0 : connect_err(h->params, h->conn, h->ssl, err);
}

int pg_handshake(PGconn *conn, const struct pg_params *params, int64_t deadline_ms, struct err *err)
{
	/* Without a password there is nothing to keep. */
	unsigned allowed = params->password ? params->allowed_auth : PG_AUTH_SCRAM | PG_AUTH_MD5 | PG_AUTH_CLEARTEXT;
	struct handshake h = {
		.conn = conn,
		.params = params,
		.watch = {.allowed = allowed ? allowed : PG_AUTH_SCRAM},
		.server = -1,
		.end = -1,
	};
	int r;

	h.socket = find_socket(&h);
	r = drive(&h, deadline_ms, err);
	close_ends(&h);
	SSL_free(h.ssl);
	return r;
}
