/* The recovery decision (pure): what to do about slot, publication and indices, given what an attempt has found.
 *
 * Every attempt starts from durable state: the checkpoint, the replication slot, and the server. pkg/sync looks at
 * them, asks here what to do, and does it. There are two functions, since only the owner of the slot may connect to it:
 * recovery_admit before the slot is touched, recovery_decide with what the server reports after that. */
#ifndef PGSYNC_RECOVERY_RECOVERY_H
#define PGSYNC_RECOVERY_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/checkpoint.h"
#include "postgres/replication.h"

/* What was found. Everything is borrowed. A set of plans has a bit for each: 1 << plan. */
struct recovery_input {
	const struct checkpoint *cp;
	struct pg_slot slot;
	uint64_t acknowledged;         /* the slot's position before the checkpoint was loaded; 0: there was no slot */
	bool standby;                  /* the server is one */
	struct pg_system server;       /* not yet known to recovery_admit */
	struct pg_timeline timeline;   /* the server's, in its history, */
	struct pg_timeline earlier;    /* and the one that has the number of the checkpoint's */
	bool missed;                   /* the stream lacked a transaction that it once had (landmarks.h) */
	bool undecodable;              /* the server could not decode the slot's WAL (landmarks.h) */
	uint64_t horizon;              /* what is in the indices was read before this position; 0: not known */
	const char *publication;       /* its fingerprint; NULL: there is none */
	bool publication_lacks_tables; /* of the plans */
	const char *fingerprint;       /* of the schema and the catalog that the plans were made from */
	const json_t *catalog;         /* as checkpoint.catalog_fingerprint */

	const char *const *indices; /* for each plan, its alias */
	size_t n_plans;
	uint64_t missing;         /* plans whose concrete index is gone, or is not ours */
	uint64_t truncated;       /* plans whose root table was truncated */
	uint64_t restored;        /* plans whose index has a shard with another history: it may lack writes */
	uint64_t partitions_gone; /* plans whose root lost partitions, or whose partitions were emptied */

	/* the spec's policies, and what this run has done before */
	const char *uid; /* of the resource, or NULL */
	int64_t resync_nonce;
	bool stall_when_slot_lost;
	bool never_bootstrap;
	bool slot_name_given; /* the slot's name is the user's choice: an unknown slot is not ours */
	bool streamed;        /* an attempt of this run had the slot, */
	int walsender_pid;    /* by this walsender */
};

enum recovery_action {
	RECOVERY_RESUME = 0, /* the stream continues from the slot; some indices may be rebuilt */
	RECOVERY_NEW_SLOT,   /* neither the slot nor its history can be used: a new slot, and every index is rebuilt */
	RECOVERY_REFUSE,     /* the user has to decide, or another worker has taken over */
};

/* Why. Texts: recovery_cause_text. */
enum recovery_cause {
	RECOVERY_NOTHING_WRONG = 0,
	/* the history of the slot has ended: NEW_SLOT */
	RECOVERY_NOTHING_SYNCED,
	RECOVERY_NEVER_PREPARED,
	RECOVERY_CHECKPOINT_LOST,
	RECOVERY_OTHER_SERVER,
	RECOVERY_OTHER_TIMELINE,
	RECOVERY_OTHER_HISTORY,
	RECOVERY_WAL_BEHIND,
	RECOVERY_RESYNC_REQUESTED,
	RECOVERY_SLOT_GONE,
	RECOVERY_WAL_LOST,
	RECOVERY_PUBLICATION_GONE,
	/* the slot is good, the indices are not: RESUME with rebuild_all */
	RECOVERY_ENGINE_RESTORED,
	RECOVERY_SCHEMA_CHANGED,
	RECOVERY_ENUM_RENAMED,
	RECOVERY_OBJECT_CHANGED,
	RECOVERY_COLUMN_REWRITTEN,
	RECOVERY_PUBLICATION_ALTERED,
	RECOVERY_TABLE_ADDED,
	RECOVERY_INDEX_ADDED,
	/* REFUSE */
	RECOVERY_SLOT_UNKNOWN,      /* it exists, but does not belong to this resource */
	RECOVERY_SLOT_OF_ANOTHER,   /* it belongs to another resource of the same name */
	RECOVERY_SLOT_NOT_PGOUTPUT, /* of another plugin, or another database */
	RECOVERY_SLOT_TAKEN,        /* another worker took it from this one */
	RECOVERY_LOSS_NOT_ALLOWED,  /* NEW_SLOT is needed (`loss` says why), and the policy is to stall */
	RECOVERY_STANDBY_UNKNOWN,   /* the server is a standby without the slot: the one that was followed is another */
	RECOVERY_BOOTSTRAP_NEEDED,  /* `plan` has to be rebuilt, and the policy is never to bootstrap */
};

struct recovery_decision {
	enum recovery_action action;
	enum recovery_cause cause;
	enum recovery_cause loss; /* with RECOVERY_LOSS_NOT_ALLOWED */
	size_t plan;              /* with RECOVERY_BOOTSTRAP_NEEDED */
	/* with RESUME */
	bool patch_publication; /* the publication lacks something, so the stream did not contain that so far */
	bool rebuild_all;
	uint64_t rebuild;    /* these plans, because rows are gone without an event */
	uint64_t recreate;   /* these plans: the index is gone, another takes its place */
	uint64_t put_back;   /* the aliases of these plans lead elsewhere */
	bool failed_over;    /* the server is a standby that was promoted, and nothing was lost */
	bool adopt_timeline; /* record where the server's timeline began */
	bool adopt_catalog;  /* nothing relevant changed: record the current catalog in the checkpoint */
	bool adopt_position; /* an earlier version saved the checkpoint: what the slot has acknowledged counts as
			      * confirmed */
};

/* May this worker use the slot? REFUSE, or RESUME for yes. */
struct recovery_decision recovery_admit(const struct recovery_input *in);
/* What has to be done. */
struct recovery_decision recovery_decide(const struct recovery_input *in);
/* The same once the publication has what the plans need: if that changed it although nothing was known to be missing,
 * every index has to be rebuilt. after: its fingerprint now. only_columns: it changed only in which columns of its
 * tables are published, and was as the checkpoint says before; the stream never lacked what the plans need. */
struct recovery_decision recovery_published(const struct recovery_input *in, struct recovery_decision first,
					    const char *after, bool only_columns);

/* A table that was rewritten while its columns stayed as they were (VACUUM FULL, TRUNCATE) has the same values, and a
 * later ALTER of a column has nothing to do with this rewrite. `now` is equal to the catalog of the plans. True: the
 * caller has to save the checkpoint. */
bool recovery_note_rewrites(struct checkpoint *cp, const struct catalog *now);

/* "the replication slot is gone"; for logs and events. */
const char *recovery_cause_text(enum recovery_cause cause);

#endif
