/* The walsender (manual, "Streaming Replication Protocol" and "Logical Replication Message Formats"). */
#include "fakes/postgres_int.h"

#include <endian.h>
#include <sys/socket.h>

#include "base/clock.h"

enum { STATUS_BYTES = 1 + 8 + 8 + 8 + 8 + 1 };

/* --- from the client --- */

static uint64_t get64(const char *data)
{
	uint64_t value;

	memcpy(&value, data, sizeof(value));
	return be64toh(value);
}

void fake_walsender_receive(struct fake_session *s, const char *data, size_t len)
{
	struct fake_feedback *feedback = &s->server->feedback;

	if (len < STATUS_BYTES || data[0] != 'r')
		return;
	feedback->received = get64(data + 1);
	feedback->flushed = get64(data + 9);
	feedback->asks = data[33] == 1;
	feedback->count++;
	(void)pthread_cond_broadcast(&s->server->changed);
}

struct fake_feedback fake_wal_feedback(struct fake_postgres *server)
{
	struct fake_feedback feedback;

	(void)pthread_mutex_lock(&server->lock);
	feedback = server->feedback;
	(void)pthread_mutex_unlock(&server->lock);
	return feedback;
}

bool fake_wal_flushed(struct fake_postgres *server, uint64_t lsn)
{
	int64_t start_ms = clock_now_ms();
	bool flushed;

	(void)pthread_mutex_lock(&server->lock);
	while (server->feedback.flushed < lsn && fake_wait(&server->changed, &server->lock, start_ms))
		;
	flushed = server->feedback.flushed >= lsn;
	(void)pthread_mutex_unlock(&server->lock);
	return flushed;
}

bool fake_wal_updates(struct fake_postgres *server, struct fake_feedback since, unsigned n)
{
	int64_t start_ms = clock_now_ms();
	bool came;

	(void)pthread_mutex_lock(&server->lock);
	while (server->feedback.count < since.count + n && fake_wait(&server->changed, &server->lock, start_ms))
		;
	came = server->feedback.count >= since.count + n;
	(void)pthread_mutex_unlock(&server->lock);
	return came;
}

/* --- to the client --- */

/* Sends the buffer and releases it. */
static bool send_take(struct fake_postgres *server, struct strbuf *messages)
{
	int64_t start_ms = clock_now_ms();
	bool streams;

	(void)pthread_mutex_lock(&server->lock);
	while (!server->walsender && fake_wait(&server->changed, &server->lock, start_ms))
		;
	streams = server->walsender;
	if (streams)
		fake_send(server->walsender->fd, messages);
	(void)pthread_mutex_unlock(&server->lock);
	strbuf_release(messages);
	return streams;
}

static bool send_copy_take(struct fake_postgres *server, struct strbuf *body)
{
	struct strbuf message;

	strbuf_init(&message, FAKE_MESSAGE_BYTES);
	fake_put_message(&message, 'd', body);
	strbuf_release(body);
	return send_take(server, &message);
}

/* XLogData; its position does not matter in a logical stream. */
static void begin_data(struct strbuf *sb)
{
	strbuf_init(sb, FAKE_MESSAGE_BYTES);
	strbuf_addc(sb, 'w');
	fake_put64(sb, 0);
	fake_put64(sb, 0);
	fake_put64(sb, 0);
}

bool fake_wal_begin(struct fake_postgres *server, uint32_t xid, uint64_t commit_lsn)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'B');
	fake_put64(&sb, commit_lsn);
	fake_put64(&sb, 0);
	fake_put32(&sb, xid);
	return send_copy_take(server, &sb);
}

bool fake_wal_commit(struct fake_postgres *server, uint64_t commit_lsn, uint64_t end_lsn)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'C');
	strbuf_addc(&sb, '\0');
	fake_put64(&sb, commit_lsn);
	fake_put64(&sb, end_lsn);
	fake_put64(&sb, 0);
	return send_copy_take(server, &sb);
}

bool fake_wal_relation(struct fake_postgres *server, const struct fake_relation *relation)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'R');
	fake_put32(&sb, relation->oid);
	fake_put_text(&sb, relation->schema);
	fake_put_text(&sb, relation->name);
	strbuf_addc(&sb, relation->replica_identity);
	fake_put16(&sb, relation->n);
	for (uint16_t i = 0; i < relation->n; i++) {
		strbuf_addc(&sb, relation->columns[i].key ? '\1' : '\0');
		fake_put_text(&sb, relation->columns[i].name);
		fake_put32(&sb, relation->columns[i].type_oid);
		fake_put32(&sb, UINT32_MAX);
	}
	return send_copy_take(server, &sb);
}

static void put_row(struct strbuf *sb, const char *const *values, uint16_t n)
{
	fake_put16(sb, n);
	for (uint16_t i = 0; i < n; i++) {
		strbuf_addc(sb, values[i] ? 't' : 'n');
		if (!values[i])
			continue;
		fake_put32(sb, (uint32_t)strlen(values[i]));
		strbuf_adds(sb, values[i]);
	}
}

bool fake_wal_insert(struct fake_postgres *server, uint32_t oid, const char *const *values, uint16_t n)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'I');
	fake_put32(&sb, oid);
	strbuf_addc(&sb, 'N');
	put_row(&sb, values, n);
	return send_copy_take(server, &sb);
}

bool fake_wal_delete(struct fake_postgres *server, uint32_t oid, const char *const *key, uint16_t n)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'D');
	fake_put32(&sb, oid);
	strbuf_addc(&sb, 'K');
	put_row(&sb, key, n);
	return send_copy_take(server, &sb);
}

bool fake_wal_truncate(struct fake_postgres *server, uint32_t oid)
{
	struct strbuf sb;

	begin_data(&sb);
	strbuf_addc(&sb, 'T');
	fake_put32(&sb, 1);
	strbuf_addc(&sb, '\0');
	fake_put32(&sb, oid);
	return send_copy_take(server, &sb);
}

bool fake_wal_keepalive(struct fake_postgres *server, uint64_t end_lsn, bool reply_requested)
{
	struct strbuf sb;

	strbuf_init(&sb, FAKE_MESSAGE_BYTES);
	strbuf_addc(&sb, 'k');
	fake_put64(&sb, end_lsn);
	fake_put64(&sb, 0);
	strbuf_addc(&sb, reply_requested ? '\1' : '\0');
	return send_copy_take(server, &sb);
}

bool fake_wal_fail(struct fake_postgres *server, const char *sqlstate, const char *message)
{
	struct strbuf sb;

	strbuf_init(&sb, FAKE_MESSAGE_BYTES);
	fake_put_error(&sb, sqlstate, message);
	return send_take(server, &sb);
}
