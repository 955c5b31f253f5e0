/* The stream of a logical slot (manual, "Streaming Replication Protocol"). */
#include <endian.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/failpoint.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

enum {
	STATUS_BYTES = 1 + 8 + 8 + 8 + 8 + 1,
};

/* Seconds from 1970 to 2000, Postgres's epoch. */
#define EPOCH_US (INT64_C(946684800) * 1000000)

struct pg_stream {
	struct pg *pg;
	char *slot;
	char *message; /* of the last event; libpq's memory */
	bool flush;    /* feedback waits for room in the socket */
};

static int explain_open(struct err *err)
{
	if (pg_is_sqlstate(err, "55006")) {
		err->kind = ERR_CONFLICT;
		err->reason = REASON_SLOT_ACTIVE;
	} else if (pg_is_sqlstate(err, "42704")) {
		err->kind = ERR_NOT_FOUND;
		err->reason = REASON_SLOT_LOST;
	} else if (pg_is_sqlstate(err, "55000") || pg_is_sqlstate(err, "58P01")) {
		err->kind = ERR_INVALID;
		err->reason = REASON_SLOT_LOST;
	}
	return -1;
}

static int start_replication(struct pg *pg, const char *sql, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_usable(pg, err) < 0)
		return -1;
	if (!PQsendQuery(pg->conn, sql))
		return pg_err_conn(pg->conn, err);
	if (pg_flush(pg, err) < 0 || pg_next_result(pg, -1, &r, err) < 0)
		return -1;
	if (PQresultStatus(r) == PGRES_COPY_BOTH)
		return 0;
	(void)pg_err_result(r, err);
	return explain_open(err);
}

int pg_stream_open_take(struct pg *replication, const char *slot, const char *publication, struct pg_stream **ret,
			struct err *err)
{
	_cleanup_(pg_stream_closep) struct pg_stream *stream = xcalloc(1, sizeof(*stream));
	struct strbuf sql, list;
	int r;

	stream->pg = replication;
	stream->slot = xstrdup(slot);
	strbuf_init(&sql, PG_SQL_BYTES);
	strbuf_init(&list, PG_SQL_BYTES);
	/* The option's value is a list of identifiers. From 0/0 the server starts at the slot's position. */
	pg_quote_ident(&list, publication);
	strbuf_adds(&sql, "START_REPLICATION SLOT ");
	pg_quote_ident(&sql, slot);
	strbuf_adds(&sql, " LOGICAL 0/0 (proto_version '1', publication_names ");
	pg_quote_literal(&sql, list.data);
	strbuf_addc(&sql, ')');
	r = start_replication(replication, sql.data, err);
	strbuf_release(&sql);
	strbuf_release(&list);
	if (r < 0)
		return err_wrap(err, "starting the stream of replication slot \"%s\"", slot);
	*ret = TAKE_PTR(stream);
	return 0;
}

void pg_stream_close(struct pg_stream *stream)
{
	if (!stream)
		return;
	PQfreemem(stream->message);
	pg_close(stream->pg);
	free(stream->slot);
	free(stream);
}

int pg_stream_fd(const struct pg_stream *stream)
{
	return PQsocket(stream->pg->conn);
}

/* --- Reading -------------------------------------------------------------------------------------------------------
 */
static int explain_end(struct pg_stream *stream, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = PQgetResult(stream->pg->conn);

	if (r && PQresultStatus(r) == PGRES_FATAL_ERROR)
		(void)pg_err_result(r, err);
	else if (PQstatus(stream->pg->conn) == CONNECTION_BAD)
		(void)pg_err_conn(stream->pg->conn, err);
	else
		(void)err_set(err, ERR_TRANSIENT, "the server ended it");
	if (pg_is_sqlstate(err, "57P01")) {
		err->kind = ERR_CONFLICT;
		err->reason = REASON_SLOT_TAKEN;
	} else if (pg_is_sqlstate(err, "42704") || pg_is_sqlstate(err, "55000") || pg_is_sqlstate(err, "58P01")) {
		/* A publication that does not exist (any more), or a slot invalidated while it streamed. */
		err->kind = ERR_INVALID;
		err->reason = pg_is_sqlstate(err, "42704") ? REASON_PUBLICATION_MISSING : REASON_SLOT_LOST;
	} else if (strncmp(err->sqlstate, "54", 2) == 0) {
		err->reason = REASON_MESSAGE_TOO_LARGE;
		return err_wrap(err,
				"the server cannot send a change of more than 1 GB through replication slot \"%s\": to "
				"skip it, raise spec.resyncNonce; the index is then rebuilt with a new slot",
				stream->slot);
	} else if (err->kind == ERR_TRANSIENT) {
		err->reason = REASON_STREAM_ENDED;
	}
	return err_wrap(err, "the stream of replication slot \"%s\"", stream->slot);
}

