/* The replication side of Postgres: system identity, publications, logical slots, and the stream (streaming replication
 * protocol, CopyBoth). A connection, with what it streams, belongs to one thread.
 */
#ifndef PGSYNC_POSTGRES_REPLICATION_H
#define PGSYNC_POSTGRES_REPLICATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "postgres/catalog.h"
#include "postgres/pg.h"

/* --- Identity and slots (ordinary connections unless noted)
 * ------------------------------------------------------------- */
struct pg_system {
	char identifier[24]; /* pg_control_system().system_identifier, or IDENTIFY_SYSTEM */
	uint32_t timeline;
	uint64_t flush_lsn;
};
/* On a replication connection: IDENTIFY_SYSTEM. */
int pg_identify_system(struct pg *replication, struct pg_system *ret, struct err *err) WARN_UNUSED;
/* On a replication connection: the history of the server's timeline, as Postgres stores it; "" if it is the first one,
 * or if the server does not know. Caller frees. */
int pg_history_read(struct pg *replication, uint32_t server, char **ret, struct err *err) WARN_UNUSED;

/* Where a timeline began and ended. Numbers alone do not tell timelines apart: each server that is restored from the
 * same backup may begin one, and gives it the same number. */
struct pg_timeline {
	uint64_t begin; /* 0: it is the first one, or not known */
	uint64_t end;   /* 0: it has not ended, or it is not a part of the history */
};
/* In the history of the timeline `server`; pure. */
struct pg_timeline pg_history_find(const char *history, uint32_t server, uint32_t timeline);

enum pg_slot_state { PG_SLOT_ABSENT, PG_SLOT_INACTIVE, PG_SLOT_ACTIVE, PG_SLOT_LOST };

struct pg_slot {
	enum pg_slot_state state;
	int active_pid;
	bool logical_pgoutput; /* plugin pgoutput, of the current database */
	bool wal_unreserved;   /* wal_status unreserved: the next checkpoint may remove WAL that it needs */
	char invalidation[32]; /* why it is lost, such as wal_removed; "": it is not, or the server does not say */
	uint64_t confirmed_flush_lsn, restart_lsn;
	uint64_t retained_bytes; /* WAL kept because of this slot */
	int64_t safe_wal_size;   /* bytes until it may be lost; -1: no limit */
	uint64_t current_lsn;    /* the server's, at the same time */
};
int pg_slot_read(struct pg *pg, const char *name, struct pg_slot *ret, struct err *err) WARN_UNUSED;

/* The slot to create, and what to do while old transactions have to end first. */
struct pg_new_slot {
	const char *name;
	bool failover; /* the flag of PG 17, ignored before */
	struct pg_waiting waiting;
};
/* On a replication connection: creates a logical slot with pgoutput and no exported snapshot; waits for old
 * transactions to end (the cancel descriptor ends the wait). ret_lsn: the consistent point. CONFLICT/SlotConflict when
 * the name is taken; LIMIT/NoFreeSlot; INVALID/WalLevelNotLogical. */
int pg_slot_create(struct pg *replication, const struct pg_new_slot *slot, uint64_t *ret_lsn,
		   struct err *err) WARN_UNUSED;
/* PG 17: sets the slot's flag `failover`, on a replication connection; does nothing if it is set, or before. */
int pg_slot_set_failover(struct pg *replication, const char *name, struct err *err) WARN_UNUSED;
/* Ends the walsender that uses the slot (if any), waits for it, and drops the slot. Success if the slot does not exist.
 * CONFLICT/SlotActive if it is still in use after 10 s. */
int pg_slot_drop(struct pg *pg, const char *name, struct err *err) WARN_UNUSED;
/* Ends the walsender that uses the slot and waits until it is free. Success if it is free or does not exist. */
int pg_slot_release(struct pg *pg, const char *name, struct err *err) WARN_UNUSED;

/* A table, and the columns of it that are published, ascending; none: all. Before Postgres 15 it is always all. */
struct pg_published {
	const struct catalog_table *table;
	const int *columns;
	size_t n_columns;
};
struct pg_publication {
	const char *name;
	const char *comment; /* of a new one */
	const struct pg_published *tables;
	size_t n_tables;
};
/* Makes the publication contain exactly these tables (creates, adds, drops), publishing insert, update, delete,
 * truncate, and publish_via_partition_root, with these columns and without row filters.
 * *ret_only_columns: nothing else than the columns of some table was different; if the role may not change those, and
 * all that are needed are published, they stay. INVALID/PublicationConflict if it publishes all tables of the database
 * or of a schema; DENIED/PrivilegeMissing with the statements to run. */
int pg_publication_ensure(struct pg *pg, const struct pg_publication *publication, bool *ret_only_columns,
			  struct err *err) WARN_UNUSED;
/* Whether the publication is as pg_publication_ensure would make it, or only publishes more columns. Same error if it
 * publishes all tables. *ret_sql: NULL, or the statements that would make it so; the caller frees it. */
int pg_publication_fits(struct pg *pg, const struct pg_publication *publication, char **ret_sql,
			struct err *err) WARN_UNUSED;
