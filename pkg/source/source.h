/* What this PgSync owns in Postgres: publication and slot; and the tables that its documents read.
 *
 * A source belongs to one thread, as its connection does. It borrows everything.
 */
#ifndef PGSYNC_SOURCE_SOURCE_H
#define PGSYNC_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "checkpoint/checkpoint.h"
#include "document/document.h"
#include "postgres/catalog.h"
#include "postgres/pg.h"
#include "postgres/replication.h"

struct source {
	struct pg *pg;
	const char *owner; /* the resource, "namespace/name": the publication's mark names it */
	const char *slot, *publication;
	const char *user, *database; /* for messages */
	bool verify_identities;      /* replica identities are only checked, not set */
	bool failover;               /* the slot is to be synchronised to standbys */
};

/* --- the tables (pure) --- */

/* A table that at least one document reads. */
struct source_table {
	const struct catalog_table *table;
	/* The columns whose old values must be in the WAL, over all documents, ascending. */
	int *links;
	size_t n_links;
	/* The columns that are published: those of the replica identity, as it is or will be set, and the links. None:
	 * all columns, since they must be (the identity is the whole row, or may be that of some partition), or since
	 * none of the others can be large. Postgres does not let a published column's type be changed, so that columns
	 * are named only where that keeps large values out of the stream. */
	int *published;
	size_t n_published;
	bool large_unused; /* it has a column without a limit that no document uses */
};

/* In the catalog's order. */
struct source_tables {
	struct source_table *items;
	size_t n;
};

/* The tables of the plans. They borrow the catalog. */
void source_tables_init(struct source_tables *ret, const struct catalog *catalog, struct document_plan *const *plans,
			size_t n_plans);
void source_tables_release(struct source_tables *tables);
/* NULL: no document reads it. */
const struct source_table *source_tables_find(const struct source_tables *tables, uint32_t oid);

/* --- the publication --- */

/* A publication that we create has a comment, our mark. Only a publication with the mark is altered or dropped; the
 * owner of another one can hand it over by setting the comment. */
#define SOURCE_MARK "pgsync: " /* followed by the owner */

enum source_claim {
	SOURCE_ABSENT,     /* there is no publication of that name */
	SOURCE_OURS,       /* it has our mark */
	SOURCE_OURS_BY_CP, /* an earlier version, which set no marks, created it: the checkpoint says so */
	SOURCE_UNMARKED,   /* not ours. It is used unchanged if it publishes what is needed. */
	SOURCE_OF_ANOTHER, /* another PgSync's */
};
/* Who owns a publication with this comment and fingerprint; pure. comment may be NULL; fingerprint is NULL if the
 * publication does not exist. */
enum source_claim source_judge(const char *owner, const char *comment, const char *fingerprint,
			       const struct checkpoint *cp);
/* Finds out who owns the publication. Refuses (INVALID/PublicationConflict) what cannot be used as it is and may not be
 * changed. On a standby none may: INVALID/ServerIsStandby, and none counts as ours. */
int source_check_publication(const struct source *source, const struct checkpoint *cp,
			     const struct source_tables *tables, enum source_claim *ret, struct err *err) WARN_UNUSED;
/* The same, and marks one that an earlier version created. */
int source_claim_publication(const struct source *source, struct checkpoint *cp, const struct source_tables *tables,
			     enum source_claim *ret, struct err *err) WARN_UNUSED;
/* Drops it if it is ours, unless the server is a standby. */
int source_drop_publication(const struct source *source, const struct checkpoint *cp, struct err *err) WARN_UNUSED;
/* Publishes all columns of every table, if it is ours. */
int source_widen(const struct source *source, enum source_claim claim, struct err *err) WARN_UNUSED;

/* The state of a publication after source_publish. */
struct source_published {
	char *fingerprint; /* the caller frees it */
	bool only_columns; /* if it changed, then only in the columns of tables, so it never lacked what is needed */
};
/* Makes the publication contain the tables, as pg_publication_ensure does; one that is not ours is left unchanged. */
int source_publish(const struct source *source, enum source_claim claim, const struct source_tables *tables,
		   struct source_published *ret, struct err *err) WARN_UNUSED;
/* Which of the tables the publication lacks, and how many; all, if it does not exist. lacking: one for each. */
int source_find_lacking(const struct source *source, const struct source_tables *tables, bool *lacking, size_t *ret,
			struct err *err) WARN_UNUSED;
/* Whether the publication exists and still has this fingerprint. */
int source_still_published(const struct source *source, const char *fingerprint, bool *ret,
			   struct err *err) WARN_UNUSED;

/* --- the slot --- */

/* Reports transactions that have to end first: fn is called with a text that lists them, about once a second, after two
 * seconds. */
struct source_waiting {
	void (*fn)(void *user, const char *transactions);
	void *user;
};
/* Creates the slot on a replication connection; *ret_lsn: where it starts. The server waits for transactions. */
int source_create_slot(const struct source *source, struct pg *replication, const struct source_waiting *waiting,
		       uint64_t *ret_lsn, struct err *err) WARN_UNUSED;
/* After the stream has failed as in *err: the server also ends it when the slot was dropped, or invalidated. Then *err
 * says that; it stays what it is otherwise. Returns -1. */
int source_explain_end(const struct source *source, struct err *err);
/* The application that streams from the slot, for messages: other PgSyncs name themselves there. Caller frees. */
char *source_slot_user(const struct source *source, const struct pg_slot *slot);

/* --- transactions and rows --- */

/* Transactions whose commit is in the WAL before the slot's start, but which other sessions do not see yet, are in
 * neither the stream nor an early chunk. So a bootstrap waits for those that may be there.
 *
 * Waits for the transactions that are running now. Prepared ones, and those whose session is not committing, will
 * commit later and be streamed: those are waited for only if `every` is set, or if the role cannot see what the
 * sessions do (pg_read_all_stats). On a standby there is nothing to wait for, and `every` fails as TRANSIENT: an
 * altered publication needs a new slot there. */
int source_wait_for_transactions(const struct source *source, bool every, const struct source_waiting *waiting,
				 struct err *err) WARN_UNUSED;
/* Counts the table's rows, up to `most`. */
int source_count_rows(struct pg *pg, const struct catalog_table *table, int most, int *ret,
		      struct err *err) WARN_UNUSED;

#endif
