/* From the replication stream to the open batch. */
#include "sync/wal_reader_int.h"

#include "base/log.h"
#include "base/parse.h"
#include "postgres/pgoutput.h"

enum {
	TURN_EVENTS = 2000, /* before timers and the applier are checked again */
	LARGE_BYTES = 64 * 1024 * 1024,
};

/* Positions become versions of documents. An engine takes no larger one, and an older one loses against what is in the
 * index. */
static int check_position(uint64_t lsn, uint64_t least, struct err *err)
{
	if (lsn < least)
		return err_set(err, ERR_FATAL, "the stream goes back from " LSN_FMT " to " LSN_FMT, LSN_ARGS(least),
			       LSN_ARGS(lsn));
	if (lsn > INT64_MAX - BATCH_WITHIN_COMMIT)
		return err_set(err, ERR_FATAL, "the stream is at " LSN_FMT ", a position that no server reaches",
			       LSN_ARGS(lsn));
	return 0;
}

static int on_begin(struct wal_reader *in, const struct pgoutput_message *m, struct err *err)
{
	if (in->in_txn)
		return err_set(err, ERR_FATAL, "the stream begins a transaction within another one");
	/* Transactions arrive in the order of their commits, and keepalives only say what was sent. */
	if (check_position(m->lsn, in->received, err) < 0)
		return -1;
	if (!landmarks_pass(in->landmarks, &(struct checkpoint_landmark){m->lsn, m->xid, m->time_us}))
		return 0;
	in->in_txn = true;
	in->txn = (struct batch_txn){.xid = m->xid, .lsn = m->lsn, .commit_us = m->time_us};
	batch_begin(in->open, m->xid, m->lsn, m->time_us);
	return 0;
}

static int on_commit(struct wal_reader *in, const struct pgoutput_message *m, struct err *err)
{
	if (!in->in_txn)
		return err_set(err, ERR_FATAL, "the stream ends a transaction that it did not begin");
	if (m->end_lsn < in->txn.lsn + BATCH_WITHIN_COMMIT)
		return err_set(err, ERR_FATAL, "the stream ends a transaction before its commit, at " LSN_FMT,
			       LSN_ARGS(m->end_lsn));
	if (check_position(m->end_lsn, 0, err) < 0)
		return -1;
	batch_commit(in->open, m->end_lsn);
	in->in_txn = false;
	in->received = m->end_lsn;
	meters_transaction(in->metrics);
	/* It contains none of our tables, nor does anything before it: once the applier is done, `received` is the
	 * position. */
	if (!in->open->keys.n)
		batch_reset(in->open);
	return 0;
}

/* The catalog that the plans were made from and the relation as the WAL describes it. */
static bool same_columns(const struct catalog_table *table, const struct pgoutput_relation *relation)
{
	for (uint16_t i = 0; i < relation->n; i++) {
		int column = catalog_column(table, relation->columns[i].name);

		if (column < 0 || table->columns[column].type_oid != relation->columns[i].type_oid)
			return false;
	}
	return relation->n <= table->n_columns;
}

static int on_relation(struct wal_reader *in, const struct pgoutput_message *m)
{
	const struct catalog_table *table = catalog_find_oid(in->model->catalog, m->relation->oid);
	bool covered = collector_relation(in->collector, m->relation);

	if (table && (!covered || !same_columns(table, m->relation)))
		in->doubts++;
	return 0;
}

static const char *operation(const struct pgoutput_message *m)
{
	switch (m->type) {
	case PGOUTPUT_INSERT:
		return "insert";
	case PGOUTPUT_UPDATE:
		return "update";
	case PGOUTPUT_DELETE:
		return "delete";
	default:
		return "truncate";
	}
}

static int on_change(struct wal_reader *in, const struct pgoutput_message *m, struct err *err)
{
	if (!in->in_txn)
		return err_set(err, ERR_FATAL, "the stream contains a change outside a transaction");
	meters_change(in->metrics, operation(m));
	return collector_change(in->collector, m, in->open, err);
}

/* libpq holds the whole of it. */
static void warn_large(const struct pgoutput_message *m, size_t len)
{
	if (len > LARGE_BYTES && m->relation)
		log_warn("sync", "a large change: the worker's memory grows to hold it",
			 KV_STR("schema", m->relation->schema), KV_STR("table", m->relation->name),
			 KV_U64("bytes", len));
}

static int on_data(struct wal_reader *in, const struct pg_event *event, struct err *err)
{
	struct pgoutput_message m;

	if (pgoutput_decode(in->decoder, event->data, event->len, &m, err) < 0)
		return err_wrap(err, "decoding the stream");
	warn_large(&m, event->len);
	switch (m.type) {
	case PGOUTPUT_BEGIN:
		return on_begin(in, &m, err);
	case PGOUTPUT_COMMIT:
		return on_commit(in, &m, err);
	case PGOUTPUT_RELATION:
		return on_relation(in, &m);
	case PGOUTPUT_INSERT:
	case PGOUTPUT_UPDATE:
	case PGOUTPUT_DELETE:
	case PGOUTPUT_TRUNCATE:
		return on_change(in, &m, err);
	case PGOUTPUT_TYPE:
	case PGOUTPUT_ORIGIN:
	case PGOUTPUT_MESSAGE:
		break;
	}
	return 0;
}

static int on_keepalive(struct wal_reader *in, const struct pg_event *event, struct err *err)
{
	if (check_position(event->wal_end, 0, err) < 0)
		return -1;
	in->reply_requested = in->reply_requested || event->reply_requested;
	if (!in->in_txn && event->wal_end > in->received && landmarks_reach(in->landmarks, event->wal_end))
		in->received = event->wal_end;
	return 0;
}

int wal_reader_read(struct wal_reader *in, struct err *err)
{
	for (int i = 0; i < TURN_EVENTS && !batch_full(in->open) && !in->landmarks->missed; i++) {
		struct pg_event event;
		int r = pg_stream_read(in->wal, &event, err);

		if (r)
			return r;
		if ((event.type == PG_EVENT_KEEPALIVE ? on_keepalive(in, &event, err) : on_data(in, &event, err)) < 0)
			return -1;
	}
	return 0;
}

void wal_reader_continue(struct wal_reader *in)
{
	if (in->in_txn)
		batch_begin(in->open, in->txn.xid, in->txn.lsn, in->txn.commit_us);
}

int wal_reader_open_take(struct wal_reader *in, const struct model *model, struct run *run, struct pg *replication,
			 struct err *err)
{
	const struct spec_source *source = &run->spec->source;

	*in = (struct wal_reader){.model = model, .metrics = run->metrics, .landmarks = &run->landmarks};
	if (pg_stream_open_take(replication, source->slot_name, source->publication_name, &in->wal, err) < 0)
		return err_wrap(err, "starting the stream");
	in->decoder = pgoutput_new();
	in->collector = collector_new(&model->targets);
	in->open = batch_new();
	return 0;
}

void wal_reader_close(struct wal_reader *in)
{
	collector_free(in->collector);
	pgoutput_free(in->decoder);
	batch_free(in->open);
	pg_stream_close(in->wal);
}
