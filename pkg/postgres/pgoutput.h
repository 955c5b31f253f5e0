/* Decoder of pgoutput, the logical replication plugin of Postgres (manual, "Logical Replication Message Formats").
 *
 * Pure: bytes in, one message out. Slices in a message point into the input. The relation cache is kept by the decoder
 * and renewed by each Relation message, so a change of a table's columns is seen before its rows. */
#ifndef PGSYNC_POSTGRES_PGOUTPUT_H
#define PGSYNC_POSTGRES_PGOUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { PGOUTPUT_COLUMNS = 1600 };

enum pgoutput_type {
	PGOUTPUT_BEGIN = 1,
	PGOUTPUT_COMMIT,
	PGOUTPUT_RELATION,
	PGOUTPUT_TYPE,
	PGOUTPUT_ORIGIN,
	PGOUTPUT_INSERT,
	PGOUTPUT_UPDATE,
	PGOUTPUT_DELETE,
	PGOUTPUT_TRUNCATE,
	PGOUTPUT_MESSAGE, /* pg_logical_emit_message */
};

struct pgoutput_column {
	char *name;
	bool key; /* part of the replica identity */
	uint32_t type_oid;
	int32_t typmod;
};

struct pgoutput_relation {
	uint32_t oid;
	char *schema, *name;
	char replica_identity; /* 'd', 'n', 'f', 'i' */
	struct pgoutput_column *columns;
	uint16_t n;
};

enum pgoutput_value_kind { PGOUTPUT_NULL, PGOUTPUT_UNCHANGED, PGOUTPUT_TEXT };

struct pgoutput_value {
	enum pgoutput_value_kind kind; /* UNCHANGED: a TOASTed value that was not sent */
	const char *data;
	uint32_t len;
};

enum pgoutput_old { PGOUTPUT_OLD_NONE, PGOUTPUT_OLD_KEY, PGOUTPUT_OLD_FULL };

struct pgoutput_message {
	enum pgoutput_type type;
	uint64_t lsn;     /* BEGIN: the commit record's LSN (final_lsn); COMMIT: the commit LSN; MESSAGE: its own */
	uint64_t end_lsn; /* COMMIT: end of the transaction */
	int64_t time_us;  /* BEGIN, COMMIT: commit time, microseconds since 1970 */
	uint32_t xid;     /* BEGIN */
	const struct pgoutput_relation *relation; /* RELATION, INSERT, UPDATE, DELETE */
	enum pgoutput_old old_kind;               /* UPDATE, DELETE: what old[] holds */
	const struct pgoutput_value *old_row;     /* relation->n values; with OLD_KEY, non-key columns are NULL */
	const struct pgoutput_value *new_row;     /* INSERT, UPDATE: relation->n values */
	const struct pgoutput_relation *const *truncated; /* TRUNCATE: n_truncated relations */
	size_t n_truncated;
	bool truncate_cascade;
	const char *prefix; /* MESSAGE */
	const char *content;
	uint32_t content_len;
};

struct pgoutput;

struct pgoutput *pgoutput_new(void);
void pgoutput_free(struct pgoutput *decoder);
CLEANUP(struct pgoutput, pgoutput_free);

/* Decodes one message of protocol version 1. ret stays valid until the next call. Errors: FATAL with what was found and
 * what was expected (truncated, unknown type, a row of an unknown relation, too many columns). */
int pgoutput_decode(struct pgoutput *decoder, const char *data, size_t len, struct pgoutput_message *ret,
		    struct err *err) WARN_UNUSED;

/* NULL when the relation has not been described yet. */
const struct pgoutput_relation *pgoutput_find(const struct pgoutput *decoder, uint32_t oid);

#endif