/* Length of the next message in stream->message, 0 when there is none yet, -1 at the end. */
static int take_message(struct pg_stream *stream)
{
	PGconn *conn = stream->pg->conn;
	int len = PQgetCopyData(conn, &stream->message, 1);

	while (len == 0) {
		int alive = PQconsumeInput(conn);

		len = PQgetCopyData(conn, &stream->message, 1);
		if (len == 0 && !alive)
			return -1;
		/* Bytes that TLS has decrypted already do not make the socket readable. */
		if (len == 0 && !pg_tls_pending(conn))
			return 0;
	}
	return len;
}

static int decode_event(struct pg_stream *stream, size_t len, struct pg_event *ret, struct err *err)
{
	struct pg_event event = {.type = PG_EVENT_DATA};
	struct cursor r;
	uint64_t sent_at;
	uint8_t type = 0, reply = 0;

	cursor_init(&r, stream->message, len);
	if (!cursor_u8(&r, &type))
		goto malformed;
	if (type == 'w') {
		if (!cursor_u64(&r, &event.wal_start) || !cursor_u64(&r, &event.wal_end) || !cursor_u64(&r, &sent_at))
			goto malformed;
		event.data = r.data + r.pos;
		event.len = cursor_left(&r);
	} else if (type == 'k') {
		event.type = PG_EVENT_KEEPALIVE;
		if (!cursor_u64(&r, &event.wal_end) || !cursor_u64(&r, &sent_at) || !cursor_u8(&r, &reply))
			goto malformed;
		event.reply_requested = reply != 0;
	} else {
		return err_set(err, ERR_FATAL, "replication slot \"%s\": message type 0x%02x, expected 'w' or 'k'",
			       stream->slot, type);
	}
	*ret = event;
	return 0;
malformed:
	return err_set(err, ERR_FATAL, "replication slot \"%s\": a message of type 0x%02x ends after %zu bytes",
		       stream->slot, type, len);
}

/* Not PQflush while there is no room: then it reads, and keeps more than we take. */
static void flush_feedback(struct pg_stream *stream)
{
	struct pollfd fd = {.fd = pg_stream_fd(stream), .events = POLLOUT};

	if (stream->flush && poll(&fd, 1, 0) == 1)
		stream->flush = PQflush(stream->pg->conn) == 1;
}

int pg_stream_read(struct pg_stream *stream, struct pg_event *ret, struct err *err)
{
	int len;

	PQfreemem(stream->message);
	stream->message = NULL;
	flush_feedback(stream);
	len = take_message(stream);
	if (len == 0)
		return PG_STREAM_AGAIN;
	if (len < 0)
		return explain_end(stream, err);
	return decode_event(stream, (size_t)len, ret, err);
}

/* --- Feedback ------------------------------------------------------------------------------------------------------
 */
static char *put_u64(char *p, uint64_t value)
{
	value = htobe64(value);
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

int pg_stream_feedback(struct pg_stream *stream, uint64_t received, uint64_t flushed, bool request_reply,
		       struct err *err)
{
	PGconn *conn = stream->pg->conn;
	char status[STATUS_BYTES], *p = status;
	int r;

	/* The server does not read; libpq would keep every update. */
	flush_feedback(stream);
	if (stream->flush)
		return 0;
	*p++ = 'r';
	p = put_u64(p, received);
	p = put_u64(p, flushed);
	p = put_u64(p, flushed); /* applied: for us the same */
	p = put_u64(p, (uint64_t)(clock_wall_us() - EPOCH_US));
	*p = request_reply;
	r = PQputCopyData(conn, status, sizeof(status));
	if (r == 1)
		r = PQflush(conn);
	else
		r = -1;
	if (r < 0) {
		(void)pg_err_conn(conn, err);
		err->reason = REASON_STREAM_ENDED;
		return err_wrap(err, "sending feedback for replication slot \"%s\"", stream->slot);
	}
	stream->flush = r == 1;
	return FAILPOINT(ACKNOWLEDGED, err);
}
