/* The Postgres server: connections and statements (manual, "Message Formats"). */
#include "fakes/postgres_int.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { VERSION_3 = 196608, CANCEL_REQUEST = 80877102, SSL_REQUEST = 80877103, GSS_REQUEST = 80877104, TEXT_OID = 25 };

/* --- writing --- */

void fake_put16(struct strbuf *sb, uint16_t value)
{
	value = htobe16(value);
	strbuf_add(sb, &value, sizeof(value));
}

void fake_put32(struct strbuf *sb, uint32_t value)
{
	value = htobe32(value);
	strbuf_add(sb, &value, sizeof(value));
}

void fake_put64(struct strbuf *sb, uint64_t value)
{
	value = htobe64(value);
	strbuf_add(sb, &value, sizeof(value));
}

void fake_put_text(struct strbuf *sb, const char *text)
{
	strbuf_add(sb, text, strlen(text) + 1);
}

void fake_put_message(struct strbuf *sb, char type, const struct strbuf *body)
{
	strbuf_addc(sb, type);
	fake_put32(sb, (uint32_t)body->len + 4);
	strbuf_add(sb, body->data, body->len);
}

static void put_empty(struct strbuf *sb, char type)
{
	strbuf_addc(sb, type);
	fake_put32(sb, 4);
}

static void put_short(struct strbuf *sb, char type, const char *text)
{
	strbuf_addc(sb, type);
	fake_put32(sb, (uint32_t)strlen(text) + 5);
	fake_put_text(sb, text);
}

void fake_put_error(struct strbuf *sb, const char *sqlstate, const char *message)
{
	struct strbuf body;

	strbuf_init(&body, FAKE_MESSAGE_BYTES);
	strbuf_addc(&body, 'S');
	fake_put_text(&body, "ERROR");
	strbuf_addc(&body, 'V');
	fake_put_text(&body, "ERROR");
	strbuf_addc(&body, 'C');
	fake_put_text(&body, sqlstate);
	strbuf_addc(&body, 'M');
	fake_put_text(&body, message);
	strbuf_addc(&body, '\0');
	fake_put_message(sb, 'E', &body);
	strbuf_release(&body);
}

static void put_ready_for_query(struct fake_session *s)
{
	strbuf_addc(&s->out, 'Z');
	fake_put32(&s->out, 5);
	strbuf_addc(&s->out, s->status);
}

static void put_parameter(struct strbuf *sb, const char *name, const char *value)
{
	strbuf_addc(sb, 'S');
	fake_put32(sb, (uint32_t)(strlen(name) + strlen(value)) + 6);
	fake_put_text(sb, name);
	fake_put_text(sb, value);
}

static void put_columns(struct strbuf *sb, size_t n)
{
	struct strbuf body;

	strbuf_init(&body, FAKE_MESSAGE_BYTES);
	fake_put16(&body, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		fake_put_text(&body, "c");
		fake_put32(&body, 0);
		fake_put16(&body, 0);
		fake_put32(&body, TEXT_OID);
		fake_put16(&body, UINT16_MAX);
		fake_put32(&body, UINT32_MAX);
		fake_put16(&body, 0);
	}
	fake_put_message(sb, 'T', &body);
	strbuf_release(&body);
}