/* The comment on the publication; NULL: it has none, or does not exist. Caller frees. */
int pg_publication_comment(struct pg *pg, const char *name, bool *ret_exists, char **ret, struct err *err) WARN_UNUSED;
/* Only the owner may. It does not change the fingerprint. */
int pg_publication_set_comment(struct pg *pg, const char *name, const char *comment, struct err *err) WARN_UNUSED;
/* Publishes all columns of every table of the publication, if it exists. */
int pg_publication_widen(struct pg *pg, const char *name, struct err *err) WARN_UNUSED;
/* Identifies the current state of the publication. Any ALTER changes it, even one that is undone later, because WAL
 * written in between is decoded with the definition of that time. NULL: the publication does not exist. Caller frees.
 */
int pg_publication_fingerprint(struct pg *pg, const char *name, char **ret, struct err *err) WARN_UNUSED;
/* True if two fingerprints belong to the same publication, altered or not. False if it was dropped and created again:
 * it cannot decode the WAL from before. */
bool pg_publication_same(const char *fingerprint, const char *other);
int pg_publication_drop(struct pg *pg, const char *name, struct err *err) WARN_UNUSED;

/* --- The stream
 * ---------------------------------------------------------------------------------------------------------- */
struct pg_stream; /* the receiving end of a walsender; belongs to one thread */

/* START_REPLICATION from the slot's position, protocol version 1, on a replication connection that the stream takes
 * over (also on failure). CONFLICT/SlotActive when another walsender holds the slot; NOT_FOUND/SlotLost when there is
 * none, INVALID/SlotLost when it lost its WAL. */
int pg_stream_open_take(struct pg *replication, const char *slot, const char *publication, struct pg_stream **ret,
			struct err *err) WARN_UNUSED;
void pg_stream_close(struct pg_stream *stream);
CLEANUP(struct pg_stream, pg_stream_close);
int pg_stream_fd(const struct pg_stream *stream);

enum pg_event_type {
	PG_EVENT_DATA,      /* data/len: one pgoutput message, valid until the next read */
	PG_EVENT_KEEPALIVE, /* wal_end: everything below was sent or is not relevant */
};
struct pg_event {
	enum pg_event_type type;
	const char *data;
	size_t len;
	uint64_t wal_start; /* DATA */
	uint64_t wal_end;   /* the server's end of WAL */
	bool reply_requested;
};
enum { PG_STREAM_AGAIN = 1 };
/* Reads one event without blocking: 0, or PG_STREAM_AGAIN (poll pg_stream_fd, then call again). TRANSIENT/StreamEnded
 * when the connection or the walsender ended; CONFLICT/SlotTaken when it was ended by an administrator's command
 * (57P01); INVALID/PublicationMissing (before PG 18, which publishes nothing then); INVALID/SlotLost;
 * LIMIT/MessageTooLarge when the server cannot send a change. A message is as large as the row in it: up to 1 GB. After
 * an error the stream is over. */
int pg_stream_read(struct pg_stream *stream, struct pg_event *ret, struct err *err) WARN_UNUSED;
/* Sends a standby status update, without blocking. flushed: everything below is durable on our side, so the server may
 * discard it. A server that shuts down waits until all it sent is flushed (or for wal_sender_timeout), so answer
 * reply_requested at once. Send one every PG_STREAM_FEEDBACK_MS even when nothing changed: a walsender that just ran
 * out of WAL can sleep through the next commit's wake-up (seen with 17 and 18: one in 2,000 lone commits) and then
 * delivers it after half of wal_sender_timeout, 30 s by default; any message from us makes it check again. */
enum { PG_STREAM_FEEDBACK_MS = 200 };
/* request_reply: the server answers with a keepalive, which says how far it has read. While an earlier update waits for
 * room in the socket, this one is left out. */
int pg_stream_feedback(struct pg_stream *stream, uint64_t received, uint64_t flushed, bool request_reply,
		       struct err *err) WARN_UNUSED;

/* --- Visibility
 * ------------------------------------------------------------------------------------------------------- */
/* In the current transaction's snapshot (REPEATABLE READ): how many of the n transactions are visible before the first
 * that is not (32-bit xids in commit order, the epoch is added here; 0 means none and counts as visible). The walsender
 * can deliver a commit before other sessions see it. */
struct pg_visible {
	size_t n;
	uint64_t horizon; /* the snapshot contains nothing from beyond this position */
};
int pg_visible_prefix(struct pg *pg, const uint32_t *xids, size_t n, struct pg_visible *ret,
		      struct err *err) WARN_UNUSED;

/* Raises a horizon, which several threads may do at once. */
void pg_horizon_saw(_Atomic uint64_t *horizon, uint64_t lsn);
/* Raises it to the server's position, flushed or not: everything that a session has seen until now is before it. */
int pg_horizon_raise(struct pg *pg, _Atomic uint64_t *horizon, struct err *err) WARN_UNUSED;
/* How far a standby has replayed the primary's WAL: whatever committed before that is in every snapshot opened later.
 */
int pg_replayed_lsn(struct pg *pg, uint64_t *ret, struct err *err) WARN_UNUSED;
/* The server's position, as far as it is flushed; a standby's, as far as it is replayed. */
int pg_flush_lsn(struct pg *pg, uint64_t *ret, struct err *err) WARN_UNUSED;

#endif