void fake_send(int fd, const struct strbuf *sb)
{
	for (size_t done = 0; done < sb->len;) {
		ssize_t n = send(fd, sb->data + done, sb->len - done, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

static void flush_replies(struct fake_session *s)
{
	fake_send(s->fd, &s->out);
	strbuf_reset(&s->out);
}

/* --- results --- */

void fake_result_row(struct fake_result *result, const char *const *values, size_t n)
{
	struct strbuf body;

	strbuf_init(&body, FAKE_MESSAGE_BYTES);
	fake_put16(&body, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		fake_put32(&body, values[i] ? (uint32_t)strlen(values[i]) : UINT32_MAX);
		strbuf_adds(&body, values[i] ? values[i] : "");
	}
	fake_put_message(&result->rows, 'D', &body);
	strbuf_release(&body);
	result->n_columns = n;
}

void fake_result_fail(struct fake_result *result, const char *sqlstate, const char *message)
{
	result->sqlstate = sqlstate;
	result->message = message;
}

static bool begins(const char *sql, const char *word)
{
	return strncmp(sql, word, strlen(word)) == 0;
}

static void follow_transaction(struct fake_session *s, const char *sql)
{
	if (begins(sql, "BEGIN") || begins(sql, "ROLLBACK TO"))
		s->status = 'T';
	else if (begins(sql, "COMMIT") || begins(sql, "ROLLBACK"))
		s->status = 'I';
}

/* The default answer of a walsender. */
static void answer_command(const struct fake_query *q, struct fake_result *result)
{
	if (begins(q->sql, "IDENTIFY_SYSTEM"))
		FAKE_ROW(result, "7000000000000000001", "1", "0/1000", "db");
	else if (begins(q->sql, "CREATE_REPLICATION_SLOT"))
		FAKE_ROW(result, "slot", "0/1000", NULL, "pgoutput");
}

static bool begin_stream(struct fake_session *s)
{
	strbuf_addc(&s->out, 'W');
	fake_put32(&s->out, 7);
	strbuf_addc(&s->out, '\0');
	fake_put16(&s->out, 0);
	flush_replies(s);
	s->streams = true;
	s->server->walsender = s;
	(void)pthread_cond_broadcast(&s->server->changed);
	return true;
}

static void put_result(struct fake_session *s, const struct fake_query *q, const struct fake_result *result)
{
	put_columns(&s->out, result->n_columns);
	strbuf_add(&s->out, result->rows.data, result->rows.len);
	if (result->sqlstate) {
		fake_put_error(&s->out, result->sqlstate, result->message);
		s->status = s->status == 'I' ? 'I' : 'E';
		s->skips = true;
		return;
	}
	follow_transaction(s, q->sql);
	put_short(&s->out, 'C', "SELECT 1");
}

/* Runs a statement; true when it began the stream. */
static bool run_statement(struct fake_session *s, const struct fake_query *q)
{
	struct fake_postgres *server = s->server;
	struct fake_result result = {0};
	bool streams;

	strbuf_init(&result.rows, FAKE_MESSAGE_BYTES);
	(void)pthread_mutex_lock(&server->lock);
	server->answer(server->user, q, &result);
	if (q->replication && !result.n_columns && !result.sqlstate)
		answer_command(q, &result);
	streams = q->replication && begins(q->sql, "START_REPLICATION") && !result.sqlstate;
	if (streams)
		begin_stream(s);
	else
		put_result(s, q, &result);
	(void)pthread_mutex_unlock(&server->lock);
	strbuf_release(&result.rows);
	return streams;
}

/* --- messages --- */

static uint32_t get32(const char *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return be32toh(value);
}

static uint16_t get16(const char *data)
{
	uint16_t value;

	memcpy(&value, data, sizeof(value));
	return be16toh(value);
}

static void on_query(struct fake_session *s, const char *sql)
{
	const struct fake_query q = {.application = s->application, .replication = s->replication, .sql = sql};

	if (run_statement(s, &q))
		return;
	s->skips = false;
	put_ready_for_query(s);
	flush_replies(s);
}

static void on_parse(struct fake_session *s, const char *name)
{
	const char *sql = name + strlen(name) + 1;

	s->prepared = xreallocarray(s->prepared, s->n_prepared + 2, sizeof(*s->prepared));
	s->prepared[s->n_prepared++] = xstrdup(name);
	s->prepared[s->n_prepared++] = xstrdup(sql);
	put_empty(&s->out, '1');
}

static void unbind(struct fake_session *s)
{
	free(s->sql);
	s->sql = NULL;
	for (size_t i = 0; i < s->n_params; i++)
		free(s->params[i]);
	s->n_params = 0;
}

static void on_bind(struct fake_session *s, const char *at)
{
	const char *name = at + strlen(at) + 1;
	size_t n;

	unbind(s);
	/* The newest statement of that name: the unnamed one is replaced all the time. */
	for (size_t i = 0; i < s->n_prepared; i += 2) {
		if (strcmp(s->prepared[i], name) != 0)
			continue;
		free(s->sql);
		s->sql = xstrdup(s->prepared[i + 1]);
	}
	at = name + strlen(name) + 1;
	at += 2 + 2 * (size_t)get16(at); /* formats: text */
	n = get16(at);
	at += 2;
	for (size_t i = 0; i < n && i < FAKE_PARAMS; i++) {
		uint32_t len = get32(at);

		at += 4;
		s->params[s->n_params++] = len == UINT32_MAX ? NULL : xstrndup(at, len);
		at += len == UINT32_MAX ? 0 : len;
	}
	put_empty(&s->out, '2');
}

static void on_execute(struct fake_session *s)
{
	struct fake_query q = {.application = s->application, .sql = s->sql ? s->sql : "", .n_params = s->n_params};

	for (size_t i = 0; i < s->n_params; i++)
		q.params[i] = s->params[i];
	(void)run_statement(s, &q);
}

static void on_copy_data(struct fake_session *s, const char *data, size_t len)
{
	(void)pthread_mutex_lock(&s->server->lock);
	fake_walsender_receive(s, data, len);
	(void)pthread_mutex_unlock(&s->server->lock);
}

/* False: the client ends the session. */
static bool answer_message(struct fake_session *s, char type, const char *body, size_t len)
{
	if (s->skips && type != 'S' && type != 'X')
		return true;
	switch (type) {
	case 'Q':
		on_query(s, body);
		break;
	case 'P':
		on_parse(s, body);
		break;
	case 'B':
		on_bind(s, body);
		break;
	case 'E': /* Describe came before: the columns are sent with the rows. */
		on_execute(s);
		break;
	case 'S':
		s->skips = false;
		put_ready_for_query(s);
		flush_replies(s);
		break;
	case 'd':
		on_copy_data(s, body, len);
		break;
	case 'X':
		return false;
	default:
		break;
	}
	return true;
}

/* --- connections --- */

static bool read_exactly(int fd, struct strbuf *to, size_t n)
{
	char *at;

	strbuf_reset(to);
	at = strbuf_reserve(to, n);
	for (size_t done = 0; done < n;) {
		ssize_t got = recv(fd, at + done, n - done, 0);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	to->len = n;
	at[n] = '\0';
	return true;
}

/* The length comes first, and counts itself. */
static bool read_body(struct fake_session *s)
{
	uint32_t len;

	if (!read_exactly(s->fd, &s->in, 4))
		return false;
	len = get32(s->in.data);
	return len >= 4 && len <= FAKE_MESSAGE_BYTES && read_exactly(s->fd, &s->in, len - 4);
}

static void take_parameters(struct fake_session *s)
{
	const char *at = s->in.data + 4, *end = s->in.data + s->in.len;

	while (at < end && *at) {
		const char *value = at + strlen(at) + 1;

		if (!strcmp(at, "application_name"))
			(void)snprintf(s->application, sizeof(s->application), "%s", value);
		s->replication = s->replication || !strcmp(at, "replication");
		at = value + strlen(value) + 1;
	}
}

static void welcome(struct fake_session *s)
{
	strbuf_addc(&s->out, 'R');
	fake_put32(&s->out, 8);
	fake_put32(&s->out, 0);
	put_parameter(&s->out, "server_version", "17.2");
	put_parameter(&s->out, "server_encoding", "UTF8");
	put_parameter(&s->out, "client_encoding", "UTF8");
	put_parameter(&s->out, "standard_conforming_strings", "on");
	put_parameter(&s->out, "integer_datetimes", "on");
	put_parameter(&s->out, "in_hot_standby", atomic_load(&s->server->standby) ? "on" : "off");
	strbuf_addc(&s->out, 'K');
	fake_put32(&s->out, 12);
	fake_put32(&s->out, s->pid);
	fake_put32(&s->out, s->pid * 7);
	put_ready_for_query(s);
	flush_replies(s);
}

/* False if it was a cancel request, not a session. */
static bool start_up(struct fake_session *s)
{
	while (read_body(s) && s->in.len >= 4) {
		uint32_t code = get32(s->in.data);

		if (code == SSL_REQUEST || code == GSS_REQUEST) {
			(void)!send(s->fd, "N", 1, MSG_NOSIGNAL);
		} else if (code == VERSION_3) {
			take_parameters(s);
			welcome(s);
			return true;
		} else {
			(void)pthread_mutex_lock(&s->server->lock);
			s->server->cancels += code == CANCEL_REQUEST;
			(void)pthread_mutex_unlock(&s->server->lock);
			break;
		}
	}
	return false;
}

static void *run_session(void *user)
{
	struct fake_session *s = user;
	struct fake_postgres *server = s->server;

	if (start_up(s)) {
		char type;

		while (recv(s->fd, &type, 1, 0) == 1 && read_body(s) && answer_message(s, type, s->in.data, s->in.len))
			;
	}
	(void)pthread_mutex_lock(&server->lock);
	if (server->walsender == s)
		server->walsender = NULL;
	(void)pthread_mutex_unlock(&server->lock);
	(void)shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static void *run_server(void *user)
{
	struct fake_postgres *server = user;
	int fd, on = 1;

	while (server->n_sessions < FAKE_SESSIONS && (fd = accept(server->fd, NULL, NULL)) >= 0) {
		struct fake_session *s = &server->sessions[server->n_sessions++];

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		*s = (struct fake_session){.server = server, .fd = fd, .pid = 1000 + server->n_sessions, .status = 'I'};
		strbuf_init(&s->in, FAKE_MESSAGE_BYTES);
		strbuf_init(&s->out, FAKE_MESSAGE_BYTES);
		(void)pthread_create(&s->thread, NULL, run_session, s);
	}
	return NULL;
}

struct fake_postgres *fake_postgres_start(fake_query_fn *answer, void *user)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct fake_postgres *server = xcalloc(1, sizeof(*server));

	server->answer = answer;
	server->user = user;
	(void)pthread_mutex_init(&server->lock, NULL);
	(void)pthread_cond_init(&server->changed, NULL);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server->fd, (struct sockaddr *)&address, len) < 0 || listen(server->fd, 16) < 0 ||
	    getsockname(server->fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	server->port = ntohs(address.sin_port);
	(void)pthread_create(&server->thread, NULL, run_server, server);
	return server;
}

void fake_postgres_stop(struct fake_postgres *server)
{
	(void)shutdown(server->fd, SHUT_RDWR);
	(void)pthread_join(server->thread, NULL);
	for (unsigned i = 0; i < server->n_sessions; i++) {
		struct fake_session *s = &server->sessions[i];

		(void)shutdown(s->fd, SHUT_RDWR);
		(void)pthread_join(s->thread, NULL);
		(void)close(s->fd);
		unbind(s);
		free_strings(s->prepared, s->n_prepared);
		strbuf_release(&s->in);
		strbuf_release(&s->out);
	}
	(void)close(server->fd);
	(void)pthread_mutex_destroy(&server->lock);
	(void)pthread_cond_destroy(&server->changed);
	free(server);
}

void fake_postgres_be_standby(struct fake_postgres *server)
{
	atomic_store(&server->standby, true);
}

int fake_postgres_port(const struct fake_postgres *server)
{
	return server->port;
}

pthread_mutex_t *fake_postgres_lock(struct fake_postgres *server)
{
	return &server->lock;
}

unsigned fake_postgres_cancels(struct fake_postgres *server)
{
	unsigned cancels;

	(void)pthread_mutex_lock(&server->lock);
	cancels = server->cancels;
	(void)pthread_mutex_unlock(&server->lock);
	return cancels;
}
